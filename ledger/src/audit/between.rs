//! Ledgers of one file against each other: what a commons took, and what its payer's
//! log holds.
//!
//! Owns that comparison. Guarantees that income is matched by the payer's own entry,
//! byte for byte, and by its numbers and amounts; that cash which one side calls sent and
//! the other does not call received is at least mentioned; and that the cost is that of
//! one look-up for each take and one for each number. Leaves out proofs, which each book
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
    /// By agreement, with the entry that takes.
    pub(super) takes: BTreeMap<Hash, Vec<(u64, Take)>>,
    /// Minor units of cash that arrived, fees included, by agreement.
    pub(super) received: BTreeMap<Hash, u128>,
}

/// A payer, with what it states by the entry that states it.
struct Payer<'s> {
    side: &'s Side,
    /// Digests of the envelopes, by agreement and entry.
    digests: BTreeMap<(Hash, u64), Hash>,
}

impl<'s> Payer<'s> {
    fn new(side: &'s Side) -> Self {
        let all = side.stated.iter();
        let digests = all.map(|((agreement, _), s)| ((*agreement, s.entry), s.digest)).collect();
        Self { side, digests }
    }

    fn stated_under<'a>(
        &'a self,
        agreement: &'a Hash,
    ) -> impl Iterator<Item = (u64, &'a Stated)> + 'a {
        let all = self.side.stated.range((*agreement, 0)..=(*agreement, u64::MAX));
        all.map(|((_, number), stated)| (*number, stated))
    }
}

/// Compares each commons with its payers; `findings` are those of the same place.
pub(super) fn compare(sides: &[Side], findings: &mut [Findings]) {
    let readable = sides.iter().filter(|side| side.readable);
    let payers: BTreeMap<Hash, Payer<'_>> =
        readable.map(|side| (side.id.0, Payer::new(side))).collect();
    for (side, findings) in sides.iter().zip(findings) {
        let Some(state) = &side.state else { continue };
        for agreement in state.agreements.values() {
            let terms = &agreement.terms;
            let payer = payers.get(&terms.payer);
            if let Some(payer) = payer.filter(|_| terms.commons == side.id.0) {
                sources(side, payer, agreement, findings);
                amounts(state, payer, agreement, findings);
                cash(side, payer, agreement, findings);
            }
        }
    }
}

/// Every entry that was taken stands in the payer's log.
fn sources(side: &Side, payer: &Payer<'_>, agreement: &Agreement, findings: &mut Findings) {
    let digest = agreement.terms.digest;
    for (entry, take) in side.takes.get(&digest).into_iter().flatten() {
        // The stewards have decided against it: what stands here is the payer's log, or will be.
        if agreement.refused.contains_key(&take.leaf) {
            continue;
        }
        let seq = take.seq.expect("the book has checked the proof's leaf");
        if seq >= payer.side.size {
            let detail = format!("expected entry {seq}, found {} entries", payer.side.size);
            findings.add(Code::PayerBehind, Some(*entry), &detail);
            continue;
        }
        let there = payer.digests.get(&(digest, seq));
        if there != Some(&take.digest) {
            let found = there.map_or_else(
                || "no share there".into(),
                |digest| format!("envelope {}", hex::encode(digest)),
            );
            let expected = hex::encode(take.digest);
            let detail = format!(
                "entry {seq} of ledger {}: expected envelope {expected}, found {found}",
                payer.side.id
            );
            findings.add(Code::IncomeUnmatched, Some(*entry), &detail);
        }
    }
}

/// Numbers and amounts are the payer's, and what lies beyond the last one taken.
fn amounts(state: &State, payer: &Payer<'_>, agreement: &Agreement, findings: &mut Findings) {
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
    let whole = payer.side.stated.contains_key(&(digest, dues.last));
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

/// Cash that left one ledger arrived in the other. No rule can demand it: cash is on its
/// way for days, and each ledger's treasurer alone says what the bank has shown.
fn cash(side: &Side, payer: &Payer<'_>, agreement: &Agreement, findings: &mut Findings) {
    let terms = &agreement.terms;
    let Some(theirs) = payer.side.state.as_ref() else { return };
    let sent = theirs.agreements.get(&terms.digest).map_or(0, |agreement| agreement.cash);
    let received = side.received.get(&terms.digest).copied().unwrap_or_default();
    if sent != received {
        let detail = format!(
            "{} sent {sent} minor units of {}, {received} were received",
            terms.payer_handle, terms.currency
        );
        findings.add(Code::CashUnmatched, None, &detail);
    }
}
