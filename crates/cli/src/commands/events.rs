//! `events`.

use std::time::SystemTime;

use serde_json::Value;

use crate::arguments::EventsArguments;
use crate::client::{Client, ClientError, Target};
use crate::commands::{filters, inspect};
use crate::failure::{Failure, Result};
use crate::output::line;
use crate::values::point_in_time;

/// `sampan events`.
pub(crate) async fn run(client: &Client, arguments: EventsArguments) -> Result<()> {
    let time = |text: &Option<String>| {
        text.as_ref()
            .map(|text| point_in_time(text, SystemTime::now()))
            .transpose()
            .map_err(Failure::new)
    };
    let template = inspect::template(arguments.format.as_deref())?;
    let target = Target::new(&["events"])
        .with_some("since", time(&arguments.since)?)
        .with_some("until", time(&arguments.until)?)
        .with_some("filters", filters(&arguments.filter)?);
    let mut lines = client.get_stream(&target).await?.lines();
    while let Some(event) = lines.next().await? {
        let event: Value =
            serde_json::from_slice(&event).map_err(|error| ClientError::Answer(error.to_string()))?;
        match &template {
            Some(template) => line(&inspect::rendered(template, &event)?)?,
            None => line(&shown(&event))?,
        }
    }
    Ok(())
}

/// `TIME TYPE ACTION ID (attribute=value, …)`.
fn shown(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| event.get(name).and_then(Value::as_i64);
    let time = number("timeNano")
        .and_then(|nanoseconds| jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok())
        .or_else(|| jiff::Timestamp::from_second(number("time")?).ok())
        .map(|time| {
            let zoned = time.to_zoned_datetime(jiff::tz::TimeZone::system());
            format!("{} ", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z"))
        });
    let actor = event.get("Actor");
    let id = actor
        .and_then(|actor| actor.get("ID")?.as_str())
        .unwrap_or_default();
    let attributes: Vec<String> = actor
        .and_then(|actor| actor.get("Attributes")?.as_object())
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    let attributes = if attributes.is_empty() {
        String::new()
    } else {
        format!(" ({})", attributes.join(", "))
    };
    format!(
        "{}{} {} {id}{attributes}",
        time.unwrap_or_default(),
        text("Type"),
        text("Action")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_attributes_in_order() {
        let event = json!({
            "Type": "container", "Action": "die",
            "Actor": { "ID": "abc", "Attributes": { "name": "web", "exitCode": "0" } },
        });
        assert_eq!(shown(&event), "container die abc (exitCode=0, name=web)");
    }
}
