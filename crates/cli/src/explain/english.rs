//! English.

use engine::{Accelerator, Architecture, MachineState};
use journey::Step;
use protocol::StartPart;

use super::journal::Place;
use super::server::Server;
use super::words::{Lesson, Purpose, Words, named, purpose, short, short_path, time};
use crate::format::units;

pub(super) struct English;

impl Words for English {
    fn heading(&self, command: &str) -> String {
        format!("What happened for `sampan {command}`")
    }

    fn columns(&self) -> [&'static str; 4] {
        ["AT", "TOOK", "WHERE", "WHAT HAPPENED"]
    }

    fn place(&self, place: Place) -> &'static str {
        match place {
            Place::Client => "client",
            Place::Service => "service",
            Place::Registry => "registry",
            Place::Machine => "machine",
            Place::Guest => "guest",
            Place::Program => "program",
        }
    }

    fn step(&self, step: &Step) -> String {
        match step {
            Step::ServiceStarted { address } => format!(
                "Nobody served at {address}, so the client started the service. It keeps images, containers and \
                 machines, and stays for the commands to come."
            ),
            Step::Connected { address } => {
                format!("The client reached the service at {address}. Every command is a request to it.")
            }
            Step::Request { method, path, status } => request(method, path, *status),
            Step::ImageLookup { image, found: None } => {
                format!("Looked for the image {image} among those that are here: it is not.")
            }
            Step::ImageLookup {
                image,
                found: Some((id, layers)),
            } => format!(
                "Found the image {image} here: {} with {}.",
                short(id),
                count(*layers, "layer", "layers")
            ),
            Step::ContainerRecorded { id, name, promised } => {
                let kept = if *promised {
                    "on disk before anything else happens"
                } else {
                    "for the time of its run, as --rm asks"
                };
                format!(
                    "Wrote the container {} ({name}) down, {kept}: so far a container is no more than this record.",
                    short(id)
                )
            }
            Step::Resolved {
                registry,
                image,
                digest,
            } => format!(
                "Asked the registry {registry} what {image} stands for now: the manifest {}.",
                short(digest)
            ),
            Step::PlatformChosen {
                platform,
                offered,
                digest,
            } => format!(
                "The name stands for a list with {}. That for {platform} was chosen, which is what the machine runs: {}.",
                count(*offered, "image", "images"),
                short(digest)
            ),
            Step::ConfigRead { digest, layers } => format!(
                "Read the image's configuration {}: its command, its environment, and the checksums of its {}. Its \
                 checksum is the image's ID.",
                short(digest),
                count(*layers, "layer", "layers")
            ),
            Step::LayerPulled { digest, bytes } => format!(
                "Downloaded the layer {} ({}), verified its checksum, and made a read-only file system (EROFS) of it.",
                short(digest),
                size(*bytes)
            ),
            Step::LayerKept { digest } => format!(
                "The layer {} was here already, for images share the layers that they have in common.",
                short(digest)
            ),
            Step::ImageRecorded { id } => format!(
                "Entered the image {} and its name in the database. Only now it is there, and whole.",
                short(id)
            ),
            Step::AcceleratorChosen { name, why } => {
                format!("Chose what executes the machine's instructions: {name}; {why}.")
            }
            Step::DiskPrepared => {
                "Prepared the machine's data disk, which keeps what containers write.".to_owned()
            }
            Step::Booted {
                architecture,
                accelerator,
                cpus,
                memory_mib,
                kernel,
                guest_ms,
            } => format!(
                "Booted the linux/{architecture} machine ({accelerator}, {}, {memory_mib} MiB at most): Linux {kernel} \
                 with sampan's own init as its first process. By the guest's clock that was {guest_ms} ms; the rest \
                 went into starting the machine's process.",
                count(usize::try_from(*cpus).unwrap_or(0), "CPU", "CPUs")
            ),
            Step::MachineRan { architecture, kernel } => {
                format!("The linux/{architecture} machine with Linux {kernel} was running already.")
            }
            Step::MachineAwaited { architecture } => {
                format!("Waited for the linux/{architecture} machine, which another command was booting.")
            }
            Step::LayersMapped { layers, fresh } => {
                let how = match fresh {
                    0 => "all of them since an earlier run".to_owned(),
                    fresh if fresh == layers => "all of them just now".to_owned(),
                    fresh => format!("{fresh} of them just now"),
                };
                format!(
                    "The machine has the image's {} on a read-only disk, {how}. Nothing is copied.",
                    count(*layers, "layer", "layers")
                )
            }
            Step::Wired { network, addresses } if addresses.is_empty() => {
                format!(
                    "The container's network is {}, which needs no address.",
                    named(network)
                )
            }
            Step::Wired { network, addresses } => format!(
                "Gave the container the address {} on the network {}.",
                addresses.join(", "),
                named(network)
            ),
            Step::Built { part } => built(*part).to_owned(),
            Step::Started { pid } => format!(
                "The guest's init was asked over vsock to start the container, and the program runs: process {pid} of \
                 the machine, and process 1 of the container. The rows above are parts of this one."
            ),
            Step::RunRecorded => {
                "Wrote down that the container runs, so that a crash loses no trace of it.".to_owned()
            }
            Step::Ran {
                exit_code,
                out_of_memory,
            } => {
                let more = if *out_of_memory {
                    " The kernel killed it for want of memory: it is over its limit."
                } else {
                    ""
                };
                format!("The program ran and ended with exit code {exit_code}.{more}")
            }
            Step::OutputDrained => "Handed the last of its output on.".to_owned(),
            Step::Removed { id } => format!(
                "Removed the container {}: its record, its log, and what it had written.",
                short(id)
            ),
            Step::Unknown => "A step of a newer service, which this client does not know.".to_owned(),
        }
    }

    fn failed(&self, reason: &str) -> String {
        format!("It failed: {reason}")
    }

    fn total(&self, total: &str, shares: &[(&str, String)]) -> String {
        let shares: Vec<String> = shares
            .iter()
            .map(|(place, time)| format!("{place} {time}"))
            .collect();
        format!(
            "In all {total}. At work were: {}. Some of it at the same time.",
            shares.join(", ")
        )
    }

    fn lesson(&self, lesson: Lesson) -> String {
        match lesson {
            Lesson::Next {
                pulled_ns: 0,
                booted_ns,
            } => format!(
                "The machine stays up: the next run does without the {} of its boot.",
                time(booted_ns)
            ),
            Lesson::Next {
                pulled_ns,
                booted_ns: 0,
            } => format!(
                "The image stays here: the next run does without the {} of its pull.",
                time(pulled_ns)
            ),
            Lesson::Next { pulled_ns, booted_ns } => format!(
                "Image and machine stay: the next run does without the {} of the pull and the {} of the boot.",
                time(pulled_ns),
                time(booted_ns)
            ),
            Lesson::Warm => {
                "The image was here and the machine was up: that is what every run but the first is like."
                    .to_owned()
            }
        }
    }

    fn server_heading(&self) -> &'static str {
        "Who answers `sampan version`"
    }

    fn server(&self, server: &Server) -> Vec<(&'static str, String)> {
        let machine = &server.machine;
        let client = format!(
            "This program, version {}, on {}/{}. It makes no containers itself: it speaks Docker's API {} with the \
             service.",
            env!("CARGO_PKG_VERSION"),
            server.client_os,
            server
                .client_architecture
                .map_or("unknown", Architecture::docker_name),
            api::ApiVersion::NEWEST
        );
        let way = format!(
            "The service listens at {} and answered within {}. Docker's own clients reach it in the same way.",
            server.address,
            time(server.asked_ns.unsigned_abs())
        );
        let why = if machine.why.is_empty() {
            String::new()
        } else {
            format!(" {} runs it: {}.", runner_name(machine.accelerator), machine.why)
        };
        let state = match (machine.state, machine.start_ms) {
            (MachineState::Running, Some(start)) => {
                let boot = machine.boot_ms.map_or_else(String::new, |boot| {
                    format!(", {boot} ms of it from the kernel's first instruction")
                });
                format!(
                    " It is up, took {start} ms to start{boot}, and runs {} now.",
                    count(
                        usize::try_from(machine.containers).unwrap_or(usize::MAX),
                        "container",
                        "containers"
                    )
                )
            }
            (MachineState::Running, None) => " It is up.".to_owned(),
            (MachineState::Stopped, _) => {
                " It is stopped, which costs nothing; the next container starts it.".to_owned()
            }
        };
        let server_text = format!(
            "linux/{}, a machine of {} and {} MiB at most.{why}{state}",
            machine.architecture,
            count(usize::try_from(machine.cpus).unwrap_or(0), "CPU", "CPUs"),
            machine.memory_mib
        );
        vec![("Client", client), ("Way", way), ("Server", server_text)]
    }

    fn why(&self, server: &Server) -> Vec<String> {
        let machine = &server.machine;
        let architecture = machine.architecture;
        let laptop = match server.client_os {
            "linux" => "This host runs Linux itself, and sampan keeps containers away from its kernel all the same, so \
                        that they behave here as on any other laptop"
                .to_owned(),
            os => format!(
                "This laptop runs {}, whose kernel has no namespaces and no cgroups, and containers are made of these",
                if os == "darwin" { "macOS" } else { "Windows" }
            ),
        };
        let kernel = match &machine.kernel_release {
            Some(release) => format!("Linux kernel {release}"),
            None => "Linux kernel of their own".to_owned(),
        };
        let runner = match machine.accelerator {
            Some(Accelerator::Kvm) => "run by Linux's hypervisor, KVM",
            Some(Accelerator::Hvf) => "run by Apple's Hypervisor.framework",
            Some(Accelerator::Whp) => "run by the Windows Hypervisor Platform",
            Some(Accelerator::Tcg) => "emulated by QEMU",
            None => "that is started with the first container",
        };
        let own = server.client_architecture == Some(architecture);
        let reason = match (machine.accelerator, own) {
            (Some(Accelerator::Tcg), false) => format!(
                "It is {architecture} because it was asked to be: this laptop's own processor is {}, so every \
                 instruction of the machine is translated.",
                server
                    .client_architecture
                    .map_or("another", Architecture::docker_name)
            ),
            (Some(Accelerator::Tcg), true) => format!(
                "It is {architecture} like this laptop's own processor; no fast hypervisor was to be had, so its \
                 instructions are translated."
            ),
            (_, true) => format!(
                "It is {architecture} because that is this laptop's own processor, which executes the machine's \
                 instructions directly."
            ),
            (_, false) => format!("It is {architecture} because it was asked to be."),
        };
        let state = match machine.state {
            MachineState::Running => "",
            MachineState::Stopped => " (It is stopped now; the next container starts it.)",
        };
        vec![
            format!("{laptop}. Containers run on a {kernel}, in a machine {runner}.{state}"),
            reason,
        ]
    }
}

fn runner_name(accelerator: Option<Accelerator>) -> &'static str {
    match accelerator {
        Some(Accelerator::Kvm) => "KVM",
        Some(Accelerator::Hvf) => "Hypervisor.framework",
        Some(Accelerator::Whp) => "The Windows Hypervisor Platform",
        Some(Accelerator::Tcg) => "QEMU's translator",
        None => "Nothing yet",
    }
}

fn request(method: &str, path: &str, status: u16) -> String {
    let purpose = match (purpose(method, path), status) {
        (Purpose::Create, 404) => "a container of this image, and was told that there is no such image here",
        (Purpose::Create, _) => "a container of this image",
        (Purpose::Pull, _) => {
            "the image from its registry; its progress streams on after the answer has begun"
        }
        (Purpose::Attach, _) => {
            "the container's output before it starts, so that none is missed; the connection carries bytes from here on"
        }
        (Purpose::Wait, _) => "the container's exit code, as soon as there is one",
        (Purpose::Start, _) => "the start of the container",
        (Purpose::Other, _) => "this",
    };
    format!(
        "The client asked for {purpose}: {method} {}, answered {status}.",
        short_path(path)
    )
}

fn built(part: StartPart) -> &'static str {
    match part {
        StartPart::Layers => {
            "Mounted the image's layers where they were not yet, each a file system of its own."
        }
        StartPart::Streams => "Opened a connection to the host for each of the program's streams.",
        StartPart::Root => {
            "Laid the layers over each other, and an empty writable one on top (overlayfs): the container's root."
        }
        StartPart::Cgroup => {
            "Made a cgroup, which counts and limits CPU, memory, processes and I/O, and guards devices."
        }
        StartPart::Surroundings => {
            "Prepared the network namespace: an own loopback, and a cable (veth) to the network's bridge."
        }
        StartPart::Program => {
            "Cloned a process into new namespaces. Within, it took the new root, mounted /proc, /sys and /dev, gave up \
             capabilities, put on the seccomp filter, and became the program."
        }
        StartPart::Other => "A part of a newer guest's work, which this client does not know.",
    }
}

fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

fn size(bytes: u64) -> String {
    units::size(i64::try_from(bytes).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::server::Machine;
    use super::*;

    #[test]
    fn a_foreign_machine_is_said_to_be_emulated() {
        let server = Server {
            client_os: "darwin",
            client_architecture: Some(Architecture::Arm64),
            address: "unix:///s".to_owned(),
            asked_ns: 1,
            machine: Machine {
                architecture: Architecture::Amd64,
                state: MachineState::Running,
                accelerator: Some(Accelerator::Tcg),
                why: String::new(),
                cpus: 2,
                memory_mib: 512,
                kernel_release: Some("6.12.9".to_owned()),
                boot_ms: None,
                start_ms: None,
                containers: 0,
            },
        };
        let [place, reason] = English.why(&server).try_into().unwrap();
        assert!(
            place.contains("runs macOS") && place.contains("6.12.9"),
            "{place}"
        );
        assert!(place.contains("emulated by QEMU"), "{place}");
        assert!(reason.contains("own processor is arm64"), "{reason}");
    }

    #[test]
    fn a_container_without_a_network_of_its_own_has_no_address() {
        let step = Step::Wired {
            network: "host".to_owned(),
            addresses: Vec::new(),
        };
        assert!(English.step(&step).contains("host, which needs no address"));
    }
}
