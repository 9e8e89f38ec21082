//! A program as its author writes it who tests with Testcontainers and knows nothing of sampan: what engine there is, the
//! environment tells (`DOCKER_HOST`). It ends well if all went as it does with Docker.

use anyhow::{Context, Result, ensure};
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

const NETWORK: &str = "suite";

#[tokio::main]
async fn main() -> Result<()> {
    let redis = redis().await.context("redis")?;
    answers(&redis).await.context("what is executed in it")?;
    copies(&redis).await.context("files")?;
    reached_by_name().await.context("from a container beside it")?;
    stops(&redis).await.context("its end")
    // It goes with its variable.
}

/// A server that was waited for. Its port is exposed, which makes the library ask for all ports to be published.
async fn redis() -> Result<ContainerAsync<GenericImage>> {
    let image = GenericImage::new("redis", "latest")
        .with_exposed_port(6379.tcp())
        .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"));
    let request = image
        .with_container_name("suite-redis")
        .with_network(NETWORK)
        .with_env_var("SUITE", "first")
        .with_label("suite", "first")
        .with_copy_to("/srv/words", b"copied before the start\n".to_vec());
    Ok(request.start().await?)
}

async fn answers(redis: &ContainerAsync<GenericImage>) -> Result<()> {
    let (output, _) = execute(redis, &["redis-cli", "set", "key", "value"], 0).await?;
    ensure!(output == "OK\n", "redis answered {output:?}");
    let (output, errors) = execute(redis, &["sh", "-c", "echo $SUITE; echo no >&2; exit 3"], 3).await?;
    ensure!(
        (output.as_str(), errors.as_str()) == ("first\n", "no\n"),
        "{output:?} and {errors:?}"
    );
    let waited = ExecCommand::new(["redis-cli", "ping"])
        .with_cmd_ready_condition(CmdWaitFor::message_on_stdout("PONG"));
    redis.exec(waited).await?;
    let logs = redis.stdout_to_vec().await?;
    let logs = String::from_utf8_lossy(&logs);
    ensure!(logs.contains("Ready to accept connections"), "it logged {logs:?}");
    Ok(())
}

/// What a command prints on its two streams; it has to end with this code.
async fn execute(
    container: &ContainerAsync<GenericImage>,
    command: &[&str],
    code: i64,
) -> Result<(String, String)> {
    let mut ran = container.exec(ExecCommand::new(command.iter().copied())).await?;
    let (output, errors) = (ran.stdout_to_vec().await?, ran.stderr_to_vec().await?);
    let ended = ran.exit_code().await?;
    ensure!(ended == Some(code), "{command:?} ended with {ended:?}");
    Ok((String::from_utf8(output)?, String::from_utf8(errors)?))
}

async fn copies(redis: &ContainerAsync<GenericImage>) -> Result<()> {
    let (output, _) = execute(redis, &["cat", "/srv/words"], 0).await?;
    ensure!(output == "copied before the start\n", "{output:?}");
    let back = redis.copy_file_from("/srv/words", Vec::new()).await?;
    ensure!(back == output.as_bytes(), "{back:?}");
    Ok(())
}

async fn reached_by_name() -> Result<()> {
    let image = GenericImage::new("redis", "latest").with_wait_for(WaitFor::message_on_stdout("value"));
    let client = image
        .with_cmd(["redis-cli", "-h", "suite-redis", "get", "key"])
        .with_network(NETWORK)
        .start()
        .await?;
    client.rm().await?;
    Ok(())
}

async fn stops(redis: &ContainerAsync<GenericImage>) -> Result<()> {
    redis.stop_with_timeout(Some(10)).await?;
    ensure!(!redis.is_running().await?, "it runs");
    ensure!(redis.exit_code().await? == Some(0));
    Ok(())
}
