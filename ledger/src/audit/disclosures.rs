//! Disclosed texts against the commitments in the log.
//!
//! Owns the comparison. Guarantees that every stored disclosure is recomputed and that
//! each is that of a commitment in the log. Leaves out what a text says: no rule reads it.

use super::finding::{Code, Findings};
use crate::{
    log::{self, Handle, Hash, LedgerId},
    store::{Disclosure, Reader, StoreError},
};
use std::collections::BTreeMap;

/// Disclosures read at once.
const PAGE: usize = 256;

/// How the commitments of a log stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disclosures {
    /// Disclosed, and the text is the one committed to.
    pub disclosed: u64,
    /// Not disclosed, or erased.
    pub undisclosed: u64,
    /// Disclosed, but the text is another one, or none that the log commits to.
    pub mismatched: u64,
}

/// Judges the stored disclosures of a ledger. `commitments` gives the entry of each;
/// `complete`: every statement could be read.
pub(super) fn judge(
    reader: &dyn Reader,
    id: LedgerId,
    commitments: &BTreeMap<Hash, u64>,
    complete: bool,
    findings: &mut Findings,
) -> Result<Disclosures, StoreError> {
    let mut counts = Disclosures::default();
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
                Some(found) if found == stored.commitment => counts.disclosed += 1,
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
    let all = u64::try_from(commitments.len()).expect("they fit in memory");
    counts.undisclosed = all.saturating_sub(counts.disclosed);
    Ok(counts)
}

fn recompute(stored: &Disclosure, ledger: &LedgerId) -> Option<Hash> {
    let author = Handle::new(&stored.author).ok()?;
    let (salt, tag, field) = (&stored.salt, &stored.tag, &stored.field);
    Some(log::commit::commitment(salt, tag, ledger, &author, field, &stored.bytes))
}
