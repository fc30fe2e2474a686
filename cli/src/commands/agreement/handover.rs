//! `subak agreement handover`: the other side's ledger has another operator.

use crate::{
    commands::contribute::report,
    context::Context,
    counterpart::{self, Elsewhere},
    describe,
    failure::{Done, Failure},
};
use serde_json::json;
use subak_ledger::{book::agreement::Progress, log::Hash};
use subak_node::relay::proofs::{self, Head};
use subak_proto::v1::{self, event::Kind};

/// Takes every handover there that is not known here, in order. What the operator before has
/// consented to, anyone may say; the rest is for the stewards here.
pub(super) async fn handover(cx: &Context, wanted: &str, elsewhere: &Elsewhere) -> Done {
    let mut open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let agreement = open.book.agreement(&digest)?.clone();
    let (terms, partner) = (&agreement.terms, counterpart::partner(&agreement).clone());
    let (other, named) = if agreement.progress == Progress::Accepted {
        (terms.payer, terms.payer_operator)
    } else {
        (terms.commons, terms.commons_operator)
    };
    let there = elsewhere.reader(cx, &open.connection).await?;
    let there = counterpart::require(cx, &there, other, &partner).await?;
    let known = open.book.counterpart(other, named);
    // From the newest one who is known on both sides: who stole a key can have handed over to one
    // that the ledger there never had, and then the stewards here decide.
    let met = open.book.counterparts.get(&other).cloned().unwrap_or_default();
    let last = |key: &Hash| there.book.operators.iter().rposition(|it| it.key == *key);
    let Some(from) = met.iter().rev().find_map(last) else {
        return Err(Failure::refused(
            "operator-unexpected",
            format!(
                "ledger {partner} there never had the operator {}, who is known here",
                hex::encode(known)
            ),
            "keep both as evidence, and ask who shows it",
        ));
    };
    let (ledgers, id) = (&*there.connection.ledgers, there.info.id);
    let later = there.book.operators.iter().skip(from + 1);
    let mut later = later.peekable();
    let mut done = None;
    while let Some(term) = later.next() {
        // Under a head that the new operator has signed: the last is in the handover after it.
        let entry = term.from - 1;
        let proof = match later.peek() {
            None => counterpart::prove(cx, &there, entry).await?,
            Some(next) => {
                let size = next.from - 1;
                let note = proofs::handover_at(ledgers, id, size).await?.checkpoint;
                proofs::prove(ledgers, id, entry, &Head { size, note }).await?
            }
        };
        let consented = proofs::handover_at(ledgers, id, entry)
            .await?
            .has_consent_of(&open.book.counterpart(other, named));
        let take = v1::HandoverTake { ledger: other.to_vec(), proof: Some(proof) };
        let appended = if consented {
            counterpart::say_as_anyone(cx, &open, vec![Kind::HandoverTake(take)]).await?
        } else {
            cx.propose(&open, Kind::HandoverTake(take)).await?
        };
        cx.refresh(&mut open).await?;
        let waits = open.book.counterpart(other, named) != term.key;
        done = Some((appended, term.key, waits));
        if waits {
            break;
        }
    }
    let Some((appended, key, waits)) = done else {
        return Err(Failure::refused(
            "nothing-new",
            format!("the operator of {partner} is known here already"),
            "there is nothing to do",
        ));
    };
    let more = json!({ "agreement": hex::encode(digest), "operator_key": hex::encode(key), "waits": waits });
    let text = if waits {
        let left = super::approvals(&open.book, appended.entry);
        format!("the stewards decide on the new operator of {partner}; it waits for {left}")
    } else {
        format!("{partner} is known here by its operator {}", describe::short(&key))
    };
    report(cx, &appended, &more, &text)
}
