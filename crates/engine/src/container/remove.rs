//! Removing containers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard_stubs::models::{ContainerPruneResponse, EventMessageTypeEnum};
use journey::Step;

use super::Container;
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::record::{Phase, Record};
use crate::time;

impl Engine {
    /// Removes a container; a running one only with `force`, which kills it. Returns once the name can be
    /// used again. With `volumes` its anonymous volumes go too.
    pub async fn remove_container(&self, id: &str, force: bool, volumes: bool) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let inner = self.inner.clone();
        self.complete(async move { inner.remove(&container, force, volumes).await })
            .await
    }

    /// Removes every container that does not run and matches the filters `until`, `label` and `label!`.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<ContainerPruneResponse> {
        filters.only(&["until", "label", "label!"])?;
        let until = match filters.values("until") {
            [] => None,
            [text] => Some(until_time(text)?),
            _ => {
                return Err(EngineError::BadRequest(
                    "more than one until filter specified".to_owned(),
                ));
            }
        };
        let (inner, filters) = (self.inner.clone(), filters.clone());
        self.complete(async move {
            let mut chosen = inner.registry.all();
            chosen.retain(|container| {
                container.with_record(|record| {
                    let label = |name: &str| record.config.labels.as_ref()?.get(name).map(String::as_str);
                    !record.state.phase.is_active()
                        && until.is_none_or(|until| record.created < until)
                        && filters.labels_match("label", label)
                        && (!filters.has("label!") || !filters.labels_match("label!", label))
                })
            });
            let records: Vec<Record> = chosen.iter().map(|container| container.record()).collect();
            let sizes = inner.sizes(&records, &[]).await;
            let (mut deleted, mut reclaimed) = (Vec::new(), 0i64);
            for container in chosen {
                if inner.remove(&container, false, false).await.is_ok() {
                    reclaimed = reclaimed.saturating_add(sizes.container(&container.id).max(0));
                    deleted.push(container.id.clone());
                }
            }
            inner.events.publish(
                EventMessageTypeEnum::CONTAINER,
                "prune",
                "",
                HashMap::from([("reclaimed".to_owned(), reclaimed.to_string())]),
            );
            Ok(ContainerPruneResponse {
                containers_deleted: Some(deleted),
                space_reclaimed: Some(reclaimed),
            })
        })
        .await
    }
}

/// A prune filter's time: a Unix time, an RFC 3339 time, or a Go duration that is counted back from now.
pub(crate) fn until_time(text: &str) -> Result<i64> {
    let unix = || {
        text.parse::<i64>()
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000_000_000))
    };
    unix()
        .or_else(|| time::parse_rfc3339(text))
        .or_else(|| Some(time::now().saturating_sub(time::parse_duration(text)?)))
        .ok_or_else(|| EngineError::BadRequest(format!("invalid filter 'until={text}'")))
}

/// Gives a removal up when it fails.
struct Removing<'a>(&'a Container);

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        self.0.removing.store(false, Ordering::Release);
    }
}

impl Inner {
    /// Removes a container, killing it first with `force`.
    pub(crate) async fn remove(&self, container: &Arc<Container>, force: bool, volumes: bool) -> Result<()> {
        let name = container.with_record(|record| record.name.clone());
        if container.removing.swap(true, Ordering::AcqRel) {
            return Err(EngineError::RemovalInProgress(name));
        }
        let _removing = Removing(container);
        if container.progress.borrow().removed {
            return Err(EngineError::NoSuchContainer(name));
        }
        loop {
            // A start that is under way has an outcome first.
            let transition = container.transition.lock().await;
            match container.with_record(|record| record.state.phase) {
                phase if phase.is_active() && !force => {
                    let advice = match phase {
                        Phase::Paused => {
                            "unpause and then stop the container before removing or force remove"
                        }
                        _ => "stop the container before removing or force remove",
                    };
                    return Err(EngineError::CannotRemove {
                        name,
                        state: phase.name(),
                        advice,
                    });
                }
                phase if phase.is_running() => {
                    drop(transition);
                    match self.kill_for_good(container).await {
                        Ok(()) | Err(EngineError::NotRunning(_)) => {}
                        Err(error) => return Err(error),
                    }
                    // Its run has told its end before the kill returns, unless the guest is gone.
                    if container.with_record(|record| record.state.phase.is_running()) {
                        container.ended().await;
                    }
                }
                phase => {
                    if phase == Phase::Restarting {
                        self.give_restart_up(container);
                    }
                    self.forget(container).await?;
                    break;
                }
            }
        }
        if volumes {
            self.drop_anonymous_volumes(&container.with_record(|record| record.volumes.clone()))
                .await;
        }
        Ok(())
    }

    /// Takes a container that does not run out of the records, the guest and the disk. The caller holds its
    /// transition lock.
    async fn forget(&self, container: &Arc<Container>) -> Result<()> {
        let removing = journey::begin();
        container.mark_forgotten();
        // A container that goes away with its run is thrown out when the service opens, should this be lost.
        if container.with_record(Record::auto_remove) {
            self.state.delete_lazily::<Record>(&container.id)?;
        } else {
            self.state.delete::<Record>(&container.id)?.on_disk().await?;
        }
        self.registry.remove(&container.id);
        let (architecture, ran, name) =
            container.with_record(|record| (record.architecture, record.ran, record.name.clone()));
        if ran && let Some(guest) = self.machine(architecture).running() {
            guest.forget(&container.id);
        }
        container.hub.close();
        self.execs.forget_container(&container.id);
        let folder = self.containers_folder().join(&container.id);
        let log = container.log.clone();
        let removed = tokio::task::spawn_blocking(move || {
            if let Some(log) = log {
                log.retire();
            }
            std::fs::remove_dir_all(folder)
        });
        match removed.await {
            Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, container = container.id, "a removed container's folder is left over");
            }
            _ => {}
        }
        self.registry.release(&name, &container.id);
        self.container_event(container, "destroy", []);
        removing.done(|| Step::Removed {
            id: container.id.clone(),
        });
        container.progress.send_modify(|progress| progress.removed = true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_takes_unix_times_dates_and_durations() {
        assert_eq!(until_time("1700000000").unwrap(), 1_700_000_000_000_000_000);
        assert_eq!(
            until_time("2023-11-14T22:13:20Z").unwrap(),
            1_700_000_000_000_000_000
        );
        assert!(until_time("1h30m").unwrap() < time::now());
        assert!(until_time("soon").is_err());
    }
}
