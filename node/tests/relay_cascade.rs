//! What a commons pays upstream is an income there: up a line, a diamond and round a circle.
#![allow(clippy::unwrap_used)]

mod kit;
mod town;

use subak_ledger::book::flight::flight;
use subak_proto::v1::{self, event::Kind};
use town::*;

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
