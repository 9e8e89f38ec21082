//! The thread that serves a device's queues.
//!
//! It sleeps until the driver kicks a queue or the device is reset, then works until the queues are empty. A queue
//! that the driver broke is served no more; the others go on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use vm_memory::GuestMemoryMmap;

use crate::device::{ActivateError, Activation, ActiveQueue, Interrupt};
use crate::queue::{QueueError, Ring};
use crate::sys::poll::{Poller, Reports};
use crate::{Event, Queue};

/// What a device does with its queues.
pub(crate) trait Serve: Send + 'static {
    /// Handles chains of queue `index` that are available, all of them or some; it is called again as long as there
    /// are more. What it gives back is published after the call at the latest.
    fn serve<'m>(&mut self, index: usize, line: &mut Line<'m>) -> Result<(), QueueError>;
}

/// A ring with its interrupt.
pub(crate) struct Line<'m> {
    pub(crate) ring: Ring<'m>,
    pub(crate) memory: &'m GuestMemoryMmap,
    interrupt: Arc<dyn Interrupt>,
    /// Bytes in the chains that were given back and are kept from the driver.
    held: usize,
    /// The driver is to be interrupted for what it was shown.
    owed: bool,
    /// Chains that it was shown since it was interrupted last.
    shown: u16,
}

/// What [`Line::publish_lazily`] keeps from the driver is at most this much, so that a driver which sends much finds
/// the same few pages again, still in the processor's cache.
const MAX_HELD: usize = 4096;

impl<'m> Line<'m> {
    pub(crate) fn attach(
        queue: &Queue,
        memory: &'m GuestMemoryMmap,
        interrupt: Arc<dyn Interrupt>,
    ) -> Result<Self, QueueError> {
        Ok(Self {
            ring: Ring::attach(queue, memory)?,
            memory,
            interrupt,
            held: 0,
            owed: false,
            shown: 0,
        })
    }

    /// Gives a chain that held `bytes` back, without having written to it.
    pub(crate) fn give_sent(&mut self, head: u16, bytes: usize) {
        self.ring.give(head, 0);
        self.held = self.held.saturating_add(bytes);
    }

    /// Shows the driver what was given back, and interrupts it if it wishes; says whether it was.
    pub(crate) fn publish(&mut self) -> bool {
        self.show();
        if !self.owed {
            return false;
        }
        self.owed = false;
        self.shown = 0;
        self.interrupt.trigger();
        true
    }

    /// The same for a driver that has little use for what it is shown. Few bytes are kept from it, more are shown
    /// without an interrupt, and only half of a queue interrupts it. [`Line::publish`] must follow soon: the driver
    /// may wait.
    pub(crate) fn publish_lazily(&mut self) {
        let half = self.ring.size() / 2;
        if self.held > MAX_HELD || self.ring.unpublished() >= half {
            self.show();
        }
        if self.shown >= half {
            self.publish();
        }
    }

    fn show(&mut self) {
        self.held = 0;
        self.shown = self.shown.saturating_add(self.ring.unpublished());
        self.owed |= self.ring.publish();
    }

    /// Whether the driver is still to be shown something, or to be interrupted.
    pub(crate) fn owes(&self) -> bool {
        self.owed || self.ring.unpublished() > 0
    }

    /// Another queue of the device interrupted the driver. Over MMIO, as here always, a device has one interrupt for
    /// all its queues (virtio 1.3, section 4.2.2, InterruptStatus), so the driver looks at this queue as well.
    pub(crate) fn interrupted(&mut self) {
        self.owed = false;
        self.shown = 0;
    }
}

/// Ends a worker from outside.
pub(crate) struct Stop {
    pub(crate) event: Event,
    asked: Arc<AtomicBool>,
}

impl Stop {
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A running worker thread.
pub(crate) struct Worker {
    stop: Stop,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a thread that ends soon after its [`Stop`] rings.
    pub(crate) fn spawn(name: &str, body: impl FnOnce(Stop) + Send + 'static) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let stop = Stop {
            event: Event::new()?,
            asked,
        };
        let inner = Stop {
            event: stop.event.try_clone()?,
            asked: stop.asked.clone(),
        };
        // Linux shows 15 characters of a thread's name.
        let thread = Builder::new().name(name.to_owned()).spawn(move || body(inner))?;
        Ok(Self { stop, thread })
    }

    /// Starts a thread that serves `activation` with `handler`.
    pub(crate) fn serve(
        name: &'static str,
        handler: impl Serve,
        activation: Activation,
        queues: usize,
    ) -> Result<Self, ActivateError> {
        check_queues(&activation, queues)?;
        let poller = Poller::new()?;
        for (index, queue) in activation.queues.iter().enumerate() {
            queue.kick.watch(&poller, index)?;
        }
        Ok(Self::spawn(name, move |stop| {
            if let Err(error) = run(name, handler, activation, &poller, &stop) {
                tracing::error!(device = name, %error, "the device's worker cannot wait for its queues");
            }
        })?)
    }

    /// Stops the thread and waits until it is gone.
    pub(crate) fn stop(self) {
        self.stop.asked.store(true, Ordering::Relaxed);
        self.stop.event.signal();
        if self.thread.join().is_err() {
            tracing::error!("a device's worker panicked");
        }
    }
}

pub(crate) fn check_queues(activation: &Activation, expected: usize) -> Result<(), ActivateError> {
    match activation.queues.len() {
        found if found == expected => Ok(()),
        found => Err(ActivateError::QueueCount { expected, found }),
    }
}

fn run(
    name: &'static str,
    mut handler: impl Serve,
    activation: Activation,
    poller: &Poller,
    stop: &Stop,
) -> io::Result<()> {
    let stop_key = activation.queues.len();
    stop.event.watch(poller, stop_key)?;
    let memory = &activation.memory;
    let mut lines: Vec<Option<Line<'_>>> = activation
        .queues
        .iter()
        .map(|queue| attach(name, queue, memory))
        .collect();
    let mut reports = Reports::default();
    // A kick from before the start may have gone to nobody.
    let mut kicked: Vec<usize> = (0..lines.len()).collect();
    loop {
        for index in kicked.drain(..) {
            if let Some(slot) = lines.get_mut(index)
                && let Some(Err(error)) = slot.as_mut().map(|line| drain(&mut handler, index, line, stop))
            {
                tracing::warn!(device = name, queue = index, %error, "the guest broke a queue");
                *slot = None;
            }
        }
        for ready in poller.wait(&mut reports, None)? {
            if ready.key == stop_key {
                return Ok(());
            }
            if let Some(queue) = activation.queues.get(ready.key) {
                queue.kick.acknowledge(poller);
                kicked.push(ready.key);
            }
        }
    }
}

pub(crate) fn attach<'m>(
    name: &'static str,
    queue: &ActiveQueue,
    memory: &'m GuestMemoryMmap,
) -> Option<Line<'m>> {
    match Line::attach(&queue.queue, memory, queue.interrupt.clone()) {
        Ok(line) => Some(line),
        Err(QueueError::NotReady) => None,
        Err(error) => {
            tracing::warn!(device = name, %error, "the guest set a queue up wrongly");
            None
        }
    }
}

/// Serves a queue until it is empty.
pub(crate) fn drain(
    handler: &mut impl Serve,
    index: usize,
    line: &mut Line<'_>,
    stop: &Stop,
) -> Result<(), QueueError> {
    loop {
        line.ring.disable_kicks();
        let served = handler.serve(index, line);
        line.publish();
        served?;
        if stop.asked() || !line.ring.enable_kicks()? {
            return Ok(());
        }
    }
}

#[cfg(any(test, feature = "hostile"))]
pub(crate) mod testing {
    //! Serving a queue without a thread.

    use super::*;

    /// Counts interrupts.
    #[derive(Default)]
    pub(crate) struct Bell(std::sync::atomic::AtomicUsize);

    impl Bell {
        #[cfg(test)]
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Interrupt for Bell {
        fn trigger(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Serves what is available on `queue`; a broken queue ends it.
    pub(crate) fn serve_all(handler: &mut impl Serve, index: usize, queue: &Queue, memory: &GuestMemoryMmap) {
        let Ok(mut line) = Line::attach(queue, memory, Arc::new(Bell::default())) else {
            return;
        };
        let _ = handler.serve(index, &mut line);
        line.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Bell;
    use super::*;
    use crate::queue::testing::{Buffer, Driver, memory};

    const HALF_OF_MAX: usize = MAX_HELD / 2;

    /// Takes a chain of `line` that holds `bytes` and gives it back lazily.
    fn use_one(line: &mut Line<'_>, bytes: usize) {
        let chain = line.ring.take(&mut Vec::new(), &mut Vec::new()).unwrap().unwrap();
        line.give_sent(chain.head, bytes);
        line.publish_lazily();
    }

    /// What the driver learns as `count` chains of `bytes` each are used: after each the number that it was shown, and
    /// how often it was interrupted.
    fn learned(count: usize, bytes: usize) -> Vec<(usize, usize)> {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        for _ in 0..count {
            driver.offer(&[Buffer::readable(b"x")]);
        }
        let bell = Arc::new(Bell::default());
        let mut line = Line::attach(&driver.queue(), &memory, bell.clone()).unwrap();
        let mut shown = 0;
        (0..count)
            .map(|_| {
                use_one(&mut line, bytes);
                shown += driver.used().len();
                (shown, bell.count())
            })
            .collect()
    }

    #[test]
    fn few_bytes_are_kept_from_the_driver_for_no_more_than_half_of_the_queue() {
        assert_eq!(learned(5, 1), [(0, 0), (0, 0), (0, 0), (4, 1), (4, 1)]);
    }

    #[test]
    fn many_bytes_are_shown_without_an_interrupt_for_no_more_than_half_of_the_queue() {
        assert_eq!(learned(5, MAX_HELD + 1), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]);
        assert_eq!(learned(3, HALF_OF_MAX + 1), [(0, 0), (2, 0), (2, 0)]);
    }

    #[test]
    fn what_was_kept_is_shown_with_one_interrupt_when_it_is_published() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        for _ in 0..2 {
            driver.offer(&[Buffer::readable(b"x")]);
        }
        let bell = Arc::new(Bell::default());
        let mut line = Line::attach(&driver.queue(), &memory, bell.clone()).unwrap();
        use_one(&mut line, 1);
        use_one(&mut line, 1);
        assert_eq!((driver.used().len(), line.owes()), (0, true));
        assert!(line.publish() && !line.publish());
        assert_eq!((driver.used().len(), bell.count(), line.owes()), (2, 1, false));
    }

    #[test]
    fn an_interrupt_of_another_queue_stands_for_one_that_is_owed() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::readable(b"x")]);
        let bell = Arc::new(Bell::default());
        let mut line = Line::attach(&driver.queue(), &memory, bell.clone()).unwrap();
        use_one(&mut line, MAX_HELD + 1);
        assert!(line.owes());
        line.interrupted();
        assert!(!line.owes() && !line.publish());
        assert_eq!(bell.count(), 0);
    }
}
