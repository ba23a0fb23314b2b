//! What is submitted, as a list.

use proact::causal::Axis;

use crate::pool::PoolOptions;

/// A semaphore, by its number, and a value.
pub(super) type Value = (usize, u64);

/// A case's submissions and what they need. Queues, semaphores and buffers are told by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Workload {
    pub(super) queues: Vec<Axis>,
    pub(super) semaphores: usize,
    pub(super) pool: Option<PoolOptions>,
    pub(super) buffers: usize,
    pub(super) steps: Vec<Step>,
    pub(super) questions: Vec<Question>,
    /// The epoch of the last submission to each queue.
    epochs: Vec<u64>,
    /// The last value of each semaphore.
    values: Vec<u64>,
}

/// One step of whoever submits.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit(Submit),
    /// Takes memory for the next submission to a queue.
    Acquire {
        buffer: usize,
        bytes: u64,
        queue: usize,
    },
    /// Gives it back; its last use has been submitted.
    Release {
        buffer: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Submit {
    pub(super) queue: usize,
    pub(super) waits: Vec<Value>,
    pub(super) signals: Vec<Value>,
    pub(super) buffers: Vec<usize>,
    pub(super) duration_ns: u64,
}

/// Whether the submission with this place is in the past of this value; it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) value: Value,
    pub(super) queue: usize,
    pub(super) epoch: u64,
}

impl Workload {
    pub(super) fn with_pool(pool: PoolOptions) -> Workload {
        Workload { pool: Some(pool), ..Workload::default() }
    }

    pub(super) fn queue(&mut self, machine: u8, device: u8, queue: u8) -> usize {
        self.queues.push(Axis::queue(1, machine, device, queue));
        self.epochs.push(0);
        self.queues.len() - 1
    }

    pub(super) fn semaphore(&mut self) -> usize {
        self.semaphores += 1;
        self.values.push(0);
        self.semaphores - 1
    }

    /// The last value of a semaphore.
    pub(super) fn last_value(&self, semaphore: usize) -> u64 {
        self.values[semaphore]
    }

    pub(super) fn acquire(&mut self, bytes: u64, queue: usize) -> usize {
        self.buffers += 1;
        self.steps.push(Step::Acquire { buffer: self.buffers - 1, bytes, queue });
        self.buffers - 1
    }

    pub(super) fn release(&mut self, buffer: usize) {
        self.steps.push(Step::Release { buffer });
    }

    /// Submits work that raises `semaphore` by one, and answers to what.
    pub(super) fn submit(&mut self, queue: usize, duration_ns: u64, waits: &[Value], semaphore: usize) -> Value {
        self.submit_with(queue, duration_ns, waits, semaphore, &[])
    }

    /// As [`Workload::submit`], for work that touches memory.
    pub(super) fn submit_with(
        &mut self,
        queue: usize,
        duration_ns: u64,
        waits: &[Value],
        semaphore: usize,
        buffers: &[usize],
    ) -> Value {
        self.values[semaphore] += 1;
        self.epochs[queue] += 1;
        let signal = (semaphore, self.values[semaphore]);
        self.steps.push(Step::Submit(Submit {
            queue,
            // The first round of a loop waits for what is there from the start.
            waits: waits.iter().copied().filter(|&(_, value)| value > 0).collect(),
            signals: vec![signal],
            buffers: buffers.to_vec(),
            duration_ns,
        }));
        signal
    }

    /// Asks whether the last submission to `queue` is in the past of `value`.
    pub(super) fn ask(&mut self, value: Value, queue: usize) {
        self.questions.push(Question { value, queue, epoch: self.epochs[queue] });
    }
}
