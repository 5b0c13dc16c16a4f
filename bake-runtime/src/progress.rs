//! How long work tells where it stands, and how it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, ErrorKind, Result};

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

/// A bar for each stage on the standard error stream; a line for each where that is not a terminal.
#[derive(Debug, Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: usize, unit: &str) {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr_with_hz(8));
        if bar.is_hidden() {
            eprintln!("{stage}: {total} {unit}");
        }
        let template = format!("{{prefix:<26}} {{bar:24}} {{pos:>5}}/{{len}} {unit:<9} {{elapsed:>3}}, {{eta}} left  {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("█▌ "));
        bar.set_prefix(stage.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        *self.lock() = Some(bar);
    }

    fn advance(&self, steps: usize, note: &str) {
        if let Some(bar) = &*self.lock() {
            bar.set_message(note.to_owned());
            bar.inc(steps as u64);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish();
        }
    }
}

impl Bars {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A request to stop, seen by long work between two steps.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The interrupts that Ctrl-C sets.
static ON_CTRL_C: Mutex<Vec<std::sync::Weak<AtomicBool>>> = Mutex::new(Vec::new());

impl Interrupt {
    /// One that only [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that Ctrl-C sets too.
    ///
    /// The first call puts up a handler for the process, unless the program has one of its own, which then stays. With no such
    /// interrupt alive, or when one is already set, Ctrl-C ends the process as it always does.
    pub fn on_ctrl_c() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            let _ = ctrlc::try_set_handler(|| {
                let mut waiting = ON_CTRL_C.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                waiting.retain(|flag| flag.strong_count() > 0);
                let fresh = waiting.iter().filter_map(std::sync::Weak::upgrade).filter(|flag| !flag.swap(true, Ordering::Relaxed)).count();
                if fresh == 0 {
                    std::process::exit(130);
                }
            });
        });
        let interrupt = Self::default();
        ON_CTRL_C.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::downgrade(&interrupt.0));
        interrupt
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
    pub(crate) fn stage<R>(&self, name: &str, total: usize, unit: &str, work: impl FnOnce(&Ticker<'_>) -> Result<R>) -> Result<R> {
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
            true => Err(Error::new(ErrorKind::Interrupted, "interrupted; what was finished is kept, so baking again goes on from there")),
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
        let stopped: Result<()> = monitor.stage("a", 1, "steps", |_| unreachable!("it was asked to stop"));
        assert!(stopped.unwrap_err().is_interrupted());
    }
}
