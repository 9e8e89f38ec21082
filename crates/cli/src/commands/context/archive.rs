//! `context export` and `context import`.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use super::Contexts;
use crate::contexts::{DEFAULT, check_name, pack, reason, unpack};
use crate::failure::{Failure, Result};
use crate::output::{line, tell};

/// `sampan context export`, to a file of its own or to stdout.
pub(super) fn export(contexts: &Contexts, name: &str, file: Option<&str>) -> Result<()> {
    if name != DEFAULT {
        check_name(name)?;
    }
    let archive = pack(&contexts.get(name)?, &contexts.files(name)?)?;
    if file == Some("-") {
        let mut stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Failure::new(
                "cowardly refusing to export to a terminal, specify a file path",
            ));
        }
        stdout.write_all(&archive)?;
        return Ok(stdout.flush()?);
    }
    let file = file.map_or_else(|| format!("{name}.dockercontext"), str::to_owned);
    write_new(Path::new(&file), &archive)
        .map_err(|error| Failure::new(format!("open {file}: {}", reason(&error))))?;
    tell(&format!("Written file \"{file}\""));
    Ok(())
}

/// Writes a file that is not there yet, for its owner alone: a key may be in it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut draft = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    draft
        .persist_noclobber(path)
        .map(drop)
        .map_err(|error| error.error)
}

/// `sampan context import`.
pub(super) fn import(contexts: &Contexts, name: &str, file: &str) -> Result<()> {
    contexts.check_new(name)?;
    let (context, files) = if file == "-" {
        unpack(name, io::stdin().lock())?
    } else {
        let opened = File::open(file);
        unpack(
            name,
            opened.map_err(|error| Failure::new(format!("open {file}: {}", reason(&error))))?,
        )?
    };
    contexts.store.put(&context, Some(&files))?;
    line(name)?;
    tell(&format!("Successfully imported context \"{name}\""));
    Ok(())
}
