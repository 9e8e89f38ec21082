//! `manual`: a page of man(1) for each command, `sampan-run.1` and so on, as man-pages(7) lays them out.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::{Failure, Result};
use crate::output::line;

/// `sampan manual`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let pages = write_all(folder)?;
    line(&format!("{pages} manual pages are in {}", folder.display()))
}

/// Writes the page of every command that a person can call, and says how many there are.
fn write_all(folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder).map_err(|error| failure(folder, &error))?;
    let mut command = Arguments::command();
    // Gives the commands their whole names.
    command.build();
    write_with_subcommands(&command, folder)
}

fn write_with_subcommands(command: &clap::Command, folder: &Path) -> Result<usize> {
    let man = Man::new(command.clone())
        .source(concat!("sampan ", env!("CARGO_PKG_VERSION")))
        .manual("sampan");
    let path = folder.join(man.get_filename());
    write(&man, &path).map_err(|error| failure(&path, &error))?;
    let mut pages = 1;
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages += write_with_subcommands(subcommand, folder)?;
    }
    Ok(pages)
}

fn write(man: &Man, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    man.render(&mut file)?;
    file.flush()
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "the manual cannot be written: {}: {error}: name a folder that you may write to",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of all commands, as pages are named.
    fn names(command: &clap::Command, names: &mut BTreeSet<String>) {
        names.insert(format!("{}.1", command.get_display_name().unwrap_or("sampan")));
        for subcommand in command.get_subcommands() {
            self::names(subcommand, names);
        }
    }

    #[test]
    fn every_command_but_those_that_are_nobodys_to_call_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let count = write_all(folder.path()).unwrap();
        let pages: BTreeSet<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut command = Arguments::command();
        command.build();
        let mut expected = BTreeSet::new();
        names(&command, &mut expected);
        for hidden in ["sampan-vmm.1", "sampan-system-dial-stdio.1"] {
            assert!(expected.remove(hidden), "{hidden}");
        }
        assert_eq!(pages, expected);
        assert_eq!(pages.len(), count);
        assert!(pages.contains("sampan.1") && pages.contains("sampan-container-run.1"));
    }

    #[test]
    fn a_page_tells_how_a_command_is_called_and_what_its_flags_do() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("sampan-run.1")).unwrap();
        for told in [
            ".TH sampan-run 1",
            r"\fBsampan run\fR [OPTIONS] IMAGE [COMMAND] [ARG...]",
            r"\fB\-d\fR, \fB\-\-detach\fR",
            "Run container in background and print container ID",
        ] {
            assert!(page.contains(told), "{told} is missing in {page}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("share/man/man1");
        write_all(&inner).unwrap();
        assert!(inner.join("sampan.1").is_file());
    }

    #[test]
    fn what_cannot_be_written_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sampan-run.1")).unwrap();
        let message = write_all(folder.path()).unwrap_err().message;
        assert!(message.contains("sampan-run.1: "), "{message}");
        assert!(
            message.ends_with("name a folder that you may write to"),
            "{message}"
        );

        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        let message = write_all(&file).unwrap_err().message;
        assert!(message.contains(file.to_str().unwrap()), "{message}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
