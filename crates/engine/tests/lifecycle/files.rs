//! The files of containers.

use libtest_mimic::Trial;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "the_files_of_a_run_that_ends_at_that_moment_are_there_all_the_same",
        |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let stat = engine.stat_path("web", "/etc").await.unwrap();
            assert_eq!(stat.name, "etc");
            assert_eq!(status(&engine, "web").await, "exited");
        },
    )]
}
