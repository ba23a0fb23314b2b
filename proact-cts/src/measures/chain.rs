//! What it costs to go from one step to the next: by the kernel, by the poll thread, or by a callback that submits what
//! comes next.
//!
//! Steps are nops, where nothing but the way between them is measured, or receives of 64 bytes that are there already,
//! each of which is a system call on `epoll` and `poll`. Figures are of one step.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;

use proact::operation::{Chain, Complete, Context, Kind, Lowering, Nop, Op, Outcome, Receive, Sequence};
use proact::proactor::Proactor;
use proact::resource::Socket;
use proact::time::Timeout;

use super::compare::{Timing, compare};
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    // As the library chooses.
    Measure::each("chain/1", |config| chain(config, 1, Lowering::Auto)),
    Measure::each("chain/2", |config| chain(config, 2, Lowering::Auto)),
    Measure::each("chain/8", |config| chain(config, 8, Lowering::Auto)),
    Measure::each("chain/64", |config| chain(config, 64, Lowering::Auto)),
    Measure::each("chain/portable/2", |config| chain(config, 2, Lowering::Never)),
    Measure::each("chain/portable/8", |config| chain(config, 8, Lowering::Never)),
    Measure::each("chain/portable/64", |config| chain(config, 64, Lowering::Never)),
    Measure::ring("sequence/lowered/2", |config| sequence(config, 2, Lowering::Always)),
    Measure::ring("sequence/lowered/8", |config| sequence(config, 8, Lowering::Always)),
    Measure::ring("sequence/lowered/64", |config| sequence(config, 64, Lowering::Always)),
    Measure::each("sequence/portable/2", |config| sequence(config, 2, Lowering::Never)),
    Measure::each("sequence/portable/8", |config| sequence(config, 8, Lowering::Never)),
    Measure::each("sequence/portable/64", |config| sequence(config, 64, Lowering::Never)),
    Measure::each("by-hand/2", |config| by_hand(config, 2)),
    Measure::each("by-hand/8", |config| by_hand(config, 8)),
    Measure::each("by-hand/64", |config| by_hand(config, 64)),
    Measure::each("chain/receive/2", |config| receives(config, 2, How::Chain)),
    Measure::each("chain/receive/8", |config| receives(config, 8, How::Chain)),
    Measure::each("chain/receive/64", |config| receives(config, 64, How::Chain)),
    Measure::each("sequence/receive/2", |config| receives(config, 2, How::Sequence)),
    Measure::each("sequence/receive/8", |config| receives(config, 8, How::Sequence)),
    Measure::each("sequence/receive/64", |config| receives(config, 64, How::Sequence)),
    Measure::each("by-hand/receive/2", |config| receives(config, 2, How::ByHand)),
    Measure::each("by-hand/receive/8", |config| receives(config, 8, How::ByHand)),
    Measure::each("by-hand/receive/64", |config| receives(config, 64, How::ByHand)),
];

/// Bytes of a receive.
const LENGTH: usize = 64;

/// An operation whose callback submits it again, so many times.
struct Again<K: Kind> {
    left: u32,
    home: &'static Cell<Option<AgainOp<K>>>,
}

type AgainOp<K> = Box<Op<K, Again<K>>>;

impl<K: Kind> Complete<K> for Again<K> {
    #[inline]
    fn done(mut op: AgainOp<K>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        assert!(outcome.result.is_ok(), "a step succeeds");
        op.state.left -= 1;
        match op.state.left {
            0 => {
                let home = op.state.home;
                home.set(Some(op));
            }
            _ => _ = cx.submit(op).expect("as before"),
        }
    }
}

/// The hand-written form of a chain: the callback of a step submits the next.
struct ByHand<K: Kind> {
    home: &'static Cell<Option<AgainOp<K>>>,
    steps: u32,
}

impl<K: Kind> ByHand<K> {
    fn new(kind: K, steps: u32) -> ByHand<K> {
        // Small, and to the program's end.
        let home: &'static Cell<_> = Box::leak(Box::new(Cell::new(None)));
        home.set(Some(Op::new(kind, Again { left: 0, home })));
        ByHand { home, steps }
    }

    #[inline]
    fn round(&mut self, proactor: &mut Proactor) {
        let mut op = self.home.take().expect("it came back");
        op.state.left = self.steps;
        proactor.submit(op).expect("a valid step");
        loop {
            proactor.poll(Timeout::Infinite).expect("the backend works");
            match self.home.take() {
                Some(op) => break self.home.set(Some(op)),
                None => continue,
            }
        }
    }
}

/// A chain that is submitted again and again.
struct Chained<K: Kind> {
    steps: Together<K>,
    lowering: Lowering,
}

impl<K: Kind> Chained<K> {
    #[inline]
    fn round(&mut self, proactor: &mut Proactor) {
        let chain = Chain::new(&mut self.steps.ready).lowering(self.lowering);
        if let Err(refused) = proactor.submit(chain) {
            panic!("a chain of a measure was refused: {}", refused.status);
        }
        self.steps.collect(proactor);
    }
}

fn chain(config: Configuration, steps: u32, lowering: Lowering) -> Result<Figures, Failure> {
    let of = Chained { steps: Together::new((0..steps).map(|_| Nop)), lowering };
    let mut stage = Stage { proactor: config.builder().build()?, of };
    let round = |stage: &mut Stage<Chained<Nop>>| stage.of.round(&mut stage.proactor);
    // Lowered it is held against the kernel's own links, else against what a program would write by hand.
    let lowered = config.is_ring() && lowering != Lowering::Never;
    let (timing, absent) = against(config, steps, lowered, || round(&mut stage))?;
    Ok(stage.figures(timing, steps.into(), absent, round))
}

/// Times `round` against as many linked nops on a bare ring, or against the hand-written form on the same backend.
fn against(
    config: Configuration,
    steps: u32,
    lowered: bool,
    mut round: impl FnMut(),
) -> Result<(Timing, &'static str), Failure> {
    if lowered {
        return Ok(links(steps, round));
    }
    let (mut proactor, mut hand) = (config.builder().build()?, ByHand::new(Nop, steps));
    Ok((compare(&mut round, Some(|| hand.round(&mut proactor))), ""))
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn links(steps: u32, mut round: impl FnMut()) -> (Timing, &'static str) {
    match super::floor::with_links(steps, |floor| compare(&mut round, Some(floor))) {
        Ok(timing) => (timing, ""),
        Err(_) => (compare(round, None::<fn()>), "no second ring could be made"),
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn links(_: u32, round: impl FnMut()) -> (Timing, &'static str) {
    (compare(round, None::<fn()>), "no second ring could be made")
}

fn sequence(config: Configuration, steps: u32, lowering: Lowering) -> Result<Figures, Failure> {
    let made = (0..steps).fold(Sequence::new(), |sequence, _| sequence.step(Nop)).lowering(lowering);
    let mut stage = Stage { proactor: config.builder().build()?, of: Together::new([made]) };
    let round = |stage: &mut Stage<Together<Sequence>>| stage.of.round(&mut stage.proactor);
    let (timing, absent) = against(config, steps, lowering == Lowering::Always, || round(&mut stage))?;
    Ok(stage.figures(timing, steps.into(), absent, round))
}

fn by_hand(config: Configuration, steps: u32) -> Result<Figures, Failure> {
    let mut stage = Stage { proactor: config.builder().build()?, of: ByHand::new(Nop, steps) };
    let round = |stage: &mut Stage<ByHand<Nop>>| stage.of.round(&mut stage.proactor);
    let timing = compare(|| round(&mut stage), None::<fn()>);
    Ok(stage.figures(timing, steps.into(), "it is itself the floor of chains and sequences", round))
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Chain,
    Sequence,
    ByHand,
}

enum Steps {
    Chain(Chained<Receive<Vec<u8>>>),
    Sequence(Together<Sequence>),
    ByHand(ByHand<Receive<Vec<u8>>>),
}

/// A local connection, and steps that receive from it.
struct Received {
    sender: UnixStream,
    steps: Steps,
    bytes: Vec<u8>,
}

impl Received {
    fn new(config: Configuration, count: u32, how: How) -> Result<Stage<Received>, Failure> {
        let proactor = config.builder().build()?;
        let (sender, receiver) = UnixStream::pair()?;
        let socket: Socket = proactor.handle().import_socket(receiver.into()).map_err(|returned| returned.status)?;
        let receive = || Receive::exact(socket.clone(), vec![0; LENGTH]);
        let steps = match how {
            How::Chain => {
                let steps = Together::new((0..count).map(|_| receive()));
                Steps::Chain(Chained { steps, lowering: Lowering::Never })
            }
            How::Sequence => {
                let made = (0..count).fold(Sequence::new(), |sequence, _| sequence.step(receive()));
                Steps::Sequence(Together::new([made.lowering(Lowering::Never)]))
            }
            How::ByHand => Steps::ByHand(ByHand::new(receive(), count)),
        };
        Ok(Stage { proactor, of: Received { sender, steps, bytes: vec![7; LENGTH * count as usize] } })
    }

    fn round(stage: &mut Stage<Received>) {
        let Received { sender, steps, bytes } = &mut stage.of;
        sender.write_all(bytes).expect("the socket's own buffer has room");
        match steps {
            Steps::Chain(chain) => chain.round(&mut stage.proactor),
            Steps::Sequence(sequence) => sequence.round(&mut stage.proactor),
            Steps::ByHand(hand) => hand.round(&mut stage.proactor),
        }
    }
}

/// Receives of what is there, step by step and never in the kernel; held against the hand-written form.
fn receives(config: Configuration, steps: u32, how: How) -> Result<Figures, Failure> {
    let mut stage = Received::new(config, steps, how)?;
    let (timing, absent) = match how {
        How::ByHand => {
            let timing = compare(|| Received::round(&mut stage), None::<fn()>);
            (timing, "it is itself the floor of chains and sequences")
        }
        _ => {
            let mut hand = Received::new(config, steps, How::ByHand)?;
            (compare(|| Received::round(&mut stage), Some(|| Received::round(&mut hand))), "")
        }
    };
    Ok(stage.figures(timing, steps.into(), absent, Received::round))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    /// On epoll and poll a chain and a sequence cost no more passes and system calls than what is written by hand.
    #[test]
    fn receives_in_a_chain_take_no_more_enters_and_entries_than_by_hand() {
        for config in settings() {
            let spent = |how| {
                let mut stage = Received::new(config, 8, how).ok()?;
                (0..3).for_each(|_| Received::round(&mut stage));
                let before = stage.proactor.statistics();
                (0..10).for_each(|_| Received::round(&mut stage));
                let after = stage.proactor.statistics();
                let spent = |of: fn(&proact::proactor::Statistics) -> u64| of(&after) - of(&before);
                Some((spent(|s| s.enters), spent(|s| s.kernel_entries), spent(|s| s.wakes)))
            };
            let Some(hand) = spent(How::ByHand) else {
                eprintln!("skipped: {}", config.name);
                continue;
            };
            for how in [How::Chain, How::Sequence] {
                let (enters, entries, wakes) = spent(how).expect("as by hand");
                let least = (enters <= hand.0, entries <= hand.1, wakes <= hand.2);
                assert_eq!(least, (true, true, true), "{}: {enters} {entries} {wakes}, by hand {hand:?}", config.name);
            }
        }
    }
}
