//! TLS as the poll thread sees it: tasks for the compute queue, and a turn after each.

use std::rc::Rc;
use std::sync::Arc;

use proact::operation::{Context, SemaphoreWait};
use proact::status::Status;
use proact::sync::Semaphore;

use super::compute::{ComputeQueue, Job, Returned, Work};
use super::machine::Machine;
use super::tls::{Channel, Task, Turn};
use super::trace::Tracer;
use crate::wire::{Fault, FaultKind};

/// Bytes that are received at a time: a few records, of at most 16 KiB each.
const RAW_ROOM: usize = 256 << 10;

/// A connection's TLS.
pub(super) struct Secure {
    pub(super) channel: Arc<Channel>,
    compute: Rc<dyn ComputeQueue>,
    /// Signalled after each task.
    turns: Semaphore,
    value: u64,
    returned: Arc<Returned>,
    raw: Option<Vec<u8>>,
    /// The handshake is over.
    pub(super) established: bool,
    /// Bytes are being received, or opened.
    pub(super) pulling: bool,
    /// TLS itself has something to say.
    pub(super) flush_due: bool,
    /// The peer has ended its stream, in whatever way.
    pub(super) over: bool,
}

impl Secure {
    pub(super) fn new(channel: Arc<Channel>, compute: Rc<dyn ComputeQueue>) -> Secure {
        Secure {
            channel,
            compute,
            turns: Semaphore::new(0),
            value: 0,
            returned: Arc::default(),
            raw: None,
            established: false,
            pulling: false,
            flush_due: false,
            over: false,
        }
    }

    /// The buffer to receive into.
    pub(super) fn raw(&mut self) -> Vec<u8> {
        self.pulling = true;
        self.raw.take().unwrap_or_else(|| vec![0; RAW_ROOM])
    }
}

/// A machine whose connection may have TLS.
pub(super) trait Secured: Machine {
    /// Its TLS.
    fn secure(&mut self) -> Option<&mut Secure>;

    /// Who is told of its steps.
    fn tracer(&self) -> &Tracer;

    /// A task has been carried out.
    fn turned(&mut self, turn: Turn, cx: &mut Context<'_>);

    /// Hands a task to the compute queue.
    fn task(&mut self, task: Task, cx: &mut Context<'_>) {
        if self.secure().is_none() {
            return;
        }
        let ticket = self.tracer().aside(|| task.name());
        let Some(secure) = self.secure() else { return };
        secure.value += 1;
        let (turns, value) = (secure.turns.clone(), secure.value);
        let work = Work::Secure(secure.channel.clone(), task);
        secure.compute.submit(Job::plain(work, None, &turns, value, &secure.returned, ticket));
        self.call(SemaphoreWait::new(turns, value), cx, |machine, _, outcome, cx| {
            // Two that end together are looked at together, and the second look finds nothing new.
            let Some(secure) = machine.secure() else { return };
            let mut turn = secure.channel.take_turn();
            if let Some(raw) = turn.raw.take() {
                secure.raw = Some(raw);
                secure.pulling = false;
            }
            secure.over |= turn.ended;
            if let Err(status) = outcome.result {
                let stopped: Status = status;
                turn.fault.get_or_insert(Fault::new(FaultKind::Other, stopped.to_string()));
            }
            secure.established |= turn.established;
            turn.established = secure.established;
            machine.turned(turn, cx);
        });
    }
}
