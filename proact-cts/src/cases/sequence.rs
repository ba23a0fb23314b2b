//! Sequences.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    Chain, Close, Lowering, MakeDirectory, Nop, Open, OperationId, Read, Receive, SemaphoreSignal, SemaphoreWait, Send,
    Sequence, Timer, Write,
};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::bench::Cts;
use crate::cases;

cases![
    a_sequence_without_steps_succeeds_and_calls_no_step_function,
    steps_run_in_order_and_the_sequence_completes_once,
    a_timer_in_the_middle_holds_the_rest_back,
    results_and_parameters_of_every_step_are_kept,
    the_first_failure_is_the_sequences_own_and_later_steps_do_nothing,
    the_step_function_runs_after_every_step_on_the_poll_thread,
    the_step_function_changes_the_parameters_of_steps_to_come,
    the_step_function_hands_an_opened_file_to_the_step_that_reads_it,
    an_error_of_the_step_function_ends_the_sequence_also_after_the_last_step,
    a_panic_of_the_step_function_goes_on_and_ends_the_sequence,
    a_sequence_is_cancelled_while_its_first_step_waits,
    a_sequence_is_cancelled_at_every_step,
    a_cancel_from_inside_the_step_function_is_noticed_after_it,
    a_sequence_cancelled_right_after_submit_ends_once,
    sequences_nest_and_fail_through,
    a_step_function_cannot_take_away_the_steps_of_a_nested_sequence,
    a_cancelled_sequence_that_has_not_begun_holds_up_no_stream,
    a_sequence_is_a_step_of_a_chain_in_either_place,
    a_sequence_is_submitted_again_with_other_parameters,
    a_sequence_comes_from_another_thread.real("other threads"),
    a_stepwise_sequence_is_never_lowered,
    slots_of_steps_that_never_ran_are_free_again,
];

/// W-27: the reference calls back inside submit.
fn a_sequence_without_steps_succeeds_and_calls_no_step_function(cts: &mut Cts) {
    let empty = cts.start(Sequence::new());
    assert_eq!(empty.calls(), 0, "a callback inside submit");
    cts.drain();
    empty.only().result.unwrap();
    cts.get(Sequence::new().on_step(|_| panic!("there is no step")));
}

fn steps_run_in_order_and_the_sequence_completes_once(cts: &mut Cts) {
    for steps in [1u64, 2, 3, 10, 64, 100] {
        let semaphore = Semaphore::new(0);
        // Each step's signal must rise: any other order than the right one fails.
        let sequence =
            (1..=steps).fold(Sequence::new(), |all, value| all.step(SemaphoreSignal::new(semaphore.clone(), value)));
        let told = cts.one(sequence);
        told.result.unwrap();
        assert_eq!(semaphore.value(), steps);
        assert_eq!(told.kind.len() as u64, steps);
        let nops = (0..steps).fold(Sequence::new(), |all, _| all.step(Nop));
        cts.get(nops);
    }
    assert_eq!(cts.pending(), 0);
}

fn a_timer_in_the_middle_holds_the_rest_back(cts: &mut Cts) {
    let deadline = cts.now() + Duration::from_millis(10);
    let semaphore = Semaphore::new(0);
    let sequence =
        Sequence::new().step(Nop).step(Timer::new(deadline)).step(SemaphoreSignal::new(semaphore.clone(), 1));
    let watch = cts.start(sequence);
    cts.look();
    // Looked at before the clock: a machine that is busy elsewhere may be late by more than that.
    let early = semaphore.value();
    assert!(early == 0 || cts.now() >= deadline, "the step behind the timer has run before its time");
    cts.until("the sequence", || watch.is_done());
    assert!(cts.now() >= deadline);
    assert_eq!(semaphore.value(), 1);
}

fn results_and_parameters_of_every_step_are_kept(cts: &mut Cts) {
    let file = cts.file("f", b"0123456789");
    for lowering in [Lowering::Never, Lowering::Always] {
        let sequence = Sequence::new()
            .step(Read::exact(file.clone(), 0, vec![0; 4]))
            .step(Read::exact(file.clone(), 8, vec![0; 2]))
            .step(Read::some(file.clone(), 8, vec![0; 9]))
            .lowering(lowering);
        let told = cts.one(sequence);
        told.result.unwrap();
        let mut sequence = told.kind;
        let lengths = [0, 1, 2].map(|step| *sequence.result::<Read<Vec<u8>>>(step).unwrap().as_ref().unwrap());
        assert_eq!(lengths, [4, 2, 2]);
        assert_eq!(sequence.kind::<Read<Vec<u8>>>(1).unwrap().buffer, b"89");
        assert!(sequence.result::<Nop>(0).is_none(), "of another kind");
        assert!(sequence.result::<Nop>(3).is_none(), "there is no such step");
        assert_eq!(sequence.take_result::<Read<Vec<u8>>>(0).unwrap().unwrap(), 4);
        assert!(sequence.take_result::<Read<Vec<u8>>>(0).is_none(), "taken already");
    }
}

fn the_first_failure_is_the_sequences_own_and_later_steps_do_nothing(cts: &mut Cts) {
    let (missing, unmade) = (cts.path("missing"), cts.path("unmade"));
    for stepwise in [false, true] {
        let mut sequence = Sequence::new()
            .step(Nop)
            .step(Open::new(&missing, OpenFlags::READ))
            .step(MakeDirectory::new(&unmade))
            .step(Nop);
        if stepwise {
            sequence = sequence.on_step(|_| Ok(()));
        }
        let told = cts.one(sequence);
        assert!(told.kind.result::<Nop>(0).unwrap().is_ok());
        assert_eq!(told.kind.result::<Open>(1).unwrap().as_ref().unwrap_err().code(), Code::NotFound);
        if let Some(result) = told.kind.result::<MakeDirectory>(2) {
            assert_eq!(result.as_ref().unwrap_err().code(), Code::Cancelled);
        }
        let status = told.status();
        assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::FileOpen));
        assert!(status.to_string().contains("missing"), "{status}");
        assert!(!unmade.exists());
    }
}

fn the_step_function_runs_after_every_step_on_the_poll_thread(cts: &mut Cts) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let here = std::thread::current().id();
    let sequence = Sequence::new().step(Nop).step(Timer::new(Time::ORIGIN)).step(Nop).on_step(move |step| {
        assert_eq!(std::thread::current().id(), here);
        log.lock().unwrap().push((step.completed(), step.next()));
        Ok(())
    });
    let watch = cts.start(sequence);
    assert!(seen.lock().unwrap().is_empty(), "nothing runs inside submit");
    cts.drain();
    watch.only().result.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, Some(1)), (1, Some(2)), (2, None)]);
}

fn the_step_function_changes_the_parameters_of_steps_to_come(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let sequence = Sequence::new()
        .step(Nop)
        .step(Timer::new(Time::FAR_FUTURE))
        .step(SemaphoreSignal::new(semaphore.clone(), 1))
        .on_step(|step| {
            if let Some(timer) = step.kind_mut::<Timer>(1) {
                timer.deadline = Time::ORIGIN;
            }
            assert!(step.kind_mut::<Nop>(1).is_none());
            if step.completed() == 1 {
                step.kind_mut::<SemaphoreSignal>(2).unwrap().set_value(0, 77);
            }
            Ok(())
        });
    cts.get(sequence);
    assert_eq!(semaphore.value(), 77);
}

fn the_step_function_hands_an_opened_file_to_the_step_that_reads_it(cts: &mut Cts) {
    let path = cts.path("f");
    cts.write(&path, b"handed on");
    let placeholder = cts.file("placeholder", b"");
    let sequence = Sequence::new()
        .step(Open::new(&path, OpenFlags::READ))
        .step(Read::exact(placeholder.clone(), 0, vec![0; 9]))
        .step(Close::new(placeholder))
        .on_step(|step| {
            if step.completed() == 0 {
                let file = step.take_result::<Open>(0).expect("it has just ended")?;
                step.kind_mut::<Read<Vec<u8>>>(1).unwrap().file = file.clone();
                step.kind_mut::<Close<proact::resource::File>>(2).unwrap().resource = file;
            }
            Ok(())
        });
    let told = cts.one(sequence);
    told.result.unwrap();
    assert_eq!(told.kind.kind::<Read<Vec<u8>>>(1).unwrap().buffer, b"handed on");
    assert!(told.kind.result::<Open>(0).is_none(), "taken");
}

fn an_error_of_the_step_function_ends_the_sequence_also_after_the_last_step(cts: &mut Cts) {
    for at in 0..3 {
        let semaphore = Semaphore::new(0);
        let sequence = (1..=3u64)
            .fold(Sequence::new(), |all, value| all.step(SemaphoreSignal::new(semaphore.clone(), value)))
            .on_step(move |step| match step.completed() == at {
                true => Err(Status::new(Code::OutOfRange, Operation::None).with_message("enough")),
                false => Ok(()),
            });
        let status = cts.fails(sequence);
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, Some("enough")));
        assert_eq!(semaphore.value(), at as u64 + 1, "later steps have not run");
        assert_eq!(cts.pending(), 0);
    }
}

fn a_panic_of_the_step_function_goes_on_and_ends_the_sequence(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let sequence = Sequence::new()
        .step(Nop)
        .step(SemaphoreSignal::new(semaphore.clone(), 1))
        .on_step(|_| panic!("the step function is broken"));
    let watch = cts.start(sequence);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..100 {
            cts.poll(Timeout::Immediate).unwrap();
        }
    }));
    assert_eq!(crate::harness::text_of(&*panicked.unwrap_err()), "the step function is broken");
    cts.drain();
    assert_eq!(watch.only().status().code(), Code::Internal);
    assert_eq!(semaphore.value(), 0);
}

fn a_sequence_is_cancelled_while_its_first_step_waits(cts: &mut Cts) {
    for stepwise in [false, true] {
        let mut sequence = Sequence::new().step(Timer::new(Time::FAR_FUTURE)).step(Nop);
        if stepwise {
            sequence = sequence.on_step(|_| panic!("no step has succeeded"));
        }
        let (op, watch) = cts.watch(sequence);
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.cancel(id).unwrap();
        cts.drain();
        assert_eq!(watch.only().status().code(), Code::Cancelled);
    }
}

fn a_sequence_is_cancelled_at_every_step(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Always] {
        for stepwise in [false, true] {
            for at in 0..4u64 {
                let (gate, progress) = (Semaphore::new(0), Semaphore::new(0));
                let mut sequence = Sequence::new().lowering(lowering);
                for step in 0..4 {
                    sequence = sequence
                        .step(SemaphoreWait::new(gate.clone(), step + 1))
                        .step(SemaphoreSignal::new(progress.clone(), step + 1));
                }
                if stepwise {
                    sequence = sequence.on_step(|_| Ok(()));
                }
                let (op, watch) = cts.watch(sequence);
                let id = cts.submit(op).unwrap();
                if at > 0 {
                    gate.signal(at, None).unwrap();
                    cts.until("the steps before", || progress.value() == at);
                }
                cts.look();
                cts.cancel(id).unwrap();
                cts.drain();
                assert_eq!(watch.only().status().code(), Code::Cancelled);
                gate.signal(10, None).unwrap();
                cts.look();
                assert_eq!(progress.value(), at, "a step ran after the cancel");
            }
        }
    }
}

fn a_cancel_from_inside_the_step_function_is_noticed_after_it(cts: &mut Cts) {
    let (handle, id) = (cts.handle().clone(), Arc::new(Mutex::new(None::<OperationId>)));
    let (mine, calls) = (id.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    let sequence = Sequence::new().step(Nop).step(Timer::new(Time::FAR_FUTURE)).on_step(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        handle.cancel(mine.lock().unwrap().unwrap())
    });
    let (op, watch) = cts.watch(sequence);
    *id.lock().unwrap() = Some(cts.submit(op).unwrap());
    cts.drain();
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

fn a_sequence_cancelled_right_after_submit_ends_once(cts: &mut Cts) {
    for steps in 0..4 {
        for stepwise in [false, true] {
            let mut sequence = (0..steps).fold(Sequence::new(), |all, _| all.step(Nop));
            if stepwise {
                sequence = sequence.on_step(|_| Ok(()));
            }
            let (op, watch) = cts.watch(sequence);
            let id = cts.submit(op).unwrap();
            cts.cancel(id).unwrap();
            cts.drain();
            // What had been done before the cancel was carried out is done.
            let code = watch.only().result.map_or_else(|status| status.code(), |()| Code::Ok);
            assert!(matches!(code, Code::Ok | Code::Cancelled), "{code}");
        }
    }
}

fn sequences_nest_and_fail_through(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let signal = |value| SemaphoreSignal::new(semaphore.clone(), value);
    let inner = Sequence::new().step(signal(2)).step(Nop).on_step(|_| Ok(()));
    let innermost = Sequence::new().step(Sequence::new().step(signal(3)).step(signal(4)));
    cts.get(Sequence::new().step(signal(1)).step(inner).step(innermost).step(signal(5)));
    assert_eq!(semaphore.value(), 5);
    let inner = Sequence::new().step(signal(6)).step(signal(6)).step(signal(7));
    let told = cts.one(Sequence::new().step(inner).step(signal(8)));
    assert_eq!(told.status().code(), Code::InvalidArgument);
    assert_eq!(semaphore.value(), 6);
    // A cancel reaches what runs, however deep.
    let deep = Sequence::new().step(Sequence::new().step(Sequence::new().step(Timer::new(Time::FAR_FUTURE))));
    let (op, watch) = cts.watch(deep.step(signal(9)));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    assert_eq!(semaphore.value(), 6);
}

fn a_step_function_cannot_take_away_the_steps_of_a_nested_sequence(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let inner = Sequence::new().step(Nop).step(SemaphoreSignal::new(semaphore.clone(), 1));
    let sequence = Sequence::new().step(Nop).step(inner).on_step(|step| {
        // With a way in, this would free operations that have their slots already.
        if let Some(inner) = step.kind_mut::<Sequence>(1) {
            *inner = Sequence::new();
        }
        Ok(())
    });
    let told = cts.one(sequence);
    told.result.unwrap();
    assert_eq!(semaphore.value(), 1, "the inner steps have run");
    assert_eq!(told.kind.kind::<Sequence>(1).unwrap().len(), 2);
    assert_eq!(cts.pending(), 0);
}

fn a_cancelled_sequence_that_has_not_begun_holds_up_no_stream(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (sequence, watch) = cts.watch(Sequence::new().step(Nop).step(Send::exact(client.clone(), vec![1; 3])));
    let (_, id) = cts.submit(Chain::new((wait, sequence))).unwrap();
    let later = cts.start(Send::exact(client, vec![2; 3]));
    cts.look();
    assert!(!later.is_done(), "bytes go in the order of submission");
    cts.cancel(id).unwrap();
    cts.until("the later send", || later.is_done());
    assert_eq!(cts.one(Receive::exact(server, vec![0; 3])).kind.buffer, [2; 3]);
    assert!(!waited.is_done() && !watch.is_done(), "callbacks of a chain come in order");
    semaphore.signal(1, None).unwrap();
    cts.drain();
    waited.only().result.unwrap();
    assert_eq!(watch.only().status().code(), Code::Cancelled);
}

fn a_sequence_is_a_step_of_a_chain_in_either_place(cts: &mut Cts) {
    for fails in [false, true] {
        let semaphore = Semaphore::new(0);
        let signal = |value| SemaphoreSignal::new(semaphore.clone(), value);
        let (head, first) = cts.watch(Sequence::new().step(signal(1)).step(signal(if fails { 1 } else { 2 })));
        let (middle, second) = cts.watch(signal(3));
        let (tail, third) = cts.watch(Sequence::new().step(signal(4)).step(signal(5)));
        cts.submit(Chain::new((head, middle, tail))).unwrap();
        cts.drain();
        assert!(first.order() < second.order() && second.order() < third.order());
        let codes = [first.code().unwrap(), second.code().unwrap(), third.code().unwrap()];
        if fails {
            assert_eq!(codes, [Code::InvalidArgument, Code::Cancelled, Code::Cancelled]);
            assert_eq!(semaphore.value(), 1);
        } else {
            assert_eq!(codes, [Code::Ok; 3]);
            assert_eq!(semaphore.value(), 5);
        }
    }
}

fn a_sequence_is_submitted_again_with_other_parameters(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let mut sequence =
        Sequence::new().step(Write::exact(file.clone(), 0, vec![0; 4])).step(Read::exact(file, 0, vec![0; 4]));
    for round in 0..20u8 {
        sequence.kind_mut::<Write<Vec<u8>>>(0).unwrap().buffer.fill(round);
        let told = cts.one(sequence);
        told.result.unwrap();
        sequence = told.kind;
        assert_eq!(sequence.kind::<Read<Vec<u8>>>(1).unwrap().buffer, [round; 4]);
    }
}

fn a_sequence_comes_from_another_thread(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let sequence = Sequence::new().step(SemaphoreSignal::new(semaphore.clone(), 1)).step(Nop).on_step(|_| Ok(()));
    let (op, watch) = cts.watch(sequence);
    let (waiting, cancelled) = cts.watch(Sequence::new().step(Timer::new(Time::FAR_FUTURE)).step(Nop));
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        handle.submit(op).unwrap();
        let id = handle.submit(waiting).unwrap();
        handle.cancel(id).unwrap();
    });
    cts.until("both sequences", || watch.is_done() && cancelled.is_done());
    thread.join().unwrap();
    watch.only().result.unwrap();
    assert_eq!(cancelled.only().status().code(), Code::Cancelled);
    assert_eq!(semaphore.value(), 1);
}

fn a_stepwise_sequence_is_never_lowered(cts: &mut Cts) {
    let before = cts.statistics();
    cts.get(Sequence::new().step(Nop).step(Nop).on_step(|_| Ok(())).lowering(Lowering::Always));
    let after = cts.statistics();
    assert_eq!(after.chains_lowered, before.chains_lowered);
    assert_eq!(after.steps_by_poll, before.steps_by_poll + 1);
    cts.get(Sequence::new().step(Nop).step(Nop).lowering(Lowering::Always));
    let lowered = cts.statistics().chains_lowered - after.chains_lowered;
    assert_eq!(lowered, u64::from(cts.lowers_chains()));
}

fn slots_of_steps_that_never_ran_are_free_again(cts: &mut Cts) {
    cts.rebuild(|builder| builder.operations(6));
    let missing = cts.path("missing");
    for stepwise in [false, true] {
        for _ in 0..20 {
            let nested = Sequence::new().step(Nop).step(Nop);
            let mut sequence = Sequence::new().step(Open::new(&missing, OpenFlags::READ)).step(nested).step(Nop);
            if stepwise {
                sequence = sequence.on_step(|_| Ok(()));
            }
            // Six slots, all of them: one lost in any round would refuse the next.
            assert_eq!(cts.fails(sequence).code(), Code::NotFound);
            assert_eq!(cts.pending(), 0);
        }
    }
}
