//! Values from outside, and names.

use super::*;

fn unknown() -> Option<Knowledge> {
    Some(Knowledge::lower_bound(Frontier::new()))
}

#[test]
fn the_initial_value_and_signals_from_within_are_untainted() {
    let semaphore = Semaphore::new(4);
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(4), semaphore.is_tainted(5)), (4, false, true));
    semaphore.signal(5, None).unwrap();
    semaphore.signal(7, Some(&causes(7))).unwrap();
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(7), semaphore.is_tainted(8)), (7, false, true));
    assert!(semaphore.signal_if_later(9, None).unwrap());
    assert_eq!(semaphore.untainted_value(), 9);
}

#[test]
fn a_signal_from_outside_does_not_move_the_watermark_and_a_later_one_from_within_does() {
    let semaphore = Semaphore::new(0);
    semaphore.signal(2, Some(&causes(2))).unwrap();
    semaphore.signal_tainted(5).unwrap();
    assert_eq!((semaphore.value(), semaphore.untainted_value()), (5, 2));
    assert_eq!((semaphore.is_tainted(2), semaphore.is_tainted(3), semaphore.is_tainted(5)), (false, true, true));
    assert_eq!(semaphore.causes(5), unknown());
    assert_eq!(semaphore.causes(2), Some(Knowledge::exact(causes(2))));
    semaphore.signal(6, Some(&causes(6))).unwrap();
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(6)), (6, false));
    // What nobody vouched for stays so, for who comes late.
    assert_eq!((semaphore.is_tainted(4), semaphore.causes(4)), (true, unknown()));
}

#[test]
fn known_causes_that_may_not_be_all_are_knowledge_and_no_requirement() {
    let semaphore = Semaphore::new(0);
    semaphore.signal_known(1, &Knowledge::lower_bound(causes(1))).unwrap();
    semaphore.signal_known(2, &Knowledge::exact(causes(2))).unwrap();
    semaphore.signal_known(3, &Knowledge::exact(Frontier::new())).unwrap();
    let known = semaphore.causes(1).unwrap();
    assert_eq!((known.requirement(), &known.frontier), (None, &causes(1)));
    assert_eq!(semaphore.causes(2), Some(Knowledge::exact(causes(2))));
    assert_eq!(semaphore.causes(3), Some(Knowledge::exact(Frontier::new())));
    assert_eq!([1, 2, 3].map(|value| semaphore.is_tainted(value)), [true, false, false]);
}

#[test]
fn news_from_outside_that_is_old_or_late_changes_nothing() {
    let semaphore = Semaphore::new(0);
    semaphore.signal(3, Some(&causes(3))).unwrap();
    assert!(!semaphore.signal_tainted_if_later(3).unwrap());
    assert!(!semaphore.is_tainted(3));
    assert_eq!(code(semaphore.signal_tainted(3)), Code::InvalidArgument);
    assert!(semaphore.signal_tainted_if_later(4).unwrap());
    semaphore.fail(broken());
    assert_eq!(code(semaphore.signal_tainted(9)), Code::DataLoss);
    assert_eq!(semaphore.signal_tainted_if_later(9).unwrap_err().code(), Code::DataLoss);
    assert_eq!((semaphore.value(), semaphore.untainted_value()), (4, 3));
}

#[test]
fn marking_lowers_the_watermark_and_never_raises_it() {
    let semaphore = Semaphore::new(0);
    (1..=6).for_each(|value| semaphore.signal(value, Some(&causes(value))).unwrap());
    semaphore.mark_tainted_above(6);
    semaphore.mark_tainted_above(100);
    assert_eq!(semaphore.untainted_value(), 6, "nothing above was reached");
    semaphore.mark_tainted_above(4);
    assert_eq!(semaphore.untainted_value(), 4);
    semaphore.mark_tainted_above(5);
    assert_eq!(semaphore.untainted_value(), 4);
    assert_eq!(semaphore.causes(5), Some(Knowledge::lower_bound(causes(5))));
    assert_eq!(semaphore.causes(4), Some(Knowledge::exact(causes(4))));
    semaphore.signal(7, Some(&causes(7))).unwrap();
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(7), semaphore.is_tainted(6)), (7, false, true));
}

/// W-10: value, causes and taint are one step for whoever looks.
#[test]
fn who_sees_a_value_from_outside_sees_its_taint() {
    for _ in 0..200 {
        let semaphore = Semaphore::with_history(0, 40);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=40 {
                    match value % 2 {
                        0 => semaphore.signal_tainted(value).unwrap(),
                        _ => semaphore.signal(value, Some(&causes(value))).unwrap(),
                    }
                }
            });
            loop {
                let value = semaphore.value();
                if value > 0 {
                    let known = semaphore.causes(value).unwrap();
                    let expected = if value % 2 == 0 { unknown() } else { Some(Knowledge::exact(causes(value))) };
                    assert_eq!(Some(known), expected, "value {value}");
                    assert_eq!(semaphore.is_tainted(value), value % 2 == 0, "value {value}");
                }
                if value == 40 {
                    break;
                }
            }
        });
    }
}

#[test]
fn a_name_stands_in_every_failure_and_costs_the_others_nothing() {
    let named = SemaphoreOptions::new().name("frames").initial(3).history(2).build();
    assert_eq!((named.name(), Semaphore::new(0).name()), (Some("frames"), None));
    assert_eq!(format!("{named:?}"), "Semaphore { name: \"frames\", value: 3 }");
    let refusal = named.signal(2, None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "semaphore signal \"frames\": value 2 is not above the present value 3 (INVALID_ARGUMENT)"
    );
    assert!(named.signal(u64::MAX, None).unwrap_err().to_string().contains("\"frames\""));
    assert!(named.fail(broken()));
    assert_eq!(named.status().unwrap().to_string(), "\"frames\": broken (DATA_LOSS)");
    let recorder = Arc::new(Recorder::default());
    let Armed::Failed(status) = named.arm(9, recorder.waiter(0)) else { panic!("it has failed") };
    assert_eq!(status.to_string(), "\"frames\": broken (DATA_LOSS)");
    let unnamed = Semaphore::new(0);
    unnamed.fail(broken());
    assert_eq!(unnamed.status().unwrap().to_string(), broken().to_string());
}
