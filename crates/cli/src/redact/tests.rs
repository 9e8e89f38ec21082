//! Secrets in every form and place that is known of, and texts that have none.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn redactor() -> Redactor {
    Redactor::new(Some("/home/ada".to_owned())).unwrap()
}

#[rstest]
#[case("GET https://ada:s3cr3t-pw@registry.test/v2/")]
#[case("proxy http://ada:s3cr3t/-pw@registry.test:3128 refused")]
#[case("proxy ada:s3cr3t-pw@registry.test:3128 refused")]
#[case("Authorization: Basic czNjcjN0LXB3")]
#[case("> proxy-authorization: Digest s3cr3t-pw, x")]
#[case(r#"{"X-Registry-Auth":"s3cr3t-pw"}"#)]
#[case("curl -H 'Authorization: Bearer s3cr3t-pw' https://registry.test")]
#[case("sent bearer s3cr3t-pw.more")]
#[case("sent Basic czNjcjN0LXB3")]
#[case("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyM3QtcHcifQ.s3cr3t-pw")]
#[case("token ghp_s3cr3tpws3cr3tpw here")]
#[case("key sk-s3cr3tpws3cr3tpws3cr3tpw here")]
#[case("password=s3cr3t-pw")]
#[case("DB_PASSWORD: s3cr3t-pw")]
#[case("export PGPASSWORD='s3cr3t-pw with spaces'")]
#[case(r#"{"clientSecret": "s3cr3t-pw \" s3cr3t-pw", "x": 1}"#)]
#[case(r#"body="{\"password\":\"s3cr3t-pw s3cr3t-pw\"}""#)]
#[case("api-key = s3cr3t-pw")]
#[case("https://registry.test/token?access_token=s3cr3t-pw&x=1")]
#[case("server --password s3cr3t-pw --port 80")]
#[case("redis-server --requirepass \"s3cr3t-pw x\"")]
#[case("sh -c 'mysql -u root -ps3cr3t-pw db'")]
#[case("redis-cli -h cache -a s3cr3t-pw ping")]
#[case("sshpass -p s3cr3t-pw ssh host")]
#[case("curl -s -u ada:s3cr3t-pw registry.test")]
#[case("password=\"s3cr3t-pw and the line was cut s3cr3t-pw")]
#[case("-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-pw\nczNjcjN0LXB3\n-----END RSA PRIVATE KEY-----\n")]
#[case("-----BEGIN OPENSSH PRIVATE KEY-----\\ns3cr3t-pw\\n-----END OPENSSH PRIVATE KEY-----")]
#[case("-----BEGIN PRIVATE KEY-----\ns3cr3t-pw and the file was cut")]
#[case("czNjcjN0LXB3\nczNjcjN0LXB3==\n-----END PRIVATE KEY-----\nafter")]
fn a_secret_is_taken_out_of_a_text(#[case] text: &str) {
    let left = redactor().text(text);
    for secret in ["s3cr3t", "czNjcjN0LXB3"] {
        assert!(!left.contains(secret), "{secret} is left in {left}");
    }
    assert!(left.contains(MARK), "{left}");
    assert_eq!(redactor().text(&left), left);
}

#[rstest]
#[case("INFO serving version=\"0.1.0\" address=\"unix:///run/sampan.sock\"")]
#[case("pulled docker.io/library/alpine:3.19@sha256:0123456789abcdef from https://registry.test/v2/")]
#[case("unauthorized: authentication required")]
#[case("basic authentication failed")]
#[case("[    0.012345] Kernel command line: console=ttyS0 reboot=t panic=-1")]
#[case("mount: /var/lib: Permission denied")]
#[case("sh -c 'echo hello > /file' --name web -p 80:80")]
#[case("2026-01-02T03:04:05.678Z  WARN engine::machine: boot failed architecture=arm64")]
fn a_text_without_a_secret_stays_as_it_is(#[case] text: &str) {
    assert_eq!(redactor().text(text), text);
}

#[test]
fn what_stands_around_a_secret_stays() {
    let redactor = redactor();
    assert_eq!(
        redactor.text("GET https://ada:pw@registry.test/v2/ failed"),
        "GET https://REDACTED@registry.test/v2/ failed"
    );
    assert_eq!(
        redactor.text(r#"{"password": "pw", "x": 1}"#),
        r#"{"password": "REDACTED", "x": 1}"#
    );
}

#[test]
fn a_persons_home_is_a_tilde_and_others_have_no_name() {
    let redactor = redactor();
    assert_eq!(
        redactor.text("/home/ada/.local /home/ada, /home/adalbert/x /Users/grace/y C:\\Users\\grace\\z"),
        "~/.local ~, /home/USER/x /Users/USER/y C:\\Users\\USER\\z"
    );
}

#[test]
fn a_container_keeps_the_names_of_its_environment_and_loses_the_values() {
    let container = json!({
        "Name": "/web",
        "Config": {
            "Env": ["PATH=/bin", "GREETING=hello there", "BARE"],
            "Labels": { "owner": "ada", "com.docker.compose.project": "boat", "empty": "" },
        },
        "HostConfig": { "Memory": 1024, "LogConfig": { "Type": "local" } },
    });
    assert_eq!(
        redactor().json(&container),
        json!({
            "Name": "/web",
            "Config": {
                "Env": ["PATH=REDACTED", "GREETING=REDACTED", "BARE"],
                "Labels": { "owner": "REDACTED", "com.docker.compose.project": "boat", "empty": "" },
            },
            "HostConfig": { "Memory": 1024, "LogConfig": { "Type": "local" } },
        })
    );
}

#[rstest]
#[case(&["server", "--password", "pw", "--port", "80"], &["server", "--password", "REDACTED", "--port", "80"])]
#[case(&["server", "--api-key=pw", "x"], &["server", "--api-key=REDACTED", "x"])]
#[case(&["/usr/bin/mysql", "-ppw", "db"], &["/usr/bin/mysql", "-pREDACTED", "db"])]
#[case(&["curl", "--user", "ada:pw", "x"], &["curl", "--user", "REDACTED", "x"])]
#[case(&["nginx", "-p", "/prefix"], &["nginx", "-p", "/prefix"])]
#[case(&["redis-server", "--requirepass", "pw"], &["redis-server", "--requirepass", "REDACTED"])]
fn the_words_of_a_command_lose_their_secrets(#[case] words: &[&str], #[case] left: &[&str]) {
    assert_eq!(redactor().json(&json!({ "Cmd": words })), json!({ "Cmd": left }));
}

#[test]
fn members_that_are_called_like_secrets_lose_what_they_hold() {
    let value =
        json!({ "IdentityToken": "x", "Credentials": { "a": ["b"] }, "OpenStdin": true, "Auth": null });
    let left =
        json!({ "IdentityToken": "REDACTED", "Credentials": "REDACTED", "OpenStdin": true, "Auth": null });
    assert_eq!(redactor().json(&value), left);
}

#[test]
fn what_is_found_in_one_place_is_taken_out_of_every_other() {
    let mut redactor = redactor();
    redactor.learn_json(&json!([
        { "Config": { "Env": ["DB_PASS=correct horse", "BUILD=a1b2c3d4e5f6", "MODE=production"] } },
        { "Args": ["--token", "battery-staple"] },
    ]));
    redactor.learn_url("http://me:with\"quote@proxy:1");
    let text = "connected with correct horse, battery-staple and a1b2c3d4e5f6 in production; with\\\"quote";
    assert_eq!(
        redactor.text(text),
        "connected with REDACTED, REDACTED and REDACTED in production; REDACTED"
    );
}

#[test]
fn a_secret_too_short_to_be_told_from_other_text_is_not_learned() {
    let mut redactor = redactor();
    redactor.learn("a");
    redactor.learn(MARK);
    assert_eq!(redactor.text("a banana REDACTED"), "a banana REDACTED");
}

/// Texts around a secret, with everything that could end or begin a form too early.
fn surroundings() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ -~\n\\\\\"'é]{0,40}").unwrap()
}

proptest! {
    #[test]
    fn a_learned_secret_is_nowhere_in_what_is_left(
        before in surroundings(),
        secret in "[A-Za-z0-9!$&*+,;._~-]{6,30}",
        after in surroundings(),
    ) {
        let mut redactor = redactor();
        redactor.learn(&secret);
        let text = format!("{before}{secret}{after}{secret}");
        prop_assume!(!MARK.contains(&secret));
        let left = redactor.text(&text);
        prop_assert!(!left.contains(&secret), "{}", left);
        let json = redactor.json(&json!({ text.clone(): [text.clone(), { "x": text }] })).to_string();
        prop_assert!(!json.contains(&secret), "{}", json);
    }

    #[test]
    fn no_password_of_a_url_is_left(
        before in surroundings(),
        secret in "[A-Z]{10}",
        tail in "[a-z0-9:/@%]{0,10}",
        after in surroundings(),
    ) {
        let left = redactor().text(&format!("{before} http://ada:{secret}{tail}@host.test/x {after}"));
        prop_assert!(!left.contains(&secret), "{}", left);
    }

    #[test]
    fn no_value_behind_a_secrets_name_is_left(
        name in "(?i:db_password|token|client-secret|api_key|X_AUTH|pgpass)",
        separator in "(=|: | = |\": \"|=\"|='|\\\\\":\\\\\")",
        secret in "[A-Z]{10}",
        tail in "[a-z0-9,;&\\]\\[(){}<>|]{0,10}",
    ) {
        let left = redactor().text(&format!("log {name}{separator}{tail}{secret}{tail}"));
        prop_assert!(!left.contains(&secret), "{}", left);
    }

    #[test]
    fn no_value_of_an_environment_is_left(name in "[A-Z_]{1,10}", value in "[a-z]{12,40}") {
        let value_of = json!({ "Config": { "Env": [format!("{name}={value}")] } });
        let left = redactor().json(&value_of).to_string();
        prop_assert!(!left.contains(&value) && left.contains(&name), "{}", left);
    }

    #[test]
    fn anything_can_be_read(text in any::<String>()) {
        let redactor = redactor();
        redactor.text(&text);
        redactor.json(&json!([text]));
    }
}
