//! What random programs do beside reads, writes, names and streams.

use std::time::Duration;

use proact::memory::{BufferPool, Slab};
use proact::operation::{
    AnyOp, CancelAll, ChangeRange, CopyRange, Group, Nop, Read, ReadVectored, ReceiveFrom, ReceivePooledMany, Send,
    SendTo, Sequence, SyncRange, Timer, WriteVectored,
};
use proact::resource::SocketType;
use proact::time::Time;

use super::{Line, Run, digest};

/// Vectors and ranges of one file.
pub(super) fn about_file(run: &mut Run<'_>, at: usize, offset: u64) -> (AnyOp, Line) {
    let file = run.files[at].clone();
    match run.random.below(5) {
        0 => {
            let buffers = (0..run.random.below(4)).map(|_| run.bytes()).collect();
            run.plain("vectored write", WriteVectored::exact(file, offset, buffers))
        }
        1 => {
            let buffers = (0..run.random.below(4)).map(|_| vec![0; run.random.below(3000)]).collect();
            let show = |kind: &ReadVectored<Vec<u8>>| format!(" {:x}", digest(&kind.buffers.concat()));
            run.operation("vectored read", ReadVectored::some(file, offset, buffers), show)
        }
        2 => run.plain("sync of a range", SyncRange::new(file, offset, 4096)),
        3 => run.plain("reserve", ChangeRange::reserve(file, offset, 10_000)),
        _ => {
            // Of one file into itself, so that no other chain of the round touches what it reads.
            let (to, length) = (offset + 30_000, run.random.below(9000));
            let copy = CopyRange::some(file.clone(), offset, file, to, length);
            let (op, watch) = run.cts.watch(copy);
            let line = move || {
                let order = watch.order();
                let told = watch.only().result.map(|(count, _)| count).map_err(|status| status.code());
                (order, format!("copy: {told:?}"))
            };
            (op.into(), Box::new(line))
        }
    }
}

/// Datagrams of a pair, in order, some cut by their receiver.
pub(super) fn datagrams(run: &mut Run<'_>) {
    let (near, far) = run.cts.handle().socket_pair(SocketType::Datagram).unwrap();
    let mut lines = Vec::new();
    for _ in 0..1 + run.random.below(5) {
        let (length, room) = (run.random.below(2000), 1 + run.random.below(2000));
        let bytes = vec![run.random.below(256) as u8; length];
        let (op, watch) = run.cts.watch(ReceiveFrom::new(far.clone(), vec![0; room]));
        run.cts.submit(op).unwrap();
        let told = move || {
            let told = watch.only();
            let result = told.result.map(|told| (told.length, told.truncated)).map_err(|status| status.code());
            format!("datagram: {result:?} {:x}", digest(&told.kind.buffer))
        };
        lines.push(told);
        let sent = run.cts.one(SendTo::peer(near.clone(), bytes));
        run.transcript.push(format!("send: {:?}", sent.result.map_err(|status| status.code())));
    }
    run.cts.drain();
    run.transcript.extend(lines.into_iter().map(|line| line()));
}

/// All bytes of a stream, whatever parts they come in, and its end.
pub(super) fn pooled(run: &mut Run<'_>) {
    let (near, far) = run.cts.handle().socket_pair(SocketType::Stream).unwrap();
    let pool = BufferPool::new(Slab::allocate(1 + run.random.below(3000), 8, &Default::default()).unwrap()).unwrap();
    let receives = run.cts.start(ReceivePooledMany::new(far, &pool));
    let mut sends = Vec::new();
    for _ in 0..1 + run.random.below(4) {
        let bytes = run.bytes();
        sends.push(run.cts.start(Send::exact(near.clone(), bytes)));
    }
    let mut all = Vec::new();
    let mut take = || {
        for lease in receives.take_outcomes() {
            all.extend_from_slice(&lease.unwrap().expect("only the end has none"));
        }
    };
    run.cts.until("the sends", || {
        take();
        sends.iter().all(|send| send.is_done())
    });
    near.shutdown(proact::resource::Shutdown::Send).unwrap();
    run.cts.until("the end of the stream", || {
        take();
        receives.is_done()
    });
    take();
    let end = receives.only().result.map(|lease| lease.is_none()).map_err(|status| status.code());
    run.transcript.push(format!("pooled: {} bytes {:x}, {end:?}", all.len(), digest(&all)));
    for send in sends {
        run.transcript.push(format!("send: {:?}", send.only().result.map_err(|status| status.code())));
    }
}

/// A group whose members touch nothing in common, with a deadline far away; and a scope that is cancelled.
pub(super) fn company(run: &mut Run<'_>) {
    let mut group = Group::new();
    for file in run.files.clone() {
        let (bytes, length) = (run.bytes(), run.random.below(9000));
        let write = proact::operation::Write::exact(file.clone(), 100, bytes);
        group = group.with(Sequence::new().step(write).step(Read::some(file, 50, vec![0; length])));
    }
    let later = run.cts.now() + Duration::from_secs(3600);
    let scope = run.cts.handle().scope();
    let (group, told) = run.cts.watch(group);
    let (timer, doomed) = run.cts.watch(Timer::new(Time::FAR_FUTURE));
    let (nop, done) = run.cts.watch(Nop);
    // It ends by itself, in the scope or not.
    let nop = if run.random.one_in(2) { nop.within(&scope) } else { nop };
    run.cts.submit((group.deadline(later), timer.within(&scope), nop)).unwrap();
    run.cts.until("the group", || told.is_done() && done.is_done());
    let cancelled = run.cts.get(CancelAll::new(&scope));
    run.cts.until("what is in the scope", || doomed.is_done());
    let told = told.only();
    let reads: Vec<_> = (0..run.files.len())
        .map(|at| told.kind.kind::<Sequence>(at).and_then(|steps| steps.kind::<Read<Vec<u8>>>(1)))
        .map(|read| read.map(|read| digest(&read.buffer)))
        .collect();
    let result = told.result.map_err(|status| status.code());
    run.transcript.push(format!("group: {result:?} {reads:x?}"));
    run.transcript.push(format!("scope: {cancelled} cancelled, {:?} and {:?}", doomed.code(), done.code()));
}
