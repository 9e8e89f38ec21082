//! The way to registries: their names, and the proxies before them.
//!
//! Without a network images that are here still run, so nothing of this is an error. A name is looked up by the system,
//! which may take as long as it likes: each look-up has a thread of its own that nobody waits for beyond [`PATIENCE`],
//! not even the end of the service.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::future::join_all;
use store::Proxies;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::config::EngineConfig;
use crate::types::Finding;

/// How long a name or a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names that are looked up at most.
const MOST_NAMES: usize = 16;

pub(super) async fn findings(config: &EngineConfig) -> Vec<Finding> {
    let proxies = Proxies::from_environment();
    let mut findings = settings(&proxies);
    let addresses = proxies.addresses();
    let (connections, names) = tokio::join!(
        join_all(addresses.iter().map(|(host, port)| connection(host, *port))),
        names(config, &proxies)
    );
    findings.extend(connections);
    findings.extend(names);
    findings
}

/// What the proxies of the environment are, and what is wrong with how they are written.
fn settings(proxies: &Proxies) -> Vec<Finding> {
    let masked = proxies.masked();
    let told = [
        ("HTTP_PROXY", &masked.http),
        ("HTTPS_PROXY", &masked.https),
        ("NO_PROXY", &masked.no),
    ];
    let told = told.into_iter();
    let told: Vec<String> = told
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_deref()?)))
        .collect();
    let text = if told.is_empty() {
        "none; registries are reached directly".to_owned()
    } else {
        format!("the service pulls with {}", told.join(" "))
    };
    let flaws = proxies.flaws();
    if flaws.is_empty() {
        return vec![Finding::ok("proxy", text)];
    }
    flaws
        .into_iter()
        .map(|flaw| {
            Finding::warning(
                "proxy",
                flaw,
                "it is passed over: write it as http://host:port, then `sampan service stop` lets the next command \
                 start a service that knows it",
            )
        })
        .collect()
}

/// Whether a proxy takes connections.
async fn connection(host: &str, port: u16) -> Finding {
    let connect = async {
        let addresses = look_up(host, port).await?;
        TcpStream::connect(addresses.as_slice()).await.map(drop)
    };
    let connected = tokio::time::timeout(PATIENCE, connect).await;
    connection_of(host, port, connected.unwrap_or_else(|_| Err(silent())))
}

fn connection_of(host: &str, port: u16, connected: io::Result<()>) -> Finding {
    match connected {
        Ok(()) => Finding::ok("proxy", format!("{host}:{port} takes connections")),
        Err(error) => Finding::warning(
            "proxy",
            format!("{host}:{port} cannot be reached: {error}"),
            "start the proxy or join its network; or unset HTTP_PROXY and HTTPS_PROXY and `sampan service stop`, so \
             that the next command starts a service without them",
        ),
    }
}

async fn names(config: &EngineConfig, proxies: &Proxies) -> Vec<Finding> {
    if proxies.https.is_some() {
        return vec![Finding::ok("DNS", "the proxy looks the names of registries up")];
    }
    let mut hosts = store::hosts(&config.store());
    hosts.truncate(MOST_NAMES);
    if hosts.is_empty() {
        return vec![Finding::ok(
            "DNS",
            "no registry has a name that has to be looked up",
        )];
    }
    join_all(hosts.iter().map(|host| async move {
        let found = tokio::time::timeout(PATIENCE, look_up(host, 443)).await;
        name_of(host, found.unwrap_or_else(|_| Err(silent())))
    }))
    .await
}

fn name_of(host: &str, found: io::Result<Vec<SocketAddr>>) -> Finding {
    match found.map(|addresses| addresses.first().map(SocketAddr::ip)) {
        Ok(Some(address)) => Finding::ok("DNS", format!("{host} is {address}")),
        Ok(None) => unknown(host, "it has no address"),
        Err(error) => unknown(host, &error.to_string()),
    }
}

fn unknown(host: &str, reason: &str) -> Finding {
    Finding::warning(
        "DNS",
        format!("{host} is not found: {reason}"),
        "check the network, the VPN and the computer's name servers; images that are here run without it",
    )
}

fn silent() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {} seconds", PATIENCE.as_secs()),
    )
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    apart(move || Ok((name.as_str(), port).to_socket_addrs()?.collect())).await
}

/// Does what blocks on a thread that ends whenever it ends.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    std::thread::Builder::new()
        .name("look-up".to_owned())
        .spawn(move || sender.send(work()))?;
    done.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Severity;

    fn with(https: &str, no: Option<&str>) -> Vec<Finding> {
        settings(&Proxies {
            http: None,
            https: Some(https.to_owned()),
            no: no.map(str::to_owned),
        })
    }

    #[test]
    fn a_proxy_is_told_without_its_password() {
        let findings = with("http://me:secret@proxy:3128", Some("corp"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Ok);
        assert_eq!(
            findings[0].finding,
            "the service pulls with HTTPS_PROXY=http://xxxxx:xxxxx@proxy:3128 NO_PROXY=corp"
        );
        assert!(settings(&Proxies::default())[0].finding.starts_with("none"));
    }

    #[test]
    fn each_flaw_of_a_proxy_is_a_warning() {
        let findings = with("socks5://proxy:1080", Some("*.corp"));
        let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Warning]);
        assert!(findings[1].finding.contains("*.corp"), "{findings:?}");
    }

    #[tokio::test]
    async fn a_proxy_that_nobody_serves_is_a_warning() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connection("127.0.0.1", port).await.severity, Severity::Ok);
        drop(listener);
        let refused = connection("127.0.0.1", port).await;
        assert_eq!(refused.severity, Severity::Warning);
        assert!(refused.finding.contains("cannot be reached"), "{refused:?}");
    }

    #[test]
    fn a_name_that_is_not_found_is_a_warning_that_says_what_still_works() {
        let address = SocketAddr::from(([10, 0, 0, 1], 443));
        let found = name_of("registry.test", Ok(vec![address]));
        assert_eq!(found.finding, "registry.test is 10.0.0.1");
        assert_eq!(found.severity, Severity::Ok);
        for reason in [Ok(Vec::new()), Err(silent())] {
            let lost = name_of("registry.test", reason);
            assert_eq!(lost.severity, Severity::Warning);
            assert!(lost.advice.contains("images that are here run"), "{lost:?}");
        }
    }

    #[test]
    fn a_system_that_never_answers_holds_up_not_even_the_end_of_the_service() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(async {
            let stuck = apart(move || held.recv().map_err(io::Error::other));
            assert!(futures_util::FutureExt::now_or_never(stuck).is_none());
        });
        // Waits for every thread that the runtime knows of.
        drop(runtime);
        drop(hold);
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        let found = look_up("::1", 3128).await.unwrap();
        assert_eq!(found, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 3128))]);
    }
}
