//! How much containers and volumes hold: whom it is asked, and when nobody has to be.

use bollard_stubs::models::{ContainerCreateBody, HostConfig};
use engine::{DiskUsageObjects, Engine, Filters};
use libtest_mimic::Trial;

use crate::harness::*;

/// A container that has run, with a volume.
async fn ran(engine: &Engine) -> String {
    let body = ContainerCreateBody {
        host_config: Some(HostConfig {
            binds: Some(vec!["data:/data".to_owned()]),
            ..HostConfig::default()
        }),
        ..body(&["echo"])
    };
    let id = engine.create_container(Some("web"), None, body).await.unwrap().id;
    engine.start_container(&id).await.unwrap();
    assert_eq!(exit_code(engine, &id).await, 0);
    id
}

/// The sizes that a list tells, by name.
async fn sizes(engine: &Engine) -> Vec<(String, i64)> {
    let mut listed = engine
        .list_containers(true, None, &Filters::default())
        .await
        .unwrap();
    engine.add_sizes(&mut listed).await.unwrap();
    let told = listed
        .into_iter()
        .map(|container| (container.names.unwrap().concat(), container.size_rw.unwrap()));
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn boots(home: &Home) -> usize {
    home.notes().matches("shutdown").count()
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_container_that_never_ran_holds_nothing_and_boots_no_machine",
            |_, engine| async move {
                create(&engine, "idle", &["echo"]).await;
                assert_eq!(sizes(&engine).await, [("/idle".to_owned(), 0)]);
                assert!(engine.machine_inspect(None).await.unwrap().pid.is_none());
            },
        ),
        trial(
            "a_container_counts_together_with_its_image",
            |_, engine| async move {
                let id = ran(&engine).await;
                let image = engine.inspect_image("alpine", None).await.unwrap().size.unwrap();
                assert_eq!(engine.container_sizes(&id).await.unwrap(), (1000, 1000 + image));
            },
        ),
        trial(
            "what_a_machine_counted_when_it_stopped_holds_until_it_runs_again",
            |home, engine| async move {
                ran(&engine).await;
                engine.shutdown().await;
                assert_eq!(sizes(&engine).await, [("/web".to_owned(), 1000)]);
                assert!(engine.machine_inspect(None).await.unwrap().pid.is_none());
                let all = DiskUsageObjects {
                    volumes: true,
                    ..DiskUsageObjects::default()
                };
                let volumes = engine.disk_usage(all).await.unwrap().volumes.unwrap();
                assert_eq!(volumes[0].usage_data.as_ref().unwrap().size, 1000);
                assert!(engine.machine_inspect(None).await.unwrap().pid.is_none());
                assert_eq!(boots(&home), 1);
            },
        ),
        trial(
            "a_machine_that_ended_without_a_word_is_booted_to_count",
            |_, engine| async move {
                ran(&engine).await;
                kill_machine(&engine).await;
                while engine.machine_inspect(None).await.unwrap().pid.is_some() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(sizes(&engine).await, [("/web".to_owned(), 1000)]);
                assert!(engine.machine_inspect(None).await.unwrap().pid.is_some());
            },
        ),
        trial(
            "a_size_that_cannot_be_had_is_minus_one",
            |home, engine| async move {
                ran(&engine).await;
                kill_machine(&engine).await;
                while engine.machine_inspect(None).await.unwrap().pid.is_some() {
                    tokio::task::yield_now().await;
                }
                home.set_kernel("fail");
                assert_eq!(sizes(&engine).await, [("/web".to_owned(), -1)]);
                let pruned = engine.prune_containers(&Filters::default()).await.unwrap();
                assert_eq!(pruned.space_reclaimed, Some(0));
            },
        ),
        trial("pruning_tells_what_it_gave_back", |_, engine| async move {
            ran(&engine).await;
            let pruned = engine.prune_containers(&Filters::default()).await.unwrap();
            assert_eq!(pruned.space_reclaimed, Some(1000));
            let all = Filters::parse(r#"{"all":["true"]}"#).unwrap();
            let pruned = engine.prune_volumes(&all).await.unwrap();
            assert_eq!(pruned.space_reclaimed, Some(1000));
        }),
    ]
}
