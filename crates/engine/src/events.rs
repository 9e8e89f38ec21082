//! Docker's events (moby `daemon/events`): a bounded history and a broadcast.
//!
//! A reader that falls behind by more than [`BACKLOG`] events loses the oldest of them and nobody else
//! is slowed down.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard_stubs::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use tokio::sync::{broadcast, mpsc};

use crate::error::Result;
use crate::filters::Filters;
use crate::lock::LockExt;
use crate::time;

/// Events that `since` can reach back to, as in Docker.
const HISTORY: usize = 256;
/// Events that a reader may lag behind.
const BACKLOG: usize = 16384;

const KNOWN_FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// The engine's events.
#[derive(Debug)]
pub(crate) struct Events {
    history: Mutex<VecDeque<Arc<EventMessage>>>,
    sender: broadcast::Sender<Arc<EventMessage>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            history: Mutex::default(),
            sender: broadcast::channel(BACKLOG).0,
        }
    }
}

impl Events {
    /// Tells everybody who listens.
    pub(crate) fn publish(
        &self,
        typ: EventMessageTypeEnum,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: HashMap<String, String>,
    ) {
        let now = time::now();
        let event = Arc::new(EventMessage {
            typ: Some(typ),
            action: Some(action.into()),
            actor: Some(EventActor {
                id: Some(id.into()),
                attributes: Some(attributes),
            }),
            scope: Some(EventMessageScopeEnum::LOCAL),
            time: Some(now / 1_000_000_000),
            time_nano: Some(now),
        });
        // Sent under the lock: a new reader's history and its first live event have no gap between them.
        let mut history = self.history.locked();
        if history.len() >= HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        let _ = self.sender.send(event);
    }

    /// Readers that listen now.
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// History from `since` and live events until `until`, both nanoseconds since the Unix epoch.
    pub(crate) fn subscribe(
        &self,
        since: Option<i64>,
        until: Option<i64>,
        filters: &Filters,
    ) -> Result<mpsc::Receiver<EventMessage>> {
        filters.only(KNOWN_FILTERS)?;
        let filters = filters.clone();
        let (sender, receiver) = mpsc::channel(64);
        let (past, mut live) = {
            let history = self.history.locked();
            let past: Vec<Arc<EventMessage>> = match since {
                None if until.is_none() => Vec::new(),
                since => history
                    .iter()
                    .filter(|event| in_range(event, since, until))
                    .cloned()
                    .collect(),
            };
            (past, self.sender.subscribe())
        };
        tokio::spawn(async move {
            for event in past.into_iter().filter(|event| matches(event, &filters)) {
                if sender.send(event.as_ref().clone()).await.is_err() {
                    return;
                }
            }
            let deadline = async {
                match until {
                    None => std::future::pending().await,
                    Some(until) => {
                        let left = u64::try_from(until.saturating_sub(time::now())).unwrap_or(0);
                        tokio::time::sleep(Duration::from_nanos(left)).await;
                    }
                }
            };
            tokio::pin!(deadline);
            loop {
                let event = tokio::select! {
                    event = live.recv() => event,
                    () = &mut deadline => return,
                    () = sender.closed() => return,
                };
                match event {
                    Ok(event) if matches(&event, &filters) && in_range(&event, since, until) => {
                        if sender.send(event.as_ref().clone()).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        Ok(receiver)
    }
}

fn in_range(event: &EventMessage, since: Option<i64>, until: Option<i64>) -> bool {
    let time = event.time_nano.unwrap_or_default();
    since.is_none_or(|since| time >= since) && until.is_none_or(|until| time <= until)
}

fn matches(event: &EventMessage, filters: &Filters) -> bool {
    let typ = event.typ.as_ref().map(ToString::to_string).unwrap_or_default();
    let action = event.action.as_deref().unwrap_or_default();
    let id = event
        .actor
        .as_ref()
        .and_then(|actor| actor.id.as_deref())
        .unwrap_or_default();
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let attribute = |name: &str| {
        attributes
            .and_then(|attributes| attributes.get(name))
            .map(String::as_str)
    };
    let object = |filter: &str| {
        filters.any(filter, |wanted| {
            typ == filter && (id == wanted || id.starts_with(wanted) || attribute("name") == Some(wanted))
        })
    };
    let image = filters.any("image", |wanted| {
        let name = if typ == "image" {
            Some(id)
        } else {
            attribute("image")
        };
        name == Some(wanted)
            || name.and_then(|name| name.split(':').next()) == Some(wanted)
            || (typ == "image" && attribute("name") == Some(wanted))
    });
    filters.any("type", |wanted| wanted == typ)
        && filters.any("event", |wanted| {
            // `exec_create` means every `exec_create: CMD`.
            wanted == action
                || action
                    .strip_prefix(wanted)
                    .is_some_and(|rest| rest.starts_with(':'))
        })
        && filters.any("scope", |wanted| wanted == "local")
        && [
            "container",
            "network",
            "volume",
            "plugin",
            "daemon",
            "service",
            "node",
            "secret",
            "config",
        ]
        .iter()
        .all(|filter| object(filter))
        && image
        && filters.labels_match("label", attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container_event(events: &Events, action: &str, name: &str) {
        let attributes = HashMap::from([
            ("name".to_owned(), name.to_owned()),
            ("image".to_owned(), "alpine:latest".to_owned()),
        ]);
        events.publish(EventMessageTypeEnum::CONTAINER, action, "abc123", attributes);
    }

    async fn actions(mut receiver: mpsc::Receiver<EventMessage>) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(event) = receiver.recv().await {
            actions.push(event.action.unwrap());
        }
        actions
    }

    #[tokio::test]
    async fn since_replays_the_history_and_until_ends_it() {
        let events = Events::default();
        container_event(&events, "create", "a");
        container_event(&events, "start", "a");
        let receiver = events
            .subscribe(Some(0), Some(time::now()), &Filters::default())
            .unwrap();
        assert_eq!(actions(receiver).await, ["create", "start"]);
    }

    #[tokio::test]
    async fn the_history_is_bounded() {
        let events = Events::default();
        for _ in 0..HISTORY + 10 {
            container_event(&events, "create", "a");
        }
        let receiver = events
            .subscribe(Some(0), Some(time::now()), &Filters::default())
            .unwrap();
        assert_eq!(actions(receiver).await.len(), HISTORY);
    }

    #[tokio::test]
    async fn filters_of_different_names_all_have_to_match() {
        let events = Events::default();
        container_event(&events, "start", "a");
        container_event(&events, "start", "b");
        container_event(&events, "exec_create: ls", "a");
        let mut filters = Filters::default();
        filters.insert("container", "a");
        filters.insert("event", "exec_create");
        filters.insert("type", "container");
        filters.insert("image", "alpine");
        let receiver = events.subscribe(Some(0), Some(time::now()), &filters).unwrap();
        assert_eq!(actions(receiver).await, ["exec_create: ls"]);
    }

    #[tokio::test]
    async fn live_events_reach_a_reader_without_since() {
        let events = Events::default();
        container_event(&events, "create", "a");
        let mut receiver = events.subscribe(None, None, &Filters::default()).unwrap();
        container_event(&events, "start", "a");
        assert_eq!(receiver.recv().await.unwrap().action.unwrap(), "start");
    }
}
