//! The frames on their way out, in the order of the stream.
//!
//! Each frame has a value on the connection's timeline semaphore, ascending. Its `[wait → send]` is submitted before
//! the frame has content; the compute queue signals the value once the content stands. Frames are handed to the compute
//! queue in the stream's order, whatever order their reads end in, so values are signalled ascending.

use std::collections::VecDeque;
use std::sync::Arc;

use proact::operation::OperationId;
use proact::sync::Semaphore;

use super::super::compute::{ComputeQueue, Job, Returned, Work};
use super::super::pool::Pool;
use super::super::slab::{Chunk, Filler, Outlet, Sealed};
use super::super::tls::{Channel, Layout, Layouts};
use super::super::trace::Tracer;

/// How far a frame's content is.
pub enum Content {
    /// An operation is filling it.
    Filling,
    /// Nobody fills it until it is decided what it says.
    Held(Filler),
    /// To be handed to the compute queue when its turn comes.
    Ready(Work, Filler),
    /// With the compute queue, or back from it.
    Handed,
}

/// One frame.
pub struct InFlight {
    value: u64,
    layout: Layout,
    content: Content,
    sealed: Option<Sealed>,
    outlet: Option<Outlet>,
    wait: Option<OperationId>,
    /// Bytes of payload of a chunk; `None` for control frames.
    payload: Option<u32>,
    cancelled: bool,
    /// Its buffer is back in its pool; it only keeps the others' places.
    gone: bool,
}

/// All frames whose send has not ended, or whose buffer is not back.
pub struct Frames {
    timeline: Semaphore,
    value: u64,
    queue: VecDeque<InFlight>,
    returned: Arc<Returned>,
    spare: Vec<(u64, Sealed)>,
    /// Seals the frames, where there is TLS.
    seal: Option<(Arc<Channel>, Layouts)>,
    /// Buffers of chunks.
    pub chunks: Pool,
    /// Buffers of all other frames.
    pub controls: Pool,
    /// Is told of each frame's steps.
    pub tracer: Tracer,
}

impl Frames {
    /// None yet.
    pub fn new(chunks: Pool, controls: Pool) -> Frames {
        Frames {
            timeline: Semaphore::new(0),
            value: 0,
            queue: VecDeque::new(),
            returned: Arc::default(),
            spare: Vec::new(),
            seal: None,
            chunks,
            controls,
            tracer: Tracer::default(),
        }
    }

    /// Has the frames sealed from now on.
    pub fn seal_by(&mut self, channel: Arc<Channel>, layouts: Layouts) {
        self.seal = Some((channel, layouts));
    }

    /// The connection's timeline.
    pub fn timeline(&self) -> &Semaphore {
        &self.timeline
    }

    /// Takes a place at the stream's end for a frame of `length` bytes: its value, how it is to lie in its buffer, and
    /// the two halves of that.
    pub fn place(&mut self, chunk: Chunk, length: usize, payload: Option<u32>) -> (u64, Layout, Filler, Outlet) {
        self.value += 1;
        let layout = match &mut self.seal {
            Some((_, layouts)) => layouts.next(length),
            None => Layout::plain(length),
        };
        let (filler, outlet) = chunk.split();
        self.queue.push_back(InFlight {
            value: self.value,
            layout,
            content: Content::Filling,
            sealed: None,
            outlet: None,
            wait: None,
            payload,
            cancelled: false,
            gone: false,
        });
        (self.value, layout, filler, outlet)
    }

    fn get(&mut self, value: u64) -> Option<&mut InFlight> {
        let first = self.queue.front()?.value;
        self.queue.get_mut(usize::try_from(value.checked_sub(first)?).ok()?)
    }

    /// Remembers the wait of a frame, for [`Frames::cancel_from`].
    pub fn set_wait(&mut self, value: u64, wait: OperationId) {
        if let Some(frame) = self.get(value) {
            frame.wait = Some(wait);
        }
    }

    /// Sets how far the content of a frame is. One that was cancelled just gives its buffer back.
    pub fn set(&mut self, value: u64, content: Content) {
        let Some(frame) = self.get(value) else { return };
        match content {
            Content::Held(filler) | Content::Ready(_, filler) if frame.cancelled => frame.sealed = Some(filler.seal()),
            content => frame.content = content,
        }
    }

    /// Says what the held frame of `value` is made of.
    pub fn release(&mut self, value: u64, work: Work) {
        let Some(frame) = self.get(value) else { return };
        frame.content = match std::mem::replace(&mut frame.content, Content::Filling) {
            Content::Held(filler) => Content::Ready(work, filler),
            other => other,
        };
    }

    /// Hands to the compute queue what is ready, in order.
    pub fn hand(&mut self, queue: &dyn ComputeQueue) {
        for frame in &mut self.queue {
            if frame.cancelled || matches!(frame.content, Content::Handed) {
                continue;
            }
            match std::mem::replace(&mut frame.content, Content::Handed) {
                Content::Ready(work, buffer) => {
                    let channel = self.seal.as_ref().map(|(channel, _)| channel.clone());
                    let sealed = if channel.is_some() { ", and its records" } else { "" };
                    queue.submit(Job {
                        ticket: self.tracer.compute(frame.value, || format!("{}{sealed}", work.name())),
                        work,
                        buffer: Some(buffer),
                        layout: frame.layout,
                        channel,
                        semaphore: self.timeline.clone(),
                        value: frame.value,
                        returned: self.returned.clone(),
                    });
                }
                other => {
                    frame.content = other;
                    break;
                }
            }
        }
    }

    /// Takes the frames from `value` on back: they will not be sent. None of them may have been handed to the compute
    /// queue, so none is signalled while its wait is being cancelled. Answers the waits to cancel.
    pub fn cancel_from(&mut self, value: u64) -> Vec<OperationId> {
        let mut waits = Vec::new();
        for frame in self.queue.iter_mut().filter(|frame| frame.value >= value && !frame.cancelled) {
            if matches!(frame.content, Content::Handed) {
                continue;
            }
            frame.cancelled = true;
            waits.extend(frame.wait);
            if let Content::Held(filler) | Content::Ready(_, filler) =
                std::mem::replace(&mut frame.content, Content::Filling)
            {
                frame.sealed = Some(filler.seal());
            }
        }
        waits
    }

    /// The send of a frame has ended, in whatever way. Answers its payload, and whether it had been cancelled.
    pub fn emptied(&mut self, value: u64, outlet: Outlet) -> (Option<u32>, bool) {
        let Some(frame) = self.get(value) else { return (None, true) };
        frame.outlet = Some(outlet);
        let answer = (frame.payload, frame.cancelled);
        self.reclaim();
        answer
    }

    /// Bytes of payload of the frame; `None` for control frames.
    pub fn payload(&mut self, value: u64) -> Option<u32> {
        self.get(value)?.payload
    }

    /// Puts buffers that came back from everyone into their pools.
    pub fn reclaim(&mut self) {
        let mut spare = std::mem::take(&mut self.spare);
        self.returned.take(&mut spare);
        for (value, sealed) in spare.drain(..) {
            if let Some(frame) = self.get(value) {
                frame.sealed = Some(sealed);
            }
        }
        self.spare = spare;
        // A frame leaves only from the front: the others' places are found by their distance to it.
        for frame in &mut self.queue {
            let (Some(_), Some(_)) = (&frame.sealed, &frame.outlet) else { continue };
            if let Some(chunk) = frame.sealed.take().zip(frame.outlet.take()).and_then(|(a, b)| Chunk::join(a, b)) {
                let pool = if frame.payload.is_some() { &mut self.chunks } else { &mut self.controls };
                pool.put(chunk);
                frame.gone = true;
            }
        }
        while self.queue.front().is_some_and(|frame| frame.gone) {
            self.queue.pop_front();
        }
    }
}
