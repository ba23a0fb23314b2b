//! Files: several buffers at once, ranges, copies, direct I/O.

use proact::backend::{FileKind, OpenFlags};
use proact::memory::{Part, StableBytes};
use proact::operation::{
    Advise, ChangeRange, Close, CopyRange, Op, Open, Read, ReadVectored, Rename, Stat, Sync, SyncRange, Write,
    WriteVectored,
};
use proact::resource::{Advice, CopyMethod, File};
use proact::status::{Code, Operation};

use crate::bench::{Cts, Told};
use crate::cases;
use crate::harness::skip;

cases![
    several_buffers_are_filled_one_behind_the_other,
    several_buffers_are_written_one_behind_the_other,
    more_buffers_than_the_kernel_takes_at_once_still_arrive_whole,
    an_exact_vectored_read_across_the_end_is_out_of_range,
    a_vectored_read_of_no_buffers_or_empty_ones_succeeds_with_none,
    an_absurd_length_is_cut_to_what_one_call_moves_and_is_no_error,
    a_range_is_synced_and_advised_without_an_effect_on_bytes,
    a_hole_reads_as_zeros_and_gives_its_blocks_back.real("blocks of a real disk"),
    a_zeroed_range_reads_as_zeros_and_grows_the_file,
    reserved_space_leaves_the_length.real("blocks of a real disk"),
    a_range_is_copied_and_the_rest_left_alone,
    a_copy_past_the_end_is_short_and_an_exact_one_out_of_range,
    a_copy_the_kernel_cannot_do_passes_through_memory_and_says_so.real("the kernel's own files and devices"),
    overlapping_ranges_of_one_file_are_not_copied,
    a_copy_reads_its_source_to_the_end_although_that_is_closed,
    open_refuses_flags_that_do_not_go_together_before_any_effect,
    open_relative_to_a_directory_follows_the_directory,
    direct_io_tells_its_alignment_and_refuses_what_is_not,
    direct_io_round_trip_and_the_end_of_the_file,
    an_imported_file_is_used_and_given_back.real("a descriptor of the operating system"),
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn content(cts: &mut Cts, file: &File) -> Vec<u8> {
    let size = cts.get(Stat::new(file.clone())).size as usize;
    cts.one(Read::exact(file.clone(), 0, vec![0; size])).kind.buffer
}

fn several_buffers_are_filled_one_behind_the_other(cts: &mut Cts) {
    let file = cts.file("f", &pattern(1000));
    let buffers = vec![vec![0u8; 1], vec![], vec![0; 300], vec![0; 699]];
    let told: Told<ReadVectored<Vec<u8>>> = cts.one(ReadVectored::exact(file.clone(), 0, buffers));
    assert_eq!(told.result.unwrap(), 1000);
    assert_eq!(told.kind.buffers.concat(), pattern(1000));
    let told = cts.one(ReadVectored::some(file, 990, vec![vec![9u8; 4], vec![9; 50]]));
    assert_eq!(told.result.unwrap(), 10);
    assert_eq!(told.kind.buffers[0], pattern(1000)[990..994]);
    assert_eq!(told.kind.buffers[1][..6], pattern(1000)[994..]);
    assert_eq!(told.kind.buffers[1][6..], [9; 44], "what was not read is left alone");
}

fn several_buffers_are_written_one_behind_the_other(cts: &mut Cts) {
    let file = cts.file("f", b"0123456789");
    let parts = [b"ab".to_vec(), Vec::new(), b"cdefgh".to_vec()];
    let told = cts.one(WriteVectored::exact(file.clone(), 5, parts.to_vec()));
    assert_eq!(told.result.unwrap(), 8);
    assert_eq!(content(cts, &file), b"01234abcdefgh");
    assert_eq!(cts.statistics().bytes_written, 8);
}

fn more_buffers_than_the_kernel_takes_at_once_still_arrive_whole(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let whole = pattern(3000 * 7);
    let parts: Vec<Vec<u8>> = whole.chunks(7).map(<[u8]>::to_vec).collect();
    assert_eq!(cts.get(WriteVectored::exact(file.clone(), 0, parts)), whole.len());
    assert_eq!(content(cts, &file), whole);
    let told = cts.one(ReadVectored::exact(file, 0, vec![vec![0u8; 3]; 7000]));
    assert_eq!(told.result.unwrap(), whole.len());
    assert_eq!(told.kind.buffers.concat(), whole);
}

fn an_exact_vectored_read_across_the_end_is_out_of_range(cts: &mut Cts) {
    let file = cts.file("f", &pattern(10));
    let told = cts.one(ReadVectored::exact(file, 4, vec![vec![0u8; 4]; 4]));
    assert_eq!(told.kind.buffers[0], pattern(10)[4..8], "what was there is there");
    let status = told.status();
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::FileRead));
    assert!(status.to_string().contains("6 of 16"), "{status}");
}

fn a_vectored_read_of_no_buffers_or_empty_ones_succeeds_with_none(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    assert_eq!(cts.get(ReadVectored::<Vec<u8>>::exact(file.clone(), 0, Vec::new())), 0);
    assert_eq!(cts.get(ReadVectored::some(file.clone(), 0, vec![Vec::new(), Vec::new()])), 0);
    assert_eq!(cts.get(WriteVectored::<Vec<u8>>::exact(file, 0, Vec::new())), 0);
}

/// As many zeros as a length of 4 GiB and 8 KiB says, reserved and never touched but where a read fills them.
struct Huge(*mut u8);

const HUGE: usize = (4 << 30) + 8192;

impl Huge {
    fn new() -> Huge {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let flags = MapFlags::PRIVATE;
        // SAFETY: a new mapping, which nothing else refers to.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), HUGE, ProtFlags::READ | ProtFlags::WRITE, flags) };
        match base {
            Ok(base) => Huge(base.cast()),
            Err(errno) => skip(format!("4 GiB of addresses are not to be had: {errno}")),
        }
    }
}

impl Drop for Huge {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length.
        let _ = unsafe { rustix::mm::munmap(self.0.cast(), HUGE) };
    }
}

// SAFETY: the mapping stays where it is, zeros or what was read, until the value is dropped.
unsafe impl StableBytes for Huge {
    fn as_ptr(&self) -> *const u8 {
        self.0
    }
    fn len(&self) -> usize {
        HUGE
    }
}

// SAFETY: the value owns the mapping alone.
unsafe impl proact::memory::StableBytesMut for Huge {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0
    }
}

fn an_absurd_length_is_cut_to_what_one_call_moves_and_is_no_error(cts: &mut Cts) {
    if cfg!(target_pointer_width = "32") {
        skip("no such lengths with 32 bits");
    }
    let file = cts.file("f", &pattern(8192));
    // Cut to 32 bits the length would be that of the file, and of 4 GiB exactly it would be nothing.
    let told = cts.one(Read::some(file.clone(), 0, Huge::new()));
    assert_eq!(told.result.unwrap(), 8192);
    let told = cts.one(Read::some(file, 0, Part::new(Huge::new(), 0..4 << 30)));
    assert_eq!(told.result.unwrap(), 8192);
    // SAFETY: the buffer is at least that long, and no one else's any more.
    assert_eq!(unsafe { std::slice::from_raw_parts(told.kind.buffer.as_ptr(), 8192) }, pattern(8192));
}

fn a_range_is_synced_and_advised_without_an_effect_on_bytes(cts: &mut Cts) {
    let file = cts.file("f", b"");
    cts.get(Write::exact(file.clone(), 0, pattern(100_000)));
    cts.get(SyncRange::new(file.clone(), 0, 50_000));
    cts.get(SyncRange::new(file.clone(), 4096, 0));
    cts.get(SyncRange::new(file.clone(), 0, (4 << 30) + 1));
    use Advice::{DontNeed, NoReuse, Normal, Random, Sequential, WillNeed};
    for advice in [Normal, Sequential, Random, WillNeed, DontNeed, NoReuse] {
        cts.get(Advise::new(file.clone(), 0, 0, advice));
        cts.get(Advise::new(file.clone(), 4096, 8 << 30, advice));
    }
    assert_eq!(content(cts, &file), pattern(100_000));
}

/// Skips where the file system cannot.
#[track_caller]
fn can<K: proact::operation::Kind<Output = ()>>(cts: &mut Cts, kind: K) {
    if let Err(status) = cts.one(kind).result {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        skip(format!("the file system of temporary files: {status}"));
    }
}

fn a_hole_reads_as_zeros_and_gives_its_blocks_back(cts: &mut Cts) {
    let file = cts.file("f", b"");
    cts.get(Write::exact(file.clone(), 0, vec![1u8; 1 << 20]));
    cts.get(Sync::all(file.clone()));
    let before = cts.get(Stat::new(file.clone())).allocated;
    can(cts, ChangeRange::punch_hole(file.clone(), 256 << 10, 512 << 10));
    let after = cts.get(Stat::new(file.clone()));
    assert_eq!(after.size, 1 << 20);
    assert!(after.allocated < before, "{} of {before}", after.allocated);
    let read = content(cts, &file);
    assert!(read[..256 << 10].iter().all(|byte| *byte == 1));
    assert!(read[256 << 10..768 << 10].iter().all(|byte| *byte == 0));
    assert!(read[768 << 10..].iter().all(|byte| *byte == 1));
    assert_eq!(cts.fails(ChangeRange::punch_hole(file, 0, 0)).code(), Code::InvalidArgument);
}

fn a_zeroed_range_reads_as_zeros_and_grows_the_file(cts: &mut Cts) {
    let file = cts.file("f", &[1; 1000]);
    can(cts, ChangeRange::zero(file.clone(), 500, 1000));
    let read = content(cts, &file);
    assert_eq!(read.len(), 1500);
    assert!(read[..500].iter().all(|byte| *byte == 1) && read[500..].iter().all(|byte| *byte == 0));
}

fn reserved_space_leaves_the_length(cts: &mut Cts) {
    let file = cts.file("f", b"abc");
    can(cts, ChangeRange::reserve(file.clone(), 0, 1 << 20));
    let known = cts.get(Stat::new(file.clone()));
    assert_eq!(known.size, 3);
    assert!(known.allocated >= 1 << 20, "{}", known.allocated);
    assert_eq!(content(cts, &file), b"abc");
}

fn a_range_is_copied_and_the_rest_left_alone(cts: &mut Cts) {
    let (from, to) = (cts.file("from", &pattern(300_000)), cts.file("to", &[b'.'; 10]));
    let (copied, _) = cts.get(CopyRange::exact(from.clone(), 1000, to.clone(), 5, 200_000));
    assert_eq!(copied, 200_000);
    let read = content(cts, &to);
    assert_eq!(read.len(), 200_005);
    assert_eq!(read[..5], *b".....");
    assert_eq!(read[5..], pattern(300_000)[1000..201_000]);
    let (copied, _) = cts.get(CopyRange::exact(from.clone(), 0, from.clone(), 300_000, 100));
    assert_eq!(copied, 100, "within one file, where the ranges are apart");
    assert_eq!(content(cts, &from)[300_000..], pattern(100));
}

fn a_copy_past_the_end_is_short_and_an_exact_one_out_of_range(cts: &mut Cts) {
    let (from, to) = (cts.file("from", &pattern(100)), cts.file("to", b""));
    assert_eq!(cts.get(CopyRange::some(from.clone(), 90, to.clone(), 0, 50)).0, 10);
    assert_eq!(cts.get(CopyRange::some(from.clone(), 100, to.clone(), 0, 50)).0, 0);
    assert_eq!(cts.get(CopyRange::some(from.clone(), 100, from.clone(), 120, 50)).0, 0, "within one file too");
    let status = cts.fails(CopyRange::exact(from, 60, to.clone(), 0, 50));
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::FileCopy));
    assert!(status.to_string().contains("40 of 50"), "{status}");
    assert_eq!(content(cts, &to), pattern(100)[60..]);
}

fn a_copy_the_kernel_cannot_do_passes_through_memory_and_says_so(cts: &mut Cts) {
    // The kernel does not copy from its own files of /proc: between such a one and a disk it is up to us.
    let from = cts.get(Open::new("/proc/self/status", OpenFlags::READ));
    let to = cts.file("to", b"");
    let (copied, method) = cts.get(CopyRange::some(from, 0, to.clone(), 0, 1 << 20));
    assert_eq!(method, CopyMethod::Buffer);
    assert!(copied > 100, "{copied}");
    let text = String::from_utf8(content(cts, &to)).unwrap();
    assert!(text.starts_with("Name:") && text.len() == copied, "{text}");
    let (plain, other) = (cts.file("plain", &pattern(9000)), cts.file("other", b""));
    let (copied, method) = cts.get(CopyRange::exact(plain, 0, other, 0, 9000));
    assert_eq!((copied, method), (9000, CopyMethod::Kernel), "and between two files of one disk it is the kernel");
}

fn overlapping_ranges_of_one_file_are_not_copied(cts: &mut Cts) {
    let file = cts.file("f", &pattern(100));
    let status = cts.fails(CopyRange::exact(file.clone(), 0, file.clone(), 10, 50));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(content(cts, &file), pattern(100));
}

fn a_copy_reads_its_source_to_the_end_although_that_is_closed(cts: &mut Cts) {
    let (from, to) = (cts.file("from", &pattern(5000)), cts.file("to", b""));
    let copy = cts.start(CopyRange::exact(from.clone(), 0, to.clone(), 0, 5000));
    let close = cts.start(Close::new(from.clone()));
    cts.drain();
    close.only().result.unwrap();
    assert_eq!(copy.only().result.unwrap().0, 5000);
    assert_eq!(content(cts, &to), pattern(5000));
    let refused = cts.submit(Op::new(CopyRange::exact(from, 0, to, 0, 1), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn open_refuses_flags_that_do_not_go_together_before_any_effect(cts: &mut Cts) {
    let path = cts.path("never");
    let all = OpenFlags::all().bits();
    for bits in 0..=all {
        let flags = OpenFlags::from_bits_retain(bits);
        let writes = OpenFlags::CREATE | OpenFlags::CREATE_NEW | OpenFlags::TRUNCATE | OpenFlags::APPEND;
        let right = flags.intersects(OpenFlags::READ | OpenFlags::WRITE)
            && (flags.contains(OpenFlags::WRITE) || !flags.intersects(writes))
            && (flags.contains(OpenFlags::CREATE) || !flags.contains(OpenFlags::CREATE_NEW))
            && !flags.contains(OpenFlags::APPEND | OpenFlags::TRUNCATE)
            && !(flags.contains(OpenFlags::DIRECTORY) && flags.intersects(OpenFlags::WRITE | OpenFlags::DIRECT));
        if right {
            continue;
        }
        let refused = cts.submit(Op::new(Open::new(&path, flags), ())).expect_err("refused");
        assert_eq!(refused.status.code(), Code::InvalidArgument, "{flags:?}");
    }
    for bit in (0..32).map(|shift| 1u32 << shift).filter(|bit| all & bit == 0) {
        let flags = OpenFlags::from_bits_retain(bit) | OpenFlags::READ;
        let refused = cts.submit(Op::new(Open::new(&path, flags), ())).expect_err("refused");
        assert!(refused.status.to_string().contains("unknown flags"), "{}", refused.status);
    }
    assert!(!cts.exists(&path));
}

fn open_relative_to_a_directory_follows_the_directory(cts: &mut Cts) {
    let (before, after) = (cts.path("before"), cts.path("after"));
    cts.make_directory(&before);
    let directory = cts.get(Open::new(&before, OpenFlags::READ | OpenFlags::DIRECTORY));
    cts.get(Rename::new(&before, &after));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = cts.get(Open::at(directory.clone(), "name", flags));
    cts.get(Write::exact(file, 0, b"here".as_slice()));
    assert_eq!(cts.read(after.join("name")), b"here");
    let status = cts.fails(Open::at(directory.clone(), "missing", OpenFlags::READ));
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::FileOpen));
    cts.get(Close::new(directory.clone()));
    let refused = cts.submit(Op::new(Open::at(directory, "name", OpenFlags::READ), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

/// A file of 10,000 bytes opened for direct I/O, and its alignment. Skips where there is none.
fn direct(cts: &mut Cts) -> (File, usize, usize) {
    let path = cts.path("direct");
    cts.write(&path, pattern(10_000));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::DIRECT;
    let file = match cts.one(Open::new(&path, flags)).result {
        Ok(file) => file,
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            skip("the file system of temporary files has no direct I/O");
        }
    };
    let told = cts.get(Stat::new(file.clone()));
    assert_eq!((told.kind, told.direct), (FileKind::File, file.direct_alignment()));
    match file.direct_alignment() {
        Some(alignment) => (file, alignment.memory as usize, alignment.offset as usize),
        None => skip("the file system does not tell its alignment"),
    }
}

/// `length` bytes whose first lies at a multiple of `alignment`, within a larger buffer.
fn aligned(length: usize, alignment: usize) -> Part<Vec<u8>> {
    let buffer = vec![0u8; length + alignment];
    let start = buffer.as_ptr().align_offset(alignment);
    Part::new(buffer, start..start + length)
}

fn bytes(part: &Part<Vec<u8>>) -> &[u8] {
    let start = StableBytes::as_ptr(part) as usize - part.get_ref().as_ptr() as usize;
    &part.get_ref()[start..][..part.len()]
}

fn direct_io_tells_its_alignment_and_refuses_what_is_not(cts: &mut Cts) {
    let (file, memory, unit) = direct(cts);
    let part = |length: usize, off: usize| {
        let buffer = vec![0u8; length + 2 * memory + off];
        let start = buffer.as_ptr().align_offset(memory) + off;
        Part::new(buffer, start..start + length)
    };
    let tries = [(0, part(unit + 1, 0)), (1, part(unit, 0)), (0, part(unit, 1))];
    for (offset, buffer) in tries {
        if offset == 0 && buffer.len() == unit && memory == 1 {
            continue; // any memory will do
        }
        let refused = cts.submit(Op::new(Read::some(file.clone(), offset, buffer), ())).expect_err("misaligned");
        assert_eq!(refused.status.code(), Code::InvalidArgument);
        let text = refused.status.to_string();
        assert!(text.contains(&format!("multiples of {memory} bytes")), "{text}");
        assert!(text.contains(&format!("lengths at multiples of {unit}")), "{text}");
    }
    let write = WriteVectored::some(file, 0, vec![aligned(unit, memory), aligned(unit - 1, memory)]);
    assert_eq!(cts.submit(Op::new(write, ())).expect_err("misaligned").status.code(), Code::InvalidArgument);
}

fn direct_io_round_trip_and_the_end_of_the_file(cts: &mut Cts) {
    let (file, memory, unit) = direct(cts);
    let told = cts.one(Read::some(file.clone(), 0, aligned(16_384, memory.max(unit))));
    assert_eq!(told.result.unwrap(), 10_000);
    assert_eq!(bytes(&told.kind.buffer)[..10_000], pattern(10_000));
    // What was read ends between two units: no further try, and the end is told as such.
    let status = cts.fails(Read::exact(file.clone(), 0, aligned(16_384, memory.max(unit))));
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert_eq!(cts.get(Write::exact(file.clone(), 0, aligned(16_384, memory.max(unit)))), 16_384);
    let told = cts.one(Read::exact(file, 0, aligned(16_384, memory.max(unit))));
    assert_eq!(bytes(&told.kind.buffer), vec![0; 16_384]);
}

fn an_imported_file_is_used_and_given_back(cts: &mut Cts) {
    let path = cts.path("native");
    cts.write(&path, b"native");
    let native = std::fs::File::open(&path).unwrap();
    let file = cts.handle().import_file(native.into()).unwrap();
    let second = file.clone();
    drop(file);
    assert_eq!(cts.one(Read::exact(second.clone(), 0, vec![0; 6])).kind.buffer, b"native");
    let descriptor = second.into_fd().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(descriptor), &mut text).unwrap();
    assert_eq!(text, "native", "reads at offsets have not moved its own position");
}
