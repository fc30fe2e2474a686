//! The book, replayed: every rule at every entry, and the accounts at the end.
//!
//! Owns the replay and where it stops: at the first entry that cannot be relied on,
//! that breaks a rule, or that this program does not know. Guarantees that nothing
//! after that is said of the book. Leaves out the rules themselves (`book`).

use super::{
    examine::Examined,
    finding::{Code, Findings},
    worth,
};
use crate::book::{
    accounts::{Account, Posting},
    state::State,
    types::{Currency, Fixed},
};
use std::collections::BTreeMap;

/// A ledger's book so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub(super) state: State,
    journal: Vec<Posting>,
    /// Balances of the postings, added up apart from the state's.
    balances: BTreeMap<(Account, Currency), Fixed>,
    /// The entry at which the book could not go on.
    pub(super) stopped: Option<u64>,
}

impl Book {
    /// Takes the next entry; `sound`: its log layers found no fault with it.
    pub(super) fn push(&mut self, e: &Examined, sound: bool, findings: &mut Findings) {
        if self.stopped.is_some() {
            return;
        }
        let (Ok(statement), Ok(leaf), Some(chain), true) = (&e.statement, &e.leaf, e.chain, sound)
        else {
            self.stopped = Some(e.seq);
            return;
        };
        if e.facts.unknown {
            self.stopped = Some(e.seq);
            let detail = "an event of a kind that is not in this program's schema";
            return findings.add(Code::UnknownEvent, Some(e.seq), detail);
        }
        self.journal.clear();
        let said = match &e.events {
            Ok(events) => {
                let (at, journal) = (leaf.recorded_at, &mut self.journal);
                self.state.replay_events(statement, events, at, journal)
            }
            Err(reject) => Err(reject.clone()),
        };
        match said {
            Ok(()) => {
                self.state.seal(chain);
                for p in &self.journal {
                    *self.balances.entry((p.account, p.currency)).or_default() += p.amount;
                }
            }
            Err(reject) => {
                self.stopped = Some(e.seq);
                let unknown = reject.code == crate::reject::Code::RulesUnknown;
                let code = if unknown { Code::UnknownRules } else { Code::Rule };
                findings.refused(code, e.seq, &reject);
            }
        }
    }

    /// After the last entry: the accounts against the records, and what is worth knowing.
    pub(super) fn finish(&self, name: &str, findings: &mut Findings) {
        let Some(root) = self.state.root.as_deref() else { return };
        if root.name.as_str() != name {
            let detail = format!("expected {}, found {name:?}", root.name);
            findings.add(Code::LedgerName, Some(0), &detail);
        }
        if self.stopped.is_some() {
            return;
        }
        let last = self.state.size.checked_sub(1);
        for detail in self.unequal_balances().into_iter().chain(self.state.check()) {
            findings.add(Code::Accounts, last, &detail);
        }
        worth::knowing(&self.state, findings);
    }

    fn unequal_balances(&self) -> Vec<String> {
        let kept: BTreeMap<_, _> =
            self.state.accounts.iter().map(|(a, c, v)| ((a, c), v)).collect();
        let keys = kept.keys().chain(self.balances.keys().filter(|k| !kept.contains_key(k)));
        let of = |map: &BTreeMap<_, Fixed>, key| map.get(key).copied().unwrap_or_default();
        keys.filter(|key| of(&kept, key) != of(&self.balances, key))
            .map(|key| {
                let (sum, found) = (of(&self.balances, key), of(&kept, key));
                format!("{:?} in {}: postings give {sum}, found {found}", key.0, key.1)
            })
            .collect()
    }
}
