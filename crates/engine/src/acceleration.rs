//! Which accelerator runs the machines of an architecture, found out once and told everywhere.

use protocol::Architecture;
use tokio::sync::OnceCell;
use vmm::Acceleration;
use vmm::control::Accelerator;

/// An accelerator and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) accelerator: Accelerator,
    /// A sentence for the user, with what the probe measured.
    pub(crate) why: String,
}

/// The answers for both architectures. A failure is not kept: QEMU may be installed the next time.
#[derive(Debug)]
pub(crate) struct Accelerations {
    asked: Acceleration,
    amd64: OnceCell<Chosen>,
    arm64: OnceCell<Chosen>,
}

impl Accelerations {
    pub(crate) fn new(asked: Acceleration) -> Self {
        Self {
            asked,
            amd64: OnceCell::new(),
            arm64: OnceCell::new(),
        }
    }

    /// The accelerator for machines of this architecture. The first call may measure for a moment; an error
    /// is in words that follow "the linux/arm64 machine".
    pub(crate) async fn choose(&self, architecture: Architecture) -> Result<Chosen, String> {
        let cell = match architecture {
            Architecture::Amd64 => &self.amd64,
            Architecture::Arm64 => &self.arm64,
        };
        let asked = self.asked;
        let choose = || async move {
            tokio::task::spawn_blocking(move || choose(asked, architecture))
                .await
                .map_err(|error| format!("has no accelerator: {error}"))?
        };
        cell.get_or_try_init(choose).await.cloned()
    }
}

/// What was asked for holds for the host's own architecture; a foreign one can only be emulated.
fn choose(asked: Acceleration, architecture: Architecture) -> Result<Chosen, String> {
    let asked = if Architecture::of_host() == Some(architecture) {
        asked
    } else {
        Acceleration::Auto
    };
    match vmm::choose(asked, architecture) {
        Ok(choice) => Ok(Chosen {
            accelerator: choice.accelerator,
            why: choice.reason,
        }),
        Err(error) => Err(format!("cannot run: {error}")),
    }
}
