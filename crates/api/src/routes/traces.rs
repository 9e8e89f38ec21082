//! What was recorded of a command whose requests asked for it (`GET /sampan/traces/{id}`).

use hyper::StatusCode;
use serde_json::json;

use super::Call;
use crate::body::{self, Response};
use crate::error::{ApiError, Result};

/// The steps in the order of their ends, and this computer's clock, so that another one can set them against its own.
pub(super) fn find(call: &Call, id: &str) -> Result<Response> {
    let unknown = || {
        let message = format!("No such trace: {id} (the service keeps the latest ones only, until it ends)");
        ApiError::new(StatusCode::NOT_FOUND, message)
    };
    let trace = id.parse().ok().and_then(|id| call.traces.find(id));
    let steps = trace.ok_or_else(unknown)?.records();
    Ok(body::json(
        StatusCode::OK,
        &json!({ "now_ns": journey::now_ns(), "steps": steps }),
    ))
}
