//! Two stories under one number, and how an agreement goes on: what a steward, a payer and a
//! contributor see of it. Random histories are played against the naive model (`model.rs`);
//! here are those that people tell, with figures that one can work out by hand.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod kit;

use kit::*;
use subak_ledger::{
    log::{Draft, Hash, Header},
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

fn unfreeze(agreement: Hash, entry: u64, back_to: u64) -> Kind {
    let agreement = agreement.to_vec();
    Kind::AgreementUnfreeze(v1::AgreementUnfreeze { agreement, entry, back_to })
}

/// All accounts sum to zero, and agree with the records they come from.
fn sound(commons: &World) {
    assert_eq!(commons.state.check(), Vec::<String>::new());
    assert_eq!(format!("{:?}", commons.replayed()), format!("{:?}", commons.state));
}

/// A commons that took numbers 1 to 3 (100, 40 and 60 EUR of shares) of one log, and was shown
/// another in which number 2 is 70 EUR; that log; and the entry that showed it.
struct Parted {
    payer: World,
    other: World,
    commons: World,
    agreement: Hash,
    second: u64,
    frozen: u64,
}

fn parted() -> Parted {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    let mut other = payer.twin();
    for (number, net) in [(2, 40_000), (3, 60_000)] {
        let entry = payer.earn(number, net);
        commons.take(&payer, entry, agreement).unwrap();
    }
    let second = other.earn(2, 70_000);
    let frozen = commons.take(&other, second, agreement).unwrap();
    Parted { payer, other, commons, agreement, second, frozen }
}

#[test]
fn the_payers_log_is_taken_from_where_the_stewards_go_back_to() {
    let Parted { mut other, mut commons, agreement, second, frozen, .. } = parted();
    commons.settle(agreement, 20_000).unwrap();
    assert_eq!((commons.accrued("ana"), commons.payable("ana")), (10_000, 10_000));
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    let a = &commons.state.agreements[&agreement];
    assert_eq!((a.frozen, a.dues.last, a.dues.items.len()), (None, 1, 1));
    assert_eq!(a.credit(), 10_000, "what settled numbers 2 and 3 is the payer's credit");
    assert_eq!((commons.accrued("ana"), commons.payable("ana")), (5_000, 5_000));
    sound(&commons);
    // The other log fits from number 2 on, and the credit pays for it.
    commons.take(&other, second, agreement).unwrap();
    let third = other.earn(3, 20_000);
    commons.take(&other, third, agreement).unwrap();
    let a = &commons.state.agreements[&agreement];
    assert_eq!((a.dues.last, a.credit()), (3, 1_000));
    assert_eq!((commons.accrued("ana"), commons.payable("ana")), (9_500, 9_500));
    let undone: Vec<_> = commons.state.incomes.iter().map(|i| i.undone.is_some()).collect();
    assert_eq!(undone, [false, true, true, false, false]);
    sound(&commons);
}

#[test]
fn what_was_decided_against_is_not_taken_again_and_freezes_nothing() {
    let Parted { payer, other, mut commons, agreement, second, frozen, .. } = parted();
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    let before = payer.entries.len() as u64;
    for entry in [before - 2, before - 1] {
        let take = vec![income_take(&payer, entry, agreement)];
        commons.refused("clerk", take, Code::StoryRefused);
    }
    commons.take(&other, second, agreement).unwrap();
    assert_eq!(commons.state.agreements[&agreement].frozen, None);
    // Whoever keeps everything refuses the story that was shown.
    let Parted { mut payer, other, mut commons, agreement, second, frozen } = parted();
    commons.decree(unfreeze(agreement, frozen, 3)).unwrap();
    commons.refused("ben", vec![income_take(&other, second, agreement)], Code::StoryRefused);
    let fourth = payer.earn(4, 10_000);
    commons.take(&payer, fourth, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 10_500);
    sound(&commons);
}

/// The stewards were wrong: the next entry of the true log shows it, and they go back after all.
#[test]
fn a_decision_can_go_the_other_way_later() {
    let Parted { mut other, mut commons, agreement, second, frozen, .. } = parted();
    commons.decree(unfreeze(agreement, frozen, 3)).unwrap();
    let third = other.earn(3, 20_000);
    let again = commons.take(&other, third, agreement).unwrap();
    assert_eq!(commons.state.agreements[&agreement].frozen, Some(again));
    commons.decree(unfreeze(agreement, again, 1)).unwrap();
    for entry in [second, third] {
        commons.take(&other, entry, agreement).unwrap();
    }
    assert_eq!(commons.accrued("ana"), 9_500);
    sound(&commons);
}

#[test]
fn a_refund_that_was_told_in_one_log_only_is_undone() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    commons.settle(agreement, 10_000).unwrap();
    let mut other = payer.twin();
    let refund = payer.refund(1, 30_000);
    commons.take(&payer, refund, agreement).unwrap();
    let credit = |commons: &World| commons.state.agreements[&agreement].credit();
    assert_eq!((commons.accrued("ana"), credit(&commons)), (3_500, 3_000));
    let second = other.earn(2, 50_000);
    let frozen = commons.take(&other, second, agreement).unwrap();
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    assert_eq!((commons.accrued("ana"), commons.payable("ana")), (5_000, 5_000), "it stands again");
    assert_eq!(credit(&commons), 0, "and the cash that had come for it settles it");
    sound(&commons);
    // The other log refunds the same invoice by another amount: the arithmetic fits.
    commons.take(&other, second, agreement).unwrap();
    let refund = other.refund(1, 99_999);
    commons.take(&other, refund, agreement).unwrap();
    assert_eq!(commons.state.incomes[0].refunded, 9_999);
    sound(&commons);
}

#[test]
fn who_was_paid_for_what_is_undone_owes_nothing_and_gets_less_of_what_comes() {
    let Parted { other, mut commons, agreement, second, frozen, .. } = parted();
    commons.settle(agreement, 20_000).unwrap();
    let run = commons.propose(&[("ana", 10_000)]).unwrap();
    commons.paid(run, &["ana"]).unwrap();
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    sound(&commons);
    assert_eq!(commons.accrued("ana"), 5_000, "of which 10,000 are paid");
    let reject = commons.propose(&[("ana", 1)]).unwrap_err();
    assert_eq!(reject.code, Code::Unpayable);
    commons.take(&other, second, agreement).unwrap();
    assert_eq!(commons.propose(&[("ana", 1)]).unwrap_err().code, Code::Unpayable);
    sound(&commons);
}

/// A ledger that its stewards moved leaves behind what its former operator has signed since:
/// also what a commons has taken of it.
#[test]
fn a_ledger_that_was_moved_goes_on_where_it_was_left() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    let mut moved = payer.twin();
    let left = payer.earn(2, 40_000);
    commons.take(&payer, left, agreement).unwrap();
    let entry = moved.move_to("operator of the stewards", &["sam"]);
    commons.decree(take_handover(&moved, entry)).unwrap();
    let second = moved.earn(2, 70_000);
    let frozen = commons.take(&moved, second, agreement).unwrap();
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    commons.take(&moved, second, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 8_500);
    sound(&commons);
}

/// Stewards of one of the logs send the same statement to the other: it is what it was, and
/// nobody's decision keeps it out.
#[test]
fn the_same_statement_in_the_other_log_may_be_taken() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut other = payer.twin();
    let first = payer.earn(1, 100_000);
    // As a statement is that names nothing it builds on.
    let header = Header { basis: None, ..payer.header("sam") };
    let events = vec![encode(Kind::RevenueRecord(payer.revenue(2, 30_000)))];
    let second = payer.append(Draft { header, events }.sign(&key("sam"))).unwrap();
    for entry in [first, second] {
        commons.take(&payer, entry, agreement).unwrap();
    }
    let told = other.earn(1, 200_000);
    let frozen = commons.take(&other, told, agreement).unwrap();
    commons.decree(unfreeze(agreement, frozen, 0)).unwrap();
    commons.take(&other, told, agreement).unwrap();
    let envelope = payer.entries[usize::try_from(second).unwrap()].1.clone();
    let again = other.append(envelope.clone()).unwrap();
    assert_eq!(other.entries[usize::try_from(again).unwrap()].1, envelope);
    commons.take(&other, again, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 11_500);
    sound(&commons);
}

#[test]
fn what_the_payer_wrote_anew_counts_against_the_limits_as_it_stands() {
    let Parted { mut commons, agreement, frozen, .. } = parted();
    let total = |commons: &World| commons.state.income_total[&currency(EUR)];
    assert_eq!(total(&commons), 20_000);
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    assert_eq!(total(&commons), 10_000);
}
