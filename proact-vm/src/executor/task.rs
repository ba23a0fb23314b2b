//! An invocation as handles, its queue, and wakers share it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context as TaskContext, Wake, Waker};

use proact::causal::{Frontier, Knowledge};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Time;
use proact_schedule::executor::Ticket;

use super::queue::Queue;
use super::step::{Ended, Step, Work, shut_down};
use super::word::{Claim, Doing, Park, Word};
use crate::error::{CallId, Error, Result};
use crate::invocation::{InvocationStatus, OnFailure, Policy};
use crate::panics::FirstPanic;
use crate::value::{Value, drop_flat};

/// One invocation, from its creation to the drop of its last handle. What its call holds is given up when it ends.
pub(crate) struct Task {
    /// Unique in the process; rises.
    pub(super) number: u64,
    id: CallId,
    name: Box<str>,
    pub(super) priority: i32,
    pub(super) deadline: Option<Time>,
    pub(super) queue: Arc<Queue>,
    word: Word,
    /// Of whoever has the word's turn: the lock is never waited for but by a shutdown that has just taken that.
    work: Mutex<Option<Work>>,
    outcome: OnceLock<Outcome>,
    promise: Mutex<Promise>,
    refused: OnceLock<Status>,
}

/// How an invocation has ended.
pub(crate) struct Outcome {
    pub(crate) status: InvocationStatus,
    pub(crate) result: Result<Box<[Value]>>,
    /// What had happened before.
    known: Knowledge,
}

impl Drop for Outcome {
    /// Outputs may hold another invocation, which holds its own.
    fn drop(&mut self) {
        if let Ok(outputs) = &mut self.result {
            drop_flat(std::mem::take(outputs).into_vec());
        }
    }
}

/// Whom the end is told.
struct Promise {
    signals: Vec<(Semaphore, u64)>,
    on_failure: OnFailure,
    ticket: Option<Ticket>,
    /// Made for the first who waits.
    completion: Option<Semaphore>,
}

impl Task {
    /// `work` is prepared; the task is in its queue, or waits to be woken for the first time.
    pub(super) fn new(queue: &Arc<Queue>, number: u64, name: Call, policy: &Policy, work: Work, held: bool) -> Task {
        Task {
            number,
            id: name.id,
            name: name.name,
            priority: policy.priority,
            deadline: work.deadline(),
            queue: queue.clone(),
            word: if held { Word::idle() } else { Word::queued() },
            work: Mutex::new(Some(work)),
            outcome: OnceLock::new(),
            promise: Mutex::new(Promise {
                signals: policy.signals.clone(),
                on_failure: policy.on_failure,
                ticket: None,
                completion: None,
            }),
            refused: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    pub(crate) fn refused(&self) -> Option<&Status> {
        self.refused.get()
    }

    pub(crate) fn status(&self) -> InvocationStatus {
        match (self.outcome(), self.word.doing()) {
            (Some(outcome), _) => outcome.status,
            (None, Doing::Pending) => InvocationStatus::Pending,
            (None, Doing::Waiting) => InvocationStatus::Waiting,
            // Its outcome is there before its word says so.
            (None, Doing::Running | Doing::Ended) => InvocationStatus::Running,
        }
    }

    /// Asks it to end.
    pub(crate) fn cancel(self: &Arc<Task>) {
        if self.word.cancel() {
            self.queue.put(self.clone());
        }
    }

    /// What reaches 1 when it is done, and fails when it does not end well.
    pub(crate) fn completion(&self) -> Semaphore {
        let mut promise = self.promise();
        // Under the lock: who ends it sets the outcome, and then takes the semaphore under the lock.
        let outcome = self.outcome();
        let completion = promise.completion.get_or_insert_with(|| Semaphore::with_history(0, 1)).clone();
        drop(promise);
        if let Some(outcome) = outcome {
            self.complete(&completion, outcome);
        }
        completion
    }

    /// Has `ticket` end with it. `false`: it is over, and the ticket was used.
    pub(super) fn hand_ticket(&self, ticket: Ticket) {
        let mut promise = self.promise();
        match self.outcome() {
            None => promise.ticket = Some(ticket),
            Some(outcome) => {
                drop(promise);
                ticket.end(self.verdict(outcome));
            }
        }
    }

    /// Lets one begin that is held.
    pub(super) fn release(self: &Arc<Task>) {
        Task::wake_by_ref(self);
    }

    /// Ends one that is held, and will not be released. One that a thread has ends by itself: it was cancelled, or
    /// late.
    pub(super) fn give_up(&self) {
        if self.word.take() {
            let why = "the scheduler has given it up: what it was to wait for has failed";
            self.abort_taken(Error::new(Code::Aborted, why));
        }
    }

    /// Whether this thread runs it, perhaps further out: it ends when who asks has returned, and not before.
    pub(super) fn is_run_here(&self) -> bool {
        RUNNING.with_borrow(|running| running.contains(&self.number))
    }

    /// Runs it up to where it waits, lets others run, or is over. For who took it from its queue.
    pub(super) fn run(self: Arc<Task>) {
        if !self.word.start() {
            return; // a shutdown has it, or had it
        }
        let _running = Running::begin(self.number);
        let mut slot = self.work();
        let Some(work) = slot.as_mut() else { return };
        if let Some(time) = work.timer.take() {
            self.queue.forget_timer(time, self.number);
        }
        let waker = Waker::from(self.clone());
        let step = catch_unwind(AssertUnwindSafe(|| work.step(&self.word, &mut TaskContext::from_waker(&waker))));
        match step {
            Ok(Step::Yield) => {
                drop(slot);
                match self.word.requeue() {
                    true => self.queue.clone().put(self),
                    false => self.discard(),
                }
            }
            Ok(Step::Wait(time)) => {
                work.timer = time;
                if let Some(time) = time {
                    self.queue.set_timer(time, &self);
                }
                drop(slot);
                match self.word.park() {
                    Park::Parked => {}
                    Park::Woken => self.queue.clone().put(self),
                    Park::Over => self.discard(),
                }
            }
            Ok(Step::End(ended)) => {
                let work = slot.take();
                drop(slot);
                self.end(work, ended);
            }
            Err(panic) => {
                let work = slot.take();
                drop(slot);
                let error = Error::internal(format!("{} has panicked: {}", self.name, said(&*panic)));
                // What a panic leaves is given up, and not used again.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
                let error = if dropped.is_err() { error.about("again while it was given up") } else { error };
                let error = error.located(self.id, Vec::new());
                self.end(None, Ended { status: InvocationStatus::Failed, result: Err(error) });
            }
        }
    }

    /// Aborts it. `false`: a thread has it, and it ends at its next stop.
    pub(super) fn abort(&self, why: Error) -> bool {
        if self.word.claim() != Claim::Taken {
            return false;
        }
        self.abort_taken(why);
        true
    }

    fn abort_taken(&self, why: Error) {
        let _running = Running::begin(self.number);
        let work = self.work().take();
        let ended = match &work {
            Some(work) => work.aborted(why),
            None => Ended { status: InvocationStatus::Aborted, result: Err(why) },
        };
        self.end(work, ended);
    }

    /// Answers for one that a thread has and does not give back.
    pub(super) fn abandon(&self) {
        let error = shut_down().about("it does not stop").about(self.name.to_string()).located(self.id, Vec::new());
        self.tell_all(Outcome {
            status: InvocationStatus::Aborted,
            result: Err(error),
            known: Knowledge::lower_bound(Frontier::new()),
        });
    }

    /// Gives up what the call holds: a shutdown has answered for it.
    #[cold]
    fn discard(&self) {
        let work = self.work().take();
        self.end(work, Ended { status: InvocationStatus::Aborted, result: Err(shut_down()) });
    }

    /// Gives up what the call holds, and then says how it has ended.
    fn end(&self, work: Option<Work>, ended: Ended) {
        let Ended { status, result } = ended;
        let mut known = Knowledge::lower_bound(Frontier::new());
        let release = || {
            let Some(mut work) = work else { return Ok(Vec::new()) };
            std::mem::swap(&mut known, &mut work.known);
            if let Some(time) = work.timer.take() {
                self.queue.forget_timer(time, self.number);
            }
            let mut state = work.into_state();
            let mut outputs = Vec::new();
            let taken = if result.is_ok() { state.finish(&mut outputs) } else { Ok(()) };
            state.abort();
            // A future that lives on elsewhere with its waker would wake the next call that lies here. The machine has
            // the waker twice, its mailbox once; both go, as the one is made for the other.
            let machine = &mut state.machine;
            let own = 2 + usize::from(machine.mailbox.is_some());
            if machine.wakeup.as_ref().is_some_and(|(wakeup, _)| Arc::strong_count(wakeup) > own) {
                (machine.wakeup, machine.mailbox) = (None, None);
            }
            self.queue.recycle(state);
            taken.map(|()| outputs)
        };
        // Objects of others are given up there: what they do when they are dropped is not ours.
        let released = catch_unwind(AssertUnwindSafe(release));
        let (status, result) = match (result, released) {
            (Err(error), _) => (status, Err(error)),
            (Ok(()), Ok(Ok(outputs))) => (status, Ok(outputs)),
            (Ok(()), Ok(Err(error))) => (InvocationStatus::Failed, Err(error)),
            (Ok(()), Err(panic)) => {
                let error = Error::internal(format!("{} has panicked when it ended: {}", self.name, said(&*panic)));
                (InvocationStatus::Failed, Err(error.located(self.id, Vec::new())))
            }
        };
        self.tell_all(Outcome { status, result: result.map(Vec::into_boxed_slice), known });
    }

    /// Sets the outcome, and tells it to everyone, once: first what the policy promised, then who waits for the end. A
    /// panic of one who is told goes on when all have been.
    fn tell_all(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_err() {
            return; // a shutdown has answered
        }
        let mut panics = FirstPanic::default();
        if !self.word.end() {
            // A shutdown answers, and the thread had let go of it just before: it does not look at it any more.
            panics.catch(|| self.discard());
        }
        let Some(outcome) = self.outcome.get() else { return };
        let (signals, on_failure, ticket, completion) = {
            let mut promise = self.promise();
            let signals = std::mem::take(&mut promise.signals);
            (signals, promise.on_failure, promise.ticket.take(), promise.completion.clone())
        };
        for (semaphore, value) in signals {
            if let Some(Err(refused)) = panics.catch(|| self.tell(&semaphore, value, outcome, on_failure)) {
                // The first one.
                let _ = self.refused.set(refused);
            }
        }
        if let Some(completion) = completion {
            panics.catch(|| self.complete(&completion, outcome));
        }
        if let Some(ticket) = ticket {
            panics.catch(|| ticket.end(self.verdict(outcome)));
        }
        self.queue.forget(self.number);
        panics.resume();
    }

    fn tell(
        &self,
        semaphore: &Semaphore,
        value: u64,
        outcome: &Outcome,
        on_failure: OnFailure,
    ) -> proact::status::Result {
        match (&outcome.result, on_failure) {
            (Ok(_), _) => semaphore.signal_known(value, &outcome.known),
            (Err(error), OnFailure::Fail) => {
                semaphore.fail(self.verdict_of(error));
                Ok(())
            }
            (Err(_), OnFailure::SignalTainted) => semaphore.signal_tainted(value),
            (Err(_), OnFailure::Leave) => Ok(()),
        }
    }

    fn complete(&self, completion: &Semaphore, outcome: &Outcome) {
        // Who makes the semaphore and who ends the invocation may both tell it, the same: the second is refused.
        let _ = self.tell(completion, 1, outcome, OnFailure::Fail);
    }

    fn verdict(&self, outcome: &Outcome) -> proact::status::Result {
        outcome.result.as_ref().map(drop).map_err(|error| self.verdict_of(error))
    }

    /// The failure as proact's: its code and words, and whose it was.
    fn verdict_of(&self, error: &Error) -> Status {
        let status = match error.status() {
            Some(status) => status.clone(),
            None => {
                let text = error.to_string();
                let code = format!(" ({})", error.code());
                let words = text.strip_suffix(&code).unwrap_or(&text).to_string();
                Status::new(error.code(), Operation::None).with_message(words)
            }
        };
        status.with_context(format!("{} in call {}", self.name, self.id))
    }

    /// Whether the caller, which wakes it, puts it in its queue.
    pub(super) fn wakes(&self) -> bool {
        self.word.wake()
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn promise(&self) -> MutexGuard<'_, Promise> {
        self.promise.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// The numbers of what this thread runs: of more than one where a function runs an executor.
    static RUNNING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Until it is dropped, this thread runs an invocation, or ends it.
struct Running(());

impl Running {
    fn begin(number: u64) -> Running {
        RUNNING.with_borrow_mut(|running| running.push(number));
        Running(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

/// Which call a task is for.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) name: Box<str>,
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        if self.wakes() {
            self.queue.clone().put(self);
        }
    }

    fn wake_by_ref(self: &Arc<Task>) {
        if self.wakes() {
            self.queue.put(self.clone());
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
