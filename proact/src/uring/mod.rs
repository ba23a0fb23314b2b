//! The ring itself: setting one up, handing entries over, taking completions back.
//!
//! Nothing here knows an operation. The backend above fills [`Entry`]s and takes completions; this folder owns the
//! shared memory, the system calls and the reasons why a machine refuses a ring.
//!
//! A ring belongs to the thread that made it (`IORING_SETUP_SINGLE_ISSUER`): [`Ring`] is neither `Send` nor `Sync`.

mod buffers;
mod entry;
mod files;
mod fixed;
mod mapping;
mod probe;
mod refusal;
mod ring;
mod setup;
mod sys;

#[cfg(test)]
mod tests;

pub(crate) use buffers::BufferRing;
pub(crate) use entry::{
    Entry, IORING_ACCEPT_MULTISHOT, IORING_RECV_MULTISHOT, IORING_RECVSEND_BUNDLE, IORING_SEND_ZC_REPORT_USAGE, Op,
};
pub(crate) use fixed::PLACE_MAX;
pub(crate) use linux_raw_sys::io_uring::{
    IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUF_MORE, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF,
    IORING_NOTIF_USAGE_ZC_COPIED,
};
pub(crate) use probe::Probe;
pub(crate) use refusal::unavailable;
pub(crate) use ring::Ring;
pub(crate) use setup::RingOptions;
