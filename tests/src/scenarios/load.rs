//! Many of everything, and nothing left of it: containers at once and in a row, clients, readers of logs and of
//! events. In a test run a small part of what `cargo xtask load` asks for (`SAMPAN_E2E_LOAD=full`).

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::world::World;

super::scenarios![
    containers_that_run_at_once_leave_nothing_behind,
    containers_that_run_one_after_the_other_leave_nothing_behind,
    a_long_log_is_followed_by_two_readers_in_little_memory,
    clients_at_once_are_all_answered,
    a_slow_reader_of_events_hinders_nobody,
];

/// The number for this run: the whole of what the load test asks for, or what a test run has time for.
pub(super) fn amount(full: usize, part: usize) -> usize {
    if std::env::var_os("SAMPAN_E2E_LOAD").is_some_and(|load| load == "full") {
        full
    } else {
        part
    }
}

/// Does `job` for each of `0..count` on this many threads.
fn in_parallel(threads: usize, count: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    job(number);
                }
            });
        }
    });
}

fn removed(world: &World, names: &[String]) {
    for names in names.chunks(50) {
        let words = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str));
        world.ok(words);
    }
}

fn containers_that_run_at_once_leave_nothing_behind(world: &World) {
    let count = amount(200, 12);
    world.ok(["run", "--rm", "alpine", "true"]);
    world.census();
    let before = world.census();
    let names: Vec<String> = (0..count).map(|number| format!("crowd-{number}")).collect();
    in_parallel(4, count, |number| {
        world.ok(["run", "-d", "--name", &names[number], "alpine", "sleep", "86400"]);
    });
    assert_eq!(world.ok(["ps", "-q"]).lines().count(), count);
    let last = names.last().unwrap();
    assert_eq!(world.ok(["exec", last, "echo", "among many"]), "among many");
    removed(world, &names);
    assert_eq!(world.ok(["ps", "-aq"]), "");
    world.census().is_no_more_than(&before);
}

fn containers_that_run_one_after_the_other_leave_nothing_behind(world: &World) {
    let count = amount(2000, 30);
    for _ in 0..count.div_ceil(10) {
        world.ok(["run", "--rm", "alpine", "true"]);
    }
    let before = world.census();
    world.reset_service_peak();
    let resident = world.service_peak();
    for _ in 0..count {
        world.ok(["run", "--rm", "alpine", "true"]);
    }
    world.census().is_no_more_than(&before);
    let grown = world.service_peak().saturating_sub(resident);
    assert!(grown < 16 << 20, "the service grew by {grown} bytes");
}

fn a_long_log_is_followed_by_two_readers_in_little_memory(world: &World) {
    let mebibytes = amount(1024, 24);
    world.ok(["pull", "-q", "alpine"]);
    world.ok(["run", "-d", "--name", "talker", "alpine", "sleep", "86400"]);
    world.ok(["rm", "-f", "talker"]);
    world.reset_service_peak();
    let resident = world.service_peak();
    // Lines of 64 bytes.
    let lines = mebibytes << 14;
    let say =
        format!("yes 0123456789012345678901234567890123456789012345678901234567890ab | head -n {lines}");
    world.ok(["create", "--name", "talker", "alpine", "sh", "-c", &say]);
    world.ok(["start", "talker"]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut connection = world.connect();
                connection.send_head("GET", "/containers/talker/logs?follow=1&stdout=1", "");
                assert_eq!(connection.status(), 200);
                let mut seen = 0;
                while let Some(line) = connection.line() {
                    seen += usize::from(line.ends_with("90ab"));
                }
                assert_eq!(seen, lines);
            });
        }
    });
    let grown = world.service_peak().saturating_sub(resident);
    assert!(grown < 48 << 20, "the service grew by {grown} bytes");
    world.ok(["rm", "-f", "talker"]);
}

fn clients_at_once_are_all_answered(world: &World) {
    let count = amount(500, 100);
    world.ok(["create", "--name", "shown", "hello-world"]);
    let mut connections: Vec<_> = (0..count).map(|_| world.connect()).collect();
    for connection in &mut connections {
        connection.send_head("GET", "/containers/json?all=1", "");
    }
    for connection in connections {
        connection.answer().has_status(200).says("/shown");
    }
}

fn a_slow_reader_of_events_hinders_nobody(world: &World) {
    let count = amount(10_000, 1000);
    world.ok(["pull", "-q", "alpine"]);
    let mut slow = world.connect();
    slow.send_head("GET", "/events?filters=%7B%22event%22%3A%5B%22tag%22%5D%7D", "");
    let mut quick = world.connect();
    quick.send_head("GET", "/events?filters=%7B%22event%22%3A%5B%22tag%22%5D%7D", "");
    assert_eq!(quick.status(), 200);
    assert_eq!(slow.status(), 200);
    world.reset_service_peak();
    let resident = world.service_peak();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            in_parallel(4, count, |number| {
                let path = format!("/images/alpine/tag?repo=much&tag=v{}", number % 8);
                world.request("POST", &path).has_status(201);
            });
        });
        let mut seen = 0;
        while seen < count {
            let line = quick.line().expect("the events go on");
            seen += line.matches("\"Action\":\"tag\"").count();
        }
    });
    let grown = world.service_peak().saturating_sub(resident);
    assert!(grown < 48 << 20, "the service grew by {grown} bytes");
    // What the slow reader left unread is still there for it.
    let mut seen = 0;
    while seen < count {
        let line = slow.line().expect("the events go on");
        seen += line.matches("\"Action\":\"tag\"").count();
    }
}
