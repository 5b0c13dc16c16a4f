//! How long work tells where it stands, and how it is stopped.

#[cfg(feature = "train")]
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "train")]
pub use terminal::Bars;

/// Is told where long work stands.
pub trait Progress: Send + Sync {
    /// A stage begins: `total` steps of `unit`.
    fn begin(&self, stage: &str, total: usize, unit: &str);

    /// Steps were done; `note` says how it goes, as a loss does.
    fn advance(&self, steps: usize, note: &str);

    /// The stage has ended.
    fn end(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: usize, _unit: &str) {}
    fn advance(&self, _steps: usize, _note: &str) {}
    fn end(&self) {}
}

/// A request to stop, seen by long work between two steps.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that only [`set`](Self::set) sets.
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

/// What a stage reports to and is stopped by.
#[derive(Clone, Copy)]
pub(crate) struct Monitor<'a> {
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

impl Monitor<'_> {
    /// Runs a stage, which calls [`Ticker::advance`] as it goes.
    pub(crate) fn stage<R>(
        &self,
        name: &str,
        total: usize,
        unit: &str,
        work: impl FnOnce(&Ticker<'_>) -> Result<R>,
    ) -> Result<R> {
        self.progress.begin(name, total, unit);
        let ticker = Ticker(*self);
        let result = ticker.advance(0, "").and_then(|()| work(&ticker));
        self.progress.end();
        result
    }
}

/// Counts a stage's steps.
pub(crate) struct Ticker<'a>(Monitor<'a>);

impl Ticker<'_> {
    /// Reports steps; an error when the work was asked to stop.
    pub(crate) fn advance(&self, steps: usize, note: &str) -> Result<()> {
        self.0.progress.advance(steps, note);
        match self.0.interrupt.is_set() {
            true => Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted; what was finished is kept, so baking again goes on from there",
            )),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_interrupt_ends_a_stage_before_it_works() {
        let interrupt = Interrupt::new();
        let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
        assert_eq!(monitor.stage("a", 1, "steps", |_| Ok(7)).unwrap(), 7);
        interrupt.set();
        let stopped: Result<()> =
            monitor.stage("a", 1, "steps", |_| unreachable!("it was asked to stop"));
        assert!(stopped.unwrap_err().is_interrupted());
    }
}
