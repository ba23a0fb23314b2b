//! What happens when ends cross: an operation in every state that it can wait in is cancelled, closed, timed out or
//! shut down, from where that is least expected.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::memory::{BufferPool, Lease, Slab};
use proact::operation::{
    AcceptMany, CancelAll, Chain, Close, Complete, Context, Group, Interval, Nop, Op, Outcome, Receive, ReceiveMany,
    ReceivePooled, ReceivePooledMany, Scope, SemaphoreWait, Send, Sequence, Timer,
};
use proact::resource::{Socket, SocketOptions};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, patience};
use crate::cases;

cases![
    a_scope_ends_whatever_state_its_operations_wait_in,
    a_shutdown_ends_whatever_state_operations_wait_in,
    a_deadline_ends_a_receive_that_waits_for_a_buffer,
    a_deadline_ends_an_operation_with_many_outcomes,
    a_deadline_of_a_step_in_the_kernel_ends_that_step,
    a_deadline_of_a_later_step_in_the_kernel_spares_the_one_before,
    a_deadline_of_a_cancel_changes_nothing,
    an_outcome_may_cancel_the_scope_that_its_operation_is_in,
    an_outcome_may_close_the_socket_and_drop_its_last_handle,
    an_outcome_that_panics_after_it_asked_for_the_end_gets_it,
    outcomes_beyond_the_rings_room_all_arrive,
    a_cancel_in_a_group_in_its_scope_waits_for_nothing_that_waits_for_it,
    cancels_of_two_scopes_that_hold_each_other_both_complete,
    a_pool_lives_on_in_the_receive_that_waits_for_a_buffer,
    a_member_that_ends_at_once_ends_its_group_once,
];

fn pool(size: usize, count: u32) -> BufferPool {
    BufferPool::new(Slab::allocate(size, count, &Default::default()).unwrap()).unwrap()
}

fn take_all(pool: &BufferPool) -> Vec<Lease> {
    std::iter::from_fn(|| pool.acquire().ok()).collect()
}

fn far() -> Timer {
    Timer::new(Time::FAR_FUTURE)
}

/// Notes under which name an operation ended, and how.
struct Note(&'static str, Arc<Mutex<Vec<(&'static str, Code)>>>);

impl<K: proact::operation::Kind> Complete<K> for Note {
    fn done(op: Box<Op<K, Note>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let code = outcome.result.as_ref().map_or_else(proact::status::Status::code, |_| Code::Ok);
        op.state.1.lock().unwrap().push((op.state.0, code));
    }
}

type Told = Arc<Mutex<Vec<(&'static str, Code)>>>;

/// One operation in each state that it can wait in.
struct Everything {
    told: Told,
    pool: BufferPool,
    leases: Vec<Lease>,
    sockets: Vec<Socket>,
}

const NAMES: [&str; 9] = ["accept", "fills", "gate", "group", "head", "interval", "queued", "receives", "starved"];

fn everything(cts: &mut Cts, scope: &Scope) -> Everything {
    let told = Told::default();
    let note = |name| Note(name, told.clone());
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (listener, _) = cts.listener();
    let (near, far_end) = cts.pair();
    let (other, other_end) = cts.pair_on("127.0.0.1:0", &options);
    let pool = pool(64, 2);
    let leases = take_all(&pool);
    let interval = Interval::new(cts.now() + Duration::from_secs(1000), Duration::from_secs(1));
    let semaphore = Semaphore::new(0);
    let group = Group::new().with(far()).with(Sequence::new().step(far()).step(Nop)).with(Group::new().with(far()));
    let submit = |cts: &mut Cts| {
        cts.submit(Op::new(AcceptMany::new(listener), note("accept")).within(scope)).unwrap();
        cts.submit(Op::new(ReceivePooled::new(far_end.clone(), &pool), note("starved")).within(scope)).unwrap();
        cts.submit(Op::new(Receive::some(far_end.clone(), vec![0; 4]), note("queued")).within(scope)).unwrap();
        cts.submit(Op::new(ReceiveMany::new(other_end.clone(), vec![0; 4]), note("receives")).within(scope)).unwrap();
        cts.submit(Op::new(Send::exact(near.clone(), vec![9; 64 << 20]), note("fills")).within(scope)).unwrap();
        cts.submit(Op::new(interval, note("interval")).within(scope)).unwrap();
        cts.submit(Op::new(group, note("group")).within(scope)).unwrap();
        let gate = Op::new(SemaphoreWait::new(semaphore, 1), note("gate")).within(scope);
        let head = Op::new(Send::exact(other.clone(), vec![1]), note("head")).within(scope);
        cts.submit(Chain::new((gate, head))).unwrap();
    };
    submit(cts);
    cts.look();
    assert_eq!(*told.lock().unwrap(), [], "all of them wait");
    Everything { told, pool, leases, sockets: vec![near, far_end, other, other_end] }
}

impl Everything {
    /// Each ended once, cancelled, and nothing of the pool is lost.
    #[track_caller]
    fn check(mut self) {
        let mut told = std::mem::take(&mut *self.told.lock().unwrap());
        told.sort_by_key(|(name, _)| *name);
        assert_eq!(told, NAMES.map(|name| (name, Code::Cancelled)));
        self.leases.clear();
        self.sockets.clear();
        assert_eq!(self.pool.available(), 2);
    }
}

fn a_scope_ends_whatever_state_its_operations_wait_in(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let everything = everything(cts, &scope);
    assert_eq!(cts.get(CancelAll::new(&scope)), NAMES.len());
    assert_eq!(everything.told.lock().unwrap().len(), NAMES.len(), "the cancel comes after the last of them");
    cts.look();
    everything.check();
}

fn a_shutdown_ends_whatever_state_operations_wait_in(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let everything = everything(cts, &scope);
    assert_eq!(cts.take().shutdown(patience()), 0);
    everything.check();
}

fn soon(cts: &Cts) -> Time {
    cts.now() + Duration::from_millis(2)
}

fn a_deadline_ends_a_receive_that_waits_for_a_buffer(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    let pool = pool(64, 2);
    let leases = take_all(&pool);
    cts.get(Send::exact(near, b"kept".to_vec()));
    let (one, single) = cts.watch(ReceivePooled::new(far_end.clone(), &pool));
    let deadline = soon(cts);
    cts.submit(one.deadline(deadline)).unwrap();
    cts.until("the deadline", || single.is_done());
    assert_eq!(single.only().status().code(), Code::DeadlineExceeded);
    let (many, multiple) = cts.watch(ReceivePooledMany::new(far_end.clone(), &pool));
    let deadline = soon(cts);
    cts.submit(many.deadline(deadline)).unwrap();
    cts.until("the deadline", || multiple.is_done());
    assert_eq!(multiple.only().status().code(), Code::DeadlineExceeded);
    drop(leases);
    // Nothing was received meanwhile, and the pool is whole.
    assert_eq!(cts.get(ReceivePooled::new(far_end, &pool)).unwrap()[..], *b"kept");
    cts.look();
    assert_eq!(pool.available(), 2);
}

fn a_deadline_ends_an_operation_with_many_outcomes(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let (accept, accepts) = cts.watch(AcceptMany::new(listener));
    let (interval, outcomes) = cts.watch(Interval::new(cts.now(), Duration::from_micros(200)));
    let deadline = cts.now() + Duration::from_millis(20);
    cts.submit((accept.deadline(deadline), interval.deadline(deadline))).unwrap();
    let _client = cts.peer(&address);
    cts.until("the deadline", || accepts.is_done() && outcomes.is_done());
    assert!(cts.now() >= deadline);
    assert!(outcomes.outcomes() > 0);
    assert_eq!(accepts.only().status().code(), Code::DeadlineExceeded);
    assert_eq!(outcomes.only().status().code(), Code::DeadlineExceeded);
}

fn a_deadline_of_a_step_in_the_kernel_ends_that_step(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    let (receive, first) = cts.watch(Receive::exact(far_end.clone(), vec![0; 4]));
    let (send, second) = cts.watch(Send::exact(far_end, vec![1; 4]));
    let deadline = soon(cts);
    cts.submit(Chain::new((receive.deadline(deadline), send))).unwrap();
    cts.until("the chain", || second.is_done());
    assert_eq!((first.code(), second.code()), (Some(Code::DeadlineExceeded), Some(Code::Cancelled)));
    drop(near);
}

fn a_deadline_of_a_later_step_in_the_kernel_spares_the_one_before(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    for _ in 0..5 {
        let (receive, first) = cts.watch(Receive::exact(far_end.clone(), vec![0; 4]));
        let (send, second) = cts.watch(Send::exact(far_end.clone(), vec![1; 4]));
        let (nop, third) = cts.watch(Nop);
        let deadline = soon(cts);
        cts.submit(Chain::new((receive, send.deadline(deadline), nop))).unwrap();
        cts.get(Timer::new(deadline + Duration::from_millis(1)));
        cts.look();
        assert!(!first.is_done() && !second.is_done(), "callbacks come in the chain's order");
        cts.get(Send::exact(near.clone(), vec![2; 4]));
        cts.until("the chain", || third.is_done());
        assert_eq!(first.only().kind.buffer, [2; 4]);
        assert_eq!((second.code(), third.code()), (Some(Code::DeadlineExceeded), Some(Code::Cancelled)));
    }
    assert!(far_end.failure().is_none());
}

fn a_deadline_of_a_cancel_changes_nothing(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (first, one) = cts.watch(far());
    let (second, two) = cts.watch(Nop);
    let id = cts.submit(Chain::new((first, second.within(&scope)))).unwrap().0;
    let (cancel, done) = cts.watch(CancelAll::new(&scope));
    let deadline = soon(cts);
    cts.submit(cancel.deadline(deadline)).unwrap();
    cts.get(Timer::new(deadline + Duration::from_millis(1)));
    cts.look();
    assert!(!done.is_done(), "what it asked to end has not ended");
    cts.cancel(id).unwrap();
    cts.until("the cancel", || done.is_done());
    assert_eq!((one.code(), two.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    assert_eq!(done.only().result.unwrap(), 1);
}

/// Does something at its first outcome.
struct First<F> {
    act: Option<F>,
    ended: Arc<Mutex<Vec<Code>>>,
    outcomes: Arc<AtomicUsize>,
}

impl<K: proact::operation::Kind, F: FnOnce(&mut Context<'_>) + 'static> Complete<K> for First<F> {
    fn more(&mut self, _: &K, _: Outcome<K>, cx: &mut Context<'_>) {
        self.outcomes.fetch_add(1, Ordering::Relaxed);
        if let Some(act) = self.act.take() {
            act(cx);
        }
    }

    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let code = outcome.result.as_ref().map_or_else(proact::status::Status::code, |_| Code::Ok);
        op.state.ended.lock().unwrap().push(code);
    }
}

type Ended = (Arc<Mutex<Vec<Code>>>, Arc<AtomicUsize>);

fn first<F>(act: F) -> (First<F>, Ended) {
    let (ended, outcomes) = (Arc::<Mutex<Vec<Code>>>::default(), Arc::<AtomicUsize>::default());
    (First { act: Some(act), ended: ended.clone(), outcomes: outcomes.clone() }, (ended, outcomes))
}

fn an_outcome_may_cancel_the_scope_that_its_operation_is_in(cts: &mut Cts) {
    for native in [true, false] {
        let (near, far_end) = cts.pair();
        let pool = pool(64, 8);
        let scope = cts.handle().scope();
        let (own, cancelled) = (scope.clone(), Arc::<AtomicUsize>::default());
        let count = cancelled.clone();
        let (state, (ended, outcomes)) = first(move |cx: &mut Context<'_>| {
            struct Count(Arc<AtomicUsize>);
            impl Complete<CancelAll<Scope>> for Count {
                fn done(op: Box<Op<CancelAll<Scope>, Count>>, outcome: Outcome<CancelAll<Scope>>, _: &mut Context<'_>) {
                    op.state.0.store(outcome.result.unwrap(), Ordering::Relaxed);
                }
            }
            cx.submit(Op::new(CancelAll::new(&own), Count(count)).within(&own)).unwrap();
        });
        if native {
            cts.submit(Op::new(ReceivePooledMany::new(far_end, &pool), state).within(&scope)).unwrap();
        } else {
            cts.submit(Op::new(ReceiveMany::new(far_end, vec![0; 8]), state).within(&scope)).unwrap();
        }
        cts.get(Send::exact(near, vec![1; 4]));
        cts.until("both", || ended.lock().unwrap().len() == 1 && cancelled.load(Ordering::Relaxed) > 0);
        assert_eq!((outcomes.load(Ordering::Relaxed), cancelled.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(*ended.lock().unwrap(), [Code::Cancelled]);
        cts.look();
        assert_eq!(pool.available(), 8);
    }
}

fn an_outcome_may_close_the_socket_and_drop_its_last_handle(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    let told = Told::default();
    let (last, note) = (far_end.clone(), Note("close", told.clone()));
    let (state, (ended, outcomes)) = first(move |cx: &mut Context<'_>| {
        cx.submit(Op::new(Close::new(last), note)).unwrap();
    });
    cts.submit(Op::new(ReceiveMany::new(far_end, vec![0; 8]), state)).unwrap();
    cts.get(Send::exact(near.clone(), vec![1; 4]));
    cts.until("both", || !told.lock().unwrap().is_empty());
    assert_eq!(*ended.lock().unwrap(), [Code::Cancelled], "before the close");
    assert_eq!(outcomes.load(Ordering::Relaxed), 1);
    assert_eq!(*told.lock().unwrap(), [("close", Code::Ok)]);
    assert_eq!(cts.get(Receive::some(near, vec![0; 4])), 0, "it is really closed");
}

fn an_outcome_that_panics_after_it_asked_for_the_end_gets_it(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    let scope = cts.handle().scope();
    let own = scope.clone();
    let (state, (ended, outcomes)) = first(move |cx: &mut Context<'_>| {
        cx.submit(Op::new(CancelAll::new(&own), ())).unwrap();
        // A panic, without the noise of one.
        std::panic::resume_unwind(Box::new("a broken callback"));
    });
    cts.submit(Op::new(ReceiveMany::new(far_end, vec![0; 8]), state).within(&scope)).unwrap();
    let send = cts.start(Send::exact(near, vec![1; 4]));
    let polled = std::panic::AssertUnwindSafe(|| cts.until("the panic", || false));
    assert!(std::panic::catch_unwind(polled).is_err());
    cts.until("the end", || ended.lock().unwrap().len() == 1);
    cts.drain();
    assert!(send.is_done());
    assert_eq!(*ended.lock().unwrap(), [Code::Cancelled]);
    assert_eq!(outcomes.load(Ordering::Relaxed), 1);
}

fn outcomes_beyond_the_rings_room_all_arrive(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(2));
    let (listener, address) = cts.listener();
    let accepts = cts.start(AcceptMany::new(listener));
    cts.look();
    let pool = pool(64, 128);
    let (near, far_end) = cts.pair();
    let receives = cts.start(ReceivePooledMany::new(far_end, &pool));
    cts.look();
    // All of this comes while nobody polls.
    let clients: Vec<_> = (0..40).map(|_| cts.peer(&address)).collect();
    let mut nops = 0;
    let counted = Arc::<AtomicUsize>::default();
    struct Count(Arc<AtomicUsize>);
    impl Complete<Nop> for Count {
        fn done(op: Box<Op<Nop, Count>>, _: Outcome<Nop>, _: &mut Context<'_>) {
            op.state.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let send = cts.start(Send::exact(near, vec![3; 64 * 100]));
    for _ in 0..40 {
        cts.submit(Op::new(Nop, Count(counted.clone()))).unwrap();
        nops += 1;
    }
    let mut received = 0;
    cts.until("everything", || {
        received += receives.take_outcomes().into_iter().map(|lease| lease.unwrap().unwrap().len()).sum::<usize>();
        accepts.outcomes() == clients.len() && received == 64 * 100 && counted.load(Ordering::Relaxed) == nops
    });
    assert!(send.is_done() && !accepts.is_done() && !receives.is_done());
    let mut expected: Vec<_> = clients.iter().map(|client| client.address().to_string()).collect();
    let mut seen: Vec<_> =
        accepts.take_outcomes().into_iter().map(|accepted| accepted.unwrap().peer().to_string()).collect();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
}

fn a_cancel_in_a_group_in_its_scope_waits_for_nothing_that_waits_for_it(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (beside, one) = cts.watch(far());
    let inner = Group::new().with(CancelAll::new(&scope)).with(far());
    let (group, two) = cts.watch(Group::new().with(far()).with(Sequence::new().step(Nop).step(inner).step(Nop)));
    let (behind, three) = cts.watch(Nop);
    cts.submit(beside.within(&scope)).unwrap();
    cts.submit(Chain::new((group.within(&scope), behind.within(&scope)))).unwrap();
    cts.until("all of it", || one.is_done() && two.is_done() && three.is_done());
    for code in [one.code(), two.code(), three.code()] {
        assert_eq!(code, Some(Code::Cancelled));
    }
}

fn cancels_of_two_scopes_that_hold_each_other_both_complete(cts: &mut Cts) {
    for later in [false, true] {
        let (left, right) = (cts.handle().scope(), cts.handle().scope());
        let (member, one) = cts.watch(far());
        let (other, two) = cts.watch(far());
        cts.submit((member.within(&left), other.within(&right))).unwrap();
        let (of_left, three) = cts.watch(CancelAll::new(&left));
        let (of_right, four) = cts.watch(CancelAll::new(&right));
        if later {
            let (first, _) = cts.watch(Nop);
            let (second, _) = cts.watch(Nop);
            cts.submit(Chain::new((first, of_left.within(&right)))).unwrap();
            cts.submit(Chain::new((second, of_right.within(&left)))).unwrap();
        } else {
            cts.submit((of_left.within(&right), of_right.within(&left))).unwrap();
        }
        cts.until("both", || three.is_done() && four.is_done());
        // The first cancels the second, which then does nothing.
        assert_eq!(
            (one.code(), three.code(), four.code()),
            (Some(Code::Cancelled), Some(Code::Ok), Some(Code::Cancelled))
        );
        assert!(!two.is_done());
        cts.get(CancelAll::new(&right));
        assert_eq!(two.code(), Some(Code::Cancelled));
    }
}

fn a_pool_lives_on_in_the_receive_that_waits_for_a_buffer(cts: &mut Cts) {
    let (near, far_end) = cts.pair();
    let pool = pool(64, 1);
    let mut leases = take_all(&pool);
    let receive = cts.start(ReceivePooled::new(far_end, &pool));
    cts.get(Send::exact(near, b"bytes".to_vec()));
    cts.look();
    drop(pool);
    assert!(!receive.is_done());
    leases.clear();
    cts.until("the receive", || receive.is_done());
    let told = receive.only();
    drop(told.kind);
    assert_eq!(told.result.unwrap().unwrap()[..], *b"bytes");
}

fn a_member_that_ends_at_once_ends_its_group_once(cts: &mut Cts) {
    let done = Semaphore::new(5);
    let (group, end) = cts.watch(
        Group::new()
            .with(SemaphoreWait::new(done.clone(), 5))
            .with(Sequence::new())
            .with(Group::new())
            .with(Timer::new(Time::ORIGIN))
            .with(CancelAll::new(&cts.handle().scope()))
            .with(Group::new().with(SemaphoreWait::new(done, 1))),
    );
    cts.submit(group).unwrap();
    cts.poll(Timeout::Immediate).unwrap();
    cts.until("the group", || end.is_done());
    let told = end.only();
    told.result.unwrap();
    assert_eq!(told.kind.result::<CancelAll<Scope>>(4).unwrap().as_ref().unwrap(), &0);
}
