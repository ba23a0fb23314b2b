//! Processes, pipes, signals and others' descriptors, on every backend.

mod support;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use futures_core::Stream;
use proact::resource::Exit;
use proact::status::Code;
use proact_async::descriptor::{Descriptor, Readiness};
use proact_async::signal::{self, Signal, SignalSet};
use proact_async::{pipe, process, spawn};
use support::on_every_backend;

#[test]
fn a_child_answers_and_its_end_is_told_again_and_again() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let child = process::spawn(
                Command::new("sh")
                    .args(["-c", "read line; echo \"got $line\"; echo oops >&2; exit 7"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped()),
            );
            let child = child.unwrap();
            child.stdin.as_ref().unwrap().write_all(b"it\n".as_slice()).await.0.unwrap();
            assert_eq!(child.wait().await.unwrap(), Exit::Code(7));
            assert_eq!(child.wait().await.unwrap(), Exit::Code(7));
            let ended = child.output().await.unwrap();
            assert_eq!((ended.exit, ended.stdout, ended.stderr), (Exit::Code(7), b"got it\n".into(), b"oops\n".into()));
            let none = process::spawn(&mut Command::new("/no such program")).unwrap_err();
            assert_eq!(none.code(), Code::NotFound);
        });
    });
}

#[test]
fn much_output_of_both_kinds_is_read_side_by_side() {
    on_every_backend(|runtime| {
        let script = "head -c 300000 /dev/zero >&2; head -c 400000 /dev/zero";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = runtime.block_on(async { process::spawn(&mut command)?.output().await }).unwrap();
        assert_eq!((ended.stdout.len(), ended.stderr.len(), ended.exit), (400_000, 300_000, Exit::Code(0)));
    });
}

#[test]
fn a_child_is_ended_when_it_is_asked_to_or_dropped() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let long = || process::spawn(Command::new("sleep").arg("1000").stdout(Stdio::piped())).unwrap();
            let child = long();
            child.terminate().unwrap();
            assert_eq!(child.wait().await.unwrap(), Exit::Signal { number: 15, core_dumped: false });
            child.kill().unwrap(); // it has ended: nobody is sent anything
            let mut child = long().kill_on_drop(true);
            let output = child.stdout.take().unwrap();
            drop(child);
            assert_eq!(output.read_to_end().await.unwrap(), b"", "its output ends with it");
        });
    });
}

#[test]
fn a_pipe_carries_more_than_it_holds() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (reader, writer) = pipe::pipe().unwrap();
            let content: Vec<u8> = (0..1_000_000u32).map(|index| (index >> 3) as u8).collect();
            let sent = content.clone();
            let writes = spawn(async move { writer.write_all(sent).await.0 });
            assert_eq!(reader.read_to_end().await.unwrap(), content);
            assert_eq!(writes.await.unwrap().unwrap(), 1_000_000);
        });
    });
}

/// One proactor of a process at a time is told of its signals.
static SIGNALS: Mutex<()> = Mutex::new(());

/// Has a child send this process a signal.
async fn send(name: &str) {
    let script = format!("kill -{name} {}", std::process::id());
    let child = process::spawn(Command::new("sh").args(["-c", &script])).unwrap();
    assert!(child.wait().await.unwrap().is_success());
}

#[test]
fn signals_are_told_as_they_come() {
    let _alone = SIGNALS.lock().unwrap_or_else(PoisonError::into_inner);
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let mut signals = signal::signals(SignalSet::USER1 | SignalSet::USER2);
            assert!(poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut signals).poll_next(cx))).await.is_pending());
            for (name, sent) in [("USR1", Signal::User1), ("USR2", Signal::User2), ("USR1", Signal::User1)] {
                send(name).await;
                assert_eq!(signals.next().await.unwrap(), sent);
            }
        });
    });
}

#[test]
fn an_interrupt_is_awaited_instead_of_ending_the_process() {
    let _alone = SIGNALS.lock().unwrap_or_else(PoisonError::into_inner);
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let mut interrupted = Box::pin(signal::ctrl_c());
            assert!(poll_fn(|cx| std::task::Poll::Ready(interrupted.as_mut().poll(cx))).await.is_pending());
            send("INT").await;
            interrupted.await.unwrap();
        });
    });
}

#[test]
fn readiness_of_anothers_descriptor_is_told_once_and_again() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (here, mut there) = UnixStream::pair().unwrap();
            let mut own = here.try_clone().unwrap();
            let descriptor = Descriptor::new(here.into());
            assert!(descriptor.writable().await.unwrap().contains(Readiness::WRITABLE));
            let mut reads = descriptor.reads();
            for byte in 0..5u8 {
                there.write_all(&[byte]).unwrap();
                let ready = poll_fn(|cx| Pin::new(&mut reads).poll_next(cx)).await.unwrap().unwrap();
                assert!(ready.contains(Readiness::READABLE));
                assert!(descriptor.readable().await.unwrap().contains(Readiness::READABLE), "nothing was taken");
                let mut bytes = [0];
                own.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, [byte]);
            }
            drop(there);
            let mut last = Readiness::empty();
            // An edge may be told more than once.
            while let Some(ready) = poll_fn(|cx| Pin::new(&mut reads).poll_next(cx)).await {
                last = ready.unwrap();
            }
            assert!(last.contains(Readiness::HANG_UP), "{last:?}");
        });
    });
}
