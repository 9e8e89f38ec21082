//! The guest's end of the vsock benchmark: takes bytes, sends bytes, sends back what it gets. The host has the clock.

use std::io::{Read, Write};
use std::net::Shutdown;

use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::system;

/// The host sends until it closes, then waits for one byte.
const DOWN: u32 = 5001;
/// The guest sends until it closes.
const UP: u32 = 5002;
/// The guest sends back what it gets.
const ECHO: u32 = 5003;

const HOST_CID: u32 = 2;
const PIECE: usize = 64 << 10;

pub(crate) fn measure() -> Result<()> {
    system::mount_one("devtmpfs", "/dev".as_ref(), "devtmpfs", "")?;
    let bytes: usize = std::env::var("BENCH_BYTES")?.parse().context("BENCH_BYTES")?;
    let mut piece = vec![7; PIECE];

    let mut down = connect(DOWN)?;
    while down.read(&mut piece)? > 0 {}
    down.write_all(&[0])?;

    let mut up = connect(UP)?;
    for _ in 0..bytes / PIECE {
        up.write_all(&piece)?;
    }
    up.shutdown(Shutdown::Write)?;
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
