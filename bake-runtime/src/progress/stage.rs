//! The stages of long-running work: each reports its progress, can be stopped, and has a span for
//! subscribers of `tracing`.

use std::cell::Cell;

use super::{Interrupt, Progress};
use crate::error::{Error, ErrorKind, Result};

/// A stage of long-running work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    /// What is done, and on what.
    pub(crate) name: &'a str,
    /// The name of the target that it is done for; empty where it is for all of them.
    pub(crate) target: &'a str,
    /// How many steps there are.
    pub(crate) total: usize,
    /// What a step is, in the plural.
    pub(crate) unit: &'a str,
}

/// What a stage reports to and what can stop it.
#[derive(Clone, Copy)]
pub(crate) struct Monitor<'a> {
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

impl Monitor<'_> {
    /// Runs a stage, which calls [`Ticker::advance`] as it goes, in its own span.
    pub(crate) fn stage<R>(
        &self,
        stage: Stage<'_>,
        work: impl FnOnce(&Ticker<'_>) -> Result<R>,
    ) -> Result<R> {
        let Stage { name, target, total, unit } = stage;
        let target = (!target.is_empty()).then_some(target);
        let span = tracing::info_span!("stage", stage = name, bake.target = target, total, unit);
        let _entered = span.enter();
        self.progress.begin(name, total, unit);
        let ticker = Ticker { monitor: *self, done: Cell::new(0) };
        let result = ticker.advance(0, "").and_then(|()| work(&ticker));
        self.progress.end();
        match &result {
            Ok(_) => tracing::info!(done = ticker.done.get(), total, "{name}: finished"),
            Err(error) => tracing::info!(done = ticker.done.get(), total, %error, "{name}: ended"),
        }
        result
    }

    /// Warns of something that is probably not intended.
    pub(crate) fn warn(&self, message: &str) {
        tracing::warn!(told = true, "{message}");
        self.progress.warn(message);
    }

    /// Says something that is worth knowing.
    #[cfg(feature = "train")]
    pub(crate) fn note(&self, message: &str) {
        tracing::info!(told = true, "{message}");
        self.progress.note(message);
    }

    /// An error when the work was asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.interrupt.is_set() {
            true => Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted; what was finished is kept, so baking again resumes from there",
            )),
            false => Ok(()),
        }
    }
}

/// Counts a stage's steps.
pub(crate) struct Ticker<'a> {
    monitor: Monitor<'a>,
    done: Cell<usize>,
}

impl Ticker<'_> {
    /// Reports steps; an error when the work was asked to stop.
    pub(crate) fn advance(&self, steps: usize, note: &str) -> Result<()> {
        self.done.set(self.done.get() + steps);
        self.monitor.progress.advance(steps, note);
        self.monitor.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn a_set_interrupt_ends_a_stage_before_it_works() {
        let interrupt = Interrupt::new();
        let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
        let stage = Stage { name: "a", target: "", total: 1, unit: "steps" };
        assert_eq!(monitor.stage(stage, |_| Ok(7)).unwrap(), 7);
        interrupt.set();
        let stopped: Result<()> = monitor.stage(stage, |_| unreachable!("it was asked to stop"));
        assert!(stopped.unwrap_err().is_interrupted());
    }
}
