//! Semaphores of programs.

use std::sync::Arc;
use std::time::Duration;

use proact::causal::{Axis, Frontier};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::standard::{DEADLINE, Host};
use proact_vm::{ElementType, InvocationOptions, InvocationState, List, Ref, Value};

use crate::support::{done, waiting};
use crate::{bytes, call, context, reference, refused};

const NEVER: Value = Value::I64(-1);
const PASSED: Value = Value::I64(0);

fn semaphore() -> (Arc<Semaphore>, Value) {
    let semaphore = Arc::new(Semaphore::new(0));
    (semaphore.clone(), semaphore.into())
}

fn lists<const N: usize>(waits: [(&Value, i64); N]) -> [Value; 2] {
    let (semaphores, values) = (List::of::<Semaphore>(), List::new(ElementType::I64));
    for (semaphore, value) in waits {
        semaphores.push(semaphore.clone()).unwrap();
        values.push(Value::I64(value)).unwrap();
    }
    [Value::from(Arc::new(semaphores)), Value::from(Arc::new(values))]
}

#[test]
fn a_semaphore_rises_with_its_causes() {
    let context = context(&Host::new());
    let semaphore = call(&context, "semaphore.create", [Value::I64(3)]).unwrap();
    assert_eq!(call(&context, "semaphore.value", [semaphore.clone()]).unwrap(), Value::I64(3));
    let frontier = Frontier::single(Axis::queue(0, 0, 0, 0), 7).unwrap();
    let causes = Value::from(Arc::new(frontier.clone()));
    call(&context, "semaphore.signal", [semaphore.clone(), Value::I64(5), causes]).unwrap();
    call(&context, "semaphore.signal", [semaphore.clone(), Value::I64(6), Ref::NULL.into()]).unwrap();
    let causes = |value| call(&context, "semaphore.causes", [semaphore.clone(), Value::I64(value)]).unwrap();
    assert_eq!(reference(&causes(4)).get::<Frontier>().unwrap(), &frontier);
    assert_eq!(causes(7), Ref::NULL.into(), "it was not reached");
    let again = [semaphore.clone(), Value::I64(6), Ref::NULL.into()];
    assert!(refused(&context, "semaphore.signal", again).1.contains("not above"));
    let negative = [semaphore.clone(), Value::I64(-6), Ref::NULL.into()];
    assert_eq!(refused(&context, "semaphore.signal", negative).0, Code::InvalidArgument);
    let wrong = refused(&context, "semaphore.value", [bytes("")]).1;
    assert!(wrong.contains("expected a reference to proact.semaphore, found vm.buffer"), "{wrong}");
    let wrong = refused(&context, "semaphore.signal", [semaphore.clone(), Value::I64(9), bytes("")]).1;
    assert!(wrong.contains("expected a reference to proact.frontier"), "{wrong}");
}

#[test]
fn a_failure_keeps_its_words() {
    let context = context(&Host::new());
    let (held, semaphore) = semaphore();
    let fail =
        |code, words: &str| call(&context, "semaphore.fail", [semaphore.clone(), Value::I32(code), bytes(words)]);
    assert_eq!(fail(16, "").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(fail(Code::DataLoss as i32, "the disk is gone").unwrap(), Value::I32(1));
    assert_eq!(fail(Code::Internal as i32, "later").unwrap(), Value::I32(0), "the first one counts");
    assert_eq!(call(&context, "semaphore.status", [semaphore.clone()]).unwrap(), Value::I32(-15));
    assert_eq!(held.status().unwrap().message(), Some("the disk is gone"));
    let [semaphores, values] = lists([(&semaphore, 1)]);
    for outcome in [
        call(&context, "semaphore.wait", [semaphore.clone(), Value::I64(1), PASSED]),
        call(&context, "semaphore.wait_any", [semaphores.clone(), values.clone(), NEVER]),
        call(&context, "semaphore.wait_all", [semaphores, values, NEVER]),
    ] {
        let error = outcome.unwrap_err();
        assert!(error.code() == Code::DataLoss && error.to_string().contains("the disk is gone"), "{error}");
    }
    assert_eq!(call(&context, "semaphore.wait", [semaphore, Value::I64(0), NEVER]).unwrap(), Value::I32(0));
}

#[test]
fn a_deadline_of_the_program_is_an_answer_and_one_of_the_call_a_failure() {
    let context = context(&Host::new());
    let (held, semaphore) = semaphore();
    let [semaphores, values] = lists([(&semaphore, 1)]);
    let one = [semaphore.clone(), Value::I64(1), PASSED];
    let many = [semaphores.clone(), values.clone(), PASSED];
    assert_eq!(call(&context, "semaphore.wait", one.clone()).unwrap(), Value::I32(DEADLINE));
    assert_eq!(call(&context, "semaphore.wait_any", many.clone()).unwrap(), Value::I32(DEADLINE));
    assert_eq!(call(&context, "semaphore.wait_all", many).unwrap(), Value::I32(DEADLINE));
    let wait = context.lookup("semaphore.wait").unwrap();
    let options = InvocationOptions::new().deadline(Duration::ZERO);
    for deadline in [NEVER, Value::I64(i64::MAX)] {
        let inputs = [semaphore.clone(), Value::I64(1), deadline];
        let late = context.invoke_with(&options, &wait, &inputs, &mut Vec::new()).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
    }
    // A semaphore that has failed with that code has failed.
    held.fail(Status::new(Code::DeadlineExceeded, Operation::None).with_message("the device was late"));
    let (code, words) = refused(&context, "semaphore.wait", one);
    assert!(code == Code::DeadlineExceeded && words.contains("the device was late"), "{words}");
}

#[test]
fn a_wait_for_any_tells_which_and_one_for_all_waits_for_the_last() {
    let context = context(&Host::new());
    let ((one, first), (two, second)) = (semaphore(), semaphore());
    for (function, signalled, answer) in [("semaphore.wait_any", 1, 1), ("semaphore.wait_all", 2, 0)] {
        let [semaphores, values] = lists([(&first, 10), (&second, signalled)]);
        let function = context.lookup(function).unwrap();
        let mut state = InvocationState::new();
        let inputs = [semaphores.clone(), values, NEVER];
        let step = context.begin(&mut state, &function, &InvocationOptions::new(), &inputs).unwrap();
        let waiting = waiting(step);
        assert_eq!(waiting.frame().sources().count(), 2);
        two.signal(signalled as u64, None).unwrap();
        if signalled == 2 {
            one.signal(10, None).unwrap();
        }
        let mut outputs = Vec::new();
        done(waiting.wait(Timeout::Infinite).resume()).end(&mut outputs).unwrap().unwrap();
        assert_eq!(outputs, [Value::I32(answer)]);
    }
}

#[test]
fn lists_that_are_none_of_semaphores_and_values_are_refused() {
    let context = context(&Host::new());
    let (_, semaphore) = semaphore();
    let [semaphores, values] = lists([(&semaphore, 1)]);
    let [none, nothing] = lists([]);
    assert_eq!(call(&context, "semaphore.wait_all", [none.clone(), nothing.clone(), NEVER]).unwrap(), Value::I32(0));
    for (inputs, words) in [
        ([none, nothing.clone(), NEVER], "any of no semaphores"),
        ([semaphores.clone(), nothing, NEVER], "1 semaphores and 0 values"),
        ([values.clone(), values.clone(), NEVER], "element 0"),
        ([semaphore.clone(), values, NEVER], "expected a reference to vm.list"),
        ([semaphores, Ref::NULL.into(), NEVER], "found null"),
    ] {
        let said = refused(&context, "semaphore.wait_any", inputs).1;
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_wait_that_is_given_up_stands_in_no_line() {
    let context = context(&Host::new());
    let (held, semaphore) = semaphore();
    let [semaphores, values] = lists([(&semaphore, 1), (&semaphore, 2)]);
    for (function, inputs) in [
        ("semaphore.wait", [semaphore.clone(), Value::I64(1), NEVER]),
        ("semaphore.wait_any", [semaphores.clone(), values.clone(), NEVER]),
        ("semaphore.wait_all", [semaphores.clone(), values.clone(), NEVER]),
    ] {
        let before = Arc::strong_count(&held);
        let mut state = InvocationState::new();
        let function = context.lookup(function).unwrap();
        let step = context.begin(&mut state, &function, &InvocationOptions::new(), &inputs).unwrap();
        drop(waiting(step));
        drop(inputs);
        assert!(Arc::strong_count(&held) <= before, "the call holds it no more");
    }
    drop((semaphore, semaphores, values));
    assert_eq!(Arc::strong_count(&held), 1);
}
