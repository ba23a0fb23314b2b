//! The configurations that every case runs on.

use proact::backend::Capabilities;
use proact::proactor::{Builder, Choice};

/// One way to run proact: a backend, and which of its capabilities are masked.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// The first part of every case's name.
    pub name: &'static str,
    /// The backend, forced.
    pub choice: Choice,
    /// What is masked: the paths that a lesser machine would take.
    pub masked: Capabilities,
}

const fn configuration(name: &'static str, choice: Choice, masked: Capabilities) -> Configuration {
    Configuration { name, choice, masked }
}

/// All of them.
pub const ALL: [Configuration; 9] = [
    configuration("io_uring", Choice::IoUring, Capabilities::empty()),
    configuration("io_uring_no_chains", Choice::IoUring, Capabilities::KERNEL_CHAINS),
    configuration("io_uring_no_wait_chains", Choice::IoUring, Capabilities::KERNEL_WAIT_CHAINS),
    configuration("io_uring_no_files", Choice::IoUring, Capabilities::KERNEL_FILES),
    configuration("io_uring_minimal", Choice::IoUring, Capabilities::all()),
    configuration("epoll", Choice::Epoll, Capabilities::empty()),
    configuration("epoll_millisecond_waits", Choice::Epoll, Capabilities::NANOSECOND_WAITS),
    configuration("poll", Choice::Poll, Capabilities::empty()),
    configuration("poll_minimal", Choice::Poll, Capabilities::all()),
];

impl Configuration {
    /// A builder of such a proactor. The environment has no say in it.
    pub fn builder(&self) -> Builder {
        Builder::new().backend(self.choice).allow(Capabilities::all() - self.masked).name(self.name)
    }

    /// Whether it is a ring.
    pub fn is_ring(&self) -> bool {
        self.choice == Choice::IoUring
    }

    /// What it can do on this machine, or why it cannot be had here.
    pub fn detect(&self) -> Result<Capabilities, String> {
        let builder = self.builder();
        let detect = || builder.build().map(|proactor| proactor.handle().capabilities());
        detect().map_err(|status| status.to_string())
    }
}
