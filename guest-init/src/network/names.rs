//! The names of a network, as the host tells them: one file of lines `name address…` for each, written whole and
//! renamed, and read anew for every question. So the table needs no lock and no copy in any process.

use std::fs;
use std::io::Write;
use std::net::IpAddr;

use crate::boot::NAMES;
use crate::failure::{Context, Outcome, invalid};

/// Bytes of a table: far more than any network's containers have names.
const LONGEST: u64 = 4 << 20;

/// Refuses what is no table's name before it becomes part of a path: an ID of 64 hexadecimal digits.
pub(crate) fn check_table(table: &str) -> Outcome<()> {
    if table.len() == 64 && table.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(invalid(format!("{table:?} is no network's or container's ID")))
}

/// Replaces a table.
pub(crate) fn store(table: &str, names: &[(String, Vec<IpAddr>)]) -> Outcome<()> {
    check_table(table)?;
    let mut text = String::new();
    for (name, addresses) in names {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(invalid(format!("{name:?} is no name of a container")));
        }
        text.push_str(&name.to_ascii_lowercase());
        for address in addresses {
            text.push_str(&format!(" {address}"));
        }
        text.push('\n');
    }
    let (path, draft) = (format!("{NAMES}/{table}"), format!("{NAMES}/.{table}"));
    let what = || format!("the names of {table}");
    let mut file = fs::File::create(&draft).context(what)?;
    file.write_all(text.as_bytes()).context(what)?;
    fs::rename(&draft, &path).context(what)
}

/// Takes a table away. One that is not there is no error.
pub(crate) fn forget(table: &str) {
    let _ = fs::remove_file(format!("{NAMES}/{table}"));
}

/// The addresses of a name in the first of these tables that has it, IPv4 and IPv6 alike.
pub(super) fn addresses<'a>(tables: impl Iterator<Item = &'a str>, name: &str) -> Option<Vec<IpAddr>> {
    for table in tables {
        let Some(text) = read(table) else { continue };
        let found = text.lines().find_map(|line| {
            let (known, rest) = line.split_once(' ').unwrap_or((line, ""));
            (known == name).then(|| rest.split(' ').filter_map(|text| text.parse().ok()).collect())
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The first name of an address in these tables.
pub(super) fn name_of<'a>(tables: impl Iterator<Item = &'a str>, address: IpAddr) -> Option<String> {
    for table in tables {
        let Some(text) = read(table) else { continue };
        let found = text.lines().find_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            rest.split(' ')
                .any(|text| text.parse() == Ok(address))
                .then(|| name.to_owned())
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn read(table: &str) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(format!("{NAMES}/{table}"))
        .ok()?
        .take(LONGEST)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_a_path_is_refused() {
        assert!(check_table("../../etc/passwd").is_err());
        assert!(check_table(&"ab".repeat(32)).is_ok());
    }

    #[test]
    fn a_name_with_a_space_in_it_is_refused() {
        let names = [("a b".to_owned(), Vec::new())];
        assert!(store(&"ab".repeat(32), &names).is_err());
    }
}
