//! A registry on loopback that can be made to misbehave (OCI distribution-spec, "Pulling manifests" and "Pulling
//! blobs"). It serves OCI layouts from disk; the true registry server of the demonstration has no such faults.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What the registry does wrong with the content that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A byte in the middle of each layer is another one.
    AlteredLayer,
    /// Each layer ends in the middle, and the length says so.
    ShortLayer,
    /// Each connection that asks for a layer breaks off after a part; a request for the rest is served.
    BreaksOff,
    /// Every layer is answered with status 500.
    ServerError,
    /// A manifest of 100 MB.
    HugeManifest,
    /// The manifest asked for by digest has other content.
    AlteredManifest,
}

/// A running registry. It serves until the program ends.
pub struct Registry {
    port: u16,
    gate: Arc<Gate>,
}

/// Layers are held back while this lives; [`Held::release`] lets them go.
pub struct Held<'a> {
    gate: &'a Gate,
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    asked: bool,
}

impl Registry {
    /// Serves the OCI layouts in the folders of `images` as `library/<folder>`.
    pub fn start(images: &Path, fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new(Gate::default());
        let shelf = Arc::new(Shelf::read(images));
        let server_gate = gate.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shelf, gate) = (shelf.clone(), server_gate.clone());
                std::thread::spawn(move || {
                    // A client that hangs up is a client that hangs up.
                    let _ = serve(stream, &shelf, &gate, fault);
                });
            }
        });
        Self { port, gate }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on a layer's second half waits.
    pub fn hold_layers(&self) -> Held<'_> {
        *self.gate.state.lock().unwrap() = GateState {
            closed: true,
            asked: false,
        };
        Held { gate: &self.gate }
    }
}

impl Held<'_> {
    /// Waits until a client has got the first half of a layer.
    pub fn wait_until_asked(&self) {
        let mut state = self.gate.state.lock().unwrap();
        while !state.asked {
            let (next, timeout) = self
                .gate
                .changed
                .wait_timeout(state, super::running::PATIENCE)
                .unwrap();
            assert!(!timeout.timed_out(), "no layer was asked for");
            state = next;
        }
    }

    pub fn release(self) {}
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.gate.state.lock() {
            state.closed = false;
        }
        self.gate.changed.notify_all();
    }
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if state.closed {
            state.asked = true;
            self.changed.notify_all();
        }
        while state.closed {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// What is served: tags to digests, and digests to files and media types.
struct Shelf {
    tags: HashMap<String, String>,
    blobs: HashMap<String, PathBuf>,
    types: HashMap<String, String>,
}

impl Shelf {
    fn read(images: &Path) -> Self {
        let mut shelf = Self {
            tags: HashMap::new(),
            blobs: HashMap::new(),
            types: HashMap::new(),
        };
        for entry in fs::read_dir(images).unwrap().flatten() {
            let layout = entry.path();
            let Ok(index) = fs::read(layout.join("index.json")) else {
                continue;
            };
            let index: Value = serde_json::from_slice(&index).unwrap();
            for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten() {
                let digest = format!("sha256:{}", blob.file_name().to_string_lossy());
                shelf.blobs.insert(digest, blob.path());
            }
            for manifest in index["manifests"].as_array().unwrap() {
                let digest = manifest["digest"].as_str().unwrap();
                let tag = manifest["annotations"]["org.opencontainers.image.ref.name"]
                    .as_str()
                    .unwrap_or("latest");
                let name = entry.file_name().to_string_lossy().into_owned();
                shelf
                    .tags
                    .insert(format!("library/{name}:{tag}"), digest.to_owned());
                shelf.note_types(manifest);
            }
        }
        shelf
    }

    /// Media types stand in the descriptors that point to a manifest.
    fn note_types(&mut self, descriptor: &Value) {
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        let media_type = descriptor["mediaType"].as_str().unwrap().to_owned();
        let nested = self
            .blobs
            .get(&digest)
            .filter(|_| media_type.contains("index"))
            .map(|path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap());
        self.types.insert(digest, media_type);
        for manifest in nested
            .iter()
            .flat_map(|index| index["manifests"].as_array().unwrap())
        {
            self.note_types(manifest);
        }
    }
}

struct Request {
    head_only: bool,
    path: String,
    start: u64,
}

fn serve(stream: TcpStream, shelf: &Shelf, gate: &Gate, fault: Option<Fault>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(request) = read_request(&mut reader)? {
        if request.path == "/v2/" {
            respond(&mut out, "200 OK", &[], b"{}", request.head_only)?;
        } else if let Some((name, reference)) = split(&request.path, "/manifests/") {
            manifest(&mut out, shelf, fault, &request, &name, &reference)?;
        } else if let Some((_, digest)) = split(&request.path, "/blobs/") {
            if !blob(&mut out, shelf, gate, fault, &request, &digest)? {
                return Ok(());
            }
        } else {
            respond(
                &mut out,
                "404 Not Found",
                &[],
                b"{\"errors\":[{\"code\":\"UNSUPPORTED\"}]}",
                false,
            )?;
        }
    }
    Ok(())
}

fn split(path: &str, middle: &str) -> Option<(String, String)> {
    let (name, rest) = path.strip_prefix("/v2/")?.split_once(middle)?;
    Some((name.to_owned(), rest.to_owned()))
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut start = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            return Ok(Some(Request {
                head_only: method == "HEAD",
                path,
                start,
            }));
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            start = range
                .split('-')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0);
        }
    }
}

fn respond(
    out: &mut TcpStream,
    status: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    head_only: bool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    out.write_all(head.as_bytes())?;
    if head_only { Ok(()) } else { out.write_all(body) }
}

fn manifest(
    out: &mut TcpStream,
    shelf: &Shelf,
    fault: Option<Fault>,
    request: &Request,
    name: &str,
    reference: &str,
) -> std::io::Result<()> {
    let by_tag = shelf.tags.get(&format!("{name}:{reference}"));
    let digest = by_tag.cloned().unwrap_or_else(|| reference.to_owned());
    let Some(path) = shelf.blobs.get(&digest) else {
        let body = b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
        return respond(out, "404 Not Found", &[], body, request.head_only);
    };
    let mut body = fs::read(path)?;
    let mut told = digest.clone();
    match fault {
        Some(Fault::HugeManifest) => {
            body.resize(100_000_000, b' ');
            told = format!("sha256:{}", hex::encode(Sha256::digest(&body)));
        }
        Some(Fault::AlteredManifest) if by_tag.is_none() => body.push(b' '),
        _ => {}
    }
    let media_type = shelf
        .types
        .get(&digest)
        .map_or("application/octet-stream", String::as_str);
    let headers = [("Content-Type", media_type), ("Docker-Content-Digest", &told)];
    respond(out, "200 OK", &headers, &body, request.head_only)
}

/// Serves a blob; false when the connection has to be closed.
fn blob(
    out: &mut TcpStream,
    shelf: &Shelf,
    gate: &Gate,
    fault: Option<Fault>,
    request: &Request,
    digest: &str,
) -> std::io::Result<bool> {
    let Some(path) = shelf.blobs.get(digest) else {
        let body = b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"blob unknown to registry\"}]}";
        respond(out, "404 Not Found", &[], body, request.head_only)?;
        return Ok(true);
    };
    let mut file = fs::File::open(path)?;
    let mut body = Vec::new();
    file.seek(SeekFrom::Start(request.start))?;
    file.read_to_end(&mut body)?;
    // Configurations are JSON; what is left are layers.
    let is_layer = request.start > 0 || !body.starts_with(b"{");
    let fault = fault.filter(|_| is_layer);
    if fault == Some(Fault::ServerError) {
        respond(
            out,
            "500 Internal Server Error",
            &[],
            b"the disk is on fire",
            false,
        )?;
        return Ok(true);
    }
    if fault == Some(Fault::ShortLayer) && request.start > 0 {
        respond(out, "416 Range Not Satisfiable", &[], b"", false)?;
        return Ok(true);
    }
    let middle = body.len() / 2;
    match fault {
        Some(Fault::AlteredLayer) => body[middle] ^= 0x20,
        Some(Fault::ShortLayer) => body.truncate(middle),
        _ => {}
    }
    let status = if request.start > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let total = request.start + body.len() as u64;
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n",
        body.len()
    );
    if request.start > 0 {
        head.push_str(&format!(
            "Content-Range: bytes {}-{}/{total}\r\n",
            request.start,
            total - 1
        ));
    }
    out.write_all(head.as_bytes())?;
    out.write_all(b"\r\n")?;
    if request.head_only {
        return Ok(true);
    }
    out.write_all(&body[..middle])?;
    if is_layer {
        gate.pass();
    }
    if fault == Some(Fault::BreaksOff) && request.start == 0 {
        return Ok(false);
    }
    out.write_all(&body[middle.min(body.len())..])?;
    Ok(true)
}
