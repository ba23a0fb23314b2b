//! Simulated devices drive semaphores.

use std::time::Duration;

use proact::causal::{Axis, Frontier};
use proact::operation::{Chain, Op, SemaphoreSignal, SemaphoreWait, Timer};
use proact::simulated::{Command, Device, Stalled, World};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Time;

use crate::{one, proactor, start};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_queue_carries_commands_out_one_after_another_and_two_queues_side_by_side() {
    let world = World::new(1);
    let host = world.host("a");
    let device = Device::new(&host);
    let (copies, kernels) = (device.queue(), device.queue());
    assert_eq!((copies.submit(Command::new(2 * MS)).unwrap(), copies.submit(Command::new(3 * MS)).unwrap()), (1, 2));
    assert_eq!(kernels.submit(Command::new(4 * MS)).unwrap(), 1);
    let mut host = proactor(&host);
    one(&mut host, SemaphoreWait::new(kernels.semaphore().clone(), 1)).unwrap();
    assert_eq!((world.now().as_nanoseconds(), copies.semaphore().value()), (4_000_000, 1));
    one(&mut host, SemaphoreWait::new(copies.semaphore().clone(), 2)).unwrap();
    assert_eq!(world.now().as_nanoseconds(), 5_000_000);
}

#[test]
fn a_whole_pipeline_is_submitted_before_any_of_it_may_run() {
    let world = World::new(1);
    let host = world.host("a");
    let device = Device::new(&host);
    let (copies, kernels) = (device.queue(), device.queue());
    let (ready, done) = (Semaphore::new(0), Semaphore::new(0));
    // Kernel behind copy behind the host, and the host behind the kernel: in the order that is least natural.
    kernels.submit(Command::new(5 * MS).after(copies.semaphore(), 1).signal(&done, 1)).unwrap();
    copies.submit(Command::new(MS).after(&ready, 1).after(&ready, 2)).unwrap();
    let mut host = proactor(&host);
    let finished = start(&mut host, SemaphoreWait::new(done.clone(), 1));
    let timer = Op::new(Timer::new(Time::from_nanoseconds(10_000_000)), ());
    host.submit(Chain::new((timer, Op::new(SemaphoreSignal::new(ready, 2), ())))).unwrap();
    host.run().unwrap();
    finished.take().unwrap();
    assert_eq!(world.now().as_nanoseconds(), 16_000_000);
}

#[test]
fn causes_that_a_command_tells_are_exact_and_others_are_not() {
    let world = World::new(1);
    let host = world.host("a");
    let queue = Device::new(&host).queue();
    let causes = Frontier::single(Axis::queue(0, 0, 0, 0), 7).unwrap();
    queue.submit(Command::new(MS).causes(causes.clone())).unwrap();
    queue.submit(Command::new(MS)).unwrap();
    let mut host = proactor(&host);
    one(&mut host, SemaphoreWait::new(queue.semaphore().clone(), 2)).unwrap();
    assert_eq!(queue.semaphore().causes(1).unwrap().requirement(), Some(&causes));
    assert_eq!(queue.semaphore().causes(2).unwrap().requirement(), None);
}

#[test]
fn a_failed_command_fails_what_is_behind_it_and_who_waits() {
    let world = World::new(1);
    let host = world.host("a");
    let queue = Device::new(&host).queue();
    let other = Semaphore::new(0);
    let fault = Status::new(Code::Internal, Operation::SemaphoreSignal).with_message("a bad kernel");
    queue.submit(Command::new(MS)).unwrap();
    queue.submit(Command::new(MS).fail(fault)).unwrap();
    queue.submit(Command::new(MS).signal(&other, 1)).unwrap();
    let mut host = proactor(&host);
    let (first, third) = (
        start(&mut host, SemaphoreWait::new(queue.semaphore().clone(), 1)),
        start(&mut host, SemaphoreWait::new(other, 1)),
    );
    host.run().unwrap();
    first.take().unwrap();
    assert_eq!(third.take().unwrap_err().message(), Some("a bad kernel"));
    assert_eq!(queue.semaphore().value(), 1);
    assert_eq!(queue.submit(Command::new(MS)).unwrap_err().code(), Code::Internal);
}

#[test]
fn a_wait_that_fails_fails_the_queue() {
    let world = World::new(1);
    let host = world.host("a");
    let queue = Device::new(&host).queue();
    let input = Semaphore::new(0);
    queue.submit(Command::new(MS).after(&input, 1)).unwrap();
    input.fail(Status::new(Code::DataLoss, Operation::FileRead).with_message("no input"));
    let mut host = proactor(&host);
    let status = one(&mut host, SemaphoreWait::new(queue.semaphore().clone(), 1)).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, Some("no input")));
}

#[test]
fn a_lost_device_fails_all_its_queues() {
    let world = World::new(1);
    let host = world.host("a");
    let device = Device::new(&host);
    let queues = [device.queue(), device.queue()];
    for queue in &queues {
        queue.submit(Command::new(10 * MS)).unwrap();
    }
    let mut waiting = proactor(&host);
    let waits = queues.each_ref().map(|queue| start(&mut waiting, SemaphoreWait::new(queue.semaphore().clone(), 1)));
    world.after(3 * MS, move |_| device.lose());
    waiting.run().unwrap();
    assert_eq!(waits.map(|wait| wait.code()), [Code::DataLoss, Code::DataLoss]);
    assert_eq!(world.now().as_nanoseconds(), 3_000_000);
}

#[test]
fn who_waits_for_a_signal_of_a_command_that_fails_hears_of_it() {
    let world = World::new(1);
    let host = world.host("a");
    let queue = Device::new(&host).queue();
    let other = Semaphore::new(0);
    let fault = Status::new(Code::Internal, Operation::SemaphoreSignal).with_message("a bad kernel");
    queue.submit(Command::new(MS).signal(&other, 1).fail(fault)).unwrap();
    let mut host = proactor(&host);
    let waited = start(&mut host, SemaphoreWait::new(other, 1));
    assert_eq!(world.run(&mut [&mut host], 5 * MS).unwrap(), Stalled::Done, "its own signal never comes");
    assert_eq!(waited.take().unwrap_err().message(), Some("a bad kernel"));
}

#[test]
fn a_queue_that_goes_with_its_last_handle_fails_what_its_commands_were_to_signal() {
    let world = World::new(1);
    let host = world.host("a");
    let queue = Device::new(&host).queue();
    let (own, other) = (queue.semaphore().clone(), Semaphore::new(0));
    queue.submit(Command::new(MS).signal(&other, 1)).unwrap();
    let mut host = proactor(&host);
    let waits = [own, other].map(|semaphore| start(&mut host, SemaphoreWait::new(semaphore, 1)));
    drop(queue);
    assert_eq!(world.run(&mut [&mut host], 5 * MS).unwrap(), Stalled::Done);
    assert_eq!(waits.map(|wait| wait.code()), [Code::Cancelled, Code::Cancelled]);
}

#[test]
fn a_device_goes_with_its_host() {
    let world = World::new(1);
    let (host, watching) = (world.host("a"), world.host("b"));
    let queue = Device::new(&host).queue();
    queue.submit(Command::new(10 * MS)).unwrap();
    let mut watching = proactor(&watching);
    let waited = start(&mut watching, SemaphoreWait::new(queue.semaphore().clone(), 1));
    let crashing = host.clone();
    world.after(3 * MS, move |_| {
        crashing.crash();
        crashing.restart();
    });
    assert_eq!(world.run(&mut [&mut watching], 20 * MS).unwrap(), Stalled::Done);
    assert_eq!(waited.code(), Code::DataLoss, "a device went on without its host");
    assert_eq!(queue.submit(Command::new(MS)).unwrap_err().code(), Code::DataLoss);
    let again = Device::new(&host).queue();
    assert_eq!(again.submit(Command::new(MS)).unwrap(), 1);
}
