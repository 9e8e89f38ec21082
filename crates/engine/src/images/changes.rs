//! Instructions that change an image's configuration (`--change` of `commit` and `import`; Dockerfile reference).

use std::collections::HashMap;

use bollard_stubs::models::ContainerConfig;

use crate::error::{EngineError, Result};

/// Applies instructions in their order.
pub(super) fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    for change in changes.iter().flat_map(|change| change.lines()) {
        let change = change.trim();
        if change.is_empty() {
            continue;
        }
        let (name, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
        let rest = rest.trim();
        match name.to_ascii_uppercase().as_str() {
            "CMD" => config.cmd = Some(command(rest)),
            "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
            "ENV" => {
                for (name, value) in pairs(rest) {
                    let env = config.env.get_or_insert_default();
                    env.retain(|known| known.split('=').next() != Some(name.as_str()));
                    env.push(format!("{name}={value}"));
                }
            }
            "EXPOSE" => {
                for port in rest.split_whitespace() {
                    let port = if port.contains('/') {
                        port.to_owned()
                    } else {
                        format!("{port}/tcp")
                    };
                    config.exposed_ports.get_or_insert_default().push(port);
                }
            }
            "LABEL" => config.labels.get_or_insert_with(HashMap::new).extend(pairs(rest)),
            "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
            "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
            "USER" => config.user = Some(rest.to_owned()),
            "VOLUME" => config.volumes.get_or_insert_default().extend(words(rest)),
            "WORKDIR" => config.working_dir = Some(rest.to_owned()),
            other => {
                return Err(EngineError::BadRequest(format!(
                    "{other} is not a valid change command"
                )));
            }
        }
    }
    Ok(())
}

/// A list as JSON, or a text for the shell.
fn command(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// A list as JSON, or words.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect())
}

/// `name=value …`, quoted or not, or the old form `name value`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return vec![(name.to_owned(), value.trim().to_owned())];
    }
    let mut pairs = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            let (name, value) = word.split_once('=').unwrap_or((word.as_str(), ""));
            pairs.push((name.to_owned(), value.to_owned()));
            word.clear();
        }
    };
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', _) => word.extend(letters.next()),
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (letter, None) if letter.is_whitespace() => end(&mut word),
            (letter, _) => word.push(letter),
        }
    }
    end(&mut word);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> ContainerConfig {
        let mut config = ContainerConfig {
            env: Some(vec!["A=old".to_owned()]),
            ..ContainerConfig::default()
        };
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply(&mut config, &changes).unwrap();
        config
    }

    #[test]
    fn instructions_change_what_they_name() {
        let config = changed(&[
            "CMD [\"ls\", \"-l\"]",
            "ENV A=new B=\"two words\"",
            "EXPOSE 80 53/udp",
            "entrypoint run it",
            "USER app",
        ]);
        assert_eq!(config.cmd.unwrap(), ["ls", "-l"]);
        assert_eq!(config.env.unwrap(), ["A=new", "B=two words"]);
        assert_eq!(config.exposed_ports.unwrap(), ["80/tcp", "53/udp"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.user.as_deref(), Some("app"));
    }

    #[test]
    fn the_old_form_of_a_variable_has_no_equals_sign() {
        assert_eq!(changed(&["ENV A many words"]).env.unwrap(), ["A=many words"]);
    }

    #[test]
    fn an_instruction_of_a_build_is_refused() {
        let error = apply(&mut ContainerConfig::default(), &["RUN ls".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "RUN is not a valid change command");
    }
}
