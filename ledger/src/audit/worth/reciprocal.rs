//! Reciprocal validation: two maintainers, and nobody else, who let each other's work stand.
//!
//! Owns the count. Guarantees that a pair is told only where both did it, and with how much of each
//! one's work it was; an unclaimed agent's work counts as that of the person behind it. Leaves out
//! larger circles: where an equation asks for two, a pair alone lets nothing stand.

use crate::book::{
    state::State,
    types::{AgentId, Handle},
};
use std::{collections::BTreeMap, fmt};

/// Two maintainers. For each: parts of theirs that the other alone validated, and parts of theirs
/// that were validated at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    one: (Handle, u64, u64),
    other: (Handle, u64, u64),
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((one, a, all_a), (other, b, all_b)) = (&self.one, &self.other);
        write!(
            f,
            "{other} alone validated {a} of {one}'s {all_a} parts, and {one} alone {b} of {other}'s \
             {all_b}"
        )
    }
}

/// All such pairs, by their numbers in the ledger.
pub(super) fn pairs(state: &State) -> Vec<Pair> {
    let person = |agent: AgentId| state.agent(agent).alias.map_or(agent, |(person, _)| person);
    // Of whom, by whom alone.
    let mut alone: BTreeMap<(AgentId, AgentId), u64> = BTreeMap::new();
    let mut all: BTreeMap<AgentId, u64> = BTreeMap::new();
    for part in state.contributions.parts() {
        let Some(standing) = &part.standing else { continue };
        let who = person(part.agent);
        *all.entry(who).or_default() += 1;
        if let [by] = standing.votes[..] {
            *alone.entry((who, by)).or_default() += 1;
        }
    }
    let side = |who: AgentId, count: u64| {
        (state.agent(who).handle.clone(), count, all.get(&who).copied().unwrap_or_default())
    };
    let both = alone.iter().filter(|((who, by), _)| who < by).filter_map(|((who, by), a)| {
        let b = alone.get(&(*by, *who))?;
        Some(Pair { one: side(*who, *a), other: side(*by, *b) })
    });
    both.collect()
}
