//! Attacks that once worked: on what a signature stands for, on the room that a ledger has,
//! on cash that nobody can reach. Each test says what holds now.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::log::Draft;
use subak_ledger::reject::Code;
use subak_proto::v1::{self, event::Kind};

fn range(first: v1::Ref, last: v1::Ref) -> Kind {
    let span = vec![v1::Span { first: Some(first), last: Some(last) }];
    let remuneration = v1::Remuneration::Unpaid as i32;
    Kind::Validate(v1::Validate { span, remuneration, quantity: vec![] })
}

/// A statement that was signed at an earlier moment, with the basis of that moment.
fn signed(world: &mut World, author: &str, events: Vec<Kind>) -> Vec<u8> {
    let mut header = world.header(author);
    header.expires_at += 20 * 86_400_000;
    let draft = Draft { header, events: events.into_iter().map(encode).collect() };
    draft.sign(&world.secret(author))
}

/// sam's routine range, signed while 1,000 stood, confirms 10^9 that he has never seen;
/// his vote then keeps it standing when mia turns out to be the agent.
#[test]
fn a_range_never_confirms_a_standing_that_its_author_has_not_seen() {
    let mut world = with_two(for_everybody(2, 0));
    world.add_unclaimed("p-1");
    world.add_person("tess");
    world.grant("tess", v1::Role::Maintainer);
    let place = world.contribute("p-1", "commit", 1_000);
    world.validate("mia", place).unwrap();
    world.validate("tess", place).unwrap();
    assert_eq!(points(&world, "p-1"), 1_000);
    // sam looks, sees 1,000 standing, and signs; his node's operator (or the network) is slow.
    let late = signed(&mut world, "sam", vec![range(v1::Ref::default(), place)]);
    world.say("mia", vec![requantify(place, "p-1", 1_000_000_000)]).unwrap();
    world.say("tess", vec![requantify(place, "p-1", 1_000_000_000)]).unwrap();
    let taken = world.append(late);
    // mia is p-1: from the attested claim on, her own votes are void.
    world
        .say(
            "mia",
            vec![Kind::AgentClaim(v1::AgentClaim { unclaimed: "p-1".into(), evidence: vec![] })],
        )
        .unwrap();
    for by in ["sam", "tess"] {
        let attest = v1::ClaimAttest { unclaimed: "p-1".into(), claimant: "mia".into() };
        world.say(by, vec![Kind::ClaimAttest(attest)]).unwrap();
    }
    assert_eq!(
        points(&world, "p-1"),
        0,
        "only tess and mia have ever seen 10^9 (sam's late range: {taken:?})"
    );
}

/// The same through what falls: an attested claim drops a standing that was corrected
/// downwards, and a word that was given for the corrected number counts for the claimed one.
#[test]
fn a_word_for_a_corrected_number_never_counts_for_the_claimed_one() {
    let mut world = with_two(for_everybody(1, 0));
    world.add_unclaimed("p-1");
    let place = world.contribute("p-1", "commit", 1_000_000_000);
    // mia corrects it to 1,000: that stands.
    world.say("mia", vec![requantify(place, "p-1", 1_000)]).unwrap();
    assert_eq!(points(&world, "p-1"), 1_000);
    world.add_person("tess");
    world.grant("tess", v1::Role::Maintainer);
    // tess has seen 1,000 and signs for it; on the way p-1 turns out to be mia.
    let late = signed(&mut world, "tess", vec![range(v1::Ref::default(), place)]);
    world
        .say(
            "mia",
            vec![Kind::AgentClaim(v1::AgentClaim { unclaimed: "p-1".into(), evidence: vec![] })],
        )
        .unwrap();
    let attest = v1::ClaimAttest { unclaimed: "p-1".into(), claimant: "mia".into() };
    world.say("sam", vec![Kind::ClaimAttest(attest)]).unwrap();
    let taken = world.append(late);
    assert!(points(&world, "p-1") <= 1_000, "{} ({taken:?})", points(&world, "p-1"));
}

/// One hostile payer closes a currency for everybody, for ever. Its share is a tenth; its
/// operator forges ten invoices over 10^13 euros, which only its own ledger would refuse. Nothing
/// is ever paid; the stewards write all of it off; the room does not come back, nor can the
/// commons end the agreement.
#[test]
fn one_payer_cannot_close_a_currency_for_all_others() {
    let (mut evil, mut commons) = (World::phyle("phyle-a"), two_contributors());
    let terms = commons.terms(&evil, "phyle-a", 100_000);
    let agreement = agree(&mut evil, &mut commons, terms);
    for number in 1..=10 {
        let due = v1::Due { agreement: agreement.to_vec(), number, amount: 100_000_000_000_000 };
        let record = v1::RevenueRecord {
            net: 1_000_000_000_000_000,
            due: vec![due],
            ..evil.revenue(number, 1)
        };
        let entry = evil.forge("sam", vec![Kind::RevenueRecord(record)]);
        commons.take(&evil, entry, agreement).unwrap();
    }
    commons.decree(Kind::WriteOff(v1::WriteOff { income: (1..=10).collect() })).unwrap();
    assert_eq!(commons.accrued("ana"), 0);
    let gift = v1::IncomeRecord {
        payer: "phyle-b".into(),
        amount: Some(v1::Amount { currency: EUR.into(), minor: 100 }),
        bank: "bank:gift".into(),
        note: vec![],
    };
    let said = commons.say("sam", vec![Kind::IncomeRecord(gift)]);
    assert!(said.is_ok(), "a gift of 1.00 EUR by somebody else: {said:?}");
}

/// Cash of a treasurer who is one no more can still be paid out by the others.
#[test]
fn cash_of_a_former_treasurer_is_not_stuck() {
    let mut world = two_contributors();
    world.grant("ana", v1::Role::Treasurer);
    let amount = Some(v1::Amount { currency: EUR.into(), minor: 1_000 });
    let income =
        v1::IncomeRecord { payer: "phyle-a".into(), amount, bank: "bank:1".into(), note: vec![] };
    world.say("ana", vec![Kind::IncomeRecord(income)]).unwrap();
    let revoke = v1::RoleRevoke { agent: "ana".into(), role: v1::Role::Treasurer as i32 };
    world.decree(Kind::RoleRevoke(revoke)).unwrap();
    let propose = |cash_of: &str| {
        let line = vec![v1::PayoutLine { agent: "ben".into(), minor: 500 }];
        let (currency, expires_at) = (EUR.into(), START + 20 * 86_400_000);
        let cash_of = cash_of.into();
        vec![Kind::PayoutPropose(v1::PayoutPropose { currency, line, expires_at, cash_of })]
    };
    world.refused("sam", propose(""), Code::NoCash);
    world.refused("sam", propose("sam"), Code::NotRunTreasurer);
    world.refused("sam", propose("nobody"), Code::UnknownAgent);
    let run = world.say("sam", propose("ana")).unwrap();
    world.paid(run, &["ben"]).unwrap();
    assert_eq!(world.state.check(), Vec::<String>::new());
}

/// Votes of a maintainer who lost the role.
#[test]
fn who_is_maintainer_no_more_makes_nothing_stand() {
    let mut world = with_two(for_everybody(2, 0));
    let place = world.contribute("ana", "commit", 2_000);
    world.validate("mia", place).unwrap();
    let revoke = v1::RoleRevoke { agent: "mia".into(), role: v1::Role::Maintainer as i32 };
    world.decree(Kind::RoleRevoke(revoke)).unwrap();
    world.validate("sam", place).unwrap();
    assert_eq!(points(&world, "ana"), 0, "one maintainer has said so");
}

/// The same commit twice, by the case of its hash.
#[test]
fn a_commit_is_claimed_once_whatever_the_case_of_its_hash() {
    let mut world = with_two(for_everybody(1, 0));
    let claim = |reference: &str| {
        Kind::Contribute(v1::Contribute {
            reference: reference.into(),
            kind: "commit".into(),
            stream: v1::Stream::Love as i32,
            worked_on: 20_000,
            part: vec![v1::Part { agent: "ana".into(), quantity: 1_000 }],
            evidence: vec![],
        })
    };
    world.say("ana", vec![claim("git:abcdef0123456789abcdef0123456789abcdef01")]).unwrap();
    world.refused(
        "ana",
        vec![claim("git:ABCDEF0123456789ABCDEF0123456789ABCDEF01")],
        Code::Malformed,
    );
}

/// A bank fee of one line is borne by somebody who is not in the run, up to all they have.
#[test]
fn a_fee_on_a_payout_is_borne_by_who_is_paid() {
    let mut world = two_contributors();
    world.gift(2_000);
    let run = world.propose(&[("ana", 1)]).unwrap();
    let paid = v1::PayoutPaid {
        run,
        agent: vec!["ana".into()],
        bank: "bank:one-cent".into(),
        fee: Some(v1::Fee { minor: 1_000, bearer: "ben".into() }),
        due: vec![],
    };
    let said = world.say("sam", vec![Kind::PayoutPaid(paid)]);
    assert!(said.is_err(), "one cent for ana cost ben 10.00 EUR, all that he had");
}

/// The same for attested claims: the word of a maintainer whose key was stolen (which the
/// stewards answer by revoking the role) still makes half of an alias, and with it of a payout.
#[test]
fn the_attestation_of_a_former_maintainer_does_not_count() {
    let mut world = with_two(for_everybody(2, 0));
    world.add_unclaimed("p-1");
    world
        .say(
            "ben",
            vec![Kind::AgentClaim(v1::AgentClaim { unclaimed: "p-1".into(), evidence: vec![] })],
        )
        .unwrap();
    let attest = || {
        vec![Kind::ClaimAttest(v1::ClaimAttest { unclaimed: "p-1".into(), claimant: "ben".into() })]
    };
    world.say("mia", attest()).unwrap();
    let revoke = v1::RoleRevoke { agent: "mia".into(), role: v1::Role::Maintainer as i32 };
    world.decree(Kind::RoleRevoke(revoke)).unwrap();
    world.say("sam", attest()).unwrap();
    assert!(world.state.agent(world.id("p-1")).alias.is_none(), "one maintainer has said so");
}

/// What else a payer's entry says is not read: an equation with thousands of worked examples
/// beside an invoice would be worked out by the one thread that appends.
#[test]
fn of_a_payers_entry_only_what_states_shares_is_read() {
    let (mut evil, mut commons) = (World::phyle("phyle-a"), two_contributors());
    let terms = commons.terms(&evil, "phyle-a", 100_000);
    let agreement = agree(&mut evil, &mut commons, terms);
    // No reading of this equation exists: whoever looks at it refuses it.
    let none = v1::EquationAdopt { equation: Some(v1::Equation::default()) };
    assert!(
        subak_ledger::book::event::Event::decode(&encode(Kind::EquationAdopt(none.clone())))
            .is_err()
    );
    let invoice = Kind::RevenueRecord(evil.revenue(1, 10_000));
    let entry = evil.forge("sam", vec![Kind::EquationAdopt(none), invoice]);
    commons.take(&evil, entry, agreement).unwrap();
}
