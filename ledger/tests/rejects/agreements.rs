//! Refusals of agreements, proofs and numbers. The attacks on the handshake as
//! stories are in `tests/handshake.rs`; here is one row a code.

use super::{Row, row};
use crate::kit::*;
use subak_ledger::reject::{Code, Reject};
use subak_proto::v1::{self, event::Kind};

pub fn offer(terms: v1::Terms) -> Kind {
    Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms) })
}

fn stage(agreement: [u8; 32], stage: v1::Stage) -> Kind {
    let agreement = agreement.to_vec();
    Kind::AgreementStage(v1::AgreementStage { agreement, stage: stage as i32 })
}

/// An offer by a phyle of sound terms that `alter` makes otherwise.
fn altered(alter: fn(&mut v1::Terms)) -> Reject {
    let (mut payer, commons) = (World::phyle("phyle-a"), two_contributors());
    let mut terms = commons.terms(&payer, "phyle-a", 100_000);
    alter(&mut terms);
    payer.refused_decree(offer(terms))
}

/// An income whose proof `alter` makes otherwise.
fn proven(alter: fn(&mut v1::Proof)) -> Reject {
    let (mut payer, mut commons, agreement) = agreed();
    let entry = payer.earn(1, 100_000);
    let mut proof = payer.prove(entry);
    alter(&mut proof);
    let take = v1::IncomeTake { agreement: agreement.to_vec(), proof: Some(proof) };
    commons.refusal("clerk", vec![Kind::IncomeTake(take)])
}

/// An entry of the payer's that its own rules would never admit.
fn forged(forge: fn(&World) -> v1::RevenueRecord) -> Reject {
    let (mut payer, mut commons, agreement) = agreed();
    let record = forge(&payer);
    let entry = payer.forge("sam", vec![Kind::RevenueRecord(record)]);
    commons.refusal("clerk", vec![income_take(&payer, entry, agreement)])
}

/// A refusal that names the agreement by its digest, which no table can foresee.
fn naming(agreement: [u8; 32], mut reject: Reject) -> Reject {
    assert_eq!(reject.detail, hex::encode(agreement));
    reject.detail = "this agreement".into();
    reject
}

/// An agreement with numbers 1 and 2 taken, frozen by another story of number 1; and its worlds.
fn frozen() -> (World, World, World, [u8; 32], u64) {
    let (mut payer, mut commons, agreement) = agreed();
    let mut other = payer.twin();
    for (number, net) in [(1, 100_000), (2, 70_000)] {
        let entry = payer.earn(number, net);
        commons.take(&payer, entry, agreement).unwrap();
    }
    let second = other.earn(1, 50_000);
    let entry = commons.take(&other, second, agreement).unwrap();
    (payer, other, commons, agreement, entry)
}

fn unfreeze(agreement: [u8; 32], entry: u64, back_to: u64) -> Kind {
    let agreement = agreement.to_vec();
    Kind::AgreementUnfreeze(v1::AgreementUnfreeze { agreement, entry, back_to })
}

pub const ROWS: &[Row] = &[
    row(Code::TermsInvalid, "terms of another payer", "the ledger's id", || {
        altered(|t| t.payer = vec![1; 32])
    }),
    row(Code::TermsInvalid, "terms with another operator", "the operator key", || {
        altered(|t| t.payer_operator = key("operator of nobody").public().bytes().to_vec())
    }),
    row(Code::TermsInvalid, "a share of everything and more", "a share of", || {
        altered(|t| t.share = 1_000_001)
    }),
    row(Code::TermsInvalid, "a phyle that pays on payouts", "others on revenue", || {
        altered(|t| (t.base, t.share) = (v1::Base::Payout as i32, 1_000_000))
    }),
    row(Code::BadKey, "a weak key of the other operator", "small order", || {
        altered(|t| t.commons_operator = vec![0; 32])
    }),
    row(Code::UnknownAgent, "a commons that the payer does not know", "no agent nobody", || {
        altered(|t| t.commons_handle = "nobody".into())
    }),
    row(Code::WrongAgentKind, "a trust in the commons' place", "trust is a trust", || {
        altered(|t| t.commons_handle = "trust".into())
    }),
    row(Code::AgreementKnown, "the same terms again", "this agreement", || {
        let (mut payer, commons, agreement) = agreed();
        let terms = commons.terms(&payer, "phyle-a", 100_000);
        naming(agreement, payer.refused_decree(offer(terms)))
    }),
    row(Code::UnknownAgreement, "an agreement of nobody", "0909", || {
        let stage = stage([9; 32], v1::Stage::Offered);
        World::phyle("phyle-a").refusal("clerk", vec![stage])
    }),
    row(Code::AgreementStageWrong, "a payer states acceptance", "stated accepted", || {
        let (mut payer, _, agreement) = agreed();
        payer.refusal("clerk", vec![stage(agreement, v1::Stage::Accepted)])
    }),
    row(Code::AgreementStageWrong, "a commons ends what only the payer ends", "active", || {
        let (_, mut commons, agreement) = agreed();
        let end = v1::AgreementEnd { agreement: agreement.to_vec() };
        commons.refused_decree(Kind::AgreementEnd(end))
    }),
    row(Code::AgreementFrozen, "income after a second story", "this agreement", || {
        let (mut payer, mut commons, agreement) = agreed();
        let mut other = payer.twin();
        let (first, second) = (payer.earn(1, 100_000), other.earn(1, 50_000));
        commons.take(&payer, first, agreement).unwrap();
        commons.take(&other, second, agreement).unwrap();
        let next = payer.earn(2, 100_000);
        naming(agreement, commons.refusal("clerk", vec![income_take(&payer, next, agreement)]))
    }),
    row(Code::UnknownAgreement, "nobody's agreement goes on", "0909", || {
        frozen().2.refused_decree(unfreeze([9; 32], 1, 0))
    }),
    row(
        Code::AgreementStageWrong,
        "a commons lifts a freeze in its payer's place",
        "frozen",
        || {
            let mut commons = downstream("our-commons");
            let mut upstream = two_contributors();
            let terms = upstream.payout_terms(&commons, "our-commons", "upstream");
            let agreement = agree(&mut commons, &mut upstream, terms);
            commons.refused_decree(unfreeze(agreement, 1, 0))
        },
    ),
    row(Code::AgreementNotFrozen, "nothing is frozen", "not by entry 3", || {
        let (_, mut commons, agreement) = agreed();
        commons.refused_decree(unfreeze(agreement, 3, 0))
    }),
    row(Code::AgreementNotFrozen, "another freeze than was looked at", "found 3", || {
        let (_, _, mut commons, agreement, _) = frozen();
        commons.refused_decree(unfreeze(agreement, 3, 0))
    }),
    row(Code::NumberNotTaken, "a number beyond the last", "the last one taken is 2", || {
        let (_, _, mut commons, agreement, entry) = frozen();
        commons.refused_decree(unfreeze(agreement, entry, 3))
    }),
    row(Code::NumberNotTaken, "the middle of an entry", "number 1;", || {
        let (mut payer, mut commons, agreement) = agreed();
        let mut other = payer.twin();
        let first = payer.revenue(1, 100_000);
        let second = other.earn(1, 50_000);
        let mut next = payer.revenue(2, 100_000);
        next.due[0].number = 2;
        let both = vec![Kind::RevenueRecord(first), Kind::RevenueRecord(next)];
        let entry = payer.say("sam", both).unwrap();
        commons.take(&payer, entry, agreement).unwrap();
        let entry = commons.take(&other, second, agreement).unwrap();
        commons.refused_decree(unfreeze(agreement, entry, 1))
    }),
    row(Code::StoryRefused, "what the stewards decided against", "number 1, entry", || {
        let (payer, _, mut commons, agreement, entry) = frozen();
        commons.decree(unfreeze(agreement, entry, 0)).unwrap();
        let first = payer.entries.len() as u64 - 2;
        commons.refusal("clerk", vec![income_take(&payer, first, agreement)])
    }),
    row(Code::StoryRefused, "once more what froze it", "number 1, entry", || {
        let (_, other, mut commons, agreement, entry) = frozen();
        commons.decree(unfreeze(agreement, entry, 2)).unwrap();
        let second = other.entries.len() as u64 - 1;
        commons.refusal("clerk", vec![income_take(&other, second, agreement)])
    }),
    row(Code::ProofInvalid, "a path with another hash", "checkpoint's tree", || {
        proven(|p| p.path[0][0] ^= 1)
    }),
    row(Code::ProofInvalid, "a leaf of another version", "leaf version", || {
        proven(|p| p.leaf[0] = 2)
    }),
    row(Code::ProofInvalid, "another envelope", "another envelope", || {
        proven(|p| p.envelope[0] ^= 1)
    }),
    row(Code::ProofInvalid, "a checkpoint that says more", "checkpoint", || {
        proven(|p| p.checkpoint = p.checkpoint.replacen('\n', "\n9", 1))
    }),
    row(Code::ProofInvalid, "a genesis once more, later in its log", "it is a genesis", || {
        let (mut payer, mut commons, agreement) = agreed();
        let genesis = payer.entries[0].1.clone();
        let entry = payer.forge_envelope(genesis);
        commons.refusal("clerk", vec![income_take(&payer, entry, agreement)])
    }),
    row(Code::ProofIrrelevant, "an entry without numbers", "holds nothing", || {
        let (payer, mut commons, agreement) = agreed();
        commons.refusal("clerk", vec![income_take(&payer, 1, agreement)])
    }),
    row(
        Code::NumberOutOfOrder,
        "the second before the first",
        "expected number 1, found 2",
        || {
            let (mut payer, mut commons, agreement) = agreed();
            payer.earn(1, 100_000);
            let second = payer.earn(2, 100_000);
            commons.refusal("clerk", vec![income_take(&payer, second, agreement)])
        },
    ),
    row(Code::DueMismatch, "a phyle states less than is due", "expected", || {
        let (mut payer, _, _) = agreed();
        let mut record = payer.revenue(1, 100_000);
        record.due[0].amount -= 1;
        payer.refusal("sam", vec![Kind::RevenueRecord(record)])
    }),
    row(Code::DueMismatch, "a phyle that lies with its operator", "number 1: expected", || {
        forged(|payer| {
            let mut record = payer.revenue(1, 100_000);
            record.due[0].amount -= 1;
            record
        })
    }),
    row(Code::Malformed, "number 0", "numbers begin at 1", || {
        forged(|payer| {
            let mut record = payer.revenue(1, 100_000);
            record.due[0].number = 0;
            record
        })
    }),
    row(Code::Malformed, "two numbers of one agreement in an event", "dues", || {
        forged(|payer| {
            let mut record = payer.revenue(1, 100_000);
            let next = v1::Due { number: 2, ..record.due[0].clone() };
            record.due.push(next);
            record
        })
    }),
];
