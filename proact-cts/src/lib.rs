//! Conformance suite of proact: every behaviour on every backend configuration.
//!
//! - [`config`]: the configurations, from everything the kernel has down to nothing but `poll`.
//! - [`random`]: chance, by seed.
//! - [`select`]: choosing cases on the command line.
//! - [`record`]: what became of every case, and the table of it.
//! - [`harness`]: a case, and how one is run: alone or beside others, with a deadline, with a reported skip.
//! - [`bench`](mod@bench): what a case works with: a proactor, watched operations, patience.
//! - `peer`: who the case's sockets speak with, where that is no proactor of the case.
//! - `child`: a case in a process of its own.
//! - `storm`: this process under ten thousand signals a second.
//! - [`document`], [`faults`]: what `docs/conformance.md` says, and the faults that the tests would find.
//! - `restriction`: this process under a kernel that refuses what it has.
//! - [`measures`]: what `proact bench` measures, on any configuration: a folder, one file a subject.
//! - [`cases`](mod@cases): the cases, one file a subject. A new one is a function and a line in its file's list.
//!
//! The suite is one program, `tests/conformance.rs`. Its file runs anywhere by itself: on another machine, in a virtual
//! one, or under user-mode emulation. It takes the arguments of any Rust test program; a case is named
//! `configuration::subject::behaviour`, and a filter such as `epoll/socket` chooses (see [`select`]). What a machine
//! cannot do is reported as ignored, with the reason.
//! A second program, `tests/allocations.rs`, counts what is allocated between submit and callback.
//!
//! | variable | meaning |
//! |---|---|
//! | `PROACT_CTS_PATIENCE` | seconds that a case waits for one thing (10) |
//! | `PROACT_CTS_SEED` | the one seed that random cases run |
//! | `PROACT_CTS_SEEDS`, `PROACT_CTS_SEED_BASE` | how many seeds they run, and from which on |
//! | `PROACT_CTS_REQUIRE` | configurations, separated by commas, that must work here: a failure instead of a skip |

pub mod bench;
pub mod cases;
#[cfg(target_os = "linux")]
pub mod child;
pub mod config;
#[cfg(target_os = "linux")]
pub mod device;
pub mod document;
pub mod faults;
#[cfg(target_os = "linux")]
pub mod handler;
pub mod harness;
pub mod measures;
#[cfg(unix)]
pub mod peer;
pub mod random;
pub mod record;
#[cfg(target_os = "linux")]
pub mod restriction;
pub mod select;
#[cfg(target_os = "linux")]
pub mod storm;
pub mod system;
