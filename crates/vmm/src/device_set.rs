//! The devices that every machine has, in the order in which its guest finds them.
//!
//! A network device comes last, once a machine has a network to give it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use devices::VirtioDevice;
use devices::blk::{Blk, FileDisk, Layers};
use devices::rng::Rng;
use devices::vsock::Vsock;

use crate::control::MachineConfig;
use crate::machine::{EventSink, NamedDevice, StartError};

/// The guest's address on its vsock. It is alone there, so every machine has the same.
const GUEST_CID: u64 = 3;

/// Opens the data disk and the vsock's sockets, and makes the devices.
pub(crate) fn machine_devices(
    config: &MachineConfig,
    layers: &Layers,
    events: &EventSink,
) -> Result<Vec<NamedDevice>, StartError> {
    let layer_disk = Blk::new("layers", Arc::new(layers.disk()));
    let sink = events.clone();
    let data_disk = Blk::new("data", Arc::new(open_data_disk(&config.data_disk)?))
        .waiting_for_room(Arc::new(move |full| sink.host_disk(full)));
    let vsock = Vsock::new(GUEST_CID, &config.directory).map_err(|error| {
        let directory = config.directory.display();
        StartError::new(format!(
            "the machine's sockets cannot be made in {directory}: {error}"
        ))
    })?;
    Ok(vec![
        named("blk layers", layer_disk),
        named("blk data", data_disk),
        named("vsock", vsock),
        named("rng", Rng::new()),
    ])
}

fn named(name: &str, device: impl VirtioDevice + 'static) -> NamedDevice {
    NamedDevice {
        name: name.into(),
        device: Box::new(device),
    }
}

fn open_data_disk(path: &Path) -> Result<FileDisk, StartError> {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .and_then(|file| FileDisk::new(file, false))
        .map_err(|error| {
            StartError::new(format!(
                "the data disk {} cannot be used: {error}",
                path.display()
            ))
        })
}
