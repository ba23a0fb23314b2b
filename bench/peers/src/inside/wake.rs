//! Two loops on one processor that wake each other in turn: what a round trip takes.

use std::future::poll_fn;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::Thread;
use std::time::Instant;

use io_uring::{opcode, types};
use proact::proactor::{Builder, Handle};
use proact::time::Timeout;

use super::Figures;
use super::together::told;
use crate::{Failure, bare, pin};

const ROUNDS: u32 = 5000;
const WARM_UP: u32 = 200;

/// Says whose turn it is. The same for every runtime: a number, and the waker of who waits for it to change.
#[derive(Default)]
struct Baton {
    turns: AtomicU32,
    waiting: Mutex<Option<Waker>>,
}

impl Baton {
    fn pass(&self) {
        self.turns.fetch_add(1, Ordering::SeqCst);
        // Not under the lock: who is woken may run at once, and wants it.
        let waiting = self.waiting.lock().expect("no panic").take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Waits until it was passed so many times.
    async fn taken(&self, turns: u32) {
        poll_fn(|context| {
            *self.waiting.lock().expect("no panic") = Some(context.waker().clone());
            match self.turns.load(Ordering::SeqCst) >= turns {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

type Batons = Arc<(Baton, Baton)>;

/// The one who begins, and measures.
async fn first(batons: Batons) -> Result<Figures, Failure> {
    let (mut start, mut before) = (Instant::now(), 0);
    for round in 1..=WARM_UP + ROUNDS {
        if round == WARM_UP + 1 {
            (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
        }
        batons.0.pass();
        batons.1.taken(round).await;
    }
    Ok(told(pin::processor_time(std::process::id())? - before, start, ROUNDS.into()))
}

async fn second(batons: Batons) {
    for round in 1..=WARM_UP + ROUNDS {
        batons.0.taken(round).await;
        batons.1.pass();
    }
}

type Answer = Result<(), String>;

/// `partner` is the other's whole life, in a thread of its own; `here` is ours.
fn pair(
    partner: impl FnOnce(Batons) -> Answer + Send + 'static,
    here: impl FnOnce(Batons) -> Result<Figures, Failure>,
) -> Result<Figures, Failure> {
    let batons = Batons::default();
    let theirs = batons.clone();
    let thread = std::thread::spawn(move || partner(theirs));
    let figures = here(batons)?;
    thread.join().map_err(|_| "the partner panicked")??;
    Ok(figures)
}

pub fn proact_async() -> Result<Figures, Failure> {
    let make = || proact_async::Runtime::new().map_err(|status| status.to_string());
    let partner = move |batons| {
        make()?.block_on(second(batons));
        Ok(())
    };
    pair(partner, move |batons| make()?.block_on(first(batons)))
}

pub fn tokio() -> Result<Figures, Failure> {
    // With its net, or it would sleep on a futex and be no loop that waits for descriptors.
    let make = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().map_err(|error| error.to_string())
    };
    let partner = move |batons| {
        make()?.block_on(second(batons));
        Ok(())
    };
    pair(partner, move |batons| make()?.block_on(first(batons)))
}

pub fn compio() -> Result<Figures, Failure> {
    let make = || compio::runtime::Runtime::new().map_err(|error| error.to_string());
    let partner = move |batons| {
        make()?.block_on(second(batons));
        Ok(())
    };
    pair(partner, move |batons| make()?.block_on(first(batons)))
}

pub fn glommio() -> Result<Figures, Failure> {
    let make = || {
        let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
        builder.make().map_err(|error| error.to_string())
    };
    let partner = move |batons| {
        make()?.run(second(batons));
        Ok(())
    };
    pair(partner, move |batons| make()?.run(first(batons)))
}

/// Two proactors that send each other messages.
pub fn proact(backend: &'static str) -> Result<Figures, Failure> {
    let (send, receive) = std::sync::mpsc::channel::<Handle>();
    let mut here = Builder::new().backend(backend.parse()?).build()?;
    let ours = here.handle().clone();
    let partner = move || -> proact::status::Result {
        let mut there = Builder::new().backend(backend.parse()?).build()?;
        there.on_message(move |round, _| drop(ours.send_message(round)));
        let _ = send.send(there.handle().clone());
        let mut told = 0;
        while told < (WARM_UP + ROUNDS) as usize {
            told += there.poll(Timeout::Infinite)?.messages;
        }
        Ok(())
    };
    let thread = std::thread::spawn(partner);
    let theirs = receive.recv().map_err(|_| "the partner has no proactor")?;
    here.on_message(|_, _| {});
    let (mut start, mut before) = (Instant::now(), 0);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
        }
        theirs.send_message(round.into())?;
        while here.poll(Timeout::Infinite)?.messages == 0 {}
    }
    let figures = told(pin::processor_time(std::process::id())? - before, start, ROUNDS.into());
    thread.join().map_err(|_| "the partner panicked")??;
    Ok(figures)
}

fn eventfd() -> Result<OwnedFd, Failure> {
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn ring_bell(bell: &OwnedFd) {
    // SAFETY: eight bytes are read from a number of that size.
    let written = unsafe { libc::write(bell.as_raw_fd(), (&raw const ONE).cast(), 8) };
    assert_eq!(written, 8);
}

static ONE: u64 = 1;

/// Both sides of a round trip, each with its way to sleep until its bell is rung.
fn bells<W: FnMut()>(sleeper: impl Fn(Arc<OwnedFd>) -> W + Send + Copy + 'static) -> Result<Figures, Failure> {
    let (here, there) = (Arc::new(eventfd()?), Arc::new(eventfd()?));
    let (ours, theirs) = (here.clone(), there.clone());
    let thread = std::thread::spawn(move || {
        let mut sleep = sleeper(theirs);
        for _ in 0..WARM_UP + ROUNDS {
            sleep();
            ring_bell(&ours);
        }
    });
    let mut sleep = sleeper(here);
    let (mut start, mut before) = (Instant::now(), 0);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
        }
        ring_bell(&there);
        sleep();
    }
    let figures = told(pin::processor_time(std::process::id())? - before, start, ROUNDS.into());
    thread.join().map_err(|_| "the partner panicked")?;
    Ok(figures)
}

pub fn epoll() -> Result<Figures, Failure> {
    bells(|bell| {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the kernel reads the event; both descriptors are open.
        assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, bell.as_raw_fd(), &mut event) }, 0);
        move || {
            let (mut event, mut count) = (libc::epoll_event { events: 0, u64: 0 }, 0u64);
            // SAFETY: the kernel writes one event, and eight bytes into a number of that size.
            let (ready, read) = unsafe {
                let ready = libc::epoll_wait(epoll, &mut event, 1, -1);
                (ready, libc::read(bell.as_raw_fd(), (&raw mut count).cast(), 8))
            };
            assert_eq!((ready, read), (1, 8));
        }
    })
}

pub fn ring() -> Result<Figures, Failure> {
    bells(|bell| {
        let mut ring = bare::ring(8).expect("a ring can be made");
        let mut count = Box::new(0u64);
        move || {
            let read = opcode::Read::new(types::Fd(bell.as_raw_fd()), (&raw mut *count).cast(), 8).build();
            // SAFETY: the number outlives the read, which ends below.
            unsafe { ring.push(&read) }.expect("the queue has room for one");
            ring.enter(1).expect("the ring works");
            assert_eq!(ring.ended().next().map(|completion| completion.result()), Some(8));
        }
    })
}

/// Two threads that park: the least that waking another takes, with no loop that could wait for anything else.
pub fn futex() -> Result<Figures, Failure> {
    let turn = Arc::new(AtomicU32::new(0));
    let (theirs, us): (_, Thread) = (turn.clone(), std::thread::current());
    let until = |turn: &AtomicU32, value| {
        while turn.load(Ordering::SeqCst) != value {
            std::thread::park();
        }
    };
    let thread = std::thread::spawn(move || {
        for round in 0..WARM_UP + ROUNDS {
            until(&theirs, 2 * round + 1);
            theirs.store(2 * round + 2, Ordering::SeqCst);
            us.unpark();
        }
    });
    let (mut start, mut before) = (Instant::now(), 0);
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
        }
        turn.store(2 * round + 1, Ordering::SeqCst);
        thread.thread().unpark();
        until(&turn, 2 * round + 2);
    }
    let figures = told(pin::processor_time(std::process::id())? - before, start, ROUNDS.into());
    thread.join().map_err(|_| "the partner panicked")?;
    Ok(figures)
}
