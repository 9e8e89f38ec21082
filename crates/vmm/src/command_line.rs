//! The kernel's command line (the kernel's Documentation/admin-guide/kernel-parameters.rst).

use protocol::Architecture;

use crate::control::MachineConfig;

/// The longest command line that both architectures' kernels take, in bytes, without its final zero.
pub const MAX_LENGTH: usize = 2047;

/// The command line of `config`'s kernel, with `console` (such as `ttyS0`) and what the machine itself has to
/// `announce`. The configuration's own words come last, so that they override.
pub fn for_machine(config: &MachineConfig, console: &str, announce: &[String]) -> String {
    let mut words: Vec<String> = vec![format!("console={console}")];
    if config.verbose_console {
        words.push("ignore_loglevel".into());
    } else {
        // Errors and worse. Every character is two exits, and warnings about the host's processor are many.
        words.push("quiet".into());
    }
    // A panic resets at once, and a reset is what the host notices.
    words.push("panic=-1".into());
    words.extend(
        architecture_words(config.architecture)
            .iter()
            .map(ToString::to_string),
    );
    words.extend(announce.iter().cloned());
    if !config.command_line.is_empty() {
        words.push(config.command_line.clone());
    }
    words.join(" ")
}

fn architecture_words(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        // reboot=t: by a triple fault, which needs no keyboard controller.
        // no_timer_check: the timer interrupt of a virtual machine arrives.
        // 8250.nr_uarts: one serial port, so no search for others.
        Architecture::Amd64 => &["reboot=t", "no_timer_check", "8250.nr_uarts=1"],
        Architecture::Arm64 => &["8250.nr_uarts=1"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Accelerator;

    fn config(verbose_console: bool, command_line: &str) -> MachineConfig {
        MachineConfig {
            id: "test".into(),
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Kvm,
            cpus: 1,
            memory_mib: 128,
            kernel: "kernel".into(),
            initramfs: "initramfs".into(),
            command_line: command_line.into(),
            directory: "machine".into(),
            data_disk: "data.img".into(),
            verbose_console,
        }
    }

    #[test]
    fn a_machine_is_quiet_unless_it_was_asked_to_talk() {
        let quiet = for_machine(&config(false, ""), "ttyS0", &[]);
        assert!(quiet.contains("console=ttyS0 quiet panic=-1"), "{quiet}");
        let verbose = for_machine(&config(true, ""), "ttyS0", &[]);
        assert!(!verbose.contains("quiet"), "{verbose}");
    }

    #[test]
    fn the_users_words_come_last() {
        let line = for_machine(
            &config(false, "panic=0"),
            "ttyS0",
            &["virtio_mmio.device=x".into()],
        );
        assert!(line.ends_with("virtio_mmio.device=x panic=0"), "{line}");
    }
}
