//! Restart policies and health checks.

use bollard_stubs::models::{
    ContainerCreateBody, EventMessage, HealthConfig, HealthStatusEnum, HostConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use engine::{Engine, Filters};
use libtest_mimic::Trial;
use tokio::sync::mpsc;

use crate::harness::*;

fn with_policy(name: RestartPolicyNameEnum, most: i64, command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        host_config: Some(HostConfig {
            restart_policy: Some(RestartPolicy {
                name: Some(name),
                maximum_retry_count: Some(most),
            }),
            ..HostConfig::default()
        }),
        ..body(command)
    }
}

async fn start(engine: &Engine, body: ContainerCreateBody) -> String {
    let id = engine.create_container(Some("web"), None, body).await.unwrap().id;
    engine.start_container(&id).await.unwrap();
    id
}

async fn listen(engine: &Engine) -> mpsc::Receiver<EventMessage> {
    engine.events(None, None, &Filters::default()).await.unwrap()
}

/// Waits for so many events of one action.
async fn await_events(events: &mut mpsc::Receiver<EventMessage>, action: &str, count: usize) {
    for _ in 0..count {
        while events.recv().await.unwrap().action.as_deref() != Some(action) {}
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_container_that_fails_is_started_again_as_often_as_its_policy_says",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(
                    &engine,
                    with_policy(RestartPolicyNameEnum::ON_FAILURE, 2, &["both"]),
                )
                .await;
                await_events(&mut events, "die", 3).await;
                while status(&engine, &id).await != "exited" {
                    events.recv().await.unwrap();
                }
                assert_eq!(inspect(&engine, &id).await.restart_count, Some(2));
            },
        ),
        trial(
            "a_success_is_no_failure_and_a_policy_of_always_minds_neither",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(
                    &engine,
                    with_policy(RestartPolicyNameEnum::ON_FAILURE, 0, &["echo"]),
                )
                .await;
                await_events(&mut events, "die", 1).await;
                assert_eq!(status(&engine, &id).await, "exited");
                engine.remove_container(&id, false, false).await.unwrap();
                start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["echo"])).await;
                await_events(&mut events, "start", 2).await;
            },
        ),
        trial(
            "stopping_a_container_ends_its_restarts_even_between_two_runs",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["echo"])).await;
                // The waits grow, so that one of them is under way.
                await_events(&mut events, "die", 4).await;
                engine.stop_container(&id, None, None).await.unwrap();
                assert_eq!(status(&engine, &id).await, "exited");
                engine.remove_container(&id, false, false).await.unwrap();
            },
        ),
        trial(
            "a_container_that_is_being_restarted_is_listed_and_removed_by_force_alone",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["echo"])).await;
                await_events(&mut events, "die", 6).await;
                let listed = engine
                    .list_containers(false, None, &Filters::default())
                    .await
                    .unwrap();
                assert_eq!(listed.len(), 1);
                assert!(engine.remove_container(&id, false, false).await.is_err());
                engine.remove_container(&id, true, false).await.unwrap();
            },
        ),
        trial(
            "a_machine_that_dies_is_booted_again_for_what_is_to_run_always",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["sleep"])).await;
                await_events(&mut events, "start", 1).await;
                kill_machine(&engine).await;
                await_events(&mut events, "start", 1).await;
                assert_eq!(status(&engine, &id).await, "running");
            },
        ),
        trial(
            "what_ran_when_its_machine_was_stopped_runs_again_when_it_boots",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(
                    &engine,
                    with_policy(RestartPolicyNameEnum::UNLESS_STOPPED, 0, &["sleep"]),
                )
                .await;
                await_events(&mut events, "start", 1).await;
                engine.shutdown().await;
                assert_eq!(exit_code(&engine, &id).await, 137);
                run(&engine, "other", &["echo"]).await;
                await_events(&mut events, "start", 2).await;
                assert_eq!(status(&engine, &id).await, "running");
            },
        ),
        trial(
            "a_machine_that_was_stopped_is_not_booted_for_a_restart_but_its_next_boot_makes_up_for_it",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let id = start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["echo"])).await;
                // The waits grow, so that one of them is under way.
                await_events(&mut events, "die", 4).await;
                engine.machine_stop(None).await.unwrap();
                assert_eq!(status(&engine, &id).await, "exited");
                assert!(engine.machine_inspect(None).await.unwrap().pid.is_none());
                engine.machine_start(None).await.unwrap();
                await_events(&mut events, "start", 1).await;
            },
        ),
        trial(
            "containers_start_with_the_service_as_their_policies_say",
            |home, engine| async move {
                let id = start(&engine, with_policy(RestartPolicyNameEnum::ALWAYS, 0, &["sleep"])).await;
                engine.stop_container(&id, None, Some(0)).await.unwrap();
                engine.shutdown().await;
                drop(engine);
                let engine = home.reopen().await;
                let mut events = engine.events(Some(0), None, &Filters::default()).await.unwrap();
                await_events(&mut events, "start", 1).await;
                assert_eq!(status(&engine, &id).await, "running");
            },
        ),
        trial(
            "a_health_check_makes_a_container_healthy_and_then_unhealthy",
            |_, engine| async move {
                let mut events = listen(&engine).await;
                let check = |command: &str| HealthConfig {
                    test: Some(vec!["CMD".to_owned(), command.to_owned()]),
                    interval: Some(5_000_000),
                    retries: Some(2),
                    ..HealthConfig::default()
                };
                let healthy = ContainerCreateBody {
                    healthcheck: Some(check("echo")),
                    ..body(&["sleep"])
                };
                let id = start(&engine, healthy).await;
                await_events(&mut events, "health_status: healthy", 1).await;
                let health = inspect(&engine, &id).await.state.unwrap().health.unwrap();
                assert_eq!(health.status, Some(HealthStatusEnum::HEALTHY));
                assert_eq!(health.log.unwrap()[0].exit_code, Some(0));
                let list = engine
                    .list_containers(false, None, &Filters::default())
                    .await
                    .unwrap();
                assert!(
                    list[0].status.as_deref().unwrap().ends_with("(healthy)"),
                    "{list:?}"
                );
                engine.remove_container(&id, true, false).await.unwrap();
                let unhealthy = ContainerCreateBody {
                    healthcheck: Some(check("missing")),
                    ..body(&["sleep"])
                };
                start(&engine, unhealthy).await;
                await_events(&mut events, "health_status: unhealthy", 1).await;
            },
        ),
    ]
}
