//! What becomes of an agreement with two stories under one number.
//!
//! Owns the way back: the stewards say up to which number the story that stands here is kept,
//! and everything above it is undone, the latest first. Guarantees that the arithmetic of the
//! agreement is then what it was after that number, so that the payer's log fits from the next
//! one on; that each cent is taken back from exactly those who received it; that what had come
//! for it is the payer's credit, and none of it is lost; and that what was decided against is
//! not taken again, whoever relays it. Leaves out how two stories are found (`income`).

use super::{
    agreement::{Agreement, Progress},
    lots::number_index,
    state::{State, Step},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, require},
};

/// Numbers that one AgreementUnfreeze undoes. It runs on the one thread that appends.
pub const MAX_UNDONE: u64 = 100_000;

impl State {
    /// AgreementUnfreeze.
    pub(super) fn unfreeze(
        &mut self,
        step: &mut Step<'_>,
        digest: &Hash,
        entry: u64,
        back_to: u64,
    ) -> Outcome {
        let agreement = self.agreement(digest)?.clone();
        let accepted = agreement.progress == Progress::Accepted;
        require(accepted, Code::AgreementStageWrong, || {
            "income is taken, and frozen, in the commons' ledger".into()
        })?;
        require(agreement.frozen == Some(entry), Code::AgreementNotFrozen, || {
            match agreement.frozen {
                Some(found) => format!("expected entry {found}, found {entry}"),
                None => format!("not by entry {entry}, nor by another"),
            }
        })?;
        let last = agreement.dues.last;
        require(agreement.ends_an_entry(back_to), Code::NumberNotTaken, || {
            format!("number {back_to}; the last one taken is {last}")
        })?;
        require(last - back_to <= MAX_UNDONE, Code::LimitExceeded, || {
            format!("at most {MAX_UNDONE} numbers are undone, would be {}", last - back_to)
        })?;
        while self.agreements[digest].dues.last > back_to {
            self.undo_last(step, digest, back_to);
        }
        let currency = agreement.terms.currency;
        let total = self.income_total.get(&currency).copied().unwrap_or(0);
        require(total <= u128::from(MAX_MONEY), Code::LimitExceeded, || {
            format!("income in {currency}: at most {MAX_MONEY} minor units, would be {total}")
        })?;
        self.change_agreement(digest, |a| a.decide(back_to));
        self.absorb_credit(step, digest);
        self.rebalance(step, currency, None);
        Ok(())
    }

    /// The last number was never taken.
    fn undo_last(&mut self, step: &mut Step<'_>, digest: &Hash, back_to: u64) {
        let dues = &self.agreements[digest].dues;
        let reversal = dues.reversals.get(&dues.last).copied();
        // A share that goes as well is taken back in full, whatever was reversed of it.
        let kept = reversal.filter(|r| r.of <= back_to);
        let target = kept.map(|r| (dues.items[&r.of].income, r.due));
        let mut gone = None;
        self.change_agreement(digest, |a| gone = a.dues.pop());
        if let Some(item) = gone {
            let mut row = self.incomes[number_index(item.income)].as_ref().clone();
            (row.refunded, row.written_off, row.settled) = (row.amount, 0, 0);
            row.undone = Some(step.entry);
            self.refresh(step, row);
        } else if let Some((income, due)) = target {
            // What came back stands again and is open: what the reversal had taken of a
            // write-off too, which the stewards may write off anew.
            let mut row = self.incomes[number_index(income)].as_ref().clone();
            row.refunded -= due;
            self.refresh(step, row);
        }
    }
}

impl Agreement {
    /// Whether a number is the last of a source that was taken, or 0: a log parts between
    /// entries, never within one.
    fn ends_an_entry(&self, number: u64) -> bool {
        let leaf = |number: u64| self.sources.get(&number).map(|source| source.leaf);
        number == 0 || (leaf(number).is_some() && leaf(number) != leaf(number + 1))
    }

    /// What is above the number may be taken anew, but for what stood here under it; so may
    /// nothing more be that would be a second story of what is kept.
    fn decide(&mut self, back_to: u64) {
        self.refused =
            self.refused.iter().filter(|r| *r.1 <= back_to).map(|r| (*r.0, *r.1)).collect();
        while let Some((number, source)) = self.sources.get_max().copied().filter(|s| s.0 > back_to)
        {
            self.sources.remove(&number);
            self.refused.insert(source.leaf, number);
        }
        if let Some((number, leaf)) = self.rival.take().filter(|rival| rival.0 <= back_to) {
            self.refused.insert(leaf, number);
        }
        self.frozen = None;
    }
}
