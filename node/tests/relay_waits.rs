//! What waits to be relayed says for what, and holds up nothing else.
#![allow(clippy::unwrap_used)]

mod kit;
mod scripted;
mod town;

use kit::key;
use scripted::scripted;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use subak_ledger::{
    book::agreement::Progress,
    log::{cosignature::cosign, note::Note},
};
use subak_node::{
    Ledgers as _,
    relay::{Relay, Waiting, Why},
    submit::Submitter,
};
use subak_proto::v1::{self, event::Kind};
use town::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_agreement_is_refused_holds_up_no_other() {
    let town = Town::new().await;
    let relay = town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &["upstream"], TENTH).await;
    let upstream = town.commons("upstream", &[], &["rice"], ALL).await;
    let above = town.agree(rice, upstream, 1_000_000).await;
    // A second one on the same payouts: there can be one only, and the acceptance is stated.
    let terms = town.terms(rice, upstream, 1_000_000).await;
    let rival = town.offer(&terms).await;
    town.accept(&terms).await;
    let refused = |w: &Waiting| {
        let why = matches!(&w.why, Why::Refused { code, .. } if code == "agreement-known");
        w.own == rice && w.agreement == rival && w.ledger == upstream && why
    };
    until(async || relay.status().iter().any(refused)).await;
    let below = town.agree(phyle, rice, 100_000).await;
    town.earn(phyle, 100_000).await;
    town.taken(phyle, rice, below).await;
    town.receive(rice, below, 10_000).await;
    town.pay(rice, "upstream", 1_000).await;
    town.taken(rice, upstream, above).await;
    assert_eq!(town.agreement(rice, rival).await.progress, Progress::Offered);
    assert_eq!(relay.status().len(), 1, "{:?}", relay.status());
}

/// Both fall due in one ledger and go into one statement, of which one half is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_income_that_is_refused_keeps_none_away_that_came_with_it() {
    let town = Town::new().await;
    let relay = town.relay();
    let rich = town.phyle("rich", &["rice"]).await;
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["rich", "phyle"], &[], ALL).await;
    let all = town.agree(rich, rice, 1_000_000).await;
    let most = subak_ledger::book::types::MAX_MONEY;
    town.earn(rich, most).await;
    town.taken(rich, rice, all).await;
    let euros = town.agree(phyle, rice, 100_000).await;
    let mut terms = town.terms(phyle, rice, 100_000).await;
    terms.currency = "USD".into();
    let dollars = town.offer(&terms).await;
    town.accept(&terms).await;
    until(async || town.agreement(phyle, dollars).await.progress == Progress::Active).await;
    // Recorded while nobody looks, so that both are found at once.
    let mut town = town;
    town.reopen().await;
    town.earn(phyle, 1_000).await;
    town.earn_in(phyle, 3_000, "USD").await;
    town.earn_in(phyle, 5_000, "USD").await;
    drop(relay);
    let relay = town.relay();
    town.taken(phyle, rice, dollars).await;
    let refused = |w: &Waiting| {
        let why = matches!(&w.why, Why::Refused { code, .. } if code == "limit-exceeded");
        w.agreement == euros && w.ledger == phyle && why
    };
    until(async || relay.status().iter().any(refused)).await;
    assert_eq!(town.agreement(rice, euros).await.dues.last, 0);
    let amounts: Vec<u64> = town.book(rice).await.incomes.iter().map(|i| i.amount).collect();
    assert_eq!(amounts, [most, 300, 500]);
    // As soon as there is room, it is taken: nobody asks twice.
    let invoice =
        v1::Invoice { series: "inv".into(), number: town.first_invoice(rich).await, line: 0 };
    town.refund(rich, invoice, 1_000).await;
    town.taken(rich, rice, all).await;
    town.taken(phyle, rice, euros).await;
    until(async || relay.status().is_empty()).await;
}

/// Somebody has brought another story of a number than the payer's log here tells. The next number that
/// falls due there is not put on top of it: the node shows both, and the agreement is frozen.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_go_on_from_what_was_taken_freezes_its_agreement() {
    let mut town = Town::new().await;
    let relay = town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    town.node.close().await;
    let dir = tempfile::tempdir().unwrap();
    kit::copy_folder(town.db.parent().unwrap(), dir.path());
    let mut other = Town::on(town.node.clone(), dir.path().join("town.db"));
    other.reopen().await;
    town.reopen().await;
    drop(relay);
    other.earn(phyle, 1_000).await;
    let entry = other.book(phyle).await.size - 1;
    let proof = Some(other.prove(phyle, entry).await);
    let take = v1::IncomeTake { agreement: digest.to_vec(), proof };
    town.say(rice, vec![Kind::IncomeTake(take)]).await;
    town.earn(phyle, 2_000).await;
    let _relay = town.relay();
    town.earn(phyle, 3_000).await;
    until(async || town.agreement(rice, digest).await.frozen.is_some()).await;
    let book = town.book(rice).await;
    let amounts: Vec<u64> = book.incomes.iter().map(|i| i.amount).collect();
    assert_eq!(amounts, [100], "nothing of the other history is put on top");
    assert_eq!(book.agreements[&digest].rival.map(|(number, _)| number), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_relayed_from_whom_there_is_a_reason_against() {
    let town = Town::new().await;
    let (phyle, rice, digest);
    let stopped = Arc::new(Mutex::new(None));
    let reason = stopped.clone();
    let relay = Relay::new(town.node.clone()).stopped_by(move |from| {
        let named: Option<subak_ledger::log::LedgerId> = *reason.lock().unwrap();
        (named == Some(from)).then(|| "two heads that cannot both be true".to_owned())
    });
    let relay = Arc::new(relay);
    tokio::spawn(relay.clone().run());
    phyle = town.phyle("phyle", &["rice"]).await;
    let other = town.phyle("other", &["rice"]).await;
    rice = town.commons("rice", &["phyle", "other"], &[], ALL).await;
    digest = town.agree(phyle, rice, 100_000).await;
    let good = town.agree(other, rice, 100_000).await;
    *stopped.lock().unwrap() = Some(phyle);
    town.earn(phyle, 1_000).await;
    town.earn(other, 3_000).await;
    town.taken(other, rice, good).await;
    until(async || !relay.status().is_empty()).await;
    let why = Why::Stopped("two heads that cannot both be true".into());
    let waiting = Waiting { own: rice, agreement: digest, ledger: phyle, why };
    assert_eq!(relay.status(), [waiting]);
    assert_eq!(town.income(rice).await, 300);
    *stopped.lock().unwrap() = None;
    // It is asked again by itself.
    town.taken(phyle, rice, digest).await;
    assert_eq!(town.income(rice).await, 400);
    until(async || relay.status().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_witnesses_have_not_seen_waits_and_says_for_whom() {
    let town = Town::new().await;
    let signs = Arc::new(AtomicBool::new(true));
    let willing = signs.clone();
    let witness = scripted(Box::new(move |_, note| {
        if !willing.load(Ordering::SeqCst) {
            return (503, String::new());
        }
        let note = Note::parse(note).unwrap();
        (200, cosign(scripted::NAME, note.text, 1_790_000_000, &key("witness")).unwrap())
    }));
    let policy = scripted::policy(&witness.url);
    let relay = Arc::new(Relay::new(town.node.clone()).with_policy(policy.clone()));
    tokio::spawn(relay.clone().run());
    tokio::spawn(Arc::new(Submitter::new(town.node.clone(), policy).unwrap()).run());
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    town.earn(phyle, 1_000).await;
    town.taken(phyle, rice, digest).await;
    // Every proof that was taken lies under a head with the witness's line.
    let raw = town.node.entries(rice, town.book(rice).await.size - 1, 1).await.unwrap();
    let text = String::from_utf8_lossy(&raw[0].envelope).into_owned();
    assert!(text.contains(scripted::NAME), "the head in the proof is cosigned");

    signs.store(false, Ordering::SeqCst);
    // A head that was under way when the witness went away may still be signed.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let first = town.book(phyle).await.size;
    town.earn(phyle, 2_000).await;
    town.earn(phyle, 3_000).await;
    until(async || {
        relay.status().iter().any(|w| {
            let Why::Unwitnessed { entries, witnesses } = &w.why else { return false };
            (w.own, w.ledger, w.agreement) == (rice, phyle, digest)
                && *entries == (first..first + 2)
                && *witnesses == ["W1"]
        })
    })
    .await;
    assert_eq!(town.income(rice).await, 100);
    signs.store(true, Ordering::SeqCst);
    until(async || town.income(rice).await == 600).await;
    until(async || relay.status().is_empty()).await;
}
