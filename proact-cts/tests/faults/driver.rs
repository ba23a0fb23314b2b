//! Runs a program of operations, which goes on as well as it can when one fails, and judges how each has ended.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use proact::memory::BufferPool;
use proact::operation::{Batch, Complete, Context, Kind, Op, OperationId, Outcome};
use proact::proactor::Proactor;
use proact::status::{Code, Result, Status};
use proact::time::Timeout;
use proact_cts::bench::patience;
use proact_cts::config::Configuration;

/// One thing that a program does. It leaves off where it cannot go on; those behind it are run all the same.
pub type Part = fn(&mut Driver<'_>, &Path) -> Option<()>;

/// How one step of the program ended.
#[derive(Debug)]
enum How {
    /// Well, and with the right result.
    Well,
    /// With a failure.
    Failed { code: Code, os_error: Option<i32> },
    /// Not as any operation may end, whatever failed.
    Wrong(String),
}

/// What a run of the program came to.
#[derive(Debug, Default)]
pub struct Ended {
    steps: Vec<(&'static str, How)>,
    /// Operations that the shutdown could not end.
    pub leaked: usize,
    /// Passes that failed: the proactor is given up after the first.
    pub polls_failed: usize,
}

impl Ended {
    /// How many allocations it is made of.
    pub fn held(&self) -> i64 {
        let texts = self.steps.iter().filter(|(_, how)| matches!(how, How::Wrong(text) if text.capacity() > 0));
        i64::from(self.steps.capacity() > 0) + texts.count() as i64
    }

    /// All that did not end well.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.steps.iter().filter(|(_, how)| !matches!(how, How::Well));
        failed.map(|(name, how)| format!("{name}: {how:?}")).collect()
    }

    /// What must hold when a call failed with `errno`, or none did.
    #[track_caller]
    pub fn check(&self, errno: Option<i32>) {
        let failures = self.failures();
        for (name, how) in &self.steps {
            match how {
                How::Well => {}
                How::Wrong(what) => panic!("{name} after {errno:?}: {what}; failures: {failures:?}"),
                How::Failed { code, os_error } => {
                    let errno = errno.unwrap_or_else(|| panic!("{name} failed without a fault: {failures:?}"));
                    let told = *os_error == Some(errno) || *code == Code::from_os_error(errno);
                    // No thread can be had, whatever the reason; what came after a failure; what a peer's failure did.
                    let no_thread = *os_error == Some(libc::EAGAIN);
                    let follows = [Code::Cancelled, Code::OutOfRange, Code::Aborted].contains(code);
                    let by_peer = [libc::ECONNRESET, libc::EPIPE].map(Code::from_os_error).contains(code);
                    let build = *name == "build";
                    assert!(told || no_thread || follows || by_peer || build, "{name} with {code:?} after {errno}");
                }
            }
        }
    }
}

/// Runs `parts` on a proactor of `config`, with files in `folder`. `say` hears what it does.
/// `errno` is what a call fails with, if one is to.
pub fn run(config: Configuration, parts: &[Part], folder: &Path, errno: Option<i32>, say: &dyn Fn(&str)) -> Ended {
    // Few entries, so that a batch fills the ring; few workers, so that jobs queue.
    let built = config.builder().entries(8).workers_max(2).build();
    let proactor = match built {
        Ok(proactor) => proactor,
        Err(status) => {
            let mut ended = Ended::default();
            ended.steps.push(("build", failed(&status)));
            return ended;
        }
    };
    let mut driver = Driver { config, errno, proactor, ended: Ended::default(), say, flights: Vec::new() };
    for part in parts {
        // A part that cannot go on is left; the others are run all the same.
        let _ = part(&mut driver, folder);
        if driver.ended.polls_failed > 0 {
            break;
        }
    }
    driver.finish()
}

fn failed(status: &Status) -> How {
    How::Failed { code: status.code(), os_error: status.os_error() }
}

/// How often an operation's callback has run.
type Calls = Rc<RefCell<usize>>;

/// What a callback was told, until the program takes it.
type Told<K> = Rc<RefCell<Option<(Result<<K as Kind>::Output>, K)>>>;

pub struct Driver<'a> {
    /// What its proactor was built by, for parts that need another.
    pub config: Configuration,
    /// What a call of this run fails with, for parts that take it for an answer.
    pub errno: Option<i32>,
    pub proactor: Proactor,
    pub ended: Ended,
    say: &'a dyn Fn(&str),
    /// Every operation ever submitted.
    flights: Vec<(&'static str, Calls)>,
}

/// What a callback was told before the last outcome.
type More<K> = Rc<RefCell<Vec<<K as Kind>::Output>>>;

/// An operation's outcome, when it has come.
pub struct Flight<K: Kind> {
    name: &'static str,
    calls: Calls,
    pub told: Told<K>,
    more: More<K>,
    pub id: Option<OperationId>,
}

pub struct Tell<K: Kind> {
    calls: Calls,
    told: Told<K>,
    more: More<K>,
}

impl<K: Kind> Complete<K> for Tell<K> {
    fn more(&mut self, _: &K, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(self.told.borrow().is_none(), "an outcome after the last one");
        self.more.borrow_mut().push(outcome.result.unwrap_or_else(|status| panic!("a failure and more: {status}")));
    }

    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let Op { kind, state, .. } = *op;
        *state.calls.borrow_mut() += 1;
        *state.told.borrow_mut() = Some((outcome.result, kind));
    }
}

impl<K: Kind> Flight<K> {
    pub fn is_done(&self) -> bool {
        *self.calls.borrow() > 0
    }

    /// Whether it has ended with a failure that was not taken yet.
    pub fn failed(&self) -> bool {
        self.told.borrow().as_ref().is_some_and(|(result, _)| result.is_err())
    }

    /// How many outcomes before the last have come.
    pub fn outcomes(&self) -> usize {
        self.more.borrow().len()
    }

    /// Takes the outcomes before the last.
    pub fn take_outcomes(&self) -> Vec<K::Output> {
        std::mem::take(&mut self.more.borrow_mut())
    }
}

impl Driver<'_> {
    pub fn flight<K: Kind>(&mut self, name: &'static str, kind: K) -> (Box<Op<K, Tell<K>>>, Flight<K>) {
        let (calls, told, more) = (Calls::default(), Told::<K>::default(), More::<K>::default());
        self.flights.push((name, Rc::clone(&calls)));
        let op = Op::new(kind, Tell { calls: Rc::clone(&calls), told: Rc::clone(&told), more: Rc::clone(&more) });
        (op, Flight { name, calls, told, more, id: None })
    }

    pub fn start<K: Kind>(&mut self, name: &'static str, kind: K) -> Flight<K> {
        self.start_with(name, kind, |op| op)
    }

    /// Submits an operation after a change to it. One that is refused has ended by that.
    pub fn start_with<K: Kind>(
        &mut self,
        name: &'static str,
        kind: K,
        change: impl FnOnce(Box<Op<K, Tell<K>>>) -> Box<Op<K, Tell<K>>>,
    ) -> Flight<K> {
        let (op, mut flight) = self.flight(name, kind);
        match self.proactor.submit(change(op)) {
            Ok(id) => flight.id = Some(id),
            Err(refused) => {
                let op = refused.batch;
                *flight.calls.borrow_mut() += 1;
                *flight.told.borrow_mut() = Some((Err(refused.status), op.kind));
            }
        }
        flight
    }

    /// Submits what no failing call keeps from being submitted.
    pub fn submit<B: Batch>(&mut self, batch: B) {
        self.proactor.submit(batch).map(|_| ()).unwrap_or_else(|refused| panic!("refused: {refused}"));
    }

    /// Asks for the end of an operation that may have ended.
    pub fn cancel<K: Kind>(&mut self, flight: &Flight<K>) {
        let _ = flight.id.map(|id| self.proactor.cancel(id));
    }

    /// Waits for the end of an operation that was asked to end: cancelled, or with what it failed with before.
    pub fn end_cancelled<K: Kind>(&mut self, flight: &Flight<K>) {
        let name = flight.name;
        self.cancel(flight);
        if !self.until(name, || flight.is_done()) {
            return;
        }
        let (result, _) = flight.told.borrow_mut().take().expect("its callback has run");
        let how = match &result {
            Ok(_) => How::Wrong(String::from("a success though nothing was left to bring it about")),
            Err(status) if status.is_cancelled() => How::Well,
            Err(status) => failed(status),
        };
        self.ended.steps.push((name, how));
    }

    /// Cancels an operation that what failed before may have brought about or not: it ends in either way.
    pub fn give_up<K: Kind>(&mut self, flight: &Flight<K>) {
        self.cancel(flight);
        self.until(flight.name, || flight.is_done());
        flight.told.borrow_mut().take();
    }

    /// Every buffer of a pool is back. What lies ready with the kernel comes back in the pass before the next sleep.
    pub fn all_back(&mut self, name: &'static str, pool: &BufferPool) {
        for _ in 0..3 {
            let _ = self.proactor.poll(Timeout::Immediate);
        }
        self.right(name, pool.available() == pool.capacity(), "a buffer is lost");
    }

    /// Polls until `done`; `false` when the proactor broke, or that never came.
    pub fn until(&mut self, what: &'static str, mut done: impl FnMut() -> bool) -> bool {
        (self.say)(what);
        if self.ended.polls_failed > 0 {
            return done();
        }
        let deadline = self.proactor.now() + patience();
        while !done() {
            if self.proactor.poll(deadline).is_err() {
                self.ended.polls_failed += 1;
                return false;
            }
            if self.proactor.now() >= deadline {
                self.ended.steps.push((what, How::Wrong(String::from("never ended"))));
                return false;
            }
        }
        true
    }

    /// A pass that does not wait: what was submitted stands then, if it did not end.
    pub fn pass(&mut self) -> Option<()> {
        if self.proactor.poll(Timeout::Immediate).is_err() {
            self.ended.polls_failed += 1;
            return None;
        }
        Some(())
    }

    /// The flight's output and its parameters, if it ended well and its result is right.
    pub fn end<K: Kind>(
        &mut self,
        flight: &Flight<K>,
        right: impl FnOnce(&K::Output, &K) -> bool,
    ) -> Option<(K::Output, K)> {
        let name = flight.name;
        if !self.until(name, || flight.is_done()) {
            return None;
        }
        let (result, kind) = flight.told.borrow_mut().take().expect("its callback has run");
        let how = match &result {
            Ok(output) if right(output, &kind) => How::Well,
            Ok(_) => How::Wrong(String::from("a success with the wrong result")),
            Err(status) => failed(status),
        };
        self.ended.steps.push((name, how));
        result.ok().map(|output| (output, kind))
    }

    pub fn one<K: Kind>(
        &mut self,
        name: &'static str,
        kind: K,
        right: impl FnOnce(&K::Output) -> bool,
    ) -> Option<K::Output> {
        let flight = self.start(name, kind);
        self.end(&flight, |output, _| right(output)).map(|(output, _)| output)
    }

    /// Something that is no operation.
    pub fn call<T>(&mut self, name: &'static str, result: Result<T>) -> Option<T> {
        let how = result.as_ref().err().map_or(How::Well, failed);
        self.ended.steps.push((name, how));
        result.ok()
    }

    pub fn right(&mut self, name: &'static str, right: bool, what: &str) {
        if self.ended.polls_failed > 0 {
            return; // what was not told of may have happened or not
        }
        self.ended.steps.push((name, if right { How::Well } else { How::Wrong(what.to_owned()) }));
    }

    /// Ends what is left, and counts callbacks.
    fn finish(self) -> Ended {
        let Driver { proactor, mut ended, flights, .. } = self;
        (self.say)("the shutdown");
        ended.leaked = proactor.shutdown(patience());
        let mut never = 0;
        for (name, calls) in flights {
            let calls = *calls.borrow();
            never += usize::from(calls == 0);
            if calls > 1 {
                ended.steps.push((name, How::Wrong(format!("{calls} final callbacks"))));
            }
        }
        if never != ended.leaked {
            let text = format!("{never} operations without a final callback, {} left by the shutdown", ended.leaked);
            ended.steps.push(("shutdown", How::Wrong(text)));
        }
        ended
    }
}

/// Bytes that tell their place, and one `seed` from another.
pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}
