//! The capabilities of a container (capabilities(7); moby `oci/caps`): Docker's default set, `--cap-add`,
//! `--cap-drop` and `--privileged`.

use protocol::CAPABILITIES;

use crate::error::{EngineError, Result};

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The names, in upper case without `CAP_`, that a container gets.
pub(crate) fn resolve(privileged: bool, add: &[String], drop: &[String]) -> Result<Vec<String>> {
    if privileged {
        return Ok(owned(&CAPABILITIES));
    }
    let add = normal("CapAdd", add)?;
    let drop = normal("CapDrop", drop)?;
    let contains = |list: &[String], name: &str| list.iter().any(|known| known == name);
    let mut capabilities: Vec<String> = if contains(&add, "ALL") {
        owned(&CAPABILITIES)
            .into_iter()
            .filter(|name| !contains(&drop, name))
            .collect()
    } else if contains(&drop, "ALL") {
        Vec::new()
    } else {
        owned(&DEFAULT)
            .into_iter()
            .filter(|name| !contains(&drop, name))
            .collect()
    };
    for name in add {
        if name != "ALL" && !contains(&capabilities, &name) {
            capabilities.push(name);
        }
    }
    Ok(capabilities)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn normal(field: &str, names: &[String]) -> Result<Vec<String>> {
    names
        .iter()
        .map(|given| {
            let upper = given.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if name == "ALL" || CAPABILITIES.contains(&name) {
                Ok(name.to_owned())
            } else {
                Err(EngineError::BadRequest(format!(
                    "invalid {field}: unknown capability: \"{given}\""
                )))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(add: &[&str], drop: &[&str]) -> Vec<String> {
        resolve(false, &owned(add), &owned(drop)).unwrap()
    }

    #[test]
    fn nothing_asked_is_dockers_default() {
        assert_eq!(resolved(&[], &[]), owned(&DEFAULT));
    }

    #[test]
    fn one_is_added_and_one_dropped() {
        let capabilities = resolved(&["net_admin", "CAP_SYS_TIME"], &["CAP_NET_RAW"]);
        assert!(
            capabilities.contains(&"NET_ADMIN".to_owned()) && capabilities.contains(&"SYS_TIME".to_owned())
        );
        assert!(!capabilities.contains(&"NET_RAW".to_owned()));
    }

    #[test]
    fn all_dropped_leaves_what_is_added() {
        assert_eq!(resolved(&["CHOWN"], &["ALL"]), ["CHOWN"]);
    }

    #[test]
    fn all_added_less_what_is_dropped() {
        let capabilities = resolved(&["ALL"], &["SYS_ADMIN"]);
        assert_eq!(capabilities.len(), CAPABILITIES.len() - 1);
        assert!(!capabilities.contains(&"SYS_ADMIN".to_owned()));
    }

    #[test]
    fn privileged_has_everything() {
        assert_eq!(
            resolve(true, &[], &owned(&["ALL"])).unwrap().len(),
            CAPABILITIES.len()
        );
    }

    #[test]
    fn an_unknown_one_is_named() {
        let error = resolve(false, &owned(&["FLY"]), &[]).unwrap_err().to_string();
        assert_eq!(error, "invalid CapAdd: unknown capability: \"FLY\"");
    }
}
