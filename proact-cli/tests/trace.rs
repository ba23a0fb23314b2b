//! `--trace`: what a transfer leaves in its file, however it ends.

#![cfg(unix)]

#[cfg(target_os = "linux")]
#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use proact_schedule::audit::audit;
use proact_schedule::record::{Event, How, Recording, Timed};
use serde_json::Value;
use support::{DEADLINE, Program, Proxy, Scratch, assert_failed, backends, claimed, json, stderr};

const CHUNK: usize = 4096;

fn transfer(scratch: &Scratch, source: &Path, more: &[&str]) -> Output {
    let into = scratch.path("into");
    let mut arguments = vec!["transfer", source.to_str().unwrap(), "--chunk-size", "4KiB", "--overwrite"];
    arguments.extend(more);
    if !more.contains(&"--to") {
        arguments.extend(["--into", into.to_str().unwrap()]);
    }
    Program::start(arguments).finish()
}

/// Reads a recording: the types that do are those that the schema is made from, and know no other fields.
fn recording(path: &Path) -> Vec<Timed> {
    let events = Recording::read_json(&fs::read(path).expect("a trace")).expect("a recording").events;
    assert!(events.is_sorted_by_key(|timed| timed.at_ns), "time goes back");
    events
}

/// How many submissions of each queue, by its name, ended well, and how many did not.
fn ended(events: &[Timed]) -> BTreeMap<String, (usize, usize)> {
    let mut names = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for timed in events {
        match &timed.event {
            Event::Name { queue, epoch: None, name } => _ = names.insert(*queue, name.clone()),
            Event::Ended { queue, failure, .. } => {
                let (well, not): &mut (usize, usize) = ended.entry(names[queue].clone()).or_default();
                *(if failure.is_none() { well } else { not }) += 1;
            }
            _ => {}
        }
    }
    ended
}

/// Where in the recording the steps of the queue of this name were submitted, began and ended well, by their names.
fn steps<'a>(events: &'a [Timed], queue: &str) -> Vec<(&'a str, [usize; 3])> {
    let is_it = |event: &Event| match event {
        Event::Name { queue: number, epoch: None, name } if name == queue => Some(*number),
        _ => None,
    };
    let wanted = events.iter().find_map(|timed| is_it(&timed.event)).expect("a queue of this name");
    let mut steps: BTreeMap<u64, (&str, [usize; 3])> = BTreeMap::new();
    for (at, timed) in events.iter().enumerate() {
        match &timed.event {
            Event::Submitted { queue, epoch, .. } if *queue == wanted => {
                steps.entry(*epoch).or_default().1[0] = at;
            }
            Event::Name { queue, epoch: Some(epoch), name } if *queue == wanted => {
                steps.entry(*epoch).or_default().0 = name;
            }
            Event::Started { queue, epoch } if *queue == wanted => steps.get_mut(epoch).expect("submitted").1[1] = at,
            Event::Ended { queue, epoch, failure: None } if *queue == wanted => {
                steps.get_mut(epoch).expect("submitted").1[2] = at;
            }
            _ => {}
        }
    }
    steps.into_values().collect()
}

fn count(events: &[Timed], is: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|timed| is(&timed.event)).count()
}

#[test]
fn a_recording_has_every_step_of_every_chunk_and_the_auditor_accepts_it() {
    let scratch = Scratch::new("trace-steps");
    let source = scratch.file("source", 10 * CHUNK + 1);
    let path = scratch.path("run.json");
    for backend in backends() {
        let more = ["--backend", backend, "--trace", path.to_str().unwrap(), "--trace-form", "recording"];
        let output = transfer(&scratch, &source, &more);
        assert!(output.status.success(), "{backend}: {}", stderr(&output));
        let events = recording(&path);
        let ended = ended(&events);
        // HELLO, FILE, FILE_END and DONE are frames too, which nobody reads from a file.
        let expected = [("read file", 11), ("digest", 15), ("send", 15), ("receive", 11), ("check", 11), ("write", 11)];
        for (queue, steps) in expected {
            assert_eq!(ended[queue], (steps, 0), "{backend}: {queue}");
        }
        // The file with its name, and the directory.
        assert_eq!(ended["sync"], (2, 0), "{backend}");
        let proved = audit(&events).unwrap_or_else(|violation| panic!("{backend}: {violation}"));
        assert_eq!((proved.submissions, proved.waits), (11 + 15 + 15 + 3 * 11 + 2, 15 + 11), "{backend}");
        assert_eq!(count(&events, |event| matches!(event, Event::Reached { .. })), 15 + 11, "{backend}");
        assert_eq!(count(&events, |event| matches!(event, Event::Failed { .. })), 0, "{backend}");
        let lowered = count(&events, |event| match event {
            Event::Submitted { waits, .. } => waits.iter().any(|wait| wait.how == How::Lowered),
            _ => false,
        });
        assert_eq!(lowered > 0, backend == "io_uring", "{backend}: {lowered} waits were lowered");
    }
}

#[test]
fn a_recording_in_which_a_send_begins_before_its_value_is_refused() {
    let scratch = Scratch::new("trace-mutated");
    let source = scratch.file("source", 3 * CHUNK);
    let path = scratch.path("run.json");
    let output = transfer(&scratch, &source, &["--trace", path.to_str().unwrap(), "--trace-form", "recording"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut events = recording(&path);
    audit(&events).expect("as it was");
    // The sender's third queue; its last frame begins before anything else.
    let send = |event: &Event| matches!(event, Event::Started { queue: 2, epoch: 7 });
    let started = events.iter().position(|timed| send(&timed.event)).expect("DONE is sent");
    let submitted = |event: &Event| matches!(event, Event::Submitted { queue: 2, epoch: 7, .. });
    let after = events.iter().position(|timed| submitted(&timed.event)).expect("it is submitted") + 1;
    events[after..=started].rotate_right(1);
    let violation = audit(&events).expect_err("its value had not been reached");
    assert!(violation.to_string().contains("nothing makes it wait"), "{violation}");
}

#[test]
fn a_chrome_trace_has_a_slice_for_each_step_on_lines_where_none_overlap() {
    let scratch = Scratch::new("trace-chrome");
    let source = scratch.file("source", 20 * CHUNK);
    let path = scratch.path("run.json");
    let output = transfer(&scratch, &source, &["--trace", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let trace: Value = serde_json::from_slice(&fs::read(&path).expect("a trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let named = |what: &str| events.iter().filter(|event| event["name"] == what).collect::<Vec<_>>();
    let processes: Vec<&Value> = named("process_name").iter().map(|event| &event["args"]["name"]).collect();
    assert_eq!(processes, ["sender", "receiver"]);
    let mut lines: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
    for slice in events.iter().filter(|event| event["ph"] == "X") {
        let line = (slice["pid"].as_u64().unwrap(), slice["tid"].as_u64().unwrap());
        let [start, long] = [&slice["ts"], &slice["dur"]].map(|number| number.as_f64().unwrap());
        lines.entry(line).or_default().push((start, start + long));
    }
    assert_eq!(lines.values().map(Vec::len).sum::<usize>(), 20 + 24 + 24 + 3 * 20 + 2);
    for (line, slices) in &mut lines {
        slices.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        // To the nanosecond: sums of microseconds are rounded.
        assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-4), "{line:?}: {slices:?}");
    }
}

#[test]
fn a_sender_whose_peer_is_killed_leaves_a_complete_file_with_the_failure() {
    let scratch = Scratch::new("trace-killed");
    // More than the sockets on the way hold.
    let source = scratch.file("source", 8000 * CHUNK);
    let path = scratch.path("run.json");
    let (receiver, address) = Program::receive(&scratch.path("into"), &["--once"]);
    let proxy = Proxy::new(address, 20 * CHUNK as u64, |_, _| {});
    let to = proxy.address.to_string();
    let arguments = ["--to", &to, "--trace", path.to_str().unwrap(), "--trace-form", "recording"];
    let sender =
        Program::start(["transfer", source.to_str().unwrap(), "--chunk-size", "4KiB"].into_iter().chain(arguments));
    proxy.wait_for_stall();
    receiver.signal(rustix::process::Signal::KILL);
    receiver.finish();
    proxy.go_on();
    let output = sender.finish();
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let events = recording(&path);
    audit(&events).unwrap_or_else(|violation| panic!("{violation}"));
    let causes: Vec<&String> = events
        .iter()
        .filter_map(|timed| match &timed.event {
            Event::Failed { status, .. } => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert!(stderr(&output).contains(causes[0].as_str()), "{causes:?} is not what was told: {}", stderr(&output));
    // Whatever was submitted has ended: well, or with a failure.
    let submitted = count(&events, |event| matches!(event, Event::Submitted { .. }));
    assert_eq!(count(&events, |event| matches!(event, Event::Ended { .. })), submitted);
    let (sent, not_sent) = ended(&events)["send"];
    assert!(sent > 0 && not_sent > 0, "{sent} sent, {not_sent} not");
}

#[test]
fn a_receiver_records_its_own_side() {
    let scratch = Scratch::new("trace-receive");
    let source = scratch.file("source", 5 * CHUNK);
    let path = scratch.path("run.json");
    let more = ["--once", "--trace", path.to_str().unwrap(), "--trace-form", "recording"];
    let (receiver, address) = Program::receive(&scratch.path("into"), &more);
    let sender = transfer(&scratch, &source, &["--to", &address.to_string()]);
    assert!(sender.status.success(), "{}", stderr(&sender));
    let output = receiver.finish();
    assert!(output.status.success(), "{}", stderr(&output));
    let events = recording(&path);
    audit(&events).unwrap_or_else(|violation| panic!("{violation}"));
    let ended = ended(&events);
    let steps = ["receive", "check", "write", "sync"].map(|queue| ended[queue]);
    assert_eq!(steps, [(5, 0), (5, 0), (5, 0), (2, 0)]);
}

#[test]
#[cfg(target_os = "linux")]
fn over_tls_what_is_sealed_and_opened_is_on_the_queue_of_the_digests() {
    let scratch = Scratch::new("trace-tls");
    let source = scratch.file("source", 10 * CHUNK + 1);
    let authority = certificates::Authority::new(&scratch.0, "authority");
    let [server, client] = ["server", "client"].map(|name| authority.issue(name, &["127.0.0.1"]));
    let text = certificates::text;
    let (far, near) = (scratch.path("far.json"), scratch.path("near.json"));
    let tracing = |path| ["--trace", text(path), "--trace-form", "recording"];
    let serving = ["--once", "--tls-cert", text(&server.certificate), "--tls-key", text(&server.key)];
    let serving = [&serving[..], &["--tls-client-ca", text(&authority.path)], &tracing(&far)].concat();
    let (receiver, address) = Program::receive(&scratch.path("into"), &serving);
    let to = address.to_string();
    let trusting = ["--to", &to, "--tls-ca", text(&authority.path)];
    let showing = ["--client-cert", text(&client.certificate), "--client-key", text(&client.key)];
    let sender = transfer(&scratch, &source, &[&trusting[..], &showing, &tracing(&near)].concat());
    assert!(sender.status.success(), "{}", stderr(&sender));
    assert!(receiver.finish().status.success());
    let (near, far) = (recording(&near), recording(&far));
    for events in [&near, &far] {
        audit(events).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(ended(events).values().all(|(_, not)| *not == 0), "{:?}", ended(events));
    }
    // Each frame is sealed with its digest; what else is said and heard is done in between.
    let digests = steps(&near, "digest");
    let of_frames = digests.iter().filter(|(name, _)| name.ends_with(", and its records")).count();
    let besides = digests.iter().filter(|(name, _)| name.starts_with("TLS: ")).count();
    assert_eq!((of_frames, of_frames + besides), (15, digests.len()), "{digests:?}");
    for what in ["TLS: seal the handshake", "TLS: open ", "TLS: seal the last words"] {
        assert!(digests.iter().any(|(name, _)| name.starts_with(what)), "{what}: {digests:?}");
    }
    assert_eq!(ended(&near)["send"], (15, 0));
    // A chunk has been received when it is opened, and is checked after that.
    let checks = steps(&far, "check");
    let received = steps(&far, "receive");
    assert_eq!(received.len(), 11);
    for (name, [submitted, _, has_ended]) in received {
        let handed = checks.iter().filter(|(what, at)| {
            what.starts_with("TLS: hand out") && at[0] > submitted && at[2] > submitted && at[2] < has_ended
        });
        assert_eq!(handed.count(), 1, "{name} came out of its records once");
        let (_, check) = checks.iter().find(|(what, _)| *what == name).expect("it is checked");
        assert!(check[0] > has_ended, "{name} is checked before it is there");
    }
    let replies = checks.iter().filter(|(name, _)| name.starts_with("TLS: seal ") && name.ends_with(" of replies"));
    assert!(replies.count() > 0, "{checks:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_goes_on_has_steps_from_its_offset_and_what_was_read_back_before() {
    let scratch = Scratch::new("trace-resume");
    let source = scratch.file("source", 30 * CHUNK);
    let into = scratch.path("into");
    let (receiver, address) = Program::receive(&into, &["--once"]);
    let proxy = Proxy::new(address, 20 * CHUNK as u64, |_, _| {});
    let to = proxy.address.to_string();
    let sending = ["transfer", source.to_str().unwrap(), "--chunk-size", "4KiB", "--resume"];
    let sender = Program::start(sending.into_iter().chain(["--to", &to]));
    proxy.wait_for_stall();
    let until = Instant::now() + DEADLINE;
    while claimed(&into) < 10 {
        assert!(Instant::now() < until, "{} chunks are written down", claimed(&into));
        std::thread::sleep(Duration::from_millis(1));
    }
    sender.signal(rustix::process::Signal::KILL);
    sender.finish();
    proxy.cut();
    receiver.finish();
    let kept = claimed(&into) as usize;
    assert!((10..30).contains(&kept), "{kept}");
    let path = scratch.path("run.json");
    let tracing = ["--trace", path.to_str().unwrap(), "--trace-form", "recording", "--json"];
    let output = Program::start(sending.into_iter().chain(["--into", into.to_str().unwrap()]).chain(tracing)).finish();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["resumed_bytes"], kept * CHUNK);
    let events = recording(&path);
    audit(&events).unwrap_or_else(|violation| panic!("{violation}"));
    let expected: Vec<String> = (kept..30).map(|chunk| format!("file 0 at {}", chunk * CHUNK)).collect();
    for queue in ["read file", "receive", "write"] {
        let names: Vec<&str> = steps(&events, queue).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{queue}");
    }
    // Both sides read back what is there, before the first chunk behind it.
    let back: Vec<String> = (0..kept).map(|chunk| format!("read back {CHUNK} bytes at {}", chunk * CHUNK)).collect();
    let first = steps(&events, "read file")[0].1[0];
    for queue in ["digest", "check"] {
        let of_back = steps(&events, queue).into_iter().filter(|(name, _)| name.starts_with("read back"));
        let (names, ends): (Vec<&str>, Vec<usize>) = of_back.map(|(name, at)| (name, at[2])).unzip();
        assert_eq!(names, back, "{queue}");
        assert!(ends.iter().all(|end| *end > 0 && *end < first), "{queue}: {ends:?}, {first}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_moves() {
    let scratch = Scratch::new("trace-unwritable");
    let source = scratch.file("source", CHUNK);
    let output = transfer(&scratch, &source, &["--trace", "/no/such/run.json"]);
    assert_failed(&output, 4, "/no/such/run.json: open: No such file or directory");
    assert!(!scratch.path("into").exists());
    let output = transfer(&scratch, &source, &["--trace", source.to_str().unwrap()]);
    assert_failed(&output, 2, "it is one of the sources");
    assert_eq!(fs::read(&source).expect("the source").len(), CHUNK);
    assert!(!scratch.path("into").exists());
    let into = scratch.path("into");
    let output = Program::start(["receive", "--into", into.to_str().unwrap(), "--trace", "run.json"]).finish();
    assert_failed(&output, 2, "--once");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_what_was_delivered_stays() {
    let scratch = Scratch::new("trace-full");
    let source = scratch.file("source", 3 * CHUNK);
    for form in ["chrome", "recording"] {
        let output = transfer(&scratch, &source, &["--trace", "/dev/full", "--trace-form", form]);
        assert_failed(&output, 4, "--trace /dev/full: write: No space left on device");
        assert_eq!(fs::read(scratch.path("into/source")).expect("it is there").len(), 3 * CHUNK);
    }
}
