//! The kernel's own fences and device memory: `sync_file`s of the `vgem` driver, and dmabufs.
//!
//! Where there is no such device these are skipped, with the reason; `ci/vm.sh` boots kernels that have them.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use proact::memory::{Access, Region, Source};
use proact::operation::{Chain, ImportFence, Nop, Receive, SemaphoreWait, Send};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;

use crate::bench::{Cts, eventually};
use crate::cases;
use crate::device::{Vgem, guard_by, heap_dmabuf, merge, status_of, sync_file_of, udmabuf};
use crate::harness::{Only, skip};

cases![
    a_sync_file_raises_the_semaphore_when_its_device_signals.real("a descriptor of the operating system"),
    a_sync_file_that_is_signalled_raises_it_at_the_next_poll.real("a descriptor of the operating system"),
    a_merged_sync_file_raises_the_semaphore_with_the_last_of_its_fences.real("a descriptor of the operating system"),
    a_dmabuf_is_a_fence_itself.real("a descriptor of the operating system"),
    a_device_signals_on_another_thread_while_the_poll_thread_sleeps.real("a descriptor of the operating system"),
    a_cancelled_import_of_a_sync_file_fails_the_semaphore.real("a descriptor of the operating system"),
    a_hundred_sync_files_raise_a_hundred_values.real("a descriptor of the operating system"),
    an_exported_sync_file_is_signalled_with_its_value.real("a descriptor of the operating system"),
    an_exported_sync_file_of_a_reached_value_is_signalled.real("a descriptor of the operating system"),
    an_exported_sync_file_guards_a_dmabuf_that_another_waits_for.real("a descriptor of the operating system"),
    an_exported_sync_file_comes_back_as_an_import.real("a descriptor of the operating system"),
    a_fence_that_is_never_signalled_expires_after_ten_seconds
        .real("a descriptor of the operating system")
        .only(Only::Extremes),
    a_device_that_makes_no_fences_for_us_is_refused.real("a descriptor of the operating system"),
    bytes_are_staged_in_and_out_of_a_udmabuf.real("a descriptor of the operating system"),
    bytes_are_staged_in_and_out_of_a_heaps_dmabuf.real("a descriptor of the operating system"),
    received_bytes_go_to_a_device_and_back_behind_its_fence.real("a descriptor of the operating system"),
];

fn vgem() -> Vgem {
    Vgem::find().unwrap_or_else(|why| skip(why))
}

fn import(cts: &Cts, fence: OwnedFd, semaphore: &Semaphore, value: u64) -> ImportFence {
    ImportFence::new(cts.handle().import_pollable(fence), semaphore.clone(), value)
}

fn is_readable(fd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

fn a_sync_file_raises_the_semaphore_when_its_device_signals(cts: &mut Cts) {
    let vgem = vgem();
    let (number, fence) = vgem.fence();
    assert_eq!(status_of(&fence), 0);
    let semaphore = Semaphore::new(0);
    let (import, imported) = cts.watch(import(cts, fence, &semaphore, 3));
    let (nop, done) = cts.watch(Nop);
    cts.submit(Chain::new((import, nop))).unwrap();
    cts.look();
    assert_eq!((semaphore.value(), imported.is_done()), (0, false));
    vgem.signal(number).unwrap();
    cts.until("the import", || done.is_done());
    imported.only().result.unwrap();
    assert_eq!(semaphore.value(), 3);
}

fn a_sync_file_that_is_signalled_raises_it_at_the_next_poll(cts: &mut Cts) {
    let vgem = vgem();
    let (number, fence) = vgem.fence();
    vgem.signal(number).unwrap();
    assert_eq!(status_of(&fence), 1);
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(fence, &semaphore, 1).unwrap();
    cts.until("the import", || semaphore.value() == 1);
}

fn a_merged_sync_file_raises_the_semaphore_with_the_last_of_its_fences(cts: &mut Cts) {
    let vgem = vgem();
    let ((first, one), (second, two)) = (vgem.fence(), vgem.fence());
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(merge(&one, &two), &semaphore, 1).unwrap();
    vgem.signal(first).unwrap();
    cts.look();
    assert_eq!(semaphore.value(), 0, "one of two");
    vgem.signal(second).unwrap();
    cts.until("the import", || semaphore.value() == 1);
}

fn a_dmabuf_is_a_fence_itself(cts: &mut Cts) {
    let vgem = vgem();
    let buffer = vgem.buffer(4096);
    let number = vgem.attach(&buffer);
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(buffer.dmabuf.try_clone().unwrap(), &semaphore, 1).unwrap();
    cts.look();
    assert_eq!(semaphore.value(), 0, "what is to be written there has not been");
    vgem.signal(number).unwrap();
    cts.until("the import", || semaphore.value() == 1);
}

fn a_device_signals_on_another_thread_while_the_poll_thread_sleeps(cts: &mut Cts) {
    let vgem = vgem();
    let (number, fence) = vgem.fence();
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    cts.handle().import_fence(fence, &semaphore, 1).unwrap();
    let thread = std::thread::spawn(move || {
        // Long enough for the poll thread to be asleep, in the usual case; the result does not depend on it.
        std::thread::sleep(Duration::from_millis(20));
        vgem.signal(number).unwrap();
    });
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
    thread.join().unwrap();
}

fn a_cancelled_import_of_a_sync_file_fails_the_semaphore(cts: &mut Cts) {
    let vgem = vgem();
    let (number, fence) = vgem.fence();
    let semaphore = Semaphore::new(0);
    let id = cts.handle().import_fence(fence, &semaphore, 1).unwrap();
    cts.look();
    cts.handle().cancel(id).unwrap();
    cts.until("the cancel", || semaphore.status().is_some());
    assert_eq!(semaphore.status().unwrap().code(), Code::Cancelled);
    vgem.signal(number).unwrap();
    cts.look();
    assert_eq!(semaphore.value(), 0);
}

fn a_hundred_sync_files_raise_a_hundred_values(cts: &mut Cts) {
    let vgem = vgem();
    let semaphore = Semaphore::new(0);
    let numbers: Vec<_> = (1..=100)
        .map(|value| {
            let (number, fence) = vgem.fence();
            cts.handle().import_fence(fence, &semaphore, value).unwrap();
            number
        })
        .collect();
    for (index, number) in numbers.into_iter().enumerate() {
        vgem.signal(number).unwrap();
        cts.until("its value", || semaphore.value() == index as u64 + 1);
    }
    cts.drain();
}

fn an_exported_sync_file_is_signalled_with_its_value(_: &mut Cts) {
    let vgem = vgem();
    let semaphore = Semaphore::new(0);
    let exports = [1, 2, 2].map(|value| (value, semaphore.export_sync_file(value, vgem.device()).unwrap().fence));
    for value in [1, 5] {
        assert!(exports.iter().filter(|(at, _)| *at >= value).all(|(_, fence)| status_of(fence) == 0));
        semaphore.signal(value, None).unwrap();
        for (at, fence) in &exports {
            let expected = i32::from(*at <= value);
            assert_eq!((status_of(fence), is_readable(fence)), (expected, expected == 1), "{at} at {value}");
        }
    }
}

fn an_exported_sync_file_of_a_reached_value_is_signalled(_: &mut Cts) {
    let vgem = vgem();
    let semaphore = Semaphore::new(4);
    let made = semaphore.export_sync_file(4, vgem.device()).unwrap();
    assert_eq!((status_of(&made.fence), is_readable(&made.fence), made.expires_after), (1, true, None));
    semaphore.fail(Status::new(Code::DataLoss, Operation::None));
    assert_eq!(status_of(&semaphore.export_sync_file(3, vgem.device()).unwrap().fence), 1);
    assert_eq!(semaphore.export_sync_file(5, vgem.device()).unwrap_err().code(), Code::DataLoss);
}

fn an_exported_sync_file_guards_a_dmabuf_that_another_waits_for(cts: &mut Cts) {
    let vgem = vgem();
    let buffer = vgem.buffer(4096);
    let (written, seen) = (Semaphore::new(0), Semaphore::new(0));
    let fence = written.export_sync_file(1, vgem.device()).unwrap().fence;
    guard_by(&buffer.dmabuf, &fence);
    // Another user of the memory: it waits for the fences that it finds there.
    cts.handle().import_fence(sync_file_of(&buffer.dmabuf), &seen, 1).unwrap();
    cts.look();
    assert_eq!(seen.value(), 0);
    written.signal(1, None).unwrap();
    cts.until("the other user", || seen.value() == 1);
}

fn an_exported_sync_file_comes_back_as_an_import(cts: &mut Cts) {
    let vgem = vgem();
    let (device, host) = (Semaphore::new(0), Semaphore::new(0));
    for value in 1..=20 {
        let fence = device.export_sync_file(value, vgem.device()).unwrap().fence;
        cts.handle().import_fence(fence, &host, value).unwrap();
        cts.look();
        assert_eq!(host.value(), value - 1);
        device.signal(value, None).unwrap();
        cts.until("the import", || host.value() == value);
    }
}

/// By vgem's own rule, and without an error: a kernel never waits for a program for ever. What is exported says so.
fn a_fence_that_is_never_signalled_expires_after_ten_seconds(cts: &mut Cts) {
    let vgem = vgem();
    let (number, fence) = vgem.fence();
    let (imported, failing) = (Semaphore::new(0), Semaphore::new(0));
    let exported = failing.export_sync_file(1, vgem.device()).unwrap();
    assert_eq!(exported.expires_after, Some(Duration::from_secs(10)));
    failing.fail(Status::new(Code::DataLoss, Operation::None));
    assert_eq!(status_of(&exported.fence), 0);
    let begun = cts.now();
    let import = cts.start(import(cts, fence, &imported, 1));
    let deadline = begun + Duration::from_secs(40);
    while !import.is_done() && cts.now() < deadline {
        cts.poll(Timeout::At(deadline)).unwrap();
    }
    import.only().result.unwrap();
    assert_eq!((imported.value(), imported.is_tainted(1)), (1, true));
    assert!(cts.now() > begun + Duration::from_secs(8), "it was not the timeout");
    assert_eq!(vgem.signal(number).unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
    eventually("the exported fence to expire", || status_of(&exported.fence) == 1);
}

fn a_device_that_makes_no_fences_for_us_is_refused(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let null = std::fs::File::open("/dev/null").unwrap();
    let refused = semaphore.export_sync_file(1, &null).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::InvalidArgument, Operation::FenceExport));
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(semaphore.export_sync_file(1, &socket).unwrap_err().code(), Code::InvalidArgument);
    semaphore.signal(1, None).unwrap();
    assert!(semaphore.export_sync_file(1, &null).is_err(), "a reached value needs a device, too");
}

/// Every byte of a dmabuf goes in and comes out, whole and in parts.
fn stage(dmabuf: OwnedFd, length: usize) -> Region {
    let region = Region::import_dmabuf(dmabuf, 0, length, Access::all()).unwrap();
    assert_eq!((region.source(), region.len()), (Source::Dmabuf, length));
    let bytes: Vec<u8> = (0..length).map(|index| (index * 7 + index / 251) as u8).collect();
    region.copy_in(0, &bytes).unwrap();
    let mut back = vec![0; length];
    region.copy_out(0, &mut back).unwrap();
    assert_eq!(back, bytes);
    region.copy_in(4093, b"across a page").unwrap();
    let mut back = [0; 13];
    region.copy_out(4093, &mut back).unwrap();
    assert_eq!(&back, b"across a page");
    assert_eq!(region.copy_in(length - 1, b"xy").unwrap_err().code(), Code::OutOfRange);
    region
}

fn bytes_are_staged_in_and_out_of_a_udmabuf(_: &mut Cts) {
    let (memory, dmabuf) = udmabuf(16384).unwrap_or_else(|why| skip(why));
    let theirs = dmabuf.try_clone().unwrap();
    let region = stage(dmabuf, 16384);
    // The device's side is this process's own memory object.
    let mut seen = [0; 13];
    rustix::io::pread(&memory, &mut seen, 4093).unwrap();
    assert_eq!(&seen, b"across a page");
    rustix::io::pwrite(&memory, b"from the device", 100).unwrap();
    let mut back = [0; 15];
    region.copy_out(100, &mut back).unwrap();
    assert_eq!(&back, b"from the device");
    drop(region);
    let past = Region::import_dmabuf(theirs, 8192, 16384, Access::READ);
    assert_eq!(past.unwrap_err().code(), Code::OutOfRange);
}

fn bytes_are_staged_in_and_out_of_a_heaps_dmabuf(_: &mut Cts) {
    let dmabuf = heap_dmabuf(16384).unwrap_or_else(|why| skip(why));
    let theirs = dmabuf.try_clone().unwrap();
    let _region = stage(dmabuf, 16384);
    let part = Region::import_dmabuf(theirs, 4096, 4096, Access::READ).unwrap();
    let mut back = [0; 10];
    part.copy_out(0, &mut back).unwrap();
    assert_eq!(&back, b"oss a page");
    assert_eq!(part.copy_in(0, b"x").unwrap_err().code(), Code::PermissionDenied);
}

/// The whole way: a socket, device memory, the device's fence, and a socket again.
fn received_bytes_go_to_a_device_and_back_behind_its_fence(cts: &mut Cts) {
    let vgem = vgem();
    let buffer = vgem.buffer(8192);
    let region = stage(buffer.dmabuf.try_clone().unwrap(), 8192);
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), vec![7; 5000]));
    let received = cts.one(Receive::exact(server.clone(), vec![0; 5000])).kind.buffer;
    region.copy_in(0, &received).unwrap();
    // The device is to work on them, and says when it has.
    let number = vgem.attach(&buffer);
    let done = Semaphore::new(0);
    cts.handle().import_fence(sync_file_of(&buffer.dmabuf), &done, 1).unwrap();
    let wait = cts.start(SemaphoreWait::new(done.clone(), 1));
    cts.look();
    assert!(!wait.is_done());
    vgem.signal(number).unwrap();
    cts.until("the device", || wait.is_done());
    wait.only().result.unwrap();
    let mut bytes = vec![0; 5000];
    region.copy_out(0, &mut bytes).unwrap();
    cts.get(Send::exact(server, bytes));
    assert_eq!(cts.one(Receive::exact(client, vec![0; 5000])).kind.buffer, [7; 5000]);
}
