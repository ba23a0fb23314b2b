use std::time::Instant;

use rustix::event::EventfdFlags;

use super::*;

#[test]
fn full_queue_says_so_and_takes_more_after_a_poll() {
    let Some(mut driver) = Driver::new() else { return };
    let mut started = 0;
    loop {
        let token = driver.token();
        // SAFETY: a NOP has no pointers.
        match unsafe { driver.backend.start(token, &Request::Nop) } {
            Start::Accepted => started += 1,
            other => {
                assert_eq!(other, Start::Full);
                break;
            }
        }
    }
    assert_eq!(started, 16);
    assert_eq!(driver.poll(Wait::No), 16);
    let counters = driver.backend.counters();
    assert_eq!((counters.enters, counters.entries), (1, 16));
    assert_eq!(driver.run(Request::Nop), 0);
}

#[test]
fn idle_pass_makes_no_system_call() {
    let Some(mut driver) = Driver::new() else { return };
    let enters = driver.backend.counters().enters;
    for _ in 0..100 {
        assert_eq!(driver.poll(Wait::No), 0);
    }
    assert_eq!(driver.backend.counters().enters, enters);
}

#[test]
fn more_completions_than_the_queue_holds_all_come() {
    let Some(mut driver) = Driver::with(BackendConfig { entries: 4, ..BackendConfig::default() }) else { return };
    let trigger = event(EventfdFlags::SEMAPHORE);
    driver.backend.grow(200);
    // 50 reads wait in the kernel, beyond the 16 completions that the queue holds.
    let mut tokens = Vec::new();
    for index in 0..50 {
        let token = Token::new(1000 + index, 64 + index as u32);
        let request = Request::EventWait { event: descriptor(&trigger) };
        // SAFETY: an event wait has no pointers.
        if unsafe { driver.backend.start(token, &request) } == Start::Full {
            driver.poll(Wait::No);
            // SAFETY: as above.
            assert_eq!(unsafe { driver.backend.start(token, &request) }, Start::Accepted);
        }
        tokens.push(token);
    }
    driver.settle();
    assert_eq!(rustix::io::write(&trigger, &50u64.to_ne_bytes()), Ok(8));
    for token in tokens {
        assert!(driver.finish(token) >= 0);
    }
    assert_eq!(driver.came.len(), 50);
}

#[test]
fn wait_never_ends_before_its_time_with_nothing() {
    for masked in [Capabilities::empty(), Capabilities::NANOSECOND_WAITS] {
        let Some(mut driver) = Driver::without(masked) else { return };
        let (clock, start) = (driver.backend.clock.clone(), driver.backend.clock.now());
        let deadline = start + Duration::from_micros(3500);
        let mut passes = 0;
        while clock.now() < deadline {
            assert_eq!(driver.poll(Wait::Until(deadline)), 0);
            passes += 1;
        }
        // It slept: early returns are allowed, but they are rare.
        assert!(passes < 10, "{passes} passes");
        // A time that has passed does not even enter the kernel, but for what it is owed.
        let enters = driver.backend.counters().enters;
        driver.poll(Wait::Until(start));
        assert_eq!(driver.backend.counters().enters, enters);
    }
}

#[test]
fn wake_from_another_thread_ends_a_wait_without_limit() {
    let Some(mut driver) = Driver::new() else { return };
    for _ in 0..5 {
        let waker = driver.backend.waker();
        let thread = std::thread::spawn(move || waker.wake());
        // A hang here would be the failure: nothing else ends this wait.
        assert_eq!(driver.poll(Wait::Until(Time::FAR_FUTURE)), 0);
        thread.join().unwrap();
        driver.settle();
    }
}

#[test]
fn wake_before_the_wait_is_not_lost() {
    let Some(mut driver) = Driver::new() else { return };
    driver.backend.waker().wake();
    let start = Instant::now();
    driver.poll(Wait::Until(driver.backend.clock.now() + PATIENCE));
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn worker_completion_ends_a_wait() {
    let Some(mut driver) = Driver::without(Capabilities::KERNEL_FILES) else { return };
    let scratch = Scratch::new("worker-wake");
    let path = c_path(&scratch.file("d"));
    assert_eq!(driver.run(Request::MakeDirectory { path: path.as_ptr(), mode: 0o700 }), 0);
    assert_eq!(driver.backend.counters().workers, 1);
}

#[test]
fn event_wait_takes_the_count_whatever_the_descriptor_mode() {
    let Some(mut driver) = Driver::new() else { return };
    for flags in [EventfdFlags::empty(), EventfdFlags::NONBLOCK] {
        let event = event(flags);
        let wait = driver.start(Request::EventWait { event: descriptor(&event) });
        driver.settle();
        assert!(!driver.has(wait));
        signal(&event);
        assert!(driver.finish(wait) >= 0);
        let again = driver.start(Request::EventWait { event: descriptor(&event) });
        driver.settle();
        assert!(!driver.has(again), "the first wait took the count");
        signal(&event);
        assert!(driver.finish(again) >= 0);
    }
}

#[test]
fn descriptor_that_the_kernel_does_not_wait_for_is_polled_and_read_again() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::NONBLOCK);
    let wait = Request::EventWait { event: descriptor(&event) };
    let (first, second) = (driver.refused(wait, libc::EAGAIN, false), driver.refused(wait, libc::EINTR, false));
    driver.settle();
    assert!(!driver.has(first) && !driver.has(second));
    // Ready for one of them at a time: the other goes on waiting.
    signal(&event);
    while !driver.has(first) && !driver.has(second) {
        driver.poll(Wait::Until(driver.backend.clock.now() + PATIENCE));
    }
    driver.settle();
    assert!(driver.has(first) != driver.has(second));
    signal(&event);
    assert!(driver.finish(first) >= 0 && driver.finish(second) >= 0);
    assert_eq!(driver.backend.table.in_flight, 0);
}

#[test]
fn readiness_that_cannot_be_awaited_fails_the_request() {
    let Some(mut driver) = Driver::new() else { return };
    let token = driver.refused(Request::EventWait { event: Descriptor::NONE }, libc::EAGAIN, false);
    assert_eq!(driver.finish(token), -libc::EBADF);
}

#[test]
fn dropping_with_requests_in_flight_takes_them_back() {
    let Some(mut driver) = Driver::new() else { return };
    let blocking = event(EventfdFlags::empty());
    driver.start(Request::EventWait { event: descriptor(&blocking) });
    driver.refused(Request::EventWait { event: descriptor(&blocking) }, libc::EAGAIN, false);
    driver.chain([Request::EventWait { event: descriptor(&blocking) }, Request::Nop]);
    driver.settle();
    driver.poll(Wait::Until(driver.backend.clock.now() + Duration::from_millis(1)));
    driver.start(Request::Nop);
    driver.refused(Request::EventWait { event: descriptor(&blocking) }, libc::EAGAIN, false);
    let start = Instant::now();
    drop(driver);
    assert!(start.elapsed() < DRAIN_LIMIT, "the kernel kept something");
    // No read is left behind that would take the next count.
    signal(&blocking);
    let mut count = [0; 8];
    assert_eq!(rustix::io::read(&blocking, &mut count), Ok(8));
}

#[test]
fn masked_capabilities_are_not_in_force_and_the_ring_works_without_them() {
    let masked = Capabilities::REGISTERED_RING | Capabilities::NO_SUBMISSION_ARRAY | Capabilities::KERNEL_CHAINS;
    let Some(mut driver) = Driver::without(masked) else { return };
    assert!(!driver.backend.capabilities().intersects(masked));
    let steps = [(driver.token(), Request::Nop), (driver.token(), Request::Nop)];
    // SAFETY: NOPs have no pointers.
    assert!(!unsafe { driver.backend.start_linked(&steps) });
    assert_eq!(driver.run(Request::Nop), 0);
}

#[test]
fn report_tells_each_capability_once_with_its_kernel() {
    let (outcome, lines) = report();
    for line in &lines {
        assert_eq!(lines.iter().filter(|other| other.capability == line.capability).count(), 1, "{}", line.name);
        assert!(!line.since.is_empty() && !line.note.is_empty(), "{line:?}");
        assert!(outcome.is_ok() || !line.detected, "{line:?}");
    }
    assert_eq!(lines.len(), Capabilities::all().iter().count());
}
