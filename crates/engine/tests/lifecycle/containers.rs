//! Create, start, stop, wait, remove.

use bollard_stubs::models::{ContainerCreateBody, HostConfig};
use engine::{Filters, Kind, WaitCondition};
use libtest_mimic::Trial;
use tokio::io::AsyncWriteExt;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_run_leaves_an_exited_container_with_its_code",
            |_, engine| async move {
                let id = run(&engine, "both", &["both"]).await;
                assert_eq!(exit_code(&engine, &id).await, 3);
                let state = inspect(&engine, "both").await.state.unwrap();
                assert_eq!(
                    (state.exit_code, state.running, state.pid),
                    (Some(3), Some(false), Some(0))
                );
                assert_ne!(state.finished_at.unwrap(), "0001-01-01T00:00:00Z");
            },
        ),
        trial(
            "an_archive_for_a_container_that_does_not_exist_is_read_before_it_is_refused",
            |_, engine| async move {
                let (mut client, archive) = tokio::io::duplex(1024);
                let sending = tokio::spawn(async move {
                    client.write_all(&[0; 100 << 10]).await?;
                    client.shutdown().await
                });
                let refused = engine
                    .extract_archive("nobody", "/tmp", false, false, archive)
                    .await
                    .unwrap_err();
                assert_eq!(refused.to_string(), "No such container: nobody");
                // A client whose sending breaks off does not come to read why.
                sending.await.unwrap().unwrap();
            },
        ),
        trial(
            "a_waiter_for_the_next_exit_registers_before_the_start",
            |_, engine| async move {
                let id = create(&engine, "web", &["echo", "hi"]).await;
                let wait = engine.wait_container(&id, WaitCondition::NextExit).await.unwrap();
                engine.start_container(&id).await.unwrap();
                assert_eq!(wait.await.unwrap().status_code, 0);
            },
        ),
        trial(
            "waiting_for_a_container_that_does_not_run_is_answered_at_once",
            |_, engine| async move {
                let id = create(&engine, "web", &["echo"]).await;
                assert_eq!(exit_code(&engine, &id).await, 0);
            },
        ),
        trial(
            "a_program_that_is_missing_leaves_the_container_created_with_127",
            |_, engine| async move {
                let id = create(&engine, "web", &["missing"]).await;
                let error = engine.start_container(&id).await.unwrap_err();
                let text = "failed to create task for container: failed to create shim task: OCI runtime create failed: \
                        runc create failed: unable to start container process: error during container init: exec: \
                        \"missing\": executable file not found in $PATH";
                assert_eq!(error.to_string(), text);
                assert_eq!(error.status(), Kind::BadRequest);
                let state = inspect(&engine, &id).await.state.unwrap();
                assert_eq!(state.status.unwrap().to_string(), "created");
                assert_eq!((state.exit_code, state.error.as_deref()), (Some(127), Some(text)));
                let list = engine
                    .list_containers(true, None, &Filters::default())
                    .await
                    .unwrap();
                assert_eq!(list[0].status.as_deref(), Some("Created"));
            },
        ),
        trial(
            "a_program_that_cannot_be_executed_is_126",
            |_, engine| async move {
                let id = create(&engine, "web", &["directory"]).await;
                engine.start_container(&id).await.unwrap_err();
                assert_eq!(inspect(&engine, &id).await.state.unwrap().exit_code, Some(126));
            },
        ),
        trial(
            "a_container_with_auto_remove_is_gone_when_its_removal_is_answered",
            |_, engine| async move {
                let first = engine
                    .create_container(Some("web"), None, passing(&["echo"]))
                    .await
                    .unwrap()
                    .id;
                let wait = engine
                    .wait_container(&first, WaitCondition::Removed)
                    .await
                    .unwrap();
                engine.start_container(&first).await.unwrap();
                assert_eq!(wait.await.unwrap().status_code, 0);
                create(&engine, "web", &["echo"]).await;
            },
        ),
        trial(
            "a_failed_start_of_an_auto_remove_container_answers_its_removal",
            |_, engine| async move {
                let id = engine
                    .create_container(Some("web"), None, passing(&["missing"]))
                    .await
                    .unwrap()
                    .id;
                let wait = engine.wait_container(&id, WaitCondition::Removed).await.unwrap();
                engine.start_container(&id).await.unwrap_err();
                assert_eq!(wait.await.unwrap().status_code, 127);
                assert!(names(&engine).await.is_empty());
            },
        ),
        trial(
            "stop_sends_the_stop_signal_and_a_second_stop_changes_nothing",
            |_, engine| async move {
                let id = run(&engine, "web", &["sleep"]).await;
                engine.stop_container(&id, None, None).await.unwrap();
                assert_eq!(inspect(&engine, &id).await.state.unwrap().exit_code, Some(143));
                assert_eq!(
                    engine.stop_container(&id, None, None).await.unwrap_err().status(),
                    Kind::NotModified
                );
            },
        ),
        trial(
            "a_process_that_ignores_the_stop_signal_is_killed_after_the_grace",
            |_, engine| async move {
                let id = run(&engine, "web", &["stubborn"]).await;
                engine.stop_container(&id, None, Some(0)).await.unwrap();
                assert_eq!(inspect(&engine, &id).await.state.unwrap().exit_code, Some(137));
            },
        ),
        trial("stop_takes_the_signal_of_the_container", |_, engine| async move {
            let body = ContainerCreateBody {
                stop_signal: Some("SIGUSR1".to_owned()),
                ..body(&["sleep"])
            };
            let id = engine.create_container(None, None, body).await.unwrap().id;
            engine.start_container(&id).await.unwrap();
            engine.stop_container(&id, None, None).await.unwrap();
            assert_eq!(inspect(&engine, &id).await.state.unwrap().exit_code, Some(138));
        }),
        trial("kill_needs_a_running_container", |_, engine| async move {
            let id = create(&engine, "web", &["sleep"]).await;
            let error = engine.kill_container("web", None).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot kill container: web: container {id} is not running")
            );
            assert_eq!(error.status(), Kind::Conflict);
            engine.start_container(&id).await.unwrap();
            engine.kill_container("web", Some("KILL")).await.unwrap();
            assert_eq!(inspect(&engine, &id).await.state.unwrap().exit_code, Some(137));
        }),
        trial(
            "a_running_container_is_removed_by_force_only",
            |home, engine| async move {
                let id = run(&engine, "web", &["sleep"]).await;
                let error = engine
                    .remove_container("web", false, false)
                    .await
                    .unwrap_err()
                    .to_string();
                assert_eq!(
                    error,
                    "cannot remove container \"/web\": container is running: stop the container before removing or force \
                 remove"
                );
                engine.remove_container("web", true, false).await.unwrap();
                assert!(names(&engine).await.is_empty());
                assert!(!home.path().join("containers").join(&id).exists());
                let error = engine.inspect_container("web").await.unwrap_err();
                assert_eq!(
                    (error.to_string().as_str(), error.status()),
                    ("No such container: web", Kind::NotFound)
                );
            },
        ),
        trial("a_name_is_used_once", |_, engine| async move {
            let id = create(&engine, "web", &["sleep"]).await;
            let error = engine
                .create_container(Some("web"), None, body(&["sleep"]))
                .await
                .unwrap_err();
            assert_eq!(error.status(), Kind::Conflict);
            assert!(error.to_string().contains(&id), "{error}");
        }),
        trial("a_renamed_container_frees_its_old_name", |_, engine| async move {
            create(&engine, "old", &["sleep"]).await;
            engine.rename_container("old", "new").await.unwrap();
            create(&engine, "old", &["sleep"]).await;
            assert_eq!(names(&engine).await, ["/new", "/old"]);
            assert_eq!(
                engine.rename_container("old", "new").await.unwrap_err().status(),
                Kind::Conflict
            );
        }),
        trial(
            "an_image_that_is_not_there_is_not_found",
            |_, engine| async move {
                let body = ContainerCreateBody {
                    image: Some("nowhere".to_owned()),
                    ..body(&["sleep"])
                };
                let error = engine.create_container(None, None, body).await.unwrap_err();
                assert_eq!(error.status(), Kind::NotFound);
                assert!(error.to_string().starts_with("No such image: nowhere"), "{error}");
            },
        ),
        trial(
            "a_paused_container_is_up_and_can_be_stopped",
            |_, engine| async move {
                let id = run(&engine, "web", &["sleep"]).await;
                engine.pause_container(&id).await.unwrap();
                assert_eq!(status(&engine, &id).await, "paused");
                assert_eq!(
                    engine.pause_container(&id).await.unwrap_err().status(),
                    Kind::Conflict
                );
                engine.unpause_container(&id).await.unwrap();
                assert_eq!(
                    engine.unpause_container(&id).await.unwrap_err().to_string(),
                    format!("container {id} is not paused")
                );
                engine.pause_container(&id).await.unwrap();
                engine.stop_container(&id, None, None).await.unwrap();
                assert_eq!(status(&engine, &id).await, "exited");
            },
        ),
        trial(
            "restart_runs_the_same_container_again_even_with_auto_remove",
            |_, engine| async move {
                let id = engine
                    .create_container(Some("web"), None, passing(&["sleep"]))
                    .await
                    .unwrap()
                    .id;
                engine.start_container(&id).await.unwrap();
                engine.restart_container(&id, None, None).await.unwrap();
                assert_eq!(status(&engine, &id).await, "running");
            },
        ),
        trial(
            "starting_a_running_container_changes_nothing",
            |_, engine| async move {
                let id = run(&engine, "web", &["sleep"]).await;
                assert_eq!(
                    engine.start_container(&id).await.unwrap_err().status(),
                    Kind::NotModified
                );
            },
        ),
        trial(
            "a_container_that_ran_out_of_memory_says_so",
            |_, engine| async move {
                let id = run(&engine, "web", &["greedy"]).await;
                assert_eq!(exit_code(&engine, &id).await, 137);
                assert_eq!(inspect(&engine, &id).await.state.unwrap().oom_killed, Some(true));
            },
        ),
        trial("events_tell_a_run_in_order", |_, engine| async move {
            let mut filters = Filters::default();
            filters.insert("type", "container");
            let mut events = engine.events(None, None, &filters).await.unwrap();
            let id = engine
                .create_container(Some("web"), None, passing(&["both"]))
                .await
                .unwrap()
                .id;
            let mut attached = attach(&engine, &id, false).await;
            let wait = engine.wait_container(&id, WaitCondition::Removed).await.unwrap();
            engine.start_container(&id).await.unwrap();
            output(&mut attached).await;
            wait.await.unwrap();
            for action in ["create", "attach", "start", "die", "destroy"] {
                let event = events.recv().await.unwrap();
                assert_eq!(event.action.as_deref(), Some(action));
                let attributes = event.actor.unwrap().attributes.unwrap();
                assert_eq!(
                    (attributes["name"].as_str(), attributes["image"].as_str()),
                    ("web", "alpine")
                );
                if action == "die" {
                    assert_eq!(attributes["exitCode"], "3");
                }
            }
        }),
        trial("a_list_shows_what_docker_shows", |_, engine| async move {
            let id = run(&engine, "web", &["sleep", "a b"]).await;
            create(&engine, "idle", &["sleep"]).await;
            let running = engine
                .list_containers(false, None, &Filters::default())
                .await
                .unwrap();
            assert_eq!(running.len(), 1);
            let row = &running[0];
            assert_eq!(row.id.as_deref(), Some(id.as_str()));
            assert_eq!(row.command.as_deref(), Some("sleep 'a b'"));
            assert_eq!(row.image.as_deref(), Some("alpine"));
            assert!(row.status.as_deref().unwrap().starts_with("Up "), "{row:?}");
            let last = engine
                .list_containers(false, Some(1), &Filters::default())
                .await
                .unwrap();
            assert_eq!(last[0].names.as_deref().unwrap(), ["/idle"]);
        }),
        trial("prune_takes_what_does_not_run", |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let idle = create(&engine, "idle", &["sleep"]).await;
            let pruned = engine.prune_containers(&Filters::default()).await.unwrap();
            assert_eq!(pruned.containers_deleted.unwrap(), [idle]);
            assert_eq!(names(&engine).await, ["/web"]);
        }),
        trial(
            "a_start_goes_on_when_its_client_hangs_up",
            |_, engine| async move {
                let id = create(&engine, "web", &["echo"]).await;
                let wait = engine.wait_container(&id, WaitCondition::NextExit).await.unwrap();
                let hung_up = engine.clone();
                let name = id.clone();
                let client = tokio::spawn(async move { hung_up.start_container(&name).await });
                tokio::task::yield_now().await;
                client.abort();
                // Either the start never began, or it went to its end.
                if client.await.is_ok() || status(&engine, &id).await != "created" {
                    assert_eq!(wait.await.unwrap().status_code, 0);
                }
            },
        ),
    ]
}

fn passing(command: &[&str]) -> ContainerCreateBody {
    let host_config = Some(HostConfig {
        auto_remove: Some(true),
        ..HostConfig::default()
    });
    ContainerCreateBody {
        host_config,
        ..body(command)
    }
}
