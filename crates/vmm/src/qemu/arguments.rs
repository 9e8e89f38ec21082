//! QEMU's command line.

use protocol::Architecture;

use super::tsc;
use crate::command_line;
use crate::control::MachineConfig;

/// The exit status with which a powered-off amd64 guest ends QEMU: the guest writes 0x10 to the port of
/// `isa-debug-exit`, and QEMU ends with that value times two plus one.
pub(super) const POWERED_OFF: i32 = 33;
/// Where amd64 guests say that they are off. Without ACPI they have no other way.
const DEBUG_EXIT: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";
/// A processor that makes no promise of fast `rep movsb` and `rep stosb`. Kernel and C library copy with them where they
/// are fast, and QEMU translates them into a loop of single bytes: copies of eight bytes at a time take half as long.
const WITHOUT_FAST_STRINGS: &str = "max,erms=off,fsrm=off";
/// MiB for translated code; QEMU's own choice is a gibibyte.
const TRANSLATION_CACHE: u32 = 256;

/// A device that QEMU gets over vhost-user.
pub(super) struct Device {
    /// The descriptor of the socket, as QEMU inherits it.
    pub(super) descriptor: i32,
    pub(super) kind: Kind,
}

/// What QEMU calls its side of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Socket,
    Entropy,
}

impl Kind {
    /// QEMU's side of the virtio device with this ID (virtio 1.3, section 5).
    pub(super) fn of(device_type: u32) -> Option<Self> {
        match device_type {
            2 => Some(Self::Block),
            4 => Some(Self::Entropy),
            19 => Some(Self::Socket),
            _ => None,
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Block => "vhost-user-blk",
            Self::Socket => "vhost-user-vsock-device",
            Self::Entropy => "vhost-user-rng",
        }
    }
}

/// All arguments. `qmp` is the descriptor of QEMU's end of the QMP socket, `counter` the rate of the guest's time-stamp
/// counter in kHz where it is known. The machine waits for `cont`.
pub(super) fn arguments(
    config: &MachineConfig,
    devices: &[Device],
    qmp: i32,
    counter: Option<u64>,
) -> Vec<String> {
    let memory = config.memory_mib;
    let (machine, processor, console) = match config.architecture {
        Architecture::Amd64 => (
            "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on,x-option-roms=off,auto-kernel-cmdline=on",
            WITHOUT_FAST_STRINGS,
            "ttyS0",
        ),
        Architecture::Arm64 => ("virt,gic-version=3", "max,pauth-impdef=on", "ttyAMA0"),
    };
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(ToString::to_string));
    add(&["-name", &format!("sampan-{}", escaped(&config.id))]);
    add(&[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-S",
    ]);
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"]);
    add(&["-accel", &format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE}")]);
    add(&["-machine", &format!("{machine},memory-backend=memory")]);
    add(&[
        "-cpu",
        processor,
        "-smp",
        &config.cpus.to_string(),
        "-m",
        &format!("{memory}M"),
    ]);
    add(&[
        "-object",
        &format!("memory-backend-memfd,id=memory,size={memory}M,share=on"),
    ]);
    add(&[
        "-kernel",
        &config.kernel.to_string_lossy(),
        "-initrd",
        &config.initramfs.to_string_lossy(),
    ]);
    // Translated code speculates as QEMU's does, whatever the guest's kernel does against it.
    let mut words = vec!["mitigations=off".to_owned()];
    words.extend(counter.map(tsc::words).unwrap_or_default());
    add(&["-append", &command_line::for_machine(config, console, &words)]);
    add(&[
        "-chardev",
        &format!("socket,id=qmp,fd={qmp}"),
        "-mon",
        "chardev=qmp,mode=control",
    ]);
    add(&[
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
    ]);
    add(&["-global", "virtio-mmio.force-legacy=false"]);
    for (index, device) in devices.iter().enumerate() {
        add(&[
            "-chardev",
            &format!("socket,id=device{index},fd={}", device.descriptor),
        ]);
        add(&[
            "-device",
            &format!("{},chardev=device{index}", device.kind.driver()),
        ]);
    }
    // QEMU owns the memory, so it is the one that gives free pages back.
    add(&["-device", "virtio-balloon-device,free-page-reporting=on"]);
    if config.architecture == Architecture::Amd64 {
        add(&["-device", DEBUG_EXIT]);
    }
    arguments
}

/// A comma ends a value, two of them are one.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Accelerator;

    fn config(architecture: Architecture) -> MachineConfig {
        MachineConfig {
            id: "a,b".into(),
            architecture,
            accelerator: Accelerator::Tcg,
            cpus: 2,
            memory_mib: 512,
            kernel: "/share/kernel".into(),
            initramfs: "/share/initramfs".into(),
            command_line: "extra".into(),
            directory: "/machine".into(),
            data_disk: "/machine/data.img".into(),
            verbose_console: false,
        }
    }

    #[test]
    fn a_device_is_a_descriptor_and_a_front_end() {
        let devices = [
            Device {
                descriptor: 7,
                kind: Kind::Block,
            },
            Device {
                descriptor: 8,
                kind: Kind::Socket,
            },
        ];
        let line = arguments(&config(Architecture::Arm64), &devices, 9, None).join(" ");
        assert!(
            line.contains("-chardev socket,id=device0,fd=7 -device vhost-user-blk,chardev=device0"),
            "{line}"
        );
        assert!(
            line.contains("fd=8 -device vhost-user-vsock-device,chardev=device1"),
            "{line}"
        );
    }

    #[test]
    fn a_name_cannot_add_options() {
        let line = arguments(&config(Architecture::Amd64), &[], 9, None).join(" ");
        assert!(line.starts_with("-name sampan-a,,b "), "{line}");
    }

    #[test]
    fn a_guest_is_told_the_rate_of_its_counter_where_it_is_known() {
        let line = |counter| arguments(&config(Architecture::Amd64), &[], 9, counter).join(" ");
        assert!(line(Some(2_445_400)).contains("tsc_early_khz=2445400 tsc=reliable"));
        assert!(!line(None).contains("tsc"));
    }

    #[test]
    fn guest_memory_is_one_shared_file_of_its_size() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let line = arguments(&config(architecture), &[], 9, None).join(" ");
            assert!(
                line.contains("memory-backend-memfd,id=memory,size=512M,share=on"),
                "{line}"
            );
            assert!(line.contains(",memory-backend=memory"), "{line}");
        }
    }
}
