//! The computer's clock jumps: it slept, or somebody set it. Only the laptop's may be set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::world::World;

super::scenarios![a_container_that_runs_sees_the_time_that_the_computer_is_set_to];

/// Less than what other scenarios, which run meanwhile, would notice.
const JUMP: Duration = Duration::from_secs(30);

fn a_container_that_runs_sees_the_time_that_the_computer_is_set_to(world: &World) {
    world.ok(["run", "--detach", "--name", "timed", "alpine", "sleep", "600"]);
    let set = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + JUMP;
    let time = Timespec {
        tv_sec: set.as_secs().cast_signed(),
        tv_nsec: i64::from(set.subsec_nanos()),
    };
    clock_settime(ClockId::Realtime, time).unwrap();
    // Far less than the jump for the guest to be told.
    let waits = format!(
        "for turn in $(seq 50); do test $(date +%s) -ge {} && exit 0; sleep 0.1; done; date +%s; exit 1",
        set.as_secs()
    );
    world.ok(["exec", "timed", "sh", "-c", &waits]);
}
