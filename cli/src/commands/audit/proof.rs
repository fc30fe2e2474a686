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
        PublicKey,
        fraud::{FraudProof, MOST_BYTES, Proven},
        policy::Policy,
    },
    reject::Code,
};

/// Judges one: status 1 where it proves a trusted key's fraud, 3 where nobody has said whose
/// key that is.
pub(super) fn judge(
    cx: &Context,
    path: &Path,
    policy: Option<&Policy>,
    memory: Option<&Memory>,
) -> Done {
    let proof = FraudProof::parse(&read(path, Code::BadFraudProof, MOST_BYTES)?)?;
    let (ledger, operator) = proof.accused();
    let proven = proof.verify(operator)?;
    let pinned = memory.and_then(|m| m.of(ledger)).map(|it| it.seen.operator.clone());
    let trusted: Vec<PublicKey> = match policy {
        Some(policy) => policy.operators(ledger).cloned().collect(),
        None if cx.trust.is_anyone() => pinned.into_iter().collect(),
        None => cx.trust.keys().to_vec(),
    };
    let known = trusted.contains(operator);
    if let Some(memory) = memory.filter(|_| known)
        && let Err(failed) = memory.accuse(&proof)
    {
        cx.out.note(&format!("it could not be remembered: {failed}; {}", failed.next));
    }
    let verdict = if known { Verdict::Fault } else { Verdict::Gap };
    let heads =
        proven.heads.map(|head| json!({ "size": head.size, "root": hex::encode(head.root) }));
    let data = json!({
        "verdict": verdict.word(), "ledgers": [], "findings": [], "fraud_proofs": [],
        "proven": {
            "target": path, "ledger": ledger.to_string(),
            "operator_key": hex::encode(operator.bytes()), "operator_authenticated": known,
            "heads": heads, "entry": proven.entry,
        },
    });
    cx.out.result("subak.audit/1", &data, &text(cx, &proven, operator, known))?;
    Err(Failure::told(if known { 1 } else { 3 }))
}

fn text(cx: &Context, proven: &Proven, operator: &PublicKey, known: bool) -> String {
    let [first, second] = proven.heads;
    let why = match proven.entry {
        None => "They are of one size, and their roots differ.".to_owned(),
        Some(entry) => {
            format!("Entry {entry} is another one under each, and an entry is never changed.")
        }
    };
    let head = |head: subak_ledger::log::Checkpoint| {
        format!("{} under root {}", describe::entries(head.size), hex::encode(head.root))
    };
    let (word, whose) = if known {
        (cx.out.bad("fault"), "It is the operator's key that you trust for this ledger.")
    } else {
        (
            cx.out.bad("gap"),
            "If that is the operator's key, the operator is guilty. Nobody here has said so:\n  \
             name the key that you trust with --expect, or a trust file with --trust-file.",
        )
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
