//! Connections: TLS with the system's root certificates (and the well-known ones where a system has none), the
//! proxies of the environment or the system, and time-outs. This computer itself is reached past every proxy, as Docker
//! reaches it: a proxy elsewhere would take `localhost` for its own. Redirects are not followed here, for what may be sent
//! along depends on where they lead.

use std::net::IpAddr;
use std::sync::Arc;

use reqwest::{ClientBuilder, Method, RequestBuilder, Url};
use rustls::{ClientConfig, RootCertStore};

use super::failure::RequestError;
use super::processor::check_tls;
use crate::config::Patience;
use crate::error::StoreError;

/// Makes connections and keeps idle ones for the next request.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    elsewhere: Clients,
    /// Past every proxy.
    loopback: Clients,
}

#[derive(Clone, Debug)]
struct Clients {
    http: reqwest::Client,
    /// Without a time-out for the answer, for that of `http` begins to run before the body is sent: whoever sends one
    /// watches how it goes.
    uploads: reqwest::Client,
}

impl Transport {
    /// Reads the root certificates and proxy settings. Blocks on file I/O.
    pub(crate) fn new(patience: &Patience) -> Result<Self, StoreError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(patience.stall)
                .http1_only()
                .user_agent(concat!("sampan/", env!("CARGO_PKG_VERSION")))
        };
        let clients = |builder: &dyn Fn() -> ClientBuilder| -> reqwest::Result<Clients> {
            let http = builder().read_timeout(patience.stall).build()?;
            let uploads = builder().build()?;
            Ok(Clients { http, uploads })
        };
        let failed = |error: reqwest::Error| StoreError::Tls(chain(&error));
        Ok(Self {
            elsewhere: clients(&builder).map_err(failed)?,
            loopback: clients(&|| builder().no_proxy()).map_err(failed)?,
        })
    }

    /// A request in the making; `upload` where it has content to send. An error where the URL needs TLS and this
    /// processor cannot do it.
    pub(super) fn request(
        &self,
        method: Method,
        url: &Url,
        upload: bool,
    ) -> Result<RequestBuilder, RequestError> {
        if url.scheme() == "https" {
            check_tls().map_err(RequestError::Down)?;
        }
        let clients = if is_loopback(url) {
            &self.loopback
        } else {
            &self.elsewhere
        };
        let http = if upload { &clients.uploads } else { &clients.http };
        Ok(http.request(method, url.clone()))
    }
}

/// Whether a URL leads to this computer.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// Whether a host, without port, is this computer.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, for the cause is what tells a person something.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
