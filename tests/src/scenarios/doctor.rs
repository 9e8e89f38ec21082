//! `doctor`: what is wrong is found and told with what to do, and a report of it has no secret.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::world::{Auth, Kind, Output, World};

super::scenarios![
    a_world_in_order_has_no_error,
    without_qemu_the_machine_that_needs_it_is_an_error,
    a_bad_proxy_is_told_and_this_computer_is_reached_past_it,
    a_registry_is_reached_through_the_proxy_that_the_service_knows,
    a_registry_whose_name_is_not_found_is_a_warning,
    a_missing_layer_is_told_and_a_pull_brings_it_back,
    a_cut_layer_is_told_and_mended_as_advised,
    a_lost_data_disk_is_told_with_what_was_on_it,
    a_guest_whose_clock_is_off_is_told,
    a_service_that_does_not_start_is_told_with_the_reason,
    another_engine_is_told_to_be_one,
    a_report_has_what_is_needed_and_no_secret,
    a_report_is_written_without_a_service_too,
];

/// The line of a finding, whose subject and text begin so.
#[track_caller]
fn finding<'a>(output: &'a Output, begin: &str) -> &'a str {
    output
        .stdout
        .lines()
        .find(|line| line.get(9..).is_some_and(|line| line.starts_with(begin)))
        .unwrap_or_else(|| panic!("no finding begins with {begin:?} in {output}"))
}

fn default_machine(world: &World) -> String {
    format!("linux/{}", world.kind().architecture)
}

fn a_world_in_order_has_no_error(world: &World) {
    world.ok(["run", "--name", "done", "alpine", "true"]);
    let output = world.sampan(["doctor"]).exits_with(0);
    let machine = default_machine(world);
    for ok in [
        "version: client and service are sampan",
        "engine: this user's own service at unix://",
        "records: the database is readable; 1 container",
        "images: 1 image with",
        "leftovers: no half-done download",
        &format!("{machine} machine: running as process"),
        &format!("{machine} data disk: "),
        &format!("{machine} clock: the guest's clock is the computer's"),
        &format!("{machine} room: containers and volumes have"),
    ] {
        assert!(finding(&output, ok).starts_with("ok "), "{output}");
    }
    let findings = world.ok(["doctor", "--format", "json"]);
    let findings: serde_json::Value = serde_json::from_str(&findings).unwrap();
    assert!(findings.as_array().unwrap().len() > 10);
    assert_eq!(findings[0]["severity"], "ok");
}

fn without_qemu_the_machine_that_needs_it_is_an_error(_: &World) {
    let kind = Kind {
        acceleration: "tcg".to_owned(),
        ..Kind::from_environment()
    };
    let world = World::of(kind, "", Path::new("/tmp"));
    let output = world
        .sampan_in(&[("PATH", OsStr::new("/nowhere"))], ["doctor"])
        .exits_with(1);
    let machine = default_machine(&world);
    assert!(finding(&output, &format!("QEMU for {machine}: ")).starts_with("warning"));
    let accelerated = finding(&output, &format!("{machine} acceleration: "));
    assert!(accelerated.starts_with("error"), "{output}");
    assert!(accelerated.contains("is not in PATH"), "{output}");
}

fn a_bad_proxy_is_told_and_this_computer_is_reached_past_it(world: &World) {
    let environment = [
        ("HTTP_PROXY", OsStr::new("http://127.0.0.1:1")),
        ("HTTPS_PROXY", OsStr::new("socks5://ada:Proxy-Secret@127.0.0.1:1")),
        ("NO_PROXY", OsStr::new("*.corp.test")),
    ];
    // The world's registry is on this computer, where no proxy is asked.
    world.ok_in(&environment, ["pull", "-q", "alpine"]);
    let output = world.sampan_in(&environment, ["doctor"]).exits_with(0);
    for warning in [
        "proxy: HTTPS_PROXY is \"socks5://xxxxx:xxxxx@127.0.0.1:1\", and sampan speaks to HTTP proxies only",
        "proxy: NO_PROXY has \"*.corp.test\", which matches nothing",
        "proxy: 127.0.0.1:1 cannot be reached: ",
    ] {
        assert!(finding(&output, warning).starts_with("warning"), "{output}");
    }
    assert!(!output.stdout.contains("Proxy-Secret"), "{output}");
    let output = world.sampan(["doctor"]).exits_with(0);
    let told =
        "proxy: HTTP_PROXY is nothing in this shell, and http://127.0.0.1:1 for the service, which pulls";
    assert!(finding(&output, told).starts_with("warning"), "{output}");
    world.sampan(["info"]).prints(" HTTP Proxy: http://127.0.0.1:1\n");
}

fn a_registry_is_reached_through_the_proxy_that_the_service_knows(_: &World) {
    let world = World::with_settings("insecure-registries = [\"registry.invalid\"]\n");
    let url = world.registry().url();
    let environment = [("HTTP_PROXY", OsStr::new(&url))];
    world.ok_in(&environment, ["pull", "-q", "registry.invalid/library/alpine"]);
    let output = world.sampan_in(&environment, ["doctor"]);
    let told = format!("proxy: {} takes connections", world.registry().domain());
    assert!(finding(&output, &told).starts_with("ok "), "{output}");
}

fn a_registry_whose_name_is_not_found_is_a_warning(_: &World) {
    let world = World::with_settings("insecure-registries = [\"registry.invalid:5000\"]\n");
    let output = world.sampan(["doctor"]).exits_with(0);
    let told = finding(&output, "DNS: registry.invalid is not found: ");
    assert!(told.starts_with("warning"), "{output}");
    output.prints("images that are here run without it");
}

/// A layer of `alpine` in the store.
fn layer(world: &World) -> PathBuf {
    let layers = fs::read_dir(world.home().join("store/layers")).unwrap();
    let mut layers = layers.flatten().map(|entry| entry.path());
    layers
        .find(|path| path.extension() == Some(OsStr::new("erofs")))
        .unwrap()
}

fn a_missing_layer_is_told_and_a_pull_brings_it_back(world: &World) {
    world.ok(["pull", "-q", "alpine"]);
    let layer = layer(world);
    fs::remove_file(&layer).unwrap();
    let output = world.sampan(["doctor"]).exits_with(1);
    let told = format!(
        "images: {} is missing, and the image alpine:latest needs it",
        layer.display()
    );
    assert!(finding(&output, &told).starts_with("error"), "{output}");
    output.prints("-> `sampan pull alpine:latest` fetches it again\n");
    world.ok(["pull", "-q", "alpine:latest"]);
    world.sampan(["doctor"]).exits_with(0);
    world.ok(["run", "--rm", "alpine", "true"]);
}

fn a_cut_layer_is_told_and_mended_as_advised(world: &World) {
    world.ok(["pull", "-q", "alpine"]);
    let layer = layer(world);
    let file = fs::OpenOptions::new().write(true).open(&layer).unwrap();
    file.set_len(8192).unwrap();
    let output = world.sampan(["doctor"]).exits_with(1);
    let told = format!("images: {} is damaged (it has 8192 bytes and", layer.display());
    assert!(finding(&output, &told).starts_with("error"), "{output}");
    output.prints(&format!(
        "-> delete {} and `sampan pull alpine:latest`\n",
        layer.display()
    ));
    fs::remove_file(&layer).unwrap();
    world.ok(["pull", "-q", "alpine:latest"]);
    world.sampan(["doctor"]).exits_with(0);
}

fn a_lost_data_disk_is_told_with_what_was_on_it(world: &World) {
    world.ok(["run", "--name", "keeper", "-v", "data:/data", "alpine", "true"]);
    world.ok(["machine", "stop"]);
    let disk = format!("machines/{}/data.img", world.kind().architecture);
    fs::remove_file(world.home().join(disk)).unwrap();
    let output = world.sampan(["doctor"]).exits_with(1);
    let told = finding(&output, &format!("{} data disk: ", default_machine(world)));
    assert!(told.starts_with("error"), "{output}");
    assert!(
        told.ends_with("is missing; 1 container and 1 volume had their files on it"),
        "{told}"
    );
}

fn a_guest_whose_clock_is_off_is_told(world: &World) {
    world.ok([
        "run",
        "--rm",
        "--privileged",
        "alpine",
        "date",
        "-s",
        "@1000000000",
    ]);
    let output = world.sampan(["doctor"]).exits_with(0);
    let told = finding(&output, &format!("{} clock: ", default_machine(world)));
    assert!(
        told.starts_with("warning") && told.ends_with("seconds behind the computer's"),
        "{output}"
    );
    world.ok(["machine", "stop"]);
    world.ok(["run", "--rm", "alpine", "true"]);
    let output = world.sampan(["doctor"]);
    let told = finding(&output, &format!("{} clock: ", default_machine(world)));
    assert!(told.starts_with("ok "), "{output}");
}

/// Keeps the service from starting.
fn break_settings(world: &World) {
    world.ok(["service", "stop"]);
    let path = world.home().join("config.toml");
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"\n[unheard-of]\n").unwrap();
}

fn a_service_that_does_not_start_is_told_with_the_reason(world: &World) {
    break_settings(world);
    let output = world.sampan(["doctor"]).exits_with(1);
    assert!(finding(&output, "service: ").starts_with("error"), "{output}");
    let told = finding(&output, "settings: ");
    assert!(
        told.starts_with("error") && told.contains("config.toml"),
        "{output}"
    );
    output.prints("-> mend config.toml in SAMPAN_HOME");
}

fn another_engine_is_told_to_be_one(world: &World) {
    world.ok(["ps"]);
    let address = format!("unix://{}", world.home().join("sampan.sock").display());
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    let environment = [
        ("DOCKER_HOST", OsStr::new(&address)),
        ("SAMPAN_HOME", elsewhere.path().as_os_str()),
    ];
    let output = world.sampan_in(&environment, ["doctor"]).exits_with(0);
    let told = format!("engine: commands go to {address}, because DOCKER_HOST says so");
    assert!(finding(&output, &told).starts_with("warning"), "{output}");
    let report = elsewhere.path().join("report.tar.gz");
    world
        .sampan_in(
            &environment,
            [OsStr::new("doctor"), OsStr::new("--archive"), report.as_os_str()],
        )
        .exits_with(1)
        .warns("this user's own service");
}

/// The files of a report, by their names.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name.strip_prefix("sampan-report/").unwrap().to_owned(), text);
    }
    files
}

fn a_report_has_what_is_needed_and_no_secret(world: &World) {
    let home = world.home().display().to_string();
    let config = fs::OpenOptions::new()
        .append(true)
        .open(world.home().join("config.toml"));
    writeln!(
        config.unwrap(),
        "\"other.test\" = [\"https://ada:Mirror-Secret-0@mirror.test\"]"
    )
    .unwrap();
    let docker = world.home().join("docker");
    let environment = [
        ("DOCKER_CONFIG", docker.as_os_str()),
        ("HTTPS_PROXY", OsStr::new("http://ada:Proxy-Secret-1@127.0.0.1:1")),
        ("HOME", OsStr::new("/home/ada-lovelace")),
        ("XDG_DATA_HOME", OsStr::new("/home/ada-lovelace/data")),
    ];
    let run = |arguments: &[&str]| world.ok_in(&environment, arguments);
    run(&[
        "run",
        "-d",
        "--name",
        "holder",
        "-e",
        "DB_PASSWORD=Container-Secret-2",
        "-e",
        "GREETING=Unlikely Greeting",
        "--label",
        "owner=Label-Secret-3",
        "alpine",
        "sleep",
        "86400",
    ]);
    run(&[
        "create",
        "--name",
        "arguments",
        "alpine",
        "server",
        "--password",
        "Argument-Secret-4",
        "--api-key=Argument-Secret-5",
        "https://ada:Argument-Secret-6@host.test/",
    ]);
    // Base64 of `ada:Registry-Secret-7`.
    let auth = "YWRhOlJlZ2lzdHJ5LVNlY3JldC03";
    world.registry().set_auth(Auth::Basic(auth.to_owned()));
    run(&[
        "login",
        "-u",
        "ada",
        "-p",
        "Registry-Secret-7",
        &world.registry().domain(),
    ]);
    let log = fs::OpenOptions::new()
        .append(true)
        .open(world.home().join("service.log"));
    write!(
        log.unwrap(),
        "a line of before: Container-Secret-2 Registry-Secret-7\nAuthorization: Bearer Log-Secret-8\n\
         db_password=Log-Secret-9\n-----BEGIN PRIVATE KEY-----\nTG9nLVNlY3JldC0xMAo\n-----END PRIVATE KEY-----\n"
    )
    .unwrap();
    let path = world.home().join("report.tar.gz");
    let archive = |more: &[&str]| {
        let mut arguments = vec!["doctor", "--archive", path.to_str().unwrap()];
        arguments.extend(more);
        world.sampan_in(&environment, arguments)
    };
    archive(&[])
        .exits_with(0)
        .prints(&format!("{home}/report.tar.gz: "))
        .prints("Look at it before you send it");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    archive(&[]).exits_with(1).warns("is there already");
    archive(&["--force"]).exits_with(0);

    let files = unpacked(&path);
    let forbidden = [
        "Secret-",
        "Unlikely Greeting",
        auth,
        "TG9nLVNlY3JldC0xMAo",
        "ada-lovelace",
    ];
    for (name, text) in &files {
        for secret in &forbidden {
            assert!(!text.contains(secret), "{secret} is in {name}: {text}");
        }
    }
    let architecture = &world.kind().architecture;
    let kernel_log = format!("machines/{architecture}-kernel.log");
    let vmm_log = format!("machines/{architecture}-vmm.log");
    let machine = format!("machines/{architecture}.json");
    for (name, needed) in [
        ("README.txt", "containers.json"),
        ("findings.txt", "records: the database is readable; 2 containers"),
        ("findings.json", "\"subject\": \"records\""),
        ("version.json", "\"ApiVersion\""),
        ("info.json", "\"HttpsProxy\": \"http://REDACTED@127.0.0.1:1\""),
        ("config.toml", "acceleration"),
        ("environment.txt", "XDG_DATA_HOME=~/data"),
        ("containers.json", "DB_PASSWORD=REDACTED"),
        ("containers.json", "\"Status\": \"running\""),
        ("containers.json", "\"--api-key=REDACTED\""),
        ("images.json", "alpine:latest"),
        ("networks.json", "bridge"),
        ("volumes.json", "Volumes"),
        ("logs/service.log", "serving"),
        ("logs/service.log", "a line of before: REDACTED REDACTED\n"),
        (&machine, "\"State\": \"running\""),
        (&kernel_log, "Linux version"),
        (&vmm_log, ""),
        ("disk.txt", "data.img"),
    ] {
        let text = files
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing in {:?}", files.keys()));
        assert!(text.contains(needed), "{needed:?} is not in {name}: {text}");
    }
}

fn a_report_is_written_without_a_service_too(world: &World) {
    world.ok(["run", "--rm", "alpine", "true"]);
    break_settings(world);
    let path = world.home().join("report.tar.gz");
    world
        .sampan([OsStr::new("doctor"), OsStr::new("--archive"), path.as_os_str()])
        .exits_with(0)
        .prints("could not be had");
    let files = unpacked(&path);
    assert!(
        files["README.txt"].contains("GET /version: MISSING"),
        "{}",
        files["README.txt"]
    );
    assert!(
        files["findings.txt"].contains("error    service: "),
        "{}",
        files["findings.txt"]
    );
    assert!(files["config.toml"].contains("[unheard-of]"));
    assert!(files["logs/service.log"].contains("serving"));
    assert!(files["disk.txt"].contains("data.img"));
    assert!(!files.contains_key("version.json"));
}
