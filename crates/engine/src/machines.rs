//! What a user asks of machines: start, stop, inspect.

use protocol::Architecture;

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::types::{MachineDiagnosis, MachineReport};

impl Engine {
    /// Boots a machine, the default one where none is named. Returns once its agent answered; a running one
    /// is no error.
    pub async fn machine_start(&self, architecture: Option<Architecture>) -> Result<MachineReport> {
        let machine = self
            .inner
            .machine(architecture.unwrap_or(self.inner.config.architecture));
        machine.guest().await?;
        Ok(machine.report().await)
    }

    /// Stops a machine and every container in it. Returns once it is powered off; a stopped one is no error.
    pub async fn machine_stop(&self, architecture: Option<Architecture>) -> Result<()> {
        self.inner
            .stop_machine(architecture.unwrap_or(self.inner.config.architecture))
            .await;
        Ok(())
    }

    /// What the guest of a running machine says of itself. Boots nothing.
    pub async fn machine_diagnosis(&self, architecture: Option<Architecture>) -> Result<MachineDiagnosis> {
        let machine = self
            .inner
            .machine(architecture.unwrap_or(self.inner.config.architecture));
        let guest = machine
            .running()
            .ok_or_else(|| EngineError::Conflict(machine.error("is not running").to_string()))?;
        let examined = guest
            .examine()
            .await
            .map_err(|error| machine.error(format!("does not tell how it is: {error}")))?;
        Ok(MachineDiagnosis {
            architecture: machine.architecture(),
            clock_off_by_ms: examined.clock_off_by_ns / 1_000_000,
            disk_bytes: examined.diagnosis.disk_bytes,
            disk_free: examined.diagnosis.disk_free,
            kernel_log: examined.diagnosis.kernel_log,
        })
    }

    /// What is known of a machine. Boots nothing; may measure the hypervisor for a moment.
    pub async fn machine_inspect(&self, architecture: Option<Architecture>) -> Result<MachineReport> {
        Ok(self
            .inner
            .machine(architecture.unwrap_or(self.inner.config.architecture))
            .report()
            .await)
    }
}
