//! Keys that are lost, stolen, changed: what they sign no more, what is frozen, what is not.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::{
    book::{freeze::By, state::State, types::Ref},
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

/// One validator for each claim; ana and ben contribute, sam and mia do the rest.
fn commons() -> World {
    with_two(for_everybody(1, 0))
}

fn work(agent: &str, reference: &str) -> Kind {
    Kind::Contribute(v1::Contribute {
        reference: format!("git:{reference}"),
        kind: "commit".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: 0,
        part: vec![v1::Part { agent: agent.into(), quantity: 5_000 }],
        evidence: vec![],
    })
}

/// Claimed by its agent, validated by mia.
fn worked(world: &mut World, agent: &str, reference: &str) -> v1::Ref {
    let place =
        v1::Ref { entry: world.say(agent, vec![work(agent, reference)]).unwrap(), event: 0 };
    world.validate("mia", place).unwrap();
    place
}

/// Why nothing is paid to an agent.
fn frozen(world: &World, agent: &str) -> Option<By> {
    world.state.frozen(world.id(agent)).map(|frozen| frozen.by)
}

fn in_place(place: v1::Ref) -> Ref {
    Ref { entry: place.entry, event: place.event }
}

/// What a mirror folds from the bytes is the same.
fn check_mirror(world: &World) {
    let key_state =
        |s: &State| (s.revoked.clone(), s.signed.clone(), s.acts.clone(), s.doubts.clone());
    assert_eq!(key_state(&world.replayed()), key_state(&world.state));
}

#[test]
fn who_changes_the_key_loses_nothing_and_the_old_one_signs_nothing() {
    let mut world = commons();
    worked(&mut world, "ana", "1");
    world.gift(10_000);
    world.days(1);
    let (add, now) = (world.key_add("ana", "ana's 2"), world.now);
    world.say("ana", vec![add, key_revoke("ana", now)]).unwrap();
    assert!(world.state.doubts.is_empty());
    world.refused("ana", vec![work("ana", "2")], Code::KeyRevoked);
    world.sign_with("ana", "ana's 2");
    worked(&mut world, "ana", "2");
    assert_eq!(world.state.agent(world.id("ana")).keys, [key("ana's 2").public().bytes()]);
    let run = world.propose(&[("ana", 10_000)]).unwrap();
    world.paid(run, &["ana"]).unwrap();
    check_mirror(&world);
}

#[test]
fn of_two_devices_only_the_stolen_one_is_doubted() {
    let mut world = commons();
    let phone = world.key_add("ana", "phone");
    world.say("ana", vec![phone]).unwrap();
    worked(&mut world, "ana", "before");
    world.gift(100);
    world.days(2);
    let since = world.now;
    worked(&mut world, "ana", "laptop");
    let mut twin = world.twin();
    // The phone was lost, and signed nothing since.
    twin.say("ana", vec![key_revoke("phone", since)]).unwrap();
    assert_eq!((frozen(&twin, "ana"), twin.state.doubts.len()), (None, 0));
    // The phone was stolen, and did.
    world.sign_with("ana", "phone");
    let place = worked(&mut world, "ana", "by-phone");
    world.sign_with("ana", "ana");
    worked(&mut world, "ana", "laptop-again");
    world.say("ana", vec![key_revoke("phone", since)]).unwrap();
    assert_eq!(frozen(&world, "ana"), Some(By::Claim(in_place(place))));
    let by_laptop = world.state.places_of(world.id("ana")).last().unwrap();
    assert_ne!(by_laptop, in_place(place));
    check_mirror(&world);
}

#[test]
fn nothing_that_has_accrued_or_is_paid_changes_by_a_revocation() {
    let mut world = commons();
    for who in ["ana", "ben"] {
        worked(&mut world, who, who);
    }
    world.gift(10_000);
    let run = world.propose(&[("ana", 1_000), ("ben", 2_000)]).unwrap();
    world.paid(run, &["ana"]).unwrap();
    let before = world.state.clone();
    world.decree(key_revoke("mia", START)).unwrap();
    assert!(world.postings.is_empty());
    assert!(world.state.accounts.iter().eq(before.accounts.iter()));
    assert_eq!(world.state.balances(), before.balances());
    // Ben's line is not paid yet: it waits.
    assert!(matches!(frozen(&world, "ben"), Some(By::Vote(_))));
    assert_eq!(world.paid(run, &["ben"]).unwrap_err().code, Code::Frozen);
    world.decree(effects_confirm("mia", &[])).unwrap();
    world.paid(run, &["ben"]).unwrap();
    check_mirror(&world);
}

#[test]
fn what_a_stolen_maintainer_key_validated_is_frozen_whoever_gains_by_it() {
    let mut world = commons();
    worked(&mut world, "ben", "honest");
    world.days(1);
    let since = world.now;
    // A thief with mia's key lets work stand that ana has claimed in good faith.
    let place = worked(&mut world, "ana", "doubtful");
    world.gift(10_000);
    world.days(1);
    world.decree(key_revoke("mia", since)).unwrap();
    assert_eq!(frozen(&world, "ana"), Some(By::Vote(in_place(place))));
    assert_eq!(frozen(&world, "ben"), None, "validated with it before it was stolen");
    assert_eq!(world.propose(&[("ana", 100)]).unwrap_err().code, Code::Frozen);
    world.propose(&[("ben", 100)]).unwrap();
    // Points for income to come end; what has accrued by them is there still, and frozen.
    let reason = v1::RejectReason::NotDone as i32;
    let reject = v1::RejectContribution { contribution: Some(place), reason };
    world.say("sam", vec![Kind::RejectContribution(reject)]).unwrap();
    assert_eq!(points(&world, "ana"), 0);
    assert!(world.accrued("ana") > 0 && frozen(&world, "ana").is_some());
    check_mirror(&world);
}

#[test]
fn that_a_false_standing_was_ended_before_the_revocation_hides_nothing() {
    let mut world = commons();
    let since = world.now;
    let place = worked(&mut world, "ana", "doubtful");
    world.gift(10_000);
    let reject = v1::RejectContribution {
        contribution: Some(place),
        reason: v1::RejectReason::NotDone as i32,
    };
    world.say("sam", vec![Kind::RejectContribution(reject)]).unwrap();
    world.decree(key_revoke("mia", since)).unwrap();
    assert_eq!(frozen(&world, "ana"), Some(By::Vote(in_place(place))));
}

#[test]
fn work_claimed_after_the_revocation_is_free_although_its_maintainer_lost_a_key() {
    let mut world = commons();
    worked(&mut world, "ben", "doubtful");
    let recover = world.key_recover("mia", "mia's 2");
    world.decree(key_revoke("mia", START)).unwrap();
    world.decree(recover).unwrap();
    world.sign_with("mia", "mia's 2");
    worked(&mut world, "ana", "afterwards");
    world.gift(1_000);
    assert_eq!(frozen(&world, "ana"), None);
    assert!(frozen(&world, "ben").is_some());
    world.propose(&[("ana", 500)]).unwrap();
    check_mirror(&world);
}

#[test]
fn stewards_release_the_honest_and_leave_the_thief_where_he_is() {
    let mut world = commons();
    for who in ["ana", "ben"] {
        worked(&mut world, who, who);
    }
    world.gift(10_000);
    world.decree(key_revoke("mia", START)).unwrap();
    world.decree(effects_confirm("mia", &["ana"])).unwrap();
    world.propose(&[("ana", 5_000)]).unwrap();
    assert_eq!(world.propose(&[("ben", 5_000)]).unwrap_err().code, Code::Frozen);
    world.decree(effects_confirm("mia", &[])).unwrap();
    world.propose(&[("ben", 5_000)]).unwrap();
    check_mirror(&world);
}

#[test]
fn a_revision_by_a_stolen_key_is_doubted_until_it_is_confirmed() {
    let mut world = commons();
    let entry = world.say("ana", vec![work("ana", "1")]).unwrap();
    let place = v1::Ref { entry, event: 0 };
    world.days(1);
    let since = world.now;
    let part = vec![v1::Part { agent: "ana".into(), quantity: 900_000 }];
    let revise = v1::Revise { contribution: Some(place), part };
    world.say("ana", vec![Kind::Revise(revise)]).unwrap();
    world.validate("mia", place).unwrap();
    world.say("ana", vec![key_revoke("ana", since)]).unwrap();
    assert_eq!(frozen(&world, "ana"), Some(By::Claim(in_place(place))));
}

fn gift(world: &mut World, author: &str, currency: &str, bank: &str) {
    let amount = Some(v1::Amount { currency: currency.into(), minor: 10_000 });
    let (payer, bank) = ("phyle-a".into(), format!("bank:{bank}"));
    let income = v1::IncomeRecord { payer, amount, bank, note: vec![] };
    world.say(author, vec![Kind::IncomeRecord(income)]).unwrap();
}

#[test]
fn cash_that_a_stolen_key_says_is_there_is_paid_out_by_nobody() {
    let mut world = commons();
    worked(&mut world, "ana", "1");
    gift(&mut world, "sam", "EUR", "real");
    gift(&mut world, "mia", "USD", "real-too");
    let honest = world.propose(&[("ana", 1_000)]).unwrap();
    world.days(1);
    let since = world.now;
    gift(&mut world, "mia", "EUR", "false");
    world.decree(key_revoke("mia", since)).unwrap();
    // The false receipt has made more payable than came: sam's real cash would go for it.
    let refused = world.propose(&[("ana", 9_000)]).unwrap_err();
    assert_eq!(refused.code, Code::Frozen);
    assert!(refused.detail.contains("EUR was said to be there"), "{}", refused.detail);
    assert_eq!(world.paid(honest, &["ana"]).unwrap_err().code, Code::Frozen);
    assert!(world.state.frozen_cash(currency("USD")).is_none());
    world.decree(effects_confirm("mia", &[])).unwrap();
    world.paid(honest, &["ana"]).unwrap();
}

#[test]
fn a_run_that_a_stolen_key_proposed_is_not_paid_and_any_treasurer_ends_it() {
    let mut world = commons();
    worked(&mut world, "ana", "1");
    gift(&mut world, "sam", "EUR", "real");
    world.days(1);
    let since = world.now;
    let run = world.propose(&[("ana", 1_000)]).unwrap();
    let recover = world.key_recover("sam", "sam's 2");
    let events = vec![encode(recover), encode(key_revoke("sam", since))];
    world.say("mia", vec![Kind::Propose(v1::Propose { event: events })]).unwrap();
    world.sign_with("sam", "sam's 2");
    let refused = world.paid(run, &["ana"]).unwrap_err();
    assert_eq!(refused.code, Code::Frozen, "{refused}");
    assert!(refused.detail.contains(&format!("run {run}")), "{}", refused.detail);
    let reason = v1::FailReason::Other as i32;
    let failed = v1::PayoutFailed { run, agent: vec!["ana".into()], reason };
    world.say("mia", vec![Kind::PayoutFailed(failed)]).unwrap();
    // The cash is free again, and sam's new key goes on.
    let run = world.propose(&[("ana", 1_000)]).unwrap();
    world.paid(run, &["ana"]).unwrap();
    check_mirror(&world);
}

#[test]
fn who_has_lost_the_only_key_is_nobodys_to_claim_and_gets_another_by_quorum() {
    let mut world = commons();
    worked(&mut world, "ana", "1");
    world.gift(1_000);
    world.days(1);
    let now = world.now;
    world.decree(key_revoke("ana", now)).unwrap();
    let claim = v1::AgentClaim { unclaimed: "ana".into(), evidence: vec![] };
    world.refused("ben", vec![Kind::AgentClaim(claim)], Code::NotUnclaimed);
    // The bank account is not lost.
    world.propose(&[("ana", 400)]).unwrap();
    let recover = world.key_recover("ana", "ana's 2");
    world.decree(recover).unwrap();
    world.sign_with("ana", "ana's 2");
    worked(&mut world, "ana", "2");
    check_mirror(&world);
}

#[test]
fn what_a_thief_has_approved_for_a_steward_counts_for_nothing() {
    let equation = for_everybody(1, 0);
    let mut genesis = genesis(v1::AgentKind::Commons, "our-commons", 2, Some(equation));
    let third = v1::NamedKey { agent: "tom".into(), key: key("tom").public().bytes().to_vec() };
    genesis.steward.push(third);
    let mut world = World::open(genesis);
    let digest = world.state.root().digest.to_vec();
    world.say("mia", vec![Kind::Approve(v1::Approve { entry: 0, digest })]).unwrap();
    let propose = |world: &mut World, by: &str, event: Kind| {
        let event = vec![encode(event)];
        world.say(by, vec![Kind::Propose(v1::Propose { event })]).unwrap()
    };
    let approve = |world: &World, entry: u64| {
        let digest = world.state.proposals[&entry].digest.to_vec();
        Kind::Approve(v1::Approve { entry, digest })
    };
    let role = v1::Role::Steward as i32;
    world.add_person("thief");
    let grant = Kind::RoleGrant(v1::RoleGrant { agent: "thief".into(), role });
    let since = world.now;
    let stolen = propose(&mut world, "tom", grant);
    let revocation = propose(&mut world, "sam", key_revoke("tom", since));
    let yes = approve(&world, revocation);
    world.say("mia", vec![yes]).unwrap();
    assert!(world.state.proposals[&stolen].approvals.is_empty());
    // One more approval does not complete it.
    let yes = approve(&world, stolen);
    world.say("mia", vec![yes]).unwrap();
    assert!(world.state.proposals.contains_key(&stolen));
    check_mirror(&world);
}

#[test]
fn a_stolen_maintainer_key_makes_nobody_somebody_else_in_silence() {
    let mut world = commons();
    world.add_unclaimed("git-7");
    let place = world.contribute("git-7", "commit", 5_000);
    world.validate("sam", place).unwrap();
    world.gift(1_000);
    world.days(1);
    let since = world.now;
    let claim = v1::AgentClaim { unclaimed: "git-7".into(), evidence: vec![] };
    world.say("ana", vec![Kind::AgentClaim(claim)]).unwrap();
    let attest = v1::ClaimAttest { unclaimed: "git-7".into(), claimant: "ana".into() };
    world.say("mia", vec![Kind::ClaimAttest(attest)]).unwrap();
    world.decree(key_revoke("mia", since)).unwrap();
    assert_eq!(frozen(&world, "git-7"), Some(By::Alias));
    assert_eq!(world.propose(&[("git-7", 100)]).unwrap_err().code, Code::Frozen);
}

/// Where nobody has more than one key, nothing is noted of anybody who only contributes.
#[test]
fn who_contributes_with_one_key_costs_the_state_nothing() {
    let mut world = commons();
    for n in 0..20 {
        worked(&mut world, if n % 2 == 0 { "ana" } else { "ben" }, &n.to_string());
    }
    assert!(world.state.signed.is_empty());
    let keys: Vec<_> = world.state.acts.keys().copied().collect();
    assert_eq!(keys, [key("mia").public().bytes()], "who validates, only");
}
