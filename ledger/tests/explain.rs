//! The reasons that an explanation gives are those that the split used: the contributions
//! behind an agent's points are read from the book as the income met it.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::{
    book::{
        explain::Reason,
        state::{Lies, State},
    },
    log::{KeyCache, Leaf, Unverified},
};
use subak_proto::v1::{self, event::Kind};

fn reasons(world: &World, agent: &str) -> Vec<Reason> {
    world.state.reasons(world.id(agent), currency(EUR))
}

/// The book as a reason's points were met, folded from the log as a reader does it.
fn book_of(world: &World, reason: &Reason) -> State {
    let (entry, event) = reason.spread_at;
    let (mut state, mut journal, mut keys) = (State::default(), vec![], KeyCache::default());
    for (leaf, envelope) in &world.entries {
        let leaf = Leaf::from_bytes(leaf).unwrap();
        let statement = Unverified::parse(envelope).unwrap().verify(&mut keys).unwrap();
        if state.size == entry {
            state.replay_until(&statement, leaf.recorded_at, event).unwrap();
            return state;
        }
        state.replay_statement(&statement, leaf.recorded_at, &mut journal).unwrap();
        state.seal(leaf.chain_hash());
    }
    panic!("entry {entry} is in the log")
}

/// Thousandths of points that the contributions in that book give an agent, in a bucket
/// where every point weighs one.
fn traced(world: &World, agent: &str, reason: &Reason) -> i128 {
    let then = book_of(world, reason);
    let counted =
        then.work(world.id(agent)).filter_map(|w| w.part.standing.as_ref().map(|s| s.counted));
    counted.map(i128::from).sum()
}

fn release(world: &mut World, income: u64) {
    let incomes = vec![income];
    let release = v1::HeldRelease { income: incomes, bucket: "contributors".into() };
    world.decree(Kind::HeldRelease(release)).unwrap();
}

/// Notice and maturity of no days, as in the template `solo`: all of it in one month.
#[test]
fn a_lot_released_in_the_month_it_was_held_is_explained_by_the_points_of_its_release() {
    let mut world = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
    world.add_person("ana");
    world.gift(10_000);
    let place = world.contribute("ana", "commit", 3_000);
    world.validate("sam", place).unwrap();
    release(&mut world, 1);
    let place = world.contribute("ana", "commit", 5_000);
    world.validate("sam", place).unwrap();
    let [reason] = &reasons(&world, "ana")[..] else { panic!("one income") };
    assert!(reason.was_held);
    assert_eq!((reason.points, reason.all_points), (3_000, 3_000));
    assert_eq!(traced(&world, "ana", reason), 3_000, "not what was there before it, nor since");
}

#[test]
fn a_lot_that_time_released_is_explained_by_the_points_of_that_date() {
    let slow =
        v1::Equation { notice_days: 2, ..equation(1, &[("contributors", 1_000_000, None, &[1])]) };
    let mut world = World::commons(slow);
    world.add_person("ana");
    world.gift(10_000);
    let place = world.contribute("ana", "commit", 3_000);
    world.validate("sam", place).unwrap();
    release(&mut world, 1);
    world.days(3);
    // The entry that finds the release due validates more, after it.
    let place = v1::Ref { entry: world.state.size, event: 0 };
    let claim = v1::Contribute {
        reference: "test:more".into(),
        kind: "commit".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: world.today(),
        part: vec![v1::Part { agent: "ana".into(), quantity: 5_000 }],
        evidence: vec![],
    };
    let all = v1::Validate {
        span: vec![v1::Span { first: Some(place), last: Some(place) }],
        remuneration: v1::Remuneration::Unpaid as i32,
        quantity: vec![],
    };
    let entry = world.say("sam", vec![Kind::Contribute(claim), Kind::Validate(all)]).unwrap();
    let [reason] = &reasons(&world, "ana")[..] else { panic!("one income") };
    assert_eq!((reason.was_held, reason.spread_at), (true, (entry, None)));
    assert_eq!(traced(&world, "ana", reason), reason.points);
}

#[test]
fn what_the_same_statement_validates_after_an_income_is_no_reason_for_it() {
    let mut world = two_contributors();
    let place = world.contribute("ana", "commit", 9_000);
    let gift = v1::IncomeRecord {
        payer: "phyle-a".into(),
        amount: Some(v1::Amount { currency: EUR.into(), minor: 3_000 }),
        bank: "bank:one".into(),
        note: vec![],
    };
    let validate = v1::Validate {
        span: vec![v1::Span { first: Some(place), last: Some(place) }],
        remuneration: v1::Remuneration::Unpaid as i32,
        quantity: vec![],
    };
    world.say("sam", vec![Kind::IncomeRecord(gift), Kind::Validate(validate)]).unwrap();
    let [reason] = &reasons(&world, "ana")[..] else { panic!("one income") };
    assert_eq!((reason.was_held, reason.points), (false, 15_000));
    assert_eq!(traced(&world, "ana", reason), 15_000);
}

#[test]
fn a_part_that_is_held_is_spread_nowhere() {
    let mut world = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
    world.gift(10_000);
    let share = &world.state.incomes[0].shares[0];
    assert!(matches!(share.lies, Lies::Held));
    assert_eq!(share.spread_at, None);
}
