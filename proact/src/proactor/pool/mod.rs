//! Proactors on threads of their own, one a NUMA node, made when they are first asked for.

mod once;

use std::fmt;
use std::time::{Duration, Instant};

use self::once::{Asked, Once};
use super::{Builder, Ended, Handle, ProactorThread, ThreadOptions};
use crate::status::{Code, Operation, Result, Status};
use crate::topology::{Affinity, Node, Topology, processor};

/// Several proactors, each on a thread of its own, pinned to where it belongs: one a NUMA node, or as many as the
/// program likes.
///
/// A place has no thread before someone asks for it. Asking for one that is there takes no lock, and making one holds
/// nobody up who asks for another. Any thread may make any call; usually the pool is behind an
/// [`Arc`](std::sync::Arc).
///
/// [`ProactorPool::shutdown`] asks all to stop and then waits for all, with one deadline. Handles outlive the pool:
/// what is submitted by them then comes back, as after any shutdown. Dropping the pool is a shutdown with five seconds
/// that reports nothing; a thread that has not ended by then is left to itself.
///
/// ```
/// use std::time::Duration;
/// use proact::operation::{Nop, Op};
/// use proact::proactor::{Builder, ProactorPool, ThreadOptions};
///
/// let pool = ProactorPool::of_system(Builder::new().name("io"), ThreadOptions::new())?;
/// // Near to where this thread runs; the first place, if that is nowhere in particular.
/// let handle = pool.get(pool.index_here().unwrap_or(0))?;
/// handle.submit(Op::new(Nop, ())).unwrap();
/// for place in pool.shutdown(Duration::from_secs(1)) {
///     if let Some(ended) = place.ended {
///         println!("{}: {} operations", place.name, ended?.statistics.completed);
///     }
/// }
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct ProactorPool {
    places: Vec<Place>,
    builder: Builder,
    options: ThreadOptions,
}

struct Place {
    name: String,
    affinity: Affinity,
    thread: Once<ProactorThread>,
}

/// How a place of a pool ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlaceEnded {
    /// What its proactor is, or would have been, called.
    pub name: String,
    /// The node it belongs to.
    pub node: Option<u32>,
    /// How its thread ended: as [`ProactorThread::join_timeout`] tells. `None`: no one had asked for it.
    pub ended: Option<Result<Ended>>,
}

/// How long dropping a pool waits for its threads.
const DROP_DEADLINE: Duration = Duration::from_secs(5);

impl ProactorPool {
    /// A place for each of `places`, whose proactors are built by `builder` and run as `options` says. Their names are
    /// the builder's, with `-n` and the node where each has one of its own, otherwise `-` and the index. No thread is
    /// made yet.
    ///
    /// # Errors
    /// `InvalidArgument` without any place.
    pub fn new(
        places: impl IntoIterator<Item = Affinity>,
        builder: Builder,
        options: ThreadOptions,
    ) -> Result<ProactorPool> {
        let affinities: Vec<Affinity> = places.into_iter().collect();
        if affinities.is_empty() {
            return Err(Status::new(Code::InvalidArgument, Operation::ProactorPool)
                .with_message("a pool without places has nothing to give"));
        }
        let mut nodes: Vec<u32> = affinities.iter().filter_map(Affinity::node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let one_each = nodes.len() == affinities.len();
        let name = |index: usize, affinity: &Affinity| match affinity.node() {
            Some(node) if one_each => format!("{}-n{node}", builder.given_name()),
            _ => format!("{}-{index}", builder.given_name()),
        };
        let place = |(index, affinity)| Place { name: name(index, &affinity), affinity, thread: Once::new() };
        let places = affinities.into_iter().enumerate().map(place).collect();
        Ok(ProactorPool { places, builder, options })
    }

    /// A place for each node of this machine that has processors for this process.
    ///
    /// # Errors
    /// None today.
    pub fn of_system(builder: Builder, options: ThreadOptions) -> Result<ProactorPool> {
        let topology = Topology::read();
        let nodes = topology.nodes().iter().filter(|node| !node.cpus().is_empty());
        ProactorPool::new(nodes.map(Node::affinity), builder, options)
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Never: a pool has a place.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The proactor at `index`, which is built, with its thread, when it is first asked for. Who asks for the same
    /// meanwhile waits.
    ///
    /// # Errors
    /// `OutOfRange` beyond the last, `Aborted` after a shutdown, `FailedPrecondition` for one that the calling thread
    /// is just making (a [`Runner`](super::Runner) that asks), and what [`ProactorThread::spawn_with`] answers: then
    /// the next who asks tries again.
    pub fn get(&self, index: usize) -> Result<&Handle> {
        let place = self.place(index)?;
        let failed = |code, why| {
            Err(Status::new(code, Operation::ProactorPool).with_message(why).with_context(format!("{:?}", place.name)))
        };
        if let Some(thread) = place.thread.get() {
            return match place.thread.is_closed() {
                false => Ok(thread.handle()),
                true => failed(Code::Aborted, "the pool is shut down"),
            };
        }
        match place.thread.get_or_make(|| self.spawn(place))? {
            Asked::There(thread) => Ok(thread.handle()),
            Asked::MadeTooLate(thread) => {
                thread.stop();
                failed(Code::Aborted, "the pool was shut down meanwhile")
            }
            Asked::Closed => failed(Code::Aborted, "the pool is shut down"),
            Asked::ByItsMaker => failed(Code::FailedPrecondition, "it is just being made by this thread"),
        }
    }

    fn spawn(&self, place: &Place) -> Result<ProactorThread> {
        let builder = self.builder.clone().name(place.name.clone()).affinity(place.affinity.clone());
        ProactorThread::spawn_with(builder, &self.options)
            .map_err(|status| status.with_context(format!("{:?}", place.name)))
    }

    /// The proactor of a node: of the first place that belongs to it.
    ///
    /// # Errors
    /// `NotFound` when no place does: what to take then is the program's choice ([`ProactorPool::index_of`]). And what
    /// [`ProactorPool::get`] answers.
    pub fn on(&self, node: u32) -> Result<&Handle> {
        match self.index_of(node) {
            Some(index) => self.get(index),
            None => Err(Status::new(Code::NotFound, Operation::ProactorPool)
                .with_message(format!("no place belongs to node {node}"))),
        }
    }

    /// The first place that belongs to a node.
    pub fn index_of(&self, node: u32) -> Option<usize> {
        self.places.iter().position(|place| place.affinity.node() == Some(node))
    }

    /// The first place that is pinned to, among others, the processor that the calling thread runs on. A thread that is
    /// not pinned itself may run elsewhere a moment later.
    pub fn index_here(&self) -> Option<usize> {
        let cpu = processor()?;
        self.places.iter().position(|place| place.affinity.cpus().is_some_and(|cpus| cpus.contains(cpu)))
    }

    /// What the proactor at `index` is, or will be, called.
    ///
    /// # Errors
    /// `OutOfRange` beyond the last.
    pub fn name(&self, index: usize) -> Result<&str> {
        self.place(index).map(|place| &*place.name)
    }

    /// Where the proactor at `index` runs, or will run.
    ///
    /// # Errors
    /// `OutOfRange` beyond the last.
    pub fn affinity(&self, index: usize) -> Result<&Affinity> {
        self.place(index).map(|place| &place.affinity)
    }

    /// How many have been asked for, and have a thread.
    pub fn started(&self) -> usize {
        self.places.iter().filter(|place| place.thread.get().is_some()).count()
    }

    fn place(&self, index: usize) -> Result<&Place> {
        self.places.get(index).ok_or_else(|| {
            Status::new(Code::OutOfRange, Operation::ProactorPool)
                .with_message(format!("place {index} of {}", self.places.len()))
        })
    }

    /// Asks all threads to stop, then waits for all of them, until `deadline` is over for all together, and tells of
    /// each place, in order. From now on nobody gets a proactor. What is in flight is cancelled, and its callbacks run.
    ///
    /// A thread that has not ended by then (a callback that blocks) is reported with `DeadlineExceeded`. It ends by
    /// itself; asking again, also from other threads, waits for it again. The thread of a callback that asks is
    /// reported with `FailedPrecondition`, and ends after the callback.
    pub fn shutdown(&self, deadline: Duration) -> Vec<PlaceEnded> {
        let deadline = Instant::now().checked_add(deadline);
        for place in &self.places {
            if let Some(thread) = place.thread.close() {
                thread.stop();
            }
        }
        let ended = |place: &Place| match place.thread.settled(deadline) {
            Ok(thread) => thread.map(|thread| thread.join_until(deadline)),
            Err(()) => Some(Err(Status::new(Code::DeadlineExceeded, Operation::ProactorPool)
                .with_message("its thread is still being made")
                .with_context(format!("{:?}", place.name)))),
        };
        let place =
            |place: &Place| PlaceEnded { name: place.name.clone(), node: place.affinity.node(), ended: ended(place) };
        self.places.iter().map(place).collect()
    }
}

impl Drop for ProactorPool {
    fn drop(&mut self) {
        self.shutdown(DROP_DEADLINE);
        for place in self.places.drain(..) {
            if let Some(thread) = place.thread.into_inner() {
                thread.detach();
            }
        }
    }
}

impl fmt::Debug for ProactorPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places.iter().map(|place| (&place.name, place.thread.get().is_some()));
        f.write_str("ProactorPool")?;
        f.debug_map().entries(places).finish()
    }
}
