//! Progress and interrupts of a program in a terminal.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use bake_spec::diagnostics::noun;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Interrupt, Progress};

/// A bar for each stage on the standard error stream; a line for each where that is not a terminal.
#[derive(Debug, Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: usize, unit: &str) {
        let bar = ProgressBar::with_draw_target(
            Some(total as u64),
            ProgressDrawTarget::stderr_with_hz(8),
        );
        if bar.is_hidden() {
            tell(&format!("{stage}: {total} {}", noun(total, unit)));
        }
        let template = format!(
            "{{prefix:<30}} {{bar:24}} {{pos:>5}}/{{len}} {unit:<9} {{elapsed:>3}}, {{eta}} left  \
             {{msg}}"
        );
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
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

    fn warn(&self, message: &str) {
        self.say(&format!("warning: {message}"));
    }

    fn note(&self, message: &str) {
        self.say(message);
    }
}

/// A line on the standard error stream. That nobody reads it any more stops no work.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Bars {
    fn say(&self, line: &str) {
        match &*self.lock() {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The interrupts that Ctrl-C sets.
static ON_CTRL_C: Mutex<Vec<Weak<AtomicBool>>> = Mutex::new(Vec::new());

impl Interrupt {
    /// An interrupt that Ctrl-C sets too: for commands, where nothing else handles signals.
    ///
    /// The first call installs a handler of SIGINT for the whole process and for good, unless the
    /// program has installed one already, which then stays. While no such interrupt is alive, or
    /// when one is already set, the handler ends the process with code 130. A server that shuts
    /// down gracefully calls [`set`](Self::set) from its own handler instead.
    pub fn on_ctrl_c() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            let _ = ctrlc::try_set_handler(|| {
                let mut waiting = ON_CTRL_C.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.retain(|flag| flag.strong_count() > 0);
                let fresh = waiting
                    .iter()
                    .filter_map(Weak::upgrade)
                    .filter(|flag| !flag.swap(true, Ordering::Relaxed))
                    .count();
                if fresh == 0 {
                    std::process::exit(130);
                }
            });
        });
        let interrupt = Self::default();
        ON_CTRL_C.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&interrupt.0));
        interrupt
    }
}
