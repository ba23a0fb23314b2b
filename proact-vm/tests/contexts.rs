//! Who is asked for a function by name, and what becomes of modules.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use proact::status::Code;
use proact_vm::module::native::{Caller, NativeBuilder, NativeModule};
use proact_vm::module::{Module, Signal};
use proact_vm::{Context, Error, Instance, InvocationOptions, InvocationState, Overlap, Step, Value};
use support::{Count, context, done, waiting};

fn answering(name: &str, functions: &[&str], answer: i32) -> NativeBuilder<()> {
    let module = NativeModule::builder(name);
    functions.iter().fold(module, |module, function| module.function(function, move |_: &()| answer))
}

fn ask(context: &Context, name: &str) -> Result<i32, Code> {
    let mut outputs = Vec::new();
    let function = context.lookup(name).map_err(|error| error.code())?;
    context.invoke(&function, &(), &mut outputs).map_err(|error| error.code())?;
    Ok(outputs[0].i32().unwrap())
}

fn growable() -> Context {
    Context::builder(&Instance::new()).growable().build().unwrap()
}

#[test]
fn a_name_is_split_at_its_first_dot_and_the_last_module_of_that_name_is_asked_alone() {
    let context = growable();
    context.register(answering("a", &["f", "g", "x.y"], 1).build().unwrap()).unwrap();
    context.register(answering("b", &["f"], 2).build().unwrap()).unwrap();
    assert_eq!((ask(&context, "a.f"), ask(&context, "a.g"), ask(&context, "b.f")), (Ok(1), Ok(1), Ok(2)));
    assert_eq!(ask(&context, "a.x.y"), Ok(1));
    context.register(answering("a", &["f"], 3).build().unwrap()).unwrap();
    assert_eq!(ask(&context, "a.f"), Ok(3));
    assert_eq!(ask(&context, "a.g"), Err(Code::NotFound), "only the last module of the name is asked");
    context.freeze();
    assert_eq!((ask(&context, "a.f"), ask(&context, "a.g"), ask(&context, "b.f")), (Ok(3), Err(Code::NotFound), Ok(2)));
}

#[test]
fn a_name_that_leads_nowhere_is_told_apart_by_its_code_and_words() {
    let context = context([answering("a", &["f"], 1).build().unwrap()]);
    let error = |name: &str| {
        let error = context.lookup(name).unwrap_err();
        (error.code(), error.to_string())
    };
    assert_eq!(error("f").0, Code::InvalidArgument);
    assert_eq!(error("").0, Code::InvalidArgument);
    assert_eq!(error("a.g").1, "\"a.g\": the module has no such function (NOT_FOUND)");
    assert_eq!(error("c.g").1, "\"c.g\": no such module (NOT_FOUND)");
    assert_eq!(error("a.").0, Code::NotFound);
    assert_eq!(error(".f").0, Code::NotFound);
}

#[test]
fn a_frozen_context_takes_no_more() {
    let frozen = context([]);
    let error = frozen.register(answering("a", &["f"], 1).build().unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    let context = growable();
    assert!(!context.is_frozen());
    context.freeze();
    context.freeze();
    assert!(context.is_frozen());
    assert!(context.register(answering("a", &["f"], 1).build().unwrap()).is_err());
}

#[test]
fn names_that_are_no_module_s_are_refused() {
    let context = growable();
    for name in ["", "a.b", "."] {
        let error = context.register(answering(name, &["f"], 1).build().unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{name:?}");
    }
    let twice = answering("a", &["f", "f"], 1).build().unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    assert!(NativeModule::builder("a").import("b.f", "0x").build().is_err());
    let wrong = answering("a", &["__init"], 1).build().unwrap();
    assert_eq!(context.register(wrong).unwrap_err().code(), Code::InvalidArgument, "it answers something");
}

#[test]
fn dependencies_are_there_and_new_enough_or_optional() {
    let context = growable();
    context.register(answering("base", &["f"], 1).version(3).build().unwrap()).unwrap();
    let depend = |version, optional| {
        let module = answering("a", &["f"], 1);
        let module = match optional {
            true => module.may_depend_on("base", version),
            false => module.depends_on("base", version),
        };
        context.register(module.build().unwrap()).map_err(|error| error.code())
    };
    assert_eq!(depend(3, false), Ok(()));
    assert_eq!(depend(2, true), Ok(()));
    assert_eq!(depend(4, false), Err(Code::NotFound));
    assert_eq!(depend(4, true), Err(Code::NotFound), "what is there must do");
    let absent = answering("a", &[], 1).depends_on("absent", 0).build().unwrap();
    assert_eq!(context.register(absent).unwrap_err().code(), Code::NotFound);
    context.register(answering("a", &[], 1).may_depend_on("absent", 7).build().unwrap()).unwrap();
}

#[test]
fn imports_are_of_their_convention_or_optional() {
    let context = growable();
    context.register(answering("base", &["f"], 5).build().unwrap()).unwrap();
    let import = |name: &str, convention: &str, optional| {
        let module = NativeModule::builder("a");
        let module = match optional {
            true => module.optional_import(name, convention),
            false => module.import(name, convention),
        };
        let module = module.async_function("f", |caller: Caller<()>| async move {
            match caller.import(0) {
                Ok(function) => caller.call::<_, i32>(function, ()).await,
                Err(error) if error.code() == Code::NotFound => Ok(-1),
                Err(error) => Err(error),
            }
        });
        context.register(module.build().unwrap()).map_err(|error| error.code())?;
        ask(&context, "a.f")
    };
    assert_eq!(import("base.f", "0v_i", false), Ok(5));
    assert_eq!(import("base.g", "0_i", true), Ok(-1));
    assert_eq!(import("absent.f", "0_i", true), Ok(-1));
    assert_eq!(import("base.g", "0_i", false), Err(Code::NotFound));
    assert_eq!(import("absent.f", "0_i", false), Err(Code::NotFound));
    assert_eq!(import("base.f", "0_I", false), Err(Code::Internal));
    assert_eq!(import("base.f", "0_I", true), Err(Code::Internal), "what is there must fit");
    assert_eq!(import("f", "0_i", true), Err(Code::InvalidArgument));
}

type Log = Arc<Mutex<Vec<String>>>;

fn logging(name: &'static str, log: &Log, fails: bool) -> Arc<dyn Module> {
    let (started, ended, heard) = (log.clone(), log.clone(), log.clone());
    let notified = log.clone();
    NativeModule::builder(name)
        .initializer(move |_: Caller<()>| {
            started.lock().unwrap().push(format!("init {name}"));
            async move { if fails { Err(Error::new(Code::DataLoss, "no")) } else { Ok(()) } }
        })
        .deinitializer(move |_: Caller<()>| {
            ended.lock().unwrap().push(format!("deinit {name}"));
            async {}
        })
        .notify(move |(), signal| {
            heard.lock().unwrap().push(format!("{signal:?} {name}"));
            Ok(())
        })
        .function("__notify", move |_: &(), signal: i32| notified.lock().unwrap().push(format!("__{signal} {name}")))
        .build()
        .unwrap()
}

#[test]
fn modules_begin_and_end_and_are_told_in_their_orders() {
    let log = Log::default();
    let context = context([logging("a", &log, false), logging("b", &log, false)]);
    let taken = || std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(taken(), ["init a", "init b"]);
    context.notify(Signal::Resume).unwrap();
    assert_eq!(taken(), ["Resume a", "__0 a", "Resume b", "__0 b"]);
    context.notify(Signal::Suspend).unwrap();
    assert_eq!(taken(), ["__1 b", "Suspend b", "__1 a", "Suspend a"]);
    context.notify(Signal::LowMemory).unwrap();
    assert_eq!(taken(), ["__2 b", "LowMemory b", "__2 a", "LowMemory a"]);
    let fork = context.fork().unwrap();
    assert_eq!(taken(), ["Fork a", "__3 a", "Fork b", "__3 b"], "and no initializers");
    drop(context);
    assert_eq!(taken(), ["deinit b", "deinit a"]);
    fork.close().unwrap();
    assert_eq!(taken(), ["deinit b", "deinit a"]);
}

#[test]
fn a_context_whose_modules_fail_to_begin_ends_those_that_have_begun() {
    let log = Log::default();
    let modules = [logging("a", &log, false), logging("b", &log, true), logging("c", &log, false)];
    let builder = Context::builder(&Instance::new());
    let error = modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert!(error.to_string().starts_with("module \"b\": no"), "{error}");
    assert_eq!(*log.lock().unwrap(), ["init a", "init b", "deinit b", "deinit a"]);
}

#[test]
fn a_module_that_failed_to_begin_leaves_the_context_as_it_was() {
    let log = Log::default();
    let context = growable();
    context.register(answering("b", &["f"], 1).build().unwrap()).unwrap();
    assert!(context.register(logging("b", &log, true)).is_err());
    assert_eq!(ask(&context, "b.f"), Ok(1));
}

#[test]
fn the_state_lives_as_long_as_the_context_and_what_is_in_it() {
    let count = Count::default();
    let counted = count.clone();
    let module = NativeModule::with_state("m", move || Ok(counted.one()))
        .async_function("f", |caller: Caller<support::Counted>| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(caller.count().get() as i32)
        })
        .build()
        .unwrap();
    let mut state = InvocationState::new();
    assert_eq!(count.get(), 0, "no state without a context");
    let context = context([module]);
    assert_eq!(count.get(), 1);
    let function = context.lookup("m.f").unwrap();
    let step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
    drop((context, function));
    assert_eq!(count.get(), 1, "an invocation holds its context");
    let mut outputs = Vec::new();
    step.finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!((count.get(), outputs), (0, vec![Value::I32(1)]));
}

fn stopping() -> Arc<dyn Module> {
    NativeModule::builder("m")
        .async_function("f", |caller: Caller<()>, a: i32| async move { caller.yield_now().await.map(|()| a) })
        .build()
        .unwrap()
}

#[test]
fn an_overlapping_invocation_is_refused_where_the_context_says_so() {
    let builder = Context::builder(&Instance::new()).module(stopping()).overlap(Overlap::Refuse);
    let context = builder.build().unwrap();
    let f = context.lookup("m.f").unwrap();
    let options = InvocationOptions::new();
    let (mut one, mut other) = (InvocationState::new(), InvocationState::new());
    let step = context.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap();
    let refused = done(context.begin(&mut other, &f, &options, &[Value::I32(2)]).unwrap());
    let error = refused.result().unwrap_err();
    assert_eq!((error.code(), error.call()), (Code::FailedPrecondition, Some(refused.id())));
    drop(refused);
    let error = context.invoke(&f, &[Value::I32(2)], &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.call().is_some(), "{error:?}");
    drop(step);
    context.invoke(&f, &[Value::I32(2)], &mut Vec::new()).unwrap();
}

#[test]
fn an_overlapping_invocation_waits_for_its_turn_first_come_first_served() {
    let context = context([stopping()]);
    let f = context.lookup("m.f").unwrap();
    let options = InvocationOptions::new();
    let (mut one, mut other, mut third) = (InvocationState::new(), InvocationState::new(), InvocationState::new());
    let step = context.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap();
    let second = waiting(context.begin(&mut other, &f, &options, &[Value::I32(2)]).unwrap());
    let last = waiting(context.begin(&mut third, &f, &options, &[Value::I32(3)]).unwrap());
    // A host that says that it is its turn does not make it so.
    let second = waiting(second.provide(Ok(0)).resume());
    drop(step);
    let last = waiting(last.provide(Ok(0)).resume());
    let mut outputs = Vec::new();
    second.wait(Duration::from_secs(60)).resume().finish().end(&mut outputs).unwrap().unwrap();
    last.wait(Duration::from_secs(60)).resume().finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!(outputs, [Value::I32(2), Value::I32(3)]);
}

#[test]
fn a_turn_that_is_given_up_is_the_next_one_s() {
    let context = context([stopping()]);
    let f = context.lookup("m.f").unwrap();
    let options = InvocationOptions::new();
    let (mut one, mut other, mut third) = (InvocationState::new(), InvocationState::new(), InvocationState::new());
    let step = context.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap();
    let second = waiting(context.begin(&mut other, &f, &options, &[Value::I32(2)]).unwrap());
    let last = waiting(context.begin(&mut third, &f, &options, &[Value::I32(3)]).unwrap());
    drop(step);
    drop(second); // it has its turn, and never used it
    let mut outputs = Vec::new();
    last.wait(Duration::from_secs(60)).resume().finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!(outputs, [Value::I32(3)]);
    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &f, &options, &[Value::I32(1)]).unwrap();
    let late = context.invoke_with(&options.clone().deadline(Duration::ZERO), &f, &[Value::I32(2)], &mut outputs);
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    drop(step);
    context.invoke(&f, &[Value::I32(4)], &mut outputs).unwrap();
}

#[test]
fn an_invocation_from_within_on_the_same_thread_is_refused_instead_of_waiting_for_itself() {
    let itself = Arc::new(Mutex::new(None::<Context>));
    let known = itself.clone();
    let module = NativeModule::builder("m")
        .function("again", move |_: &()| {
            let context = known.lock().unwrap().clone().unwrap();
            let again = context.invoke(&context.lookup("m.again")?, &(), &mut Vec::new()).map(|()| 0);
            assert!(matches!(&again, Err(error) if error.call().is_some()), "{again:?}");
            again
        })
        .build()
        .unwrap();
    let context = context([module]);
    *itself.lock().unwrap() = Some(context.clone());
    assert_eq!(ask(&context, "m.again"), Err(Code::FailedPrecondition));
    assert_eq!(ask(&context, "m.again"), Err(Code::FailedPrecondition), "and the context goes on");
    itself.lock().unwrap().take();
}

#[test]
fn turns_are_not_lost_when_some_give_theirs_up() {
    let context = context([stopping()]);
    let begun = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (context, begun) = (&context, &begun);
            scope.spawn(move || {
                let mut random = oorandom::Rand32::new(thread);
                let f = context.lookup("m.f").unwrap();
                let mut state = InvocationState::new();
                for _ in 0..500 {
                    let step = context.begin(&mut state, &f, &InvocationOptions::new(), &[Value::I32(1)]).unwrap();
                    match (step, random.rand_range(0..3)) {
                        (step, 0) => drop(step),
                        (Step::Waiting(waiting), 1) => drop(waiting.wait(Duration::from_nanos(1))),
                        (step, _) => {
                            step.finish().end(&mut Vec::new()).unwrap().unwrap();
                            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(begun.into_inner() > 500);
    ask(&context, "m.f").unwrap_err(); // wants an input, and is told so at once: no one holds the context
    context.invoke(&context.lookup("m.f").unwrap(), &[Value::I32(1)], &mut Vec::new()).unwrap();
}

#[test]
fn invocations_of_one_context_on_many_threads_are_one_after_another() {
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let known = inside.clone();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>| {
            let inside = known.clone();
            async move {
                let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                caller.yield_now().await?;
                inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                Ok::<_, Error>(before as i32)
            }
        })
        .build()
        .unwrap();
    let context = context([module]);
    let (sender, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (context, sender) = (context.clone(), sender.clone());
            scope.spawn(move || {
                let f = context.lookup("m.f").unwrap();
                let mut outputs = Vec::new();
                (0..200).for_each(|_| context.invoke(&f, &(), &mut outputs).unwrap());
                sender.send(outputs).unwrap();
            });
        }
    });
    drop(sender);
    assert!(outcomes.iter().all(|outputs| outputs == vec![Value::I32(0); 200]));
}

#[test]
fn a_concurrent_context_lets_invocations_overlap_and_refuses_modules_that_may_not() {
    let concurrent = Context::builder(&Instance::new()).concurrent().growable().module(stopping()).build().unwrap();
    let f = concurrent.lookup("m.f").unwrap();
    let options = InvocationOptions::new();
    let (mut one, mut other) = (InvocationState::new(), InvocationState::new());
    let step = concurrent.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap();
    let second = concurrent.begin(&mut other, &f, &options, &[Value::I32(2)]).unwrap();
    let (first, second) = (step.finish(), second.finish());
    assert_ne!(first.id(), second.id(), "each invocation has an id of its own");
    drop((first, second));
    let exclusive = NativeModule::builder("e").exclusive().build().unwrap();
    assert_eq!(concurrent.register(exclusive.clone()).unwrap_err().code(), Code::FailedPrecondition);
    let single = context([exclusive, stopping()]);
    let f = single.lookup("m.f").unwrap();
    let first = single.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap().finish().id();
    let second = single.begin(&mut one, &f, &options, &[Value::I32(1)]).unwrap().finish().id();
    assert_eq!(first, second, "the context's");
}

#[test]
fn a_context_with_other_handles_is_not_closed() {
    let context = context([stopping()]);
    let other = context.clone();
    assert_eq!(context.close().unwrap_err().code(), Code::FailedPrecondition);
    other.close().unwrap();
}

#[test]
fn a_traced_context_asks_every_invocation_and_another_one_those_that_say_so() {
    let seen: Log = Arc::default();
    let told = seen.clone();
    let module = || {
        let told = told.clone();
        NativeModule::builder("m")
            .initializer(move |caller: Caller<()>| {
                told.lock().unwrap().push(caller.is_traced().to_string());
                std::future::ready(())
            })
            .async_function("f", |caller: Caller<()>| async move { caller.is_traced() })
            .build()
            .unwrap()
    };
    for traced in [true, false] {
        let builder = Context::builder(&Instance::new()).module(module());
        let context = if traced { builder.traced() } else { builder }.build().unwrap();
        assert_eq!(context.is_traced(), traced);
        assert_eq!(seen.lock().unwrap().drain(..).collect::<Vec<_>>(), [traced.to_string()]);
        for context in [context.fork().unwrap(), context] {
            let f = context.lookup("m.f").unwrap();
            let options = InvocationOptions::new();
            let mut outputs = Vec::new();
            context.invoke_with(&options.clone().traced(), &f, &(), &mut outputs).unwrap();
            context.invoke_with(&options, &f, &(), &mut outputs).unwrap();
            context.invoke(&f, &(), &mut outputs).unwrap();
            let mut state = InvocationState::new();
            for options in [options.clone().traced(), options] {
                let step = context.begin(&mut state, &f, &options, &()).unwrap();
                step.finish().end(&mut outputs).unwrap().unwrap();
            }
            let answers = [true, traced, traced, true, traced].map(|is_traced| Value::I32(is_traced.into()));
            assert_eq!(outputs, answers);
        }
    }
}

/// A module that notes its end, or that it panics there.
fn panicking(name: &'static str, log: &Log, init: bool) -> Arc<dyn Module> {
    let (begun, ended, state) = (log.clone(), log.clone(), log.clone());
    struct State(&'static str, Log);
    impl Drop for State {
        fn drop(&mut self) {
            self.1.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("state {}", self.0));
        }
    }
    NativeModule::with_state(name, move || Ok(State(name, state.clone())))
        .initializer(move |_: Caller<State>| {
            begun.lock().unwrap().push(format!("init {name}"));
            async move { assert!(!init, "on purpose") }
        })
        .deinitializer(move |_: Caller<State>| {
            ended.lock().unwrap().push(format!("deinit {name}"));
            async move { assert!(name == "fine", "on purpose") }
        })
        .build()
        .unwrap()
}

#[test]
fn a_deinitializer_that_panics_keeps_no_other_from_its_turn() {
    let unwinds = |run: Box<dyn FnOnce()>| catch_unwind(AssertUnwindSafe(run)).is_err();
    for closes in [true, false] {
        let log = Log::default();
        let modules = ["a", "fine", "b"].map(|name| panicking(name, &log, false));
        let context = context(modules);
        log.lock().unwrap().clear();
        assert!(unwinds(Box::new(move || if closes { drop(context.close()) } else { drop(context) })));
        let ended = ["deinit b", "state b", "deinit fine", "state fine", "deinit a", "state a"];
        assert_eq!(*log.lock().unwrap(), ended, "closed: {closes}");
    }
    // Also where a panic drops the context.
    let log = Log::default();
    let context = context(["a", "b"].map(|name| panicking(name, &log, false)));
    log.lock().unwrap().clear();
    assert!(unwinds(Box::new(move || {
        let _context = context;
        panic!("on purpose");
    })));
    assert_eq!(*log.lock().unwrap(), ["deinit b", "state b", "deinit a", "state a"]);
}

#[test]
fn an_initializer_that_panics_is_deinitialized_as_one_that_fails_is() {
    let (log, context) = (Log::default(), growable());
    let module = panicking("a", &log, true);
    assert!(catch_unwind(AssertUnwindSafe(|| context.register(module))).is_err());
    assert_eq!(*log.lock().unwrap(), ["init a", "deinit a", "state a"]);
    context.register(panicking("fine", &log, false)).expect("the turn is free");
}
