//! PID 1 in service: the control connection to the host, the shims, and the children that ended.
//!
//! One `epoll_wait` watches the control connection, SIGCHLD as a descriptor, and a socket for each shim.
//! Requests about a running container are passed on to its shim as they are, and so are its answers. When the
//! host does not read its end, the shims are not read either until it does.

mod containers;
mod diagnose;
mod measure;
mod requests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use protocol::{CONTROL_PORT, ContainerSpec, Event, FailureKind, FromGuest, FromHost, Reply, Welcome};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::{UnmountFlags, unmount};
use rustix::net::{Shutdown, shutdown};
use rustix::time::{ClockId, clock_gettime};

use crate::boot::{self, clock};
use crate::channel::Channel;
use crate::container::cgroup::Cgroup;
use crate::failure::failure;
use crate::power;
use crate::sys;
use containers::Containers;

const CONTROL: u64 = 0;
const CHILDREN: u64 = 1;
/// The first key of a shim.
const SHIMS: u64 = 2;
/// Bytes that may wait for the host before the shims have to wait too.
const BACKLOG: usize = 1 << 20;
/// How long containers may take to be gone after they were killed at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long the host may take to close the control connection after the last message.
const FAREWELL: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Boots and serves; ends by powering off.
pub(crate) fn run() -> ! {
    power::announce_panics();
    if let Err(error) = sys::signal::block_all() {
        power::log(&format!("signals could not be blocked: {error}"));
    }
    let machine = boot::prepare();
    let control = match sys::vsock::connect(CONTROL_PORT) {
        Ok(control) => control,
        Err(error) => {
            power::log(&format!(
                "the host does not answer on vsock port {CONTROL_PORT}: {error}"
            ));
            end();
        }
    };
    power::set_control(control.as_raw_fd());
    let served = Agent::new(Channel::new(control), machine).and_then(|mut agent| agent.serve());
    if let Err(error) = served {
        power::log(&format!("the host is gone: {error}"));
    }
    end()
}

/// Writes the data disk out and powers off.
fn end() -> ! {
    let _ = Cgroup::kill_all();
    rustix::fs::sync();
    power::off()
}

/// PID 1's state.
struct Agent {
    epoll: OwnedFd,
    children: OwnedFd,
    control: Channel,
    containers: Containers,
    /// The shutdown request to answer, and when to stop waiting for containers.
    shutdown: Option<(u64, Duration)>,
    /// Whether the shims are not read because the host does not read.
    held_back: bool,
    /// The process that unlinks removed files, if one is at work.
    sweeper: Option<i32>,
    /// Whether there may be more to unlink than it has seen.
    sweep_again: bool,
    /// Starts that wait for the room that the sweeper makes, in order.
    postponed: VecDeque<(u64, Box<ContainerSpec>)>,
}

impl Agent {
    fn new(control: Channel, machine: boot::Machine) -> io::Result<Self> {
        let mut agent = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            children: sys::signal::child_descriptor()?,
            control,
            containers: Containers::new(machine.layer_disk, machine.problem.clone()),
            shutdown: None,
            held_back: false,
            sweeper: None,
            sweep_again: false,
            postponed: VecDeque::new(),
        };
        agent
            .control
            .send(&FromGuest::Hello(boot::hello(machine.problem)))?;
        agent.containers.load_device_rules();
        agent.wait_for_welcome()?;
        let watch = |fd: &OwnedFd, key| epoll::add(&agent.epoll, fd, EventData::new_u64(key), EventFlags::IN);
        watch(&agent.children, CHILDREN)?;
        epoll::add(
            &agent.epoll,
            &agent.control,
            EventData::new_u64(CONTROL),
            EventFlags::IN,
        )?;
        agent.sweep();
        Ok(agent)
    }

    /// Blocks until the host accepted this guest.
    fn wait_for_welcome(&mut self) -> io::Result<()> {
        self.control.flush_all()?;
        loop {
            match self.control.next()? {
                Some(FromHost::Welcome(welcome)) => return self.take_welcome(&welcome),
                Some(FromHost::Request { .. }) => {
                    return Err(io::Error::other("a request before the welcome"));
                }
                None => {}
            }
            retry_on_intr(|| poll(&mut [PollFd::new(&self.control, PollFlags::IN)], None))?;
            if !self.control.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take_welcome(&mut self, welcome: &Welcome) -> io::Result<()> {
        if !(protocol::OLDEST_VERSION..=protocol::VERSION).contains(&welcome.version) {
            return Err(io::Error::other(format!(
                "the host speaks version {}",
                welcome.version
            )));
        }
        for result in [
            clock::set(welcome.unix_time_ns),
            clock::add_entropy(&welcome.entropy),
        ] {
            if let Err(failure) = result {
                self.log("warn", failure.message)?;
            }
        }
        Ok(())
    }

    /// A line for the host's log.
    fn log(&mut self, level: &str, message: String) -> io::Result<()> {
        self.control.send(&FromGuest::Event(Event::Log {
            level: level.to_owned(),
            message,
        }))
    }

    /// Serves until the host asked for the end (`Ok`) or is gone.
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(32);
        loop {
            // Requests may have come together with the welcome.
            self.take_requests()?;
            if self.is_over() {
                return self.say_farewell();
            }
            self.regulate()?;
            events.clear();
            match epoll::wait(
                &self.epoll,
                spare_capacity(&mut events),
                self.time_left().as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for epoll::Event { data, flags } in events.iter().copied() {
                match data.u64() {
                    CONTROL => {
                        self.control.flush()?;
                        let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR;
                        if flags.intersects(readable) && !self.control.fill()? {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                    }
                    CHILDREN => self.reap()?,
                    key => self.hear_shim(key)?,
                }
            }
        }
    }

    /// Watches for room on the control connection while something waits, and holds the shims back while too
    /// much does.
    fn regulate(&mut self) -> io::Result<()> {
        let backlog = self.control.backlog();
        let hold_back = if self.held_back {
            backlog > 0
        } else {
            backlog > BACKLOG
        };
        let mut flags = EventFlags::empty();
        if !hold_back {
            flags |= EventFlags::IN;
        }
        if backlog > 0 {
            flags |= EventFlags::OUT;
        }
        if backlog > 0 || self.held_back {
            epoll::modify(&self.epoll, &self.control, EventData::new_u64(CONTROL), flags)?;
        }
        if hold_back != self.held_back {
            self.held_back = hold_back;
            self.containers.hold_back(&self.epoll, hold_back)?;
        }
        Ok(())
    }

    fn take_requests(&mut self) -> io::Result<()> {
        while let Some(message) = self.control.next()? {
            match message {
                FromHost::Request { id, request } => self.handle(id, request)?,
                FromHost::Welcome(_) => return Err(io::Error::other("a second welcome")),
            }
        }
        Ok(())
    }

    /// A shim wrote, or is gone.
    fn hear_shim(&mut self, key: u64) -> io::Result<()> {
        if let Some(messages) = self.containers.hear_visit(key) {
            return messages.iter().try_for_each(|message| self.control.send(message));
        }
        let alive = self.containers.receive(&self.epoll, key);
        while let Some(messages) = self.containers.next_messages(key) {
            for message in messages {
                self.control.send(&message)?;
            }
        }
        if alive {
            return Ok(());
        }
        for message in self.containers.lose(key) {
            self.control.send(&message)?;
        }
        self.bury()
    }

    /// Reaps every child that ended.
    fn reap(&mut self) -> io::Result<()> {
        // What the descriptor says is of no interest; reading makes it quiet.
        let _ = rustix::io::read(&self.children, &mut [0; 1024]);
        let mut swept = false;
        while let Ok(Some((pid, _))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            if self.sweeper == Some(pid.as_raw_nonzero().get()) {
                self.sweeper = None;
                swept = true;
            }
        }
        if swept {
            if std::mem::take(&mut self.sweep_again) {
                self.sweep();
            }
            for (id, spec) in std::mem::take(&mut self.postponed) {
                self.start(id, spec)?;
            }
        }
        self.bury()
    }

    /// Removes what containers left whose shim died, and tells their end.
    fn bury(&mut self) -> io::Result<()> {
        for message in self.containers.bury() {
            self.control.send(&message)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.shutdown
            .is_some_and(|(_, until)| self.containers.is_empty() || uptime() >= until)
    }

    /// How long to sleep: for ever, unless containers are being waited for at shutdown.
    fn time_left(&self) -> Option<Timespec> {
        let (_, until) = self.shutdown?;
        let left = until.saturating_sub(uptime());
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    /// Unmounts the data disk, answers the shutdown request, and waits until the host has read that.
    fn say_farewell(&mut self) -> io::Result<()> {
        let Some((id, _)) = self.shutdown else {
            return Ok(());
        };
        self.containers.kill_shims();
        // It works on the data disk. What it leaves is unlinked at the next boot.
        if let Some(pid) = self.sweeper.take() {
            let _ = sys::signal::send(pid, libc::SIGKILL);
            let _ = retry_on_intr(|| {
                rustix::process::waitpid(
                    rustix::process::Pid::from_raw(pid),
                    rustix::process::WaitOptions::empty(),
                )
            });
        }
        rustix::fs::sync();
        let result = match unmount("/data", UnmountFlags::empty()) {
            Ok(()) | Err(Errno::INVAL) => Ok(Reply::Done),
            Err(errno) => {
                // Written out all the same; the next mount replays the journal.
                self.log(
                    "warn",
                    format!(
                        "the data disk could not be unmounted: {}",
                        crate::failure::text_of(errno)
                    ),
                )?;
                Ok(Reply::Done)
            }
        };
        self.control.send(&FromGuest::Reply { id, result })?;
        self.control.flush_all()?;
        shutdown(self.control.as_fd(), Shutdown::Write)?;
        let _ = poll(
            &mut [PollFd::new(&self.control, PollFlags::IN | PollFlags::RDHUP)],
            Some(&FAREWELL),
        );
        Ok(())
    }

    /// Starts to unlink removed files in the background; where that is under way, once more when it has ended.
    fn sweep(&mut self) {
        let trash = std::path::Path::new(boot::TRASH);
        if self.sweeper.is_some() {
            self.sweep_again = true;
            return;
        }
        if crate::trash::is_empty(trash) {
            return;
        }
        match sys::process::fork() {
            Ok(sys::process::Forked::Child) => {
                let _ = sys::fd::close_all_except(&[]);
                let _ = rustix::process::nice(10);
                sys::process::exit_now(i32::from(crate::trash::empty(trash).is_err()));
            }
            Ok(sys::process::Forked::Parent { pid }) => self.sweeper = Some(pid),
            // The next removal or boot tries again.
            Err(error) => power::log(&format!("removed files stay for now: {error}")),
        }
    }

    fn refuse(&mut self, id: u64, kind: FailureKind, message: String) -> io::Result<()> {
        self.control.send(&FromGuest::Reply {
            id,
            result: Err(failure(kind, message)),
        })
    }
}

/// The time since the kernel started, which no change of the wall clock moves.
fn uptime() -> Duration {
    Duration::from_nanos(clock::nanoseconds(clock_gettime(ClockId::Monotonic)))
}
