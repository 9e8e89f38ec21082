//! What a container sees of the machine, and what it may do.

use crate::world::World;

super::scenarios![
    the_program_is_the_first_process_of_its_namespace,
    the_hostname_is_the_short_id_unless_given,
    one_interface_beside_the_loopback_is_there,
    the_default_capabilities_are_dockers,
    mount_is_refused_by_default,
    the_seccomp_filter_is_on,
    no_new_privileges_is_set_when_asked,
    a_read_only_root_refuses_writes_and_tmpfs_takes_them,
    the_user_is_found_by_name_and_by_number,
    an_unknown_user_is_refused_by_name,
    init_reaps_and_forwards,
    the_working_directory_and_environment_arrive,
    kernel_paths_are_masked,
    a_privileged_container_mounts_and_has_every_device,
    a_device_of_the_machine_is_given_under_another_name,
    a_seccomp_profile_of_ones_own_is_obeyed,
];

fn the_program_is_the_first_process_of_its_namespace(world: &World) {
    assert_eq!(world.ok(["run", "--rm", "alpine", "sh", "-c", "echo $$"]), "1");
}

fn the_hostname_is_the_short_id_unless_given(world: &World) {
    world.ok(["run", "--name", "unnamed-host", "alpine", "hostname"]);
    let id = world.inspect("unnamed-host", "/Id");
    assert_eq!(world.ok(["logs", "unnamed-host"]), id.as_str().unwrap()[..12]);
    assert_eq!(
        world.ok(["run", "--rm", "--hostname", "ferry", "alpine", "hostname"]),
        "ferry"
    );
}

fn one_interface_beside_the_loopback_is_there(world: &World) {
    assert_eq!(
        world.ok(["run", "--rm", "alpine", "ls", "/sys/class/net"]),
        "eth0\nlo"
    );
}

fn the_default_capabilities_are_dockers(world: &World) {
    let status = world.ok(["run", "--rm", "alpine", "grep", "Cap", "/proc/self/status"]);
    let expected = [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
    ];
    assert_eq!(status.lines().collect::<Vec<_>>(), expected);
}

fn mount_is_refused_by_default(world: &World) {
    let refused = world.sampan(["run", "--rm", "alpine", "mount", "-t", "tmpfs", "none", "/mnt"]);
    assert_ne!(refused.code, Some(0), "{refused}");
    refused.warns("denied");
}

fn the_seccomp_filter_is_on(world: &World) {
    assert_eq!(
        world.ok(["run", "--rm", "alpine", "grep", "Seccomp:", "/proc/self/status"]),
        "Seccomp:\t2"
    );
    let off = [
        "run",
        "--rm",
        "--security-opt",
        "seccomp=unconfined",
        "alpine",
        "grep",
        "Seccomp:",
        "/proc/self/status",
    ];
    assert_eq!(world.ok(off), "Seccomp:\t0");
}

fn no_new_privileges_is_set_when_asked(world: &World) {
    let asked = [
        "run",
        "--rm",
        "--security-opt",
        "no-new-privileges",
        "alpine",
        "grep",
        "NoNewPrivs",
        "/proc/self/status",
    ];
    assert_eq!(world.ok(asked), "NoNewPrivs:\t1");
    assert_eq!(
        world.ok(["run", "--rm", "alpine", "grep", "NoNewPrivs", "/proc/self/status"]),
        "NoNewPrivs:\t0"
    );
}

fn a_read_only_root_refuses_writes_and_tmpfs_takes_them(world: &World) {
    let script = "touch /file 2>/dev/null || echo refused; touch /scratch/file && echo taken";
    let output = world.ok([
        "run",
        "--rm",
        "--read-only",
        "--tmpfs",
        "/scratch",
        "alpine",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(output, "refused\ntaken");
}

fn the_user_is_found_by_name_and_by_number(world: &World) {
    assert_eq!(
        world.ok(["run", "--rm", "-u", "nobody", "alpine", "id", "-un"]),
        "nobody"
    );
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "-u",
            "1234:5678",
            "alpine",
            "sh",
            "-c",
            "id -u; id -g"
        ]),
        "1234\n5678"
    );
}

fn an_unknown_user_is_refused_by_name(world: &World) {
    let refused = world
        .sampan(["run", "--rm", "-u", "stranger", "alpine", "true"])
        .exits_with(125);
    refused.warns("unable to find user stranger: no matching entries in passwd file");
}

fn init_reaps_and_forwards(world: &World) {
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "--init",
            "alpine",
            "sh",
            "-c",
            "[ $$ -ne 1 ] && echo child"
        ]),
        "child"
    );
    let run = world.start([
        "run",
        "--rm",
        "--init",
        "alpine",
        "sh",
        "-c",
        "echo ready; exec sleep 86400",
    ]);
    run.wait_for("ready");
    run.signal(rustix::process::Signal::TERM);
    run.finish().exits_with(143);
}

fn the_working_directory_and_environment_arrive(world: &World) {
    let output = world.ok([
        "run",
        "--rm",
        "-w",
        "/srv/new",
        "-e",
        "BOAT=sampan",
        "alpine",
        "sh",
        "-c",
        "pwd; echo $BOAT",
    ]);
    assert_eq!(output, "/srv/new\nsampan");
}

fn kernel_paths_are_masked(world: &World) {
    let output = world.ok([
        "run",
        "--rm",
        "alpine",
        "sh",
        "-c",
        "ls -A /sys/firmware | wc -l; echo x 2>/dev/null > /proc/sys/kernel/hostname || echo read-only",
    ]);
    assert_eq!(output, "0\nread-only");
}

fn a_privileged_container_mounts_and_has_every_device(world: &World) {
    let script = "mount -t tmpfs none /mnt && test -b /dev/vda && touch /sys/fs/cgroup/x 2>&1; mkdir /sys/fs/cgroup/own && echo done";
    assert!(
        world
            .ok(["run", "--rm", "--privileged", "alpine", "sh", "-c", script])
            .ends_with("done")
    );
}

fn a_device_of_the_machine_is_given_under_another_name(world: &World) {
    let read = [
        "alpine",
        "sh",
        "-c",
        "dd if=/dev/mine of=/dev/null bs=4096 count=1 2>/dev/null && echo read",
    ];
    let given = ["run", "--rm", "--device", "/dev/vda:/dev/mine:r"];
    assert_eq!(world.ok(given.iter().chain(&read)), "read");
    world
        .sampan(["run", "--rm", "--device", "/dev/nope", "alpine", "true"])
        .exits_with(127)
        .warns("error gathering device information while adding custom device \"/dev/nope\"");
}

fn a_seccomp_profile_of_ones_own_is_obeyed(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.json");
    let rules = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    std::fs::write(&profile, rules).unwrap();
    let option = format!("seccomp={}", profile.display());
    world
        .sampan([
            "run",
            "--rm",
            "--security-opt",
            &option,
            "alpine",
            "mkdir",
            "/tmp/x",
        ])
        .exits_with(1)
        .warns("Operation not permitted");
    world.ok([
        "run",
        "--rm",
        "--security-opt",
        &option,
        "alpine",
        "touch",
        "/tmp/x",
    ]);
}
