//! Spans around tasks and operations (feature `tracing`); nothing at all without it.
//!
//! - A task has a span `task` (target `proact::task`, level `DEBUG`) from its spawn to its end, entered whenever it is
//!   polled. Its field `spawned_at` says where. What its future opens lies inside of it, and so does what it spawns.
//! - An operation of [`operation`](crate::operation) or [`stream`](crate::stream) has a span `operation` (target
//!   `proact::operation`, level `TRACE`) from its submission until its future is dropped: at its `await`'s end. Its
//!   fields are `kind`, what it does, and `cancelled`, set when the future is dropped before. It is never entered.

#[cfg(feature = "tracing")]
pub(crate) use on::{Slot, task};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Slot, task};

#[cfg(not(feature = "tracing"))]
mod off {
    use std::panic::Location;

    use proact::operation::future::Submission;

    /// The future itself.
    #[inline]
    pub(crate) fn task<F>(future: F, _: &Location<'_>) -> F {
        future
    }

    #[derive(Debug)]
    pub(crate) struct Slot;

    impl Slot {
        #[inline]
        pub(crate) fn new() -> Slot {
            Slot
        }

        #[inline]
        pub(crate) fn submitted(&self, _: &Submission<'_>) {}

        #[inline]
        pub(crate) fn cancelled(&self) {}
    }
}

#[cfg(feature = "tracing")]
mod on {
    use std::cell::Cell;
    use std::fmt;
    use std::panic::Location;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proact::operation::future::Submission;
    use tracing::Span;
    use tracing::field::Empty;

    pin_project_lite::pin_project! {
        /// A task's future inside of its span.
        pub(crate) struct Traced<F> {
            #[pin]
            future: F,
            span: Option<Box<Span>>,
        }
    }

    /// In memory of its own, if anyone is interested at all.
    fn apart(span: Span) -> Option<Box<Span>> {
        if span.is_none() { None } else { Some(Box::new(span)) }
    }

    /// The future in a span of its own.
    pub(crate) fn task<F>(future: F, spawned_at: &Location<'_>) -> Traced<F> {
        Traced { future, span: apart(tracing::debug_span!(target: "proact::task", "task", %spawned_at)) }
    }

    impl<F: Future> Future for Traced<F> {
        type Output = F::Output;

        #[inline]
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            let this = self.project();
            let _entered = this.span.as_deref().map(Span::enter);
            this.future.poll(cx)
        }
    }

    /// Where an operation keeps its span.
    pub(crate) struct Slot(Cell<Option<Box<Span>>>);

    impl Slot {
        #[inline]
        pub(crate) fn new() -> Slot {
            Slot(Cell::new(None))
        }

        pub(crate) fn submitted(&self, submission: &Submission<'_>) {
            let kind = submission.operation();
            let span = tracing::trace_span!(target: "proact::operation", "operation", %kind, cancelled = Empty);
            // The old one closes here: of a stream that is submitted again.
            self.0.set(apart(span));
        }

        pub(crate) fn cancelled(&self) {
            let span = self.0.take();
            if let Some(span) = &span {
                span.record("cancelled", true);
            }
            self.0.set(span);
        }
    }

    impl fmt::Debug for Slot {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Slot")
        }
    }
}
