//! `ssh://`, by a stand-in for `ssh` that runs the command in a shell of this computer, as `sshd` does in one of the
//! other.

use std::fs;

use crate::engine::{self, CODE, Requests, VERSION};
use crate::person::{Person, SAMPAN};

const ASK: [&str; 5] = ["-H", "ssh://me@far", "version", "--format", "{{.Server.Version}}"];

/// A person with an `ssh` that leads to a computer whose programs are in `far`, and an engine there.
fn connected() -> (Person, Requests) {
    let person = Person::new();
    let far = person.path("far");
    fs::create_dir(&far).unwrap();
    person.program(
        "bin",
        "ssh",
        &format!(
            "echo \"$*\" >> '{}'\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nPATH='{}:/usr/bin:/bin' exec sh -c \"$*\"",
            person.path("asked").display(),
            far.display()
        ),
    );
    let requests = engine::at_socket(&person.path("engine.sock"));
    (person, requests)
}

/// Gives the computer behind `ssh` a program that reaches its engine.
fn install(person: &Person, name: &str) {
    let host = format!("unix://{}", person.path("engine.sock").display());
    person.program("far", name, &format!("exec '{SAMPAN}' -H '{host}' \"$@\""));
}

fn asked(person: &Person) -> Vec<String> {
    let asked = fs::read_to_string(person.path("asked")).unwrap();
    asked.lines().map(str::to_owned).collect()
}

#[test]
fn an_engine_behind_ssh_is_reached_by_the_docker_command_there() {
    let (person, requests) = connected();
    install(&person, "docker");
    install(&person, "sampan");
    assert_eq!(person.sampan(&ASK).ok(), VERSION);
    assert_eq!(
        asked(&person),
        ["-l me -o ConnectTimeout=30 -T -- far docker system dial-stdio"]
    );
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[test]
fn where_the_other_side_has_no_docker_its_sampan_is_asked() {
    let (person, _) = connected();
    install(&person, "sampan");
    let output = person.run(&[], &["-H", "ssh://far", "exec", "-i", "web", "cat"], "hello\n");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(CODE), "hello\n"),
        "{output:?}"
    );
    let (first, rest) = asked(&person)
        .split_first()
        .map(|(first, rest)| (first.clone(), rest.to_vec()))
        .unwrap();
    assert!(first.ends_with("-- far docker system dial-stdio"), "{first}");
    assert!(
        rest.iter()
            .all(|line| line.ends_with("-- far sampan system dial-stdio")),
        "{rest:?}"
    );
}

#[test]
fn the_end_of_the_input_leaves_the_output_open_behind_ssh_too() {
    let (person, _) = connected();
    install(&person, "docker");
    let input = "hello\n".repeat(100_000);
    let output = person.run(&[], &["-H", "ssh://far", "exec", "-i", "web", "cat"], &input);
    assert_eq!(output.code, Some(CODE), "{}", output.stderr);
    assert!(
        output.stdout == input,
        "{} bytes came back of {}",
        output.stdout.len(),
        input.len()
    );
}

#[test]
fn a_socket_in_the_address_is_the_one_that_is_dialled_there() {
    let (person, _) = connected();
    person.program("far", "docker", &format!("exec '{SAMPAN}' \"$@\""));
    let socket = person.path("it's an engine.sock");
    engine::at_socket(&socket);
    let host = format!("ssh://far{}", socket.display().to_string().replace(' ', "%20"));
    let version = person.sampan(&["-H", &host, "version", "--format", "{{.Server.Version}}"]);
    assert_eq!(version.ok(), VERSION);
}

#[test]
fn what_ssh_told_is_told_when_it_does_not_reach_the_other_side() {
    let person = Person::new();
    person.program(
        "bin",
        "ssh",
        "echo 'me@far: \x1b[1mPermission denied (publickey).' >&2\nexit 255",
    );
    assert_eq!(
        person.sampan(&["-H", "ssh://me@far", "ps"]).fault(),
        "error during connect: command [ssh -l me -o ConnectTimeout=30 -T -- far docker system dial-stdio] has exited \
         with exit status 255, make sure the URL is valid, and Docker 18.09 or later is installed on the remote host: \
         stderr=me@far: [1mPermission denied (publickey)."
    );
}

#[test]
fn of_what_ssh_tells_only_the_end_is_kept() {
    let person = Person::new();
    person.program(
        "bin",
        "ssh",
        "head -c 1000000 /dev/zero | tr '\\0' x >&2\necho the end >&2\nexit 255",
    );
    let output = person.sampan(&["-H", "ssh://far", "ps"]);
    let fault = output.fault();
    assert!(
        fault.ends_with("xxx the end") || fault.ends_with("xxxthe end"),
        "{fault}"
    );
    assert!(fault.len() < 5000, "{}", fault.len());
}

#[test]
fn a_computer_without_either_command_is_told_in_dockers_words() {
    let (person, _) = connected();
    let output = person.sampan(&ASK);
    assert!(
        output
            .fault()
            .contains("-- far docker system dial-stdio] has exited with exit status 127, make sure"),
        "{output:?}"
    );
    assert_eq!(asked(&person).len(), 2);
}

#[test]
fn a_computer_without_ssh_is_told() {
    let person = Person::new();
    let output = person.run(&[("PATH", "/nowhere")], &["-H", "ssh://far", "ps"], "");
    assert_eq!(
        output.fault(),
        "error during connect: exec: \"ssh\": executable file not found in $PATH"
    );
}
