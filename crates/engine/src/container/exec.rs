//! More processes in a running container (`docker exec`). Execs live in memory: they end with their
//! container's run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ProcessConfig};
use bytes::Bytes;
use protocol::{FailureKind, Request, WindowSize};

use super::spec::{self, ExecProcess};
use super::stdio::{self, Carried, Ends, Wanted};
use super::{Container, validate};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::machine::{Guest, GuestError, Lease, ProcessKey, Watched};
use crate::names;
use crate::record::{KILLED, Phase};
use crate::stream::{Attached, Attachment, Channel, Chunk, DetachKeys, Hub, Input, StdinPipe};
use crate::types::TerminalSize;

/// How every failure to execute a program begins.
const EXEC_FAILED: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";
/// Execs that ended and can still be inspected.
const MOST_ENDED: usize = 1024;

/// One exec.
#[derive(Debug)]
pub(crate) struct Exec {
    id: String,
    container: Arc<Container>,
    config: ExecConfig,
    hub: Arc<Hub>,
    stdin: Arc<StdinPipe>,
    state: Mutex<ExecState>,
}

#[derive(Clone, Debug, Default)]
struct ExecState {
    started: bool,
    guest: Option<Lease>,
    pid: u32,
    exit_code: Option<i64>,
    /// When it ended, so that the oldest can be forgotten.
    ended: u64,
}

/// Every exec, by ID.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    tables: Mutex<ExecTables>,
}

#[derive(Debug, Default)]
struct ExecTables {
    execs: HashMap<String, Arc<Exec>>,
    ended: u64,
}

impl Execs {
    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        self.tables
            .locked()
            .execs
            .get(id)
            .cloned()
            .ok_or_else(|| EngineError::NoSuchExec(id.to_owned()))
    }

    fn insert(&self, exec: Arc<Exec>) {
        self.tables.locked().execs.insert(exec.id.clone(), exec);
    }

    /// Notes an end and forgets the execs that ended longest ago.
    fn ended(&self, exec: &Exec, exit_code: i64) {
        let mut tables = self.tables.locked();
        tables.ended = tables.ended.saturating_add(1);
        let number = tables.ended;
        {
            let mut state = exec.state.locked();
            state.exit_code = Some(exit_code);
            state.guest = None;
            state.pid = 0;
            state.ended = number;
        }
        let oldest = number.saturating_sub(MOST_ENDED as u64);
        if number.is_multiple_of(MOST_ENDED as u64) {
            tables.execs.retain(|_, exec| {
                let state = exec.state.locked();
                state.exit_code.is_none() || state.ended > oldest
            });
        }
    }

    /// The exit code of an exec that ended.
    pub(crate) fn exit_code(&self, id: &str) -> Option<i64> {
        self.find(id).ok()?.state.locked().exit_code
    }

    /// Forgets the execs of a container that is removed.
    pub(crate) fn forget_container(&self, container: &str) {
        self.tables
            .locked()
            .execs
            .retain(|_, exec| exec.container.id != container);
    }

    /// Forgets execs that were never started, of a container whose run ended.
    pub(crate) fn forget_running(&self, container: &str) {
        self.tables
            .locked()
            .execs
            .retain(|_, exec| exec.container.id != container || exec.state.locked().started);
    }

    /// The execs of a container that run now.
    pub(crate) fn running_of(&self, container: &str) -> Vec<String> {
        let tables = self.tables.locked();
        let running = |exec: &Exec| exec.container.id == container && exec.state.locked().guest.is_some();
        tables
            .execs
            .values()
            .filter(|exec| running(exec))
            .map(|exec| exec.id.clone())
            .collect()
    }
}

impl Engine {
    /// Prepares an exec in a running container and returns its ID.
    pub async fn create_exec(&self, container: &str, config: ExecConfig) -> Result<String> {
        let container = self.inner.registry.find(container)?;
        self.inner.new_exec(&container, config)
    }

    /// Starts an exec and attaches to it; `None` when detached. A program that cannot be executed is told on
    /// the attached stdout, as Docker does, and as an error when detached.
    pub async fn start_exec(
        &self,
        id: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<Option<Attached>> {
        let (inner, id) = (self.inner.clone(), id.to_owned());
        self.complete(async move { inner.start_exec_by_id(&id, detach, size).await })
            .await
    }

    /// Tells an exec's terminal its size. One without a terminal takes no notice.
    pub async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let exec = self.inner.execs.find(id)?;
        let guest = exec.state.locked().guest.clone();
        let guest =
            guest.ok_or_else(|| EngineError::Conflict(format!("exec process {id} is not running")))?;
        if exec.config.tty != Some(true) {
            return Ok(());
        }
        let size = WindowSize { rows, columns };
        let request = Request::Resize {
            container: exec.container.id.clone(),
            exec: Some(exec.id.clone()),
            size,
        };
        guest
            .request(request)
            .await
            .map(drop)
            .map_err(|error| exec.container.request_error(error))
    }

    /// What an exec is and how it ended.
    pub async fn inspect_exec(&self, id: &str) -> Result<ExecInspectResponse> {
        let exec = self.inner.execs.find(id)?;
        let state = exec.state.locked().clone();
        let mut command = exec.config.cmd.iter().flatten().cloned();
        Ok(ExecInspectResponse {
            can_remove: Some(state.exit_code.is_some()),
            detach_keys: Some(exec.config.detach_keys.clone().unwrap_or_default()),
            id: Some(exec.id.clone()),
            running: Some(state.guest.is_some()),
            exit_code: state.exit_code,
            process_config: Some(ProcessConfig {
                privileged: Some(exec.config.privileged.unwrap_or(false)),
                user: Some(exec.config.user.clone().unwrap_or_default()),
                tty: Some(exec.config.tty.unwrap_or(false)),
                entrypoint: command.next(),
                arguments: Some(command.collect()),
            }),
            open_stdin: Some(exec.config.attach_stdin.unwrap_or(false)),
            open_stderr: Some(exec.config.attach_stderr.unwrap_or(false)),
            open_stdout: Some(exec.config.attach_stdout.unwrap_or(false)),
            container_id: Some(exec.container.id.clone()),
            pid: Some(i64::from(state.pid)),
        })
    }
}

impl Container {
    /// Whether more processes can be started in it now.
    fn executable(&self) -> Result<Lease> {
        match self.with_record(|record| record.state.phase) {
            Phase::Restarting => Err(EngineError::Conflict(format!(
                "Container {} is restarting, wait until the container is running",
                self.id
            ))),
            Phase::Paused => Err(EngineError::ExecPaused(self.id.clone())),
            Phase::Running => self
                .guest()
                .ok_or_else(|| EngineError::NotRunning(self.id.clone())),
            _ => Err(EngineError::NotRunning(self.id.clone())),
        }
    }
}

impl Inner {
    /// Prepares an exec and returns its ID.
    pub(crate) fn new_exec(&self, container: &Arc<Container>, config: ExecConfig) -> Result<String> {
        let command = config.cmd.clone().unwrap_or_default();
        if command.is_empty() {
            return Err(EngineError::BadRequest("No exec command specified".to_owned()));
        }
        validate::exec(&config)?;
        container.executable()?;
        let id = names::new_id()?;
        self.execs.insert(Arc::new(Exec {
            id: id.clone(),
            container: container.clone(),
            config,
            hub: Arc::default(),
            stdin: Arc::default(),
            state: Mutex::default(),
        }));
        let action = format!("exec_create: {}", command.join(" "));
        self.container_event(container, &action, [("execID".to_owned(), id.clone())]);
        Ok(id)
    }

    /// Starts an exec; `None` when detached.
    pub(crate) async fn start_exec_by_id(
        self: &Arc<Self>,
        id: &str,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<Option<Attached>> {
        let exec = self.execs.find(id)?;
        self.clone().start_exec(exec, detach, size).await
    }

    async fn start_exec(
        self: Arc<Self>,
        exec: Arc<Exec>,
        detach: bool,
        size: Option<TerminalSize>,
    ) -> Result<Option<Attached>> {
        let guest = exec.container.executable()?;
        let keys = DetachKeys::parse(exec.config.detach_keys.as_deref())?;
        {
            let mut state = exec.state.locked();
            if state.started {
                let message = match state.exit_code {
                    Some(_) => format!("exec command {} has already run", exec.id),
                    None => format!("exec command {} is already running", exec.id),
                };
                return Err(EngineError::Conflict(message));
            }
            state.started = true;
        }
        let tty = exec.config.tty.unwrap_or(false);
        let attached = (!detach).then(|| attach(&exec, keys, tty));
        if exec.config.attach_stdin != Some(true) || detach {
            exec.stdin.close();
        }
        let launched = launch(&exec, &guest, detach, tty, size).await;
        let (watched, carried, pid) = match launched {
            Ok(launched) => launched,
            Err(failed) => return self.exec_failed(&exec, &guest, failed, attached).await,
        };
        {
            let mut state = exec.state.locked();
            state.guest = Some(guest);
            state.pid = pid;
        }
        let command = exec.config.cmd.clone().unwrap_or_default().join(" ");
        let attributes = [("execID".to_owned(), exec.id.clone())];
        self.container_event(&exec.container, &format!("exec_start: {command}"), attributes);
        tokio::spawn(self.clone().run_exec(exec, watched, carried));
        Ok(attached)
    }

    async fn run_exec(self: Arc<Self>, exec: Arc<Exec>, watched: Watched, carried: Carried) {
        let exit_code = watched.exit.await.map_or(KILLED, |status| i64::from(status.code));
        carried.drain().await;
        // A client that sees the end of the output asks for the exit code at once.
        self.execs.ended(&exec, exit_code);
        exec.hub.close();
        self.container_event(
            &exec.container,
            "exec_die",
            [
                ("execID".to_owned(), exec.id.clone()),
                ("exitCode".to_owned(), exit_code.to_string()),
            ],
        );
    }

    async fn exec_failed(
        &self,
        exec: &Arc<Exec>,
        guest: &Guest,
        failed: ExecError,
        attached: Option<Attached>,
    ) -> Result<Option<Attached>> {
        let (exit_code, error) = match failed {
            ExecError::Engine(error) => (126, error),
            ExecError::Guest(GuestError::Refused(failure)) => match failure.kind {
                FailureKind::UnknownUser => (126, EngineError::BadRequest(failure.message)),
                FailureKind::NotRunning => (126, EngineError::NotRunning(exec.container.id.clone())),
                kind => {
                    let state_code = if kind == FailureKind::ProgramNotFound {
                        127
                    } else {
                        126
                    };
                    let message = format!("{EXEC_FAILED}{}", failure.message);
                    (state_code, EngineError::StartFailed { message, state_code })
                }
            },
            ExecError::Guest(GuestError::Gone) => (
                126,
                self.machine(guest.architecture).error(guest.wait_end().await),
            ),
            ExecError::Guest(error) => (
                126,
                EngineError::Internal(format!("container {}: {error}", exec.container.id)),
            ),
        };
        if let (EngineError::StartFailed { message, .. }, Some(attached)) = (&error, attached) {
            let bytes = Bytes::from(format!("{message}\r\n"));
            exec.hub
                .publish(Chunk {
                    channel: Channel::Stdout,
                    bytes,
                })
                .await;
            self.execs.ended(exec, exit_code);
            exec.hub.close();
            return Ok(Some(attached));
        }
        self.execs.ended(exec, exit_code);
        exec.hub.close();
        Err(error)
    }
}

enum ExecError {
    Engine(EngineError),
    Guest(GuestError),
}

impl From<EngineError> for ExecError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

async fn launch(
    exec: &Exec,
    guest: &Guest,
    detach: bool,
    tty: bool,
    size: Option<TerminalSize>,
) -> Result<(Watched, Carried, u32), ExecError> {
    let ends = Ends {
        hub: exec.hub.clone(),
        stdin: exec.stdin.clone(),
        log: None,
    };
    let config = &exec.config;
    let wanted = Wanted {
        terminal: tty.then(|| window_size(size, config)),
        stdin: config.attach_stdin.unwrap_or(false) && !detach,
        stdout: config.attach_stdout.unwrap_or(false) && !detach,
        stderr: config.attach_stderr.unwrap_or(false) && !detach,
    };
    let (stdio, carried) = stdio::carry(guest, wanted, &ends)?;
    let own = ExecProcess {
        arguments: config.cmd.clone().unwrap_or_default(),
        environment: config.env.clone().unwrap_or_default(),
        working_directory: config.working_dir.clone().filter(|text| !text.is_empty()),
        user: config.user.clone().filter(|text| !text.is_empty()),
        privileged: config.privileged.unwrap_or(false),
        tty,
    };
    let kernel = spec::kernel_version(&guest.hello.kernel_release);
    let process = exec
        .container
        .with_record(|record| spec::process(record, kernel, own, stdio))?;
    let key = ProcessKey {
        container: exec.container.id.clone(),
        exec: Some(exec.id.clone()),
    };
    let watched = guest.watch(key.clone()).map_err(ExecError::Guest)?;
    let request = Request::Exec {
        container: exec.container.id.clone(),
        exec: exec.id.clone(),
        process: Box::new(process),
    };
    match guest.start_exec(request).await {
        Ok(pid) => Ok((watched, carried, pid)),
        Err(error) => {
            guest.unwatch(&key);
            Err(ExecError::Guest(error))
        }
    }
}

fn attach(exec: &Arc<Exec>, keys: DetachKeys, tty: bool) -> Attached {
    let (sink, output) = exec.hub.attach(true, true);
    let input = (exec.config.attach_stdin == Some(true)).then(|| {
        let attachment = tty.then(|| Attachment {
            hub: exec.hub.clone(),
            sink,
            keys,
        });
        Input::new(exec.stdin.clone(), !tty, attachment)
    });
    Attached { tty, output, input }
}

fn window_size(size: Option<TerminalSize>, config: &ExecConfig) -> WindowSize {
    if let Some(size) = size {
        return WindowSize {
            rows: size.rows,
            columns: size.columns,
        };
    }
    let size = config.console_size.as_deref().unwrap_or_default();
    let dimension = |index: usize| {
        size.get(index)
            .and_then(|value| u16::try_from(*value).ok())
            .unwrap_or(0)
    };
    WindowSize {
        rows: dimension(0),
        columns: dimension(1),
    }
}
