//! Ledgers of one file against each other: what a commons took, and what its payer's
//! log holds.
//!
//! Owns that comparison. Guarantees that income is matched by the payer's own entry,
//! byte for byte, and by its numbers and amounts. Leaves out proofs, which each book
//! has checked, and payers whose log is not here.

use super::{
    examine::Take,
    finding::{Code, Findings},
};
use crate::{
    book::{agreement::Agreement, state::State},
    log::{Hash, LedgerId},
};
use std::collections::BTreeMap;

/// A share as the payer's log states it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    pub(super) entry: u64,
    /// Of the envelope that states it.
    pub(super) digest: Hash,
    /// Minor units.
    pub(super) amount: u64,
}

/// What is kept of an audited ledger for the comparison.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) id: LedgerId,
    pub(super) size: u64,
    /// Whether every statement could be read.
    pub(super) readable: bool,
    /// The state, if the book went through.
    pub(super) state: Option<State>,
    /// By agreement and number.
    pub(super) stated: BTreeMap<(Hash, u64), Stated>,
    /// With the entry that takes.
    pub(super) takes: Vec<(u64, Take)>,
}

impl Side {
    fn stated_under<'a>(
        &'a self,
        agreement: &'a Hash,
    ) -> impl Iterator<Item = (u64, &'a Stated)> + 'a {
        let all = self.stated.range((*agreement, 0)..=(*agreement, u64::MAX));
        all.map(|((_, number), stated)| (*number, stated))
    }
}

/// Compares each commons with its payers; `findings` are those of the same place.
pub(super) fn compare(sides: &[Side], findings: &mut [Findings]) {
    for (side, findings) in sides.iter().zip(findings) {
        let Some(state) = &side.state else { continue };
        for agreement in state.agreements.values() {
            let terms = &agreement.terms;
            let payer = sides.iter().find(|s| s.id.0 == terms.payer && s.readable);
            if let Some(payer) = payer.filter(|_| terms.commons == side.id.0) {
                sources(side, payer, agreement, findings);
                amounts(state, payer, agreement, findings);
            }
        }
    }
}

/// Every entry that was taken stands in the payer's log.
fn sources(side: &Side, payer: &Side, agreement: &Agreement, findings: &mut Findings) {
    let digest = agreement.terms.digest;
    for (entry, take) in side.takes.iter().filter(|(_, take)| take.agreement == digest) {
        let seq = take.seq.expect("the book has checked the proof's leaf");
        if seq >= payer.size {
            let detail = format!("expected entry {seq}, found {} entries", payer.size);
            findings.add(Code::PayerBehind, Some(*entry), &detail);
            continue;
        }
        let there = payer.stated_under(&digest).find(|(_, stated)| stated.entry == seq);
        if there.is_none_or(|(_, stated)| stated.digest != take.digest) {
            let found = there.map_or_else(
                || "no share there".into(),
                |(_, stated)| format!("envelope {}", hex::encode(stated.digest)),
            );
            let expected = hex::encode(take.digest);
            let detail = format!(
                "entry {seq} of ledger {}: expected envelope {expected}, found {found}",
                payer.id
            );
            findings.add(Code::IncomeUnmatched, Some(*entry), &detail);
        }
    }
}

/// Numbers and amounts are the payer's, and what lies beyond the last one taken.
fn amounts(state: &State, payer: &Side, agreement: &Agreement, findings: &mut Findings) {
    let (digest, dues) = (agreement.terms.digest, &agreement.dues);
    let (mut taken_back, mut beyond, mut beyond_minor) = (0u128, 0u64, 0u128);
    for (number, stated) in payer.stated_under(&digest) {
        if number > dues.last {
            (beyond, beyond_minor) = (beyond + 1, beyond_minor + u128::from(stated.amount));
            continue;
        }
        match dues.items.get(&number) {
            None => taken_back += u128::from(stated.amount),
            Some(item) if item.due == stated.amount => {}
            Some(item) => {
                let entry = state.income(item.income).ok().map(|income| income.place.entry);
                let detail = format!(
                    "number {number}: expected {} minor units, found {}",
                    stated.amount, item.due
                );
                findings.add(Code::IncomeUnmatched, entry, &detail);
            }
        }
    }
    let reversed: u128 = dues.items.values().map(|item| u128::from(item.due_reversed)).sum();
    // A payer's log that ends too soon has been told already.
    let whole = payer.stated.contains_key(&(digest, dues.last));
    if whole && reversed != taken_back {
        let detail = format!("expected {taken_back} minor units taken back, found {reversed}");
        findings.add(Code::IncomeUnmatched, None, &detail);
    }
    if beyond > 0 {
        let terms = &agreement.terms;
        let detail = format!(
            "{beyond} numbers of {}, from {} on, {beyond_minor} minor units of {}",
            terms.payer_handle,
            dues.last + 1,
            terms.currency
        );
        findings.add(Code::NotTaken, None, &detail);
    }
}
