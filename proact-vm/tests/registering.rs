//! Modules whose initializers and listeners stop on their way, registered and told in each form.

mod support;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use proact::proactor::Builder;
use proact::simulated::World;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Command, DeterministicLoop, InlineLoop, Loop, ProactorLoop, Refused, Task};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::module::{Module, Signal};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, InvocationOptions, InvocationState, Overlap, Result, Step, Value};
use support::{Count, Counted};

type Log = Arc<Mutex<Vec<String>>>;

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

fn growable() -> Context {
    Context::builder(&Instance::new()).growable().build().unwrap()
}

/// How the functions of a module that the context calls by itself behave.
#[derive(Clone)]
struct Behaviour {
    /// What they wait for, after a yield.
    gate: Semaphore,
    /// And how long then.
    sleep: Duration,
    init_fails: bool,
    panics: bool,
    count: Count,
    log: Log,
}

impl Behaviour {
    fn new() -> Behaviour {
        let (gate, sleep, log) = (Semaphore::new(0), Duration::ZERO, Log::default());
        Behaviour { gate, sleep, init_fails: false, panics: false, count: Count::default(), log }
    }

    fn say(&self, words: String) {
        self.log.lock().unwrap().push(words);
    }

    async fn stop(self, caller: Caller<Counted>, what: &'static str) -> Result {
        let held = self.count.one();
        self.say(format!("{what} begins"));
        caller.yield_now().await?;
        assert!(!self.panics, "on purpose");
        caller.wait_for(WaitSource::semaphore(&self.gate, 1)).await?;
        if self.sleep > Duration::ZERO {
            caller.sleep(self.sleep).await?;
        }
        drop(held);
        self.say(format!("{what} ends"));
        Ok(())
    }

    /// A module with a counted state, all of whose own functions stop, but for its deinitializer.
    fn module(&self, name: &'static str) -> Arc<dyn Module> {
        let (state, init, deinit, listens, hears) =
            (self.clone(), self.clone(), self.clone(), self.clone(), self.clone());
        NativeModule::with_state(name, move || Ok(state.count.one()))
            .initializer(move |caller: Caller<Counted>| {
                let own = init.clone();
                async move {
                    let fails = own.init_fails;
                    own.stop(caller, "init").await?;
                    if fails { Err(Error::new(Code::DataLoss, "torn")) } else { Ok(()) }
                }
            })
            .deinitializer(move |_: Caller<Counted>| {
                deinit.say("deinit".into());
                async {}
            })
            .async_function("__notify", move |caller: Caller<Counted>, signal: i32| {
                let own = listens.clone();
                async move {
                    own.say(format!("hears {signal}"));
                    own.stop(caller, "listener").await
                }
            })
            .notify(move |_, signal| {
                hears.say(format!("{signal:?}"));
                Ok(())
            })
            .function("one", |_: &Counted| 1)
            .build()
            .unwrap()
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that is polled by hand, and only when it was woken.
struct ByHand<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    seen: usize,
}

impl<F: Future> ByHand<F> {
    fn new(future: F) -> ByHand<F> {
        ByHand { future: Box::pin(future), wakes: Arc::new(Wakes(AtomicUsize::new(1))), seen: 0 }
    }

    /// As often as it is woken.
    fn run(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(self.wakes.clone());
        while self.seen < self.wakes.0.load(Ordering::SeqCst) {
            self.seen = self.wakes.0.load(Ordering::SeqCst);
            if let Poll::Ready(output) = self.future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    }
}

fn send<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_future_registers_when_the_initializer_has_ended_and_holds_no_thread_meanwhile() {
    let (context, behaviour) = (growable(), Behaviour::new());
    let registered = send(context.register_async(behaviour.module("m"), &InvocationOptions::new()));
    assert!(taken(&behaviour.log).is_empty(), "it begins with the first poll");
    let mut registered = ByHand::new(registered);
    assert!(registered.run().is_pending());
    assert_eq!(taken(&behaviour.log), ["init begins"]);
    assert_eq!(context.lookup("m.one").unwrap_err().code(), Code::NotFound);
    behaviour.gate.signal(1, None).unwrap();
    assert!(matches!(registered.run(), Poll::Ready(Ok(()))));
    assert_eq!(taken(&behaviour.log), ["init ends"]);
    context.invoke(&context.lookup("m.one").unwrap(), &(), &mut Vec::new()).unwrap();
    drop(registered);
    context.close().unwrap();
    assert_eq!((taken(&behaviour.log), behaviour.count.get()), (vec!["deinit".into()], 0));
}

#[test]
fn a_future_tells_modules_in_their_orders_each_after_the_one_before() {
    for signal in [Signal::Resume, Signal::Suspend, Signal::LowMemory, Signal::Fork] {
        let (context, one, other) = (growable(), Behaviour::new(), Behaviour::new());
        let log = one.log.clone();
        let other = Behaviour { log: log.clone(), ..other };
        let mut registered = Vec::new();
        for (behaviour, name) in [(&one, "a"), (&other, "b")] {
            behaviour.gate.signal(1, None).unwrap();
            registered.push(context.register(behaviour.module(name)));
        }
        assert!(registered.into_iter().all(|result| result.is_ok()));
        taken(&log);
        let mut told = ByHand::new(context.notify_async(signal, &InvocationOptions::new()));
        assert!(matches!(told.run(), Poll::Ready(Ok(()))));
        let number = signal.as_i32();
        let function = [format!("hears {number}"), "listener begins".into(), "listener ends".into()];
        let instance = [format!("{signal:?}")];
        let once = match signal {
            Signal::Resume | Signal::Fork => [&instance[..], &function[..]].concat(),
            _ => [&function[..], &instance[..]].concat(),
        };
        assert_eq!(taken(&log), [once.clone(), once].concat(), "{signal:?}");
    }
}

#[test]
fn an_initializer_that_fails_is_followed_by_the_deinitializer_in_every_form() {
    let expected = ["init begins", "init ends", "deinit"];
    let behaviour = Behaviour { init_fails: true, ..Behaviour::new() };
    behaviour.gate.signal(1, None).unwrap();
    let check = |context: &Context, error: Error| {
        assert_eq!(error.code(), Code::DataLoss);
        assert!(error.to_string().starts_with("module \"m\": "), "{error}");
        assert_eq!(error.backtrace()[0].function, "m.__init");
        assert_eq!(taken(&behaviour.log), expected);
        assert_eq!(behaviour.count.get(), 0);
        assert_eq!(context.lookup("m.one").unwrap_err().code(), Code::NotFound);
    };
    let context = growable();
    check(&context, context.register(behaviour.module("m")).unwrap_err());
    let mut registered = ByHand::new(context.register_async(behaviour.module("m"), &InvocationOptions::new()));
    let Poll::Ready(Err(error)) = registered.run() else { panic!() };
    check(&context, error);
    let (told, event_loop) = (Arc::new(Mutex::new(None)), InlineLoop::new());
    let telling = told.clone();
    let done = move |result: Result, _: Option<&dyn Loop>| {
        *telling.lock().unwrap() = result.err();
        Ok(())
    };
    context.register_on(&event_loop, behaviour.module("m"), &InvocationOptions::new(), done).unwrap();
    check(&context, told.lock().unwrap().take().unwrap());
}

#[test]
fn a_module_that_finds_the_context_frozen_when_it_has_begun_is_deinitialized() {
    let (context, behaviour) = (growable(), Behaviour::new());
    let mut registered = ByHand::new(context.register_async(behaviour.module("m"), &InvocationOptions::new()));
    assert!(registered.run().is_pending());
    context.freeze();
    behaviour.gate.signal(1, None).unwrap();
    let Poll::Ready(Err(error)) = registered.run() else { panic!() };
    assert_eq!(error.code(), Code::FailedPrecondition);
    drop(registered);
    assert_eq!(taken(&behaviour.log), ["init begins", "init ends", "deinit"]);
    assert_eq!(behaviour.count.get(), 0);
}

#[test]
fn a_future_that_is_dropped_anywhere_leaves_nothing_and_gives_its_turn_back() {
    for steps in 0..3 {
        let (context, behaviour) = (growable(), Behaviour::new());
        let mut registered = pin!(Some(context.register_async(behaviour.module("m"), &InvocationOptions::new())));
        let mut cx = TaskContext::from_waker(Waker::noop());
        for _ in 0..steps {
            assert!(registered.as_mut().as_pin_mut().unwrap().poll(&mut cx).is_pending());
        }
        registered.set(None);
        assert_eq!(behaviour.count.get(), 0, "after {steps} polls");
        assert!(!taken(&behaviour.log).contains(&"deinit".into()));
        behaviour.gate.signal(1, None).unwrap();
        context.register(behaviour.module("m")).unwrap();
        context.notify(Signal::Resume).unwrap();
    }
}

/// Functions that stop: of another module, so that a call is in the context.
fn busy(context: &Context) -> proact_vm::Function {
    let module = NativeModule::builder("busy")
        .async_function("f", |caller: Caller<()>| async move { caller.yield_now().await })
        .build()
        .unwrap();
    context.register(module).unwrap();
    context.lookup("busy.f").unwrap()
}

#[test]
fn the_turn_is_waited_for_without_a_thread_and_given_up_with_the_future() {
    let (context, behaviour) = (growable(), Behaviour::new());
    behaviour.gate.signal(1, None).unwrap();
    let (f, mut state) = (busy(&context), InvocationState::new());
    let Step::Yielded(call) = context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap() else { panic!() };
    let mut registered = ByHand::new(context.register_async(behaviour.module("m"), &InvocationOptions::new()));
    let mut given_up = ByHand::new(context.notify_async(Signal::Resume, &InvocationOptions::new()));
    let mut last = ByHand::new(context.notify_async(Signal::Suspend, &InvocationOptions::new()));
    assert!(registered.run().is_pending() && given_up.run().is_pending() && last.run().is_pending());
    assert!(taken(&behaviour.log).is_empty(), "a call is in the context");
    drop(given_up);
    drop(call);
    assert!(matches!(registered.run(), Poll::Ready(Ok(()))));
    assert!(matches!(last.run(), Poll::Ready(Ok(()))));
    let refusing = Context::builder(&Instance::new()).growable().overlap(Overlap::Refuse).build().unwrap();
    let f = busy(&refusing);
    let step = refusing.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap();
    let mut refused = ByHand::new(refusing.register_async(behaviour.module("m"), &InvocationOptions::new()));
    assert!(matches!(refused.run(), Poll::Ready(Err(error)) if error.code() == Code::FailedPrecondition));
    drop(step);
}

#[test]
fn one_turn_is_kept_from_the_first_function_to_the_last() {
    let (context, behaviour) = (growable(), Behaviour::new());
    behaviour.gate.signal(1, None).unwrap();
    let f = busy(&context);
    context.register(behaviour.module("a")).unwrap();
    context.register(behaviour.module("b")).unwrap();
    let mut told = ByHand::new(context.notify_async(Signal::Resume, &InvocationOptions::new()));
    let mut state = InvocationState::new();
    // Between its yields: a call that would come in stands in line.
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(told.future.as_mut().poll(&mut cx).is_pending());
    let step = context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap();
    assert!(matches!(step, Step::Waiting(_)), "{step:?}");
    assert!(matches!(told.run(), Poll::Ready(Ok(()))));
    step.finish().end(&mut ()).unwrap().unwrap();
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_deadline_bounds_a_thread_a_future_and_a_loop_and_the_module_is_gone() {
    let behaviour = Behaviour::new();
    let check = |context: &Context, result: Result| {
        assert_eq!(result.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(taken(&behaviour.log), ["init begins", "deinit"]);
        assert_eq!(behaviour.count.get(), 0);
        assert!(context.lookup("m.one").is_err());
    };
    let context = growable();
    let soon = InvocationOptions::new().deadline(Duration::from_micros(100));
    check(&context, context.register_with(behaviour.module("m"), &soon));

    // Simulated time: a future by its timers, and a loop by its clock.
    let world = World::new(1);
    let mut proactor = world.host("a").builder().build().unwrap();
    let handle = proactor.handle().clone();
    let options = InvocationOptions::new().clock(handle.clock().clone()).timers(handle).deadline(SECOND);
    let mut registered = ByHand::new(context.register_async(behaviour.module("m"), &options));
    let began = world.now();
    let result = loop {
        match registered.run() {
            Poll::Ready(result) => break result,
            Poll::Pending => _ = proactor.poll(Timeout::Infinite).unwrap(),
        }
    };
    assert_eq!(world.now().since(began), SECOND);
    check(&context, result);

    let event_loop = DeterministicLoop::new(&world.host("b")).unwrap();
    let (told, began) = (Arc::new(Mutex::new(None)), world.now());
    let telling = told.clone();
    let done = move |result, _: Option<&dyn Loop>| {
        *telling.lock().unwrap() = Some(result);
        Ok(())
    };
    let options = InvocationOptions::new().deadline(SECOND);
    context.register_on(&event_loop, behaviour.module("m"), &options, done).unwrap();
    event_loop.drain(Timeout::Infinite).unwrap();
    assert_eq!(world.now().since(began), SECOND);
    check(&context, told.lock().unwrap().take().unwrap());
}

#[test]
fn a_deadline_is_one_for_all_modules_that_are_told() {
    let world = World::new(1);
    let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
    let (context, behaviour) = (growable(), Behaviour { sleep: SECOND, ..Behaviour::new() });
    behaviour.gate.signal(1, None).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let done = || {
        let told = told.clone();
        move |result: Result, event_loop: Option<&dyn Loop>| {
            assert!(event_loop.is_some());
            told.lock().unwrap().push(result.map_err(|error| error.code()));
            Ok(())
        }
    };
    for name in ["a", "b", "c"] {
        context.register_on(&event_loop, behaviour.module(name), &InvocationOptions::new(), done()).unwrap();
        event_loop.drain(Timeout::Infinite).unwrap();
    }
    taken(&behaviour.log);
    for (seconds, listeners) in [(3, 3), (2, 2), (1, 1)] {
        let options = InvocationOptions::new().deadline(SECOND * seconds + SECOND / 2);
        context.notify_on(&event_loop, Signal::Resume, &options, done()).unwrap();
        event_loop.drain(Timeout::Infinite).unwrap();
        let ended = taken(&behaviour.log).iter().filter(|line| *line == "listener ends").count();
        assert_eq!(ended, listeners, "{seconds} s");
    }
    let late = Err(Code::DeadlineExceeded);
    assert_eq!(*told.lock().unwrap(), [Ok(()), Ok(()), Ok(()), Ok(()), late, late]);
}

#[test]
fn a_proactor_s_thread_registers_while_its_loop_goes_on() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    let (context, behaviour) = (growable(), Behaviour::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let done = move |result: Result, _: Option<&dyn Loop>| {
        telling.lock().unwrap().push(result.is_ok());
        Ok(())
    };
    context.register_on(&event_loop, behaviour.module("m"), &InvocationOptions::new(), done).unwrap();
    let gate = behaviour.gate.clone();
    let opens = NativeModule::builder("other")
        .initializer(move |_: Caller<()>| {
            gate.signal(1, None).expect("a rising value");
            async {}
        })
        .build()
        .unwrap();
    // Of another context, on the same loop: it opens the gate while the first one waits.
    let other = growable();
    for _ in 0..4 {
        proactor.poll(Timeout::Immediate).unwrap();
    }
    assert!(told.lock().unwrap().is_empty());
    other.register_on(&event_loop, opens, &InvocationOptions::new(), |result, _| result).unwrap();
    event_loop.run(&mut proactor, Duration::from_secs(60)).unwrap();
    assert_eq!(*told.lock().unwrap(), [true]);
    assert!(context.lookup("m.one").is_ok());
}

/// Takes so many tasks, and then no more.
struct Few {
    inner: InlineLoop,
    left: AtomicUsize,
}

impl Loop for Few {
    fn clock(&self) -> &proact::time::Clock {
        self.inner.clock()
    }

    fn submit(&self, command: Command, task: Box<dyn Task>) -> Result<(), Refused> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(Refused { error: Error::new(Code::ResourceExhausted, "full"), task });
        }
        match command {
            Command::Call => task.run(self).map_err(|error| panic!("{error}")),
            Command::Wait => {
                task.abort(Error::new(Code::Aborted, "over"));
                Ok(())
            }
        }
    }

    fn drain(&self, timeout: Timeout) -> Result {
        self.inner.drain(timeout)
    }

    fn abort(&self, error: Error) {
        self.inner.abort(error);
    }

    fn error(&self) -> Option<Error> {
        self.inner.error()
    }
}

#[test]
fn a_loop_that_refuses_or_ends_tells_the_callback_once_and_nothing_is_left() {
    let behaviour = Behaviour::new();
    // Refused at once, when it yields, and when it waits; aborted in its wait.
    let full = Code::ResourceExhausted;
    for (tasks, code) in [(0, full), (1, full), (2, full), (3, Code::Aborted)] {
        let (context, told) = (growable(), Arc::new(Mutex::new(Vec::new())));
        let event_loop = Few { inner: InlineLoop::new(), left: AtomicUsize::new(tasks) };
        let telling = told.clone();
        let done = move |result: Result, event_loop: Option<&dyn Loop>| {
            telling.lock().unwrap().push((result.unwrap_err().code(), event_loop.is_some()));
            Ok(())
        };
        let submitted = context.register_on(&event_loop, behaviour.module("m"), &InvocationOptions::new(), done);
        match tasks {
            0 => assert_eq!(submitted.unwrap_err().code(), code),
            _ => submitted.unwrap(),
        }
        let expected: &[_] = if tasks == 0 { &[] } else { &[(code, code == full)] };
        assert_eq!(*told.lock().unwrap(), expected);
        assert_eq!(Arc::strong_count(&told), 1, "the callback is gone");
        assert_eq!((behaviour.count.get(), taken(&behaviour.log).contains(&"deinit".into())), (0, false));
        context.register(NativeModule::builder("m").build().unwrap()).unwrap();
    }
}

#[test]
fn an_initializer_that_panics_on_a_loop_is_told_and_the_turn_is_given_back() {
    let (context, behaviour) = (growable(), Behaviour { panics: true, ..Behaviour::new() });
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let done = move |result: Result, _: Option<&dyn Loop>| {
        telling.lock().unwrap().push(result.unwrap_err().code());
        Ok(())
    };
    let event_loop = InlineLoop::new();
    let run = || context.register_on(&event_loop, behaviour.module("m"), &InvocationOptions::new(), done);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert_eq!(*told.lock().unwrap(), [Code::Internal]);
    assert_eq!(behaviour.count.get(), 0);
    let other = Behaviour::new();
    other.gate.signal(1, None).unwrap();
    context.register(other.module("m")).unwrap();
    let mut outputs = Vec::new();
    context.invoke(&context.lookup("m.one").unwrap(), &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(1)]);
}
