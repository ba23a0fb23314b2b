//! The eight cases.

use super::Case;
use super::workload::{Value, Workload};
use crate::pool::PoolOptions;

/// How long a kernel, a copy and a load take, in nanoseconds.
const KERNEL: u64 = 10_000;
const COPY: u64 = 5_000;
const LOAD: u64 = 50_000;

/// All of them, in the order of their numbers.
pub fn cases() -> Vec<Case> {
    let case = |number, name, text, workload| Case { number, name, text, workload };
    vec![
        case("1", "sequential", "1000 kernels on one queue, each waiting for the one before.", sequential()),
        case(
            "2",
            "cross-queue",
            "Two queues of a device: compute makes what copy moves and post-processes, 250 rounds.",
            cross_queue(),
        ),
        case("3", "fork-join", "Eight branches, a join, and a reader of all nine results, 100 rounds.", fork_join()),
        case(
            "4",
            "transitive",
            "Three devices in a row; the third uses what the second made and what the first made, 300 rounds.",
            transitive(),
        ),
        case(
            "5",
            "remote fan-in",
            "Four machines feed a fifth; a sixth uses its result and their parts, 100 rounds.",
            fan_in(),
        ),
        case(
            "6",
            "buffer reuse",
            "20 models in turn in one piece of memory; 100 layers read each model's weights.",
            buffer_reuse(),
        ),
        case(
            "7a",
            "isolation, room for both",
            "Two models that share nothing but a pool with room for both, 200 steps each.",
            isolation(PoolOptions::new(u64::MAX).waits(false)),
        ),
        case(
            "7b",
            "isolation, room for one",
            "The same two models, and a pool with room for one at a time.",
            isolation(PoolOptions::new(BLOCK).waits(true)),
        ),
        case(
            "8",
            "speculation",
            "Drafts, verifications and outputs, 100 rounds; of each verified output it is asked whether it was.",
            speculation(),
        ),
    ]
}

/// The memory of a step of a model.
const BLOCK: u64 = 1 << 20;

fn sequential() -> Workload {
    let mut work = Workload::default();
    let (queue, done) = (work.queue(0, 0, 0), work.semaphore());
    let mut last = (done, 0);
    for _ in 0..1000 {
        last = work.submit(queue, KERNEL, &[last], done);
    }
    work
}

fn cross_queue() -> Workload {
    let mut work = Workload::default();
    let (compute, copy) = (work.queue(0, 0, 0), work.queue(0, 0, 1));
    let (a, b) = (work.semaphore(), work.semaphore());
    let mut processed: Value = (b, 0);
    for _ in 0..250 {
        // The matrix goes where the copy before has read, and the activation beside it.
        let product = work.submit(compute, KERNEL, &[processed], a);
        work.submit(compute, KERNEL, &[product], a);
        let moved = work.submit(copy, COPY, &[product], b);
        // It reads what was moved, and the shape of the product.
        processed = work.submit(copy, COPY, &[moved, product], b);
    }
    work
}

fn fork_join() -> Workload {
    let mut work = Workload::default();
    let main = work.queue(0, 0, 0);
    let reader = work.queue(0, 0, 1);
    let branches: Vec<(usize, usize)> = (0..8).map(|n| (work.queue(0, 1 + n, 0), work.semaphore())).collect();
    let (done, read) = (work.semaphore(), work.semaphore());
    for _ in 0..100 {
        let start = work.submit(main, COPY, &[], done);
        let mut parts: Vec<Value> =
            branches.iter().map(|&(queue, semaphore)| work.submit(queue, KERNEL, &[start], semaphore)).collect();
        parts.push(work.submit(main, KERNEL, &parts, done));
        work.submit(reader, COPY, &parts, read);
    }
    work
}

fn transitive() -> Workload {
    let mut work = Workload::default();
    let line: Vec<(usize, usize)> = (0..3).map(|device| (work.queue(0, device, 0), work.semaphore())).collect();
    for _ in 0..300 {
        let first = work.submit(line[0].0, KERNEL, &[], line[0].1);
        let second = work.submit(line[1].0, KERNEL, &[first], line[1].1);
        work.submit(line[2].0, KERNEL, &[second, first], line[2].1);
    }
    work
}

fn fan_in() -> Workload {
    let mut work = Workload::default();
    let producers: Vec<(usize, usize)> = (0..4).map(|machine| (work.queue(machine, 0, 0), work.semaphore())).collect();
    let (gather, gathered) = (work.queue(4, 0, 0), work.semaphore());
    let (consume, consumed) = (work.queue(5, 0, 0), work.semaphore());
    for _ in 0..100 {
        let mut parts: Vec<Value> =
            producers.iter().map(|&(queue, semaphore)| work.submit(queue, KERNEL, &[], semaphore)).collect();
        // Last in the list and first in meaning: whoever has it has them all.
        parts.push(work.submit(gather, COPY, &parts, gathered));
        work.submit(consume, KERNEL, &parts, consumed);
    }
    work
}

fn buffer_reuse() -> Workload {
    let mut work = Workload::with_pool(PoolOptions::new(BLOCK));
    let (copy, compute) = (work.queue(0, 0, 0), work.queue(0, 0, 1));
    let (loaded, done, read) = (work.semaphore(), work.semaphore(), work.semaphore());
    for _ in 0..20 {
        let weights = work.acquire(BLOCK, copy);
        let mut last = work.submit_with(copy, LOAD, &[], loaded, &[weights]);
        for _ in 0..100 {
            last = work.submit_with(compute, KERNEL, &[last], done, &[weights]);
        }
        // The answer is copied out, which has nothing to do with the weights; but it knows of all that read them.
        work.submit(copy, COPY, &[last], read);
        work.release(weights);
    }
    work
}

fn isolation(pool: PoolOptions) -> Workload {
    let mut work = Workload::with_pool(pool);
    let models: Vec<(usize, usize)> = (0..2).map(|device| (work.queue(0, device, 0), work.semaphore())).collect();
    for _ in 0..200 {
        for &(queue, done) in &models {
            let buffer = work.acquire(BLOCK, queue);
            work.submit_with(queue, KERNEL, &[], done, &[buffer]);
            work.release(buffer);
        }
    }
    work
}

fn speculation() -> Workload {
    let mut work = Workload::default();
    let (draft, main, out) = (work.queue(0, 0, 0), work.queue(0, 1, 0), work.queue(0, 2, 0));
    let (drafted, verified, shown, said) = (work.semaphore(), work.semaphore(), work.semaphore(), work.semaphore());
    let screen = work.queue(0, 3, 0);
    let mut checked: Value = (verified, 0);
    for _ in 0..100 {
        let tokens = work.submit(draft, KERNEL, &[], drafted);
        // On a screen of its own a draft is shown at once.
        work.submit(screen, COPY, &[tokens], shown);
        checked = work.submit(main, KERNEL, &[tokens, checked], verified);
        let answer = work.submit(out, COPY, &[checked, tokens], said);
        work.ask(answer, main);
    }
    work
}
