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
    /// The driver is to be interrupted for what it was shown.
    owed: bool,
    /// Chains that it was shown since it was interrupted last.
    shown: u16,
}

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
            owed: false,
            shown: 0,
        })
    }

    /// Shows the driver what was given back, and interrupts it if it wishes; says whether it was.
    pub(crate) fn publish(&mut self) -> bool {
        self.owed |= self.ring.publish();
        self.pay()
    }

    /// The same, but the interrupt waits until half of the queue was shown or [`Line::pay`] is called, which must
    /// be soon: the driver may wait for it.
    pub(crate) fn publish_lazily(&mut self) {
        self.shown = self.shown.saturating_add(self.ring.unpublished());
        self.owed |= self.ring.publish();
        if self.shown >= self.ring.size() / 2 {
            self.pay();
        }
    }

    /// Whether the driver is still to be interrupted.
    pub(crate) fn owes(&self) -> bool {
        self.owed
    }

    /// Interrupts the driver if it is still to be; says whether it was.
    pub(crate) fn pay(&mut self) -> bool {
        if !self.owed {
            return false;
        }
        self.owed = false;
        self.shown = 0;
        self.interrupt.trigger();
        true
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

    /// Takes a chain of `line` and shows the driver that it was used.
    fn use_one(line: &mut Line<'_>) {
        let chain = line.ring.take(&mut Vec::new(), &mut Vec::new()).unwrap().unwrap();
        line.ring.give(chain.head, 0);
        line.publish_lazily();
    }

    #[test]
    fn an_interrupt_that_waits_is_raised_once_when_it_is_paid() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        for _ in 0..2 {
            driver.offer(&[Buffer::readable(b"x")]);
        }
        let bell = Arc::new(Bell::default());
        let mut line = Line::attach(&driver.queue(), &memory, bell.clone()).unwrap();
        use_one(&mut line);
        use_one(&mut line);
        assert_eq!((driver.used().len(), bell.count(), line.owes()), (2, 0, true));
        assert!(line.pay() && !line.pay());
        assert_eq!((bell.count(), line.owes()), (1, false));
    }

    #[test]
    fn an_interrupt_waits_for_no_more_than_half_of_the_queue() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        for _ in 0..8 {
            driver.offer(&[Buffer::readable(b"x")]);
        }
        let bell = Arc::new(Bell::default());
        let mut line = Line::attach(&driver.queue(), &memory, bell.clone()).unwrap();
        let rung: Vec<usize> = (0..8)
            .map(|_| {
                use_one(&mut line);
                bell.count()
            })
            .collect();
        assert_eq!(rung, [0, 0, 0, 1, 1, 1, 1, 2]);
    }
}
