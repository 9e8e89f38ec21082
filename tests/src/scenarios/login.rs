//! `login`, `logout` and `search` against a registry that asks who is there.

use std::fs;
use std::path::Path;

use crate::world::{Auth, World};

super::scenarios![
    a_login_opens_a_registry_until_the_logout,
    a_wrong_password_is_told_as_docker_tells_it,
    a_password_is_typed_without_being_shown,
    a_registry_is_searched,
];

/// Base64 of `user:pass`.
const USER: &str = "dXNlcjpwYXNz";

/// A folder for `config.json`, which is not the person's own.
fn config(world: &World) -> std::path::PathBuf {
    world.home().join("docker")
}

fn kept(folder: &Path) -> String {
    fs::read_to_string(folder.join("config.json")).unwrap_or_default()
}

fn a_login_opens_a_registry_until_the_logout(world: &World) {
    let (folder, server) = (config(world), world.registry().domain());
    let environment = [("DOCKER_CONFIG", folder.as_os_str())];
    let image = format!("{server}/library/hello-world");
    for auth in [Auth::Basic(USER.to_owned()), Auth::Bearer(Some(USER.to_owned()))] {
        world.registry().set_auth(auth);
        world
            .sampan_in(&environment, ["pull", "-q", &image])
            .exits_with(1);
        world
            .sampan_in(&environment, ["login", "-u", "user", "-p", "pass", &server])
            .exits_with(0)
            .prints("Login Succeeded")
            .warns("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
            .warns("stored unencrypted");
        assert!(kept(&folder).contains(USER));
        world.ok_in(&environment, ["pull", "-q", &image]);
        world
            .sampan_in(&environment, ["logout", &server])
            .exits_with(0)
            .prints(&format!("Removing login credentials for {server}"));
        assert!(!kept(&folder).contains(USER));
        world
            .sampan_in(&environment, ["logout", &server])
            .exits_with(0)
            .prints(&format!("Not logged in to {server}"));
    }
}

fn a_wrong_password_is_told_as_docker_tells_it(world: &World) {
    let (folder, server) = (config(world), world.registry().domain());
    let environment = [("DOCKER_CONFIG", folder.as_os_str())];
    world.registry().set_auth(Auth::Bearer(Some(USER.to_owned())));
    world
        .sampan_in(&environment, ["login", "-u", "user", "-p", "wrong", &server])
        .exits_with(1)
        .warns(&format!("Get \"http://{server}/v2/\": unauthorized: "));
    assert_eq!(kept(&folder), "");
}

fn a_password_is_typed_without_being_shown(world: &World) {
    let (folder, server) = (config(world), world.registry().domain());
    world.registry().set_auth(Auth::Basic(USER.to_owned()));
    let environment = [("DOCKER_CONFIG", folder.as_os_str())];
    let mut login = world.terminal_in(&environment, ["login", &server]);
    login.wait_for("Username: ");
    login.type_text("user\r");
    login.wait_for("Password: ");
    login.type_text("pass\r");
    login.wait_for("Login Succeeded");
    let (code, screen) = login.finish();
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        !screen.contains("pass\r") && kept(&folder).contains(USER),
        "{screen}"
    );
}

fn a_registry_is_searched(world: &World) {
    let term = format!("{}/boat", world.registry().domain());
    world.registry().put_search(
        r#"{"results":[{"name":"boat","description":"a \u001b[31mboat","star_count":3,"is_official":true},
           {"name":"ship","description":"","star_count":9}]}"#,
    );
    let found = world.ok(["search", &term]);
    let lines: Vec<&str> = found.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "NAME      DESCRIPTION   STARS     OFFICIAL",
            "ship                    9",
            "boat      a [31mboat    3         [OK]",
        ]
    );
    assert_eq!(
        world.ok([
            "search",
            "--filter",
            "is-official=true",
            "--format",
            "{{.Name}}",
            &term
        ]),
        "boat"
    );
    world
        .sampan(["search", "--limit", "101", &term])
        .exits_with(1)
        .warns("limit 101 is outside the range of [1, 100]");
}
