//! Machines that fail and processes that are killed.

use std::io::BufRead;
use std::process::{Command, Stdio};

use engine::{Kind, MachineState};
use libtest_mimic::Trial;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_machine_that_crashes_ends_its_containers_and_the_next_command_boots_again",
            |_, engine| async move {
                let bystander = run(&engine, "bystander", &["sleep"]).await;
                let id = create(&engine, "web", &["crash"]).await;
                let mut attached = attach(&engine, &id, false).await;
                engine.start_container(&id).await.unwrap();
                assert_eq!(output(&mut attached).await.0, b"last words\n");
                for container in [&id, &bystander] {
                    assert_eq!(exit_code(&engine, container).await, 137);
                    let error = inspect(&engine, container).await.state.unwrap().error.unwrap();
                    assert!(
                        error.starts_with("the linux/amd64 machine ended unexpectedly"),
                        "{error}"
                    );
                }
                engine.start_container(&bystander).await.unwrap();
                assert_eq!(status(&engine, &bystander).await, "running");
            },
        ),
        trial(
            "why_a_machine_cannot_boot_is_the_error_of_the_command_that_needed_it",
            |home, engine| async move {
                home.set_kernel("fail");
                let id = create(&engine, "web", &["echo"]).await;
                let error = engine.start_container(&id).await.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "the linux/amd64 machine cannot run: there is no QEMU"
                );
                assert_eq!(error.status(), Kind::Unavailable);
                let report = engine.machine_inspect(None).await.unwrap();
                assert_eq!(report.state, MachineState::Stopped);
                assert!(report.last_error.unwrap().contains("there is no QEMU"));
                home.set_kernel("good");
                engine.start_container(&id).await.unwrap();
            },
        ),
        trial(
            "a_machine_process_that_ends_without_a_word_is_told_as_that",
            |home, engine| async move {
                home.set_kernel("exit");
                let id = create(&engine, "web", &["echo"]).await;
                let error = engine.start_container(&id).await.unwrap_err().to_string();
                assert!(
                    error.contains("ended unexpectedly") && error.contains("vmm.log"),
                    "{error}"
                );
            },
        ),
        trial("a_kernel_that_is_not_there_is_named", |home, engine| async move {
            std::fs::remove_file(home.root().join("share/kernel-amd64")).unwrap();
            let error = engine.machine_start(None).await.unwrap_err().to_string();
            assert!(
                error.contains("kernel-amd64") && error.contains("SAMPAN_SHARE"),
                "{error}"
            );
        }),
        trial(
            "many_commands_at_once_boot_one_machine",
            |home, engine| async move {
                let mut starts = Vec::new();
                for number in 0..8 {
                    let id = create(&engine, &format!("web{number}"), &["echo"]).await;
                    let engine = engine.clone();
                    starts.push(tokio::spawn(async move { engine.start_container(&id).await }));
                }
                for start in starts {
                    start.await.unwrap().unwrap();
                }
                engine.machine_stop(None).await.unwrap();
                assert_eq!(home.notes().matches("shutdown").count(), 1);
            },
        ),
        trial(
            "a_machine_starts_stops_and_is_inspected",
            |home, engine| async move {
                let report = engine.machine_start(None).await.unwrap();
                assert_eq!(report.state, MachineState::Running);
                assert_eq!(report.kernel_release.as_deref(), Some("6.12.0-test"));
                assert_eq!(report.inspection.unwrap().devices, ["blk layers"]);
                let id = run(&engine, "web", &["sleep"]).await;
                engine.machine_stop(None).await.unwrap();
                assert!(home.notes().contains("shutdown"));
                assert_eq!(exit_code(&engine, &id).await, 137);
                assert_eq!(
                    engine.machine_inspect(None).await.unwrap().state,
                    MachineState::Stopped
                );
            },
        ),
        trial(
            "a_second_service_is_refused_and_told_what_to_do",
            |home, engine| async move {
                let Err(error) = open(home.root()) else {
                    panic!("two engines opened one home")
                };
                assert!(error.to_string().contains("another sampan service"), "{error}");
                drop(engine);
            },
        ),
        Trial::test("kill_of_the_service_loses_no_acknowledged_container", || {
            killed();
            Ok(())
        }),
    ]
}

/// Starts a service process, kills it, and opens its home.
fn killed() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let home = Home::new();
    let mut service = Command::new(std::env::current_exe().unwrap())
        .arg("service")
        .arg(home.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(service.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    service.kill().unwrap();
    service.wait().unwrap();
    runtime.block_on(async {
        let engine = home.open();
        assert_eq!(names(&engine).await, ["/busy", "/renamed"]);
        let state = inspect(&engine, "busy").await.state.unwrap();
        assert_eq!(
            (state.status.unwrap().to_string().as_str(), state.exit_code),
            ("exited", Some(137))
        );
        assert_eq!(status(&engine, "renamed").await, "created");
        // The old machine is gone before the new one has the data disk, and what nobody knows any more is
        // thrown out.
        engine.start_container("busy").await.unwrap();
        assert_eq!(status(&engine, "busy").await, "running");
        engine.machine_inspect(None).await.unwrap();
        let kept: Vec<_> = std::fs::read_dir(home.machine().join("data")).unwrap().collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        engine.shutdown().await;
    });
}
