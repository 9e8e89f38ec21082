//! Attach, stdin, logs.

use bollard_stubs::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bytes::Bytes;
use engine::{AttachOptions, Channel, LogsOptions, WaitCondition};
use libtest_mimic::Trial;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("stdout_and_stderr_stay_apart", |_, engine| async move {
            let id = create(&engine, "web", &["both"]).await;
            let mut attached = attach(&engine, &id, false).await;
            engine.start_container(&id).await.unwrap();
            assert_eq!(
                output(&mut attached).await,
                (b"out\n".to_vec(), b"err\n".to_vec())
            );
        }),
        trial(
            "a_program_that_writes_much_and_exits_at_once_loses_nothing",
            |_, engine| async move {
                let id = create(&engine, "web", &["burst", "1048576"]).await;
                let mut attached = attach(&engine, &id, false).await;
                let wait = engine.wait_container(&id, WaitCondition::NextExit).await.unwrap();
                engine.start_container(&id).await.unwrap();
                let read = tokio::spawn(async move { output(&mut attached).await.0.len() });
                wait.await.unwrap();
                // Once the exit is known, the log is complete.
                assert_eq!(logs(&engine, &id, everything()).await.len(), 1 << 20);
                assert_eq!(read.await.unwrap(), 1 << 20);
            },
        ),
        trial("bytes_through_stdin_come_back_the_same", |_, engine| async move {
            let body = ContainerCreateBody {
                open_stdin: Some(true),
                stdin_once: Some(true),
                ..body(&["cat"])
            };
            let id = engine.create_container(None, None, body).await.unwrap().id;
            let mut attached = attach(&engine, &id, true).await;
            let mut input = attached.input.take().unwrap();
            engine.start_container(&id).await.unwrap();
            let sent: Vec<u8> = (0..4u32 << 20)
                .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            let copy = Bytes::from(sent.clone());
            tokio::spawn(async move {
                for piece in copy.chunks(100_000) {
                    input.write(Bytes::copy_from_slice(piece)).await.unwrap();
                }
                input.close();
            });
            let (stdout, _) = output(&mut attached).await;
            assert!(stdout == sent);
            assert_eq!(exit_code(&engine, &id).await, 0);
        }),
        trial(
            "what_is_written_before_the_start_reaches_the_process",
            |_, engine| async move {
                let body = ContainerCreateBody {
                    open_stdin: Some(true),
                    stdin_once: Some(true),
                    ..body(&["cat"])
                };
                let id = engine.create_container(None, None, body).await.unwrap().id;
                let mut attached = attach(&engine, &id, true).await;
                let mut input = attached.input.take().unwrap();
                input.write(Bytes::from_static(b"early\n")).await.unwrap();
                input.close();
                engine.start_container(&id).await.unwrap();
                assert_eq!(output(&mut attached).await.0, b"early\n");
            },
        ),
        trial(
            "a_terminal_is_one_stream_and_leaves_by_its_detach_keys",
            |home, engine| async move {
                let body = ContainerCreateBody {
                    tty: Some(true),
                    open_stdin: Some(true),
                    ..body(&["cat"])
                };
                let id = engine.create_container(None, None, body).await.unwrap().id;
                let mut attached = attach(&engine, &id, true).await;
                assert!(attached.tty);
                engine.start_container(&id).await.unwrap();
                engine.resize_container(&id, 24, 80).await.unwrap();
                assert!(home.notes().contains("resize 24x80"));
                let mut input = attached.input.take().unwrap();
                input.write(Bytes::from_static(b"ls\r")).await.unwrap();
                assert_eq!(attached.output.recv().await.unwrap().bytes, "ls\r");
                input.write(Bytes::from_static(b"\x10\x11")).await.unwrap_err();
                assert_eq!(attached.output.recv().await, None);
                assert_eq!(status(&engine, &id).await, "running");
            },
        ),
        trial(
            "a_client_that_hangs_up_does_not_stop_the_output",
            |_, engine| async move {
                let id = create(&engine, "web", &["burst", "1048576"]).await;
                drop(attach(&engine, &id, false).await);
                engine.start_container(&id).await.unwrap();
                assert_eq!(exit_code(&engine, &id).await, 0);
                assert_eq!(logs(&engine, &id, everything()).await.len(), 1 << 20);
            },
        ),
        trial("two_clients_get_the_same", |_, engine| async move {
            let id = create(&engine, "web", &["burst", "262144"]).await;
            let (mut first, mut second) = (
                attach(&engine, &id, false).await,
                attach(&engine, &id, false).await,
            );
            engine.start_container(&id).await.unwrap();
            let (first, second) = tokio::join!(output(&mut first), output(&mut second));
            assert!(first == second && first.0.len() == 262_144);
        }),
        trial(
            "attach_with_logs_begins_with_what_was_logged",
            |_, engine| async move {
                let id = run(&engine, "web", &["sleep"]).await;
                let follow = LogsOptions {
                    follow: true,
                    ..everything()
                };
                let mut following = engine.container_logs(&id, follow).await.unwrap();
                assert_eq!(following.output.recv().await.unwrap().bytes, "ready\n");
                let options = AttachOptions {
                    stdout: true,
                    stream: true,
                    logs: true,
                    ..AttachOptions::default()
                };
                let mut attached = engine.attach_container(&id, options).await.unwrap();
                engine.kill_container(&id, Some("WINCH")).await.unwrap();
                engine.kill_container(&id, Some("TERM")).await.unwrap();
                assert_eq!(output(&mut attached).await.0, b"ready\nwinch\n");
                assert_eq!(following.output.recv().await.unwrap().bytes, "winch\n");
                assert_eq!(following.output.recv().await, None);
            },
        ),
        trial(
            "logs_of_two_runs_follow_each_other_and_tail_cuts",
            |_, engine| async move {
                let id = run(&engine, "web", &["both"]).await;
                exit_code(&engine, &id).await;
                let again = engine.wait_container(&id, WaitCondition::NextExit).await.unwrap();
                engine.start_container(&id).await.unwrap();
                again.await.unwrap();
                assert_eq!(logs(&engine, &id, everything()).await.len(), 16);
                let stderr = LogsOptions {
                    stdout: false,
                    tail: Some(2),
                    ..everything()
                };
                assert_eq!(logs(&engine, &id, stderr).await, b"err\n");
            },
        ),
        trial(
            "logs_of_a_created_container_are_empty_and_end",
            |_, engine| async move {
                let id = create(&engine, "web", &["echo"]).await;
                let options = LogsOptions {
                    follow: true,
                    ..everything()
                };
                assert!(logs(&engine, &id, options).await.is_empty());
            },
        ),
        trial(
            "a_container_without_a_log_is_attached_to_and_has_nothing_to_read",
            |_, engine| async move {
                let id = create_logging(&engine, "none", &[], &["both"]).await.unwrap();
                let mut attached = attach(&engine, &id, false).await;
                engine.start_container(&id).await.unwrap();
                assert_eq!(
                    output(&mut attached).await,
                    (b"out\n".to_vec(), b"err\n".to_vec())
                );
                let read = engine.container_logs(&id, everything()).await.unwrap_err();
                assert_eq!(
                    read.to_string(),
                    "configured logging driver does not support reading"
                );
                let options = AttachOptions {
                    logs: true,
                    stdout: true,
                    ..AttachOptions::default()
                };
                assert!(engine.attach_container(&id, options).await.is_err());
                let inspected = engine.inspect_container(&id).await.unwrap();
                assert_eq!(inspected.log_path.as_deref(), Some(""));
            },
        ),
        trial(
            "a_rotated_log_keeps_its_end_and_goes_with_its_container",
            |home, engine| async move {
                let options = [("max-size", "20k"), ("max-file", "3")];
                let id = create_logging(&engine, "local", &options, &["burst", "1048576"])
                    .await
                    .unwrap();
                engine.start_container(&id).await.unwrap();
                exit_code(&engine, &id).await;
                let kept = logs(&engine, &id, everything()).await;
                // Three files of entries that are longer than their lines.
                assert!((15_000..60_000).contains(&kept.len()), "{}", kept.len());
                let inspected = engine.inspect_container(&id).await.unwrap();
                let log = inspected.host_config.unwrap().log_config.unwrap();
                assert_eq!(
                    (log.typ.as_deref(), log.config.unwrap().len()),
                    (Some("local"), 2)
                );
                assert_eq!(inspected.log_path.as_deref(), Some(""));
                engine.remove_container(&id, false, false).await.unwrap();
                assert!(!home.path().join("containers").join(&id).exists());
            },
        ),
        trial(
            "a_log_driver_that_is_not_there_creates_no_container",
            |_, engine| async move {
                let error = create_logging(&engine, "nowhere", &[], &["both"])
                    .await
                    .unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "logger: no log driver named 'nowhere' is registered"
                );
                let all = engine
                    .list_containers(true, None, &engine::Filters::default())
                    .await;
                assert!(all.unwrap().is_empty());
            },
        ),
    ]
}

async fn create_logging(
    engine: &engine::Engine,
    driver: &str,
    options: &[(&str, &str)],
    command: &[&str],
) -> engine::Result<String> {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let body = ContainerCreateBody {
        host_config: Some(HostConfig {
            log_config: Some(HostConfigLogConfig {
                typ: Some(driver.to_owned()),
                config: Some(options.collect()),
            }),
            ..HostConfig::default()
        }),
        ..body(command)
    };
    Ok(engine.create_container(None, None, body).await?.id)
}

fn everything() -> LogsOptions {
    LogsOptions {
        stdout: true,
        stderr: true,
        ..LogsOptions::default()
    }
}

async fn logs(engine: &engine::Engine, id: &str, options: LogsOptions) -> Vec<u8> {
    let mut logs = engine.container_logs(id, options).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = logs.output.recv().await {
        assert!(matches!(chunk.channel, Channel::Stdout | Channel::Stderr));
        bytes.extend(chunk.bytes);
    }
    bytes
}
