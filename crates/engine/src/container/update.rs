//! `docker update` (moby `container/container_unix.go`, `UpdateContainer`): limits of a container that may run, and
//! its restart policy. What is absent or zero stays as it is.

use bollard_stubs::models::{ContainerUpdateBody, ContainerUpdateResponse, HostConfig};
use protocol::{Limits, Request};

use super::{limits, restart};
use crate::engine::Engine;
use crate::error::{EngineError, Result};

impl Engine {
    /// Changes a container's limits and policy, at once if it runs. Returns once the record is on disk.
    pub async fn update_container(
        &self,
        id: &str,
        asked: ContainerUpdateBody,
    ) -> Result<ContainerUpdateResponse> {
        let container = self.inner.registry.find(id)?;
        restart::validate(asked.restart_policy.as_ref())?;
        let inner = self.inner.clone();
        self.complete(async move {
            let _transition = container.transition.lock().await;
            let before = container.with_record(|record| record.host_config.clone());
            let after = merged(before, &asked)?;
            limits::validate(&after, inner.config.cpus)?;
            if after.auto_remove.unwrap_or(false) && restart::is_set(&after) {
                return Err(EngineError::BadRequest(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container"
                        .to_owned(),
                ));
            }
            if let Some(guest) = container.guest() {
                let request = Request::Update {
                    container: container.id.clone(),
                    limits: Box::new(lifted(limits::limits(&after), &after)),
                };
                guest
                    .request(request)
                    .await
                    .map_err(|error| container.request_error(error))?;
            }
            inner
                .commit(&container, |record| record.host_config = after)
                .await?;
            inner.container_event(&container, "update", []);
            Ok(ContainerUpdateResponse {
                warnings: Some(Vec::new()),
            })
        })
        .await
    }
}

/// A limit that was lifted has to be said: what is not said stays.
fn lifted(mut limits: Limits, host: &HostConfig) -> Limits {
    let unlimited = |value: Option<i64>| value == Some(-1);
    if unlimited(host.pids_limit) {
        limits.pids = Some(u64::MAX);
    }
    if unlimited(host.memory_swap) {
        limits.swap_bytes = Some(u64::MAX);
    }
    if unlimited(host.cpu_quota) {
        limits.cpu_quota = Some((u64::MAX, 100_000));
    }
    limits
}

fn merged(mut host: HostConfig, asked: &ContainerUpdateBody) -> Result<HostConfig> {
    let refuse = |text: &str| Err(EngineError::BadRequest(text.to_owned()));
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let memory = set(asked.memory);
    if let (Some(memory), None, Some(swap)) = (memory, set(asked.memory_swap), set(host.memory_swap))
        && swap > 0
        && memory > swap
    {
        return refuse(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    if set(asked.nano_cpus).is_some() {
        if set(host.cpu_period).is_some() {
            return refuse(
                "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
            );
        }
        if set(host.cpu_quota).is_some() {
            return refuse(
                "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
            );
        }
    }
    if set(host.nano_cpus).is_some() && (set(asked.cpu_quota).is_some() || set(asked.cpu_period).is_some()) {
        return refuse("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
    }
    fn over<T: Clone + PartialEq + Default>(place: &mut Option<T>, asked: &Option<T>) {
        if asked.as_ref().is_some_and(|asked| *asked != T::default()) {
            place.clone_from(asked);
        }
    }
    over(&mut host.memory, &asked.memory);
    over(&mut host.memory_swap, &asked.memory_swap);
    over(&mut host.memory_reservation, &asked.memory_reservation);
    over(&mut host.nano_cpus, &asked.nano_cpus);
    over(&mut host.cpu_shares, &asked.cpu_shares);
    over(&mut host.cpu_period, &asked.cpu_period);
    over(&mut host.cpu_quota, &asked.cpu_quota);
    over(&mut host.cpuset_cpus, &asked.cpuset_cpus);
    over(&mut host.cpuset_mems, &asked.cpuset_mems);
    over(&mut host.blkio_weight, &asked.blkio_weight);
    over(&mut host.pids_limit, &asked.pids_limit);
    if asked.restart_policy.as_ref().is_some_and(|policy| {
        policy
            .name
            .is_some_and(|name| name != bollard_stubs::models::RestartPolicyNameEnum::EMPTY)
    }) {
        host.restart_policy.clone_from(&asked.restart_policy);
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_stays() {
        let host = HostConfig {
            memory: Some(100 << 20),
            cpu_shares: Some(512),
            ..HostConfig::default()
        };
        let asked = ContainerUpdateBody {
            memory: Some(200 << 20),
            cpu_shares: Some(0),
            ..ContainerUpdateBody::default()
        };
        let after = merged(host, &asked).unwrap();
        assert_eq!((after.memory, after.cpu_shares), (Some(200 << 20), Some(512)));
    }

    #[test]
    fn memory_above_the_swap_that_is_set_is_refused() {
        let host = HostConfig {
            memory_swap: Some(150 << 20),
            ..HostConfig::default()
        };
        let asked = ContainerUpdateBody {
            memory: Some(200 << 20),
            ..ContainerUpdateBody::default()
        };
        assert!(
            merged(host, &asked)
                .unwrap_err()
                .to_string()
                .contains("memoryswap")
        );
    }
}
