//! Evidence of two stories as a target: what it proves, and of whom.
//!
//! Owns when it is a fault: both stories under one key, that the caller names or has seen sign for
//! the ledger before. Under two keys it is a gap: a ledger that its stewards moved leaves numbers
//! behind, and who lied takes that log. Leaves out the judgement (`book::two_stories`).

use super::proof::Sent;
use crate::{
    commands::agreement::told,
    context::Context,
    failure::{Done, Failure},
};
use serde_json::json;
use subak_ledger::{
    audit::Verdict,
    book::two_stories::{MOST_BYTES, Proven, TwoStories},
    log::PublicKey,
    reject::Code,
};

/// Judges it: status 1 where it proves that a trusted key told two stories, 3 where the keys are
/// two, or not trusted for that ledger, or where it proves nothing at all.
pub(super) fn judge(sent: &Sent<'_>) -> Done {
    let (cx, path) = (sent.cx, sent.path);
    let (stories, proven) = sent.verified((Code::BadEvidence, MOST_BYTES), |text| {
        let stories = TwoStories::parse(text)?;
        let proven = stories.verify()?;
        Ok((stories, proven))
    })?;
    let (ledger, keys) = stories.accused();
    let trusted = sent.trusted(ledger);
    let (known, one) = (keys.map(|key| trusted.contains(key)), keys[0] == keys[1]);
    let fault = one && known[0];
    let fraud = stories.fraud_proof();
    if let Some(fraud) = fraud.as_ref().filter(|_| fault) {
        sent.accuse(fraud);
    }
    let verdict = if fault { Verdict::Fault } else { Verdict::Gap };
    let each = proven.told.iter().zip(keys).zip(known).map(|((told, key), known)| {
        json!({
            "operator_key": hex::encode(key.bytes()), "operator_authenticated": known,
            "entry": told.entry, "size": told.head.size, "root": hex::encode(told.head.root),
            "recorded_at": crate::money::show_time(told.recorded_at),
            "author": told.author.as_str(), "amount": told.amount.to_string(),
        })
    });
    let data = json!({
        "verdict": verdict.word(), "ledgers": [], "findings": [], "fraud_proofs": [],
        "two_stories": {
            "target": path, "ledger": ledger.to_string(), "number": proven.number,
            "agreement": hex::encode(proven.agreement), "told": each.collect::<Vec<_>>(),
            "one_operator": one, "two_histories": fraud.is_some(),
            "trusted_keys": trusted.iter().map(|key| hex::encode(key.bytes())).collect::<Vec<_>>(),
        },
    });
    let text = words(cx, &proven, keys, (known, fraud.is_some()));
    cx.out.result("subak.audit/1", &data, &text)?;
    Err(Failure::told(if fault { 1 } else { 3 }))
}

fn words(
    cx: &Context,
    proven: &Proven,
    keys: [&PublicKey; 2],
    (known, parted): ([bool; 2], bool),
) -> String {
    let [first, second] = told(proven, None).try_into().unwrap_or_default();
    let one = keys[0] == keys[1];
    let whose = match (one, known) {
        (true, [true, _]) => "It is the operator's key that you trust for this ledger.",
        (true, _) => {
            "If that is the operator's key, the operator is guilty. Nobody here has said so:\n  \
             name the key that you trust with --expect, or a trust file with --trust-file."
        }
        (false, _) => {
            "Two operators have signed them. A ledger that its stewards moved leaves numbers \
             behind:\n  whether one of the two has lied, its log tells."
        }
    };
    let why = match (one, parted) {
        (true, true) => {
            "\n  No log holds both: the operator has signed two histories, and this proves it."
        }
        (true, false) => {
            "\n  Either there are two logs, or one that breaks its own rules. The operator has \
             signed for both."
        }
        (false, _) => "",
    };
    let word = if one && known[0] { "fault" } else { "gap" };
    let keys = keys.map(|key| hex::encode(key.bytes()));
    let key = if one { keys[0].clone() } else { keys.join("\n           ") };
    format!(
        "{}  one number of an agreement was given out twice\n  ledger   {}\n  key      {key}\n  \
         number   {} of agreement {}\n  told     {first}\n  and      {second}{why}\n  {whose}",
        cx.out.bad(word),
        proven.ledger,
        proven.number,
        hex::encode(proven.agreement),
    )
}
