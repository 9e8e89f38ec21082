//! `version`: who is the server, and why is it what it is?

use crate::world::{Kind, World};

super::scenarios![
    version_names_client_and_server_and_the_reason,
    another_platform_runs_in_a_machine_of_its_own
];

fn version_names_client_and_server_and_the_reason(world: &World) {
    world.ok(["run", "--rm", "alpine", "true"]);
    let version = world
        .sampan(["version"])
        .exits_with(0)
        .prints("Client:")
        .prints("Server:");
    let platform = format!("linux/{}", world.kind().architecture);
    let version = version.prints(&platform);
    if world.kind().architecture != Kind::host_architecture() {
        version.prints("emulated");
    }
}

fn another_platform_runs_in_a_machine_of_its_own(world: &World) {
    if world.kind().acceleration == "kvm" {
        // A laptop without QEMU has no machine for a foreign architecture, and says what would help.
        let foreign = if Kind::host_architecture() == "amd64" {
            "arm64"
        } else {
            "amd64"
        };
        let refused = world.sampan([
            "run",
            "--rm",
            "--platform",
            &format!("linux/{foreign}"),
            "hello-world",
        ]);
        assert_eq!(refused.code, Some(125), "{refused}");
        refused.warns("qemu-system-");
        return;
    }
    for platform in ["linux/amd64", "linux/arm64"] {
        let output = world
            .sampan(["run", "--rm", "--platform", platform, "alpine", "uname", "-m"])
            .exits_with(0);
        let expected = if platform == "linux/amd64" {
            "x86_64\n"
        } else {
            "aarch64\n"
        };
        assert_eq!(output.stdout, expected);
    }
}
