//! The flags of `run` and `create` as the body of `POST /containers/create`.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};
use serde_json::{Value, json};

use crate::arguments::ContainerFlags;
use crate::values::{pairs, split};
use crate::{devices, mounts, networks, values};

type Result<T> = std::result::Result<T, String>;

/// What a client is to be attached to, and the body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) body: Value,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// Builds the body. `attached` is false for `run -d`.
pub(crate) fn request(
    flags: &ContainerFlags,
    attached: bool,
    console: Option<(u16, u16)>,
) -> Result<Request> {
    refuse_what_is_not_there(flags)?;
    if flags.log_driver.as_deref() == Some("none") && !flags.log_opt.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    let Some((image, command)) = flags.image_and_command.split_first() else {
        return Err("no image was named".to_owned());
    };
    if image.is_empty() {
        return Err("invalid reference format".to_owned());
    }
    let asked = |name: &str| {
        flags
            .attach
            .iter()
            .any(|stream| stream.eq_ignore_ascii_case(name))
    };
    let all = flags.attach.is_empty();
    let stdin = attached && (asked("stdin") || (all && flags.interactive));
    let (stdout, stderr) = (
        attached && (all || asked("stdout")),
        attached && (all || asked("stderr")),
    );
    let mut env = Vec::new();
    for file in &flags.env_file {
        env.extend(values::variables(file)?);
    }
    for variable in &flags.env {
        env.push(values::variable(variable)?);
    }
    let mut labels = Vec::new();
    for file in &flags.label_file {
        labels.extend(values::labels(file)?);
    }
    labels.extend(flags.label.iter().cloned());
    // The engine knows it by this label, which every client can set.
    labels.extend(
        flags
            .network_rate
            .iter()
            .map(|rate| format!("sampan.network-rate={rate}")),
    );
    let entrypoint = flags.entrypoint.as_ref().map(|program| vec![program.clone()]);
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        entrypoint,
        env: Some(env),
        labels: Some(pairs(&labels)),
        hostname: flags.hostname.clone(),
        domainname: flags.domainname.clone(),
        user: flags.user.clone(),
        working_dir: flags.workdir.clone(),
        tty: Some(flags.tty),
        open_stdin: Some(flags.interactive),
        stdin_once: Some(flags.interactive && stdin),
        attach_stdin: Some(stdin),
        attach_stdout: Some(stdout),
        attach_stderr: Some(stderr),
        exposed_ports: Some(exposed_ports(&flags.expose)?),
        stop_signal: flags.stop_signal.clone(),
        stop_timeout: flags.stop_timeout,
        healthcheck: networks::health(flags)?,
        networking_config: networks::networks(flags)?.1,
        volumes: some(&mounts::volumes(&flags.volume)?.anonymous),
        host_config: Some(host_config(flags, console)?),
        ..ContainerCreateBody::default()
    };
    let body = serde_json::to_value(body).map_err(|error| error.to_string())?;
    Ok(Request {
        body,
        stdin,
        stdout,
        stderr,
    })
}

/// Flags of things that come later are an error and never silence.
fn refuse_what_is_not_there(flags: &ContainerFlags) -> Result<()> {
    let absent = [(!flags.publish.is_empty(), "publish ports (-p)")];
    match absent.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(format!("sampan cannot {what} yet")),
        None => Ok(()),
    }
}

fn host_config(flags: &ContainerFlags, console: Option<(u16, u16)>) -> Result<HostConfig> {
    let restart_policy = flags.limits.restart.as_deref().map(restart).transpose()?;
    if flags.rm
        && restart_policy
            .as_ref()
            .is_some_and(|policy| policy.name != Some(RestartPolicyNameEnum::NO))
    {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    let size = |text: &Option<String>, flag: &str| bounded(text.as_deref(), flag, values::bytes);
    let (security_opt, unmasked) = security(&flags.security_opt)?;
    let tmpfs: HashMap<String, String> = flags.tmpfs.iter().map(|text| split(text, ':')).collect();
    let nano_cpus = bounded(flags.limits.cpus.as_deref(), "--cpus", values::nano_cpus)?;
    if nano_cpus.is_some() && (flags.limits.cpu_period.is_some() || flags.limits.cpu_quota.is_some()) {
        return Err(
            "conflicting options: cannot specify both --cpus and --cpu-period or --cpu-quota".to_owned(),
        );
    }
    Ok(HostConfig {
        auto_remove: Some(flags.rm),
        publish_all_ports: Some(flags.publish_all),
        annotations: some(&flags.annotation).map(|all| pairs(&all)),
        binds: some(&mounts::volumes(&flags.volume)?.binds),
        mounts: each(&flags.mount, mounts::mount)?,
        volumes_from: some(&flags.volumes_from),
        volume_driver: flags.volume_driver.clone(),
        blkio_weight: flags.limits.blkio_weight,
        blkio_weight_device: each(&flags.blkio_weight_device, values::device_weight)?,
        blkio_device_read_bps: each(&flags.device_read_bps, values::device_bytes)?,
        blkio_device_write_bps: each(&flags.device_write_bps, values::device_bytes)?,
        blkio_device_read_iops: each(&flags.device_read_iops, values::device_operations)?,
        blkio_device_write_iops: each(&flags.device_write_iops, values::device_operations)?,
        cap_add: some(&flags.cap_add),
        cap_drop: some(&flags.cap_drop),
        cgroup_parent: flags.cgroup_parent.clone(),
        cgroupns_mode: flags
            .cgroupns
            .as_deref()
            .map(|mode| {
                mode.parse()
                    .map_err(|_| "--cgroupns: invalid CGROUP mode".to_owned())
            })
            .transpose()?,
        console_size: console
            .filter(|_| flags.tty)
            .map(|(rows, columns)| vec![rows.into(), columns.into()]),
        container_id_file: flags
            .cidfile
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned()),
        cpu_period: flags.limits.cpu_period,
        cpu_quota: flags.limits.cpu_quota,
        cpu_realtime_period: flags.limits.cpu_rt_period,
        cpu_realtime_runtime: flags.limits.cpu_rt_runtime,
        cpu_shares: flags.limits.cpu_shares,
        cpuset_cpus: flags.limits.cpuset_cpus.clone(),
        cpuset_mems: flags.limits.cpuset_mems.clone(),
        nano_cpus,
        devices: each(&flags.device, values::device)?,
        device_cgroup_rules: each(&flags.device_cgroup_rule, devices::cgroup_rule)?,
        device_requests: each(&flags.gpus, devices::gpus)?,
        dns: some(&flags.dns),
        dns_options: some(&flags.dns_option),
        dns_search: some(&flags.dns_search),
        extra_hosts: some(
            &flags
                .add_host
                .iter()
                .map(|host| extra_host(host))
                .collect::<Result<Vec<_>>>()?,
        ),
        group_add: some(&flags.group_add),
        init: flags.init.then_some(true),
        ipc_mode: flags.ipc.clone(),
        log_config: (flags.log_driver.is_some() || !flags.log_opt.is_empty()).then(|| HostConfigLogConfig {
            typ: Some(flags.log_driver.clone().unwrap_or_default()),
            config: Some(pairs(&flags.log_opt)),
        }),
        memory: size(&flags.limits.memory, "-m, --memory")?,
        memory_reservation: size(&flags.limits.memory_reservation, "--memory-reservation")?,
        memory_swap: bounded(
            flags.limits.memory_swap.as_deref(),
            "--memory-swap",
            values::bytes_or_unlimited,
        )?,
        memory_swappiness: flags.memory_swappiness,
        network_mode: Some(networks::networks(flags)?.0),
        links: some(&flags.link).filter(|_| flags.network.iter().all(|name| name == "bridge")),
        oom_kill_disable: flags.oom_kill_disable.then_some(true),
        oom_score_adj: flags.oom_score_adj,
        pid_mode: flags.pid.clone(),
        pids_limit: flags.limits.pids_limit,
        privileged: Some(flags.privileged),
        readonly_rootfs: Some(flags.read_only),
        restart_policy,
        runtime: flags.runtime.clone(),
        security_opt: some(&security_opt),
        masked_paths: unmasked.then(Vec::new),
        readonly_paths: unmasked.then(Vec::new),
        shm_size: size(&flags.shm_size, "--shm-size")?,
        storage_opt: some(&flags.storage_opt).map(|all| pairs(&all)),
        sysctls: some(&flags.sysctl).map(|all| pairs(&all)),
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        ulimits: each(&flags.ulimit, values::ulimit)?,
        userns_mode: flags.userns.clone(),
        uts_mode: flags.uts.clone(),
        ..HostConfig::default()
    })
}

fn some(values: &[String]) -> Option<Vec<String>> {
    (!values.is_empty()).then(|| values.to_vec())
}

fn each<T>(texts: &[String], parse: fn(&str) -> Result<T>) -> Result<Option<Vec<T>>> {
    if texts.is_empty() {
        return Ok(None);
    }
    texts
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>>>()
        .map(Some)
}

/// A value of a flag, or an error that names the flag.
pub(crate) fn bounded(text: Option<&str>, flag: &str, parse: fn(&str) -> Result<i64>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    parse(text)
        .map(Some)
        .map_err(|error| format!("invalid argument {text:?} for {flag:?} flag: {error}"))
}

fn extra_host(text: &str) -> Result<String> {
    // `host=address` is as good as `host:address`; an IPv6 address may stand in brackets.
    let (host, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .filter(|(host, address)| !host.is_empty() && !address.is_empty())
        .ok_or_else(|| format!("bad format for add-host: {text:?}"))?;
    let address = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok(format!("{host}:{address}"))
}

fn exposed_ports(texts: &[String]) -> Result<Vec<String>> {
    let mut ports = Vec::new();
    for text in texts {
        let invalid = || format!("invalid range format for --expose: {text}");
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u16, u16) = (
            from.parse().map_err(|_| invalid())?,
            to.parse().map_err(|_| invalid())?,
        );
        if from == 0 || from > to || !["tcp", "udp", "sctp"].contains(&protocol) {
            return Err(invalid());
        }
        ports.extend((from..=to).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
}

pub(crate) fn restart(text: &str) -> Result<RestartPolicy> {
    let (name, count) = text
        .split_once(':')
        .map_or((text, None), |(name, count)| (name, Some(count)));
    let name = match name {
        "" | "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        other => return Err(format!("invalid restart policy: unknown policy '{other}'")),
    };
    let count = match count {
        None => 0,
        Some(count) if name == RestartPolicyNameEnum::ON_FAILURE => count
            .parse()
            .map_err(|_| "invalid restart policy format: maximum retry count must be an integer")?,
        Some(_) => {
            return Err(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'".to_owned(),
            );
        }
    };
    Ok(RestartPolicy {
        name: Some(name),
        maximum_retry_count: Some(count),
    })
}

/// Security options as the engine takes them: a seccomp profile travels as its content. Also whether the masked
/// and read-only paths are lifted, which is no option of the engine's.
fn security(options: &[String]) -> Result<(Vec<String>, bool)> {
    let mut sent = Vec::new();
    let mut unmasked = false;
    for option in options {
        let (name, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .unwrap_or((option, ""));
        match (name, value) {
            ("systempaths", "unconfined") => unmasked = true,
            ("seccomp", "unconfined" | "builtin") | ("no-new-privileges", _) => sent.push(option.clone()),
            ("seccomp", path) => {
                let failed = |error: String| format!("opening seccomp profile ({path}) failed: {error}");
                let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
                let profile: Value =
                    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
                sent.push(format!("seccomp={profile}"));
            }
            (_, "") => return Err(format!("invalid --security-opt: {option:?}")),
            _ => sent.push(option.clone()),
        }
    }
    Ok((sent, unmasked))
}

/// The body of an exec.
pub(crate) fn exec_body(
    arguments: &crate::arguments::ExecArguments,
    console: Option<(u16, u16)>,
) -> Result<Value> {
    let command = arguments.container_and_command.get(1..).unwrap_or_default();
    let mut env = Vec::new();
    for file in &arguments.env_file {
        env.extend(values::variables(file)?);
    }
    for variable in &arguments.env {
        env.push(values::variable(variable)?);
    }
    let attached = !arguments.detach;
    let mut body = json!({
        "User": arguments.user.as_deref().unwrap_or_default(),
        "Privileged": arguments.privileged,
        "Tty": arguments.tty,
        "AttachStdin": attached && arguments.interactive,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Env": env,
        "WorkingDir": arguments.workdir.as_deref().unwrap_or_default(),
        "Cmd": command,
    });
    if let (Some((rows, columns)), true, Some(members)) = (console, arguments.tty, body.as_object_mut()) {
        members.insert("ConsoleSize".to_owned(), json!([rows, columns]));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::arguments::{self, Command};

    fn built(line: &str) -> Result<Request> {
        let words = format!("sampan run {line}");
        match arguments::parse(words.split_whitespace().map(OsString::from))
            .unwrap()
            .command
        {
            Command::Run(run) => request(&run.container, !run.detach, Some((24, 80))),
            other => panic!("{other:?}"),
        }
    }

    fn body(line: &str) -> Value {
        built(line).unwrap().body
    }

    #[test]
    fn without_flags_output_is_attached_and_stdin_is_not() {
        let request = built("alpine ls -l").unwrap();
        assert_eq!(request.body["Cmd"], json!(["ls", "-l"]));
        assert_eq!(
            (request.stdin, request.stdout, request.stderr),
            (false, true, true)
        );
    }

    #[test]
    fn interactive_input_ends_with_its_client() {
        let body = body("-i alpine");
        assert_eq!(
            (&body["OpenStdin"], &body["StdinOnce"], &body["AttachStdin"]),
            (&json!(true), &json!(true), &json!(true))
        );
    }

    #[test]
    fn a_detached_container_is_attached_to_nothing() {
        let request = built("-itd alpine").unwrap();
        assert!(!(request.stdin || request.stdout || request.stderr));
        assert_eq!(
            (&request.body["OpenStdin"], &request.body["StdinOnce"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn limits_are_counted_in_the_engines_units() {
        let body = body(
            "-m 64m --memory-swap -1 --cpus 0.5 --pids-limit 20 --cpuset-cpus 0 --shm-size 1g \
             --device-read-bps /dev/vda:1mb --ulimit nofile=5:10 alpine",
        );
        let host = &body["HostConfig"];
        assert_eq!(host["Memory"], 64 << 20);
        assert_eq!(host["MemorySwap"], -1);
        assert_eq!(host["NanoCpus"], 500_000_000);
        assert_eq!(host["PidsLimit"], 20);
        assert_eq!(host["ShmSize"], 1 << 30);
        assert_eq!(
            host["BlkioDeviceReadBps"],
            json!([{ "Path": "/dev/vda", "Rate": 1 << 20 }])
        );
        assert_eq!(
            host["Ulimits"],
            json!([{ "Name": "nofile", "Soft": 5, "Hard": 10 }])
        );
    }

    #[test]
    fn a_log_driver_and_its_options_reach_the_engine() {
        let body = body("--log-driver local --log-opt max-size=1m --log-opt compress alpine");
        assert_eq!(
            body["HostConfig"]["LogConfig"],
            json!({ "Type": "local", "Config": { "max-size": "1m", "compress": "" } })
        );
        assert_eq!(
            built("--log-driver none --log-opt max-size=1m alpine").unwrap_err(),
            "invalid logging opts for driver none"
        );
    }

    #[test]
    fn a_terminal_has_the_clients_size() {
        assert_eq!(body("-it alpine")["HostConfig"]["ConsoleSize"], json!([24, 80]));
    }

    #[test]
    fn an_entrypoint_can_be_overwritten_and_emptied() {
        let words = ["sampan", "run", "--entrypoint", "", "alpine"];
        let Command::Run(run) = arguments::parse(words.map(OsString::from)).unwrap().command else {
            panic!()
        };
        assert_eq!(
            request(&run.container, true, None).unwrap().body["Entrypoint"],
            json!([""])
        );
        assert_eq!(body("--entrypoint sh alpine -c x")["Entrypoint"], json!(["sh"]));
    }

    #[test]
    fn mounts_and_volumes_can_be_written_in_every_way() {
        let body =
            body("--tmpfs /a:size=1m --mount type=tmpfs,target=/b,tmpfs-size=2m -v /c -v d:/d:ro alpine");
        let host = &body["HostConfig"];
        assert_eq!(host["Tmpfs"], json!({ "/a": "size=1m" }));
        assert_eq!(host["Mounts"][0]["TmpfsOptions"]["SizeBytes"], json!(2 << 20));
        assert_eq!(host["Binds"], json!(["d:/d:ro"]));
        assert_eq!(body["Volumes"], json!({ "/c": {} }));
    }

    #[test]
    fn what_is_not_there_yet_is_an_error_that_names_it() {
        let error = built("-p 80:80 alpine").unwrap_err();
        assert!(error.contains("-p"), "{error}");
        assert_eq!(body("-P alpine")["HostConfig"]["PublishAllPorts"], json!(true));
    }

    #[test]
    fn a_restart_policy_and_rm_exclude_each_other() {
        assert!(built("--rm --restart always alpine").is_err());
        assert_eq!(
            body("--restart on-failure:3 alpine")["HostConfig"]["RestartPolicy"],
            json!({ "Name": "on-failure", "MaximumRetryCount": 3 })
        );
    }

    #[test]
    fn a_bad_size_names_its_flag_in_dockers_words() {
        assert_eq!(
            built("-m 3x alpine").unwrap_err(),
            "invalid argument \"3x\" for \"-m, --memory\" flag: invalid suffix: 'x'"
        );
    }

    #[test]
    fn a_network_rate_is_a_label_that_wins_over_the_same_one_given() {
        let body = body("--label sampan.network-rate=1mbit --network-rate 10mbit --label a=b alpine");
        assert_eq!(
            body["Labels"],
            json!({ "a": "b", "sampan.network-rate": "10mbit" })
        );
    }

    #[test]
    fn devices_can_be_asked_for_by_number_and_by_what_they_can_do() {
        let body = body("--gpus all alpine");
        assert_eq!(
            body["HostConfig"]["DeviceRequests"],
            json!([{ "Driver": "", "Count": -1, "Capabilities": [["gpu"]] }])
        );
        assert!(built("--device-cgroup-rule x alpine").is_err());
        assert_eq!(
            built("--cgroupns mine alpine").unwrap_err(),
            "--cgroupns: invalid CGROUP mode"
        );
    }

    #[test]
    fn hosts_and_ports_are_checked() {
        assert_eq!(extra_host("db=10.0.0.1").unwrap(), "db:10.0.0.1");
        assert_eq!(extra_host("v6:[::1]").unwrap(), "v6:::1");
        assert!(extra_host("db:nowhere").is_err());
        assert_eq!(
            exposed_ports(&["80-81/udp".into()]).unwrap(),
            ["80/udp", "81/udp"]
        );
        assert!(exposed_ports(&["0".into()]).is_err());
    }
}
