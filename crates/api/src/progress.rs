//! The JSON lines in which a pull, a push or a load tells how far it is (Docker Engine API, `POST /images/create`;
//! moby `pkg/jsonmessage`).

use engine::{PullEvent, PushEvent};
use serde_json::{Value, json};

/// The bar's width in characters.
const WIDTH: u64 = 50;

/// One event of a pull.
pub(crate) fn pull_line(event: &PullEvent) -> Value {
    match (event, event.id(), event.progress()) {
        (PullEvent::Pulling { .. }, Some(tag), _) => json!({ "status": event.to_string(), "id": tag }),
        (_, Some(id), Some(progress)) => counted(&event.to_string(), id, progress),
        (_, Some(id), None) => json!({ "status": event.to_string(), "progressDetail": {}, "id": id }),
        (_, None, _) => json!({ "status": event.to_string() }),
    }
}

/// One event of a push. The last of a tag is told to people and, as `aux`, to programs.
pub(crate) fn push_lines(event: &PushEvent) -> Vec<Value> {
    let status = event.to_string();
    match (event, event.id(), event.progress()) {
        (_, Some(id), Some(progress)) => vec![counted(&status, id, progress)],
        (_, Some(id), None) => vec![json!({ "status": status, "progressDetail": {}, "id": id })],
        (PushEvent::Tagged { tag, digest, size }, ..) => vec![
            json!({ "status": status }),
            json!({
                "progressDetail": {},
                "aux": { "Tag": tag, "Digest": digest.to_string(), "Size": size },
            }),
        ],
        (_, None, _) => vec![json!({ "status": status })],
    }
}

/// One event of a load; of these only the bytes taken in are told.
pub(crate) fn load_line(event: &PullEvent) -> Option<Value> {
    match (event.id(), event.progress()) {
        (Some(id), Some(progress)) => Some(counted("Loading layer", id, progress)),
        _ => None,
    }
}

fn counted(status: &str, id: &str, (current, total): (u64, u64)) -> Value {
    if current == 0 && total == 0 {
        return json!({ "status": status, "progressDetail": {}, "id": id });
    }
    let mut detail = json!({ "current": current });
    if let (Value::Object(detail), true) = (&mut detail, total > 0) {
        detail.insert("total".to_owned(), total.into());
    }
    json!({ "status": status, "progressDetail": detail, "progress": bar(current, total, true), "id": id })
}

/// An error after the stream has begun.
pub(crate) fn error_line(message: &str) -> Value {
    json!({ "errorDetail": { "message": message }, "error": message })
}

/// `[====>    ]  3.2MB/30MB`, or without the bar where there is little room.
pub fn bar(current: u64, total: u64, wide: bool) -> String {
    if total == 0 {
        return format!("{:>8}", size(current));
    }
    let done = (current.saturating_mul(100).checked_div(total).unwrap_or(0) / 2).min(WIDTH);
    let numbers = if current > total {
        format!("{:>8}", size(current))
    } else {
        format!("{:>8}/{}", size(current), size(total))
    };
    if !wide {
        return numbers;
    }
    let filled = "=".repeat(usize::try_from(done).unwrap_or(0));
    let open = " ".repeat(usize::try_from(WIDTH.saturating_sub(done)).unwrap_or(0));
    format!("[{filled}>{open}] {numbers}")
}

/// A size in decimal units with four significant digits, as go-units' `HumanSize` writes it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    while value >= 1000.0 {
        let Some(next) = unit.next() else { break };
        name = next;
        value /= 1000.0;
    }
    let decimals = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let digits = format!("{value:.decimals$}");
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    format!("{digits}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_opens_with_the_repository_and_the_tag() {
        let event = PullEvent::Pulling {
            repository: "library/alpine".into(),
            tag: "latest".into(),
        };
        assert_eq!(
            pull_line(&event),
            json!({ "status": "Pulling from library/alpine", "id": "latest" })
        );
    }

    #[test]
    fn a_layer_tells_its_bytes_and_a_bar() {
        let event = PullEvent::Downloading {
            id: "abc".into(),
            current: 5_000_000,
            total: 10_000_000,
        };
        let line = pull_line(&event);
        assert_eq!(
            line["progressDetail"],
            json!({ "current": 5_000_000, "total": 10_000_000 })
        );
        let bar = "[=========================>                         ]      5MB/10MB";
        assert_eq!(line["progress"], bar);
    }

    #[test]
    fn a_layer_of_unknown_length_has_no_bar() {
        assert_eq!(bar(1_234_567, 0, true), " 1.235MB");
    }

    #[test]
    fn more_than_the_whole_is_told_without_a_total() {
        assert!(bar(20, 10, true).ends_with("     20B"));
    }

    #[test]
    fn a_push_names_its_repository_and_ends_with_the_digest_for_people_and_for_programs() {
        let begun = PushEvent::Refers {
            repository: "docker.io/library/x".into(),
        };
        assert_eq!(
            push_lines(&begun),
            [json!({ "status": "The push refers to repository [docker.io/library/x]" })]
        );
        let prepared = PushEvent::Preparing { id: "abc".into() };
        assert_eq!(
            push_lines(&prepared),
            [json!({ "status": "Preparing", "progressDetail": {}, "id": "abc" })]
        );
        let digest = format!("sha256:{}", "0".repeat(64));
        let tagged = PushEvent::Tagged {
            tag: "latest".into(),
            digest: digest.parse().unwrap(),
            size: 527,
        };
        assert_eq!(
            push_lines(&tagged),
            [
                json!({ "status": format!("latest: digest: {digest} size: 527") }),
                json!({ "progressDetail": {}, "aux": { "Tag": "latest", "Digest": digest, "Size": 527 } }),
            ]
        );
    }

    #[test]
    fn layer_states_have_an_empty_detail() {
        let line = pull_line(&PullEvent::AlreadyExists { id: "abc".into() });
        assert_eq!(
            line,
            json!({ "status": "Already exists", "progressDetail": {}, "id": "abc" })
        );
    }
}
