//! The files of containers, whether these run or not: `docker cp`, `export`, `diff`, and the layer of a `commit`. The
//! guest does the work, and bytes go through a stream of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{ChangeType, FilesystemChange};
use bytes::{Bytes, BytesMut};
use protocol::{COMPLETE, FailureKind, FileJob, Mount, PathStat, Reply, Request, Token, View};
use store::ImageLayer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::Container;
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::machine::{ExpectedStream, GuestError, Lease};
use crate::names;
use crate::record::Record;
use crate::stream::{Archive, ArchiveError, REST_PATIENCE, drain};
use crate::sys::ReadHalf;

/// How long the guest may take to open the stream that it was told to.
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);
/// How long the guest may take to unpack what a client sends, which is the client's business.
const LONG_PATIENCE: Duration = Duration::from_secs(24 * 3600);
const READ: usize = 256 << 10;
/// Chunks on their way to a client that is slower.
const QUEUE: usize = 4;
/// The longest list of changes, in bytes.
const LONGEST_CHANGES: u64 = 32 << 20;

/// Bytes as they come from the guest. Dropping it ends the work there.
pub type FileStream = mpsc::Receiver<std::io::Result<Bytes>>;

/// What keeps a container as it is while somebody works on its files.
struct Held {
    guest: Lease,
    /// Of a container that does not run: nobody starts or removes it.
    _transition: Option<OwnedMutexGuard<()>>,
    /// What such a one is made of.
    stopped: Option<(Vec<ImageLayer>, Vec<Mount>)>,
}

impl Engine {
    /// What lies at a path of a container.
    pub async fn stat_path(&self, id: &str, path: &str) -> Result<PathStat> {
        let container = self.inner.registry.find(id)?;
        let job = || FileJob::Stat { path: absolute(path) };
        match self.inner.work(&container, job).await?.1 {
            Reply::Path(stat) => Ok(stat),
            _ => Err(unexpected()),
        }
    }

    /// A tar of a path of a container.
    pub async fn archive_path(&self, id: &str, path: &str) -> Result<(PathStat, FileStream)> {
        let container = self.inner.registry.find(id)?;
        let job = |stream| FileJob::Get {
            path: absolute(path),
            stream,
        };
        let (reply, stream) = self.inner.read_out(&container, job).await?;
        match reply {
            Reply::Path(stat) => Ok((stat, stream)),
            _ => Err(unexpected()),
        }
    }

    /// Unpacks a tar, plain or compressed, into a folder of a container. `keep_kinds` refuses to put a directory in the
    /// place of anything else, or the reverse; `copy_owner` gives everything to the container's user.
    pub async fn extract_archive(
        &self,
        id: &str,
        path: &str,
        keep_kinds: bool,
        copy_owner: bool,
        archive: impl AsyncRead + Unpin + Send + 'static,
    ) -> Result<()> {
        let (inner, id, path) = (self.inner.clone(), id.to_owned(), absolute(path));
        // A client that hangs up ends its archive; the container is held until the guest has seen that.
        self.complete(async move {
            let (container, held, token) = match inner.hold_to_write(&id).await {
                Ok(held) => held,
                Err(error) => {
                    // A client that is still sending would not see why it cannot.
                    drain(archive).await;
                    return Err(error);
                }
            };
            let mut archive = Archive::open(archive).await;
            let user = container.with_record(|record| record.config.user.clone().unwrap_or_default());
            let job = FileJob::Put {
                path,
                stream: token.clone(),
                keep_kinds,
                owner: copy_owner.then_some(user),
            };
            let stream = held.guest.expect_stream(token);
            let (connected, taken) = oneshot::channel();
            let (answered, refused) = oneshot::channel::<()>();
            let sending = tokio::spawn(async move {
                let stream = tokio::select! {
                    stream = stream.connected(CONNECT_PATIENCE) => stream,
                    _ = refused => None,
                };
                let mut sent = Ok(());
                if let Some((_reader, mut writer)) = stream {
                    let _ = connected.send(());
                    // A guest that refuses the rest says why in its answer.
                    sent = archive.copy_to(&mut writer).await;
                    let _ = writer.shutdown().await;
                }
                archive.drain().await;
                sent
            });
            let end = sending.abort_handle();
            let taken = async move {
                if taken.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let answer = held.ask(&container, job, taken).await;
            drop(answered);
            let sent = tokio::time::timeout(REST_PATIENCE, sending).await;
            end.abort();
            match (answer, sent) {
                (Ok(_), _) => {}
                // What the guest makes of a tar without its end is no help.
                (Err(_), Ok(Ok(Err(broken)))) => return Err(unreadable(broken)),
                (Err(error), _) => return Err(error),
            }
            inner.container_event(&container, "extract-to-dir", []);
            Ok(())
        })
        .await
    }

    /// A tar of everything in a container's root, without what is mounted there.
    pub async fn export_container(&self, id: &str) -> Result<FileStream> {
        let container = self.inner.registry.find(id)?;
        let (_, stream) = self
            .inner
            .read_out(&container, |stream| FileJob::Export { stream })
            .await?;
        self.inner.container_event(&container, "export", []);
        Ok(stream)
    }

    /// What differs between a container and its image, by path.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<FilesystemChange>> {
        let container = self.inner.registry.find(id)?;
        let (_, mut stream) = self
            .inner
            .read_out(&container, |stream| FileJob::Changes { stream })
            .await?;
        let mut text = BytesMut::new();
        while let Some(chunk) = stream.recv().await {
            let chunk = chunk.map_err(EngineError::io("the changes broke off"))?;
            text.extend_from_slice(&chunk);
            if text.len() as u64 > LONGEST_CHANGES {
                return Err(EngineError::Internal(
                    "the list of changes is too long".to_owned(),
                ));
            }
        }
        let mut changes: Vec<FilesystemChange> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(change)
            .collect();
        changes.sort_by(|first, second| first.path.cmp(&second.path));
        Ok(changes)
    }
}

impl Inner {
    /// The tar of the layer that a container's own files make.
    pub(crate) async fn layer_of(&self, container: &Arc<Container>) -> Result<FileStream> {
        let (_, stream) = self
            .read_out(container, |stream| FileJob::Diff { stream })
            .await?;
        Ok(stream)
    }

    /// Keeps a container whose files are to be changed as it is, with a token for what comes.
    async fn hold_to_write(&self, id: &str) -> Result<(Arc<Container>, Held, Token)> {
        let container = self.registry.find(id)?;
        if container.with_record(|record| record.host_config.readonly_rootfs.unwrap_or(false)) {
            return Err(EngineError::Forbidden(
                "container rootfs is marked read-only".to_owned(),
            ));
        }
        let held = self.hold(&container).await?;
        Ok((container, held, names::new_token()?))
    }

    /// Keeps a container as it is, and finds its guest, booting it for one that does not run.
    async fn hold(&self, container: &Arc<Container>) -> Result<Held> {
        if let Some(guest) = container.guest() {
            return Ok(Held {
                guest,
                _transition: None,
                stopped: None,
            });
        }
        let transition = container.transition.clone().lock_owned().await;
        if container.progress.borrow().removed {
            return Err(EngineError::NoSuchContainer(container.id.clone()));
        }
        if let Some(guest) = container.guest() {
            return Ok(Held {
                guest,
                _transition: None,
                stopped: None,
            });
        }
        let record = container.record();
        let guest = self.machine(record.architecture).guest().await?;
        let image = self.find_image(&record.image_id, None).await?;
        let mounts = self.volume_mounts(&record)?;
        if !record.ran {
            // From here on the guest has something of it.
            self.commit(container, |record: &mut Record| record.ran = true)
                .await?;
        }
        Ok(Held {
            guest,
            _transition: Some(transition),
            stopped: Some((image.layers, mounts)),
        })
    }

    async fn work(&self, container: &Arc<Container>, job: impl Fn() -> FileJob) -> Result<(Held, Reply)> {
        let attempt = || async {
            let held = self.hold(container).await?;
            let reply = held.ask(container, job(), std::future::pending()).await?;
            Ok((held, reply))
        };
        once_more(container, attempt).await
    }

    /// Has the guest write something into a stream.
    async fn read_out(
        &self,
        container: &Arc<Container>,
        job: impl Fn(Token) -> FileJob,
    ) -> Result<(Reply, FileStream)> {
        let attempt = || async {
            let token = names::new_token()?;
            let held = self.hold(container).await?;
            let stream = held.guest.expect_stream(token.clone());
            let reply = held.ask(container, job(token), std::future::pending()).await?;
            Ok((held, stream, reply))
        };
        let (held, stream, reply) = once_more(container, attempt).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(forward(stream, sender, held));
        Ok((reply, receiver))
    }
}

/// Tries again what was asked of a run that ended at that moment: on what is left of it.
async fn once_more<T, F: Future<Output = Result<T>>>(
    container: &Container,
    attempt: impl Fn() -> F,
) -> Result<T> {
    let mut progress = container.progress.subscribe();
    let seen = progress.borrow_and_update().exits;
    let running = container.guest().is_some();
    match attempt().await {
        Err(EngineError::NotRunning(_)) if running => {}
        done => return done,
    }
    // Its end is on its way: the guest knows of it.
    let _ = progress
        .wait_for(|progress| progress.exits > seen || progress.removed)
        .await;
    attempt().await
}

impl Held {
    /// Asks for the work. The layers are kept on the layer disk until the answer, or until `taken` says that the guest
    /// has them by itself.
    async fn ask(
        &self,
        container: &Container,
        job: FileJob,
        taken: impl Future<Output = ()>,
    ) -> Result<Reply> {
        let gate = self.guest.layers_in_use().await;
        let view = match &self.stopped {
            None => None,
            Some((layers, mounts)) => {
                let layers = self.guest.map_layers(layers).await.map_err(|message| {
                    EngineError::Internal(format!(
                        "the image of container {} cannot be used: {message}",
                        container.id
                    ))
                })?;
                Some(Box::new(View {
                    layers,
                    mounts: mounts.clone(),
                    read_only: false,
                }))
            }
        };
        let request = Request::Files {
            container: container.id.clone(),
            view,
            job,
        };
        let answer = self.guest.request_patiently(request, LONG_PATIENCE);
        tokio::pin!(answer);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            () = taken => {
                drop(gate);
                answer.await
            }
        };
        answer.map_err(|error| match error {
            GuestError::Refused(failure) if failure.kind == FailureKind::ProgramNotFound => {
                let name = container.with_record(|record| record.name.clone());
                EngineError::NotFound(format!("{} in container {name}", failure.message))
            }
            error => container.request_error(error),
        })
    }
}

/// Hands a stream on, and keeps the container held until its end.
async fn forward(stream: ExpectedStream, sender: mpsc::Sender<std::io::Result<Bytes>>, held: Held) {
    let Some((mut reader, _writer)) = stream.connected(CONNECT_PATIENCE).await else {
        let error = std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "the machine did not open the stream",
        );
        let _ = sender.send(Err(error)).await;
        return;
    };
    if let Err(error) = copy(&mut reader, &sender).await {
        let _ = sender.send(Err(error)).await;
    }
    drop(held);
}

/// The last byte of the stream says that everything before it is there, and is not handed on.
async fn copy(reader: &mut ReadHalf, sender: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    let mut last = None;
    loop {
        let mut buffer = BytesMut::with_capacity(READ);
        buffer.extend(last);
        if reader.read_buf(&mut buffer).await? == 0 {
            return match last {
                Some(COMPLETE) => Ok(()),
                _ => Err(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    "the container's files could not all be read",
                )),
            };
        }
        last = buffer.last().copied();
        buffer.truncate(buffer.len().saturating_sub(1));
        if !buffer.is_empty() && sender.send(Ok(buffer.freeze())).await.is_err() {
            return Ok(());
        }
    }
}

fn unreadable(error: ArchiveError) -> EngineError {
    EngineError::BadRequest(error.to_string())
}

fn unexpected() -> EngineError {
    EngineError::Internal("the guest's answer is not understood".to_owned())
}

/// A path from the root, with what its end says kept.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn change(line: &str) -> Option<FilesystemChange> {
    let (letter, path) = line.split_once(' ')?;
    let kind = match letter {
        "C" => ChangeType::_0,
        "A" => ChangeType::_1,
        "D" => ChangeType::_2,
        _ => return None,
    };
    Some(FilesystemChange {
        path: path.to_owned(),
        kind,
    })
}
