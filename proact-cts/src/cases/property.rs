//! Random programs of operations whose results are determined, run here and on a plainer configuration: results, codes,
//! bytes, the order of callbacks within chains and what is left on disk must be the same.
//!
//! A program is a list of rounds. What is submitted in one round works on things that do not touch each other, or is
//! ordered by a chain, a sequence or a stream's own order; between rounds everything ends. A failure names its seed.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use proact::backend::FileKind;
use proact::backend::OpenFlags;
use proact::operation::ReadLink;
use proact::operation::{
    AnyOp, Chain, Close, Kind, Link, ListDirectory, Lowering, MakeDirectory, Nop, Open, OperationId, Read, Receive,
    Remove, Rename, SemaphoreSignal, SemaphoreWait, Send, Sequence, Stat, StatPath, Sync, Timer, Truncate, Write,
};
use proact::resource::{File, Socket};
use proact::sync::Semaphore;
use proact::time::Time;

use crate::bench::Cts;
use crate::cases;
use crate::config;
use crate::harness::Only;
use crate::random::{Random, seeds};

cases![
    programs_have_the_same_results_as_elsewhere,
    programs_have_the_same_results_when_they_run_again.only(Only::Extremes),
];

mod more;

/// Rounds of one program.
const ROUNDS: usize = 12;

/// What an operation came to, once it has ended: the place of its callback, and a line of the transcript.
type Line = Box<dyn FnOnce() -> (usize, String)>;

/// Where a program's operations are made, submitted and told of.
struct Run<'a> {
    cts: &'a mut Cts,
    random: Random,
    transcript: Vec<String>,
    files: Vec<File>,
    streams: Vec<(Socket, Socket)>,
    semaphores: Vec<(Semaphore, u64)>,
}

/// A number that tells other bytes from these.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl<'a> Run<'a> {
    fn new(cts: &'a mut Cts, seed: u64) -> Run<'a> {
        let files = (0..3).map(|index| cts.file(&format!("file-{index}"), &[index as u8; 5000])).collect();
        let streams = (0..2).map(|_| cts.pair()).collect();
        let semaphores = (0..2).map(|_| (Semaphore::new(0), 0)).collect();
        Run { cts, random: Random::new(seed), transcript: Vec::new(), files, streams, semaphores }
    }

    fn operation<K: Kind>(&self, name: &'static str, kind: K, show: fn(&K) -> String) -> (AnyOp, Line)
    where
        K::Output: Debug,
    {
        let (op, watch) = self.cts.watch(kind);
        let line = move || {
            let order = watch.order();
            let told = watch.only();
            let result = match &told.result {
                Ok(output) => format!("{output:?}"),
                Err(status) => format!("{:?}", status.code()),
            };
            (order, format!("{name}: {result}{}", show(&told.kind)))
        };
        (op.into(), Box::new(line))
    }

    fn plain<K: Kind<Output: Debug>>(&self, name: &'static str, kind: K) -> (AnyOp, Line) {
        self.operation(name, kind, |_| String::new())
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [0, 1, 100, 4096, 5000, 70_000][self.random.below(6)];
        let seed = self.random.below(256) as u8;
        (0..length).map(|index| (index as u8).wrapping_mul(7) ^ seed).collect()
    }

    /// Something about one file.
    fn about_file(&mut self, at: usize) -> (AnyOp, Line) {
        let file = self.files[at].clone();
        let offset = [0, 1, 4095, 4999, 20_000][self.random.below(5)];
        let show = |kind: &Read<Vec<u8>>| format!(" {:x}", digest(&kind.buffer));
        match self.random.below(11) {
            0 => {
                let bytes = self.bytes();
                self.plain("write", Write::exact(file, offset, bytes))
            }
            1 => {
                let length = self.random.below(9000);
                self.operation("read", Read::exact(file, offset, vec![0; length]), show)
            }
            2 => {
                let length = self.random.below(9000);
                self.operation("read some", Read::some(file, offset, vec![0; length]), show)
            }
            3 => self.plain("sync", Sync::data(file)),
            4 => self.plain("truncate", Truncate::new(file, self.random.clone().below(10_000) as u64)),
            5 => self.plain("nop", Nop),
            6..=9 => more::about_file(self, at, offset),
            _ => {
                let (op, watch) = self.cts.watch(Stat::new(file));
                let line = move || {
                    let order = watch.order();
                    (order, format!("stat: {:?}", watch.only().result.map(|found| found.size).map_err(|s| s.code())))
                };
                (op.into(), Box::new(line))
            }
        }
    }

    /// Something about a name of few, so that names are taken, missing and of the wrong kind.
    fn about_name(&mut self) -> (AnyOp, Line) {
        let one = self.cts.path(["a", "b", "c", "a/d"][self.random.below(4)]);
        let other = self.cts.path(["a", "b", "c", "a/d"][self.random.below(4)]);
        match self.random.below(10) {
            0 => self.plain("make directory", MakeDirectory::new(one)),
            1 => self.plain("rename", Rename::new(one, other)),
            2 => self.plain("replace", Rename::new(one, other).replacing()),
            3 => self.plain("remove", Remove::file(one)),
            4 => self.plain("remove directory", Remove::directory(one)),
            5 => self.opening("make", Open::new(one, OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::CREATE_NEW)),
            6 => self.opening("open", Open::new(one, OpenFlags::READ | OpenFlags::NO_FOLLOW)),
            7 => self.plain("hard link", Link::hard(one, other)),
            8 => self.plain("symbolic link", Link::symbolic("a", one)),
            _ => {
                let (op, watch) = self.cts.watch(StatPath::new(one));
                let line = move || {
                    let order = watch.order();
                    let told = watch.only().result.map(|found| (found.kind, found.links)).map_err(|s| s.code());
                    (order, format!("stat of a path: {told:?}"))
                };
                (op.into(), Box::new(line))
            }
        }
    }

    fn opening(&self, name: &'static str, open: Open) -> (AnyOp, Line) {
        let (op, watch) = self.cts.watch(open);
        let line = move || {
            let order = watch.order();
            (order, format!("{name}: {:?}", watch.only().result.map(|_| ()).map_err(|status| status.code())))
        };
        (op.into(), Box::new(line))
    }

    fn submit(&mut self, ops: Vec<AnyOp>) -> Vec<OperationId> {
        let lowering = [Lowering::Never, Lowering::Auto, Lowering::Always][self.random.below(3)];
        let chain = Chain::new(ops).lowering(lowering);
        self.cts.submit(chain).unwrap_or_else(|refused| panic!("refused: {refused}"))
    }

    /// Notes how a chain's operations ended, which they did in its order.
    fn note(&mut self, lines: Vec<Line>) {
        let mut last = None;
        for line in lines {
            let (order, line) = line();
            assert!(last < Some(order), "callbacks of a chain out of order, at {line}");
            last = Some(order);
            self.transcript.push(line);
        }
    }

    /// A chain for each of the files and one for the names, all at once.
    fn files_and_names(&mut self) {
        let mut chains = Vec::new();
        for at in 0..=self.files.len() {
            let steps = 1 + self.random.below(5);
            let names = at == self.files.len();
            let made = (0..steps).map(|_| if names { self.about_name() } else { self.about_file(at) });
            let (ops, lines): (Vec<_>, Vec<_>) = made.collect();
            self.submit(ops);
            chains.push(lines);
        }
        self.cts.drain();
        chains.into_iter().for_each(|lines| self.note(lines));
    }

    /// As many bytes out as in, in other pieces, on both streams and both ways.
    fn streams(&mut self) {
        let mut groups = Vec::new();
        for at in 0..self.streams.len() * 2 {
            let (one, other) = self.streams[at / 2].clone();
            let (from, to) = if at % 2 == 0 { (one, other) } else { (other, one) };
            let sent: Vec<Vec<u8>> = (0..1 + self.random.below(4)).map(|_| self.bytes()).collect();
            let mut left: usize = sent.iter().map(Vec::len).sum();
            let mut lines = Vec::new();
            while left > 0 {
                let length = 1 + self.random.below(left);
                left -= length;
                let show = |kind: &Receive<Vec<u8>>| format!(" {:x}", digest(&kind.buffer));
                let receive = Receive::exact(to.clone(), vec![0; length]);
                let (op, line) = self.operation("receive", receive, show);
                self.submit(vec![op]);
                lines.push(line);
            }
            groups.push(lines);
            // Some behind a wait for a value that is signalled when all is submitted.
            let (semaphore, value) = self.semaphores[self.random.below(2)].clone();
            let behind = self.random.one_in(2);
            let mut made = Vec::new();
            if behind {
                made.push(self.operation("wait", SemaphoreWait::new(semaphore, value + 1), |_| String::new()));
            }
            for bytes in sent {
                made.push(self.plain("send", Send::exact(from.clone(), bytes)));
            }
            let (ops, lines): (Vec<_>, Vec<_>) = made.into_iter().unzip();
            self.submit(ops);
            groups.push(lines);
        }
        for (semaphore, value) in &mut self.semaphores {
            *value += 1;
            semaphore.signal(*value, None).unwrap();
        }
        self.cts.drain();
        groups.into_iter().for_each(|lines| self.note(lines));
    }

    /// Waits that a cancel ends, and what stands behind them.
    fn cancels(&mut self) {
        let (semaphore, value) = self.semaphores[0].clone();
        let steps = 1 + self.random.below(4);
        let mut made = vec![self.plain("cancelled wait", SemaphoreWait::new(semaphore, value + 1000))];
        for _ in 1..steps {
            let at = self.random.below(self.files.len());
            made.push(self.about_file(at));
        }
        if self.random.one_in(3) {
            made[0] = self.plain("cancelled timer", Timer::new(Time::FAR_FUTURE));
        }
        let (ops, lines): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let ids = self.submit(ops);
        self.cts.look();
        let at = self.random.below(ids.len());
        self.cts.cancel(ids[at]).unwrap();
        // The rest stays behind the wait, or went with it.
        let _ = self.cts.cancel(ids[0]);
        self.cts.drain();
        assert!(ids.iter().all(|id| self.cts.cancel(*id).is_err()), "an operation that has ended is found");
        self.note(lines);
    }

    /// Steps within a step.
    fn sequence(&mut self) {
        let at = self.random.below(self.files.len());
        let file = self.files[at].clone();
        let (semaphore, value) = &mut self.semaphores[1];
        *value += 1;
        let signal = SemaphoreSignal::new(semaphore.clone(), *value);
        let (bytes, length) = (self.bytes(), self.random.below(6000));
        let inner = Sequence::new().step(signal).step(Read::exact(file.clone(), 0, vec![0; length]));
        let sequence = Sequence::new().step(Write::exact(file, 10, bytes)).step(inner).step(Nop);
        let (op, watch) = self.cts.watch(sequence);
        self.cts.submit(op).unwrap();
        self.cts.until("a sequence", || watch.is_done());
        self.transcript.push(format!("sequence: {:?}", watch.only().result.map_err(|status| status.code())));
        // The signal may not have had its turn.
        let (semaphore, value) = &self.semaphores[1];
        let _ = semaphore.signal_if_later(*value, None).unwrap();
    }

    fn all(mut self) -> Vec<String> {
        for _ in 0..ROUNDS {
            match self.random.below(8) {
                0 | 1 => self.files_and_names(),
                2 => self.streams(),
                3 => self.cancels(),
                4 => self.sequence(),
                5 => more::datagrams(&mut self),
                6 => more::pooled(&mut self),
                _ => more::company(&mut self),
            }
        }
        for (one, other) in std::mem::take(&mut self.streams) {
            let rest = self.cts.start(Receive::some(other, vec![0; 1]));
            self.cts.get(Close::new(one));
            self.cts.drain();
            self.transcript.push(format!("end: {:?}", rest.only().result.map_err(|status| status.code())));
        }
        self.files.clear();
        let folder = self.cts.path("");
        let listed = self.cts.get(ListDirectory::new(&folder));
        let mut names: Vec<_> = listed.into_iter().map(|entry| format!("{:?}", entry)).collect();
        names.sort();
        self.transcript.extend(names);
        let mut left = String::new();
        contents(self.cts, &folder, "", &mut left);
        self.transcript.extend(left.lines().map(String::from));
        self.transcript
    }
}

/// Every file below `folder`, with its length and bytes.
fn contents(cts: &mut Cts, folder: &Path, below: &str, text: &mut String) {
    let mut entries = cts.get(ListDirectory::new(folder));
    entries.sort();
    for entry in entries {
        let (name, path) = (format!("{below}/{}", entry.name.to_string_lossy()), folder.join(&entry.name));
        match entry.kind {
            FileKind::Directory => contents(cts, &path, &name, text),
            FileKind::Link => {
                let _ = writeln!(text, "{name} -> {:?}", cts.get(ReadLink::new(&path)));
            }
            FileKind::File | FileKind::Other => {
                let bytes = cts.read(&path);
                let _ = writeln!(text, "{name}: {} bytes {:x}", bytes.len(), digest(&bytes));
            }
        }
    }
}

fn compare(seed: u64, lines: &[String], there: &[String], other: &str) {
    for (index, (here, there)) in lines.iter().zip(there).enumerate() {
        let before = || lines[..index].iter().rev().take(4).rev().map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert_eq!(here, there, "seed {seed}: line {index}, and what {other} says; after\n  {}", before());
    }
    assert_eq!(lines.len(), there.len(), "seed {seed}: lines, and those of {other}");
}

fn programs_have_the_same_results_as_elsewhere(cts: &mut Cts) {
    let other = if cts.config.name == "poll" { "epoll" } else { "poll" };
    let other =
        config::all().iter().find(|configuration| configuration.name == other).expect("poll and epoll are built");
    for seed in seeds(3) {
        cts.clear_folder();
        cts.say(&format!("seed {seed}"));
        let mut beside = Cts::beside(*other);
        let there = Run::new(&mut beside, seed).all();
        let here = Run::new(cts, seed).all();
        compare(seed, &here, &there, other.name);
    }
}

fn programs_have_the_same_results_when_they_run_again(cts: &mut Cts) {
    // What a program says must follow from its seed, or the comparison with another configuration proves nothing.
    let programs = seeds(3).into_iter().map(|seed| {
        cts.clear_folder();
        let first = Run::new(cts, seed).all();
        cts.clear_folder();
        compare(seed, &first, &Run::new(cts, seed).all(), "its second run");
        first
    });
    let programs: Vec<_> = programs.collect();
    assert!(programs.windows(2).all(|pair| pair[0] != pair[1]), "other seeds are other programs");
    let said = |word: &str| programs.iter().flatten().filter(|line| line.contains(word)).count();
    if programs.len() > 2 {
        assert!(said("Cancelled") > 0 && said("receive: ") > 0 && said("OutOfRange") > 0, "programs that show nothing");
    }
}
