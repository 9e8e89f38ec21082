//! QEMU's machine protocol (QEMU's docs/interop/qmp-spec): JSON lines over a socket. QEMU greets, the client ends the
//! negotiation, and then commands go one way, answers and events the other.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::Deserialize;

/// QEMU's greeting is its longest line by far, and a few hundred bytes.
const MAX_LINE: u64 = 64 << 10;

/// Why the guest stopped, as QEMU tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// The guest powered itself off.
    PoweredOff,
    /// The guest reset itself or crashed.
    Reset,
    /// Something on the host did it.
    Other,
}

#[derive(Deserialize)]
struct Line {
    event: Option<String>,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    reason: Option<String>,
}

/// Starts the machine that waits, calls `entered` when its CPUs run, and listens until QEMU ends. The last reason for
/// a shutdown counts; `None`: QEMU ended without telling one.
pub(super) fn follow(stream: impl Read + Write, entered: impl FnOnce()) -> io::Result<Option<Shutdown>> {
    let mut entered = Some(entered);
    let mut stream = BufReader::new(stream);
    let mut shutdown = None;
    let mut greeted = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(shutdown);
        }
        if !greeted {
            greeted = true;
            let commands = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n";
            stream.get_mut().write_all(commands.as_bytes())?;
            continue;
        }
        let Ok(line) = serde_json::from_slice::<Line>(&line) else {
            continue;
        };
        match line.event.as_deref() {
            Some("RESUME") => {
                if let Some(entered) = entered.take() {
                    entered();
                }
            }
            Some("SHUTDOWN") => shutdown = Some(reason(line.data.reason.as_deref())),
            _ => {}
        }
    }
}

/// QEMU's ShutdownCause.
fn reason(text: Option<&str>) -> Shutdown {
    match text {
        Some("guest-shutdown") => Shutdown::PoweredOff,
        Some("guest-reset" | "guest-panic" | "subsystem-reset") => Shutdown::Reset,
        _ => Shutdown::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says this and then ends.
    struct Qemu {
        says: &'static [u8],
        heard: Vec<u8>,
    }

    impl Read for &mut Qemu {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for &mut Qemu {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn follow_text(says: &'static str) -> (Option<Shutdown>, bool, String) {
        let mut qemu = Qemu {
            says: says.as_bytes(),
            heard: Vec::new(),
        };
        let mut entered = false;
        let shutdown = follow(&mut qemu, || entered = true).unwrap();
        (shutdown, entered, String::from_utf8(qemu.heard).unwrap())
    }

    #[test]
    fn the_machine_goes_on_after_the_greeting_and_is_entered_when_qemu_says_so() {
        let (shutdown, entered, heard) =
            follow_text("{\"QMP\":{}}\n{\"return\":{}}\n{\"event\":\"RESUME\"}\n");
        assert_eq!((shutdown, entered), (None, true));
        assert!(heard.ends_with("{\"execute\":\"cont\"}\n"));
    }

    #[test]
    fn the_reason_of_a_shutdown_tells_power_off_from_reset() {
        let (shutdown, ..) = follow_text(
            "{\"QMP\":{}}\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-reset\"}}\n",
        );
        assert_eq!(shutdown, Some(Shutdown::Reset));
        let (shutdown, ..) =
            follow_text("{\"QMP\":{}}\n{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-shutdown\"}}\n");
        assert_eq!(shutdown, Some(Shutdown::PoweredOff));
    }

    #[test]
    fn lines_that_are_no_messages_are_passed_over() {
        assert_eq!(
            follow_text("{\"QMP\":{}}\nnonsense\n{\"event\":1}\n"),
            (None, false, COMMANDS.into())
        );
    }

    const COMMANDS: &str = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n";
}
