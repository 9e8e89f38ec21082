//! A create request and an image's config become one resolved config (moby `daemon/commit.go`, `merge`, and
//! `daemon/create.go`).

use bollard_stubs::models::{
    ContainerConfig, ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};
use store::ImageConfig;

use super::health;
use crate::error::{EngineError, Result};
use crate::names;

/// Bytes of /dev/shm where nothing else is asked.
const SHM_BYTES: i64 = 64 << 20;

/// Paths that Docker hides from containers that are not privileged.
const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
];
/// One more, kept apart so that the list above stays sorted under /proc.
const MASKED_FIRMWARE: &str = "/sys/firmware";
/// Paths that Docker makes read-only in containers that are not privileged.
const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A resolved container: what to run, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    pub(crate) config: ContainerConfig,
    pub(crate) host_config: HostConfig,
    /// What the user is to know and need not do anything about.
    pub(crate) warnings: Vec<String>,
}

/// Merges a valid request over the image's config.
pub(crate) fn resolve(id: &str, body: ContainerCreateBody, image: &ImageConfig) -> Result<Resolved> {
    let filled = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    let text = |given: Option<String>, default: &str| {
        given
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| default.to_owned())
    };

    let (mut entrypoint, mut cmd) = (body.entrypoint, filled(body.cmd));
    if entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if cmd.is_none() {
            cmd = filled(image.cmd.clone());
        }
        if entrypoint.is_none() {
            entrypoint = image.entrypoint.clone();
        }
    }
    // `--entrypoint ""` takes the image's entrypoint away.
    let entrypoint =
        filled(entrypoint).filter(|words| !matches!(words.as_slice(), [only] if only.is_empty()));
    let mut words = entrypoint.iter().flatten().chain(cmd.iter().flatten()).cloned();
    let path = words
        .next()
        .ok_or_else(|| EngineError::BadRequest("no command specified".to_owned()))?;
    let args: Vec<String> = words.collect();

    let mut env = body.env.unwrap_or_default();
    for variable in &image.env {
        let name = variable.split('=').next();
        if !env.iter().any(|given| given.split('=').next() == name) {
            env.push(variable.clone());
        }
    }
    let mut labels = body.labels.unwrap_or_default();
    for (name, value) in &image.labels {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let mut ports = body.exposed_ports.unwrap_or_default();
    ports.extend(image.exposed_ports.iter().cloned());
    ports.sort();
    ports.dedup();
    let mut volumes = body.volumes.unwrap_or_default();
    volumes.extend(image.volumes.iter().cloned());
    volumes.sort();
    volumes.dedup();
    let healthcheck = health::merged(body.healthcheck, image.healthcheck.as_ref().map(health_of));
    let config = ContainerConfig {
        hostname: Some(text(body.hostname, names::short(id))),
        domainname: Some(body.domainname.unwrap_or_default()),
        user: Some(text(body.user, &image.user)),
        attach_stdin: Some(body.attach_stdin.unwrap_or(false)),
        attach_stdout: Some(body.attach_stdout.unwrap_or(false)),
        attach_stderr: Some(body.attach_stderr.unwrap_or(false)),
        exposed_ports: Some(ports).filter(|ports| !ports.is_empty()),
        tty: Some(body.tty.unwrap_or(false)),
        open_stdin: Some(body.open_stdin.unwrap_or(false)),
        stdin_once: Some(body.stdin_once.unwrap_or(false)),
        env: Some(env),
        cmd,
        healthcheck,
        args_escaped: None,
        image: body.image,
        volumes: Some(volumes).filter(|volumes| !volumes.is_empty()),
        working_dir: Some(text(body.working_dir, &image.working_dir)),
        entrypoint,
        network_disabled: body.network_disabled.filter(|disabled| *disabled),
        on_build: None,
        labels: Some(labels),
        stop_signal: body
            .stop_signal
            .filter(|signal| !signal.is_empty())
            .or_else(|| image.stop_signal.clone()),
        stop_timeout: body.stop_timeout,
        shell: body.shell.or_else(|| image.shell.clone()),
    };
    let host_config = host(body.host_config.unwrap_or_default());
    Ok(Resolved {
        path,
        args,
        warnings: unpublished(&config, &host_config).into_iter().collect(),
        config,
        host_config,
    })
}

/// What `-P` (`PublishAllPorts`) asks for and is not there yet. Test frameworks always ask, and most need no port: the
/// container is theirs all the same, and they are told.
fn unpublished(config: &ContainerConfig, host: &HostConfig) -> Option<String> {
    const SHOWN: usize = 4;
    let ports = config
        .exposed_ports
        .as_deref()
        .filter(|_| host.publish_all_ports == Some(true))?;
    let mut shown = ports.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = ports.len().checked_sub(SHOWN) {
        shown.push_str(&format!(" and {more} more"));
    }
    Some(format!(
        "sampan does not publish ports yet: {shown} of this container can be reached from containers on its networks, \
         and not from this computer"
    ))
}

fn health_of(check: &store::Healthcheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: Some(check.interval),
        timeout: Some(check.timeout),
        retries: Some(check.retries),
        start_period: Some(check.start_period),
        start_interval: Some(check.start_interval),
    }
}

/// Fills in what Docker shows where nothing was asked.
fn host(mut host: HostConfig) -> HostConfig {
    let privileged = host.privileged.unwrap_or(false);
    let text = |given: &mut Option<String>, default: &str| {
        if given.as_ref().is_none_or(String::is_empty) {
            *given = Some(default.to_owned());
        }
    };
    if host.network_mode.as_deref() == Some("default") {
        host.network_mode = None;
    }
    text(&mut host.network_mode, "bridge");
    text(&mut host.ipc_mode, "private");
    text(&mut host.runtime, "runc");
    if matches!(host.cgroupns_mode, None | Some(HostConfigCgroupnsModeEnum::EMPTY)) {
        host.cgroupns_mode = Some(HostConfigCgroupnsModeEnum::PRIVATE);
    }
    if host.shm_size.unwrap_or(0) == 0 {
        host.shm_size = Some(SHM_BYTES);
    }
    let log = host.log_config.get_or_insert_with(HostConfigLogConfig::default);
    text(&mut log.typ, "json-file");
    log.config.get_or_insert_with(Default::default);
    let policy = host.restart_policy.get_or_insert_with(RestartPolicy::default);
    if matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY)) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    policy.maximum_retry_count.get_or_insert(0);
    // An empty list asks for none (`--security-opt systempaths=unconfined`); absent asks for Docker's.
    if privileged {
        host.masked_paths = Some(Vec::new());
        host.readonly_paths = Some(Vec::new());
    } else {
        let owned = |paths: &[&str]| {
            paths
                .iter()
                .map(|path| (*path).to_owned())
                .collect::<Vec<String>>()
        };
        host.masked_paths.get_or_insert_with(|| {
            let mut paths = owned(&MASKED_PATHS);
            paths.push(MASKED_FIRMWARE.to_owned());
            paths
        });
        host.readonly_paths.get_or_insert_with(|| owned(&READONLY_PATHS));
    }
    host
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn ports_that_are_all_to_be_published_are_warned_of_where_there_are_any() {
        let warned = |ports: &[&str], all: bool| {
            let body = ContainerCreateBody {
                image: Some("web".to_owned()),
                cmd: Some(vec!["serve".to_owned()]),
                exposed_ports: Some(ports.iter().map(|port| (*port).to_owned()).collect()),
                host_config: Some(HostConfig {
                    publish_all_ports: Some(all),
                    ..HostConfig::default()
                }),
                ..ContainerCreateBody::default()
            };
            resolve("id", body, &ImageConfig::default()).unwrap().warnings
        };
        assert_eq!(
            warned(&["80/tcp"], true),
            [
                "sampan does not publish ports yet: 80/tcp of this container can be reached from containers on its \
              networks, and not from this computer"
            ]
        );
        let many = ["1/tcp", "2/tcp", "3/tcp", "4/tcp", "5/tcp"];
        assert!(warned(&many, true)[0].contains(": 1/tcp, 2/tcp, 3/tcp, 4/tcp and 1 more of"));
        assert!(warned(&[], true).is_empty() && warned(&["80/tcp"], false).is_empty());
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    fn image(entrypoint: Option<&str>, cmd: Option<&str>) -> ImageConfig {
        ImageConfig {
            entrypoint: entrypoint.and_then(words),
            cmd: cmd.and_then(words),
            env: vec!["PATH=/image".to_owned(), "A=image".to_owned()],
            ..ImageConfig::default()
        }
    }

    fn command(body: ContainerCreateBody, image: &ImageConfig) -> String {
        let resolved = resolve("0123456789abcdef", body, image).unwrap();
        std::iter::once(resolved.path)
            .chain(resolved.args)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[rstest]
    #[case(None, None, Some("/hello"), None, "/hello")]
    #[case(None, Some("ls -l"), None, Some("sh"), "ls -l")]
    #[case(None, Some("x"), Some("entry"), Some("default"), "entry x")]
    #[case(None, None, Some("entry"), Some("default"), "entry default")]
    #[case(Some("mine"), None, Some("entry"), Some("default"), "mine")]
    #[case(Some("mine"), Some("x"), Some("entry"), Some("default"), "mine x")]
    fn command_and_entrypoint_merge_as_in_docker(
        #[case] entrypoint: Option<&str>,
        #[case] cmd: Option<&str>,
        #[case] image_entrypoint: Option<&str>,
        #[case] image_cmd: Option<&str>,
        #[case] expected: &str,
    ) {
        let body = ContainerCreateBody {
            entrypoint: entrypoint.and_then(words),
            cmd: cmd.and_then(words),
            ..ContainerCreateBody::default()
        };
        assert_eq!(command(body, &image(image_entrypoint, image_cmd)), expected);
    }

    #[test]
    fn an_empty_entrypoint_takes_the_images_away() {
        let body = ContainerCreateBody {
            entrypoint: Some(vec![String::new()]),
            cmd: words("ls"),
            ..ContainerCreateBody::default()
        };
        assert_eq!(command(body, &image(Some("entry"), None)), "ls");
    }

    #[test]
    fn nothing_to_run_is_refused() {
        let error = resolve("id", ContainerCreateBody::default(), &image(None, None)).unwrap_err();
        assert_eq!(error.to_string(), "no command specified");
    }

    #[test]
    fn the_users_environment_comes_first_and_wins() {
        let body = ContainerCreateBody {
            env: Some(vec!["B=user".to_owned(), "A=user".to_owned()]),
            cmd: words("ls"),
            ..ContainerCreateBody::default()
        };
        let resolved = resolve("id", body, &image(None, None)).unwrap();
        assert_eq!(resolved.config.env.unwrap(), ["B=user", "A=user", "PATH=/image"]);
    }

    #[test]
    fn the_hostname_is_the_short_id() {
        let body = ContainerCreateBody {
            cmd: words("ls"),
            ..ContainerCreateBody::default()
        };
        let resolved = resolve("0123456789abcdef", body, &image(None, None)).unwrap();
        assert_eq!(resolved.config.hostname.unwrap(), "0123456789ab");
    }

    #[test]
    fn a_privileged_container_has_nothing_masked() {
        let host_config = Some(HostConfig {
            privileged: Some(true),
            ..HostConfig::default()
        });
        let body = ContainerCreateBody {
            cmd: words("ls"),
            host_config,
            ..ContainerCreateBody::default()
        };
        let resolved = resolve("id", body, &image(None, None)).unwrap();
        assert_eq!(resolved.host_config.masked_paths, Some(Vec::new()));
    }

    #[test]
    fn volumes_and_health_checks_come_from_the_image_too() {
        let mut image = image(None, Some("ls"));
        image.volumes = vec!["/data".to_owned()];
        image.healthcheck = Some(store::Healthcheck {
            test: vec!["CMD".to_owned()],
            ..Default::default()
        });
        let body = ContainerCreateBody {
            volumes: Some(vec!["/cache".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let config = resolve("id", body, &image).unwrap().config;
        assert_eq!(config.volumes.unwrap(), ["/cache", "/data"]);
        assert_eq!(config.healthcheck.unwrap().test.unwrap(), ["CMD"]);
    }
}
