//! QEMU as a child process.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use devices::console::ConsoleTail;
use protocol::Architecture;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::arguments::{Device, Kind, POWERED_OFF, arguments};
use super::qmp::{Shutdown, follow};
use super::sys::die_with_parent;
use super::tsc::Watch;
use crate::acceleration::find_qemu;
use crate::console::Console;
use crate::control::{Inspection, StopReason};
use crate::machine::{EventSink, Machine, Parts, StartError};
use crate::vhost_user::{self, Served};

/// Lines of QEMU's own messages that are told when it ends unexpectedly.
const MESSAGES: usize = 10;

/// An emulated machine.
struct Emulated {
    process: OwnedFd,
    pid: u32,
    asked: Arc<AtomicBool>,
    devices: Vec<(String, Served)>,
    console: Arc<Console>,
    /// Waits for QEMU's end and tells it.
    waiter: Option<JoinHandle<()>>,
}

/// Starts QEMU and the service of its devices. The guest runs as soon as QEMU has set itself up. The calling thread
/// must live as long as the machine: QEMU ends with it.
pub(crate) fn start(parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    let Parts {
        config,
        devices,
        console,
        events,
    } = parts;
    let architecture = config.architecture;
    let watch = (architecture == Architecture::Amd64).then(Watch::start).flatten();
    let program = find_qemu(architecture).ok_or_else(|| {
        let name = architecture.kernel_name();
        StartError::new(format!(
            "an emulated machine needs QEMU, and qemu-system-{name} is not in PATH: install it"
        ))
    })?;
    let host = |error: io::Error| StartError::new(format!("the emulated machine cannot be set up: {error}"));
    let mut served = Vec::with_capacity(devices.len());
    let mut inherited = Vec::with_capacity(devices.len() + 1);
    let mut front_ends = Vec::with_capacity(devices.len());
    for named in devices {
        let kind = Kind::of(named.device.device_type())
            .ok_or_else(|| StartError::new(format!("QEMU has no side of the device {}", named.name)))?;
        let (ours, theirs) = UnixStream::pair().map_err(host)?;
        front_ends.push(Device {
            descriptor: theirs.as_raw_fd(),
            kind,
        });
        inherited.push(theirs);
        let device = vhost_user::serve(&named.name, named.device, ours).map_err(host)?;
        served.push((named.name, device));
    }
    let (qmp, theirs) = UnixStream::pair().map_err(host)?;
    let counter = watch.and_then(Watch::khz);
    let arguments = arguments(&config, &front_ends, theirs.as_raw_fd(), counter);
    inherited.push(theirs);
    // This process starts no other, so nobody else inherits them in between.
    for socket in &inherited {
        fcntl_setfd(socket, FdFlags::empty()).map_err(|error| host(error.into()))?;
    }

    let mut command = Command::new(&program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    die_with_parent(&mut command);
    let child = command.spawn().map_err(|error| {
        StartError::new(format!("QEMU ({}) cannot be started: {error}", program.display()))
    })?;
    drop(inherited);
    let pid = child.id();
    let process = open_process(pid).map_err(host)?;
    let asked = Arc::new(AtomicBool::new(false));
    let waiter = Waiter {
        child,
        qmp,
        console: console.clone(),
        events,
        asked: asked.clone(),
    };
    let waiter = waiter.spawn().map_err(host)?;
    Ok(Box::new(Emulated {
        process,
        pid,
        asked,
        devices: served,
        console,
        waiter: Some(waiter),
    }))
}

fn open_process(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

impl Machine for Emulated {
    fn inspect(&self) -> Inspection {
        let interrupts =
            |(name, device): &(String, Served)| (format!("interrupts of {name}"), device.interrupts());
        Inspection {
            devices: Vec::new(),
            exits: self.devices.iter().map(interrupts).collect(),
            helpers: vec![self.pid],
            console_tail: self.console.tail(),
        }
    }

    fn stop(&mut self) {
        self.asked.store(true, Ordering::SeqCst);
        // Fails when QEMU has ended already.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        if let Some(waiter) = self.waiter.take()
            && waiter.join().is_err()
        {
            tracing::error!("the thread that waits for QEMU panicked");
        }
        self.devices.clear();
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What it takes to tell how QEMU ended.
struct Waiter {
    child: Child,
    qmp: UnixStream,
    console: Arc<Console>,
    events: EventSink,
    asked: Arc<AtomicBool>,
}

impl Waiter {
    fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        let output = self.child.stdout.take();
        let messages = self.child.stderr.take();
        let console = self.console.clone();
        let console = pump("console", output, move |bytes| console.write(bytes))?;
        let errors = ConsoleTail::new();
        let tail = errors.clone();
        let messages = pump("qemu messages", messages, move |bytes| tail.push(bytes))?;
        Builder::new().name("qemu".into()).spawn(move || {
            let entered = self.events.clone();
            let shutdown = follow(&self.qmp, || entered.entered()).unwrap_or_default();
            let status = self.child.wait();
            // The pipes end with QEMU, and the guest's last words count.
            for thread in [console, messages] {
                let _ = thread.join();
            }
            self.events.stopped(self.reason(shutdown, status, &errors));
        })
    }

    fn reason(
        &self,
        shutdown: Option<Shutdown>,
        status: io::Result<ExitStatus>,
        errors: &ConsoleTail,
    ) -> StopReason {
        let powered_off = matches!(&status, Ok(status) if status.code() == Some(POWERED_OFF));
        let console_tail = self.console.tail();
        match shutdown {
            _ if self.asked.load(Ordering::SeqCst) => StopReason::Asked,
            Some(Shutdown::PoweredOff) => StopReason::PoweredOff,
            _ if powered_off => StopReason::PoweredOff,
            Some(Shutdown::Reset) => StopReason::Reset { console_tail },
            Some(Shutdown::Other) | None => {
                let status = match status {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                };
                let said = errors.tail(MESSAGES).join("; ");
                let said = if said.is_empty() {
                    "it said nothing".into()
                } else {
                    format!("it said: {said}")
                };
                StopReason::Failed {
                    message: format!("QEMU ended unexpectedly ({status}); {said}"),
                    console_tail,
                }
            }
        }
    }
}

/// Reads a pipe to its end on a thread of its own.
fn pump(
    name: &str,
    source: Option<impl Read + Send + 'static>,
    take: impl Fn(&[u8]) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.into()).spawn(move || {
        let Some(mut source) = source else { return };
        let mut buffer = [0; 4096];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => take(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}
