//! Words on the terminal, as cargo says them: progress goes to the standard error stream, results
//! to the standard output.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use bake_runtime::{Bars, Progress};

use crate::args::Common;
use crate::mistakes::Mistakes;

const GOOD: Style = AnsiColor::BrightGreen.on_default().bold();
const BAD: Style = AnsiColor::BrightRed.on_default().bold();
const NOTABLE: Style = AnsiColor::BrightYellow.on_default().bold();

/// A line on the standard error stream. That nobody reads it any more stops no work.
pub(crate) fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// A verb and its object.
pub(crate) fn status(verb: &str, what: impl std::fmt::Display) {
    tell(format_args!("{GOOD}{verb:>12}{GOOD:#} {what}"));
}

pub(crate) fn warning(what: impl std::fmt::Display) {
    tell(format_args!("{NOTABLE}warning{NOTABLE:#}: {what}"));
}

pub(crate) fn error(error: &anyhow::Error) {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        mistakes.print();
    }
    tell(format_args!("{BAD}error{BAD:#}: {}", message(error)));
}

/// What an error says, with its causes.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    // Some errors repeat what their sources say.
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message += &format!(": {cause}");
        }
    }
    message
}

/// The engine's progress. Where it would be lines, and `-v` says when each stage ends, none says
/// that it begins.
pub(crate) struct ShownProgress {
    bars: Bars,
    stages: bool,
}

impl ShownProgress {
    pub(crate) fn new(common: &Common) -> Self {
        let stages = common.verbose == 0 || std::io::stderr().is_terminal();
        Self { bars: Bars::default(), stages }
    }
}

impl Progress for ShownProgress {
    fn begin(&self, stage: &str, total: usize, unit: &str) {
        if self.stages {
            self.bars.begin(stage, total, unit);
        }
    }

    fn advance(&self, steps: usize, note: &str) {
        self.bars.advance(steps, note);
    }

    fn end(&self) {
        self.bars.end();
    }

    fn warn(&self, message: &str) {
        self.bars.warn(message);
    }

    fn note(&self, message: &str) {
        self.bars.note(message);
    }
}

/// What to do next, for people.
pub(crate) fn next_step(what: impl std::fmt::Display) {
    tell(format_args!("{GOOD}{:>12}{GOOD:#} {what}", "Next"));
}

/// Text on the standard output. Where nobody reads it any more, as with `head`, the program exits
/// silently.
pub(crate) fn print(text: std::fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    if let Err(e) = out.write_fmt(text).and_then(|()| out.flush()) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        error(&anyhow::Error::new(e).context("cannot write to standard output"));
        std::process::exit(101);
    }
}

/// A line on the standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::terminal::print(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

/// Text of a document, a dataset or a model, which cannot tell the terminal what to do: control
/// characters are shown as their pictures.
pub(crate) struct Harmless<'a>(pub(crate) &'a str);

impl std::fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(shown(c)))
    }
}

fn shown(c: char) -> char {
    let picture = match c {
        '\n' | '\t' => Some(c),
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('\u{2421}'),
        _ => Some(c).filter(|c| !c.is_control()),
    };
    picture.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What so many are called.
pub(crate) fn noun<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// A word in the colour of how good it is.
pub(crate) fn rated(word: &str, good: bool) -> String {
    let style = if good { GOOD } else { NOTABLE };
    format!("{style}{word}{style:#}")
}

/// Bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Seconds for people.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let text = "a\x1b]0;title\x07\tb\nc\r\u{9b}31m\x7f é";
        assert_eq!(Harmless(text).to_string(), "a␛]0;title␇\tb\nc␍\u{fffd}31m␡ é");
    }
}
