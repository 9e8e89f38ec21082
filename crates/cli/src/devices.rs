//! `--gpus` and `--device-cgroup-rule` as the API takes them (docker/cli `opts/gpus.go`, `cli/command/container/opts.go`).

use std::collections::HashMap;

use bollard_stubs::models::DeviceRequest;

use crate::values;

type Result<T> = std::result::Result<T, String>;

/// One `--gpus`: `all`, a number, or fields such as `device=0,driver=nvidia`.
pub(crate) fn gpus(text: &str) -> Result<DeviceRequest> {
    let mut request = DeviceRequest {
        driver: Some(String::new()),
        ..DeviceRequest::default()
    };
    let mut seen: Vec<String> = Vec::new();
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if seen.iter().any(|known| known == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match (key, value) {
            (number, None) => {
                seen.push("count".to_owned());
                request.count = Some(count(number)?);
            }
            ("driver", Some(value)) => request.driver = Some(value.to_owned()),
            ("count", Some(value)) => request.count = Some(count(value)?),
            ("device", Some(value)) => request.device_ids = Some(list(value)),
            ("capabilities", Some(value)) => {
                let mut capabilities = list(value);
                capabilities.push("gpu".to_owned());
                request.capabilities = Some(vec![capabilities]);
            }
            ("options", Some(value)) => {
                let options = fields(value);
                let options: HashMap<String, String> =
                    options.iter().map(|option| values::split(option, '=')).collect();
                request.options = Some(options);
            }
            (key, Some(_)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|key| key == "count") && request.device_ids.is_none() {
        request.count = Some(1);
    }
    request
        .capabilities
        .get_or_insert_with(|| vec![vec!["gpu".to_owned()]]);
    Ok(request)
}

fn count(text: &str) -> Result<i64> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse().map_err(|_| {
        format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")
    })
}

/// The fields of a line of comma-separated values: a comma inside quotation marks belongs to its field.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => {
                if let Some(last) = fields.last_mut() {
                    last.push(letter);
                }
            }
        }
    }
    fields
}

/// One `--device-cgroup-rule`: `c 42:* rmw`. What its numbers mean is the engine's to say.
pub(crate) fn cgroup_rule(text: &str) -> Result<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let number =
        |text: &str| text == "*" || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let good = match words.as_slice() {
        [kind, numbers, access] => {
            matches!(*kind, "a" | "b" | "c")
                && numbers
                    .split_once(':')
                    .is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|byte| b"rwm".contains(&byte))
        }
        _ => false,
    };
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("invalid device cgroup format '{text}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_named_or_all() {
        let all = gpus("all").unwrap();
        assert_eq!(
            (all.count, all.capabilities),
            (Some(-1), Some(vec![vec!["gpu".to_owned()]]))
        );
        assert_eq!(gpus("2").unwrap().count, Some(2));
        let named = gpus("\"device=0,1\",driver=nvidia,capabilities=compute").unwrap();
        assert_eq!(named.device_ids.unwrap(), ["0", "1"]);
        assert_eq!((named.driver.as_deref(), named.count), (Some("nvidia"), None));
        assert_eq!(named.capabilities.unwrap(), [["compute", "gpu"]]);
    }

    #[test]
    fn a_request_that_is_not_understood_is_refused_in_dockers_words() {
        assert_eq!(
            gpus("driver=a,driver=b").unwrap_err(),
            "gpu request key 'driver' can be specified only once"
        );
        assert_eq!(gpus("x=1").unwrap_err(), "unexpected key 'x' in 'x=1'");
        assert!(gpus("many").unwrap_err().starts_with("invalid count (many)"));
    }

    #[test]
    fn a_device_rule_has_a_kind_numbers_and_access() {
        assert!(cgroup_rule("c 42:* rmw").is_ok());
        for bad in ["c 42 rwm", "c 42:x r", "d 1:1 r", "c 1:1 rwmr", "c 1:1 r "] {
            assert_eq!(
                cgroup_rule(bad).unwrap_err(),
                format!("invalid device cgroup format '{bad}'")
            );
        }
    }
}
