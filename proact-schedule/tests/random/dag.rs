//! Random work: submissions that form a graph without circles, and an order to submit them in.

use crate::support::Random;

impl Random {
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue {
    pub in_order: bool,
    pub keeps_barriers: bool,
    /// No device can wait for it.
    pub unexportable: bool,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub queue: usize,
    pub waits: Vec<(usize, u64)>,
    pub signals: Vec<(usize, u64)>,
    /// It fails when it runs.
    pub fails: bool,
}

/// The graph: waits are for values of nodes before.
#[derive(Clone, Debug)]
pub struct Dag {
    pub queues: Vec<Queue>,
    pub semaphores: usize,
    pub nodes: Vec<Node>,
    /// The order in which the nodes are submitted: that of each queue is kept, and so is that of each semaphore's
    /// values.
    pub order: Vec<usize>,
}

/// What graphs there are to be.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub overlapping: bool,
    pub failures: bool,
    /// Waits may be submitted before their signals.
    pub early_waits: bool,
}

impl Dag {
    pub fn random(random: &mut Random, shape: Shape) -> Dag {
        let queues: Vec<Queue> = (0..1 + random.below(6))
            .map(|_| Queue {
                in_order: !shape.overlapping || random.chance(60),
                keeps_barriers: random.chance(40),
                unexportable: random.chance(15),
            })
            .collect();
        let semaphores = 1 + random.below(7);
        let mut values = vec![0; semaphores];
        let count = 3 + random.below(45);
        let mut nodes = Vec::new();
        for _ in 0..count {
            let mut waits = Vec::new();
            for _ in 0..random.below(5) {
                let semaphore = random.below(semaphores);
                if values[semaphore] > 0 {
                    waits.push((semaphore, 1 + random.below(values[semaphore] as usize) as u64));
                }
            }
            let mut signals: Vec<(usize, u64)> = Vec::new();
            for _ in 0..random.below(3) {
                let semaphore = random.below(semaphores);
                if signals.iter().all(|signal| signal.0 != semaphore) {
                    // Some values are never promised themselves.
                    values[semaphore] += 1 + random.below(2) as u64;
                    signals.push((semaphore, values[semaphore]));
                }
            }
            let fails = shape.failures && random.chance(6);
            nodes.push(Node { queue: random.below(queues.len()), waits, signals, fails });
        }
        let order = match shape.early_waits {
            true => Dag::shuffled(random, &nodes, queues.len(), semaphores),
            false => (0..count).collect(),
        };
        Dag { queues, semaphores, nodes, order }
    }

    /// Any of the queues goes on next whose node does not overtake another's lower value.
    fn shuffled(random: &mut Random, nodes: &[Node], queues: usize, semaphores: usize) -> Vec<usize> {
        let mut left: Vec<Vec<usize>> = vec![Vec::new(); queues];
        let mut values: Vec<Vec<u64>> = vec![Vec::new(); semaphores];
        for (index, node) in nodes.iter().enumerate().rev() {
            left[node.queue].push(index);
            node.signals.iter().for_each(|&(semaphore, value)| values[semaphore].push(value));
        }
        let mut order = Vec::new();
        while order.len() < nodes.len() {
            let queue = random.below(queues);
            let Some(&next) = left[queue].last() else { continue };
            if nodes[next].signals.iter().all(|&(semaphore, value)| values[semaphore].last() == Some(&value)) {
                nodes[next].signals.iter().for_each(|&(semaphore, _)| _ = values[semaphore].pop());
                left[queue].pop();
                order.push(next);
            }
        }
        order
    }
}
