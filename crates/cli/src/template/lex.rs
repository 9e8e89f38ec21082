//! A template's text as tokens.

use super::{Result, TemplateError, error};

/// The longest template, in bytes.
const LONGEST: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text outside of actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.Name`
    Field(String),
    /// `.` alone
    Dot,
    /// `$name`, or `$` alone with an empty name
    Variable(String),
    /// A keyword or a function's name
    Word(String),
    /// A string constant
    Quoted(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    LeftParen,
    RightParen,
    /// White space between operands, which tells `.A .B` from `.A.B`
    Space,
}

/// Cuts a template into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    if text.len() > LONGEST {
        return error(format!("longer than {LONGEST} bytes"));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (before, action) = match rest.split_once("{{") {
            Some((before, action)) => (before, Some(action)),
            None => (rest, None),
        };
        let before = if trim { before.trim_start() } else { before };
        let trims_before = action.is_some_and(trims_left);
        let before = if trims_before { before.trim_end() } else { before };
        if !before.is_empty() {
            tokens.push(Token::Text(before.to_owned()));
        }
        let Some(action) = action else { return Ok(tokens) };
        let action = if trims_before {
            action.get(1..).unwrap_or_default().trim_start()
        } else {
            action
        };
        if let Some(remark) = action.strip_prefix("/*") {
            let (_, after) = remark
                .split_once("*/")
                .ok_or(TemplateError("unclosed comment".to_owned()))?;
            let after = after.trim_start();
            (rest, trim) = match (after.strip_prefix("-}}"), after.strip_prefix("}}")) {
                (Some(rest), _) => (rest, true),
                (_, Some(rest)) => (rest, false),
                _ => return error("comment ends before closing delimiter"),
            };
            continue;
        }
        tokens.push(Token::Open);
        (rest, trim) = inside(action, &mut tokens)?;
        tokens.push(Token::Close);
    }
}

/// Whether an action begins with `- `, which takes the white space before it away.
fn trims_left(action: &str) -> bool {
    action
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

/// The tokens up to `}}`; what follows it, and whether its leading white space is taken away.
fn inside<'a>(action: &'a str, tokens: &mut Vec<Token>) -> Result<(&'a str, bool)> {
    let mut rest = action;
    loop {
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((after, false));
        }
        let trimmed = rest.trim_start();
        if trimmed.len() < rest.len() {
            if let Some(after) = trimmed.strip_prefix("-}}") {
                return Ok((after, true));
            }
            tokens.push(Token::Space);
            rest = trimmed;
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return error("unclosed action");
        };
        let (token, after) = match first {
            '"' => string(rest)?,
            '`' => {
                let body = rest.get(1..).unwrap_or_default();
                let (raw, after) = body
                    .split_once('`')
                    .ok_or(TemplateError("unterminated raw quoted string".to_owned()))?;
                (Token::Quoted(raw.to_owned()), after)
            }
            '\'' => character(rest)?,
            '.' if !rest
                .get(1..)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) =>
            {
                let (name, after) = name(rest.get(1..).unwrap_or_default());
                (
                    if name.is_empty() {
                        Token::Dot
                    } else {
                        Token::Field(name)
                    },
                    after,
                )
            }
            '$' => {
                let (name, after) = name(rest.get(1..).unwrap_or_default());
                (Token::Variable(name), after)
            }
            '0'..='9' | '-' | '+' | '.' => number(rest)?,
            '|' => (Token::Pipe, after(rest, 1)),
            ',' => (Token::Comma, after(rest, 1)),
            '(' => (Token::LeftParen, after(rest, 1)),
            ')' => (Token::RightParen, after(rest, 1)),
            ':' if rest.starts_with(":=") => (Token::Declare, after(rest, 2)),
            '=' => (Token::Assign, after(rest, 1)),
            first if first.is_alphabetic() || first == '_' => {
                let (word, after) = name(rest);
                (Token::Word(word), after)
            }
            other => return error(format!("unexpected {other:?} in command")),
        };
        tokens.push(token);
        rest = after;
    }
}

fn after(rest: &str, length: usize) -> &str {
    rest.get(length..).unwrap_or_default()
}

fn name(text: &str) -> (String, &str) {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (name.to_owned(), rest)
}

fn number(text: &str) -> Result<(Token, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let signed = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = signed.find(|c: char| !is_part(c)).unwrap_or(signed.len());
    let length = text.len().saturating_sub(signed.len()).saturating_add(digits);
    let (number, rest) = text.split_at_checked(length).unwrap_or((text, ""));
    let plain = number.replace('_', "");
    if let Ok(integer) = plain.parse() {
        return Ok((Token::Integer(integer), rest));
    }
    match plain.parse() {
        Ok(float) if plain.contains(|c: char| c.is_ascii_digit()) => Ok((Token::Float(float), rest)),
        _ => error(format!("bad number syntax: {number:?}")),
    }
}

/// A quoted string, with Go's escapes.
fn string(text: &str) -> Result<(Token, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((Token::Quoted(value), after(text, at.saturating_add(1)))),
            '\\' => {
                let escaped = characters.next().map(|(_, c)| c);
                value.push(unescape(escaped, &mut characters)?);
            }
            '\n' => break,
            c => value.push(c),
        }
    }
    error("unterminated quoted string")
}

fn unescape(escaped: Option<char>, rest: &mut impl Iterator<Item = (usize, char)>) -> Result<char> {
    let mut digits = |count: usize| {
        let text: String = rest.by_ref().take(count).map(|(_, c)| c).collect();
        u32::from_str_radix(&text, 16).ok().and_then(char::from_u32)
    };
    let value = match escaped {
        Some('n') => Some('\n'),
        Some('t') => Some('\t'),
        Some('r') => Some('\r'),
        Some(c @ ('\\' | '"' | '\'')) => Some(c),
        Some('x') => digits(2),
        Some('u') => digits(4),
        _ => None,
    };
    value.ok_or_else(|| TemplateError("unknown escape sequence".to_owned()))
}

/// A character constant, which is a number in Go.
fn character(text: &str) -> Result<(Token, &str)> {
    let mut characters = text.char_indices().skip(1);
    let value = match characters.next() {
        Some((_, '\\')) => {
            let escaped = characters.next().map(|(_, c)| c);
            unescape(escaped, &mut characters)?
        }
        Some((_, c)) if c != '\'' => c,
        _ => return error("unterminated character constant"),
    };
    match characters.next() {
        Some((at, '\'')) => Ok((
            Token::Integer(u32::from(value).into()),
            after(text, at.saturating_add(1)),
        )),
        _ => error("unterminated character constant"),
    }
}
