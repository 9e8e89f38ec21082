//! `kill -9` at random points of many operations: what was acknowledged is there afterwards, what was not is there
//! whole or not at all. In a test run a small part of what `cargo xtask load` asks for (`SAMPAN_E2E_LOAD=full`).

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::load::amount;
use crate::world::World;

super::scenarios![
    what_was_acknowledged_survives_any_kill,
    a_machine_that_falls_over_is_told_and_boots_again,
];

/// A sequence that looks random and is the same each time (Marsaglia's xorshift), so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Something that an operation makes and another removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Container,
    Volume,
    Network,
    Tag,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Container, Self::Volume, Self::Network, Self::Tag];

    fn make(self, name: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Container => &["run", "-d", "--name", name, "alpine", "sleep", "86400"],
            Self::Volume => &["volume", "create", name],
            Self::Network => &["network", "create", name],
            Self::Tag => &["tag", "alpine", &format!("{name}:latest")],
        };
        words.iter().map(ToString::to_string).collect()
    }

    fn remove(self, name: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Container => &["rm", "-f", name],
            Self::Volume => &["volume", "rm", name],
            Self::Network => &["network", "rm", name],
            Self::Tag => &["rmi", &format!("{name}:latest")],
        };
        words.iter().map(ToString::to_string).collect()
    }

    /// The names of all that there are.
    fn list(self, world: &World) -> Vec<String> {
        let text = match self {
            Self::Container => world.ok(["ps", "-a", "--format", "{{.Names}}"]),
            Self::Volume => world.ok(["volume", "ls", "-q"]),
            Self::Network => world.ok(["network", "ls", "--format", "{{.Name}}"]),
            Self::Tag => world.ok(["images", "--format", "{{.Repository}}"]),
        };
        text.lines()
            .filter(|name| name.starts_with("thing-"))
            .map(str::to_owned)
            .collect()
    }
}

/// What is known of a thing after the last operation on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// The operation was cut off before it was acknowledged.
    Unsure,
}

/// Kills something, or makes the machine fall over from within.
fn strike(world: &World, pids: (i32, i32), dice: &mut Dice) {
    let (service, machine) = pids;
    match dice.below(2) {
        0 => world.kill(service, Signal::KILL),
        _ => world.kill(machine, Signal::KILL),
    }
}

fn what_was_acknowledged_survives_any_kill(world: &World) {
    let operations = amount(500, 24);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut things: BTreeMap<(Kind, String), Known> = BTreeMap::new();
    world.ok(["run", "--rm", "alpine", "true"]);
    for operation in 0..operations {
        let kind = Kind::ALL[dice.below(4) as usize];
        let name = format!("thing-{}", dice.below(6));
        let known = things.get(&(kind, name.clone())).copied().unwrap_or(Known::Gone);
        let (words, then) = match known {
            Known::Gone => (kind.make(&name), Known::There),
            Known::There => (kind.remove(&name), Known::Gone),
            Known::Unsure => unreachable!("the truth was looked up after the kill"),
        };
        let struck = dice.below(4) == 0;
        let delay = Duration::from_millis(dice.below(400));
        let output = if struck {
            // Both are asked for before the operation, which then is what the kill meets.
            world.ok(["machine", "start"]);
            let pids = (world.service_pid(), world.machine_pid());
            let running = world.start(&words);
            std::thread::sleep(delay);
            strike(world, pids, &mut dice);
            running.finish()
        } else {
            world.sampan(&words)
        };
        let now = match output.code {
            Some(0) => then,
            _ if struck => Known::Unsure,
            _ => panic!("operation {operation}: {output}"),
        };
        things.insert((kind, name), now);
        if struck {
            for kind in Kind::ALL {
                let listed = kind.list(world);
                for ((_, name), known) in things.iter_mut().filter(|((other, _), _)| *other == kind) {
                    let there = listed.contains(name);
                    assert!(
                        *known == Known::Unsure || (*known == Known::There) == there,
                        "after operation {operation} ({words:?}, {delay:?}) the {kind:?} {name} is {known:?}, \
                         and listed are {listed:?}"
                    );
                    *known = if there { Known::There } else { Known::Gone };
                }
                assert_eq!(
                    listed
                        .iter()
                        .filter(|name| !things.contains_key(&(kind, (*name).clone())))
                        .count(),
                    0,
                    "{listed:?}"
                );
            }
        }
    }
    // Each thing that is left is whole: it can be looked at, used and removed.
    for ((kind, name), known) in &things {
        if *known == Known::There {
            if *kind == Kind::Container {
                world.ok(["start", name]);
                assert_eq!(world.ok(["exec", name, "echo", "whole"]), "whole");
            }
            world.ok(kind.remove(name));
        }
    }
    world.ok(["machine", "stop"]);
    // The one that counts is the only one whose folder is there.
    assert_eq!(world.census().folders(), 1);
}

fn a_machine_that_falls_over_is_told_and_boots_again(world: &World) {
    let name = ["run", "-d", "--name", "bystander", "alpine", "sleep", "86400"];
    world.ok(name);
    let fall = "reboot -f";
    let output = world.sampan([
        "run",
        "--rm",
        "--privileged",
        "--pid",
        "host",
        "alpine",
        "sh",
        "-c",
        fall,
    ]);
    assert!(!matches!(output.code, Some(0) | None), "{output}");
    assert_eq!(world.inspect("bystander", "/State/Status"), "exited");
    assert_eq!(world.inspect("bystander", "/State/ExitCode"), 137);
    world.ok(["start", "bystander"]);
    assert_eq!(world.ok(["exec", "bystander", "echo", "up"]), "up");
}
