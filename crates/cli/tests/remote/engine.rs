//! A stand-in for an engine: it tells its version, and its only container's only program gives its input back once
//! that has ended.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// The version that the engine tells.
pub(crate) const VERSION: &str = "1.2.3-stand-in";
/// The exit code of the program.
pub(crate) const CODE: i32 = 7;

/// The first line of every request, and its `Host`.
pub(crate) type Requests = Arc<Mutex<Vec<String>>>;

/// Lets a future run until the test's process ends.
fn run(future: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(future);
    });
}

/// An engine at a port of its own, which `accept` makes of each connection what the engine then serves.
pub(crate) fn at_port<F, S>(accept: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Requests)
where
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    run(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (stream, seen) = (accept(stream), Arc::clone(&seen));
            tokio::spawn(async move { serve(stream.await?, &seen).await });
        }
    });
    (address, requests)
}

/// An engine at a unix socket.
pub(crate) fn at_socket(path: &Path) -> Requests {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    run(async move {
        let listener = UnixListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&seen);
            tokio::spawn(async move { serve(stream, &seen).await });
        }
    });
    requests
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, requests: &Requests) -> io::Result<()> {
    let mut stream = BufReader::new(BufWriter::new(stream));
    loop {
        let (mut request, mut length, mut host) = (String::new(), 0, String::new());
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            let header = header.trim().to_ascii_lowercase();
            match header.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("host", value)) => host = value.to_owned(),
                Some(_) => {}
                None if header.is_empty() => break,
                None => panic!("{header:?} is no header"),
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let target = request.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        requests.lock().unwrap().push(format!("{target} at {host}"));
        let version = format!(r#"{{"Version":"{VERSION}","ApiVersion":"1.51","Os":"linux","Arch":"amd64"}}"#);
        let answer = match target.as_str() {
            "GET /_ping" => "OK".to_owned(),
            "GET /version" | "GET /base/version" => version,
            "POST /containers/web/exec" => r#"{"Id":"e"}"#.to_owned(),
            "GET /exec/e/json" => format!(r#"{{"ID":"e","Running":false,"ExitCode":{CODE}}}"#),
            "POST /exec/e/start" => return give_back(stream).await,
            _ => r#"{"message":"page not found"}"#.to_owned(),
        };
        let status = if answer.contains("not found") {
            "404 Not Found"
        } else {
            "200 OK"
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// Takes the connection over: not a byte comes back before the end of the input.
async fn give_back(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut input = Vec::new();
    stream.read_to_end(&mut input).await?;
    for piece in input.chunks(1 << 16) {
        let length = u32::try_from(piece.len()).unwrap().to_be_bytes();
        stream
            .write_all(&[&[1, 0, 0, 0], length.as_slice(), piece].concat())
            .await?;
    }
    stream.shutdown().await
}
