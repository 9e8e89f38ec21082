//! Work on the files of a container: reading them out as a tar, unpacking one, telling what differs from the image.
//!
//! Each piece of work is a process of its own. It enters the mount namespace of a container that runs, or puts one
//! that does not run together for itself, and resolves every path in there: what a container made can lead nowhere
//! else. It answers over a socket to PID 1, as a shim does.

mod changes;
mod pack;
mod stat;
mod unpack;
mod view;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use protocol::{COMPLETE, FileJob, FromGuest, Reply, STREAM_PORT, Token};

use crate::channel::Channel;
use crate::failure::{Context, Outcome};
use crate::sys;
pub(crate) use view::{Kind, Place, namespace_of};

/// Bytes of a stream that are written at once.
const BUFFER: usize = 256 << 10;

/// One piece of work.
pub(crate) struct Work<'a> {
    pub(crate) request: u64,
    pub(crate) place: Place<'a>,
    pub(crate) job: &'a FileJob,
}

/// Does it. Called in the forked child of PID 1.
pub(crate) fn run(work: &Work<'_>, socket: OwnedFd) {
    use std::os::fd::AsFd;
    let mut kept = vec![socket.as_fd()];
    kept.extend(work.place.kept());
    if sys::fd::close_all_except(&kept).is_err() {
        return;
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let mut channel = Channel::new(socket);
    let mut answered = false;
    let mut answer = |result: Outcome<Reply>| {
        if !std::mem::replace(&mut answered, true) {
            let reply = FromGuest::Reply {
                id: work.request,
                result: result.map_err(crate::failure::shortened),
            };
            let _ = channel.send(&reply).and_then(|()| channel.flush_all());
        }
    };
    let result = work
        .place
        .enter()
        .and_then(|()| execute(work.job, &work.place, &mut |reply| answer(Ok(reply))));
    answer(result.map(|()| Reply::Done));
}

fn execute(job: &FileJob, place: &Place<'_>, answer: &mut dyn FnMut(Reply)) -> Outcome<()> {
    match job {
        FileJob::Stat { path } => {
            answer(Reply::Path(stat::stat(path)?));
            Ok(())
        }
        FileJob::Get { path, stream } => {
            let (stat, source) = pack::source(path)?;
            let mut stream = open(stream)?;
            answer(Reply::Path(stat));
            finish(pack::pack(source, &mut stream), stream, "the archive")
        }
        FileJob::Put {
            path,
            stream,
            keep_kinds,
            owner,
        } => {
            let target = unpack::target(path)?;
            let owner = owner.as_deref().map(unpack::owner).transpose()?;
            unpack::unpack(open(stream)?, &target, *keep_kinds, owner)
        }
        FileJob::Export { stream } => {
            let mut stream = open(stream)?;
            answer(Reply::Done);
            finish(pack::whole(&mut stream), stream, "the export")
        }
        FileJob::Changes { stream } => {
            let mut stream = open(stream)?;
            let (upper, lower) = place.layers()?;
            answer(Reply::Done);
            finish(changes::list(upper, lower, &mut stream), stream, "the changes")
        }
        FileJob::Diff { stream } => {
            let mut stream = open(stream)?;
            let (upper, _) = place.layers()?;
            answer(Reply::Done);
            finish(pack::diff(upper, &mut stream), stream, "the layer")
        }
    }
}

type Stream = io::BufWriter<File>;

/// Opens a stream to the host.
fn open(token: &Token) -> Outcome<Stream> {
    let connected = sys::vsock::connect(STREAM_PORT).and_then(|socket| {
        let mut socket = File::from(socket);
        socket.write_all(token.as_bytes())?;
        Ok(socket)
    });
    let socket = connected.context(|| "a stream to the host could not be opened".to_owned())?;
    Ok(io::BufWriter::with_capacity(BUFFER, socket))
}

/// Ends a stream with the byte that says that all is there. A host that hangs up does not want it.
fn finish(result: io::Result<()>, mut stream: Stream, what: &str) -> Outcome<()> {
    result
        .and_then(|()| stream.write_all(&[COMPLETE]))
        .and_then(|()| stream.flush())
        .context(|| what.to_owned())
}
