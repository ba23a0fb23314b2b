//! A future as the activation of an `async` function, and how it says what it wants of the driver.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::functions::Answer;
use crate::convention::Packed;
use crate::error::{Error, Result};
use crate::module::{Activation, CallFrame, Flow, Function, Resumption};
use crate::wait::{WaitFrame, WaitKind};

/// What passes between the `async` functions of one invocation and its driver. There is one for all of them: only one
/// is polled at a time, and what it asks for is taken out before another one is.
pub(crate) struct Mailbox {
    /// What a frame is polled with, unless a part of its future has a waker of its own.
    base: Waker,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    /// The number of the frame that is being polled; 0 for none.
    polling: u64,
    /// The last number given to a question.
    last: u64,
    /// What the frame wants: the first thing that it asked for in this poll.
    asked: Option<Asked>,
    /// Of a call that is asked for.
    arguments: Packed,
    /// What the driver brings, with the number of the question.
    reply: Option<(u64, Resumption)>,
    /// Of the function that has returned.
    results: Packed,
    /// Replies to questions that were not polled when they came: a future need not poll all its parts each time.
    kept: Vec<Kept>,
    /// Parts of the frame's future that have a question as well, for when this one is answered.
    next: Vec<Waker>,
}

struct Kept {
    number: u64,
    answered: Answered,
}

/// What the driver resumed the function with.
pub(super) struct Answered {
    pub(super) why: Resumption,
    /// Of the function that has returned, if they are not in the mailbox.
    pub(super) results: Option<Packed>,
}

struct Asked {
    number: u64,
    ask: Ask,
    /// Of the part of the future that asks, if it is its own: a future that joins others polls only those that were
    /// woken.
    waker: Option<Waker>,
}

/// What a future may want of the driver.
pub(super) enum Ask {
    Yield,
    Wait(WaitFrame),
    Call(Function),
}

impl Slots {
    fn take_kept(&mut self, number: u64) -> Option<Kept> {
        let place = self.kept.iter().position(|kept| kept.number == number)?;
        Some(self.kept.swap_remove(place))
    }
}

impl Mailbox {
    pub(crate) fn new(base: Waker) -> Mailbox {
        Mailbox { base, slots: Mutex::default() }
    }

    /// The waker, if it is not the frame's.
    fn own(&self, waker: &Waker) -> Option<Waker> {
        (!waker.will_wake(&self.base)).then(|| waker.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames were given up: no part of theirs asks any more.
    pub(crate) fn forget_wakers(&self) {
        let next = std::mem::take(&mut self.lock().next);
        drop(next);
    }

    /// What a driver brought for a function called.
    pub(super) fn with_results<R>(&self, read: impl FnOnce(&mut Packed) -> R) -> R {
        let mut results = std::mem::take(&mut self.lock().results);
        let read = read(&mut results);
        results.clear();
        self.lock().results = results;
        read
    }
}

/// A question on its way: what the driver resumed the function with.
pub(super) struct Question<'a, P> {
    mailbox: &'a Mailbox,
    frame: u64,
    ask: Option<(Ask, P)>,
    /// Of the question, once it was asked.
    number: u64,
}

impl<'a, P: FnOnce(&mut Packed) -> Result> Question<'a, P> {
    /// `arguments` packs those of a call.
    pub(super) fn new(mailbox: &'a Mailbox, frame: u64, ask: Ask, arguments: P) -> Question<'a, P> {
        Question { mailbox, frame, ask: Some((ask, arguments)), number: 0 }
    }
}

// Nothing in it is pinned.
impl<P> Unpin for Question<'_, P> {}

impl<P: FnOnce(&mut Packed) -> Result> Future for Question<'_, P> {
    type Output = Result<Answered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answered>> {
        let this = &mut *self;
        // A waker's code, that of its clone and its end too, runs under no lock: this lives longer than the lock.
        let mut waker = this.mailbox.own(cx.waker());
        let mut slots = this.mailbox.lock();
        let Some((ask, arguments)) = this.ask.take() else {
            if let Some((_, reply)) = slots.reply.take_if(|(number, _)| *number == this.number) {
                this.number = 0;
                return Poll::Ready(Ok(Answered { why: reply, results: None }));
            }
            if let Some(kept) = slots.take_kept(this.number) {
                this.number = 0;
                return Poll::Ready(Ok(kept.answered));
            }
            if let Some(asked) = slots.asked.as_mut().filter(|asked| asked.number == this.number) {
                std::mem::swap(&mut asked.waker, &mut waker);
            }
            return Poll::Pending;
        };
        if slots.polling != this.frame {
            drop(slots); // what was to be asked ends here
            let message = "a caller was used outside of its own function";
            return Poll::Ready(Err(Error::precondition(message)));
        }
        if slots.asked.is_some() {
            // One question at a time; this one is asked when that one is answered.
            slots.next.extend(waker.take());
            this.ask = Some((ask, arguments));
            return Poll::Pending;
        }
        if matches!(ask, Ask::Call(_)) {
            slots.arguments.clear();
            let mut packed = std::mem::take(&mut slots.arguments);
            drop(slots); // what is packed may run code of its own
            let is_packed = arguments(&mut packed);
            if is_packed.is_err() {
                packed.clear();
            }
            slots = this.mailbox.lock();
            slots.arguments = packed;
            if let Err(error) = is_packed {
                return Poll::Ready(Err(error));
            }
        }
        slots.last += 1;
        this.number = slots.last;
        slots.asked = Some(Asked { number: this.number, ask, waker: waker.take() });
        Poll::Pending
    }
}

impl<P> Drop for Question<'_, P> {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        // No one is there for the answer any more. What is dropped runs under no lock.
        let mut slots = self.mailbox.lock();
        let asked = slots.asked.take_if(|asked| asked.number == self.number);
        let is_call = matches!(asked, Some(Asked { ask: Ask::Call(_), .. }));
        let arguments = is_call.then(|| std::mem::take(&mut slots.arguments));
        let reply = slots.reply.take_if(|(number, _)| *number == self.number);
        let has_returned = matches!(reply, Some((_, Resumption::Returned)));
        let results = has_returned.then(|| std::mem::take(&mut slots.results));
        let kept = slots.take_kept(self.number);
        drop(slots);
        drop((asked, arguments, reply, results, kept));
    }
}

pin_project! {
    /// The future of an `async` function.
    pub(super) struct FutureActivation<F> {
        #[pin]
        future: F,
        frame: u64,
        // The question that the driver is about to answer, and who asked; 0 for none.
        outstanding: u64,
        waker: Option<Waker>,
    }
}

impl<F> FutureActivation<F> {
    pub(super) fn new(future: F, frame: u64) -> FutureActivation<F> {
        FutureActivation { future, frame, outstanding: 0, waker: None }
    }
}

impl<F: Future<Output: Answer> + Send> Activation for FutureActivation<F> {
    fn resume(self: Pin<&mut Self>, why: Resumption, call: &mut CallFrame<'_>) -> Result<Flow> {
        let Some(mailbox) = call.take_mailbox() else {
            return Err(Error::internal("an async function without its mailbox"));
        };
        let flow = self.poll(why, call, &mailbox);
        call.put_mailbox(mailbox);
        flow
    }
}

impl<F: Future<Output: Answer>> FutureActivation<F> {
    fn poll(self: Pin<&mut Self>, why: Resumption, call: &mut CallFrame<'_>, mailbox: &Mailbox) -> Result<Flow> {
        let this = self.project();
        let mut slots = mailbox.lock();
        let outstanding = std::mem::take(this.outstanding);
        match why {
            Resumption::Started => {}
            Resumption::Woken => {
                // The wait goes on unless the future gives it up.
                let wait = call.take_wait().filter(|wait| wait.kind() != WaitKind::Woken);
                if let Some(wait) = wait {
                    let waker = this.waker.take();
                    slots.asked = Some(Asked { number: outstanding, ask: Ask::Wait(wait), waker });
                }
            }
            Resumption::Waited(Err(error)) if outstanding == 0 => return Err(error),
            why => {
                if matches!(why, Resumption::Returned) {
                    call.swap_callee_results(&mut slots.results);
                }
                slots.reply = (outstanding != 0).then_some((outstanding, why));
            }
        }
        slots.polling = *this.frame;
        let next = std::mem::take(&mut slots.next);
        drop(slots);
        for other in this.waker.take().into_iter().chain(next) {
            other.wake();
        }
        call.forget_wake();

        let polled = this.future.poll(&mut Context::from_waker(&mailbox.base));

        let mut slots = mailbox.lock();
        slots.polling = 0;
        let asked = slots.asked.take();
        if let Some((number, why)) = slots.reply.take() {
            let results = matches!(why, Resumption::Returned).then(|| std::mem::take(&mut slots.results));
            slots.kept.push(Kept { number, answered: Answered { why, results } });
        }
        match (polled, asked) {
            (Poll::Ready(answer), asked) => {
                let next = std::mem::take(&mut slots.next);
                drop(slots);
                drop((asked, next));
                call.answer(answer.into_result()?)
            }
            (Poll::Pending, None) => Ok(call.wait(WaitFrame::woken())),
            (Poll::Pending, Some(Asked { number, ask, waker })) => {
                *this.outstanding = number;
                *this.waker = waker;
                Ok(match ask {
                    Ask::Yield => Flow::Yield,
                    // What else it waits for has its waker.
                    Ask::Wait(frame) if call.may_be_woken() => call.wait(frame.or_woken()),
                    Ask::Wait(frame) => call.wait(frame),
                    Ask::Call(function) => call.call_packed(function, &mut slots.arguments),
                })
            }
        }
    }
}
