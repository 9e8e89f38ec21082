//! TLS as Docker's client does it (docker/cli `cli/context/docker/load.go`, `cli/flags/options.go`): a certificate
//! authority of the engine's own or the system's, a certificate of the client's own, or no check of who is there.
//!
//! Rust and assembly alone, as with the registries: nothing has to be compiled by a compiler of C.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("failed to retrieve context tls info: {0} seems invalid")]
    Invalid(&'static str),
    #[error("no valid private key found")]
    NoKey,
    #[error(
        "private key is encrypted - support for encrypted private keys has been removed, see \
         https://docs.docker.com/go/deprecated/"
    )]
    EncryptedKey,
    #[error("failed to retrieve context tls info: {0}")]
    Refused(rustls::Error),
    #[error("{0:?} is no name that a certificate could be for")]
    Name(String),
    #[error(
        "this processor lacks instructions that sampan's TLS is made of; reach the engine at ssh:// instead"
    )]
    Processor,
}

/// What a TLS connection broke on.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    #[error("tls: failed to verify certificate: {}", certificate(.0))]
    Certificate(CertificateError),
    #[error(
        "the server probably has client authentication (--tlsverify) enabled; check your TLS client certification \
         settings: remote error: tls: {0:?}"
    )]
    Alert(rustls::AlertDescription),
    #[error("tls: {0}; does the engine speak TLS at this port?")]
    Other(rustls::Error),
}

impl TlsFault {
    /// The fault that an error carries, if it is one of TLS.
    pub(crate) fn of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<Self> {
        Some(match error.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(fault) => Self::Certificate(fault.clone()),
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            other => Self::Other(other.clone()),
        })
    }
}

/// In Go's words, where there are any.
fn certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        other => format!("x509: {other}"),
    }
}

/// Certificates and a key, as they are in their files (PEM, RFC 7468).
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) cert: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
}

/// A key appears in no log.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// How an engine is spoken to by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) material: Material,
    /// Whether anybody may be there.
    pub(crate) skip_verify: bool,
}

impl TlsOptions {
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        // What is wrong with a file is told even where it would not be used.
        let trusted = self.roots()?;
        let client = self.client()?;
        if engine::check_tls().is_err() {
            return Err(TlsError::Processor);
        }
        let provider = Arc::new(rustls_graviola::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?;
        let builder = if self.skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(trusted)
        };
        let config = match client {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(TlsError::Refused)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// Whom the engine's certificate has to come from.
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.material.ca {
            Some(pem) => {
                let (added, _) = roots.add_parsable_certificates(certificates(pem, "ca.pem")?);
                if added == 0 {
                    return Err(TlsError::Invalid("ca.pem"));
                }
            }
            None if self.skip_verify => {}
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }

    /// Who this client is: nobody, unless there are both a certificate and its key.
    fn client(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let (Some(cert), Some(key)) = (&self.material.cert, &self.material.key) else {
            return Ok(None);
        };
        let chain = certificates(cert, "cert.pem")?;
        if contains(key, b"ENCRYPTED") {
            return Err(TlsError::EncryptedKey);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        Ok(Some((chain, key)))
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn certificates(pem: &[u8], file: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(TlsError::Invalid(file))
}

/// Takes every certificate, whoever it is from; that its owner is the one who speaks is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
