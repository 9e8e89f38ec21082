//! A client on the other end of a pipe.

use bytes::BytesMut;
use engine::Channel;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

/// The server's end of an attachment.
struct Served {
    output: mpsc::Sender<Chunk>,
    carried: JoinHandle<io::Result<()>>,
}

fn serve(version: ApiVersion) -> (Served, DuplexStream) {
    let (client, server) = tokio::io::duplex(4096);
    let (sender, output) = mpsc::channel(4);
    let attached = Attached {
        tty: false,
        output,
        input: None,
    };
    let carried = tokio::spawn(carry(attached, Kind::of(version), server));
    (
        Served {
            output: sender,
            carried,
        },
        client,
    )
}

async fn client(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

impl Served {
    async fn write(&self, channel: Channel, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        self.output.send(Chunk { channel, bytes }).await.unwrap();
    }
}

/// The code of a close.
fn code(message: Option<Result<Message, Error>>) -> CloseCode {
    match message {
        Some(Ok(Message::Close(Some(close)))) => close.code,
        other => panic!("{other:?} is no close"),
    }
}

#[tokio::test]
async fn output_comes_as_it_is_and_then_a_close() {
    let (served, stream) = serve(ApiVersion::NEWEST);
    let mut client = client(stream).await;
    served.write(Channel::Stdout, b"out\xff").await;
    served.write(Channel::Stderr, b"err").await;
    drop(served.output);
    let first = client.next().await.unwrap().unwrap();
    assert_eq!(first, Message::Binary(Bytes::from_static(b"out\xff")));
    let second = client.next().await.unwrap().unwrap();
    assert_eq!(second, Message::Binary(Bytes::from_static(b"err")));
    assert_eq!(code(client.next().await), CloseCode::Normal);
    assert!(client.next().await.is_none());
    served.carried.await.unwrap().unwrap();
}

#[tokio::test]
async fn older_clients_get_text() {
    let (served, stream) = serve(ApiVersion::new(1, 27));
    let mut client = client(stream).await;
    served.write(Channel::Stdout, "a\u{20ac}".as_bytes()).await;
    served.write(Channel::Stdout, b"\xe2").await;
    drop(served.output);
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("a\u{20ac}"));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text(""));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("\u{fffd}"));
    assert_eq!(code(client.next().await), CloseCode::Normal);
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_detached() {
    let (served, stream) = serve(ApiVersion::NEWEST);
    let mut client = client(stream).await;
    client.close(None).await.unwrap();
    while let Some(message) = client.next().await {
        message.unwrap();
    }
    served.output.closed().await;
    served.carried.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_is_detached() {
    let (served, stream) = serve(ApiVersion::NEWEST);
    drop(stream);
    served.output.closed().await;
    assert!(served.carried.await.unwrap().is_err());
}

#[tokio::test]
async fn a_ping_is_answered_while_there_is_no_output() {
    let (served, stream) = serve(ApiVersion::NEWEST);
    let mut client = client(stream).await;
    let beat = Bytes::from_static(b"beat");
    client.send(Message::Ping(beat.clone())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(beat));
    drop(served.output);
}

#[rstest]
// 0x82: a whole binary message; 0x80 on the length: masked (RFC 6455, section 5.2).
#[case::an_unmasked_frame(b"\x82\x02ls", CloseCode::Protocol)]
#[case::a_reserved_opcode(b"\x83\x80\0\0\0\0", CloseCode::Protocol)]
#[case::a_ping_that_is_too_long(b"\x89\xfe\x01\0\0\0\0\0", CloseCode::Protocol)]
#[case::a_frame_without_end(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", CloseCode::Size)]
#[case::a_frame_over_the_limit(b"\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0", CloseCode::Size)]
#[case::text_that_is_none(b"\x81\x81\0\0\0\0\xff", CloseCode::Invalid)]
#[case::garbage(b"GET / HTTP/1.1\r\n\r\n", CloseCode::Protocol)]
#[tokio::test]
async fn nonsense_is_answered_with_its_code_and_ends_the_attachment(
    #[case] sent: &[u8],
    #[case] expected: CloseCode,
) {
    let (served, mut stream) = serve(ApiVersion::NEWEST);
    // A ping may say that it is long: only its head is judged, once it is there.
    stream.write_all(&[sent, &[0; 256]].concat()).await.unwrap();
    let mut received = BytesMut::new();
    while received.len() < 4 && stream.read_buf(&mut received).await.unwrap() > 0 {}
    let told = u16::from_be_bytes([received[2], received[3]]);
    assert_eq!((received[0], CloseCode::from(told)), (0x88, expected));
    served.output.closed().await;
    assert!(served.carried.await.unwrap().is_err());
}

#[tokio::test]
async fn a_message_in_pieces_is_bounded_as_a_whole() {
    let (served, mut stream) = serve(ApiVersion::NEWEST);
    let piece = vec![0; 64 << 10];
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let writing = async {
        let mut first = 0x02;
        loop {
            let head = [first, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let sent = match writer.write_all(&head).await {
                Ok(()) => writer.write_all(&piece).await,
                error => error,
            };
            if sent.is_err() {
                return;
            }
            first = 0;
        }
    };
    let reading = async {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    let ((), received) = tokio::join!(writing, reading);
    assert_eq!(received, [0x88, 2, 0x03, 0xf1]);
    assert!(served.carried.await.unwrap().is_err());
}
