//! What a ring on this machine can do, for the backend itself and for `doctor`.

use crate::backend::{Capabilities, CapabilityReport};
use crate::status::Status;
use crate::uring::{self, Op, Probe, Ring, RingOptions};

/// A line of the table, before the machine was asked.
struct Line {
    capability: Capabilities,
    name: &'static str,
    since: &'static str,
    /// What it buys.
    gain: &'static str,
    /// Why it may be missing on a machine that has rings.
    lack: &'static str,
}

const LINES: [Line; 16] = [
    Line {
        capability: Capabilities::KERNEL_CHAINS,
        name: "kernel chains",
        since: "5.3",
        gain: "a chain whose steps all qualify runs in the kernel without a return to user space between them",
        lack: "",
    },
    Line {
        capability: Capabilities::KERNEL_WAIT_CHAINS,
        name: "kernel wait chains",
        since: "5.6",
        gain: "a semaphore wait starts the chain behind it in the kernel",
        lack: "",
    },
    Line {
        capability: Capabilities::KERNEL_FILES,
        name: "kernel files",
        since: "5.19",
        gain: "files and paths without worker threads",
        lack: "an operation on files or paths is missing or filtered; worker threads do it",
    },
    Line {
        capability: Capabilities::KERNEL_TRUNCATE,
        name: "kernel truncate",
        since: "6.9",
        gain: "truncate without a worker thread, and as the last step of a kernel chain",
        lack: "kernel older than 6.9; a worker thread does it",
    },
    Line {
        capability: Capabilities::REGISTERED_RING,
        name: "registered ring",
        since: "5.18",
        gain: "no reference count on the ring's descriptor at each enter",
        lack: "the thread has no place left among its 16, or registration is filtered",
    },
    Line {
        capability: Capabilities::NO_SUBMISSION_ARRAY,
        name: "no submission array",
        since: "6.6",
        gain: "no indirection between the submission queue and its entries",
        lack: "kernel older than 6.6",
    },
    Line {
        capability: Capabilities::NANOSECOND_WAITS,
        name: "nanosecond waits",
        since: "5.11",
        gain: "waits end to the nanosecond",
        lack: "",
    },
    Line {
        capability: Capabilities::KERNEL_MULTISHOT,
        name: "kernel multishot",
        since: "6.0",
        gain: "one entry accepts, or receives into a pool, many times",
        lack: "",
    },
    Line {
        capability: Capabilities::ZERO_COPY_SEND,
        name: "zero-copy send",
        since: "6.2",
        gain: "large sends leave from the program's own memory, and the kernel reports it",
        lack: "kernel older than 6.3, by whose features one that reports is known, or filtered; sends copy",
    },
    Line {
        capability: Capabilities::BUFFER_RINGS,
        name: "buffer rings",
        since: "5.19",
        gain: "the kernel takes a pool's buffer when bytes come, not before",
        lack: "registration is filtered",
    },
    Line {
        capability: Capabilities::RECEIVE_BUNDLES,
        name: "receive bundles",
        since: "6.10",
        gain: "one completion tells of all the buffers of a pool that a stream has filled",
        lack: "kernel older than 6.10; one completion a buffer",
    },
    Line {
        capability: Capabilities::INCREMENTAL_BUFFERS,
        name: "incremental buffers",
        since: "6.12",
        gain: "one large buffer of a pool takes one small receive after another",
        lack: "kernel older than 6.12; each receive takes a buffer of its own",
    },
    Line {
        capability: Capabilities::REGISTERED_BUFFERS,
        name: "registered buffers",
        since: "5.19",
        gain: "files are read into and written from pinned memory, whose pages need no looking up",
        lack: "the operations are filtered; memory that is registered is used as any other",
    },
    Line {
        capability: Capabilities::REGISTERED_DESCRIPTORS,
        name: "registered descriptors",
        since: "6.13",
        gain: "requests on sockets and files that were registered count no reference",
        lack: "kernel older than 6.14, by whose features one that lets go at once is known",
    },
    Line {
        capability: Capabilities::QUIET_WRITES,
        name: "quiet writes",
        since: "6.18",
        gain: "writes to pipes, with a name or without, themselves raise no SIGPIPE",
        lack: "kernel older than 6.18; once a file or pipe was written, SIGPIPE is blocked in every enter",
    },
    Line {
        capability: Capabilities::KERNEL_FUTEX,
        name: "kernel futex",
        since: "6.7",
        gain: "waits for a futex without a helper thread, and wakes of one by the ring",
        lack: "kernel older than 6.7, or filtered; a helper thread waits",
    },
];

/// The operations that stand for a capability: each must be known to the kernel.
fn has_files(probe: &Probe) -> bool {
    let ops = [
        Op::IORING_OP_OPENAT,
        Op::IORING_OP_READ,
        Op::IORING_OP_WRITE,
        Op::IORING_OP_FSYNC,
        Op::IORING_OP_STATX,
        Op::IORING_OP_FALLOCATE,
        Op::IORING_OP_RENAMEAT,
        Op::IORING_OP_UNLINKAT,
        Op::IORING_OP_MKDIRAT,
        Op::IORING_OP_READV,
        Op::IORING_OP_WRITEV,
        Op::IORING_OP_SYNC_FILE_RANGE,
        Op::IORING_OP_FADVISE,
        Op::IORING_OP_SPLICE,
        Op::IORING_OP_LINKAT,
        Op::IORING_OP_SYMLINKAT,
        Op::IORING_OP_FGETXATTR,
        Op::IORING_OP_FSETXATTR,
    ];
    ops.into_iter().all(|op| probe.has(op))
}

/// What `ring` has, whatever the builder allows.
pub(super) fn detected(ring: &Ring) -> Capabilities {
    // Links and reads of an eventfd are older than the flags that the ring was granted.
    let mut found = Capabilities::KERNEL_CHAINS | Capabilities::KERNEL_WAIT_CHAINS | Capabilities::NANOSECOND_WAITS;
    if let Ok(probe) = ring.probe() {
        found.set(Capabilities::KERNEL_FILES, has_files(&probe));
        let fixed = [Op::IORING_OP_READ_FIXED, Op::IORING_OP_WRITE_FIXED].into_iter().all(|op| probe.has(op));
        found.set(Capabilities::REGISTERED_BUFFERS, fixed);
        let futex = probe.has(Op::IORING_OP_FUTEX_WAIT) && probe.has(Op::IORING_OP_FUTEX_WAKE);
        found.set(Capabilities::KERNEL_FUTEX, futex);
        found.set(Capabilities::KERNEL_TRUNCATE, probe.has(Op::IORING_OP_FTRUNCATE));
        found.set(Capabilities::ZERO_COPY_SEND, probe.has(Op::IORING_OP_SEND_ZC) && ring.reports_copies());
    }
    // Known by what the ring itself needs: 6.1 has both.
    found |= Capabilities::KERNEL_MULTISHOT | Capabilities::BUFFER_RINGS;
    found.set(Capabilities::REGISTERED_DESCRIPTORS, ring.lets_files_go());
    found.set(Capabilities::INCREMENTAL_BUFFERS, ring.fills_buffers_in_parts());
    found.set(Capabilities::RECEIVE_BUNDLES, ring.has_bundles());
    found.set(Capabilities::QUIET_WRITES, super::files::has_quiet_writes());
    found.set(Capabilities::REGISTERED_RING, ring.is_registered());
    found.set(Capabilities::NO_SUBMISSION_ARRAY, ring.is_without_array());
    found
}

/// Whether this machine gives the calling thread a ring, and what the ring can do. The ring tried is thrown away.
pub(crate) fn report() -> (Result<(), Status>, Vec<CapabilityReport>) {
    let outcome = Ring::new(&RingOptions { entries: 8, registered: true, no_array: true });
    let outcome = outcome.map_err(|errno| uring::unavailable(errno));
    let (outcome, found) = match outcome {
        Ok(ring) => (Ok(()), Some(detected(&ring))),
        Err(status) => (Err(status), None),
    };
    let lines = LINES.iter().map(|line| {
        let detected = found.is_some_and(|found| found.contains(line.capability));
        let note = match found {
            None => "no ring on this machine",
            Some(_) if detected => line.gain,
            Some(_) => line.lack,
        };
        CapabilityReport {
            capability: line.capability,
            name: line.name,
            since: line.since,
            detected,
            note: note.into(),
        }
    });
    (outcome, lines.collect())
}
