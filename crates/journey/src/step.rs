//! The steps that are told. They are data, without words: a client tells them in its person's language.

use protocol::StartPart;
use serde::{Deserialize, Serialize};

/// One thing that was done. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The client started the service, which nobody served at this address.
    ServiceStarted { address: String },
    /// The client reached the service.
    Connected { address: String },
    /// The API answered a request; what streams on after the answer's head is no part of it.
    Request {
        method: String,
        path: String,
        status: u16,
    },

    /// The engine looked an image up among those that are here.
    ImageLookup {
        image: String,
        /// Its ID and the number of its layers.
        found: Option<(String, usize)>,
    },
    /// A container has a record; `promised` says whether that was written to disk before anything else.
    ContainerRecorded {
        id: String,
        name: String,
        promised: bool,
    },

    /// A registry was asked for a name's manifest.
    Resolved {
        registry: String,
        image: String,
        digest: String,
    },
    /// The name led to a list of images for so many platforms, of which one was chosen.
    PlatformChosen {
        platform: String,
        offered: usize,
        digest: String,
    },
    /// The image's configuration came.
    ConfigRead { digest: String, layers: usize },
    /// A layer was downloaded, verified and converted.
    LayerPulled { digest: String, bytes: u64 },
    /// A layer that was here already.
    LayerKept { digest: String },
    /// The image and its names are in the database.
    ImageRecorded { id: String },

    /// What runs the machine was found out.
    AcceleratorChosen { name: String, why: String },
    /// The machine's folder and its data disk were prepared.
    DiskPrepared,
    /// A machine was booted, from the start of its process to the first word of its agent.
    Booted {
        architecture: String,
        accelerator: String,
        cpus: u32,
        memory_mib: u32,
        kernel: String,
        /// What the guest's kernel and init took of it by the guest's own clock.
        guest_ms: u64,
    },
    /// The machine ran already.
    MachineRan { architecture: String, kernel: String },
    /// Another command was booting the machine.
    MachineAwaited { architecture: String },

    /// The image's layers are on the machine's layer disk.
    LayersMapped { layers: usize, fresh: usize },
    /// The container has its addresses.
    Wired { network: String, addresses: Vec<String> },
    /// A part of what the guest did to start a container.
    Built { part: StartPart },
    /// The guest was asked to start the container, and did.
    Started { pid: u32 },
    /// It is on disk that the container runs.
    RunRecorded,

    /// The container's first process ran.
    Ran { exit_code: i64, out_of_memory: bool },
    /// The last of its output was handed on.
    OutputDrained,
    /// The container was removed after its run.
    Removed { id: String },

    /// A step of a newer service.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_a_newer_service_is_read_as_unknown() {
        let step: Step = serde_json::from_str(r#"{"step":"teleported","to":"moon"}"#).unwrap();
        assert_eq!(step, Step::Unknown);
    }

    #[test]
    fn a_step_survives_its_way_as_json() {
        let step = Step::ImageLookup {
            image: "alpine".to_owned(),
            found: Some(("abc".to_owned(), 2)),
        };
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    }
}
