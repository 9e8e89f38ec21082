//! Holding answers back.

use tokio::sync::watch;

/// A gate that answers have to pass.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    closed: watch::Sender<bool>,
    asked: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn close(&self) -> Held {
        self.asked.send_replace(false);
        self.closed.send_replace(true);
        Held(self.clone())
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until the gate is open.
    pub(crate) async fn pass(&self) {
        self.asked.send_replace(true);
        // The sender lives as long as this.
        let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
    }
}

/// Answers are held back while this lives.
pub struct Held(Gate);

impl Held {
    /// Waits until an answer is held back.
    pub async fn asked(&self) {
        let _ = self.0.asked.subscribe().wait_for(|asked| *asked).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.closed.send_replace(false);
    }
}
