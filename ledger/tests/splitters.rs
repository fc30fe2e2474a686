//! The mistakes of published splitters of income, one test each: dust for a weightless
//! recipient, an empty bucket's money for the largest, ties broken by order, the second
//! way to somebody paid nothing, and new rules that move what is already earned.

#![allow(clippy::unwrap_used)]

mod hand;

use hand::*;
use std::{collections::BTreeSet, sync::Arc};
use subak_ledger::{
    book::{equation::*, split::*, types::*},
    log::handle::Handle,
};
use subak_proto::v1;

#[test]
fn dust_never_goes_to_a_weightless_member_listed_first() {
    let mut bucket = contributors(&[1, 0]);
    bucket.count(A, 0, 1_000_000); // first in every order, most points, no weight by now
    bucket.count(B, 1, 1);
    bucket.count(C, 1, 2);
    for _ in 0..10 {
        spread(&mut bucket, 1, 1);
    }
    assert_eq!(bucket.accrued(A, eur()), 0);
    let pot = bucket.pot(eur()).unwrap();
    assert_eq!(bucket.accrued(B, eur()) + bucket.accrued(C, eur()) + pot.carry, fixed(10));
}

#[test]
fn an_empty_buckets_money_does_not_go_to_the_largest_recipient() {
    let equation = equation(&[
        ("big", 900_000, To::Agent(A)),
        ("carers", 100_000, contributors_to(&[Stream::Care])),
    ]);
    let got = equation.work_out(&example(10_000, &[("ana", Stream::Love)])).unwrap();
    assert_eq!(got, [(Handle::new("big").unwrap(), 9_000)].into(), "10.00 are held");
}

#[test]
fn equal_members_get_equal_amounts_in_whatever_order_they_come() {
    let orders = [[A, B, C], [C, A, B], [B, C, A]];
    let mut results = Vec::new();
    for order in orders {
        let mut bucket = contributors(&[1]);
        for agent in order {
            bucket.count(agent, 0, 1_000);
        }
        spread(&mut bucket, 0, 100); // does not divide by three
        results.push([A, B, C].map(|agent| bucket.accrued(agent, eur())));
    }
    assert!(results.iter().flatten().all(|v| *v == results[0][0]), "no tie is broken");
}

#[test]
fn an_agent_reached_by_two_ways_is_paid_by_both() {
    let equation = equation(&[
        ("ana", 300_000, To::Agent(A)),
        ("everybody", 300_000, contributors_to(&[])),
        ("carers", 400_000, contributors_to(&[Stream::Care])),
    ]);
    let got = equation
        .work_out(&example(10_000, &[("ana", Stream::Care), ("ben", Stream::Love)]))
        .unwrap();
    let amounts = [("ana", 3_000 + 1_500 + 4_000), ("ben", 1_500)];
    assert_eq!(got, amounts.map(|(h, v)| (Handle::new(h).unwrap(), v)).into());
}

#[test]
fn new_rules_leave_what_is_earned_where_it_is() {
    let old = equation(&[("all", 1_000_000, contributors_to(&[]))]);
    let new = equation(&[("all", 1_000_000, contributors_to(&[Stream::Care]))]);
    let resolve = |e: &Equation| Arc::new(e.buckets[0].resolve(|_| Ok(A)).unwrap());
    assert_ne!(old.buckets[0].id(), new.buckets[0].id(), "a changed bucket is a new bucket");

    let mut before = Bucket::new(resolve(&old));
    before.count(A, 0, 1_000);
    let mut point = spread(&mut before, 0, 100);
    // The new rules: A's work no longer counts anywhere, B's does.
    before.discount(A, 0, 1_000);
    let mut after = Bucket::new(resolve(&new));
    after.count(B, 0, 1_000);
    spread(&mut after, 1, 100);
    before.settle_to(eur(), &mut point, 100);
    assert_eq!(whole(before.accrued(A, eur())), 100);
    assert_eq!(whole(before.payable(A, eur())), 100, "cash for old income finds its people");
    assert_eq!(before.accrued(B, eur()), 0);
    assert_eq!(whole(after.accrued(B, eur())), 100);
}

#[test]
fn a_share_alone_does_not_make_a_new_bucket() {
    let small =
        equation(&[("all", 400_000, contributors_to(&[])), ("rest", 600_000, To::Agent(A))]);
    let large =
        equation(&[("all", 600_000, contributors_to(&[])), ("rest", 400_000, To::Agent(A))]);
    for (s, l) in small.buckets.iter().zip(&large.buckets) {
        assert_eq!(s.id(), l.id());
    }
    assert_ne!(small.buckets[0].id(), small.buckets[1].id());
}

fn contributors_to(streams: &[Stream]) -> To {
    To::Contributors(Filter {
        kinds: BTreeSet::new(),
        streams: streams.iter().copied().collect(),
        unpaid_only: false,
        weight: vec![1],
    })
}

/// An equation with these buckets; an agent's bucket belongs to the agent of its name.
fn equation(buckets: &[(&str, u32, To)]) -> Equation {
    let bucket = buckets.iter().map(|(name, share, to)| v1::Bucket {
        name: (*name).into(),
        share: *share,
        to: Some(match to {
            To::Agent(_) => v1::bucket::To::Agent((*name).into()),
            To::Contributors(f) => v1::bucket::To::Contributors(v1::Contributors {
                stream: f.streams.iter().map(|s| s.to_wire()).collect(),
                weight: f.weight.clone(),
                ..Default::default()
            }),
        }),
    });
    Equation::from_wire(v1::Equation {
        name: "test".into(),
        version: 1,
        validators: 1,
        rate: vec![v1::Rate { kind: "hours".into(), points: 1 }],
        bucket: bucket.collect(),
        ..Default::default()
    })
    .unwrap()
}

/// One hour each.
fn example(minor: Minor, work: &[(&str, Stream)]) -> v1::Example {
    let work = work.iter().map(|(agent, stream)| v1::ExampleWork {
        agent: (*agent).into(),
        kind: "hours".into(),
        stream: stream.to_wire(),
        remuneration: Remuneration::Unpaid.to_wire(),
        quantity: 1_000,
        age_months: 0,
    });
    v1::Example {
        income: Some(v1::Amount { currency: "EUR".into(), minor }),
        work: work.collect(),
        amount: vec![],
    }
}
