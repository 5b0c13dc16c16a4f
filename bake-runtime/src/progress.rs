//! How long-running work reports its progress, and how it is stopped.

#[cfg(any(feature = "eval", feature = "train"))]
mod stage;
#[cfg(feature = "train")]
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(any(feature = "eval", feature = "train"))]
pub(crate) use stage::{Monitor, Stage, Ticker};
#[cfg(feature = "train")]
pub use terminal::Bars;

/// Receives the progress of long-running work.
pub trait Progress: Send + Sync {
    /// A stage begins: `total` steps of `unit`.
    fn begin(&self, stage: &str, total: usize, unit: &str);

    /// Steps were done; `note` says how it is going, for example the loss.
    fn advance(&self, steps: usize, note: &str);

    /// The stage has ended.
    fn end(&self);

    /// Something is probably not as intended, but does not stop the work. By default nothing is
    /// printed.
    fn warn(&self, _message: &str) {}

    /// Something that is worth knowing. By default nothing is printed.
    fn note(&self, _message: &str) {}
}

/// Prints nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: usize, _unit: &str) {}
    fn advance(&self, _steps: usize, _note: &str) {}
    fn end(&self) {}
}

/// A request to stop, which long-running work checks between two steps.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// An interrupt that only [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
