//! Clients that send nonsense, or too much of it, or nothing more: one clear error each, and the service goes on.

use std::fmt::Write as _;

use serde_json::json;

use crate::world::World;

super::scenarios![
    what_is_no_http_is_refused,
    a_head_without_end_is_refused,
    a_json_body_of_a_gibibyte_is_refused,
    a_json_body_that_is_none_is_refused,
    a_json_body_that_nests_without_end_is_refused,
    a_thousand_filters_are_refused_by_the_first,
    a_client_that_stops_reading_holds_up_nobody,
    a_client_that_leaves_in_the_middle_leaves_nothing,
    a_template_that_calls_itself_is_ended,
    an_archive_that_leads_out_of_the_container_is_kept_in_it,
    an_archive_with_a_name_that_leads_out_is_not_loaded,
    an_archive_for_a_container_that_does_not_exist_is_answered,
];

fn still_answers(world: &World) {
    world.request("GET", "/_ping").has_status(200).says("OK");
}

fn what_is_no_http_is_refused(world: &World) {
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "{}\r\n\r\n",
    ] {
        let mut connection = world.connect();
        connection.send(nonsense.as_bytes()).unwrap();
        assert_eq!(connection.status(), 400, "{nonsense:?}");
    }
    still_answers(world);
}

fn a_head_without_end_is_refused(world: &World) {
    let mut connection = world.connect();
    let _ = connection.send(b"GET /_ping HTTP/1.1\r\nHost: sampan\r\n");
    // The service may close before all of it is sent.
    while connection
        .send(b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
        .is_ok()
    {}
    still_answers(world);
}

fn a_json_body_of_a_gibibyte_is_refused(world: &World) {
    world.reset_service_peak();
    let resident = world.service_peak();
    for headers in ["Content-Length: 1073741824\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut connection = world.connect();
        let headers = format!("Content-Type: application/json\r\n{headers}");
        connection.send_head("POST", "/containers/create", &headers);
        let mebibyte = vec![b' '; 1 << 20];
        let head = if headers.contains("chunked") {
            "100000\r\n"
        } else {
            ""
        };
        for _ in 0..1024 {
            let sent = connection
                .send(head.as_bytes())
                .and_then(|()| connection.send(&mebibyte));
            if sent.is_err() || (!head.is_empty() && connection.send(b"\r\n").is_err()) {
                break;
            }
        }
    }
    let grown = world.service_peak().saturating_sub(resident);
    assert!(grown < 48 << 20, "the service grew by {grown} bytes");
    let mut connection = world.connect();
    connection.send_head(
        "POST",
        "/containers/create",
        "Content-Type: application/json\r\nContent-Length: 1073741824\r\n",
    );
    connection
        .answer()
        .has_status(413)
        .says("request body is larger than 4 MiB");
    still_answers(world);
}

fn a_json_body_that_is_none_is_refused(world: &World) {
    for body in [json!("text"), json!(5), json!({ "Image": 5 })] {
        world
            .post("/containers/create", &body)
            .has_status(400)
            .says("\"message\":");
    }
    still_answers(world);
}

fn a_json_body_that_nests_without_end_is_refused(world: &World) {
    let body = format!("{{\"Labels\":{}", "[".repeat(1 << 20));
    let mut connection = world.connect();
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    connection.send_head("POST", "/containers/create", &headers);
    connection.send(body.as_bytes()).unwrap();
    connection.answer().has_status(400).says("invalid JSON");
    still_answers(world);
}

fn a_thousand_filters_are_refused_by_the_first(world: &World) {
    let mut filters = String::from("{");
    for number in 0..1000 {
        let comma = if number == 0 { "" } else { "," };
        write!(filters, "{comma}%22f{number}%22:[%22x%22]").unwrap();
    }
    filters.push('}');
    for path in ["containers/json", "images/json", "networks", "volumes", "events"] {
        let answer = world.request("GET", &format!("/{path}?filters={filters}"));
        answer.has_status(400).says("invalid filter 'f");
    }
    still_answers(world);
}

fn a_client_that_stops_reading_holds_up_nobody(world: &World) {
    world.ok(["pull", "-q", "alpine"]);
    let mut stuck = world.connect();
    // Sixteen mebibytes are more than what lies between the container and a reader.
    let say = "head -c 16777216 /dev/zero | tr '\\0' 'x' | fold -w 64; echo; echo done";
    world.ok(["run", "--name", "wordy", "alpine", "sh", "-c", say]);
    stuck.send_head("GET", "/containers/wordy/logs?stdout=1", "");
    assert_eq!(stuck.status(), 200);
    let tail = world.ok(["logs", "--tail", "1", "wordy"]);
    assert_eq!(tail, "done");
    world.ok(["rm", "-f", "wordy"]);
    still_answers(world);
}

fn a_client_that_leaves_in_the_middle_leaves_nothing(world: &World) {
    world.ok(["run", "--rm", "alpine", "true"]);
    let before = world.census();
    for _ in 0..20 {
        let mut connection = world.connect();
        connection.send_head("GET", "/events", "");
        assert_eq!(connection.status(), 200);
        let mut half = world.connect();
        half.send(b"POST /containers/create HTTP/1.1\r\nContent-Le")
            .unwrap();
        let mut body = world.connect();
        body.send_head("POST", "/images/load", "Content-Length: 1000000\r\n");
        body.send(&[0; 512]).unwrap();
    }
    still_answers(world);
    world.census().is_no_more_than(&before);
    let spool = world.home().join("store/tmp");
    let left: Vec<_> = std::fs::read_dir(spool)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn a_template_that_calls_itself_is_ended(world: &World) {
    let looping = "{{define \"x\"}}{{template \"x\" .}}{{end}}{{template \"x\" .}}";
    let output = world.sampan(["version", "--format", looping]);
    assert!(!matches!(output.code, Some(0) | None), "{output}");
    output.warns("template");
    let long = "{{range .}}".repeat(5000);
    let output = world.sampan(["version", "--format", &long]);
    assert!(!matches!(output.code, Some(0) | None), "{output}");
}

/// A tar archive with one file of this name.
fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", text.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(text.as_bytes());
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

fn an_archive_that_leads_out_of_the_container_is_kept_in_it(world: &World) {
    world.ok(["run", "-d", "--name", "target", "alpine", "sleep", "86400"]);
    for name in ["../../../../escaped", "/escaped", "a/../../../../escaped"] {
        let archive = archive(name, "out");
        let mut connection = world.connect();
        let headers = format!("Content-Length: {}\r\n", archive.len());
        connection.send_head("PUT", "/containers/target/archive?path=/tmp", &headers);
        connection.send(&archive).unwrap();
        connection.answer();
    }
    let outside = [
        "run",
        "--rm",
        "--privileged",
        "--pid",
        "host",
        "alpine",
        "sh",
        "-c",
    ];
    let found = world.ok(outside
        .into_iter()
        .chain(["cd /proc/1/root; ls escaped data/escaped run/escaped 2>/dev/null; true"]));
    assert_eq!(found, "");
    assert!(!std::path::Path::new("/escaped").exists());
    world.ok(["rm", "-f", "target"]);
}

fn an_archive_with_a_name_that_leads_out_is_not_loaded(world: &World) {
    for name in ["../../escaped.json", "/manifest.json", "manifest.json"] {
        let archive = archive(
            name,
            "[{\"Config\":\"../../../etc/passwd\",\"RepoTags\":[\"x:y\"],\"Layers\":[\"/etc/passwd\"]}]",
        );
        let mut connection = world.connect();
        let headers = format!("Content-Length: {}\r\n", archive.len());
        connection.send_head("POST", "/images/load", &headers);
        connection.send(&archive).unwrap();
        let answer = connection.answer();
        assert!(
            answer.status != 200 || answer.body.contains("error"),
            "{}",
            answer.body
        );
    }
    world.assert_no_image();
}

fn an_archive_for_a_container_that_does_not_exist_is_answered(world: &World) {
    let archive = archive("file", &"x".repeat(200_000));
    let mut connection = world.connect();
    let headers = format!("Content-Length: {}\r\n", archive.len());
    connection.send_head("PUT", "/containers/nobody/archive?path=/tmp", &headers);
    for piece in archive.chunks(4096) {
        connection.send(piece).unwrap();
    }
    connection
        .answer()
        .has_status(404)
        .says("No such container: nobody");
}
