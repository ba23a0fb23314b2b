//! What runs when modules come and go is bounded, as calls are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proact::status::Code;
use proact_vm::module::Signal;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Context, ContextBuilder, Instance, InvocationOptions};

fn bounded() -> ContextBuilder {
    Context::builder(&Instance::new()).lifecycle(InvocationOptions::new().deadline(Duration::ZERO))
}

async fn forever(caller: Caller<()>) -> Result<(), proact_vm::Error> {
    loop {
        caller.yield_now().await?;
    }
}

#[test]
fn an_initializer_that_waits_or_never_ends_is_ended_at_its_deadline() {
    let sleeps = NativeModule::builder("m")
        .initializer(|caller: Caller<()>| async move { caller.sleep(Duration::from_secs(86_400)).await })
        .build()
        .unwrap();
    let loops = NativeModule::builder("m").initializer(forever).build().unwrap();
    for module in [sleeps, loops] {
        let late = bounded().module(module).build().unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
        assert!(late.to_string().contains("module \"m\"") && !late.backtrace().is_empty(), "{late:?}");
    }
}

#[test]
fn a_deinitializer_that_never_ends_is_ended_with_its_context() {
    let begun = Arc::<AtomicU32>::default();
    let counted = begun.clone();
    let module = NativeModule::builder("m")
        .deinitializer(move |caller: Caller<()>| {
            counted.fetch_add(1, Ordering::Relaxed);
            forever(caller)
        })
        .build()
        .unwrap();
    let late = bounded().module(module.clone()).build().unwrap().close().unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    drop(bounded().module(module).build().unwrap());
    assert_eq!(begun.load(Ordering::Relaxed), 2, "it runs until its first stop");
}

#[test]
fn one_that_hears_signals_and_never_ends_is_ended_at_its_deadline() {
    let module = NativeModule::builder("m")
        .async_function("__notify", |caller: Caller<()>, _: i32| forever(caller))
        .build()
        .unwrap();
    let context = bounded().module(module).build().unwrap();
    assert_eq!(context.notify(Signal::LowMemory).unwrap_err().code(), Code::DeadlineExceeded);
}

/// Programs have start functions, and may export what a context calls by itself.
#[cfg(feature = "wasm")]
#[test]
fn a_program_that_loops_before_it_is_called_is_ended_at_its_deadline() {
    use proact_vm::wasm::WasmModule;
    for text in [
        "(module (func $f (loop $l br $l)) (start $f))",
        r#"(module (import "proact" "yield" (func $y)) (func $f (loop $l call $y br $l)) (start $f))"#,
        r#"(module (func (export "__init") (loop $l br $l)))"#,
        r#"(module (func $f (export "__init") return_call $f))"#,
    ] {
        let module = WasmModule::builder("guest").load(&wat::parse_str(text).unwrap()).unwrap();
        let late = bounded().module(Arc::new(module)).build().unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{text}: {late}");
    }
    let text = r#"(module (func (export "__deinit") (loop $l br $l)))"#;
    let module = WasmModule::builder("guest").load(&wat::parse_str(text).unwrap()).unwrap();
    let late = bounded().module(Arc::new(module)).build().unwrap().close().unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
}
