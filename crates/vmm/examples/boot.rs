//! Boots a kernel and an initramfs in a machine of the host's own hypervisor, shows its console, and says when and
//! why it ended: by itself, or because sampan's init said that it is ready.
//!
//! `boot KERNEL INITRAMFS [CPUS [MIB [WORD OF THE COMMAND LINE]…]]`

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use devices::blk::Layers;
use protocol::Architecture;
use vmm::console::Console;
use vmm::control::{Accelerator, Event, MachineConfig};
use vmm::machine::{self, EventSink, Parts};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = |name: &str| words.next().ok_or(format!("no {name} given"));
    let (kernel, initramfs) = (word("kernel")?, word("initramfs")?);
    let cpus = word("").map_or(Ok(1), |cpus| cpus.parse())?;
    let memory_mib = word("").map_or(Ok(256), |size| size.parse())?;
    let command_line = words.collect::<Vec<_>>().join(" ");

    let directory = std::env::temp_dir().join(format!("boot-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let data_disk = directory.join("data.img");
    File::create(&data_disk)?.set_len(64 << 20)?;
    let config = MachineConfig {
        id: "boot".into(),
        architecture: Architecture::of_host().ok_or("an unknown processor")?,
        accelerator: Accelerator::Kvm,
        cpus,
        memory_mib,
        kernel: kernel.into(),
        initramfs: initramfs.into(),
        verbose_console: !command_line.contains("quiet"),
        command_line,
        directory: directory.clone(),
        data_disk,
    };

    let begin = Instant::now();
    let (sender, events) = mpsc::channel();
    let ready = sender.clone();
    let sink = EventSink::new(move |event| {
        let _ = sender.send((Instant::now(), Some(event)));
    });
    let control = UnixListener::bind(directory.join("vsock_1024"))?;
    std::thread::spawn(move || {
        let (mut connection, _) = control.accept()?;
        connection.read_exact(&mut [0])?;
        let _ = ready.send((Instant::now(), None));
        Ok::<_, std::io::Error>(connection)
    });
    let console = Arc::new(Console::with_log(Path::new("/dev/stdout"))?);
    let mut machine = machine::start(Parts::new(config, console, sink, &Layers::new())?)?;
    let mut entered = begin;
    for (at, event) in events {
        let what = event
            .as_ref()
            .map_or("the guest is ready".into(), |event| format!("{event:?}"));
        println!(
            "[{:?} after the start, {:?} after entry] {what}",
            at - begin,
            at - entered
        );
        match event {
            Some(Event::Entered { .. }) => entered = at,
            _ => break,
        }
    }
    let exits = machine.inspect().exits;
    machine.stop();
    println!("{exits:?}");
    Ok(std::fs::remove_dir_all(directory)?)
}
