//! Registered memory.

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::*;
use crate::backend::{BufferOwner, Capabilities, registration};

struct Nobody;

impl BufferOwner for Nobody {
    fn unregistered(&self, _: u32) {}
}

const LENGTH: usize = 8192;

/// Fresh zeros, at `at` or anywhere.
fn zeros(at: *mut u8) -> *mut u8 {
    let (protection, mut flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    flags.set(MapFlags::FIXED, !at.is_null());
    // SAFETY: over nothing, or over a mapping that these tests made and hold no reference to.
    unsafe { mmap_anonymous(at.cast(), LENGTH, protection, flags) }.unwrap().cast()
}

fn content(memory: *mut u8) -> [u8; 4] {
    // SAFETY: mapped by `zeros`; no request is in flight.
    unsafe { memory.cast::<[u8; 4]>().read() }
}

/// A driver, a file that begins with `text`, and registered memory under a number.
fn registered() -> Option<(Driver, Scratch, std::fs::File, *mut u8, u16)> {
    let mut driver = Driver::new()?;
    if !driver.backend.capabilities().contains(Capabilities::REGISTERED_BUFFERS) {
        println!("skipped: no registered buffers");
        return None;
    }
    let scratch = Scratch::new("fixed");
    std::fs::write(scratch.file("f"), b"text").unwrap();
    let file = std::fs::File::options().read(true).write(true).open(scratch.file("f")).unwrap();
    let start = zeros(std::ptr::null_mut());
    let number = register(&mut driver, start);
    if number == registration::LOCK_LIMIT {
        println!("skipped: no memory may be locked");
        return None;
    }
    Some((driver, scratch, file, start, number.try_into().unwrap()))
}

fn register(driver: &mut Driver, start: *mut u8) -> i32 {
    let owner: Arc<dyn BufferOwner> = Arc::new(Nobody);
    driver.run(Request::RegisterBuffer { owner: &raw const owner, proactor: 0, start, length: LENGTH })
}

fn read(file: &std::fs::File, buffer: *mut u8, fixed: Option<u16>) -> Request {
    Request::Read { file: descriptor(file), offset: 0, buffer, length: 4, fixed }
}

/// What tells pinned pages from an address: other pages are put in their place.
#[test]
fn a_read_with_a_number_goes_to_the_pages_that_were_pinned() {
    let Some((mut driver, _scratch, file, start, number)) = registered() else { return };
    assert_eq!(driver.run(read(&file, start, Some(number))), 4);
    assert_eq!(&content(start), b"text");
    zeros(start);
    assert_eq!(driver.run(read(&file, start, Some(number))), 4);
    assert_eq!(content(start), [0; 4], "the address was looked up");
    assert_eq!(driver.run(read(&file, start, None)), 4);
    assert_eq!(&content(start), b"text");
    // A step of a kernel chain, which may start after the memory was given up, uses addresses too.
    zeros(start);
    let steps = driver.chain([read(&file, start, Some(number)), Request::Nop]);
    assert_eq!(steps.map(|step| driver.finish(step)), [4, 0]);
    assert_eq!(&content(start), b"text");
}

#[test]
fn a_write_with_a_number_comes_from_the_pages_that_were_pinned() {
    let Some((mut driver, scratch, file, start, number)) = registered() else { return };
    zeros(start);
    // SAFETY: mapped, and no request is in flight.
    unsafe { start.write_bytes(b'x', 4) };
    let write = |fixed| Request::Write { file: descriptor(&file), offset: 0, buffer: start, length: 4, fixed };
    assert_eq!(driver.run(write(Some(number))), 4);
    assert_eq!(std::fs::read(scratch.file("f")).unwrap(), [0; 4]);
    assert_eq!(driver.run(write(None)), 4);
    assert_eq!(std::fs::read(scratch.file("f")).unwrap(), b"xxxx");
}

#[test]
fn a_number_is_not_used_for_memory_that_it_does_not_mean() {
    let Some((mut driver, _scratch, file, start, number)) = registered() else { return };
    let elsewhere = zeros(std::ptr::null_mut());
    for wrong in [number, number + 1, 1023, 1024, u16::MAX] {
        zeros(elsewhere);
        assert_eq!(driver.run(read(&file, elsewhere, Some(wrong))), 4, "{wrong}");
        assert_eq!(&content(elsewhere), b"text");
    }
    assert_eq!(driver.run(Request::UnregisterBuffer { start }), 0);
    assert_eq!(driver.run(Request::UnregisterBuffer { start }), -libc::ENOENT);
    zeros(start);
    assert_eq!(driver.run(read(&file, start, Some(number))), 4, "given up");
    assert_eq!(&content(start), b"text");
    assert_eq!(register(&mut driver, elsewhere), number.into(), "the place is another's");
    assert_eq!(driver.run(read(&file, start, Some(number))), 4);
    assert_eq!(content(elsewhere), *b"text", "as it was read before");
    // SAFETY: mapped by `zeros`, and in no request.
    unsafe { munmap(elsewhere.cast(), LENGTH) }.unwrap();
}

#[test]
fn memory_is_given_up_after_the_ring_has_handed_over_what_names_it() {
    let Some((mut driver, _scratch, file, start, number)) = registered() else { return };
    // Neither has been handed over when the memory is given up.
    let reads = [0, 1].map(|_| driver.start(read(&file, start, Some(number))));
    assert_eq!(driver.run(Request::UnregisterBuffer { start }), 0);
    assert_eq!(reads.map(|read| driver.finish(read)), [4, 4]);
    assert_eq!(&content(start), b"text");
}

#[test]
fn a_last_step_of_a_chain_outlives_the_registration_of_its_memory() {
    let Some((mut driver, _scratch, file, start, number)) = registered() else { return };
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let wait = Request::EventWait { event: descriptor(&event) };
    let [_, last] = driver.chain([wait, read(&file, start, Some(number))]);
    driver.settle();
    assert_eq!(driver.run(Request::UnregisterBuffer { start }), 0);
    rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
    assert_eq!(driver.finish(last), 4);
    assert_eq!(&content(start), b"text");
}

/// What tells a place in the table from a number: another file is put in the number's place.
#[test]
fn a_read_by_place_goes_to_the_file_that_was_registered() {
    use std::os::fd::AsFd;
    let Some(mut driver) = Driver::new() else { return };
    let scratch = Scratch::new("places");
    std::fs::write(scratch.file("f"), b"first").unwrap();
    std::fs::write(scratch.file("g"), b"other").unwrap();
    let mut file = std::os::fd::OwnedFd::from(std::fs::File::open(scratch.file("f")).unwrap());
    let other = std::fs::File::open(scratch.file("g")).unwrap();
    let owner: Arc<dyn BufferOwner> = Arc::new(Nobody);
    let plain = descriptor(&file);
    let place = driver.run(Request::RegisterDescriptor { descriptor: plain, owner: &raw const owner, proactor: 0 });
    if place == registration::NOTED {
        assert!(!driver.backend.capabilities().contains(Capabilities::REGISTERED_DESCRIPTORS));
        return println!("skipped: kernel older than 6.14");
    }
    let placed = plain.with_place(Some(place.try_into().expect("a place")));
    assert_eq!((placed.place(), placed.fd()), (Some(place as u32), plain.fd()));
    rustix::io::dup2(other.as_fd(), &mut file).unwrap();
    let mut bytes = [0; 5];
    let mut read = |driver: &mut Driver, file| {
        let buffer = bytes.as_mut_ptr();
        assert_eq!(driver.run(Request::Read { file, offset: 0, buffer, length: 5, fixed: None }), 5);
        bytes
    };
    assert_eq!(&read(&mut driver, placed), b"first");
    assert_eq!(&read(&mut driver, plain), b"other");
    // A chain goes by number, since its steps may begin after the place was given up.
    let mut buffers = [[0; 5]; 2];
    let steps = buffers.each_mut().map(|buffer| {
        let read = Request::Read { file: placed, offset: 0, buffer: buffer.as_mut_ptr(), length: 5, fixed: None };
        (driver.token(), read)
    });
    // SAFETY: the buffers live until the completions, which are waited for.
    assert!(unsafe { driver.backend.start_linked(&steps) });
    assert_eq!(steps.map(|(token, _)| driver.finish(token)), [5, 5]);
    assert_eq!(&buffers, &[*b"other"; 2]);
    assert_eq!(driver.run(Request::UnregisterDescriptor { descriptor: placed }), 0);
    assert_eq!(driver.run(Request::UnregisterDescriptor { descriptor: placed }), -libc::ENOENT);
}
