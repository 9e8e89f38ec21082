//! The guest's end of the vsock benchmark: takes bytes, sends bytes, sends back what it gets. The host has the clock.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::system;

/// The host sends `BENCH_BYTES`, then waits for one.
const DOWN: u32 = 5001;
/// The guest sends `BENCH_BYTES`; the host then closes.
const UP: u32 = 5002;
/// The guest sends back what it gets.
const ECHO: u32 = 5003;

const HOST_CID: u32 = 2;
const PIECE: usize = 64 << 10;
/// The other device stops for good when more than its buffer of 64 KiB comes at once.
const UP_PIECE: usize = 16 << 10;

pub(crate) fn measure() -> Result<()> {
    system::mount_one("devtmpfs", "/dev".as_ref(), "devtmpfs", "")?;
    let bytes: usize = std::env::var("BENCH_BYTES")?.parse().context("BENCH_BYTES")?;
    let mut piece = vec![7; PIECE];

    let mut down = connect(DOWN)?;
    let mut left = bytes;
    while left > 0 {
        match down.read(&mut piece)? {
            0 => bail!("the host sent {left} bytes too few"),
            count => left = left.saturating_sub(count),
        }
    }
    down.write_all(&[0])?;

    let mut up = connect(UP)?;
    for _ in 0..bytes / UP_PIECE {
        up.write_all(piece.get(..UP_PIECE).unwrap_or_default())?;
    }
    // The host closes when it has everything.
    while up.read(&mut piece)? > 0 {}

    let mut echo = connect(ECHO)?;
    loop {
        match echo.read(&mut piece)? {
            0 => return Ok(()),
            count => echo.write_all(piece.get(..count).unwrap_or_default())?,
        }
    }
}

fn connect(port: u32) -> Result<Socket> {
    let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    socket
        .connect(&SockAddr::vsock(HOST_CID, port))
        .with_context(|| format!("cannot connect to the host's vsock port {port}"))?;
    Ok(socket)
}
