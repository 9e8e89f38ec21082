//! Programs over libraries that were not written here: the Python SDK, as Debian ships it, and Testcontainers.

use crate::world::World;

/// What needs the Python SDK.
pub const PYTHON: &[super::Scenario] = python::ALL;
/// What needs the program over Testcontainers.
pub const TESTCONTAINERS: &[super::Scenario] = testcontainers::ALL;

mod python {
    use super::World;

    super::super::scenarios![
        a_python_program_runs_containers_and_talks_to_them,
        a_python_program_moves_files_and_images,
        a_python_program_connects_containers_and_hears_of_events,
        a_python_program_is_told_of_errors_by_their_types,
    ];

    /// Runs one function of the program, which ends well if nothing in it was otherwise than with Docker.
    #[track_caller]
    fn run(world: &World, function: &str) {
        world.python(include_str!("sdks.py"), function).exits_with(0);
    }

    fn a_python_program_runs_containers_and_talks_to_them(world: &World) {
        run(world, "containers");
    }

    fn a_python_program_moves_files_and_images(world: &World) {
        run(world, "files_and_images");
    }

    fn a_python_program_connects_containers_and_hears_of_events(world: &World) {
        run(world, "networks_and_events");
    }

    fn a_python_program_is_told_of_errors_by_their_types(world: &World) {
        run(world, "errors");
    }
}

mod testcontainers {
    use super::World;

    super::super::scenarios![a_program_with_testcontainers_goes_through_and_leaves_nothing_behind];

    fn a_program_with_testcontainers_goes_through_and_leaves_nothing_behind(world: &World) {
        world.testcontainers().exits_with(0);
        assert_eq!(world.ok(["ps", "-aq"]), "");
        assert_eq!(world.ok(["volume", "ls", "-q"]), "");
        assert_eq!(
            world.ok(["network", "ls", "--format", "{{.Name}}"]),
            "bridge\nhost\nnone"
        );
    }
}
