//! A frontier, and whether anything is missing from it.

use super::Frontier;

/// Whether a frontier says all there is to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Completeness {
    /// These are the causes, all of them.
    Exact,
    /// These are causes, and there may be more that were forgotten.
    LowerBound,
}

/// What is known of something's causes. **Knowledge is not requirement.**
///
/// A frontier can be read in two ways. As *knowledge* it says: this much has happened. Leaving entries out keeps it
/// true. As *requirement* it says: this much must have happened before. Leaving entries out makes it wrong: an empty
/// requirement has nothing left to wait for, and a shortened one frees memory that is still in use.
///
/// So an answer that may be incomplete says so. A [`Completeness::LowerBound`] may be merged into what a queue knows;
/// it never lets a wait be left out, never chooses a barrier, never permits a reuse. [`Knowledge::requirement`] keeps
/// to that rule by answering nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Knowledge {
    /// What is known to have happened.
    pub frontier: Frontier,
    /// Whether that is everything.
    pub completeness: Completeness,
}

impl Knowledge {
    /// All the causes.
    pub const fn exact(frontier: Frontier) -> Knowledge {
        Knowledge { frontier, completeness: Completeness::Exact }
    }

    /// Some of the causes.
    pub const fn lower_bound(frontier: Frontier) -> Knowledge {
        Knowledge { frontier, completeness: Completeness::LowerBound }
    }

    /// Adds what else is known: both happened. What is missing from one is missing from the sum; and where the sum
    /// would not fit into a frontier, the more does not go in and is missing.
    pub fn merge(&mut self, more: &Knowledge) {
        if self.frontier.merge(&more.frontier).is_err() || !more.is_exact() {
            self.completeness = Completeness::LowerBound;
        }
    }

    /// Whether nothing is missing.
    pub const fn is_exact(&self) -> bool {
        matches!(self.completeness, Completeness::Exact)
    }

    /// The frontier, if it may be read as a list of what must have happened.
    pub const fn requirement(&self) -> Option<&Frontier> {
        match self.completeness {
            Completeness::Exact => Some(&self.frontier),
            Completeness::LowerBound => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::Axis;

    #[test]
    fn a_lower_bound_is_never_a_requirement() {
        let frontier = Frontier::single(Axis::queue(0, 0, 0, 0), 3).unwrap();
        assert_eq!(Knowledge::exact(frontier.clone()).requirement(), Some(&frontier));
        assert_eq!(Knowledge::lower_bound(frontier).requirement(), None);
    }
}
