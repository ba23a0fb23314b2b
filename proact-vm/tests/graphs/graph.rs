//! What a random program is: modules of several kinds, their functions, what these do one after another, and what they
//! wait for. [`crate::model`] says what it comes to.

use std::ops::Range;
use std::time::Duration;

use oorandom::Rand32;
use proact_vm::wait::WaitKind;

/// How the functions of a module are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Rust functions that run to their end.
    Plain,
    /// `async fn`.
    Async,
    /// State machines written by hand.
    Hand,
    /// WebAssembly.
    Wasm,
}

/// What a function takes and answers. See [`crate::shape`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// `0iIr_Ir`
    Mixed,
    /// `0iifF_FIf`
    Numbers,
    /// `0irr_r`
    References,
    /// `0iCIDCirFD_iI`
    Spans,
    /// `0i`
    Nothing,
    /// `0ir_i`, of a buffer that is read and written: a program lends it of its own memory.
    Bytes,
}

/// One thing that a function does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// A side effect: what it has computed so far is noted.
    Note,
    Yield,
    /// For [`Graph::waits`].
    Wait {
        wait: usize,
        handled: bool,
    },
    /// Of a function of an earlier module; of a program also of an earlier one of its own, without the driver.
    Call {
        callee: usize,
        handled: bool,
    },
    /// Of any function, by a table that was filled when all were there.
    Back {
        callee: usize,
        handled: bool,
    },
    Fail,
    /// Polls a future by itself that is pending so often, or [`POLLS_LATER`].
    Await(u32),
    /// That, against a wait for what never comes, which is given up.
    Race(u32),
    /// A call and a wait joined: they have their turns one after the other.
    Both {
        callee: usize,
        wait: usize,
    },
    /// A wait by a standard module.
    Standard(Standard),
}

/// Waits by standard modules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standard {
    Reached,
    /// Its deadline has passed.
    Expired,
    Later,
    Sleep,
}

/// How a function works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    Acts(Vec<Act>),
    /// It has another one answer in its place, and keeps no frame.
    Delegate(usize),
}

#[derive(Clone, Debug)]
pub struct Module {
    pub kind: Kind,
    pub functions: Range<usize>,
    /// Of WebAssembly: an instance for each call.
    pub per_call: bool,
    /// Of WebAssembly: fuel of a slice so small that it ends in the middle of things.
    pub slice: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Function {
    pub module: usize,
    pub shape: Shape,
    pub body: Body,
}

/// Something to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Immediate,
    /// A semaphore's value that is there.
    Reached,
    FrontierReached,
    Time(When),
    /// A semaphore that has failed.
    Failed,
    FrontierFailed,
    /// A semaphore that someone signals when it is waited for.
    Later,
    FrontierLater,
    /// An event of a proactor that someone sets.
    EventLater,
    /// A timer of a proactor.
    Timer,
    /// Pending so often, and wakes by itself.
    Polls(u32),
    /// The end of an invocation of another context.
    Invocation {
        fails: bool,
    },
    Never,
    FrontierNever,
    EventNever,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Past,
    Soon,
    Far,
}

/// Why a wait fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    Deadline,
    Semaphore,
    Frontier,
    Invocation,
}

#[derive(Clone, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    pub sources: Vec<Source>,
    pub deadline: Option<When>,
    /// What it comes to, whatever is fast or slow.
    pub outcome: Result<usize, Why>,
}

/// How long it takes in a simulated world until what comes later comes, and a near time; and how long programs sleep.
pub const LATER_AFTER: Duration = Duration::from_nanos(3000);
pub const SOON_AFTER: Duration = Duration::from_nanos(1000);
pub const SLEEP: Duration = Duration::from_nanos(900);

impl Source {
    fn comes_after(self) -> Duration {
        match self {
            Source::Later | Source::FrontierLater => LATER_AFTER,
            Source::Time(when) => when.is_after(),
            _ => Duration::ZERO,
        }
    }
}

impl When {
    fn is_after(self) -> Duration {
        match self {
            When::Past => Duration::ZERO,
            When::Soon => SOON_AFTER,
            When::Far => Duration::from_secs(3600),
        }
    }
}

impl Wait {
    /// How long it takes in a simulated world, where no operation and no other invocation is among its sources.
    pub fn ends_after(&self) -> Duration {
        let sources = self.sources.iter().map(|source| source.comes_after());
        match self.outcome {
            Ok(index) if self.kind == WaitKind::Any => self.sources[index].comes_after(),
            Ok(_) => sources.max().unwrap_or_default(),
            Err(Why::Deadline) => self.deadline.map_or(Duration::ZERO, When::is_after),
            Err(_) => Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Graph {
    pub modules: Vec<Module>,
    pub functions: Vec<Function>,
    pub waits: Vec<Wait>,
    /// Whether its contexts are.
    pub concurrent: bool,
}

/// Of a future that someone else wakes, once.
pub const POLLS_LATER: u32 = 9;

/// How often a future is pending that a function polls by itself.
pub fn pending(times: u32) -> u32 {
    if times == POLLS_LATER { 1 } else { times }
}

/// Calls within one another from which on none goes back to a later function.
pub const BACK_DEPTH_MAX: i32 = 3;

impl Graph {
    pub fn root(&self) -> usize {
        self.functions.len() - 1
    }

    pub fn kind(&self, function: usize) -> Kind {
        self.modules[self.functions[function].module].kind
    }

    /// `module.function`.
    pub fn name(&self, function: usize) -> String {
        format!("m{}.f{function}", self.functions[function].module)
    }

    /// Whether all that it waits for comes at a time that is known in a simulated world.
    pub fn is_timed(&self) -> bool {
        let is_invocation = |source: &Source| matches!(source, Source::Invocation { .. });
        !self.has_operations() && !self.waits.iter().any(|wait| wait.sources.iter().any(is_invocation))
    }

    /// Whether something in it waits for operations of a proactor.
    pub fn has_operations(&self) -> bool {
        let is_operation = |source: &Source| matches!(source, Source::EventLater | Source::EventNever | Source::Timer);
        self.waits.iter().any(|wait| wait.sources.iter().any(is_operation))
    }

    /// Whether time slices add yields that no one asked for.
    pub fn is_sliced(&self) -> bool {
        self.modules.iter().any(|module| module.slice.is_some())
    }

    /// One of so many things that a seed makes. The same seed makes the same.
    pub fn random(random: &mut Rand32) -> Graph {
        let concurrent = flip(random);
        let mut graph = Graph { modules: Vec::new(), functions: Vec::new(), waits: Vec::new(), concurrent };
        let sliced = random.rand_range(0..4) == 0;
        for module in 0..random.rand_range(2..7) as usize {
            let kind = match random.rand_range(0..10) {
                0 => Kind::Plain,
                1..5 => Kind::Async,
                5..7 => Kind::Hand,
                _ => Kind::Wasm,
            };
            let first = graph.functions.len();
            let functions = first..first + random.rand_range(1..4) as usize;
            let per_call = concurrent || random.rand_range(0..3) == 0;
            let slice = (kind == Kind::Wasm && sliced).then(|| u64::from(random.rand_range(30..300)));
            graph.modules.push(Module { kind, functions: functions.clone(), per_call, slice });
            for index in functions {
                let function = Function { module, shape: shape(random, kind), body: Body::Acts(Vec::new()) };
                graph.functions.push(function);
                graph.functions[index].body = graph.body(random, index);
            }
        }
        graph.go_back(random);
        graph
    }

    fn body(&mut self, random: &mut Rand32, index: usize) -> Body {
        let (kind, first) = (self.kind(index), self.modules[self.functions[index].module].functions.start);
        if kind == Kind::Hand && random.rand_range(0..6) == 0 {
            let answers_alike = |callee: &usize| self.functions[*callee].shape == self.functions[index].shape;
            if let Some(callee) = (0..first).rfind(answers_alike) {
                return Body::Delegate(callee);
            }
        }
        let mut acts = Vec::new();
        for _ in 0..random.rand_range(0..7) {
            acts.push(self.act(random, index, kind, first));
        }
        if kind == Kind::Wasm {
            self.agree(index, &mut acts);
        }
        Body::Acts(acts)
    }

    fn act(&mut self, random: &mut Rand32, index: usize, kind: Kind, first: usize) -> Act {
        let roll = random.rand_range(0..100);
        if kind == Kind::Plain {
            return if roll < 12 { Act::Fail } else { Act::Note };
        }
        match roll {
            0..16 => Act::Note,
            16..32 => Act::Yield,
            32..54 => {
                let wait = self.wait(random);
                Act::Wait { wait, handled: random.rand_range(0..5) > 0 }
            }
            54..84 => match self.callee(random, index, kind, first) {
                Some(callee) => Act::Call { callee, handled: random.rand_range(0..3) > 0 },
                None => Act::Note,
            },
            84 | 85 => Act::Fail,
            _ if kind == Kind::Wasm => Act::Standard(match random.rand_range(0..4) {
                0 => Standard::Reached,
                1 => Standard::Expired,
                2 => Standard::Later,
                _ => Standard::Sleep,
            }),
            86..92 => Act::Await(one_of(random, &[0, 1, 3, POLLS_LATER, POLLS_LATER])),
            92..96 if kind == Kind::Async => Act::Race(one_of(random, &[0, 1, 2, POLLS_LATER])),
            _ => match self.callee(random, index, kind, first) {
                Some(callee) if kind == Kind::Async => Act::Both { callee, wait: self.wait(random) },
                _ => Act::Yield,
            },
        }
    }

    fn callee(&self, random: &mut Rand32, index: usize, kind: Kind, first: usize) -> Option<usize> {
        // Within its module a program calls without the driver; a buffer is a handle there.
        let can = |callee: &usize| match (kind, self.functions[*callee].shape) {
            (Kind::Wasm, Shape::Spans) => false,
            (Kind::Wasm, shape) => *callee < first || shape != Shape::Bytes,
            _ => *callee < first,
        };
        let callees: Vec<usize> = (0..index).filter(can).collect();
        // The nearer ones more often: chains become deep.
        let count = callees.len() as u32;
        (count > 0).then(|| callees[random.rand_range(0..count).max(random.rand_range(0..count)) as usize])
    }

    /// A program imports a function either with failures told or not, and few shapes can tell them.
    fn agree(&self, index: usize, acts: &mut [Act]) {
        let module = &self.modules[self.functions[index].module];
        let before = module.functions.start..index;
        let said: Vec<Act> = before.flat_map(|function| self.acts(function).to_vec()).collect();
        for at in 0..acts.len() {
            let Act::Call { callee, handled } = acts[at] else { continue };
            let shape = self.functions[callee].shape;
            let can =
                callee < module.functions.start && matches!(shape, Shape::References | Shape::Nothing | Shape::Bytes);
            let mut earlier = said.iter().chain(&acts[..at]);
            let first = earlier.find_map(|act| match act {
                Act::Call { callee: other, handled } if *other == callee => Some(*handled),
                _ => None,
            });
            acts[at] = Act::Call { callee, handled: first.unwrap_or(handled && can) };
        }
    }

    /// Has some functions call any other one.
    fn go_back(&mut self, random: &mut Rand32) {
        for index in 0..self.functions.len() {
            if !matches!(self.kind(index), Kind::Async | Kind::Hand) || random.rand_range(0..6) != 0 {
                continue;
            }
            let callee = random.rand_range(0..self.functions.len() as u32) as usize;
            let handled = flip(random);
            if let Body::Acts(acts) = &mut self.functions[index].body {
                acts.push(Act::Back { callee, handled });
            }
        }
    }

    /// What a function does; of one that delegates nothing.
    pub fn acts(&self, function: usize) -> &[Act] {
        match &self.functions[function].body {
            Body::Acts(acts) => acts,
            Body::Delegate(_) => &[],
        }
    }

    fn wait(&mut self, random: &mut Rand32) -> usize {
        self.waits.push(wait(random));
        self.waits.len() - 1
    }
}

fn flip(random: &mut Rand32) -> bool {
    random.rand_range(0..2) == 0
}

fn shape(random: &mut Rand32, kind: Kind) -> Shape {
    match random.rand_range(0..12) {
        0..4 => Shape::Mixed,
        4 | 5 => Shape::Numbers,
        6 | 7 => Shape::References,
        8 if kind != Kind::Wasm => Shape::Spans,
        9 => Shape::Nothing,
        10 => Shape::Bytes,
        _ => Shape::Mixed,
    }
}

fn one_of<T: Copy>(random: &mut Rand32, all: &[T]) -> T {
    all[random.rand_range(0..all.len() as u32) as usize]
}

const NOW: [Source; 4] = [Source::Immediate, Source::Reached, Source::FrontierReached, Source::Time(When::Past)];
const LATER: [Source; 8] = [
    Source::Later,
    Source::FrontierLater,
    Source::EventLater,
    Source::Timer,
    Source::Polls(1),
    Source::Polls(3),
    Source::Time(When::Soon),
    Source::Invocation { fails: false },
];
const FAILS: [(Source, Why); 3] = [
    (Source::Failed, Why::Semaphore),
    (Source::FrontierFailed, Why::Frontier),
    (Source::Invocation { fails: true }, Why::Invocation),
];
const HOPELESS: [Source; 4] = [Source::Never, Source::FrontierNever, Source::EventNever, Source::Time(When::Far)];

/// A wait whose outcome is certain: of what comes to pass at some time there is one for a wait for any, behind what
/// never does; and a deadline that passes stands beside what never comes.
fn wait(random: &mut Rand32) -> Wait {
    let deadline = |random: &mut Rand32| flip(random).then_some(When::Far);
    let expires = |random: &mut Rand32| Some(one_of(random, &[When::Past, When::Soon]));
    let some = |random: &mut Rand32, of: &[Source], most: u32| {
        (0..random.rand_range(0..most + 1)).map(|_| one_of(random, of)).collect::<Vec<_>>()
    };
    match random.rand_range(0..9) {
        0 => {
            let sources = vec![Source::Time(one_of(random, &[When::Past, When::Soon]))];
            Wait { kind: WaitKind::Until, sources, deadline: None, outcome: Ok(0) }
        }
        1..5 => {
            let mut sources = some(random, &HOPELESS, 2);
            let index = sources.len();
            let (deadline, outcome) = match random.rand_range(0..6) {
                0 | 1 => {
                    sources.push(one_of(random, &NOW));
                    sources.extend(some(random, &LATER, 2));
                    // What has come to pass counts before a deadline that has passed as well.
                    (one_of(random, &[None, Some(When::Far), Some(When::Past), Some(When::Past)]), Ok(index))
                }
                2 | 3 => {
                    sources.push(one_of(random, &LATER));
                    sources.extend(some(random, &HOPELESS, 2));
                    (deadline(random), Ok(index))
                }
                4 => {
                    let (source, why) = one_of(random, &FAILS);
                    sources.push(source);
                    sources.extend(some(random, &HOPELESS, 1));
                    (deadline(random), Err(why))
                }
                _ => {
                    sources.push(one_of(random, &HOPELESS));
                    (expires(random), Err(Why::Deadline))
                }
            };
            Wait { kind: WaitKind::Any, sources, deadline, outcome }
        }
        _ => {
            let mut sources = some(random, &NOW, 2);
            sources.extend(some(random, &LATER, 2));
            let (deadline, outcome) = match random.rand_range(0..6) {
                0..4 => (deadline(random), Ok(0)),
                4 => {
                    let (source, why) = one_of(random, &FAILS);
                    sources.extend(some(random, &HOPELESS, 1));
                    let place = random.rand_range(0..sources.len() as u32 + 1) as usize;
                    sources.insert(place, source);
                    (deadline(random), Err(why))
                }
                _ => {
                    sources.push(one_of(random, &HOPELESS));
                    (expires(random), Err(Why::Deadline))
                }
            };
            Wait { kind: WaitKind::All, sources, deadline, outcome }
        }
    }
}

/// A line for each thing.
impl std::fmt::Display for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "concurrent: {}", self.concurrent)?;
        self.modules.iter().enumerate().try_for_each(|(number, module)| writeln!(f, "m{number} {module:?}"))?;
        self.functions.iter().enumerate().try_for_each(|(number, function)| writeln!(f, "f{number} {function:?}"))?;
        self.waits.iter().enumerate().try_for_each(|(number, wait)| writeln!(f, "wait {number} {wait:?}"))
    }
}
