//! Erasures: which texts behind commitments are to be gone, and since when.
//!
//! Owns the event's guards and the one judgement whether an erasure in the log binds a
//! disclosure, which node and audit share. Guarantees that no rule reads a disclosure: the
//! book notes who asked and in which standing, and [`State::erasure_of`] decides once the
//! disclosure is at hand. Leaves out the texts themselves and their removal (`store`), and
//! the refusal of an erasure that would bind nothing (the node: it has the disclosures).

use super::{
    state::{State, Step},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, require},
};
/// The fields of a disclosure that speak of a person, who may erase them wherever they are.
pub const PERSONAL: [&str; 2] = ["name", "email"];

/// That a text is to be gone, as the log says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// The entry that says so.
    pub entry: u64,
    /// Who says so.
    pub by: AgentId,
    /// Whether that was a steward, at that entry.
    pub by_steward: bool,
    /// Whether that was, at that entry, the person whose name or e-mail it was given as.
    pub by_named: bool,
}

impl State {
    /// Erase. Somebody who is not entitled gains nothing by it, and is not in the way of
    /// who is: only the same author, or anybody after a steward, says it in vain.
    pub(super) fn erase(&mut self, step: &Step<'_>, commitments: &[Hash]) -> Outcome {
        let (by, author) = (step.author, self.agent(step.author));
        require(author.admitted, Code::NotAdmitted, || author.handle.to_string())?;
        let by_steward = author.roles.contains(&Role::Steward);
        for commitment in commitments {
            let settled = |e: &Erasure| e.by_steward || (e.by == by && !by_steward);
            let erased = self.erasures(commitment).any(settled);
            require(!erased, Code::AlreadyErased, || hex::encode(commitment))?;
        }
        for commitment in commitments {
            let by_named =
                self.named.get(commitment).is_some_and(|agent| self.person(*agent) == by);
            let erasure = Erasure { entry: step.entry, by, by_steward, by_named };
            self.erased.insert((*commitment, by), erasure);
        }
        Ok(())
    }

    /// Commits an agent to a name and an e-mail. Of several with one commitment the first counts:
    /// it is no secret, so whoever comes later may have copied it to gain a say over another's text.
    pub(super) fn name_agent(&mut self, id: AgentId, name: Option<Hash>, email: Option<Hash>) {
        self.change_agent(id, |agent| (agent.name, agent.email) = (name, email));
        for commitment in [name, email].into_iter().flatten() {
            self.named.entry(commitment).or_insert(id);
        }
    }

    /// Everything that was said about a commitment, by author.
    fn erasures(&self, commitment: &Hash) -> impl Iterator<Item = &Erasure> {
        let (first, last) = ((*commitment, AgentId(0)), (*commitment, AgentId(u32::MAX)));
        self.erased.range(first..=last).map(|(_, erasure)| erasure)
    }

    /// The first erasure that binds a commitment's disclosure, which `author` made under the
    /// name `field`: by a steward, by that author, or by the person whom it names.
    pub fn erasure_of(&self, commitment: &Hash, author: &str, field: &str) -> Option<Erasure> {
        let binds = |e: &&Erasure| {
            e.by_steward
                || self.agent(e.by).handle.as_str() == author
                || (e.by_named && PERSONAL.contains(&field))
        };
        self.erasures(commitment).filter(binds).min_by_key(|e| e.entry).copied()
    }

    /// The first erasure that names a commitment whose disclosure is not at hand. A node
    /// admits only what binds; whether this one did cannot be told any more, and need not:
    /// nothing is there that should be gone.
    pub fn erasure_named(&self, commitment: &Hash) -> Option<Erasure> {
        self.erasures(commitment).min_by_key(|e| e.entry).copied()
    }
}
