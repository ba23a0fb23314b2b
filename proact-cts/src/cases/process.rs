//! The end of child processes.

// Nobody calls `Child::wait` where the operations are to take the end.
#![allow(clippy::zombie_processes)]

use std::process::{Child, Command, Stdio};

use proact::operation::{Close, Op, ProcessWait};
use proact::resource::Exit;
use proact::status::{Code, Operation};

use crate::bench::Cts;
use crate::cases;

cases![
    the_exit_code_of_a_child_is_told.real("processes of the operating system"),
    a_signal_that_ended_a_child_is_told.real("processes of the operating system"),
    a_wait_begun_before_the_end_is_told_of_it.real("processes of the operating system"),
    every_wait_for_one_child_tells_the_same.real("processes of the operating system"),
    a_cancelled_wait_leaves_the_child_to_be_waited_for.real("processes of the operating system"),
    closing_the_handle_ends_the_wait_and_not_the_child.real("processes of the operating system"),
    a_child_is_reaped_when_its_end_is_told.real("processes of the operating system"),
    a_child_that_someone_else_reaped_is_an_error_and_no_hang.real("processes of the operating system"),
    a_process_that_is_not_there_is_refused.real("processes of the operating system"),
];

fn shell(script: &str) -> Child {
    Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::piped()).spawn().expect("a shell")
}

/// A child that runs until its input ends, and then exits with 7.
fn patient() -> Child {
    shell("read line; exit 7")
}

fn the_exit_code_of_a_child_is_told(cts: &mut Cts) {
    for code in [0, 1, 42, 255] {
        let child = shell(&format!("exit {code}"));
        let process = cts.handle().process(&child).unwrap();
        assert_eq!(process.id(), child.id());
        let exit = cts.get(ProcessWait::new(process.clone()));
        assert_eq!(exit, Exit::Code(code));
        assert_eq!(exit.is_success(), code == 0);
        assert_eq!(process.exit(), Some(exit));
    }
}

fn a_signal_that_ended_a_child_is_told(cts: &mut Cts) {
    let mut child = patient();
    let process = cts.handle().process(&child).unwrap();
    child.kill().unwrap();
    let exit = cts.get(ProcessWait::new(process));
    assert_eq!(exit, Exit::Signal { number: 9, core_dumped: false });
}

fn a_wait_begun_before_the_end_is_told_of_it(cts: &mut Cts) {
    let mut child = patient();
    let process = cts.handle().process(&child).unwrap();
    let wait = cts.start(ProcessWait::new(process.clone()));
    cts.look();
    assert!(!wait.is_done());
    assert_eq!(process.exit(), None);
    drop(child.stdin.take());
    cts.until("the child's end", || wait.is_done());
    assert_eq!(wait.only().result.unwrap(), Exit::Code(7));
}

fn every_wait_for_one_child_tells_the_same(cts: &mut Cts) {
    let mut child = patient();
    let process = cts.handle().process(&child).unwrap();
    let waits: Vec<_> = (0..4).map(|_| cts.start(ProcessWait::new(process.clone()))).collect();
    drop(child.stdin.take());
    cts.drain();
    for wait in waits {
        assert_eq!(wait.only().result.unwrap(), Exit::Code(7));
    }
    assert_eq!(cts.get(ProcessWait::new(process)), Exit::Code(7), "and also later");
}

fn a_cancelled_wait_leaves_the_child_to_be_waited_for(cts: &mut Cts) {
    let mut child = patient();
    let process = cts.handle().process(&child).unwrap();
    let (op, watch) = cts.watch(ProcessWait::new(process.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || watch.is_done());
    let status = watch.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::ProcessWait));
    drop(child.stdin.take());
    assert_eq!(cts.get(ProcessWait::new(process)), Exit::Code(7));
}

fn closing_the_handle_ends_the_wait_and_not_the_child(cts: &mut Cts) {
    let mut child = patient();
    let process = cts.handle().process(&child).unwrap();
    let wait = cts.start(ProcessWait::new(process.clone()));
    cts.look();
    cts.get(Close::new(process.clone()));
    cts.drain();
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    let refused = cts.submit(Op::new(ProcessWait::new(process), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    assert_eq!(child.try_wait().unwrap(), None, "it runs");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7), "and its end is the owner's to take");
}

fn a_child_is_reaped_when_its_end_is_told(cts: &mut Cts) {
    let child = shell("exit 3");
    let path = format!("/proc/{}/stat", child.id());
    let process = cts.handle().process(&child).unwrap();
    cts.get(ProcessWait::new(process));
    // Gone, or its number is another process's by now: at any rate no child of ours that has ended.
    let parent = |stat: String| -> Option<(String, u32)> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
    };
    let state = std::fs::read_to_string(path).ok().and_then(parent);
    assert_ne!(state, Some((String::from("Z"), std::process::id())));
}

fn a_child_that_someone_else_reaped_is_an_error_and_no_hang(cts: &mut Cts) {
    let mut child = shell("exit 3");
    let process = cts.handle().process(&child).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let status = cts.fails(ProcessWait::new(process));
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::ProcessWait));
    assert!(status.to_string().contains("reaped by someone else"), "{status}");
}

fn a_process_that_is_not_there_is_refused(cts: &mut Cts) {
    assert_eq!(cts.handle().process_by_id(0).unwrap_err().code(), Code::InvalidArgument);
    // More than the system's largest number.
    let status = cts.handle().process_by_id(0x7fff_fff0).unwrap_err();
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::ProcessWait));
    // Not a child: its end is not ours to be told.
    let process = cts.handle().process_by_id(std::process::id()).unwrap();
    let wait = cts.start(ProcessWait::new(process));
    cts.look();
    assert!(!wait.is_done());
}
