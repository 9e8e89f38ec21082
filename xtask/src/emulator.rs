//! A Linux whose processor QEMU translates (TCG), for tests and benchmarks: direct boot, virtio over MMIO, the console
//! read line by line.
//!
//! On amd64 this is QEMU's `microvm` (docs/system/i386/microvm.rst) without ACPI, so that the devices are announced on
//! the kernel's command line; on arm64 it is `virt` (docs/system/arm/virt.rst). Both emulate a processor's
//! virtualisation extensions when asked, so that the Linux inside has a true `/dev/kvm`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::setup::machine;
use crate::{qemu, run};

/// What PID 1 says last on the console, followed by its result: [`SUCCESS`] or what went wrong.
const RESULT: &str = "laptop: ";

/// The result of a PID 1 for which all went well.
pub const SUCCESS: &str = "exit status: 0";

/// What such a Linux is made of.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub arch: Architecture,
    pub cpu: Cpu,
    pub cpus: u32,
    pub memory_mib: u32,
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    /// Words of the kernel's command line beside those for the console. `name=value` that the kernel does not know
    /// goes into PID 1's environment. There are no arguments for it after `--`: QEMU adds words of its own.
    pub words: Vec<String>,
    /// A folder of this machine, read-only over 9P under the tag `laptop`.
    pub folder: Option<PathBuf>,
    /// A raw disk image; what is written to it is forgotten.
    pub disk: Option<PathBuf>,
    /// The socket of a vhost-user device for vsock.
    pub vsock: Option<PathBuf>,
    /// How long nothing may come from the console.
    pub silence: Duration,
}

/// The processor that is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// What sampan's own emulated machines have.
    Plain,
    /// One with virtualisation extensions: AMD's SVM, Arm's EL2.
    Virtualising,
}

impl Emulator {
    /// Boots, hands every line of the console to `each` with the time since QEMU was started, and returns once it has
    /// powered off: what PID 1 said of its result, after `laptop: `.
    ///
    /// # Errors
    /// When QEMU cannot be installed or fails, the guest is still there after `patience` or says nothing for too long, or
    /// it ended without a result.
    pub fn run(&self, patience: Duration, mut each: impl FnMut(Duration, &str)) -> Result<String> {
        let mut command = self.command()?;
        let shown = run::line(&command);
        let begun = Instant::now();
        let qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{shown}`"))?;
        let mut qemu = Running(qemu);
        let console = qemu.0.stdout.take().context("the console of QEMU")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut result = None;
        loop {
            let patience = patience.saturating_sub(begun.elapsed());
            match lines.recv_timeout(patience.min(self.silence)) {
                Ok(line) => {
                    let line = String::from_utf8_lossy(&line);
                    match line.trim_end().strip_prefix(RESULT) {
                        Some(text) => result = Some(text.to_owned()),
                        None => each(begun.elapsed(), line.trim_end()),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "the guest was still running after {} s, and silent: `{shown}`",
                        begun.elapsed().as_secs()
                    )
                }
            }
        }
        let status = qemu.0.wait()?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        result.context("the guest ended without a result; the last lines of its console say why")
    }

    fn command(&self) -> Result<Command> {
        let mut command = if self.arch == Architecture::of_host()? && self.cpu == Cpu::Virtualising {
            qemu::command(self.arch)?
        } else {
            machine::install(machine::EMULATION)?;
            Command::new(format!("qemu-system-{}", self.arch.cpu()))
        };
        let (machine, cpu, console) = match (self.arch, self.cpu) {
            (Architecture::Amd64, Cpu::Plain) => {
                // Without what is slow when it is emulated, as in the emulated machine (`vmm`'s `qemu::arguments`).
                (
                    "microvm,acpi=off,rtc=on,memory-backend=memory",
                    "max,erms=off,fsrm=off",
                    "ttyS0",
                )
            }
            (Architecture::Amd64, Cpu::Virtualising) => (
                "microvm,acpi=off,rtc=on,memory-backend=memory",
                "EPYC,+svm,+npt,-xsave",
                "ttyS0",
            ),
            (Architecture::Arm64, Cpu::Plain) => (
                "virt,gic-version=3,memory-backend=memory",
                "max,pauth-impdef=on",
                "ttyAMA0",
            ),
            (Architecture::Arm64, Cpu::Virtualising) => (
                "virt,gic-version=3,virtualization=on,memory-backend=memory",
                "neoverse-n1",
                "ttyAMA0",
            ),
        };
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args([
                "-accel",
                "tcg,thread=multi,tb-size=256",
                "-machine",
                machine,
                "-cpu",
                cpu,
            ])
            .arg("-smp")
            .arg(self.cpus.to_string())
            .arg("-m")
            .arg(format!("{}M", self.memory_mib))
            .arg("-object")
            .arg(format!(
                "memory-backend-memfd,id=memory,size={}M,share=on",
                self.memory_mib
            ))
            .args([
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:console",
            ])
            .args(["-global", "virtio-mmio.force-legacy=false"])
            .args(["-device", "virtio-rng-device"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
            .arg("-append")
            .arg(self.command_line(console));
        if let Some(folder) = &self.folder {
            command
                .arg("-fsdev")
                .arg(option(
                    "local,id=laptop,security_model=none,readonly=on,path=",
                    folder,
                ))
                .args(["-device", "virtio-9p-device,fsdev=laptop,mount_tag=laptop"]);
        }
        if let Some(disk) = &self.disk {
            command
                .arg("-drive")
                .arg(option("if=none,id=disk,format=raw,snapshot=on,file=", disk))
                .args(["-device", "virtio-blk-device,drive=disk"]);
        }
        if let Some(vsock) = &self.vsock {
            command
                .arg("-chardev")
                .arg(option("socket,id=vsock,path=", vsock))
                .args(["-device", "vhost-user-vsock-device,chardev=vsock"]);
        }
        Ok(command)
    }

    fn command_line(&self, console: &str) -> String {
        // `reboot=t`: without ACPI a PC ends by a triple fault, on which `-no-reboot` ends QEMU.
        format!(
            "console={console} quiet panic=-1 reboot=t {}",
            self.words.join(" ")
        )
    }
}

/// A path as the last value of an option; QEMU reads a comma in it as two.
fn option(option: &str, path: &Path) -> OsString {
    let mut value = OsString::from(option);
    value.push(path.to_string_lossy().replace(',', ",,"));
    value
}

/// Ends QEMU when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        assert_eq!(option("file=", Path::new("/a,b")), "file=/a,,b");
    }
}
