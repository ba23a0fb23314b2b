//! Functions that are run as invocations, in several test programs.

#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, Invocation, Policy, Ref, Value};

use super::support::Count;

/// A bound on waits that must end.
pub const LONG: Duration = Duration::from_secs(120);

/// Functions that keep what they get, and a counted object each, for as long as they stand.
pub fn stage(concurrent: bool) -> (Context, Semaphore, Count) {
    let (go, count) = (Semaphore::new(0), Count::default());
    let ((waits, held), in_order) = ((go.clone(), count.clone()), count.clone());
    let module = NativeModule::builder("m")
        .function("twice", |_: &(), a: i32| a.wrapping_mul(2))
        .function("fails", |_: &()| Err::<i32, _>(Error::new(Code::DataLoss, "torn")))
        .function("panics", |_: &()| -> i32 { panic!("oh no") })
        .async_function("yields", |caller: Caller<()>, count: i32| async move {
            for _ in 0..count {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(count)
        })
        .async_function("waits", move |caller: Caller<()>, kept: Ref| {
            let (go, held) = (waits.clone(), held.one());
            async move {
                caller.wait_for(WaitSource::semaphore(&go, 1)).await?;
                drop(held);
                Ok::<_, Error>(kept)
            }
        })
        .async_function("waits_for", |caller: Caller<()>, other: Arc<Invocation>| async move {
            caller.wait_for(other.wait_source()).await
        })
        .async_function("tidies", move |caller: Caller<()>, yields: i32| {
            let held = in_order.one();
            async move {
                let never = Semaphore::new(0);
                let error = caller.wait_for(WaitSource::semaphore(&never, 1)).await.unwrap_err();
                drop(held);
                for _ in 0..yields {
                    caller.yield_now().await?;
                }
                Ok::<_, Error>(error.code() as i32)
            }
        })
        .build()
        .unwrap();
    let builder = Context::builder(&Instance::new()).module(module);
    let context = if concurrent { builder.concurrent() } else { builder }.build().unwrap();
    (context, go, count)
}

pub fn create(executor: &Executor, context: &Context, name: &str, inputs: &[Value]) -> Invocation {
    let function = context.lookup(&format!("m.{name}")).unwrap();
    executor.create(context, &function, &Policy::new(), inputs).unwrap()
}
