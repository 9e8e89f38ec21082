//! A host that lacks something: one clear error that says what to do, and a proper command works afterwards.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::world::{Kind, World};

super::scenarios![
    without_qemu_the_error_says_how_to_install_it,
    without_a_kernel_the_error_says_where_it_was_looked_for,
    a_file_in_the_place_of_the_socket_is_left_alone_and_named,
    a_socket_that_another_program_serves_is_not_taken_for_the_service,
    a_home_whose_path_is_too_long_for_a_socket_is_told_so,
    a_container_that_fills_the_data_disk_fails_and_its_removal_makes_room,
    a_container_that_takes_all_memory_of_the_machine_is_killed_and_the_others_go_on,
];

fn without_qemu_the_error_says_how_to_install_it(_: &World) {
    let kind = Kind {
        acceleration: "tcg".to_owned(),
        ..Kind::from_environment()
    };
    let world = World::of(kind, "", Path::new("/tmp"));
    world.ok_in(&[("PATH", OsStr::new("/nowhere"))], ["pull", "-q", "alpine"]);
    world
        .sampan(["run", "--name", "waiting", "alpine", "true"])
        .exits_with(125)
        .warns("is not in PATH")
        .warns("install QEMU (Debian and Ubuntu: `apt install qemu-system-");
    assert_eq!(world.inspect("waiting", "/State/Status"), "created");
}

fn without_a_kernel_the_error_says_where_it_was_looked_for(world: &World) {
    let nowhere = world.home().join("nowhere");
    let environment = [("SAMPAN_SHARE", nowhere.as_os_str())];
    world.ok_in(&environment, ["pull", "-q", "alpine"]);
    world
        .sampan_in(&environment, ["run", "--name", "waiting", "alpine", "true"])
        .exits_with(125)
        .warns(nowhere.to_str().unwrap())
        .warns("set SAMPAN_SHARE to the folder that has it");
    world.ok(["service", "stop"]);
    world.ok(["start", "-a", "waiting"]);
}

fn a_file_in_the_place_of_the_socket_is_left_alone_and_named(world: &World) {
    let socket = world.home().join("sampan.sock");
    fs::write(&socket, "precious").unwrap();
    world
        .sampan(["ps"])
        .exits_with(1)
        .warns("sampan.sock exists and is not a socket: move it away");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();
    world.ok(["ps"]);
}

fn a_socket_that_another_program_serves_is_not_taken_for_the_service(world: &World) {
    let socket = world.home().join("sampan.sock");
    let other = UnixListener::bind(&socket).unwrap();
    let serving = std::thread::spawn(move || {
        for connection in other.incoming().take(3) {
            drop(connection);
        }
    });
    world
        .sampan(["ps"])
        .exits_with(1)
        .warns("the connection to the sampan service broke off");
    serving.join().unwrap();
    world.ok(["ps"]);
}

fn a_home_whose_path_is_too_long_for_a_socket_is_told_so(world: &World) {
    let long = world.home().join("a-folder-with-a-name".repeat(6));
    world
        .sampan_in(&[("SAMPAN_HOME", long.as_os_str())], ["ps"])
        .exits_with(1)
        .warns("set SAMPAN_HOME to a shorter folder");
}

fn a_container_that_fills_the_data_disk_fails_and_its_removal_makes_room(_: &World) {
    let world = World::with_settings("disk = \"256m\"\n");
    let fill = "dd if=/dev/zero of=/full bs=1M count=400";
    world
        .sampan(["run", "--name", "greedy", "alpine", "sh", "-c", fill])
        .exits_with(1)
        .warns("No space left on device");
    // The engine answers and stops, starts and removes while there is no room.
    world.sampan(["ps", "-a"]).exits_with(0).prints("greedy");
    world
        .sampan(["start", "-a", "greedy"])
        .exits_with(1)
        .warns("No space left on device");
    world.ok(["rm", "greedy"]);
    let room = "dd if=/dev/zero of=/file bs=1M count=100 && echo room";
    world
        .sampan(["run", "--rm", "alpine", "sh", "-c", room])
        .exits_with(0)
        .prints("room");
}

fn a_container_that_takes_all_memory_of_the_machine_is_killed_and_the_others_go_on(_: &World) {
    let world = World::with_settings("memory = \"256m\"\n");
    world.ok(["run", "-d", "--name", "bystander", "alpine", "sleep", "86400"]);
    let eat = "b = bytearray()\nwhile True: b += bytes(1 << 20)";
    world
        .sampan(["run", "--name", "hungry", "debian", "python3", "-c", eat])
        .exits_with(137);
    assert_eq!(world.inspect("hungry", "/State/OOMKilled"), true);
    assert_eq!(world.ok(["exec", "bystander", "echo", "here"]), "here");
    world.ok(["rm", "hungry"]);
    world.ok(["run", "--rm", "alpine", "true"]);
}

/// What only root can set up, in a mount namespace of its own.
pub mod apart {
    use std::io::Write as _;
    use std::path::Path;

    use crate::world::{Kind, World, apart, forbid_kvm, mount_small};

    crate::scenarios::scenarios![
        a_pull_onto_a_full_disk_names_the_disk_and_leaves_nothing,
        what_meets_a_full_host_disk_is_told_or_waits_and_nothing_is_lost,
        without_permission_on_kvm_the_error_says_how_to_get_it,
    ];

    fn a_pull_onto_a_full_disk_names_the_disk_and_leaves_nothing(_: &World) {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        apart(|| {
            // Sixty-four mebibytes always stay free.
            mount_small(folder.path(), 112 << 20);
            let world = World::of(Kind::from_environment(), "", folder.path());
            world
                .sampan(["pull", "debian"])
                .exits_with(1)
                .warns("no space left on the disk that holds")
                .warns("free some space or remove images");
            world.assert_no_image();
            world.ok(["pull", "alpine"]);
        });
    }

    fn what_meets_a_full_host_disk_is_told_or_waits_and_nothing_is_lost(_: &World) {
        const FULL: &str = "no space left on the disk that holds";
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        apart(|| {
            mount_small(folder.path(), 160 << 20);
            let world = World::of(Kind::from_environment(), "", folder.path());
            world.ok(["run", "-d", "--name", "writer", "alpine", "sleep", "86400"]);
            world.ok(["create", "--name", "waiting", "alpine", "true"]);
            let filler = folder.path().join("filler");
            fill(&filler);
            let write =
                "echo begun && dd if=/dev/urandom of=/written bs=1M count=8 conv=fsync && md5sum /written";
            let writing = world.start(["exec", "writer", "sh", "-c", write]);
            writing.wait_for("begun");
            // Time in which a disk that did not wait would have told the guest of an error.
            world.ok(["exec", "writer", "sleep", "2"]);
            // The host answers, and refuses what needs room.
            world.sampan(["start", "waiting"]).exits_with(1).warns(FULL);
            world
                .sampan(["run", "alpine", "true"])
                .exits_with(125)
                .warns(FULL);
            world.sampan(["pull", "debian"]).exits_with(1).warns(FULL);
            world.sampan(["ps"]).exits_with(0).prints("writer");
            std::fs::remove_file(&filler).unwrap();
            let written = writing.finish();
            assert_eq!(written.code, Some(0), "{written}");
            world.ok(["start", "-a", "waiting"]);
            // The guest drops what it keeps in memory, so the sum is of what reached the disk.
            let read = "echo 3 > /proc/sys/vm/drop_caches; md5sum /written";
            let sum = world.ok(["exec", "--privileged", "writer", "sh", "-c", read]);
            assert_eq!(written.stdout.lines().last(), Some(sum.as_str()));
        });
    }

    /// Takes all the room that is left.
    fn fill(path: &Path) {
        let mut file = std::fs::File::create(path).unwrap();
        let piece = [0x55; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        while file.write_all(&piece[..1]).is_ok() {}
    }

    fn without_permission_on_kvm_the_error_says_how_to_get_it(_: &World) {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        apart(|| {
            forbid_kvm(folder.path());
            let kind = Kind {
                architecture: Kind::host_architecture().to_owned(),
                acceleration: "kvm".to_owned(),
                ..Kind::from_environment()
            };
            let world = World::of(kind, "", Path::new("/tmp"));
            world
                .sampan(["machine", "start"])
                .exits_with(1)
                .warns("no permission to open /dev/kvm")
                .warns("sudo usermod -aG kvm");
            world
                .sampan(["doctor"])
                .prints("/dev/kvm cannot be opened: Permission denied");
        });
    }
}
