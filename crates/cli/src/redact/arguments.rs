//! Secrets among the words of a command.

use super::MARK;
use super::patterns::Patterns;

/// Programs and the flags behind which each takes a secret without saying so; the name is the beginning of the
/// program's. What is glued to a flag of one letter belongs to it.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("mysql", &["-p"]),
    ("mariadb", &["-p"]),
    ("mongo", &["-p"]),
    ("redis-cli", &["-a"]),
    ("sshpass", &["-p"]),
    ("ldap", &["-w"]),
    ("curl", &["-u", "--user", "--proxy-user"]),
];

/// What a word of a command is.
#[derive(Clone, Copy)]
enum Word<'a> {
    Plain,
    /// All of it is a secret.
    Secret,
    /// What follows so many bytes is a secret.
    Behind(&'a str),
}

/// The words with [`MARK`] in the place of secrets.
pub(super) fn redacted(words: &[&str], patterns: &Patterns) -> Vec<String> {
    let marked = words.iter().zip(classes(words, patterns));
    marked
        .map(|(word, class)| match class {
            Word::Plain => (*word).to_owned(),
            Word::Secret => MARK.to_owned(),
            Word::Behind(flag) => format!("{flag}{MARK}"),
        })
        .collect()
}

/// The secrets among the words.
pub(super) fn secrets<'a>(words: &[&'a str], patterns: &Patterns) -> impl Iterator<Item = &'a str> {
    let marked: Vec<_> = words.iter().copied().zip(classes(words, patterns)).collect();
    marked.into_iter().filter_map(|(word, class)| match class {
        Word::Plain => None,
        Word::Secret => Some(word),
        Word::Behind(flag) => word.strip_prefix(flag),
    })
}

fn classes<'a>(words: &[&'a str], patterns: &Patterns) -> Vec<Word<'a>> {
    let own = own_flags(words);
    let mut next_is_secret = false;
    words
        .iter()
        .map(|word| {
            if std::mem::take(&mut next_is_secret) {
                return Word::Secret;
            }
            if own.contains(word) {
                next_is_secret = true;
                return Word::Plain;
            }
            let glued = own
                .iter()
                .find(|flag| flag.len() == 2 && word.starts_with(**flag));
            if let Some(flag) = glued {
                return Word::Behind(word.get(..flag.len()).unwrap_or_default());
            }
            let is_flag = word.starts_with('-');
            match word.split_once('=') {
                Some((name, _)) if patterns.is_secret_name(name) => {
                    Word::Behind(word.get(..=name.len()).unwrap_or_default())
                }
                None if is_flag && patterns.is_secret_name(word) => {
                    next_is_secret = true;
                    Word::Plain
                }
                _ => Word::Plain,
            }
        })
        .collect()
}

/// The flags of the first well-known program among the words.
fn own_flags(words: &[&str]) -> &'static [&'static str] {
    let known = words.iter().find_map(|word| {
        let name = word.rsplit('/').next()?;
        let program = PROGRAMS.iter().find(|(program, _)| name.starts_with(program))?;
        Some(program.1)
    });
    known.unwrap_or_default()
}
