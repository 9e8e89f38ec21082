//! What only the client can tell: which engine it asks and who said so, whether both are of one version, and whether
//! the service knows the proxies of this shell.

use engine::{Finding, Proxies};
use serde_json::Value;

use super::docker;
use crate::client::{Client, Target};
use crate::contexts::DEFAULT;
use crate::host::Host;

/// The client's own version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn findings(client: &Client, answers: bool) -> Vec<Finding> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let asked_by = ["SAMPAN_HOST", "DOCKER_HOST"]
        .into_iter()
        .find(|name| is_set(name));
    let mut findings = vec![engine(client.host(), asked_by)];
    if answers {
        let tell = |path: &'static str| async move { client.get::<Value>(&Target::new(&[path])).await.ok() };
        let (told, info) = (tell("version").await, tell("info").await);
        findings.push(version(
            VERSION,
            told.as_ref().and_then(|told| text(told, "Version")),
        ));
        if let Some(info) = info {
            findings.extend(proxies(&Proxies::from_environment().masked(), &of_service(&info)));
        }
    }
    if client.host().own {
        findings.push(docker::finding(&client.host().transport.address()));
    }
    findings
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str().filter(|text| !text.is_empty())
}

fn engine(host: &Host, asked_by: Option<&str>) -> Finding {
    let address = host.transport.address();
    if host.own {
        return Finding::ok("engine", format!("this user's own service at {address}"));
    }
    let (who, undo) = match asked_by {
        _ if host.context != DEFAULT => (
            format!("the context {} is chosen", host.context),
            "`sampan context use default`, or leave out --context, SAMPAN_CONTEXT and DOCKER_CONTEXT,"
                .to_owned(),
        ),
        Some(variable) => (format!("{variable} says so"), format!("`unset {variable}`")),
        None => ("--host says so".to_owned(), "leave out --host".to_owned()),
    };
    Finding::warning(
        "engine",
        format!("commands go to {address}, because {who}, and not to this user's own service"),
        format!("{undo} if that is not meant"),
    )
}

fn version(own: &str, service: Option<&str>) -> Finding {
    match service {
        Some(service) if service == own => {
            Finding::ok("version", format!("client and service are sampan {own}"))
        }
        Some(service) => Finding::warning(
            "version",
            format!("the client is sampan {own}, and the service that runs is {service}"),
            "`sampan service stop` ends it and its containers; the next command starts the service of this client",
        ),
        None => Finding::warning(
            "version",
            format!("the client is sampan {own}, and the service does not tell its version"),
            "`sampan service stop`; the next command starts the service of this client",
        ),
    }
}

fn of_service(info: &Value) -> Proxies {
    let proxy = |member| text(info, member).map(str::to_owned);
    Proxies {
        http: proxy("HttpProxy"),
        https: proxy("HttpsProxy"),
        no: proxy("NoProxy"),
    }
}

/// Proxies that the service knows otherwise than this shell; both without credentials.
fn proxies(shell: &Proxies, service: &Proxies) -> Vec<Finding> {
    let pairs = [
        ("HTTP_PROXY", &shell.http, &service.http),
        ("HTTPS_PROXY", &shell.https, &service.https),
        ("NO_PROXY", &shell.no, &service.no),
    ];
    let shown = |proxy: &Option<String>| proxy.clone().unwrap_or_else(|| "nothing".to_owned());
    pairs
        .into_iter()
        .filter(|(_, shell, service)| shell != service)
        .map(|(name, shell, service)| {
            Finding::warning(
                "proxy",
                format!(
                    "{name} is {} in this shell, and {} for the service, which pulls",
                    shown(shell),
                    shown(service)
                ),
                "the service has the environment of the command that started it: `sampan service stop` ends it and its \
                 containers, and the next command starts one with this shell's",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use engine::Severity;

    use super::*;
    use crate::transport::Transport;

    #[test]
    fn two_versions_are_a_warning_that_says_how_to_have_one() {
        assert_eq!(version("0.2.0", Some("0.2.0")).severity, Severity::Ok);
        let other = version("0.2.0", Some("0.1.0"));
        assert_eq!(other.severity, Severity::Warning);
        assert_eq!(
            other.finding,
            "the client is sampan 0.2.0, and the service that runs is 0.1.0"
        );
        assert!(other.advice.contains("`sampan service stop`"));
        assert_eq!(version("0.2.0", None).severity, Severity::Warning);
    }

    #[test]
    fn another_engine_is_told_with_who_chose_it() {
        let host = |own| Host {
            own,
            ..Host::of(Transport::Local("/run/x.sock".into()))
        };
        assert_eq!(engine(&host(true), Some("DOCKER_HOST")).severity, Severity::Ok);
        let other = engine(&host(false), Some("DOCKER_HOST"));
        assert_eq!(other.severity, Severity::Warning);
        assert!(other.finding.contains("because DOCKER_HOST says so"), "{other:?}");
        assert!(other.advice.contains("`unset DOCKER_HOST`"), "{other:?}");
        assert!(engine(&host(false), None).finding.contains("--host says so"));
    }

    #[test]
    fn a_proxy_that_the_service_does_not_know_is_told() {
        let shell = Proxies {
            https: Some("http://xxxxx:xxxxx@proxy:1".to_owned()),
            ..Proxies::default()
        };
        let info = serde_json::json!({ "HttpsProxy": "http://xxxxx:xxxxx@proxy:1", "HttpProxy": "" });
        assert_eq!(proxies(&shell, &of_service(&info)), []);
        let differing = proxies(&shell, &Proxies::default());
        assert_eq!(differing.len(), 1);
        assert_eq!(
            differing[0].finding,
            "HTTPS_PROXY is http://xxxxx:xxxxx@proxy:1 in this shell, and nothing for the service, which pulls"
        );
    }
}
