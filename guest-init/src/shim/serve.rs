//! The shim's start and its event loop.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::{
    Attachment, ContainerSpec, DeviceKind, Event, FailureKind, FromGuest, FromHost, Process, Reply, Request,
    StartPart, WindowSize,
};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{FileType, stat};
use rustix::io::Errno;

use super::job::{Job, Verdict};
use super::resolv_conf;
use super::streams::open_streams;
use super::surroundings::Surroundings;
use super::{Launch, Stopwatch};
use crate::channel::Channel;
use crate::container::cgroup::Cgroup;
use crate::container::device_filter::{self, Kind, Rule};
use crate::container::spawn::spawn;
use crate::container::terminal::{Terminals, resize};
use crate::container::{inside, process, root};
use crate::failure::{Context, Outcome, failure, invalid};
use crate::sys;

/// The job of the container's first process.
const FIRST: u64 = 0;
/// Keys of what is watched: these, and for each job `job << 8` with one of the kinds below.
const CHANNEL: u64 = u64::MAX;
const MEMORY_EVENTS: u64 = u64::MAX - 1;
const CGROUP_EVENTS: u64 = u64::MAX - 2;
const RESOLVER: u64 = u64::MAX - 3;
/// The pidfd; the verdict; then two for each link, the stream's and the local one.
const PIDFD: u64 = 0;
const VERDICT: u64 = 1;
const LINKS: u64 = 2;

/// A container and what happens in it.
pub(super) struct Shim {
    id: String,
    epoll: OwnedFd,
    cgroup: Cgroup,
    surroundings: Surroundings,
    /// Holds the overlay alive until everything in it ended, so that its end is in our hands.
    root: OwnedFd,
    terminals: Terminals,
    memory_events: OwnedFd,
    cgroup_events: Option<OwnedFd>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    /// Jobs with a link that was not done when its turn ended.
    unfinished: Vec<u64>,
    /// Pause requests that wait for the kernel, with what they wait for.
    freezing: Vec<(u64, bool)>,
    /// Pause requests that wait until every process that was begun has executed its program.
    pausing: Vec<u64>,
    /// Whether the container is to stand still.
    paused: bool,
    /// Out-of-memory kills that were told.
    oom_kills: u64,
    /// Whether children are made in the container's PID namespace.
    entered: bool,
    /// Runs until its first process has executed its program.
    stopwatch: Option<Stopwatch>,
    /// What its /etc/resolv.conf was at its start.
    resolv_conf: String,
}

impl Shim {
    /// Builds the container and starts its first process, whose verdict is still to come.
    pub(super) fn start(launch: Launch<'_>) -> Outcome<Self> {
        let spec = launch.spec;
        let mut stopwatch = launch.stopwatch;
        let terminals = Terminals::create()?;
        // Dialled first: the host answers while the container is being built.
        let (child_streams, links) = open_streams(&spec.process.stdio, &terminals)?;
        stopwatch.lap(StartPart::Streams);
        let root = root::overlay(&spec.id, launch.lower)?;
        stopwatch.lap(StartPart::Root);
        let cgroup = Cgroup::create(&spec.id, &spec.limits)?;
        // Held beside, because the cgroup itself moves on or is gone when something fails.
        let grave = cgroup.duplicate()?;
        let started = move || -> Outcome<Self> {
            let own_rules = if spec.devices.is_empty() && spec.device_rules.is_empty() && !spec.privileged {
                None
            } else {
                Some(device_filter::load(&device_rules(spec)?)?)
            };
            let rules = own_rules.as_ref().unwrap_or(launch.device_rules);
            sys::bpf::attach_program(cgroup.directory(), rules, sys::bpf::BPF_CGROUP_DEVICE)
                .context(|| "the device rules could not be attached".to_owned())?;
            let memory_events = cgroup.events("memory.events")?;
            let epoll = epoll::create(CreateFlags::CLOEXEC).context(|| "epoll".to_owned())?;
            stopwatch.lap(StartPart::Cgroup);
            let surroundings = Surroundings::prepare(spec, launch.neighbours, cgroup.directory())?;
            stopwatch.lap(StartPart::Surroundings);
            let parts = inside::Parts {
                root: root.as_fd(),
                terminals: &terminals.mount,
                console: matches!(spec.process.stdio, protocol::Stdio::Terminal { .. }),
                shm: surroundings.shm(),
            };
            let mut keep = vec![root.as_fd(), terminals.mount.as_fd()];
            keep.extend(surroundings.shm());
            let spawned = surroundings.inside(|| {
                spawn(
                    cgroup.directory(),
                    surroundings.new_namespaces(),
                    child_streams,
                    &keep,
                    || {
                        inside::build(spec, &parts)?;
                        process::execute(&spec.process, spec.init)
                    },
                )
            })?;
            let mut shim = Self {
                id: spec.id.clone(),
                epoll,
                cgroup,
                surroundings,
                root,
                terminals,
                memory_events,
                cgroup_events: None,
                jobs: BTreeMap::new(),
                next_job: FIRST,
                unfinished: Vec::new(),
                freezing: Vec::new(),
                pausing: Vec::new(),
                paused: false,
                oom_kills: 0,
                entered: false,
                stopwatch: Some(stopwatch),
                resolv_conf: spec
                    .etc_files
                    .iter()
                    .find(|(name, _)| name == resolv_conf::NAME)
                    .map(|(_, text)| text.clone())
                    .unwrap_or_default(),
            };
            shim.add(Job::new(None, launch.request, spawned, links))?;
            if let Some(resolver) = shim.surroundings.resolver() {
                shim.watch(resolver, RESOLVER, EventFlags::IN)?;
            }
            shim.watch(
                &shim.memory_events,
                MEMORY_EVENTS,
                EventFlags::PRI | EventFlags::ET,
            )?;
            Ok(shim)
        };
        // On failure the cgroup goes with whatever is in it.
        started().inspect_err(|_| grave.remove())
    }

    fn watch(&self, fd: impl AsFd, key: u64, flags: EventFlags) -> Outcome<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(key), flags).context(|| "epoll".to_owned())
    }

    /// Takes a job in and watches all of it.
    fn add(&mut self, job: Job) -> Outcome<()> {
        let number = self.next_job;
        self.next_job = number.saturating_add(1);
        let key = |kind: u64| (number << 8) | kind;
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        self.watch(&job.child.pidfd, key(PIDFD), EventFlags::IN)?;
        if let Some(verdict) = job.verdict() {
            self.watch(verdict, key(VERDICT), EventFlags::IN)?;
        }
        for (place, link) in (0..).zip(&job.links) {
            let kind = LINKS + 2 * place;
            self.watch(link.stream(), key(kind), both)?;
            if let Some(local) = link.local() {
                self.watch(local, key(kind + 1), both)?;
            }
        }
        self.jobs.insert(number, job);
        Ok(())
    }

    /// Serves until the container is gone.
    pub(super) fn serve(mut self, mut channel: Channel) {
        let begun = self.watch(&channel, CHANNEL, EventFlags::IN);
        let result = begun.map_err(|failure| std::io::Error::other(failure.message));
        if let Err(error) = result.and_then(|()| self.serve_until_gone(&mut channel)) {
            // Without PID 1 there is no machine; anything else is for its log.
            crate::power::log(&format!("container {}: {error}", self.id));
        }
        // Another container may live on in its network, and must not keep its addresses.
        self.surroundings.unplug();
    }

    fn serve_until_gone(&mut self, channel: &mut Channel) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(32);
        loop {
            let at_once = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let timeout = if self.unfinished.is_empty() {
                None
            } else {
                Some(&at_once)
            };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for number in std::mem::take(&mut self.unfinished) {
                self.advance(number, None);
            }
            for epoll::Event { data, flags } in events.iter().copied() {
                match data.u64() {
                    CHANNEL => self.take_requests(channel)?,
                    MEMORY_EVENTS => self.tell_oom_kills(channel)?,
                    CGROUP_EVENTS => self.tell_frozen(channel)?,
                    RESOLVER => self.surroundings.answer(),
                    key => self.job_event(channel, key >> 8, key & 0xff, flags)?,
                }
            }
            if self.report(channel)? {
                return channel.flush_all();
            }
            channel.flush_all()?;
        }
    }

    /// Something happened with one of a job's descriptors.
    fn job_event(
        &mut self,
        channel: &mut Channel,
        number: u64,
        kind: u64,
        flags: EventFlags,
    ) -> std::io::Result<()> {
        match kind {
            PIDFD => {
                self.hear_verdict(channel, number)?;
                if let Some(job) = self.jobs.get_mut(&number).filter(|job| job.is_running()) {
                    let _ = epoll::delete(&self.epoll, &job.child.pidfd);
                    job.reap();
                }
                self.advance(number, None);
            }
            VERDICT => self.hear_verdict(channel, number)?,
            _ => {
                let side = kind.saturating_sub(LINKS);
                let hung_up = side % 2 == 1 && flags.contains(EventFlags::ERR);
                self.advance(number, Some((side / 2, hung_up)));
            }
        }
        Ok(())
    }

    /// Moves bytes on one link of a job, or on all.
    fn advance(&mut self, number: u64, one: Option<(u64, bool)>) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        let mut more = false;
        for (place, link) in (0..).zip(&mut job.links) {
            match one {
                Some((wanted, _)) if wanted != place => continue,
                Some((_, true)) => link.local_hung_up(),
                _ => {}
            }
            more |= link.advance();
        }
        if more && !self.unfinished.contains(&number) {
            self.unfinished.push(number);
        }
    }

    /// Answers the request that started a job, once its verdict is there.
    fn hear_verdict(&mut self, channel: &mut Channel, number: u64) -> std::io::Result<()> {
        let Some(job) = self.jobs.get_mut(&number) else {
            return Ok(());
        };
        let result = match job.read_verdict() {
            Verdict::Pending => return Ok(()),
            Verdict::Executed => Ok(Reply::Started {
                pid: job.child.pid,
                parts: self
                    .stopwatch
                    .take_if(|_| number == FIRST)
                    .map(|mut stopwatch| {
                        stopwatch.lap(StartPart::Program);
                        stopwatch.into_parts()
                    })
                    .unwrap_or_default(),
            }),
            Verdict::Failed(failure) => {
                job.reported = true;
                job.links.clear();
                Err(failure)
            }
        };
        if number == FIRST && result.is_err() {
            // The answer means that nothing is left, as an exit does.
            self.clean_up();
        }
        let id = self.jobs.get(&number).map_or(0, |job| job.request);
        channel.send(&FromGuest::Reply { id, result })?;
        if self.is_executing() {
            return Ok(());
        }
        for id in std::mem::take(&mut self.pausing) {
            answer(channel, id, self.pause(id, true))?;
        }
        Ok(())
    }

    /// Tells the host about processes that ended. Returns whether the container is gone.
    fn report(&mut self, channel: &mut Channel) -> std::io::Result<bool> {
        let done: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.reported && job.is_delivered())
            .map(|(&n, _)| n)
            .collect();
        // Execs before the container.
        for number in done.into_iter().rev() {
            if number == FIRST {
                self.tell_oom_kills(channel)?;
                self.clean_up();
            }
            let Some(job) = self.jobs.get_mut(&number) else {
                continue;
            };
            job.reported = true;
            for link in &mut job.links {
                link.drain();
            }
            let (exec, Some(mut status)) = (job.exec.clone(), job.status) else {
                continue;
            };
            status.oom_killed = self.oom_kills > 0;
            channel.send(&FromGuest::Event(Event::Exited {
                container: self.id.clone(),
                exec,
                status,
            }))?;
        }
        let over = |job: &Job| job.reported && !job.is_running();
        if self.jobs.get(&FIRST).is_none_or(over) {
            return Ok(true);
        }
        self.jobs.retain(|&number, job| {
            job.links.retain(|link| !(job.reported && link.is_finished()));
            number == FIRST || !(over(job) && job.links.is_empty())
        });
        Ok(false)
    }

    /// Takes away what the container had outside of itself.
    fn clean_up(&mut self) {
        if let Some(first) = self.jobs.get_mut(&FIRST).filter(|first| first.is_running()) {
            // It failed before its program ran and is on its way out.
            first.reap();
        }
        // The last references to the mounts go here, and the kernel unmounts before it returns.
        let null = |fd: &mut OwnedFd| {
            if let Ok(nothing) = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC) {
                *fd = nothing;
            }
        };
        null(&mut self.root);
        null(&mut self.terminals.mount);
        self.surroundings.leave(&self.id);
        self.cgroup.remove();
    }

    /// Handles what PID 1 passed on.
    fn take_requests(&mut self, channel: &mut Channel) -> std::io::Result<()> {
        if !channel.fill()? {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(message) = channel.next()? {
            let FromHost::Request { id, request } = message else {
                continue;
            };
            answer(channel, id, self.handle(id, request))?;
        }
        Ok(())
    }

    /// Does what is asked. `None` is an answer that comes later.
    fn handle(&mut self, id: u64, request: Request) -> Outcome<Option<Reply>> {
        match request {
            Request::Exec { exec, process, .. } => self.execute(id, exec, &process).map(|()| None),
            Request::Signal { exec, signal, .. } => self.signal(exec.as_deref(), signal).map(Some),
            Request::Resize { exec, size, .. } => self.resize(exec.as_deref(), size).map(Some),
            Request::Pause { paused, .. } => self.pause(id, paused),
            Request::Connect {
                attachment,
                tables,
                resolv_conf,
                ..
            } => {
                let connected = self.connect(&attachment, tables, resolv_conf);
                if connected.is_err() {
                    // The host gives its address to others.
                    let _ = self.surroundings.disconnect(&attachment.host_interface, None);
                }
                connected.map(|()| Some(Reply::Done))
            }
            Request::Disconnect {
                host_interface,
                tables,
                ..
            } => self
                .surroundings
                .disconnect(&host_interface, tables)
                .map(|()| Some(Reply::Done)),
            _ => Err(invalid("this is no request about a running container")),
        }
    }

    /// Puts the container on one more network. The first one with names comes with a resolver.
    fn connect(
        &mut self,
        attachment: &Attachment,
        tables: Option<Vec<String>>,
        resolv_conf: Option<String>,
    ) -> Outcome<()> {
        let process = self.running(None)?.child.pid;
        let cgroup = self.cgroup.directory();
        let resolver = self.surroundings.connect(&self.id, attachment, tables, cgroup)?;
        let Some(resolver) = resolver else {
            return Ok(());
        };
        epoll::add(
            &self.epoll,
            resolver,
            EventData::new_u64(RESOLVER),
            EventFlags::IN,
        )
        .context(|| "epoll".to_owned())?;
        if let Some(after) = resolv_conf {
            resolv_conf::replace(process, &self.resolv_conf, &after);
        }
        Ok(())
    }

    /// The running process of an exec, or the container's first one.
    fn running(&self, exec: Option<&str>) -> Outcome<&Job> {
        let found = self
            .jobs
            .values()
            .find(|job| job.exec.as_deref() == exec && job.is_running());
        found.ok_or_else(|| {
            let what = exec.map_or_else(|| format!("container {}", self.id), |exec| format!("exec {exec}"));
            failure(FailureKind::NotRunning, format!("{what} is not running"))
        })
    }

    fn signal(&self, exec: Option<&str>, signal: i32) -> Outcome<Reply> {
        let job = self.running(exec)?;
        match sys::process::send_signal(&job.child.pidfd, signal) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Err(invalid(format!("{signal} is no signal")))
            }
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(failure(FailureKind::NotRunning, "the process has ended"))
            }
            result => result
                .context(|| "the signal could not be sent".to_owned())
                .map(|()| Reply::Done),
        }
    }

    fn resize(&self, exec: Option<&str>, size: WindowSize) -> Outcome<Reply> {
        let job = self.running(exec)?;
        let terminal = job.links.iter().find_map(|link| link.terminal());
        let terminal = terminal.ok_or_else(|| invalid("the process has no terminal"))?;
        resize(terminal, size).context(|| "the terminal could not be resized".to_owned())?;
        Ok(Reply::Done)
    }

    /// Begins one more process in the container.
    fn execute(&mut self, id: u64, exec: String, process: &Process) -> Outcome<()> {
        if self
            .jobs
            .values()
            .any(|job| job.exec.as_ref() == Some(&exec) && job.is_running())
        {
            return Err(failure(
                FailureKind::AlreadyRunning,
                format!("exec {exec} runs already"),
            ));
        }
        if self.paused {
            let text = format!("container {} is paused", self.id);
            return Err(failure(FailureKind::NotRunning, text));
        }
        if self.running(None)?.verdict().is_some() {
            let text = format!("container {} is not running yet", self.id);
            return Err(failure(FailureKind::NotRunning, text));
        }
        let (child_streams, links) = open_streams(&process.stdio, &self.terminals)?;
        let first = self.running(None)?;
        let pidfd = first.child.pidfd.as_fd();
        // It can end at any time, and then there are no namespaces to enter.
        let gone = |_| {
            failure(
                FailureKind::NotRunning,
                format!("container {} is not running", self.id),
            )
        };
        if !self.entered {
            sys::process::enter_namespaces(pidfd, libc::CLONE_NEWPID).map_err(gone)?;
        }
        let namespaces = libc::CLONE_NEWNS
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWCGROUP;
        let spawned = spawn(self.cgroup.directory(), 0, child_streams, &[pidfd], || {
            sys::process::enter_namespaces(pidfd, namespaces).map_err(gone)?;
            process::execute(process, false)
        })?;
        self.entered = true;
        self.add(Job::new(Some(exec), id, spawned, links))
    }

    /// Whether a process is on its way to its program.
    fn is_executing(&self) -> bool {
        self.jobs
            .values()
            .any(|job| job.is_running() && job.verdict().is_some())
    }

    /// Begins to freeze or thaw. A process that is frozen on its way to its program would never tell how that went, so
    /// freezing waits for it.
    fn pause(&mut self, id: u64, paused: bool) -> Outcome<Option<Reply>> {
        self.paused = paused;
        if paused && self.is_executing() {
            self.pausing.push(id);
            return Ok(None);
        }
        if self.cgroup_events.is_none() {
            let events = self.cgroup.events("cgroup.events")?;
            self.watch(&events, CGROUP_EVENTS, EventFlags::PRI | EventFlags::ET)?;
            self.cgroup_events = Some(events);
        }
        self.cgroup.freeze(paused)?;
        if self.cgroup.is_frozen() == paused {
            return Ok(Some(Reply::Done));
        }
        self.freezing.push((id, paused));
        Ok(None)
    }

    fn tell_frozen(&mut self, channel: &mut Channel) -> std::io::Result<()> {
        quieten(self.cgroup_events.as_ref().map(AsFd::as_fd));
        let frozen = self.cgroup.is_frozen();
        let (now, later) = std::mem::take(&mut self.freezing)
            .into_iter()
            .partition(|(_, wanted)| *wanted == frozen);
        self.freezing = later;
        let now: Vec<(u64, bool)> = now;
        now.into_iter().try_for_each(|(id, _)| {
            channel.send(&FromGuest::Reply {
                id,
                result: Ok(Reply::Done),
            })
        })
    }

    fn tell_oom_kills(&mut self, channel: &mut Channel) -> std::io::Result<()> {
        quieten(Some(self.memory_events.as_fd()));
        let kills = self.cgroup.oom_kills();
        let grown = kills > self.oom_kills;
        self.oom_kills = self.oom_kills.max(kills);
        if !grown {
            return Ok(());
        }
        channel.send(&FromGuest::Event(Event::OutOfMemory {
            container: self.id.clone(),
        }))
    }
}

/// Reading a file of cgroup events is what makes its descriptor quiet until the next change.
fn quieten(events: Option<BorrowedFd<'_>>) {
    if let Some(events) = events {
        let _ = rustix::io::pread(events, &mut [0; 512], 0);
    }
}

/// The rules of the spec, and for its own devices.
fn device_rules(spec: &ContainerSpec) -> Outcome<Vec<Rule>> {
    if spec.privileged {
        return Ok(Rule::everything());
    }
    let mut rules = Vec::with_capacity(spec.devices.len());
    for device in &spec.devices {
        let path = &device.source;
        let status = stat(path.as_str())
            .context(|| format!("error gathering device information while adding custom device {path:?}"))?;
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::BlockDevice => Kind::Block,
            FileType::CharacterDevice => Kind::Character,
            _ => return Err(invalid(format!("{path:?} is not a device node"))),
        };
        let (major, minor) = (
            rustix::fs::major(status.st_rdev),
            rustix::fs::minor(status.st_rdev),
        );
        rules.push(Rule::new(kind, Some(major), Some(minor), &device.access));
    }
    for rule in &spec.device_rules {
        let kinds: &[Kind] = match rule.kind {
            DeviceKind::Block => &[Kind::Block],
            DeviceKind::Character => &[Kind::Character],
            DeviceKind::Both => &[Kind::Block, Kind::Character],
        };
        rules.extend(
            kinds
                .iter()
                .map(|kind| Rule::new(*kind, rule.major, rule.minor, &rule.access)),
        );
    }
    Ok(rules)
}

/// Answers a request, unless its answer comes later.
fn answer(channel: &mut Channel, id: u64, outcome: Outcome<Option<Reply>>) -> std::io::Result<()> {
    match outcome.transpose() {
        Some(result) => channel.send(&FromGuest::Reply { id, result }),
        None => Ok(()),
    }
}
