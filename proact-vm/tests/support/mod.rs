//! What several test programs use.

#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};

use proact_vm::module::Module;
use proact_vm::{Context, Done, Instance, Object, Ref, Result, Step, Waiting};

/// How many of something are there.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, until it is dropped.
    pub fn one(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }

    /// A reference to one more.
    pub fn reference(&self) -> Ref {
        Ref::new(self.one())
    }
}

pub struct Counted(Count);

impl Counted {
    pub fn count(&self) -> Count {
        self.0.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Object for Counted {
    const TYPE_NAME: &'static str = "test.counted";
}

/// A frozen context of these modules.
pub fn context<const N: usize>(modules: [Arc<dyn Module>; N]) -> Context {
    let builder = Context::builder(&Instance::new());
    modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap()
}

/// The step, which is one that waits.
#[track_caller]
pub fn waiting(step: Step<'_>) -> Waiting<'_> {
    match step {
        Step::Waiting(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

/// The step, which is the last one.
#[track_caller]
pub fn done(step: Step<'_>) -> Done<'_> {
    match step {
        Step::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

/// Pending until it was polled so often.
pub struct Polls(pub u32);

impl Future for Polls {
    type Output = Result;
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        if self.0 == 0 {
            return Poll::Ready(Ok(()));
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
