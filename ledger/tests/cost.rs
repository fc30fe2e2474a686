//! What an income costs, counted and not timed: the same with a hundred contributors as
//! with twenty thousand.
//!
//! Three counts. The split tells how many entries of its tables it visits. The postings
//! are as many. And of everything in the state that has a part for each contributor the
//! state after an income still shares the very nodes with the state before it: nothing of
//! it was written, not even to the same value.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::book::{
    accounts::{Account, Posting},
    split::{Moved, parts},
    state::State,
    types::AgentId,
};
use subak_proto::v1::{self, event::Kind};

const FEW: usize = 100;
const MANY: usize = 20_000;

/// A commons with that many people, each with one validated hour.
fn commons(people: usize) -> World {
    let shares =
        [("association", 150_000, Some("association"), &[][..]), ("work", 850_000, None, &[1])];
    let mut world = World::commons(equation(1, &shares));
    let names: Vec<String> = (0..people).map(|n| format!("person-{n}")).collect();
    let day = world.today();
    for part in names.chunks(1_000) {
        world.say("sam", part.iter().map(|name| person(name)).collect()).unwrap();
    }
    let first = world.state.size;
    for part in names.chunks(1_000) {
        world.say("sam", part.iter().map(|name| hour(name, day)).collect()).unwrap();
    }
    let place = |entry, event| Some(v1::Ref { entry, event });
    let span = vec![v1::Span { first: place(first, 0), last: place(world.state.size - 1, 999) }];
    let remuneration = v1::Remuneration::Unpaid as i32;
    let all = v1::Validate { span, remuneration, quantity: vec![] };
    world.say("sam", vec![Kind::Validate(all)]).unwrap();
    world
}

fn person(handle: &str) -> Kind {
    let kind = v1::AgentKind::Person as i32;
    Kind::AgentAdd(v1::AgentAdd { handle: handle.into(), kind, ..Default::default() })
}

fn hour(agent: &str, worked_on: u32) -> Kind {
    Kind::Contribute(v1::Contribute {
        reference: format!("test:{agent}"),
        kind: "hours".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on,
        part: vec![v1::Part { agent: agent.into(), quantity: 1_000 }],
        evidence: vec![],
    })
}

/// What of the state has a part for each contributor and was written, by name.
fn written(before: &State, after: &State) -> Vec<String> {
    let tables = [
        ("agents", before.agents.ptr_eq(&after.agents)),
        ("handles", before.handles.ptr_eq(&after.handles)),
        ("keys", before.keys.ptr_eq(&after.keys)),
        ("claims", before.claims.ptr_eq(&after.claims)),
        ("agenda", before.agenda.ptr_eq(&after.agenda)),
        ("contributions", before.contributions.ptr_eq(&after.contributions)),
        ("references", before.references.ptr_eq(&after.references)),
        ("work_of", before.work_of.ptr_eq(&after.work_of)),
        ("drawn", before.drawn.ptr_eq(&after.drawn)),
    ];
    let buckets = before.buckets.iter().map(|(id, bucket)| {
        (bucket.def.name.as_str(), bucket.shares_agents_with(&after.buckets[id]))
    });
    let all = tables.into_iter().chain(buckets);
    all.filter(|(_, same)| !same).map(|(name, _)| name.to_owned()).collect()
}

/// Runs a step; returns how many postings it made, and requires that no table of
/// contributors was written.
fn counted<T>(world: &mut World, name: &str, step: impl FnOnce(&mut World) -> T) -> (usize, T) {
    let before = world.state.clone();
    let result = step(world);
    assert_eq!(written(&before, &world.state), Vec::<String>::new(), "{name} wrote");
    (world.postings.len(), result)
}

/// The postings of each thing that happens to an income.
fn a_life(people: usize) -> Vec<(&'static str, usize)> {
    let (mut commons, mut phyle) = (commons(people), World::phyle("phyle-a"));
    let terms = commons.terms(&phyle, "phyle-a", 100_000);
    let agreement = agree(&mut phyle, &mut commons, terms);
    let (gift, _) = counted(&mut commons, "gift", |c| c.gift(123_457));
    let sale = phyle.earn(1, 1_000_000);
    let (take, _) = counted(&mut commons, "take", |c| c.take(&phyle, sale, agreement).unwrap());
    let (cash, _) = counted(&mut commons, "cash", |c| c.settle(agreement, 60_000).unwrap());
    let back = phyle.refund(1, 300_000);
    let (refund, _) = counted(&mut commons, "refund", |c| c.take(&phyle, back, agreement).unwrap());
    let last = format!("person-{}", people - 1);
    assert!(commons.accrued(&last) > 0, "it did reach everybody");
    vec![("gift", gift), ("take", take), ("cash", cash), ("refund", refund)]
}

#[test]
fn an_income_costs_the_same_with_a_hundred_contributors_and_with_twenty_thousand() {
    let few = a_life(FEW);
    assert!(few.iter().all(|(_, postings)| *postings > 0), "{few:?}");
    assert_eq!(few, a_life(MANY));
}

/// Every line of it paid: a run that leaves nothing to decide.
fn run_paid(world: &mut World, minor: u64) {
    let run = world.propose(&[("association", minor)]).unwrap();
    world.paid(run, &["association"]).unwrap();
}

#[test]
fn an_income_costs_the_same_after_two_payout_runs_and_after_two_hundred() {
    let mut world = commons(FEW);
    world.gift(10_000_000);
    let mut after = |runs: u64| {
        (0..runs).for_each(|_| run_paid(&mut world, 10));
        let (postings, _) = counted(&mut world, "gift", |c| c.gift(123_457));
        // What a walk over all accounts, and one over the cash accounts alone, visits.
        let cash = world.state.accounts.cash_from(AgentId(0), currency(EUR)).count();
        (postings, world.state.accounts.iter().count(), cash)
    };
    let few = after(2);
    assert_eq!(few.2, 2, "the association's cash and the contributors'");
    assert_eq!(few, after(198));
}

/// How many postings of the last statement moved cash.
fn of_cash(world: &World) -> usize {
    let cash = |posting: &&Posting| matches!(posting.account, Account::Cash(..));
    world.postings.iter().filter(cash).count()
}

#[test]
fn an_event_moves_cash_between_funds_once_however_many_incomes_it_touches() {
    let (mut commons, mut phyle) = (commons(1), World::phyle("phyle-a"));
    let terms = commons.terms(&phyle, "phyle-a", 100_000);
    let agreement = agree(&mut phyle, &mut commons, terms);
    for number in 1..=60 {
        let sale = phyle.earn(number, 10_000);
        commons.take(&phyle, sale, agreement).unwrap();
    }
    commons.settle(agreement, 40_000).unwrap();
    assert_eq!(of_cash(&commons), 3, "40 incomes settled: cash comes, then one movement");
    let off = v1::WriteOff { income: (41..=60).collect() };
    commons.decree(Kind::WriteOff(off)).unwrap();
    assert_eq!(of_cash(&commons), 0, "nothing of them was settled");
    commons.settle(agreement, 20_000).unwrap();
    assert_eq!(of_cash(&commons), 3, "20 reinstated");
}

/// What the split itself visits, in the bucket of everybody's work.
fn split_visits(people: usize) -> Vec<u32> {
    let world = commons(people);
    let work = world.state.buckets.values().find(|b| b.def.name == handle("work"));
    let mut bucket = work.unwrap().clone();
    assert_eq!(bucket.members().count(), people);
    let spread = |number: u64| -> Moved {
        let part = parts(1_000 + number, &[850_000, 150_000])[0];
        bucket.spread(currency(EUR), 600, part, 1_000 + number).1
    };
    (0..50).map(spread).map(|moved| moved.visited).collect()
}

#[test]
fn the_split_visits_as_many_nodes_for_twenty_thousand_as_for_a_hundred() {
    let few = split_visits(FEW);
    assert!(few.iter().all(|visited| (1..=33).contains(visited)), "{few:?}");
    assert_eq!(few, split_visits(MANY));
}

/// That the comparison above can see: one validated hour more, and the tables differ.
#[test]
fn work_that_begins_to_count_is_written_for_its_agent() {
    let mut world = commons(FEW);
    let before = world.state.clone();
    let place = world.contribute("person-7", "hours", 1_000);
    world.validate("sam", place).unwrap();
    let found = written(&before, &world.state);
    assert_eq!(found, ["contributions", "references", "work_of", "work"]);
}
