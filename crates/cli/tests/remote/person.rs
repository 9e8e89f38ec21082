//! A person at a computer of their own: folders for what sampan and Docker keep, and programs that others would have.

use std::fs::{self, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program under test.
pub(crate) const SAMPAN: &str = env!("CARGO_BIN_EXE_sampan");

pub(crate) struct Person {
    folder: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output of a command that went well, without the last line end.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout.trim_end()
    }

    /// What a command that did not go well said.
    #[track_caller]
    pub(crate) fn fault(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.stderr.trim_end()
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("person")
            .tempdir_in("/tmp")
            .unwrap();
        for name in ["bin", "sampan", "docker"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of this person's; gives its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A script that is a program of this name in `folder`.
    pub(crate) fn program(&self, folder: &str, name: &str, script: &str) {
        let path = self.file(&format!("{folder}/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(Path::new(&path), Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs `sampan` with these variables, arguments and this input.
    pub(crate) fn run(&self, environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        let output = Command::new(SAMPAN)
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.folder.path())
            .env("SAMPAN_HOME", self.path("sampan"))
            .env("DOCKER_CONFIG", self.path("docker"))
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::from(stdin))
            .output()
            .unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same without variables and input.
    pub(crate) fn sampan(&self, arguments: &[&str]) -> Output {
        self.run(&[], arguments, "")
    }
}
