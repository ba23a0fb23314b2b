//! Code that panics when its wait is asked, when it is aborted, or when what it holds is dropped: whatever is pending
//! is told all the same, once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::proactor::Builder;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, InlineLoop, Loop, ProactorLoop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{AsyncInvocation, Context, Error, InvocationOptions, Object, Ref, Result, Value};

use super::stage::Log;
use super::support::context;

/// A source whose future panics when it is asked.
fn panics_when_asked() -> WaitSource {
    WaitSource::future(async { if true { panic!("on purpose") } else { Ok::<_, Error>(()) } })
}

/// A callback that notes that it was called, and panics.
fn panics_when_told(log: &Log, name: &'static str) -> impl FnOnce(Result<&dyn Loop>) -> Result + Send + 'static {
    let log = log.clone();
    move |event_loop| {
        log.add(format!("{name} {}", event_loop.err().map_or(Code::Ok, |error| error.code())));
        panic!("on purpose")
    }
}

/// Three callbacks in a row; the first two panic.
fn two_panic(log: &Log, event_loop: &dyn Loop) -> Result {
    event_loop.call(panics_when_told(log, "first"))?;
    event_loop.call(panics_when_told(log, "second"))?;
    event_loop.call(log.call("third"))?;
    Ok(())
}

/// A callback that adds those three and then does this: the command that it is given by goes on with a panic.
#[track_caller]
fn panics_behind_two(log: &Log, event_loop: &InlineLoop, then: impl FnOnce() -> Result + Send + 'static) {
    let own = log.clone();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        event_loop.call(move |event_loop| {
            two_panic(&own, event_loop?)?;
            then()
        })
    }));
    assert!(caught.is_err());
}

#[test]
fn a_wait_that_panics_is_pending_no_more() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::with_capacity(proactor.handle(), 1);
    let log = Log::default();
    event_loop.wait_one(panics_when_asked(), Timeout::Infinite, log.wait("panics")).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| event_loop.run(&mut proactor, Timeout::Infinite)));
    assert!(caught.is_err());
    assert_eq!(log.take(), ["panics aborted INTERNAL"]);
    assert_eq!(event_loop.pending(), 0);
    event_loop.call(log.call("next")).expect("its place is free");
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["next OK"]);
}

#[test]
fn those_behind_one_that_panics_when_it_is_aborted_are_aborted_before_the_panic_goes_on() {
    let (log, event_loop) = (Log::default(), InlineLoop::new());
    panics_behind_two(&log, &event_loop, || Err(Error::new(Code::DataLoss, "torn")));
    assert_eq!(log.take(), ["first ABORTED", "second ABORTED", "third ABORTED"]);

    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    two_panic(&log, &event_loop).unwrap();
    event_loop.abort(Error::new(Code::DataLoss, "torn"));
    let caught = catch_unwind(AssertUnwindSafe(|| event_loop.run(&mut proactor, Timeout::Infinite)));
    assert!(caught.is_err());
    assert_eq!((log.take().len(), event_loop.pending()), (3, 0));
}

#[test]
fn a_loop_that_is_dropped_tells_all_that_a_panic_has_left_whether_they_panic_or_not() {
    for unwinds in [false, true] {
        let (log, event_loop) = (Log::default(), InlineLoop::new());
        panics_behind_two(&log, &event_loop, || panic!("on purpose"));
        assert!(log.take().is_empty());
        let caught = catch_unwind(AssertUnwindSafe(move || {
            let _dropped = event_loop;
            assert!(!unwinds, "on purpose");
        }));
        assert!(caught.is_err(), "the panic goes on");
        assert_eq!(log.take(), ["first ABORTED", "second ABORTED", "third ABORTED"]);
    }
}

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

impl Object for PanicsAtItsEnd {
    const TYPE_NAME: &'static str = "test.panics";
}

type Told = Arc<Mutex<Vec<Code>>>;

fn start(event_loop: &dyn Loop, context: &Context, name: &str, inputs: &[Value], told: &Told) -> Result {
    let told = told.clone();
    let call = AsyncInvocation::once(move |outputs, _| {
        told.lock().unwrap().push(outputs.err().map_or(Code::Ok, |error| error.code()));
        Ok(())
    });
    Ok(context.invoke_on(event_loop, call, &context.lookup(name)?, &InvocationOptions::new(), inputs)?)
}

/// Functions whose frames, or arguments that they never read, panic when they are dropped.
fn panicking() -> Context {
    let never = Semaphore::new(0);
    let holds = NativeModule::builder("holds")
        .import("panics.now", "0")
        .async_function("calls", |caller: Caller<()>| async move {
            let _held = PanicsAtItsEnd;
            caller.call::<_, ()>(&caller.import(0)?.clone(), ()).await
        })
        .async_function("waits", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&never, 1);
            async move {
                let _held = PanicsAtItsEnd;
                caller.wait_for(source).await
            }
        })
        .raw_function("ignores", "0r", |_: &(), call| call.answer(()))
        .function("fine", |_: &()| ())
        .build()
        .unwrap();
    let panics = NativeModule::builder("panics").raw_function("now", "0", |_, _| panic!("on purpose")).build().unwrap();
    context([panics, holds])
}

#[test]
fn a_call_whose_end_panics_is_told_once_and_gives_its_turn_back() {
    for (name, inputs) in [("holds.calls", vec![]), ("holds.ignores", vec![Ref::new(PanicsAtItsEnd).into()])] {
        let (context, told, event_loop) = (panicking(), Told::default(), InlineLoop::new());
        let caught = catch_unwind(AssertUnwindSafe(|| start(&event_loop, &context, name, &inputs, &told)));
        // The host's own reference goes last, and panics here.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(inputs)));
        assert!(caught.is_err() || dropped.is_err(), "{name}");
        let told_codes = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(told_codes.len(), 1, "{name}: {told_codes:?}");
        start(&event_loop, &context, "holds.fine", &[], &told).unwrap();
        assert_eq!(*told.lock().unwrap(), [Code::Ok], "{name}: the turn is free, and the loop goes on");
    }
}

#[test]
fn an_argument_that_no_one_reads_and_that_panics_at_its_end_ends_the_call_told() {
    let (context, told, event_loop) = (panicking(), Told::default(), InlineLoop::new());
    let own = told.clone();
    let (within, inputs) = (context.clone(), Value::from(Ref::new(PanicsAtItsEnd)));
    // The call has the last reference.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        event_loop.call(move |event_loop| {
            let event_loop = event_loop?;
            let inputs = [inputs];
            start(event_loop, &within, "holds.ignores", &inputs, &own)?;
            start(event_loop, &within, "holds.fine", &[], &own)
        })
    }));
    assert!(caught.is_err());
    assert_eq!(*told.lock().unwrap(), [Code::Internal]);
    event_loop.drain(Timeout::Infinite).unwrap();
    assert_eq!(*told.lock().unwrap(), [Code::Internal, Code::Ok]);
}

#[test]
fn calls_that_are_aborted_are_told_though_their_frames_panic_when_they_are_dropped() {
    let (context, told, event_loop) = (panicking(), Told::default(), InlineLoop::new());
    let (own, within) = (told.clone(), context.clone());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        event_loop.call(move |event_loop| {
            let event_loop = event_loop?;
            start(event_loop, &within, "holds.waits", &[], &own)?;
            start(event_loop, &within, "holds.waits", &[], &own)?;
            event_loop.wait_until(Duration::from_millis(2), |_| Err(Error::new(Code::DataLoss, "torn")))?;
            Ok(())
        })
    }));
    assert!(caught.is_err(), "the panic goes on");
    assert_eq!(*told.lock().unwrap(), [Code::Aborted, Code::Aborted]);
}
