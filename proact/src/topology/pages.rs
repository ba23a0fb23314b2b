//! Where pages really lie.

use std::ptr::NonNull;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::fault;
use crate::status::{Code, Operation, Result, Status};

/// How many pages of a piece of memory lie on which node, as the kernel said at that moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pages {
    nodes: Vec<(u32, usize)>,
    absent: usize,
}

impl Pages {
    /// The nodes that have any, rising, with how many.
    pub fn nodes(&self) -> &[(u32, usize)] {
        &self.nodes
    }

    /// How many lie on this node.
    pub fn on(&self, node: u32) -> usize {
        self.nodes.iter().find(|(number, _)| *number == node).map_or(0, |(_, pages)| *pages)
    }

    /// How many lie anywhere.
    pub fn present(&self) -> usize {
        self.nodes.iter().map(|(_, pages)| pages).sum()
    }

    /// How many were never touched, or are swapped out: they lie nowhere yet.
    pub fn absent(&self) -> usize {
        self.absent
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn count(&mut self, node: u32) {
        match self.nodes.binary_search_by_key(&node, |(number, _)| *number) {
            Ok(at) => self.nodes[at].1 += 1,
            Err(at) => self.nodes.insert(at, (node, 1)),
        }
    }
}

/// Asks for the pages that `length` bytes from `start` on lie in (move_pages(2) without nodes, which moves nothing;
/// Linux 2.6.18).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn pages(start: NonNull<u8>, length: usize) -> Result<Pages> {
    /// Asked for at once.
    const BATCH: usize = 512;
    if length == 0 {
        return Ok(Pages::default());
    }
    let size = rustix::param::page_size();
    let first = start.as_ptr().addr() / size * size;
    let end = start.as_ptr().addr() + length;
    let mut pages = Pages::default();
    let mut addresses: Vec<*const libc::c_void> = Vec::with_capacity(BATCH);
    let mut answers = [0 as libc::c_int; BATCH];
    for batch in (first..end).step_by(size * BATCH) {
        addresses.clear();
        addresses.extend((batch..end).step_by(size).take(BATCH).map(std::ptr::without_provenance::<libc::c_void>));
        ask(&addresses, &mut answers)?;
        for answer in &answers[..addresses.len()] {
            match u32::try_from(*answer) {
                Ok(node) => pages.count(node),
                // ENOENT: no page. EFAULT: the zero page, which stands for one that was only read.
                Err(_) if [-libc::ENOENT, -libc::EFAULT].contains(answer) => pages.absent += 1,
                Err(_) => return Err(Status::from_os_error(Operation::FindPages, -answer)),
            }
        }
    }
    Ok(pages)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask(addresses: &[*const libc::c_void], answers: &mut [libc::c_int]) -> Result {
    assert!(addresses.len() <= answers.len());
    // SAFETY: the kernel reads as many addresses as it is told and looks at no memory behind them; it writes as many
    // answers, for which there is room. Without nodes and flags it moves nothing. Process 0 is this one.
    let mut call = || unsafe {
        let nodes = std::ptr::null::<libc::c_int>();
        libc::syscall(libc::SYS_move_pages, 0, addresses.len(), addresses.as_ptr(), nodes, answers.as_mut_ptr(), 0)
    };
    let done = fault::tried_io(|| if call() == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) });
    let unavailable = |why| Status::new(Code::Unavailable, Operation::FindPages).with_message(why);
    done.map_err(|error| match error.raw_os_error().unwrap_or(0) {
        libc::ENOSYS => unavailable("the kernel knows no nodes"),
        libc::EPERM => unavailable("asking where pages lie is not permitted here (a sandbox)"),
        errno => Status::from_os_error(Operation::FindPages, errno),
    })
}

/// Nothing but Linux tells.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn pages(_: NonNull<u8>, _: usize) -> Result<Pages> {
    Err(Status::new(Code::Unavailable, Operation::FindPages).with_message("where pages lie is told on Linux only"))
}
