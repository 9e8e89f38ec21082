//! The main job, for a reader to watch: a pull from a true registry, containers that greet, fail, run on and are
//! stopped, and a terminal session with a server, all in a machine that sampan boots for it.

mod stage;

use std::fs;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::registry::Registry;
use crate::setup::machine;
use crate::{e2e, images, paths, run, share};
use stage::Stage;

/// Builds all that is needed and runs the demonstration in a machine of this architecture.
///
/// # Errors
/// When something does not build, or a command does not end as it should.
pub fn run(arch: Architecture) -> Result<()> {
    machine::install(&[machine::EMULATION, machine::IMAGES].concat())?;
    let share = share::share()?;
    let images = images::build_all()?;
    let program = e2e::build_programs()?.join("sampan");
    run::step("starting a registry on loopback, with our images in it");
    let storage = paths::cache().join("registry");
    fs::create_dir_all(&storage).with_context(|| format!("cannot create {}", storage.display()))?;
    let registry = Registry::start(&storage)?;
    images.iter().try_for_each(|image| image.push(&registry))?;

    let stage = Stage::new(arch, program, share, &registry)?;
    first_minutes(&stage)?;
    a_program_that_goes_on(&stage)?;
    a_server(&stage)?;
    run::step("all of it went as it should; the machine and its folder are gone again");
    Ok(())
}

fn first_minutes(stage: &Stage) -> Result<()> {
    stage.say("The first command starts the service and boots the machine.");
    stage.command(&["version"], 0)?;
    stage.say("The image is not here yet: it is pulled, then its program greets.");
    stage.command(&["run", "hello-world"], 0)?;
    stage.say("Now it is here.");
    stage.command(&["run", "hello-world"], 0)?;
    stage.command(&["run", "alpine", "ls"], 0)?;
    stage.say("hello-world holds one program and nothing else, so there is no `ls` to run.");
    stage.command(&["run", "hello-world", "ls"], 127)?;
    stage.command(&["ps", "-a"], 0)?;
    stage.say("`run` is `create` and `start`.");
    let id = stage.command(&["create", "hello-world"], 0)?;
    stage.command(&["start", "-a", id.trim()], 0)?;
    Ok(())
}

fn a_program_that_goes_on(stage: &Stage) -> Result<()> {
    stage.say("In a first terminal:");
    let ping = stage.background(
        &["run", "--name", "pinger", "alpine", "ping", "localhost"],
        "seq=1",
    )?;
    stage.say("In a second one:");
    stage.command(&["ps"], 0)?;
    stage.say("As PID 1 of its container ping ignores SIGTERM, so SIGKILL follows after ten seconds.");
    stage.command(&["stop", "pinger"], 0)?;
    ping.ends_with(137)?;
    stage.command(&["ps", "-a"], 0)?;
    Ok(())
}

fn a_server(stage: &Stage) -> Result<()> {
    stage.command(&["run", "-d", "--name", "store", "redis"], 0)?;
    stage
        .background(&["logs", "--follow", "store"], "Ready to accept connections")?
        .hangs_up();
    stage.terminal(
        &["exec", "-it", "store", "redis-cli"],
        &[
            ("6379> ", "set boat sampan\r"),
            ("OK", ""),
            ("6379> ", "get boat\r"),
            ("\"sampan\"", ""),
            ("6379> ", "exit\r"),
        ],
    )?;
    stage.command(&["kill", "store"], 0)?;
    stage.say("Where all of this ran:");
    stage.command(&["doctor"], 0)?;
    Ok(())
}
