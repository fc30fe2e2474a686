//! Refusals of forks. What a fork is, as stories, is in `tests/fork.rs`; here is one row a code.

use super::{Row, row};
use crate::kit::*;
use subak_ledger::reject::{Code, Reject};
use subak_proto::v1::{self, event::Kind};

/// A fork of a commons whose genesis `alter` makes otherwise, and the part that it waits for.
fn founding(alter: fn(&mut v1::Parent)) -> (v1::Genesis, Kind) {
    let parent = two_contributors();
    let rules = equation(1, &[("all", 1_000_000, None, &[1])]);
    let mut genesis = genesis(v1::AgentKind::Commons, "the-fork", 1, Some(rules));
    alter(genesis.parent.insert(cite(&parent)));
    (genesis, parts(&parent).remove(0))
}

fn cited(alter: fn(&mut v1::Parent)) -> Reject {
    World::refused_genesis(founding(alter).0)
}

pub const ROWS: &[Row] = &[
    row(Code::ParentInvalid, "a root that was not signed", "consistency", || {
        cited(|p| p.root[0] ^= 1)
    }),
    row(Code::ParentInvalid, "a head of another operator", "expected one signature", || {
        cited(|p| p.operator = key("operator of nobody").public().bytes().to_vec())
    }),
    row(Code::ParentInvalid, "a weak key", "small order", || cited(|p| p.operator = vec![0; 32])),
    row(Code::ForkIncomplete, "an event before the copy", "next is part", || {
        World::open(founding(|_| {}).0)
            .refusal("sam", vec![Kind::AgentAdmit(v1::AgentAdmit { agent: "mia".into() })])
    }),
    row(Code::ForkCopyMisplaced, "a part with something beside it", "no other event", || {
        let (genesis, part) = founding(|_| {});
        World::open(genesis).refusal("sam", vec![part.clone(), part])
    }),
    row(Code::ForkCopyMisplaced, "a part once more", "whole already", || {
        let (genesis, part) = founding(|_| {});
        let mut fork = World::open(genesis);
        fork.say("clerk", vec![part.clone()]).unwrap();
        fork.refusal("clerk", vec![part])
    }),
    row(Code::ForkCopyMisplaced, "a part for a ledger that is no fork", "no fork", || {
        two_contributors().refusal("clerk", vec![founding(|_| {}).1])
    }),
    row(Code::ForkCopyFalse, "another part than the genesis names", "expected part", || {
        let (genesis, part) = founding(|p| p.copy[0] ^= 1);
        World::open(genesis).refusal("clerk", vec![part])
    }),
];
