//! `sampan context`.

use std::fs;

use crate::engine::{self, VERSION};
use crate::person::Person;

/// A person with a context of another engine at a unix socket.
fn with_far() -> Person {
    let person = Person::new();
    engine::at_socket(&person.path("engine.sock"));
    let endpoint = format!("host=unix://{}", person.path("engine.sock").display());
    let created = person.sampan(&[
        "context",
        "create",
        "far",
        "--description",
        "a far one",
        "--docker",
        &endpoint,
    ]);
    assert_eq!(
        (created.ok(), created.stderr.as_str()),
        ("far", "Successfully created context \"far\"\n")
    );
    person
}

fn server(person: &Person, environment: &[(&str, &str)], flags: &[&str]) -> String {
    let arguments = [
        flags,
        &["version", "--format", "{{.Client.Context}} {{.Server.Version}}"],
    ]
    .concat();
    person.run(environment, &arguments, "").ok().to_owned()
}

#[test]
fn the_chosen_context_is_the_one_that_is_talked_to() {
    let person = with_far();
    let used = person.sampan(&["context", "use", "far"]);
    assert_eq!(
        (used.ok(), used.stderr.as_str()),
        ("far", "Current context is now \"far\"\n")
    );
    assert_eq!(person.sampan(&["context", "show"]).ok(), "far");
    assert_eq!(server(&person, &[], &[]), format!("far {VERSION}"));
    person.sampan(&["context", "use", "default"]).ok();
    assert_eq!(person.sampan(&["context", "show"]).ok(), "default");
    assert_eq!(
        server(&person, &[("SAMPAN_CONTEXT", "far")], &[]),
        format!("far {VERSION}")
    );
    assert_eq!(
        server(&person, &[], &["--context", "far"]),
        format!("far {VERSION}")
    );
}

#[test]
fn a_choice_for_sampan_is_none_for_docker() {
    let person = with_far();
    person.file("docker/config.json", "{\"currentContext\":\"other\"}");
    person.sampan(&["context", "use", "far"]).ok();
    let config = fs::read_to_string(person.path("docker/config.json")).unwrap();
    assert_eq!(config, "{\"currentContext\":\"other\"}");
}

#[test]
fn contexts_are_listed_as_docker_lists_them() {
    let person = with_far();
    let socket = |name: &str| format!("unix://{}", person.path(name).display());
    let (far, own) = (socket("engine.sock"), socket("sampan/sampan.sock"));
    assert_eq!(person.sampan(&["context", "ls", "-q"]).ok(), "default\nfar");
    let format = "{{.Name}}|{{.Current}}|{{.Description}}|{{.DockerEndpoint}}|{{.Error}}";
    assert_eq!(
        person.sampan(&["context", "ls", "--format", format]).ok(),
        format!("default|true|sampan's own service|{own}|\nfar|false|a far one|{far}|")
    );
    let json = person.sampan(&["-c", "far", "context", "ls", "--format", "json"]);
    let far = format!(
        r#"{{"Current":true,"Description":"a far one","DockerEndpoint":"{far}","Error":"","Name":"far"}}"#
    );
    assert_eq!(json.ok().lines().nth(1), Some(far.as_str()));
}

#[test]
fn a_variable_that_decides_before_the_choice_is_told() {
    let person = with_far();
    let environment = [("DOCKER_HOST", "tcp://1.2.3.4:2375")];
    let listed = person.run(
        &environment,
        &[
            "context",
            "ls",
            "--format",
            "{{.Name}} {{.Current}} {{.DockerEndpoint}}",
        ],
        "",
    );
    assert!(
        listed.ok().starts_with("default true tcp://1.2.3.4:2375\n"),
        "{listed:?}"
    );
    assert_eq!(
        listed.stderr,
        "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the \
         global --context flag, or unset DOCKER_HOST environment variable.\n"
    );
    assert_eq!(
        person.run(&environment, &["context", "use", "far"], "").stderr,
        "Current context is now \"far\"\nWarning: DOCKER_HOST environment variable overrides the active context. To \
         use \"far\", either set the global --context flag, or unset DOCKER_HOST environment variable.\n"
    );
}

#[test]
fn a_context_is_inspected_in_dockers_order() {
    let person = with_far();
    let store = person.path("docker/contexts");
    let store = store.display();
    let shown = person.sampan(&["context", "inspect", "far"]);
    let text = shown.ok();
    // The SHA-256 of its name.
    let id = text
        .split("/meta/")
        .nth(1)
        .and_then(|rest| rest.get(..64))
        .unwrap();
    assert_eq!(
        text,
        format!(
            "[\n    {{\n        \"Name\": \"far\",\n        \"Metadata\": {{\n            \"Description\": \"a far one\"\n        \
             }},\n        \"Endpoints\": {{\n            \"docker\": {{\n                \"Host\": \"unix://{}\",\n                \
             \"SkipTLSVerify\": false\n            }}\n        }},\n        \"TLSMaterial\": {{}},\n        \"Storage\": {{\n            \
             \"MetadataPath\": \"{store}/meta/{id}\",\n            \"TLSPath\": \"{store}/tls/{id}\"\n        }}\n    }}\n]",
            person.path("engine.sock").display()
        )
    );
    let host = person.sampan(&["context", "inspect", "-f", "{{.Name}} {{.Endpoints.docker.Host}}"]);
    assert!(host.ok().starts_with("default unix://"), "{host:?}");
}

#[test]
fn a_context_is_updated_and_removed() {
    let person = with_far();
    let updated = person.sampan(&[
        "context",
        "update",
        "far",
        "--description",
        "new",
        "--docker",
        "host=ssh://me@far",
    ]);
    assert_eq!(
        (updated.ok(), updated.stderr.as_str()),
        ("far", "Successfully updated context \"far\"\n")
    );
    let shown = person.sampan(&[
        "context",
        "inspect",
        "-f",
        "{{.Metadata.Description}} {{.Endpoints.docker.Host}}",
        "far",
    ]);
    assert_eq!(shown.ok(), "new ssh://me@far");
    person.sampan(&["context", "use", "far"]).ok();
    assert_eq!(
        person.sampan(&["context", "rm", "far"]).fault(),
        "context \"far\" is in use, set -f flag to force remove"
    );
    assert_eq!(person.sampan(&["context", "rm", "-f", "far"]).ok(), "far");
    assert_eq!(person.sampan(&["context", "show"]).ok(), "default");
    assert_eq!(
        person.sampan(&["context", "rm", "far", "default"]).fault(),
        "context \"far\" does not exist\ncontext \"default\" cannot be removed"
    );
}

#[test]
fn a_context_that_docker_uses_is_in_use() {
    let person = with_far();
    person.file("docker/config.json", "{\"currentContext\":\"far\"}");
    assert_eq!(
        person.sampan(&["context", "rm", "far"]).fault(),
        "context \"far\" is in use, set -f flag to force remove"
    );
}

#[test]
fn what_cannot_be_is_refused_in_dockers_words() {
    let person = with_far();
    let fault = |arguments: &[&str]| person.sampan(arguments).fault().to_owned();
    assert_eq!(
        fault(&["context", "create", "default"]),
        "\"default\" is a reserved context name"
    );
    assert_eq!(
        fault(&["context", "create", "far"]),
        "context \"far\" already exists"
    );
    assert_eq!(
        fault(&["context", "create", "a b"]),
        "context name \"a b\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    );
    assert_eq!(
        fault(&["context", "create", "new", "--docker", "foo=bar"]),
        "unable to create docker endpoint config: unrecognized config key: foo"
    );
    assert_eq!(
        fault(&[
            "context",
            "create",
            "new",
            "--docker",
            "host=tcp://x,skip-tls-verify=maybe"
        ]),
        "unable to create docker endpoint config: skip-tls-verify: parsing \"maybe\": invalid syntax"
    );
    assert_eq!(
        fault(&[
            "context",
            "create",
            "new",
            "--from",
            "far",
            "--docker",
            "host=tcp://x"
        ]),
        "cannot use --docker flag when --from is set"
    );
    let gone = fault(&["-c", "gone", "ps"]);
    assert!(
        gone.starts_with("Failed to initialize: unable to resolve docker endpoint: context \"gone\": context not found: open "),
        "{gone}"
    );
    assert!(gone.ends_with("/meta.json: no such file or directory"), "{gone}");
}

#[test]
fn a_context_that_is_not_understood_is_told_with_its_file_and_keeps_no_other_from_being_used() {
    let person = with_far();
    person.file("docker/contexts/meta/bad/meta.json", "{\"Name\":");
    let path = person.path("docker/contexts/meta/bad/meta.json");
    let listed = person.sampan(&["context", "ls"]);
    assert!(
        listed
            .fault()
            .starts_with(&format!("failed to read metadata: parsing {}: ", path.display())),
        "{listed:?}"
    );
    assert_eq!(server(&person, &[], &["-c", "far"]), format!("far {VERSION}"));
}

#[test]
fn a_context_is_copied_and_an_archive_of_nothing_is_not_taken() {
    let person = with_far();
    person
        .sampan(&["context", "create", "copy", "--from", "far"])
        .ok();
    assert_eq!(server(&person, &[], &["-c", "copy"]), format!("copy {VERSION}"));
    let exported = person.sampan(&["context", "export", "copy"]);
    assert_eq!(
        (exported.ok(), exported.stderr.as_str()),
        ("", "Written file \"copy.dockercontext\"\n")
    );
    assert_eq!(
        person.sampan(&["context", "export", "copy"]).fault(),
        "open copy.dockercontext: file exists"
    );
    person.file("empty", vec![0; 1024]);
    assert_eq!(
        person.sampan(&["context", "import", "new", "empty"]).fault(),
        "invalid context: no metadata found"
    );
    assert_eq!(
        person.sampan(&["context", "import", "new", "nowhere"]).fault(),
        "open nowhere: no such file or directory"
    );
}
