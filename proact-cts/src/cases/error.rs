//! Errors say what, where and why.

use proact::backend::OpenFlags;
use proact::operation::{
    Chain, Close, EventWait, Nop, Op, Open, Read, SemaphoreSignal, SemaphoreWait, Sequence, Timer,
};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Time;

use crate::bench::Cts;
use crate::cases;
use crate::harness::{Only, skip};

cases![
    a_failure_is_located_at_the_submit_call,
    a_refusal_is_located_at_the_submit_call,
    a_failure_in_a_sequence_is_located_at_the_sequences_submit,
    a_cancellation_is_located_at_the_submit_call,
    a_signal_operations_refusal_is_located_at_its_submit,
    an_operation_submitted_again_is_located_at_its_new_submit,
    a_failure_keeps_the_systems_error_number,
    a_semaphores_failure_keeps_its_place_through_chain_and_wait,
    backtraces_are_kept_when_asked_for.only(Only::Once),
];

#[track_caller]
fn at(status: &Status, line: u32) {
    let place = status.location();
    assert_eq!((place.file(), place.line()), (file!(), line), "{status:?}");
}

fn a_failure_is_located_at_the_submit_call(cts: &mut Cts) {
    let path = cts.path("missing");
    let (op, watch) = cts.watch(Open::new(&path, OpenFlags::READ));
    let line = line!() + 1;
    cts.submit(op).unwrap();
    cts.drain();
    at(&watch.only().status(), line);
    let (op, watch) = cts.watch(Open::new(&path, OpenFlags::READ));
    let line = line!() + 1;
    cts.handle().submit(op).unwrap();
    cts.until("the remote open", || watch.is_done());
    at(&watch.only().status(), line);
    // An end that the library found itself.
    let file = cts.file("f", b"short");
    let (op, watch) = cts.watch(Read::exact(file, 0, vec![0; 10]));
    let line = line!() + 1;
    cts.submit(op).unwrap();
    cts.drain();
    at(&watch.only().status(), line);
}

fn a_refusal_is_located_at_the_submit_call(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    cts.get(Close::new(event.clone()));
    let op = Op::new(EventWait::new(event), ());
    let line = line!() + 1;
    let refused = cts.submit(op).unwrap_err();
    at(&refused.status, line);
    let line = line!() + 1;
    let refused = cts.handle().submit(refused.batch).unwrap_err();
    at(&refused.status, line);
    assert_eq!((refused.status.code(), refused.status.operation()), (Code::FailedPrecondition, Operation::EventWait));
    cts.rebuild(|builder| builder.operations(1));
    let line = line!() + 1;
    let refused = cts.submit([Op::new(Nop, ()), Op::new(Nop, ())]).unwrap_err();
    at(&refused.status, line);
    assert_eq!(refused.status.operation(), Operation::Submit);
}

fn a_failure_in_a_sequence_is_located_at_the_sequences_submit(cts: &mut Cts) {
    let path = cts.path("missing");
    let inner = Sequence::new().step(Open::new(path, OpenFlags::READ));
    let (op, watch) = cts.watch(Sequence::new().step(Nop).step(inner));
    let line = line!() + 1;
    cts.submit(op).unwrap();
    cts.drain();
    at(&watch.only().status(), line);
}

fn a_cancellation_is_located_at_the_submit_call(cts: &mut Cts) {
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let line = line!() + 1;
    let id = cts.submit(op).unwrap();
    cts.cancel(id).unwrap();
    cts.drain();
    let status = watch.only().status();
    at(&status, line);
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::Timer));
    let line = line!() + 1;
    let missed = cts.cancel(id).unwrap_err();
    assert_eq!((missed.code(), missed.operation()), (Code::NotFound, Operation::Cancel));
    at(&missed, line);
    let line = line!() + 1;
    at(&cts.handle().cancel(id).unwrap_err(), line);
}

fn a_signal_operations_refusal_is_located_at_its_submit(cts: &mut Cts) {
    let (op, watch) = cts.watch(SemaphoreSignal::new(Semaphore::new(5), 5));
    let line = line!() + 1;
    cts.submit(op).unwrap();
    cts.drain();
    at(&watch.only().status(), line);
}

fn an_operation_submitted_again_is_located_at_its_new_submit(cts: &mut Cts) {
    let path = cts.path("missing");
    let (op, watch) = cts.watch(Open::new(path, OpenFlags::READ));
    // Made here, refused here, and submitted elsewhere.
    cts.rebuild(|builder| builder.operations(1));
    let timer = cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), ())).unwrap();
    let refused = cts.submit(op).unwrap_err();
    cts.cancel(timer).unwrap();
    cts.drain();
    let line = line!() + 1;
    cts.submit(refused.batch).unwrap();
    cts.drain();
    at(&watch.only().status(), line);
}

fn a_failure_keeps_the_systems_error_number(cts: &mut Cts) {
    let path = cts.path("missing");
    let status = cts.fails(Open::new(path, OpenFlags::READ));
    assert_eq!(status.os_error(), Some(2));
    let (client, server) = cts.pair();
    server.shutdown(proact::resource::Shutdown::Send).unwrap();
    let status = cts.fails(proact::operation::Send::exact(server, vec![0; 4]));
    assert_eq!(status.os_error(), Some(32), "EPIPE");
    drop(client);
}

fn a_semaphores_failure_keeps_its_place_through_chain_and_wait(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(Sequence::new().step(SemaphoreWait::new(semaphore.clone(), 1)).step(Nop));
    let (nop, after) = cts.watch(Nop);
    cts.submit(Chain::new((wait, nop))).unwrap();
    cts.look();
    let line = line!() + 1;
    semaphore.fail(Status::new(Code::DataLoss, Operation::FileRead).with_message("gone"));
    cts.drain();
    let status = waited.only().status();
    at(&status, line);
    assert_eq!(status.message(), Some("gone"));
    assert_eq!(after.only().status().code(), Code::Cancelled);
}

fn backtraces_are_kept_when_asked_for(cts: &mut Cts) {
    // The standard library reads the variable once, so only a process of its own can be asked for backtraces.
    const CHILD: &str = "PROACT_CTS_BACKTRACE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let name = format!("{}::error::backtraces_are_kept_when_asked_for", cts.config.name);
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program)
            .args(["--exact", &name])
            .env(CHILD, "1")
            .env("RUST_BACKTRACE", "1")
            .env_remove("RUST_LIB_BACKTRACE")
            .output()
            .unwrap_or_else(|error| skip(format!("this program cannot start itself: {error}")));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.is_empty() && !output.status.success() {
            // An emulator does not pass itself on to what it starts.
            skip(format!("this program cannot start itself: {}", output.status));
        }
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let path = cts.path("missing");
    let status = cts.fails(Open::new(path, OpenFlags::READ));
    assert!(status.backtrace().is_some());
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    semaphore.fail(status.clone());
    cts.drain();
    let passed_on = wait.only().status();
    let text = passed_on.backtrace().expect("kept through the semaphore").to_string();
    assert_eq!(text, status.backtrace().unwrap().to_string());
    assert!(format!("{passed_on:?}").contains(&text));
}
