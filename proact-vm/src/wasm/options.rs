//! What a program may use.

use wasmi::{StoreLimits, StoreLimitsBuilder};

use super::handles::HANDLES_MAX;
use crate::error::{Error, Result};

/// When a program gets an instance: a memory, globals and tables of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Instances {
    /// One for each context: what a call leaves in its memory is there for the next. The module is not concurrent.
    ///
    /// A call that failed, or was dropped on its way, has left the memory in the middle of something, and the stack
    /// that compilers keep there above where it belongs. The next call begins in a new instance.
    #[default]
    PerContext,
    /// One for each call from outside, gone with it. The module may run concurrently.
    PerCall,
}

/// Bounds on a program, and how it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// When it gets an instance.
    pub instances: Instances,
    /// Fuel after which a call lets others run: about one for each instruction, and 50 for an import, with one for each
    /// 64 bytes that it is lent. 1,000,000 unless set, which takes one or two milliseconds.
    pub fuel_slice: u64,
    /// Fuel of a whole call, without which it fails; no bound unless set. Then only a deadline or a cancel ends a
    /// program that loops for ever.
    pub fuel: Option<u64>,
    /// Bytes of memory of an instance, and of copies of it that imports may keep; 64 MiB unless set.
    pub memory_max: usize,
    /// Elements of each table of an instance, of which there may be 16; 65,536 unless set.
    pub table_elements_max: usize,
    /// Bytes of a module; 16 MiB unless set.
    pub module_bytes_max: usize,
    /// Calls within one another; 1,024 unless set. A call's locals and operands together may take a mebibyte.
    pub recursion_max: usize,
    /// References that an instance may hold at once; 4,096 unless set, 65,535 at most.
    pub references_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            instances: Instances::PerContext,
            fuel_slice: 1_000_000,
            fuel: None,
            memory_max: 64 << 20,
            table_elements_max: 1 << 16,
            module_bytes_max: 16 << 20,
            recursion_max: 1_024,
            references_max: 4_096,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result {
        let wrong = if self.fuel_slice == 0 {
            "a time slice without fuel"
        } else if self.recursion_max == 0 {
            "no call at all"
        } else if self.references_max > HANDLES_MAX {
            "more than 65535 references"
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("options of a WebAssembly module: {wrong}")))
    }
}

/// Tables of an instance at most.
const TABLES_MAX: usize = 16;

/// What keeps an instance within its bounds: the engine asks before anything grows, and before there is anything. A
/// program that is refused is told so by `memory.grow`, with -1.
pub(super) fn limits(options: &Options) -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(options.memory_max)
        .table_elements(options.table_elements_max)
        .instances(1)
        .memories(1)
        .tables(TABLES_MAX)
        .build()
}
