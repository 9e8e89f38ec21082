//! `doctor`: what is well and what is not, and what to do about it.
//!
//! The service tells what it finds of the computer, its machines and its data (`GET /sampan/doctor`); the client adds
//! what only it can see. Where no service comes up the client looks at the computer itself. `--archive` puts all of it
//! and more into a file.

mod archive;
mod client;
mod docker;
mod gather;

use engine::{Finding, Severity};
use hyper::StatusCode;
use serde_json::Value;

use crate::arguments::DoctorArguments;
use crate::client::{Client, ClientError, Target};
use crate::commands::inspect;
use crate::failure::{Failure, Result};
use crate::output::{line, print};
use crate::settings::{self, Settings};

/// `sampan doctor`. Fails when something is wrong, so that a script can ask too.
pub(crate) async fn run(client: &Client, arguments: DoctorArguments) -> Result<()> {
    if let Some(path) = &arguments.archive {
        return archive::run(client, path, arguments.force).await;
    }
    let template = inspect::template(arguments.format.as_deref())?;
    let findings = findings(client).await?;
    match template {
        Some(template) => return line(&inspect::rendered(&template, &as_json(&findings)?)?),
        None => print(&report(&findings))?,
    }
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    if wrong {
        Err(Failure {
            message: String::new(),
            code: 1,
        })
    } else {
        Ok(())
    }
}

/// Everything that client and service find.
async fn findings(client: &Client) -> Result<Vec<Finding>> {
    let asked = client
        .get::<Vec<Finding>>(&Target::new(&["sampan", "doctor"]))
        .await;
    let mut findings = client::findings(client, asked.is_ok()).await;
    match asked {
        Ok(told) => findings.extend(told),
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => findings.push(foreign(&error)),
        // A service that cannot be reached is the first finding.
        Err(error) => {
            findings.insert(0, unreachable(&error.to_string()));
            if client.host().own {
                findings.extend(computer().await);
            }
        }
    }
    Ok(findings)
}

/// What the service would have told of this computer.
async fn computer() -> Vec<Finding> {
    let config = settings::home().and_then(|home| Settings::load(&home)?.engine(home));
    match config {
        Ok(config) => engine::examine(&config).await,
        Err(failure) => vec![Finding::error(
            "settings",
            failure.message,
            "mend config.toml in SAMPAN_HOME, or move it away to begin with the defaults",
        )],
    }
}

fn foreign(error: &ClientError) -> Finding {
    Finding::warning(
        "service",
        format!("the engine that was asked is not sampan's: {error}"),
        "only sampan's own service can be examined: leave out --host, SAMPAN_HOST and DOCKER_HOST",
    )
}

fn unreachable(error: &str) -> Finding {
    Finding::error(
        "service",
        error,
        "run `sampan service` in a terminal to see how it starts; its log is service.log in SAMPAN_HOME",
    )
}

fn as_json(findings: &[Finding]) -> Result<Value> {
    serde_json::to_value(findings).map_err(|error| Failure::new(error.to_string()))
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding {
        severity,
        subject,
        finding,
        advice,
    } in findings
    {
        let mark = match severity {
            Severity::Ok => "ok     ",
            Severity::Warning => "warning",
            Severity::Error => "error  ",
        };
        text.push_str(&format!("{mark}  {subject}: {finding}\n"));
        if !advice.is_empty() {
            text.push_str(&format!("         -> {advice}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_followed_by_what_to_do() {
        let findings = [
            Finding::ok("kvm", "found"),
            Finding::error("kvm", "found", "do this"),
        ];
        assert_eq!(
            report(&findings),
            "ok       kvm: found\nerror    kvm: found\n         -> do this\n"
        );
    }

    #[test]
    fn findings_are_told_to_programs_under_the_same_names() {
        let told = as_json(&[Finding::warning("DNS", "lost", "look")]).unwrap();
        let expected = serde_json::json!([
            { "severity": "warning", "subject": "DNS", "finding": "lost", "advice": "look" }
        ]);
        assert_eq!(told, expected);
    }
}
