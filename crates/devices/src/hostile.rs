//! A hostile driver: any bytes as guest memory and queue set-up, for every device's handling of its descriptors.
//!
//! The property test below and the fuzz target in `fuzz/` share it. Nothing is asserted but that it returns: a panic,
//! an endless loop or memory without bound is the defect.

use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Queue;
use crate::blk::{Backing, FileDisk, Handler, Layers};
use crate::queue::testing::{MEMORY_SIZE, memory};
use crate::sys::poll::Poller;
use crate::vsock::{Folder, Switch};
use crate::worker::Line;
use crate::worker::testing::{Bell, serve_all};

/// Bytes of a queue's set-up: size, available index, three addresses.
const SETUP: usize = 16;

/// Lets the driver that `data` describes loose on one device.
pub fn run(data: &[u8]) {
    let Some((device, data)) = data.split_first() else {
        return;
    };
    let Some((first, data)) = data.split_first_chunk::<SETUP>() else {
        return;
    };
    let Some((second, content)) = data.split_first_chunk::<SETUP>() else {
        return;
    };
    let memory = memory();
    fill(&memory, content);
    let (first, second) = (queue(first, &memory), queue(second, &memory));
    match device % 6 {
        0 => blk(&memory, &first, false),
        1 => blk(&memory, &first, true),
        2 => serve_all(&mut crate::rng::Handler, 0, &first, &memory),
        3 => serve_all(&mut crate::balloon::Handler, 0, &first, &memory),
        4 => serve_all(&mut crate::balloon::Handler, 2, &first, &memory),
        _ => vsock(&memory, &first, &second),
    }
}

/// The content, repeated over all of memory in blocks, so that addresses anywhere find some of it.
fn fill(memory: &GuestMemoryMmap, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    let block: Vec<u8> = content.iter().copied().cycle().take(0x4000).collect();
    for at in (0..MEMORY_SIZE as u64).step_by(block.len()) {
        let _ = memory.write_slice(&block, GuestAddress(at));
    }
}

fn queue(setup: &[u8; SETUP], memory: &GuestMemoryMmap) -> Queue {
    let setup = u128::from_le_bytes(*setup);
    let mut queue = Queue::new(256);
    queue.set_size(1 << (setup & 7));
    let start = (setup >> 3) as u16;
    queue.set_next_avail(start);
    queue.set_next_used(start);
    queue.set_event_idx(setup >> 19 & 1 != 0);
    // Mostly aligned and inside of memory, as little is tried otherwise.
    let address = |shift: u32| Some((setup >> shift) as u32 & 0x0f_fff0);
    let available = address(44);
    queue.set_desc_table_address(address(20), None);
    queue.set_avail_ring_address(available, None);
    queue.set_used_ring_address(address(68), None);
    queue.set_ready(true);
    // Something is on offer.
    let offered = start.wrapping_add((setup >> 92) as u16 % 64);
    let _ = memory.write_obj(
        offered,
        GuestAddress(u64::from(available.unwrap_or_default()) + 2),
    );
    queue
}

fn blk(memory: &GuestMemoryMmap, queue: &Queue, layers: bool) {
    let backing: Arc<dyn Backing> = if layers {
        Arc::new(Layers::new().disk())
    } else {
        let Ok(disk) = tempfile::tempfile().and_then(|file| {
            file.set_len(1 << 20)?;
            FileDisk::new(file, false)
        }) else {
            return;
        };
        Arc::new(disk)
    };
    serve_all(&mut Handler::new("disk", backing), 0, queue, memory);
}

fn vsock(memory: &GuestMemoryMmap, receive: &Queue, transmit: &Queue) {
    let line = |queue: &Queue| Line::attach(queue, memory, Arc::new(Bell::default())).ok();
    let (Some(mut receive), Some(mut transmit), Ok(poller)) = (line(receive), line(transmit), Poller::new())
    else {
        return;
    };
    // No port is served here.
    let mut switch = Switch::new(3, Folder::new("/nonexistent".as_ref()), poller);
    for _ in 0..4 {
        if switch.turn_once(&mut receive, &mut transmit).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::run;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn any_driver_is_survived(data in prop::collection::vec(any::<u8>(), 33..600)) {
            run(&data);
        }

        #[test]
        fn any_small_driver_is_survived(data in prop::collection::vec(0u8..8, 33..300)) {
            run(&data);
        }
    }
}
