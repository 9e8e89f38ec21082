//! The thread of one vCPU.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

use hypervisor::{Entry, Error, Exit, Kick, Start, Vcpu, Vm};

use super::Buses;
use super::lifecycle::{End, Lifecycle};
use crate::machine::StartError;

/// How often vCPUs came back, by reason.
#[derive(Default)]
pub(super) struct Counters {
    port_reads: AtomicU64,
    port_writes: AtomicU64,
    mmio_reads: AtomicU64,
    mmio_writes: AtomicU64,
    interrupts: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Vec<(String, u64)> {
        let counters = [
            ("port read", &self.port_reads),
            ("port write", &self.port_writes),
            ("mmio read", &self.mmio_reads),
            ("mmio write", &self.mmio_writes),
            ("interrupted", &self.interrupts),
        ];
        counters
            .map(|(name, counter)| (name.into(), counter.load(Ordering::Relaxed)))
            .into()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the thread works with.
pub(super) struct Thread {
    pub(super) index: u32,
    pub(super) vm: Arc<dyn Vm>,
    pub(super) buses: Arc<Buses>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) counters: Arc<Counters>,
}

impl Thread {
    /// The thread makes its vCPU, sends the handle to interrupt it, and waits for its start; a sender that is
    /// dropped ends it.
    pub(super) fn spawn(
        self,
        made: Sender<Result<Arc<dyn Kick>, Error>>,
        starts: Receiver<Start>,
    ) -> Result<JoinHandle<()>, StartError> {
        let name = format!("vcpu{}", self.index);
        let body = move || {
            let mut vcpu = match self.vm.create_vcpu(self.index) {
                Ok(vcpu) => vcpu,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            let _ = made.send(Ok(vcpu.kicker()));
            drop(made);
            let Ok(start) = starts.recv() else { return };
            if let Err(error) = vcpu.start(&start) {
                return self.lifecycle.end(End::Failed(error.to_string()));
            }
            if start != Start::Parked {
                self.lifecycle.entered();
            }
            self.run(vcpu.as_mut());
        };
        let no_thread =
            |error: io::Error| StartError::new(format!("the host has no thread for a vCPU: {error}"));
        thread::Builder::new().name(name).spawn(body).map_err(no_thread)
    }

    /// Executes the guest until the machine ends.
    fn run(&self, vcpu: &mut dyn Vcpu) {
        let Buses { memory, ports } = self.buses.as_ref();
        let mut entry = Entry::Resume;
        while !self.lifecycle.ended() {
            match vcpu.run(std::mem::replace(&mut entry, Entry::Resume)) {
                Exit::MmioWrite { address, size, value } => {
                    count(&self.counters.mmio_writes);
                    memory.write(address, size, value);
                }
                Exit::MmioRead { address, size } => {
                    count(&self.counters.mmio_reads);
                    entry = Entry::Value(memory.read(address, size));
                }
                Exit::IoWrite { port, size, value } => {
                    count(&self.counters.port_writes);
                    ports.write(port.into(), size, value.into());
                }
                Exit::IoRead { port, size } => {
                    count(&self.counters.port_reads);
                    entry = Entry::Value(ports.read(port.into(), size));
                }
                Exit::Interrupted => count(&self.counters.interrupts),
                Exit::Shutdown => self.lifecycle.end(End::PowerOff),
                Exit::Reset => self.lifecycle.end(End::Reset),
                Exit::Halted => {
                    self.lifecycle.end(End::Failed("a vCPU halted for good".into()));
                }
                Exit::Failed { message } => self.lifecycle.end(End::Failed(message)),
            }
        }
    }
}
