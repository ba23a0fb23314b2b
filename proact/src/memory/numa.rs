//! One pool a NUMA node, so that buffers lie where they are used.

use std::fmt;
use std::path::Path;

use super::buffer_pool::BufferPool;
use super::lease::Lease;
use super::mapping::Allocation;
use super::slab::Slab;
use crate::status::{Code, Result};

/// A [`BufferPool`] for each NUMA node that has memory: [`acquire`](NodePools::acquire) takes a buffer of the node that
/// the calling thread runs on.
///
/// On a machine with one node, or where nodes cannot be asked for, it is one pool. Where the system does not let memory
/// be placed (a sandbox), the pools are as the first touch makes them; [`NodePools::is_placed`] says so. Nodes are read
/// once, from `/sys`, on Linux.
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
        NodePools::of(&topology(Path::new("/sys/devices/system/node")), buffer_size, buffer_count, how)
    }

    fn of(nodes: &[Node], buffer_size: usize, buffer_count: u32, how: &Allocation) -> Result<NodePools> {
        let mut pools = Vec::with_capacity(nodes.len());
        let mut near = Vec::new();
        for node in nodes.iter().filter(|node| node.has_memory) {
            let (slab, placed) = match Slab::allocate(buffer_size, buffer_count, &how.node(node.number)) {
                Ok(slab) => (slab, true),
                // Said by `is_placed`. The buffers are as good as any, only not where they were wanted.
                Err(status) if status.code() == Code::Unavailable => {
                    (Slab::allocate(buffer_size, buffer_count, &how.nowhere())?, false)
                }
                Err(status) => return Err(status),
            };
            for processor in &node.processors {
                if near.len() <= *processor {
                    near.resize(processor + 1, 0);
                }
                near[*processor] = pools.len() as u16;
            }
            pools.push(NodePool { node: node.number, placed, pool: BufferPool::new(slab)? });
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
        self.near.get(processor()).map_or(0, |index| usize::from(*index))
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

/// Where a thread must run so that the kernel makes what it asks for on a node.
///
/// The kernel keeps what lies behind a descriptor in memory of the node that the call is made on.
pub(crate) struct NodeProcessors {
    /// `None`: any are as good.
    #[cfg(target_os = "linux")]
    set: Option<rustix::thread::CpuSet>,
}

impl NodeProcessors {
    /// No node is asked for.
    pub(crate) fn any() -> NodeProcessors {
        NodeProcessors {
            #[cfg(target_os = "linux")]
            set: None,
        }
    }

    /// Those of `node`. InvalidArgument for a node that does not exist.
    pub(crate) fn of(node: u32) -> Result<NodeProcessors> {
        let nodes = topology(Path::new("/sys/devices/system/node"));
        let Some(found) = nodes.iter().find(|found| found.number == node) else {
            return Err(crate::status::Status::new(Code::InvalidArgument, crate::status::Operation::None)
                .with_message(format!("no node {node}")));
        };
        Ok(NodeProcessors::among(&nodes, found))
    }

    #[cfg(target_os = "linux")]
    fn among(nodes: &[Node], node: &Node) -> NodeProcessors {
        let mut set = rustix::thread::CpuSet::new();
        let known = node.processors.iter().filter(|processor| **processor < rustix::thread::CpuSet::MAX_CPU);
        known.for_each(|processor| set.set(*processor));
        // With one node every processor is on it.
        NodeProcessors { set: (nodes.len() > 1 && set.count() > 0).then_some(set) }
    }

    #[cfg(not(target_os = "linux"))]
    fn among(_: &[Node], _: &Node) -> NodeProcessors {
        NodeProcessors {}
    }

    /// Calls `make` with this thread on the node; on the processors that it may run on otherwise, if it may not go
    /// there.
    #[cfg(target_os = "linux")]
    pub(crate) fn run<T>(&self, make: impl FnOnce() -> T) -> T {
        use rustix::thread::{sched_getaffinity, sched_setaffinity};
        let Some(set) = &self.set else { return make() };
        if set.is_set(processor()) {
            return make();
        }
        let before = sched_getaffinity(None).ok();
        let moved = before.is_some() && crate::fault::tried(|| sched_setaffinity(None, set)).is_ok();
        let made = make();
        if let (true, Some(before)) = (moved, before) {
            // What the thread was allowed a moment ago; if it is no longer, it stays where it may be.
            let _ = sched_setaffinity(None, &before);
        }
        made
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn run<T>(&self, make: impl FnOnce() -> T) -> T {
        make()
    }

    /// Whether a thread that may run where this one may can be on the node.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_reachable(&self) -> bool {
        let Some(set) = &self.set else { return true };
        let allowed = rustix::thread::sched_getaffinity(None);
        allowed.is_ok_and(|allowed| (0..rustix::thread::CpuSet::MAX_CPU).any(|at| set.is_set(at) && allowed.is_set(at)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_reachable(&self) -> bool {
        true
    }
}

/// A node as `/sys` tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    number: u32,
    processors: Vec<usize>,
    has_memory: bool,
}

/// The nodes below `folder`. One without processors of its own if nothing is said, or what is said cannot be.
fn topology(folder: &Path) -> Vec<Node> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok().and_then(|text| list(text.trim()));
    let with_memory = read("has_memory");
    let nodes: Vec<Node> = read("online")
        .unwrap_or_default()
        .into_iter()
        .map(|number| Node {
            number: number as u32,
            processors: read(&format!("node{number}/cpulist")).unwrap_or_default(),
            has_memory: with_memory.as_ref().is_none_or(|nodes| nodes.contains(&number)),
        })
        .collect();
    if nodes.iter().any(|node| node.has_memory) {
        return nodes;
    }
    vec![Node { number: 0, processors: Vec::new(), has_memory: true }]
}

/// Numbers as the kernel lists them: `0-3,8,10-11`.
fn list(text: &str) -> Option<Vec<usize>> {
    /// More than any kernel counts.
    const MAX: usize = 1 << 16;
    let mut numbers = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// The processor that the calling thread runs on (getcpu(2), without entering the kernel on most).
#[cfg(target_os = "linux")]
fn processor() -> usize {
    rustix::thread::sched_getcpu()
}

#[cfg(not(target_os = "linux"))]
fn processor() -> usize {
    0
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn node(number: u32, processors: &[usize], has_memory: bool) -> Node {
        Node { number, processors: processors.to_vec(), has_memory }
    }

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(list("0-3,8,10-11"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(list(""), Some(vec![]));
        for bad in ["x", "3-1", "1-", "0-99999999999", "0-70000"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }

    #[test]
    fn nodes_are_read_with_their_processors_and_memory() {
        let folder = std::env::temp_dir().join(format!("proact-nodes-{}", std::process::id()));
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        for number in [0, 2] {
            std::fs::create_dir_all(folder.join(format!("node{number}"))).unwrap();
        }
        write("online", "0,2\n");
        write("has_memory", "0\n");
        write("node0/cpulist", "0-1\n");
        write("node2/cpulist", "2\n");
        let nodes = topology(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(nodes, [node(0, &[0, 1], true), node(2, &[2], false)]);
        assert_eq!(topology(&folder), [node(0, &[], true)], "nothing is said");
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
        let here = processor();
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
