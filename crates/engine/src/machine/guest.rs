//! A guest that runs: what the engine asks of it.

use std::sync::Arc;
use std::time::Duration;

use journey::Step;
use protocol::{
    Architecture, Diagnosis, Hello, LONGEST_KERNEL_LOG, LayerExtent, MOST_SIZES, Reply, Request, StartedPart,
    Token,
};
use store::ImageLayer;
use tokio::sync::{RwLockReadGuard, oneshot, watch};
use tracing::Instrument;
use vmm::control::Inspection;

use super::Known;
use super::clock::{self, Clock};
use super::control::{Control, GuestError, Watched};
use super::layers::Layers;
use super::lease::Leases;
use super::process::{Ended, VmmProcess};
use super::sizes::{Counted, ToCount};
use super::streams::{ExpectedStream, Streams};
use crate::time;

/// How long a start may take: mounts, namespaces and a program read from a slow emulated disk.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long any other request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the machine's process may take to tell why the control connection broke.
const REASON_PATIENCE: Duration = Duration::from_secs(3);
/// How long a machine may take to power off once its guest said that it does.
const POWER_OFF_PATIENCE: Duration = Duration::from_secs(10);
/// How long a guest may take to tell how it is. One that is silent is left alone: somebody looks for what is wrong.
const EXAMINATION_PATIENCE: Duration = Duration::from_secs(5);
/// How long the guest may take to count the files of containers and volumes, its own patience with them included.
const COUNT_PATIENCE: Duration = Duration::from_secs(90);
/// Containers that one boot looks after when it throws out what nobody knows any more.
const MOST_UNKNOWN: usize = 8192;
/// Parts of a start that a guest can tell of.
const MOST_PARTS: usize = 16;

/// Names a process in a guest: a container's first one, or that of an exec.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessKey {
    pub(crate) container: String,
    pub(crate) exec: Option<String>,
}

/// How a guest is.
#[derive(Debug)]
pub(crate) struct Examined {
    /// How far the guest's clock is ahead of the host's, in nanoseconds; what the way there and back may have taken is
    /// not counted.
    pub(crate) clock_off_by_ns: i64,
    pub(crate) diagnosis: Diagnosis,
}

/// A booted guest. Dropping the last handle stops its machine at once.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) architecture: Architecture,
    pub(crate) hello: Hello,
    /// From the start of the machine's process until the guest's agent answered, in milliseconds.
    pub(crate) start_ms: u64,
    /// The host's clock when the guest's agent answered, in nanoseconds since the Unix epoch.
    pub(crate) ready_ns: u64,
    control: Control,
    streams: Streams,
    layers: Layers,
    clock: Clock,
    pub(super) leases: Leases,
    process: Arc<VmmProcess>,
    ended: watch::Receiver<Option<Ended>>,
}

/// The parts that a boot has put together.
pub(crate) struct Booted {
    pub(crate) architecture: Architecture,
    pub(crate) hello: Hello,
    pub(crate) start_ms: u64,
    pub(crate) ready_ns: u64,
    pub(crate) control: Control,
    pub(crate) control_gone: oneshot::Receiver<()>,
    pub(crate) streams: Streams,
    pub(crate) process: VmmProcess,
}

impl Guest {
    /// Takes over what a boot has put together.
    pub(crate) fn new(booted: Booted) -> Arc<Self> {
        let process = Arc::new(booted.process);
        let ended = process.ended();
        tokio::spawn(end_without_control(
            booted.control_gone,
            Arc::downgrade(&process),
            ended.clone(),
        ));
        let guest = Arc::new(Self {
            architecture: booted.architecture,
            hello: booted.hello,
            start_ms: booted.start_ms,
            ready_ns: booted.ready_ns,
            control: booted.control,
            streams: booted.streams,
            layers: Layers::default(),
            clock: Clock::told(time::now()),
            leases: Leases::default(),
            process,
            ended: ended.clone(),
        });
        let watching = clock::tell_of_jumps(Arc::downgrade(&guest), ended);
        tokio::spawn(watching.in_current_span());
        guest
    }

    /// Tells the guest what time it is.
    pub(super) fn tell_time(&self) {
        let now = time::now();
        self.clock.tell(now);
        self.tell(Request::SetClock {
            unix_time_ns: u64::try_from(now).unwrap_or_default(),
        });
    }

    /// Whether it can still be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.ended.borrow().is_none() && !self.is_stopping() && !self.control.is_closed()
    }

    /// Whether it is being stopped in an orderly way.
    pub(crate) fn is_stopping(&self) -> bool {
        self.process.expects_end()
    }

    /// Why it ended, in words that follow "the linux/arm64 machine"; `None` while it runs.
    pub(crate) fn end(&self) -> Option<String> {
        let message = self.ended.borrow().as_ref()?.message.clone();
        Some(match self.control.panic() {
            Some(panic) => format!("crashed: its init panicked: {panic}"),
            None => message,
        })
    }

    /// Waits until the machine is gone and tells why.
    pub(crate) async fn wait_end(&self) -> String {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(Option::is_some).await;
        self.end().unwrap_or_else(|| "is gone".to_owned())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// From the kernel's first instruction until the guest's agent answered, in milliseconds.
    pub(crate) fn boot_ms(&self) -> Option<u64> {
        let entered = self.process.entered()?;
        Some(self.ready_ns.saturating_sub(entered) / 1_000_000)
    }

    pub(crate) fn container_count(&self) -> u64 {
        self.control.container_count()
    }

    /// What the machine's process knows of itself, if it says so soon.
    pub(crate) async fn inspect(&self) -> Option<Inspection> {
        tokio::time::timeout(PATIENCE, self.process.inspect())
            .await
            .ok()?
    }

    /// Announces a byte stream.
    pub(crate) fn expect_stream(&self, token: Token) -> ExpectedStream {
        self.streams.expect(token)
    }

    /// Watches a process that is about to be started.
    pub(crate) fn watch(&self, key: ProcessKey) -> Result<Watched, GuestError> {
        self.control.watch(key)
    }

    /// Stops watching a process that was not started.
    pub(crate) fn unwatch(&self, key: &ProcessKey) {
        self.control.unwatch(key);
    }

    /// Keeps layers on the layer disk until the guard is dropped.
    pub(crate) async fn layers_in_use(&self) -> RwLockReadGuard<'_, ()> {
        self.layers.in_use().await
    }

    /// The extents of layers on the layer disk, put there where they are not yet.
    pub(crate) async fn map_layers(&self, layers: &[ImageLayer]) -> Result<Vec<LayerExtent>, String> {
        let begun = journey::begin();
        let fresh = self.layers.missing(layers);
        let mapped = match tokio::time::timeout(PATIENCE, self.layers.map(&self.process, layers)).await {
            Ok(extents) => extents,
            Err(_) => {
                self.process.kill();
                Err("the machine's process did not answer; it was ended".to_owned())
            }
        };
        begun.ended(&mapped, || Step::LayersMapped {
            layers: layers.len(),
            fresh,
        });
        mapped
    }

    /// Takes layers away from the layer disk, except those that a container uses.
    pub(crate) async fn unmap_layers(&self, diff_ids: &[String]) {
        let release = |diff_ids| async {
            match self.request(Request::ReleaseLayers { diff_ids }).await {
                Ok(Reply::Released { diff_ids }) => diff_ids,
                Ok(_) => Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, "layers stay on the layer disk");
                    Vec::new()
                }
            }
        };
        self.layers.unmap(&self.process, diff_ids, release).await;
    }

    /// Starts a container or exec.
    pub(crate) async fn start(&self, request: Request) -> Result<u32, GuestError> {
        self.keep_time();
        match self.request_within(request, START_PATIENCE).await? {
            Reply::Started { pid, parts } => {
                let parts = parts.into_iter().take(MOST_PARTS);
                journey::lasted(parts.map(|StartedPart { part, took_ns }| {
                    (Step::Built { part }, Duration::from_nanos(took_ns))
                }));
                Ok(pid)
            }
            _ => Ok(0),
        }
    }

    /// Starts an exec. One that stands still with its container says nothing, and the machine is well all the same.
    pub(crate) async fn start_exec(&self, request: Request) -> Result<u32, GuestError> {
        self.keep_time();
        match self.request_patiently(request, START_PATIENCE).await? {
            Reply::Started { pid, .. } => Ok(pid),
            _ => Ok(0),
        }
    }

    /// Has the guest tell how it is.
    pub(crate) async fn examine(&self) -> Result<Examined, GuestError> {
        let before = time::now();
        let answer = self
            .control
            .request(Request::Diagnose, EXAMINATION_PATIENCE, || false);
        let mut diagnosis = match answer.await? {
            Reply::Diagnosis(diagnosis) => *diagnosis,
            _ => return Err(GuestError::Gone),
        };
        diagnosis.kernel_log = log_of(&diagnosis.kernel_log);
        let guest = i64::try_from(diagnosis.unix_time_ns).unwrap_or(i64::MAX);
        Ok(Examined {
            clock_off_by_ns: off_by(before, guest, time::now()),
            diagnosis,
        })
    }

    /// Tells the guest the time, if that is long ago: what starts in it is to find it right.
    fn keep_time(&self) {
        if self.clock.is_due(time::now()) {
            self.tell_time();
        }
    }

    /// Asks the guest for something that is done soon.
    pub(crate) async fn request(&self, request: Request) -> Result<Reply, GuestError> {
        self.request_within(request, PATIENCE).await
    }

    /// Asks the guest for something that takes as long as somebody else lets it take.
    pub(crate) async fn request_patiently(
        &self,
        request: Request,
        patience: Duration,
    ) -> Result<Reply, GuestError> {
        self.control
            .request(request, patience, || self.is_excused())
            .await
    }

    /// Whether the guest waits for room on the disk of the host.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.process.waits_for_room()
    }

    /// Whether a guest that does not answer cannot help it. One that is to stop has no excuse.
    fn is_excused(&self) -> bool {
        self.waits_for_room() && !self.is_stopping()
    }

    async fn request_within(&self, request: Request, patience: Duration) -> Result<Reply, GuestError> {
        let result = self.request_patiently(request, patience).await;
        if let Err(GuestError::Silent(_)) = &result {
            tracing::error!(architecture = %self.architecture, "the guest does not answer: its machine is ended");
            self.process.kill();
        }
        result
    }

    /// Has the guest throw out what it keeps of a container. If it cannot be told now, the next boot does it.
    pub(crate) fn forget(&self, container: &str) {
        self.tell(Request::Remove {
            container: container.to_owned(),
        });
    }

    /// Asks for something whose outcome is of no interest. Requests are done in their order.
    pub(crate) fn tell(&self, request: Request) {
        self.control.tell(request);
    }

    /// Has the guest throw out what it keeps of containers and volumes that do not exist any more.
    pub(crate) fn forget_unknown(self: &Arc<Self>, known: &Known) {
        let containers = self.hello.containers.iter().take(MOST_UNKNOWN).cloned();
        let containers = containers
            .filter(|container| !(known.container)(container))
            .map(|container| Request::Remove { container });
        let volumes = self.hello.volumes.iter().take(MOST_UNKNOWN).cloned();
        let volumes = volumes
            .filter(|volume| !(known.volume)(volume))
            .map(|volume| Request::RemoveVolume { volume });
        let unknown: Vec<Request> = containers.chain(volumes).collect();
        if unknown.is_empty() {
            return;
        }
        let guest = self.clone();
        tokio::spawn(async move {
            for request in unknown {
                if guest.request(request).await.is_err() {
                    return;
                }
            }
        });
    }

    /// How much containers and volumes hold on the data disk.
    pub(crate) async fn count(&self, wanted: &ToCount) -> Result<Counted, GuestError> {
        let mut counted = Counted::default();
        let mut containers = wanted.containers.chunks(MOST_SIZES);
        let mut volumes = wanted.volumes.chunks(MOST_SIZES);
        loop {
            let (containers, volumes) = match (containers.next(), volumes.next()) {
                (None, None) => return Ok(counted),
                (containers, volumes) => (containers.unwrap_or_default(), volumes.unwrap_or_default()),
            };
            let request = Request::Sizes {
                containers: containers.to_vec(),
                volumes: volumes.to_vec(),
            };
            // An answer that is too short tells nothing of the rest.
            if let Reply::Sizes(sizes) = self.request_patiently(request, COUNT_PATIENCE).await? {
                counted
                    .containers
                    .extend(containers.iter().cloned().zip(sizes.containers));
                counted.volumes.extend(volumes.iter().cloned().zip(sizes.volumes));
            }
        }
    }

    /// From here on the guest is being stopped in an orderly way. Whether it could still be used before.
    pub(crate) fn begin_stop(&self) -> bool {
        let alive = self.is_alive();
        self.process.expect_end();
        alive
    }

    /// Stops the guest in an orderly way, and the hard way if it does not. Whether it went as it should.
    pub(crate) async fn shutdown(&self) -> bool {
        self.begin_stop();
        if self.request(Request::Shutdown).await.is_ok() && self.ended_within(POWER_OFF_PATIENCE).await {
            return true;
        }
        self.process.stop().await;
        if !self.ended_within(POWER_OFF_PATIENCE).await {
            self.process.kill();
            self.wait_end().await;
        }
        false
    }

    async fn ended_within(&self, patience: Duration) -> bool {
        let mut ended = self.ended.clone();
        tokio::time::timeout(patience, ended.wait_for(Option::is_some))
            .await
            .is_ok()
    }
}

/// A guest's log as a host can show it: lines of printable characters, and no more than was agreed on.
fn log_of(text: &str) -> String {
    let printable = |character: char| character == '\n' || !character.is_control();
    let text: String = text.chars().filter(|character| printable(*character)).collect();
    let from = text.len().saturating_sub(LONGEST_KERNEL_LOG);
    let from = (from..=text.len()).find(|from| text.is_char_boundary(*from));
    from.and_then(|from| text.get(from..))
        .unwrap_or_default()
        .to_owned()
}

/// How far a clock is off that was read between two moments.
fn off_by(before: i64, read: i64, after: i64) -> i64 {
    if read < before {
        read.saturating_sub(before)
    } else {
        read.saturating_sub(after).max(0)
    }
}

/// A guest without its control connection is of no use: its machine says why within a moment, or is ended.
async fn end_without_control(
    gone: oneshot::Receiver<()>,
    process: std::sync::Weak<VmmProcess>,
    mut ended: watch::Receiver<Option<Ended>>,
) {
    let _ = gone.await;
    let told = tokio::time::timeout(REASON_PATIENCE, ended.wait_for(Option::is_some)).await;
    if told.is_err()
        && let Some(process) = process.upgrade()
    {
        process.kill();
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(150, 0)]
    #[case(100, 0)]
    #[case(40, -60)]
    #[case(260, 60)]
    fn a_clock_is_off_by_what_the_way_to_it_does_not_explain(#[case] read: i64, #[case] off: i64) {
        assert_eq!(off_by(100, read, 200), off);
    }

    #[test]
    fn a_guests_log_cannot_steer_a_terminal_and_has_a_bound() {
        assert_eq!(log_of("a\u{1b}[31mb\nc\r\n"), "a[31mb\nc\n");
        let long = "é".repeat(LONGEST_KERNEL_LOG);
        let cut = log_of(&long);
        assert!(cut.len() <= LONGEST_KERNEL_LOG && cut.starts_with('é'));
    }
}
