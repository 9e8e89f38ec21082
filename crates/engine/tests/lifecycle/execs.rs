//! More processes in a running container.

use bollard_stubs::models::ExecConfig;
use bytes::Bytes;
use engine::{Engine, Kind, TerminalSize};
use libtest_mimic::Trial;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_exec_has_output_and_an_exit_code", |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let id = engine.create_exec("web", config(&["both"])).await.unwrap();
            let mut attached = engine.start_exec(&id, false, None).await.unwrap().unwrap();
            assert_eq!(
                output(&mut attached).await,
                (b"out\n".to_vec(), b"err\n".to_vec())
            );
            let exec = engine.inspect_exec(&id).await.unwrap();
            assert_eq!((exec.exit_code, exec.running), (Some(3), Some(false)));
        }),
        trial("the_output_of_an_exec_is_not_logged", |_, engine| async move {
            let container = run(&engine, "web", &["sleep"]).await;
            let id = engine.create_exec("web", config(&["both"])).await.unwrap();
            let mut attached = engine.start_exec(&id, false, None).await.unwrap().unwrap();
            output(&mut attached).await;
            engine.stop_container(&container, None, None).await.unwrap();
            let options = engine::LogsOptions {
                stdout: true,
                stderr: true,
                ..Default::default()
            };
            let mut logs = engine.container_logs(&container, options).await.unwrap();
            assert_eq!(logs.output.recv().await.unwrap().bytes, "ready\n");
            assert_eq!(logs.output.recv().await, None);
        }),
        trial(
            "a_missing_program_is_told_on_stdout_with_127",
            |_, engine| async move {
                run(&engine, "web", &["sleep"]).await;
                let id = engine.create_exec("web", config(&["missing"])).await.unwrap();
                let mut attached = engine.start_exec(&id, false, None).await.unwrap().unwrap();
                let text = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"missing\": \
                        executable file not found in $PATH\r\n";
                assert_eq!(String::from_utf8(output(&mut attached).await.0).unwrap(), text);
                assert_eq!(engine.inspect_exec(&id).await.unwrap().exit_code, Some(127));
            },
        ),
        trial("an_unknown_user_is_a_bad_request", |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let id = engine.create_exec("web", config(&["nobody"])).await.unwrap();
            let error = engine.start_exec(&id, false, None).await.unwrap_err();
            assert_eq!(error.status(), Kind::BadRequest);
            assert!(error.to_string().contains("unable to find user"), "{error}");
        }),
        trial("an_exec_needs_a_running_container", |_, engine| async move {
            let id = create(&engine, "web", &["sleep"]).await;
            let error = engine.create_exec("web", config(&["echo"])).await.unwrap_err();
            assert_eq!(error.to_string(), format!("container {id} is not running"));
            engine.start_container(&id).await.unwrap();
            engine.pause_container(&id).await.unwrap();
            let error = engine.create_exec("web", config(&["echo"])).await.unwrap_err();
            assert_eq!(error.status(), Kind::Conflict);
            assert!(
                error.to_string().ends_with("unpause the container before exec"),
                "{error}"
            );
        }),
        trial("an_exec_runs_once", |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let id = engine.create_exec("web", config(&["echo"])).await.unwrap();
            assert!(engine.start_exec(&id, true, None).await.unwrap().is_none());
            assert_eq!(
                engine.start_exec(&id, true, None).await.unwrap_err().status(),
                Kind::Conflict
            );
            assert_eq!(
                engine.inspect_exec("nothing").await.unwrap_err().to_string(),
                "No such exec instance: nothing"
            );
        }),
        trial(
            "an_exec_reads_the_clients_input_to_its_end",
            |_, engine| async move {
                run(&engine, "web", &["sleep"]).await;
                let text = interactive(&engine).await;
                assert_eq!(text, "typed");
            },
        ),
        trial(
            "a_size_for_a_terminal_that_is_not_there_changes_nothing",
            |home, engine| async move {
                run(&engine, "web", &["sleep"]).await;
                engine.resize_container("web", 24, 80).await.unwrap();
                let id = engine.create_exec("web", config(&["sleep"])).await.unwrap();
                engine.start_exec(&id, true, None).await.unwrap();
                engine.resize_exec(&id, 24, 80).await.unwrap();
                assert!(!home.notes().contains("resize"));
            },
        ),
        trial(
            "a_terminal_exec_is_resized_and_ends_with_its_container",
            |home, engine| async move {
                run(&engine, "web", &["sleep"]).await;
                let config = ExecConfig {
                    tty: Some(true),
                    attach_stdin: Some(true),
                    ..config(&["sleep"])
                };
                let id = engine.create_exec("web", config).await.unwrap();
                let size = Some(TerminalSize {
                    rows: 10,
                    columns: 20,
                });
                let mut attached = engine.start_exec(&id, false, size).await.unwrap().unwrap();
                assert_eq!(attached.output.recv().await.unwrap().bytes, "ready\n");
                engine.resize_exec(&id, 30, 40).await.unwrap();
                assert!(home.notes().contains("resize 30x40"));
                let execs = inspect(&engine, "web").await.exec_ids.unwrap();
                assert_eq!(execs, [id]);
            },
        ),
    ]
}

fn config(command: &[&str]) -> ExecConfig {
    ExecConfig {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    }
}

async fn interactive(engine: &Engine) -> String {
    let config = ExecConfig {
        attach_stdin: Some(true),
        ..config(&["cat"])
    };
    let id = engine.create_exec("web", config).await.unwrap();
    let mut attached = engine.start_exec(&id, false, None).await.unwrap().unwrap();
    let mut input = attached.input.take().unwrap();
    input.write(Bytes::from_static(b"typed")).await.unwrap();
    input.close();
    String::from_utf8(output(&mut attached).await.0).unwrap()
}
