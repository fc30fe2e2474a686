//! The order of judgement: what breaks several rules is refused for the first.
//!
//! Each ladder starts from something that breaks all of them and mends them in the
//! order of `proto/EVENTS.md`; after the last step it is admitted.

use super::{agreements, money, statement::*, work};
use crate::kit::*;
use subak_ledger::{
    book::types::DAY_MS,
    log::{Basis, Draft, LedgerId},
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

type Step<M> = (Code, fn(&mut M));

/// Climbs a ladder: refused with the code of each rung, mended, and admitted at its end.
fn climb<M: Clone>(
    world: &mut World,
    author: &str,
    event: fn(M) -> Kind,
    mut message: M,
    steps: &[Step<M>],
) {
    for (n, (code, mend)) in steps.iter().enumerate() {
        let reject = world.refusal(author, vec![event(message.clone())]);
        assert_eq!(reject.code, *code, "rung {n}: {reject}");
        mend(&mut message);
    }
    world.say(author, vec![event(message)]).unwrap();
}

/// What a statement is made of, so that each part can be mended by itself.
#[derive(Clone)]
struct Attempt {
    draft: Draft,
    signer: &'static str,
    tampered: bool,
}

#[test]
fn a_statement_is_judged_from_the_bytes_to_the_rules() {
    let mut world = World::open(two_of_two());
    let mut header = world.header("nobody");
    let (ledger, chain) = (header.ledger, *world.state.chain.last().unwrap());
    header.ledger = LedgerId([1; 32]);
    header.expires_at = START - 1;
    header.basis = Some(Basis { size: 1, chain: [9; 32] });
    let events = vec![vec![0xff]];
    let mut attempt =
        Attempt { draft: Draft { header, events }, signer: "stranger", tampered: true };
    let mut expect = |attempt: &Attempt, code: Code| {
        let mut envelope = attempt.draft.sign(&key(attempt.signer));
        if attempt.tampered {
            let last = envelope.len() - 96;
            envelope[last - 1] ^= 1;
        }
        let reject = world.append(envelope).unwrap_err();
        assert_eq!(reject.code, code, "{reject}");
    };
    expect(&attempt, Code::BadSignature);
    attempt.tampered = false;
    expect(&attempt, Code::Malformed);
    // What the ledger kind, the role and the guards would refuse, too.
    attempt.draft.events =
        vec![encode(Kind::InvoiceVoid(v1::InvoiceVoid { series: "inv".into(), number: 1 }))];
    expect(&attempt, Code::WrongLedger);
    attempt.draft.header.ledger = ledger;
    expect(&attempt, Code::Expired);
    attempt.draft.header.expires_at = START + 31 * DAY_MS;
    expect(&attempt, Code::ExpiresTooLate);
    attempt.draft.header.expires_at = START;
    expect(&attempt, Code::BasisOffChain);
    attempt.draft.header.basis = Some(Basis { size: 1, chain });
    expect(&attempt, Code::UnknownAuthor);
    attempt.draft.header.author = handle("clerk");
    expect(&attempt, Code::KeyNotOfAuthor);
    attempt.signer = "clerk of our-commons";
    expect(&attempt, Code::NotOpen);

    let digest = world.state.root().digest.to_vec();
    world.say("mia", vec![Kind::Approve(v1::Approve { entry: 0, digest })]).unwrap();
    let reject = world.append(attempt.draft.sign(&key(attempt.signer))).unwrap_err();
    assert_eq!(reject.code, Code::WrongLedgerKind, "{reject}");
    let withdraw = Kind::Withdraw(v1::Withdraw { entry: 77 });
    world.refused("clerk", vec![withdraw.clone()], Code::ClerkMayNot);
    world.add_person("ana");
    world.refused("ana", vec![withdraw.clone()], Code::RoleRequired);
    world.refused("sam", vec![withdraw], Code::UnknownProposal);
}

#[test]
fn the_form_of_every_event_comes_before_the_ledger() {
    let mut world = two_contributors();
    let mut header = world.header("sam");
    header.ledger = LedgerId([1; 32]);
    let sound = encode(Kind::Withdraw(v1::Withdraw { entry: 7 }));
    let draft = Draft { header, events: vec![sound, vec![0xff]] };
    assert_eq!(world.append(draft.sign(&key("sam"))).unwrap_err().code, Code::Malformed);
}

#[test]
fn a_later_event_sees_the_earlier_ones_and_undoes_them_when_it_fails() {
    let mut world = two_contributors();
    let claim = || work::claimed("ana");
    world.refused("ana", vec![claim(), claim()], Code::DuplicateClaim);
    world.refused(
        "sam",
        vec![money::gift(5, "bank:1"), money::gift(5, "bank:1")],
        Code::BankReferenceUsed,
    );
    world.say("ana", vec![claim()]).unwrap();
}

#[test]
fn a_claim() {
    let mut world = two_contributors();
    let place = world.say("ana", vec![work::claimed("ana")]).unwrap();
    world.validate("sam", v1::Ref { entry: place, event: 0 }).unwrap();
    let pending = v1::Contribute { reference: "git:pending".into(), ..contribution("ben") };
    world.say("ben", vec![Kind::Contribute(pending)]).unwrap();
    let mut broken = contribution("ana");
    broken.kind = "song".into();
    broken.worked_on += 1;
    broken.part.clear();
    climb(
        &mut world,
        "ben",
        Kind::Contribute,
        broken,
        &[
            (Code::UnknownKind, |c| c.kind = "hours".into()),
            (Code::FutureWork, |c| c.worked_on -= 1),
            (Code::PartsInvalid, |c| c.part.push(work::part("nobody", 1))),
            (Code::UnknownAgent, |c| c.part = vec![work::part("ana", 1)]),
            (Code::NotOwnClaim, |c| c.part.push(work::part("ben", 1))),
            (Code::ReferenceTaken, |c| c.reference = "git:pending".into()),
            (Code::DuplicateClaim, |c| c.reference = "git:new".into()),
        ],
    );
}

#[test]
fn an_offer() {
    let (mut payer, commons) = (World::phyle("phyle-a"), two_contributors());
    let sound = commons.terms(&payer, "phyle-a", 100_000);
    let mut broken = sound.clone();
    broken.payer = broken.commons.clone();
    broken.commons_operator = vec![0; 32];
    broken.share = 0;
    broken.commons_handle = "nobody".into();
    payer.keys.insert("commons".into(), key("operator of our-commons").seed());
    climb(
        &mut payer,
        "sam",
        |t| propose(agreements::offer(t)),
        broken,
        &[
            (Code::TermsInvalid, |t| t.payer = World::phyle("phyle-a").state.ledger.0.to_vec()),
            (Code::BadKey, |t| {
                t.commons_operator = key("operator of our-commons").public().bytes().to_vec();
            }),
            (Code::TermsInvalid, |t| t.share = 100_000),
            (Code::UnknownAgent, |t| t.commons_handle = "trust".into()),
            (Code::WrongAgentKind, |t| t.commons_handle = "our-commons".into()),
        ],
    );
    payer.refused("sam", vec![propose(agreements::offer(sound))], Code::AgreementKnown);
}

#[test]
fn a_settlement() {
    let (_, mut commons, agreement) = money::owed();
    commons.say("sam", vec![money::gift(5, "bank:used")]).unwrap();
    let broken = (
        agreement,
        v1::SettlementReceived {
            agreement: vec![9; 32],
            minor: 10_000,
            bank: "bank:used".into(),
            item: vec![v1::SettleItem { income: 9, minor: 20_000 }],
            fee: Some(v1::Fee { minor: 10_000, bearer: "nobody".into() }),
        },
    );
    climb(
        &mut commons,
        "sam",
        |(_, s)| Kind::SettlementReceived(s),
        broken,
        &[
            (Code::UnknownAgreement, |(a, s)| s.agreement = a.to_vec()),
            (Code::BankReferenceUsed, |(_, s)| s.bank = "bank:new".into()),
            (Code::FeeTooLarge, |(_, s)| s.fee.as_mut().unwrap().minor = 9_000),
            (Code::UnknownAgent, |(_, s)| s.fee.as_mut().unwrap().bearer = "trust".into()),
            (Code::SettlesTooMuch, |(_, s)| s.item[0].minor = 10_000),
            (Code::UnknownIncome, |(_, s)| s.item[0].income = 1),
            (Code::PrincipalStays, |(_, s)| s.fee.as_mut().unwrap().bearer = "ana".into()),
            (Code::FeeBearer, |(_, s)| s.fee.as_mut().unwrap().bearer = "association".into()),
            (Code::FeeTooLarge, |(_, s)| s.fee = None),
        ],
    );
}

#[test]
fn a_payout() {
    let mut world = two_contributors();
    world.say("sam", vec![money::gift(10_000, "bank:used")]).unwrap();
    let run = world.propose(&[("ana", 2_000)]).unwrap();
    assert_eq!(run, 8);
    let broken = v1::PayoutPaid {
        run: 3,
        agent: vec!["ben".into()],
        bank: "bank:used".into(),
        fee: Some(v1::Fee { minor: 4_000, bearer: "nobody".into() }),
        due: vec![v1::Due { agreement: vec![9; 32], number: 1, amount: 1 }],
    };
    let mut others = broken.clone();
    others.bank = "bank:new".into();
    others.run = run;
    world.refused("mia", vec![Kind::PayoutPaid(others)], Code::NotRunTreasurer);
    climb(
        &mut world,
        "sam",
        Kind::PayoutPaid,
        broken,
        &[
            (Code::BankReferenceUsed, |p| p.bank = "bank:new".into()),
            (Code::UnknownPayout, |p| p.run = 8),
            (Code::UnknownPayout, |p| p.agent = vec!["ana".into()]),
            (Code::DueMismatch, |p| p.due.clear()),
            (Code::UnknownAgent, |p| p.fee.as_mut().unwrap().bearer = "trust".into()),
            (Code::PrincipalStays, |p| p.fee.as_mut().unwrap().bearer = "ana".into()),
            (Code::FeeTooLarge, |p| p.fee.as_mut().unwrap().minor = 3_000),
        ],
    );
}

#[test]
fn an_invoice() {
    let (mut payer, _, _) = agreed();
    payer.earn(1, 999_999_999_000_000);
    let broken = v1::RevenueRecord { due: vec![], ..payer.revenue(1, 2_000_000) };
    climb(
        &mut payer,
        "sam",
        Kind::RevenueRecord,
        broken,
        &[
            (Code::InvoiceTaken, |r| r.invoice.as_mut().unwrap().number = 2),
            (Code::LimitExceeded, |r| r.net = 10),
            (Code::DueMismatch, |r| {
                let mut twin = agreed().0;
                twin.earn(1, 999_999_999_000_000);
                r.due = twin.revenue(2, 10).due;
            }),
        ],
    );
}

#[test]
fn an_income_that_is_proven() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut lie = payer.revenue(1, 100_000);
    lie.due[0].amount += 1;
    lie.due[0].number = 2;
    let forged = payer.forge("sam", vec![Kind::RevenueRecord(lie.clone())]);
    let proof = payer.prove(forged);
    let mut take = v1::IncomeTake { agreement: vec![9; 32], proof: Some(proof) };
    take.proof.as_mut().unwrap().leaf[1] ^= 1;
    commons.refused("clerk", vec![Kind::IncomeTake(take.clone())], Code::UnknownAgreement);
    take.agreement = agreement.to_vec();
    commons.refused("clerk", vec![Kind::IncomeTake(take)], Code::ProofInvalid);
    commons.refused("clerk", vec![income_take(&payer, forged, agreement)], Code::NumberOutOfOrder);
    lie.due[0].number = 1;
    let forged = payer.forge("sam", vec![Kind::RevenueRecord(lie.clone())]);
    commons.refused("clerk", vec![income_take(&payer, forged, agreement)], Code::DueMismatch);
    lie.due[0].amount -= 1;
    let told = payer.forge("sam", vec![Kind::RevenueRecord(lie)]);
    commons.take(&payer, told, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 5_000);
}
