//! What each request of the host does.

use std::io;
use std::path::Path;

use protocol::{ContainerSpec, FailureKind, FromGuest, MOST_SIZES, Reply, Request};

use super::{Agent, SHUTDOWN_GRACE, diagnose, measure, uptime};
use crate::boot::{CONTAINERS, TRASH, VOLUMES, clock};
use crate::container::cgroup::Cgroup;
use crate::container::volume;
use crate::failure::{Outcome, invalid};
use crate::network;
use crate::sizes;

impl Agent {
    /// Handles one request: answers it, or leaves the answer to a shim. An error is the end of the connection.
    pub(super) fn handle(&mut self, id: u64, request: Request) -> io::Result<()> {
        if self.shutdown.is_some() {
            return self.refuse(
                id,
                FailureKind::NotRunning,
                "the machine is shutting down".to_owned(),
            );
        }
        let result = match request {
            Request::Start(spec) => return self.start(id, spec),
            Request::Exec { ref container, .. }
            | Request::Signal { ref container, .. }
            | Request::Resize { ref container, .. }
            | Request::Pause { ref container, .. }
            | Request::Connect { ref container, .. }
            | Request::Disconnect { ref container, .. } => {
                let container = container.clone();
                match self.containers.pass_on(&self.epoll, &container, id, request) {
                    Ok(()) => return Ok(()),
                    Err(failure) => Err(failure),
                }
            }
            Request::Files { container, view, job } => {
                match self
                    .containers
                    .visit(&self.epoll, id, &container, view.as_deref(), &job)
                {
                    Ok(()) => return Ok(()),
                    Err(failure) => Err(failure),
                }
            }
            Request::Top { container } => {
                match self.measure(id, &container, || measure::processes(&container)) {
                    Ok(()) => return Ok(()),
                    Err(failure) => Err(failure),
                }
            }
            Request::Usage {
                container,
                host_interfaces,
            } => match self.measure(id, &container, || measure::usage(&container, &host_interfaces)) {
                Ok(()) => return Ok(()),
                Err(failure) => Err(failure),
            },
            Request::Sizes { containers, volumes } => match self.sizes(id, &containers, &volumes) {
                Ok(()) => return Ok(()),
                Err(failure) => Err(failure),
            },
            // The kernel may have to take memory back before the write returns.
            Request::Update { container, limits } => {
                let update = || Cgroup::of_running(&container)?.set(&limits).map(|()| Reply::Done);
                match self.measure(id, &container, update) {
                    Ok(()) => return Ok(()),
                    Err(failure) => Err(failure),
                }
            }
            Request::Remove { container } => self.remove(&container),
            Request::RemoveVolume { volume } => self.remove_volume(&volume),
            Request::SetNames { table, names } => network::store_names(&table, &names).map(|()| Reply::Done),
            Request::RemoveNetwork { network, bridge } => network::check_table(&network).and_then(|()| {
                network::forget_names(&network);
                network::remove_bridge(&bridge).map(|()| Reply::Done)
            }),
            Request::Diagnose => Ok(Reply::Diagnosis(Box::new(diagnose::diagnosis()))),
            Request::SetClock { unix_time_ns } => clock::follow(unix_time_ns).map(|()| Reply::Done),
            Request::ReleaseLayers { diff_ids } => Ok(Reply::Released {
                diff_ids: self.containers.layers.release(diff_ids),
            }),
            Request::Shutdown => match Cgroup::kill_all() {
                Ok(()) => {
                    self.shutdown = Some((id, uptime().saturating_add(SHUTDOWN_GRACE)));
                    return Ok(());
                }
                Err(failure) => Err(failure),
            },
        };
        let result = result.map_err(crate::failure::shortened);
        let removed = matches!(result, Ok(Reply::Done));
        self.control.send(&FromGuest::Reply { id, result })?;
        if removed {
            self.sweep();
        }
        Ok(())
    }

    /// Starts a container; its shim answers. On a disk that is all but full the start waits while the files of removed
    /// containers are being unlinked: whoever removed one to make room finds the room.
    pub(super) fn start(&mut self, id: u64, spec: Box<ContainerSpec>) -> io::Result<()> {
        if self.shutdown.is_some() {
            return self.refuse(
                id,
                FailureKind::NotRunning,
                "the machine is shutting down".to_owned(),
            );
        }
        if self.sweeper.is_some() && is_almost_full() {
            self.postponed.push_back((id, spec));
            return Ok(());
        }
        match self.containers.start(&self.epoll, id, *spec) {
            Ok(()) => Ok(()),
            Err(failure) => self.control.send(&FromGuest::Reply {
                id,
                result: Err(failure),
            }),
        }
    }

    /// Answers a request in a process of its own.
    fn measure(
        &mut self,
        request: u64,
        container: &str,
        work: impl FnOnce() -> Outcome<Reply>,
    ) -> Outcome<()> {
        super::containers::check_id(container)?;
        self.containers
            .errand(&self.epoll, request, container, Vec::new(), |socket| {
                measure::run(request, socket, work)
            })
    }

    /// Counts what containers and volumes hold, in a process of its own.
    fn sizes(&mut self, request: u64, containers: &[String], volumes: &[String]) -> Outcome<()> {
        if containers.len().max(volumes.len()) > MOST_SIZES {
            return Err(invalid(format!(
                "more than {MOST_SIZES} containers or volumes are to be measured at once"
            )));
        }
        containers
            .iter()
            .try_for_each(|id| super::containers::check_id(id))?;
        volumes.iter().try_for_each(|name| volume::check_name(name))?;
        self.containers
            .errand(&self.epoll, request, "(several)", Vec::new(), |socket| {
                let _ = std::fs::write("/proc/self/oom_score_adj", "500");
                measure::run(request, socket, || Ok(sizes::of_all(containers, volumes)))
            })
    }

    fn remove(&mut self, container: &str) -> Outcome<Reply> {
        super::containers::check_id(container)?;
        if self.containers.is_known(container) {
            return Err(invalid(format!(
                "container {container} is running: stop it before it is removed"
            )));
        }
        self.containers.end_visits(container);
        crate::trash::throw_away(&Path::new(CONTAINERS).join(container), Path::new(TRASH))
            .map(|_| Reply::Done)
    }

    fn remove_volume(&self, volume: &str) -> Outcome<Reply> {
        volume::check_name(volume)?;
        crate::trash::throw_away(&Path::new(VOLUMES).join(volume), Path::new(TRASH)).map(|_| Reply::Done)
    }
}

/// Whether less than a twentieth of the data disk is free.
fn is_almost_full() -> bool {
    rustix::fs::statvfs(CONTAINERS).is_ok_and(|disk| disk.f_bavail < disk.f_blocks / 20)
}
