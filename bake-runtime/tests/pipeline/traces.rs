//! What a subscriber of `tracing` hears of a bake.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use bake_runtime::{Adapter, Chat, Export, ExportFormat, Model, bake_recipe, export, plan};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::Fixture;

/// Keeps the fields of spans and events of its thread, one line for each.
#[derive(Clone)]
struct Listener {
    thread: ThreadId,
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

impl Listener {
    fn keep(&self, line: Line) {
        if std::thread::current().id() == self.thread {
            self.lines.lock().unwrap().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bake")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut line);
        self.keep(line);
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("event {}", event.metadata().level()));
        event.record(&mut line);
        self.keep(line);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn every_stage_has_a_span_and_ends_with_an_event() {
    let fixture = Fixture::new();
    let listener = Listener {
        thread: std::thread::current().id(),
        lines: Arc::default(),
        spans: Arc::default(),
    };
    // For all threads: where there is one subscriber, and for one thread only, what another thread
    // comes to first is not heard in any.
    tracing::subscriber::set_global_default(listener.clone()).unwrap();
    let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let to = Export {
        format: ExportFormat::Peft,
        dtype: None,
        folder: fixture.dir.path().join("export"),
        replace: false,
    };
    export(&fixture.recipe, &bake.adapter, &to).unwrap();
    plan(&fixture.recipe, &fixture.options("store")).unwrap();
    let model = Model::tiny().unwrap();
    let adapter = Adapter::load(&bake.adapter, &model).unwrap();
    let chat = Chat::baked(&fixture.recipe, &model, adapter).unwrap();
    chat.chat("Where is my key?").unwrap();
    chat.chat_all(&["Where is my key?"]).unwrap();
    let report = bake.report;
    let lines = listener.lines.lock().unwrap();
    let heard = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|p| line.contains(p)));
    assert!(heard(&["span bake", "Keys"]), "{lines:#?}");
    assert!(heard(&["span load_model", "model=tiny", "device=cpu"]), "{lines:#?}");
    assert!(heard(&["span export", "Keys", "format=Peft"]), "{lines:#?}");
    for span in ["span stimuli bake.target=\"keys\"", "span save", "span plan bake=\"Keys\""] {
        assert!(heard(&[span]), "{span}: {lines:#?}");
    }
    for span in ["span answer", "span answers questions=1"] {
        assert!(lines.iter().any(|line| line == span), "{span}: {lines:#?}");
    }
    for stage in ["stimuli on keys", "rollouts on keys", "teacher on keys"] {
        assert!(heard(&["span stage", stage, "target=\"keys\"", "total="]), "{stage}: {lines:#?}");
        assert!(heard(&["event INFO", stage, "finished", "done="]), "{stage}: {lines:#?}");
    }
    for stage in ["divergence of the base model", "training", "divergence of the baked model"] {
        assert!(heard(&["span stage", &format!("stage={stage:?}")]), "{stage}: {lines:#?}");
    }
    let after = format!("kl_after={:?}", report.kl_after);
    assert!(heard(&["event INFO", "baked", &after]), "{lines:#?}");
}
