//! Operations with others: intervals, deadlines, scopes, groups, sequences, storage from a pool.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    CancelAll, Chain, Close, EventWait, Finish, Group, Interval, Nop, OpPool, Open, Outcome, Read, Receive, Send,
    Sequence, Sync, Timer, Write,
};
use proact::resource::SocketType;
use proact::status::Code;
use proact::time::Time;

use crate::driver::{Driver, Part, bytes};

pub const PARTS: &[Part] = &[intervals, deadlines, late_steps, scopes, groups, sequences, pooled_storage, emptied];

fn intervals(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let start = driver.proactor.now() + Duration::from_micros(100);
    let interval = driver.start("interval", Interval::new(start, Duration::from_micros(200)).times(3));
    driver.end(&interval, |_, _| true);
    driver.right("interval", interval.outcomes() <= 2, "it was told more often than asked for");
    Some(())
}

/// Something that nothing but its deadline ends.
fn deadlines(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let event = driver.proactor.handle().event();
    let event = driver.call("event", event)?;
    let soon = driver.proactor.now() + Duration::from_micros(300);
    let wait = driver.start_with("wait with a deadline", EventWait::new(event.clone()), |op| op.deadline(soon));
    driver.until("the deadline", || wait.is_done());
    expired(driver, "deadline", &wait.told);
    let later = driver.proactor.now() + Duration::from_secs(3600);
    let set = driver.call("set", event.set());
    if set.is_some() {
        let wait = driver.start_with("wait in time", EventWait::new(event), |op| op.deadline(later));
        driver.end(&wait, |_, _| true);
    }
    Some(())
}

fn expired<T>(
    driver: &mut Driver<'_>,
    name: &'static str,
    told: &RefCell<Option<(proact::status::Result<T>, EventWait)>>,
) {
    let told = told.borrow_mut().take();
    let Some((result, _)) = told else { return };
    driver.right(name, result.is_err(), "it succeeded, and nothing was set");
    if let Err(status) = result {
        if status.code() != Code::DeadlineExceeded {
            let _: Option<()> = driver.call(name, Err(status));
        }
    }
}

/// A deadline in the middle of a chain dooms what is behind.
fn late_steps(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("late");
    std::fs::write(&path, b"old").expect("a temporary file");
    let file = driver.one("open", Open::new(&path, OpenFlags::READ | OpenFlags::WRITE), |_| true)?;
    let event = driver.proactor.handle().event();
    let event = driver.call("event", event)?;
    let soon = driver.proactor.now() + Duration::from_micros(300);
    let (nop, before) = driver.flight("step before", Nop);
    let (wait, waits) = driver.flight("late step", EventWait::new(event));
    let (write, behind) = driver.flight("step behind", Write::exact(file.clone(), 0, b"new".to_vec()));
    driver.submit(Chain::new((nop, wait.deadline(soon), write)));
    driver.end(&before, |_, _| true);
    driver.until("the late step", || waits.is_done());
    expired(driver, "late step", &waits.told);
    driver.end_cancelled(&behind);
    let content = std::fs::read(&path).expect("a temporary file");
    driver.right("late step", content == b"old", "what was behind it has had an effect");
    driver.one("close", Close::new(file), |_| true)
}

fn scopes(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let scope = driver.proactor.handle().scope();
    let inside = driver.start_with("timer in a scope", Timer::new(Time::FAR_FUTURE), |op| op.within(&scope));
    let receive = driver.start_with("receive in a scope", Receive::exact(far, vec![0; 9]), |op| op.within(&scope));
    let sequence = Sequence::new().step(Timer::new(Time::FAR_FUTURE)).step(Nop);
    let sequence = driver.start_with("sequence in a scope", sequence, |op| op.within(&scope));
    let outside = driver.start("timer outside", Timer::new(Time::FAR_FUTURE));
    driver.one("cancel of a scope", CancelAll::new(&scope), |count| (2..=3).contains(count))?;
    driver.end_cancelled(&inside);
    driver.end_cancelled(&receive);
    driver.end_cancelled(&sequence);
    driver.right("scope", !outside.is_done(), "what is outside has ended");
    drop(near);
    Some(())
}

fn groups(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("grouped");
    std::fs::write(&path, bytes(3000, 16)).expect("a temporary file");
    let file = driver.one("open", Open::new(&path, OpenFlags::READ | OpenFlags::WRITE), |_| true)?;
    let read = |offset: u64| Read::exact(file.clone(), offset, vec![0; 1000]);
    let steps = Sequence::new().step(Nop).step(Sync::data(file.clone()));
    let group = Group::new().with(read(0)).with(read(1000)).with(read(2000)).with(steps);
    let group = driver.start("group", group);
    if let Some((_, kind)) = driver.end(&group, |_, _| true) {
        let found: Vec<u8> =
            (0..3).flat_map(|at| kind.kind::<Read<Vec<u8>>>(at).expect("a read").buffer.clone()).collect();
        driver.right("group", found == bytes(3000, 16), "other bytes than are in the file");
    }
    drop(group);
    driver.one("close", Close::new(file), |_| true)
}

fn sequences(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("steps");
    let _ = std::fs::remove_file(&path);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = driver.one("open", Open::new(&path, flags), |_| true)?;
    let inner = Group::new().with(Sync::all(file.clone())).with(Nop);
    let steps = Sequence::new()
        .step(Write::exact(file.clone(), 0, bytes(500, 17)))
        .step(inner)
        .step(Read::exact(file.clone(), 0, vec![0; 500]))
        .on_step(|_| Ok(()));
    let steps = driver.start("sequence", steps);
    if let Some((_, kind)) = driver.end(&steps, |_, _| true) {
        let read = kind.kind::<Read<Vec<u8>>>(2).expect("a read");
        driver.right("sequence", read.buffer == bytes(500, 17), "other bytes than were written");
    }
    drop(steps);
    driver.one("close", Close::new(file), |_| true)
}

/// Storage that goes back to a pool by itself.
fn pooled_storage(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    struct Count(Rc<RefCell<usize>>);
    impl Finish<Nop> for Count {
        fn finish(&mut self, _: &mut Nop, _: Outcome<Nop>, _: &mut proact::operation::Context<'_>) {
            *self.0.borrow_mut() += 1;
        }
    }
    let pool = OpPool::with_capacity(2);
    let told = Rc::new(RefCell::new(0));
    for _ in 0..4 {
        driver.submit(pool.take(Nop, Count(Rc::clone(&told))));
    }
    if driver.until("pooled nops", || *told.borrow() == 4) {
        driver.right("storage", pool.idle() == 4, "storage is lost");
    }
    Some(())
}

/// Everything on a socket is cancelled, and the socket goes on.
fn emptied(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let receive = driver.start("receive that is cancelled", Receive::exact(far.clone(), vec![0; 9]));
    driver.one("cancel of a socket's", CancelAll::new(&far), |count| *count <= 1)?;
    driver.end_cancelled(&receive);
    let again = driver.start("receive after", Receive::exact(far, vec![0; 9]));
    driver.one("send after", Send::exact(near.clone(), bytes(9, 18)), |count| *count == 9);
    driver.one("close of the sender", Close::new(near), |_| true);
    driver.end(&again, |_, kind| kind.buffer == bytes(9, 18)).map(|_| ())
}
