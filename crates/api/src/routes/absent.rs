//! Endpoints that this engine does not have: those of a swarm, which it never is part of, and those of jobs that
//! it does not do yet. Each says so in one clear error.

use hyper::{Method, StatusCode};

use super::endpoint;
use crate::error::ApiError;

const NOT_A_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                           connect this node to swarm and try again.";

/// The answer to a request that no handler takes.
pub(super) fn answer(method: &Method, segments: &[&str]) -> ApiError {
    if let (&Method::GET, Some(missing)) = (method, missing(segments)) {
        return ApiError::new(StatusCode::NOT_FOUND, missing);
    }
    let job = match segments {
        [
            "swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs",
            ..,
        ] => {
            return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, NOT_A_SWARM);
        }
        ["build", ..] | ["session"] => "build images",
        ["plugins", ..] => "manage plugins",
        _ => return ApiError::page_not_found(),
    };
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        format!("sampan cannot {job} yet ({})", endpoint(method, segments)),
    )
}

/// What to say of one plugin: `docker inspect` asks for each kind in turn and goes on after a
/// 404 alone.
fn missing(segments: &[&str]) -> Option<String> {
    match segments {
        ["plugins", name, "json"] => Some(format!("plugin {name:?} not found")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarms_endpoints_answer_as_an_engine_that_is_in_no_swarm() {
        let error = answer(&Method::GET, &["nodes"]);
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.message.starts_with("This node is not a swarm manager."));
    }

    #[test]
    fn a_job_that_is_not_done_yet_names_itself() {
        let error = answer(&Method::POST, &["build"]);
        assert_eq!(error.status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!(error.message, "sampan cannot build images yet (POST /build)");
    }

    #[test]
    fn any_other_path_is_not_found() {
        assert_eq!(answer(&Method::GET, &["nope"]).message, "page not found");
        assert_eq!(
            answer(&Method::PUT, &["containers", "json"]).status,
            StatusCode::NOT_FOUND
        );
    }
}
