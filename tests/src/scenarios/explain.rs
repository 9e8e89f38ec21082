//! `explain`: a command and its journey, from what was recorded.

use serde_json::Value;

use crate::world::World;

super::scenarios![
    a_first_run_is_told_from_the_service_to_the_removal_and_a_second_without_pull_and_boot,
    a_program_that_cannot_be_executed_is_told_where_it_failed,
    the_steps_are_there_as_json_with_their_times,
    the_same_journey_is_told_in_korean,
    who_answers_and_why_is_told_in_both_languages,
];

/// The page of these texts in this order.
#[track_caller]
fn tells_in_order(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let Some(found) = rest.find(text) else {
            panic!("{text:?} is not there, or not in its place, in:\n{page}");
        };
        rest = &rest[found + text.len()..];
    }
}

fn a_first_run_is_told_from_the_service_to_the_removal_and_a_second_without_pull_and_boot(world: &World) {
    let architecture = &world.kind().architecture;
    let first = world
        .sampan([
            "explain", "--lang", "en", "run", "--rm", "alpine", "echo", "hello",
        ])
        .exits_with(0)
        .warns("Pulling from library/alpine");
    assert!(first.stdout.starts_with("hello\n"), "{first}");
    // Lines are broken where the width wants it.
    let page = first.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    tells_in_order(
        &page,
        &[
            "`sampan run --rm alpine echo hello`",
            "so the client started the service",
            "Looked for the image alpine among those that are here: it is not.",
            "what alpine:latest stands for now",
            &format!("That for linux/{architecture} was chosen"),
            "verified its checksum",
            "and its name in the database",
            "Found the image alpine here",
            "Wrote the container",
            &format!("Booted the linux/{architecture} machine"),
            "on a read-only disk",
            "Gave the container the address 172.17.0.",
            "Laid the layers over each other",
            "and became the program",
            "ended with exit code 0",
            "Removed the container",
            "Image and machine stay: the next run does without",
        ],
    );

    let second = world
        .sampan(["explain", "--lang", "en", "run", "--rm", "alpine", "true"])
        .exits_with(0);
    let page = second.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    tells_in_order(
        &page,
        &[
            "The client reached the service",
            "Found the image alpine here",
            &format!("The linux/{architecture} machine with Linux"),
            "every run but the first",
        ],
    );
    for absent in [
        "started the service",
        "Booted",
        "Downloaded",
        "Asked the registry",
    ] {
        assert!(
            !page.contains(absent),
            "{absent:?} is told of a second run:\n{page}"
        );
    }
}

fn a_program_that_cannot_be_executed_is_told_where_it_failed(world: &World) {
    let failed = world
        .sampan(["explain", "--lang", "en", "run", "--rm", "hello-world", "ls"])
        .exits_with(127)
        .warns("exec: \"ls\": executable file not found in $PATH");
    let page = failed.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    tells_in_order(
        &page,
        &[
            "Wrote the container",
            "It failed: exec: \"ls\": executable file not found",
        ],
    );
}

fn the_steps_are_there_as_json_with_their_times(world: &World) {
    world.ok(["pull", "alpine"]);
    let told = world.ok([
        "explain", "--format", "json", "run", "--rm", "alpine", "sleep", "0.3",
    ]);
    let steps: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let step = |name: &str| {
        steps
            .iter()
            .find(|step| step["step"] == name)
            .unwrap_or_else(|| panic!("{name} is missing in {told}"))
    };
    let end = |step: &Value| step["begun_ns"].as_u64().unwrap() + step["took_ns"].as_u64().unwrap();
    let (started, ran, removed) = (step("started"), step("ran"), step("removed"));
    // The program itself, measured by nobody here, slept that long.
    assert!(ran["took_ns"].as_u64().unwrap() >= 290_000_000, "{told}");
    assert!(end(started) <= end(ran) && end(ran) <= end(removed), "{told}");
    let parts = steps.iter().filter(|step| step["step"] == "built");
    let names: Vec<&str> = parts.filter_map(|step| step["part"].as_str()).collect();
    assert_eq!(
        names,
        ["layers", "streams", "root", "cgroup", "surroundings", "program"]
    );
}

fn the_same_journey_is_told_in_korean(world: &World) {
    world.ok(["pull", "hello-world"]);
    world
        .sampan(["explain", "--lang", "ko", "run", "--rm", "hello-world"])
        .exits_with(0)
        .prints("`sampan run --rm hello-world` 명령에서 일어난 일")
        .prints("종료 코드 0 로 끝났습니다")
        .prints("게스트");
}

fn who_answers_and_why_is_told_in_both_languages(world: &World) {
    world.ok(["run", "--rm", "hello-world"]);
    let platform = format!("linux/{}", world.kind().architecture);
    world
        .sampan(["explain", "--lang", "en", "version"])
        .exits_with(0)
        .prints("Client")
        .prints("It is up")
        .prints(&platform);
    world
        .sampan(["explain", "--lang", "ko", "version"])
        .exits_with(0)
        .prints("켜져 있고")
        .prints(&platform);
}
