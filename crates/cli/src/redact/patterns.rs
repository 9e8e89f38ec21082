//! The forms that secrets have in any text.

use regex::{Captures, Regex};

use super::MARK;

/// How what holds a secret is called: the end of a name, or a part of it.
const NAME: &str = r"(?:[\w.-]*(?:passw(?:or)?d|passphrase|passcode|secret|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|signing[_.-]?key|encryption[_.-]?key|account[_.-]?key|credential|cookie)[\w.-]*|[\w.-]*(?:pass|pwd|auth))";
/// A value behind a name: in quotes, in escaped quotes, or up to white space. A quote that is not closed goes on to the
/// end of its line.
const VALUE: &str = r#"(?:\\"(?:.*?\\"|[^\n]*)|"(?:[^"\\\n]|\\.)*(?:"|$)|'[^'\n]*(?:'|$)|[^\s"'\\]\S*)"#;
/// Beginnings of tokens that say by themselves what they are.
const PREFIXES: &str = r"(?:gh[pousr]_|github_pat_|glpat-|gldt-|dckr_[po]at_|xox[abeprs]-|sk_live_|rk_live_|npm_|pypi-|hvs\.|SG\.|AKIA|ASIA|AIza|ya29\.)";

/// The patterns, compiled.
#[derive(Debug)]
pub(super) struct Patterns {
    name: Regex,
    /// Each with what comes in its place.
    rules: Vec<(Regex, Rule)>,
    person: Regex,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    /// The first group stays, and everything behind it is the secret.
    KeepFirst,
    /// The same, with the quotes around the second group.
    Value,
    /// The same, with the `@` at the end.
    Url,
    /// All of it is the secret.
    Whole,
    /// The first group stays if the second is no word of a language.
    Random,
    /// A name and a password before the host in the first group, which may be that of an image's digest.
    Userinfo,
}

impl Patterns {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let rules = [
            // A private key, and the end of one whose beginning was cut off.
            (
                r"-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----(?s:.)*?(?:-----END [A-Z ]*PRIVATE KEY[A-Z ]*-----|\z)".to_owned(),
                Rule::Whole,
            ),
            (
                r"(?:[A-Za-z0-9+/=]{4,}\s+)*-----END [A-Z ]*PRIVATE KEY[A-Z ]*-----".to_owned(),
                Rule::Whole,
            ),
            (r#"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s"'<>]*@"#.to_owned(), Rule::Url),
            (r#"[\w.+%-]+:[^\s@/"'<>]+@([\w.-]+)"#.to_owned(), Rule::Userinfo),
            (
                r#"(?i)(\b(?:(?:proxy-)?authorization|x-registry-(?:auth|config)|(?:set-)?cookie)\\?["']?\s*[:=]\s*\\?["']?)[^"'\\\r\n]+"#
                    .to_owned(),
                Rule::KeepFirst,
            ),
            (r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}".to_owned(), Rule::KeepFirst),
            (r"(?i)(\b(?:basic|token)\s+)([A-Za-z0-9._~+/=-]{8,})".to_owned(), Rule::Random),
            (r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,4}".to_owned(), Rule::Whole),
            (format!(r"\b{PREFIXES}[A-Za-z0-9_.-]{{8,}}"), Rule::Whole),
            (r"\bsk-[A-Za-z0-9_-]{16,}".to_owned(), Rule::Whole),
            // `name=value`, `"name": "value"`, `--name value`.
            (format!(r#"(?im)(\b{NAME}\\?["']?\s*[:=]\s*)({VALUE})"#), Rule::Value),
            (format!(r"(?im)((?:^|\s)--?{NAME}[ \t]+)({VALUE})"), Rule::Value),
            (
                r"(?im)(\b(?:mysql|mariadb|mongo)\S*[ \t](?:[^\n]*?[ \t])?-p[ \t]*)[^\s-]\S*".to_owned(),
                Rule::KeepFirst,
            ),
            (
                r"(?im)(\b(?:redis-cli[ \t](?:[^\n]*?[ \t])?-a|sshpass[ \t]+-p|curl[ \t](?:[^\n]*?[ \t])?(?:-u|--user))[ \t=]*)\S+"
                    .to_owned(),
                Rule::KeepFirst,
            ),
        ];
        let rules = rules
            .into_iter()
            .map(|(pattern, rule)| Ok((Regex::new(&pattern)?, rule)))
            .collect::<Result<_, regex::Error>>()?;
        Ok(Self {
            name: Regex::new(&format!("(?i)^-*{NAME}$"))?,
            rules,
            person: Regex::new(r#"((?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2}))[^/\\\s"':]+"#)?,
        })
    }

    /// Whether something of this name is a secret.
    pub(super) fn is_secret_name(&self, name: &str) -> bool {
        self.name.is_match(name)
    }

    pub(super) fn redact(&self, text: &str) -> String {
        self.rules.iter().fold(text.to_owned(), |text, (pattern, rule)| {
            pattern
                .replace_all(&text, |found: &Captures<'_>| replaced(found, *rule))
                .into_owned()
        })
    }

    /// The names of persons in the paths of their home folders.
    pub(super) fn without_persons(&self, text: &str) -> String {
        self.person.replace_all(text, "${1}USER").into_owned()
    }
}

fn replaced(found: &Captures<'_>, rule: Rule) -> String {
    let group = |number| found.get(number).map_or("", |group| group.as_str());
    match rule {
        Rule::Whole => MARK.to_owned(),
        Rule::KeepFirst => format!("{}{MARK}", group(1)),
        Rule::Url => format!("{}{MARK}@", group(1)),
        Rule::Value => {
            let quote = ["\\\"", "\"", "'"]
                .into_iter()
                .find(|quote| group(2).starts_with(quote));
            let quote = quote.unwrap_or_default();
            format!("{}{quote}{MARK}{quote}", group(1))
        }
        Rule::Random if looks_random(group(2)) => format!("{}{MARK}", group(1)),
        Rule::Userinfo if !matches!(group(1), "sha256" | "sha512") => format!("{MARK}@{}", group(1)),
        Rule::Random | Rule::Userinfo => group(0).to_owned(),
    }
}

/// Whether a word is no word of a language, nor a path: letters with digits among them, or capitals in the middle.
pub(super) fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
    let capital_in_the_middle = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    word.len() >= 8
        && !has(|byte| matches!(byte, b'/' | b' ' | b':'))
        && has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit) || (capital_in_the_middle && has(u8::is_ascii_lowercase)))
}
