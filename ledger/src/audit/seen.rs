//! What an auditor has seen before, and a place that shows something else now.
//!
//! Owns the form of a remembered head and the judgement about a ledger that is no longer where
//! it was. Guarantees that a valid old copy, a rewrite and a stand-in do not pass for the ledger
//! that was seen. (The comparison of a log with its own head is the ledger's: it needs
//! the root at that size.) Leaves out files: what is remembered is handed in.

use super::{
    LedgerReport,
    finding::{Code, Finding, Findings},
};
use crate::log::{Checkpoint, PublicKey};

/// The newest head of a ledger that an auditor has judged sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The signed head.
    pub head: Checkpoint,
    /// Who signed it.
    pub operator: PublicKey,
    /// Who signed before that one, and has handed over.
    pub former: Vec<PublicKey>,
    /// The handle that the genesis gives.
    pub name: String,
    /// Made for trying things out: that it is gone one day surprises nobody.
    pub sandbox: bool,
}

/// What became of ledgers that were `seen` at one place, whose ledgers are now these. Where one is
/// gone and another has its name, the operator was changed under it, as a host's key is in ssh;
/// unless the caller authenticates the new one.
pub fn replaced(now: &[LedgerReport], seen: &[Seen]) -> Vec<Finding> {
    let mut findings = Findings::new(None);
    let gone = |seen: &&Seen| !seen.sandbox && now.iter().all(|l| l.id != seen.head.ledger);
    for seen in seen.iter().filter(gone) {
        let (ledger, name) = (seen.head.ledger, &seen.name);
        match now.iter().find(|l| l.name == *name) {
            Some(other) if other.operator_authenticated => {}
            Some(other) => {
                let found = other.operator.as_ref().map(|key| hex::encode(key.bytes()));
                let detail = format!(
                    "under the name {name}: expected ledger {ledger} with operator {}, found \
                     ledger {} with operator {}",
                    hex::encode(seen.operator.bytes()),
                    other.id,
                    found.as_deref().unwrap_or("none")
                );
                findings.add(Code::OperatorChanged, None, &detail);
            }
            None => {
                let size = seen.head.size;
                let detail = format!(
                    "ledger {name} ({ledger}): expected at least {size} entries, found no such \
                     ledger"
                );
                findings.add(Code::OlderThanSeen, None, &detail);
            }
        }
    }
    findings.close()
}
