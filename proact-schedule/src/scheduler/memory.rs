//! Pools of blocks, and what must have ended before a block is used again.
//!
//! **A wait for memory must not wait for ever.** What a block's last user waits for may itself wait for a value that
//! only the submission promises which now asks for memory; or a later one. So a block whose uses have not ended is
//! offered only if these are *grounded*: all that they wait for, directly or not, has been submitted. What is grounded
//! ends without the help of anything that comes later.

use std::collections::VecDeque;

use proact::status::{Code, Operation, Result, Status};

use super::line::Line;
use super::resolve::{Candidate, has_ended};
use super::{Recorder, Scheduler, invalid};
use crate::model::{BufferId, Place, PoolId, QueueId};
use crate::options::Policy;
use crate::pool::{Acquired, PoolOptions, Reuse};
use crate::record::Event;

/// The smallest block: 256 bytes.
const CLASS_MIN: u32 = 8;
/// The largest: 2^47 bytes.
const CLASSES: usize = 40;
/// Blocks that are looked at for one request.
const SCAN_MAX: usize = 16;
/// Larger sizes that are tried.
const LARGER_MAX: usize = 2;
/// Uses that a block remembers apart.
const USES_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Memory {
    pools: Vec<Pool>,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Pool {
    options: PoolOptions,
    bytes: u64,
    /// Free blocks by size, the longest free first.
    free: Vec<VecDeque<u32>>,
}

#[derive(Debug)]
struct Block {
    pool: u32,
    class: u32,
    generation: u32,
    is_live: bool,
    /// Who used it in this life, or in the last one if it is free: of an in-order queue the last use.
    uses: Vec<Place>,
    /// Who used it in the life before, and has not been seen to have ended.
    birth: Vec<Place>,
    /// There are uses that are not remembered; all have ended when everything up to this sequence number has.
    tainted_until: u64,
    /// How many submissions used it in this life.
    use_count: u64,
}

/// What speaks against using a block again.
enum Verdict {
    Usable,
    /// So many ends have to be waited for.
    Waits(u32),
    Unusable,
}

/// The size class of a request.
fn class_of(bytes: u64) -> Option<usize> {
    let class = bytes.max(1).checked_next_power_of_two()?.trailing_zeros().max(CLASS_MIN) - CLASS_MIN;
    ((class as usize) < CLASSES).then_some(class as usize)
}

const fn bytes_of(class: usize) -> u64 {
    1 << (class as u32 + CLASS_MIN)
}

impl<P, R: Recorder> Scheduler<P, R> {
    /// Adds a pool without blocks.
    pub fn add_pool(&mut self, options: PoolOptions) -> PoolId {
        let free = (0..CLASSES).map(|_| VecDeque::new()).collect();
        self.memory.pools.push(Pool { options, bytes: 0, free });
        PoolId(self.memory.pools.len() as u32 - 1)
    }

    /// The bytes of all blocks of a pool, free or not.
    pub fn pool_bytes(&self, pool: PoolId) -> u64 {
        self.memory.pools[pool.index()].bytes
    }

    /// A buffer of at least `bytes`, whose first use will be by the next submission to `queue`. See
    /// [`pool`](crate::pool) for what is tried.
    ///
    /// # Errors
    /// `ResourceExhausted` if there is no block that may be used and the budget allows no new one: ask again when
    /// something has ended. `InvalidArgument` for a pool or queue that the scheduler has not given out, or a size that
    /// no block has.
    pub fn acquire(&mut self, pool: PoolId, bytes: u64, queue: QueueId) -> Result<Acquired> {
        let class = class_of(bytes).filter(|_| queue.index() < self.lines.len());
        let (Some(class), Some(owner)) = (class, self.memory.pools.get(pool.index())) else {
            return Err(invalid(format!("no {bytes} bytes of {pool:?} for {queue:?}")));
        };
        let (waits, budget, used) = (owner.options.waits, owner.options.budget_bytes, owner.bytes);
        let mut cheapest: Option<(u32, usize)> = None;
        let free = owner.free[class].len();
        for nth in 0..free.min(SCAN_MAX) {
            // The one freed last, mostly by the same queue; the one freed first, which has mostly ended; the others.
            let at = match nth {
                0 => free - 1,
                1 => 0,
                nth => free - nth,
            };
            let block = self.memory.pools[pool.index()].free[class][at];
            match self.verdict(block, queue.0) {
                Verdict::Usable => {
                    self.statistics.reuse_hits += 1;
                    return Ok(self.begin_life(pool, class, at, Reuse::Dominated, queue));
                }
                Verdict::Waits(barriers) => {
                    self.statistics.reuse_misses += 1;
                    if cheapest.is_none_or(|(least, _)| barriers < least) {
                        cheapest = Some((barriers, at));
                    }
                }
                Verdict::Unusable => self.statistics.reuse_misses += 1,
            }
        }
        if let Some((barriers, at)) = cheapest.filter(|_| waits) {
            self.statistics.reuse_waits += 1;
            return Ok(self.begin_life(pool, class, at, Reuse::Waits { barriers }, queue));
        }
        for larger in class + 1..CLASSES.min(class + 1 + LARGER_MAX) {
            if let Some(&block) = self.memory.pools[pool.index()].free[larger].front() {
                if matches!(self.verdict(block, queue.0), Verdict::Usable) {
                    self.statistics.reuse_larger += 1;
                    return Ok(self.begin_life(pool, larger, 0, Reuse::Larger, queue));
                }
            }
        }
        if budget.saturating_sub(used) < bytes_of(class) {
            if let Some((larger, at, reuse)) = self.any_larger(pool, class, queue, waits) {
                return Ok(self.begin_life(pool, larger, at, reuse, queue));
            }
            self.statistics.exhausted += 1;
            return Err(Status::new(Code::ResourceExhausted, Operation::Submit).with_message(format!(
                "{} bytes beside {used} are more than the {budget} of the pool, and no free block can be used",
                bytes_of(class)
            )));
        }
        Ok(self.grow(pool, class, queue))
    }

    /// A larger block than was asked for, where no other can be had: the smallest that need not be waited for; else the
    /// smallest that may be.
    #[cold]
    fn any_larger(&mut self, pool: PoolId, class: usize, queue: QueueId, waits: bool) -> Option<(usize, usize, Reuse)> {
        let mut waited = None;
        for larger in class + 1..CLASSES {
            for at in 0..self.memory.pools[pool.index()].free[larger].len().min(SCAN_MAX) {
                let block = self.memory.pools[pool.index()].free[larger][at];
                match self.verdict(block, queue.0) {
                    Verdict::Usable => {
                        self.statistics.reuse_larger += 1;
                        return Some((larger, at, Reuse::Larger));
                    }
                    Verdict::Waits(barriers) if waits && waited.is_none() => {
                        waited = Some((larger, at, Reuse::Waits { barriers }));
                    }
                    Verdict::Waits(_) | Verdict::Unusable => {}
                }
            }
        }
        self.statistics.reuse_waits += u64::from(waited.is_some());
        waited
    }

    /// Whether the next submission to `line` may use `block`.
    #[inline]
    fn verdict(&mut self, block: u32, line: u32) -> Verdict {
        let block = &self.memory.blocks[block as usize];
        if self.options.policy == Policy::Events {
            // Each use has left an event, and each has to be asked.
            self.statistics.host_queries += block.use_count;
        }
        if block.tainted_until > self.sequence_ended {
            return Verdict::Unusable;
        }
        let in_order = self.lines[line as usize].is_in_order();
        let mut barriers = 0;
        let mut grounded = true;
        for &place in block.uses.iter().chain(&block.birth) {
            // What an overlapping queue knows is known only while it is submitted to.
            let spared = match in_order {
                true => self.spared(line, place).is_some(),
                false => has_ended(&self.lines, &self.flights, place),
            };
            if !spared {
                barriers += 1;
                grounded &= place.epoch < self.lines[place.queue.index()].ungrounded_from;
            }
        }
        match (barriers, grounded) {
            (0, _) => Verdict::Usable,
            (barriers, true) => Verdict::Waits(barriers),
            (_, false) => Verdict::Unusable,
        }
    }

    fn begin_life(&mut self, pool: PoolId, class: usize, at: usize, reuse: Reuse, queue: QueueId) -> Acquired {
        let free = &mut self.memory.pools[pool.index()].free[class];
        // The order of the others hardly matters, and the last one is what is taken mostly.
        let index = free.swap_remove_back(at).expect("it was found there");
        let block = &mut self.memory.blocks[index as usize];
        let (lines, flights) = (&self.lines, &self.flights);
        if block.tainted_until > 0 {
            self.statistics.blocks_healed += 1;
            block.tainted_until = 0;
        }
        // Of an in-order queue the last use counts, whichever life it was in: lives that end before anything has run
        // would otherwise leave ever longer lists.
        for place in block.uses.drain(..) {
            note_use(lines, &mut block.birth, place);
        }
        block.birth.retain(|&place| !has_ended(lines, flights, place));
        self.live(index, reuse, queue)
    }

    #[cold]
    fn grow(&mut self, pool: PoolId, class: usize, queue: QueueId) -> Acquired {
        self.statistics.blocks_grown += 1;
        self.memory.pools[pool.index()].bytes += bytes_of(class);
        self.memory.blocks.push(Block {
            pool: pool.0,
            class: class as u32,
            generation: 0,
            is_live: false,
            uses: Vec::new(),
            birth: Vec::new(),
            tainted_until: 0,
            use_count: 0,
        });
        self.live(self.memory.blocks.len() as u32 - 1, Reuse::Grown, queue)
    }

    fn live(&mut self, index: u32, reuse: Reuse, queue: QueueId) -> Acquired {
        let block = &mut self.memory.blocks[index as usize];
        block.generation += 1;
        block.is_live = true;
        block.use_count = 0;
        let buffer = BufferId { block: index, generation: block.generation };
        let bytes = bytes_of(block.class as usize);
        if R::ENABLED {
            let (block, generation, queue) = (index, buffer.generation, queue.0);
            self.recorder.record(Event::Acquired { block, generation, queue, bytes, reuse });
        }
        Acquired { buffer, bytes, reuse }
    }

    /// Gives a buffer back, when its last use has been submitted: that need not have run.
    ///
    /// # Errors
    /// `InvalidArgument` for a buffer that was released already.
    pub fn release(&mut self, buffer: BufferId) -> Result {
        if !self.is_live(buffer) {
            return Err(invalid(format!("{buffer:?} was released, or never acquired")));
        }
        let block = &mut self.memory.blocks[buffer.block()];
        block.is_live = false;
        // Whoever used it has waited for those before; whoever never did leaves behind what was there.
        match block.uses.is_empty() {
            true => {
                let (lines, flights) = (&self.lines, &self.flights);
                block.birth.retain(|&place| !has_ended(lines, flights, place));
            }
            false => block.birth.clear(),
        }
        if block.tainted_until > 0 {
            self.statistics.blocks_tainted += 1;
        }
        let (pool, class) = (block.pool as usize, block.class as usize);
        self.memory.pools[pool].free[class].push_back(buffer.block);
        if R::ENABLED {
            let uses = block.uses.iter().map(|place| (place.queue.0, place.epoch)).collect();
            let (block, generation) = (buffer.block, buffer.generation);
            self.recorder.record(Event::Released { block, generation, uses });
        }
        Ok(())
    }

    /// Whether a buffer was acquired and not released.
    pub fn is_live(&self, buffer: BufferId) -> bool {
        let block = self.memory.blocks.get(buffer.block());
        block.is_some_and(|block| block.is_live && block.generation == buffer.generation)
    }

    /// Notes that the submission at `place` uses a buffer. What has to be waited for first goes to `candidates`.
    pub(super) fn use_buffer(&mut self, buffer: BufferId, place: Place, candidates: &mut Vec<Candidate>) {
        let (lines, flights) = (&self.lines, &self.flights);
        let block = &mut self.memory.blocks[buffer.block()];
        block.birth.retain(|&place| !has_ended(lines, flights, place));
        block.use_count += 1;
        // Whoever used it in this life has waited for the lives before, and on an in-order queue is followed by all.
        let in_order = lines[place.queue.index()].is_in_order();
        let has_waited = in_order && block.uses.iter().any(|before| before.queue == place.queue);
        note_use(lines, &mut block.uses, place);
        if block.uses.len() > USES_MAX {
            block.uses.retain(|&place| !has_ended(lines, flights, place));
            if block.uses.len() > USES_MAX {
                block.uses.clear();
                block.tainted_until = self.sequence;
            }
        }
        if has_waited {
            return;
        }
        for at in 0..block_births(&self.memory, buffer) {
            let before = self.memory.blocks[buffer.block()].birth[at];
            let known = candidates.iter().any(|candidate| candidate.place == before);
            if !known && self.spared(place.queue.0, before).is_none() {
                let held = !self.lines[before.queue.index()].exportable;
                candidates.push(Candidate { place: before, wait: Candidate::MEMORY, source: None, held });
            }
        }
    }

    /// The bytes of a buffer's block.
    pub fn bytes(&self, buffer: BufferId) -> u64 {
        bytes_of(self.memory.blocks[buffer.block()].class as usize)
    }
}

fn block_births(memory: &Memory, buffer: BufferId) -> usize {
    memory.blocks[buffer.block()].birth.len()
}

/// Adds a use to those that a block remembers: an in-order queue's later use ends after its earlier ones.
fn note_use(lines: &[Line], uses: &mut Vec<Place>, place: Place) {
    if lines[place.queue.index()].is_in_order() {
        if let Some(before) = uses.iter_mut().find(|before| before.queue == place.queue) {
            before.epoch = place.epoch;
            return;
        }
    }
    uses.push(place);
}
