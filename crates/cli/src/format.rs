//! How lists are shown: a Go template for each row, aligned in columns, with Docker's own units.

mod containers;
mod images;
mod listing;
pub(crate) mod table;
pub(crate) mod units;

pub(crate) use containers::{CONTAINER_HEADER, DEFAULT_CONTAINERS, container_row, quote as quoted};
pub(crate) use images::{DEFAULT_IMAGES, DEFAULT_IMAGES_WITH_DIGEST, IMAGE_HEADER, image_rows};
pub(crate) use listing::{Header, Listing};
