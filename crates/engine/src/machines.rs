//! What a user asks of machines: start, stop, inspect.

use protocol::Architecture;

use crate::engine::Engine;
use crate::error::Result;
use crate::types::MachineReport;

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
            .machine(architecture.unwrap_or(self.inner.config.architecture))
            .stop()
            .await;
        Ok(())
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
