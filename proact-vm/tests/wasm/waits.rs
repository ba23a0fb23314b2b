//! Programs that stand in an import while it waits, and let others run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Error, InvocationOptions, Value};

use super::{Options, call, code, context, guest, guest_with, i32_of, per_call};

/// `wait` waits until a semaphore has a value, and answers it; `pass` yields so often and answers its argument.
fn host(semaphore: &Semaphore) -> Arc<dyn Module> {
    let semaphore = semaphore.clone();
    let module = NativeModule::builder("host")
        .async_function("wait", move |caller: Caller<()>, value: i64| {
            let semaphore = semaphore.clone();
            async move {
                caller.wait_for(WaitSource::semaphore(&semaphore, value as u64)).await?;
                Ok::<_, Error>(value)
            }
        })
        .async_function("pass", |caller: Caller<()>, times: i32, number: i32| async move {
            for _ in 0..times {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(number)
        })
        .build();
    module.expect("a module")
}

const WAITING: &str = r#"(module
    (import "host" "wait" (func $wait (param i64) (result i64)))
    (import "host" "pass" (func $pass (param i32 i32) (result i32)))
    (import "proact" "yield" (func $yield))
    (memory (export "memory") 1)
    (func (export "wait") (param i64) (result i64) local.get 0 call $wait i64.const 1 i64.add)
    ;; The sum of 1 to n, each added in a call that has let others run, as deep as it is large.
    (func $sum (export "sum") (param i32) (result i32)
        local.get 0 i32.eqz if (result i32) i32.const 0
        else
            (call $pass (i32.rem_u (local.get 0) (i32.const 3)) (local.get 0))
            call $yield
            (call $sum (i32.sub (local.get 0) (i32.const 1)))
            i32.add
        end)
    (export "re" (func $pass))
    (export "re_yield" (func $yield)))"#;

#[test]
fn a_program_stands_in_an_import_that_waits_and_goes_on_with_its_results() {
    let semaphore = Semaphore::new(0);
    let context = context([host(&semaphore), guest(WAITING)]);
    let thread = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || semaphore.signal(3, None).expect("it rises")
    });
    assert_eq!(call(&context, "wait", &[Value::I64(3)]).expect("it returns"), [Value::I64(4)]);
    thread.join().expect("the signaller");
    assert_eq!(call(&context, "wait", &[Value::I64(2)]).expect("it was reached"), [Value::I64(3)]);
}

#[test]
fn yields_at_any_depth_of_a_program_keep_what_stands() {
    for options in [Options::default(), per_call(), Options { fuel_slice: 1, ..Options::default() }] {
        let context = context([host(&Semaphore::new(0)), guest_with(WAITING, options)]);
        for n in [0, 1, 2, 50, 300] {
            assert_eq!(i32_of(call(&context, "sum", &[Value::I32(n)])), n * (n + 1) / 2);
        }
        assert_eq!(i32_of(call(&context, "re", &[Value::I32(2), Value::I32(9)])), 9);
        assert_eq!(call(&context, "re_yield", &[]).expect("it returns"), []);
    }
}

#[test]
fn a_wait_that_fails_ends_the_program_with_its_failure_and_the_frames_that_stood() {
    let semaphore = Semaphore::new(0);
    let context = context([host(&semaphore), guest(WAITING)]);
    let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    let wait = context.lookup("guest.wait").expect("it is there");
    let error = context.invoke_with(&options, &wait, &[Value::I64(1)], &mut Vec::new()).expect_err("it is late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    let stood: Vec<&str> = error.backtrace().iter().map(|frame| frame.function.as_str()).collect();
    assert_eq!(stood, ["host.wait", "guest.wait"]);
    assert!(error.call().is_some());
    semaphore.signal(1, None).expect("it rises");
    assert_eq!(call(&context, "wait", &[Value::I64(1)]).expect("usable afterwards"), [Value::I64(2)]);
}

#[test]
fn a_loop_without_end_is_ended_by_the_deadline_between_two_slices() {
    let module =
        guest(r#"(module (func (export "forever") (loop $l br $l)) (func (export "one") (result i32) i32.const 1))"#);
    let context = context([module as Arc<dyn Module>]);
    let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    let forever = context.lookup("guest.forever").expect("it is there");
    let error = context.invoke_with(&options, &forever, &(), &mut Vec::new()).expect_err("it is late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(i32_of(call(&context, "one", &[])), 1);
}

#[test]
fn a_start_function_may_wait_and_runs_before_anything_else() {
    let semaphore = Semaphore::new(0);
    let text = r#"(module (import "host" "wait" (func $wait (param i64) (result i64)))
        (import "host" "pass" (func $pass (param i32 i32) (result i32)))
        (global $started (mut i64) (i64.const 0))
        (func $start i32.const 5 i32.const 0 call $pass drop i64.const 2 call $wait global.set $started)
        (start $start)
        (func (export "started") (param i64) (result i64) global.get $started local.get 0 i64.add))"#;
    let thread = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || semaphore.signal(2, None).expect("it rises")
    });
    let kept = context([host(&semaphore), guest(text)]);
    thread.join().expect("the signaller");
    assert_eq!(call(&kept, "started", &[Value::I64(40)]).expect("it returns"), [Value::I64(42)]);
    let fresh = context([host(&semaphore), guest_with(text, per_call())]);
    assert_eq!(call(&fresh, "started", &[Value::I64(40)]).expect("it returns"), [Value::I64(42)]);
}

#[test]
fn a_start_function_that_fails_fails_the_registration_or_the_call() {
    let text = r#"(module (func $start unreachable) (start $start) (func (export "f")))"#;
    let error = super::try_context([guest(text) as Arc<dyn Module>]).expect_err("it traps");
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.to_string().contains("start function"), "{error}");
    let context = context([guest_with(text, per_call()) as Arc<dyn Module>]);
    for _ in 0..2 {
        let error = call(&context, "f", &[]).expect_err("it traps");
        assert!(error.to_string().contains("start function: trap"), "{error}");
    }
}

#[test]
fn a_program_called_back_while_its_start_function_stands_is_refused() {
    let slot: Arc<std::sync::OnceLock<proact_vm::Function>> = Arc::default();
    let (held, calls) = (slot.clone(), Arc::new(AtomicI32::new(0)));
    let counted = calls.clone();
    let host = NativeModule::builder("host").raw_function("back", "0", move |_, frame| match held.get() {
        Some(function) => frame.call(function, |_| Ok(())),
        None => {
            counted.fetch_add(1, Ordering::Relaxed);
            frame.answer(())
        }
    });
    // Registered with an empty slot, so that the first start is over at once; the trap makes a second one.
    let text = r#"(module (import "host" "back" (func $back)) (start $back)
        (func (export "f")) (func (export "trap") unreachable))"#;
    let context = context([host.build().expect("a module") as Arc<dyn Module>, guest(text)]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    slot.set(context.lookup("guest.f").expect("it is there")).expect("once");
    assert_eq!(code(call(&context, "trap", &[])), Code::Aborted);
    assert_eq!(code(call(&context, "f", &[])), Code::FailedPrecondition);
}
