//! The steps of a lowered chain that the kernel has put off.

use std::time::Duration;

use super::IoUring;
use crate::backend::Completion;
use crate::status::Result;

/// As many steps that are still to start are started by one enter.
///
/// A chain of sixty-four nops takes 216 ns a step so and 363 ns with an enter each, where a bare ring that waits for
/// all of them takes 167 (`proact bench --filter chain/64`, Linux 6.18). For fewer steps the timer takes what is saved.
const STEPS_TOGETHER: u32 = 4;
/// The shortest time that an enter may wait: with none it would not take what is there together.
const NO_TIME: Duration = Duration::from_nanos(1);

impl IoUring {
    /// Lets the kernel start what is linked to requests that have just succeeded, before their callbacks run.
    ///
    /// A wait for one completion ends with it, and the step behind it is then work that the kernel has put off until
    /// this thread enters again (measured on Linux 6.18): it would wait for all the callbacks of this pass.
    ///
    /// An enter that waits for nothing runs one step. When the first step so started has ended at once, the others may
    /// as well, and one enter that waits for all of them runs them all: it is given no time, so that a step which does
    /// wait for something holds up nobody. That arms a timer, which is why it is not done for the first or for few.
    #[cold]
    pub(super) fn start_next_steps(&mut self, mut from: usize, completions: &mut Vec<Completion>) -> Result<()> {
        let mut together = false;
        while self.ring.has_deferred() {
            let fresh = completions[from..].iter().rev();
            let Some(behind) =
                fresh.map(|completion| self.table.steps_behind(completion.token)).find(|&steps| steps > 0)
            else {
                break;
            };
            from = completions.len();
            if together && behind >= STEPS_TOGETHER {
                self.enter(behind, Some(NO_TIME))?;
            } else {
                self.enter(0, None)?;
            }
            self.reap(completions);
            together = true;
        }
        Ok(())
    }
}
