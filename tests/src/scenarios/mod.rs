//! What sampan does, one behaviour a function.

mod archives;
mod bad_host;
mod bad_registry;
mod clients;
mod clock;
mod compose;
mod contexts;
mod crash;
mod doctor;
mod exec;
mod explain;
mod faults;
mod files;
mod first_run;
mod hostile_clients;
mod hostile_images;
mod idle;
mod isolation;
mod lifecycle;
mod limits;
mod load;
mod login;
mod logs;
mod networks;
mod policies;
mod push;
mod sdks;
mod sizes;
mod streams;
mod terminal;
mod version;
mod volumes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::world::{Kind, Shared, World, namespaces_are_possible};

/// Bytes of a log that are shown.
const LOG_END: usize = 8 << 10;

type Scenario = (&'static str, fn(&World));

/// A list of scenarios under their own names.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        /// The scenarios of this file.
        pub const ALL: &[crate::scenarios::Scenario] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}
use scenarios;

/// Every scenario as a trial. The shared world goes to those that leave it as it was.
pub fn all(shared: &Shared) -> Vec<Trial> {
    let in_shared = [
        exec::ALL,
        files::ALL,
        isolation::ALL,
        lifecycle::ALL,
        limits::ALL,
        logs::ALL,
        networks::ALL,
        streams::ALL,
        terminal::ALL,
        version::ALL,
        volumes::ALL,
    ];
    let kind = Kind::from_environment();
    let in_own = [
        archives::ALL,
        bad_host::ALL,
        bad_registry::ALL,
        contexts::ALL,
        crash::ALL,
        explain::ALL,
        doctor::ALL,
        faults::ALL,
        first_run::ALL,
        hostile_clients::ALL,
        hostile_images::ALL,
        idle::ALL,
        load::ALL,
        login::ALL,
        policies::ALL,
        push::ALL,
        sizes::ALL,
        if kind.docker.is_some() { clients::ALL } else { &[] },
        if kind.docker.is_some() { compose::ALL } else { &[] },
        if kind.python.is_some() { sdks::PYTHON } else { &[] },
        if kind.testcontainers.is_some() {
            sdks::TESTCONTAINERS
        } else {
            &[]
        },
        if kind.docker.is_some() {
            contexts::with_docker::ALL
        } else {
            &[]
        },
        if kind.laptop { clock::ALL } else { &[] },
        if namespaces_are_possible() {
            bad_host::apart::ALL
        } else {
            &[]
        },
    ];
    let shared_trials = in_shared.into_iter().flatten().map(|&(name, scenario)| {
        let shared = shared.clone();
        trial(name, move || scenario(&shared.world()))
    });
    let own_trials = in_own
        .into_iter()
        .flatten()
        .map(|&(name, scenario)| trial(name, move || scenario(&World::new())));
    own_trials.chain(shared_trials).collect()
}

fn trial(name: &'static str, run: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.strip_prefix("e2e::scenarios::").unwrap_or(name);
    Trial::test(name, move || {
        let _watched = Watchdog::new(name);
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failed::from(text.unwrap_or_else(|| "the scenario panicked".to_owned()))
        })
    })
}

/// Lets a scenario that fails tell first what its services and machines have to say: their folders go with it.
pub fn print_logs_of_failures() {
    let message = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print_logs();
        message(panic);
    }));
}

/// What every service and machine of this run has to say.
fn print_logs() {
    let folders = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let homes = folders(Path::new("/tmp"));
    let homes = homes.iter().filter(|home| home.join("service.lock").exists());
    for home in homes {
        let mut logs = vec![home.join("service.log")];
        for machine in folders(&home.join("machines")) {
            logs.extend(
                folders(&machine)
                    .into_iter()
                    .filter(|path| path.extension().is_some_and(|kind| kind == "log")),
            );
        }
        for log in logs {
            let text = std::fs::read(&log).unwrap_or_default();
            let end = text.get(text.len().saturating_sub(LOG_END)..).unwrap_or_default();
            println!("--- {}\n{}", log.display(), String::from_utf8_lossy(end));
        }
    }
}

/// Ends the whole run when a scenario hangs: nothing else can, and a build machine waits for hours.
struct Watchdog(#[allow(dead_code, reason = "its end is what is told")] Sender<()>);

impl Watchdog {
    /// Seconds. No scenario takes so long on the slowest machine, with all that a load test asks for or with less.
    const PATIENCE: (usize, usize) = (3600, 600);

    fn new(scenario: &'static str) -> Self {
        let (sender, ended) = channel();
        let patience = Duration::from_secs(load::amount(Self::PATIENCE.0, Self::PATIENCE.1) as u64);
        std::thread::spawn(move || {
            if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                println!("{scenario} hangs: the others are not run");
                print_logs();
                std::process::exit(1);
            }
        });
        Self(sender)
    }
}
