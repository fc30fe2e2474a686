//! What is due in one ledger becomes income in another by itself: once, in order, and as far as
//! it is proven.
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
    time::{Duration, Instant},
};
use subak_ledger::{
    book::agreement::Progress,
    log::{cosignature::cosign, note::Note},
};
use subak_node::{
    Ledgers as _,
    relay::{Relay, Waiting, Why, flight::flight},
    submit::Submitter,
};
use subak_proto::v1::{self, event::Kind};
use town::*;

const ALL: &[(&str, u32, Option<&str>)] = &[("work", 1_000_000, None)];
/// A tenth goes upstream.
const TENTH: &[(&str, u32, Option<&str>)] =
    &[("up", 100_000, Some("upstream")), ("work", 900_000, None)];

#[tokio::test(flavor = "multi_thread")]
async fn people_decide_twice_and_all_the_rest_comes_by_itself() {
    let town = Town::new().await;
    let relay = town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    let said = |state: &subak_ledger::book::state::State| {
        state.agreements[&digest].stated.map(|entry| entry < state.size)
    };
    assert_eq!(said(&*town.book(phyle).await), Some(true));
    assert_eq!(said(&*town.book(rice).await), Some(true));

    // A base that does not divide: the sum is exact, as the phyle's log has it.
    for net in [33_333, 33_333, 33_334] {
        town.earn(phyle, net).await;
    }
    town.taken(phyle, rice, digest).await;
    let amounts =
        async || town.book(rice).await.incomes.iter().map(|i| i.amount).collect::<Vec<_>>();
    assert_eq!(amounts().await, [3_333, 3_333, 3_334]);

    // What is refunded is taken back by itself, too.
    let invoice = town.earn(phyle, 10_000).await;
    town.refund(phyle, invoice, 10_000).await;
    town.taken(phyle, rice, digest).await;
    assert_eq!(town.income(rice).await, 10_000);

    // Cash is said by people at both ends; between them it is seen under way.
    town.send(phyle, digest, 10_000).await;
    let seen = async || {
        let (payer, commons) =
            (town.agreement(phyle, digest).await, town.agreement(rice, digest).await);
        flight(&payer, &commons, kit::now())
    };
    let under_way = seen().await;
    assert_eq!((under_way.in_flight(), under_way.numbers, under_way.cash()), (0, 0, 10_000));
    town.receive(rice, digest, 10_000).await;
    let arrived = seen().await;
    assert_eq!((arrived.cash(), arrived.settled, arrived.overdue), (0, 10_000, 0));
    assert_eq!(town.payable(rice, "ana").await, 10_000);
    assert_eq!(relay.status(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_income_comes_at_once_and_not_by_a_clock() {
    let town = Town::new().await;
    town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    let (mut commits, mut incomes) = (Vec::new(), Vec::new());
    for n in 1..=30 {
        let begun = Instant::now();
        town.earn(phyle, 1_000).await;
        commits.push(begun.elapsed());
        let begun = Instant::now();
        let before = town.book(rice).await.size;
        if town.agreement(rice, digest).await.dues.last < n {
            town.node.wait_beyond(rice, before).await.unwrap();
        }
        town.taken(phyle, rice, digest).await;
        incomes.push(begun.elapsed());
    }
    commits.sort_unstable();
    incomes.sort_unstable();
    let (commit, income) = (commits[15], incomes[15]);
    println!("median: commit {commit:?}, from it to the income's commit {income:?}");
    // The issue asks for 5 times round trip and commit, measured between processes; here it is
    // enough to see that no timer is in it, of which the shortest is 250 ms.
    assert!(income < Duration::from_millis(125), "{income:?}, a commit takes {commit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_upstream_is_an_income_there_and_a_return_takes_it_back() {
    let town = Town::new().await;
    town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &["upstream"], TENTH).await;
    let upstream = town.commons("upstream", &[], &["rice"], ALL).await;
    let below = town.agree(phyle, rice, 100_000).await;
    let above = town.agree(rice, upstream, 1_000_000).await;
    town.earn(phyle, 120_000).await;
    town.taken(phyle, rice, below).await;
    assert_eq!(town.payable(rice, "upstream").await, 0, "no cash has come yet");
    town.receive(rice, below, 12_000).await;
    let owed = town.payable(rice, "upstream").await;
    assert_eq!(owed, 1_200);
    let run = town.pay(rice, "upstream", owed).await;
    town.taken(rice, upstream, above).await;
    assert_eq!(town.income(upstream).await, 1_200);
    let (payer, commons) =
        (town.agreement(rice, above).await, town.agreement(upstream, above).await);
    assert_eq!(flight(&payer, &commons, kit::now()).cash(), 1_200, "paid there, not here yet");
    town.receive(upstream, above, 1_200).await;
    assert_eq!(town.payable(upstream, "ana").await, 1_200);

    let second = town.earn(phyle, 120_000).await;
    town.taken(phyle, rice, below).await;
    town.receive(rice, below, 12_000).await;
    let again = town.pay(rice, "upstream", 1_200).await;
    assert_ne!(run, again);
    town.taken(rice, upstream, above).await;
    assert_eq!(town.income(upstream).await, 2_400);
    // The bank brings it back: the income is reversed.
    let book = town.book(rice).await;
    let handle = subak_ledger::log::Handle::new("upstream").unwrap();
    let returned = v1::PayoutReturned {
        run: again,
        agent: "upstream".into(),
        reason: v1::FailReason::AccountClosed as i32,
        bank: format!("bank:back-{}", unique()),
        due: book.dues_of_return(again, &handle),
    };
    town.say(rice, vec![Kind::PayoutReturned(returned)]).await;
    town.taken(rice, upstream, above).await;
    assert_eq!(town.income(upstream).await, 1_200);
    // And a refund of the phyle's comes through to the commons that took its share.
    town.refund(phyle, second, 60_000).await;
    town.taken(phyle, rice, below).await;
    assert_eq!(town.income(rice).await, 18_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_pays_both_its_sides() {
    let town = Town::new().await;
    town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let halves: &[(&str, u32, Option<&str>)] = &[
        ("left", 300_000, Some("left")),
        ("right", 200_000, Some("right")),
        ("work", 500_000, None),
    ];
    let rice = town.commons("rice", &["phyle"], &["left", "right"], halves).await;
    let left = town.commons("left", &[], &["rice", "upstream"], TENTH).await;
    let right = town.commons("right", &[], &["rice", "upstream"], TENTH).await;
    let top = town.commons("upstream", &[], &["left", "right"], ALL).await;
    let below = town.agree(phyle, rice, 1_000_000).await;
    town.earn(phyle, 10_000).await;
    town.taken(phyle, rice, below).await;
    town.receive(rice, below, 10_000).await;
    for (side, name, expected) in [(left, "left", 3_000), (right, "right", 2_000)] {
        let into = town.agree(rice, side, 1_000_000).await;
        let out = town.agree(side, top, 1_000_000).await;
        let owed = town.payable(rice, name).await;
        assert_eq!(owed, expected);
        town.pay(rice, name, owed).await;
        town.taken(rice, side, into).await;
        town.receive(side, into, owed).await;
        let tenth = town.payable(side, "upstream").await;
        assert_eq!(tenth, expected / 10);
        town.pay(side, "upstream", tenth).await;
        town.taken(side, top, out).await;
        town.receive(top, out, tenth).await;
    }
    assert_eq!(town.income(top).await, 300 + 200, "by both ways");
    // Every cent is somebody's: nothing was lost or made on the way.
    let mut people = 0;
    for ledger in [rice, left, right, top] {
        people += town.payable(ledger, "ana").await;
    }
    assert_eq!(people, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_ends_when_less_than_a_cent_goes_round() {
    let town = Town::new().await;
    town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let half = |to| [("other", 500_000, Some(to)), ("work", 500_000, None)];
    let rice = town.commons("rice", &["phyle"], &["tea"], &half("tea")).await;
    let tea = town.commons("tea", &[], &["rice"], &half("rice")).await;
    let below = town.agree(phyle, rice, 1_000_000).await;
    let there = town.agree(rice, tea, 1_000_000).await;
    let back = town.agree(tea, rice, 1_000_000).await;
    town.earn(phyle, 10_000).await;
    town.taken(phyle, rice, below).await;
    town.receive(rice, below, 10_000).await;
    let mut payouts = 0;
    loop {
        let (from, to, agreement, name) =
            if payouts % 2 == 0 { (rice, tea, there, "tea") } else { (tea, rice, back, "rice") };
        let owed = town.payable(from, name).await;
        if owed == 0 {
            break;
        }
        town.pay(from, name, owed).await;
        town.taken(from, to, agreement).await;
        town.receive(to, agreement, owed).await;
        payouts += 1;
    }
    // Each payout is half of the one before, and 10,000 cents are less than one after 13 halvings
    // (log(10,000) / log(2) = 13.3); then the rests make up one cent more.
    assert!((13..=15).contains(&payouts), "{payouts}");
    let shares = [town.payable(rice, "ana").await, town.payable(tea, "ana").await];
    // Two thirds stay where it came, one third at the other; what is left is less than a cent for
    // each payout, and stands in the books as owed.
    let all: u64 = shares.iter().sum();
    assert!((9_998..=10_000).contains(&all), "{shares:?}");
    assert!(shares[0].abs_diff(6_667) <= 2 && shares[1].abs_diff(3_333) <= 2, "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_two_ledgers_loses_nothing_and_doubles_nothing() {
    let mut town = Town::new().await;
    town.relay();
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    let mut earned = 0;
    for round in 0..6_u64 {
        // Recorded, and the node is gone before, while or after it relays.
        for _ in 0..=round {
            town.earn(phyle, 1_000).await;
            earned += 1;
        }
        town.reopen().await;
        if round % 2 == 0 {
            town.relay();
            // Two of them: whoever is second finds it done.
            town.relay();
        }
    }
    town.relay();
    town.taken(phyle, rice, digest).await;
    let incomes = town.book(rice).await.incomes.len();
    assert_eq!((incomes, town.income(rice).await), (earned, 100 * earned as u64));
    let audited = town.agreement(rice, digest).await;
    let numbers: Vec<u64> = audited.sources.keys().copied().collect();
    assert_eq!(numbers, (1..=earned as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_and_never_answered_is_not_taken_twice() {
    let fresh = kit::fresh();
    let town = Town::on(fresh.node.clone(), fresh.path.clone());
    let first = tokio::spawn(Arc::new(Relay::new(town.node.clone())).run());
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    first.abort();
    town.earn(phyle, 1_000).await;
    let gate = fresh.handles.close_gate();
    let second = tokio::spawn(Arc::new(Relay::new(town.node.clone())).run());
    // It stands before the disk: the relay ends here, its statement does not.
    tokio::task::block_in_place(|| gate.arrived.recv_timeout(Duration::from_secs(10)).unwrap());
    second.abort();
    gate.go.send(()).unwrap();
    *fresh.handles.gate.lock().unwrap() = None;
    town.taken(phyle, rice, digest).await;
    town.relay();
    town.earn(phyle, 2_000).await;
    town.taken(phyle, rice, digest).await;
    let amounts: Vec<u64> = town.book(rice).await.incomes.iter().map(|i| i.amount).collect();
    assert_eq!(amounts, [100, 200]);
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_taken_in_batches_and_in_order() {
    let town = Town::new().await;
    let first = tokio::spawn(Arc::new(Relay::new(town.node.clone())).run());
    let phyle = town.phyle("phyle", &["rice"]).await;
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    first.abort();
    for n in 0..300 {
        let invoice = town.earn(phyle, 10 + n).await;
        if n % 7 == 0 {
            town.refund(phyle, invoice, 10).await;
        }
    }
    let before = town.book(rice).await.size;
    let begun = Instant::now();
    town.relay();
    town.taken(phyle, rice, digest).await;
    let (book, took) = (town.book(rice).await, begun.elapsed());
    let due = subak_node::relay::flight::net(&*town.agreement(phyle, digest).await);
    assert_eq!(i128::from(town.income(rice).await), due);
    let statements = book.size - before;
    println!("300 invoices, 43 refunds: {statements} statements in {took:?}");
    assert!(statements < 100, "{statements} statements");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_not_here_is_waited_for() {
    let town = Town::new().await;
    let relay = town.relay();
    let rice = town.commons("rice", &["phyle"], &[], ALL).await;
    // A phyle on another node offers; its proof comes by other ways.
    let elsewhere = Town::new().await;
    elsewhere.relay();
    let phyle = elsewhere.phyle("phyle", &["rice"]).await;
    let mut terms = elsewhere.terms(phyle, phyle, 100_000).await;
    terms.commons = rice.0.to_vec();
    terms.commons_operator = town.book(rice).await.operator().to_vec();
    terms.commons_handle = "rice".into();
    let digest = elsewhere.offer(&terms).await;
    until(async || elsewhere.agreement(phyle, digest).await.stated.is_some()).await;
    let stated = elsewhere.agreement(phyle, digest).await.stated.unwrap();
    let proof = Some(elsewhere.prove(phyle, stated).await);
    let accept = v1::AgreementAccept { terms: Some(terms), proof };
    town.decree(rice, Kind::AgreementAccept(accept)).await;
    until(async || !relay.status().is_empty()).await;
    let waiting = Waiting { own: rice, agreement: digest, ledger: phyle, why: Why::NotHere };
    assert_eq!(relay.status(), [waiting]);
    until(async || town.agreement(rice, digest).await.stated.is_some()).await;
}
