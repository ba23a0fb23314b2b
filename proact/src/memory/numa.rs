//! One pool a NUMA node, so that buffers lie where they are used.

use std::fmt;

use super::buffer_pool::BufferPool;
use super::lease::Lease;
use super::mapping::Allocation;
use super::slab::Slab;
use crate::status::{Code, Result};
use crate::topology::{Node, Topology, processor};

/// A [`BufferPool`] for each NUMA node that has memory: [`acquire`](NodePools::acquire) takes a buffer of the node that
/// the calling thread runs on.
///
/// On a machine with one node, or where nodes cannot be asked for, it is one pool. Where the system does not let memory
/// be placed (a sandbox), the pools are as the first touch makes them; [`NodePools::is_placed`] says so. Nodes are read
/// once ([`Topology::read`]).
///
/// Any thread may make any call. A lease may be dropped on any node: its buffer goes back to its own pool.
///
/// ```
/// use proact::memory::{Allocation, NodePools};
/// let pools = NodePools::new(4096, 64, &Allocation::new())?;
/// let lease = pools.acquire()?;
/// assert_eq!(pools.available(), pools.capacity() - 1);
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct NodePools {
    pools: Vec<NodePool>,
    /// Which of the pools is near to each processor; beyond its end, the first.
    near: Vec<u16>,
}

struct NodePool {
    node: u32,
    placed: bool,
    pool: BufferPool,
}

impl NodePools {
    /// Allocates `buffer_count` buffers of `buffer_size` bytes on each node, in the way of `how`, whose own node is
    /// ignored.
    ///
    /// # Errors
    /// As for [`Slab::allocate`] and [`BufferPool::new`].
    pub fn new(buffer_size: usize, buffer_count: u32, how: &Allocation) -> Result<NodePools> {
        NodePools::of(Topology::read().nodes(), buffer_size, buffer_count, how)
    }

    fn of(nodes: &[Node], buffer_size: usize, buffer_count: u32, how: &Allocation) -> Result<NodePools> {
        let mut pools = Vec::with_capacity(nodes.len());
        let mut near = Vec::new();
        for node in nodes.iter().filter(|node| node.has_memory()) {
            let (slab, placed) = match Slab::allocate(buffer_size, buffer_count, &how.node(node.number())) {
                Ok(slab) => (slab, true),
                // Said by `is_placed`. The buffers are as good as any, only not where they were wanted.
                Err(status) if status.code() == Code::Unavailable => {
                    (Slab::allocate(buffer_size, buffer_count, &how.nowhere())?, false)
                }
                Err(status) => return Err(status),
            };
            for processor in node.online_cpus().iter() {
                if near.len() <= processor {
                    near.resize(processor + 1, 0);
                }
                near[processor] = pools.len() as u16;
            }
            pools.push(NodePool { node: node.number(), placed, pool: BufferPool::new(slab)? });
        }
        Ok(NodePools { pools, near })
    }

    /// Takes a buffer of the node that the calling thread runs on; when that has none, of another one.
    ///
    /// # Errors
    /// `ResourceExhausted` when no node has a buffer now.
    pub fn acquire(&self) -> Result<Lease> {
        let first = self.here();
        let taken = self.pools[first].pool.acquire();
        if taken.is_ok() {
            return taken;
        }
        let others = self.pools.iter().enumerate().filter(|(index, _)| *index != first);
        others.map(|(_, other)| other.pool.acquire()).find(Result::is_ok).unwrap_or(taken)
    }

    /// The pool of the node that the calling thread runs on. It may run elsewhere a moment later.
    pub fn local(&self) -> &BufferPool {
        &self.pools[self.here()].pool
    }

    fn here(&self) -> usize {
        processor().and_then(|processor| self.near.get(processor)).map_or(0, |index| usize::from(*index))
    }

    /// The pool of a node, if it has one.
    pub fn on(&self, node: u32) -> Option<&BufferPool> {
        self.pools.iter().find(|pool| pool.node == node).map(|pool| &pool.pool)
    }

    /// The nodes that have pools, in rising order.
    pub fn nodes(&self) -> Vec<u32> {
        self.pools.iter().map(|pool| pool.node).collect()
    }

    /// Whether the kernel was told to keep the node's pool on it.
    pub fn is_placed(&self, node: u32) -> bool {
        self.pools.iter().any(|pool| pool.node == node && pool.placed)
    }

    /// Buffers that are there to be taken now, of all nodes.
    pub fn available(&self) -> u64 {
        self.pools.iter().map(|pool| u64::from(pool.pool.available())).sum()
    }

    /// Buffers of all nodes.
    pub fn capacity(&self) -> u64 {
        self.pools.iter().map(|pool| u64::from(pool.pool.capacity())).sum()
    }
}

impl fmt::Debug for NodePools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodePools({} of {} on nodes {:?})", self.available(), self.capacity(), self.nodes())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn node(number: u32, processors: &[usize], has_memory: bool) -> Node {
        Node::made_up(number, processors, has_memory)
    }

    #[test]
    fn the_nodes_of_this_machine_give_a_buffer_each_and_take_it_back() {
        let pools = NodePools::new(64, 2, &Allocation::new()).unwrap();
        let nodes = pools.nodes();
        assert!(!nodes.is_empty());
        let leases: Vec<Lease> = (0..pools.capacity()).map(|_| pools.acquire().unwrap()).collect();
        assert_eq!(pools.acquire().unwrap_err().code(), Code::ResourceExhausted);
        assert!(nodes.iter().all(|node| pools.on(*node).unwrap().available() == 0), "also of other nodes");
        drop(leases);
        assert_eq!((pools.available(), pools.capacity()), (2 * nodes.len() as u64, 2 * nodes.len() as u64));
        assert!(nodes.contains(&nodes[0]) && pools.on(9_999).is_none() && !pools.is_placed(9_999));
    }

    /// Made-up nodes over the one that every machine has: 0 may be there once only, so the other is not placed.
    #[test]
    fn the_pool_near_to_a_processor_is_its_nodes() {
        let here = processor().unwrap_or(0);
        let elsewhere: Vec<usize> = (0..64).filter(|processor| *processor != here).collect();
        // A thread may be moved between the two calls: then every processor is near to the same pool.
        let nodes = [node(0, &[], true), node(0, &[&elsewhere[..], &[here]].concat(), true), node(7, &[0], false)];
        let pools = NodePools::of(&nodes, 64, 1, &Allocation::new()).unwrap();
        assert!(pools.local().is_same(&pools.pools[1].pool));
        assert_eq!(pools.nodes(), [0, 0], "a node without memory has no pool");
        let lease = pools.acquire().unwrap();
        assert_eq!((pools.pools[0].pool.available(), pools.pools[1].pool.available()), (1, 0));
        let other = pools.acquire().unwrap();
        assert_eq!(pools.available(), 0);
        drop((lease, other));
        assert_eq!(pools.available(), 2);
    }
}
