//! Links between hosts: how long what goes over them takes, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::state::State;

/// How packets fare between two hosts, in both directions alike.
///
/// Streams arrive whole and in order whatever the link does: what is lost is sent again later. Datagrams are lost,
/// overtaken and repeated as it says.
///
/// ```
/// # use std::time::Duration;
/// use proact::simulated::{Link, World};
/// let world = World::new(1);
/// let (near, far) = (world.host("near"), world.host("far"));
/// let satellite = Link { latency: Duration::from_millis(300), loss: 10_000, ..Link::default() };
/// world.link(&near, &far, satellite); // one packet in a hundred is lost
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// How long a packet takes at least.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
    /// Bytes a second, in each direction. `None`: without limit.
    pub bandwidth: Option<u64>,
    /// Packets that are lost, of a million.
    pub loss: u32,
    /// Datagrams that are held up, so that later ones overtake them, of a million.
    pub reordering: u32,
    /// Datagrams that arrive twice, of a million.
    pub duplication: u32,
    /// Sends and receives on streams that move fewer bytes than they could, of a million.
    pub short: u32,
}

impl Default for Link {
    /// A wire in one building: 100 µs, no limit, nothing lost.
    fn default() -> Link {
        Link { latency: Duration::from_micros(100), ..Link::INSTANT }
    }
}

impl Link {
    /// No delay, no limit, nothing lost: how a host reaches itself unless it is said otherwise.
    pub const INSTANT: Link = Link {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        bandwidth: None,
        loss: 0,
        reordering: 0,
        duplication: 0,
        short: 0,
    };

    /// Whether everything arrives in the moment in which it is sent.
    pub(super) fn is_instant(&self) -> bool {
        Link { short: 0, ..*self } == Link::INSTANT
    }
}

/// Time between two tries to send what was lost: this, doubled each time up to [`RETRY_MAX`].
const RETRY: u64 = 200_000_000;
const RETRY_MAX: u64 = 10_000_000_000;
/// How long a stream tries to reach a peer that does not answer: what it sends, or the connection that it asks for.
pub(super) const PATIENCE: u64 = 60_000_000_000;

/// How long after its `tries`-th loss something is sent again.
pub(super) fn retry_after(tries: u32) -> u64 {
    (RETRY << tries.min(10)).min(RETRY_MAX)
}

/// All links.
#[derive(Default)]
pub(super) struct Network {
    links: BTreeMap<(u32, u32), Link>,
    cut: BTreeSet<(u32, u32)>,
    /// Until when what was sent keeps a link busy, each way.
    busy: BTreeMap<(u32, u32), u64>,
}

fn pair(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

impl Network {
    pub(super) fn link(&self, one: u32, other: u32) -> Link {
        let unsaid = if one == other { Link::INSTANT } else { Link::default() };
        self.links.get(&pair(one, other)).copied().unwrap_or(unsaid)
    }

    pub(super) fn set_link(&mut self, one: u32, other: u32, link: Link) {
        self.links.insert(pair(one, other), link);
    }

    pub(super) fn is_cut(&self, one: u32, other: u32) -> bool {
        self.cut.contains(&pair(one, other))
    }

    /// Cuts a link, or mends it.
    pub(super) fn cut(&mut self, one: u32, other: u32, cut: bool) {
        if cut {
            self.cut.insert(pair(one, other));
        } else {
            self.cut.remove(&pair(one, other));
        }
    }
}

impl State {
    /// How long `bytes` take from one host to another, if they are not lost.
    pub(super) fn travel(&mut self, from: u32, to: u32, bytes: usize) -> u64 {
        let link = self.link(from, to);
        let mut leaves = self.now;
        if let Some(bandwidth) = link.bandwidth {
            let sending = (bytes as u128 * 1_000_000_000 / u128::from(bandwidth.max(1))) as u64;
            let busy = self.network.busy.entry((from, to)).or_default();
            leaves = leaves.max(*busy).saturating_add(sending);
            *busy = leaves;
        }
        let jitter = self.chance.up_to(nanoseconds(link.jitter));
        (leaves - self.now).saturating_add(nanoseconds(link.latency)).saturating_add(jitter)
    }

    /// Whether a packet is lost on its way.
    pub(super) fn is_lost(&mut self, from: u32, to: u32) -> bool {
        let link = self.link(from, to);
        !self.reaches(from, to) || self.chance.happens(link.loss)
    }

    /// How many of `length` bytes a transfer between two hosts moves.
    pub(super) fn cut_short(&mut self, from: u32, to: u32, length: usize) -> usize {
        let short = self.link(from, to).short;
        if length > 1 && self.chance.happens(short) {
            return 1 + self.chance.below(length as u64 - 1) as usize;
        }
        length
    }
}

/// A duration as the world counts it.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
