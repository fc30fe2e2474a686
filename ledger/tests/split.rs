//! The split against a naive model, at its limits, and against the mistakes of others.
//!
//! `SUBAK_LONG=1` runs 10,000 random histories; otherwise a few hundred.

#![allow(clippy::unwrap_used)]

mod hand;
#[path = "hand/naive.rs"]
mod naive;

use hand::*;
use naive::Model;
use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use subak_ledger::book::{equation::*, horizon::Horizon, split::*, types::*};

/// What of a part falls on `some` of the whole income, the last of it the rest.
fn part_of(part: Fixed, some: Minor, income: Minor) -> Fixed {
    if some == income { part } else { scale(part, some, income) }
}

fn reverse(bucket: &mut Bucket, point: &mut Point, to: Minor) {
    let part = part_of(point.part, to, point.income);
    bucket.reverse_to(eur(), point, to, part);
}

// ------------------------------------------------------------------- fixed cases

#[test]
fn half_the_points_are_half_the_money() {
    let mut bucket = contributors(&[1]);
    bucket.count(A, 0, 15_000);
    bucket.count(B, 0, 15_000);
    let mut point = spread(&mut bucket, 0, 10_000);
    for agent in [A, B] {
        assert_eq!(whole(bucket.accrued(agent, eur())), 5_000, "50.00, not 49.99");
        assert_eq!(bucket.payable(agent, eur()), 0, "a promise pays nobody");
    }
    bucket.settle_to(eur(), &mut point, 10_000);
    assert_eq!(whole(bucket.payable(A, eur())), 5_000);
    reverse(&mut bucket, &mut point, 2_500);
    assert_eq!(whole(bucket.accrued(A, eur())), 3_750);
}

#[test]
fn thousands_of_small_incomes_lose_nobody_a_cent() {
    let mut bucket = contributors(&Horizon::HalfLife(24).weights());
    for agent in [A, B, C] {
        bucket.count(agent, 0, 7_000);
    }
    for n in 0..5_000_u32 {
        let mut point = spread(&mut bucket, n / 100, 1 + u64::from(n % 2)); // 0.01 or 0.02
        bucket.settle_to(eur(), &mut point, 1);
        let income = point.income;
        bucket.settle_to(eur(), &mut point, income);
    }
    assert!(bucket.has_room());
    for agent in [A, B, C] {
        assert_eq!(whole(bucket.accrued(agent, eur())), 2_500);
        assert_eq!(whole(bucket.payable(agent, eur())), 2_500);
    }
}

#[test]
fn points_count_from_the_next_income_to_the_last_before_they_are_taken_away() {
    let mut bucket = contributors(&[1]);
    bucket.count(A, 0, 1_000);
    spread(&mut bucket, 0, 100);
    bucket.count(B, 0, 1_000);
    spread(&mut bucket, 0, 100);
    bucket.discount(A, 0, 1_000);
    spread(&mut bucket, 0, 100);
    assert_eq!(whole(bucket.accrued(A, eur())), 150);
    assert_eq!(whole(bucket.accrued(B, eur())), 150);
}

#[test]
fn work_fades_by_the_table_and_its_last_weight_stays() {
    let mut bucket = contributors(&[3, 1, 0, 2]);
    bucket.count(A, 10, 1_000);
    for (month, new, old) in [(10, 3, 3), (11, 3, 1), (13, 3, 2), (40, 3, 2)] {
        let before = bucket.accrued(A, eur());
        bucket.count(B, month, 1_000);
        let minor = 1_000 * (new + old);
        spread(&mut bucket, month, minor);
        let got = whole(bucket.accrued(A, eur()) - before);
        assert_eq!(got, i128::from(1_000 * old), "month {month}");
        bucket.discount(B, month, 1_000);
    }
    bucket.discount(A, 10, 1_000);
    bucket.count(A, 48, 1_000);
    assert_eq!(bucket.weight(50), 0, "two months old weighs nothing: such a part is held");
}

#[test]
fn parts_of_an_income_are_all_of_it() {
    let uneven = [333_333, 333_333, 1, 333_333];
    for minor in [1, 3, 100, 99_999, MAX_MONEY] {
        let parts = parts(minor, &uneven);
        assert_eq!(parts.iter().sum::<Fixed>(), fixed(minor));
        for (part, share) in parts.iter().zip(uneven) {
            let exact = BigRational::new(
                BigInt::from(minor) * BigInt::from(Q) * share,
                BigInt::from(1_000_000),
            );
            let off = BigRational::from(BigInt::from(*part)) - exact;
            let bound = BigRational::from(BigInt::from(uneven.len()));
            assert!(-&bound < off && off < bound, "{minor} x {share}");
        }
    }
}

#[test]
fn a_scaled_amount_is_floored_and_never_wraps() {
    for v in [0, 1, -1, Q, -Q, fixed(MAX_MONEY), -fixed(MAX_MONEY), 1 << 114] {
        for (part, total) in [(0, 1), (1, 1), (1, 3), (2, 3), (MAX_MONEY - 1, MAX_MONEY)] {
            let exact = BigRational::new(BigInt::from(v) * part, total.into()).floor();
            assert_eq!(BigInt::from(scale(v, part, total)), exact.to_integer());
        }
    }
}

// --------------------------------------------- random histories against the model

const AGENTS: u32 = 5;
const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

#[derive(Debug, Clone)]
enum Step {
    Count {
        agent: u32,
        age: u32,
        points: u64,
    },
    /// Of what counts of the `nth` agent and month.
    Discount {
        nth: usize,
        per_mille: u64,
    },
    Months(u32),
    Spread {
        currency: usize,
        income: Minor,
        share: u32,
    },
    Reverse {
        nth: usize,
        per_mille: u64,
    },
    Settle {
        nth: usize,
        per_mille: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let agent = 0..AGENTS;
    let age = prop_oneof![3 => 0_u32..3, 1 => 0_u32..60];
    let points = prop_oneof![4 => 1_u64..100_000, 1 => 1_u64..5, 1 => 1_u64..1 << 37];
    let income = prop_oneof![4 => 1_u64..1_000_000, 1 => 1_u64..5, 1 => 1_u64..10_u64.pow(13)];
    let per_mille = prop_oneof![Just(0_u64), 1_u64..1_000, Just(1_000)];
    prop_oneof![
        4 => (agent, age, points)
            .prop_map(|(agent, age, points)| Step::Count { agent, age, points }),
        2 => (any::<usize>(), 1_u64..=1_000)
            .prop_map(|(nth, per_mille)| Step::Discount { nth, per_mille }),
        2 => prop_oneof![4 => 0_u32..3, 1 => 0_u32..40].prop_map(Step::Months),
        4 => (0_usize..2, income, 1_u32..=1_000_000)
            .prop_map(|(currency, income, share)| Step::Spread { currency, income, share }),
        2 => (any::<usize>(), per_mille.clone())
            .prop_map(|(nth, per_mille)| Step::Reverse { nth, per_mille }),
        2 => (any::<usize>(), per_mille)
            .prop_map(|(nth, per_mille)| Step::Settle { nth, per_mille }),
    ]
}

fn table() -> impl Strategy<Value = Option<Vec<u32>>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(vec![1])),
        1 => Just(Some(Horizon::LastYear.weights())),
        1 => (1_u32..6).prop_map(|h| Some(Horizon::HalfLife(h).weights())),
        2 => prop::collection::vec(prop_oneof![0_u32..3, 0_u32..65_536], 1..8).prop_map(|mut w| {
            w[0] = w[0].max(1);
            Some(w)
        }),
    ]
}

/// Bucket and model, side by side.
struct Pair {
    bucket: Bucket,
    model: Model,
    month: u32,
    /// Each income's currency, point, and what of it is reversed and settled.
    points: Vec<(usize, Point, Minor, Minor)>,
}

impl Pair {
    fn new(table: Option<Vec<u32>>) -> Self {
        let bucket = match &table {
            None => Bucket::new(def(To::Agent(B))),
            Some(weights) => contributors(weights),
        };
        Self { bucket, model: Model::new(table, B.0), month: 100, points: Vec::new() }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Count { agent, age, points } => {
                self.bucket.count(AgentId(agent), self.month - age, points);
                self.model.count(agent, self.month - age, points);
            }
            Step::Discount { nth, per_mille } => {
                let counted = self.model.counted();
                let Some(n) = nth.checked_rem(counted.len()) else { return };
                let (agent, month, all) = counted[n];
                let points = (all * per_mille / 1_000).max(1);
                self.bucket.discount(AgentId(agent), month, points);
                self.model.discount(agent, month, points);
            }
            Step::Months(months) => self.month += months,
            Step::Spread { currency, income, share } => self.spread(currency, income, share),
            Step::Reverse { nth, per_mille } => self.reverse(nth, per_mille),
            Step::Settle { nth, per_mille } => self.settle(nth, per_mille),
        }
    }

    fn spread(&mut self, currency: usize, income: Minor, share: u32) {
        let weight = BigInt::from(self.bucket.weight(self.month));
        assert_eq!(weight, self.model.weight(self.month));
        if weight == BigInt::default() {
            return; // held
        }
        let part = parts(income, &[share, 1_000_000 - share])[0];
        let code = Currency::new(CURRENCIES[currency]).unwrap();
        let (point, moved) = self.bucket.spread(code, self.month, part, income);
        assert_eq!(moved.accrued + moved.carry, part);
        self.model.spread(CURRENCIES[currency], self.month, part, income);
        self.points.push((currency, point, 0, 0));
    }

    fn reverse(&mut self, nth: usize, per_mille: u64) {
        let Some(n) = nth.checked_rem(self.points.len()) else { return };
        let (currency, point, reversed, settled) = &mut self.points[n];
        let code = Currency::new(CURRENCIES[*currency]).unwrap();
        *reversed = point.income * per_mille / 1_000; // less than before: reinstated
        let part = part_of(point.part, *reversed, point.income);
        self.bucket.reverse_to(code, point, *reversed, part);
        self.model.reverse_to(n, *reversed, part);
        if *settled > point.income - *reversed {
            *settled = point.income - *reversed;
            self.bucket.settle_to(code, point, *settled);
            self.model.settle_to(n, *settled);
        }
    }

    fn settle(&mut self, nth: usize, per_mille: u64) {
        let Some(n) = nth.checked_rem(self.points.len()) else { return };
        let (currency, point, reversed, settled) = &mut self.points[n];
        let code = Currency::new(CURRENCIES[*currency]).unwrap();
        *settled = (point.income - *reversed) * per_mille / 1_000;
        self.bucket.settle_to(code, point, *settled);
        self.model.settle_to(n, *settled);
    }

    fn check(&self) {
        for code in CURRENCIES {
            let currency = Currency::new(code).unwrap();
            let (mut accrued, mut payable) = (0, 0);
            for agent in 0..AGENTS {
                let one = self.bucket.accrued(AgentId(agent), currency);
                assert_eq!(BigInt::from(one), self.model.accrued(agent, code));
                accrued += one;
                let one = self.bucket.payable(AgentId(agent), currency);
                assert_eq!(BigInt::from(one), self.model.payable(agent, code));
                payable += one;
            }
            let Some(pot) = self.bucket.pot(currency) else { continue };
            assert_eq!(accrued, pot.accrued_by_all);
            assert_eq!(payable, pot.payable_to_all);
            assert_eq!(pot.accrued_by_all + pot.carry, pot.taken);
            assert_eq!(BigInt::from(pot.carry), self.model.carry(code));
            assert_eq!(BigInt::from(pot.taken), self.model.taken(code));
            assert_eq!(BigInt::from(accrued), self.model.accrued_by_all(code));
            assert_eq!(BigInt::from(payable), self.model.payable_to_all(code));
            assert!(BigRational::from(BigInt::from(payable)) <= self.model.cash(code));
        }
        for (n, (_, point, _, _)) in self.points.iter().enumerate() {
            for agent in 0..AGENTS {
                let met = self.model.incomes[n].points.get(&agent).cloned().unwrap_or_default();
                assert_eq!(BigInt::from(self.bucket.weighted_points(AgentId(agent), point)), met);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("SUBAK_LONG").is_some() { 10_000 } else { 300 }
    ))]

    #[test]
    fn every_history_agrees_with_the_naive_model(
        table in table(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut pair = Pair::new(table);
        for step in &steps {
            pair.run(step);
            pair.check();
        }
    }
}

// ---------------------------------------------------------------------- extremes

#[test]
fn the_largest_income_meets_the_fewest_and_the_most_points() {
    for (points, weight) in [(1, 1), (1, 65_535), (MAX_POINTS, 1), (MAX_POINTS, 65_535)] {
        let mut bucket = contributors(&[weight]);
        bucket.count(A, 0, points);
        assert!(bucket.weight(0).cast_unsigned() <= MAX_WEIGHTED);
        let mut point = spread(&mut bucket, 0, MAX_MONEY);
        let accrued = bucket.accrued(A, eur());
        assert!(fixed(MAX_MONEY) - accrued < bucket.weight(0), "only the carry is missing");
        bucket.settle_to(eur(), &mut point, MAX_MONEY);
        assert_eq!(bucket.payable(A, eur()), accrued);
        for reversed in [1, MAX_MONEY / 3, MAX_MONEY - 1, MAX_MONEY] {
            bucket.settle_to(eur(), &mut point, MAX_MONEY - reversed);
            reverse(&mut bucket, &mut point, reversed);
        }
        assert_eq!(bucket.accrued(A, eur()), 0);
        assert_eq!(bucket.payable(A, eur()), 0);
        assert_eq!(bucket.pot(eur()).unwrap().carry, 0, "all is back");
    }
}

#[test]
fn there_is_room_until_flooring_could_show() {
    let mut bucket = contributors(&[65_535]);
    bucket.count(A, 0, MAX_POINTS);
    assert!(!bucket.has_room(), "2^60 is more than 2^48 point incomes");
    let mut bucket = contributors(&[1]);
    bucket.count(A, 0, 1 << 45);
    for _ in 0..7 {
        assert!(bucket.has_room());
        spread(&mut bucket, 0, 1);
    }
    assert!(bucket.has_room(), "the eighth is the last");
    spread(&mut bucket, 0, 1);
    assert!(!bucket.has_room());
}

/// The table under "How many incomes a bucket can take" in `proto/EVENTS.md`.
#[test]
fn the_published_numbers_of_incomes_are_those_of_the_limit() {
    let room = |points: u64, weight: u128| MAX_POINT_INCOMES / (u128::from(points) * weight);
    assert_eq!([1, 64, 65_535].map(|w| room(1_000_000, w)), [281_474_976, 4_398_046, 4_295]);
    assert_eq!([1, 64, 65_535].map(|w| room(40_000_000, w)), [7_036_874, 109_951, 107]);
    assert_eq!([1, 64, 65_535].map(|w| room(MAX_POINTS, w)), [16, 0, 0]);
}

#[test]
fn reversing_and_reinstating_for_ever_leaves_no_trace() {
    let mut bucket = contributors(&[7]);
    bucket.count(A, 0, 3_333);
    bucket.count(B, 0, 1);
    let mut points: Vec<Point> = (1..50).map(|n| spread(&mut bucket, n, u64::from(n))).collect();
    let (before, carry) = (bucket.accrued(A, eur()), bucket.pot(eur()).unwrap().carry);
    for _ in 0..20 {
        for point in &mut points {
            let (half, income) = (point.income / 2, point.income);
            reverse(&mut bucket, point, half);
            reverse(&mut bucket, point, income);
        }
        assert_eq!(bucket.accrued(A, eur()), 0);
        assert_eq!(bucket.accrued(B, eur()), 0);
        assert_eq!(bucket.pot(eur()).unwrap().carry, 0);
        for point in &mut points {
            reverse(&mut bucket, point, 0);
        }
        assert_eq!(bucket.accrued(A, eur()), before);
        assert_eq!(bucket.pot(eur()).unwrap().carry, carry);
    }
}

#[test]
fn a_negative_carry_is_made_good_by_the_next_income() {
    let mut bucket = contributors(&[1]);
    bucket.count(A, 0, 3); // 2^64 mod 3 is 1: the carry goes 1, 2, 0
    let mut first = spread(&mut bucket, 0, 1);
    spread(&mut bucket, 0, 1);
    spread(&mut bucket, 0, 1);
    assert_eq!(bucket.pot(eur()).unwrap().carry, 0);
    reverse(&mut bucket, &mut first, 1);
    assert_eq!(bucket.pot(eur()).unwrap().carry, -1, "later incomes had brought it in");
    spread(&mut bucket, 0, 1);
    assert_eq!(bucket.pot(eur()).unwrap().carry, 0);
    assert_eq!(bucket.accrued(A, eur()), fixed(3));
}

#[test]
fn a_carry_far_below_zero_breaks_nothing() {
    let mut bucket = contributors(&[65_535]);
    let points_of_a = 17_060_000_000_000; // a cent leaves half of the weight as carry
    bucket.count(A, 0, points_of_a);
    let mut points: Vec<Point> = (0..200).map(|_| spread(&mut bucket, 0, 1)).collect();
    for point in &mut points {
        if point.each * point.weight < point.part {
            reverse(&mut bucket, point, 1); // takes from the carry what it had left there
        }
    }
    let carry = bucket.pot(eur()).unwrap().carry;
    assert!(carry < -Q, "the next cent cannot make it good: {carry}");
    bucket.discount(A, 0, points_of_a);
    bucket.count(B, 0, 1);
    let mut point = spread(&mut bucket, 0, 1);
    assert!(bucket.accrued(B, eur()) < 0, "it is netted from what comes");
    bucket.settle_to(eur(), &mut point, 1);
    assert!(bucket.payable(B, eur()) <= Q, "no more than the cash that came");
    reverse(&mut bucket, &mut point, 1);
    assert_eq!(bucket.accrued(B, eur()), 0);
    spread(&mut bucket, 0, MAX_MONEY / 2);
    assert!((0..65_535).contains(&bucket.pot(eur()).unwrap().carry));
}

// -------------------------------------------------------------------------- cost

/// A bucket with so many members, and their points.
fn crowd(members: u32) -> (Bucket, Vec<Points>) {
    let mut bucket = contributors(&Horizon::HalfLife(24).weights());
    let points: Vec<Points> = (0..members).map(|n| 1 + u64::from(n % 997)).collect();
    for (n, points) in (0..).zip(&points) {
        bucket.count(AgentId(n), n % 24, *points);
    }
    (bucket, points)
}

#[test]
fn recording_an_income_costs_the_same_with_any_number_of_members() {
    let visits = |members| {
        let (mut bucket, _) = crowd(members);
        let mut visits = Vec::new();
        for n in 0..300 {
            let (mut point, moved) = bucket.spread(eur(), 24, fixed(1_000_000), 1_000_000);
            visits.push(moved.visited);
            assert!(moved.visited <= 24 + 32, "income {n}: {}", moved.visited);
            let part = scale(point.part, 7, 1_000_000);
            let moved = bucket.reverse_to(eur(), &mut point, 7, part);
            assert!((1..=32).contains(&moved.visited));
            visits.push(moved.visited);
        }
        visits
    };
    assert_eq!(visits(100), visits(100_000));
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture"]
fn ten_thousand_members_meet_ten_thousand_incomes() {
    let (mut bucket, points) = crowd(10_000);
    let table = Horizon::HalfLife(24).weights();
    let start = std::time::Instant::now();
    let spread: Vec<Point> = (0..10_000).map(|_| spread(&mut bucket, 24, 1_000)).collect();
    println!("10,000 incomes recorded in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let one = bucket.accrued(AgentId(4_711), eur());
    println!("one member's balance in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let lazy: Vec<Fixed> = (0..10_000).map(|n| bucket.accrued(AgentId(n), eur())).collect();
    println!("all members' balances in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let mut loops = vec![0; points.len()];
    for point in &spread {
        for (n, points) in points.iter().enumerate() {
            loops[n] += point.each * Fixed::from(*points) * Fixed::from(table[24 - n % 24]);
        }
    }
    println!("the same by a loop over members at each income in {:?}", start.elapsed());
    assert_eq!(lazy, loops);
    assert_eq!(one, loops[4_711]);
}
