//! The machine, node by node.

use std::sync::Arc;

use super::{Affinity, CpuSet, pin};
use crate::status::{Code, Operation, Result, Status};

/// The NUMA nodes of the machine, and what this process may use of them.
///
/// A machine without nodes, or one that does not tell of them (a container without `/sys`, a system that is not Linux),
/// is one node with all processors that the process may use; [`Topology::assumed`] then says why.
///
/// It is what was read at that moment: processors come and go.
///
/// ```
/// let topology = proact::topology::Topology::read();
/// for node in topology.nodes() {
///     println!("node {}: processors {}, {:?}", node.number(), node.cpus(), node.memory_bytes());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Topology {
    pub(super) nodes: Vec<Node>,
    pub(super) devices: Vec<Device>,
    pub(super) assumed: Option<String>,
}

/// A node of the machine: processors, memory, or both, that are near to each other.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) number: u32,
    pub(super) cpus: Arc<CpuSet>,
    pub(super) online: CpuSet,
    pub(super) has_memory: bool,
    pub(super) memory_bytes: Option<u64>,
    pub(super) memory_free_bytes: Option<u64>,
}

/// What a PCIe device is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DeviceKind {
    /// Ethernet, InfiniBand and their like (PCI class 02).
    Network,
    /// A disk over NVM Express (PCI class 01 08).
    Nvme,
    /// Display controllers and processing accelerators (PCI classes 03 and 12).
    Gpu,
}

impl DeviceKind {
    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Network => "network",
            DeviceKind::Nvme => "nvme",
            DeviceKind::Gpu => "gpu",
        }
    }
}

/// A PCIe device that moves data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    pub(super) address: String,
    pub(super) kind: DeviceKind,
    pub(super) node: Option<u32>,
    pub(super) names: Vec<String>,
}

impl Device {
    /// Its address on the bus: `0000:3b:00.0`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it is for.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// The node it is attached to. `None`: the firmware does not say, and there is more than one.
    pub fn node(&self) -> Option<u32> {
        self.node
    }

    /// What its driver calls it: `eth0`, `mlx5_0`, `nvme0`, `card0`. Without a driver, nothing.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Node {
    /// Its number, as the kernel counts. There may be gaps.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its processors that this process may use. Empty for a node that has memory alone, and outside of the process's
    /// cpuset.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// Its processors that are on, whoever may use them.
    pub fn online_cpus(&self) -> &CpuSet {
        &self.online
    }

    /// Whether this process may have memory of it.
    pub fn has_memory(&self) -> bool {
        self.has_memory
    }

    /// Its memory, if the system says.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    /// What of it was free when it was read.
    pub fn memory_free_bytes(&self) -> Option<u64> {
        self.memory_free_bytes
    }

    /// One that no machine has.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn made_up(number: u32, cpus: &[usize], has_memory: bool) -> Node {
        let online: CpuSet = cpus.iter().copied().collect();
        let cpus = Arc::new(online.clone());
        Node { number, cpus, online, has_memory, memory_bytes: None, memory_free_bytes: None }
    }

    /// To run on its processors, if it has any, with its memory, if it has any.
    pub fn affinity(&self) -> Affinity {
        let cpus = (!self.cpus.is_empty()).then(|| self.cpus.clone());
        Affinity::of_node(cpus, self.number, self.has_memory)
    }
}

impl Topology {
    /// Asks the system. On Linux some files of `/sys` are read, four a node and three a device.
    pub fn read() -> Topology {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return super::sysfs::read();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let count = std::thread::available_parallelism().map_or(1, Into::into);
            Topology::single((0..count).collect(), String::from("nodes are known on Linux only"))
        }
    }

    /// One node, because `why`.
    pub(super) fn single(cpus: CpuSet, why: String) -> Topology {
        let online = cpus.clone();
        let node = Node {
            number: 0,
            cpus: Arc::new(cpus),
            online,
            has_memory: true,
            memory_bytes: None,
            memory_free_bytes: None,
        };
        Topology { nodes: vec![node], devices: Vec::new(), assumed: Some(why) }
    }

    /// The nodes, by rising number. There is at least one, and at least one has memory.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this number.
    pub fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.number == number)
    }

    /// What runs on, and takes memory of, the node with this number.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn affinity(&self, number: u32) -> Result<Affinity> {
        let found = self.node(number).map(Node::affinity);
        found.ok_or_else(|| {
            let numbers: Vec<u32> = self.nodes.iter().map(Node::number).collect();
            Status::new(Code::NotFound, Operation::None)
                .with_message(format!("there is no node {number}: the nodes are {numbers:?}"))
        })
    }

    /// The PCIe devices that move data, by address: network, NVMe, GPU.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Those of one node.
    pub fn devices_of(&self, node: u32) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.node == Some(node))
    }

    /// Why one node was assumed, where the system did not tell of any.
    pub fn assumed(&self) -> Option<&str> {
        self.assumed.as_deref()
    }

    /// The node that the calling thread runs on. A thread that is not pinned may run elsewhere a moment later.
    pub fn here(&self) -> Option<&Node> {
        let cpu = pin::processor()?;
        self.nodes.iter().find(|node| node.online.contains(cpu))
    }
}

/// The processor that the calling thread runs on, where the system tells.
pub(crate) fn processor() -> Option<usize> {
    pin::processor()
}
