//! `tcp://` with TLS, as Docker's documentation sets it up: an authority, a certificate of the engine's, and one of the
//! client's that the engine asks for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::{Authority, Identity};
use crate::engine::{self, CODE, VERSION};
use crate::person::Person;

/// An engine that lets in whom `authority` certified, and shows a certificate for 127.0.0.1.
fn start(authority: &Authority) -> SocketAddr {
    serve(authority, &authority.certify("engine", &["127.0.0.1"]))
}

fn serve(authority: &Authority, identity: &Identity) -> SocketAddr {
    let provider = Arc::new(rustls_graviola::default_provider());
    let mut clients = RootCertStore::empty();
    clients
        .add(CertificateDer::from(authority.certificate.clone()))
        .unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from(identity.certificate.clone())],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone())),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    engine::at_port(move |stream| accept(acceptor.clone(), stream)).0
}

async fn accept(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut stream)) => {
            // What the client sent meanwhile is read, or the reset would overtake the alert.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            Err(error)
        }
    }
}

/// A person with an authority's certificate and one of their own, in the folder that Docker has for them.
fn certified(authority: &Authority) -> Person {
    let person = Person::new();
    person.file("certs/ca.pem", authority.pem());
    let identity = authority.certify("person", &[]);
    person.file("certs/cert.pem", identity.certificate_pem());
    person.file("certs/key.pem", identity.key_pem());
    person
}

const ASK: [&str; 3] = ["version", "--format", "{{.Server.Version}}"];

fn ask(person: &Person, environment: &[(&str, &str)], flags: &[&str]) -> crate::person::Output {
    person.run(environment, &[flags, &ASK].concat(), "")
}

#[test]
fn an_engine_behind_tls_is_reached_by_dockers_variables_and_by_its_flags() {
    let authority = Authority::new("authority");
    let address = format!("tcp://{}", start(&authority));
    let person = certified(&authority);
    let certs = person.path("certs");
    let variables = [
        ("DOCKER_HOST", address.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
    ];
    assert_eq!(ask(&person, &variables, &[]).ok(), VERSION);
    let flags = [
        "-H",
        &address,
        "--tlsverify",
        "--tlscacert",
        "certs/ca.pem",
        "--tlscert",
        "certs/cert.pem",
        "--tlskey",
        "certs/key.pem",
    ];
    assert_eq!(ask(&person, &[], &flags).ok(), VERSION);
}

#[test]
fn a_context_has_the_tls_of_its_own() {
    let authority = Authority::new("authority");
    let address = start(&authority);
    let person = certified(&authority);
    let endpoint = format!("host=tcp://{address},ca=certs/ca.pem,cert=certs/cert.pem,key=certs/key.pem");
    person
        .sampan(&["context", "create", "far", "--docker", &endpoint])
        .ok();
    // The files were copied.
    std::fs::remove_dir_all(person.path("certs")).unwrap();
    assert_eq!(ask(&person, &[], &["-c", "far"]).ok(), VERSION);
    assert_eq!(ask(&person, &[("DOCKER_CONTEXT", "far")], &[]).ok(), VERSION);
    // An exported context has them too.
    person.sampan(&["context", "export", "far", "far.tar"]).ok();
    person.sampan(&["context", "import", "again", "far.tar"]).ok();
    assert_eq!(ask(&person, &[], &["-c", "again"]).ok(), VERSION);
}

#[test]
fn the_end_of_the_input_leaves_the_output_open_behind_tls_too() {
    let authority = Authority::new("authority");
    let address = format!("tcp://{}", start(&authority));
    let person = certified(&authority);
    let certs = person.path("certs");
    let variables = [
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
    ];
    let input = "hello\n".repeat(100_000);
    let output = person.run(&variables, &["-H", &address, "exec", "-i", "web", "cat"], &input);
    assert_eq!(output.code, Some(CODE), "{}", output.stderr);
    assert!(
        output.stdout == input,
        "{} bytes came back of {}",
        output.stdout.len(),
        input.len()
    );
}

#[test]
fn an_engine_that_another_authority_certified_is_not_spoken_to() {
    let address = format!("tcp://{}", start(&Authority::new("its own")));
    let person = certified(&Authority::new("another"));
    let certs = person.path("certs");
    let variables = [
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
    ];
    assert_eq!(
        ask(&person, &variables, &["-H", &address]).stderr.trim_end(),
        "error during connect: tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
}

#[test]
fn an_engine_whose_certificate_is_for_another_host_is_not_spoken_to() {
    let authority = Authority::new("authority");
    let address = serve(&authority, &authority.certify("engine", &["far.example"]));
    let person = certified(&authority);
    let certs = person.path("certs");
    let variables = [
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
    ];
    let output = ask(&person, &variables, &["-H", &format!("tcp://{address}")]);
    assert!(
        output
            .fault()
            .contains("tls: failed to verify certificate: x509: "),
        "{output:?}"
    );
    // Whoever says so talks to anybody.
    let output = ask(
        &person,
        &[("DOCKER_CERT_PATH", certs.to_str().unwrap())],
        &["-H", &format!("tcp://{address}"), "--tls"],
    );
    assert_eq!(output.ok(), VERSION);
}

#[test]
fn a_client_without_a_certificate_is_told_that_the_engine_asks_for_one() {
    let authority = Authority::new("authority");
    let address = format!("tcp://{}", start(&authority));
    let person = certified(&authority);
    let stranger = certified(&Authority::new("another"));
    person.file("strange/ca.pem", authority.pem());
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(
            stranger.path(&format!("certs/{file}")),
            person.path(&format!("strange/{file}")),
        )
        .unwrap();
    }
    person.file("nobody/ca.pem", authority.pem());
    for folder in ["nobody", "strange"] {
        let certs = person.path(folder);
        let variables = [
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
        ];
        let output = ask(&person, &variables, &["-H", &address]);
        assert!(
            output.fault().starts_with(
                "error during connect: the server probably has client authentication (--tlsverify) enabled; check \
                 your TLS client certification settings: remote error: tls: "
            ),
            "{output:?}"
        );
    }
}

#[test]
fn files_that_are_no_certificates_and_keys_are_told_in_dockers_words() {
    let authority = Authority::new("authority");
    let person = certified(&authority);
    let create = |key: &str, file: &str| {
        let endpoint =
            format!("host=tcp://far:1,ca=certs/ca.pem,cert=certs/cert.pem,key=certs/key.pem,{key}={file}");
        person
            .sampan(&["context", "create", "far", "--docker", &endpoint])
            .fault()
            .to_owned()
    };
    let prefix = "unable to create docker endpoint config:";
    assert_eq!(
        create("ca", "nowhere"),
        format!("{prefix} open nowhere: no such file or directory")
    );
    assert_eq!(
        create("ca", "certs/key.pem"),
        format!(
            "{prefix} invalid docker endpoint options: failed to retrieve context tls info: ca.pem seems invalid"
        )
    );
    assert_eq!(
        create("key", "certs/cert.pem"),
        format!("{prefix} invalid docker endpoint options: no valid private key found")
    );
    person.file(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert!(create("key", "locked.pem").contains("private key is encrypted"));
}

#[test]
fn a_port_without_tls_is_told_as_one() {
    let authority = Authority::new("authority");
    let person = certified(&authority);
    let certs = person.path("certs");
    let (address, _) = engine::at_port(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        Err::<TcpStream, _>(io::ErrorKind::Other.into())
    });
    let variables = [
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certs.to_str().unwrap()),
    ];
    let output = ask(&person, &variables, &["-H", &format!("tcp://{address}")]);
    assert!(
        output.fault().contains("does the engine speak TLS at this port?"),
        "{output:?}"
    );
    let tls = format!("tcp://{}", start(&authority));
    let output = ask(&person, &[], &["-H", &tls]);
    assert!(
        output
            .fault()
            .contains("* Are you trying to connect to a TLS-enabled daemon without TLS?"),
        "{output:?}"
    );
}
