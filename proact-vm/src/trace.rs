//! What traced calls tell: which function ran when, and to whose account that goes.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use proact::time::Time;

use crate::error::{CallId, Error};
use crate::module::Function;
use crate::wait::WaitFrame;

/// Hears what traced calls do: [`ContextBuilder::tracer`](crate::ContextBuilder::tracer). Closures that take an event
/// are tracers.
///
/// It is told on the thread that runs the call, between the steps of its functions, with nothing held but the call's
/// turn. It must not block. What it does counts as the call's time.
pub trait Tracer: Send + Sync + 'static {
    /// Something has happened.
    fn event(&self, event: &TraceEvent<'_>);
}

impl<F: Fn(&TraceEvent<'_>) + Send + Sync + 'static> Tracer for F {
    fn event(&self, event: &TraceEvent<'_>) {
        self(event);
    }
}

/// Something that a traced call has done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TraceEvent<'a> {
    /// To whose account its time goes.
    pub track: Track,
    /// Which call it is. In a context that is not concurrent all calls have the context's id.
    pub call: CallId,
    /// When, on the call's clock.
    pub time: Time,
    /// What it was.
    pub what: Traced<'a>,
}

/// To whose account a call's time goes.
///
/// A call has an account of its own, on which it goes on after each stop, on whatever thread. One that is
/// [attributed inline](crate::InvocationOptions::inline) has none: what it does is part of what whoever runs it does,
/// the traced call that runs on that thread just then, or the thread.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Track {
    /// That of a call, itself or the one within which it runs.
    Call(CallId),
    /// That of the thread that it runs on.
    Thread,
}

/// What a traced call has done.
///
/// Functions begin and end like brackets, those that take the short way too: a function that never stops has no frame,
/// and an import of a program that never stops is called without the driver. Between a stop and
/// [`Traced::Resumed`] no function of the call runs: its functions stand, and go on where they were.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Traced<'a> {
    /// A function has begun, on behalf of the one that began last and has not ended.
    Begun(&'a Function),
    /// The function that began last has returned.
    Returned(&'a Function),
    /// The function that began last has failed.
    Failed(&'a Function, &'a Error),
    /// The function that began last was given up: it was dropped where it stood, or has panicked.
    GivenUp(&'a Function),
    /// The call has stopped to let others run.
    Yielded,
    /// The call has stopped to wait.
    Waiting(&'a WaitFrame),
    /// The call goes on after a stop.
    Resumed,
}

thread_local! {
    /// The account of the traced call that runs on this thread, innermost.
    static TRACK: Cell<Track> = const { Cell::new(Track::Thread) };
}

/// Where a machine tells what it does.
#[derive(Clone)]
pub(crate) struct Tracing {
    tracer: Arc<dyn Tracer>,
    inline: bool,
    /// The function that begins, over so many frames: what is to be given up if it panics before it has one.
    begins: Option<(Function, usize)>,
}

impl Tracing {
    pub(crate) fn new(tracer: Arc<dyn Tracer>, inline: bool) -> Tracing {
        Tracing { tracer, inline, begins: None }
    }

    /// Until what is answered is dropped, what runs on this thread within the call is on its account.
    pub(crate) fn enter(&self, call: CallId) -> OnTrack {
        OnTrack(match self.inline {
            true => TRACK.get(),
            false => TRACK.replace(Track::Call(call)),
        })
    }

    /// On whose account the call is, which is entered or is not.
    fn track(&self, call: CallId) -> Track {
        if self.inline { TRACK.get() } else { Track::Call(call) }
    }

    pub(crate) fn tell(&self, call: CallId, time: Time, what: Traced<'_>) {
        self.tracer.event(&TraceEvent { track: self.track(call), call, time, what });
    }

    /// `function` begins, over so many frames.
    pub(crate) fn begin(&mut self, call: CallId, time: Time, function: &Function, frames: usize) {
        self.tell(call, time, Traced::Begun(function));
        self.begins = Some((function.clone(), frames));
    }

    /// It has ended or stopped.
    pub(crate) fn has_begun(&mut self) {
        self.begins = None;
    }

    /// The function that has begun and neither ended nor stopped, if it has no frame.
    pub(crate) fn take_unframed(&mut self, frames: usize) -> Option<Function> {
        self.begins.take().filter(|(_, below)| *below == frames).map(|(function, _)| function)
    }
}

/// The account that was this thread's before: it is again with the drop.
pub(crate) struct OnTrack(Track);

impl Drop for OnTrack {
    fn drop(&mut self) {
        TRACK.set(self.0);
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("inline", &self.inline).finish_non_exhaustive()
    }
}
