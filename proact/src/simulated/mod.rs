//! Hosts, links, disks, devices and processes in virtual time, decided by a seed: for tests of what is built on proact.
//!
//! A [`World`] has [hosts](Host), and each host proactors like any others, but for their time, network and disk, which
//! are the world's. A program is tested by running it there: with links that lose and delay, partitions, crashes, full
//! and failing disks, as often as there are seeds. One that fails is run again, and does the same again.
//!
//! `docs/simulation.md` is the guide; how it is made is said in `backend/simulated/mod.rs`.

mod device;
mod run;

pub use self::device::{Command, Device, DeviceQueue};
pub use self::run::Stalled;
pub use crate::backend::simulated::{Exhausted, Host, Link, Process, Storage, World, exhaust, explore};
