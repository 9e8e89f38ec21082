//! `search` (docker/cli `cli/command/registry/search.go`).

use std::cmp::Reverse;

use bollard_stubs::models::ImageSearchResponseItem;

use crate::arguments::SearchArguments;
use crate::client::{Client, Target};
use crate::commands::filters;
use crate::credentials;
use crate::failure::Result;
use crate::format::{DEFAULT_SEARCH, Listing, SEARCH_HEADER, search_row};
use crate::output::print;

/// `sampan search`.
pub(crate) async fn run(client: &Client, arguments: SearchArguments) -> Result<()> {
    let format = arguments.format.as_deref();
    let listing = Listing::new(format, DEFAULT_SEARCH)?;
    let json = format.is_some_and(|format| format == "json" || format.contains("{{json"));
    let target = Target::new(&["images", "search"])
        .with("term", &arguments.term)
        .with_some("limit", arguments.limit)
        .with_some("filters", filters(&arguments.filter)?);
    let headers = credentials::headers(&arguments.term).await;
    let mut found: Vec<ImageSearchResponseItem> = client.get_with(&target, &headers).await?;
    found.sort_by_key(|item| Reverse(item.star_count));
    let rows = found
        .iter()
        .map(|item| search_row(item, arguments.no_trunc, json));
    print(&listing.render(SEARCH_HEADER, rows)?)
}
