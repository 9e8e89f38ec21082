//! Networks: who is on them with which address, and what the guest is told.

use bollard_stubs::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig,
    NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest, NetworkingConfig,
};
use engine::{Engine, Filters, Kind};
use libtest_mimic::Trial;

use crate::harness::*;

async fn network(engine: &Engine, name: &str, subnet: &str) -> String {
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_owned()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    };
    engine.create_network(request).await.unwrap().id
}

fn on(network: &str, settings: EndpointSettings) -> ContainerCreateBody {
    ContainerCreateBody {
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some([(network.to_owned(), settings)].into()),
        }),
        ..body(&["sleep"])
    }
}

async fn start(engine: &Engine, name: &str, body: ContainerCreateBody) -> String {
    let id = engine.create_container(Some(name), None, body).await.unwrap().id;
    engine.start_container(&id).await.unwrap();
    id
}

async fn address(engine: &Engine, container: &str, network: &str) -> String {
    let settings = inspect(engine, container)
        .await
        .network_settings
        .unwrap()
        .networks
        .unwrap();
    settings[network].ip_address.clone().unwrap()
}

fn connect(container: &str) -> NetworkConnectRequest {
    NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: None,
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_running_container_has_an_address_on_the_default_network_and_gives_it_back",
            |_, engine| async move {
                for _ in 0..2 {
                    let id = run(&engine, "web", &["sleep"]).await;
                    assert_eq!(address(&engine, &id, "bridge").await, "172.17.0.2");
                    let bridge = engine.inspect_network("bridge").await.unwrap();
                    assert_eq!(
                        bridge.containers.unwrap()[&id].ipv4_address.as_deref(),
                        Some("172.17.0.2/16")
                    );
                    engine.stop_container(&id, None, None).await.unwrap();
                    assert_eq!(address(&engine, &id, "bridge").await, "");
                    engine.remove_container(&id, false, false).await.unwrap();
                }
            },
        ),
        trial(
            "the_guest_learns_every_name_on_a_users_network",
            |home, engine| async move {
                let id = network(&engine, "back", "10.5.0.0/24").await;
                let settings = EndpointSettings {
                    aliases: Some(vec!["db".to_owned()]),
                    ipam_config: Some(EndpointIpamConfig {
                        ipv4_address: Some("10.5.0.9".to_owned()),
                        ..EndpointIpamConfig::default()
                    }),
                    ..EndpointSettings::default()
                };
                start(&engine, "postgres", on("back", settings)).await;
                start(&engine, "web", on("back", EndpointSettings::default())).await;
                assert_eq!(address(&engine, "postgres", "back").await, "10.5.0.9");
                assert_eq!(address(&engine, "web", "back").await, "10.5.0.2");
                let notes = home.notes();
                let names = notes
                    .lines()
                    .rfind(|line| line.starts_with(&format!("names {id}")))
                    .unwrap();
                for name in ["db=[10.5.0.9]", "postgres.back=[10.5.0.9]", "web=[10.5.0.2]"] {
                    assert!(names.contains(name), "{names}");
                }
            },
        ),
        trial(
            "a_network_with_a_running_container_on_it_is_not_removed",
            |_, engine| async move {
                network(&engine, "back", "10.5.0.0/24").await;
                let id = start(&engine, "web", on("back", EndpointSettings::default())).await;
                let error = engine.remove_network("back").await.unwrap_err();
                assert_eq!(error.status(), Kind::Forbidden);
                assert!(
                    error.to_string().contains("has active endpoints (name:\"web\""),
                    "{error}"
                );
                engine.remove_container(&id, true, false).await.unwrap();
                engine.remove_network("back").await.unwrap();
                assert_eq!(
                    engine.inspect_network("back").await.unwrap_err().to_string(),
                    "network back not found"
                );
            },
        ),
        trial(
            "a_running_container_is_connected_to_a_network_and_disconnected",
            |home, engine| async move {
                network(&engine, "back", "10.5.0.0/24").await;
                let id = run(&engine, "web", &["sleep"]).await;
                engine.connect_network("back", connect("web")).await.unwrap();
                assert_eq!(address(&engine, &id, "back").await, "10.5.0.2");
                assert!(home.notes().contains("connect eth1"));
                assert!(engine.connect_network("back", connect("web")).await.is_err());
                let request = NetworkDisconnectRequest {
                    container: "web".to_owned(),
                    force: None,
                };
                engine.disconnect_network("back", request).await.unwrap();
                let settings = inspect(&engine, &id).await.network_settings.unwrap();
                assert_eq!(
                    settings.networks.unwrap().into_keys().collect::<Vec<_>>(),
                    ["bridge"]
                );
                engine.remove_network("back").await.unwrap();
            },
        ),
        trial(
            "an_address_that_is_taken_fails_the_start_and_is_not_lost",
            |_, engine| async move {
                network(&engine, "back", "10.5.0.0/24").await;
                let wanted = || EndpointSettings {
                    ipam_config: Some(EndpointIpamConfig {
                        ipv4_address: Some("10.5.0.9".to_owned()),
                        ..EndpointIpamConfig::default()
                    }),
                    ..EndpointSettings::default()
                };
                let first = start(&engine, "first", on("back", wanted())).await;
                let second = engine
                    .create_container(Some("second"), None, on("back", wanted()))
                    .await
                    .unwrap()
                    .id;
                let error = engine.start_container(&second).await.unwrap_err();
                assert!(error.to_string().contains("Address already in use"), "{error}");
                engine.remove_container(&first, true, false).await.unwrap();
                engine.start_container(&second).await.unwrap();
            },
        ),
        trial(
            "a_container_shares_the_network_of_one_that_runs_and_of_no_other",
            |_, engine| async move {
                let id = create(&engine, "main", &["sleep"]).await;
                let side = engine
                    .create_container(
                        Some("side"),
                        None,
                        on("container:main", EndpointSettings::default()),
                    )
                    .await
                    .unwrap()
                    .id;
                let error = engine.start_container(&side).await.unwrap_err().to_string();
                assert_eq!(
                    error,
                    format!("cannot join network of a non running container: {id}")
                );
                engine.start_container(&id).await.unwrap();
                engine.start_container(&side).await.unwrap();
            },
        ),
        trial(
            "networks_are_there_from_the_start_and_outlive_the_service",
            |home, engine| async move {
                let id = network(&engine, "back", "10.5.0.0/24").await;
                drop(engine);
                let engine = home.reopen().await;
                let listed = engine.list_networks(&Filters::default()).await.unwrap();
                let names: Vec<_> = listed
                    .iter()
                    .map(|network| network.name.as_deref().unwrap())
                    .collect();
                assert_eq!(names, ["back", "bridge", "host", "none"]);
                assert_eq!(engine.inspect_network("back").await.unwrap().id, Some(id));
                assert_eq!(
                    engine.remove_network("bridge").await.unwrap_err().status(),
                    Kind::Forbidden
                );
                let pruned = engine.prune_networks(&Filters::default()).await.unwrap();
                assert_eq!(pruned.networks_deleted.unwrap(), ["back"]);
            },
        ),
    ]
}
