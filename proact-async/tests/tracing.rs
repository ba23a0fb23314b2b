//! Spans around tasks and operations, as a subscriber sees them.

mod support;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proact::operation::{EventWait, Nop};
use proact::status::Operation;
use proact_async::{handle, operation, spawn, yield_now};
use support::on_every_backend;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Default, Debug)]
struct Seen {
    name: &'static str,
    target: &'static str,
    parent: Option<u64>,
    fields: String,
    entered: usize,
    is_closed: bool,
}

#[derive(Default)]
struct State {
    spans: Vec<Seen>,
    inside: Vec<u64>,
}

/// Remembers all spans.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<State>>);

impl Recorder {
    fn spans(&self, name: &str) -> Vec<(u64, Seen)> {
        let state = self.0.lock().unwrap();
        let numbered = state.spans.iter().enumerate().map(|(index, span)| (index as u64 + 1, span.clone()));
        numbered.filter(|(_, span)| span.name == name).collect()
    }

    fn span<R>(&self, id: &Id, change: impl FnOnce(&mut Seen) -> R) -> R {
        change(&mut self.0.lock().unwrap().spans[id.into_u64() as usize - 1])
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        *self.0 += &format!("{}={value:?};", field.name());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("proact::")
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = String::new();
        attributes.record(&mut Fields(&mut fields));
        let mut state = self.0.lock().unwrap();
        let metadata = attributes.metadata();
        let parent = state.inside.last().copied();
        let seen = Seen { name: metadata.name(), target: metadata.target(), parent, fields, ..Seen::default() };
        state.spans.push(seen);
        Id::from_u64(state.spans.len() as u64)
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        self.span(id, |span| values.record(&mut Fields(&mut span.fields)));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, id: &Id) {
        self.span(id, |span| span.entered += 1);
        self.0.lock().unwrap().inside.push(id.into_u64());
    }
    fn exit(&self, id: &Id) {
        assert_eq!(self.0.lock().unwrap().inside.pop(), Some(id.into_u64()));
    }
    fn try_close(&self, id: Id) -> bool {
        self.span(&id, |span| {
            assert!(!span.is_closed, "closed twice: no span is cloned here");
            span.is_closed = true;
        });
        true
    }
}

/// One test at a time: a place in the code that is first come to while nobody listens, and while another test begins
/// to, may be taken for one that nobody wants to hear of (`tracing` keeps that for the whole process).
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn tasks_and_operations_have_spans() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    on_every_backend(|runtime| {
        let recorder = Recorder::default();
        tracing::subscriber::with_default(recorder.clone(), || {
            runtime.block_on(async {
                let task = spawn(async {
                    operation(Nop).await.1.result.unwrap();
                    yield_now().await;
                    let event = handle().event().unwrap();
                    let mut waiting = Box::pin(operation(EventWait::new(event)));
                    std::future::poll_fn(|cx| {
                        assert!(waiting.as_mut().poll(cx).is_pending());
                        std::task::Poll::Ready(())
                    })
                    .await;
                });
                assert_eq!(recorder.spans("task").len(), 1);
                assert!(!recorder.spans("task")[0].1.is_closed);
                task.await.unwrap();
            });
        });
        let tasks = recorder.spans("task");
        let [(id, task)] = tasks.as_slice() else { panic!("one task: {tasks:?}") };
        assert!(task.is_closed && task.entered >= 3, "{task:?}");
        assert_eq!(task.target, "proact::task");
        assert!(
            task.fields.contains("spawned_at=proact-async/tests/tracing.rs:") || task.fields.contains("tracing.rs:")
        );
        let operations = recorder.spans("operation");
        let [(_, first), (_, second)] = operations.as_slice() else { panic!("two operations: {operations:?}") };
        for operation in [first, second] {
            assert!(operation.is_closed && operation.entered == 0, "{operation:?}");
            assert_eq!((operation.target, operation.parent), ("proact::operation", Some(*id)));
        }
        assert_eq!(first.fields, format!("kind={};", Operation::Nop));
        assert_eq!(second.fields, format!("kind={};cancelled=true;", Operation::EventWait));
    });
}

#[test]
fn without_a_subscriber_there_is_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    on_every_backend(|runtime| {
        runtime.block_on(async {
            assert!(tracing::Span::current().is_none());
            spawn(async { assert!(tracing::Span::current().is_none()) }).await.unwrap();
        });
    });
}
