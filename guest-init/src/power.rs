//! The end of the machine: orderly, because the host is gone, or because PID 1 failed.
//!
//! aarch64 powers off through PSCI SYSTEM_OFF (Arm DEN 0022). x86_64 has no ACPI, so nothing can power it off;
//! a reset with `reboot=t` on the kernel's command line is a triple fault, which ends the machine just as well.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use protocol::{Event, FromGuest, frame};
use rustix::net::{SendFlags, send};
use rustix::system::{RebootCommand, reboot};

/// The control connection, for the panic hook; -1 while there is none.
static CONTROL: AtomicI32 = AtomicI32::new(-1);

/// Ends the machine. Nothing is written out any more.
pub(crate) fn off() -> ! {
    let command = if cfg!(target_arch = "x86_64") {
        RebootCommand::Restart
    } else {
        RebootCommand::PowerOff
    };
    let _ = reboot(command);
    // The kernel refused. Without PID 1 it panics, and a panic resets.
    crate::sys::process::exit_now(1)
}

/// Writes a line to the kernel's log, which is the machine's console if it has one.
pub(crate) fn log(line: &str) {
    if let Ok(mut kernel_log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = kernel_log.write_all(format!("<3>init: {line}\n").as_bytes());
    }
}

/// Lets a panic of PID 1 reach the host: as a line in the kernel's log, as the control connection's last
/// message, and as the end of the machine instead of a hang.
pub(crate) fn announce_panics() {
    std::panic::set_hook(Box::new(|information| {
        let message = information.to_string();
        log(&message);
        if rustix::process::getpid() == rustix::process::Pid::INIT {
            tell_host(message);
            rustix::fs::sync();
            off();
        }
        // A shim: PID 1 sees its end.
        crate::sys::process::exit_now(101);
    }));
}

/// From now on a panic is told on this connection.
pub(crate) fn set_control(connection: RawFd) {
    CONTROL.store(connection, Ordering::Relaxed);
}

#[allow(unsafe_code, reason = "borrows the control connection by its number")]
fn tell_host(message: String) {
    let fd = CONTROL.load(Ordering::Relaxed);
    if fd < 0 {
        return;
    }
    let event = FromGuest::Event(Event::Panic { message });
    if let Ok(bytes) = frame::encode(&event) {
        // SAFETY: PID 1 keeps the control connection open until it powers the machine off.
        let control = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = send(control, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}
