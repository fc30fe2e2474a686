//! The head that witnesses have signed, against the log.
//!
//! Owns what their note must be, whether it is enough for the caller's trust file, and what it
//! says of the operator's clock. Guarantees that only witnesses whom the caller trusts say
//! anything. Leaves out their signatures (`log::cosignature`) and the operator's newest head
//! (`entries`).

use super::{
    entries::Entries,
    finding::{Code, Findings},
};
use crate::log::{
    Checkpoint, LedgerId,
    checkpoint::claimed_size,
    policy::{Cosigned, Policy},
};

/// How far an operator's clock may be from a witness's, in milliseconds: five minutes.
const APART: u64 = 5 * 60 * 1_000;

/// What trusted witnesses have said of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// Entries of the head that they signed.
    pub size: u64,
    /// Who, by the names of the trust file, and when (seconds since 1970).
    pub by: Vec<Cosigned>,
}

/// The size that a note names, and the next: there the root is wanted, and the time. It is only
/// what the note says.
pub(super) fn sizes(note: Option<&str>) -> impl Iterator<Item = u64> {
    let size = note.and_then(claimed_size).filter(|size| *size > 0);
    size.into_iter().flat_map(|size| [size, size.saturating_add(1)])
}

/// Judges the stored note. `policy` is the caller's trust file, if there is one.
pub(super) fn judge(
    id: LedgerId,
    note: Option<&str>,
    policy: Option<&Policy>,
    log: &Entries,
    findings: &mut Findings,
) -> Option<Witnessed> {
    let asked = policy.filter(|policy| policy.asks_for_witnesses());
    // The operator's newest head may bear their lines as well; it is judged by itself.
    let own = log.signed().filter(|(head, _)| log.roots.get(&head.size) == Some(&head.root));
    let Some(note) = note.or(own.map(|(_, note)| note)) else {
        if asked.is_some() {
            findings.add(Code::Unwitnessed, None, "expected a head that is sound, found none");
        }
        return None;
    };
    let signer = log.signer(claimed_size(note).unwrap_or(u64::MAX))?;
    let head = Checkpoint::open(note, id, &signer);
    let head = match head {
        Ok(head) => head,
        Err(reject) => {
            findings.add(Code::WitnessedHead, None, &reject.to_string());
            return None;
        }
    };
    if log.roots.get(&head.size) != Some(&head.root) {
        let found = log.roots.get(&head.size).map_or_else(|| "none".into(), hex::encode);
        let expected = hex::encode(head.root);
        let detail = format!("{} entries, expected root {expected}, found {found}", head.size);
        findings.add(Code::WitnessedHead, None, &detail);
        return None;
    }
    let by = match policy?.witnessed(note) {
        Ok(by) => by,
        Err(reject) => {
            findings.add(Code::Unwitnessed, None, &reject.detail);
            return None;
        }
    };
    let all = log.frontier.size();
    if asked.is_some() && head.size < all {
        let detail = format!("expected {all} entries signed by witnesses, found {}", head.size);
        findings.add(Code::Unwitnessed, Some(head.size), &detail);
    }
    let time = |size: u64| log.times.get(&size).copied();
    for (name, at) in &by {
        let saw = at.saturating_mul(1_000);
        if let Some(last) = time(head.size).filter(|last| *last > saw.saturating_add(APART)) {
            let detail = format!("dated {last} ms, and witness {name} had seen it at {saw} ms");
            findings.add(Code::ClockAhead, head.size.checked_sub(1), &detail);
        }
        let next = head.size.saturating_add(1);
        if let Some(first) = time(next).filter(|first| first.saturating_add(APART) < saw) {
            let detail = format!("dated {first} ms, and witness {name} saw none at {saw} ms");
            findings.add(Code::ClockBehind, Some(head.size), &detail);
        }
    }
    (!by.is_empty()).then_some(Witnessed { size: head.size, by })
}
