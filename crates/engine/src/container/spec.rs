//! A record becomes what the guest is told: no default is left to guess (moby `daemon/oci_linux.go`).

use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum, MountType};
use protocol::{ContainerSpec, LayerExtent, Mount, Namespace, Network, Process, Stdio};

use super::{capabilities, devices, limits, validate};
use crate::error::{EngineError, Result};
use crate::network::Wiring;
use crate::record::Record;

/// Docker's PATH for images that set none.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What every process may use beyond its container's limits unless asked otherwise: Docker lets unprivileged
/// containers ping and bind low ports without a capability.
const SYSCTLS: [(&str, &str); 2] = [
    ("net.ipv4.ping_group_range", "0 2147483647"),
    ("net.ipv4.ip_unprivileged_port_start", "0"),
];
const LOOPBACK_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                              ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// What an exec may ask differently from its container's first process. Absent is the container's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecProcess {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) working_directory: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) privileged: bool,
    pub(crate) tty: bool,
}

/// A kernel's version as the seccomp profile looks at it: 6.12 is (6, 12).
pub(crate) type KernelVersion = (u32, u32);

/// The version in a release such as `6.12.48+`; (0, 0) where there is none.
pub(crate) fn kernel_version(release: &str) -> KernelVersion {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What of a container's surroundings is known when it starts.
pub(crate) struct Surroundings {
    pub(crate) volumes: Vec<Mount>,
    pub(crate) wiring: Wiring,
    pub(crate) pid: Namespace,
    pub(crate) ipc: Namespace,
    pub(crate) uts: Namespace,
}

/// The whole container.
pub(crate) fn container(
    record: &Record,
    kernel: KernelVersion,
    layers: Vec<LayerExtent>,
    surroundings: Surroundings,
    stdio: Stdio,
) -> Result<ContainerSpec> {
    let host = &record.host_config;
    let mut mounts = Vec::new();
    for (target, options) in host.tmpfs.iter().flatten() {
        let (target, options) = validate::tmpfs(target, options)?;
        mounts.push(Mount::Tmpfs { target, options });
    }
    for mount in host
        .mounts
        .iter()
        .flatten()
        .filter(|mount| mount.typ == Some(MountType::TMPFS))
    {
        let (target, options) = validate::tmpfs_mount(mount)?;
        mounts.push(Mount::Tmpfs { target, options });
    }
    mounts.extend(surroundings.volumes);
    // A mount point below another has to come after it.
    mounts.sort_by(|first, second| first.target().cmp(second.target()));
    let mut arguments = vec![record.path.clone()];
    arguments.extend(record.args.iter().cloned());
    Ok(ContainerSpec {
        id: record.id.clone(),
        hostname: record.config.hostname.clone().unwrap_or_default(),
        domainname: record.config.domainname.clone().unwrap_or_default(),
        layers,
        read_only_root: host.readonly_rootfs.unwrap_or(false),
        process: process(
            record,
            kernel,
            ExecProcess {
                arguments,
                tty: record.tty(),
                ..ExecProcess::default()
            },
            stdio,
        )?,
        init: host.init.unwrap_or(false),
        mounts,
        etc_files: etc_files(record, &surroundings.wiring)?,
        shm_bytes: host
            .shm_size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(64 << 20),
        devices: validate::devices(host)?,
        device_rules: devices::rules(host)?,
        privileged: host.privileged.unwrap_or(false),
        masked_paths: host.masked_paths.clone().unwrap_or_default(),
        readonly_paths: host.readonly_paths.clone().unwrap_or_default(),
        sysctls: sysctls(record, &surroundings.wiring.network),
        limits: limits::limits(host),
        network: surroundings.wiring.network,
        pid: surroundings.pid,
        ipc: surroundings.ipc,
        uts: surroundings.uts,
        cgroup: match host.cgroupns_mode {
            Some(HostConfigCgroupnsModeEnum::HOST) => Namespace::Machine,
            _ => Namespace::Own,
        },
    })
}

/// One process in the container: the first, which differs from the record in nothing, or one more.
pub(crate) fn process(
    record: &Record,
    kernel: KernelVersion,
    own: ExecProcess,
    stdio: Stdio,
) -> Result<Process> {
    let host = &record.host_config;
    let security = validate::SecurityOptions::parse(host)?;
    let privileged = own.privileged || host.privileged.unwrap_or(false);
    let capabilities = capabilities::resolve(
        privileged,
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
    )?;
    let seccomp = if privileged || security.seccomp_unconfined {
        Vec::new()
    } else {
        match &security.seccomp_profile {
            None => seccomp::docker_default(record.architecture, &capabilities, kernel),
            Some(json) => validate::profile(json)?
                .compile(record.architecture, &capabilities, kernel)
                .map_err(|error| {
                    EngineError::BadRequest(format!("the seccomp profile cannot be used: {error}"))
                })?,
        }
    };
    let first = |own: Option<String>, records: &Option<String>, default: &str| {
        let given = own.or_else(|| records.clone()).filter(|text| !text.is_empty());
        given.unwrap_or_else(|| default.to_owned())
    };
    Ok(Process {
        environment: environment(record, own.tty, &own.environment),
        arguments: own.arguments,
        working_directory: first(own.working_directory, &record.config.working_dir, "/"),
        user: first(own.user, &record.config.user, ""),
        additional_groups: host.group_add.clone().unwrap_or_default(),
        capabilities,
        no_new_privileges: security.no_new_privileges,
        rlimits: limits::rlimits(host)?,
        oom_score_adj: host
            .oom_score_adj
            .and_then(|score| i32::try_from(score).ok())
            .unwrap_or(0),
        seccomp,
        stdio,
    })
}

/// Docker's environment: PATH, HOSTNAME and TERM first, the container's own over them, then that of an exec.
/// A name without `=` takes a variable away.
fn environment(record: &Record, tty: bool, more: &[String]) -> Vec<String> {
    let mut environment = vec![DEFAULT_PATH.to_owned()];
    environment.push(format!(
        "HOSTNAME={}",
        record.config.hostname.as_deref().unwrap_or_default()
    ));
    if tty {
        environment.push("TERM=xterm".to_owned());
    }
    for variable in record.config.env.iter().flatten().chain(more) {
        let name = variable.split('=').next().unwrap_or_default();
        let position = environment
            .iter()
            .position(|known| known.split('=').next() == Some(name));
        match (position, variable.contains('=')) {
            (Some(position), true) => {
                if let Some(known) = environment.get_mut(position) {
                    known.clone_from(variable);
                }
            }
            (Some(position), false) => drop(environment.remove(position)),
            (None, true) => environment.push(variable.clone()),
            (None, false) => {}
        }
    }
    environment
}

fn etc_files(record: &Record, wiring: &Wiring) -> Result<Vec<(String, String)>> {
    let host = &record.host_config;
    let hostname = record.config.hostname.clone().unwrap_or_default();
    let mut hosts = LOOPBACK_HOSTS.to_owned();
    for (name, address) in validate::extra_hosts(host)? {
        if address != validate::HOST_GATEWAY {
            hosts.push_str(&format!("{address}\t{name}\n"));
            continue;
        }
        for gateway in &wiring.host_gateway {
            hosts.push_str(&format!("{gateway}\t{name}\n"));
        }
    }
    for (address, names) in &wiring.hosts {
        hosts.push_str(&format!("{address}\t{}\n", names.join(" ")));
    }
    Ok(vec![
        ("hostname".to_owned(), format!("{hostname}\n")),
        ("hosts".to_owned(), hosts),
        ("resolv.conf".to_owned(), resolv_conf(host, wiring.resolver)),
    ])
}

/// resolv.conf(5). On a network with a resolver that is the one to ask.
pub(crate) fn resolv_conf(host: &HostConfig, resolver: bool) -> String {
    let mut resolv = String::new();
    if resolver {
        resolv.push_str("nameserver 127.0.0.11\n");
    }
    let one_line = |text: &str| !text.contains(['\n', '\r']);
    for server in host
        .dns
        .iter()
        .flatten()
        .filter(|text| one_line(text) && !resolver)
    {
        resolv.push_str(&format!("nameserver {server}\n"));
    }
    for (keyword, words) in [("search", &host.dns_search), ("options", &host.dns_options)] {
        let words: Vec<&str> = words
            .iter()
            .flatten()
            .map(String::as_str)
            .filter(|text| one_line(text) && !text.is_empty())
            .collect();
        if !words.is_empty() {
            resolv.push_str(&format!("{keyword} {}\n", words.join(" ")));
        }
    }
    resolv
}

fn sysctls(record: &Record, network: &Network) -> Vec<(String, String)> {
    let asked = record.host_config.sysctls.clone().unwrap_or_default();
    let mut sysctls: Vec<(String, String)> = SYSCTLS
        .iter()
        .filter(|(name, _)| !asked.contains_key(*name) && matches!(network, Network::Own { .. }))
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut asked: Vec<(String, String)> = asked.into_iter().collect();
    asked.sort();
    sysctls.extend(asked);
    sysctls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    fn no_stdio() -> Stdio {
        Stdio::Pipes {
            stdin: None,
            stdout: None,
            stderr: None,
        }
    }

    fn alone() -> Surroundings {
        Surroundings {
            volumes: Vec::new(),
            wiring: Wiring {
                network: Network::default(),
                hosts: vec![("172.18.0.2".parse().unwrap(), vec!["box".to_owned()])],
                resolver: false,
                host_gateway: vec!["172.17.0.1".parse().unwrap()],
            },
            pid: Namespace::Own,
            ipc: Namespace::Own,
            uts: Namespace::Own,
        }
    }

    fn spec(host_config: HostConfig, change: impl FnOnce(&mut Record)) -> ContainerSpec {
        let mut record = Record {
            host_config,
            ..record("a")
        };
        change(&mut record);
        container(&record, (6, 12), Vec::new(), alone(), no_stdio()).unwrap()
    }

    #[test]
    fn the_environment_has_dockers_defaults_under_the_users() {
        let spec = spec(HostConfig::default(), |record| {
            record.config.hostname = Some("box".to_owned());
            record.config.tty = Some(true);
            record.config.env = Some(vec![
                "A=1".to_owned(),
                "TERM=dumb".to_owned(),
                "HOSTNAME".to_owned(),
            ]);
        });
        assert_eq!(spec.process.environment, [DEFAULT_PATH, "TERM=dumb", "A=1"]);
    }

    #[test]
    fn an_ordinary_process_is_filtered_and_a_privileged_one_is_not() {
        assert!(!spec(HostConfig::default(), |_| {}).process.seccomp.is_empty());
        let privileged = HostConfig {
            privileged: Some(true),
            ..HostConfig::default()
        };
        assert!(spec(privileged, |_| {}).process.seccomp.is_empty());
        let unconfined = HostConfig {
            security_opt: Some(vec!["seccomp=unconfined".to_owned()]),
            ..HostConfig::default()
        };
        assert!(spec(unconfined, |_| {}).process.seccomp.is_empty());
    }

    #[test]
    fn a_kernel_release_has_a_version() {
        assert_eq!(kernel_version("6.12.48-sampan"), (6, 12));
        assert_eq!(kernel_version("odd"), (0, 0));
    }

    #[test]
    fn a_mount_below_another_comes_after_it() {
        let tmpfs = [("/run/lock", ""), ("/run", "size=1m")]
            .map(|(target, options)| (target.to_owned(), options.to_owned()))
            .into_iter()
            .collect();
        let spec = spec(
            HostConfig {
                tmpfs: Some(tmpfs),
                ..HostConfig::default()
            },
            |_| {},
        );
        let targets: Vec<&str> = spec.mounts.iter().map(Mount::target).collect();
        assert_eq!(targets, ["/run", "/run/lock"]);
    }

    #[test]
    fn a_sysctl_of_the_user_replaces_the_default() {
        let sysctls = Some(
            [("net.ipv4.ping_group_range".to_owned(), "1 0".to_owned())]
                .into_iter()
                .collect(),
        );
        let spec = spec(
            HostConfig {
                sysctls,
                ..HostConfig::default()
            },
            |_| {},
        );
        assert!(
            spec.sysctls
                .contains(&("net.ipv4.ping_group_range".to_owned(), "1 0".to_owned()))
        );
        assert_eq!(spec.sysctls.len(), 2);
    }

    #[test]
    fn name_servers_and_hosts_land_in_etc() {
        let host = HostConfig {
            dns: Some(vec!["9.9.9.9".to_owned(), "1.1.1.1\nevil".to_owned()]),
            dns_search: Some(vec!["example.org".to_owned()]),
            extra_hosts: Some(vec!["db:10.0.0.1".to_owned(), "laptop:host-gateway".to_owned()]),
            ..HostConfig::default()
        };
        let files: std::collections::HashMap<_, _> = spec(host, |_| {}).etc_files.into_iter().collect();
        assert_eq!(files["resolv.conf"], "nameserver 9.9.9.9\nsearch example.org\n");
        assert!(files["hosts"].ends_with("10.0.0.1\tdb\n172.17.0.1\tlaptop\n172.18.0.2\tbox\n"));
    }

    #[test]
    fn an_exec_takes_the_containers_user_and_directory_unless_it_has_its_own() {
        let mut record = record("a");
        record.config.user = Some("app".to_owned());
        record.config.working_dir = Some("/srv".to_owned());
        let plain = ExecProcess {
            arguments: vec!["ls".to_owned()],
            ..Default::default()
        };
        let plain = process(&record, (6, 12), plain, no_stdio()).unwrap();
        assert_eq!(
            (plain.user.as_str(), plain.working_directory.as_str()),
            ("app", "/srv")
        );
        let own = ExecProcess {
            user: Some("root".to_owned()),
            working_directory: Some("/".to_owned()),
            ..Default::default()
        };
        let own = process(&record, (6, 12), own, no_stdio()).unwrap();
        assert_eq!((own.user.as_str(), own.working_directory.as_str()), ("root", "/"));
    }
}
