//! Which way the guest's instructions are executed is measured, not assumed.
//!
//! A hypervisor runs guests of the host's own architecture, if it is there, if this user may use it, and if it does
//! not merely interpret (see [`hypervisor::probe`]). Everything else is QEMU's translator.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hypervisor::{Probe, ProbeError, Verdict};
use protocol::Architecture;
use serde::{Deserialize, Serialize};

use crate::control::Accelerator;
use crate::sys;

/// What the user asked for (`--accel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceleration {
    /// The hypervisor if it executes, else QEMU.
    #[default]
    Auto,
    /// This one, or an error.
    Only(Accelerator),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub accelerator: Accelerator,
    /// A sentence for the user, without a final full stop: "KVM, because …".
    pub reason: String,
    /// What the hypervisor measured, if it was asked.
    pub probe: Option<Probe>,
}

/// There is no way to run such a machine here. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// `why` says why QEMU is needed at all.
    #[error(
        "{program} is not in PATH, and the {architecture} machine needs it ({why}): install QEMU ({})",
        install(*architecture)
    )]
    NoQemu {
        program: String,
        architecture: Architecture,
        why: String,
    },
    #[error(
        "{accelerator} runs no {guest} machine on this {host} computer: use `--accel tcg`, which emulates it"
    )]
    Foreign {
        accelerator: Accelerator,
        guest: Architecture,
        host: &'static str,
    },
    #[error("this system has no {asked}: use `--accel auto`")]
    OtherSystem { asked: Accelerator },
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Chooses for a guest of `architecture`. Takes some milliseconds; nothing stays.
pub fn choose(acceleration: Acceleration, architecture: Architecture) -> Result<Choice, ChooseError> {
    decide(&Host, acceleration, architecture)
}

/// Where QEMU for this architecture is, if it is in PATH.
pub fn find_qemu(architecture: Architecture) -> Option<PathBuf> {
    let program = format!("{}{}", qemu_program(architecture), env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&program))
        .find(|path| path.is_file())
}

fn qemu_program(architecture: Architecture) -> String {
    format!("qemu-system-{}", architecture.kernel_name())
}

fn install(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => {
            "Debian and Ubuntu: `apt install qemu-system-x86`; Fedora: `dnf install qemu-system-x86-core`; macOS: \
             `brew install qemu`"
        }
        Architecture::Arm64 => {
            "Debian and Ubuntu: `apt install qemu-system-arm`; Fedora: `dnf install qemu-system-aarch64-core`; macOS: \
             `brew install qemu`"
        }
    }
}

/// What the choice depends on.
trait Facts {
    fn architecture(&self) -> Option<Architecture>;
    fn native(&self) -> Accelerator;
    fn probe(&self) -> Result<Probe, ProbeError>;
    fn has_qemu(&self, architecture: Architecture) -> bool;
}

struct Host;

impl Facts for Host {
    fn architecture(&self) -> Option<Architecture> {
        Architecture::of_host()
    }

    fn native(&self) -> Accelerator {
        sys::NATIVE
    }

    fn probe(&self) -> Result<Probe, ProbeError> {
        hypervisor::probe()
    }

    fn has_qemu(&self, architecture: Architecture) -> bool {
        find_qemu(architecture).is_some()
    }
}

fn decide(facts: &impl Facts, asked: Acceleration, guest: Architecture) -> Result<Choice, ChooseError> {
    let native = facts.native();
    let host = facts.architecture();
    let foreign = format!(
        "this computer's processor is {}, the machine's is {guest}",
        name(host)
    );
    match asked {
        Acceleration::Only(Accelerator::Tcg) => emulate(facts, guest, "you asked for it", None),
        Acceleration::Only(asked) if asked != native => Err(ChooseError::OtherSystem { asked }),
        Acceleration::Only(accelerator) if host != Some(guest) => Err(ChooseError::Foreign {
            accelerator,
            guest,
            host: name(host),
        }),
        Acceleration::Only(accelerator) => {
            let probe = facts.probe()?;
            let but = match probe.verdict {
                Verdict::Executes => String::new(),
                Verdict::Interprets => format!(", although it only {}", speed("interprets", &probe)),
            };
            let reason = format!("{accelerator}, because you asked for it{but}");
            Ok(Choice {
                accelerator,
                reason,
                probe: Some(probe),
            })
        }
        Acceleration::Auto if host != Some(guest) => emulate(facts, guest, &foreign, None),
        Acceleration::Auto => match facts.probe() {
            Ok(probe) if probe.verdict == Verdict::Executes => Ok(Choice {
                accelerator: native,
                reason: format!(
                    "{native}, because the hardware runs the guest's instructions directly ({})",
                    speed("measured", &probe)
                ),
                probe: Some(probe),
            }),
            Ok(probe) => {
                let why = format!("{native} is there but only {}", speed("interprets", &probe));
                emulate(facts, guest, &why, Some(probe))
            }
            Err(error) => emulate(facts, guest, &error.to_string(), None),
        },
    }
}

fn emulate(
    facts: &impl Facts,
    guest: Architecture,
    why: &str,
    probe: Option<Probe>,
) -> Result<Choice, ChooseError> {
    if !facts.has_qemu(guest) {
        let program = qemu_program(guest);
        return Err(ChooseError::NoQemu {
            program,
            architecture: guest,
            why: why.into(),
        });
    }
    let reason = format!("emulated by QEMU, because {why}");
    Ok(Choice {
        accelerator: Accelerator::Tcg,
        reason,
        probe,
    })
}

fn speed(verb: &str, probe: &Probe) -> String {
    let millions = probe.instructions_per_second as f64 / 1e6;
    let digits = usize::from(millions < 10.0);
    format!("{verb}: {millions:.digits$} million instructions a second")
}

fn name(host: Option<Architecture>) -> &'static str {
    host.map_or("of another kind", Architecture::docker_name)
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Hvf => "Hypervisor.framework",
            Self::Whp => "Windows Hypervisor Platform",
            Self::Tcg => "QEMU",
        })
    }
}

/// Not a way to run a machine.
#[derive(Debug, thiserror::Error)]
#[error("unknown acceleration {0:?}: it is one of auto, kvm, hvf, whp, tcg")]
pub struct UnknownAcceleration(String);

impl FromStr for Acceleration {
    type Err = UnknownAcceleration;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Only(Accelerator::Kvm)),
            "hvf" => Ok(Self::Only(Accelerator::Hvf)),
            "whp" => Ok(Self::Only(Accelerator::Whp)),
            "tcg" => Ok(Self::Only(Accelerator::Tcg)),
            _ => Err(UnknownAcceleration(name.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hypervisor::OpenError;

    use super::*;

    struct Computer {
        /// `None`: there is no hypervisor.
        instructions_per_second: Option<u64>,
        qemu: bool,
    }

    impl Facts for Computer {
        fn architecture(&self) -> Option<Architecture> {
            Some(Architecture::Amd64)
        }

        fn native(&self) -> Accelerator {
            Accelerator::Kvm
        }

        fn probe(&self) -> Result<Probe, ProbeError> {
            let instructions_per_second = self.instructions_per_second.ok_or(OpenError::NoPermission)?;
            let verdict = if instructions_per_second > 100_000_000 {
                Verdict::Executes
            } else {
                Verdict::Interprets
            };
            Ok(Probe {
                iterations: 4000,
                duration: Duration::from_millis(1),
                instructions_per_second,
                verdict,
            })
        }

        fn has_qemu(&self, _: Architecture) -> bool {
            self.qemu
        }
    }

    const HARDWARE: Computer = Computer {
        instructions_per_second: Some(2_000_000_000),
        qemu: true,
    };
    const INTERPRETER: Computer = Computer {
        instructions_per_second: Some(1_400_000),
        qemu: true,
    };
    const NOTHING: Computer = Computer {
        instructions_per_second: None,
        qemu: false,
    };

    fn auto(computer: &Computer, guest: Architecture) -> Result<Choice, ChooseError> {
        decide(computer, Acceleration::Auto, guest)
    }

    #[test]
    fn hardware_is_used_when_there_is_some() {
        let choice = auto(&HARDWARE, Architecture::Amd64).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Kvm);
        assert!(choice.reason.contains("2000 million"), "{}", choice.reason);
    }

    #[test]
    fn a_hypervisor_that_interprets_is_passed_over_and_said_so() {
        let choice = auto(&INTERPRETER, Architecture::Amd64).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        assert!(
            choice.reason.contains("interprets: 1.4 million"),
            "{}",
            choice.reason
        );
        assert!(choice.probe.is_some());
    }

    #[test]
    fn a_foreign_guest_is_emulated_whatever_the_hypervisor_does() {
        let choice = auto(&HARDWARE, Architecture::Arm64).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        assert!(
            choice
                .reason
                .contains("processor is amd64, the machine's is arm64"),
            "{}",
            choice.reason
        );
    }

    #[test]
    fn without_hypervisor_and_qemu_the_error_says_both() {
        let error = auto(&NOTHING, Architecture::Amd64).unwrap_err().to_string();
        assert!(error.contains("qemu-system-x86_64 is not in PATH"), "{error}");
        assert!(error.contains("no permission to open /dev/kvm"), "{error}");
        assert!(error.contains("apt install qemu-system-x86"), "{error}");
    }

    #[test]
    fn a_hypervisor_that_was_asked_for_is_used_even_when_it_interprets() {
        let asked = Acceleration::Only(Accelerator::Kvm);
        let choice = decide(&INTERPRETER, asked, Architecture::Amd64).unwrap();
        assert_eq!(choice.accelerator, Accelerator::Kvm);
        assert!(
            choice.reason.contains("although it only interprets"),
            "{}",
            choice.reason
        );
    }

    #[test]
    fn what_was_asked_for_and_is_impossible_is_an_error() {
        let kvm = Acceleration::Only(Accelerator::Kvm);
        let whp = Acceleration::Only(Accelerator::Whp);
        let error = |computer, asked, guest| decide(computer, asked, guest).unwrap_err();
        assert!(matches!(
            error(&HARDWARE, kvm, Architecture::Arm64),
            ChooseError::Foreign { .. }
        ));
        assert!(matches!(
            error(&HARDWARE, whp, Architecture::Amd64),
            ChooseError::OtherSystem { .. }
        ));
        assert!(matches!(
            error(&NOTHING, kvm, Architecture::Amd64),
            ChooseError::Probe(_)
        ));
    }

    #[test]
    fn only_the_five_names_are_understood() {
        assert_eq!("auto".parse::<Acceleration>().unwrap(), Acceleration::Auto);
        assert_eq!(
            "tcg".parse::<Acceleration>().unwrap(),
            Acceleration::Only(Accelerator::Tcg)
        );
        assert!(
            "KVM"
                .parse::<Acceleration>()
                .unwrap_err()
                .to_string()
                .contains("auto, kvm")
        );
    }
}
