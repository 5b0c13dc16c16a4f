//! What `-v` says on the standard error stream: a line for each thing that the engine has done.

use std::fmt::{Debug, Write as _};
use std::time::Instant;

use bake_spec::diagnostics::noun;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::terminal::{seconds, status};

/// Says what the engine does, if asked to: once for people, twice for developers of bake. What the
/// engine's progress is told is shown anyway.
pub(crate) fn start(verbose: u8) {
    match verbose {
        0 => {}
        // Nothing else in this program has set another.
        1 => set_global_default(Registry::default().with(Lines)).expect("it is the first"),
        _ => {
            let lines = tracing_subscriber::fmt::layer()
                .with_span_events(FmtSpan::CLOSE)
                .without_time()
                .with_ansi(false)
                .with_writer(std::io::stderr)
                .with_filter(filter_fn(|metadata| {
                    *metadata.level() <= Level::DEBUG && !is_told(metadata)
                }));
            set_global_default(Registry::default().with(lines)).expect("it is the first");
        }
    }
}

/// Whether an event repeats what the engine's progress is told.
fn is_told(metadata: &Metadata<'_>) -> bool {
    metadata.fields().field("told").is_some()
}

/// Prints the engine's events.
struct Lines;

/// A stage of the engine.
struct Timed {
    begin: Instant,
    unit: String,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() == Level::INFO
            && metadata.target().starts_with("bake")
            && !is_told(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        if let (Some(span), Some(unit)) = (context.span(id), fields.take("unit")) {
            span.extensions_mut().insert(Timed { begin: Instant::now(), unit });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let extensions = span.as_ref().map(|span| span.extensions());
        status("", line(fields, extensions.as_ref().and_then(|all| all.get::<Timed>())));
    }
}

/// An event as a line.
fn line(mut fields: SpanFields, stage: Option<&Timed>) -> String {
    let mut line = fields.take("message").unwrap_or_default();
    if let Some(Timed { begin, unit }) = stage
        && let (Some(done), Some(total)) = (fields.take("done"), fields.take("total"))
    {
        let time = seconds(begin.elapsed().as_secs_f64());
        // Writing to a string cannot fail.
        let unit = noun(total.parse().unwrap_or_default(), unit);
        let _ = write!(line, " {done} of {total} {unit} in {time}");
    }
    if let Some(error) = fields.take("error") {
        let _ = write!(line, " ({error})");
    }
    let names = fields.0.iter().filter(|(name, _)| !name.starts_with("bake."));
    let rest: Vec<String> = names.map(|(name, value)| format!("{name} {value}")).collect();
    if !rest.is_empty() {
        let _ = write!(line, " ({})", rest.join(", "));
    }
    line
}

/// The fields of a span or an event, in order.
#[derive(Default)]
struct SpanFields(Vec<(&'static str, String)>);

impl SpanFields {
    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.remove(place).1)
    }
}

impl Visit for SpanFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), format!("{value:.4}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sentences() {
        let fields = |all: &[(&'static str, &str)]| {
            SpanFields(all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
        };
        let stage = Timed { begin: Instant::now(), unit: "answers".to_owned() };
        let ended = [("message", "rollouts on keys: finished"), ("done", "2"), ("total", "3")];
        let said = line(fields(&ended), Some(&stage));
        assert!(said.starts_with("rollouts on keys: finished 2 of 3 answers in 0.0 s"), "{said}");
        let one = [("message", "rollouts on keys: finished"), ("done", "1"), ("total", "1")];
        assert!(line(fields(&one), Some(&stage)).contains(" 1 of 1 answer in "));
        let failed = [&ended[..], &[("error", "interrupted")]].concat();
        assert!(line(fields(&failed), Some(&stage)).ends_with(" s (interrupted)"));
        let ready = [("bake.target", "keys"), ("message", "ready"), ("stimuli", "2"), ("cut", "0")];
        assert_eq!(line(fields(&ready), None), "ready (stimuli 2, cut 0)");
    }
}
