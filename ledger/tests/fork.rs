//! A fork: agents and points of the parent at a head, nothing else of it, and all of it provable.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use prost::Message as _;
use std::slice::from_ref;
use subak_ledger::{
    audit::{Code as Found, Options, Verdict, audit, forks},
    book::{
        fork::{copy, digest_of},
        state::State,
    },
    log::{Checkpoint, Hash, tree},
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

const EVERYBODY: (&str, u32, Option<&str>, &[u32]) = ("all", 1_000_000, None, &[1]);

/// A genesis of a fork whose steward is sam, with the key that sam has in the parent.
fn founding(parent: v1::Parent, equation: v1::Equation) -> v1::Genesis {
    named(&format!("fork-of-{}", hex::encode(&parent.ledger[..4])), parent, equation)
}

fn named(name: &str, parent: v1::Parent, equation: v1::Equation) -> v1::Genesis {
    let mut genesis = genesis(v1::AgentKind::Commons, name, 1, Some(equation));
    genesis.parent = Some(parent);
    genesis
}

/// A fork of `parent` as it is now, whole.
fn fork(parent: &World, equation: v1::Equation) -> World {
    fork_of(parent, founding(cite(parent), equation))
}

/// Weighted points by handle of everybody in each bucket, in a month.
fn weights(world: &World, month: u32) -> Vec<(String, i128)> {
    let named = world.state.buckets.values().map(|b| (b.def.name.to_string(), b.weight(month)));
    named.collect()
}

fn all_points(state: &State) -> Vec<(String, u64)> {
    let all = state.agents.iter().map(|a| (a.handle.to_string(), state.points(a.id)));
    let mut all: Vec<_> = all.filter(|(_, points)| *points > 0).collect();
    all.sort();
    all
}

#[test]
fn points_agents_and_references_go_along_and_nothing_else() {
    let (mut payer, mut parent, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    parent.take(&payer, first, agreement).unwrap();
    parent.settle(agreement, 10_000).unwrap();
    parent.add_unclaimed("ghost");
    let place = parent.contribute("ghost", "hours", 7_000);
    parent.validate("mia", place).unwrap_or_else(|_| parent.validate("sam", place).unwrap());
    parent.contribute("ana", "commit", 1_000); // waits
    let mut fork = fork(&parent, equation(1, &[EVERYBODY]));
    assert_eq!(all_points(&fork.state), all_points(&parent.state));
    assert_eq!(fork.state.check(), Vec::<String>::new());
    assert_eq!(format!("{:?}", fork.replayed()), format!("{:?}", fork.state));
    // Keys go along; balances and agreements do not.
    assert_eq!(fork.state.agent(fork.id("ana")).keys, parent.state.agent(parent.id("ana")).keys);
    assert_eq!((fork.accrued("ana"), parent.accrued("ana")), (0, 5_000));
    assert!(fork.state.agreements.is_empty() && fork.state.incomes.is_empty());
    // Who governs is who the genesis names.
    let stewards: Vec<_> = fork.state.with_role(subak_ledger::book::types::Role::Steward).collect();
    assert_eq!(stewards.len(), 2);
    // What is validated there is not validated twice, and what waits there is claimed anew.
    let taken = parent.state.contributions.values().next().unwrap();
    let claim = v1::Contribute {
        reference: taken.reference.to_string(),
        kind: "commit".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: fork.today(),
        part: vec![v1::Part { agent: "ana".into(), quantity: 1 }],
        evidence: vec![],
    };
    fork.refused("ana", vec![Kind::Contribute(claim)], Code::ReferenceTaken);
    // An income here is split over the points of there.
    fork.gift(37_000);
    assert_eq!((fork.accrued("ana"), fork.accrued("ghost")), (12_613, 11_772));
}

/// Work of other kinds, streams and months, paid, unpaid, and not mature yet.
#[test]
fn every_bucket_sees_the_points_that_the_parent_gives_now_and_later() {
    let buckets: [(&str, u32, Option<&str>, &[u32]); 2] =
        [("decay", 500_000, None, &[8, 4, 2, 1, 0]), ("all", 500_000, None, &[1])];
    let rules = v1::Equation { maturity_days: 20, ..equation(1, &buckets) };
    let mut parent = with_two(rules.clone());
    for n in 0..8_usize {
        let place =
            parent.contribute(["ana", "ben"][n % 2], ["commit", "hours"][n / 4], 1_000 + n as u64);
        let span = vec![v1::Span { first: Some(place), last: Some(place) }];
        let remuneration = [v1::Remuneration::Unpaid, v1::Remuneration::Paid][n % 2] as i32;
        let paid = v1::Validate { span, remuneration, quantity: vec![] };
        parent.say("sam", vec![Kind::Validate(paid)]).unwrap();
        parent.days(9);
    }
    // Rejected, and revised downwards while a higher reading waits.
    let place = parent.contribute("ana", "commit", 5_000);
    parent.validate("sam", place).unwrap();
    parent.say("sam", vec![requantify(place, "ana", 9_000)]).unwrap();
    let mut fork = fork(&parent, rules);
    for days in [0, 5, 10, 10, 40, 100] {
        for world in [&mut parent, &mut fork] {
            world.days(days);
            // Whatever is due comes into effect with an entry.
            world.add_unclaimed(&format!("somebody-{}", world.state.size));
        }
        let month = subak_ledger::book::types::month_of_day(parent.today());
        assert_eq!(weights(&fork, month), weights(&parent, month), "{days} days later");
        assert_eq!(all_points(&fork.state), all_points(&parent.state));
        assert_eq!(fork.state.check(), Vec::<String>::new());
    }
    assert!(weights(&fork, 0).iter().any(|(_, weight)| *weight > 0));
}

#[test]
fn the_copy_is_whole_before_anything_happens_and_nothing_else_is_copied() {
    let mut parent = two_contributors();
    for n in 0..1_050 {
        let place = parent.contribute(["ana", "ben"][n % 2], "commit", 1_000);
        parent.validate("sam", place).unwrap();
    }
    let mut all = parts(&parent);
    assert!(all.len() > 1, "several parts");
    let mut fork = World::open(founding(cite(&parent), equation(1, &[EVERYBODY])));
    fork.now = parent.now;
    let root = |fork: &mut World| fork.state_root().unwrap_err().code;
    assert_eq!(root(&mut fork), Code::ForkIncomplete);
    let join = || vec![Kind::AgentJoin(v1::AgentJoin::default())];
    fork.refused("newcomer", join(), Code::ForkIncomplete);
    // The second part first; a part that says something else; a part with something beside it.
    fork.refused("sam", vec![all[1].clone()], Code::ForkCopyFalse);
    let Kind::ForkCopy(mut other) = all[0].clone() else { panic!("a part") };
    other.agent[0].admitted ^= true;
    fork.refused("sam", vec![Kind::ForkCopy(other)], Code::ForkCopyFalse);
    fork.refused("sam", vec![all[0].clone(), all[1].clone()], Code::ForkCopyMisplaced);
    // Anyone appends them.
    for part in all.drain(..) {
        assert_eq!(root(&mut fork), Code::ForkIncomplete);
        fork.say("sam", vec![part]).unwrap();
    }
    fork.say("newcomer", join()).unwrap();
    assert_eq!(all_points(&fork.state), all_points(&parent.state));
    let last = parts(&parent).pop().unwrap();
    fork.refused("sam", vec![last.clone()], Code::ForkCopyMisplaced);
    parent.refused("sam", vec![last], Code::ForkCopyMisplaced);
}

#[test]
fn nothing_that_was_said_to_the_parent_is_said_to_the_fork() {
    let parent = two_contributors();
    let mut fork = fork(&parent, equation(1, &[EVERYBODY]));
    for (_, envelope) in &parent.entries[1..] {
        let reject = fork.append(envelope.clone()).unwrap_err();
        assert_eq!(reject.code, Code::WrongLedger, "{reject}");
    }
}

#[test]
fn a_parent_is_cited_by_a_proof() {
    let mut parent = two_contributors();
    let sound = cite(&parent);
    let rejected = |alter: &dyn Fn(&mut v1::Parent)| {
        let mut cited = sound.clone();
        alter(&mut cited);
        World::refused_genesis(founding(cited, equation(1, &[EVERYBODY]))).code
    };
    assert_eq!(rejected(&|p| p.root[0] ^= 1), Code::ParentInvalid);
    assert_eq!(rejected(&|p| p.size -= 1), Code::ParentInvalid);
    assert_eq!(rejected(&|p| p.ledger[0] ^= 1), Code::ParentInvalid);
    assert_eq!(rejected(&|p| p.operator = vec![0; 32]), Code::ParentInvalid);
    let nobody = key("operator of nobody").public().bytes().to_vec();
    assert_eq!(rejected(&|p| p.operator.clone_from(&nobody)), Code::ParentInvalid);
    assert_eq!(rejected(&|p| p.path = vec![vec![1; 32]]), Code::ParentInvalid);
    assert_eq!(rejected(&|p| p.copy.clear()), Code::Malformed);
    assert_eq!(rejected(&|p| p.size = 0), Code::Malformed);
    // By a later head, with the proof that it begins so.
    let size = parent.state.size;
    parent.contribute("ana", "commit", 1);
    let path = parent.consistency(size);
    let later = v1::Parent { checkpoint: parent.checkpoint(), path, ..sound.clone() };
    World::open(founding(later, equation(1, &[EVERYBODY])));
    // A phyle has no points to copy.
    let mut of_a_phyle = genesis(v1::AgentKind::Phyle, "a-phyle", 1, None);
    of_a_phyle.parent = Some(sound);
    assert_eq!(World::refused_genesis(of_a_phyle).code, Code::GenesisInvalid);
}

#[test]
fn a_founder_has_only_the_keys_that_the_parent_knows() {
    let parent = two_contributors();
    let mut taken = founding(cite(&parent), equation(1, &[EVERYBODY]));
    taken.steward[1].agent = "ana".into(); // with mia's key
    let mut fork = World::open(taken);
    let reject = fork.refusal("sam", vec![parts(&parent).remove(0)]);
    assert!(matches!(reject.code, Code::HandleTaken | Code::KeyTaken), "{reject}");
    let mut institution = founding(cite(&parent), equation(1, &[EVERYBODY]));
    institution.agent[0].kind = v1::AgentKind::Trust as i32; // there it is an association
    let mut fork = World::open(institution);
    fork.refused("sam", vec![parts(&parent).remove(0)], Code::WrongAgentKind);
}

/// What a revoked key has signed, and nobody has confirmed, makes no points in the fork.
#[test]
fn what_is_doubtful_there_is_not_copied() {
    let mut parent = two_contributors();
    parent.add_person("tess");
    parent.grant("tess", v1::Role::Maintainer);
    parent.days(1);
    let stolen = parent.now;
    let place = parent.contribute("ben", "commit", 900_000);
    parent.validate("tess", place).unwrap();
    parent.decree(key_revoke("tess", stolen)).unwrap();
    let mut fork = fork(&parent, equation(1, &[EVERYBODY]));
    let ben = |world: &World| points(world, "ben");
    assert_eq!((ben(&parent), ben(&fork)), (915_000, 15_000));
    // The key is nobody's here either, and the work can be claimed and judged anew.
    let reject = fork.say("tess", vec![Kind::AgentJoin(v1::AgentJoin::default())]).unwrap_err();
    assert_eq!(reject.code, Code::KeyRevoked, "{reject}");
    parent.decree(effects_confirm("tess", &[])).unwrap();
    fork = self::fork(&parent, equation(1, &[EVERYBODY]));
    assert_eq!(ben(&fork), 915_000);
}

fn judged(logs: &[RawLog]) -> (Verdict, Vec<Found>) {
    let found = audit(&in_memory(logs), &Options::default()).unwrap();
    (
        found.verdict,
        found
            .findings
            .iter()
            .filter(|f| f.code.severity() != subak_ledger::audit::Severity::Warning)
            .map(|f| f.code)
            .collect(),
    )
}

#[test]
fn the_audit_holds_a_fork_against_its_parent_and_that_against_its_own() {
    let mut parent = two_contributors();
    let fork_1 = fork(&parent, equation(1, &[EVERYBODY]));
    let fork_2 = fork(&fork_1, equation(1, &[EVERYBODY]));
    parent.contribute("ana", "commit", 1_000);
    let log = |world: &World| RawLog::of(world, vec![]);
    let (p, one, two) = (log(&parent), log(&fork_1), log(&fork_2));
    assert_eq!(judged(&[p.clone(), one.clone(), two.clone()]), (Verdict::Sound, vec![]));
    assert_eq!(judged(from_ref(&one)), (Verdict::Gap, vec![Found::ParentMissing]));
    // The chain is followed: one link that is not here is one gap.
    assert_eq!(judged(&[two.clone(), one.clone()]), (Verdict::Gap, vec![Found::ParentMissing]));
    // In several files, each fork is found in its own.
    let stores = [in_memory(from_ref(&two)), in_memory(from_ref(&one)), in_memory(from_ref(&p))];
    assert_eq!(forks(&[&stores[0], &stores[1], &stores[2]]).unwrap(), []);
    let missing = forks(&[&stores[0], &stores[2]]).unwrap();
    assert_eq!(
        missing.iter().map(|(at, f)| (*at, f.code)).collect::<Vec<_>>(),
        [(0, Found::ParentMissing)]
    );
    // A copy of the parent that ends too soon says nothing.
    let early = log(&two_contributors_until(3));
    assert_eq!(judged(&[early, one.clone()]).1, [Found::ParentMissing]);
}

/// The parent's log as it began.
fn two_contributors_until(size: u64) -> World {
    let whole = two_contributors();
    let mut world = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
    for (_, envelope) in &whole.entries[1..usize::try_from(size).unwrap()] {
        world.append(envelope.clone()).unwrap();
    }
    world
}

/// Whoever founds a fork can commit to whatever they like: the rules cannot tell, the audit does.
#[test]
fn a_founder_who_copies_something_else_is_found() {
    let parent = two_contributors();
    let mut false_parts = copy(&parent.state);
    let work = false_parts[0].work.iter_mut().find(|w| w.part[0].agent == "ana").unwrap();
    (work.part[0].quantity, work.part[0].counted, work.part[0].counted_unpaid) =
        (90_000, 90_000, 90_000);
    let mut cited = cite(&parent);
    cited.copy = digest_of(&false_parts[0]).to_vec();
    let mut fork = World::open(founding(cited, equation(1, &[EVERYBODY])));
    fork.say("sam", vec![Kind::ForkCopy(false_parts.remove(0))]).unwrap();
    assert_eq!(points(&fork, "ana"), 90_000);
    let logs = [RawLog::of(&parent, vec![]), RawLog::of(&fork, vec![])];
    assert_eq!(judged(&logs), (Verdict::Fault, vec![Found::ForkCopied]));
    // So is one who makes a parent up: its head is signed, by somebody.
    let mut made_up = parent.twin();
    made_up.contribute("ana", "commit", 1_000);
    let mut other = parent.twin();
    other.contribute("ben", "commit", 1_000);
    let fork = self::fork(&made_up, equation(1, &[EVERYBODY]));
    let logs = [RawLog::of(&other, vec![]), RawLog::of(&fork, vec![])];
    assert_eq!(judged(&logs), (Verdict::Fault, vec![Found::ForkParent]));
    let mut signed_by_another = cite(&parent);
    let nobody = key("operator of nobody");
    signed_by_another.operator = nobody.public().bytes().to_vec();
    signed_by_another.checkpoint = Checkpoint { ..parent.head() }.sign(&nobody);
    let mut fork = World::open(founding(signed_by_another, equation(1, &[EVERYBODY])));
    fork.say("sam", vec![parts(&parent).remove(0)]).unwrap();
    let logs = [RawLog::of(&parent, vec![]), RawLog::of(&fork, vec![])];
    assert_eq!(judged(&logs), (Verdict::Fault, vec![Found::ForkParent]));
}

/// A ledger without a parent is what it always was, and its genesis the same bytes.
#[test]
fn a_genesis_without_a_parent_has_the_bytes_that_it_always_had() {
    let plain = genesis(v1::AgentKind::Commons, "ours", 1, Some(equation(1, &[EVERYBODY])));
    let bytes = plain.encode_to_vec();
    assert!(v1::Genesis::decode(&bytes[..]).unwrap().parent.is_none());
    let root: Hash = tree::EMPTY_ROOT;
    let with = v1::Genesis {
        parent: Some(v1::Parent { root: root.to_vec(), ..Default::default() }),
        ..plain
    };
    assert_eq!(with.encode_to_vec()[..bytes.len()], bytes, "it comes after all that was there");
}
