//! What goes wrong: a clear error that names the file and the cause, the right exit code, nothing partial left behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;

mod support;
use support::*;

fn nothing(into: &std::path::Path) {
    assert_eq!(names(into), [""; 0], "nothing is visible, partial files neither");
}

#[test]
fn a_missing_source_is_named() {
    let scratch = Scratch::new("missing");
    let into = scratch.path("into");
    let output = run(["transfer", "/nonexistent/x", "--into", into.to_str().expect("UTF-8")]);
    assert_failed(&output, 3, "/nonexistent/x: stat: No such file or directory");
    assert!(!into.exists(), "nothing was begun");
}

#[test]
fn a_destination_that_is_no_directory_is_named() {
    let scratch = Scratch::new("nodir");
    let (source, file) = (scratch.file("source", 10), scratch.file("file", 10));
    let output = run(["transfer".as_ref(), source.as_os_str(), "--into".as_ref(), file.as_os_str()]);
    assert_failed(&output, 4, file.to_str().expect("UTF-8"));
}

#[test]
fn a_peer_that_refuses_and_a_name_without_address_are_network_failures() {
    let scratch = Scratch::new("refused");
    let source = scratch.file("source", 10);
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    for backend in backends() {
        let output = run(["transfer", source.to_str().expect("UTF-8"), "--to", &address, "--backend", backend]);
        assert_failed(&output, 5, &format!("{address}: connect to {address}: Connection refused"));
    }
    let output = run(["transfer", source.to_str().expect("UTF-8"), "--to", "name.invalid:7411"]);
    assert_failed(&output, 5, "name.invalid:7411");
}

#[test]
fn a_port_in_use_is_a_network_failure() {
    let scratch = Scratch::new("inuse");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let output =
        run(["receive".as_ref(), "--into".as_ref(), scratch.0.as_os_str(), "--listen".as_ref(), address.as_ref()]);
    assert_failed(&output, 5, "the port is in use");
}

#[test]
fn a_silent_peer_is_given_up_on_both_sides() {
    let scratch = Scratch::new("silent");
    let source = scratch.file("source", 10);
    for backend in backends() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("bound").to_string();
        let arguments = ["transfer", source.to_str().expect("UTF-8"), "--to", &address, "--timeout", "200ms"];
        let output = run(arguments.into_iter().chain(["--backend", backend]));
        assert_failed(&output, 5, "the receiver was silent for 200ms (DEADLINE_EXCEEDED)");
        let into = scratch.path("into");
        let (receiver, address) = Program::receive(&into, &["--once", "--timeout", "200ms", "--backend", backend]);
        let quiet = std::net::TcpStream::connect(address).expect("it listens");
        assert_failed(&receiver.finish(), 5, "the sender was silent for 200ms");
        drop(quiet);
        nothing(&into);
    }
}

#[test]
fn a_chunk_that_is_damaged_on_the_way_is_named_and_not_written() {
    let scratch = Scratch::new("corrupt");
    let source = scratch.file("model.bin", 1 << 20);
    for backend in backends() {
        let into = scratch.path(backend);
        let (receiver, address) = Program::receive(&into, &["--once", "--backend", backend]);
        // Far behind the first frames, within the payload of the third chunk of 256 KiB.
        let damage = 600_000;
        let proxy = Proxy::new(address, u64::MAX, move |at, bytes| {
            if (at..at + bytes.len() as u64).contains(&damage) {
                bytes[(damage - at) as usize] ^= 1;
            }
        });
        let to = proxy.address.to_string();
        let arguments = ["transfer", source.to_str().expect("UTF-8"), "--to", &to, "--chunk-size", "256KiB"];
        let sent = run(arguments.into_iter().chain(["--backend", backend]));
        assert_failed(&sent, 6, "model.bin: the chunk at offset 524288 arrived corrupted");
        assert_failed(&receiver.finish(), 6, "model.bin: the chunk at offset 524288 arrived corrupted");
        nothing(&into);
    }
}

/// Runs a transfer of two files, changes the first while the connection stalls in it, and checks what is said.
fn change_while_read(how: &str, change: impl Fn(&std::path::Path)) {
    for backend in backends() {
        let scratch = Scratch::new("change");
        let (first, second) = (scratch.file("first", 16 << 20), scratch.file("second", 1000));
        let into = scratch.path("into");
        let (receiver, address) = Program::receive(&into, &["--once", "--backend", backend]);
        let proxy = Proxy::new(address, 100_000, |_, _| {});
        let to = proxy.address.to_string();
        let (first_name, second_name) = (first.to_str().expect("UTF-8"), second.to_str().expect("UTF-8"));
        let sender = Program::start([
            "transfer",
            first_name,
            second_name,
            "--to",
            &to,
            "--chunk-size",
            "64KiB",
            "--in-flight",
            "2",
            "--backend",
            backend,
        ]);
        // The sockets' buffers hold a few megabytes; the end of the file is still unread.
        proxy.wait_for_stall();
        change(&first);
        proxy.go_on();
        let message = format!("{first_name}: changed while it was read: {how}");
        assert_failed(&sender.finish(), 3, &message);
        assert_failed(&receiver.finish(), 3, &message);
        assert_eq!(names(&into), ["second"], "the session went on with the next file");
        assert_eq!(fs::read(into.join("second")).expect("delivered"), content(1000));
    }
}

#[test]
fn a_source_that_shrinks_while_it_is_read_is_not_delivered() {
    change_while_read("it became shorter", |path| {
        fs::OpenOptions::new().write(true).open(path).expect("open").set_len(15 << 20).expect("cut");
    });
}

#[test]
fn a_source_that_grows_while_it_is_read_is_not_delivered() {
    change_while_read("it grew", |path| {
        fs::OpenOptions::new().append(true).open(path).expect("open").write_all(b"more").expect("longer");
    });
}

#[test]
fn a_sender_that_is_killed_leaves_nothing_and_the_receiver_lives_on() {
    let scratch = Scratch::new("killed");
    let source = scratch.file("source", 32 << 20);
    let small = scratch.file("small", 100);
    let into = scratch.path("into");
    let (receiver, address) = Program::receive(&into, &[]);
    let proxy = Proxy::new(address, 3 << 20, |_, _| {});
    let sender = Program::start(["transfer", source.to_str().expect("UTF-8"), "--to", &proxy.address.to_string()]);
    proxy.wait_for_stall();
    assert!(names(&into).iter().all(|name| name.starts_with(".proact-")), "{:?}", names(&into));
    sender.signal(rustix::process::Signal::KILL);
    sender.finish();
    proxy.go_on();
    let until = std::time::Instant::now() + DEADLINE;
    while !names(&into).is_empty() {
        assert!(std::time::Instant::now() < until, "the partial file stays: {:?}", names(&into));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let output = run(["transfer", small.to_str().expect("UTF-8"), "--to", &address.to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    receiver.signal(rustix::process::Signal::INT);
    assert_failed(&receiver.finish(), 130, "the sender closed the connection");
    assert_eq!(names(&into), ["small"]);
}

#[test]
fn a_receiver_that_is_killed_is_a_network_failure_at_the_sender() {
    let scratch = Scratch::new("gone");
    let source = scratch.file("source", 32 << 20);
    let (receiver, address) = Program::receive(&scratch.path("into"), &[]);
    let proxy = Proxy::new(address, 3 << 20, |_, _| {});
    let sender = Program::start(["transfer", source.to_str().expect("UTF-8"), "--to", &proxy.address.to_string()]);
    proxy.wait_for_stall();
    receiver.signal(rustix::process::Signal::KILL);
    receiver.finish();
    proxy.go_on();
    assert_failed(&sender.finish(), 5, &proxy.address.to_string());
}

#[test]
fn ctrl_c_ends_either_side_with_130_and_leaves_nothing() {
    for backend in backends() {
        for at_sender in [true, false] {
            let scratch = Scratch::new("interrupt");
            let source = scratch.file("source", 32 << 20);
            let into = scratch.path("into");
            let (receiver, address) = Program::receive(&into, &["--once", "--backend", backend]);
            let proxy = Proxy::new(address, 3 << 20, |_, _| {});
            let to = proxy.address.to_string();
            let sender =
                Program::start(["transfer", source.to_str().expect("UTF-8"), "--to", &to, "--backend", backend]);
            proxy.wait_for_stall();
            let (hit, other) = if at_sender { (sender, receiver) } else { (receiver, sender) };
            hit.signal(rustix::process::Signal::INT);
            assert_failed(&hit.finish(), 130, "interrupted");
            proxy.go_on();
            assert_eq!(other.finish().status.code(), Some(5), "the peer's interruption is a lost peer");
            nothing(&into);
        }
    }
}

#[test]
fn ctrl_c_ends_an_embedded_transfer_with_130_and_leaves_nothing() {
    let scratch = Scratch::new("embedded-interrupt");
    let source = scratch.path("big");
    // So large that no machine is done with it before it sees the signal.
    fs::File::create(&source).expect("a source").set_len(8 << 30).expect("sparse");
    let into = scratch.path("into");
    let arguments = ["transfer".as_ref(), source.as_os_str(), "--into".as_ref(), into.as_os_str()];
    let transfer = Program::start(arguments);
    let until = std::time::Instant::now() + DEADLINE;
    while names(&into).is_empty() {
        assert!(std::time::Instant::now() < until, "the partial file does not appear");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    transfer.signal(rustix::process::Signal::INT);
    assert_failed(&transfer.finish(), 130, "interrupted");
    nothing(&into);
}

#[test]
fn a_full_disk_is_said_and_what_fits_is_delivered() {
    let scratch = Scratch::new("full");
    let (large, small) = (scratch.file("large", 8 << 20), scratch.file("small", 1000));
    let into = scratch.path("into");
    fs::create_dir(&into).expect("a mount point");
    let mount = |arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new(arguments[0])
            .args(&arguments[1..])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let options = ["mount", "-t", "tmpfs", "-o", "size=4m", "none"].map(std::ffi::OsStr::new);
    if !mount(&[&options[..], &[into.as_os_str()]].concat()) {
        println!("SKIPPED: this user may not mount a small file system");
        return;
    }
    for backend in backends() {
        let arguments =
            ["transfer".as_ref(), large.as_os_str(), small.as_os_str(), "--into".as_ref(), into.as_os_str()];
        let output = run(arguments.into_iter().chain(["--overwrite", "--backend", backend].map(std::ffi::OsStr::new)));
        assert_failed(&output, 4, "large: allocate: No space left on device");
        assert_eq!(names(&into), ["small"], "{backend}");
    }
    assert!(mount(&["umount".as_ref(), into.as_os_str()]));
}

#[test]
fn a_file_above_the_size_limit_of_the_process_is_refused_and_nothing_is_left() {
    let scratch = Scratch::new("limit");
    let source = scratch.file("source", 1 << 20);
    for backend in backends() {
        let into = scratch.path(backend);
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -f 100; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_proact"), "transfer"])
            .args([source.as_os_str(), "--into".as_ref(), into.as_os_str(), "--backend".as_ref(), backend.as_ref()])
            .output()
            .expect("a shell");
        assert_failed(&output, 4, "source: allocate: File too large");
        nothing(&into);
    }
}

#[test]
fn with_json_one_object_is_printed_even_when_nothing_could_begin() {
    let scratch = Scratch::new("json");
    let (source, file) = (scratch.file("source", 10), scratch.file("file", 10));
    let (source, file) = (source.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    let into = scratch.0.to_str().expect("UTF-8");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("bound").to_string();
    let cases: [(&[&str], i64, &str); 5] = [
        (&["transfer", "/nonexistent/x", "--into", "/nonexistent/y"], 3, "transfer"),
        (&["transfer", source, "--into", file], 4, "transfer"),
        (&["transfer", source, "--to", "name.invalid:7411"], 5, "send"),
        (&["receive", "--into", file, "--listen", "0"], 4, "receive"),
        (&["receive", "--into", into, "--listen", &taken], 5, "receive"),
    ];
    for (arguments, code, role) in cases {
        let output = run(arguments.iter().chain(&["--json"]));
        let object = json(&output);
        assert_eq!(output.status.code(), Some(code as i32), "{arguments:?}");
        assert_eq!((&object["exit_code"], &object["role"]), (&code.into(), &role.into()), "{arguments:?}");
        let error = object["error"].as_str().expect("what went wrong");
        assert!(stderr(&output).contains(error), "{arguments:?}: {error:?}");
    }
}

#[test]
fn a_receiver_for_one_transfer_that_is_interrupted_before_it_prints_one_object() {
    let scratch = Scratch::new("json-once");
    let (receiver, _) = Program::receive(&scratch.path("into"), &["--once", "--json"]);
    receiver.signal(rustix::process::Signal::INT);
    let output = receiver.finish();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!((&json(&output)["exit_code"], &json(&output)["outcome"]), (&130.into(), &"failed".into()));
}
