//! What traced calls tell, and to whose account.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::event_loop::InlineLoop;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::module::{Flow, Module};
use proact_vm::trace::{TraceEvent, Traced, Track};
use proact_vm::wait::WaitSource;
use proact_vm::{
    AsyncInvocation, Context, ContextBuilder, Error, Function, Instance, InvocationOptions, InvocationState, Policy,
    Value,
};
use support::waiting;

/// What was told, in short words: whose account, and what.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Track, u64, String)>>>);

impl Told {
    fn tracer(&self) -> impl Fn(&TraceEvent<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |event| {
            let words = match event.what {
                Traced::Begun(function) => format!("+{}", function.name()),
                Traced::Returned(function) => format!("-{}", function.name()),
                Traced::Failed(function, error) => format!("!{} {}", function.name(), error.code()),
                Traced::GivenUp(function) => format!("x{}", function.name()),
                Traced::Yielded => "yields".into(),
                Traced::Waiting(wait) => format!("waits for {} sources", wait.sources().count()),
                Traced::Resumed => "goes on".into(),
                _ => panic!("{event:?}"),
            };
            told.0.lock().unwrap().push((event.track, event.call.as_u64(), words));
        }
    }

    fn take(&self) -> Vec<(Track, u64, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The words alone.
    fn words(&self) -> Vec<String> {
        self.take().into_iter().map(|(_, _, words)| words).collect()
    }
}

fn module() -> Arc<dyn Module> {
    let reached = Semaphore::new(1);
    NativeModule::builder("m")
        .function("one", |_: &()| 1)
        .function("fails", |_: &()| Err::<(), _>(Error::new(Code::DataLoss, "torn")))
        .function("panics", |_: &()| -> () { panic!("on purpose") })
        .async_function("stops", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&reached, 1);
            async move {
                caller.yield_now().await?;
                caller.wait_for(source).await
            }
        })
        .async_function("panics_later", |caller: Caller<()>| async move {
            let _: () = caller.yield_now().await.unwrap();
            if caller.deadline().is_none() {
                panic!("on purpose");
            }
        })
        .async_function("never", |caller: Caller<()>| async move {
            caller.wait_for(WaitSource::semaphore(&Semaphore::new(0), 1)).await
        })
        .build()
        .unwrap()
}

/// Calls the functions of `m`: framed, and in its own place.
fn caller() -> Arc<dyn Module> {
    let own = NativeModule::builder("n").import("m.one", "0_i").import("m.fails", "0").import("m.stops", "0");
    own.async_function("all", |caller: Caller<()>| async move {
        let one: i32 = caller.call(caller.import(0)?, ()).await?;
        let failed = caller.call::<_, ()>(caller.import(1)?, ()).await.unwrap_err();
        caller.call::<_, ()>(caller.import(2)?, ()).await?;
        assert_eq!(failed.code(), Code::DataLoss);
        Ok::<_, Error>(one)
    })
    .build()
    .unwrap()
}

fn builder(told: &Told) -> ContextBuilder {
    Context::builder(&Instance::new()).tracer(told.tracer())
}

fn context(told: &Told) -> Context {
    builder(told).module(module()).module(caller()).build().unwrap()
}

fn traced() -> InvocationOptions {
    InvocationOptions::new().traced()
}

const ALL: [&str; 12] = [
    "+n.all",
    "+m.one",
    "-m.one",
    "+m.fails",
    "!m.fails DATA_LOSS",
    "+m.stops",
    "yields",
    "goes on",
    "waits for 1 sources",
    "goes on",
    "-m.stops",
    "-n.all",
];

#[test]
fn every_form_tells_the_same_of_a_call_short_ways_too_and_an_untraced_call_tells_nothing() {
    let told = Told::default();
    let context = context(&told);
    let function = context.lookup("n.all").unwrap();
    context.invoke(&function, &(), &mut Vec::new()).unwrap();
    context.invoke_with(&InvocationOptions::new().inline(), &function, &(), &mut Vec::new()).unwrap();
    assert!(told.take().is_empty());

    context.invoke_with(&traced(), &function, &(), &mut Vec::new()).unwrap();
    assert_eq!(told.words(), ALL, "synchronous");
    let mut state = InvocationState::new();
    let mut outputs = Vec::new();
    context.begin(&mut state, &function, &traced(), &()).unwrap().finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!(told.words(), ALL, "stepwise");
    let call = AsyncInvocation::once(|result, _| result.map(drop));
    context.invoke_on(&InlineLoop::new(), call, &function, &traced(), &()).unwrap();
    assert_eq!(told.words(), ALL, "on a loop");
    let mut future = std::pin::pin!(context.invoke_async(&function, &traced(), &()).unwrap());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while future.as_mut().poll(&mut cx).is_pending() {}
    assert_eq!(told.words(), ALL, "a future");
    let executor = Executor::polled();
    let invocation = executor.create(&context, &function, &Policy::new().traced(), &()).unwrap();
    executor.run_until_idle();
    assert!(invocation.is_finished());
    assert_eq!(told.words(), ALL, "stateful");

    // The state is used again, and nothing of the last call's tracing is left in it.
    context
        .begin(&mut state, &function, &InvocationOptions::new(), &())
        .unwrap()
        .finish()
        .end(&mut outputs)
        .unwrap()
        .unwrap();
    context.invoke(&function, &(), &mut outputs).unwrap();
    assert!(told.take().is_empty());
}

#[test]
fn an_account_is_the_call_s_own_on_whatever_thread_and_inline_that_of_who_runs_it() {
    let told = Told::default();
    let context = builder(&told).concurrent().module(module()).build().unwrap();
    let function = context.lookup("m.stops").unwrap();
    let mut state = InvocationState::new();
    for (options, own) in [(traced(), true), (traced().inline(), false)] {
        let step = context.begin(&mut state, &function, &options, &()).unwrap();
        let id = std::thread::scope(|scope| scope.spawn(|| step.finish().id()).join().unwrap());
        let events = told.take();
        assert_eq!(events.len(), 6);
        let track = if own { Track::Call(id) } else { Track::Thread };
        for (on, call, words) in events {
            assert_eq!((on, call), (track, id.as_u64()), "{words}");
        }
    }
}

/// A function that calls into another context on its own: the host's way, within which nothing of the machine stands.
fn nested(inner: &Context, options: InvocationOptions) -> Arc<dyn Module> {
    let (inner, one) = (inner.clone(), inner.lookup("m.one").unwrap());
    NativeModule::builder("outer")
        .async_function("f", move |caller: Caller<()>| {
            let (inner, one, options) = (inner.clone(), one.clone(), options.clone());
            async move {
                inner.invoke_with(&options, &one, &(), &mut Vec::new())?;
                caller.yield_now().await?;
                inner.invoke_with(&options, &one, &(), &mut Vec::new())
            }
        })
        .build()
        .unwrap()
}

#[test]
fn a_call_within_a_traced_one_is_inline_on_its_account_or_on_its_own() {
    for inline in [false, true] {
        let told = Told::default();
        let inner = context(&told);
        let options = if inline { traced().inline() } else { traced() };
        let outer = builder(&told).module(nested(&inner, options)).build().unwrap();
        let f = outer.lookup("outer.f").unwrap();
        outer.invoke_with(&traced(), &f, &(), &mut ()).unwrap();
        let events = told.take();
        let words: Vec<_> = events.iter().map(|(_, _, words)| words.as_str()).collect();
        let expected = ["+outer.f", "+m.one", "-m.one", "yields", "goes on", "+m.one", "-m.one", "-outer.f"];
        assert_eq!(words, expected, "inline: {inline}");
        let outer_id = events[0].1;
        for (track, call, words) in &events {
            let is_inner = words.ends_with("m.one");
            assert_eq!(*call != outer_id, is_inner, "{words}: its id stays its own");
            assert_eq!(matches!(track, Track::Call(id) if id.as_u64() == outer_id), !is_inner || inline, "{words}");
            assert_ne!(*track, Track::Thread, "{words}");
        }
        // Within a call that is not traced there is only the thread.
        outer.invoke(&f, &(), &mut ()).unwrap();
        let events = told.take();
        assert_eq!(events.len(), 4);
        assert!(events.iter().all(|(track, ..)| (*track == Track::Thread) == inline), "{events:?}");
    }
}

#[test]
fn what_is_given_up_or_fails_ends_from_the_top_down() {
    let told = Told::default();
    let module = || {
        NativeModule::builder("o")
            .import("m.never", "0")
            .async_function("f", |caller: Caller<()>| async move { caller.call::<_, ()>(caller.import(0)?, ()).await })
            .build()
            .unwrap()
    };
    let context = builder(&told).module(self::module()).module(module()).build().unwrap();
    let function = context.lookup("o.f").unwrap();
    let mut state = InvocationState::new();
    let begun = ["+o.f", "+m.never", "waits for 1 sources"];
    let ended = |told: &Told, ends: &[&str]| assert_eq!(told.words(), [&begun[..], ends].concat());

    drop(context.begin(&mut state, &function, &traced(), &()).unwrap());
    ended(&told, &["xm.never", "xo.f"]);
    let step = waiting(context.begin(&mut state, &function, &traced(), &()).unwrap());
    let done = step.provide(Err(Error::new(Code::Unavailable, "no"))).resume().finish();
    assert_eq!(done.result().unwrap_err().code(), Code::Unavailable);
    drop(done);
    ended(&told, &["goes on", "!m.never UNAVAILABLE", "!o.f UNAVAILABLE"]);
    let step = waiting(context.begin(&mut state, &function, &traced(), &()).unwrap());
    drop(step.provide(Ok(0)).fail(Error::new(Code::Cancelled, "no more")));
    ended(&told, &["!m.never CANCELLED", "!o.f CANCELLED"]);
    let late = context.invoke_with(&traced().deadline(Duration::from_micros(50)), &function, &(), &mut ());
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    ended(&told, &["goes on", "!m.never DEADLINE_EXCEEDED", "!o.f DEADLINE_EXCEEDED"]);
}

#[test]
fn a_function_that_panics_ends_too_with_a_frame_or_without() {
    let told = Told::default();
    let context = context(&told);
    for (name, expected) in [
        ("m.panics", &["+m.panics", "xm.panics"][..]),
        ("m.panics_later", &["+m.panics_later", "yields", "goes on", "xm.panics_later"]),
    ] {
        let function = context.lookup(name).unwrap();
        let mut state = InvocationState::new();
        let runs: [&mut dyn FnMut(); 2] =
            [&mut || context.invoke_with(&traced(), &function, &(), &mut ()).unwrap(), &mut || {
                drop(context.begin(&mut state, &function, &traced(), &()).unwrap().finish())
            }];
        for run in runs {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
            assert_eq!(told.words(), expected, "{name}");
        }
        // The thread's account is its own again.
        context.invoke_with(&traced().inline(), &context.lookup("m.one").unwrap(), &(), &mut Vec::new()).unwrap();
        assert!(told.take().iter().all(|(track, ..)| *track == Track::Thread));
    }
}

#[test]
fn a_function_that_another_one_answers_for_ends_before_that_begins() {
    let told = Told::default();
    let slot: Arc<Mutex<Option<Function>>> = Arc::default();
    let known = slot.clone();
    let module = NativeModule::builder("t")
        .raw_function("f", "0_i", move |_, call| {
            let one = known.lock().unwrap().clone().unwrap();
            call.call(&one, |_| Ok(()))
        })
        .raw_function("stuck", "0", |_, _| Ok(Flow::Yield))
        .build()
        .unwrap();
    let context = builder(&told).module(self::module()).module(module).build().unwrap();
    *slot.lock().unwrap() = Some(context.lookup("m.one").unwrap());
    let mut outputs = Vec::new();
    context.invoke_with(&traced(), &context.lookup("t.f").unwrap(), &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(1)]);
    assert_eq!(told.words(), ["+t.f", "-t.f", "+m.one", "-m.one"]);
    slot.lock().unwrap().take();
    context.invoke_with(&traced(), &context.lookup("t.stuck").unwrap(), &(), &mut ()).unwrap_err();
    assert_eq!(told.words(), ["+t.stuck", "!t.stuck INTERNAL"]);
}

#[test]
fn a_traced_context_tells_of_its_own_functions_and_its_forks_do() {
    let told = Told::default();
    let module = NativeModule::builder("own")
        .initializer(|caller: Caller<()>| async move { caller.yield_now().await })
        .deinitializer(|_: Caller<()>| async {})
        .async_function("__notify", |_: Caller<()>, _: i32| async {})
        .build()
        .unwrap();
    let context = builder(&told).traced().module(module).build().unwrap();
    assert_eq!(told.words(), ["+own.__init", "yields", "goes on", "-own.__init"]);
    let fork = context.fork().unwrap();
    assert_eq!(told.words(), ["+own.__notify", "-own.__notify"]);
    context.close().unwrap();
    drop(fork);
    assert_eq!(told.words(), ["+own.__deinit", "-own.__deinit", "+own.__deinit", "-own.__deinit"]);
}

/// A plain import of a program is called without the driver: it is told as any other, in the same call.
#[cfg(feature = "wasm")]
#[test]
fn imports_that_a_program_calls_the_short_way_are_told_in_its_call() {
    use proact_vm::module::{CallFrame, FunctionDeclaration, Imports, ModuleInstance};

    /// Answers the id of its call, and says that it never stops.
    struct Plain(Vec<FunctionDeclaration>);
    struct Own;
    impl Module for Plain {
        fn name(&self) -> &str {
            "plain"
        }
        fn exports(&self) -> &[FunctionDeclaration] {
            &self.0
        }
        fn instantiate(&self, _: Imports) -> Result<Arc<dyn ModuleInstance>, Error> {
            Ok(Arc::new(Own))
        }
    }
    impl ModuleInstance for Own {
        fn begin(&self, _: u32, call: &mut CallFrame<'_>) -> Result<Flow, Error> {
            assert!(call.deadline().is_some());
            let id = call.id().as_u64() as i64;
            call.answer(id)
        }
        fn is_plain(&self, _: u32) -> bool {
            true
        }
    }
    let told = Told::default();
    let program = r#"(module
        (import "plain" "id" (func $id (result i64)))
        (import "m" "fails" (func $fails))
        (import "m" "panics" (func $panics))
        (import "proact" "yield" (func $yield))
        (func (export "ids") (result i64) call $id call $yield call $id i64.sub)
        (func (export "id") (result i64) call $id)
        (func (export "panics") call $panics)
        (func (export "fails") call $fails))"#;
    let guest = proact_vm::wasm::WasmModule::builder("guest").load(&wat::parse_str(program).unwrap()).unwrap();
    let exports = vec![FunctionDeclaration { name: "id".into(), convention: "0_I".parse().unwrap() }];
    let context =
        builder(&told).module(module()).module(Arc::new(Plain(exports))).module(Arc::new(guest)).build().unwrap();
    let options = traced().deadline(Duration::from_secs(60));
    let mut outputs = Vec::new();
    context.invoke_with(&options, &context.lookup("guest.ids").unwrap(), &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I64(0)]);
    let expected =
        ["+guest.ids", "+plain.id", "-plain.id", "yields", "goes on", "+plain.id", "-plain.id", "-guest.ids"];
    let events = told.take();
    assert_eq!(events.iter().map(|(_, _, words)| words.as_str()).collect::<Vec<_>>(), expected);
    let id = events[0].1;
    assert!(
        events.iter().all(|(track, call, _)| *call == id && matches!(track, Track::Call(own) if own.as_u64() == id))
    );
    outputs.clear();
    context.invoke_with(&options, &context.lookup("guest.id").unwrap(), &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I64(id as i64)], "it knows whose call it is in");
    told.take();

    let panics = context.lookup("guest.panics").unwrap();
    let run = std::panic::AssertUnwindSafe(|| context.invoke_with(&options, &panics, &(), &mut ()));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(told.words(), ["+guest.panics", "+m.panics", "xm.panics", "xguest.panics"]);

    outputs.clear();
    context.invoke_with(&options, &context.lookup("guest.id").unwrap(), &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I64(id as i64)], "the program goes on, in another instance");
    told.take();

    let fails = context.lookup("guest.fails").unwrap();
    let error = context.invoke_with(&options, &fails, &(), &mut ()).unwrap_err();
    assert_eq!(error.call().unwrap().as_u64(), id);
    assert_eq!(told.words(), ["+guest.fails", "+m.fails", "!m.fails DATA_LOSS", "!guest.fails DATA_LOSS"]);
    context.invoke_with(&options.inline(), &context.lookup("guest.ids").unwrap(), &(), &mut outputs).unwrap();
    assert!(told.take().iter().all(|(track, ..)| *track == Track::Thread));
    context
        .invoke_with(
            &InvocationOptions::new().deadline(Duration::from_secs(60)),
            &context.lookup("guest.ids").unwrap(),
            &(),
            &mut outputs,
        )
        .unwrap();
    assert!(told.take().is_empty(), "nothing is left of a traced call");
}
