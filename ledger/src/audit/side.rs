//! What is kept of an audited ledger to hold it against others.
//!
//! Owns the extract: what its log says under each agreement, and what its book makes of it.
//! Guarantees that nothing grows with entries that are under no agreement, so that many ledgers
//! can be audited one after another and compared at the end: 128 bytes for each share in a payer's
//! ledger, 120 in a commons'. Leaves out the comparison.

use super::{examine::Examined, ledger::LedgerReport};
use crate::{
    book::{
        agreement::{Agreement, Progress},
        event::Terms,
        state::State,
        types::Minor,
    },
    log::{Hash, LedgerId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An audited ledger, as far as others have to do with it. For [`super::reconcile`] alone.
#[derive(Debug, Clone)]
pub struct Side {
    pub(super) id: LedgerId,
    pub(super) name: String,
    pub(super) size: u64,
    /// `recorded_at` of its newest entry, ms.
    pub(super) time: u64,
    /// Whether every statement could be read.
    pub(super) readable: bool,
    /// Where its book stopped, and whether that entry breaks a rule.
    pub(super) stopped: Option<(u64, bool)>,
    /// Who signs its newest head.
    pub(super) operator: Option<Hash>,
    /// All whom the log names as operators.
    pub(super) named: Vec<Hash>,
    /// By agreement.
    pub(super) heard: BTreeMap<Hash, Heard>,
    /// By agreement; empty if the book stopped.
    pub(super) known: BTreeMap<Hash, Known>,
}

/// What a log says under an agreement, by right or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// By number; of those with one number the first in the log first.
    pub(super) stated: Vec<Stated>,
    /// In the order of the log.
    pub(super) taken: Vec<Taken>,
    /// Cash that left: when (ms), and minor units.
    pub(super) sent: Vec<(u64, Minor)>,
    /// Minor units of cash that arrived, fees included.
    pub(super) received: u128,
}

/// A share, or what is taken back of one, as the payer's log states it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    pub(super) number: u64,
    pub(super) entry: u64,
    /// `recorded_at` of that entry, ms.
    pub(super) at: u64,
    /// Of the envelope that states it.
    pub(super) digest: Hash,
    pub(super) amount: Minor,
    pub(super) back: bool,
}

impl Stated {
    /// What it adds to what is due, minor units.
    pub(super) fn change(&self) -> i128 {
        let amount = i128::from(self.amount);
        if self.back { -amount } else { amount }
    }
}

/// A payer's entry that a commons took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// The commons' entry.
    pub(super) entry: u64,
    /// The payer's entry, if the leaf in the proof is one.
    pub(super) seq: Option<u64>,
    /// Of the payer's envelope.
    pub(super) digest: Hash,
    /// Whether nothing of it stands: its numbers had been taken from another entry, or the stewards
    /// have decided against it.
    pub(super) second: bool,
}

/// What a book makes of an agreement.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) terms: Arc<Terms>,
    pub(super) progress: Progress,
    pub(super) frozen: bool,
    /// Whom this ledger takes for the other one's operator.
    pub(super) counterpart: Hash,
    /// The last number.
    pub(super) last: u64,
    /// By number; a reversal has none.
    pub(super) shares: Vec<Share>,
    /// Given up, minor units (commons).
    pub(super) written_off: u128,
    /// Cash that left (payer), or arrived less the fees that the payer bears (commons).
    pub(super) cash: u128,
    /// Of it, beyond what it settles.
    pub(super) credit: Minor,
}

/// A share that fell due (payer) or was taken (commons). Minor units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) number: u64,
    pub(super) due: Minor,
    /// Of it, taken back.
    pub(super) reversed: Minor,
    /// Not sent yet (payer), or not settled, taken back or given up (commons).
    pub(super) open: Minor,
    /// When it was recorded here, ms.
    pub(super) at: u64,
    /// The entry that took it (commons).
    pub(super) entry: Option<u64>,
}

impl Heard {
    /// What an entry of this time says, added to what was heard before it.
    pub(super) fn collect(heard: &mut BTreeMap<Hash, Self>, e: &Examined, at: u64) {
        for (due, back) in &e.facts.dues {
            let Ok(agreement) = due.agreement.as_slice().try_into() else { continue };
            let (number, amount, back) = (due.number, due.amount, *back);
            let stated = Stated { number, entry: e.seq, at, digest: e.digest, amount, back };
            heard.entry(agreement).or_default().stated.push(stated);
        }
        for take in &e.facts.takes {
            let (entry, seq, digest) = (e.seq, take.seq, take.digest);
            let taken = Taken { entry, seq, digest, second: false };
            heard.entry(take.agreement).or_default().taken.push(taken);
        }
        for (agreement, minor) in &e.facts.sent {
            heard.entry(*agreement).or_default().sent.push((at, *minor));
        }
        for (agreement, minor) in &e.facts.received {
            heard.entry(*agreement).or_default().received += u128::from(*minor);
        }
    }

    /// Marks the takes of which nothing stands.
    fn tell_apart(&mut self, agreement: &Agreement) {
        let from = agreement.sources.values().map(|source| (source.entry, &source.envelope));
        let sources: BTreeSet<(u64, &Hash)> = from.collect();
        for take in &mut self.taken {
            let from = take.seq.map(|seq| (seq, &take.digest));
            take.second = !from.is_some_and(|from| sources.contains(&from));
        }
    }

    /// The first story under a number.
    pub(super) fn story(&self, number: u64) -> Option<&Stated> {
        let at = self.stated.partition_point(|s| s.number < number);
        self.stated.get(at).filter(|s| s.number == number)
    }
}

impl Known {
    fn new(state: &State, a: &Agreement) -> Self {
        let here = a.terms.payer == state.ledger.0;
        let (other, named) = if here {
            (a.terms.commons, a.terms.commons_operator)
        } else {
            (a.terms.payer, a.terms.payer_operator)
        };
        let mut written_off = 0;
        let mut shares = Vec::with_capacity(a.dues.items.len());
        for (number, item) in &a.dues.items {
            // A payer's shares have no income.
            let income = state.income(item.income).ok();
            let unsent = (item.due - item.due_reversed).saturating_sub(item.sent);
            written_off += income.map_or(0, |income| u128::from(income.written_off));
            shares.push(Share {
                number: *number,
                due: item.due,
                reversed: item.due_reversed,
                open: income.map_or(unsent, |income| income.open()),
                at: item.recorded_at,
                entry: income.map(|income| income.place.entry),
            });
        }
        Self {
            terms: a.terms.clone(),
            progress: a.progress,
            frozen: a.frozen.is_some(),
            counterpart: state.counterpart(other, named),
            last: a.dues.last,
            shares,
            written_off,
            cash: a.cash,
            credit: a.credit(),
        }
    }

    pub(super) fn share(&self, number: u64) -> Option<&Share> {
        let at = self.shares.binary_search_by_key(&number, |share| share.number).ok()?;
        self.shares.get(at)
    }

    /// What fell due or was taken, less what was taken back, minor units.
    pub(super) fn net(&self) -> i128 {
        self.shares.iter().map(|s| i128::from(s.due) - i128::from(s.reversed)).sum()
    }
}

impl Side {
    /// The extract of a ledger; `book`: its state, if it went through to the end.
    pub(super) fn new(
        report: &LedgerReport,
        readable: bool,
        stopped: Option<(u64, bool)>,
        mut heard: BTreeMap<Hash, Heard>,
        book: Option<&State>,
    ) -> Self {
        for it in heard.values_mut() {
            it.stated.sort_by_key(|s| (s.number, s.entry));
            it.stated.shrink_to_fit();
            it.taken.shrink_to_fit();
        }
        for (digest, agreement) in book.into_iter().flat_map(|state| &state.agreements) {
            if let Some(heard) = heard.get_mut(digest) {
                heard.tell_apart(agreement);
            }
        }
        let agreements = book.into_iter().flat_map(|state| {
            state.agreements.iter().map(move |(digest, a)| (*digest, Known::new(state, a)))
        });
        Self {
            id: report.id,
            name: report.name.clone(),
            size: report.size,
            time: report.recorded_at.unwrap_or_default(),
            readable,
            stopped,
            operator: report.operator.as_ref().map(crate::log::PublicKey::bytes),
            named: report.named.clone(),
            heard,
            known: agreements.collect(),
        }
    }

    /// Whether its book went through, over a log that could be read.
    pub(super) fn is_judged(&self) -> bool {
        self.readable && self.stopped.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    /// A million shares on both sides are a quarter of a gigabyte, and no more.
    #[test]
    fn what_is_kept_of_a_share_is_small() {
        assert_eq!(size_of::<Stated>() + size_of::<Share>(), 128, "of a payer's");
        assert_eq!(size_of::<Taken>() + size_of::<Share>(), 120, "of a commons'");
    }
}
