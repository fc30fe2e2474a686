//! `subak agreement evidence`: two stories under one number, in a file for anybody.
//!
//! Owns the search for both in the commons' own log. Guarantees that what is written holds: it
//! is judged as any stranger would before it leaves. Leaves out that judgement
//! (`ledger::book::two_stories`).

use crate::{
    context::{Context, Open},
    counterpart, describe,
    failure::{Done, Failure},
    files::{require_new, write_new},
};
use serde_json::json;
use std::path::Path;
use subak_ledger::{
    book::{
        agreement::Agreement,
        event::Event,
        two_stories::{Proven, Story, TwoStories},
        types::Currency,
    },
    log::{Checkpoint, Hash, Leaf, LedgerId, PublicKey, Unverified, receipt::Receipt},
};
use subak_node::relay::proofs;
use subak_proto::v1::{self, event::Kind};

/// Writes what `entry` showed, or else what the agreement is frozen by.
pub(super) async fn evidence(cx: &Context, wanted: &str, entry: Option<u64>, out: &Path) -> Done {
    let open = cx.read().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let agreement = open.book.agreement(&digest)?;
    let Some(entry) = entry.or(agreement.frozen) else {
        return Err(Failure::refused(
            "agreement-not-frozen",
            format!("agreement {} is not frozen", describe::short(&digest)),
            "name the entry that once froze it with --entry",
        ));
    };
    let (number, taken, second) = find(&open, &digest, entry).await?;
    let stories = [(taken, &second.0), (entry, &second.1)];
    let [first, second] = stories.map(|(at, proof)| story(&open, agreement, at, proof));
    let made =
        TwoStories::new(LedgerId(agreement.terms.payer), (digest, number), [first?, second?])?;
    let proven = made.verify()?;
    let beside = out.with_extension("fraud-proof");
    let fraud = made.fraud_proof().map(|proof| proof.to_text());
    // Both files or none: what is in the way of the second is found before the first is written.
    if fraud.is_some() {
        if beside == out {
            let what = format!("{}: there the fraud proof goes", out.display());
            return Err(Failure::usage(what, "name the evidence FILE.two-stories"));
        }
        require_new(&beside)?;
    }
    write_new(out, &made.to_text())?;
    let fraud = match &fraud {
        Some(text) => write_new(&beside, text).map(|()| Some(beside))?,
        None => None,
    };
    let data = json!({
        "file": out, "fraud_proof": fraud, "agreement": hex::encode(digest),
        "payer_ledger": proven.ledger.to_string(), "number": number, "taken_at": taken,
        "shown_at": entry,
    });
    let mut text = format!(
        "{}: number {number} of agreement {} was told twice\n  {}",
        out.display(),
        describe::short(&digest),
        told(&proven, Some(agreement.terms.currency)).join("\n  ")
    );
    if let Some(beside) = &fraud {
        text += &format!(
            "\n  no log holds both: the operator has signed two histories, and {} proves that",
            beside.display()
        );
    }
    text += &format!("\n  anybody judges it with `subak audit {} --expect KEY`", out.display());
    cx.out.result("subak.evidence/1", &data, &text)
}

/// Each story in a line; the evidence alone does not say in which currency.
pub fn told(proven: &Proven, currency: Option<Currency>) -> Vec<String> {
    let line = |it: &subak_ledger::book::two_stories::Told| {
        format!(
            "entry {} of {}, by {}, recorded {}: {}",
            it.entry,
            describe::entries(it.head.size),
            it.author,
            crate::money::show_time(it.recorded_at),
            describe::amount(it.amount, currency)
        )
    };
    proven.told.iter().map(line).collect()
}

/// The number that was told twice, the entry here that took it last before `entry`, and both proofs.
async fn find(open: &Open, digest: &Hash, entry: u64) -> Done<(u64, u64, (v1::Proof, v1::Proof))> {
    let mut takes: Vec<(u64, v1::Proof)> = Vec::new();
    let ledgers = &*open.connection.ledgers;
    proofs::scan(ledgers, open.info.id, 0..open.book.size, |seq, kinds| {
        for kind in kinds {
            if let Kind::IncomeTake(take) = kind
                && take.agreement == digest[..]
                && let Some(proof) = &take.proof
            {
                takes.push((seq, proof.clone()));
            }
        }
        (seq >= entry).then_some(())
    })
    .await?;
    let shown = takes.iter().rposition(|(seq, _)| *seq == entry);
    let Some((_, second)) = shown.map(|at| takes.remove(at)) else {
        return Err(none(format!("entry {entry} takes nothing under that agreement")));
    };
    let Some(number) = numbers(&second.envelope, digest)?.first().copied() else {
        return Err(none(format!("entry {entry} takes no number of that agreement")));
    };
    while let Some((seq, first)) = takes.pop() {
        if first.envelope != second.envelope && numbers(&first.envelope, digest)?.contains(&number)
        {
            return Ok((number, seq, (first, second)));
        }
    }
    Err(none(format!("before entry {entry} nothing else was taken under number {number}")))
}

fn none(what: String) -> Failure {
    Failure::refused("nothing-new", what, "look at what froze it: `subak agreement list`")
}

/// The numbers of an agreement that a payer's statement gives out.
fn numbers(envelope: &[u8], digest: &Hash) -> Done<Vec<u64>> {
    let statement = Unverified::parse(envelope)?.trust_stored()?;
    let mut found = Vec::new();
    for bytes in statement.events() {
        let wire = Event::wire(bytes)?;
        if Event::may_state_dues(&wire) {
            let event = Event::from_wire(wire)?;
            let ours = event.dues().iter().filter(|due| due.agreement == *digest);
            found.extend(ours.map(|due| due.number));
        }
    }
    Ok(found)
}

/// A proof that this log took, under the operator who was known here and has signed it.
fn story(open: &Open, agreement: &Agreement, at: u64, proof: &v1::Proof) -> Done<Story> {
    let terms = &agreement.terms;
    let known = open.book.counterparts.get(&terms.payer).cloned().unwrap_or_default();
    let keys = known.iter().copied().chain([terms.payer_operator]);
    let signed =
        |key: &PublicKey| Checkpoint::open(&proof.checkpoint, LedgerId(terms.payer), key).is_ok();
    let operator = keys.filter_map(|key| PublicKey::admit(&key).ok()).find(signed);
    let broken = || {
        let what = format!("entry {at}: its proof is not one that the rules took");
        Failure::world("short-answer", what, "audit this ledger: `subak audit`")
    };
    let hashes = proof.path.iter().map(|hash| Hash::try_from(&hash[..]).ok());
    Ok(Story {
        operator: operator.ok_or_else(broken)?,
        receipt: Receipt {
            index: Leaf::from_bytes(&proof.leaf)?.seq,
            leaf: proof.leaf.clone(),
            envelope: proof.envelope.clone(),
            path: hashes.collect::<Option<_>>().ok_or_else(broken)?,
            checkpoint: proof.checkpoint.clone(),
        },
    })
}
