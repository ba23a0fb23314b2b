//! The standard module `invocation`: what programs start, keep, wait for, read and cancel.

mod support;

use std::sync::Arc;

use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::standard::invocation::{self, FunctionReference};
use proact_vm::wait::WaitSource;
use proact_vm::{
    Context, ElementType, Error, Instance, Invocation, InvocationStatus as Is, List, Policy, Ref, Result, Value,
};
use support::Count;

const NANOSECONDS_MAX: i64 = i64::MAX;

struct Stage {
    context: Context,
    executor: Executor,
    go: Semaphore,
    count: Count,
}

impl Stage {
    fn new() -> Stage {
        let (go, count, executor) = (Semaphore::new(0), Count::default(), Executor::polled());
        let (gate, counter) = (go.clone(), count.clone());
        let work = NativeModule::builder("work")
            .async_function("square", move |caller: Caller<()>, number: i32| {
                let (source, held) = (WaitSource::semaphore(&gate, 1), counter.one());
                async move {
                    caller.wait_for(source).await?;
                    drop(held);
                    match number {
                        13 => Err(Error::new(Code::DataLoss, "unlucky")),
                        number => Ok(number * number),
                    }
                }
            })
            .build()
            .unwrap();
        let program = NativeModule::builder("program")
            .import("invocation.start", "0rr_r")
            .import("invocation.wait", "0r")
            .import("invocation.outputs", "0r_r")
            .import("invocation.cancel", "0r")
            .import("invocation.status", "0r_i")
            .import("invocation.wait_for", "0rI_i")
            .async_function("sum", |caller: Caller<()>, function: Ref, count: i32| async move {
                // Handles are kept in a list, as any reference is.
                let handles = List::new(ElementType::Ref);
                for number in 0..count {
                    let inputs = List::new(ElementType::I32);
                    inputs.push(Value::I32(number))?;
                    let start = caller.import(0)?;
                    let handle: Ref = caller.call(start, (function.clone(), Ref::new(inputs))).await?;
                    handles.push(handle.into())?;
                }
                let mut sum = 0;
                for handle in handles.to_vec() {
                    let handle = handle.reference()?.clone();
                    caller.call::<_, ()>(caller.import(1)?, (handle.clone(),)).await?;
                    let outputs: Arc<List> = caller.call(caller.import(2)?, (handle,)).await?;
                    sum += outputs.get(0)?.i32()?;
                }
                Ok::<_, Error>(sum)
            })
            .async_function("impatient", |caller: Caller<()>, function: Ref, nanoseconds: i64| async move {
                let inputs = List::new(ElementType::Any);
                inputs.push(Value::I32(3))?;
                let handle: Ref = caller.call(caller.import(0)?, (function, Ref::new(inputs))).await?;
                let over: bool = caller.call(caller.import(5)?, (handle.clone(), nanoseconds)).await?;
                caller.call::<_, ()>(caller.import(3)?, (handle.clone(),)).await?;
                let ended: bool = caller.call(caller.import(5)?, (handle.clone(), NANOSECONDS_MAX)).await?;
                let nothing: Ref = caller.call(caller.import(2)?, (handle.clone(),)).await?;
                let status: i32 = caller.call(caller.import(4)?, (handle,)).await?;
                Ok::<_, Error>((over, ended, nothing.is_null(), status))
            })
            .build()
            .unwrap();
        let invocations = invocation::module(executor.handle()).unwrap();
        let builder = Context::builder(&Instance::new()).concurrent();
        let context = builder.module(work).module(invocations).module(program).build().unwrap();
        Stage { context, executor, go, count }
    }

    fn create(&self, name: &str, inputs: &[Value]) -> Invocation {
        let function = self.context.lookup(name).unwrap();
        self.executor.create(&self.context, &function, &Policy::new(), inputs).unwrap()
    }

    fn square(&self) -> Value {
        Ref::new(FunctionReference::new(&self.context, "work.square").unwrap()).into()
    }

    fn call(&self, name: &str, inputs: &[Value]) -> Result<Value> {
        let mut outputs = Vec::new();
        self.context.invoke(&self.context.lookup(name)?, inputs, &mut outputs)?;
        Ok(outputs.pop().unwrap_or_default())
    }
}

#[test]
fn a_program_starts_others_keeps_them_in_a_list_and_reads_what_they_answer() {
    let stage = Stage::new();
    let sum = stage.create("program.sum", &[stage.square(), Value::I32(5)]);
    assert_eq!(stage.executor.run_until_idle(), 6);
    assert_eq!((sum.status(), stage.count.get()), (Is::Waiting, 5));
    stage.go.signal(1, None).unwrap();
    stage.executor.run_until_idle();
    assert_eq!(sum.outputs(), Some(&[Value::I32(1 + 4 + 9 + 16)][..]));
    assert_eq!(stage.count.get(), 0);
}

#[test]
fn the_failure_of_one_that_was_started_is_its_waiters() {
    let stage = Stage::new();
    let sum = stage.create("program.sum", &[stage.square(), Value::I32(14)]);
    stage.go.signal(1, None).unwrap();
    stage.executor.run_until_idle();
    let error = sum.error().unwrap();
    assert_eq!((error.code(), error.message()), (Code::DataLoss, "unlucky"));
    assert_eq!(error.backtrace()[0].function, "work.square", "it arose there: {error:?}");
    assert_ne!(error.call(), Some(sum.id()));
}

#[test]
fn a_program_waits_for_a_while_and_cancels() {
    let stage = Stage::new();
    let invocation = stage.create("program.impatient", &[stage.square(), Value::I64(0)]);
    assert!(stage.executor.drain(proact::time::Timeout::Infinite));
    let cancelled = Value::I32(5);
    let expected = [Value::I32(0), Value::I32(1), Value::I32(1), cancelled];
    assert_eq!(invocation.outputs(), Some(&expected[..]), "{:?}", invocation.error());
    assert_eq!(stage.count.get(), 0);
}

#[test]
fn statuses_are_numbers_in_their_order() {
    let stage = Stage::new();
    let inputs = List::new(ElementType::Any);
    inputs.push(Value::I32(3)).unwrap();
    let inputs = Ref::new(inputs);
    let start = |priority| {
        let arguments = [stage.square(), inputs.clone().into(), Value::I32(priority), Value::I64(-1)];
        stage.call("invocation.start_with", &arguments).unwrap()
    };
    let (low, high) = (start(0), start(1));
    let status = |handle: &Value| stage.call("invocation.status", std::slice::from_ref(handle)).unwrap();
    assert_eq!(status(&low), Value::I32(0), "pending");
    stage.executor.poll();
    assert_eq!((status(&low), status(&high)), (Value::I32(0), Value::I32(2)), "the other one waits");
    stage.go.signal(1, None).unwrap();
    assert_eq!(status(&high), Value::I32(1), "it may run");
    stage.executor.run_until_idle();
    assert_eq!(status(&low), Value::I32(3), "done");
    let outputs = stage.call("invocation.outputs", &[low]).unwrap();
    assert_eq!(outputs.reference().unwrap().get::<List>().unwrap().to_vec(), [Value::I32(9)]);
    let late = [stage.square(), inputs.into(), Value::I32(0), Value::I64(0)];
    let late = stage.call("invocation.start_with", &late).unwrap();
    stage.executor.run_until_idle();
    assert_eq!(status(&late), Value::I32(4), "its deadline has passed");
}

#[test]
fn what_cannot_be_started_is_a_clear_error() {
    let stage = Stage::new();
    let null: Value = Ref::NULL.into();
    let refused = |function: Value, inputs: Value| stage.call("invocation.start", &[function, inputs]).unwrap_err();
    assert_eq!(refused(null.clone(), null.clone()).code(), Code::InvalidArgument, "no function");
    let count = refused(stage.square(), null.clone());
    assert_eq!(count.code(), Code::InvalidArgument);
    assert!(count.to_string().contains("0 inputs, where the function takes 1"), "{count}");
    let wrong = List::new(ElementType::Any);
    wrong.push(Value::F32(1.0)).unwrap();
    assert_eq!(refused(stage.square(), Ref::new(wrong).into()).code(), Code::InvalidArgument);
    let no_handle = stage.call("invocation.cancel", &[stage.square()]).unwrap_err();
    assert_eq!(no_handle.code(), Code::InvalidArgument);
    stage.executor.shutdown(proact::time::Timeout::Infinite);
    let inputs = List::new(ElementType::I32);
    inputs.push(Value::I32(1)).unwrap();
    assert_eq!(refused(stage.square(), Ref::new(inputs).into()).code(), Code::Aborted);
}

#[test]
fn a_function_reference_does_not_keep_its_context() {
    let stage = Stage::new();
    let reference = FunctionReference::new(&stage.context, "work.square").unwrap();
    assert_eq!(FunctionReference::new(&stage.context, "work.cube").unwrap_err().code(), Code::NotFound);
    assert_eq!(reference.resolve().unwrap().1.name(), "work.square");
    drop(stage);
    assert_eq!(reference.resolve().map(drop).unwrap_err().code(), Code::Unavailable);
}

#[test]
fn the_types_of_its_references_have_names() {
    let instance = Instance::new();
    let names = ["proact.invocation", "proact.function"];
    assert!(names.iter().all(|name| instance.lookup(name).is_some_and(|found| !found.is_placeholder())));
}

/// Each has the one before it among its outputs: as many as a program can start, and more than a stack is deep.
#[test]
fn a_long_row_of_invocations_ends_without_recursion() {
    let executor = Executor::polled();
    let module = NativeModule::builder("m").function("same", |_: &(), value: Ref| value).build().unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let same = context.lookup("m.same").unwrap();
    let mut last = Ref::NULL;
    for number in 0..200_000 {
        // Some lie in a list, which may hold others in turn.
        if number % 3 == 0 {
            let list = List::new(ElementType::Any);
            list.push(last.into()).unwrap();
            last = Ref::new(list);
        }
        let invocation = executor.create(&context, &same, &Policy::new(), &[Value::Ref(last)]).unwrap();
        executor.run_until_idle();
        assert_eq!(invocation.status(), Is::Done);
        last = Ref::new(invocation);
    }
    drop(last);
}
