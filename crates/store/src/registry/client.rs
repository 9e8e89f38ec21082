//! Which hosts serve a reference, and what their answers mean to a person.

use reqwest::{StatusCode, Url};

use super::Step;
use super::content::Content;
use super::failure::{Refusal, RequestError};
use super::session::{Access, Session};
use super::tags;
use super::transport::{Transport, is_loopback_host};
use super::upload::{Upload, has_blob};
use crate::config::{Credentials, StoreConfig};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::manifest::ACCEPT;
use crate::reference::Reference;

/// The host behind the default domain.
pub(super) const DOCKER_HUB: &str = "registry-1.docker.io";

/// A manifest or config with its verified digest.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) content_type: String,
}

/// Fetches the content of one repository from its mirrors and its registry, or brings content to the registry.
pub(crate) struct Client<'a> {
    reference: &'a Reference,
    access: Access,
    sessions: Vec<Session>,
    config: &'a StoreConfig,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        transport: &Transport,
        config: &'a StoreConfig,
        reference: &'a Reference,
        access: Access,
        credentials: Option<&Credentials>,
    ) -> Result<Self, StoreError> {
        let path = reference.path();
        let session = |base: &str, credentials: Option<&Credentials>| {
            let base = format!("{}/v2/{path}/", base.trim_end_matches('/'));
            let url = Url::parse(&base).map_err(|error| StoreError::invalid(base, error))?;
            let transport = transport.clone();
            Ok::<_, StoreError>(Session::new(
                transport,
                url,
                path,
                access,
                credentials.cloned(),
                config.patience,
            ))
        };
        let mut sessions = Vec::new();
        for mirror in config
            .mirrors
            .iter()
            // A mirror takes nothing in.
            .filter(|mirror| access == Access::Pull && mirror.domain == reference.domain())
        {
            for url in &mirror.urls {
                let host = Url::parse(url)
                    .ok()
                    .and_then(|url| Some(url.host_str()?.to_owned()));
                let plain = url.starts_with("http://");
                let host = host.unwrap_or_default();
                if plain
                    && !is_loopback_host(&host)
                    && !is_insecure(config, url.trim_start_matches("http://"))
                {
                    return Err(StoreError::PlainHttp(url.clone()));
                }
                // The credentials are the registry's, not the mirror's.
                sessions.push(session(url, None)?);
            }
        }
        let domain = reference.domain();
        let host = if domain == "docker.io" { DOCKER_HUB } else { domain };
        for base in bases(config, host) {
            sessions.push(session(&base, credentials)?);
        }
        Ok(Self {
            reference,
            access,
            sessions,
            config,
        })
    }

    /// The manifest or index of the reference, and the host that gave it.
    pub(crate) async fn resolve(&self) -> Result<(Fetched, &Session), StoreError> {
        let wanted = self.reference.digest();
        let path = match (wanted, self.reference.tag()) {
            (Some(digest), _) => format!("manifests/{digest}"),
            (None, tag) => format!("manifests/{}", tag.unwrap_or("latest")),
        };
        let mut first_error = None;
        for (number, session) in self.sessions.iter().enumerate() {
            match self.manifest(session, &path, wanted).await {
                Ok(fetched) => return Ok((fetched, session)),
                Err(error) => {
                    if self.has_last_word(number, error, &mut first_error) {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| StoreError::ManifestUnknown(self.reference.familiar())))
    }

    /// The tags of the repository.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, StoreError> {
        let mut first_error = None;
        for (number, session) in self.sessions.iter().enumerate() {
            match tags::list(session, self.config.limits.manifest).await {
                Ok(tags) => return Ok(tags),
                Err(error) => {
                    if self.has_last_word(number, error, &mut first_error) {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| StoreError::ManifestUnknown(self.reference.familiar())))
    }

    /// Whether the error of the host of this number is the one to tell, so that no other is asked. What is kept to be
    /// told is in `first_error`.
    fn has_last_word(
        &self,
        number: usize,
        error: RequestError,
        first_error: &mut Option<StoreError>,
    ) -> bool {
        let last = self.sessions.len().saturating_sub(1);
        let (error, spoke) = self.explain(error);
        tracing::debug!(%error, "a host does not serve {}", self.reference);
        // The registry itself has the last word; of its plain and TLS sides, the one that spoke.
        if spoke || (first_error.is_none() && number + 1 >= last) {
            *first_error = Some(error);
        }
        spoke && number + 2 > last
    }

    /// A manifest of the same repository by its digest.
    pub(crate) async fn manifest_by_digest(
        &self,
        session: &Session,
        digest: &Digest,
    ) -> Result<Fetched, StoreError> {
        let path = format!("manifests/{digest}");
        let fetched = self.manifest(session, &path, Some(digest)).await;
        fetched.map_err(|error| self.explain(error).0)
    }

    /// A small blob, whole.
    pub(crate) async fn blob(
        &self,
        session: &Session,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let url = self.blob_url(session, digest)?;
        let (_, bytes) = session
            .get(&url, &[], limit)
            .await
            .map_err(|error| self.explain(error).0)?;
        check(self.reference, digest, &bytes)?;
        Ok(bytes)
    }

    /// Where a blob is.
    pub(crate) fn blob_url(&self, session: &Session, digest: &Digest) -> Result<Url, StoreError> {
        session.url(&format!("blobs/{digest}"))
    }

    /// The side of the registry that answers, plain or TLS. The credentials have been tried there when this returns.
    pub(crate) async fn answering(&self) -> Result<&Session, StoreError> {
        let mut last = StoreError::ManifestUnknown(self.reference.familiar());
        for session in &self.sessions {
            let url = session.url("/v2/")?;
            match session.get(&url, &[], self.config.limits.manifest).await {
                Ok(_) => return Ok(session),
                Err(error) => {
                    let (error, spoke) = self.explain(error);
                    if spoke {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Whether the repository has a blob already.
    pub(crate) async fn has_blob(&self, session: &Session, digest: &Digest) -> Result<bool, StoreError> {
        has_blob(session, digest, &self.config.patience)
            .await
            .map_err(|error| self.explain(error).0)
    }

    /// Brings a blob to the repository.
    pub(crate) async fn put_blob(
        &self,
        session: &Session,
        digest: &Digest,
        content: &Content<'_>,
        tell: impl FnMut(Step),
    ) -> Result<(), StoreError> {
        self.upload(session, digest, content)
            .blob(tell)
            .await
            .map_err(|error| self.explain(error).0)
    }

    /// Brings a manifest to the repository, where all that it names is.
    pub(crate) async fn put_manifest(
        &self,
        session: &Session,
        (tag, digest): (&str, &Digest),
        media_type: &str,
        content: &Content<'_>,
    ) -> Result<(), StoreError> {
        self.upload(session, digest, content)
            .manifest(tag, media_type)
            .await
            .map_err(|error| self.explain(error).0)
    }

    fn upload<'u>(&self, session: &'u Session, digest: &'u Digest, content: &'u Content<'u>) -> Upload<'u> {
        Upload {
            session,
            content,
            digest,
            patience: self.config.patience,
        }
    }

    async fn manifest(
        &self,
        session: &Session,
        path: &str,
        wanted: Option<&Digest>,
    ) -> Result<Fetched, RequestError> {
        let url = session.url(path).map_err(RequestError::Final)?;
        let (headers, bytes) = session.get(&url, &ACCEPT, self.config.limits.manifest).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let told = text("docker-content-digest").and_then(|digest| digest.parse::<Digest>().ok());
        for digest in told.iter().chain(wanted) {
            check(self.reference, digest, &bytes).map_err(RequestError::Final)?;
        }
        let content_type = text("content-type").unwrap_or_default().to_owned();
        Ok(Fetched {
            digest: Digest::of(&bytes),
            bytes,
            content_type,
        })
    }

    /// The error to show, in Docker's words where it has them, and whether a registry really answered.
    fn explain(&self, error: RequestError) -> (StoreError, bool) {
        match error {
            RequestError::Refused(refusal) => {
                // A TLS host asked in plain HTTP answers 400 for every repository.
                let spoke = refusal.status != StatusCode::BAD_REQUEST;
                (self.refused(refusal), spoke)
            }
            RequestError::Final(error) => (error, true),
            RequestError::Passing(error, _) => {
                let spoke = matches!(error, StoreError::Registry { .. });
                (error, spoke)
            }
            RequestError::Down(error) => (error, false),
        }
    }

    fn refused(&self, refusal: Box<Refusal>) -> StoreError {
        let familiar = self.reference.familiar();
        let denied = |message: &str| {
            let code = refusal.code.to_ascii_lowercase();
            let text = if code.is_empty() {
                message.to_owned()
            } else {
                format!("{code}: {message}")
            };
            let name = self.reference.familiar_name();
            match self.access {
                Access::Pull => StoreError::AccessDenied(name, text),
                Access::Push => StoreError::PushDenied(name, text),
            }
        };
        let message = if refusal.message.is_empty() {
            "requested access to the resource is denied"
        } else {
            &refusal.message
        };
        let pulls = self.access == Access::Pull;
        match (refusal.status, refusal.code.as_str()) {
            (_, "MANIFEST_UNKNOWN") if pulls => StoreError::ManifestUnknown(familiar),
            (_, "NAME_UNKNOWN" | "DENIED" | "UNAUTHORIZED") => denied(message),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => denied(message),
            (StatusCode::NOT_FOUND, _) if pulls => StoreError::ManifestUnknown(familiar),
            _ => RequestError::Refused(refusal).into_store(),
        }
    }
}

/// Where a host is reached: without TLS too, and then first, where that may be spoken.
pub(super) fn bases(config: &StoreConfig, host: &str) -> Vec<String> {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let plain = is_loopback_host(name) || is_insecure(config, host);
    let plain = plain.then(|| format!("http://{host}"));
    plain.into_iter().chain([format!("https://{host}")]).collect()
}

fn is_insecure(config: &StoreConfig, host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    config
        .insecure_registries
        .iter()
        .any(|insecure| insecure == host || insecure == name)
}

fn check(reference: &Reference, wanted: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
    let found = Digest::of(bytes);
    if found == *wanted {
        return Ok(());
    }
    Err(StoreError::WrongDigest {
        subject: reference.familiar(),
        wanted: wanted.clone(),
        found,
    })
}
