//! The server's side of the opening handshake (RFC 6455, section 4.2).

use hyper::StatusCode;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::body::{self, Response};
use crate::error::ApiError;

const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A handshake that can be answered.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

/// A request that opens no WebSocket, in the words of the library that dockerd uses (golang.org/x/net/websocket).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoHandshake {
    #[error("not websocket protocol")]
    Upgrade,
    #[error("mismatch challenge/response")]
    Key,
    #[error("missing or bad WebSocket Version")]
    Version,
    #[error("missing or bad WebSocket-Protocol")]
    Protocol,
}

impl NoHandshake {
    /// The answer, with the version that would do.
    pub(crate) fn into_response(self) -> Response {
        let mut response = ApiError::bad_request(self.to_string()).into_response();
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, VERSION);
        response
    }
}

impl Handshake {
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, NoHandshake> {
        if !(lists(headers, UPGRADE, "websocket") && lists(headers, CONNECTION, "upgrade")) {
            return Err(NoHandshake::Upgrade);
        }
        let key = headers
            .get(SEC_WEBSOCKET_KEY)
            .filter(|key| !key.is_empty())
            .ok_or(NoHandshake::Key)?;
        if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(NoHandshake::Version);
        }
        let accept =
            HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| NoHandshake::Key)?;
        // No protocol is better than another here, so a client may ask for one, and not for a choice.
        let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
        if protocol
            .as_ref()
            .is_some_and(|asked| asked.as_bytes().contains(&b','))
        {
            return Err(NoHandshake::Protocol);
        }
        Ok(Self { accept, protocol })
    }

    /// The answer whose end is the beginning of the WebSocket.
    pub(crate) fn into_response(self) -> Response {
        let mut response = body::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Whether a word is in a header that lists some.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The request of RFC 6455, section 1.3, with this header in the place of its own.
    fn request(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(
            SEC_WEBSOCKET_KEY,
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn the_standards_own_example_is_accepted() {
        let handshake = Handshake::read(&request(SEC_WEBSOCKET_PROTOCOL, "chat")).unwrap();
        let response = handshake.into_response();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(
            response.headers()[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "chat");
    }

    #[rstest]
    #[case(UPGRADE, "tcp", NoHandshake::Upgrade)]
    #[case(CONNECTION, "close", NoHandshake::Upgrade)]
    #[case(SEC_WEBSOCKET_KEY, "", NoHandshake::Key)]
    #[case(SEC_WEBSOCKET_VERSION, "8", NoHandshake::Version)]
    #[case(SEC_WEBSOCKET_PROTOCOL, "chat, superchat", NoHandshake::Protocol)]
    fn a_request_that_opens_no_websocket_is_refused(
        #[case] name: HeaderName,
        #[case] value: &str,
        #[case] refused: NoHandshake,
    ) {
        assert_eq!(Handshake::read(&request(name, value)).unwrap_err(), refused);
    }

    #[test]
    fn a_refusal_names_the_version_that_is_spoken() {
        let response = NoHandshake::Version.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[SEC_WEBSOCKET_VERSION], "13");
    }
}
