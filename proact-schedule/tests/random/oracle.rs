//! What has to come before what, and what fails: by sets of nodes, until nothing changes any more.

use std::collections::BTreeSet;

use crate::dag::Dag;

pub struct Oracle {
    /// Of each node, all nodes that must have ended before it begins.
    pub before: Vec<BTreeSet<usize>>,
    /// Of each node, those among them that it comes after by itself: whom it waits for, and the one before it on an
    /// in-order queue.
    pub direct: Vec<BTreeSet<usize>>,
    /// Of each node, whom it waits for.
    pub producers: Vec<BTreeSet<usize>>,
    pub fails: Vec<bool>,
    /// Of each node, its epoch on its queue.
    pub epochs: Vec<u64>,
}

/// The nodes that a value stands for: that with the smallest value not below it, and those of all values before that.
pub fn stands_for(dag: &Dag, semaphore: usize, value: u64) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (index, node) in dag.nodes.iter().enumerate() {
        for &(signalled, promised) in &node.signals {
            if signalled == semaphore {
                found.insert(index);
                if promised >= value {
                    return found;
                }
            }
        }
    }
    panic!("nobody promises {value} of {semaphore}");
}

impl Oracle {
    pub fn new(dag: &Dag) -> Oracle {
        let count = dag.nodes.len();
        let producers: Vec<BTreeSet<usize>> = dag
            .nodes
            .iter()
            .map(|node| node.waits.iter().flat_map(|&(semaphore, value)| stands_for(dag, semaphore, value)).collect())
            .collect();
        let mut direct = producers.clone();
        let mut epochs = vec![0; count];
        let mut last = vec![(None, 0); dag.queues.len()];
        for (index, node) in dag.nodes.iter().enumerate() {
            let (before, epoch) = &mut last[node.queue];
            if let (Some(before), true) = (*before, dag.queues[node.queue].in_order) {
                direct[index].insert(before);
            }
            *epoch += 1;
            epochs[index] = *epoch;
            *before = Some(index);
        }
        // The least sets that hold what is direct, and what that holds.
        let mut before = direct.clone();
        loop {
            let mut changed = false;
            for index in 0..count {
                let more: BTreeSet<usize> = before[index].iter().flat_map(|&earlier| before[earlier].clone()).collect();
                let length = before[index].len();
                before[index].extend(more);
                changed |= before[index].len() > length;
            }
            if !changed {
                break;
            }
        }
        let mut fails: Vec<bool> = dag.nodes.iter().map(|node| node.fails).collect();
        for _ in 0..count {
            for index in 0..count {
                fails[index] |= producers[index].iter().any(|&producer| fails[producer]);
            }
        }
        Oracle { before, direct, producers, fails, epochs }
    }

    /// What has ended when a value is reached: of each queue the last epoch up to which all have, without zeros.
    pub fn causes(&self, dag: &Dag, semaphore: usize, value: u64) -> Vec<(usize, u64)> {
        let mut ended = stands_for(dag, semaphore, value);
        let more: Vec<usize> = ended.iter().flat_map(|&node| self.before[node].clone()).collect();
        ended.extend(more);
        let epoch_of = |queue: usize| {
            let reached =
                |epoch| ended.iter().any(|&node| dag.nodes[node].queue == queue && self.epochs[node] == epoch);
            (1..).take_while(|&epoch| reached(epoch)).last().unwrap_or(0)
        };
        (0..dag.queues.len()).map(|queue| (queue, epoch_of(queue))).filter(|entry| entry.1 > 0).collect()
    }
}
