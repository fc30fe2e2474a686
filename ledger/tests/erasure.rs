//! Which erasures in a log bind which disclosures, and what the audit says of them.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use subak_ledger::{
    audit::{Code as Finding, Verdict},
    book::erasure::Erasure,
    log::Hash,
    reject::Code,
    store::Disclosure,
};
use subak_proto::v1::{self, event::Kind};

fn erase(commitment: &Hash) -> Kind {
    Kind::Erase(v1::Erase { commitment: vec![commitment.to_vec()] })
}

fn join(name: &Hash) -> Kind {
    Kind::AgentJoin(v1::AgentJoin { name: name.to_vec(), email: vec![] })
}

fn admit(agent: &str) -> Kind {
    Kind::AgentAdmit(v1::AgentAdmit { agent: agent.into() })
}

/// The entry that binds a disclosure.
fn bound(world: &World, d: &Disclosure) -> Option<u64> {
    world.state.erasure_of(&d.commitment, &d.author, &d.field).map(|e: Erasure| e.entry)
}

/// A commons in which mia, no steward, has named dora: `name` is what mia disclosed.
fn named_by_mia() -> (World, Disclosure) {
    let mut world = two_contributors();
    let mut name = disclose(&world, "text", "name", "Dora of Ubud");
    name.author = "mia".into();
    let add = v1::AgentAdd {
        handle: "dora".into(),
        kind: v1::AgentKind::Person as i32,
        key: key("dora").public().bytes().to_vec(),
        name: name.commitment.to_vec(),
        email: vec![],
    };
    world.say("mia", vec![Kind::AgentAdd(add)]).unwrap();
    (world, name)
}

#[test]
fn a_steward_an_author_and_whom_it_names_bind_and_nobody_else() {
    for (who, binds) in [("sam", true), ("mia", true), ("dora", true), ("ana", false)] {
        let (mut world, name) = named_by_mia();
        let entry = world.say(who, vec![erase(&name.commitment)]).unwrap();
        assert_eq!(bound(&world, &name), binds.then_some(entry), "{who}");
    }
    // What dora is named by is hers; what somebody notes about her is not.
    let (mut world, mut note) = named_by_mia();
    note.field = "note".into();
    world.say("dora", vec![erase(&note.commitment)]).unwrap();
    assert_eq!(bound(&world, &note), None);
}

#[test]
fn who_is_not_entitled_is_in_nobodys_way() {
    let (mut world, name) = named_by_mia();
    world.say("ana", vec![erase(&name.commitment)]).unwrap();
    world.refused("ana", vec![erase(&name.commitment)], Code::AlreadyErased);
    let entry = world.say("dora", vec![erase(&name.commitment)]).unwrap();
    let by_steward = world.say("sam", vec![erase(&name.commitment)]).unwrap();
    assert_eq!(bound(&world, &name), Some(entry), "the first that binds");
    assert!(by_steward > entry);
    world.refused("mia", vec![erase(&name.commitment)], Code::AlreadyErased);
}

#[test]
fn a_copied_commitment_gives_no_say_over_the_text() {
    let (mut world, name) = named_by_mia();
    world.say("eve", vec![join(&name.commitment)]).unwrap();
    world.say("sam", vec![admit("eve")]).unwrap();
    world.say("eve", vec![erase(&name.commitment)]).unwrap();
    assert_eq!(bound(&world, &name), None);
    // Copied from a note, it is the first that names anybody: its field tells.
    let note = disclose(&world, "text", "note", "what sam thinks of it");
    world.say("mal", vec![join(&note.commitment)]).unwrap();
    world.say("sam", vec![admit("mal")]).unwrap();
    world.say("mal", vec![erase(&note.commitment)]).unwrap();
    assert_eq!(bound(&world, &note), None);
}

#[test]
fn the_person_behind_an_unclaimed_agent_erases_its_name() {
    let mut world = two_contributors();
    let name = disclose(&world, "text", "name", "Wayan, of the history");
    let add = v1::AgentAdd {
        handle: "p-1".into(),
        kind: v1::AgentKind::Person as i32,
        name: name.commitment.to_vec(),
        ..Default::default()
    };
    world.say("mia", vec![Kind::AgentAdd(add)]).unwrap();
    let claim = v1::AgentClaim { unclaimed: "p-1".into(), evidence: vec![] };
    world.say("ana", vec![Kind::AgentClaim(claim)]).unwrap();
    let attest = v1::ClaimAttest { unclaimed: "p-1".into(), claimant: "ana".into() };
    world.say("mia", vec![Kind::ClaimAttest(attest)]).unwrap();
    let entry = world.say("ana", vec![erase(&name.commitment)]).unwrap();
    assert_eq!(bound(&world, &name), Some(entry));
}

#[test]
fn an_erasure_changes_nothing_else_in_the_book() {
    let (mut world, name) = named_by_mia();
    let before = world.state.clone();
    world.say("sam", vec![erase(&name.commitment)]).unwrap();
    assert!(world.state.accounts.iter().eq(before.accounts.iter()));
    assert_eq!(world.state.agent(world.id("dora")).name, Some(name.commitment));
    assert_eq!(world.state.points, before.points);
    assert_eq!(world.replayed().erased, world.state.erased);
}

#[test]
fn the_audit_tells_erased_from_not_disclosed_from_still_there() {
    let mut cycle = cycle();
    let [named] = &cycle.opened[..] else { panic!("ana's name") };
    let named = named.clone();
    let entry = cycle.commons.say("sam", vec![erase(&named.commitment)]).unwrap();

    let kept = audit_logs(&cycle.logs());
    assert_eq!(kept.verdict, Verdict::Fault);
    let finding = kept.findings.iter().find(|f| f.code == Finding::ErasedPresent).unwrap();
    assert_eq!(finding.entry, Some(entry));
    assert!(!finding.message.contains("Ana of"), "{}", finding.message);

    cycle.opened.clear();
    let gone = audit_logs(&cycle.logs());
    assert_eq!(gone.verdict, Verdict::Sound);
    let counts = gone.ledgers[0].disclosures;
    assert_eq!((counts.disclosed, counts.erased, counts.undisclosed), (0, 1, 1));
}

#[test]
fn an_erasure_that_binds_nothing_is_no_fault_of_who_keeps_the_text() {
    let mut cycle = cycle();
    let named = cycle.opened[0].clone();
    cycle.commons.say("ben", vec![erase(&named.commitment)]).unwrap();
    let kept = audit_logs(&cycle.logs());
    assert_eq!(kept.verdict, Verdict::Sound);
    assert_eq!(kept.ledgers[0].disclosures.disclosed, 1);
}
