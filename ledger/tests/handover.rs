//! A ledger changes its operator: who signs which head, who is believed, and what neither a new
//! operator nor the old one can do.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use subak_ledger::{
    audit::{Audit, Code, Options, Seen, Verdict, audit},
    log::{Checkpoint, PublicKey, SecretKey},
    reject,
};
use subak_proto::v1::{self, event::Kind};

fn first() -> PublicKey {
    key("operator of our-commons").public()
}

fn judged(log: &RawLog, expect: &[&PublicKey], seen: &[Seen]) -> Audit {
    let expect_operator = expect.iter().map(|key| (*key).clone()).collect();
    let options = Options { threads: 1, expect_operator, seen, ..Options::default() };
    audit(&in_memory(std::slice::from_ref(log)), &options).unwrap()
}

fn codes(found: &Audit) -> Vec<Code> {
    let grave =
        found.findings.iter().filter(|f| f.severity > subak_ledger::audit::Severity::Warning);
    grave.map(|f| f.code).collect()
}

/// Work, a handover to "the next", and work after it.
fn rotated() -> World {
    let mut world = two_contributors();
    world.rotate("the next");
    world.contribute("ana", "commit", 1_000);
    world
}

#[test]
fn who_signs_a_head_is_a_question_of_its_size() {
    let world = rotated();
    let (state, handover) = (&world.state, 7);
    for size in 0..=world.state.size {
        let signs = if size <= handover { first() } else { key("the next").public() };
        assert_eq!(state.operator_of(size), signs.bytes(), "{size} entries");
    }
    let head = world.head();
    assert_eq!(state.signed_head(&head.sign(&world.operator)), Ok(head));
    // Neither signs for the other's time.
    let late = state.signed_head(&head.sign(&key("operator of our-commons"))).unwrap_err();
    assert_eq!(late.code, reject::Code::BadCheckpoint);
    let early = Checkpoint { size: handover, ..head };
    assert!(state.signed_head(&early.sign(&world.operator)).is_err());
    assert!(state.signed_head(&early.sign(&key("operator of our-commons"))).is_ok());
}

#[test]
fn whoever_trusts_one_operator_can_trust_the_next() {
    let world = rotated();
    let log = RawLog::of(&world, vec![]);
    let (next, stranger) = (key("the next").public(), key("a stranger").public());
    for trusted in [&[&first()][..], &[&next], &[&first(), &next]] {
        let found = judged(&log, trusted, &[]);
        assert_eq!((found.verdict, codes(&found)), (Verdict::Sound, vec![]));
        let report = &found.ledgers[0];
        assert!(report.operator_authenticated);
        assert_eq!(report.operator, Some(next.clone()));
        let keys: Vec<_> = report.operators.iter().map(|tenure| tenure.key).collect();
        assert_eq!(keys, [next.bytes(), first().bytes()]);
        assert_eq!(report.checkpoint_size, Some(world.state.size));
    }
    let found = judged(&log, &[&stranger], &[]);
    assert_eq!(codes(&found), [Code::OperatorMissing, Code::OperatorUnexpected]);
    // Nobody is told that the operator changed behind their back.
    let mut before = two_contributors();
    let seen = |head, operator| Seen {
        head,
        operator,
        former: vec![],
        name: "our-commons".into(),
        sandbox: false,
    };
    let found = judged(&log, &[], &[seen(before.head(), first())]);
    assert_eq!((found.verdict, codes(&found)), (Verdict::Sound, vec![]));
    // What the old one signs after all is another history than was handed over.
    before.contribute("ben", "commit", 1_000);
    before.contribute("ben", "commit", 2_000);
    let found = judged(&log, &[], &[seen(before.head(), first())]);
    assert_eq!(codes(&found), [Code::RewrittenSinceSeen]);
}

#[test]
fn stewards_move_a_ledger_without_its_operator() {
    let mut world = two_contributors();
    world.move_to("the next", &["sam"]);
    world.contribute("ana", "commit", 1_000);
    // The clerk at the new node says what a clerk says; the one at the old node nothing.
    world.say("clerk", vec![Kind::StateRoot(root_of(&world))]).unwrap();
    let log = RawLog::of(&world, vec![]);
    let found = judged(&log, &[&first()], &[]);
    assert_eq!((found.verdict, codes(&found)), (Verdict::Sound, vec![]));
    // The old operator goes on: its head is none of this log, and its log another.
    let mut stale = log.clone();
    stale.checkpoint = Some(world.head().sign(&key("operator of our-commons")));
    assert_eq!(codes(&judged(&stale, &[], &[])), [Code::Checkpoint]);
}

fn root_of(world: &World) -> v1::StateRoot {
    let (root, leaves) = subak_ledger::book::state_root::root(&world.state);
    v1::StateRoot { root: root.to_vec(), leaves }
}

/// A steward with a new operator of their own: the past is not theirs to change.
#[test]
fn a_handover_cannot_change_the_past() {
    let mut honest = two_contributors();
    let mut rewritten = honest.twin();
    honest.contribute("ana", "commit", 1_000);
    rewritten.contribute("ben", "commit", 1_000);
    assert_eq!(honest.state.size, rewritten.state.size);
    // The book cannot see it: it has no tree. The operator's signed head is the honest one.
    let clerk = key("clerk of our-commons").public().bytes();
    let handover = rewritten.handover_at(honest.head(), ("the next", clerk), &[&key("sam")]);
    rewritten.say("sam", vec![Kind::Handover(handover)]).unwrap();
    rewritten.operator = key("the next");
    let log = RawLog::of(&rewritten, vec![]);
    for trusted in [&[][..], &[&first()], &[&key("the next").public()]] {
        let found = judged(&log, trusted, &[]);
        assert!(codes(&found).contains(&Code::HandoverHead), "{:?}", codes(&found));
        assert_eq!(found.verdict, Verdict::Fault);
        let at = found.findings.iter().find(|f| f.code == Code::HandoverHead).unwrap();
        assert_eq!(at.entry, Some(honest.state.size));
    }
}

#[test]
fn nobody_takes_a_ledger_over_whom_neither_operator_nor_stewards_want() {
    let of = |consent: &[&SecretKey]| {
        let mut world = two_contributors();
        let handover = world.handover("the next", consent);
        world.forge("sam", vec![Kind::Handover(handover)]);
        world.operator = key("the next");
        RawLog::of(&world, vec![])
    };
    for log in [of(&[&key("ana")]), of(&[&key("the next")])] {
        let found = judged(&log, &[&first()], &[]);
        assert_eq!(found.verdict, Verdict::Fault);
        assert!(codes(&found).contains(&Code::Rule), "{:?}", codes(&found));
        assert!(codes(&found).contains(&Code::OperatorUnexpected), "{:?}", codes(&found));
    }
}

/// A program that does not know the ledger's rules any more cannot judge who its stewards are.
#[test]
fn where_the_book_is_not_judged_the_operators_own_word_still_leads_on() {
    let of = |hand_over: fn(&World) -> v1::Handover| {
        let mut world = two_contributors();
        let rules = encode(Kind::RulesVersion(v1::RulesVersion { version: 2 }));
        world.forge("sam", vec![Kind::Propose(v1::Propose { event: vec![rules] })]);
        let handover = hand_over(&world);
        world.forge("sam", vec![Kind::Handover(handover)]);
        world.operator = key("the next");
        let found = judged(&RawLog::of(&world, vec![]), &[&first()], &[]);
        (codes(&found), found.ledgers[0].operator_authenticated)
    };
    let consented = of(|world| world.handover("the next", &[&world.operator]));
    assert_eq!(consented, (vec![Code::UnknownRules], true));
    let by_stewards = of(|world| world.handover("the next", &[&key("sam")]));
    assert_eq!(by_stewards, (vec![Code::UnknownRules, Code::HandoverUnjudged], false));
}

#[test]
fn the_other_side_follows_by_proof_or_by_its_own_quorum() {
    let (mut payer, mut commons, agreement) = agreed();
    let earned = payer.earn(1, 10_000);
    commons.take(&payer, earned, agreement).unwrap();
    let rotated = payer.rotate("the next");
    let earned = payer.earn(2, 10_000);
    // Under a head of a key that is not known here nothing is taken.
    let early = income_take(&payer, earned, agreement);
    commons.refused("clerk", vec![early.clone()], reject::Code::ProofInvalid);
    commons.say("clerk", vec![take_handover(&payer, rotated)]).unwrap();
    commons.say("clerk", vec![early]).unwrap();
    // Its stewards move it again: what they want, the commons' stewards judge.
    let moved = payer.move_to("the third", &["sam"]);
    let take = take_handover(&payer, moved);
    commons.refused("clerk", vec![take.clone()], reject::Code::QuorumRequired);
    commons.decree(take).unwrap();
    let earned = payer.earn(3, 10_000);
    commons.take(&payer, earned, agreement).unwrap();
    assert_eq!(commons.state.agreement(&agreement).unwrap().dues.last, 3);
    let logs = [RawLog::of(&commons, vec![]), RawLog::of(&payer, vec![])];
    assert_eq!(codes(&audit_logs(&logs)), vec![]);
}

/// Both directions: a payer learns who operates the commons.
#[test]
fn a_payer_follows_the_commons() {
    let (mut payer, mut commons, _) = agreed();
    let rotated = commons.rotate("the next");
    payer.say("clerk", vec![take_handover(&commons, rotated)]).unwrap();
    let terms = commons.terms(&payer, "phyle-a", 50_000);
    agree(&mut payer, &mut commons, terms);
    assert_eq!(payer.state.agreements.len(), 2);
}

/// Who stole the payer's operator key hands over to one of their own, in a log of their own, and shows
/// that first. The payer's stewards move the ledger; those of the commons say whom they follow.
#[test]
fn a_thief_of_an_operators_key_is_followed_no_further_than_the_stewards_want() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut thiefs = payer.twin();
    let stolen = thiefs.rotate("the thief");
    commons.say("clerk", vec![take_handover(&thiefs, stolen)]).unwrap();
    let moved = payer.move_to("the rescuer", &["sam"]);
    let take = take_handover(&payer, moved);
    commons.refused("clerk", vec![take.clone()], reject::Code::QuorumRequired);
    commons.decree(take).unwrap();
    let earned = payer.earn(1, 10_000);
    commons.take(&payer, earned, agreement).unwrap();
    let earned = thiefs.earn(1, 90_000);
    let lie = income_take(&thiefs, earned, agreement);
    commons.refused("clerk", vec![lie], reject::Code::ProofInvalid);
}

/// Every byte of what is signed counts.
#[test]
fn a_handover_with_a_byte_flipped_is_refused() {
    let mut world = two_contributors();
    let sound = world.handover("the next", &[&world.operator]);
    let flips = |len: usize| (0..len).map(|at| (at, 1_u8 << (at % 8)));
    let mut refused = 0;
    let mut attempt = |altered: v1::Handover| {
        world.refusal("clerk", vec![Kind::Handover(altered)]);
        refused += 1;
    };
    let fields: [fn(&mut v1::Handover) -> &mut Vec<u8>; 5] = [
        |h| &mut h.key,
        |h| &mut h.clerk,
        |h| &mut h.possession,
        |h| &mut h.consent[0].key,
        |h| &mut h.consent[0].signature,
    ];
    for field in fields {
        for (at, bit) in flips(field(&mut sound.clone()).len()) {
            let mut altered = sound.clone();
            field(&mut altered)[at] ^= bit;
            attempt(altered);
        }
    }
    for at in 0..sound.checkpoint.len() {
        let mut bytes = sound.checkpoint.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(checkpoint) = String::from_utf8(bytes) else { continue };
        attempt(v1::Handover { checkpoint, ..sound.clone() });
    }
    assert!(refused > 400, "{refused}");
    world.say("clerk", vec![Kind::Handover(sound)]).unwrap();
}
