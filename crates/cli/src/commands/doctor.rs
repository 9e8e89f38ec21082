//! `doctor`: what is well and what is not, and what to do about it.

use engine::{Finding, Severity};
use serde_json::Value;

use crate::arguments::DoctorArguments;
use crate::client::{Client, Target};
use crate::commands::inspect;
use crate::failure::{Failure, Result};
use crate::output::{line, print};

/// `sampan doctor`. Fails when something is wrong, so that a script can ask too.
pub(crate) async fn run(client: &Client, arguments: DoctorArguments) -> Result<()> {
    let findings: Value = match client.get(&Target::new(&["sampan", "doctor"])).await {
        Ok(findings) => findings,
        // A service that cannot be reached is the first finding.
        Err(error) => serde_json::to_value([unreachable(&error.to_string())])
            .map_err(|error| Failure::new(error.to_string()))?,
    };
    if let Some(template) = inspect::template(arguments.format.as_deref())? {
        return line(&inspect::rendered(&template, &findings)?);
    }
    let findings: Vec<Finding> =
        serde_json::from_value(findings).map_err(|error| Failure::new(error.to_string()))?;
    print(&report(&findings))?;
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

fn unreachable(error: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        subject: "service".to_owned(),
        finding: error.to_owned(),
        advice:
            "run `sampan service` in a terminal to see how it starts; its log is service.log in SAMPAN_HOME"
                .to_owned(),
    }
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
        let finding = |severity, advice: &str| Finding {
            severity,
            subject: "kvm".into(),
            finding: "found".into(),
            advice: advice.into(),
        };
        let text = report(&[finding(Severity::Ok, ""), finding(Severity::Error, "do this")]);
        assert_eq!(
            text,
            "ok       kvm: found\nerror    kvm: found\n         -> do this\n"
        );
    }
}
