//! `sampan service`: the engine and its API, until a signal ends it.

use std::io::Write;

use api::Server;
use engine::Engine;
use tracing_subscriber::EnvFilter;

use crate::arguments::ServiceArguments;
use crate::autostart::READY;
use crate::failure::{Failure, Result};
use crate::settings::{self, Settings};
use crate::sys;

/// Runs the service. Detached, it tells on stdout when it is ready, or why it is not.
pub(crate) fn run(arguments: ServiceArguments) -> Result<()> {
    let detached = arguments.detached;
    let served = serve(arguments);
    if let (true, Err(failure)) = (detached, &served) {
        // Whoever started this reads it there; the log has it too.
        let _ = writeln!(std::io::stdout(), "{}", failure.message);
    }
    served
}

fn serve(arguments: ServiceArguments) -> Result<()> {
    log_to_stderr();
    if arguments.detached {
        sys::leave_session()?;
    }
    sys::raise_descriptor_limit();
    let home = settings::home()?;
    let socket = arguments
        .socket
        .clone()
        .unwrap_or_else(|| sys::socket_path(&home));
    let settings = Settings::load(&home)?.overlaid(arguments.settings());
    let config = settings.engine(home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let mut signals = sys::Signals::ending()?;
        let engine = Engine::open(config).map_err(|error| Failure::new(error.to_string()))?;
        let server =
            Server::bind(engine.clone(), &socket).map_err(|error| Failure::new(error.to_string()))?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            address = sys::address(&socket),
            "serving"
        );
        if arguments.detached {
            announce()?;
        }
        let served = server.run(async move {
            let signal = signals.next().await;
            tracing::info!(signal, "ending");
        });
        let served = served.await.map_err(|error| Failure::new(error.to_string()));
        engine.shutdown().await;
        served
    })
}

/// Sends this process's log to stderr; `SAMPAN_LOG` chooses how much of it.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SAMPAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// Tells the client that started this service that it can connect.
fn announce() -> Result<()> {
    let mut stdout = std::io::stdout();
    // A client that gave up meanwhile is no reason not to serve the next.
    let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
    sys::silence_stdout()?;
    Ok(())
}
