//! `subak agreement accept` and `activate`: each side proves to its ledger what the other's
//! says.

use super::{active_already, approvals, offers, state_stage, with};
use crate::{
    commands::contribute::report,
    context::{Connection, Context, Open},
    counterpart::{self, Elsewhere},
    describe,
    failure::{Done, Failure},
    money,
};
use serde_json::json;
use std::sync::Arc;
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        event::Terms,
        types::{Base, Stage},
    },
    log::{Hash, LedgerId},
};
use subak_proto::v1::{self, event::Kind};

/// What somebody agrees to, in sentences.
fn sentences(t: &Terms) -> String {
    let on = t
        .product
        .as_ref()
        .map_or_else(|| "all revenue".to_owned(), |p| format!("revenue tagged {p}"));
    let what = match t.base {
        Base::Payout => "whatever is paid out".to_owned(),
        base => format!("{} of {on}, {base}", money::show_share(t.share)),
    };
    format!(
        "agreement {}\n  {} pays {} {what}, in {}\n  to be paid within {}; ends {} after notice",
        describe::short(&t.digest),
        t.payer_handle,
        t.commons_handle,
        t.currency,
        describe::count(t.due_days.into(), "day"),
        describe::count(t.notice_days.into(), "day")
    )
}

pub(super) async fn accept(cx: &Context, wanted: &str, elsewhere: &Elsewhere) -> Done {
    let mut open = cx.write().await?;
    let there = elsewhere.reader(cx, &open.connection).await?;
    if let Ok(digest) = counterpart::resolve(&open.book, wanted) {
        return Err(Failure::refused(
            "agreement-known",
            format!("agreement {} is accepted here already", describe::short(&digest)),
            format!(
                "let the payer run `subak agreement activate {} --ledger {}`",
                describe::short(&digest),
                open.book.agreement(&digest)?.terms.payer_handle
            ),
        ));
    }
    let (payer, digest) = find_offer(cx, &there, open.info.id, wanted).await?;
    let terms = counterpart::offered_terms(&payer, &digest).await?.ok_or_else(|| {
        Failure::refused(
            "corrupt",
            format!(
                "ledger {} has the agreement, but not the entry that offers it",
                payer.info.name
            ),
            "run `subak audit` on it",
        )
    })?;
    cx.out.note(&sentences(&payer.book.agreement(&digest)?.terms));
    let offered = match payer.book.agreement(&digest)?.stated {
        Some(entry) => entry,
        None => state_offer(cx, elsewhere, &open, &payer, &digest).await?,
    };
    let proof = counterpart::prove(cx, &payer, offered).await?;
    let event = v1::AgreementAccept { terms: Some(terms), proof: Some(proof) };
    let appended = cx.propose(&open, Kind::AgreementAccept(event)).await?;
    cx.refresh(&mut open).await?;
    let short = describe::short(&digest);
    let more = json!({ "agreement": hex::encode(digest) });
    if !open.book.agreements.contains_key(&digest) {
        let text = format!(
            "acceptance of agreement {short} is proposed; it waits for {}\n  then: `subak agreement state {short} --ledger {}`",
            approvals(&open.book, appended.entry),
            open.info.name
        );
        return report(cx, &appended, &more, &text);
    }
    let stated = state_stage(cx, &open, &digest, Stage::Accepted).await?;
    let more = with(more, "stated", stated);
    drop(there);
    match activate_there(cx, elsewhere, &open, &payer, &digest, stated).await {
        Ok(active) => {
            let from = active.map(|entry| format!(" from its entry {entry} on"));
            let text = format!(
                "agreement {short} is accepted, and active in {}{}",
                payer.info.name,
                from.unwrap_or_default()
            );
            let more = active.into_iter().fold(more, |more, entry| with(more, "active", entry));
            report(cx, &appended, &more, &text)
        }
        Err(why) => {
            let text = format!(
                "agreement {short} is accepted (stated in entry {})\n  not active yet: {}\n  next, the payer's node, by itself if it follows this one; else the payer: `subak agreement activate {short} --ledger {}{}`",
                stated,
                not_said(cx, &payer, &why),
                payer.info.name,
                elsewhere.hint(cx)
            );
            report(cx, &appended, &more, &text)
        }
    }
}

/// Why the payer's log does not say from here that the agreement is active.
fn not_said(cx: &Context, payer: &Open, why: &Failure) -> String {
    match cx.author() {
        Ok(author) if why.code == "unknown-author" => {
            let name = &payer.info.name;
            format!("{author} is no agent of {name}, and the key of its clerk is not here")
        }
        _ => why.message.clone(),
    }
}

/// The ledger there that offers the agreement.
async fn find_offer(
    cx: &Context,
    there: &Connection,
    mine: LedgerId,
    wanted: &str,
) -> Done<(Open, Hash)> {
    let mut found: Vec<(Open, Hash)> = Vec::new();
    for info in counterpart::others(there, mine).await? {
        let book = match there.ledgers.book(info.id).await {
            Ok(book) => book,
            // On its way: it says nothing yet.
            Err(error) if error.code() == "copy-incomplete" => continue,
            Err(error) => return Err(error.into()),
        };
        let named = |a: &&Arc<Agreement>| {
            wanted.len() >= 4 && hex::encode(a.terms.digest).starts_with(wanted)
        };
        for digest in offers::to(&book, mine).filter(named).map(|a| a.terms.digest) {
            found.push((cx.open_ledger(there.clone(), info.clone()).await?, digest));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::refused(
            "unknown-agreement",
            format!("no offer {wanted:?} to this ledger in the payers' ledgers there"),
            "check the digest, and say where the payer's ledger is with --other-db or --other-node",
        )),
        n => Err(Failure::usage(format!("{n} offers fit {wanted:?}"), "give more digits")),
    }
}

/// Nobody has stated the offer yet: anyone may, so it is done here where it can be.
async fn state_offer(
    cx: &Context,
    elsewhere: &Elsewhere,
    open: &Open,
    payer: &Open,
    digest: &Hash,
) -> Done<u64> {
    let writing = Open {
        connection: elsewhere.writer(cx, &open.connection).await?,
        info: payer.info.clone(),
        book: payer.book.clone(),
    };
    let stated = state_stage(cx, &writing, digest, Stage::Offered).await.map_err(|f| Failure {
        next: format!(
            "let the payer run `subak agreement state {} --ledger {}`",
            describe::short(digest),
            payer.info.name
        ),
        ..f
    })?;
    Ok(stated)
}

/// The entry that makes it active; none where the payer's node was faster.
async fn activate_there(
    cx: &Context,
    elsewhere: &Elsewhere,
    open: &Open,
    payer: &Open,
    digest: &Hash,
    stated: u64,
) -> Done<Option<u64>> {
    let proof = counterpart::prove(cx, open, stated).await?;
    let connection = elsewhere.writer(cx, &open.connection).await?;
    if !connection.is_own(&payer.info) {
        let what = format!("only a copy of ledger {} is here", payer.info.name);
        return Err(Failure::refused("only-a-copy", what, "append where its operator's key is"));
    }
    let writing = Open { connection, info: payer.info.clone(), book: payer.book.clone() };
    let event = v1::AgreementActive { agreement: digest.to_vec(), proof: Some(proof) };
    let said = counterpart::say_as_anyone(cx, &writing, vec![Kind::AgreementActive(event)]).await;
    match said {
        Ok(said) => Ok(Some(said.entry)),
        Err(failure) if is_active(&writing, digest).await => {
            cx.out.note(&format!("{failure}: its node was faster"));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

async fn is_active(open: &Open, digest: &Hash) -> bool {
    let book = open.connection.ledgers.book(open.info.id).await;
    book.is_ok_and(|book| {
        book.agreements.get(digest).is_some_and(|a| a.progress == Progress::Active)
    })
}

pub(super) async fn activate(cx: &Context, wanted: &str, elsewhere: &Elsewhere) -> Done {
    let open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let agreement = open.book.agreement(&digest)?;
    let short = describe::short(&digest);
    if agreement.progress == Progress::Active {
        return active_already(cx, &open, &digest);
    }
    let terms = agreement.terms.clone();
    let there = elsewhere.reader(cx, &open.connection).await?;
    let commons = counterpart::require(cx, &there, terms.commons, &terms.commons_handle).await?;
    let stated = commons.book.agreements.get(&digest).and_then(|a| a.stated).ok_or_else(|| {
        let accepted = commons.book.agreements.contains_key(&digest);
        let verb = if accepted { "state" } else { "accept" };
        Failure::refused(
            "agreement-stage-wrong",
            format!(
                "ledger {} does not state that it has accepted agreement {short}",
                commons.info.name
            ),
            format!(
                "let the commons run `subak agreement {verb} {short} --ledger {}`",
                commons.info.name
            ),
        )
    })?;
    let proof = counterpart::prove(cx, &commons, stated).await?;
    let event = v1::AgreementActive { agreement: digest.to_vec(), proof: Some(proof) };
    let said = counterpart::say_as_anyone(cx, &open, vec![Kind::AgreementActive(event)]).await;
    let appended = match said {
        Err(_) if is_active(&open, &digest).await => return active_already(cx, &open, &digest),
        said => said?,
    };
    let more = json!({ "agreement": hex::encode(digest) });
    let text =
        format!("agreement {short} is active: shares fall due on what is recorded from now on");
    report(cx, &appended, &more, &text)
}
