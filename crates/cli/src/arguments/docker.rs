//! The flags of the docker command, version 28.2, as its own `--help` tells them: each of them is a flag here, of the
//! same letter, or stands in the list of those that are left out, with the reason. What belongs to builds and swarms is
//! not looked at.

use clap::CommandFactory;

use super::Arguments;

/// Commands and their flags, `letter/name` or `name`. `create` is `run` without the flags of an attached client.
const FLAGS: &[(&str, &str)] = &[
    ("attach", "detach-keys no-stdin sig-proxy"),
    ("commit", "a/author c/change m/message p/pause"),
    ("container inspect", "f/format s/size"),
    ("container prune", "filter f/force"),
    ("cp", "a/archive L/follow-link q/quiet"),
    ("events", "f/filter format since until"),
    (
        "exec",
        "d/detach detach-keys e/env env-file i/interactive privileged t/tty u/user w/workdir",
    ),
    ("export", "o/output"),
    ("history", "format H/human no-trunc platform q/quiet"),
    ("image inspect", "f/format platform"),
    ("image prune", "a/all filter f/force"),
    ("images", "a/all digests f/filter format no-trunc q/quiet tree"),
    ("import", "c/change m/message platform"),
    ("info", "f/format"),
    ("inspect", "f/format s/size type"),
    ("kill", "s/signal"),
    ("load", "i/input platform q/quiet"),
    ("login", "p/password password-stdin u/username"),
    ("logs", "details f/follow since n/tail t/timestamps until"),
    (
        "network connect",
        "alias driver-opt gw-priority ip ip6 link link-local-ip",
    ),
    (
        "network create",
        "attachable aux-address config-from config-only d/driver gateway ingress internal \
         ip-range ipam-driver ipam-opt ipv4 ipv6 label o/opt scope subnet",
    ),
    ("network disconnect", "f/force"),
    ("network inspect", "f/format v/verbose"),
    ("network ls", "f/filter format no-trunc q/quiet"),
    ("network prune", "filter f/force"),
    ("network rm", "f/force"),
    (
        "ps",
        "a/all f/filter format n/last l/latest no-trunc q/quiet s/size",
    ),
    ("pull", "a/all-tags disable-content-trust platform q/quiet"),
    ("push", "a/all-tags disable-content-trust platform q/quiet"),
    ("restart", "s/signal t/timeout"),
    ("rm", "f/force l/link v/volumes"),
    ("rmi", "f/force no-prune platform"),
    (
        "run",
        "add-host annotation a/attach blkio-weight blkio-weight-device cap-add cap-drop \
         cgroup-parent cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period \
         cpu-rt-runtime c/cpu-shares cpus cpuset-cpus cpuset-mems d/detach detach-keys device \
         device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops \
         disable-content-trust dns dns-option dns-search domainname entrypoint e/env env-file \
         expose gpus group-add health-cmd health-interval health-retries health-start-interval \
         health-start-period health-timeout h/hostname init i/interactive io-maxbandwidth \
         io-maxiops ip ip6 ipc isolation kernel-memory l/label label-file link link-local-ip \
         log-driver log-opt mac-address m/memory memory-reservation memory-swap memory-swappiness \
         mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid \
         pids-limit platform privileged p/publish P/publish-all pull q/quiet read-only restart \
         rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl \
         tmpfs t/tty ulimit use-api-socket u/user userns uts v/volume volume-driver volumes-from \
         w/workdir",
    ),
    ("save", "o/output platform"),
    ("search", "f/filter format limit no-trunc"),
    (
        "start",
        "a/attach checkpoint checkpoint-dir detach-keys i/interactive",
    ),
    ("stats", "a/all format no-stream no-trunc"),
    ("stop", "s/signal t/timeout"),
    ("system df", "format v/verbose"),
    ("system prune", "a/all filter f/force volumes"),
    (
        "update",
        "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime c/cpu-shares cpus \
         cpuset-cpus cpuset-mems m/memory memory-reservation memory-swap pids-limit restart",
    ),
    ("version", "f/format"),
    (
        "volume create",
        "availability d/driver group label limit-bytes o/opt required-bytes scope secret sharing \
         topology-preferred topology-required type",
    ),
    ("volume inspect", "f/format"),
    ("volume ls", "cluster f/filter format q/quiet"),
    ("volume prune", "a/all filter f/force"),
    ("volume rm", "f/force"),
];

/// Commands, their flags that are left out, and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "run",
        "cpu-count cpu-percent io-maxbandwidth io-maxiops isolation",
        "of Windows containers",
    ),
    (
        "run",
        "kernel-memory",
        "the kernel has no such limit any more, and Docker ignores the flag",
    ),
    (
        "run",
        "link-local-ip",
        "the networks have no link-local addresses",
    ),
    ("run", "use-api-socket", "an experiment of Docker's"),
    ("images", "tree", "an experiment of Docker's"),
    (
        "network connect",
        "link-local-ip",
        "the networks have no link-local addresses",
    ),
    (
        "start",
        "checkpoint checkpoint-dir",
        "an experiment of Docker's (CRIU)",
    ),
    (
        "volume create",
        "availability group limit-bytes required-bytes scope secret sharing topology-preferred \
         topology-required type",
        "of a swarm",
    ),
    ("volume ls", "cluster", "of a swarm"),
];

/// Commands that can be given with the name of what they are about, and alone by another name.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
    (
        "container",
        &[
            ("attach", "attach"),
            ("commit", "commit"),
            ("cp", "cp"),
            ("create", "create"),
            ("diff", "diff"),
            ("exec", "exec"),
            ("export", "export"),
            ("kill", "kill"),
            ("logs", "logs"),
            ("ls", "ps"),
            ("pause", "pause"),
            ("port", "port"),
            ("rename", "rename"),
            ("restart", "restart"),
            ("rm", "rm"),
            ("run", "run"),
            ("start", "start"),
            ("stats", "stats"),
            ("stop", "stop"),
            ("top", "top"),
            ("unpause", "unpause"),
            ("update", "update"),
            ("wait", "wait"),
        ],
    ),
    (
        "image",
        &[
            ("history", "history"),
            ("import", "import"),
            ("load", "load"),
            ("ls", "images"),
            ("pull", "pull"),
            ("push", "push"),
            ("rm", "rmi"),
            ("save", "save"),
            ("tag", "tag"),
        ],
    ),
    ("system", &[("events", "events"), ("info", "info")]),
];

/// A command by its path.
fn find(path: &str) -> Option<clap::Command> {
    let root = Arguments::command();
    path.split(' ')
        .try_fold(root, |command, name| command.find_subcommand(name).cloned())
}

/// The flags of a command, as the tables here write them, hidden ones and other names included.
fn flags(command: &clap::Command) -> Vec<String> {
    let mut flags = Vec::new();
    for argument in command.get_arguments() {
        for name in argument.get_long_and_visible_aliases().into_iter().flatten() {
            match argument.get_short() {
                Some(letter) => flags.push(format!("{letter}/{name}")),
                None => flags.push(name.to_owned()),
            }
        }
    }
    flags
}

fn left_out(path: &str) -> Vec<&'static str> {
    let of_path = LEFT_OUT.iter().filter(|(command, ..)| *command == path);
    of_path.flat_map(|(_, flags, _)| flags.split(' ')).collect()
}

#[test]
fn every_flag_of_docker_is_here_or_left_out_for_a_reason() {
    for (path, wanted) in FLAGS {
        let command = find(path).unwrap_or_else(|| panic!("there is no {path}"));
        let (has, left_out) = (flags(&command), left_out(path));
        for flag in wanted.split(' ') {
            let there = has.iter().any(|has| has == flag);
            assert!(
                there != left_out.contains(&flag),
                "{path}: {flag} is there: {there}, and the list of what is left out says otherwise"
            );
        }
    }
}

#[test]
fn create_has_the_flags_of_run_but_for_those_of_an_attached_client() {
    let (run, create) = (find("run").unwrap(), find("create").unwrap());
    let mut expected = flags(&run);
    expected.retain(|flag| !["d/detach", "detach-keys", "sig-proxy"].contains(&flag.as_str()));
    assert_eq!(flags(&create), expected);
}

#[test]
fn a_command_is_the_same_alone_and_in_its_group() {
    for (group, commands) in GROUPS {
        for (name, alone) in *commands {
            let path = format!("{group} {name}");
            let grouped = find(&path).unwrap_or_else(|| panic!("there is no {path}"));
            assert_eq!(flags(&grouped), flags(&find(alone).unwrap()), "{path}");
        }
    }
}
