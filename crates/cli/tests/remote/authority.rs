//! Certificates: an authority, and what it says of a server and of a client. The cryptography is the client's own.

use graviola::signing::eddsa::Ed25519SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, PKCS_ED25519, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};

struct Key {
    key: Ed25519SigningKey,
    public: [u8; 32],
}

impl Key {
    fn new() -> Self {
        let key = Ed25519SigningKey::generate().unwrap();
        let public = key.public_key().as_bytes();
        Self { key, public }
    }

    fn der(&self) -> Vec<u8> {
        let mut buffer = [0; 256];
        self.key.to_pkcs8_der(&mut buffer).unwrap().to_vec()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).to_vec())
    }
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Identity {
    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

/// Whom a certificate comes from.
pub(crate) struct Authority {
    issuer: Issuer<'static, Key>,
    pub(crate) certificate: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = Key::new();
        let mut parameters = parameters(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        }
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate for these hosts; for a client there are none.
    pub(crate) fn certify(&self, name: &str, hosts: &[&str]) -> Identity {
        let key = Key::new();
        let certificate = parameters(name, hosts).signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().to_vec(),
            key: key.der(),
        }
    }
}

fn parameters(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    // Without cryptography of its own the library makes up neither.
    parameters.serial_number = Some(SerialNumber::from(1u64));
    parameters.key_identifier_method = KeyIdMethod::PreSpecified(name.as_bytes().to_vec());
    parameters
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
