//! `tcp://` without TLS.

use std::future::ready;

use crate::engine::{self, CODE, VERSION};
use crate::person::Person;

#[test]
fn an_engine_at_a_port_answers() {
    let person = Person::new();
    let (address, requests) = engine::at_port(|stream| ready(Ok(stream)));
    let host = format!("tcp://{address}");
    let version = person.sampan(&["-H", &host, "version", "--format", "{{.Server.Version}}"]);
    assert_eq!(version.ok(), VERSION);
    let version = person.run(
        &[("DOCKER_HOST", &host)],
        &["version", "-f", "{{.Server.Version}}"],
        "",
    );
    assert_eq!(version.ok(), VERSION);
    // A proxy in between is told where the request goes to.
    let wanted = format!("GET /version at {address}");
    assert_eq!(*requests.lock().unwrap(), [wanted.as_str(), &wanted]);
}

#[test]
fn an_engine_behind_a_path_is_asked_below_it() {
    let person = Person::new();
    let (address, _) = engine::at_port(|stream| ready(Ok(stream)));
    let host = format!("tcp://{address}/base/");
    let version = person.sampan(&["-H", &host, "version", "--format", "{{.Server.Version}}"]);
    assert_eq!(version.ok(), VERSION);
}

#[test]
fn the_end_of_the_input_leaves_the_output_open() {
    let person = Person::new();
    let (address, _) = engine::at_port(|stream| ready(Ok(stream)));
    let host = format!("tcp://{address}");
    let output = person.run(&[], &["-H", &host, "exec", "-i", "web", "cat"], "hello\n");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(CODE), "hello\n"),
        "{output:?}"
    );
}

#[test]
fn an_engine_that_is_not_there_is_told_in_dockers_words() {
    let person = Person::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        person.sampan(&["-H", &host, "ps"]).fault(),
        format!("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")
    );
}

#[test]
fn an_address_that_is_none_is_told_in_dockers_words() {
    let person = Person::new();
    assert_eq!(
        person.sampan(&["-H", "foo://x", "ps"]).fault(),
        "Failed to initialize: unable to resolve docker endpoint: invalid bind address format: foo://x"
    );
}
