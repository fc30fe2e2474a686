//! What was wrong once and is not a refusal: each keeps its reproducer.

use super::{statement::*, work};
use crate::kit::*;
use subak_ledger::book::types::DAY_MS;
use subak_proto::v1::{self, event::Kind};

fn reject(place: v1::Ref) -> Kind {
    let reason = v1::RejectReason::NotUseful as i32;
    Kind::RejectContribution(v1::RejectContribution { contribution: Some(place), reason })
}

/// A release took effect at the month of the next entry, whenever somebody made one.
#[test]
fn a_release_is_weighed_at_its_own_date() {
    let released = |next_entry: u64| {
        let mut rules = equation(1, &[("contributors", 1_000_000, None, &[2, 1])]);
        rules.notice_days = 10;
        let mut world = World::commons(rules);
        for name in ["ana", "ben"] {
            world.add_person(name);
        }
        world.gift(9_000);
        let december = v1::Contribute { worked_on: world.today() - 1, ..contribution("ben") };
        let entry = world.say("ben", vec![Kind::Contribute(december)]).unwrap();
        world.validate("sam", v1::Ref { entry, event: 0 }).unwrap();
        let january = world.contribute("ana", "commit", 1_000);
        world.validate("sam", january).unwrap();
        let release = v1::HeldRelease { income: vec![1], bucket: "contributors".into() };
        world.decree(Kind::HeldRelease(release)).unwrap();
        world.now += next_entry;
        world.add_person("anybody");
        (world.accrued("ana"), world.accrued("ben"))
    };
    assert_eq!(released(10 * DAY_MS - 1), (0, 0), "not before its date");
    assert_eq!(released(10 * DAY_MS), (6_000, 3_000));
    // In February both would weigh the same.
    assert_eq!(released(40 * DAY_MS), (6_000, 3_000));
}

/// A range "as read" seconded one maintainer's pending wish to end a claim.
#[test]
fn a_validation_as_read_confirms_what_stands() {
    let mut rules = equation(1, &[("contributors", 1_000_000, None, &[1])]);
    rules.validators = 2;
    let mut world = World::commons(rules);
    for name in ["ana", "lea"] {
        world.add_person(name);
    }
    world.decree(grant("lea", v1::Role::Maintainer)).unwrap();
    let place = world.contribute("ana", "commit", 1_000);
    world.validate("sam", place).unwrap();
    world.validate("mia", place).unwrap();
    world.say("sam", vec![reject(place)]).unwrap();
    let first = v1::Ref { entry: 0, event: 0 };
    world.say("lea", vec![Kind::Validate(work::span(first, place))]).unwrap();
    world.gift(100);
    assert_eq!(world.accrued("ana"), 100, "her points stand");
    // Two who mean it end it, for income to come.
    world.say("sam", vec![reject(place)]).unwrap();
    world.say("lea", vec![reject(place)]).unwrap();
    world.gift(100);
    assert_eq!(world.accrued("ana"), 100);
}
