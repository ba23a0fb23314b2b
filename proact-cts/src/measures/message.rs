//! What messages cost: the call that sends one, a stream of them between two threads that poll, there and back between
//! two that sleep, and as operations.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use proact::operation::{Chain, Message};
use proact::proactor::{Handle, Proactor};
use proact::status::Status;
use proact::time::Timeout;

use super::compare::{Timing, compare, median, part};
use super::effort;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally::{self, Counted};
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("message/send", sends),
    Measure::each("message/throughput", throughput),
    Measure::each("message/round-trip", round_trips),
    Measure::each("message/batch/16", |config| operations(config, false)),
    Measure::each("message/chain", |config| operations(config, true)),
];

/// Messages of a slice whose sends alone are timed.
const SENDS: u32 = 1024;
/// Slices of sends: odd, so that a median is one of them.
const SLICES: usize = 2001;
/// Messages of a round between two threads.
const STREAM: u64 = 4096;
/// Pairs of rounds between two threads that sleep.
const PAIRS: usize = 101;
/// Blocks of rounds between two threads that poll, and rounds of each: few, since they wait for two processors.
const BLOCKS: u32 = 8;
const BLOCK: u32 = 12;
/// Trips of a round.
const TRIPS: u32 = 32;
/// Operations that are submitted together.
const OPERATIONS: usize = 16;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 100;

fn failed(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

fn figures(timing: Timing, each: f64, counted: Counted, rounds: u32, absent: &'static str) -> Figures {
    Figures::of(timing, each, absent, counted.over(f64::from(rounds) * each))
}

/// Measures the call alone, to a proactor that does not sleep; what is sent is taken out between the slices. The floor
/// is the same with the standard library's channel, bounded as ours is.
fn sends(config: Configuration) -> Result<Figures, Failure> {
    let mut proactor = config.builder().build().map_err(failed(config))?;
    proactor.on_message(|message, _| {
        std::hint::black_box(message);
    });
    let handle = proactor.handle().clone();
    let (sender, receiver) = mpsc::sync_channel(65_536);
    let mut ours = || {
        let start = Instant::now();
        (0..SENDS).for_each(|number| handle.send_message(number.into()).expect("there is room"));
        let elapsed = start.elapsed().as_nanos() as f64;
        drain(&mut proactor, SENDS as usize);
        elapsed
    };
    let theirs = || {
        let start = Instant::now();
        (0..SENDS).for_each(|number| sender.try_send(u64::from(number)).expect("there is room"));
        let elapsed = start.elapsed().as_nanos() as f64;
        assert_eq!(receiver.try_iter().count(), SENDS as usize);
        elapsed
    };
    let pairs: Vec<(f64, f64)> = (0..effort::rounds(SLICES)).map(|_| (ours(), theirs())).collect();
    let timing = Timing {
        subject: median(pairs.iter().map(|pair| pair.0).collect()),
        floor: Some((
            median(pairs.iter().map(|pair| pair.1).collect()),
            median(pairs.iter().map(|pair| pair.0 / pair.1).collect()),
        )),
        p99: None,
    };
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| assert!(ours() > 0.0)));
    Ok(figures(timing, SENDS.into(), counted, COUNTED_ROUNDS, ""))
}

/// Times rounds of `subject` in turn with rounds of `floor`. A round of two threads is a slice by itself, and many
/// times longer whenever one of them is not scheduled: medians and the tail are told as they were, and the ratio is the
/// median of the pairs' own.
fn alternate(mut subject: impl FnMut(), mut floor: Option<impl FnMut()>) -> Timing {
    let (mut subjects, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..effort::rounds(PAIRS) {
        subjects.push(timed(&mut subject));
        floors.extend(floor.as_mut().map(|floor| timed(floor)));
    }
    judged(subjects, floors)
}

/// The medians of both sides, and that of the ratios of each to the other beside it.
fn judged(subjects: Vec<f64>, floors: Vec<f64>) -> Timing {
    let ratios: Vec<f64> = subjects.iter().zip(&floors).map(|(subject, floor)| subject / floor).collect();
    let p99 = Some(part(&mut subjects.clone(), 99));
    Timing { floor: (!floors.is_empty()).then(|| (median(floors), median(ratios))), subject: median(subjects), p99 }
}

fn timed(work: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}

/// Waits for what another thread counts.
fn until(count: &AtomicU64, end: u64) {
    let mut looks = 0u32;
    while count.load(Ordering::Acquire) < end {
        looks += 1;
        // It may want this thread's processor.
        if looks % 4096 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

/// Polls until so many messages were told.
fn drain(proactor: &mut Proactor, count: usize) {
    let mut told = 0;
    while told < count {
        told += proactor.poll(Timeout::Immediate).expect("the backend works").messages;
    }
}

/// A proactor on a thread of its own, until it is dropped.
struct Partner {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Partner {
    /// Starts it: `receive` is told of messages, and each poll waits for `timeout`.
    fn start(
        config: Configuration,
        timeout: Timeout,
        mut receive: impl FnMut(u64) + Send + 'static,
    ) -> Result<Partner, Status> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut proactor = match config.builder().build() {
                Ok(proactor) => proactor,
                Err(status) => return tell.send(Err(status)).expect("the starter waits"),
            };
            proactor.on_message(move |message, _| receive(message));
            tell.send(Ok(proactor.handle().clone())).expect("the starter waits");
            while !stopped.load(Ordering::Acquire) {
                proactor.poll(timeout).expect("the backend works");
            }
        });
        let handle = told.recv().expect("the thread tells")?;
        Ok(Partner { handle, stop, thread: Some(thread) })
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.handle.wake();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Measures a stream from one polling proactor to another, until the last message was told. Figures are of one. The
/// floor is a stream of entries from one bare ring to another (`MSG_RING`), and elsewhere the standard library's
/// channel.
fn throughput(config: Configuration) -> Result<Figures, Failure> {
    let (mut ours, mut below) = (Vec::new(), Vec::new());
    let mut absent = "";
    // Either side keeps two processors busy, also when it is not measured: so it is made anew each time.
    for _ in 0..effort::rounds(BLOCKS as usize) {
        let mut stream = OwnStream::start(config).map_err(failed(config))?;
        ours.extend(rounds(|| stream.send()));
        drop(stream);
        match Below::start(config) {
            Ok(mut stream) => below.extend(rounds(|| stream.send())),
            Err(_) => absent = "no bare rings that send to each other could be made",
        }
    }
    // Each block's rounds stand beside those of the floor's block that followed it.
    let timing = judged(ours, below);
    let mut stream = OwnStream::start(config).map_err(failed(config))?;
    rounds(|| stream.send());
    let counted = tally::count(|| (0..BLOCK).for_each(|_| stream.send()));
    Ok(figures(timing, STREAM as f64, counted, BLOCK, absent))
}

/// Times the rounds of a block, after one that is not counted.
fn rounds(mut round: impl FnMut()) -> Vec<f64> {
    round();
    (0..BLOCK).map(|_| timed(&mut round)).collect()
}

/// A proactor here, and one on a thread of its own that polls.
struct OwnStream {
    here: Proactor,
    partner: Partner,
    count: Arc<AtomicU64>,
    sent: u64,
}

impl OwnStream {
    fn start(config: Configuration) -> Result<OwnStream, Status> {
        let count = Arc::new(AtomicU64::new(0));
        let (counted, mut told) = (count.clone(), 0);
        let receive = move |_| {
            told += 1;
            counted.store(told, Ordering::Release);
        };
        let partner = Partner::start(config, Timeout::Immediate, receive)?;
        Ok(OwnStream { here: config.builder().build()?, partner, count, sent: 0 })
    }

    fn send(&mut self) {
        for number in 0..STREAM {
            while self.partner.handle.send_message(number).is_err() {
                std::thread::yield_now();
            }
            // It polls, too.
            if number % 256 == 0 {
                self.here.poll(Timeout::Immediate).expect("the backend works");
            }
        }
        self.sent += STREAM;
        until(&self.count, self.sent);
    }
}

/// The floor of a stream.
enum Below {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Rings(Box<super::message_floor::Stream>),
    Channel {
        sender: mpsc::SyncSender<u64>,
        count: Arc<AtomicU64>,
        sent: u64,
    },
}

impl Below {
    fn start(config: Configuration) -> std::io::Result<Below> {
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        if config.is_ring() {
            return Ok(Below::Rings(Box::new(super::message_floor::Stream::start()?)));
        }
        let _ = config;
        let (sender, receiver) = mpsc::sync_channel::<u64>(65_536);
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        // It ends when the sender is dropped.
        std::thread::spawn(move || {
            let mut told = 0;
            loop {
                match receiver.try_recv() {
                    Ok(_) => {
                        told += 1;
                        counted.store(told, Ordering::Release);
                    }
                    Err(mpsc::TryRecvError::Empty) => std::hint::spin_loop(),
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
        });
        Ok(Below::Channel { sender, count, sent: 0 })
    }

    fn send(&mut self) {
        match self {
            #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
            Below::Rings(stream) => stream.send(STREAM),
            Below::Channel { sender, count, sent } => {
                (0..STREAM).for_each(|number| sender.send(number).expect("the other thread receives"));
                *sent += STREAM;
                until(count, *sent);
            }
        }
    }
}

/// Measures there and back between two proactors that sleep in between. The floor is two bare rings that wait for
/// each other's entries, and elsewhere two of the standard library's channels.
fn round_trips(config: Configuration) -> Result<Figures, Failure> {
    let mut here = config.builder().build().map_err(failed(config))?;
    here.on_message(|message, _| assert_eq!(message, 1));
    let back = here.handle().clone();
    let answer = move |message| back.send_message(message).expect("there is room");
    let partner = Partner::start(config, Timeout::Infinite, answer).map_err(failed(config))?;
    let mut round = || {
        for _ in 0..TRIPS {
            partner.handle.send_message(1).expect("there is room");
            while here.poll(Timeout::Infinite).expect("the backend works").messages == 0 {}
        }
    };
    let (timing, absent) = against_echo(config, &mut round);
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    // The partner's enters are not seen from here, so none are told.
    Ok(figures(timing, TRIPS.into(), counted, COUNTED_ROUNDS, absent))
}

fn against_echo(config: Configuration, round: &mut impl FnMut()) -> (Timing, &'static str) {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    if config.is_ring() {
        return match super::message_floor::Echo::start() {
            Ok(mut echo) => (alternate(round, Some(|| (0..TRIPS).for_each(|_| echo.round()))), ""),
            Err(_) => (alternate(round, None::<fn()>), "no bare rings that send to each other could be made"),
        };
    }
    let _ = config;
    let ((there, at_there), (back, at_back)) = (mpsc::sync_channel::<u64>(16), mpsc::sync_channel::<u64>(16));
    let thread =
        std::thread::spawn(move || at_there.iter().try_for_each(|message| back.send(message)).unwrap_or_default());
    let floor = || {
        for _ in 0..TRIPS {
            there.send(1).expect("the other thread receives");
            assert_eq!(at_back.recv(), Ok(1));
        }
    };
    let timing = alternate(round, Some(floor));
    drop(there);
    let _ = thread.join();
    (timing, "")
}

/// Measures messages as operations, sixteen at a time, to the proactor itself: submitted, completed and told; linked to
/// each other, or not, which is the floor of that. Figures are of one.
fn operations(config: Configuration, linked: bool) -> Result<Figures, Failure> {
    let mut subject = Operations::stage(config)?;
    let round = |stage: &mut Stage<Operations>| Operations::round(stage, linked);
    let (timing, absent) = match linked {
        true => {
            let mut apart = Operations::stage(config)?;
            (compare(|| round(&mut subject), Some(|| Operations::round(&mut apart, false))), "")
        }
        false => {
            let absent = "the way of an operation; message/send is the call alone";
            (compare(|| round(&mut subject), None::<fn()>), absent)
        }
    };
    Ok(subject.figures(timing, OPERATIONS as f64, absent, round))
}

/// Messages that are submitted together, over and over, and how many have come.
struct Operations {
    messages: Together<Message>,
    told: &'static Cell<usize>,
}

impl Operations {
    fn stage(config: Configuration) -> Result<Stage<Operations>, Status> {
        let mut proactor = config.builder().build()?;
        // Small, and to the program's end.
        let told: &'static Cell<usize> = Box::leak(Box::new(Cell::new(0)));
        proactor.on_message(|message, _| {
            assert_eq!(message, 1);
            told.set(told.get() + 1);
        });
        let own = proactor.handle().clone();
        let messages = Together::new((0..OPERATIONS).map(|_| Message::new(&own, 1)));
        Ok(Stage { proactor, of: Operations { messages, told } })
    }

    fn round(stage: &mut Stage<Operations>, linked: bool) {
        let Stage { proactor, of: Operations { messages, told } } = stage;
        let end = told.get() + OPERATIONS;
        match linked {
            true => proactor.submit(Chain::new(&mut messages.ready)).map(drop).expect("a valid chain"),
            false => messages.submit(proactor),
        }
        messages.collect(proactor);
        while told.get() < end {
            proactor.poll(Timeout::Immediate).expect("the backend works");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn what_is_told_of_rounds_is_their_median_with_its_tail_and_the_median_of_the_pairs_ratios() {
        let ours: Vec<f64> = (1..=11).map(|round| f64::from(round) * 10.0).collect();
        let below: Vec<f64> = ours.iter().map(|round| round / 2.0).collect();
        let timing = judged(ours, below);
        assert_eq!(timing, Timing { subject: 60.0, floor: Some((30.0, 2.0)), p99: Some(110.0) });
        assert_eq!(judged(vec![3.0], Vec::new()).floor, None);
    }

    #[test]
    fn a_partner_answers_on_every_backend_and_ends_when_dropped() {
        for config in settings() {
            let Ok(mut here) = config.builder().build() else { continue };
            let back = here.handle().clone();
            here.on_message(|message, _| assert_eq!(message, 8));
            let answer = move |message| back.send_message(message + 1).unwrap();
            let partner = Partner::start(config, Timeout::Infinite, answer).unwrap();
            partner.handle.send_message(7).unwrap();
            drain(&mut here, 1);
        }
    }
}
