//! Programs driven step by step, given up at every step, and the same results in every form.

use std::sync::Arc;

use oorandom::Rand32;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Access, Buffer, Context, Error, Function, InvocationOptions, InvocationState, Ref, Step, Value};

use super::{Options, context, guest_with, per_call};

/// `echo` answers its buffer at once, `later` after so many yields, `fail` fails after them.
fn host() -> Arc<dyn Module> {
    let module = NativeModule::builder("host")
        .function("echo", |_: &(), buffer: Ref| buffer)
        .async_function("later", |caller: Caller<()>, times: i32, buffer: Ref| async move {
            for _ in 0..times {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(buffer)
        })
        .async_function("length", |caller: Caller<()>, buffer: Ref| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(buffer.get::<Buffer>()?.len() as i32)
        })
        .build();
    module.expect("a module")
}

/// Passes a reference through `n` rounds of imports, and answers how many of its bytes went by.
const ROUNDS: &str = r#"(module
    (import "host" "echo" (func $echo (param i32) (result i32)))
    (import "host" "later" (func $later (param i32 i32) (result i32)))
    (import "host" "length" (func $length (param i32) (result i32)))
    (import "proact" "release" (func $release (param i32)))
    (import "proact" "yield" (func $yield))
    (memory (export "memory") 1)
    (func (export "rounds") (param $buffer i32) (param $n i32) (param $times i32) (result i32)
        (local $sum i32) (local $next i32)
        (loop $round
            (local.set $next (call $echo (local.get $buffer)))
            (call $release (local.get $buffer))
            (local.set $buffer (call $later (local.get $times) (local.get $next)))
            (call $release (local.get $next))
            (local.set $sum (i32.add (local.get $sum) (call $length (local.get $buffer))))
            call $yield
            (br_if $round (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $release (local.get $buffer))
        local.get $sum)
    (@custom "proact.conventions" "import host.echo(ref) -> ref\nimport host.later(i32, ref) -> ref\n")
    (@custom "proact.conventions" "import host.length(ref) -> i32\nexport rounds(ref, i32, i32) -> i32\n"))"#;

fn inputs(buffer: &Arc<Buffer>, n: i32, times: i32) -> [Value; 3] {
    [Value::Ref(Ref::from(buffer.clone())), Value::I32(n), Value::I32(times)]
}

/// Drives at most `steps` steps; `None` when the call was given up after them.
fn drive(context: &Context, function: &Function, inputs: &[Value], steps: usize) -> Option<Vec<Value>> {
    let mut state = InvocationState::new();
    let mut step = context.begin(&mut state, function, &InvocationOptions::new(), inputs).expect("it begins");
    for _ in 0..steps {
        step = match step {
            Step::Yielded(yielded) => yielded.resume(),
            Step::Waiting(waiting) => panic!("{waiting:?}"),
            Step::Done(done) => {
                let mut outputs = Vec::new();
                done.end(&mut outputs).expect("there is room").expect("it returns");
                return Some(outputs);
            }
        };
    }
    None
}

#[test]
fn a_call_given_up_at_any_step_leaves_nothing_behind() {
    for options in [Options::default(), per_call(), Options { fuel_slice: 5, ..Options::default() }] {
        let context = context([host(), guest_with(ROUNDS, options)]);
        let rounds = context.lookup("guest.rounds").expect("it is there");
        let buffer = Arc::new(Buffer::new([7; 10], Access::ReadOnly));
        let mut steps = 0;
        loop {
            let outputs = drive(&context, &rounds, &inputs(&buffer, 2, 2), steps);
            match outputs {
                Some(outputs) => {
                    assert_eq!(outputs, [Value::I32(20)]);
                    break;
                }
                // The instance that it was given up in is gone, and what it held.
                None => assert_eq!(Arc::strong_count(&buffer), 1, "{steps}"),
            }
            let mut outputs = Vec::new();
            context.invoke(&rounds, &inputs(&buffer, 1, 0), &mut outputs).expect("usable afterwards");
            assert_eq!(outputs, [Value::I32(10)], "{steps}");
            assert_eq!(Arc::strong_count(&buffer), 1, "{steps}");
            steps += 1;
        }
        assert!(steps >= 8, "{steps} steps were tried");
        assert_eq!(Arc::strong_count(&buffer), 1);
    }
}

#[test]
fn results_do_not_depend_on_the_form_of_the_call_or_on_slices() {
    let buffer = Arc::new(Buffer::new([1; 3], Access::ReadOnly));
    for seed in 0..40 {
        let mut random = Rand32::new(seed);
        let (n, times) = (random.rand_range(1..12) as i32, random.rand_range(0..4) as i32);
        let slice = u64::from(random.rand_range(1..60));
        let options = Options { fuel_slice: slice, ..if seed % 2 == 0 { Options::default() } else { per_call() } };
        let context = context([host(), guest_with(ROUNDS, options)]);
        let rounds = context.lookup("guest.rounds").expect("it is there");
        let mut outputs = Vec::new();
        context.invoke(&rounds, &inputs(&buffer, n, times), &mut outputs).expect("it returns");
        assert_eq!(outputs, [Value::I32(3 * n)], "seed {seed}");
        let stepped = drive(&context, &rounds, &inputs(&buffer, n, times), usize::MAX);
        assert_eq!(stepped.as_ref(), Some(&outputs), "seed {seed}");
        assert_eq!(Arc::strong_count(&buffer), 1, "seed {seed}");
    }
}

#[test]
fn a_step_may_be_taken_on_another_thread() {
    let context = context([host(), guest_with(ROUNDS, Options::default())]);
    let rounds = context.lookup("guest.rounds").expect("it is there");
    let buffer = Arc::new(Buffer::new([7; 10], Access::ReadOnly));
    let mut state = InvocationState::new();
    let begun = context.begin(&mut state, &rounds, &InvocationOptions::new(), &inputs(&buffer, 3, 1));
    let mut step = begun.expect("it begins");
    loop {
        step = match step {
            Step::Done(done) => {
                let mut outputs = Vec::new();
                done.end(&mut outputs).expect("there is room").expect("it returns");
                assert_eq!(outputs, [Value::I32(30)]);
                return;
            }
            Step::Yielded(yielded) => {
                std::thread::scope(|scope| scope.spawn(|| yielded.resume()).join()).expect("it does not panic")
            }
            Step::Waiting(waiting) => panic!("{waiting:?}"),
        };
    }
}
