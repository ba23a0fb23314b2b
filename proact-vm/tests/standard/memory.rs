//! Lists, buffers, logs and clocks.

use std::sync::{Arc, Mutex};

use proact::status::Code;
use proact_vm::standard::{Host, Limits, LogLevel};
use proact_vm::{Access, Buffer, InvocationOptions, List, Ref, Value};

use crate::{bytes, call, contents, context, reference, refused, room};

fn i(value: i32) -> Value {
    Value::I32(value)
}

fn l(value: i64) -> Value {
    Value::I64(value)
}

#[test]
fn lists_of_every_kind_give_back_what_they_were_given() {
    let context = context(&Host::new());
    for element in 0..8 {
        let list = call(&context, "list.create", [i(element)]).unwrap();
        assert_eq!(call(&context, "list.element_type", [list.clone()]).unwrap(), i(element));
        match element {
            0..=4 => {
                call(&context, "list.push_i32", [list.clone(), i(-7)]).unwrap();
                call(&context, "list.set_i32", [list.clone(), i(0), i(-8)]).unwrap();
                assert_eq!(call(&context, "list.get_i64", [list.clone(), i(0)]).unwrap(), l(-8));
                assert_eq!(call(&context, "list.pop_i32", [list.clone()]).unwrap(), i(-8));
            }
            5 | 6 => {
                call(&context, "list.push_f32", [list.clone(), Value::F32(0.5)]).unwrap();
                assert_eq!(call(&context, "list.get_f64", [list.clone(), i(0)]).unwrap(), Value::F64(0.5));
                assert_eq!(call(&context, "list.pop_f32", [list.clone()]).unwrap(), Value::F32(0.5));
            }
            _ => {
                call(&context, "list.push_ref", [list.clone(), list.clone()]).unwrap();
                assert_eq!(call(&context, "list.get_ref", [list.clone(), i(0)]).unwrap(), list);
                call(&context, "list.set_ref", [list.clone(), i(0), Ref::NULL.into()]).unwrap();
                assert_eq!(call(&context, "list.pop_ref", [list.clone()]).unwrap(), Ref::NULL.into());
            }
        }
        assert_eq!(call(&context, "list.length", [list.clone()]).unwrap(), i(0));
        assert_eq!(refused(&context, "list.pop_i32", [list.clone()]).0, Code::OutOfRange);
        assert_eq!(reference(&list).count(), 1, "nothing holds it but the test");
    }
    assert_eq!(refused(&context, "list.create", [i(8)]).0, Code::InvalidArgument);
}

#[test]
fn a_number_that_does_not_fit_or_is_of_another_kind_is_refused_and_nothing_is_lost() {
    let context = context(&Host::new());
    let small = Value::from(Arc::new(List::new(proact_vm::ElementType::I8)));
    call(&context, "list.push_i32", [small.clone(), i(127)]).unwrap();
    assert_eq!(refused(&context, "list.push_i32", [small.clone(), i(128)]).0, Code::OutOfRange);
    assert_eq!(refused(&context, "list.push_i64", [small.clone(), l(i64::MIN)]).0, Code::OutOfRange);
    assert_eq!(refused(&context, "list.push_f32", [small.clone(), Value::F32(1.0)]).0, Code::FailedPrecondition);
    assert_eq!(refused(&context, "list.pop_f32", [small.clone()]).0, Code::FailedPrecondition);
    assert_eq!(refused(&context, "list.get_i32", [small.clone(), i(1)]).0, Code::OutOfRange);
    assert_eq!(refused(&context, "list.get_i32", [small.clone(), i(-1)]).0, Code::InvalidArgument);
    assert_eq!(call(&context, "list.get_i32", [small.clone(), i(0)]).unwrap(), i(127), "it is still there");
    call(&context, "list.resize", [small.clone(), i(3)]).unwrap();
    assert_eq!(call(&context, "list.get_i32", [small.clone(), i(2)]).unwrap(), i(0));
    let (code, words) = refused(&context, "list.length", [bytes("")]);
    assert_eq!(code, Code::InvalidArgument);
    assert!(words.contains("expected a reference to vm.list, found vm.buffer"), "{words}");
}

#[test]
fn buffers_hold_numbers_text_and_parts() {
    let context = context(&Host::new());
    let buffer = call(&context, "buffer.create", [l(16)]).unwrap();
    call(&context, "buffer.set_i32", [buffer.clone(), l(1), i(0x0403_0201)]).unwrap();
    assert_eq!(contents(&buffer)[..6], [0, 1, 2, 3, 4, 0]);
    assert_eq!(call(&context, "buffer.get_u16", [buffer.clone(), l(1)]).unwrap(), i(0x0201));
    call(&context, "buffer.set_f64", [buffer.clone(), l(8), Value::F64(-2.5)]).unwrap();
    assert_eq!(call(&context, "buffer.get_f64", [buffer.clone(), l(8)]).unwrap(), Value::F64(-2.5));
    call(&context, "buffer.set_i64", [buffer.clone(), l(8), l(i64::MIN)]).unwrap();
    assert_eq!(call(&context, "buffer.get_i64", [buffer.clone(), l(8)]).unwrap(), l(i64::MIN));
    call(&context, "buffer.set_u8", [buffer.clone(), l(0), i(255)]).unwrap();
    assert_eq!(call(&context, "buffer.get_u8", [buffer.clone(), l(0)]).unwrap(), i(255));
    call(&context, "buffer.set_f32", [buffer.clone(), l(0), Value::F32(f32::INFINITY)]).unwrap();
    assert_eq!(call(&context, "buffer.get_f32", [buffer.clone(), l(0)]).unwrap(), Value::F32(f32::INFINITY));
    for wrong in [-1, 256] {
        assert_eq!(refused(&context, "buffer.set_u8", [buffer.clone(), l(0), i(wrong)]).0, Code::OutOfRange);
    }
    assert_eq!(refused(&context, "buffer.get_i64", [buffer.clone(), l(9)]).0, Code::OutOfRange);
    assert_eq!(refused(&context, "buffer.get_i64", [buffer.clone(), l(-1)]).0, Code::InvalidArgument);

    call(&context, "buffer.write", [buffer.clone(), l(2), bytes("hé")]).unwrap();
    let text = call(&context, "buffer.text", [buffer.clone(), l(2), l(3)]).unwrap();
    assert_eq!(contents(&text), "hé".as_bytes());
    assert_eq!(refused(&context, "buffer.set_u8", [text.clone(), l(0), i(0)]).0, Code::PermissionDenied);
    let (code, words) = refused(&context, "buffer.text", [buffer.clone(), l(2), l(2)]);
    assert!(code == Code::InvalidArgument && words.contains("UTF-8 at byte 1"), "{words}");
    assert_eq!(refused(&context, "buffer.slice", [buffer.clone(), l(15), l(2)]).0, Code::OutOfRange);

    let part = room(3);
    call(&context, "buffer.read", [buffer.clone(), l(2), part.clone().into()]).unwrap();
    assert_eq!(part.to_vec(), "hé".as_bytes());
    let slice = call(&context, "buffer.slice", [buffer.clone(), l(2), l(3)]).unwrap();
    call(&context, "buffer.fill", [slice.clone(), l(0), l(1), i(b'H'.into())]).unwrap();
    assert_eq!((contents(&slice), contents(&buffer)[2]), ("Hé".as_bytes().to_vec(), b'h'), "a slice is a copy");
    let equal = |at| call(&context, "buffer.is_equal", [buffer.clone(), l(2), slice.clone(), l(at), l(1)]).unwrap();
    assert_eq!((equal(0), equal(1)), (i(0), i(0)));
    call(&context, "buffer.copy", [slice.clone(), l(0), buffer.clone(), l(2), l(1)]).unwrap();
    assert_eq!(equal(0), i(1));
}

#[test]
fn memory_is_bounded_and_comes_back() {
    let context = context(&Host::new().limits(Limits { bytes_max: 100_000, ..Limits::default() }));
    for huge in [l(100_000), l(i64::MAX)] {
        assert_eq!(refused(&context, "buffer.create", [huge]).0, Code::ResourceExhausted);
    }
    let held = call(&context, "buffer.create", [l(90_000)]).unwrap();
    let list = call(&context, "list.create", [i(0)]).unwrap();
    assert_eq!(refused(&context, "list.resize", [list.clone(), i(i32::MAX)]).0, Code::ResourceExhausted);
    let mut pushed = 0;
    let refusal = loop {
        match call(&context, "list.push_i32", [list.clone(), i(1)]) {
            Ok(_) => pushed += 1,
            Err(error) => break error.code(),
        }
        assert!(pushed < 10_000, "it is not bounded");
    };
    assert!(refusal == Code::ResourceExhausted && pushed > 100, "{pushed}");
    drop(held);
    call(&context, "list.push_i32", [list.clone(), i(1)]).unwrap();
    // A list of the host's own is bounded by itself.
    let host = Value::from(Arc::new(List::new(proact_vm::ElementType::I64)));
    assert_eq!(refused(&context, "list.resize", [host, i(1 << 20)]).0, Code::ResourceExhausted);
}

#[test]
fn logs_reach_the_host_with_their_call() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let host = Host::new().log(LogLevel::Info, move |record| {
        told.lock().unwrap().push((record.call.as_u64(), record.level, record.text.to_owned()));
    });
    let context = context(&host);
    for (level, words) in [(1, "unheard"), (2, "one"), (4, "two")] {
        call(&context, "log.write", [i(level), bytes(words)]).unwrap();
    }
    let heard = heard.lock().unwrap();
    let said: Vec<_> = heard.iter().map(|(_, level, text)| (*level, text.as_str())).collect();
    assert_eq!(said, [(LogLevel::Info, "one"), (LogLevel::Error, "two")]);
    assert_eq!(heard[0].0, heard[1].0, "in a context that is not concurrent all calls have its id");
    assert_eq!(call(&context, "log.is_enabled", [i(1)]).unwrap(), i(0));
    assert_eq!(call(&context, "log.is_enabled", [i(2)]).unwrap(), i(1));
    assert_eq!(refused(&context, "log.write", [i(5), bytes("")]).0, Code::InvalidArgument);
    assert_eq!(refused(&context, "log.write", [i(0), bytes([0xff])]).0, Code::InvalidArgument);
}

#[test]
fn without_a_sink_logs_are_checked_and_go_nowhere() {
    let context = context(&Host::new());
    call(&context, "log.write", [i(4), bytes("words")]).unwrap();
    assert_eq!(call(&context, "log.is_enabled", [i(4)]).unwrap(), i(0));
    assert_eq!(refused(&context, "log.write", [i(4), bytes([0xff])]).0, Code::InvalidArgument);
    let buffer = Ref::new(Buffer::new(vec![b'a'; (1 << 16) + 1], Access::ReadOnly));
    assert_eq!(refused(&context, "log.write", [i(4), buffer.into()]).0, Code::InvalidArgument);
}

#[test]
fn a_sleep_ends_at_its_time_or_with_its_call() {
    let context = context(&Host::new());
    let Value::I64(before) = call(&context, "timer.now", []).unwrap() else { panic!() };
    call(&context, "timer.sleep", [l(1)]).unwrap();
    call(&context, "timer.sleep_until", [l(before)]).unwrap();
    let Value::I64(after) = call(&context, "timer.now", []).unwrap() else { panic!() };
    assert!(after > before, "{before} {after}");
    for function in ["timer.sleep", "timer.sleep_until"] {
        assert_eq!(refused(&context, function, [l(-1)]).0, Code::InvalidArgument);
        let options = InvocationOptions::new().deadline(std::time::Duration::ZERO);
        let function = context.lookup(function).unwrap();
        let late = context.invoke_with(&options, &function, &[l(i64::MAX)], &mut ()).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
    }
}
