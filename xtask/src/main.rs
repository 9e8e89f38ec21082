//! `cargo xtask`: builds, checks and shows sampan.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::architecture::Architecture;
use xtask::bench::Point;
use xtask::e2e::Acceleration;
use xtask::kernel::Role;
use xtask::{bench, check, demo, deny, e2e, images, init, kernel, laptop, paths, registry, run, share, test};

/// Builds, checks and shows sampan. Each command does its own set-up.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and run containers for you to watch.
    Demo {
        /// Of the machine; this computer's own by default.
        #[arg(long)]
        arch: Option<Architecture>,
    },
    /// Run everything that continuous integration checks.
    Test,
    /// Build every kernel and image.
    Machines,
    /// Build the kernel of an architecture and print its path.
    Kernel {
        #[arg(long)]
        arch: Architecture,
        /// The kernel that is a KVM host under an emulator, for tests.
        #[arg(long)]
        laptop: bool,
    },
    /// Build the initramfs of an architecture and print its path.
    Init {
        #[arg(long)]
        arch: Architecture,
    },
    /// Build kernels and initramfs into the share folder and print its path.
    Share,
    /// Build the release, with its share folder, and print its path.
    Dist,
    /// Build the images of demos and tests, and print their OCI image layouts.
    Images {
        /// Only these.
        names: Vec<String>,
    },
    /// Serve the images from a registry on loopback until standard input ends.
    Registry {
        /// A free one by default.
        #[arg(long)]
        port: Option<u16>,
    },
    /// Run the end-to-end tests against one kind of machine.
    E2e {
        /// Of the machines under test; this machine's own by default.
        #[arg(long)]
        arch: Option<Architecture>,
        #[arg(long, value_enum, default_value = "auto")]
        accel: Acceleration,
        /// Only the tests whose names contain one of these.
        filters: Vec<String>,
    },
    /// Run the end-to-end tests of load and of kills in the whole of their numbers.
    Load {
        /// Of the machines under test; this machine's own by default.
        #[arg(long)]
        arch: Option<Architecture>,
        #[arg(long, value_enum, default_value = "auto")]
        accel: Acceleration,
    },
    /// Run the end-to-end tests in an emulated laptop, on its true KVM.
    Laptop {
        #[arg(long)]
        arch: Architecture,
        /// Only those that the test command runs in its laptop.
        #[arg(long, conflicts_with = "filters")]
        core: bool,
        /// Only the tests whose names contain one of these.
        filters: Vec<String>,
    },
    /// Measure speed and size against what sampan is compared to.
    Bench {
        /// Of the guests; both by default.
        #[arg(long)]
        arch: Vec<Architecture>,
        /// A distribution that was made before (`cargo xtask dist`), in place of building it.
        #[arg(long)]
        dist: Option<PathBuf>,
        /// How often each thing is measured.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// Only these; all by default.
        #[arg(value_enum)]
        points: Vec<Point>,
    },
    /// Type-check the host side for another system.
    Check {
        #[arg(long)]
        target: Vec<String>,
    },
    /// Check licences and origins of the dependencies.
    Deny,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo { arch } => demo::run(arch.map_or_else(Architecture::of_host, Ok)?),
        Command::Test => test::checks(),
        Command::Machines => test::machines(),
        Command::Kernel { arch, laptop } => {
            let role = if laptop { Role::Laptop } else { Role::Guest };
            println!("{}", kernel::build(arch, role)?.display());
            Ok(())
        }
        Command::Init { arch } => {
            println!("{}", init::build(arch)?.display());
            Ok(())
        }
        Command::Share => {
            println!("{}", share::share()?.display());
            Ok(())
        }
        Command::Dist => {
            println!("{}", share::dist()?.display());
            Ok(())
        }
        Command::Images { names } => {
            for image in build_images(&names)? {
                println!("{}\t{}", image.name, image.layout.display());
            }
            Ok(())
        }
        Command::Registry { port } => serve(port),
        Command::E2e { arch, accel, filters } => {
            e2e::run(arch.map_or_else(Architecture::of_host, Ok)?, accel, &filters)
        }
        Command::Load { arch, accel } => e2e::load(arch.map_or_else(Architecture::of_host, Ok)?, accel),
        Command::Laptop { arch, core: true, .. } => laptop::core(arch),
        Command::Laptop { arch, filters, .. } => laptop::end_to_end(arch, &filters),
        Command::Bench {
            arch,
            dist,
            runs,
            points,
        } => {
            let dist = dist.map_or_else(share::dist, Ok)?;
            let all = Architecture::ALL.to_vec();
            bench::bench(dist, if arch.is_empty() { &all } else { &arch }, &points, runs)
        }
        Command::Check { target } if target.is_empty() => {
            check::TARGETS.iter().try_for_each(|target| check::target(target))
        }
        Command::Check { target } => target.iter().try_for_each(|target| check::target(target)),
        Command::Deny => deny::check(),
    }
}

fn build_images(names: &[String]) -> Result<Vec<images::Image>> {
    if names.is_empty() {
        images::build_all()
    } else {
        names.iter().map(|name| images::build(name)).collect()
    }
}

fn serve(port: Option<u16>) -> Result<()> {
    let images = images::build_all()?;
    let storage = paths::cache().join("registry");
    let registry = match port {
        Some(port) => registry::Registry::start_at(&storage, port)?,
        None => registry::Registry::start(&storage)?,
    };
    images.iter().try_for_each(|image| image.push(&registry))?;
    for image in &images {
        run::step(&format!(
            "localhost:{}/{}:{}",
            registry.port(),
            image.name,
            image.tags.join(", ")
        ));
    }
    println!("{}", registry.address());
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
