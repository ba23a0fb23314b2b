//! Containers and administrators block io_uring: then another backend does the work, and the cause is named.
//!
//! Each test runs itself again in a child process under the restriction, and what is asserted is asserted there.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use proact::memory::{Allocation, Region};
use proact::operation::{Complete, Context, Nop, Op, Outcome, Register, Registered, Timer};
use proact::proactor::{BackendReport, Builder, Choice, Proactor, survey};
use proact::status::{Code, Result, Status};
use proact::time::Timeout;
use proact_cts::restriction::{Restriction, expected_cause, may_lock_memory, text};

/// Set for the child.
const CHILD: &str = "PROACT_TEST_RESTRICTED";
/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `body` in a child process that runs nothing but the test `name`, under `restriction` and with `variables`.
fn under(restriction: Restriction, name: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().expect("the test's own program"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env_remove("PROACT_BACKEND").envs(variables.iter().copied());
    let Some(output) = restriction.run(&mut command, PATIENCE) else {
        return;
    };
    let shown = text(&output);
    assert!(output.status.success(), "under {restriction:?}:\n{shown}");
    assert!(shown.contains("1 passed"), "the child ran no test:\n{shown}");
}

struct Tell(Sender<Result<()>>);

impl Complete<Nop> for Tell {
    fn done(op: Box<Op<Nop, Self>>, outcome: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.0.send(outcome.result).expect("the test listens");
    }
}

impl Complete<Timer> for Tell {
    fn done(op: Box<Op<Timer, Self>>, outcome: Outcome<Timer>, _: &mut Context<'_>) {
        op.state.0.send(outcome.result).expect("the test listens");
    }
}

/// An operation and a wait go through.
fn works(proactor: &mut Proactor) {
    let (tell, told) = channel();
    let soon = proactor.now() + Duration::from_millis(1);
    proactor.submit((Op::new(Nop, Tell(tell.clone())), Op::new(Timer::new(soon), Tell(tell)))).expect("submitted");
    for _ in 0..1000 {
        if proactor.pending() == 0 {
            break;
        }
        proactor.poll(Timeout::After(Duration::from_secs(1))).expect("a pass");
    }
    let outcomes: Vec<_> = told.try_iter().collect();
    assert!(matches!(outcomes[..], [Ok(()), Ok(())]), "{outcomes:?}");
}

fn io_uring() -> BackendReport {
    survey().into_iter().find(|report| report.choice == Choice::IoUring).expect("a report of io_uring")
}

fn usable(choice: Choice) -> bool {
    survey().into_iter().any(|report| report.choice == choice && report.usable.is_ok())
}

/// The refusal names io_uring, the error number and the cause.
#[track_caller]
fn names_the_cause(status: &Status, errno: i32, cause: &str) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.os_error(), Some(errno), "{status}");
    let text = status.to_string();
    assert!(text.contains("io_uring") && text.contains(cause), "{text}");
    // Where it was found out, not some adapter of the standard library.
    assert!(status.location().file().contains("io_uring"), "{}", status.location());
}

/// Everything that must hold where rings are refused with `errno`.
fn epoll_stands_in(errno: i32, cause: &str) {
    let report = io_uring();
    names_the_cause(&report.usable.expect_err("no ring can be had"), errno, cause);
    assert!(report.capabilities.iter().all(|capability| !capability.detected), "{:?}", report.capabilities);
    assert!(usable(Choice::Epoll) && usable(Choice::Poll));

    let forced = Builder::new().backend(Choice::IoUring).build().expect_err("no ring can be had");
    names_the_cause(&forced, errno, cause);

    let mut chosen = Builder::new().build().expect("another backend");
    assert_eq!(chosen.handle().backend(), "epoll");
    works(&mut chosen);
}

#[test]
fn rings_refused_with_eperm_leave_epoll_and_name_the_filter() {
    let restriction = Restriction::RingsAnswer(libc::EPERM);
    under(restriction, "rings_refused_with_eperm_leave_epoll_and_name_the_filter", &[], || {
        epoll_stands_in(libc::EPERM, expected_cause(libc::EPERM));
    });
}

#[test]
fn rings_refused_with_enosys_leave_epoll_and_name_the_filter() {
    let restriction = Restriction::RingsAnswer(libc::ENOSYS);
    under(restriction, "rings_refused_with_enosys_leave_epoll_and_name_the_filter", &[], || {
        epoll_stands_in(libc::ENOSYS, expected_cause(libc::ENOSYS));
    });
}

#[test]
fn a_backend_forced_by_the_environment_is_not_replaced() {
    let restriction = Restriction::RingsAnswer(libc::EPERM);
    let variables = [("PROACT_BACKEND", "io_uring")];
    under(restriction, "a_backend_forced_by_the_environment_is_not_replaced", &variables, || {
        let refused = Builder::new().build().expect_err("no ring can be had, and nothing else is wanted");
        names_the_cause(&refused, libc::EPERM, expected_cause(libc::EPERM));
    });
}

/// Since Linux 5.12 a ring itself is not charged to the limit, so that it works on every kernel that has what proact
/// asks for; an older one that charges it must be told from one that has no rings.
#[test]
fn without_locked_memory_a_ring_works_or_the_limit_is_named() {
    if let Err(why) = io_uring().usable {
        if std::env::var_os(CHILD).is_none() {
            println!("skipped: no ring here even without the restriction: {why}");
            return;
        }
    }
    under(Restriction::NoLockedMemory, "without_locked_memory_a_ring_works_or_the_limit_is_named", &[], || {
        assert!(!may_lock_memory(), "the restriction is in force");
        match io_uring().usable {
            Ok(()) => {
                let mut chosen = Builder::new().build().expect("a ring");
                assert_eq!(chosen.handle().backend(), "io_uring");
                works(&mut chosen);
            }
            Err(_) => epoll_stands_in(libc::ENOMEM, "RLIMIT_MEMLOCK is 0 bytes"),
        }
    });
}

/// Memory that may not be locked is not pinned, and used as any other; what was registered says so.
#[test]
fn memory_beyond_the_limit_is_registered_without_being_pinned() {
    if let Err(why) = io_uring().usable {
        if std::env::var_os(CHILD).is_none() {
            println!("skipped: no ring here even without the restriction: {why}");
            return;
        }
    }
    under(Restriction::NoLockedMemory, "memory_beyond_the_limit_is_registered_without_being_pinned", &[], || {
        let mut proactor = match Builder::new().backend(Choice::IoUring).build() {
            Ok(proactor) => proactor,
            Err(status) => return names_the_cause(&status, libc::ENOMEM, "RLIMIT_MEMLOCK is 0 bytes"),
        };
        let region = Region::allocate(1 << 16, &Allocation::new()).expect("memory");
        let (tell, told) = channel();
        proactor.submit(Op::new(Register::new(region.clone()), Pinned(tell))).expect("submitted");
        proactor.run().expect("passes");
        assert_eq!(told.recv().expect("an outcome").expect("a success"), Registered::LockLimit);
        assert!(region.registrations().all().iter().all(|registration| registration.fixed.is_none()));
        assert_eq!(region.registrations().all().len(), 1);
    });
}

struct Pinned(Sender<Result<Registered>>);

impl Complete<Register> for Pinned {
    fn done(op: Box<Op<Register, Self>>, outcome: Outcome<Register>, _: &mut Context<'_>) {
        op.state.0.send(outcome.result).expect("the test listens");
    }
}
