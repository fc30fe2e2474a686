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
    policy::{Policy, Seen},
};

/// How far an operator's clock may be ahead of a witness's, in milliseconds: five minutes.
const AHEAD: u64 = 5 * 60 * 1_000;

/// What trusted witnesses have said of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// Entries of the head that they signed.
    pub size: u64,
    /// Who, by the names of the trust file, and when (seconds since 1970).
    pub by: Vec<Seen>,
}

/// The size that a note names: there the root is wanted. It is only what the note says.
pub(super) fn size(note: Option<&str>) -> Option<u64> {
    note?.lines().nth(1)?.parse().ok().filter(|size| *size > 0)
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
    let head = Checkpoint::open(note, id, log.operator.as_ref()?);
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
    let recorded = log.times.get(&head.size).copied().unwrap_or_default();
    for (name, at) in &by {
        let saw = at.saturating_mul(1_000);
        if recorded > saw.saturating_add(AHEAD) {
            let detail = format!(
                "recorded at {recorded} ms, and witness {name} had signed its head at {saw} ms"
            );
            findings.add(Code::ClockAhead, head.size.checked_sub(1), &detail);
        }
    }
    (!by.is_empty()).then_some(Witnessed { size: head.size, by })
}
