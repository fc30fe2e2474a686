//! What an audit mentions although no rule is broken: with names and numbers, and only where it is so.

#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use subak_ledger::audit::Verdict;
use subak_proto::v1::{self, Role, event::Kind};

/// What is mentioned under a code, without meaning and next step; the verdict stays.
fn mentioned(world: &World, code: &str) -> Vec<String> {
    let found = audit_logs(&[RawLog::of(world, vec![])]);
    assert_eq!(found.verdict, Verdict::Sound, "{:?}", found.findings);
    let said = found.findings.iter().filter(|f| f.code.name() == code);
    said.map(|f| {
        let (_, detail) = f.message.split_once(": ").unwrap();
        detail.split("; next: ").next().unwrap().to_owned()
    })
    .collect()
}

/// ana, ben and cleo are maintainers beside sam.
fn maintainers(validators: u32) -> World {
    let mut world = with_two(for_everybody(validators, 0));
    world.add_person("cleo");
    for name in ["ana", "ben", "cleo"] {
        world.grant(name, Role::Maintainer);
    }
    world
}

fn work(world: &mut World, of: &str, by: &[&str]) {
    let place = world.contribute(of, "commit", 1_000);
    for by in by {
        world.validate(by, place).unwrap();
    }
}

#[test]
fn two_who_validate_each_other_alone_are_named_with_how_much() {
    let mut world = maintainers(1);
    work(&mut world, "ana", &["ben"]);
    work(&mut world, "ana", &["ben"]);
    work(&mut world, "ana", &["cleo"]);
    work(&mut world, "cleo", &["ben"]);
    assert_eq!(mentioned(&world, "reciprocal-validation"), [""; 0], "one way round is no circle");
    work(&mut world, "ben", &["ana"]);
    let said = "ben alone validated 2 of ana's 3 parts, and ana alone 1 of ben's 1";
    assert_eq!(mentioned(&world, "reciprocal-validation"), [said]);
    // What is not validated counts for nothing.
    work(&mut world, "ben", &[]);
    assert_eq!(mentioned(&world, "reciprocal-validation"), [said]);
}

#[test]
fn where_two_must_agree_a_pair_is_not_alone() {
    let mut world = maintainers(2);
    work(&mut world, "ana", &["ben", "cleo"]);
    work(&mut world, "ben", &["ana", "cleo"]);
    assert_eq!(mentioned(&world, "reciprocal-validation"), [""; 0]);
    assert_eq!(mentioned(&world, "single-validator"), [""; 0]);
    assert_eq!(mentioned(&maintainers(1), "single-validator"), ["equation test version 1"]);
}

#[test]
fn numbers_that_were_skipped_are_told_run_by_run() {
    let mut world = World::phyle("our-phyle");
    let void = |world: &mut World, number| {
        let void = v1::InvoiceVoid { series: "inv".into(), number };
        world.say("sam", vec![Kind::InvoiceVoid(void)]).unwrap();
    };
    for number in [3, 4, 9, 12] {
        world.earn(number, 1_000);
    }
    void(&mut world, 6);
    void(&mut world, 10);
    let told = ["series inv, 5 to 5", "series inv, 7 to 8", "series inv, 11 to 11"];
    assert_eq!(mentioned(&world, "invoice-gap"), told);
    for number in [5, 7, 8, 11] {
        void(&mut world, number);
    }
    assert_eq!(mentioned(&world, "invoice-gap"), [""; 0], "before the first nothing is missing");
}
