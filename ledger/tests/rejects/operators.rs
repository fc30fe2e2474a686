//! Refusals of handovers to another operator.

use super::{
    Row, row,
    statement::{contribution, propose, quorum_of_two},
};
use crate::kit::*;
use subak_ledger::{
    log::SecretKey,
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

/// The refusal of a handover by the operator, altered.
fn altered(alter: impl FnOnce(&World, &mut v1::Handover)) -> Reject {
    let mut world = two_contributors();
    let mut handover = world.handover("the next", &[&world.operator]);
    alter(&world, &mut handover);
    world.refusal("clerk", vec![Kind::Handover(handover)])
}

/// The refusal of a handover that these keys consent to, in a ledger of two stewards.
fn consented(names: &[&str]) -> Reject {
    let mut world = quorum_of_two();
    let keys: Vec<SecretKey> = names.iter().map(|name| key(name)).collect();
    let handover = world.handover("the next", &keys.iter().collect::<Vec<_>>());
    world.refusal("sam", vec![Kind::Handover(handover)])
}

/// Payer and commons that agree, and a handover of the payer's to "the next".
fn moved(alter: impl FnOnce(&mut World, u64) -> Kind) -> Reject {
    let (mut payer, mut commons, _) = agreed();
    let entry = payer.rotate("the next");
    let event = alter(&mut payer, entry);
    commons.refusal("clerk", vec![event])
}

pub const ROWS: &[Row] = &[
    row(Code::HandoverMisplaced, "beside another event", "no other event", || {
        let mut world = two_contributors();
        let handover = Kind::Handover(world.handover("the next", &[&world.operator]));
        world.refusal("sam", vec![Kind::Contribute(contribution("ana")), handover])
    }),
    row(Code::HandoverMisplaced, "the log has gone on", "for entry 7, found at entry 8", || {
        let mut world = two_contributors();
        let handover = Kind::Handover(world.handover("the next", &[&world.operator]));
        world.contribute("ana", "commit", 1_000);
        world.refusal("clerk", vec![handover])
    }),
    row(Code::Expired, "consents that have ended", "the consents end", || {
        let mut world = two_contributors();
        let mut handover = world.handover("the next", &[&world.operator]);
        handover.expires_at = world.now - 1;
        world.refusal("clerk", vec![Kind::Handover(handover)])
    }),
    row(Code::ExpiresTooLate, "consents for a month and more", "at most", || {
        altered(|world, h| h.expires_at = world.now + 31 * 86_400_000)
    }),
    row(Code::BadPossession, "consents that end later than was signed", "", || {
        altered(|_, h| h.expires_at += 1)
    }),
    row(Code::NotProposable, "a handover before the stewards", "Handover", || {
        let mut world = two_contributors();
        let handover = world.handover("the next", &[&world.operator]);
        world.refusal("sam", vec![propose(Kind::Handover(handover))])
    }),
    row(Code::BadCheckpoint, "a head that the operator has not signed", "one signature", || {
        altered(|world, h| h.checkpoint = world.head().sign(&key("somebody else")))
    }),
    row(Code::BadPossession, "a key that nobody has shown to hold", "", || {
        altered(|_, h| h.key = key("somebody else").public().bytes().to_vec())
    }),
    row(Code::BadPossession, "another clerk than was signed", "", || {
        altered(|_, h| h.clerk = key("somebody else").public().bytes().to_vec())
    }),
    row(Code::BadConsent, "a consent to something else", "does not verify", || {
        altered(|world, h| {
            h.consent[0].signature = world.operator.sign(b"something else").to_vec();
        })
    }),
    row(Code::BadConsent, "a contributor's consent", "is no steward's", || {
        let mut world = two_contributors();
        let handover = world.handover("the next", &[&key("ana")]);
        world.refusal("sam", vec![Kind::Handover(handover)])
    }),
    row(Code::BadConsent, "a steward's revoked key", "is no steward's", || {
        let mut world = quorum_of_two();
        let (more, since) = (world.key_add("mia", "mia's 2"), world.now);
        world.say("mia", vec![more, key_revoke("mia", since)]).unwrap();
        let handover = world.handover("the next", &[&key("sam"), &key("mia")]);
        world.refusal("sam", vec![Kind::Handover(handover)])
    }),
    row(Code::QuorumRequired, "one steward of two", "expected 2 stewards", || consented(&["sam"])),
    row(Code::QuorumRequired, "one steward with two keys", "found 1", || {
        let mut world = quorum_of_two();
        let more = world.key_add("sam", "sam's 2");
        world.say("sam", vec![more]).unwrap();
        let handover = world.handover("the next", &[&key("sam"), &key("sam's 2")]);
        world.refusal("sam", vec![Kind::Handover(handover)])
    }),
    row(Code::KeyTaken, "an agent's key", "", || {
        let mut world = two_contributors();
        let handover = world.handover("ana", &[&world.operator]);
        world.refusal("clerk", vec![Kind::Handover(handover)])
    }),
    row(Code::KeyTaken, "the key of an operator before", "", || {
        let mut world = two_contributors();
        world.rotate("the next");
        let handover = world.handover("operator of our-commons", &[&world.operator]);
        world.refusal("clerk", vec![Kind::Handover(handover)])
    }),
    row(Code::KeyTaken, "one key for operator and clerk", "one each", || {
        let mut world = two_contributors();
        let clerk = key("the next").public().bytes();
        let handover = world.handover_at(world.head(), ("the next", clerk), &[&world.operator]);
        world.refusal("sam", vec![Kind::Handover(handover)])
    }),
    row(Code::KeyTaken, "an agent's key for the clerk", "", || {
        let mut world = two_contributors();
        let clerk = key("ana").public().bytes();
        let handover = world.handover_at(world.head(), ("the next", clerk), &[&world.operator]);
        world.refusal("sam", vec![Kind::Handover(handover)])
    }),
    row(Code::KeyRevoked, "the clerk's key of the node before", "revoked at entry 7", || {
        let mut world = two_contributors();
        world.move_to("the next", &["sam"]);
        world.sign_with("clerk", "clerk of our-commons");
        let handover = world.handover("the third", &[&world.operator]);
        world.refusal("clerk", vec![Kind::Handover(handover)])
    }),
    row(Code::Malformed, "nobody consents", "expected 1 to 99, found 0", || consented(&[])),
    row(Code::Malformed, "a consent twice", "each once", || {
        altered(|_, h| h.consent.push(h.consent[0].clone()))
    }),
    row(Code::UnknownAgreement, "of a ledger without an agreement", "none with ledger", || {
        let mut other = World::phyle("phyle-a");
        let entry = other.rotate("the next");
        two_contributors().refusal("clerk", vec![take_handover(&other, entry)])
    }),
    row(Code::ProofIrrelevant, "an entry that hands nothing over", "no handover", || {
        moved(|payer, _| take_handover(payer, 0))
    }),
    row(Code::ProofInvalid, "under a head of the operator before", "checkpoint", || {
        moved(|payer, entry| {
            payer.operator = key("operator of phyle-a");
            take_handover(payer, entry)
        })
    }),
    row(Code::QuorumRequired, "a handover that is known already", "known here", || {
        let (mut payer, mut commons, _) = agreed();
        let entry = payer.rotate("the next");
        commons.say("clerk", vec![take_handover(&payer, entry)]).unwrap();
        commons.refusal("clerk", vec![take_handover(&payer, entry)])
    }),
    row(Code::QuorumRequired, "the payer's stewards alone want it", "not consented", || {
        let (mut payer, mut commons, _) = agreed();
        let entry = payer.move_to("the next", &["sam"]);
        commons.refusal("clerk", vec![take_handover(&payer, entry)])
    }),
    row(Code::ProofInvalid, "an income under the operator before", "checkpoint", || {
        let (mut payer, mut commons, agreement) = agreed();
        let earned = payer.earn(1, 10_000);
        let late = income_take(&payer, earned, agreement);
        let entry = payer.rotate("the next");
        commons.say("clerk", vec![take_handover(&payer, entry)]).unwrap();
        commons.refusal("clerk", vec![late])
    }),
    row(
        Code::TermsInvalid,
        "terms with an operator who is none any more",
        "another operator",
        || {
            let (mut payer, mut commons, _) = agreed();
            let entry = payer.rotate("the next");
            commons.say("clerk", vec![take_handover(&payer, entry)]).unwrap();
            payer.operator = key("operator of phyle-a");
            let terms = commons.terms(&payer, "phyle-a", 200_000);
            let accept = v1::AgreementAccept { terms: Some(terms), proof: Some(payer.prove(0)) };
            commons.refused_decree(Kind::AgreementAccept(accept))
        },
    ),
];
