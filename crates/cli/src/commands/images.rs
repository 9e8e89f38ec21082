//! Commands about images.

use std::io::IsTerminal;

use bollard_stubs::models::ImageDeleteResponseItem;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use crate::arguments::{
    CommitArguments, ImportArguments, LoadArguments, PullArguments, PushArguments, RmiArguments,
    SaveArguments, TagArguments,
};
use crate::client::{Client, ClientError, Target};
use crate::commands::{Several, files};
use crate::credentials;
use crate::failure::{Failure, Result};
use crate::output::line;
use crate::progress::{self, To};
use crate::reference;

/// Bytes of an archive read at once.
const READ: usize = 256 << 10;

/// Pulls an image, told on `to` or not at all.
pub(crate) async fn fetch(
    client: &Client,
    image: &str,
    platform: Option<&str>,
    to: Option<To>,
) -> Result<(), ClientError> {
    let parts = reference::parts(image);
    let tag = parts.digest.or(parts.tag).unwrap_or("latest");
    fetch_tag(client, image, Some(tag), platform, to).await
}

/// Pulls the image of a tag or digest, or without one those of all tags.
async fn fetch_tag(
    client: &Client,
    image: &str,
    tag: Option<&str>,
    platform: Option<&str>,
    to: Option<To>,
) -> Result<(), ClientError> {
    let target = Target::new(&["images", "create"])
        .with("fromImage", reference::parts(image).repository)
        .with_some("tag", tag)
        .with_some("platform", platform);
    let headers = credentials::headers(image).await;
    let body = client.post_stream(&target, &headers).await?;
    let shown = match to {
        Some(to) => progress::show(body, to).await,
        None => progress::quietly(body).await,
    };
    shown.map_err(|failure| ClientError::Progress(failure.message))
}

/// `sampan pull`.
pub(crate) async fn pull(client: &Client, arguments: PullArguments) -> Result<()> {
    let image = &arguments.image;
    let parts = reference::parts(image);
    let to = (!arguments.quiet).then_some(To::Stdout);
    if arguments.all_tags {
        if parts.tag.is_some() || parts.digest.is_some() {
            return Err(Failure::new("tag can't be used with --all-tags/-a"));
        }
        fetch_tag(client, image, None, arguments.platform.as_deref(), to).await?;
        return line(reference::parts(&reference::in_full(image)).repository);
    }
    if parts.tag.is_none() && parts.digest.is_none() && !arguments.quiet {
        line("Using default tag: latest")?;
    }
    fetch(client, image, arguments.platform.as_deref(), to).await?;
    line(&reference::in_full(image))
}

/// `sampan push`.
pub(crate) async fn push(client: &Client, arguments: PushArguments) -> Result<()> {
    let image = &arguments.image;
    let parts = reference::parts(image);
    if arguments.all_tags && (parts.tag.is_some() || parts.digest.is_some()) {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if parts.digest.is_some() {
        return Err(Failure::new("cannot push a digest reference: give a tag instead"));
    }
    // Without a tag, the engine pushes all of them.
    let tag = (!arguments.all_tags).then(|| parts.tag.unwrap_or("latest"));
    if parts.tag.is_none() && !arguments.all_tags && !arguments.quiet {
        line("Using default tag: latest")?;
    }
    let target = Target::new(&["images", parts.repository, "push"])
        .with_some("tag", tag)
        .with_some("platform", arguments.platform.as_deref().map(platform_object));
    let headers = credentials::headers_of_push(image).await;
    let body = client.post_stream(&target, &headers).await?;
    if arguments.quiet {
        progress::quietly(body).await?;
        let name = reference::in_full(image);
        let name = if arguments.all_tags {
            reference::parts(&name).repository
        } else {
            &name
        };
        return line(name);
    }
    progress::show(body, To::Stdout).await
}

/// `linux/arm/v7` as the object that Docker's engine takes here; what is no platform is left to the engine to refuse.
fn platform_object(text: &str) -> String {
    let mut parts = text.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), None) => json!({ "os": os, "architecture": architecture }).to_string(),
        (Some(os), Some(architecture), Some(variant)) => {
            json!({ "os": os, "architecture": architecture, "variant": variant }).to_string()
        }
        _ => text.to_owned(),
    }
}

/// The request, for these platforms alone if there are any.
fn for_platforms(target: Target, name: &'static str, platforms: &[String]) -> Target {
    platforms.iter().fold(target, |target, platform| {
        target.with(name, platform_object(platform))
    })
}

/// `sampan rmi`.
pub(crate) async fn remove(client: &Client, arguments: RmiArguments) -> Result<()> {
    let mut several = Several::default();
    for image in &arguments.images {
        let target = Target::new(&["images", image])
            .with_flag("force", arguments.force)
            .with_flag("noprune", arguments.no_prune);
        let target = for_platforms(target, "platforms", &arguments.platform);
        match client.delete(&target).await {
            Ok(body) => {
                let items: Vec<ImageDeleteResponseItem> = serde_json::from_slice(&body)
                    .map_err(|error| Failure::new(ClientError::Answer(error.to_string()).to_string()))?;
                for item in items {
                    if let Some(id) = item.deleted.filter(|id| !id.is_empty()) {
                        line(&format!("Deleted: {id}"))?;
                    }
                    if let Some(name) = item.untagged.filter(|name| !name.is_empty()) {
                        line(&format!("Untagged: {name}"))?;
                    }
                }
            }
            Err(error) => several.note(&error),
        }
    }
    several.done()
}

/// `sampan tag`.
pub(crate) async fn tag(client: &Client, arguments: TagArguments) -> Result<()> {
    let parts = reference::parts(&arguments.target);
    if parts.digest.is_some() {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let target = Target::new(&["images", &arguments.source, "tag"])
        .with("repo", parts.repository)
        .with("tag", parts.tag.unwrap_or("latest"));
    client.post(&target).await?;
    Ok(())
}

/// `sampan load`.
pub(crate) async fn load(client: &Client, arguments: LoadArguments) -> Result<()> {
    let target = Target::new(&["images", "load"])
        .with_flag("quiet", arguments.quiet || !std::io::stdout().is_terminal());
    let target = for_platforms(target, "platform", &arguments.platform);
    let body = match &arguments.input {
        Some(path) => {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|error| Failure::new(format!("open {}: {error}", path.display())))?;
            client
                .post_archive(&target, ReaderStream::with_capacity(file, READ))
                .await?
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        None => {
            client
                .post_archive(&target, ReaderStream::with_capacity(tokio::io::stdin(), READ))
                .await?
        }
    };
    progress::show(body, To::Stdout).await
}

/// `sampan save`.
pub(crate) async fn save(client: &Client, arguments: SaveArguments) -> Result<()> {
    if arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let mut target = Target::new(&["images", "get"]);
    for image in &arguments.images {
        target = target.with("names", image);
    }
    let target = for_platforms(target, "platform", &arguments.platform);
    let body = client.get_stream(&target).await?;
    files::write_out(body, arguments.output.as_deref(), "failed to save image").await
}

/// `sampan commit`.
pub(crate) async fn commit(client: &Client, arguments: CommitArguments) -> Result<()> {
    let mut target = Target::new(&["commit"])
        .with("container", &arguments.container)
        .with_some("author", arguments.author)
        .with_some("comment", arguments.message)
        .with("pause", u8::from(arguments.pause));
    if let Some(image) = &arguments.image {
        let parts = reference::parts(image);
        target = target
            .with("repo", parts.repository)
            .with("tag", parts.tag.unwrap_or("latest"));
    }
    for change in &arguments.change {
        target = target.with("changes", change);
    }
    let made: Value = client.post_json(&target, &Value::Null).await?;
    line(made.get("Id").and_then(Value::as_str).unwrap_or_default())
}

/// `sampan import`.
pub(crate) async fn import(client: &Client, arguments: ImportArguments) -> Result<()> {
    let mut target = Target::new(&["images", "create"])
        .with("fromSrc", "-")
        .with_some("message", arguments.message)
        .with_some("platform", arguments.platform);
    if let Some(image) = &arguments.image {
        let parts = reference::parts(image);
        target = target
            .with("repo", parts.repository)
            .with("tag", parts.tag.unwrap_or("latest"));
    }
    for change in &arguments.change {
        target = target.with("changes", change);
    }
    let body = if arguments.file.as_os_str() == "-" {
        client
            .post_archive(&target, ReaderStream::with_capacity(tokio::io::stdin(), READ))
            .await?
    } else {
        let path = &arguments.file;
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|error| Failure::new(format!("open {}: {error}", path.display())))?;
        client
            .post_archive(&target, ReaderStream::with_capacity(file, READ))
            .await?
    };
    progress::show(body, To::Stdout).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("linux/arm64", r#"{"architecture":"arm64","os":"linux"}"#)]
    #[case("linux/arm/v7", r#"{"architecture":"arm","os":"linux","variant":"v7"}"#)]
    #[case("riscv64", "riscv64")]
    fn a_platform_is_given_as_an_object(#[case] text: &str, #[case] sent: &str) {
        assert_eq!(platform_object(text), sent);
    }
}
