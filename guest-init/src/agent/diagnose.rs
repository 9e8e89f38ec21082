//! How this guest is: clock, kernel log, room. The log is read as the kernel's Documentation/ABI/testing/dev-kmsg has
//! it: one record for each read(2), `priority,sequence,microseconds,flags;text` and lines of properties behind it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use protocol::{Diagnosis, LONGEST_KERNEL_LOG};
use rustix::fs::OFlags;

use crate::boot::{CONTAINERS, clock};

/// Bytes of a record; the kernel's own bound is lower.
const LONGEST_RECORD: usize = 8 << 10;
/// Records that are read at most: more than any log buffer holds. While one reads others may write.
const MOST_RECORDS: usize = 1 << 16;

pub(super) fn diagnosis() -> Diagnosis {
    let disk = rustix::fs::statvfs(CONTAINERS).ok();
    let bytes = |blocks: u64, size: u64| blocks.saturating_mul(size);
    Diagnosis {
        kernel_log: open().map_or_else(|error| format!("/dev/kmsg: {error}\n"), kernel_log),
        disk_bytes: disk
            .as_ref()
            .map_or(0, |disk| bytes(disk.f_blocks, disk.f_frsize)),
        disk_free: disk
            .as_ref()
            .map_or(0, |disk| bytes(disk.f_bavail, disk.f_frsize)),
        unix_time_ns: clock::now(),
    }
}

fn open() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options.open("/dev/kmsg")
}

/// The end of the log. `records` gives one with each read, and an error once it has none.
fn kernel_log(mut records: impl Read) -> String {
    let mut lines: VecDeque<String> = VecDeque::new();
    let mut length = 0;
    let mut record = [0; LONGEST_RECORD];
    for _ in 0..MOST_RECORDS {
        let count = match records.read(&mut record) {
            Ok(0) => break,
            Ok(count) => count,
            // What was to be read next has been overwritten meanwhile, or a signal came.
            Err(error) if is_passing(&error) => continue,
            Err(_) => break,
        };
        let Some(line) = record.get(..count).and_then(line) else {
            continue;
        };
        length += line.len();
        lines.push_back(line);
        while length > LONGEST_KERNEL_LOG {
            length -= lines.pop_front().map_or(length, |line| line.len());
        }
    }
    lines.into_iter().collect()
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted
    )
}

/// `[    1.000002] text`, as dmesg(1) prints it.
fn line(record: &[u8]) -> Option<String> {
    let record = String::from_utf8_lossy(record);
    let (prefix, text) = record.split_once(';')?;
    let microseconds: u64 = prefix.split(',').nth(2)?.parse().ok()?;
    let text: String = text
        .lines()
        .next()?
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    Some(format!(
        "[{:5}.{:06}] {text}\n",
        microseconds / 1_000_000,
        microseconds % 1_000_000
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one record for each read, then nothing.
    struct Records(VecDeque<Result<Vec<u8>, io::ErrorKind>>);

    impl Read for Records {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let record = self.0.pop_front().unwrap_or(Err(io::ErrorKind::WouldBlock))?;
            buffer[..record.len()].copy_from_slice(&record);
            Ok(record.len())
        }
    }

    #[test]
    fn a_record_is_a_line_with_its_time_and_without_its_properties() {
        let records = Records(VecDeque::from([
            Ok(b"6,1,1000002,-;first\n SUBSYSTEM=block\n".to_vec()),
            Err(io::ErrorKind::BrokenPipe),
            Ok(b"no record".to_vec()),
            Ok(b"3,2,65000000,-;init: second\x1b[31m\n".to_vec()),
        ]));
        assert_eq!(
            kernel_log(records),
            "[    1.000002] first\n[   65.000000] init: second [31m\n"
        );
    }

    #[test]
    fn of_a_long_log_the_end_is_told() {
        let record =
            |number: usize| Ok(format!("6,{number},{number},-;{}{number}\n", "x".repeat(1000)).into_bytes());
        let log = kernel_log(Records((0..1000).map(record).collect()));
        assert!(log.len() <= LONGEST_KERNEL_LOG && log.len() > LONGEST_KERNEL_LOG - 2000);
        assert!(log.ends_with("x999\n") && log.starts_with('['));
    }
}
