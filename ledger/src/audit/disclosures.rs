//! Disclosed texts against the commitments in the log.
//!
//! Owns the comparison. Guarantees that every stored disclosure is recomputed, that each is
//! that of a commitment in the log, and that none is left which the log says is erased.
//! Leaves out what a text says: no rule reads it.

use super::finding::{Code, Findings};
use crate::{
    book::state::State,
    dense::DenseMap,
    log::{self, Handle, Hash, LedgerId},
    store::{Disclosure, Reader, StoreError},
};
use std::collections::BTreeSet;

/// Disclosures read at once.
const PAGE: usize = 256;

/// How the commitments of a log stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disclosures {
    /// Disclosed, and the text is the one committed to.
    pub disclosed: u64,
    /// Not there, and an entry says that it is erased.
    pub erased: u64,
    /// Not there, and nothing says why.
    pub undisclosed: u64,
    /// Disclosed, but the text is another one, or none that the log commits to.
    pub mismatched: u64,
}

/// Judges the stored disclosures of a ledger. `commitments` gives the entry of each;
/// `complete`: every statement could be read; `book` says what is erased, as far as it was
/// judged.
pub(super) fn judge(
    reader: &dyn Reader,
    id: LedgerId,
    commitments: &DenseMap<Hash, u64>,
    complete: bool,
    book: &State,
    findings: &mut Findings,
) -> Result<Disclosures, StoreError> {
    let mut counts = Disclosures::default();
    let mut missing: BTreeSet<&Hash> = commitments.keys().collect();
    let mut after: Option<Hash> = None;
    loop {
        let page = reader.disclosures(&id.0, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.commitment);
        for stored in &page {
            let Some(&entry) = commitments.get(&stored.commitment) else {
                if complete {
                    counts.mismatched += 1;
                    let detail = format!("no entry commits to {}", hex::encode(stored.commitment));
                    findings.add(Code::Disclosure, None, &detail);
                }
                continue;
            };
            // In a genesis the ledger's part is zeros: its id was not known yet.
            let ledger = if entry == 0 { LedgerId::ZERO } else { id };
            match recompute(stored, &ledger) {
                Some(found) if found == stored.commitment => {
                    counts.disclosed += 1;
                    missing.remove(&stored.commitment);
                    must_not_be_erased(stored, book, findings);
                }
                found => {
                    counts.mismatched += 1;
                    let found = found.map_or_else(|| "no handle for an author".into(), hex::encode);
                    let (expected, field) = (hex::encode(stored.commitment), &stored.field);
                    let detail = format!("field {field:?}: expected {expected}, found {found}");
                    findings.add(Code::Disclosure, Some(entry), &detail);
                }
            }
        }
    }
    for commitment in missing {
        match book.erasure_named(commitment) {
            Some(_) => counts.erased += 1,
            None => counts.undisclosed += 1,
        }
    }
    Ok(counts)
}

/// The operator has recorded the erasure and kept the text all the same.
fn must_not_be_erased(stored: &Disclosure, book: &State, findings: &mut Findings) {
    let erased = book.erasure_of(&stored.commitment, &stored.author, &stored.field);
    if let Some(erasure) = erased {
        let (commitment, field) = (hex::encode(stored.commitment), &stored.field);
        let detail = format!("field {field:?}, commitment {commitment}: expected no text");
        findings.add(Code::ErasedPresent, Some(erasure.entry), &detail);
    }
}

fn recompute(stored: &Disclosure, ledger: &LedgerId) -> Option<Hash> {
    let author = Handle::new(&stored.author).ok()?;
    let (salt, tag, field) = (&stored.salt, &stored.tag, &stored.field);
    Some(log::commit::commitment(salt, tag, ledger, &author, field, &stored.bytes))
}
