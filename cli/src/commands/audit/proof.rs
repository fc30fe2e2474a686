//! A fraud proof as a target: what it proves, and of whom.
//!
//! Owns the trust that makes it a fault: a key that the caller names, or has seen sign for the
//! ledger before. Leaves out the judgement (`log::fraud`).

use crate::{
    context::Context,
    describe,
    failure::{Done, Failure},
    files::read,
    memory::Memory,
};
use serde_json::json;
use std::path::Path;
use subak_ledger::{
    audit::Verdict,
    log::{
        LedgerId, PublicKey,
        fraud::{FraudProof, MOST_BYTES, Proven},
        policy::Policy,
    },
    reject::{Code, Outcome},
};

/// A file that somebody sent, and by what it is judged.
pub(super) struct Sent<'a> {
    pub cx: &'a Context,
    pub path: &'a Path,
    pub policy: Option<&'a Policy>,
    pub memory: Option<&'a Memory>,
}

impl Sent<'_> {
    /// Its text, read and verified; what is no proof says nothing of the operator: nobody is at
    /// fault by it.
    pub(super) fn verified<T>(
        &self,
        (code, most): (Code, usize),
        judge: impl FnOnce(&str) -> Outcome<T>,
    ) -> Done<T> {
        let judged = read(self.path, code, most).and_then(|text| Ok(judge(&text)?));
        judged.map_err(|failure| {
            if failure.code != code.name() {
                return failure;
            }
            let (path, what) = (self.path.display(), failure.message);
            let what = format!("{path}: this file proves nothing, of nobody: {what}");
            Failure::gap(&failure.code, what, failure.next)
        })
    }

    /// The keys that the caller believes for a ledger: named, or seen to sign for it before.
    pub(super) fn trusted(&self, ledger: LedgerId) -> Vec<PublicKey> {
        let pinned = self.memory.and_then(|m| m.of(ledger)).map(|it| &it.seen);
        let pinned = pinned.map_or(Vec::new(), |seen| {
            [std::slice::from_ref(&seen.operator), &seen.former].concat()
        });
        match self.policy {
            Some(policy) => policy.operators(ledger).cloned().collect(),
            None if self.cx.trust.is_anyone() => pinned,
            None => self.cx.trust.keys().to_vec(),
        }
    }

    /// Remembers what a trusted key is guilty of.
    pub(super) fn accuse(&self, proof: &FraudProof) {
        if let Some(Err(failed)) = self.memory.map(|memory| memory.accuse(proof)) {
            self.cx.out.note(&format!("it could not be remembered: {failed}; {}", failed.next));
        }
    }
}

/// Judges one: status 1 where it proves a trusted key's fraud, 3 where it is about a key that
/// nobody here trusts for that ledger, or proves nothing at all.
pub(super) fn judge(sent: &Sent<'_>) -> Done {
    let (cx, path) = (sent.cx, sent.path);
    let (proof, proven) = sent.verified((Code::BadFraudProof, MOST_BYTES), |text| {
        let proof = FraudProof::parse(text)?;
        let proven = proof.verify(proof.accused().1)?;
        Ok((proof, proven))
    })?;
    let (ledger, operator) = proof.accused();
    let trusted = sent.trusted(ledger);
    let known = trusted.contains(operator);
    if known {
        sent.accuse(&proof);
    }
    let verdict = if known { Verdict::Fault } else { Verdict::Gap };
    let heads =
        proven.heads.map(|head| json!({ "size": head.size, "root": hex::encode(head.root) }));
    let data = json!({
        "verdict": verdict.word(), "ledgers": [], "findings": [], "fraud_proofs": [],
        "missed": [], "agreements": [], "totals": [], "owed": [],
        "proven": {
            "target": path, "ledger": ledger.to_string(),
            "operator_key": hex::encode(operator.bytes()), "operator_authenticated": known,
            "trusted_keys": trusted.iter().map(|key| hex::encode(key.bytes())).collect::<Vec<_>>(),
            "heads": heads, "entry": proven.entry,
        },
    });
    cx.out.result("subak.audit/1", &data, &words(cx, &proven, operator, &trusted))?;
    Err(Failure::told(if known { 1 } else { 3 }))
}

/// `trusted`: the keys that are believed for that ledger.
fn words(cx: &Context, proven: &Proven, operator: &PublicKey, trusted: &[PublicKey]) -> String {
    let [first, second] = proven.heads;
    let why = match proven.entry {
        None if first.size == second.size => {
            "They are of one size, and their roots differ.".to_owned()
        }
        None => format!(
            "The first {} under the second have another root.",
            describe::entries(first.size)
        ),
        Some(entry) => {
            format!("Entry {entry} is another one under each, and an entry is never changed.")
        }
    };
    let head = |head: subak_ledger::log::Checkpoint| {
        format!("{} under root {}", describe::entries(head.size), hex::encode(head.root))
    };
    let keys: Vec<String> = trusted.iter().map(|key| hex::encode(key.bytes())).collect();
    let (word, whose) = if trusted.contains(operator) {
        let whose = "It is the operator's key that you trust for this ledger.";
        (cx.out.bad("fault"), whose.to_owned())
    } else if !keys.is_empty() {
        let keys = keys.join(", ");
        let whose = format!(
            "It accuses this key and no other: nothing is proven of the key that you trust for \
             this ledger,\n  {keys}."
        );
        (cx.out.bad("gap"), whose)
    } else if cx.trust.is_file() {
        let whose = "Your trust file names no operator of this ledger: nothing is proven of whom \
                     it names.";
        (cx.out.bad("gap"), whose.to_owned())
    } else {
        let whose = "If that is the operator's key, the operator is guilty. Nobody here has said \
                     so:\n  name the key that you trust with --expect, or a trust file with \
                     --trust-file.";
        (cx.out.bad("gap"), whose.to_owned())
    };
    format!(
        "{word}  two histories of one ledger were signed by one key\n  ledger   {}\n  key      {}\n  \
         signed   {}\n  and      {}\n  {why} No log holds both.\n  {whose}",
        proven.ledger,
        hex::encode(operator.bytes()),
        head(first),
        head(second),
    )
}
