use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proact::status::Code;

use super::*;
use crate::context::Context;
use crate::instance::Instance;
use crate::module::native::NativeModule;

/// Tells when it is dropped, and that it has not moved since it was first resumed.
struct Told {
    number: usize,
    dropped: Arc<Mutex<Vec<usize>>>,
    place: usize,
    _large: [u8; 200],
}

impl Activation for Told {
    fn resume(mut self: Pin<&mut Self>, why: Resumption, _: &mut CallFrame<'_>) -> Result<Flow> {
        let place = &raw const *self as usize;
        if matches!(why, Resumption::Started) {
            self.place = place;
        }
        assert_eq!(self.place, place, "moved");
        Ok(Flow::Yield)
    }

    fn pc(&self) -> Option<u64> {
        Some(self.number as u64)
    }
}

fn function() -> (Context, Function) {
    let module = NativeModule::builder("m").function("f", |_: &()| ()).build().unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let function = context.lookup("m.f").unwrap();
    (context, function)
}

fn push(stack: &mut Stack, function: &Function, number: usize, dropped: &Arc<Mutex<Vec<usize>>>) -> Result {
    stack.push(function.clone(), Told { number, dropped: dropped.clone(), place: 0, _large: [0; 200] })
}

impl Drop for Told {
    fn drop(&mut self) {
        self.dropped.lock().unwrap().push(self.number);
    }
}

#[test]
fn frames_come_and_go_in_order() {
    let (_context, function) = function();
    let dropped = Arc::default();
    let mut stack = Stack::new(StackLimits::default());
    assert!(stack.is_empty() && stack.top().is_none() && stack.capacity() == 0);
    push(&mut stack, &function, 0, &dropped).unwrap();
    push(&mut stack, &function, 1, &dropped).unwrap();
    assert_eq!((stack.len(), stack.top()), (2, Some(&function)));
    assert!(stack.pop());
    push(&mut stack, &function, 2, &dropped).unwrap();
    assert!(stack.pop() && stack.pop());
    assert_eq!(*dropped.lock().unwrap(), [1, 2, 0]);
}

#[test]
fn a_stack_that_ends_drops_what_remains_from_the_top() {
    let (_context, function) = function();
    let dropped = Arc::default();
    let mut stack = Stack::new(StackLimits::default());
    (0..100).for_each(|number| push(&mut stack, &function, number, &dropped).unwrap());
    drop(stack);
    assert_eq!(*dropped.lock().unwrap(), (0..100).rev().collect::<Vec<_>>());
}

#[test]
fn a_full_stack_refuses_and_stays_as_it_was() {
    let (_context, function) = function();
    let dropped = Arc::default();
    let maximum = 64 << 10;
    let mut stack = Stack::new(StackLimits::new(1024, maximum).unwrap());
    let error = loop {
        let number = stack.len();
        if let Err(error) = push(&mut stack, &function, number, &dropped) {
            break error;
        }
    };
    let full = stack.len();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!((maximum / 400..maximum / 200).contains(&full), "{full}");
    assert!(stack.capacity() <= 2 * maximum, "{} bytes for a bound of {maximum}", stack.capacity());
    assert_eq!(*dropped.lock().unwrap(), [full], "what found no room is dropped");
    assert!(stack.pop());
    push(&mut stack, &function, full, &dropped).unwrap();
    let capacity = stack.capacity();
    stack.clear();
    (0..full).for_each(|number| push(&mut stack, &function, number, &dropped).unwrap());
    assert_eq!(stack.capacity(), capacity, "memory is used again");
}

#[test]
fn a_pop_of_nothing_is_told() {
    let mut stack = Stack::new(StackLimits::default());
    assert!(!stack.pop());
    let mut machine = Machine::new(StackLimits::default());
    assert_eq!(Stack::resume_top(&mut machine, Resumption::Yielded).unwrap_err().code(), Code::Internal);
}

#[test]
fn frames_do_not_move_and_are_named_in_a_backtrace() {
    let (_context, function) = function();
    let dropped = Arc::default();
    let mut machine = Machine::new(StackLimits::new(1024, 1 << 20).unwrap());
    for number in 0..50 {
        push(&mut machine.stack, &function, number, &dropped).unwrap();
        Stack::resume_top(&mut machine, Resumption::Started).unwrap();
    }
    let backtrace = machine.stack.backtrace(Some(&function));
    assert_eq!(backtrace.len(), 51);
    assert_eq!(backtrace[0].to_string(), "50: [native] m.f");
    assert_eq!(backtrace[1].to_string(), "49: [native] m.f:49");
    assert_eq!(backtrace[50].to_string(), "0: [native] m.f:0");
    while !machine.stack.is_empty() {
        Stack::resume_top(&mut machine, Resumption::Yielded).unwrap();
        machine.stack.pop();
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    assert_eq!(StackLimits::new(1023, 1 << 20).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(StackLimits::new(4096, 2048).unwrap_err().code(), Code::InvalidArgument);
    assert!(StackLimits::new(1024, 1024).is_ok());
}

#[test]
fn activations_of_any_alignment_and_size_lie_where_they_may() {
    #[repr(align(256))]
    struct Aligned;
    struct Large([u64; 3000]);
    struct Nothing;
    impl Activation for Aligned {
        fn resume(self: Pin<&mut Self>, _: Resumption, _: &mut CallFrame<'_>) -> Result<Flow> {
            assert_eq!(&raw const *self as usize % 256, 0);
            Ok(Flow::Yield)
        }
    }
    impl Activation for Large {
        fn resume(mut self: Pin<&mut Self>, _: Resumption, _: &mut CallFrame<'_>) -> Result<Flow> {
            self.0[2999] += 1;
            Ok(Flow::Yield)
        }
    }
    impl Activation for Nothing {
        fn resume(self: Pin<&mut Self>, _: Resumption, _: &mut CallFrame<'_>) -> Result<Flow> {
            Ok(Flow::Yield)
        }
    }
    let (_context, function) = function();
    let mut machine = Machine::new(StackLimits::default());
    for _ in 0..5 {
        machine.stack.push(function.clone(), Nothing).unwrap();
        Stack::resume_top(&mut machine, Resumption::Started).unwrap();
        machine.stack.push(function.clone(), Aligned).unwrap();
        Stack::resume_top(&mut machine, Resumption::Started).unwrap();
        machine.stack.push(function.clone(), Large([0; 3000])).unwrap();
        Stack::resume_top(&mut machine, Resumption::Started).unwrap();
    }
    assert_eq!(machine.stack.len(), 15);
}
