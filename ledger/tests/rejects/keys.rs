//! Refusals of keys that are revoked and recovered, and of what they have signed.

use super::{
    Row,
    agents::{claim, join, with_unclaimed},
    row,
    statement::{contribution, propose, quorum_of_two},
};
use crate::kit::*;
use subak_ledger::reject::{Code, Reject};
use subak_proto::v1::{self, event::Kind};

/// Ana's work is claimed with the key that she revokes, and paid for by a gift.
fn frozen() -> World {
    let mut world = two_contributors();
    let since = world.now;
    let work = v1::Contribute { reference: "git:ana".into(), ..contribution("ana") };
    let entry = world.say("ana", vec![Kind::Contribute(work)]).unwrap();
    world.validate("sam", v1::Ref { entry, event: 0 }).unwrap();
    world.gift(10_000);
    let more = world.key_add("ana", "ana's 2");
    world.say("ana", vec![more, key_revoke("ana", since)]).unwrap();
    world
}

fn revoked() -> World {
    let mut world = two_contributors();
    let now = world.now;
    world.say("ana", vec![key_revoke("ana", now)]).unwrap();
    world
}

fn refused_revocation(author: &str, name: &str, since: u64) -> Reject {
    two_contributors().refusal(author, vec![key_revoke(name, since)])
}

pub const ROWS: &[Row] = &[
    row(Code::KeyRevoked, "a revoked key signs", "revoked at entry 7", || {
        revoked().refusal("ana", vec![Kind::Contribute(contribution("ana"))])
    }),
    row(Code::KeyRevoked, "an earlier event has revoked it", "revoked at entry 7", || {
        let mut world = two_contributors();
        let revoke = key_revoke("ana", world.now);
        world.refusal("ana", vec![revoke, Kind::Contribute(contribution("ana"))])
    }),
    row(Code::KeyRevoked, "revoked twice", "revoked at entry 7", || {
        let mut world = revoked();
        let again = key_revoke("ana", world.now);
        world.refused_decree(again)
    }),
    row(Code::KeyTaken, "a revoked key comes back", "5bdd4d445014d801", || {
        let mut world = revoked();
        let again = world.key_recover("ana", "ana");
        world.refused_decree(again)
    }),
    row(Code::KeyTaken, "a revoked key introduces somebody", "5bdd4d445014d801", || {
        let mut world = revoked();
        world.sign_with("twin", "ana");
        world.refusal("twin", vec![join()])
    }),
    row(Code::UnknownKey, "nobody's key is revoked", "0791dd5b128fc28d", || {
        refused_revocation("ana", "laptop", START)
    }),
    row(Code::UnknownKey, "nobody's key is confirmed", "0791dd5b128fc28d", || {
        two_contributors().refused_decree(effects_confirm("laptop", &[]))
    }),
    row(Code::QuorumRequired, "somebody else's key", "the key is ben's", || {
        refused_revocation("ana", "ben", START)
    }),
    row(Code::QuorumRequired, "a steward alone gives a key", "KeyRecover", || {
        let mut world = revoked();
        let recover = world.key_recover("ana", "ana's 2");
        world.refusal("sam", vec![recover])
    }),
    row(Code::ClerkMayNot, "the clerk revokes its key", "KeyRevoke", || {
        refused_revocation("clerk", "clerk of our-commons", START)
    }),
    row(Code::WrongAgentKind, "the clerk's key", "clerk is no person", || {
        two_contributors().refused_decree(key_revoke("clerk of our-commons", START))
    }),
    row(Code::FutureSince, "since tomorrow", "found 1767225600001", || {
        refused_revocation("ana", "ana", START + 1)
    }),
    row(Code::Malformed, "since never", "since", || refused_revocation("ana", "ana", 0)),
    row(Code::LastStewards, "the only key of one of two", "2 stewards", || {
        let mut world = quorum_of_two();
        let now = world.now;
        world.refusal("mia", vec![key_revoke("mia", now)])
    }),
    row(Code::LastStewards, "the role of one while the other has no key", "1 stewards", || {
        let mut world = two_contributors();
        let now = world.now;
        world.say("mia", vec![key_revoke("mia", now)]).unwrap();
        world.refused_decree(super::agents::revoke("sam", v1::Role::Steward))
    }),
    row(Code::WrongAgentKind, "a key for an institution", "trust is no person", || {
        let mut world = two_contributors();
        let recover = world.key_recover("trust", "laptop");
        world.refused_decree(recover)
    }),
    row(Code::PayeeUnclaimed, "a key for whom nobody has claimed", "git-7 never had", || {
        let mut world = with_unclaimed();
        let recover = world.key_recover("git-7", "laptop");
        world.refused_decree(recover)
    }),
    row(Code::BadPossession, "a key proven for somebody else", "0791dd5b128fc28d", || {
        let mut world = revoked();
        let possession = world.possession("ben", "laptop");
        let key = key("laptop").public().bytes().to_vec();
        let agent = "ana".into();
        world.refused_decree(Kind::KeyRecover(v1::KeyRecover { agent, key, possession }))
    }),
    row(Code::NotUnclaimed, "a claim to somebody who has lost their key", "ana", || {
        revoked().refusal("ben", vec![claim("ana")])
    }),
    row(Code::NotProposable, "one adds a key oneself", "KeyAdd", || {
        let mut world = two_contributors();
        let add = world.key_add("sam", "laptop");
        world.refusal("sam", vec![propose(add)])
    }),
    row(Code::NothingFrozen, "a key whose effects are all confirmed", "5bdd4d445014d801", || {
        let mut world = frozen();
        world.decree(effects_confirm("ana", &[])).unwrap();
        world.refused_decree(effects_confirm("ana", &[]))
    }),
    row(Code::NothingFrozen, "an agent released twice", "ana is released already", || {
        let mut world = frozen();
        world.decree(effects_confirm("ana", &["ana"])).unwrap();
        world.refused_decree(effects_confirm("ana", &["ana"]))
    }),
    row(Code::Malformed, "too many agents to release", "at most 100", || {
        let agents: Vec<String> = (0..101).map(|n| format!("p{n:03}")).collect();
        let agents: Vec<&str> = agents.iter().map(String::as_str).collect();
        frozen().refused_decree(effects_confirm("ana", &agents))
    }),
    row(Code::Frozen, "a payout line by work that the key claimed", "7.0 was claimed", || {
        frozen().propose(&[("ana", 100)]).unwrap_err()
    }),
];
