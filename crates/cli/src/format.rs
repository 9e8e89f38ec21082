//! How lists are shown: a Go template for each row, aligned in columns, with Docker's own units.

mod containers;
mod contexts;
mod history;
mod images;
mod listing;
mod networks;
mod search;
pub(crate) mod table;
pub(crate) mod units;
mod volumes;

use std::collections::HashMap;

pub(crate) use containers::{CONTAINER_HEADER, DEFAULT_CONTAINERS, container_row, quote as quoted};
pub(crate) use contexts::{CONTEXT_HEADER, DEFAULT_CONTEXTS, ListedContext, context_row};
pub(crate) use history::{DEFAULT_HISTORY, DEFAULT_HISTORY_EXACT, HISTORY_HEADER, history_row};
pub(crate) use images::{DEFAULT_IMAGES, DEFAULT_IMAGES_WITH_DIGEST, IMAGE_HEADER, image_rows};
pub(crate) use listing::{Header, Listing};
pub(crate) use networks::{DEFAULT_NETWORKS, NETWORK_HEADER, network_row};
pub(crate) use search::{DEFAULT_SEARCH, SEARCH_HEADER, search_row};
pub(crate) use volumes::{DEFAULT_VOLUMES, VOLUME_HEADER, volume_row};

use containers::date;

/// Labels as a list shows them.
fn labels(labels: &HashMap<String, String>) -> String {
    let mut labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.sort_unstable();
    labels.join(",")
}
