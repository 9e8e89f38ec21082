//! What the image `hello-world` says: that all of it works, and how the words came to be seen.

use std::io::Write as _;
use std::process::ExitCode;

/// The architecture by Docker's name.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

fn greeting() -> String {
    format!(
        "
Hello from sampan!
Your machine runs containers: this one is linux/{ARCHITECTURE}.

These words took four steps to reach you:
 1. Your command asked the sampan service for a container of the image \"hello-world\".
 2. The service had no such image, or had it from before; from its registry it takes the
    variant for {ARCHITECTURE}, and checks every byte of it.
 3. A small Linux machine, which the service starts when it is needed, ran this program in
    a container of its own.
 4. What the program wrote came back through the service to your terminal.

For a look around from the inside, try:
 $ sampan run -it alpine sh

"
    )
}

fn main() -> ExitCode {
    match std::io::stdout().lock().write_all(greeting().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_its_architecture() {
        assert!(greeting().starts_with("\nHello from sampan!\n"));
        assert!(greeting().contains(&format!("linux/{ARCHITECTURE}")));
    }
}
