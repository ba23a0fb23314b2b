//! Functions in Rust: plain ones, and `async fn`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use proact::status::Code;
use proact_vm::module::native::{Caller, NativeBuilder};
use proact_vm::wait::WaitSource;
use proact_vm::{Access, Buffer, Error, FrameKind, Function, Ref, Result};

use crate::graph::{Act, BACK_DEPTH_MAX, Graph, Shape};
use crate::shape::{self, Answered, DEPTHS, Given};
use crate::world::{Own, Token, World};

pub type Kept = Option<Arc<Token>>;

pub fn value(kept: &Kept) -> i64 {
    kept.as_ref().map_or(shape::NULL, |token| token.value)
}

/// What `Fail` fails with.
pub fn fails(index: usize) -> Error {
    Error::new(Code::DataLoss, format!("function {index} fails"))
}

/// What a function answers, whatever its shape.
pub struct Returned {
    pub sum: i64,
    pub kept: Kept,
}

impl Returned {
    pub fn new(world: &World, sum: i64, kept: Kept) -> Returned {
        let kept = match shape::answered(sum) {
            Answered::Kept => kept,
            Answered::Fresh => Some(world.token(sum)),
            Answered::Null => None,
        };
        Returned { sum, kept }
    }
}

pub fn number_in(buffer: &Buffer) -> i64 {
    let mut bytes = [0; 8];
    buffer.read(0, &mut bytes).unwrap();
    i64::from_le_bytes(bytes)
}

/// Adds a function of that shape: `$run` makes of what it begins with, and the world, an answer.
macro_rules! add {
    ($builder:ident . $add:ident, $name:ident, $shape:expr, ($($caller:ident: $type:ty)?), $map:ident! $run:tt) => {
        match $shape {
            Shape::Mixed => $builder.$add(&$name, move |$($caller: $type,)? at: i32, sum: i64, kept: Kept| {
                let given = Given { at, sum: shape::mixed_given(sum, value(&kept)), kept: Some(kept) };
                $map!($run, given, |returned: Returned| (returned.sum, returned.kept))
            }),
            Shape::Numbers => $builder.$add(&$name, move |$($caller: $type,)? at: i32, a: i32, b: f32, c: f64| {
                let given = Given { at, sum: shape::numbers_given(a, b, c), kept: None };
                $map!($run, given, |returned: Returned| {
                    (shape::half(returned.sum), returned.sum, shape::small(returned.sum))
                })
            }),
            Shape::References => $builder.$add(&$name, move |$($caller: $type,)? at: i32, kept: Kept, second: Kept| {
                let sum = shape::references_given(value(&kept), value(&second));
                let given = Given { at, sum, kept: Some(kept) };
                $map!($run, given, |returned: Returned| returned.kept)
            }),
            Shape::Spans => $builder.$add(
                &$name,
                move |$($caller: $type,)? at: i32, numbers: Vec<i64>, tuples: Vec<(i32, Kept, f64)>| {
                    let tuples = tuples.iter().map(|(a, kept, c)| (*a, value(kept), *c));
                    let given = Given { at, sum: shape::spans_given(&numbers, tuples), kept: None };
                    $map!($run, given, |returned: Returned| (returned.sum as i32, returned.sum))
                },
            ),
            Shape::Nothing => $builder.$add(&$name, move |$($caller: $type,)? at: i32| {
                let given = Given { at, sum: shape::NOTHING_GIVEN, kept: None };
                $map!($run, given, |_returned: Returned| ())
            }),
            Shape::Bytes => $builder.$add(&$name, move |$($caller: $type,)? at: i32, buffer: Arc<Buffer>| {
                let given = Given { at, sum: number_in(&buffer), kept: None };
                $map!($run, given, move |returned: Returned| {
                    buffer.write(0, &returned.sum.to_le_bytes()).unwrap();
                    shape::bytes_result(returned.sum)
                })
            }),
        }
    };
}

macro_rules! at_once {
    ($run:ident, $given:ident, $answer:expr) => {
        $run($given).map($answer)
    };
}

pub fn add_plain(builder: NativeBuilder<()>, world: &Arc<World>, index: usize) -> NativeBuilder<()> {
    let (name, world) = (format!("f{index}"), world.clone());
    let shape = world.graph.functions[index].shape;
    let run = move |given: Given<Arc<Token>>| {
        let (sum, kept) = begun(&world, index, &given);
        for act in world.graph.acts(index) {
            match act {
                Act::Note => world.note((given.at, index, sum)),
                Act::Fail => return Err(fails(index)),
                other => unreachable!("{other:?} of a plain function"),
            }
        }
        Ok::<_, Error>(Returned::new(&world, sum, kept))
    };
    add!(builder.function, name, shape, (_state: &()), at_once! run)
}

/// The sum and the reference that a function begins with.
pub fn begun(world: &World, index: usize, given: &Given<Arc<Token>>) -> (i64, Kept) {
    let sum = given.sum.wrapping_add(index as i64);
    let kept = given.kept.clone().unwrap_or_else(|| Some(world.token(sum)));
    (sum, kept)
}

macro_rules! later {
    (($caller:ident, $world:ident, $index:ident), $given:ident, $answer:expr) => {{
        let run = run($caller, $world.clone(), $index, $given);
        async move { run.await.map($answer) }
    }};
}

pub fn add_async(builder: NativeBuilder<()>, world: &Arc<World>, index: usize) -> NativeBuilder<()> {
    let (name, world) = (format!("f{index}"), world.clone());
    let shape = world.graph.functions[index].shape;
    add!(builder.async_function, name, shape, (caller: Caller<()>), later!(caller, world, index))
}

/// The functions that a module imports, each once, in the order of their imports.
pub fn imported(graph: &Graph, module: usize) -> Vec<usize> {
    let module = &graph.modules[module];
    let mut imports = Vec::new();
    for function in module.functions.clone() {
        for act in graph.acts(function) {
            if let Act::Call { callee, .. } | Act::Both { callee, .. } = act {
                if *callee < module.functions.start && !imports.contains(callee) {
                    imports.push(*callee);
                }
            }
        }
    }
    imports
}

async fn run(caller: Caller<()>, world: Arc<World>, index: usize, given: Given<Arc<Token>>) -> Result<Returned> {
    let held = world.count.one();
    let (mut sum, kept) = begun(&world, index, &given);
    let at = given.at;
    let imports = imported(&world.graph, world.graph.functions[index].module);
    let import = |callee: usize| caller.import(imports.iter().position(|import| *import == callee).unwrap());
    for act in world.graph.acts(index) {
        match *act {
            Act::Note => world.note((at, index, sum)),
            Act::Yield => caller.yield_now().await?,
            Act::Wait { wait, handled } => {
                sum = match caller.wait(world.frame(wait, caller.clock())).await {
                    Ok(index) => shape::waited(sum, index as i64),
                    Err(error) if handled => shape::wait_failed(sum, error.code() as i32),
                    Err(error) => return Err(error),
                };
            }
            Act::Call { callee, handled } => {
                let called = call(&caller, &world, import(callee)?, callee, (at, sum, &kept)).await;
                sum = of_call(sum, called, handled)?;
            }
            Act::Back { callee, handled } => {
                if at % DEPTHS < BACK_DEPTH_MAX {
                    let function = world.table.lock().unwrap()[callee].clone();
                    let called = call(&caller, &world, &function, callee, (at, sum, &kept)).await;
                    sum = of_call(sum, called, handled)?;
                }
            }
            Act::Fail => return Err(fails(index)),
            Act::Await(times) => {
                Own::new(&world, times).await?;
                sum = shape::awaited(sum, times);
            }
            Act::Race(times) => {
                let never = WaitSource::semaphore(&world.never, 1);
                race(caller.wait_for(never), Own::new(&world, times)).await?;
                sum = shape::awaited(sum, times);
            }
            Act::Both { callee, wait } => {
                let function = import(callee)?;
                let called = call(&caller, &world, function, callee, (at, sum, &kept));
                let (called, waited) = join(called, caller.wait(world.frame(wait, caller.clock()))).await;
                sum = shape::called(sum, called?);
                sum = shape::waited(sum, waited? as i64);
            }
            Act::Standard(_) => unreachable!("for programs"),
        }
    }
    drop(held);
    Ok(Returned::new(&world, sum, kept))
}

/// The sum of a function that handles the failure of another one.
pub fn call_failed(sum: i64, error: &Error) -> i64 {
    let functions = error.backtrace().iter().filter(|frame| frame.kind != FrameKind::Wait);
    let frames = shape::frames(functions.map(|frame| &*frame.function));
    shape::call_failed(sum, error.code() as i32).wrapping_add(frames)
}

fn of_call(sum: i64, called: Result<i64>, handled: bool) -> Result<i64> {
    match called {
        Ok(taken) => Ok(shape::called(sum, taken)),
        Err(error) if handled => Ok(call_failed(sum, &error)),
        Err(error) => Err(error),
    }
}

/// Calls a function of any shape, and answers what is taken of its results.
async fn call(
    caller: &Caller<()>,
    world: &World,
    function: &Function,
    callee: usize,
    (at, sum, kept): (i32, i64, &Kept),
) -> Result<i64> {
    let at = at + 1;
    match world.graph.functions[callee].shape {
        Shape::Mixed => {
            let (sum, token): (i64, Kept) = caller.call(function, (at, sum, kept.clone())).await?;
            Ok(shape::mixed_taken(sum, value(&token)))
        }
        Shape::Numbers => {
            let given = (at, sum as i32, shape::small(sum), shape::half(sum));
            let (a, b, c): (f64, i64, f32) = caller.call(function, given).await?;
            Ok(shape::numbers_taken(a, b, c))
        }
        Shape::References => {
            let second = kept.clone().filter(|_| shape::is_twice(sum));
            let token: Kept = caller.call(function, (at, kept.clone(), second)).await?;
            Ok(value(&token))
        }
        Shape::Spans => {
            let (numbers, tuples) = shape::spans(sum);
            let tuples: Vec<_> = tuples.into_iter().map(|(a, c)| (a, kept.clone(), c)).collect();
            let (a, b): (i32, i64) = caller.call(function, (at, numbers, tuples)).await?;
            Ok(shape::spans_taken(a, b))
        }
        Shape::Nothing => caller.call(function, (at,)).await.map(|()| shape::NOTHING_TAKEN),
        Shape::Bytes => {
            let buffer = Arc::new(Buffer::new(sum.to_le_bytes(), Access::Mutable));
            let result: i32 = caller.call(function, (at, Ref::from(buffer.clone()))).await?;
            Ok(shape::bytes_taken(result, number_in(&buffer)))
        }
    }
}

/// Polls both, each time, until both are over.
async fn join<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            if let Poll::Ready(output) = one.as_mut().poll(cx) {
                first = Some(output);
            }
        }
        if second.is_none() {
            if let Poll::Ready(output) = other.as_mut().poll(cx) {
                second = Some(output);
            }
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.take().unwrap(), second.take().unwrap())
}

/// The first of both that is over; the other one is given up.
async fn race(one: impl Future<Output = Result>, other: impl Future<Output = Result>) -> Result {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await
}
