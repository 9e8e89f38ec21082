//! `version`, with the reason why the server is what it is, and `info`.

use serde_json::{Value, json};

use crate::arguments::FormatArguments;
use crate::client::{Client, Target};
use crate::commands::inspect;
use crate::explain::{self, Server};
use crate::failure::Result;
use crate::format::{table, units};
use crate::output::{line, print, tell};
use crate::sys;
use crate::template::Template;

/// docker/cli's own layout (`cli/command/system/version.go`).
const LAYOUT: &str = "\
{{with .Client}}Client:{{if .Platform}} {{.Platform.Name}}{{end}}
 Version:\t{{.Version}}
 API version:\t{{.ApiVersion}}
 OS/Arch:\t{{.Os}}/{{.Arch}}
 Context:\t{{.Context}}
{{- end}}
{{- with .Server}}

Server:{{with .Platform}}{{with .Name}} {{.}}{{end}}{{end}}
{{- range $component := .Components}}
 {{$component.Name}}:
  {{- if eq $component.Name \"Engine\"}}
  Version:\t{{.Version}}
  API version:\t{{index .Details \"ApiVersion\"}} (minimum version {{index .Details \"MinAPIVersion\"}})
  OS/Arch:\t{{index .Details \"Os\"}}/{{index .Details \"Arch\"}}
  {{- else}}
  Version:\t{{.Version}}
  {{- $details := .Details}}
  {{- range $key := getDetailsOrder $component}}
  {{$key}}:\t{{index $details $key}}
  {{- end}}
  {{- end}}
{{- end}}
{{- end}}
";

/// `sampan version`.
pub(crate) async fn run(client: &Client, arguments: FormatArguments) -> Result<()> {
    let template = inspect::template(arguments.format.as_deref())?;
    let server = client.get::<Value>(&Target::new(&["version"])).await;
    let mut versions = json!({
        "Client": {
            "Version": env!("CARGO_PKG_VERSION"),
            "ApiVersion": api::ApiVersion::NEWEST.to_string(),
            "DefaultAPIVersion": api::ApiVersion::NEWEST.to_string(),
            "Os": sys::OS,
            "Arch": engine::Architecture::of_host().map(engine::Architecture::docker_name),
            "Context": client.host().context,
        },
        "Server": null,
    });
    let mut failure = None;
    match (server, versions.get_mut("Server")) {
        (Ok(mut version), Some(place)) => {
            complete(&mut version);
            *place = version;
        }
        (Err(error), _) => failure = Some(error),
        _ => {}
    }
    match template {
        Some(template) => line(&inspect::rendered(&template, &versions)?)?,
        None => {
            let layout =
                Template::parse(LAYOUT).map_err(|error| crate::failure::Failure::new(error.to_string()))?;
            print(&table::align(
                &inspect::rendered(&layout, &versions)?,
                table::VERSION,
            ))?;
            // What it says of the laptop is about this one.
            if failure.is_none()
                && client.host().is_here()
                && let Ok(server) = Server::ask(client).await
            {
                line(&format!("\n{}", explain::why(&server)))?;
            }
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// An engine of another make may tell no components.
fn complete(version: &mut Value) {
    let text = |name: &str| {
        version
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let engine = json!({
        "Name": "Engine",
        "Version": text("Version"),
        "Details": {
            "ApiVersion": text("ApiVersion"),
            "MinAPIVersion": text("MinAPIVersion"),
            "Os": text("Os"),
            "Arch": text("Arch"),
        },
    });
    if let Some(members) = version.as_object_mut() {
        let components = members.entry("Components").or_insert_with(|| json!([]));
        if let Some(components) = components.as_array_mut()
            && !components
                .iter()
                .any(|component| component.get("Name") == Some(&json!("Engine")))
        {
            components.insert(0, engine);
        }
    }
}

/// `sampan info`.
pub(crate) async fn info(client: &Client, arguments: FormatArguments) -> Result<()> {
    let info: Value = client.get(&Target::new(&["info"])).await?;
    if let Some(template) = inspect::template(arguments.format.as_deref())? {
        return line(&inspect::rendered(&template, &info)?);
    }
    print(&overview(&client.host().context, &info))?;
    for warning in info
        .get("Warnings")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        tell(warning.as_str().unwrap_or_default());
    }
    Ok(())
}

/// The lines of `info`; what the engine does not tell has no line.
fn overview(context: &str, info: &Value) -> String {
    let mut text = format!(
        "Client:\n Version:    {}\n Context:    {context}\n\nServer:\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut add = |indent: usize, name: &str, value: String| {
        if !value.is_empty() && value != "null" {
            text.push_str(&format!("{:indent$}{name}: {value}\n", ""));
        }
    };
    let shown = |name: &str| match info.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => String::new(),
    };
    for (indent, label, name) in [
        (1, "Containers", "Containers"),
        (2, "Running", "ContainersRunning"),
        (2, "Paused", "ContainersPaused"),
        (2, "Stopped", "ContainersStopped"),
        (1, "Images", "Images"),
        (1, "Server Version", "ServerVersion"),
        (1, "Storage Driver", "Driver"),
    ] {
        add(indent, label, shown(name));
    }
    for pair in info
        .get("DriverStatus")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |index: usize| pair.get(index).and_then(Value::as_str).unwrap_or_default();
        add(2, part(0), part(1).to_owned());
    }
    for (label, name) in [
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Default Runtime", "DefaultRuntime"),
        ("Init Binary", "InitBinary"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        add(1, label, shown(name));
    }
    let memory = info.get("MemTotal").and_then(Value::as_i64).unwrap_or(0);
    add(1, "Total Memory", units::binary_size(memory));
    for (label, name) in [
        ("Name", "Name"),
        ("ID", "ID"),
        ("Docker Root Dir", "DockerRootDir"),
        ("HTTP Proxy", "HttpProxy"),
        ("HTTPS Proxy", "HttpsProxy"),
        ("No Proxy", "NoProxy"),
    ] {
        add(1, label, shown(name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_are_told_in_dockers_blocks() {
        let versions = json!({
            "Client": { "Version": "0.1.0", "ApiVersion": "1.51", "Os": "darwin", "Arch": "arm64", "Context": "default" },
            "Server": { "Platform": { "Name": "sampan" }, "Components": [
                { "Name": "Engine", "Version": "0.1.0", "Details": {
                    "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "arm64" } },
                { "Name": "kernel", "Version": "6.12.1", "Details": { "Machine": "KVM" } },
            ] },
        });
        let layout = Template::parse(LAYOUT).unwrap();
        let text = table::align(&layout.render(&versions).unwrap(), table::VERSION);
        assert_eq!(
            text,
            "Client:\n Version:           0.1.0\n API version:       1.51\n OS/Arch:           darwin/arm64\n \
             Context:           default\n\nServer: sampan\n Engine:\n  Version:          0.1.0\n  API version:      \
             1.51 (minimum version 1.24)\n  OS/Arch:          linux/arm64\n kernel:\n  Version:          6.12.1\n  \
             Machine:          KVM\n"
        );
    }

    #[test]
    fn an_engine_without_components_gets_one() {
        let mut version = json!({ "Version": "20", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64" });
        complete(&mut version);
        assert_eq!(version["Components"][0]["Details"]["ApiVersion"], "1.41");
    }
}
