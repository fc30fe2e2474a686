//! What is due in one ledger becomes income in another by itself: once, in order, and across crashes.
#![allow(clippy::unwrap_used)]

mod kit;
mod town;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use subak_ledger::book::flight::{flight, net};
use subak_node::{Ledgers as _, relay::Relay};
use town::*;

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
    let due = net(&*town.agreement(phyle, digest).await);
    assert_eq!(i128::from(town.income(rice).await), due);
    let statements = book.size - before;
    println!("300 invoices, 43 refunds: {statements} statements in {took:?}");
    assert!(statements < 100, "{statements} statements");
}
