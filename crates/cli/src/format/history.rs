//! The rows of `history` (docker/cli `cli/command/image/formatter_history.go`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard_stubs::models::ImageHistoryResponseItem;
use serde_json::{Value, json};

use super::containers::{ellipsis, short};
use super::{Header, date, units};

pub(crate) const DEFAULT_HISTORY: &str =
    "table {{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
pub(crate) const DEFAULT_HISTORY_EXACT: &str =
    "table {{.ID}}\\t{{.CreatedAt}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";

pub(crate) const HISTORY_HEADER: &Header = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// One step's fields.
pub(crate) fn history_row(
    step: &ImageHistoryResponseItem,
    full: bool,
    human: bool,
    now: SystemTime,
) -> Value {
    let created = UNIX_EPOCH + Duration::from_secs(u64::try_from(step.created).unwrap_or_default());
    let since = units::duration(now.duration_since(created).unwrap_or_default());
    let by = step.created_by.replace('\t', " ");
    json!({
        "ID": if full { step.id.as_str() } else { short(&step.id) },
        "CreatedSince": if step.created > 0 { format!("{since} ago") } else { "N/A".to_owned() },
        "CreatedAt": date(step.created),
        "CreatedBy": if full { by } else { ellipsis(&by, 45) },
        "Size": if human { units::size(step.size) } else { step.size.to_string() },
        "Comment": step.comment,
    })
}
