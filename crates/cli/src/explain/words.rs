//! What a language has to say of each step. The sentences are for a person who learns what containers are.

use journey::Step;

use super::journal::Place;
use super::server::Server;

/// What a journey teaches when it is over. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// An image was pulled, or a machine booted, which the next run does not need.
    Next { pulled_ns: u64, booted_ns: u64 },
    /// Nothing had to be fetched or booted.
    Warm,
}

/// A language.
pub(crate) trait Words: Sync {
    /// What stands above a journey.
    fn heading(&self, command: &str) -> String;
    /// The names of the columns: since the begin, took, where, what.
    fn columns(&self) -> [&'static str; 4];
    fn place(&self, place: Place) -> &'static str;
    /// One or two sentences.
    fn step(&self, step: &Step) -> String;
    fn failed(&self, reason: &str) -> String;
    /// How long all of it took, and how long each place was at work.
    fn total(&self, total: &str, shares: &[(&str, String)]) -> String;
    fn lesson(&self, lesson: Lesson) -> String;
    /// What stands above client and server.
    fn server_heading(&self) -> &'static str;
    /// Client, way and machine: a name and sentences each.
    fn server(&self, server: &Server) -> Vec<(&'static str, String)>;
    /// Why the server is `linux/<architecture>`.
    fn why(&self, server: &Server) -> Vec<String>;
}

/// The network under the name that it is listed by.
pub(super) fn named(network: &str) -> &str {
    match network {
        "" | "default" => "bridge",
        other => other,
    }
}

/// A time in three digits, as in `1.23 ms`.
pub(super) fn time(nanoseconds: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits of it are shown")]
    let milliseconds = nanoseconds as f64 / 1e6;
    if milliseconds >= 9_995.0 {
        format!("{:.1} s", milliseconds / 1e3)
    } else if milliseconds >= 999.5 {
        format!("{:.2} s", milliseconds / 1e3)
    } else if milliseconds >= 99.95 {
        format!("{milliseconds:.0} ms")
    } else if milliseconds >= 9.995 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.2} ms")
    }
}

/// What a request is for, by its method and the last word of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Create,
    Pull,
    Attach,
    Wait,
    Start,
    Other,
}

pub(super) fn purpose(method: &str, path: &str) -> Purpose {
    let mut words = path.trim_matches('/').split('/').rev();
    match (method, words.next(), words.next()) {
        ("POST", Some("create"), Some("containers")) => Purpose::Create,
        ("POST", Some("create"), Some("images")) => Purpose::Pull,
        ("POST", Some("attach"), _) => Purpose::Attach,
        ("POST", Some("wait"), _) => Purpose::Wait,
        ("POST", Some("start"), _) => Purpose::Start,
        _ => Purpose::Other,
    }
}

/// A path in which long IDs are as short as Docker shows them.
pub(super) fn short_path(path: &str) -> String {
    let short = |word: &str| match word.get(..12) {
        Some(short) if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            short.to_owned()
        }
        _ => word.to_owned(),
    };
    path.split('/').map(short).collect::<Vec<_>>().join("/")
}

/// A digest or an ID as Docker shows it.
pub(super) fn short(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (nanoseconds, expected) in [
            (1_234, "0.00 ms"),
            (1_234_000, "1.23 ms"),
            (12_340_000, "12.3 ms"),
            (123_400_000, "123 ms"),
            (1_234_000_000, "1.23 s"),
            (12_340_000_000, "12.3 s"),
        ] {
            assert_eq!(time(nanoseconds), expected);
        }
    }

    #[test]
    fn requests_are_known_by_their_paths() {
        assert_eq!(purpose("POST", "/containers/create"), Purpose::Create);
        assert_eq!(purpose("POST", "/v1.51/images/create"), Purpose::Pull);
        assert_eq!(purpose("POST", "/containers/0123/wait"), Purpose::Wait);
        assert_eq!(purpose("GET", "/containers/create"), Purpose::Other);
    }

    #[test]
    fn ids_in_a_path_are_short() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(
            short_path(&format!("/containers/{id}/wait")),
            "/containers/0123456789ab/wait"
        );
        assert_eq!(short(&format!("sha256:{id}")), "0123456789ab");
    }
}
