//! Where something shall run, and where its memory shall lie.

use std::fmt;
use std::sync::Arc;

use super::{CpuSet, pin};
use crate::status::Result;

/// Processors to run on and a node to take memory from, either or neither. Cloning it is one count.
///
/// A [`Node`](super::Node) has one ([`Node::affinity`](super::Node::affinity)). Given to a
/// [`Builder`](crate::proactor::Builder), it pins the thread that polls and the threads that work for it; given to an
/// [`Allocation`](crate::memory::Allocation), it says where pages come from.
///
/// ```
/// use proact::topology::{Affinity, Topology};
/// let topology = Topology::read();
/// let affinity = topology.nodes()[0].affinity();
/// assert_eq!(affinity.memory_node(), Some(topology.nodes()[0].number()));
/// assert!(Affinity::any().cpus().is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Affinity {
    cpus: Option<Arc<CpuSet>>,
    node: Option<u32>,
    /// Memory comes from the node.
    memory: bool,
}

impl Affinity {
    /// Wherever the system puts it.
    pub fn any() -> Affinity {
        Affinity::default()
    }

    /// On these processors and no others. An empty set is refused when it is used.
    pub fn on(cpus: CpuSet) -> Affinity {
        Affinity { cpus: Some(Arc::new(cpus)), ..Affinity::any() }
    }

    /// What belongs to a node.
    pub(super) fn of_node(cpus: Option<Arc<CpuSet>>, node: u32, memory: bool) -> Affinity {
        Affinity { cpus, node: Some(node), memory }
    }

    /// The same, with memory from this node, which it then belongs to.
    #[must_use]
    pub fn with_memory_node(mut self, node: u32) -> Affinity {
        (self.node, self.memory) = (Some(node), true);
        self
    }

    /// The processors; `None` for any.
    pub fn cpus(&self) -> Option<&CpuSet> {
        self.cpus.as_deref()
    }

    /// The node that it belongs to; `None` for none in particular.
    pub fn node(&self) -> Option<u32> {
        self.node
    }

    /// The node that memory comes from; `None` for any. One that has processors alone gives none.
    pub fn memory_node(&self) -> Option<u32> {
        self.node.filter(|_| self.memory)
    }

    /// Pins the calling thread to the processors, if there are any, until something pins it elsewhere. Threads that it
    /// starts afterwards inherit that.
    ///
    /// The system is asked afterwards: it takes a set of which only a part is there without a word.
    ///
    /// # Errors
    /// The thread stays where it was: `InvalidArgument` for an empty set, `Unavailable` when this process may not use
    /// all of them (its `cpuset`, processors that are off) or the system cannot pin, `PermissionDenied` in a sandbox.
    pub fn pin_thread(&self) -> Result {
        match &self.cpus {
            Some(cpus) => pin::pin(cpus),
            None => Ok(()),
        }
    }

    /// Calls `make` with this thread on the processors, and lets it go back: the kernel keeps what lies behind a
    /// descriptor in memory of the node that makes it. A thread that may not go there makes it where it is.
    pub(crate) fn visit<T>(&self, make: impl FnOnce() -> T) -> T {
        let Some(cpus) = &self.cpus else { return make() };
        if pin::processor().is_some_and(|processor| cpus.contains(processor)) {
            return make();
        }
        let before = pin::current().ok().filter(|_| pin::pin(cpus).is_ok());
        let made = make();
        if let Some(before) = before {
            // What the thread was allowed a moment ago; if it is no longer, it stays where it may be.
            let _ = pin::pin(&before);
        }
        made
    }

    /// Whether the calling thread may go to one of the processors.
    pub(crate) fn is_in_reach(&self) -> bool {
        let Some(cpus) = &self.cpus else { return true };
        pin::current().is_ok_and(|allowed| !cpus.intersection(&allowed).is_empty())
    }

    /// The processors that the calling thread may run on now, as the system says.
    ///
    /// # Errors
    /// `Unavailable` on systems that do not tell, `PermissionDenied` in a sandbox.
    pub fn of_thread() -> Result<Affinity> {
        Ok(Affinity::on(pin::current()?))
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cpus {
            Some(cpus) => write!(f, "Affinity(processors {cpus}")?,
            None => f.write_str("Affinity(any processor")?,
        }
        match (self.node, self.memory) {
            (Some(node), true) => write!(f, ", memory of node {node})"),
            (Some(node), false) => write!(f, ", any memory, of node {node})"),
            (None, _) => f.write_str(", any memory)"),
        }
    }
}
