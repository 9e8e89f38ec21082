//! Volumes: who makes them, who keeps them, and what the guest is told.

use bollard_stubs::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use engine::{Engine, Filters, Kind};
use libtest_mimic::Trial;

use crate::harness::*;

fn mounting(bind: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        host_config: Some(HostConfig {
            binds: Some(vec![bind.to_owned()]),
            ..HostConfig::default()
        }),
        volumes: Some(vec!["/cache".to_owned()]),
        ..body(&["echo"])
    }
}

/// Creates the container `web` with a bind and a volume without a name; its ID.
async fn web(engine: &Engine, bind: &str) -> String {
    let created = engine.create_container(Some("web"), None, mounting(bind)).await;
    created.unwrap().id
}

async fn volumes(engine: &Engine) -> Vec<String> {
    let listed = engine.list_volumes(&Filters::default()).await.unwrap();
    listed
        .volumes
        .unwrap()
        .into_iter()
        .map(|volume| volume.name)
        .collect()
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_container_makes_the_volumes_that_it_names_and_those_that_it_does_not",
            |home, engine| async move {
                let id = web(&engine, "data:/data:ro").await;
                let mounts = inspect(&engine, &id).await.mounts.unwrap();
                assert_eq!(mounts.len(), 2);
                let data = mounts
                    .iter()
                    .find(|mount| mount.name.as_deref() == Some("data"))
                    .unwrap();
                assert_eq!(
                    (data.destination.as_deref(), data.rw),
                    (Some("/data"), Some(false))
                );
                engine.start_container(&id).await.unwrap();
                assert_eq!(exit_code(&engine, &id).await, 0);
                engine.start_container(&id).await.unwrap();
                assert_eq!(exit_code(&engine, &id).await, 0);
                // What the image has goes into a volume with the first run alone.
                let notes = home.notes();
                assert_eq!(notes.matches("mount /data true").count(), 1, "{notes}");
                assert_eq!(notes.matches("mount /data false").count(), 1, "{notes}");
            },
        ),
        trial(
            "a_volume_in_use_is_not_removed_and_names_its_user",
            |_, engine| async move {
                let id = web(&engine, "data:/data").await;
                let error = engine.remove_volume("data", false).await.unwrap_err();
                assert_eq!(error.status(), Kind::Conflict);
                assert_eq!(
                    error.to_string(),
                    format!("remove data: volume is in use - [{id}]")
                );
                engine.remove_container(&id, false, false).await.unwrap();
                engine.remove_volume("data", false).await.unwrap();
                assert!(engine.inspect_volume("data").await.is_err());
            },
        ),
        trial(
            "removing_a_container_with_its_volumes_leaves_those_with_a_name",
            |home, engine| async move {
                let id = web(&engine, "data:/data").await;
                engine.start_container(&id).await.unwrap();
                exit_code(&engine, &id).await;
                engine.remove_container(&id, false, true).await.unwrap();
                assert_eq!(volumes(&engine).await, ["data"]);
                engine.remove_volume("data", false).await.unwrap();
                engine.shutdown().await;
                assert_eq!(home.notes().matches("remove volume").count(), 2);
            },
        ),
        trial(
            "a_volume_that_was_removed_while_its_machine_was_off_is_thrown_out_at_the_next_boot",
            |home, engine| async move {
                let id = web(&engine, "data:/data").await;
                engine.start_container(&id).await.unwrap();
                exit_code(&engine, &id).await;
                engine.shutdown().await;
                engine.remove_container(&id, false, true).await.unwrap();
                engine.remove_volume("data", false).await.unwrap();
                // A new volume of the old name has nothing of the old one.
                let request = VolumeCreateRequest {
                    name: Some("data".to_owned()),
                    ..VolumeCreateRequest::default()
                };
                engine.create_volume(request).await.unwrap();
                run(&engine, "next", &["echo"]).await;
                while home.notes().matches("remove volume").count() < 2 {
                    tokio::task::yield_now().await;
                }
            },
        ),
        trial(
            "pruning_takes_unused_volumes_without_a_name_and_with_all_the_others_too",
            |_, engine| async move {
                for name in [Some("data".to_owned()), None] {
                    let request = VolumeCreateRequest {
                        name,
                        ..VolumeCreateRequest::default()
                    };
                    engine.create_volume(request).await.unwrap();
                }
                engine.prune_volumes(&Filters::default()).await.unwrap();
                assert_eq!(volumes(&engine).await, ["data"]);
                let all = Filters::parse(r#"{"all":["true"]}"#).unwrap();
                let pruned = engine.prune_volumes(&all).await.unwrap();
                assert_eq!(pruned.volumes_deleted.unwrap(), ["data"]);
            },
        ),
        trial("volumes_outlive_the_service", |home, engine| async move {
            engine
                .create_container(Some("web"), None, mounting("data:/data"))
                .await
                .unwrap();
            drop(engine);
            let engine = home.reopen().await;
            assert_eq!(volumes(&engine).await.len(), 2);
            assert_eq!(inspect(&engine, "web").await.mounts.unwrap().len(), 2);
        }),
    ]
}
