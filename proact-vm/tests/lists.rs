//! Lists, references and buffers.

mod support;

use std::sync::Arc;

use proact::status::Code;
use proact_vm::{Access, Buffer, ElementType, Instance, List, Ref, Value};
use support::{Count, Counted};

/// Each mode, with a value that it takes.
fn modes() -> [(ElementType, Value); 8] {
    [
        (ElementType::Any, Value::F32(0.5)),
        (ElementType::I8, Value::I8(-8)),
        (ElementType::I16, Value::I16(-16)),
        (ElementType::I32, Value::I32(-32)),
        (ElementType::I64, Value::I64(-64)),
        (ElementType::F32, Value::F32(0.32)),
        (ElementType::F64, Value::F64(0.64)),
        (ElementType::Ref, Value::Ref(Ref::new(List::new(ElementType::Any)))),
    ]
}

#[test]
fn each_mode_keeps_its_values_and_refuses_the_others() {
    for (element, own) in modes() {
        let list = List::new(element);
        assert_eq!((list.element_type(), list.len(), list.is_empty()), (element, 0, true));
        for (other, value) in modes() {
            let pushed = list.push(value.clone());
            if element == ElementType::Any || element == other || value.value_type() == own.value_type() {
                pushed.unwrap();
                assert_eq!(list.get(list.len() - 1).unwrap(), value);
                list.set(0, value).unwrap();
            } else {
                assert_eq!(pushed.unwrap_err().code(), Code::FailedPrecondition, "{element:?} {other:?}");
            }
        }
        if element != ElementType::Any {
            let wrong = if own.value_type() == proact_vm::ValueType::I8 { Value::I16(0) } else { Value::I8(0) };
            assert_eq!(list.set(0, wrong).unwrap_err().code(), Code::FailedPrecondition);
        }
        let before = list.len();
        assert_eq!(
            list.pop().unwrap().value_type(),
            if before == 8 { proact_vm::ValueType::Ref } else { own.value_type() }
        );
        assert_eq!(list.len(), before - 1);
    }
}

#[test]
fn an_index_past_the_end_is_out_of_range() {
    for (element, value) in modes() {
        let list = List::new(element);
        assert_eq!(list.get(0).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(list.pop().unwrap_err().code(), Code::OutOfRange);
        assert_eq!(list.set(0, value.clone()).unwrap_err().code(), Code::OutOfRange);
        list.push(value).unwrap();
        assert_eq!(list.get(1).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(list.get_i64(usize::MAX).unwrap_err().code(), Code::OutOfRange);
    }
}

#[test]
fn what_is_new_in_a_longer_list_is_zero_or_null_or_nothing() {
    for (element, default) in [
        (ElementType::Any, Value::None),
        (ElementType::I8, Value::I8(0)),
        (ElementType::I16, Value::I16(0)),
        (ElementType::I32, Value::I32(0)),
        (ElementType::I64, Value::I64(0)),
        (ElementType::F32, Value::F32(0.0)),
        (ElementType::F64, Value::F64(0.0)),
        (ElementType::Ref, Value::Ref(Ref::NULL)),
    ] {
        let list = List::new(element);
        list.resize(3).unwrap();
        assert_eq!(list.to_vec(), vec![default; 3]);
        list.resize(1).unwrap();
        assert_eq!(list.len(), 1);
        list.clear();
        assert!(list.is_empty());
        assert_eq!(list.resize(usize::MAX).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(list.reserve((1 << 28) + 1).unwrap_err().code(), Code::ResourceExhausted);
    }
}

#[test]
fn integers_are_widened_and_cut_off_and_floats_rounded_and_nothing_else() {
    let list = List::new(ElementType::Any);
    let values = [
        Value::I8(-1),
        Value::I16(-2),
        Value::I32(-3),
        Value::I64((7 << 32) | 5),
        Value::F32(1.5),
        Value::F64(2.1),
        Value::Ref(Ref::NULL),
        Value::None,
    ];
    values.into_iter().for_each(|value| list.push(value).unwrap());
    let integers: Vec<_> = (0..4).map(|index| (list.get_i32(index).unwrap(), list.get_i64(index).unwrap())).collect();
    assert_eq!(integers, [(-1, -1), (-2, -2), (-3, -3), (5, (7 << 32) | 5)]);
    assert_eq!((list.get_f32(4).unwrap(), list.get_f64(4).unwrap()), (1.5, 1.5));
    assert_eq!((list.get_f32(5).unwrap(), list.get_f64(5).unwrap()), (2.1f32, 2.1));
    assert_eq!(list.get_ref(6).unwrap(), Ref::NULL);
    for index in 4..8 {
        assert_eq!(list.get_i32(index).unwrap_err().code(), Code::FailedPrecondition, "{index}");
        assert_eq!(list.get_i64(index).unwrap_err().code(), Code::FailedPrecondition, "{index}");
    }
    for index in [0, 1, 2, 3, 6, 7] {
        assert_eq!(list.get_f32(index).unwrap_err().code(), Code::FailedPrecondition, "{index}");
        assert_eq!(list.get_f64(index).unwrap_err().code(), Code::FailedPrecondition, "{index}");
    }
    assert_eq!(list.get_ref(0).unwrap_err().code(), Code::FailedPrecondition);
}

#[test]
fn a_duplicate_has_the_same_elements_and_goes_its_own_way() {
    for (element, value) in modes() {
        let list = List::new(element);
        list.push(value.clone()).unwrap();
        let other = list.duplicate().unwrap();
        assert_eq!((other.element_type(), other.to_vec()), (element, vec![value]));
        other.clear();
        assert_eq!(list.len(), 1);
    }
}

#[test]
fn lists_of_one_kind_exchange_their_elements() {
    let (one, other) = (List::new(ElementType::I32), List::new(ElementType::I32));
    one.push(Value::I32(1)).unwrap();
    one.swap(&other).unwrap();
    one.swap(&one).unwrap();
    assert_eq!((one.len(), other.to_vec()), (0, vec![Value::I32(1)]));
    assert_eq!(one.swap(&List::new(ElementType::I64)).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        List::of::<Buffer>().swap(&List::new(ElementType::Ref)).unwrap_err().code(),
        Code::InvalidArgument,
        "a list of buffers could come to hold something else"
    );
}

#[test]
fn a_copy_is_whole_or_not_at_all() {
    let source = List::new(ElementType::Any);
    [Value::I32(1), Value::I32(2), Value::F32(3.0)].into_iter().for_each(|value| source.push(value).unwrap());
    let target = List::new(ElementType::I32);
    target.resize(3).unwrap();
    target.copy(1, &source, 0, 2).unwrap();
    assert_eq!(target.to_vec(), [Value::I32(0), Value::I32(1), Value::I32(2)]);
    assert_eq!(target.copy(0, &source, 1, 2).unwrap_err().code(), Code::InvalidArgument, "a float among them");
    assert_eq!(target.copy(2, &source, 0, 2).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(target.copy(0, &source, 2, 2).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(target.copy(usize::MAX, &source, 0, 1).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(target.copy(0, &source, usize::MAX, 1).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(target.copy(0, &target, 1, 2).unwrap_err().code(), Code::InvalidArgument, "they overlap");
    target.copy(0, &target, 2, 1).unwrap();
    assert_eq!(target.to_vec(), [Value::I32(2), Value::I32(1), Value::I32(2)]);
    target.copy(3, &source, 3, 0).unwrap();
}

#[test]
fn a_list_of_one_type_takes_that_and_null() {
    let list = List::of::<Buffer>();
    assert_eq!(list.type_name(), Some("vm.buffer"));
    list.push(Ref::new(Buffer::zeroed(1).unwrap()).into()).unwrap();
    list.push(Ref::NULL.into()).unwrap();
    let other = Value::Ref(Ref::new(List::new(ElementType::Any)));
    assert_eq!(list.push(other.clone()).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(list.set(0, other.clone()).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(list.push(Value::I32(0)).unwrap_err().code(), Code::FailedPrecondition);
    let lists = List::new(ElementType::Any);
    lists.push(other).unwrap();
    assert_eq!(list.copy(0, &lists, 0, 1).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn references_in_lists_are_counted() {
    let count = Count::default();
    for element in [ElementType::Any, ElementType::Ref] {
        let list = List::new(element);
        (0..4).for_each(|_| list.push(count.reference().into()).unwrap());
        assert_eq!(count.get(), 4);
        list.set(0, Ref::NULL.into()).unwrap();
        list.pop().unwrap();
        assert_eq!(count.get(), 2);
        list.resize(2).unwrap();
        assert_eq!(count.get(), 1);
        list.copy(1, &list, 0, 1).unwrap();
        assert_eq!(count.get(), 0);
        list.push(count.reference().into()).unwrap();
        let taken = list.get(2).unwrap();
        drop(list);
        assert_eq!(count.get(), 1, "one who has a reference keeps it");
        drop(taken);
        assert_eq!(count.get(), 0);
    }
}

#[test]
fn lists_nested_deeper_than_any_thread_s_stack_end() {
    let count = Count::default();
    let mut list = List::new(ElementType::Ref);
    list.push(count.reference().into()).unwrap();
    for depth in 0..300_000 {
        let outer = List::new(if depth % 2 == 0 { ElementType::Any } else { ElementType::Ref });
        outer.push(Ref::new(list).into()).unwrap();
        list = outer;
    }
    drop(list);
    assert_eq!(count.get(), 0);
}

#[test]
fn a_reference_is_cast_to_its_own_type_alone() {
    let count = Count::default();
    let reference = count.reference();
    assert_eq!((reference.type_name(), reference.is_null(), reference.count()), (Some("test.counted"), false, 1));
    assert!(reference.is::<Counted>() && !reference.is::<Buffer>());
    let counted: Arc<Counted> = reference.cast().unwrap();
    assert_eq!((reference.count(), counted.count().get()), (2, 1));
    assert_eq!(reference, Ref::from(counted.clone()));
    assert_ne!(reference, count.reference());
    assert_ne!(reference, Ref::NULL);
    drop(counted);
    assert_eq!(reference.get::<Buffer>().unwrap_err().code(), Code::InvalidArgument);
    let error = reference.clone().into_cast::<Buffer>().unwrap_err();
    assert_eq!(error.to_string(), "expected a reference to vm.buffer, found test.counted (INVALID_ARGUMENT)");
    let error = Ref::NULL.cast::<Buffer>().unwrap_err();
    assert_eq!(error.to_string(), "expected a reference to vm.buffer, found null (INVALID_ARGUMENT)");
    assert_eq!((Ref::NULL, Ref::NULL.count(), Ref::NULL.type_name()), (Ref::default(), 0, None));
    drop(reference);
    assert_eq!(count.get(), 0);
}

#[test]
fn buffers_keep_to_their_length_and_access() {
    let buffer = Buffer::zeroed(8).unwrap();
    buffer.write(2, &[1, 2, 3]).unwrap();
    buffer.fill(6, 2, 9).unwrap();
    assert_eq!(buffer.to_vec(), [0, 0, 1, 2, 3, 0, 9, 9]);
    buffer.copy(3, &buffer, 2, 3).unwrap();
    assert_eq!(buffer.to_vec(), [0, 0, 1, 1, 2, 3, 9, 9], "ranges of one buffer may overlap");
    let mut bytes = [0; 2];
    buffer.read(6, &mut bytes).unwrap();
    assert_eq!(bytes, [9, 9]);
    assert!(buffer.is_equal(0, &buffer, 1, 1).unwrap() && !buffer.is_equal(0, &buffer, 2, 1).unwrap());
    for error in [
        buffer.write(7, &[0, 0]),
        buffer.fill(9, 0, 0),
        buffer.read(usize::MAX, &mut bytes),
        buffer.copy(0, &buffer, 8, 1),
        buffer.is_equal(0, &buffer, 8, 1).map(drop),
    ] {
        assert_eq!(error.unwrap_err().code(), Code::OutOfRange);
    }
    let fixed = Buffer::new([1, 2], Access::ReadOnly);
    assert_eq!((fixed.access(), fixed.len(), fixed.is_empty()), (Access::ReadOnly, 2, false));
    for error in [fixed.write(0, &[0]), fixed.fill(0, 1, 0), fixed.copy(0, &buffer, 0, 1), fixed.copy(0, &fixed, 0, 1)]
    {
        assert_eq!(error.unwrap_err().code(), Code::PermissionDenied);
    }
    buffer.copy(0, &fixed, 0, 2).unwrap();
    assert_eq!(buffer.to_vec()[..2], [1, 2]);
    assert_eq!(Buffer::zeroed(usize::MAX).unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn types_are_registered_by_name_and_counted() {
    let instance = Instance::new();
    for name in ["vm.buffer", "vm.list", "proact.semaphore", "proact.frontier", "proact.tracker"] {
        assert!(instance.lookup(name).is_some_and(|found| !found.is_placeholder()), "{name}");
    }
    assert!(instance.lookup("test.counted").is_none());
    let count = Count::default();
    let place = instance.register_placeholder("test.counted").unwrap();
    assert!(place.is_placeholder() && !place.matches(&count.reference()) && place.matches(&Ref::NULL));
    instance.register::<Counted>().unwrap();
    let known = instance.lookup("test.counted").unwrap();
    assert!(known.matches(&count.reference()) && !known.matches(&Ref::new(List::new(ElementType::Any))));
    instance.unregister("test.counted").unwrap();
    assert!(instance.lookup("test.counted").is_some());
    instance.unregister("test.counted").unwrap();
    assert!(instance.lookup("test.counted").is_none());
    assert_eq!(instance.unregister("test.counted").unwrap_err().code(), Code::NotFound);

    struct Other;
    impl proact_vm::Object for Other {
        const TYPE_NAME: &'static str = "vm.list";
    }
    assert_eq!(instance.register::<Other>().unwrap_err().code(), Code::AlreadyExists);
}
