//! What the page tells of, in its order.

/// Figures that belong together, and are one table.
pub struct Subject {
    pub title: &'static str,
    /// Of its plot's file.
    pub slug: &'static str,
    pub says: &'static str,
    pub columns: &'static [Column],
    /// Bare interfaces: the least of their medians is the floor. None where nothing lies below.
    pub floors: &'static [&'static str],
}

/// One figure of one work.
pub struct Column {
    pub work: &'static str,
    pub figure: &'static str,
    /// What it is called, with its unit.
    pub head: &'static str,
    /// Less of it is better, and it is what the peers are compared by. Others are shown beside it.
    pub ranks: bool,
}

const fn ranked(work: &'static str, figure: &'static str, head: &'static str) -> Column {
    Column { work, figure, head, ranks: true }
}

const fn beside(work: &'static str, figure: &'static str, head: &'static str) -> Column {
    Column { work, figure, head, ranks: false }
}

const BARE: &[&str] = &["epoll", "ring", "ring-poll-first", "ring-coop"];

pub const SUBJECTS: &[Subject] = &[
    Subject {
        title: "Echo of 64 bytes over TCP",
        slug: "echo",
        says: "A task a connection reads and writes back. Server processor time a request, and requests a second and \
               the latency that one in a hundred exceeds, as one load generator saw them.",
        columns: &[
            ranked("echo/64", "cpu_ns", "64 connections, ns"),
            beside("echo/64", "per_second", "requests/s"),
            beside("echo/64", "p99_us", "p99, µs"),
            ranked("echo/512", "cpu_ns", "512 connections, ns"),
            beside("echo/512", "per_second", "requests/s"),
            beside("echo/512", "p99_us", "p99, µs"),
        ],
        floors: BARE,
    },
    Subject {
        title: "A canned HTTP answer",
        slug: "hello",
        says: "Each receive that ends with the end of a request is answered with the same bytes. No request is \
               parsed: this compares runtimes.",
        columns: &[
            ranked("hello/64", "cpu_ns", "CPU a request, ns"),
            beside("hello/64", "per_second", "requests/s"),
            beside("hello/64", "p99_us", "p99, µs"),
        ],
        floors: BARE,
    },
    Subject {
        title: "HTTP with hyper",
        slug: "http",
        says: "hyper 1 parses each request and writes each answer; the same service on each runtime. The floor answers \
               with canned bytes and parses nothing, so what lies between is mostly hyper's.",
        columns: &[
            ranked("http/64", "cpu_ns", "CPU a request, ns"),
            beside("http/64", "per_second", "requests/s"),
            beside("http/64", "p99_us", "p99, µs"),
        ],
        floors: &["epoll-canned", "ring-canned"],
    },
    Subject {
        title: "Datagrams",
        slug: "udp",
        says: "64 sockets send 64 bytes each and wait for the same back; the server is one loop on one socket. \
               `blocking` is two plain system calls a datagram.",
        columns: &[ranked("udp/64", "cpu_ns", "CPU a datagram, ns"), beside("udp/64", "per_second", "datagrams/s")],
        floors: &["blocking", "ring"],
    },
    Subject {
        title: "Accepting",
        slug: "accept",
        says: "Connections that are made and reset, 64 at a time: accepted, given a task, found to be gone, and \
               closed.",
        columns: &[ranked("accept", "cpu_us", "CPU a connection, µs"), beside("accept", "per_second", "connections/s")],
        floors: BARE,
    },
    Subject {
        title: "A stream into one connection",
        slug: "stream",
        says: "One connection is written to without end, and the server receives into 256 KiB and throws it away.",
        columns: &[ranked("stream", "cpu_us", "CPU a MiB, µs"), beside("stream", "gb_per_second", "GB/s")],
        floors: BARE,
    },
    Subject {
        title: "Idle connections",
        slug: "idle",
        says: "Anonymous memory that each of 10,000 connections adds once it has exchanged and waits, its buffer of \
               512 bytes included.",
        columns: &[ranked("idle/10000", "bytes", "bytes a connection")],
        floors: BARE,
    },
    Subject {
        title: "An operation that does nothing",
        slug: "nop",
        says: "What submitting, completing and being told costs. Runtimes cannot hand over a batch: there as many \
               tasks have one operation each under way.",
        columns: &[
            ranked("nop/1", "cpu_ns", "1 at a time, ns"),
            ranked("nop/32", "cpu_ns", "32, ns"),
            ranked("nop/256", "cpu_ns", "256, ns"),
        ],
        floors: &["ring"],
    },
    Subject {
        title: "4 KiB reads from the page cache",
        slug: "read",
        says: "Random blocks of a file that lies in memory, so many at a time. `pread` is one call after another.",
        columns: &[
            ranked("read-4k/1", "cpu_ns", "1 at a time, ns"),
            ranked("read-4k/32", "cpu_ns", "32, ns"),
            ranked("read-4k/128", "cpu_ns", "128, ns"),
        ],
        floors: &["pread", "ring"],
    },
    Subject {
        title: "4 KiB direct reads",
        slug: "read-direct",
        says: "The same past the page cache, 128 at a time. Reads a second are the disk's.",
        columns: &[
            ranked("read-4k-direct/128", "cpu_ns", "CPU a read, ns"),
            beside("read-4k-direct/128", "per_second", "reads/s"),
        ],
        floors: &["ring"],
    },
    Subject {
        title: "1 MiB buffered writes",
        slug: "write",
        says: "One after the other, over blocks that are there. Work that a runtime gives to threads of the kernel or \
               of its own is counted.",
        columns: &[ranked("write-1m", "cpu_ns", "CPU a write, ns"), beside("write-1m", "per_second", "MiB/s")],
        floors: &["pwrite", "ring"],
    },
    Subject {
        title: "One event, 1,000 waiters",
        slug: "event",
        says: "Until all have been told and wait again. The event is the crate `event-listener` for every runtime; \
               `tokio-notify` is tokio's own, `proact` a notification of the library by callbacks. Told by a task of \
               the same loop, or by a second thread on the same processor. Nothing lies below.",
        columns: &[
            ranked("event-loop/1000", "cpu_us", "same loop, µs"),
            ranked("event-thread/1000", "cpu_us", "other thread, µs"),
        ],
        floors: &[],
    },
    Subject {
        title: "Two loops that wake each other",
        slug: "wake",
        says: "A round trip of two threads on one processor, each asleep in its loop until the other wakes it. `futex` \
               is two threads that park, with no loop; `proact` sends messages.",
        columns: &[ranked("wake", "cpu_ns", "CPU a round trip, ns")],
        floors: &["futex", "epoll", "ring"],
    },
    Subject {
        title: "A sleep of 100 µs",
        slug: "sleep",
        says: "How late it ends, in the middle and at worst one time in a hundred. `-spin` stays awake for the last \
               100 µs, for processor time.",
        columns: &[
            ranked("sleep/100us", "late_p50_us", "late by, p50, µs"),
            beside("sleep/100us", "late_p99_us", "p99, µs"),
            beside("sleep/100us", "cpu_us", "CPU, µs"),
        ],
        floors: &["ring"],
    },
    Subject {
        title: "One timer of 100,000",
        slug: "timer",
        says: "Called off and made anew, and set to a later time where it is. Nothing lies below.",
        columns: &[
            ranked("timer-replace/100000", "replace_cpu_ns", "replaced, ns"),
            ranked("timer-reset/100000", "replace_cpu_ns", "reset, ns"),
        ],
        floors: &[],
    },
    Subject {
        title: "A task",
        slug: "task",
        says: "That gives way once, and that is spawned, ends at once and is joined. Nothing lies below.",
        columns: &[
            ranked("tasks", "yield_cpu_ns", "giving way, ns"),
            ranked("tasks", "spawn_join_cpu_ns", "spawned and joined, ns"),
        ],
        floors: &[],
    },
];

/// Whose a name in the tables is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Ours,
    Bare,
    Peer,
}

impl Whose {
    pub fn of(peer: &str) -> Whose {
        const NO_RUNTIME: [&str; 6] = ["pread", "pwrite", "futex", "blocking", "epoll", "epoll-canned"];
        match peer {
            _ if peer.starts_with("proact") => Whose::Ours,
            _ if peer.starts_with("ring") || NO_RUNTIME.contains(&peer) => Whose::Bare,
            _ => Whose::Peer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_work_that_is_run_is_told_of() {
        let told: HashSet<_> = SUBJECTS.iter().flat_map(|subject| subject.columns).map(|column| column.work).collect();
        let run: HashSet<_> = crate::run::works().collect();
        assert_eq!(told, run);
    }

    #[test]
    fn floors_are_bare_and_slugs_are_different() {
        assert!(SUBJECTS.iter().flat_map(|subject| subject.floors).all(|floor| Whose::of(floor) == Whose::Bare));
        let slugs: HashSet<_> = SUBJECTS.iter().map(|subject| subject.slug).collect();
        assert_eq!(slugs.len(), SUBJECTS.len());
    }
}
