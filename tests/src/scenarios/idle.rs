//! A machine that nobody uses is stopped, and comes back with the next command.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::world::World;

super::scenarios![
    a_machine_that_nobody_uses_is_stopped_and_the_next_command_finds_everything,
    a_container_that_runs_keeps_its_machine_running,
    what_the_user_stopped_does_not_start_with_a_machine_that_rested,
];

const SETTINGS: &str = "idle-timeout = 1\n";
const PATIENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// Waits until the machine's process is gone.
fn wait_for_rest(world: &World) {
    let process = world
        .running_machine()
        .map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()));
    // It may be gone already.
    let Some(Ok(process)) = process else { return };
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&PATIENCE)).unwrap();
    assert_eq!(ended, 1, "the machine still runs");
}

fn a_machine_that_nobody_uses_is_stopped_and_the_next_command_finds_everything(_: &World) {
    let world = World::with_settings(SETTINGS);
    world.ok([
        "run",
        "--volume",
        "kept:/kept",
        "--name",
        "first",
        "alpine",
        "touch",
        "/kept/file",
        "/own",
    ]);
    wait_for_rest(&world);
    assert_eq!(
        world.ok(["run", "--rm", "--volume", "kept:/kept", "alpine", "ls", "/kept"]),
        "file"
    );
    assert!(world.ok(["diff", "first"]).contains("A /own"));
}

fn a_container_that_runs_keeps_its_machine_running(_: &World) {
    let world = World::with_settings(SETTINGS);
    world.ok([
        "run",
        "--detach",
        "--name",
        "slow",
        "alpine",
        "sh",
        "-c",
        "sleep 4; echo done",
    ]);
    assert_eq!(world.ok(["wait", "slow"]), "0");
    assert_eq!(world.ok(["logs", "slow"]), "done");
}

fn what_the_user_stopped_does_not_start_with_a_machine_that_rested(_: &World) {
    let world = World::with_settings(SETTINGS);
    world.ok([
        "run",
        "--detach",
        "--init",
        "--restart",
        "always",
        "--name",
        "stopped",
        "alpine",
        "sleep",
        "600",
    ]);
    world.ok(["stop", "stopped"]);
    wait_for_rest(&world);
    world.ok(["run", "--rm", "alpine", "true"]);
    assert_eq!(world.inspect("stopped", "/State/Status"), "exited");
}
