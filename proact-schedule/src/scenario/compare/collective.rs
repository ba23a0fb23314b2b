//! How many entries a collective costs, with a channel and without.

use proact::causal::{Axis, Domain, Frontier};
use proact::status::{Result, Status};

use crate::model::{Place, Point, QueueId, Submission};
use crate::{QueueOptions, Scheduler, SchedulerOptions};

/// What whoever waits for a collective comes to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CollectiveEntries {
    /// How many queues take part.
    pub members: usize,
    /// Whether they have a channel.
    pub channel: bool,
    /// The entries that say all of it.
    pub needed: usize,
    /// The entries that there are. Fewer where they do not fit: then less is known, and more waits are issued.
    pub held: usize,
    /// What these take.
    pub bytes: usize,
    /// Whether they are all there is to know.
    pub exact: bool,
    /// The barriers of whoever waits.
    pub barriers: usize,
}

/// A collective of `members` queues, and a queue that waits for its end: for one value of a channel, or for a value of
/// each member.
///
/// # Errors
/// None that is not a fault of the scheduler, for 1 to 65536 members.
///
/// ```
/// use proact_schedule::scenario::compare::collective_entries;
/// let (with, without) = (collective_entries(8, true).unwrap(), collective_entries(8, false).unwrap());
/// assert_eq!((with.held, without.held), (1, 8));
/// ```
pub fn collective_entries(members: usize, channel: bool) -> Result<CollectiveEntries> {
    let options = SchedulerOptions::new().capacity(Frontier::ENTRIES_MAX);
    let mut scheduler: Scheduler<()> = Scheduler::new(options);
    let axis = |number: usize| {
        let bits = ((number as u64) >> 8) << 32 | ((number as u64) & 0xff) << 24;
        Axis::new(1, 0, Domain::Queue, bits).expect("two bytes, in the place of device and queue")
    };
    let add = |number| scheduler.add_queue(QueueOptions::in_order(axis(number)));
    let queues: Vec<QueueId> = (0..members).map(add).collect::<Result<_>>()?;
    let waiter = scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 1, 0, 0)))?;
    let (points, producers): (Vec<Point>, Vec<Place>) = if channel {
        let axis = Axis::new(1, 0, Domain::Collective, 42).expect("a small number");
        let channel = scheduler.add_channel(axis, &queues)?;
        let done = Point::new(scheduler.add_semaphore(0), 1);
        let parts: Vec<Submission<'_>> = queues.iter().map(|&queue| Submission::new(queue)).collect();
        let taken = scheduler.submit_collective(channel, &parts, vec![(); members], &[done]);
        (vec![done], vec![taken.map_err(|(_, status)| status)?])
    } else {
        let each = queues.iter().map(|&queue| {
            let done = [Point::new(scheduler.add_semaphore(0), 1)];
            let taken = scheduler.submit(&Submission::new(queue).signals(&done), ());
            taken.map(|place| (done[0], place)).map_err(|refused| refused.status)
        });
        each.collect::<Result<Vec<_>, Status>>()?.into_iter().unzip()
    };
    let taken = scheduler.submit(&Submission::new(waiter).waits(&points), ());
    let place = taken.map_err(|refused| refused.status)?;
    let known = scheduler.knowledge(waiter);
    // Its own entry is not the collective's.
    let held = known.frontier.len() - 1;
    Ok(CollectiveEntries {
        members,
        channel,
        needed: producers.len(),
        held,
        bytes: 16 * held,
        exact: known.is_exact(),
        barriers: scheduler.barriers(place).len(),
    })
}
