//! Refusals of agents, keys, roles and claims to unclaimed agents.

use super::{Row, row, statement::*};
use crate::kit::*;
use subak_ledger::reject::{Code, Reject};
use subak_proto::v1::{self, event::Kind};

fn add(handle: &str, key: &[u8]) -> Kind {
    Kind::AgentAdd(v1::AgentAdd {
        handle: handle.into(),
        kind: v1::AgentKind::Person as i32,
        key: key.to_vec(),
        ..Default::default()
    })
}

fn admit(agent: &str) -> Kind {
    Kind::AgentAdmit(v1::AgentAdmit { agent: agent.into() })
}

pub fn join() -> Kind {
    Kind::AgentJoin(v1::AgentJoin::default())
}

pub fn claim(unclaimed: &str) -> Kind {
    Kind::AgentClaim(v1::AgentClaim { unclaimed: unclaimed.into(), evidence: vec![] })
}

pub fn attest(unclaimed: &str, claimant: &str) -> Kind {
    Kind::ClaimAttest(v1::ClaimAttest { unclaimed: unclaimed.into(), claimant: claimant.into() })
}

fn add_key(key: &[u8]) -> Kind {
    Kind::KeyAdd(v1::KeyAdd { key: key.to_vec(), possession: vec![7; 64] })
}

/// The two contributors, and `git-7`, whom nobody has claimed.
pub fn with_unclaimed() -> World {
    let mut world = two_contributors();
    world.add_unclaimed("git-7");
    world
}

/// The same under an equation that asks two maintainers, with ana's claim to `git-7`.
fn with_claim() -> World {
    let mut equation = equation(1, &[("contributors", 1_000_000, None, &[1])]);
    equation.validators = 2;
    let mut world = World::commons(equation);
    world.add_person("ana");
    world.add_unclaimed("git-7");
    world.say("ana", vec![claim("git-7")]).unwrap();
    world
}

/// A ledger that has as many newcomers as it bears.
fn crowded() -> World {
    let mut world = two_contributors();
    for n in 0..1_000 {
        world.say(&format!("new-{n}"), vec![join()]).unwrap();
    }
    world
}

/// What a newcomer says first: who they are, and claims, so many events in all.
fn arrival(name: &str, events: u64) -> Vec<Kind> {
    let claim = |n: u64| {
        let reference = format!("git:{name}.{n}");
        Kind::Contribute(v1::Contribute { reference, ..contribution(name) })
    };
    std::iter::once(join()).chain((1..events).map(claim)).collect()
}

/// One newcomer who has said as much as one may.
fn talkative() -> World {
    let mut world = two_contributors();
    world.say("new", arrival("new", 100)).unwrap();
    world
}

/// A hundred of them: as much as all together may.
fn flooded() -> World {
    let mut world = two_contributors();
    for n in 0..100 {
        let name = format!("new-{n}");
        world.say(&name, arrival(&name, 100)).unwrap();
    }
    world
}

fn refuse(agents: &[&str]) -> Kind {
    Kind::AgentRefuse(v1::AgentRefuse { agent: agents.iter().map(|a| (*a).into()).collect() })
}

/// A newcomer whom sam has refused.
fn refused() -> World {
    let mut world = two_contributors();
    world.say("new", arrival("new", 2)).unwrap();
    world.say("sam", vec![refuse(&["new"])]).unwrap();
    world
}

fn erase(first: u8) -> Kind {
    Kind::Erase(v1::Erase { commitment: vec![vec![first; 32]] })
}

/// A further key of ana's.
pub fn further_key(world: &World, name: &str) -> Kind {
    let (ana, new) = (handle("ana"), key(name));
    let bytes = new.public().bytes();
    let text = subak_ledger::book::agents::possession_text(&world.state.ledger.0, &ana, &bytes);
    let possession = new.sign(&text).to_vec();
    Kind::KeyAdd(v1::KeyAdd { key: bytes.to_vec(), possession })
}

pub fn revoke(agent: &str, role: v1::Role) -> Kind {
    Kind::RoleRevoke(v1::RoleRevoke { agent: agent.into(), role: role as i32 })
}

fn refused_join(mut world: World, name: &str) -> Reject {
    world.refusal(name, vec![join()])
}

pub const ROWS: &[Row] = &[
    row(Code::NotAdmitted, "a role for a newcomer", "new", || {
        let mut world = two_contributors();
        world.say("new", vec![join()]).unwrap();
        world.refused_decree(grant("new", v1::Role::Maintainer))
    }),
    row(Code::NotAdmitted, "a newcomer erases", "new", || {
        let mut world = two_contributors();
        world.say("new", vec![join()]).unwrap();
        world.refusal("new", vec![erase(7)])
    }),
    row(Code::AlreadyErased, "erased by a steward", "0707070707070707", || {
        let mut world = two_contributors();
        world.say("sam", vec![erase(7)]).unwrap();
        world.refusal("ana", vec![erase(7)])
    }),
    row(Code::AlreadyErased, "twice in one statement", "0707070707070707", || {
        two_contributors().refusal("ana", vec![erase(7), erase(7)])
    }),
    row(Code::Malformed, "no commitment to erase", "expected 1 to 100", || {
        two_contributors().refusal("sam", vec![Kind::Erase(v1::Erase { commitment: vec![] })])
    }),
    row(Code::Malformed, "too many at once", "found 101", || {
        let commitment = (0..101).map(|n| vec![n + 1; 32]).collect();
        two_contributors().refusal("sam", vec![Kind::Erase(v1::Erase { commitment })])
    }),
    row(Code::Malformed, "commitments out of order", "ascending", || {
        let commitment = vec![vec![2; 32], vec![1; 32]];
        two_contributors().refusal("sam", vec![Kind::Erase(v1::Erase { commitment })])
    }),
    row(Code::Malformed, "the commitment that is none", "zeros", || {
        two_contributors().refusal("sam", vec![erase(0)])
    }),
    row(Code::ClerkMayNot, "the clerk erases", "Erase", || {
        two_contributors().refusal("clerk", vec![erase(7)])
    }),
    row(Code::UnknownAgent, "an agent that is not there", "no agent nobody", || {
        two_contributors().refusal("sam", vec![admit("nobody")])
    }),
    row(Code::HandleTaken, "ana once more", "ana", || {
        two_contributors().refusal("sam", vec![add("ana", &[])])
    }),
    row(Code::HandleTaken, "a reserved handle", "operator is reserved", || {
        refused_join(two_contributors(), "operator")
    }),
    row(Code::HandleTaken, "an agent introduces themself again", "ana", || {
        refused_join(two_contributors(), "ana")
    }),
    row(Code::KeyTaken, "ana's key for another", "5bdd4d445014d801", || {
        let key = key("ana").public().bytes();
        two_contributors().refusal("sam", vec![add("twin", &key)])
    }),
    row(Code::KeyTaken, "the operator's key for an agent", "4e1957ca232b8cf0", || {
        let mut world = two_contributors();
        let key = world.operator.public().bytes();
        world.refusal("sam", vec![add("double", &key)])
    }),
    row(Code::BadKey, "a weak key for an agent", "small order", || {
        two_contributors().refusal("sam", vec![add("weak", &[0; 32])])
    }),
    row(Code::AlreadyAdmitted, "ana is in", "ana", || {
        two_contributors().refusal("sam", vec![admit("ana")])
    }),
    row(Code::WrongAgentKind, "a role for an association", "association is no person", || {
        two_contributors().refused_decree(grant("association", v1::Role::Treasurer))
    }),
    row(Code::WrongAgentKind, "a role for the clerk", "clerk is no person", || {
        two_contributors().refused_decree(grant("clerk", v1::Role::Treasurer))
    }),
    row(Code::WrongAgentKind, "a role for a person without a key", "git-7 has no key", || {
        with_unclaimed().refused_decree(grant("git-7", v1::Role::Treasurer))
    }),
    row(Code::TooManyUnadmitted, "one newcomer too many", "1000 newcomers", || {
        refused_join(crowded(), "one-more")
    }),
    row(Code::TooManyUnadmitted, "one event of a newcomer too many", "authored 100 events", || {
        let withdraw = v1::RejectContribution {
            contribution: Some(v1::Ref { entry: 6, event: 1 }),
            reason: v1::RejectReason::Withdrawn as i32,
        };
        talkative().refusal("new", vec![Kind::RejectContribution(withdraw)])
    }),
    row(Code::TooManyUnadmitted, "one event of all newcomers too many", "10000 events", || {
        refused_join(flooded(), "one-more")
    }),
    row(Code::AgentRefused, "a refused newcomer goes on", "new", || {
        refused().refusal("new", vec![Kind::Contribute(contribution("new"))])
    }),
    row(Code::AgentRefused, "refused twice", "new is refused already", || {
        refused().refusal("sam", vec![refuse(&["new"])])
    }),
    row(Code::AgentRefused, "work of somebody refused", "new", || {
        let mut world = refused();
        let place = v1::Ref { entry: world.state.size - 2, event: 1 };
        world.refusal("sam", vec![Kind::Validate(super::work::span(place, place))])
    }),
    row(Code::AlreadyAdmitted, "a member is no newcomer to refuse", "ana", || {
        two_contributors().refusal("sam", vec![refuse(&["ana"])])
    }),
    row(Code::TooManyKeys, "a seventeenth key", "16 keys", || {
        let mut world = two_contributors();
        let keys: Vec<_> = (1..16).map(|n| further_key(&world, &format!("ana's {n}"))).collect();
        world.say("ana", keys).unwrap();
        let more = further_key(&world, "ana's last");
        world.refusal("ana", vec![more])
    }),
    row(Code::NotUnclaimed, "a claim to somebody with a key", "ben", || {
        two_contributors().refusal("ana", vec![claim("ben")])
    }),
    row(Code::NotUnclaimed, "a claim to an institution", "trust", || {
        two_contributors().refusal("ana", vec![claim("trust")])
    }),
    row(Code::DuplicateClaim, "the same claim to an agent again", "git-7", || {
        with_claim().refusal("ana", vec![claim("git-7")])
    }),
    row(Code::UnknownClaim, "an attestation of no claim", "ben does not claim git-7", || {
        with_unclaimed().refusal("sam", vec![attest("git-7", "ben")])
    }),
    row(Code::OwnClaim, "a maintainer attests their own", "sam", || {
        let mut world = with_unclaimed();
        world.say("sam", vec![claim("git-7")]).unwrap();
        world.refusal("sam", vec![attest("git-7", "sam")])
    }),
    row(Code::AlreadyAttested, "one maintainer twice", "git-7", || {
        let mut world = with_claim();
        world.say("sam", vec![attest("git-7", "ana")]).unwrap();
        world.refusal("sam", vec![attest("git-7", "ana")])
    }),
    row(Code::BadPossession, "a key that somebody else holds", "0791dd5b128fc28d", || {
        two_contributors().refusal("ana", vec![add_key(&key("laptop").public().bytes())])
    }),
    row(Code::RoleUnchanged, "a role that mia has", "mia is maintainer", || {
        two_contributors().refused_decree(grant("mia", v1::Role::Maintainer))
    }),
    row(Code::RoleUnchanged, "a role that ana lacks", "ana is not maintainer", || {
        two_contributors().refused_decree(revoke("ana", v1::Role::Maintainer))
    }),
    row(Code::LastStewards, "one steward for a quorum of two", "2 stewards", || {
        let mut world = quorum_of_two();
        let entry = world.say("sam", vec![propose(revoke("mia", v1::Role::Steward))]).unwrap();
        let digest = world.state.proposals[&entry].digest.to_vec();
        world.refusal("mia", vec![Kind::Approve(v1::Approve { entry, digest })])
    }),
];
