//! A graph as modules of a context, what its root is called with, and what a call came to in words that compare.

use std::sync::Arc;

use oorandom::Rand32;
use proact::sync::Semaphore;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::standard;
use proact_vm::wasm::WasmModule;
use proact_vm::{
    Access, Buffer, Context, ElementType, FrameKind, Function, Instance, InvocationOptions, List, Ref, Result, Value,
};

use crate::by_hand;
use crate::drive::PATIENCE;
use crate::graph::{Graph, Kind, Shape};
use crate::model::{Disturbed, Failure, Model, Outcome, Plain, root_inputs};
use crate::native::{self, Kept};
use crate::program;
use crate::shape::{self, DEPTHS};
use crate::world::{Token, WORDS, World};

/// A graph whose programs are compiled.
pub struct Compiled {
    pub graph: Arc<Graph>,
    programs: Vec<Option<Arc<WasmModule>>>,
}

/// Acts and stops of a graph: fewer tell nothing, more take long.
const STEPS: std::ops::Range<usize> = 15..250;

/// The first of a seed's graphs that is neither small nor large.
pub fn of_seed(seed: u64) -> Graph {
    let mut random = Rand32::new(seed);
    loop {
        let graph = Graph::random(&mut random);
        if STEPS.contains(&Model::size(&graph, &WORDS, STEPS.end + 1)) {
            return graph;
        }
    }
}

impl Compiled {
    /// The seed's graph.
    pub fn of_seed(seed: u64) -> Compiled {
        let graph = Arc::new(of_seed(seed));
        let program =
            |number: usize| (graph.modules[number].kind == Kind::Wasm).then(|| program::module(&graph, number));
        Compiled { programs: (0..graph.modules.len()).map(program).collect(), graph }
    }

    /// A context of it, in a world.
    pub fn stage(&self, world: Arc<World>) -> Stage {
        let builder = Context::builder(&Instance::new()).growable();
        let context = if self.graph.concurrent { builder.concurrent() } else { builder }.build().unwrap();
        for module in standard::modules(&standard::Host::new()).unwrap() {
            context.register(module).unwrap();
        }
        context.register(around(&world)).unwrap();
        let mut functions: Vec<(usize, Function)> = Vec::new();
        for (number, module) in self.graph.modules.iter().enumerate() {
            context.register(self.module(number, &world, &functions)).unwrap_or_else(|error| panic!("{error}"));
            for function in module.functions.clone() {
                functions.push((function, context.lookup(&self.graph.name(function)).unwrap()));
            }
        }
        let functions: Vec<_> = functions.into_iter().map(|(_, function)| function).collect();
        let root = functions[self.graph.root()].clone();
        *world.table.lock().unwrap() = functions;
        Stage { world, context, root }
    }

    fn module(&self, number: usize, world: &Arc<World>, functions: &[(usize, Function)]) -> Arc<dyn Module> {
        if let Some(program) = &self.programs[number] {
            return program.clone();
        }
        let module = &self.graph.modules[number];
        let mut builder = NativeModule::builder(format!("m{number}"));
        for callee in native::imported(&self.graph, number) {
            builder = builder.import(&self.graph.name(callee), self.graph.functions[callee].shape.convention());
        }
        let before = Arc::new(functions.to_vec());
        for index in module.functions.clone() {
            builder = match module.kind {
                Kind::Plain => native::add_plain(builder, world, index),
                Kind::Async => native::add_async(builder, world, index),
                Kind::Hand => by_hand::add(builder, world, &before, index),
                Kind::Wasm => unreachable!("it is among the programs"),
            };
        }
        builder.build().unwrap()
    }
}

/// The module that gives programs what is around them.
fn around(world: &Arc<World>) -> Arc<dyn Module> {
    let [note, token, reached, never, gate] = [(); 5].map(|()| world.clone());
    let mut builder = NativeModule::builder("world")
        .function("note", move |_: &(), at: i32, index: i32, sum: i64| note.note((at, index as usize, sum)))
        .function("token", move |_: &(), value: i64| token.token(value))
        .function("value", |_: &(), kept: Kept| native::value(&kept))
        .function("fail", |_: &(), index: i32| Err::<(), _>(native::fails(index as usize)))
        .function("reached", move |_: &()| Arc::new(reached.reached.clone()))
        .function("never", move |_: &()| Arc::new(never.never.clone()))
        .function("gate", move |_: &()| -> Arc<Semaphore> { Arc::new(gate.gate()) });
    for name in ["wait", "wait_told"] {
        let world = world.clone();
        builder = builder.async_function(name, move |caller: Caller<()>, wait: i32| {
            let world = world.clone();
            async move {
                let frame = world.frame(wait as usize, caller.clock());
                caller.wait(frame).await.map(|index| index as i64)
            }
        });
    }
    builder.build().unwrap()
}

/// A context of a graph, in a world.
pub struct Stage {
    pub world: Arc<World>,
    pub context: Context,
    pub root: Function,
}

/// What the root is called with. The buffer is among the values, for shapes that write one.
pub struct Given {
    pub values: Vec<Value>,
    buffer: Option<Arc<Buffer>>,
}

impl Stage {
    pub fn inputs(&self, run: i32) -> Given {
        let (sum, token) = root_inputs();
        let kept = || token.map_or(Value::Ref(Ref::NULL), |value| Value::from(self.world.token(value)));
        let mut values = vec![Value::I32(run * DEPTHS)];
        let mut buffer = None;
        match self.world.graph.functions[self.world.graph.root()].shape {
            Shape::Mixed => values.extend([Value::I64(sum), kept()]),
            Shape::Numbers => {
                let numbers = [Value::I32(sum as i32), Value::F32(shape::small(sum)), Value::F64(shape::half(sum))];
                values.extend(numbers);
            }
            Shape::References => {
                let first = kept();
                let second = if shape::is_twice(sum) { first.clone() } else { Value::Ref(Ref::NULL) };
                values.extend([first, second]);
            }
            Shape::Spans => {
                let (numbers, tuples) = shape::spans(sum);
                let (list, outer) = (List::new(ElementType::I64), List::new(ElementType::Ref));
                numbers.into_iter().for_each(|number| list.push(Value::I64(number)).unwrap());
                for (a, c) in tuples {
                    let tuple = List::new(ElementType::Any);
                    [Value::I32(a), kept(), Value::F64(c)].into_iter().for_each(|value| tuple.push(value).unwrap());
                    outer.push(Value::from(Arc::new(tuple))).unwrap();
                }
                values.extend([Value::from(Arc::new(list)), Value::from(Arc::new(outer))]);
            }
            Shape::Nothing => {}
            Shape::Bytes => {
                let own = Arc::new(Buffer::new(sum.to_le_bytes(), Access::Mutable));
                values.push(Value::from(own.clone()));
                buffer = Some(own);
            }
        }
        Given { values, buffer }
    }

    /// What a run came to.
    pub fn outcome(&self, run: i32, given: &Given, result: Result<Vec<Value>>) -> Outcome {
        let written = given.buffer.as_ref().filter(|_| result.is_ok()).map(|buffer| native::number_in(buffer));
        let result = match result {
            Ok(outputs) => Ok(outputs.iter().map(plain).collect()),
            Err(error) => {
                let frames = error.backtrace().iter();
                // What was waited for when a call was ended from outside is not the model's.
                let functions = frames.filter(|frame| frame.kind != FrameKind::Wait).inspect(|frame| {
                    let is_program = frame.function.split_once(".f").is_some_and(|(_, number)| {
                        number.parse().is_ok_and(|number: usize| self.world.graph.kind(number) == Kind::Wasm)
                    });
                    assert_eq!(frame.kind == FrameKind::Program, is_program, "{frame}");
                });
                let functions = functions.map(|frame| frame.function.clone()).collect();
                Err(Failure { code: error.code(), words: without_numbers(&error.to_string()), functions })
            }
        };
        Outcome { result, written, notes: self.world.take_notes(run) }
    }

    /// Of a call that has failed nothing is left before its end is taken: what there is was given to it.
    pub fn only_inputs(&self) {
        let shape = self.world.graph.functions[self.world.graph.root()].shape;
        let given = usize::from(matches!(shape, Shape::Mixed | Shape::References | Shape::Spans));
        let count = || self.world.count.get();
        let since = std::time::Instant::now();
        while self.world.has_others() && count() > given && since.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert!(count() <= given, "{} references of a call that has failed", count());
    }

    /// Nothing of a call that is over may be left.
    pub fn check(&self, what: &str) {
        self.world.take_notes(0);
        self.world.settle(what);
    }

    /// Ends the context: nothing may be left of anything.
    pub fn end(self, what: &str) {
        let Stage { world, context, root } = self;
        world.table.lock().unwrap().clear();
        drop((context, root));
        world.settle(what);
        assert_eq!(Arc::strong_count(&world), 1, "{what}: something holds the world");
    }
}

fn plain(value: &Value) -> Plain {
    match value {
        Value::I32(number) => Plain::I32(*number),
        Value::I64(number) => Plain::I64(*number),
        Value::F32(number) => Plain::F32(*number),
        Value::F64(number) => Plain::F64(*number),
        Value::Ref(reference) if reference.is_null() => Plain::Token(None),
        Value::Ref(reference) => Plain::Token(Some(reference.get::<Token>().unwrap().value)),
        other => panic!("{other:?}"),
    }
}

/// The words with `#` for the number of a call.
fn without_numbers(words: &str) -> String {
    let mut all = words.split('#');
    let mut plain = String::from(all.next().unwrap_or_default());
    for part in all {
        plain.push('#');
        plain.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    }
    plain
}

/// What the model says of a run.
pub fn model(graph: &Graph, disturbed: Disturbed, run: i32) -> Outcome {
    Model::new(graph, &WORDS, disturbed).root(run)
}

/// The options of calls whose deadline has passed when they begin.
pub fn late() -> InvocationOptions {
    InvocationOptions::new().deadline(proact::time::Timeout::Immediate)
}
