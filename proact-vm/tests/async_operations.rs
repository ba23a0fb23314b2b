//! Functions that yield in sequence, in one branch of two, in calls of their own, in imports, nested, one after
//! another, often, and with any number of arguments: native and as a program. Each yield is one stop, none is lost.
#![cfg(feature = "wasm")]

mod support;

use std::sync::Arc;

use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wasm::WasmModule;
use proact_vm::{Context, ElementType, Error, InvocationOptions, InvocationState, List, Step, Value};
use support::context;

/// What programs import: `add` yields before and after it adds, `at_once` does not.
fn host() -> Arc<dyn Module> {
    let module = NativeModule::builder("host")
        .function("at_once", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("add", |caller: Caller<()>, a: i32, b: i32| async move {
            caller.yield_now().await?;
            let sum = a.wrapping_add(b);
            caller.yield_now().await?;
            Ok::<_, Error>(sum)
        });
    module.build().unwrap()
}

fn program() -> Arc<dyn Module> {
    let text = r#"(module
        (import "host" "at_once" (func $at_once (param i32 i32) (result i32)))
        (import "host" "add" (func $add (param i32 i32) (result i32)))
        (import "proact" "yield" (func $yield))
        (func $sequence (export "sequence") (param $a i32) (result i32)
            call $yield
            (local.set $a (i32.add (local.get $a) (i32.const 1)))
            call $yield
            (local.set $a (i32.add (local.get $a) (i32.const 1)))
            call $yield
            (i32.add (local.get $a) (i32.const 1)))
        (func (export "divergent") (param $which i32) (param $a i32) (param $b i32) (result i32)
            (if (result i32) (local.get $which)
                (then call $yield (local.get $a))
                (else (local.get $b))))
        (func (export "internal") (param $a i32) (result i32) (call $sequence (local.get $a)))
        (func (export "import") (param $a i32) (result i32) (call $add (local.get $a) (i32.const 1)))
        (func $deeper (param $a i32) (result i32)
            call $yield (call $add (call $sequence (local.get $a)) (i32.const 1)) call $yield)
        (func (export "nested") (param $a i32) (result i32)
            call $yield (call $at_once (call $deeper (local.get $a)) (i32.const 0)) call $yield)
        (func (export "sequential") (param $a i32) (result i32)
            (call $add (call $at_once (call $add (call $sequence (local.get $a)) (i32.const 1)) (i32.const 0))
                (i32.const 1)))
        (func (export "stress") (param $a i32) (param $n i32) (result i32)
            (loop $again
                (local.set $a (call $add (local.get $a) (i32.const 1)))
                call $yield
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $a)))"#;
    let bytes = wat::parse_str(text).unwrap();
    Arc::new(WasmModule::builder("m").load(&bytes).unwrap())
}

async fn sequence(caller: &Caller<()>, a: i32) -> Result<i32, Error> {
    for _ in 0..3 {
        caller.yield_now().await?;
    }
    Ok(a + 3)
}

/// The same as the program, in Rust; and what that has no arguments for.
fn native() -> Arc<dyn Module> {
    let add = |caller: Caller<()>, a: i32, b: i32| async move {
        let sum: i32 = caller.call(caller.import(1)?, (a, b)).await?;
        Ok::<_, Error>((caller, sum))
    };
    let module = NativeModule::builder("m")
        .import("host.at_once", "0ii_i")
        .import("host.add", "0ii_i")
        .async_function("sequence", |caller: Caller<()>, a: i32| async move { sequence(&caller, a).await })
        .async_function("divergent", |caller: Caller<()>, which: i32, a: i32, b: i32| async move {
            if which != 0 {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(if which != 0 { a } else { b })
        })
        .async_function("internal", |caller: Caller<()>, a: i32| async move { sequence(&caller, a).await })
        .async_function("import", move |caller: Caller<()>, a: i32| async move {
            add(caller, a, 1).await.map(|(_, sum)| sum)
        })
        .async_function("nested", move |caller: Caller<()>, a: i32| async move {
            caller.yield_now().await?;
            caller.yield_now().await?;
            let a = sequence(&caller, a).await?;
            let (caller, a) = add(caller, a, 1).await?;
            caller.yield_now().await?;
            let a: i32 = caller.call(caller.import(0)?, (a, 0)).await?;
            caller.yield_now().await?;
            Ok::<_, Error>(a)
        })
        .async_function("sequential", move |caller: Caller<()>, a: i32| async move {
            let a = sequence(&caller, a).await?;
            let (caller, a) = add(caller, a, 1).await?;
            let a: i32 = caller.call(caller.import(0)?, (a, 0)).await?;
            add(caller, a, 1).await.map(|(_, sum)| sum)
        })
        .async_function("stress", move |mut caller: Caller<()>, mut a: i32, n: i32| async move {
            for _ in 0..n {
                (caller, a) = add(caller, a, 1).await?;
                caller.yield_now().await?;
            }
            Ok::<_, Error>(a)
        })
        .async_function("variadic", |caller: Caller<()>, all: Vec<i32>| async move {
            let mut sum = 0;
            for one in all {
                caller.yield_now().await?;
                sum += one;
            }
            Ok::<_, Error>(sum)
        })
        .build();
    module.unwrap()
}

/// What a function answers, and how often it yields before.
fn run(context: &Context, name: &str, inputs: &[Value]) -> (i32, usize) {
    let function = context.lookup(name).unwrap();
    let mut state = InvocationState::new();
    let mut step = context.begin(&mut state, &function, &InvocationOptions::new(), inputs).unwrap();
    let mut yields = 0;
    loop {
        step = match step {
            Step::Yielded(yielded) => yielded.resume(),
            Step::Waiting(waiting) => panic!("{waiting:?}"),
            Step::Done(done) => {
                let mut outputs = Vec::new();
                done.end(&mut outputs).unwrap().unwrap();
                return (outputs[0].i32().unwrap(), yields);
            }
        };
        yields += 1;
    }
}

#[test]
fn every_yield_is_one_stop_wherever_it_stands() {
    for module in [native(), program()] {
        let context = context([host(), module]);
        let call = |name: &str, inputs: &[i32]| {
            let inputs: Vec<_> = inputs.iter().map(|input| Value::I32(*input)).collect();
            run(&context, &format!("m.{name}"), &inputs)
        };
        assert_eq!(call("sequence", &[97]), (100, 3));
        assert_eq!(call("divergent", &[0, 100, 200]), (200, 0));
        assert_eq!(call("divergent", &[1, 100, 200]), (100, 1));
        assert_eq!(call("internal", &[97]), (100, 3));
        assert_eq!(call("import", &[97]), (98, 2));
        assert_eq!(call("nested", &[0]), (4, 2 + 3 + 2 + 2));
        assert_eq!(call("sequential", &[0]), (5, 3 + 2 + 2));
        assert_eq!(call("stress", &[0, 10]), (10, 30));
        assert_eq!(call("stress", &[0, 1000]), (1000, 3000));
    }
}

#[test]
fn a_variadic_function_yields_with_any_number_of_arguments_from_a_host_and_from_another() {
    let calling = NativeModule::builder("n")
        .import("m.variadic", "0CiD_i")
        .async_function("calls", |caller: Caller<()>, count: i32| async move {
            caller.call::<_, i32>(caller.import(0)?, ((1..=count).collect::<Vec<i32>>(),)).await
        })
        .build()
        .unwrap();
    let context = context([host(), native(), calling]);
    for (count, sum) in [(0, 0), (1, 1), (2, 3), (3, 6), (600, 180_300)] {
        let list = List::new(ElementType::I32);
        (1..=count).for_each(|one| list.push(Value::I32(one)).unwrap());
        assert_eq!(run(&context, "m.variadic", &[Value::from(Arc::new(list))]), (sum, count as usize));
        assert_eq!(run(&context, "n.calls", &[Value::I32(count)]), (sum, count as usize));
    }
}

/// Functions of so many numbers, each answered with one more.
#[test]
fn functions_take_and_answer_none_one_eight_and_six_hundred() {
    for count in [0, 1, 8, 600] {
        let letters = "iIfF".repeat(count / 4) + &"i".repeat(count % 4);
        let module = NativeModule::builder("m").raw_function("f", &format!("0{letters}_{letters}"), {
            let letters = letters.clone();
            move |(), call| {
                let mut given = Vec::new();
                let mut arguments = call.arguments();
                for letter in letters.chars() {
                    given.push(match letter {
                        'i' => f64::from(arguments.next_i32()?),
                        'I' => arguments.next_i64()? as f64,
                        'f' => f64::from(arguments.next_f32()?),
                        _ => arguments.next_f64()?,
                    });
                }
                let results = call.results();
                for (letter, number) in letters.chars().zip(given) {
                    match letter {
                        'i' => results.push_i32(number as i32 + 1),
                        'I' => results.push_i64(number as i64 + 1),
                        'f' => results.push_f32(number as f32 + 1.0),
                        _ => results.push_f64(number + 1.0),
                    }
                }
                results.finish();
                Ok(proact_vm::module::Flow::Return)
            }
        });
        let context = context([module.build().unwrap()]);
        let value = |letter: char, number: usize| match letter {
            'i' => Value::I32(number as i32),
            'I' => Value::I64(number as i64),
            'f' => Value::F32(number as f32),
            _ => Value::F64(number as f64),
        };
        let values = |more: usize| -> Vec<Value> {
            letters.chars().enumerate().map(|(place, letter)| value(letter, place + more)).collect()
        };
        let mut outputs = Vec::new();
        context.invoke(&context.lookup("m.f").unwrap(), &values(0), &mut outputs).unwrap();
        assert_eq!(outputs, values(1), "{count}");
        let error = context.invoke(&context.lookup("m.f").unwrap(), &values(0)[count.min(1)..], &mut outputs);
        assert_eq!(error.is_err(), count > 0, "one fewer is refused");
    }
}

#[test]
fn each_frame_has_the_state_of_its_own_module_in_its_own_context() {
    use std::sync::atomic::{AtomicI32, Ordering};
    let steps = NativeModule::with_state("steps", || Ok(AtomicI32::new(0)))
        .function("next", |next: &AtomicI32| next.fetch_add(1, Ordering::Relaxed))
        .build()
        .unwrap();
    let sums = NativeModule::with_state("sums", || Ok(AtomicI32::new(0)))
        .import("steps.next", "0_i")
        .async_function("add", |sum: Caller<AtomicI32>, a: i32| async move {
            let before = sum.state().fetch_add(a, Ordering::Relaxed);
            let step: i32 = sum.call(sum.import(0)?, ()).await?;
            sum.yield_now().await?;
            Ok::<_, Error>(before + a + step)
        })
        .build()
        .unwrap();
    // The modules are shared, and their states are not.
    for context in [context([steps.clone() as _, sums.clone() as _]), context([steps as _, sums as _])] {
        let answers = [1, 2, 3].map(|a| run(&context, "sums.add", &[Value::I32(a)]).0);
        assert_eq!(answers, [1, 4, 8]);
    }
}

#[test]
fn a_state_that_cannot_be_made_fails_the_registration_and_leaves_nothing() {
    let count = support::Count::default();
    let (own, before) = (count.clone(), count.clone());
    let first = NativeModule::with_state("first", move || Ok(before.one())).function("f", |_: &_| 1).build().unwrap();
    let torn = NativeModule::with_state("torn", move || {
        let _held = own.one();
        Err::<(), _>(Error::new(proact::status::Code::DataLoss, "no state"))
    });
    let torn = torn.function("f", |_: &()| 2).build().unwrap();
    let context = Context::builder(&proact_vm::Instance::new()).growable().module(first).build().unwrap();
    let error = context.register(torn.clone()).unwrap_err();
    assert_eq!(error.to_string(), "module \"torn\": no state (DATA_LOSS)");
    assert!(context.lookup("torn.f").is_err());
    assert_eq!(run(&context, "first.f", &[]), (1, 0));
    assert_eq!(count.get(), 1);
    drop(context);
    assert_eq!(count.get(), 0);
    assert!(Context::builder(&proact_vm::Instance::new()).module(torn).build().is_err());
}
