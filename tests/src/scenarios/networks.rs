//! Networks: who reaches whom, and by which name.

use crate::world::World;

super::scenarios![
    a_container_has_an_address_and_the_next_one_another,
    containers_of_one_network_find_each_other_by_name_and_alias,
    a_network_reaches_no_other,
    a_running_container_is_connected_and_disconnected,
    a_container_can_share_the_network_of_another,
    the_machines_own_network_is_there_when_asked_for,
    a_network_has_the_subnet_that_was_asked_for,
    a_network_in_use_cannot_be_removed,
    links_are_names_of_one_container_alone,
    a_container_can_have_a_name_server_of_its_own,
];

/// Starts a container that waits.
fn waiting(world: &World, name: &str, more: &[&str]) {
    let mut arguments = vec!["run", "-d", "--name", name];
    arguments.extend(more);
    arguments.extend(["alpine", "sleep", "1000"]);
    world.ok(arguments);
}

fn remove(world: &World, names: &[&str]) {
    world.ok(["rm", "-f"].iter().chain(names));
}

fn a_container_has_an_address_and_the_next_one_another(world: &World) {
    waiting(world, "one", &[]);
    waiting(world, "two", &[]);
    let address = |name: &str| {
        let shown = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
        world.ok(["inspect", "-f", shown, name])
    };
    let (one, two) = (address("one"), address("two"));
    assert!(
        one.starts_with("172.17.0.") && two.starts_with("172.17.0.") && one != two,
        "{one} {two}"
    );
    let seen = world.ok(["exec", "one", "ip", "-4", "addr", "show", "eth0"]);
    assert!(seen.contains(&format!("inet {one}/16")), "{seen}");
    assert!(world.ok(["exec", "one", "cat", "/etc/hosts"]).contains(&one));
    world.ok(["exec", "one", "ping", "-c", "1", &two]);
    remove(world, &["one", "two"]);
}

fn containers_of_one_network_find_each_other_by_name_and_alias(world: &World) {
    fn ping(name: &str) -> [&str; 9] {
        [
            "run",
            "--rm",
            "--network",
            "back",
            "alpine",
            "ping",
            "-c",
            "1",
            name,
        ]
    }
    world.ok(["network", "create", "back"]);
    waiting(world, "database", &["--network", "back", "--network-alias", "db"]);
    for name in ["database", "db", "database.back"] {
        world.ok(ping(name));
    }
    let found = world.ok(["run", "--rm", "--network", "back", "alpine", "nslookup", "db"]);
    assert!(found.contains("127.0.0.11"), "{found}");
    // Names go with their container, and with its new name.
    world.ok(["rename", "database", "store"]);
    world.ok(["restart", "-t", "0", "store"]);
    world.ok(ping("store"));
    remove(world, &["store"]);
    let gone = world.sampan(ping("db"));
    assert_ne!(gone.code, Some(0), "{gone}");
    world.ok(["network", "rm", "back"]);
}

fn a_network_reaches_no_other(world: &World) {
    world.ok(["network", "create", "left"]);
    world.ok(["network", "create", "right"]);
    waiting(world, "far", &["--network", "right"]);
    let address = world.ok([
        "inspect",
        "-f",
        "{{.NetworkSettings.Networks.right.IPAddress}}",
        "far",
    ]);
    let ping = [
        "run",
        "--rm",
        "--network",
        "left",
        "alpine",
        "ping",
        "-c",
        "1",
        "-W",
        "1",
        &address,
    ];
    let refused = world.sampan(ping);
    assert_ne!(refused.code, Some(0), "{refused}");
    remove(world, &["far"]);
    world.ok(["network", "rm", "left", "right"]);
}

fn a_running_container_is_connected_and_disconnected(world: &World) {
    world.ok(["network", "create", "side"]);
    waiting(world, "peer", &["--network", "side"]);
    waiting(world, "walker", &[]);
    let ping = ["exec", "walker", "ping", "-c", "1", "-W", "1", "peer"];
    assert_ne!(world.sampan(ping).code, Some(0));
    world.ok(["network", "connect", "--alias", "guest", "side", "walker"]);
    let interfaces = world.ok(["exec", "walker", "ls", "/sys/class/net"]);
    assert_eq!(interfaces, "eth0\neth1\nlo");
    let address = world.ok([
        "inspect",
        "-f",
        "{{.NetworkSettings.Networks.side.IPAddress}}",
        "peer",
    ]);
    world.ok(["exec", "walker", "ping", "-c", "1", &address]);
    world.ok(["exec", "peer", "ping", "-c", "1", "guest"]);
    world.ok(["network", "disconnect", "side", "walker"]);
    assert_eq!(world.ok(["exec", "walker", "ls", "/sys/class/net"]), "eth0\nlo");
    remove(world, &["peer", "walker"]);
    world.ok(["network", "rm", "side"]);
}

fn a_container_can_share_the_network_of_another(world: &World) {
    waiting(world, "host-of-two", &[]);
    let own = world.ok(["exec", "host-of-two", "ip", "-4", "addr", "show", "eth0"]);
    let shared = ["run", "--rm", "--network", "container:host-of-two", "alpine"];
    let seen = world.ok(shared.iter().chain(&["ip", "-4", "addr", "show", "eth0"]));
    assert_eq!(seen, own);
    let hosts = world.ok(shared.iter().chain(&["cat", "/etc/hosts"]));
    let address = world.ok([
        "inspect",
        "-f",
        "{{.NetworkSettings.Networks.bridge.IPAddress}}",
        "host-of-two",
    ]);
    assert!(hosts.contains(&address), "{hosts}");
    let processes = ["run", "--rm", "--pid", "container:host-of-two", "alpine", "ps"];
    assert!(world.ok(processes).contains("sleep 1000"));
    remove(world, &["host-of-two"]);
}

fn the_machines_own_network_is_there_when_asked_for(world: &World) {
    let seen = world.ok([
        "run",
        "--rm",
        "--network",
        "host",
        "alpine",
        "ls",
        "/sys/class/net",
    ]);
    let names: Vec<&str> = seen.lines().collect();
    assert!(names.contains(&"lo") && !names.contains(&"eth0"), "{seen}");
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "--network",
            "none",
            "alpine",
            "ls",
            "/sys/class/net"
        ]),
        "lo"
    );
}

fn a_network_has_the_subnet_that_was_asked_for(world: &World) {
    let create = [
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "--gateway",
        "10.77.0.254",
        "--ipv6",
        "plan",
    ];
    world.ok(create);
    waiting(world, "planned", &["--network", "plan", "--ip", "10.77.0.7"]);
    let seen = world.ok(["exec", "planned", "ip", "addr", "show", "eth0"]);
    assert!(
        seen.contains("inet 10.77.0.7/24") && seen.contains("inet6 fd"),
        "{seen}"
    );
    let route = world.ok(["exec", "planned", "ip", "route"]);
    assert!(route.contains("default via 10.77.0.254"), "{route}");
    world.ok(["exec", "planned", "ping", "-c", "1", "10.77.0.254"]);
    world
        .sampan(["network", "create", "--subnet", "10.77.0.0/16", "overlap"])
        .exits_with(1)
        .warns("Pool overlaps with other one on this address space");
    remove(world, &["planned"]);
    world.ok(["network", "rm", "plan"]);
}

fn a_network_in_use_cannot_be_removed(world: &World) {
    world.ok(["network", "create", "--label", "busy", "busy"]);
    waiting(world, "user-of-it", &["--network", "busy"]);
    world
        .sampan(["network", "rm", "busy"])
        .exits_with(1)
        .warns("network busy has active endpoints (name:\"user-of-it\"");
    world
        .sampan(["network", "rm", "bridge"])
        .exits_with(1)
        .warns("bridge is a pre-defined network and cannot be removed");
    remove(world, &["user-of-it"]);
    let pruned = world.ok(["network", "prune", "-f", "--filter", "label=busy"]);
    assert!(
        pruned.starts_with("Deleted Networks:\n") && pruned.contains("busy"),
        "{pruned}"
    );
    let builtin = [
        "network",
        "ls",
        "--filter",
        "type=builtin",
        "--format",
        "{{.Name}} {{.Driver}} {{.Scope}}",
    ];
    let listed = world.ok(builtin);
    assert_eq!(listed, "bridge bridge local\nhost host local\nnone null local");
}

fn links_are_names_of_one_container_alone(world: &World) {
    waiting(world, "linked", &[]);
    world.ok([
        "run",
        "--rm",
        "--link",
        "linked:friend",
        "alpine",
        "ping",
        "-c",
        "1",
        "friend",
    ]);
    remove(world, &["linked"]);
}

fn a_container_can_have_a_name_server_of_its_own(world: &World) {
    world.ok(["network", "create", "named"]);
    waiting(world, "known", &["--network", "named"]);
    // Port 53 is free in the container although the resolver answers there.
    let script = "nc -lup 53 </dev/null >/dev/null & sleep 0.2; nslookup known | grep -c Address";
    let found = world.ok(["run", "--rm", "--network", "named", "alpine", "sh", "-c", script]);
    assert!(found.parse::<u32>().unwrap() >= 1, "{found}");
    remove(world, &["known"]);
    world.ok(["network", "rm", "named"]);
}
