//! Regions, slabs, pools, leases, and memory that a proactor knows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use proact::backend::Capabilities;
use proact::memory::{
    Access, Allocation, BufferPool, Fixed, Lease, Part, Region, Registrable, Registrations, Sharing, Slab, Source,
    StableBytes, StableBytesMut,
};
use proact::operation::{
    Op, Read, ReadStream, ReadVectored, Receive, ReceivePooled, ReceiveVectored, Register, Registered, Send,
    SendVectored, Unregister, Write, WriteStream, WriteVectored,
};
use proact::status::{Code, Result};

use crate::bench::{Cts, eventually};
use crate::cases;
use crate::harness::{Only, skip};

cases![
    a_pool_that_is_dropped_frees_its_memory.only(Only::Once),
    a_slab_without_bytes_or_buffers_is_refused.only(Only::Once),
    a_slab_tells_where_its_memory_comes_from.only(Only::Once),
    what_is_taken_is_missing_until_it_is_given_back.only(Only::Once),
    all_buffers_can_be_taken_and_none_twice.only(Only::Once),
    an_empty_pool_refuses_and_works_again_after_a_release.only(Only::Once),
    a_lease_is_written_and_read_back_and_lies_in_its_region.only(Only::Once),
    a_count_that_is_no_power_of_two_is_as_good_as_any.only(Only::Once),
    leases_are_given_back_from_other_threads.real("other threads").only(Only::Once),
    the_last_of_more_than_four_gib_is_received_into,
    leases_receive_and_send_and_outlive_their_pool,
    an_operation_keeps_the_region_of_its_span,
    a_cancelled_receive_gives_its_lease_back,
    leases_that_receive_are_dropped_on_another_thread.real("other threads"),
    memory_that_io_may_not_touch_is_refused_at_submit,
    registered_memory_is_known_until_it_is_unregistered,
    registering_yields_a_number_where_the_kernel_pins,
    several_regions_are_registered_side_by_side,
    memory_that_is_known_is_not_registered_twice,
    two_registrations_of_one_region_in_one_batch_leave_one,
    memory_that_is_not_known_is_not_unregistered,
    memory_without_operations_is_not_registered,
    the_end_of_a_proactor_unregisters_everything,
    a_region_outlives_its_registration,
    a_registration_keeps_the_region,
    files_are_read_and_written_through_registered_memory,
    parts_of_registered_memory_are_where_they_are,
    memory_is_unregistered_under_a_read_and_a_write,
    a_number_that_was_given_up_reaches_no_other_memory,
    a_full_table_refuses_and_has_room_again,
    another_crates_memory_is_registered_too,
    registering_from_another_thread_works.real("other threads"),
];

fn slab(buffer_size: usize, buffer_count: u32) -> Slab {
    Slab::allocate(buffer_size, buffer_count, &Allocation::new()).unwrap()
}

fn pool(buffer_size: usize, buffer_count: u32) -> BufferPool {
    BufferPool::new(slab(buffer_size, buffer_count)).unwrap()
}

fn region(length: usize) -> Region {
    Region::allocate(length, &Allocation::new()).unwrap()
}

fn code<T>(result: Result<T>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Whether the kernel pins memory here.
fn pins(cts: &Cts) -> bool {
    cts.handle().capabilities().contains(Capabilities::REGISTERED_BUFFERS)
}

/// Registers and fails unless that brought what this configuration can give. A limit of locked memory ends the case.
#[track_caller]
fn register(cts: &mut Cts, region: &Region) -> Option<Fixed> {
    match cts.get(Register::new(region.clone())) {
        Registered::Fixed(fixed) => {
            assert!(pins(cts), "pinned though masked");
            Some(fixed)
        }
        Registered::LockLimit => skip("this process may not lock the memory"),
        Registered::Noted => {
            assert!(!pins(cts), "not pinned");
            None
        }
    }
}

/// Bytes that tell when they are dropped.
struct Noted(Box<[u8]>, Arc<AtomicUsize>);

impl Noted {
    fn new(length: usize) -> (Noted, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        (Noted(vec![0; length].into(), drops.clone()), drops)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: as a boxed slice, which it is.
unsafe impl StableBytes for Noted {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: as above; nothing else reaches the slice.
unsafe impl StableBytesMut for Noted {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

fn a_pool_that_is_dropped_frees_its_memory(_: &mut Cts) {
    let (bytes, drops) = Noted::new(64);
    let pool = BufferPool::new(Slab::wrap(bytes, 16, 4).unwrap()).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(pool);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

fn a_slab_without_bytes_or_buffers_is_refused(_: &mut Cts) {
    let make = |size, count| code(Slab::allocate(size, count, &Allocation::new()));
    assert_eq!(make(0, 4), Code::InvalidArgument);
    assert_eq!(make(4, 0), Code::InvalidArgument);
    assert_eq!(make(usize::MAX / 2, 3), Code::OutOfRange);
    assert_eq!(make(usize::MAX, 1), Code::OutOfRange);
    assert_eq!(code(Slab::over(region(100), 50, 3)), Code::OutOfRange);
    assert_eq!(code(Slab::over(region(100), 50, 2)), Code::Ok);
    assert_eq!(code(Region::allocate(0, &Allocation::new())), Code::InvalidArgument);
    let many = slab(1, BufferPool::CAPACITY_MAX + 1);
    assert_eq!(code(BufferPool::new(many)), Code::InvalidArgument);
}

fn a_slab_tells_where_its_memory_comes_from(_: &mut Cts) {
    assert_eq!(slab(64, 4).source(), Source::Allocated);
    let bytes = vec![1u8; 64];
    let at = bytes.as_ptr();
    let wrapped = Slab::wrap(bytes, 16, 4).unwrap();
    assert_eq!((wrapped.source(), wrapped.region().as_ptr().cast_const()), (Source::Wrapped, at));
    assert_eq!((wrapped.total_size(), wrapped.offset(3)), (64, 48));
    assert_eq!(wrapped.region().sharing(), Sharing::Private);
    let lease = BufferPool::new(wrapped).unwrap().acquire().unwrap();
    assert_eq!(lease[..], [1; 16], "the owner's bytes");
}

fn what_is_taken_is_missing_until_it_is_given_back(_: &mut Cts) {
    let pool = pool(64, 4);
    assert_eq!((pool.available(), pool.capacity(), pool.buffer_size()), (4, 4, 64));
    let lease = pool.acquire().unwrap();
    assert_eq!((pool.available(), pool.capacity()), (3, 4));
    drop(lease);
    assert_eq!(pool.available(), 4);
}

fn all_buffers_can_be_taken_and_none_twice(_: &mut Cts) {
    let pool = pool(128, 64);
    for _ in 0..3 {
        let mut leases: Vec<Lease> = (0..64).map(|_| pool.acquire().unwrap()).collect();
        assert_eq!(pool.available(), 0);
        leases.sort_by_key(Lease::offset);
        for (index, lease) in leases.iter().enumerate() {
            assert_eq!((lease.offset(), lease.index() as usize, lease.len()), (index * 128, index, 128));
        }
        drop(leases);
        assert_eq!(pool.available(), 64);
    }
}

fn an_empty_pool_refuses_and_works_again_after_a_release(_: &mut Cts) {
    let pool = pool(64, 2);
    let (first, _second) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    assert_eq!(code(pool.acquire()), Code::ResourceExhausted);
    let index = first.index();
    drop(first);
    assert_eq!(pool.acquire().unwrap().index(), index);
}

fn a_lease_is_written_and_read_back_and_lies_in_its_region(_: &mut Cts) {
    let pool = pool(256, 2);
    let mut lease = pool.acquire().unwrap();
    assert_eq!(lease[..], [0; 256]);
    lease.iter_mut().enumerate().for_each(|(index, byte)| *byte = index as u8);
    assert!(lease.iter().enumerate().all(|(index, byte)| *byte == index as u8));
    assert!(lease.region().is_same(pool.slab().region()));
    assert_eq!(lease.offset(), pool.slab().offset(lease.index()));
    assert!(lease.index() < pool.capacity());
    lease.set_len(10);
    assert_eq!((lease.len(), lease.capacity()), (10, 256));
}

fn a_count_that_is_no_power_of_two_is_as_good_as_any(_: &mut Cts) {
    let pool = pool(33, 7);
    let leases: Vec<Lease> = (0..7).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((pool.capacity(), pool.available(), code(pool.acquire())), (7, 0, Code::ResourceExhausted));
    drop(leases);
    assert_eq!(pool.available(), 7);
}

fn leases_are_given_back_from_other_threads(_: &mut Cts) {
    let pool = pool(8, 16);
    let (sender, receiver) = mpsc::channel::<Lease>();
    let taker = std::thread::spawn(move || receiver.into_iter().map(|lease| u64::from(lease[0])).sum::<u64>());
    let mut sum = 0;
    for round in 0..10_000u64 {
        // The other thread is slow at times.
        let mut lease = loop {
            match pool.acquire() {
                Ok(lease) => break lease,
                Err(_) => std::thread::yield_now(),
            }
        };
        lease[0] = round as u8;
        sum += u64::from(lease[0]);
        sender.send(lease).unwrap();
    }
    drop(sender);
    assert_eq!((taker.join().unwrap(), pool.available()), (sum, 16));
}

fn the_last_of_more_than_four_gib_is_received_into(cts: &mut Cts) {
    if usize::BITS < 64 {
        skip("an address space of 32 bits");
    }
    let slab = match Slab::allocate(1 << 20, (4 << 10) + 1, &Allocation::new().lazy()) {
        Ok(slab) => slab,
        Err(status) => skip(format!("no such address space: {status}")),
    };
    let pool = BufferPool::new(slab).unwrap();
    let mut leases: Vec<Lease> = (0..pool.capacity()).map(|_| pool.acquire().unwrap()).collect();
    leases.sort_by_key(Lease::index);
    let last = leases.pop().unwrap();
    assert_eq!(last.offset(), 4 << 30);
    let (client, server) = cts.pair();
    let text: Vec<u8> = (0..1 << 16).map(|index| (index % 251 + 1) as u8).collect();
    let received = cts.start(Receive::exact(server, Part::new(last, (1 << 20) - (1 << 16)..1 << 20)));
    cts.get(Send::exact(client, text.clone()));
    cts.until("the last buffer to be full", || received.is_done());
    let told = received.only();
    assert_eq!(told.result.unwrap(), 1 << 16);
    let lease = told.kind.buffer.into_inner();
    assert_eq!(lease[(1 << 20) - (1 << 16)..], text);
    // Where 32 bits would lead.
    assert!(leases[0].iter().all(|byte| *byte == 0));
}

fn leases_receive_and_send_and_outlive_their_pool(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (bytes, drops) = Noted::new(64);
    let pool = BufferPool::new(Slab::wrap(bytes, 32, 2).unwrap()).unwrap();
    let mut source = pool.acquire().unwrap();
    source.fill(9);
    source.set_len(20);
    let received = cts.start(Receive::some(server, pool.acquire().unwrap()));
    drop(pool);
    let told = cts.one(Send::exact(client, source));
    assert_eq!((told.result.unwrap(), drops.load(Ordering::SeqCst)), (20, 0));
    drop(told.kind);
    cts.until("the receive", || received.is_done());
    let told = received.only();
    assert_eq!(told.kind.buffer[..told.result.unwrap()], [9; 20]);
    assert_eq!(drops.load(Ordering::SeqCst), 0, "a lease is out");
    drop(told.kind);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

fn an_operation_keeps_the_region_of_its_span(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (bytes, drops) = Noted::new(4 << 20);
    let span = Region::wrap(bytes).span(0..4 << 20).unwrap();
    // More than the socket takes at once, so that the send is in flight.
    let sent = cts.start(Send::exact(client, span));
    cts.look();
    assert_eq!((sent.calls(), drops.load(Ordering::SeqCst)), (0, 0), "the operation alone has the region");
    let received = cts.one(Receive::exact(server, vec![1; 4 << 20]));
    assert!(received.kind.buffer.iter().all(|byte| *byte == 0));
    cts.until("the send", || sent.is_done());
    drop(sent.only());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

fn a_cancelled_receive_gives_its_lease_back(cts: &mut Cts) {
    let (_client, server) = cts.pair();
    let pool = pool(64, 1);
    let (op, watch) = cts.watch(Receive::some(server, pool.acquire().unwrap()));
    let ids = cts.submit(op).unwrap();
    cts.look();
    assert_eq!(pool.available(), 0);
    cts.cancel(ids).unwrap();
    cts.until("the cancelled receive", || watch.is_done());
    let told = watch.only();
    assert_eq!((code(told.result), pool.available()), (Code::Cancelled, 0));
    drop(told.kind);
    assert_eq!(pool.available(), 1);
}

fn leases_that_receive_are_dropped_on_another_thread(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let pool = pool(64, 4);
    let (sender, receiver) = mpsc::channel::<Lease>();
    let dropper = std::thread::spawn(move || receiver.into_iter().count());
    for round in 0..200u8 {
        cts.get(Send::exact(client.clone(), vec![round; 64]));
        let mut lease = None;
        eventually("a buffer to be dropped elsewhere", || {
            lease = pool.acquire().ok();
            lease.is_some()
        });
        let told = cts.one(Receive::exact(server.clone(), lease.unwrap()));
        assert_eq!(told.result.unwrap(), 64);
        assert_eq!(told.kind.buffer[..], [round; 64]);
        sender.send(told.kind.buffer).unwrap();
    }
    drop(sender);
    assert_eq!((dropper.join().unwrap(), pool.available()), (200, 4));
}

fn memory_that_io_may_not_touch_is_refused_at_submit(cts: &mut Cts) {
    let pool_of = |access| {
        let region = region(64).restricted(access).unwrap();
        BufferPool::new(Slab::over(region, 64, 1).unwrap()).unwrap()
    };
    let file = cts.file("data", b"0123456789");
    let (client, server) = cts.pair();
    let (read_only, write_only) = (pool_of(Access::READ), pool_of(Access::WRITE));
    let lease = || read_only.acquire().unwrap();
    let receive = cts.submit(Op::new(Receive::some(server.clone(), lease()), ()));
    assert_eq!(receive.unwrap_err().status.code(), Code::FailedPrecondition);
    let scattered = cts.submit(Op::new(ReceiveVectored::exact(server.clone(), vec![lease()]), ()));
    assert_eq!(scattered.unwrap_err().status.code(), Code::FailedPrecondition);
    let pooled = cts.submit(Op::new(ReceivePooled::new(server.clone(), &read_only), ()));
    assert_eq!(pooled.unwrap_err().status.code(), Code::FailedPrecondition);
    let vectored = cts.submit(Op::new(ReadVectored::some(file.clone(), 0, vec![lease()]), ()));
    assert_eq!(vectored.unwrap_err().status.code(), Code::FailedPrecondition);
    let (reader, writer) = cts.handle().pipe().unwrap();
    let piped = cts.submit(Op::new(ReadStream::some(reader, lease()), ()));
    assert_eq!(piped.unwrap_err().status.code(), Code::FailedPrecondition);
    let read = cts.submit(Op::new(Read::some(file.clone(), 0, lease()), ()));
    assert_eq!(read.unwrap_err().status.code(), Code::FailedPrecondition);
    let lease = || write_only.acquire().unwrap();
    let send = cts.submit(Op::new(Send::some(client, lease()), ()));
    assert_eq!(send.unwrap_err().status.code(), Code::FailedPrecondition);
    let gathered = cts.submit(Op::new(SendVectored::exact(server.clone(), vec![lease()]), ()));
    assert_eq!(gathered.unwrap_err().status.code(), Code::FailedPrecondition);
    let vectored = cts.submit(Op::new(WriteVectored::some(file.clone(), 0, vec![lease()]), ()));
    assert_eq!(vectored.unwrap_err().status.code(), Code::FailedPrecondition);
    let piped = cts.submit(Op::new(WriteStream::some(writer, lease()), ()));
    assert_eq!(piped.unwrap_err().status.code(), Code::FailedPrecondition);
    let write = cts.submit(Op::new(Write::some(file.clone(), 0, Part::new(lease(), 0..1)), ()));
    assert_eq!(write.unwrap_err().status.code(), Code::FailedPrecondition);
    assert_eq!((read_only.available(), write_only.available()), (1, 1), "the leases came back");
    cts.get(Write::some(file.clone(), 0, read_only.acquire().unwrap()));
    assert_eq!(cts.get(Read::some(file, 0, write_only.acquire().unwrap())), 64);
}

fn registered_memory_is_known_until_it_is_unregistered(cts: &mut Cts) {
    let region = region(8192);
    assert!(region.registrations().is_empty());
    let fixed = register(cts, &region);
    let known = region.registrations().all();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].fixed, region.len()), (fixed, 8192));
    let pool = BufferPool::new(Slab::over(region.clone(), 4096, 2).unwrap()).unwrap();
    assert_eq!(pool.acquire().unwrap().registration(known[0].proactor), fixed);
    cts.get(Unregister::new(region.clone()));
    assert!(region.registrations().is_empty());
    register(cts, &region);
}

fn registering_yields_a_number_where_the_kernel_pins(cts: &mut Cts) {
    let pinned = register(cts, &region(4096)).is_some();
    assert_eq!(pinned, pins(cts));
}

fn several_regions_are_registered_side_by_side(cts: &mut Cts) {
    let regions: Vec<Region> = (0..20).map(|_| region(4096)).collect();
    let mut numbers: Vec<_> = regions.iter().filter_map(|region| register(cts, region)).map(|f| f.index).collect();
    let count = numbers.len();
    assert_eq!(count, if pins(cts) { 20 } else { 0 });
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "two have the same number");
    assert!(regions.iter().all(|region| region.registrations().all().len() == 1));
}

fn memory_that_is_known_is_not_registered_twice(cts: &mut Cts) {
    let region = region(4096);
    register(cts, &region);
    let again = cts.submit(Op::new(Register::new(region.clone()), ())).unwrap_err();
    assert_eq!(again.status.code(), Code::AlreadyExists);
    assert_eq!(region.registrations().all().len(), 1);
}

fn two_registrations_of_one_region_in_one_batch_leave_one(cts: &mut Cts) {
    let region = region(4096);
    let (first, told) = cts.watch(Register::new(region.clone()));
    let (second, told_too) = cts.watch(Register::new(region.clone()));
    cts.submit((first, second)).unwrap();
    cts.until("both registrations", || told.is_done() && told_too.is_done());
    assert_eq!((told.code(), told_too.code()), (Some(Code::Ok), Some(Code::AlreadyExists)));
    assert_eq!(region.registrations().all().len(), 1);
    cts.get(Unregister::new(region.clone()));
    assert!(region.registrations().is_empty());
}

fn memory_that_is_not_known_is_not_unregistered(cts: &mut Cts) {
    let region = region(4096);
    assert_eq!(cts.fails(Unregister::new(region.clone())).code(), Code::NotFound);
    register(cts, &region);
    cts.get(Unregister::new(region.clone()));
    assert_eq!(cts.fails(Unregister::new(region)).code(), Code::NotFound);
}

fn memory_without_operations_is_not_registered(cts: &mut Cts) {
    let empty = cts.submit(Op::new(Register::new(Region::wrap(Vec::new())), ())).unwrap_err();
    assert_eq!(empty.status.code(), Code::InvalidArgument);
    #[cfg(target_os = "linux")]
    {
        let (foreign, _fd) = Region::create_shared(4096).unwrap();
        let foreign = cts.submit(Op::new(Register::new(foreign), ())).unwrap_err();
        assert_eq!(foreign.status.code(), Code::FailedPrecondition);
    }
}

fn the_end_of_a_proactor_unregisters_everything(cts: &mut Cts) {
    let regions: Vec<Region> = (0..3).map(|_| region(4096)).collect();
    for region in &regions {
        register(cts, region);
    }
    drop(cts.take());
    assert!(regions.iter().all(|region| region.registrations().is_empty()));
}

fn a_region_outlives_its_registration(cts: &mut Cts) {
    let region = region(4096);
    register(cts, &region);
    drop(cts.take());
    cts.rebuild(|builder| builder);
    let mut filled = region;
    filled.get_mut().expect("nobody else has it").fill(3);
    register(cts, &filled);
    let span = filled.span(1..11).unwrap();
    let file = cts.file("data", b"");
    assert_eq!(cts.get(Write::exact(file.clone(), 0, span)), 10);
    let told = cts.one(Read::some(file, 0, vec![0; 20]));
    assert_eq!((told.result.unwrap(), &told.kind.buffer[..10]), (10, &[3; 10][..]));
}

fn a_registration_keeps_the_region(cts: &mut Cts) {
    let (bytes, drops) = Noted::new(4096);
    let region = Region::wrap(bytes);
    register(cts, &region);
    drop(region);
    assert_eq!(drops.load(Ordering::SeqCst), 0, "or the kernel would know memory that is another's");
    drop(cts.take());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

fn files_are_read_and_written_through_registered_memory(cts: &mut Cts) {
    let pool = pool(10_000, 4);
    register(cts, pool.slab().region());
    let content: Vec<u8> = (0..50_000u32).map(|index| (index * 7 + index / 256) as u8).collect();
    let file = cts.file("from", &content);
    let copy = cts.file("to", b"");
    // Several in flight, each with a buffer of its own, over the whole file and past its end.
    for round in 0..2 {
        let reads: Vec<_> = (0..4)
            .map(|index| {
                let offset = (round * 4 + index) * 10_000;
                (offset, cts.start(Read::some(file.clone(), offset, pool.acquire().unwrap())))
            })
            .collect();
        cts.drain();
        for (offset, read) in reads {
            let told = read.only();
            let count = told.result.unwrap();
            assert_eq!(count, 50_000usize.saturating_sub(offset as usize).min(10_000));
            let mut lease = told.kind.buffer;
            lease.set_len(count);
            assert_eq!(cts.get(Write::exact(copy.clone(), offset, lease)), count);
        }
    }
    assert_eq!(cts.content("to"), content);
    let told = cts.one(Read::exact(file, 45_000, pool.acquire().unwrap()));
    assert_eq!(told.status().code(), Code::OutOfRange, "the file ends before");
}

fn parts_of_registered_memory_are_where_they_are(cts: &mut Cts) {
    let pool = pool(4096, 3);
    register(cts, pool.slab().region());
    let file = cts.file("data", b"abcdefghij");
    let leases: Vec<Lease> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    for (index, lease) in leases.into_iter().enumerate() {
        let told = cts.one(Read::exact(file.clone(), index as u64, Part::new(lease, 4090..4096)));
        assert_eq!(told.result.unwrap(), 6);
        let lease = told.kind.buffer.into_inner();
        assert_eq!(lease[4090..], b"abcdefghij"[index..index + 6]);
        assert!(lease[..4090].iter().all(|byte| *byte == 0), "bytes beside the part");
    }
}

fn memory_is_unregistered_under_a_read_and_a_write(cts: &mut Cts) {
    let pool = pool(1 << 20, 2);
    let region = pool.slab().region().clone();
    register(cts, &region);
    let content: Vec<u8> = (0..1 << 20).map(|index| (index % 253) as u8).collect();
    let (file, copy) = (cts.file("from", &content), cts.file("to", b""));
    let mut lease = pool.acquire().unwrap();
    lease.copy_from_slice(&content);
    // All three in one batch: the transfers are started with the number, which is then given up.
    let (read, told_read) = cts.watch(Read::exact(file, 0, pool.acquire().unwrap()));
    let (write, told_write) = cts.watch(Write::exact(copy, 0, lease));
    let (forget, told) = cts.watch(Unregister::new(region.clone()));
    cts.submit((read, write, forget)).unwrap();
    cts.drain();
    assert_eq!((told.code(), region.registrations().is_empty()), (Some(Code::Ok), true));
    assert_eq!(told_write.only().result.unwrap(), 1 << 20);
    let read = told_read.only();
    assert_eq!(read.result.unwrap(), 1 << 20);
    assert!(read.kind.buffer[..] == content && cts.content("to") == content);
}

fn a_number_that_was_given_up_reaches_no_other_memory(cts: &mut Cts) {
    let (first, second) = (pool(4096, 1), pool(4096, 1));
    let (before, after) = (first.slab().region().clone(), second.slab().region().clone());
    register(cts, &before);
    let file = cts.file("data", &[5; 4096]);
    // Checked with the number of the first region; started after the second has got it.
    let (forget, forgotten) = cts.watch(Unregister::new(before));
    let (other, registered) = cts.watch(Register::new(after));
    let (read, told) = cts.watch(Read::exact(file, 0, first.acquire().unwrap()));
    cts.submit((forget, other, read)).unwrap();
    cts.drain();
    assert_eq!((forgotten.code(), registered.code()), (Some(Code::Ok), Some(Code::Ok)));
    assert_eq!(told.only().kind.buffer[..], [5; 4096]);
    assert_eq!(second.acquire().unwrap()[..], [0; 4096]);
}

fn a_full_table_refuses_and_has_room_again(cts: &mut Cts) {
    let mut regions = Vec::new();
    let refused = loop {
        let region = region(64);
        match cts.one(Register::new(region.clone())).result {
            Ok(Registered::LockLimit) => skip("this process may not lock so much memory"),
            Ok(_) if regions.len() > 2000 => break None,
            Ok(_) => regions.push(region),
            Err(status) => break Some((status.code(), region)),
        }
    };
    let Some((code, region)) = refused else {
        return assert!(!pins(cts), "the kernel's table has no end");
    };
    assert_eq!((code, regions.len()), (Code::ResourceExhausted, 1024));
    assert!(region.registrations().is_empty());
    cts.get(Unregister::new(regions.swap_remove(500)));
    register(cts, &region);
}

/// A buffer of another crate's, which embeds the state.
struct Theirs {
    bytes: Box<[std::cell::UnsafeCell<u8>]>,
    known: Registrations,
}

// SAFETY: only the case's own thread goes to the bytes.
unsafe impl std::marker::Sync for Theirs {}

// SAFETY: a boxed slice stays where it is, and its cells may be written.
unsafe impl Registrable for Theirs {
    fn as_mut_ptr(&self) -> *mut u8 {
        self.bytes.as_ptr().cast_mut().cast()
    }
    fn len(&self) -> usize {
        self.bytes.len()
    }
    fn registrations(&self) -> &Registrations {
        &self.known
    }
}

/// A share of it that goes into operations.
struct Share(Arc<Theirs>);

// SAFETY: stable as said above, and nobody writes to it.
unsafe impl StableBytes for Share {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_mut_ptr()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn registration(&self, proactor: u32) -> Option<Fixed> {
        self.0.known.find(proactor)?.fixed
    }
}

fn another_crates_memory_is_registered_too(cts: &mut Cts) {
    let bytes = (0..100u8).map(std::cell::UnsafeCell::new).collect();
    let theirs = Arc::new(Theirs { bytes, known: Registrations::new() });
    cts.get(Register::new(theirs.clone() as Arc<dyn Registrable>));
    assert_eq!(theirs.known.all().len(), 1);
    let file = cts.file("data", b"");
    assert_eq!(cts.get(Write::exact(file, 0, Share(theirs.clone()))), 100);
    assert_eq!(cts.content("data"), (0..100).collect::<Vec<u8>>());
    cts.get(Unregister::new(theirs.clone() as Arc<dyn Registrable>));
    cts.look();
    assert_eq!(Arc::strong_count(&theirs), 1, "the proactor let go of it");
}

fn registering_from_another_thread_works(cts: &mut Cts) {
    let region = region(4096);
    let (op, watch) = cts.watch(Register::new(region.clone()));
    let handle = cts.handle().clone();
    std::thread::spawn(move || handle.submit(op).unwrap()).join().unwrap();
    cts.until("the registration", || watch.is_done());
    watch.only().result.unwrap();
    assert_eq!(region.registrations().all().len(), 1);
}
