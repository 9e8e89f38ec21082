//! A machine in a few threads: the `sampan vmm` contract on stdin and stdout, the guest's PID 1 over its
//! sockets, and a handful of programs that containers can run.
//!
//! The text of the kernel file says how the boot goes: `fail`, `exit`, or anything else for a good one.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use protocol::frame::{Decoder, encode};
use protocol::{
    Event, ExitStatus, Failure, FailureKind, FromGuest, FromHost, Hello, Mount, PathStat, Process, Reply,
    Request, Sizes, Stdio, Token,
};
use vmm::control::{Command, Event as VmmEvent, Inspection, MachineConfig, StopReason};

type Key = (String, Option<String>);

struct Guest {
    directory: PathBuf,
    control: Mutex<UnixStream>,
    signals: Mutex<HashMap<Key, Sender<i32>>>,
}

/// The whole process.
pub(crate) fn run() -> ! {
    let mut lines = std::io::stdin().lock().lines();
    let config: MachineConfig = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    match std::fs::read_to_string(&config.kernel).unwrap().trim() {
        "fail" => stop(StopReason::Failed {
            message: "there is no QEMU".to_owned(),
            console_tail: Vec::new(),
        }),
        "exit" => std::process::exit(3),
        _ => {}
    }
    tell(&VmmEvent::Entered { unix_time_ns: 1 });
    let control = UnixStream::connect(config.directory.join("vsock_1024")).unwrap();
    let guest = Arc::new(Guest {
        directory: config.directory.clone(),
        control: Mutex::new(control.try_clone().unwrap()),
        signals: Mutex::default(),
    });
    guest.send(&FromGuest::Hello(Hello {
        version: protocol::VERSION,
        oldest_version: protocol::OLDEST_VERSION,
        kernel_release: "6.12.0-test".to_owned(),
        architecture: config.architecture,
        cpus: config.cpus,
        memory_bytes: 1 << 29,
        boot_ns: 1,
        problem: None,
        containers: kept(&config.directory.join("data")),
        volumes: kept(&config.directory.join("volumes")),
    }));
    std::thread::spawn(move || serve(&guest, control));
    let mut end = 0;
    for line in lines {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line).unwrap() {
            Command::MapLayer { path } => {
                note(&config.directory, &format!("map {}", path.display()));
                let length = std::fs::metadata(&path).unwrap().len();
                tell(&VmmEvent::LayerMapped {
                    path,
                    offset: end,
                    length,
                });
                end += length;
            }
            Command::UnmapLayer { path } => note(&config.directory, &format!("unmap {}", path.display())),
            Command::Inspect => tell(&VmmEvent::Inspected {
                inspection: Inspection {
                    devices: vec!["blk layers".to_owned()],
                    exits: Vec::new(),
                    helpers: Vec::new(),
                    console_tail: Vec::new(),
                },
            }),
            Command::Stop => stop(StopReason::Asked),
        }
    }
    std::process::exit(0)
}

fn tell(event: &VmmEvent) {
    let mut line = serde_json::to_vec(event).unwrap();
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).unwrap();
    stdout.flush().unwrap();
}

fn stop(reason: StopReason) -> ! {
    tell(&VmmEvent::Stopped { reason });
    std::process::exit(0)
}

/// What tests look at afterwards.
fn note(directory: &Path, line: &str) {
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("notes"))
        .unwrap();
    writeln!(file, "{line}").unwrap();
}

/// What lies in a folder of the "data disk".
fn kept(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn serve(guest: &Arc<Guest>, mut control: UnixStream) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 65536];
    loop {
        let count = control.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            std::process::exit(0);
        }
        decoder.push(&buffer[..count]);
        while let Some(message) = decoder.next_message().unwrap() {
            if let FromHost::Request { id, request } = message {
                guest.handle(id, request);
            }
        }
    }
}

impl Guest {
    fn send(&self, message: &FromGuest) {
        self.control
            .lock()
            .unwrap()
            .write_all(&encode(message).unwrap())
            .unwrap();
    }

    fn reply(&self, id: u64, result: Result<Reply, Failure>) {
        self.send(&FromGuest::Reply { id, result });
    }

    fn handle(self: &Arc<Self>, id: u64, request: Request) {
        match request {
            Request::Start(spec) => {
                std::fs::create_dir_all(self.directory.join("data").join(&spec.id)).unwrap();
                assert!(!spec.layers.is_empty() && !spec.process.seccomp.is_empty());
                for mount in &spec.mounts {
                    if let Mount::Volume { name, copy_up, .. } = mount {
                        std::fs::create_dir_all(self.directory.join("volumes").join(name)).unwrap();
                        note(&self.directory, &format!("mount {} {copy_up}", mount.target()));
                    }
                }
                self.start(id, (spec.id.clone(), None), &spec.process);
            }
            Request::Exec {
                container,
                exec,
                process,
            } => self.start(id, (container, Some(exec)), &process),
            Request::Signal {
                container,
                exec,
                signal,
            } => {
                let sender = self.signals.lock().unwrap().get(&(container, exec)).cloned();
                let sent = sender.is_some_and(|sender| sender.send(signal).is_ok());
                self.reply(id, if sent { Ok(Reply::Done) } else { Err(not_running()) });
            }
            Request::Remove { container } => {
                let _ = std::fs::remove_dir_all(self.directory.join("data").join(&container));
                note(&self.directory, &format!("remove {container}"));
                self.reply(id, Ok(Reply::Done));
            }
            Request::RemoveVolume { volume } => {
                std::fs::remove_dir_all(self.directory.join("volumes").join(&volume)).unwrap();
                note(&self.directory, "remove volume");
                self.reply(id, Ok(Reply::Done));
            }
            Request::ReleaseLayers { diff_ids } => self.reply(id, Ok(Reply::Released { diff_ids })),
            Request::Shutdown => {
                note(&self.directory, "shutdown");
                self.reply(id, Ok(Reply::Done));
                stop(StopReason::PoweredOff);
            }
            Request::Resize { size, .. } => {
                note(&self.directory, &format!("resize {}x{}", size.rows, size.columns));
                self.reply(id, Ok(Reply::Done));
            }
            Request::SetNames { table, names } => {
                let names: Vec<String> = names
                    .into_iter()
                    .map(|(name, addresses)| format!("{name}={addresses:?}"))
                    .collect();
                note(&self.directory, &format!("names {table} {}", names.join(" ")));
                self.reply(id, Ok(Reply::Done));
            }
            Request::Top { .. } => self.reply(
                id,
                Ok(Reply::Processes {
                    processes: Vec::new(),
                }),
            ),
            Request::Sizes { containers, volumes } => {
                note(&self.directory, "sizes");
                // A thousand bytes in each that is there.
                let sizes = |folder: &str, names: Vec<String>| {
                    let size =
                        |name: String| u64::from(self.directory.join(folder).join(name).exists()) * 1000;
                    names.into_iter().map(size).map(Some).collect()
                };
                let sizes = Sizes {
                    containers: sizes("data", containers),
                    volumes: sizes("volumes", volumes),
                };
                self.reply(id, Ok(Reply::Sizes(sizes)));
            }
            Request::Usage { .. } => self.reply(id, Ok(Reply::Usage(Box::default()))),
            Request::Update { limits, .. } => {
                note(&self.directory, &format!("update {:?}", limits.memory_bytes));
                self.reply(id, Ok(Reply::Done));
            }
            Request::Files { view: Some(_), .. } => self.reply(id, Ok(Reply::Path(stat()))),
            // The run ends at this moment, and its end is still to be told.
            Request::Files { container, .. } => {
                if let Some(sender) = self.signals.lock().unwrap().get(&(container, None)) {
                    let _ = sender.send(15);
                }
                self.reply(id, Err(not_running()));
            }
            Request::Connect { attachment, .. } => {
                note(&self.directory, &format!("connect {}", attachment.interface));
                self.reply(id, Ok(Reply::Done));
            }
            Request::Disconnect { .. } => {
                note(&self.directory, "disconnect");
                self.reply(id, Ok(Reply::Done));
            }
            Request::RemoveNetwork { network, .. } => {
                note(&self.directory, &format!("remove network {network}"));
                self.reply(id, Ok(Reply::Done));
            }
            Request::Diagnose => {
                let unix_time_ns = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_nanos();
                let diagnosis = protocol::Diagnosis {
                    unix_time_ns: u64::try_from(unix_time_ns).unwrap(),
                    kernel_log: "[    0.000001] booted\n".to_owned(),
                    disk_bytes: 1 << 30,
                    disk_free: 1 << 29,
                };
                self.reply(id, Ok(Reply::Diagnosis(Box::new(diagnosis))));
            }
            Request::Pause { .. } | Request::SetClock { .. } => self.reply(id, Ok(Reply::Done)),
        }
    }

    fn start(self: &Arc<Self>, id: u64, key: Key, process: &Process) {
        let program = process.arguments[0].clone();
        let failure = |kind, message: &str| Failure {
            kind,
            message: message.to_owned(),
        };
        match program.as_str() {
            "missing" => {
                let message = "exec: \"missing\": executable file not found in $PATH";
                return self.reply(id, Err(failure(FailureKind::ProgramNotFound, message)));
            }
            "directory" => {
                let message = "exec: \"directory\": permission denied";
                return self.reply(id, Err(failure(FailureKind::ProgramNotExecutable, message)));
            }
            "nobody" => {
                let message = "unable to find user nobody: no matching entries in passwd file";
                return self.reply(id, Err(failure(FailureKind::UnknownUser, message)));
            }
            _ => {}
        }
        let open = |token: &Option<Token>| token.as_ref().map(|token| self.stream(token));
        let (stdin, stdout, stderr) = match &process.stdio {
            Stdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => (open(stdin), open(stdout), open(stderr)),
            Stdio::Terminal { stream, .. } => {
                let terminal = self.stream(stream);
                (Some(terminal.try_clone().unwrap()), Some(terminal), None)
            }
        };
        let (sender, signals) = channel();
        self.signals.lock().unwrap().insert(key.clone(), sender);
        self.reply(
            id,
            Ok(Reply::Started {
                pid: 42,
                parts: Vec::new(),
            }),
        );
        let (guest, arguments) = (self.clone(), process.arguments.clone());
        std::thread::spawn(move || {
            let (code, oom_killed) = execute(&guest, &key, &arguments, stdin, stdout, stderr, &signals);
            guest.signals.lock().unwrap().remove(&key);
            let status = ExitStatus {
                code,
                oom_killed,
                unix_time_ns: 1,
            };
            guest.send(&FromGuest::Event(Event::Exited {
                container: key.0,
                exec: key.1,
                status,
            }));
        });
    }

    fn stream(&self, token: &Token) -> UnixStream {
        let mut stream = UnixStream::connect(self.directory.join("vsock_1025")).unwrap();
        stream.write_all(token.as_bytes()).unwrap();
        stream
    }
}

fn stat() -> PathStat {
    PathStat {
        name: "etc".to_owned(),
        size: 0,
        mode: 0o040_755,
        mtime_ns: 0,
        link_target: String::new(),
    }
}

fn not_running() -> Failure {
    Failure {
        kind: FailureKind::NotRunning,
        message: "not running".to_owned(),
    }
}

/// The programs. Returns the exit code and whether memory ran out.
fn execute(
    guest: &Guest,
    key: &Key,
    arguments: &[String],
    stdin: Option<UnixStream>,
    stdout: Option<UnixStream>,
    stderr: Option<UnixStream>,
    signals: &Receiver<i32>,
) -> (i32, bool) {
    let write = |stream: &Option<UnixStream>, bytes: &[u8]| {
        if let Some(mut stream) = stream.as_ref() {
            let _ = stream.write_all(bytes);
        }
    };
    let outcome = match arguments[0].as_str() {
        "echo" => {
            write(&stdout, format!("{}\n", arguments[1..].join(" ")).as_bytes());
            (0, false)
        }
        "both" => {
            write(&stdout, b"out\n");
            write(&stderr, b"err\n");
            (3, false)
        }
        "cat" => {
            if let (Some(mut stdin), Some(mut stdout)) = (stdin.as_ref(), stdout.as_ref()) {
                let _ = std::io::copy(&mut stdin, &mut stdout);
            }
            (0, false)
        }
        "burst" => {
            let length: usize = arguments[1].parse().unwrap();
            write(&stdout, &b"0123456789abcde\n".repeat(length / 16));
            (0, false)
        }
        // Ends on SIGTERM, as a program does that is not PID 1 or has a handler.
        "sleep" => {
            write(&stdout, b"ready\n");
            let signal = loop {
                match signals.recv().unwrap() {
                    28 => write(&stdout, b"winch\n"),
                    signal => break signal,
                }
            };
            (128 + signal, false)
        }
        "stubborn" => {
            write(&stdout, b"ready\n");
            while signals.recv().unwrap() != 9 {}
            (137, false)
        }
        "greedy" => {
            guest.send(&FromGuest::Event(Event::OutOfMemory {
                container: key.0.clone(),
            }));
            (137, true)
        }
        "crash" => {
            write(&stdout, b"last words\n");
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::process::exit(7);
        }
        program => panic!("unknown program {program}"),
    };
    for stream in [stdout, stderr].into_iter().flatten() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    outcome
}
