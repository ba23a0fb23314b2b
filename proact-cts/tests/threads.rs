//! What may go to another thread, and what several threads may use at once: held by the types, so that a change of a
//! type that takes it away does not build. `docs/threading.md` names these functions.

use proact::causal::{Axis, Frontier, Knowledge, Session};
use proact::memory::{
    Allocation, BufferPool, Lease, NodePools, Part, Region, Registrations, SharedLease, SharedPool, Slab, Span,
};
use proact::operation::future::{AnyThread, Here, OperationChain, OperationFuture, OperationStream, Submission};
use proact::operation::{
    Accept, AcceptMany, Accepted, Advise, AnyOp, CancelAll, Chain, ChangeFile, ChangeRange, Close, Connect, Context,
    CopyRange, EventSet, EventWait, EventWaitMany, FrontierWait, FutexWait, FutexWake, GetAttribute, Group,
    ImportFence, Interval, Link, ListAttributes, ListBatch, ListDirectory, Message, Nop, NotificationSignal,
    NotificationWait, Op, Open, OperationId, PollHandle, PollHandleMany, ProcessWait, Read, ReadLink, ReadStream,
    ReadVectored, Receive, ReceiveFrom, ReceiveFromPooledMany, ReceiveMany, ReceivePooled, ReceivePooledMany, Register,
    RegisterDescriptor, Relay, RelayMany, RelaySink, RemoveAttribute, Rename, Scope, SemaphoreSignal, SemaphoreWait,
    Send as SendBytes, SendFile, SendTo, SendVectored, Sequence, SetAttribute, SignalWait, Splice, SyncRange, Timer,
    Unregister, UnregisterDescriptor, Walk, WatchChanges, Write, WriteStream, WriteVectored,
};
use proact::proactor::{
    Builder, Handle, Latencies, Proactor, ProactorPool, ProactorThread, Statistics, ThreadBody, ThreadOptions,
};
use proact::resource::{Address, Exit, File, FutexWord, Pollable, Process, Signal, SignalSet, Socket, Stream, Watcher};
use proact::status::Status;
use proact::sync::{
    AxisHandle, AxisOptions, Driver, Epoch, Event, EventPool, FrontierReached, Notification, Observation, Primitive,
    Semaphore, SemaphoreFuture, SemaphoreLink, SemaphoreOptions, Tracker, TrackerOptions, WaitFlags,
};
use proact::time::{Clock, Time};
use proact::topology::{Affinity, CpuSet, Device, Node, Pages, Topology};

/// Fails to build when one of the types is not all that is named before the colon.
macro_rules! are {
    ($($bound:path),+ : $($type:ty),+ $(,)?) => {{
        fn is<T: $($bound +)+>() {}
        $(is::<$type>();)+
    }};
}

/// Fails to build when a type has the trait: then both implementations apply, and which one is meant is open.
macro_rules! are_not {
    ($bound:path : $($type:ty),+ $(,)?) => {
        $({
            trait Ambiguous<A> {
                fn chosen() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $bound> Ambiguous<Has> for T {}
            let _ = <$type as Ambiguous<_>>::chosen;
        })+
    };
}

#[test]
fn futures_go_where_their_kind_may() {
    are!(Send: OperationStream<AcceptMany>, OperationFuture<Accept>, OperationFuture<Receive<Vec<u8>>>, AnyThread);
    are!(Sync: OperationFuture<Accept>, AnyThread);
    are_not!(Send: Submission<'static>, OperationFuture<Accept, Inert>, OperationStream<AcceptMany, Inert>);
    are!(Send: OperationChain<(OperationFuture<Accept>, OperationFuture<Receive<Vec<u8>>>)>);
    are_not!(Send: OperationChain<(OperationFuture<Accept, Inert>, OperationFuture<Accept, Inert>)>);
    are_not!(Sync: Submission<'static>, OperationFuture<Accept, Inert>);
}

/// A way to the proactor of this thread which itself could go anywhere.
struct Inert;

impl Here for Inert {
    fn submit(&self, _: Submission<'_>, _: &mut std::task::Context<'_>) {}
    fn cancel(&self, _: OperationId) {}
}

#[test]
fn what_polls_stays_on_its_thread() {
    are_not!(Send: Proactor, Context<'static>);
    are_not!(Sync: Proactor, Context<'static>);
    // Nothing but the proactor polls, and it needs to be exclusive.
    let _: fn(&mut Proactor, Time) -> proact::status::Result<proact::proactor::Polled> = Proactor::poll;
}

#[test]
fn what_reaches_a_proactor_from_elsewhere_is_shared() {
    are!(Send, Sync, Clone: Handle, Scope, Clock);
    are!(Send, Sync: ProactorThread, ProactorPool, ThreadOptions);
    are!(Send: ThreadBody);
    are!(Send: Builder);
}

#[test]
fn resources_are_shared() {
    are!(Send, Sync, Clone: Tracker);
    are!(Send, Sync: AxisHandle, FrontierReached);
    are!(Send, Sync: Driver, SemaphoreLink, SemaphoreFuture, SemaphoreOptions, Primitive, WaitFlags);
    are!(Send, Sync, Clone: Socket, File, Event, Notification, Semaphore);
    are!(Send, Sync, Clone: Socket, File, Event, EventPool, Notification, Semaphore);
    are!(Send, Sync: Observation<'static>);
    are!(Send, Sync, Clone: Stream, Pollable, Watcher, Process, FutexWord);
}

#[test]
fn memory_is_shared() {
    are!(Send, Sync, Clone: BufferPool, Region, Slab, Span);
    are!(Send, Sync: Lease, NodePools, SharedPool, SharedLease, Registrations, Allocation, Part<Vec<u8>>);
    are_not!(Clone: Lease, SharedLease);
}

#[test]
fn operations_go_to_other_threads_as_far_as_their_parts_do() {
    are!(Send: Op<Nop, ()>, Op<Read<Vec<u8>>, ()>, Chain<Box<Op<Nop, ()>>>, OperationId);
    are!(Send: Accept, Connect, Open, Rename, ListDirectory, Read<Vec<u8>>, Write<Vec<u8>>, Receive<Vec<u8>>);
    are!(Send: FrontierWait);
    are!(Send: SendBytes<Vec<u8>>, Timer, EventWait, SemaphoreWait, SemaphoreSignal, Sequence, Group, Close<Socket>);
    are!(Send: EventSet, NotificationSignal, NotificationWait);
    are!(Send: Advise, ChangeFile, ChangeRange, CopyRange, FutexWait, FutexWake, GetAttribute<Vec<u8>>, Link);
    are!(Send: ImportFence);
    are!(Send: ListAttributes<Vec<u8>>, ListBatch, PollHandle, ProcessWait, ReadLink, ReadStream<Vec<u8>>);
    are!(Send: ReadVectored<Vec<u8>>, RemoveAttribute, SendFile, SetAttribute<Vec<u8>>, Splice<true>, Splice<false>);
    are!(Send: SyncRange, Walk, WatchChanges, WriteStream<Vec<u8>>, WriteVectored<Vec<u8>>);
    are!(Send: AcceptMany, ReceiveMany<Vec<u8>>, ReceivePooled, ReceivePooledMany, ReceiveFromPooledMany, Interval);
    are!(Send: CancelAll<Scope>, CancelAll<Socket>, Message, Register, SignalWait, RegisterDescriptor<Socket>);
    are!(Send: Unregister, UnregisterDescriptor<Socket>, SendTo<Vec<u8>>, ReceiveFrom<Vec<u8>>, SendVectored<Vec<u8>>);
    are!(Send: CancelAll<Scope>, CancelAll<Socket>, Register, Unregister, RegisterDescriptor<Socket>);
    are!(Send: UnregisterDescriptor<Socket>, SendTo<Vec<u8>>, ReceiveFrom<Vec<u8>>, SendVectored<Vec<u8>>);
    are!(Send: EventWaitMany, PollHandleMany, Relay, RelayMany, RelaySink);
    type Local = std::rc::Rc<()>;
    are_not!(Send: Op<Nop, Local>, AnyOp);
}

#[test]
fn plain_values_are_shared() {
    are!(Send, Sync, Clone: Axis, Frontier, Knowledge, Session, TrackerOptions, AxisOptions);
    are!(Send, Sync, Clone: Time, Status, Address, Statistics, Latencies, OperationId, Exit);
    are!(Send, Sync, Clone: Affinity, CpuSet, Device, Node, Pages, Topology);
    are!(Send, Sync, Clone: Signal, SignalSet);
    are!(Send, Sync, Clone: Epoch, Accepted);
}
