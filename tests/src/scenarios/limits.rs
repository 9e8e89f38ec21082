//! What cgroups hold a container to.

use crate::world::World;

super::scenarios![
    a_container_over_its_memory_is_killed_and_the_exit_says_so,
    half_a_cpu_is_half_a_cpu,
    a_fork_over_the_process_limit_fails,
    the_cpu_set_is_what_the_program_sees,
    a_file_limit_is_an_rlimit,
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
