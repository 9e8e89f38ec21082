//! Bytes go through unharmed, apart from each other, to the last one.

use std::io::Write;

use sha2::{Digest, Sha256};
use tokio_tungstenite::tungstenite::Message;

use crate::world::World;

super::scenarios![
    sixty_four_mebibytes_through_cat_come_back_the_same,
    a_program_that_writes_a_mebibyte_and_exits_at_once_loses_nothing,
    stdout_and_stderr_stay_apart,
    sigterm_to_the_client_reaches_the_program,
    a_closed_pipe_ends_the_client,
    the_end_of_input_reaches_the_program,
    a_websocket_carries_input_and_output_until_the_client_closes,
    a_websocket_is_closed_after_the_last_byte_of_output,
    what_asks_for_no_websocket_is_refused_in_dockers_words,
];

/// Reproducible bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn sixty_four_mebibytes_through_cat_come_back_the_same(world: &World) {
    let sent = noise(64 << 20);
    let digest = hex::encode(Sha256::digest(&sent));
    let mut cat = world.start(["run", "--rm", "-i", "alpine", "cat"]);
    let mut stdin = cat.take_stdin();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let (output, received) = cat.finish_raw();
    writer.join().unwrap().unwrap();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(received.len(), 64 << 20);
    assert_eq!(hex::encode(Sha256::digest(&received)), digest);
}

fn a_program_that_writes_a_mebibyte_and_exits_at_once_loses_nothing(world: &World) {
    let (output, received) = world
        .start([
            "run",
            "--rm",
            "alpine",
            "dd",
            "if=/dev/zero",
            "bs=1048576",
            "count=1",
        ])
        .finish_raw();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(received.len(), 1 << 20);
}

fn stdout_and_stderr_stay_apart(world: &World) {
    world.ok(["pull", "-q", "alpine"]);
    let output = world
        .sampan(["run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2"])
        .exits_with(0);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
}

fn sigterm_to_the_client_reaches_the_program(world: &World) {
    let script = "trap 'echo asked to leave; exit 5' TERM; echo ready; while :; do sleep 1; done";
    let run = world.start(["run", "--rm", "alpine", "sh", "-c", script]);
    run.wait_for("ready");
    run.signal(rustix::process::Signal::TERM);
    run.finish().exits_with(5).prints("asked to leave");
}

fn a_closed_pipe_ends_the_client(world: &World) {
    assert_eq!(
        world.first_line(["run", "--name", "gushing", "alpine", "yes"]),
        "y\n"
    );
    world.ok(["rm", "-f", "gushing"]);
}

fn the_end_of_input_reaches_the_program(world: &World) {
    let mut count = world.start(["run", "--rm", "-i", "alpine", "wc", "-c"]);
    count.write(b"twelve bytes");
    count.finish().exits_with(0).prints("12");
}

fn a_websocket_carries_input_and_output_until_the_client_closes(world: &World) {
    world.ok(["create", "-i", "--name", "parrot", "alpine", "cat"]);
    let mut socket = world.websocket("/v1.43/containers/parrot/attach/ws?stream=1&stdin=1&stdout=1&stderr=1");
    world.ok(["start", "parrot"]);
    for sent in [Message::text("hello\n"), Message::binary(&b"\0\xff\n"[..])] {
        let expected = sent.clone().into_data();
        socket.send(sent).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Binary(expected));
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    // Its input has ended with the client.
    assert_eq!(world.ok(["wait", "parrot"]), "0");
    world.ok(["rm", "parrot"]);
}

fn a_websocket_is_closed_after_the_last_byte_of_output(world: &World) {
    let say = "head -c 1048576 /dev/zero | tr '\\0' x; echo err >&2";
    for (version, text) in [("1.27", true), ("1.43", false)] {
        world.ok(["create", "--name", "speaker", "alpine", "sh", "-c", say]);
        let path = format!("/v{version}/containers/speaker/attach/ws?stream=1&stdout=1&stderr=1");
        let mut socket = world.websocket(&path);
        world.ok(["start", "speaker"]);
        let mut received = Vec::new();
        let close = loop {
            match socket.read().unwrap() {
                Message::Close(close) => break close.unwrap(),
                message => {
                    assert_eq!(message.is_text(), text);
                    received.extend(message.into_data());
                }
            }
        };
        assert_eq!(u16::from(close.code), 1000);
        assert_eq!(received.iter().filter(|byte| **byte == b'x').count(), 1 << 20);
        received.retain(|byte| *byte != b'x');
        assert_eq!(received, b"err\n");
        world.ok(["rm", "-f", "speaker"]);
    }
}

fn what_asks_for_no_websocket_is_refused_in_dockers_words(world: &World) {
    world.ok(["create", "--name", "quiet", "alpine", "true"]);
    world
        .request("GET", "/containers/quiet/attach/ws?stream=1")
        .has_status(400)
        .says("not websocket protocol");
    let mut connection = world.connect();
    connection.send_head(
        "GET",
        "/containers/nobody/attach/ws?stream=1",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    connection
        .answer()
        .has_status(404)
        .says("No such container: nobody");
    world.ok(["rm", "quiet"]);
}
