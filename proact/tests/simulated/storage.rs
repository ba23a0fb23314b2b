//! Disks: what is durable, what a crash leaves, and what goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{ChangeRange, MakeDirectory, Open, Read, Rename, Sync, Write};
use proact::proactor::Proactor;
use proact::resource::File;
use proact::simulated::{Storage, World, exhaust, explore};
use proact::status::Code;

use crate::{one, proactor, start};

fn create(proactor: &mut Proactor, path: &str) -> File {
    let flags = OpenFlags::WRITE | OpenFlags::READ | OpenFlags::CREATE;
    one(proactor, Open::new(path, flags)).unwrap()
}

fn sync_directory(proactor: &mut Proactor, path: &str) {
    let directory = one(proactor, Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY)).unwrap();
    one(proactor, Sync::all(directory)).unwrap();
}

#[test]
fn what_was_synced_survives_every_crash() {
    explore(0..200, |world| {
        let host = world.host("a");
        let mut writer = proactor(&host);
        let file = create(&mut writer, "/kept");
        one(&mut writer, Write::exact(file.clone(), 0, vec![1; 10_000])).unwrap();
        one(&mut writer, Sync::all(file.clone())).unwrap();
        sync_directory(&mut writer, "/");
        // And more, which is not synced, behind it.
        one(&mut writer, Write::exact(file, 10_000, vec![2; 10_000])).unwrap();
        drop(writer);
        host.crash();
        host.restart();
        let left = host.read_file("/kept").unwrap();
        assert!(left.len() >= 10_000 && left[..10_000].iter().all(|byte| *byte == 1), "{} bytes", left.len());
    });
}

#[test]
fn what_was_not_synced_is_kept_lost_or_torn_by_the_seed() {
    let mut lengths = BTreeSet::new();
    explore(0..200, |world| {
        let host = world.host("a");
        host.put_file("/f", b"").unwrap();
        let mut writer = proactor(&host);
        let file = create(&mut writer, "/f");
        one(&mut writer, Write::exact(file, 0, vec![7; 2048])).unwrap();
        assert_eq!(host.read_file("/f").unwrap().len(), 2048, "who reads sees it at once");
        drop(writer);
        host.crash();
        let left = host.read_file("/f").unwrap();
        assert!(left.iter().all(|byte| *byte == 7));
        lengths.insert(left.len());
    });
    assert!(lengths.contains(&0) && lengths.contains(&2048), "neither lost nor kept: {lengths:?}");
    assert!(lengths.iter().any(|length| *length > 0 && *length < 2048), "never torn: {lengths:?}");
    assert!(lengths.iter().all(|length| length % 512 == 0), "torn within a sector: {lengths:?}");
}

/// Writes 1 to one sector of zeros and 2 to the next, and crashes. What each is then.
fn left_of_two_writes(world: &World) -> (u8, u8) {
    let host = world.host("a");
    host.put_file("/f", &[0; 1024]).unwrap();
    let mut writer = proactor(&host);
    let file = create(&mut writer, "/f");
    one(&mut writer, Write::exact(file.clone(), 0, vec![1; 512])).unwrap();
    one(&mut writer, Write::exact(file, 512, vec![2; 512])).unwrap();
    drop(writer);
    host.crash();
    let left = host.read_file("/f").unwrap();
    (left[0], left[512])
}

#[test]
fn writes_reach_the_disk_in_no_order() {
    let mut seen = BTreeSet::new();
    explore(0..200, |world| {
        seen.insert(left_of_two_writes(world));
    });
    assert_eq!(seen, BTreeSet::from([(0, 0), (1, 0), (0, 2), (1, 2)]));
}

#[test]
fn a_name_is_durable_when_its_directory_is_synced_and_a_rename_is_whole() {
    let mut unsynced = BTreeSet::new();
    explore(0..100, |world| {
        let host = world.host("a");
        host.put_directory("/d").unwrap();
        host.put_file("/d/final", b"old").unwrap();
        let mut writer = proactor(&host);
        let draft = create(&mut writer, "/d/draft");
        one(&mut writer, Write::exact(draft.clone(), 0, b"new".as_slice())).unwrap();
        one(&mut writer, Sync::all(draft)).unwrap();
        one(&mut writer, Rename::new("/d/draft", "/d/final").replacing()).unwrap();
        let synced = world.seed() % 2 == 0;
        if synced {
            sync_directory(&mut writer, "/d");
        }
        drop(writer);
        host.crash();
        let (names, content) = (host.list("/d").unwrap(), host.read_file("/d/final").unwrap());
        if synced {
            assert_eq!((names, content), (vec!["final".to_owned()], b"new".to_vec()));
        } else {
            assert!(content == b"old" || content == b"new", "a rename is whole or not at all: {content:?}");
            assert!(content == b"old" || names == ["final"], "both names at once: {names:?}");
            unsynced.insert(content);
        }
    });
    assert_eq!(unsynced.len(), 2, "an unsynced rename always ends the same: {unsynced:?}");
}

#[test]
fn a_failed_sync_may_have_lost_what_a_later_one_calls_durable() {
    let mut lost = 0;
    explore(0..100, |world| {
        let host = world.host("a");
        host.put_file("/f", b"old").unwrap();
        let mut writer = proactor(&host);
        let file = create(&mut writer, "/f");
        one(&mut writer, Write::exact(file.clone(), 0, b"new".as_slice())).unwrap();
        host.storage(Storage { failing_syncs: 1_000_000, ..Storage::default() });
        assert_eq!(one(&mut writer, Sync::all(file.clone())).unwrap_err().code(), Code::DataLoss);
        host.storage(Storage::default());
        one(&mut writer, Sync::all(file)).unwrap();
        assert_eq!(host.read_file("/f").unwrap(), b"new", "the cache has it");
        drop(writer);
        host.crash();
        lost += usize::from(host.read_file("/f").unwrap() != b"new");
    });
    assert!(lost > 10 && lost < 90, "{lost} of 100");
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let world = World::new(1);
    let host = world.host("a");
    host.storage(Storage { capacity: Some(10_000), ..Storage::default() });
    let mut writer = proactor(&host);
    let file = create(&mut writer, "/f");
    assert_eq!(one(&mut writer, Write::some(file.clone(), 0, vec![1; 30_000])).unwrap(), 10_000);
    let status = one(&mut writer, Write::some(file.clone(), 10_000, vec![1; 1])).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(one(&mut writer, Write::exact(file, 0, vec![2; 10_000])).unwrap(), 10_000, "what is there is rewritten");
    let status = host.put_file("/g", &[0; 1]).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    one(&mut writer, proact::operation::Remove::file("/f")).unwrap();
    host.put_file("/g", &[0; 10_000]).unwrap();
}

#[test]
fn transfers_are_cut_and_fail_by_the_seed_and_exact_ones_go_on() {
    let (mut failed, mut whole) = (0, 0);
    explore(0..100, |world| {
        let host = world.host("a");
        let bytes: Vec<u8> = (0..20_000usize).map(|at| (at % 251) as u8).collect();
        host.put_file("/f", &bytes).unwrap();
        host.storage(Storage { short: 500_000, failing: 50_000, ..Storage::default() });
        let mut reader = proactor(&host);
        let file = one(&mut reader, Open::new("/f", OpenFlags::READ)).unwrap();
        match one(&mut reader, Read::exact(file, 0, vec![0; 20_000])) {
            Ok(count) => {
                assert_eq!(count, 20_000);
                whole += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::DataLoss);
                failed += 1;
            }
        }
    });
    assert!(failed > 5 && whole > 5, "{failed} failed, {whole} whole");
}

#[test]
fn a_disk_takes_its_time_and_what_is_in_flight_at_a_crash_never_happens() {
    let world = World::new(1);
    let host = world.host("a");
    host.put_file("/f", b"").unwrap();
    let slow = Storage { latency: Duration::from_millis(5), bandwidth: Some(1_000_000), ..Storage::default() };
    host.storage(slow);
    let mut writer = proactor(&host);
    let file = create(&mut writer, "/f");
    let before = world.now();
    one(&mut writer, Write::exact(file.clone(), 0, vec![1; 10_000])).unwrap();
    assert_eq!(world.now() - before, Duration::from_millis(15));
    let write = start(&mut writer, Write::exact(file, 10_000, vec![2; 10_000]));
    host.crash();
    assert_eq!(writer.shutdown(Duration::from_secs(1)), 0);
    assert_eq!(write.code(), Code::Cancelled);
    host.restart();
    assert!(!host.read_file("/f").unwrap().contains(&2));
}

#[test]
fn a_directory_of_an_unsynced_parent_may_be_gone_with_all_that_is_in_it() {
    let mut seen = BTreeSet::new();
    explore(0..50, |world| {
        let host = world.host("a");
        let mut writer = proactor(&host);
        one(&mut writer, MakeDirectory::new("/d")).unwrap();
        let file = create(&mut writer, "/d/f");
        one(&mut writer, Write::exact(file.clone(), 0, b"x".as_slice())).unwrap();
        one(&mut writer, Sync::all(file)).unwrap();
        drop(writer);
        host.crash();
        seen.insert((host.exists("/d"), host.exists("/d/f")));
    });
    assert_eq!(seen, BTreeSet::from([(false, false), (true, false), (true, true)]));
}

/// Replaces a file's content as programs do that must not lose it, up to a crash at some point; with `synced`, rightly.
fn replace_and_crash(world: &World, synced: bool) -> Vec<u8> {
    let host = world.host("a");
    host.put_file("/f", b"old").unwrap();
    let mut writer = proactor(&host);
    let draft = create(&mut writer, "/draft");
    one(&mut writer, Write::exact(draft.clone(), 0, vec![b'n'; 1500])).unwrap();
    let crashes_after = world.choose(3);
    if synced && crashes_after > 0 {
        one(&mut writer, Sync::all(draft)).unwrap();
    }
    if crashes_after > 0 {
        one(&mut writer, Rename::new("/draft", "/f").replacing()).unwrap();
    }
    if crashes_after > 1 {
        sync_directory(&mut writer, "/");
    }
    drop(writer);
    host.crash();
    host.read_file("/f").unwrap()
}

#[test]
fn every_way_a_crash_can_go_is_tried_and_the_right_protocol_survives_all() {
    let mut ways = BTreeSet::new();
    let explored = exhaust(10_000, |world| {
        let left = replace_and_crash(world, true);
        assert!(left == b"old" || left == [b'n'; 1500], "neither the old content nor the new: {} bytes", left.len());
        ways.insert(left.len());
    });
    assert!(explored.complete && explored.runs >= 10, "{explored:?}");
    assert_eq!(ways, BTreeSet::from([3, 1500]));
    let mut broken = 0;
    let explored = exhaust(10_000, |world| {
        let left = replace_and_crash(world, false);
        broken += usize::from(left != b"old" && left != [b'n'; 1500]);
    });
    assert!(explored.complete && broken > 0, "a rename before its sync is found to lose the file: {explored:?}");
}

#[test]
fn a_range_that_does_not_fit_is_refused() {
    let world = World::new(1);
    let host = world.host("a");
    let mut writer = proactor(&host);
    let file = create(&mut writer, "/f");
    let huge = ChangeRange::zero(file.clone(), 0, 1 << 62);
    assert_eq!(one(&mut writer, huge).unwrap_err().code(), Code::OutOfRange);
    host.storage(Storage { capacity: Some(1000), ..Storage::default() });
    let zeros = ChangeRange::zero(file, 0, 2000);
    assert_eq!(one(&mut writer, zeros).unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn a_file_without_a_name_is_read_until_it_is_closed_and_then_gives_its_space_back() {
    let world = World::new(1);
    let host = world.host("a");
    host.storage(Storage { capacity: Some(1000), ..Storage::default() });
    host.put_file("/f", &[7; 800]).unwrap();
    let mut reader = proactor(&host);
    let file = one(&mut reader, Open::new("/f", OpenFlags::READ)).unwrap();
    one(&mut reader, proact::operation::Remove::file("/f")).unwrap();
    assert!(!host.exists("/f"));
    assert_eq!(one(&mut reader, Read::exact(file.clone(), 0, vec![0; 800])).unwrap(), 800);
    assert_eq!(host.put_file("/g", &[0; 800]).unwrap_err().code(), Code::ResourceExhausted);
    drop(file);
    host.put_file("/g", &[0; 800]).unwrap();
    sync_directory(&mut reader, "/");
    drop(reader);
    host.crash();
    assert_eq!(host.list("/").unwrap(), ["g"]);
}

#[test]
fn every_way_of_two_writes_is_tried_once() {
    let mut left = BTreeSet::new();
    let explored = exhaust(10_000, |world| {
        left.insert(left_of_two_writes(world));
    });
    // Which goes first, and of each whether it is lost, torn or whole.
    assert_eq!((explored.runs, explored.complete), (2 * 3 * 3, true));
    assert_eq!(left, BTreeSet::from([(0, 0), (1, 0), (0, 2), (1, 2)]));
}
