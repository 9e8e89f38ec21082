//! The running containers, as PID 1 knows them: a shim each, the layers they use, and the requests that wait
//! for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::{
    ContainerSpec, Event, ExitStatus, FailureKind, FileJob, FromGuest, FromHost, LayerExtent, Reply, Request,
    StartPart, View,
};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::SHIMS;
use crate::boot::{Disk, clock};
use crate::channel::Channel;
use crate::container::cgroup::Cgroup;
use crate::container::device_filter;
use crate::failure::{Context, Outcome, failure, invalid};
use crate::files::{self, Place, Work};
use crate::layers::Layers;
use crate::shim::{self, Launch, Stopwatch};
use crate::sys;
use crate::sys::process::Forked;

/// Bytes that may wait for a shim that does not read.
const SHIM_BACKLOG: usize = 4 << 20;

/// A container with a living shim.
struct Running {
    id: String,
    shim: i32,
    channel: Channel,
    layers: Vec<LayerExtent>,
    /// The request that started it.
    start: u64,
    /// Its first process, once that has executed its program.
    first: Option<u32>,
    /// Requests that its shim has to answer.
    waiting: BTreeSet<u64>,
}

impl Running {
    /// This failure for every request that waits.
    fn unanswered(&self, kind: FailureKind, text: &str) -> impl Iterator<Item = FromGuest> {
        self.waiting.iter().map(move |&id| FromGuest::Reply {
            id,
            result: Err(failure(kind, text)),
        })
    }
}

/// A container whose shim died and whose processes are being killed.
struct Lost {
    id: String,
    layers: Vec<LayerExtent>,
    /// Whether the host was told that it runs.
    was_started: bool,
}

/// A process that works on a container's files.
struct Visit {
    container: String,
    /// Names the process, and no other that gets its number later.
    process: OwnedFd,
    channel: Channel,
    layers: Vec<LayerExtent>,
    request: u64,
    answered: bool,
}

/// All of them.
pub(super) struct Containers {
    pub(super) layers: Layers,
    problem: Option<String>,
    device_rules: Option<OwnedFd>,
    running: BTreeMap<u64, Running>,
    visits: BTreeMap<u64, Visit>,
    lost: Vec<Lost>,
    next_key: u64,
    /// Whether shims are not listened to for now.
    held_back: bool,
}

/// Refuses what is no container ID before it becomes part of a path.
pub(super) fn check_id(id: &str) -> Outcome<()> {
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(invalid(format!(
        "{id:?} is no container ID (64 hexadecimal digits)"
    )))
}

impl Containers {
    pub(super) fn new(layer_disk: Option<Disk>, problem: Option<String>) -> Self {
        Self {
            layers: Layers::new(layer_disk),
            problem,
            device_rules: None,
            running: BTreeMap::new(),
            visits: BTreeMap::new(),
            lost: Vec::new(),
            next_key: SHIMS,
            held_back: false,
        }
    }

    /// Whether no container is left, in whatever state.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.lost.is_empty()
    }

    /// Whether a container of this ID is running or being buried.
    pub(super) fn is_known(&self, id: &str) -> bool {
        self.key_of(id).is_some() || self.lost.iter().any(|lost| lost.id == id)
    }

    fn key_of(&self, id: &str) -> Option<u64> {
        self.running
            .iter()
            .find(|(_, running)| running.id == id)
            .map(|(&key, _)| key)
    }

    /// Loads the device rules that all containers without devices of their own share, while the machine waits
    /// for the host anyway. A failure shows at the first start.
    pub(super) fn load_device_rules(&mut self) {
        self.device_rules = device_filter::load(&[]).ok();
    }

    /// Forks a shim that starts a container and answers the request.
    pub(super) fn start(&mut self, epoll: &OwnedFd, request: u64, spec: ContainerSpec) -> Outcome<()> {
        check_id(&spec.id)?;
        if let Some(problem) = &self.problem {
            return Err(failure(
                FailureKind::Internal,
                format!("the machine runs no containers: {problem}"),
            ));
        }
        if self.is_known(&spec.id) {
            let text = format!("container {} is running already", spec.id);
            return Err(failure(FailureKind::AlreadyRunning, text));
        }
        let rules = match &self.device_rules {
            Some(rules) => rules.try_clone().context(|| "the device rules".to_owned())?,
            None => device_filter::load(&[])?,
        };
        let mut stopwatch = Stopwatch::start();
        self.end_visits(&spec.id);
        let lower = self.layers.acquire(&spec.layers)?;
        stopwatch.lap(StartPart::Layers);
        let result = self.launch(epoll, request, &spec, &lower, &rules, stopwatch);
        if result.is_err() {
            self.layers.put_back(&spec.layers);
        }
        result
    }

    fn launch(
        &mut self,
        epoll: &OwnedFd,
        request: u64,
        spec: &ContainerSpec,
        lower: &[String],
        device_rules: &OwnedFd,
        stopwatch: Stopwatch,
    ) -> Outcome<()> {
        let what = || format!("container {} could not be started", spec.id);
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .context(what)?;
        let neighbours = self
            .running
            .values()
            .filter_map(|running| Some((running.id.clone(), running.first?)))
            .collect();
        let key = self.next_key;
        let flags = if self.held_back {
            EventFlags::empty()
        } else {
            EventFlags::IN
        };
        epoll::add(epoll, &ours, EventData::new_u64(key), flags).context(what)?;
        let shim = match sys::process::fork().context(what)? {
            Forked::Child => {
                let launch = Launch {
                    neighbours: &neighbours,
                    spec,
                    request,
                    lower,
                    device_rules,
                    stopwatch,
                };
                shim::run(launch, theirs)
            }
            Forked::Parent { pid } => pid,
        };
        self.next_key = key.saturating_add(1);
        let running = Running {
            id: spec.id.clone(),
            shim,
            channel: Channel::new(ours),
            layers: spec.layers.clone(),
            start: request,
            first: None,
            waiting: BTreeSet::from([request]),
        };
        self.running.insert(key, running);
        Ok(())
    }

    /// Forks a process that works on a container's files and answers the request.
    pub(super) fn visit(
        &mut self,
        epoll: &OwnedFd,
        request: u64,
        id: &str,
        view: Option<&View>,
        job: &FileJob,
    ) -> Outcome<()> {
        check_id(id)?;
        let running = self.running.values().find(|running| running.id == id);
        let (kind, layers) = match (running, view) {
            (Some(running), _) => {
                let process = running.first.ok_or_else(|| {
                    failure(
                        FailureKind::NotRunning,
                        format!("container {id} is not running yet"),
                    )
                })?;
                (
                    files::Kind::Running(files::namespace_of(process)?),
                    running.layers.clone(),
                )
            }
            (None, Some(view)) => (files::Kind::Stopped(view), view.layers.clone()),
            (None, None) => {
                let text = format!("container {id} is not running");
                return Err(failure(FailureKind::NotRunning, text));
            }
        };
        if view.is_some() && running.is_none() {
            // Whoever waited for another one has gone away.
            self.end_visits(id);
        }
        let lower = self.layers.acquire(&layers)?;
        let place = Place::new(id, &lower, kind);
        let work = Work { request, place, job };
        self.errand(epoll, request, id, layers, |socket| files::run(&work, socket))
    }

    /// Forks a process that answers a request by itself: what it looks at is a container's, and may be slow, endless or
    /// wrong.
    pub(super) fn errand(
        &mut self,
        epoll: &OwnedFd,
        request: u64,
        container: &str,
        layers: Vec<LayerExtent>,
        work: impl FnOnce(OwnedFd),
    ) -> Outcome<()> {
        let forked = self.fork_errand(epoll, work);
        let (key, process, ours) = match forked {
            Ok(forked) => forked,
            Err(failure) => {
                self.layers.put_back(&layers);
                return Err(failure);
            }
        };
        let visit = Visit {
            container: container.to_owned(),
            process,
            channel: Channel::new(ours),
            layers,
            request,
            answered: false,
        };
        self.visits.insert(key, visit);
        Ok(())
    }

    fn fork_errand(
        &mut self,
        epoll: &OwnedFd,
        work: impl FnOnce(OwnedFd),
    ) -> Outcome<(u64, OwnedFd, OwnedFd)> {
        let what = || "a process for the request could not be made".to_owned();
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .context(what)?;
        let key = self.next_key;
        epoll::add(epoll, &ours, EventData::new_u64(key), EventFlags::IN).context(what)?;
        let forked = match sys::process::fork().context(what)? {
            Forked::Child => {
                work(theirs);
                sys::process::exit_now(0)
            }
            Forked::Parent { pid } => pid,
        };
        self.next_key = key.saturating_add(1);
        let process = Pid::from_raw(forked)
            .ok_or_else(|| failure(FailureKind::Internal, "fork"))
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).context(what));
        if process.is_err() {
            let _ = sys::signal::send(forked, libc::SIGKILL);
        }
        Ok((key, process?, ours))
    }

    /// Ends what still works on the files of a container that is about to start or to go: nobody waits for it any more,
    /// and an upper directory is in one overlay at a time.
    pub(super) fn end_visits(&mut self, id: &str) {
        let stale: Vec<u64> = self
            .visits
            .iter()
            .filter(|(_, visit)| visit.container == id)
            .map(|(&key, _)| key)
            .collect();
        for visit in stale.into_iter().filter_map(|key| self.visits.remove(&key)) {
            let _ = sys::process::send_signal(&visit.process, libc::SIGKILL);
            // One that was reaped before is no child any more.
            let _ = waitid(WaitId::PidFd(visit.process.as_fd()), WaitIdOptions::EXITED);
            self.layers.put_back(&visit.layers);
        }
    }

    /// Hears what a visit has to say. `None` is a key of no visit.
    pub(super) fn hear_visit(&mut self, key: u64) -> Option<Vec<FromGuest>> {
        let visit = self.visits.get_mut(&key)?;
        let alive = visit.channel.fill().unwrap_or(false);
        let mut messages = Vec::new();
        while let Some(message) = visit.channel.next().ok().flatten() {
            visit.answered = true;
            messages.push(message);
        }
        if !alive && let Some(visit) = self.visits.remove(&key) {
            self.layers.put_back(&visit.layers);
            if !visit.answered {
                let text = format!(
                    "the work on the files of container {} ended unexpectedly",
                    visit.container
                );
                messages.push(FromGuest::Reply {
                    id: visit.request,
                    result: Err(failure(FailureKind::Internal, text)),
                });
            }
        }
        Some(messages)
    }

    /// Gives a request to the container's shim, which answers it.
    pub(super) fn pass_on(
        &mut self,
        epoll: &OwnedFd,
        id: &str,
        number: u64,
        request: Request,
    ) -> Outcome<()> {
        let key = self.key_of(id);
        let Some((key, running)) = key.and_then(|key| Some((key, self.running.get_mut(&key)?))) else {
            return Err(failure(
                FailureKind::NotRunning,
                format!("container {id} is not running"),
            ));
        };
        if running.channel.backlog() > SHIM_BACKLOG {
            let text = format!("container {id} has too many requests waiting");
            return Err(failure(FailureKind::Exhausted, text));
        }
        running.waiting.insert(number);
        // A broken channel shows as its end, which answers all that waits.
        let _ = running.channel.send(&FromHost::Request { id: number, request });
        if running.channel.backlog() > 0 {
            let flags = EventFlags::IN | EventFlags::OUT;
            epoll::modify(epoll, &running.channel, EventData::new_u64(key), flags)
                .context(|| "epoll".to_owned())?;
        }
        Ok(())
    }

    /// Stops or resumes to listen to the shims.
    pub(super) fn hold_back(&mut self, epoll: &OwnedFd, hold: bool) -> io::Result<()> {
        self.held_back = hold;
        let flags = if hold {
            EventFlags::empty()
        } else {
            EventFlags::IN | EventFlags::OUT
        };
        for (&key, running) in &self.running {
            epoll::modify(epoll, &running.channel, EventData::new_u64(key), flags)?;
        }
        Ok(())
    }

    /// Reads what a shim wrote and sends what waits for it. Returns whether it is alive.
    pub(super) fn receive(&mut self, epoll: &OwnedFd, key: u64) -> bool {
        let Some(running) = self.running.get_mut(&key) else {
            return true;
        };
        // A shim that ended reads no more, but what it wrote before has to be read.
        let _ = running.channel.flush();
        let alive = running.channel.fill().unwrap_or(false);
        if alive && running.channel.backlog() == 0 {
            let _ = epoll::modify(epoll, &running.channel, EventData::new_u64(key), EventFlags::IN);
        }
        alive
    }

    /// The next message of a shim for the host, with what follows from it. A message that means the
    /// container's end takes it from the list first, so that the host can start it again at once.
    pub(super) fn next_messages(&mut self, key: u64) -> Option<Vec<FromGuest>> {
        let running = self.running.get_mut(&key)?;
        let message = running.channel.next().ok().flatten()?;
        let over = match &message {
            FromGuest::Reply { id, result } => {
                running.waiting.remove(id);
                if *id == running.start
                    && let Ok(Reply::Started { pid, .. }) = result
                {
                    running.first = Some(*pid);
                }
                *id == running.start && result.is_err()
            }
            FromGuest::Event(Event::Exited { exec: None, .. }) => true,
            _ => false,
        };
        let mut messages = vec![message];
        if over && let Some(running) = self.running.remove(&key) {
            self.layers.put_back(&running.layers);
            let text = format!("container {} is not running", running.id);
            messages.extend(running.unanswered(FailureKind::NotRunning, &text));
        }
        Some(messages)
    }

    /// A shim is gone that did not tell its container's end: answers what waits for it, and begins to kill.
    pub(super) fn lose(&mut self, key: u64) -> Vec<FromGuest> {
        let Some(running) = self.running.remove(&key) else {
            return Vec::new();
        };
        let was_started = !running.waiting.contains(&running.start);
        let text = format!(
            "the process that runs container {} ended unexpectedly",
            running.id
        );
        let answers = running.unanswered(FailureKind::Internal, &text).collect();
        self.lost.push(Lost {
            id: running.id,
            layers: running.layers,
            was_started,
        });
        answers
    }

    /// Removes the cgroups of lost containers whose processes are gone by now, and tells those ends.
    pub(super) fn bury(&mut self) -> Vec<FromGuest> {
        let (buried, left) = std::mem::take(&mut self.lost)
            .into_iter()
            .partition(|lost| Cgroup::try_remove(&lost.id));
        self.lost = left;
        let buried: Vec<Lost> = buried;
        let mut messages = Vec::new();
        for lost in buried {
            self.layers.put_back(&lost.layers);
            if lost.was_started {
                let status = ExitStatus {
                    code: 128 + libc::SIGKILL,
                    oom_killed: false,
                    unix_time_ns: clock::now(),
                };
                messages.push(FromGuest::Event(Event::Exited {
                    container: lost.id,
                    exec: None,
                    status,
                }));
            }
        }
        messages
    }

    /// Kills the shims and errands that are still there when the machine stops.
    pub(super) fn kill_shims(&self) {
        for visit in self.visits.values() {
            let _ = sys::process::send_signal(&visit.process, libc::SIGKILL);
        }
        for running in self.running.values() {
            let _ = sys::signal::send(running.shim, libc::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        assert!(check_id("..").is_err());
        assert!(check_id(&format!("../{}", "a".repeat(61))).is_err());
        assert!(check_id(&"a1".repeat(32)).is_ok());
    }
}
