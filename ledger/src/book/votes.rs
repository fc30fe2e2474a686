//! Who agrees with something: a list that is nearly always short.
//!
//! Owns [`Votes`], of which every contribution has two. Guarantees the order in which agents were
//! added, in 16 bytes for as many as validations usually need. Leaves out who may vote.

use super::types::AgentId;
use std::ops::Deref;

/// As many as lie in the list itself.
const FEW: usize = 3;

/// Agents, in the order in which they agreed.
#[derive(Debug, Clone)]
pub struct Votes(List);

#[derive(Debug, Clone)]
enum List {
    /// So many of these.
    Few(u8, [AgentId; FEW]),
    #[allow(clippy::box_collection)] // a vector would be longer than the few
    Many(Box<Vec<AgentId>>),
}

impl Default for Votes {
    fn default() -> Self {
        Self(List::Few(0, [AgentId(0); FEW]))
    }
}

impl Votes {
    /// One more.
    pub fn push(&mut self, agent: AgentId) {
        match &mut self.0 {
            List::Few(count, few) => match few.get_mut(usize::from(*count)) {
                Some(place) => (*place, *count) = (agent, *count + 1),
                None => self.0 = List::Many(Box::new([&few[..], &[agent]].concat())),
            },
            List::Many(all) => all.push(agent),
        }
    }

    /// Only those of whom it is true.
    pub fn retain(&mut self, keep: impl Fn(AgentId) -> bool) {
        if self.iter().all(|agent| keep(*agent)) {
            return;
        }
        for agent in std::mem::take(self).iter().filter(|agent| keep(**agent)) {
            self.push(*agent);
        }
    }
}

impl Deref for Votes {
    type Target = [AgentId];
    fn deref(&self) -> &[AgentId] {
        match &self.0 {
            List::Few(count, few) => &few[..usize::from(*count)],
            List::Many(all) => all,
        }
    }
}

impl<'v> IntoIterator for &'v Votes {
    type Item = &'v AgentId;
    type IntoIter = std::slice::Iter<'v, AgentId>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_many_are_one_list() {
        let mut votes = Votes::default();
        for n in 0..10 {
            assert_eq!(votes.iter().map(|a| a.0).collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
            votes.push(AgentId(n));
        }
        votes.retain(|a| a.0 % 4 == 1);
        assert_eq!(votes[..], [AgentId(1), AgentId(5), AgentId(9)]);
        votes.push(AgentId(2));
        votes.retain(|a| a.0 != 5);
        assert_eq!(votes[..], [AgentId(1), AgentId(9), AgentId(2)]);
        assert_eq!(size_of::<Votes>(), 16);
    }
}
