//! What a create request may not say, and what sampan does not do yet: an error each, in Docker's words or
//! naming what is missing, never a silence.

use bollard_stubs::models::{ContainerCreateBody, ExecConfig, HostConfig, Mount};

use protocol::Device;

use super::{capabilities, devices as device_rules, health, limits, restart, signal};
use crate::error::{EngineError, Result};
use crate::log::LogSettings;
use crate::volumes;

/// Text of one request field in bytes, and entries of one list; the whole request has to fit a control
/// message.
const LONGEST_TEXT: usize = 256 << 10;
/// What `--add-host` calls the way to the laptop.
pub(crate) const HOST_GATEWAY: &str = "host-gateway";

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(EngineError::BadRequest(text.into()))
}

fn unsupported<T>(what: impl Into<String>) -> Result<T> {
    Err(EngineError::Unsupported(what.into()))
}

/// Docker's rule for names.
pub(crate) fn name(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut characters = bare.chars();
    let good = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && bare.len() > 1
        && bare.len() <= 255
        && characters.all(|later| later.is_ascii_alphanumeric() || matches!(later, '_' | '.' | '-'));
    if good {
        Ok(bare)
    } else {
        refuse(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))
    }
}

/// Looks at a request as it came.
pub(crate) fn request(body: &ContainerCreateBody, cpus: u32) -> Result<()> {
    let host = body.host_config.clone().unwrap_or_default();
    if let Some(directory) = body
        .working_dir
        .as_deref()
        .filter(|directory| !directory.is_empty())
        && !directory.starts_with('/')
    {
        return refuse(format!(
            "the working directory '{directory}' is invalid, it needs to be an absolute path"
        ));
    }
    if let Some(signal) = body.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        signal::parse(signal)?;
    }
    for variable in body.env.iter().flatten() {
        if variable.is_empty() || variable.starts_with('=') {
            return refuse(format!("invalid environment variable: {variable}"));
        }
    }
    texts([&body.env, &body.cmd, &body.entrypoint])?;
    limits::validate(&host, cpus)?;
    capabilities::resolve(
        host.privileged.unwrap_or(false),
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
    )?;
    SecurityOptions::parse(&host)?;
    if host.auto_remove.unwrap_or(false) && restart::is_set(&host) {
        return refuse("can't create 'AutoRemove' container with restart policy");
    }
    restart::validate(host.restart_policy.as_ref())?;
    health::validate(body.healthcheck.as_ref())?;
    extra_hosts(&host)?;
    missing(&host)
}

/// Looks at an exec request.
pub(crate) fn exec(config: &ExecConfig) -> Result<()> {
    texts([&config.env, &config.cmd, &None])
}

fn texts(texts: [&Option<Vec<String>>; 3]) -> Result<()> {
    let length: usize = texts
        .into_iter()
        .flatten()
        .flatten()
        .map(|text| text.len().saturating_add(8))
        .sum();
    if length > LONGEST_TEXT {
        return refuse(format!(
            "command and environment have {length} bytes, over the limit of {LONGEST_TEXT}"
        ));
    }
    if texts
        .into_iter()
        .flatten()
        .flatten()
        .any(|text| text.contains('\0'))
    {
        return refuse("command and environment may not contain NUL bytes");
    }
    Ok(())
}

/// What is not there yet.
fn missing(host: &HostConfig) -> Result<()> {
    fn given(text: Option<&String>, harmless: &[&str]) -> Option<String> {
        text.filter(|text| !text.is_empty() && !harmless.contains(&text.as_str()))
            .cloned()
    }
    volumes::check_driver(host.volume_driver.as_deref(), None)?;
    if host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return unsupported("publishing ports (-p)");
    }
    let own_network = !host
        .network_mode
        .as_deref()
        .is_some_and(|mode| mode == "host" || mode.starts_with("container:"));
    if let Some(name) = host
        .sysctls
        .iter()
        .flatten()
        .map(|(name, _)| name)
        .find(|name| name.starts_with("net.") && !own_network)
    {
        return refuse(format!("sysctl '{name}' not allowed in host network namespace"));
    }
    if let Some(mode) = given(host.userns_mode.as_ref(), &["host"]) {
        return unsupported(format!("the user namespace {mode} (--userns)"));
    }
    for (flag, mode, plain) in [
        ("PID", host.pid_mode.as_ref(), ["host", "host"]),
        ("UTS", host.uts_mode.as_ref(), ["host", "host"]),
    ] {
        if let Some(mode) = given(mode, &plain)
            && !(flag == "PID" && mode.starts_with("container:"))
        {
            return refuse(format!("invalid {flag} mode: {mode}"));
        }
    }
    if let Some(mode) = given(host.ipc_mode.as_ref(), &["private", "shareable", "host", "none"])
        && !mode.starts_with("container:")
    {
        return refuse(format!("invalid IPC mode: {mode}"));
    }
    if given(host.cgroup_parent.as_ref(), &[]).is_some() {
        return unsupported("a parent cgroup (--cgroup-parent)");
    }
    devices(host)?;
    device_rules::rules(host)?;
    device_rules::requests(host)?;
    if host
        .storage_opt
        .as_ref()
        .is_some_and(|options| !options.is_empty())
    {
        return unsupported("storage options (--storage-opt)");
    }
    if let Some(runtime) = given(host.runtime.as_ref(), &["runc", "io.containerd.runc.v2"]) {
        return refuse(format!("unknown or invalid runtime name: {runtime}"));
    }
    match &host.log_config {
        Some(log) => LogSettings::parse(log).map(drop),
        None => Ok(()),
    }
}

/// The tmpfs of a `--mount type=tmpfs`, as target and mount options.
pub(crate) fn tmpfs_mount(mount: &Mount) -> Result<(String, Vec<String>)> {
    let target = mount.target.clone().unwrap_or_default();
    absolute(&target)?;
    let mut options = Vec::new();
    if let Some(tmpfs) = &mount.tmpfs_options {
        options.extend(
            tmpfs
                .size_bytes
                .filter(|size| *size > 0)
                .map(|size| format!("size={size}")),
        );
        options.extend(
            tmpfs
                .mode
                .filter(|mode| *mode > 0)
                .map(|mode| format!("mode={mode:o}")),
        );
    }
    if mount.read_only.unwrap_or(false) {
        options.push("ro".to_owned());
    }
    Ok((target, options))
}

/// The tmpfs of `--tmpfs target:options`.
pub(crate) fn tmpfs(target: &str, options: &str) -> Result<(String, Vec<String>)> {
    const KNOWN: [&str; 22] = [
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "mand",
        "nomand",
        "remount",
    ];
    absolute(target)?;
    let options: Vec<String> = options
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    for option in &options {
        let name = option.split('=').next().unwrap_or_default();
        let valued = matches!(
            name,
            "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol"
        );
        if !valued && !KNOWN.contains(&option.as_str()) {
            return refuse(format!("invalid tmpfs option [\"{option}\"]"));
        }
    }
    Ok((target.to_owned(), options))
}

fn absolute(target: &str) -> Result<()> {
    if target.starts_with('/')
        && !target.trim_matches('/').is_empty()
        && !target.split('/').any(|part| part == "..")
    {
        Ok(())
    } else {
        refuse(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        ))
    }
}

/// `--add-host` entries as (host, address), which may be [`HOST_GATEWAY`].
pub(crate) fn extra_hosts(host: &HostConfig) -> Result<Vec<(String, String)>> {
    host.extra_hosts
        .iter()
        .flatten()
        .map(|entry| {
            let bad = || EngineError::BadRequest(format!("bad format for add-host: \"{entry}\""));
            let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            let valid = bare == HOST_GATEWAY || bare.parse::<std::net::IpAddr>().is_ok();
            let clean = !name.is_empty() && !name.contains(char::is_whitespace);
            if valid && clean {
                Ok((name.to_owned(), bare.to_owned()))
            } else {
                refuse(format!("invalid IP address in add-host: \"{address}\""))
            }
        })
        .collect()
}

/// `--device`: devices of the machine.
pub(crate) fn devices(host: &HostConfig) -> Result<Vec<Device>> {
    host.devices
        .iter()
        .flatten()
        .map(|device| {
            let source = device.path_on_host.clone().unwrap_or_default();
            let target = device.path_in_container.clone().filter(|path| !path.is_empty());
            let access = device
                .cgroup_permissions
                .clone()
                .filter(|access| !access.is_empty());
            let access = access.unwrap_or_else(|| "rwm".to_owned());
            if !source.starts_with("/dev/") || source.split('/').any(|part| part == "..") {
                return refuse(format!(
                    "{source:?} is not a device of the machine: its devices are in /dev"
                ));
            }
            if !access.chars().all(|letter| "rwm".contains(letter)) {
                return refuse(format!("invalid device mode: {access}"));
            }
            Ok(Device {
                target: target.unwrap_or_else(|| source.clone()),
                source,
                access,
            })
        })
        .collect()
}

/// A seccomp profile of the user's own.
pub(crate) fn profile(json: &str) -> Result<seccomp::Profile> {
    seccomp::Profile::parse(json.as_bytes())
        .map_err(|error| EngineError::BadRequest(format!("Decoding seccomp profile failed: {error}")))
}

/// `--security-opt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityOptions {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp_unconfined: bool,
    /// A profile of the user's own, as JSON.
    pub(crate) seccomp_profile: Option<String>,
}

impl SecurityOptions {
    pub(crate) fn parse(host: &HostConfig) -> Result<Self> {
        let mut options = Self::default();
        for option in host.security_opt.iter().flatten() {
            let (name, value) = match option.split_once(['=', ':']) {
                Some((name, value)) => (name, Some(value)),
                None => (option.as_str(), None),
            };
            match (name, value) {
                ("no-new-privileges", None | Some("true")) => options.no_new_privileges = true,
                ("no-new-privileges", Some("false")) => options.no_new_privileges = false,
                ("seccomp", Some("unconfined")) => options.seccomp_unconfined = true,
                ("seccomp", Some("builtin")) => options.seccomp_unconfined = false,
                ("seccomp", Some(json)) => {
                    profile(json)?;
                    options.seccomp_unconfined = false;
                    options.seccomp_profile = Some(json.to_owned());
                }
                // Neither is in the guest's kernel: nothing is to be confined.
                ("apparmor", Some("unconfined")) | ("label", Some("disable")) => {}
                ("apparmor" | "label", _) => {
                    return unsupported(format!("{name} profiles (--security-opt {name}=)"));
                }
                _ => return refuse(format!("invalid --security-opt 2: \"{option}\"")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn error(host: HostConfig) -> String {
        let body = ContainerCreateBody {
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        request(&body, 2).unwrap_err().to_string()
    }

    fn host() -> HostConfig {
        HostConfig::default()
    }

    fn list(text: &str) -> Option<Vec<String>> {
        Some(vec![text.to_owned()])
    }

    #[rstest]
    #[case("web")]
    #[case("/web-1.2_x")]
    fn a_good_name_loses_its_slash(#[case] given: &str) {
        assert_eq!(name(given).unwrap(), given.trim_start_matches('/'));
    }

    #[rstest]
    #[case("")]
    #[case("a")]
    #[case("_a")]
    #[case("a b")]
    #[case("../x")]
    fn a_bad_name_is_refused_in_dockers_words(#[case] given: &str) {
        assert_eq!(
            name(given).unwrap_err().to_string(),
            format!("Invalid container name ({given}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        );
    }

    #[rstest]
    #[case(HostConfig { port_bindings: Some([("80/tcp".to_owned(), None)].into()), ..host() }, "publishing ports")]
    #[case(HostConfig { userns_mode: Some("keep".to_owned()), ..host() }, "--userns")]
    fn what_is_missing_names_itself(#[case] host: HostConfig, #[case] named: &str) {
        let text = error(host);
        assert!(
            text.contains(named) && text.starts_with("sampan does not support"),
            "{text}"
        );
    }

    #[test]
    fn what_the_docker_client_always_sends_is_accepted() {
        let json = r#"{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default",
            "PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"VolumeDriver":"",
            "VolumesFrom":null,"ConsoleSize":[50,80],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],
            "DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,
            "OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,
            "SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,
            "NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],
            "BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,
            "CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],
            "DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,
            "OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,
            "IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null}"#;
        let host: HostConfig = serde_json::from_str(json).unwrap();
        let body = ContainerCreateBody {
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        request(&body, 1).unwrap();
    }

    #[test]
    fn tmpfs_options_are_checked() {
        assert_eq!(tmpfs("/run", "rw,size=64m").unwrap().1, ["rw", "size=64m"]);
        assert!(tmpfs("/run", "bind").is_err());
        assert!(tmpfs("run", "").is_err());
        assert!(tmpfs("/a/../b", "").is_err());
    }

    #[test]
    fn an_added_host_may_have_an_ipv6_address() {
        let host = HostConfig {
            extra_hosts: list("db:[::1]"),
            ..host()
        };
        assert_eq!(extra_hosts(&host).unwrap(), [("db".to_owned(), "::1".to_owned())]);
    }

    #[test]
    fn security_options_are_read_with_either_separator() {
        let host = HostConfig {
            security_opt: Some(vec![
                "no-new-privileges".to_owned(),
                "seccomp:unconfined".to_owned(),
            ]),
            ..host()
        };
        let expected = SecurityOptions {
            no_new_privileges: true,
            seccomp_unconfined: true,
            seccomp_profile: None,
        };
        assert_eq!(SecurityOptions::parse(&host).unwrap(), expected);
    }
}
