//! The nodes of the machine, and whether threads stay and pages lie where they are put: tried, not assumed.

use std::fmt::Write as _;

use proact::memory::{Allocation, Region};
use proact::topology::{Affinity, Device, Node, Topology};
use serde::Serialize;

use crate::size::{GIB, MIB};

/// What was found.
#[derive(Serialize)]
pub(super) struct NodesAnswer {
    /// Why one node was assumed, where the system tells of none.
    assumed: Option<String>,
    nodes: Vec<NodeAnswer>,
    /// PCIe devices whose node the firmware does not tell.
    devices_of_no_node: Vec<DeviceAnswer>,
}

#[derive(Serialize)]
struct NodeAnswer {
    number: u32,
    /// Those that this process may use, as a list: `0-3,8`.
    cpus: String,
    cpu_count: usize,
    /// Those that are on, whoever may use them.
    cpus_online: String,
    /// Whether this process may have memory of it.
    has_memory: bool,
    memory_bytes: Option<u64>,
    memory_free_bytes: Option<u64>,
    /// `null` for a node without processors.
    pinning: Option<Trial>,
    /// `null` for a node without memory.
    pages: Option<PagesTrial>,
    devices: Vec<DeviceAnswer>,
}

#[derive(Serialize)]
struct DeviceAnswer {
    address: String,
    kind: &'static str,
    names: Vec<String>,
}

/// What came of an attempt.
#[derive(Serialize)]
struct Trial {
    works: bool,
    reason: Option<String>,
}

#[derive(Serialize)]
struct PagesTrial {
    /// All of them lay on the node.
    works: bool,
    reason: Option<String>,
    /// Pages that were asked for on the node, and touched by a thread of another one where there is one.
    asked: usize,
    /// Those that lay there.
    local: usize,
}

/// Looks, and tries on every node.
pub(super) fn examine() -> NodesAnswer {
    let topology = Topology::read();
    let node = |node: &Node| NodeAnswer {
        number: node.number(),
        cpus: node.cpus().to_string(),
        cpu_count: node.cpus().len(),
        cpus_online: node.online_cpus().to_string(),
        has_memory: node.has_memory(),
        memory_bytes: node.memory_bytes(),
        memory_free_bytes: node.memory_free_bytes(),
        pinning: (!node.cpus().is_empty()).then(|| try_pinning(node)),
        pages: node.has_memory().then(|| try_pages(&topology, node)),
        devices: topology.devices_of(node.number()).map(device).collect(),
    };
    NodesAnswer {
        assumed: topology.assumed().map(String::from),
        nodes: topology.nodes().iter().map(node).collect(),
        devices_of_no_node: topology.devices().iter().filter(|one| one.node().is_none()).map(device).collect(),
    }
}

fn device(device: &Device) -> DeviceAnswer {
    DeviceAnswer { address: device.address().into(), kind: device.kind().name(), names: device.names().to_vec() }
}

/// Runs `work` on a thread pinned so.
fn pinned<T: Send>(affinity: &Affinity, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let on_it = || {
            affinity.pin_thread().map_err(|status| status.to_string())?;
            work()
        };
        let thread = std::thread::Builder::new().spawn_scoped(scope, on_it);
        let thread = thread.map_err(|error| format!("no thread for it: {error}"))?;
        thread.join().map_err(|_| String::from("the thread that tried panicked"))?
    })
}

fn try_pinning(node: &Node) -> Trial {
    let tried = pinned(&node.affinity(), || {
        // Pinning compares what the system says with what was asked. Where the thread runs is another question.
        let found = Affinity::of_thread().map_err(|status| status.to_string())?;
        if found.cpus() != Some(node.cpus()) {
            return Err(format!("the system says {found:?}"));
        }
        match Topology::read().here().map(Node::number) {
            Some(here) if here == node.number() => Ok(()),
            here => Err(format!("it ran on node {here:?}")),
        }
    });
    Trial { works: tried.is_ok(), reason: tried.err() }
}

fn try_pages(topology: &Topology, node: &Node) -> PagesTrial {
    const LENGTH: usize = 1 << 20;
    let others = topology.nodes().iter().filter(|other| !other.cpus().is_empty());
    let other = others.min_by_key(|other| other.number() == node.number());
    let toucher = other.map_or(Affinity::any(), Node::affinity);
    let tried = pinned(&toucher, || {
        let how = Allocation::new().near(&node.affinity());
        let mut region = Region::allocate(LENGTH, &how).map_err(|status| status.to_string())?;
        region.get_mut().ok_or("the memory is someone else's")?.fill(1);
        let pages = region.pages().map_err(|status| status.to_string())?;
        Ok((pages.present() + pages.absent(), pages.on(node.number())))
    });
    match tried {
        Ok((asked, local)) if asked == local => PagesTrial { works: true, reason: None, asked, local },
        Ok((asked, local)) => {
            PagesTrial { works: false, reason: Some(String::from("the node may be full")), asked, local }
        }
        Err(reason) => PagesTrial { works: false, reason: Some(reason), asked: 0, local: 0 },
    }
}

/// What people read: a paragraph a node.
pub(super) fn text(answer: &NodesAnswer) -> String {
    let mut text = String::new();
    if let Some(why) = &answer.assumed {
        line(&mut text, "one node", &format!("is assumed: {why}"));
    }
    for node in &answer.nodes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nnode {}: {}", node.number, summary(node));
        if node.cpu_count > 0 {
            line(&mut text, "processors", &node.cpus);
        }
        if node.cpus_online != node.cpus && !node.cpus_online.is_empty() {
            line(&mut text, "not for us", &format!("some of {}", node.cpus_online));
        }
        if let Some(pinning) = &node.pinning {
            let said = pinning.reason.as_ref().map_or_else(|| "works".into(), |why| format!("does not work: {why}"));
            line(&mut text, "pinning", &said);
        }
        if let Some(pages) = &node.pages {
            let said = match &pages.reason {
                None => format!("local, {} of {}", pages.local, pages.asked),
                Some(why) if pages.asked > 0 => format!("not all local, {} of {}: {why}", pages.local, pages.asked),
                Some(why) => format!("not known to be local: {why}"),
            };
            line(&mut text, "pages", &said);
        }
        devices(&mut text, &node.devices);
    }
    if !answer.devices_of_no_node.is_empty() {
        text.push_str("\ndevices whose node is not known\n");
        devices(&mut text, &answer.devices_of_no_node);
    }
    text
}

fn summary(node: &NodeAnswer) -> String {
    let cpus = match node.cpu_count {
        0 => String::from("no processors"),
        1 => String::from("1 processor"),
        count => format!("{count} processors"),
    };
    let memory = match (node.has_memory, node.memory_bytes, node.memory_free_bytes) {
        (false, ..) => String::from("no memory"),
        (true, None, _) => String::from("memory"),
        (true, Some(all), None) => size(all),
        (true, Some(all), Some(free)) => format!("{} of memory, {} free", size(all), size(free)),
    };
    format!("{cpus}, {memory}")
}

fn size(bytes: u64) -> String {
    match bytes {
        GIB.. => format!("{:.1} GiB", bytes as f64 / GIB as f64),
        _ => format!("{} MiB", bytes / MIB),
    }
}

fn devices(text: &mut String, devices: &[DeviceAnswer]) {
    for device in devices {
        line(text, device.kind, &format!("{} {}", device.address, device.names.join(" ")));
    }
}

/// One fact.
fn line(text: &mut String, what: &str, said: &str) {
    super::wrapped(text, &format!("  {what:<14} "), said);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u32) -> NodeAnswer {
        NodeAnswer {
            number,
            cpus: String::from("0-1"),
            cpu_count: 2,
            cpus_online: String::from("0-1"),
            has_memory: true,
            memory_bytes: Some(3 * GIB / 2),
            memory_free_bytes: Some(200 * MIB),
            pinning: Some(Trial { works: true, reason: None }),
            pages: Some(PagesTrial { works: true, reason: None, asked: 256, local: 256 }),
            devices: vec![DeviceAnswer { address: "0000:01:00.0".into(), kind: "nvme", names: vec!["nvme0".into()] }],
        }
    }

    #[test]
    fn nodes_are_told_with_what_was_tried_in_lines_of_80_columns() {
        let many: Vec<String> = (0..200).map(|cpu| (cpu * 2).to_string()).collect();
        let odd = NodeAnswer {
            cpus: many.join(","),
            cpu_count: 200,
            cpus_online: String::from("0-400"),
            pinning: Some(Trial { works: false, reason: Some("x".repeat(200)) }),
            pages: Some(PagesTrial { works: false, reason: Some("full".into()), asked: 256, local: 255 }),
            devices: Vec::new(),
            ..node(1)
        };
        let alone =
            NodeAnswer { cpus: String::new(), cpu_count: 0, cpus_online: String::new(), pinning: None, ..node(9) };
        let devices_of_no_node = vec![DeviceAnswer { address: "0000:02:00.0".into(), kind: "gpu", names: vec![] }];
        let answer = NodesAnswer { assumed: None, nodes: vec![node(0), odd, alone], devices_of_no_node };
        let text = text(&answer);
        for expected in [
            "node 0: 2 processors, 1.5 GiB of memory, 200 MiB free\n",
            "  processors     0-1\n",
            "  pinning        works\n",
            "  pages          local, 256 of 256\n",
            "  nvme           0000:01:00.0 nvme0\n",
            "node 1: 200 processors",
            "  not for us     some of 0-400\n",
            "  pages          not all local, 255 of 256: full\n",
            "node 9: no processors,",
            "devices whose node is not known\n  gpu            0000:02:00.0\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let digits = |text: &str| text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()).count();
        assert!(digits(&text) > 200, "nothing is left out");
    }

    #[test]
    fn this_machine_is_tried() {
        let answer = examine();
        assert!(!answer.nodes.is_empty());
        for node in &answer.nodes {
            assert_eq!(node.pinning.is_some(), node.cpu_count > 0);
            let tried = node.pages.as_ref().map(|pages| pages.works == pages.reason.is_none());
            assert_ne!(tried, Some(false));
        }
    }
}
