//! What is frozen because a key was revoked, in the words of every command that shows it.

use crate::describe;
use subak_ledger::book::{
    state::State,
    types::{AgentId, Currency},
};

/// Lines that are shown one by one.
const MOST: usize = 20;

/// Why nothing is paid to an agent in a currency, if so.
pub fn why(book: &State, agent: AgentId, currency: Currency) -> Option<String> {
    let frozen = book.frozen(agent).or_else(|| book.frozen_cash(currency))?;
    Some(book.why(&frozen))
}

/// The keys of an agent that sign nothing any more, in hex.
pub fn revoked_keys(book: &State, agent: AgentId) -> Vec<String> {
    let theirs = book.revoked.keys().filter(|key| book.keys.get(*key) == Some(&agent));
    theirs.map(hex::encode).collect()
}

/// Lines to put under a list of agents: what is frozen, why, and the way out. Empty where
/// nothing is.
pub fn lines(book: &State, agents: impl Iterator<Item = AgentId>) -> String {
    let of_agents = agents.filter_map(|id| {
        let frozen = book.frozen(id)?;
        Some((book.agent(id).handle.to_string(), frozen))
    });
    let of_cash = book.currencies().into_iter().filter_map(|currency| {
        let frozen = book.frozen_cash(currency)?;
        Some((format!("all payouts in {currency}"), frozen))
    });
    let of_runs =
        book.runs.keys().filter_map(|run| Some((format!("run {run}"), book.frozen_run(*run)?)));
    let mut keys = Vec::new();
    let mut lines = Vec::new();
    let mut more = 0;
    for (what, frozen) in of_cash.chain(of_runs).chain(of_agents) {
        keys.push(hex::encode(frozen.key));
        if lines.len() == MOST {
            more += 1;
            continue;
        }
        lines.push(describe::wrap(&format!("frozen: {what}: {}", book.why(&frozen)), 2));
    }
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    keys.sort();
    keys.dedup();
    lines.extend(
        keys.iter().map(|key| {
            format!("  next: stewards who have looked at it: `subak key confirm {key}`")
        }),
    );
    lines.iter().flat_map(|line| ["\n", line]).collect()
}
