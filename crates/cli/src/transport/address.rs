//! Addresses of engines: `unix://`, `npipe://`, `tcp://` and `ssh://` (docker/cli `opts/hosts.go`,
//! `cli/connhelper/ssh`). They come from flags, the environment and files, and a host or user name goes on to `ssh`.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::sys;

/// The longest address, in bytes.
const LONGEST: usize = 4096;
/// What a shell would not take for a part of a word. `ssh` gives host and user to commands of its configuration.
const NOT_IN_NAMES: &str = "'`\"\\;&<>|(){}$*?#!~";

/// Why an address is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("invalid bind address format: {0}")]
    Format(String),
    #[error("parse {address:?}: {reason}")]
    Url { address: String, reason: String },
    #[error("ssh host connection is not valid: invalid SSH URL: {0}")]
    Ssh(String),
    #[error("the address is longer than {LONGEST} bytes")]
    Long,
}

/// An engine's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket or pipe, by its path.
    Local(PathBuf),
    /// A socket or pipe of the kind that another operating system has.
    Elsewhere(String),
    Tcp(TcpAddress),
    Ssh(SshAddress),
}

/// `tcp://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpAddress {
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// What all paths of the API begin with; empty, or a path without a slash at its end.
    pub(super) base: String,
}

/// `ssh://[user@]host[:port][/path/of/the.sock]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshAddress {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The engine's socket on the other side, where it is not the default one.
    pub(super) path: Option<String>,
}

impl Address {
    /// An address without a scheme is one of TCP.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError::Long);
        }
        let unknown = || AddressError::Format(text.to_owned());
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" | "npipe" if rest.is_empty() => Err(unknown()),
            "unix" | "npipe" => {
                Ok(sys::parse_address(text).map_or_else(|| Self::Elsewhere(text.to_owned()), Self::Local))
            }
            "tcp" if !text.is_empty() => tcp(rest).map(Self::Tcp),
            "ssh" => ssh(text).map(Self::Ssh),
            _ => Err(unknown()),
        }
    }
}

fn tcp(rest: &str) -> Result<TcpAddress, AddressError> {
    // Without a host it is this computer's own.
    let host = if rest.is_empty() || rest.starts_with([':', '/']) {
        "localhost"
    } else {
        ""
    };
    let address = format!("tcp://{host}{rest}");
    let url = parse(&address)?;
    let format = || AddressError::Format(address.clone());
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(format());
    }
    Ok(TcpAddress {
        host: host_of(&url).ok_or_else(format)?,
        port: url.port(),
        base: url.path().trim_end_matches('/').to_owned(),
    })
}

fn ssh(address: &str) -> Result<SshAddress, AddressError> {
    let fault = |text: String| Err(AddressError::Ssh(text));
    if address
        .strip_prefix("ssh://")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    {
        return fault("hostname is empty".to_owned());
    }
    let url = parse(address)?;
    if url.password().is_some() {
        return fault("plain-text password is not supported".to_owned());
    }
    if let Some(query) = url.query() {
        return fault(format!("query parameters are not allowed: {query:?}"));
    }
    if let Some(fragment) = url.fragment() {
        return fault(format!("fragments are not allowed: {fragment:?}"));
    }
    let Some(host) = host_of(&url) else {
        return fault("hostname contains invalid characters".to_owned());
    };
    let user = decoded(url.username()).filter(|user| is_name(user));
    let path = decoded(url.path()).filter(|path| !path.contains(char::is_control));
    let (Some(path), true) = (path, user.is_some() || url.username().is_empty()) else {
        return fault(format!("{address:?} has characters that no user or path has"));
    };
    Ok(SshAddress {
        user,
        host,
        port: url.port(),
        path: Some(path).filter(|path| !path.trim_matches('/').is_empty()),
    })
}

fn parse(address: &str) -> Result<Url, AddressError> {
    Url::parse(address).map_err(|error| AddressError::Url {
        address: address.to_owned(),
        reason: error.to_string(),
    })
}

fn host_of(url: &Url) -> Option<String> {
    match url.host()? {
        url::Host::Ipv4(ip) => Some(ip.to_string()),
        url::Host::Ipv6(ip) => Some(ip.to_string()),
        url::Host::Domain(name) => decoded(name).filter(|name| is_name(name)),
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// Whether this can be a host's or a user's name.
fn is_name(text: &str) -> bool {
    let strange = |char: char| char.is_control() || char.is_whitespace() || NOT_IN_NAMES.contains(char);
    !text.is_empty() && !text.starts_with('-') && !text.contains(strange)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn tcp_address(host: &str, port: Option<u16>, base: &str) -> Address {
        Address::Tcp(TcpAddress {
            host: host.to_owned(),
            port,
            base: base.to_owned(),
        })
    }

    #[rstest]
    #[case("tcp://far.example:1234", tcp_address("far.example", Some(1234), ""))]
    #[case("tcp://10.0.0.1", tcp_address("10.0.0.1", None, ""))]
    #[case("tcp://[::1]:2375/", tcp_address("::1", Some(2375), ""))]
    #[case("tcp://proxy:80/engines/one/", tcp_address("proxy", Some(80), "/engines/one"))]
    #[case("tcp://", tcp_address("localhost", None, ""))]
    #[case("tcp://:99", tcp_address("localhost", Some(99), ""))]
    #[case("127.0.0.1:2375", tcp_address("127.0.0.1", Some(2375), ""))]
    fn a_tcp_address_has_a_host_and_perhaps_a_port_and_a_path(#[case] text: &str, #[case] address: Address) {
        assert_eq!(Address::parse(text), Ok(address));
    }

    #[rstest]
    #[case("ssh://far", None, "far", None, None)]
    #[case("ssh://me@far:22", Some("me"), "far", Some(22), None)]
    #[case("ssh://me@far/", Some("me"), "far", None, None)]
    #[case(
        "ssh://far/run/my%20engine.sock",
        None,
        "far",
        None,
        Some("/run/my engine.sock")
    )]
    fn an_ssh_address_has_a_host_and_perhaps_a_user_a_port_and_a_socket(
        #[case] text: &str,
        #[case] user: Option<&str>,
        #[case] host: &str,
        #[case] port: Option<u16>,
        #[case] path: Option<&str>,
    ) {
        let address = SshAddress {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            path: path.map(str::to_owned),
        };
        assert_eq!(Address::parse(text), Ok(Address::Ssh(address)));
    }

    #[rstest]
    #[case("foo://x", "invalid bind address format: foo://x")]
    #[case("", "invalid bind address format: ")]
    #[case("unix://", "invalid bind address format: unix://")]
    #[case(
        "ssh://",
        "ssh host connection is not valid: invalid SSH URL: hostname is empty"
    )]
    #[case(
        "ssh://me:secret@far",
        "ssh host connection is not valid: invalid SSH URL: plain-text password is not supported"
    )]
    #[case(
        "ssh://far?x=y",
        "ssh host connection is not valid: invalid SSH URL: query parameters are not allowed: \"x=y\""
    )]
    #[case(
        "ssh://far#x",
        "ssh host connection is not valid: invalid SSH URL: fragments are not allowed: \"x\""
    )]
    fn what_is_no_address_is_refused_in_dockers_words(#[case] text: &str, #[case] message: &str) {
        assert_eq!(Address::parse(text).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case("ssh://-oProxyCommand=x")]
    #[case("ssh://-l@far")]
    #[case("ssh://a%20b")]
    #[case("ssh://far%60id%60")]
    #[case("ssh://a%24b@far")]
    #[case("ssh://far/a%0ab")]
    #[case("ssh://far:65536")]
    fn a_name_that_would_be_more_than_a_name_to_ssh_or_a_shell_is_refused(#[case] text: &str) {
        assert!(Address::parse(text).is_err());
    }

    #[test]
    fn the_sockets_of_this_system_and_of_the_other_are_told_apart() {
        let (here, there) = if cfg!(windows) {
            ("npipe:////./pipe/x", "unix:///x")
        } else {
            ("unix:///x", "npipe:////./pipe/x")
        };
        assert!(matches!(Address::parse(here), Ok(Address::Local(_))));
        assert_eq!(Address::parse(there), Ok(Address::Elsewhere(there.to_owned())));
    }

    proptest! {
        #[test]
        fn no_user_or_host_has_a_character_that_a_shell_takes_for_its_own(text in "ssh://[ -~]{0,40}") {
            if let Ok(Address::Ssh(address)) = Address::parse(&text) {
                let names = format!("{}{}", address.user.unwrap_or_default(), address.host);
                let harmless = names.chars().all(|char| char.is_alphanumeric() || "._-+@%:,/=[]^".contains(char));
                prop_assert!(harmless, "{names}");
            }
        }
    }
}
