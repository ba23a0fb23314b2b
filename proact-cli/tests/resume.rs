//! `transfer --resume`: what was verified is not sent again, and nothing that is not the same is kept.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

mod support;
use support::*;

const CHUNK: u64 = 64 << 10;
const SIZE: usize = 100 * CHUNK as usize + 77;

/// What is done to a file, or below a destination.
type Harm = fn(&Path);

fn send<'a>(source: &'a Path, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let source = source.to_str().expect("UTF-8");
    [&["transfer", source, "--to", to, "--json", "--chunk-size", "64KiB"], more].concat()
}

/// Breaks a transfer off after `bytes` bytes by killing the `killed` side with `signal`.
fn break_off(source: &Path, into: &Path, bytes: u64, killed: &str, signal: Signal, backend: &str) {
    let before = claimed(into);
    let (receiver, address) = Program::receive(into, &["--once", "--backend", backend]);
    let proxy = Proxy::new(address, bytes, |_, _| {});
    let to = proxy.address.to_string();
    let sender = Program::start(send(source, &to, &["--resume", "--backend", backend]));
    proxy.wait_for_stall();
    let (hit, other) = if killed == "sender" { (sender, receiver) } else { (receiver, sender) };
    if killed == "sender" || signal != Signal::KILL {
        // What came through is written down once it is verified. A connection that breaks may lose what lies in it.
        let until = Instant::now() + DEADLINE;
        let expected = before + (bytes / (CHUNK + 64)).saturating_sub(1);
        while claimed(into) < expected {
            assert!(Instant::now() < until, "{} of {expected} chunks are written down", claimed(into));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    hit.signal(signal);
    hit.finish();
    proxy.cut();
    assert_eq!(other.finish().status.code(), Some(5), "its peer is gone");
}

/// Sends it again; answers the report, and what was said to people.
fn again(source: &Path, into: &Path, more: &[&str]) -> (Value, String) {
    let (receiver, address) = Program::receive(into, &["--once", "--json"]);
    let to = address.to_string();
    let output = run(send(source, &to, more));
    let received = receiver.finish();
    let report = json(&output);
    if output.status.success() {
        assert_eq!(json(&received)["resumed_bytes"], report["resumed_bytes"], "both sides count the same");
    }
    (report, stderr(&output))
}

#[track_caller]
fn delivered(source: &Path, into: &Path) {
    assert_eq!(names(into), [source.file_name().expect("a name").to_str().expect("UTF-8")], "and nothing else");
    let name = source.file_name().expect("a name");
    assert!(fs::read(source).expect("there") == fs::read(into.join(name)).expect("delivered"), "other content");
}

#[track_caller]
fn resumed(report: &Value, chunks: u64, size: u64) {
    assert_eq!((&report["outcome"], &report["resumed_bytes"]), (&"ok".into(), &(chunks * CHUNK).into()), "{report}");
    let sent = report["chunks"].as_u64().expect("a number");
    assert_eq!(sent, size.div_ceil(CHUNK) - chunks, "no chunk that was verified is sent again: {report}");
}

#[test]
fn a_transfer_whose_sender_or_receiver_was_killed_goes_on_behind_what_was_verified() {
    for backend in backends() {
        for (killed, signal) in [("sender", Signal::KILL), ("sender", Signal::INT), ("receiver", Signal::INT)] {
            let scratch = Scratch::new("resume");
            let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
            break_off(&source, &into, 50 * CHUNK, killed, signal, backend);
            assert!(!into.join("model.bin").exists(), "a partial file is not visible");
            let claims = claimed(&into);
            assert!((48..=49).contains(&claims), "{backend}, {killed}: {claims} chunks are kept of 49");
            let (report, said) = again(&source, &into, &["--resume", "--backend", backend]);
            resumed(&report, claims, SIZE as u64);
            assert!(!said.contains("anew"), "{said}");
            delivered(&source, &into);
        }
    }
}

#[test]
fn a_receiver_killed_anywhere_leaves_what_the_next_one_goes_on_with() {
    let scratch = Scratch::new("resume-points");
    let source = scratch.file("model.bin", SIZE);
    for point in [1, 2000, CHUNK, 3 * CHUNK, 17 * CHUNK + 5, 60 * CHUNK, 99 * CHUNK] {
        let into = scratch.path(&format!("into-{point}"));
        break_off(&source, &into, point, "receiver", Signal::KILL, backends()[0]);
        assert!(!into.join("model.bin").exists(), "a partial file is not visible");
        let claims = claimed(&into);
        assert!(claims <= point / CHUNK, "{claims} of {point}");
        let (report, _) = again(&source, &into, &["--resume"]);
        resumed(&report, claims, SIZE as u64);
        delivered(&source, &into);
    }
}

#[test]
fn a_transfer_may_be_broken_off_again_and_again_and_each_time_less_is_left() {
    let scratch = Scratch::new("resume-often");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    let mut before = 0;
    for killed in ["receiver", "sender", "receiver", "sender"] {
        break_off(&source, &into, 20 * CHUNK, killed, Signal::INT, backends()[0]);
        let claims = claimed(&into);
        assert!(claims > before + 10, "{claims} after {before}");
        before = claims;
    }
    let (report, _) = again(&source, &into, &["--resume"]);
    resumed(&report, before, SIZE as u64);
    delivered(&source, &into);
}

#[test]
fn a_source_that_changed_since_begins_anew_and_that_is_said() {
    let scratch = Scratch::new("resume-changed");
    let cases: [(&str, Harm, &str); 3] = [
        ("longer", |path| append(path), "it has another size or time of last change since"),
        ("touched", |path| overwrite(path, false), "it has another size or time of last change since"),
        ("same time", |path| overwrite(path, true), "what the receiver has of it is not what stands here"),
    ];
    for (what, change, why) in cases {
        let (source, into) = (scratch.file(&format!("{what}.bin"), SIZE), scratch.path(what));
        break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
        change(&source);
        let (report, said) = again(&source, &into, &["--resume"]);
        resumed(&report, 0, fs::metadata(&source).expect("it is there").len());
        let message = format!("{}: begins anew: {why}", source.display());
        assert!(said.contains(&message), "{what}: {message:?} is missing in {said:?}");
        delivered(&source, &into);
    }
}

fn append(path: &Path) {
    fs::OpenOptions::new().append(true).open(path).expect("open").write_all(b"more").expect("longer");
}

/// Changes a byte of the first chunks, and the time of last change unless it is to be `kept`.
fn overwrite(path: &Path, kept: bool) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("open");
    let time = file.metadata().expect("known").modified().expect("known");
    file.write_at(b"?", 5 * CHUNK + 3).expect("written");
    file.set_modified(if kept { time } else { time + Duration::from_secs(1) }).expect("settable");
}

#[test]
fn chunks_that_are_damaged_on_the_receivers_disk_are_sent_again() {
    let scratch = Scratch::new("resume-damaged");
    let damage: [(&str, Harm, u64); 6] = [
        ("a flipped bit", |into| flip(&part(into), 10 * CHUNK + 9), 10),
        ("a file cut short", |into| cut(&part(into), 7 * CHUNK + 1), 7),
        ("a wrong claim", |into| flip(&journal(into), 64 + 32 * 4), 4),
        ("a torn claim", |into| cut(&journal(into), 64 + 32 * 3 + 31), 3),
        ("a damaged journal", |into| flip(&journal(into), 9), 0),
        ("another file", |into| fs::write(part(into), content(5000)).expect("written"), 0),
    ];
    for (what, harm, left) in damage {
        let into = scratch.path(what);
        let source = scratch.file(&format!("{what}.bin"), SIZE);
        break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
        assert!(claimed(&into) > 10, "{what}");
        harm(&into);
        let (report, said) = again(&source, &into, &["--resume"]);
        resumed(&report, left, SIZE as u64);
        assert_eq!(said.contains("what the receiver kept of it is damaged"), left == 0, "{what}: {said}");
        delivered(&source, &into);
    }
}

fn part(into: &Path) -> PathBuf {
    kept(into, "part").expect("an unfinished file")
}

fn journal(into: &Path) -> PathBuf {
    kept(into, "journal").expect("a journal")
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("that long");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(path).expect("open").set_len(length).expect("cut");
}

#[test]
fn a_tree_that_was_delivered_in_part_is_not_sent_again_and_gets_its_attributes() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("resume-tree");
    for (name, size) in [("tree/a", SIZE), ("tree/b", 10), ("tree/c", 0), ("tree/deep/d", SIZE / 2), ("tree/z", SIZE)] {
        scratch.file(name, size);
    }
    fs::set_permissions(scratch.path("tree/deep"), fs::Permissions::from_mode(0o750)).expect("mode");
    let (tree, into) = (scratch.path("tree"), scratch.path("into"));
    // Behind the first four files, within the last.
    break_off(&tree, &into, SIZE as u64 * 3 / 2 + 30 * CHUNK, "receiver", Signal::KILL, backends()[0]);
    assert!(into.join("tree/a").exists() && !into.join("tree/z").exists(), "{:?}", names(&into));
    // What had come to the receiver when it was killed, it need not have looked at yet.
    let whole = if into.join("tree/deep/d").exists() { SIZE + SIZE / 2 } else { SIZE };
    let (report, said) = again(&tree, &into, &["--resume"]);
    assert_eq!((&report["outcome"], &report["files"]), (&"ok".into(), &5.into()), "{report} {said}");
    let resumed = report["resumed_bytes"].as_u64().expect("a number");
    assert!(resumed >= whole as u64, "{resumed} of at least {whole}: the first files are whole");
    assert_eq!(names(&tree), names(&into.join("tree")));
    for name in ["a", "b", "c", "deep/d", "z"] {
        assert!(fs::read(tree.join(name)).expect("there") == fs::read(into.join("tree").join(name)).expect("there"));
    }
    let mode = fs::metadata(into.join("tree/deep")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o750, "though an earlier transfer made it");
    // Once more: everything is there.
    let (report, _) = again(&tree, &into, &["--resume"]);
    assert_eq!((&report["outcome"], &report["files"]), (&"ok".into(), &5.into()), "{report}");
    assert_eq!(report["resumed_bytes"], (2 * SIZE + SIZE / 2) as u64);
}

#[test]
fn a_file_that_only_looks_the_same_is_neither_kept_nor_replaced_unasked() {
    let scratch = Scratch::new("resume-looks");
    for (name, size) in [("large", SIZE), ("small", 1000)] {
        let (source, into) = (scratch.file(name, size), scratch.path(&format!("into-{name}")));
        fs::create_dir(&into).expect("the destination");
        let mut other = content(size);
        other[size / 2] ^= 1;
        fs::write(into.join(name), &other).expect("a file of the user's");
        let time = fs::metadata(&source).expect("there").modified().expect("known");
        fs::File::options().write(true).open(into.join(name)).expect("open").set_modified(time).expect("settable");
        let (report, said) = again(&source, &into, &["--resume"]);
        assert_eq!(report["exit_code"], 4, "{report}");
        assert!(said.contains("exists already, and differs; add --overwrite to replace it"), "{said}");
        assert!(fs::read(into.join(name)).expect("there") == other, "it was touched");
        let (report, _) = again(&source, &into, &["--resume", "--overwrite"]);
        assert_eq!((&report["outcome"], &report["resumed_bytes"]), (&"ok".into(), &0.into()), "{report}");
        delivered(&source, &into);
    }
}

#[test]
fn without_resume_a_file_is_sent_whole_and_what_was_kept_of_it_goes() {
    let scratch = Scratch::new("resume-not");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
    assert!(claimed(&into) > 10);
    let (report, _) = again(&source, &into, &[]);
    resumed(&report, 0, SIZE as u64);
    assert_eq!((kept(&into, "part"), kept(&into, "journal")), (None, None));
    assert_eq!(fs::read(into.join("model.bin")).expect("delivered"), content(SIZE));
}

#[test]
fn chunks_of_another_size_begin_anew() {
    let scratch = Scratch::new("resume-size");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
    let (receiver, address) = Program::receive(&into, &["--once"]);
    let (source_name, to) = (source.to_str().expect("UTF-8"), address.to_string());
    let output = run(["transfer", source_name, "--to", &to, "--resume", "--chunk-size", "32KiB"]);
    assert_eq!((output.status.code(), receiver.finish().status.code()), (Some(0), Some(0)));
    assert!(stderr(&output).contains("begins anew: it was sent in chunks of another size before"));
    delivered(&source, &into);
}

#[test]
fn what_nobody_goes_on_with_for_7_days_is_removed_when_a_receiver_starts() {
    let scratch = Scratch::new("resume-old");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
    for (days, left) in [(6, true), (8, false)] {
        for path in [part(&into), journal(&into)] {
            let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            fs::File::options().write(true).open(path).expect("open").set_modified(time).expect("settable");
        }
        let (receiver, _) = Program::receive(&into, &[]);
        receiver.signal(Signal::INT);
        let output = receiver.finish();
        assert_eq!(kept(&into, "part").is_some() && kept(&into, "journal").is_some(), left, "{days} days");
        assert_eq!(stderr(&output).contains("removed 2 files of transfers that nobody went on with"), !left);
    }
}

#[test]
fn two_receivers_do_not_share_unfinished_files() {
    let scratch = Scratch::new("resume-two");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    let (first, _) = Program::receive(&into, &[]);
    let (second, address) = Program::receive(&into, &["--once"]);
    let to = address.to_string();
    let output = run(send(&source, &to, &["--resume"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("the receiver can keep no unfinished file there"), "{}", stderr(&output));
    let said = stderr(&second.finish());
    assert!(said.contains("another receiver writes into"), "{said}");
    first.signal(Signal::INT);
    first.finish();
    delivered(&source, &into);
}

#[test]
fn the_receivers_own_directory_is_no_name_for_a_sender() {
    let scratch = Scratch::new("resume-name");
    scratch.file(".proact-resume/x", 10);
    let into = scratch.path("into");
    for more in [&["--resume"][..], &[]] {
        let (report, said) = again(&scratch.path(".proact-resume"), &into, more);
        assert_eq!(report["exit_code"], 4, "{report}");
        assert!(said.contains(".proact-resume: the receiver keeps this name for itself"), "{said}");
    }
    assert_eq!(names(&into), [""; 0]);
}

#[test]
fn the_embedded_receiver_goes_on_too() {
    let scratch = Scratch::new("resume-embedded");
    let (source, into) = (scratch.file("model.bin", SIZE), scratch.path("into"));
    break_off(&source, &into, 50 * CHUNK, "sender", Signal::KILL, backends()[0]);
    let claims = claimed(&into);
    let (source_name, into_name) = (source.to_str().expect("UTF-8"), into.to_str().expect("UTF-8"));
    let arguments = ["transfer", source_name, "--into", into_name, "--json", "--chunk-size", "64KiB", "--resume"];
    resumed(&json(&run(arguments)), claims, SIZE as u64);
    delivered(&source, &into);
}

#[test]
fn a_peer_of_the_first_version_is_refused_by_name() {
    let scratch = Scratch::new("resume-version");
    let (receiver, address) = Program::receive(&scratch.path("into"), &["--once"]);
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("settable");
    let mut old = [0; 64];
    old[..6].copy_from_slice(b"prct\x01\x01");
    stream.write_all(&old).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers and closes");
    assert_eq!(&answer[..5], b"prct\x02", "an old sender reads the version there, and names both");
    assert_failed(&receiver.finish(), 5, "the peer speaks protocol version 1, not 2");
}
