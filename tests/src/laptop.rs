//! The end-to-end program as PID 1 of a virtual laptop: a Linux that has nothing but a kernel with KVM, this program,
//! and a folder of the build machine over 9P.
//!
//! The kernel hands the settings over as environment variables (unknown `name=value` words of its command line). The
//! result is the last line on the console, for the build machine to read.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// Where the build machine's folder is mounted; its parts are named in the environment.
const FOLDER: &str = "/laptop";

/// Whether this process is the laptop's PID 1.
pub fn is_here() -> bool {
    std::process::id() == 1
}

/// Sets the laptop up, runs this program again as an ordinary process, says how it ended, and powers off.
pub fn run() -> ExitCode {
    let outcome = set_up().and_then(|()| {
        let mut tests = Command::new("/proc/self/exe");
        // The console is read by a program.
        tests.env("PATH", "/bin").arg0("e2e").args(["--color", "never"]);
        tests.status().map_err(|error| error.to_string())
    });
    match outcome {
        Ok(status) => println!("laptop: {status}"),
        Err(error) => println!("laptop: {error}"),
    }
    rustix::fs::sync();
    power_off()
}

fn set_up() -> Result<(), String> {
    let mounts = [
        ("proc", "/proc", "proc", ""),
        ("sysfs", "/sys", "sysfs", ""),
        ("devtmpfs", "/dev", "devtmpfs", ""),
        ("devpts", "/dev/pts", "devpts", "ptmxmode=0666"),
        ("tmpfs", "/tmp", "tmpfs", ""),
        (
            "laptop",
            FOLDER,
            "9p",
            "trans=virtio,version=9p2000.L,msize=512000,cache=loose",
        ),
    ];
    for (source, target, kind, options) in mounts {
        fs::create_dir_all(target).map_err(|error| format!("{target}: {error}"))?;
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        mount(source, target, kind, MountFlags::empty(), options.as_c_str())
            .map_err(|error| format!("cannot mount {kind} on {target}: {error}"))?;
    }
    raise_loopback().map_err(|error| format!("cannot raise the loopback interface: {error}"))?;
    if Path::new("/dev/kvm").exists() {
        Ok(())
    } else {
        Err("the kernel has no /dev/kvm".to_owned())
    }
}

/// Sets IFF_UP on `lo` (netdevice(7)).
#[allow(unsafe_code, reason = "an ioctl for which no safe wrapper is at hand")]
fn raise_loopback() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an all-zero ifreq is valid: it is integers and arrays.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open, and the request is an ifreq that outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Ends QEMU: PSCI on aarch64; on x86_64, which has no ACPI here, a reset under `-no-reboot`.
fn power_off() -> ! {
    let command = if cfg!(target_arch = "aarch64") {
        RebootCommand::PowerOff
    } else {
        RebootCommand::Restart
    };
    let error = rustix::system::reboot(command);
    unreachable!("the laptop is still on: {error:?}")
}
