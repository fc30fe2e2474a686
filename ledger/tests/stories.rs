//! Two stories under one number, and how an agreement goes on: what a steward, a payer and a
//! contributor see of it. Random histories are played against the naive model (`model.rs`);
//! here are those that people tell, with figures that one can work out by hand.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod kit;

use kit::*;
use subak_ledger::{
    book::two_stories::{FORMAT, MOST_BYTES, Story, TwoStories},
    log::{Checkpoint, Draft, Hash, Header, Leaf, receipt::Receipt},
    reject::{Code, Reject},
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

/// No room for what a refund took back: the stewards keep it, and the payer takes back.
#[test]
fn what_cannot_stand_again_is_kept_instead() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 900_000_000_000_000);
    commons.take(&payer, first, agreement).unwrap();
    let mut other = payer.twin();
    let refund = payer.refund(1, 900_000_000_000_000);
    commons.take(&payer, refund, agreement).unwrap();
    commons.gift(950_000_000_000_000);
    let second = other.earn(2, 10_000);
    let frozen = commons.take(&other, second, agreement).unwrap();
    let back = commons.refused_decree(unfreeze(agreement, frozen, 1));
    assert_eq!(back.code, Code::LimitExceeded, "{back}");
    assert!(back.detail.contains("income in EUR"), "{back}");
    commons.decree(unfreeze(agreement, frozen, 2)).unwrap();
    let next = payer.earn(2, 10_000);
    commons.take(&payer, next, agreement).unwrap();
    sound(&commons);
}

/// Nobody but the stewards decides, and an approval is of the freeze that was looked at.
#[test]
fn a_decision_is_the_stewards_and_about_one_freeze() {
    let Parted { mut other, mut commons, agreement, frozen, .. } = parted();
    for author in ["sam", "ana", "clerk"] {
        let alone = vec![unfreeze(agreement, frozen, 1)];
        commons.refused(author, alone, Code::QuorumRequired);
    }
    commons.decree(unfreeze(agreement, frozen, 3)).unwrap();
    let third = other.earn(3, 20_000);
    let again = commons.take(&other, third, agreement).unwrap();
    let stale = commons.refused_decree(unfreeze(agreement, frozen, 1));
    assert_eq!(stale.code, Code::AgreementNotFrozen, "{stale}");
    assert_eq!(commons.state.agreements[&agreement].frozen, Some(again));
}

#[test]
fn what_the_payer_wrote_anew_counts_against_the_limits_as_it_stands() {
    let Parted { mut commons, agreement, frozen, .. } = parted();
    let total = |commons: &World| commons.state.income_total[&currency(EUR)];
    assert_eq!(total(&commons), 20_000);
    commons.decree(unfreeze(agreement, frozen, 1)).unwrap();
    assert_eq!(total(&commons), 10_000);
}

fn story(world: &World, entry: u64) -> Story {
    let proof = world.prove(entry);
    Story {
        operator: world.operator.public(),
        receipt: Receipt {
            index: Leaf::from_bytes(&proof.leaf).unwrap().seq,
            leaf: proof.leaf,
            envelope: proof.envelope,
            path: proof.path.iter().map(|hash| hash[..].try_into().unwrap()).collect(),
            checkpoint: proof.checkpoint,
        },
    }
}

fn told(agreement: Hash, number: u64, stories: [(&World, u64); 2]) -> Result<TwoStories, Reject> {
    let ledger = stories[0].0.state.ledger;
    TwoStories::new(ledger, (agreement, number), stories.map(|(world, entry)| story(world, entry)))
}

/// Sets the entry that both logs have under number 2 against one another, and the heads too.
#[test]
fn two_stories_are_proven_to_anybody_and_so_is_the_fraud_where_heads_contradict() {
    let Parted { payer, other, agreement, second, .. } = parted();
    let first = payer.entries.len() as u64 - 2;
    assert_eq!(first, second, "they stand at one place");
    let made = told(agreement, 2, [(&payer, first), (&other, second)]).unwrap();
    let turned = told(agreement, 2, [(&other, second), (&payer, first)]).unwrap();
    assert_eq!(made, turned, "one spelling, whoever puts it together");
    let text = made.to_text();
    assert!(text.starts_with(FORMAT) && text.len() < MOST_BYTES, "{text}");
    let read = TwoStories::parse(&text).unwrap();
    let proven = read.verify().unwrap();
    assert_eq!(
        (proven.ledger, proven.agreement, proven.number),
        (payer.state.ledger, agreement, 2)
    );
    let mut amounts = proven.told.clone().map(|it| (it.amount, it.author.to_string()));
    amounts.sort();
    assert_eq!(amounts, [(4_000, "sam".into()), (7_000, "sam".into())]);
    let fraud = read.fraud_proof().expect("an entry is another one under each head");
    assert_eq!(fraud.verify(&payer.operator.public()).unwrap().entry, Some(second));
    // Each half is a receipt like any other.
    let receipt = story(&payer, first).receipt;
    assert!(text.contains(&receipt.to_text()), "{text}");
}

/// Its operator admits what the rules refuse: one log, one head, and both stories in it.
#[test]
fn one_log_that_gives_a_number_out_twice_is_no_fraud_proof_and_evidence_all_the_same() {
    let (mut payer, _, agreement) = agreed();
    let truth = payer.revenue(1, 100_000);
    let lie = v1::RevenueRecord { net: 40_000, ..payer.revenue(1, 40_000) };
    let first = payer.forge("sam", vec![Kind::RevenueRecord(truth)]);
    let second = payer.forge("sam", vec![Kind::RevenueRecord(lie)]);
    let made = told(agreement, 1, [(&payer, first), (&payer, second)]).unwrap();
    assert_eq!(made.verify().unwrap().told.map(|it| it.amount), [10_000, 4_000]);
    assert_eq!(made.fraud_proof(), None);
}

/// Who has moved a ledger did not lie: the file says under whose key each story stands.
#[test]
fn two_operators_told_two_stories() {
    let (mut payer, _, agreement) = agreed();
    let mut moved = payer.twin();
    let left = payer.earn(1, 40_000);
    moved.move_to("operator of the stewards", &["sam"]);
    let second = moved.earn(1, 70_000);
    let made = told(agreement, 1, [(&payer, left), (&moved, second)]).unwrap();
    let (_, keys) = made.accused();
    assert_eq!(keys, [&payer.operator.public(), &moved.operator.public()]);
    assert_eq!(TwoStories::parse(&made.to_text()).unwrap(), made);
    assert_eq!(made.fraud_proof(), None, "each signed one");
}

#[test]
fn nothing_else_is_two_stories() {
    let Parted { mut payer, mut other, agreement, second, .. } = parted();
    let first = second;
    let third = payer.entries.len() as u64 - 1;
    let code = |made: Result<TwoStories, Reject>| made.unwrap_err().code;
    let cases = [
        ("one entry", told(agreement, 2, [(&payer, first), (&payer, first)])),
        ("two numbers", told(agreement, 2, [(&payer, third), (&other, second)])),
        ("another number", told(agreement, 9, [(&payer, first), (&other, second)])),
        ("another agreement", told([9; 32], 2, [(&payer, first), (&other, second)])),
    ];
    for (what, made) in cases {
        assert_eq!(code(made), Code::BadEvidence, "{what}");
    }
    // The same statement in both logs is one story, wherever it stands.
    let header = Header { basis: None, ..payer.header("sam") };
    let events = vec![encode(Kind::RevenueRecord(payer.revenue(4, 10_000)))];
    let envelope = Draft { header, events }.sign(&key("sam"));
    let here = payer.append(envelope.clone()).unwrap();
    let there = other.forge_envelope(envelope);
    assert_eq!(code(told(agreement, 4, [(&payer, here), (&other, there)])), Code::BadEvidence);
    // A key that signed neither head.
    let mut stories = [story(&payer, first), story(&other, second)];
    stories[0].operator = key("operator of nobody").public();
    let made = TwoStories::new(payer.state.ledger, (agreement, 2), stories);
    assert_eq!(code(made), Code::BadEvidence);
}

/// Every byte of the file counts: changed, it proves nothing, or is refused.
#[test]
fn a_changed_file_proves_nothing() {
    let Parted { payer, other, agreement, second, .. } = parted();
    let text = told(agreement, 2, [(&payer, second), (&other, second)]).unwrap().to_text();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let held = TwoStories::parse(&changed).and_then(|it| it.verify());
        assert!(held.is_err(), "byte {place} of {text}");
    }
    for other_form in [format!("{text}\n"), text.replace('\n', "\r\n"), text[1..].to_owned()] {
        assert_eq!(TwoStories::parse(&other_form).unwrap_err().code, Code::BadEvidence);
    }
    // Lines of others under a checkpoint are not kept: there is one text of it.
    let mut stories = [story(&payer, second), story(&other, second)];
    let head = payer.head();
    let witness = Checkpoint { ..head }.sign(&key("somebody"));
    stories[0].receipt.checkpoint += witness.split("\n\n").nth(1).unwrap();
    let made = TwoStories::new(payer.state.ledger, (agreement, 2), stories).unwrap();
    assert_eq!(made.to_text(), text);
}
