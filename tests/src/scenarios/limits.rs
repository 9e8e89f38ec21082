//! What cgroups hold a container to.

use crate::world::World;

super::scenarios![
    a_container_over_its_memory_is_killed_and_the_exit_says_so,
    half_a_cpu_is_half_a_cpu,
    a_fork_over_the_process_limit_fails,
    the_cpu_set_is_what_the_program_sees,
    a_file_limit_is_an_rlimit,
    block_io_is_held_to_its_rate,
    a_device_that_the_machine_does_not_have_is_named,
];

fn a_container_over_its_memory_is_killed_and_the_exit_says_so(world: &World) {
    let eat = "b = bytearray()\nwhile True: b += bytes(1 << 20)";
    world
        .sampan([
            "run",
            "--name",
            "hungry",
            "--memory",
            "64m",
            "--memory-swap",
            "64m",
            "debian",
            "python3",
            "-c",
            eat,
        ])
        .exits_with(137);
    assert_eq!(world.inspect("hungry", "/State/OOMKilled"), true);
    world.ok(["rm", "hungry"]);
}

fn half_a_cpu_is_half_a_cpu(world: &World) {
    // Both clocks are the guest's own: the share of a second that a busy loop got.
    let measure = "import time\n\
        wall, cpu = time.monotonic(), time.process_time()\n\
        while time.monotonic() - wall < 4: pass\n\
        print((time.process_time() - cpu) / (time.monotonic() - wall))";
    let share = |cpus: &str| -> f64 {
        world
            .ok(["run", "--rm", "--cpus", cpus, "debian", "python3", "-c", measure])
            .parse()
            .unwrap()
    };
    let half = share("0.5");
    assert!((0.35..0.6).contains(&half), "half a CPU was {half}");
    let max = world.ok([
        "run",
        "--rm",
        "--cpus",
        "0.5",
        "alpine",
        "cat",
        "/sys/fs/cgroup/cpu.max",
    ]);
    assert_eq!(max, "50000 100000");
}

fn a_fork_over_the_process_limit_fails(world: &World) {
    let fork = "import os\nchildren = 0\ntry:\n  while True:\n    if os.fork() == 0: os.pause() if hasattr(os, 'pause') else __import__('signal').pause()\n    children += 1\nexcept BlockingIOError: print(children)";
    let children = world.ok([
        "run",
        "--rm",
        "--pids-limit",
        "16",
        "debian",
        "python3",
        "-c",
        fork,
    ]);
    assert_eq!(children, "15");
}

fn the_cpu_set_is_what_the_program_sees(world: &World) {
    let list = world.ok([
        "run",
        "--rm",
        "--cpuset-cpus",
        "0",
        "alpine",
        "grep",
        "Cpus_allowed_list",
        "/proc/self/status",
    ]);
    assert!(list.ends_with("\t0"), "{list:?}");
}

fn a_file_limit_is_an_rlimit(world: &World) {
    let limit = world.ok([
        "run",
        "--rm",
        "--ulimit",
        "nofile=100:200",
        "alpine",
        "sh",
        "-c",
        "ulimit -n; ulimit -Hn",
    ]);
    assert_eq!(limit, "100\n200");
}

/// Where the files of containers lie, as an error about another device tells; `name` is the refused container's.
fn data_disk(world: &World, name: &str) -> String {
    let refused = world
        .sampan([
            "run",
            "--rm",
            "--name",
            name,
            "--device-write-bps",
            "/dev/sdz:1mb",
            "alpine",
            "true",
        ])
        .exits_with(125)
        .warns("the machine has no block device /dev/sdz");
    let (_, disk) = refused
        .stderr
        .split_once("the files that containers write lie on ")
        .unwrap();
    disk.split_whitespace().next().unwrap().to_owned()
}

fn block_io_is_held_to_its_rate(world: &World) {
    let disk = data_disk(world, "refused-for-its-rate");
    // The clock is the guest's own: four mebibytes at one a second.
    let write = "import os, time\n\
        print(open('/sys/fs/cgroup/io.max').read().split(' ', 1)[1], end='')\n\
        begun, file = time.monotonic(), os.open('/data', os.O_CREAT | os.O_WRONLY)\n\
        os.write(file, bytes(4 << 20)); os.fsync(file)\n\
        print(time.monotonic() - begun)";
    let limit = format!("{disk}:1mb");
    let printed = world.ok([
        "run",
        "--rm",
        "--device-write-bps",
        &limit,
        "--device-read-iops",
        &format!("{disk}:5000"),
        "--blkio-weight",
        "500",
        "debian",
        "python3",
        "-c",
        write,
    ]);
    let (limits, took) = printed.split_once('\n').unwrap();
    assert_eq!(limits, "rbps=max wbps=1048576 riops=5000 wiops=max");
    let took: f64 = took.parse().unwrap();
    assert!(took > 2.5, "four mebibytes went in {took} s");
}

fn a_device_that_the_machine_does_not_have_is_named(world: &World) {
    assert!(data_disk(world, "refused").starts_with("/dev/"));
    assert_eq!(world.ok(["ps", "-a", "-q", "--filter", "name=refused"]), "");
}
