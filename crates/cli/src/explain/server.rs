//! What client and server are, as far as the service tells.

use engine::{Accelerator, Architecture, MachineState};
use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, Target};
use crate::failure::{Failure, Result};
use crate::sys;

/// What of a machine's report explains the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Machine {
    pub(crate) architecture: Architecture,
    pub(crate) state: MachineState,
    pub(crate) accelerator: Option<Accelerator>,
    /// Why this accelerator, in the service's own words.
    #[serde(default)]
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) cpus: u32,
    #[serde(default)]
    pub(crate) memory_mib: u32,
    pub(crate) kernel_release: Option<String>,
    pub(crate) boot_ms: Option<u64>,
    pub(crate) start_ms: Option<u64>,
    #[serde(default)]
    pub(crate) containers: u64,
}

/// Client and server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Server {
    /// The client's system as Docker names it: `linux`, `darwin` or `windows`.
    pub(crate) client_os: &'static str,
    /// The processor of the client's computer, if it is one that sampan knows.
    pub(crate) client_architecture: Option<Architecture>,
    pub(crate) address: String,
    /// How long it took to ask, in nanoseconds.
    pub(crate) asked_ns: i64,
    pub(crate) machine: Machine,
}

impl Server {
    /// Asks the service.
    pub(crate) async fn ask(client: &Client) -> Result<Self, ClientError> {
        let begun = journey::now_ns();
        let machine = client
            .get(&Target::new(&["sampan", "machines", "default", "json"]))
            .await?;
        Ok(Self {
            client_os: sys::OS,
            client_architecture: Architecture::of_host(),
            address: client.host().transport.address(),
            asked_ns: journey::now_ns().saturating_sub(begun),
            machine,
        })
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Failure::new(error.to_string()))
    }
}
