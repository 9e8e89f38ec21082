//! The body of `POST /containers/create`, with the spellings that Docker accepts beside its own schema.

use bollard_stubs::models::ContainerCreateBody;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{ApiError, Result};
use crate::strict::Strict;

/// Members that may be one string instead of a list of them.
const LISTS: [&str; 4] = ["Cmd", "Entrypoint", "Shell", "OnBuild"];

/// Reads the body.
pub(crate) fn parse(bytes: &[u8]) -> Result<ContainerCreateBody> {
    let invalid = |error: serde_json::Error| ApiError::bad_request(format!("invalid JSON: {error}"));
    let mut body: Value = serde_json::from_slice(bytes).map_err(invalid)?;
    let Value::Object(members) = &mut body else {
        return Err(ApiError::bad_request(
            "config cannot be empty in order to create a container",
        ));
    };
    for name in LISTS {
        if let Some(member @ Value::String(_)) = members.get_mut(name) {
            *member = Value::Array(vec![member.take()]);
        }
    }
    let endpoints = body.pointer_mut("/NetworkingConfig/EndpointsConfig");
    for endpoint in endpoints
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        // A network without any wishes.
        if endpoint.is_null() {
            *endpoint = Value::Object(Map::new());
        }
    }
    ContainerCreateBody::deserialize(Strict(body)).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_one_string() {
        let body = parse(br#"{"Image":"a","Cmd":"ls","Entrypoint":["sh","-c"]}"#).unwrap();
        assert_eq!(body.cmd.unwrap(), ["ls"]);
        assert_eq!(body.entrypoint.unwrap(), ["sh", "-c"]);
    }

    #[test]
    fn a_network_can_be_named_with_null_for_what_is_wanted_of_it() {
        let body = parse(br#"{"NetworkingConfig":{"EndpointsConfig":{"suite":null}}}"#).unwrap();
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert!(endpoints.contains_key("suite"));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        assert!(parse(b"null").is_err() && parse(b"[1]").is_err() && parse(b"{").is_err());
    }

    #[test]
    fn a_list_in_the_place_of_an_object_is_refused() {
        for body in [
            r#"{"Image":"a","HostConfig":[]}"#,
            r#"{"Image":"a","NetworkingConfig":[]}"#,
            r#"{"Image":"a","HostConfig":{"RestartPolicy":[]}}"#,
            r#"{"Image":"a","HostConfig":{"Ulimits":[["nofile",1,1]]}}"#,
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("invalid JSON: json: cannot unmarshal array"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_the_docker_command_sends_is_read() {
        let sent = br#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
            "AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,
            "Image":"hello-world","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
            "HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},
            "NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
            "AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,
            "CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,
            "GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",
            "Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"",
            "UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,
            "CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],
            "BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,
            "CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"",
            "Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,
            "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,
            "CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,
            "ReadonlyPaths":null},"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,
            "Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"",
            "EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"",
            "GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"#;
        let body = parse(sent).unwrap();
        assert_eq!(body.image.as_deref(), Some("hello-world"));
        assert_eq!(body.host_config.unwrap().network_mode.as_deref(), Some("default"));
    }
}
