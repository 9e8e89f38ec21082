//! Errors as Docker sends them: a status code and `{"message": "…"}`.

use engine::{EngineError, Kind};
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::query::BadParameter;
use crate::version::Unsupported;

/// An answer that is no success.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// The answer to send.
    pub(crate) fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return body::empty(self.status);
        }
        body::json(self.status, &serde_json::json!({ "message": self.message }))
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let status = match error.status() {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::NotModified => StatusCode::NOT_MODIFIED,
            Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<BadParameter> for ApiError {
    fn from(error: BadParameter) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<Unsupported> for ApiError {
    fn from(error: Unsupported) -> Self {
        Self::bad_request(error.to_string())
    }
}

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_already_as_asked_is_304() {
        assert_eq!(
            ApiError::from(EngineError::NotModified).status,
            StatusCode::NOT_MODIFIED
        );
    }

    #[test]
    fn a_missing_container_is_404_in_the_engines_words() {
        let error = ApiError::from(EngineError::NoSuchContainer("web".into()));
        assert_eq!(
            (error.status, error.message.as_str()),
            (StatusCode::NOT_FOUND, "No such container: web")
        );
    }
}
