//! What is read of recorded and made-up systems, and of this one.

use std::path::PathBuf;

use super::sysfs::Source;
use super::*;
use crate::status::Code;

/// A made-up `/sys`, and a `/proc/self/status` beside it.
struct System(PathBuf);

impl System {
    fn new(files: &[(&str, &str)]) -> System {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let system = System(std::env::temp_dir().join(format!("proact-sys-{}-{number}", std::process::id())));
        for (name, text) in files {
            let path = system.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name.ends_with('/') {
                true => std::fs::create_dir_all(path).unwrap(),
                false => std::fs::write(path, text).unwrap(),
            }
        }
        system
    }

    fn read(&self, usable: &str) -> Topology {
        let cpus = Some(usable.parse().unwrap());
        Source { sys: &self.0, cpus, status: &self.0.join("status") }.topology()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn set(text: &str) -> CpuSet {
    text.parse().unwrap()
}

/// Number, usable processors, whether it has memory.
fn shape(topology: &Topology) -> Vec<(u32, String, bool)> {
    topology.nodes().iter().map(|node| (node.number(), node.cpus().to_string(), node.has_memory())).collect()
}

#[test]
fn sets_are_read_and_written_as_the_kernel_does() {
    for text in ["", "0", "0-3,8,10-11", "63-64", "1023-1030,2047,65535"] {
        assert_eq!(set(text).to_string(), text);
        assert_eq!(set(text).iter().collect::<CpuSet>(), set(text));
    }
    for bad in ["x", "3-1", "1-", "-1", "+1", "1,,2", ",", "1-2-3", " 1", "0-99999999999", "0-65536", "1\n"] {
        let status = bad.parse::<CpuSet>().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{bad:?}");
    }
    let long = "1,".repeat(1 << 20);
    assert!(long.parse::<CpuSet>().unwrap_err().to_string().len() < 300);
}

#[test]
fn sets_are_equal_whatever_made_them() {
    let both = set("1,700").intersection(&set("0-9"));
    assert_eq!((both.clone(), both.len(), both.first()), (set("1"), 1, Some(1)));
    assert_eq!(set("1,700").difference(&set("700-800")), set("1"));
    assert_eq!(set("1,700").difference(&set("1")), set("700"));
    assert!(set("5").intersection(&set("6")).is_empty());
    let mask = set("0,63,64,1100").to_mask();
    assert_eq!(CpuSet::from_mask(&mask), set("0,63,64,1100"));
    assert_eq!(mask.len() * libc::c_ulong::BITS as usize, 1152);
}

/// As a server with two nodes of 32 processors and eight cards tells it.
#[test]
fn two_nodes_are_read_with_their_processors_memory_and_devices() {
    let meminfo = |total: u64, free: u64| {
        format!("Node 0 MemTotal:       {total} kB\nNode 0 MemFree:        {free} kB\nNode 0 HugePages_Total:     0\n")
    };
    let (first, second) = (meminfo(131_841_428, 98_304), meminfo(132_112_520, 4));
    let system = System::new(&[
        ("devices/system/node/online", "0-1\n"),
        ("devices/system/node/has_memory", "0-1\n"),
        ("devices/system/node/node0/cpulist", "0-15,32-47\n"),
        ("devices/system/node/node1/cpulist", "16-31,48-63\n"),
        ("devices/system/node/node0/meminfo", &first),
        ("devices/system/node/node1/meminfo", &second),
        ("devices/system/cpu/online", "0-63\n"),
        ("status", "Cpus_allowed_list:\t0-63\nMems_allowed:\t3\nMems_allowed_list:\t0-1\n"),
        ("bus/pci/devices/0000:01:00.0/class", "0x020000\n"),
        ("bus/pci/devices/0000:01:00.0/numa_node", "0\n"),
        ("bus/pci/devices/0000:01:00.0/net/eno1/address", "ab\n"),
        ("bus/pci/devices/0000:81:00.0/class", "0x020700\n"),
        ("bus/pci/devices/0000:81:00.0/numa_node", "1\n"),
        ("bus/pci/devices/0000:81:00.0/infiniband/mlx5_0/x", ""),
        ("bus/pci/devices/0000:81:00.0/net/ib0/x", ""),
        ("bus/pci/devices/0000:c1:00.0/class", "0x010802\n"),
        ("bus/pci/devices/0000:c1:00.0/numa_node", "1\n"),
        ("bus/pci/devices/0000:c1:00.0/nvme/nvme0/x", ""),
        ("bus/pci/devices/0000:c2:00.0/class", "0x030200\n"),
        ("bus/pci/devices/0000:c2:00.0/numa_node", "1\n"),
        ("bus/pci/devices/0000:c3:00.0/class", "0x120000\n"),
        ("bus/pci/devices/0000:c3:00.0/numa_node", "-1\n"),
        ("bus/pci/devices/0000:c4:00.0/class", "0x020000\n"),
        ("bus/pci/devices/0000:c4:00.0/numa_node", "7\n"),
        ("bus/pci/devices/0000:00:00.0/class", "0x060000\n"),
        ("bus/pci/devices/0000:00:01.0/class", "what?\n"),
    ]);
    let topology = system.read("0-63");
    assert_eq!(shape(&topology), [(0, "0-15,32-47".into(), true), (1, "16-31,48-63".into(), true)]);
    assert_eq!(topology.nodes()[0].memory_bytes(), Some(131_841_428 * 1024));
    assert_eq!(topology.nodes()[1].memory_free_bytes(), Some(4096));
    assert_eq!(topology.assumed(), None);
    let of = |node| topology.devices_of(node).map(|device| (device.kind(), device.names().join(" "))).collect();
    let (first, second): (Vec<_>, Vec<_>) = (of(0), of(1));
    assert_eq!(first, [(DeviceKind::Network, "eno1".into())]);
    let gpu = (DeviceKind::Gpu, String::new());
    assert_eq!(second, [(DeviceKind::Network, "ib0 mlx5_0".into()), (DeviceKind::Nvme, "nvme0".into()), gpu]);
    let nowhere: Vec<&str> =
        topology.devices().iter().filter(|device| device.node().is_none()).map(Device::address).collect();
    assert_eq!(nowhere, ["0000:c3:00.0", "0000:c4:00.0"], "-1, and a node that is not there");
    assert_eq!(topology.affinity(1).unwrap(), topology.nodes()[1].affinity());
    let refused = topology.affinity(2).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.to_string().contains("[0, 1]"), "{refused}");
}

/// Gaps in the numbers, a node of memory alone (CXL), one of processors alone, processors that are off, and a cpuset.
#[test]
fn odd_nodes_are_read_as_they_are() {
    let system = System::new(&[
        ("devices/system/node/online", "0,2,8-9\n"),
        ("devices/system/node/has_memory", "0,2,9\n"),
        ("devices/system/node/node0/cpulist", "0-3,1024-1027\n"),
        ("devices/system/node/node2/cpulist", "4-7\n"),
        ("devices/system/node/node8/cpulist", "8-11\n"),
        ("devices/system/node/node9/cpulist", "\n"),
        ("devices/system/cpu/online", "0-2,4-11,1024-1027\n"),
        ("status", "Mems_allowed_list:\t0,9\n"),
    ]);
    let topology = system.read("1-3,5,8-11,1025-1027");
    let expected = [(0, "1-2,1025-1027", true), (2, "5", false), (8, "8-11", false), (9, "", true)];
    assert_eq!(shape(&topology), expected.map(|(number, cpus, memory)| (number, cpus.to_string(), memory)));
    assert_eq!(topology.nodes()[0].online_cpus(), &set("0-2,1024-1027"));
    let affinity = |number| topology.affinity(number).unwrap();
    assert_eq!((affinity(9).cpus(), affinity(9).memory_node()), (None, Some(9)), "memory alone");
    assert_eq!((affinity(8).cpus(), affinity(8).memory_node()), (Some(&set("8-11")), None), "processors alone");
    assert_eq!(topology.nodes()[0].memory_bytes(), None, "no meminfo");
}

#[test]
fn a_system_that_does_not_tell_is_one_node_and_says_why() {
    let system = System::new(&[("devices/system/cpu/online", "0-3\n")]);
    let topology = system.read("1-2,9");
    assert_eq!(shape(&topology), [(0, "1-2".into(), true)]);
    assert!(topology.assumed().unwrap().contains("node/online"), "{:?}", topology.assumed());

    // No /sys at all: what the process may use is all that is known.
    assert_eq!(shape(&System::new(&[]).read("4-5")), [(0, "4-5".into(), true)]);

    for (list, why) in [("x\n", "no list of numbers"), ("\n", "0 nodes"), ("0-2000\n", "2001 nodes")] {
        let topology = System::new(&[("devices/system/node/online", list)]).read("0");
        assert_eq!(topology.nodes().len(), 1, "{list}");
        assert!(topology.assumed().unwrap().contains(why), "{:?}", topology.assumed());
    }
    let forbidden = [("devices/system/node/online", "0\n"), ("devices/system/node/node0/cpulist", "0-1\n")];
    let topology = System::new(&forbidden).read("7");
    assert!(topology.assumed().unwrap().contains("processors for this process"), "{:?}", topology.assumed());
    assert_eq!(shape(&topology), [(0, "7".into(), true)]);
}

#[test]
fn the_devices_of_the_only_node_are_its_own_whatever_the_firmware_says() {
    let system = System::new(&[
        ("devices/system/node/online", "3\n"),
        ("devices/system/node/node3/cpulist", "0\n"),
        ("bus/pci/devices/0000:00:03.0/class", "0x020000\n"),
        ("bus/pci/devices/0000:00:03.0/numa_node", "-1\n"),
        ("bus/pci/devices/0000:00:03.0/virtio1/net/eth0/x", ""),
    ]);
    let topology = system.read("0");
    let device = topology.devices_of(3).next().unwrap();
    assert_eq!((device.names(), device.address()), (&["eth0".to_string()][..], "0000:00:03.0"));
}

#[test]
fn this_machine_is_read_and_its_nodes_are_disjoint() {
    let topology = Topology::read();
    let mut seen = CpuSet::new();
    for node in topology.nodes() {
        assert!(node.cpus().difference(node.online_cpus()).is_empty(), "{node:?}");
        assert!(node.cpus().intersection(&seen).is_empty(), "{node:?}");
        node.cpus().iter().for_each(|cpu| seen.insert(cpu));
    }
    assert!(!seen.is_empty() && topology.nodes().iter().any(Node::has_memory));
    assert!(topology.here().is_some() || topology.assumed().is_some());
}

#[test]
fn a_thread_is_pinned_to_each_processor_and_to_none_that_is_not_there() {
    std::thread::spawn(|| {
        let usable = Affinity::of_thread().unwrap();
        let all = usable.cpus().unwrap();
        for cpu in all.iter() {
            let one: CpuSet = [cpu].into_iter().collect();
            Affinity::on(one.clone()).pin_thread().unwrap();
            assert_eq!(Affinity::of_thread().unwrap().cpus(), Some(&one));
            assert_eq!(processor(), Some(cpu));
        }
        usable.pin_thread().unwrap();
        let mut beyond = all.clone();
        beyond.insert(60_000);
        for (cpus, code, why) in [
            (CpuSet::new(), Code::InvalidArgument, "no processor"),
            (set("60000"), Code::Unavailable, "processors 60000 are not there"),
            (beyond, Code::Unavailable, "processors 60000 are not there"),
        ] {
            let status = Affinity::on(cpus).pin_thread().unwrap_err();
            assert_eq!(status.code(), code, "{status}");
            assert!(status.to_string().contains(why), "{status}");
            assert_eq!(Affinity::of_thread().unwrap(), usable, "it stays where it was");
        }
        Affinity::any().pin_thread().unwrap();
    })
    .join()
    .unwrap();
}
