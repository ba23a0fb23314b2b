//! The topology as `/sys` and `/proc` tell of it (Linux).
//!
//! Formats: `Documentation/admin-guide/cputopology.rst`, `Documentation/ABI/stable/sysfs-devices-node`,
//! `Documentation/ABI/testing/sysfs-bus-pci` of the kernel. Everything read is bounded, and what cannot be read as said
//! there is as if it were not there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::{CpuSet, Device, DeviceKind, Node, Topology, pin};

/// Nodes that a kernel may be built for at most (`NODES_SHIFT` is at most 10).
const NODES_MAX: usize = 1024;
/// Devices that are looked at.
const DEVICES_MAX: usize = 65_536;
/// Names of one device that are kept.
const NAMES_MAX: usize = 16;
/// Of one file: a list of every other one of 65,536 processors has 187 KB.
const BYTES_MAX: u64 = 256 << 10;

/// Where to read from, and what the process may use.
pub(super) struct Source<'a> {
    /// `/sys`.
    pub(super) sys: &'a Path,
    /// Processors that the process may use; `None` when the system did not say.
    pub(super) cpus: Option<CpuSet>,
    /// `/proc/self/status`, for the nodes whose memory it may use.
    pub(super) status: &'a Path,
}

pub(super) fn read() -> Topology {
    let source = Source { sys: Path::new("/sys"), cpus: pin::process().ok(), status: Path::new("/proc/self/status") };
    source.topology()
}

impl Source<'_> {
    pub(super) fn topology(&self) -> Topology {
        match self.nodes() {
            Ok(nodes) => {
                let devices = self.devices(&nodes);
                Topology { nodes, devices, assumed: None }
            }
            Err(why) => {
                let mut topology = Topology::single(self.all(), why);
                topology.devices = self.devices(&topology.nodes);
                topology
            }
        }
    }

    fn nodes(&self) -> Result<Vec<Node>, String> {
        let folder = self.sys.join("devices/system/node");
        let list = |name: &str| -> Result<CpuSet, String> {
            let path = folder.join(name);
            let text = text(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            text.parse().map_err(|status| format!("{}: {status}", path.display()))
        };
        let numbers = list("online")?;
        if numbers.is_empty() || numbers.len() > NODES_MAX {
            return Err(format!("{}: {} nodes", folder.join("online").display(), numbers.len()));
        }
        let online = self.online();
        let with_memory = list("has_memory").ok();
        let permitted = self.memory_nodes();
        let node = |number: usize| {
            let mut cpus = list(&format!("node{number}/cpulist")).unwrap_or_default();
            if let Some(online) = &online {
                cpus = cpus.intersection(online);
            }
            let (memory_bytes, memory_free_bytes) = memory(&folder.join(format!("node{number}/meminfo")));
            let has_memory = match &with_memory {
                Some(nodes) => nodes.contains(number),
                None => memory_bytes != Some(0),
            };
            Node {
                number: number as u32,
                cpus: Arc::new(self.usable(cpus.clone())),
                online: cpus,
                has_memory: has_memory && permitted.as_ref().is_none_or(|nodes| nodes.contains(number)),
                memory_bytes,
                memory_free_bytes,
            }
        };
        let nodes: Vec<Node> = numbers.iter().map(node).collect();
        if !nodes.iter().any(|node| node.has_memory) {
            return Err(format!("{}: no node has memory for this process", folder.display()));
        }
        if nodes.iter().all(|node| node.cpus.is_empty()) {
            return Err(format!("{}: no node has processors for this process", folder.display()));
        }
        Ok(nodes)
    }

    /// Processors that are on. `None`: not said.
    fn online(&self) -> Option<CpuSet> {
        text(&self.sys.join("devices/system/cpu/online")).ok()?.parse().ok()
    }

    /// All that the process may use, as far as is known.
    fn all(&self) -> CpuSet {
        match (self.online(), &self.cpus) {
            (Some(online), _) => self.usable(online),
            (None, Some(usable)) => usable.clone(),
            (None, None) => (0..std::thread::available_parallelism().map_or(1, Into::into)).collect(),
        }
    }

    /// Those of `cpus` that the process may use.
    fn usable(&self, cpus: CpuSet) -> CpuSet {
        match &self.cpus {
            Some(usable) => cpus.intersection(usable),
            None => cpus,
        }
    }

    /// Nodes whose memory the process may use, by its cpuset. `None`: not said.
    fn memory_nodes(&self) -> Option<CpuSet> {
        let text = text(self.status).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"))?;
        line.trim().parse().ok()
    }

    fn devices(&self, nodes: &[Node]) -> Vec<Device> {
        let Ok(folder) = std::fs::read_dir(self.sys.join("bus/pci/devices")) else { return Vec::new() };
        let mut devices: Vec<Device> =
            folder.take(DEVICES_MAX).flatten().filter_map(|entry| device(&entry.path(), nodes)).collect();
        devices.sort_by(|one, other| one.address.cmp(&other.address));
        devices
    }
}

fn device(path: &Path, nodes: &[Node]) -> Option<Device> {
    let class = text(&path.join("class")).ok()?;
    let class = u32::from_str_radix(class.strip_prefix("0x")?, 16).ok()?;
    // Class, subclass, programming interface: a byte each.
    let kind = match (class >> 16, class >> 8 & 0xff) {
        (0x02, _) => DeviceKind::Network,
        (0x01, 0x08) => DeviceKind::Nvme,
        (0x03 | 0x12, _) => DeviceKind::Gpu,
        _ => return None,
    };
    // -1: the firmware does not say. Of one node there can be no doubt.
    let said = text(&path.join("numa_node")).ok().and_then(|text| text.parse::<u32>().ok());
    let node = match nodes {
        [only] => Some(only.number),
        _ => said.filter(|said| nodes.iter().any(|node| node.number == *said)),
    };
    let address = path.file_name()?.to_str()?.to_owned();
    Some(Device { address, kind, node, names: names(path) })
}

/// What drivers made of a device: the entries of these folders in it, or, for virtio, in the device in it.
fn names(path: &Path) -> Vec<String> {
    let entries = |folder: &Path| -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries.take(NAMES_MAX).flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut names = Vec::new();
    let within = entries(path).into_iter().filter(|name| name.starts_with("virtio")).map(|name| path.join(name));
    for place in std::iter::once(path.to_path_buf()).chain(within) {
        for class in ["net", "infiniband", "nvme", "drm"] {
            names.extend(entries(&place.join(class)));
        }
    }
    names.sort();
    names.truncate(NAMES_MAX);
    names
}

/// `MemTotal` and `MemFree` of a node, in bytes. The lines read `Node 0 MemTotal:       16384 kB`.
fn memory(path: &Path) -> (Option<u64>, Option<u64>) {
    let Ok(text) = text(path) else { return (None, None) };
    let fields: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(2);
            let (name, value) = (words.next()?.strip_suffix(':')?, words.next()?);
            (words.next() == Some("kB")).then_some(())?;
            Some((name, value.parse::<u64>().ok()?.checked_mul(1024)?))
        })
        .collect();
    (fields.get("MemTotal").copied(), fields.get("MemFree").copied())
}

/// What a file says, without the line's end.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}
