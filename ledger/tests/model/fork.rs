//! At the end of a history the commons is forked: each bucket sees the points that it saw there, now and
//! when what waits has matured; and the fork's accounts begin at nothing.

use crate::kit::{World, cite, currency, fork_of, genesis};
use subak_ledger::book::{
    equation::{BucketId, To},
    state::State,
    types::month_of_day,
};
use subak_proto::v1;

/// Names in the equation must be known from the start; their keys come with the copy.
fn named(state: &State, rules: &v1::Equation) -> Vec<v1::AgentAdd> {
    let buckets = rules.bucket.iter().filter_map(|b| match &b.to {
        Some(v1::bucket::To::Agent(handle)) => Some(handle.as_str()),
        _ => None,
    });
    let fallback = [rules.fallback.as_str()].into_iter().filter(|handle| !handle.is_empty());
    let mut handles: Vec<&str> = buckets.chain(fallback).collect();
    handles.sort_unstable();
    handles.dedup();
    let kind = |handle: &str| {
        state.agents.iter().find(|a| a.handle.as_str() == handle).unwrap().kind.to_wire()
    };
    let add = |handle: &&str| v1::AgentAdd {
        handle: (*handle).into(),
        kind: kind(handle),
        ..Default::default()
    };
    handles.iter().map(add).collect()
}

fn fork(parent: &World, rules: &v1::Equation) -> World {
    let rules = v1::Equation { version: 1, ..rules.clone() };
    let mut founded = genesis(v1::AgentKind::Commons, "the-fork", 1, None);
    founded.agent = named(&parent.state, &rules);
    founded.equation = Some(rules);
    founded.parent = Some(cite(parent));
    fork_of(parent, founded)
}

type Weights = Vec<(BucketId, Vec<i128>)>;

/// Of the buckets of this equation: all weighted points, this month and some later.
fn weights(world: &World, rules: &[BucketId]) -> Weights {
    let month = month_of_day(world.today());
    let of = |id: &BucketId| {
        let bucket = &world.state.buckets[id];
        let contributors = matches!(bucket.def.to, To::Contributors(_));
        let all = (0..30).map(|later| bucket.weight(month + later));
        contributors.then(|| (*id, all.collect()))
    };
    rules.iter().filter_map(of).collect()
}

fn points(state: &State) -> Vec<(String, u64)> {
    let all = state.agents.iter().map(|a| (a.handle.to_string(), state.points(a.id)));
    let mut all: Vec<_> = all.filter(|(_, points)| *points > 0).collect();
    all.sort();
    all
}

pub fn agree(parent: &mut World, rules: &v1::Equation) {
    let mut fork = fork(parent, rules);
    let ids: Vec<BucketId> = fork.state.buckets.keys().copied().collect();
    for a in parent.state.agents.iter().filter(|a| !a.clerk && a.admitted) {
        let id = fork.id(a.handle.as_str());
        let copied = fork.state.agent(id);
        assert_eq!((&copied.keys, copied.kind), (&a.keys, a.kind), "{}", a.handle);
        let person = |state: &State, alias: Option<(_, u64)>| {
            alias.map(|(person, since)| (state.agent(person).handle.clone(), since))
        };
        assert_eq!(person(&fork.state, copied.alias), person(&parent.state, a.alias));
        assert_eq!(fork.state.accrued(id, currency("EUR")), 0);
    }
    for wait in [0, 3, 60] {
        for world in [&mut *parent, &mut fork] {
            world.days(wait);
            world.add_unclaimed(&format!("somebody-{}", world.state.size));
        }
        assert_eq!(weights(&fork, &ids), weights(parent, &ids), "{wait} days later");
        assert_eq!(points(&fork.state), points(&parent.state), "{wait} days later");
    }
    assert_eq!(fork.state.check(), Vec::<String>::new());
    assert_eq!(fork.state.accounts.iter().count(), 0);
}
