//! Docker's resource settings to cgroup v2 (kernel Documentation/admin-guide/cgroup-v2.rst), and what Docker
//! refuses of them (moby `daemon/daemon_unix.go`).

use bollard_stubs::models::{HostConfig, ThrottleDevice};
use protocol::{DeviceLimit, Limits, Rlimit};

use crate::error::{EngineError, Result};

/// The least memory that a container can be held to, in bytes.
const LEAST_MEMORY: i64 = 6 << 20;
/// The period that `--cpus` is measured in, in microseconds.
const CPU_PERIOD: u64 = 100_000;
const BILLION: i64 = 1_000_000_000;

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(EngineError::BadRequest(text.into()))
}

/// A positive value; Docker's zero and -1 mean "not set" or "no limit".
fn positive(value: Option<i64>) -> Option<u64> {
    value
        .filter(|value| *value > 0)
        .and_then(|value| u64::try_from(value).ok())
}

/// Refuses what contradicts itself or the machine, in Docker's words.
pub(crate) fn validate(host: &HostConfig, cpus: u32) -> Result<()> {
    let memory = host.memory.unwrap_or(0);
    let swap = host.memory_swap.unwrap_or(0);
    if memory < 0 || (memory > 0 && memory < LEAST_MEMORY) {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if memory == 0 && swap > 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if let Some(reservation) = host.memory_reservation.filter(|reservation| *reservation != 0) {
        if reservation < LEAST_MEMORY {
            return refuse("Minimum memory reservation allowed is 6MB");
        }
        if memory > 0 && memory < reservation {
            return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
        }
    }
    let nano = host.nano_cpus.unwrap_or(0);
    if nano != 0 {
        if host.cpu_period.unwrap_or(0) != 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
        }
        if host.cpu_quota.unwrap_or(0) != 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
        }
        if nano < BILLION / 100 || nano > i64::from(cpus).saturating_mul(BILLION) {
            return refuse(format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            ));
        }
    }
    if host.cpu_shares.unwrap_or(0) < 0 {
        return refuse(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares.unwrap_or(0)
        ));
    }
    if let Some(period) = host.cpu_period.filter(|period| *period != 0)
        && !(1_000..=1_000_000).contains(&period)
    {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if let Some(quota) = host.cpu_quota.filter(|quota| *quota > 0)
        && quota < 1_000
    {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if let Some(asked) = host.cpuset_cpus.as_deref().filter(|asked| !asked.is_empty()) {
        let Some(highest) = highest_cpu(asked) else {
            return refuse(format!("Invalid value {asked} for cpuset cpus"));
        };
        if highest >= cpus {
            let available = if cpus == 1 {
                "0".to_owned()
            } else {
                format!("0-{}", cpus.saturating_sub(1))
            };
            return refuse(format!(
                "Requested CPUs are not available - requested {asked}, available: {available}"
            ));
        }
    }
    if let Some(weight) = host.blkio_weight.filter(|weight| *weight != 0)
        && !(10..=1000).contains(&weight)
    {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    if host.cpu_realtime_period.unwrap_or(0) != 0 || host.cpu_realtime_runtime.unwrap_or(0) != 0 {
        return refuse("Your kernel does not support CPU real-time scheduler");
    }
    if host
        .blkio_weight_device
        .as_ref()
        .is_some_and(|devices| !devices.is_empty())
    {
        return Err(EngineError::Unsupported(
            "a block I/O weight for a single device (--blkio-weight-device)".to_owned(),
        ));
    }
    let score = host.oom_score_adj.unwrap_or(0);
    if !(-1000..=1000).contains(&score) {
        return refuse(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ));
    }
    if host.shm_size.unwrap_or(0) < 0 {
        return refuse("SHM size can not be less than 0");
    }
    rlimits(host).map(drop)
}

/// The highest CPU of a list such as `0-2,4`.
fn highest_cpu(list: &str) -> Option<u32> {
    list.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (
                first.trim().parse::<u32>().ok()?,
                last.trim().parse::<u32>().ok()?,
            );
            (first <= last).then_some(last)
        })
        .collect::<Option<Vec<u32>>>()?
        .into_iter()
        .max()
}

/// What the container's cgroup is set to.
pub(crate) fn limits(host: &HostConfig) -> Limits {
    let memory = positive(host.memory);
    let swap = match (memory, host.memory_swap.unwrap_or(0)) {
        (None, _) | (_, ..0) => None,
        // Docker gives as much swap as memory when only memory is set.
        (Some(memory), 0) => Some(memory),
        (Some(memory), both) => Some(u64::try_from(both).unwrap_or(memory).saturating_sub(memory)),
    };
    let cpu_quota = match (positive(host.nano_cpus), positive(host.cpu_quota)) {
        (Some(nano), _) => Some((nano.saturating_mul(CPU_PERIOD) / 1_000_000_000, CPU_PERIOD)),
        (None, Some(quota)) => Some((quota, positive(host.cpu_period).unwrap_or(CPU_PERIOD))),
        (None, None) => None,
    };
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Limits {
        memory_bytes: memory,
        swap_bytes: swap,
        memory_reservation_bytes: positive(host.memory_reservation),
        cpu_quota,
        cpu_weight: positive(host.cpu_shares).map(cpu_weight),
        cpuset_cpus: text(&host.cpuset_cpus),
        cpuset_mems: text(&host.cpuset_mems),
        pids: positive(host.pids_limit),
        io_weight: host.blkio_weight.filter(|weight| *weight > 0).map(io_weight),
        io: device_limits(host),
    }
}

/// cgroup v1 shares (2 to 262144, default 1024) to v2 weight (1 to 10000), as OCI runtimes convert them.
fn cpu_weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

/// cgroup v1 weight (10 to 1000) to v2 weight (1 to 10000).
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9_999 / 990
}

fn device_limits(host: &HostConfig) -> Vec<DeviceLimit> {
    let mut limits: Vec<DeviceLimit> = Vec::new();
    let mut set = |devices: &Option<Vec<ThrottleDevice>>, field: fn(&mut DeviceLimit) -> &mut Option<u64>| {
        for device in devices.iter().flatten() {
            let (Some(path), Some(rate)) = (&device.path, positive(device.rate)) else {
                continue;
            };
            let position = limits.iter().position(|limit| limit.path == *path);
            let limit = match position.and_then(|position| limits.get_mut(position)) {
                Some(limit) => limit,
                None => {
                    limits.push(DeviceLimit {
                        path: path.clone(),
                        read_bytes_per_second: None,
                        write_bytes_per_second: None,
                        read_operations_per_second: None,
                        write_operations_per_second: None,
                    });
                    let Some(limit) = limits.last_mut() else { continue };
                    limit
                }
            };
            *field(limit) = Some(rate);
        }
    };
    set(&host.blkio_device_read_bps, |limit| {
        &mut limit.read_bytes_per_second
    });
    set(&host.blkio_device_write_bps, |limit| {
        &mut limit.write_bytes_per_second
    });
    set(&host.blkio_device_read_iops, |limit| {
        &mut limit.read_operations_per_second
    });
    set(&host.blkio_device_write_iops, |limit| {
        &mut limit.write_operations_per_second
    });
    limits
}

const RLIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `--ulimit`.
pub(crate) fn rlimits(host: &HostConfig) -> Result<Vec<Rlimit>> {
    let value = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    host.ulimits
        .iter()
        .flatten()
        .map(|limit| {
            let name = limit.name.clone().unwrap_or_default();
            if !RLIMITS.contains(&name.as_str()) {
                return refuse(format!("invalid ulimit type: {name}"));
            }
            let (soft, hard) = (value(limit.soft), value(limit.hard));
            if let (Some(soft), Some(hard)) = (soft, hard)
                && soft > hard
            {
                return refuse(format!(
                    "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
                ));
            }
            Ok(Rlimit { name, soft, hard })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn host() -> HostConfig {
        HostConfig::default()
    }

    #[test]
    fn nothing_asked_limits_nothing() {
        assert_eq!(limits(&host()), Limits::default());
        validate(&host(), 1).unwrap();
    }

    #[test]
    fn memory_alone_gets_as_much_swap_and_minus_one_is_unlimited_swap() {
        let memory = Some(64 << 20);
        assert_eq!(
            limits(&HostConfig { memory, ..host() }).swap_bytes,
            Some(64 << 20)
        );
        let all = HostConfig {
            memory,
            memory_swap: Some(-1),
            ..host()
        };
        assert_eq!(limits(&all).swap_bytes, None);
        let equal = HostConfig {
            memory,
            memory_swap: memory,
            ..host()
        };
        assert_eq!(limits(&equal).swap_bytes, Some(0));
    }

    #[test]
    fn half_a_cpu_is_half_of_each_period() {
        let half = HostConfig {
            nano_cpus: Some(500_000_000),
            ..host()
        };
        assert_eq!(limits(&half).cpu_quota, Some((50_000, 100_000)));
    }

    #[test]
    fn default_shares_and_weights_stay_in_the_middle_of_their_ranges() {
        assert_eq!(
            (cpu_weight(2), cpu_weight(1024), cpu_weight(262_144)),
            (1, 39, 10_000)
        );
        assert_eq!(
            (io_weight(10), io_weight(500), io_weight(1000)),
            (1, 4950, 10_000)
        );
    }

    #[test]
    fn limits_on_one_device_are_gathered() {
        let device = |rate| {
            Some(vec![ThrottleDevice {
                path: Some("/dev/vdb".to_owned()),
                rate: Some(rate),
            }])
        };
        let both = HostConfig {
            blkio_device_read_bps: device(10),
            blkio_device_write_iops: device(20),
            ..host()
        };
        let limits = limits(&both).io;
        assert_eq!(limits.len(), 1);
        assert_eq!(limits[0].read_bytes_per_second, Some(10));
        assert_eq!(limits[0].write_operations_per_second, Some(20));
    }

    #[rstest]
    #[case(HostConfig { memory: Some(4 << 20), ..host() }, "Minimum memory limit allowed is 6MB")]
    #[case(
        HostConfig { memory: Some(64 << 20), memory_swap: Some(32 << 20), ..host() },
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    )]
    #[case(
        HostConfig { nano_cpus: Some(3 * BILLION), ..host() },
        "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
    )]
    #[case(
        HostConfig { cpuset_cpus: Some("0-5".to_owned()), ..host() },
        "Requested CPUs are not available - requested 0-5, available: 0-1"
    )]
    #[case(HostConfig { cpuset_cpus: Some("x".to_owned()), ..host() }, "Invalid value x for cpuset cpus")]
    #[case(HostConfig { blkio_weight: Some(5), ..host() }, "Range of blkio weight is from 10 to 1000")]
    fn what_cannot_be_is_refused_in_dockers_words(#[case] host: HostConfig, #[case] text: &str) {
        assert_eq!(validate(&host, 2).unwrap_err().to_string(), text);
    }
}
