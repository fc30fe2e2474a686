//! The split of DESIGN section 6, naively: rational numbers, a loop over agents, every
//! income kept for ever with the points that it met. No prefix sums, no runs, no
//! cohorts, and nothing taken from the code under test.
//!
//! A bucket of one agent is the case of one point. Amounts are in 2^-64 minor units.

use num_bigint::BigInt;
use num_rational::BigRational;
use std::collections::BTreeMap;

/// `floor(a / b)`.
fn floor(a: &BigInt, b: &BigInt) -> BigInt {
    BigRational::new(a.clone(), b.clone()).floor().to_integer()
}

/// One income's part, and whom it met.
pub(crate) struct Income {
    currency: &'static str,
    pub(crate) points: BTreeMap<u32, BigInt>,
    all: BigInt,
    part: BigInt,
    whole: BigInt,
    each: BigInt,
    lost: BigInt,
    reversed: BigInt,
    settled: BigInt,
    settled_whole: BigInt,
}

impl Income {
    fn left(&self) -> BigInt {
        &self.each - &self.lost
    }

    fn of(&self, agent: u32) -> BigInt {
        self.points.get(&agent).cloned().unwrap_or_default()
    }
}

/// A bucket.
pub(crate) struct Model {
    /// By age in months, the last repeats; none in a bucket of one agent.
    table: Option<Vec<u32>>,
    owner: u32,
    counted: BTreeMap<(u32, u32), u64>,
    pub(crate) incomes: Vec<Income>,
}

impl Model {
    pub(crate) fn new(table: Option<Vec<u32>>, owner: u32) -> Self {
        Self { table, owner, counted: BTreeMap::new(), incomes: Vec::new() }
    }

    pub(crate) fn count(&mut self, agent: u32, month: u32, points: u64) {
        *self.counted.entry((agent, month)).or_default() += points;
    }

    /// Agent, month of work and points of all that counts now.
    pub(crate) fn counted(&self) -> Vec<(u32, u32, u64)> {
        self.counted.iter().filter(|(_, p)| **p > 0).map(|((a, m), p)| (*a, *m, *p)).collect()
    }

    pub(crate) fn discount(&mut self, agent: u32, month: u32, points: u64) {
        *self.counted.get_mut(&(agent, month)).unwrap() -= points;
    }

    fn weighted(&self, now: u32) -> BTreeMap<u32, BigInt> {
        let mut weighted = BTreeMap::new();
        let Some(table) = &self.table else { return [(self.owner, 1.into())].into() };
        for ((agent, worked), points) in &self.counted {
            let age = (now - worked) as usize;
            let weight = table.get(age).or(table.last()).unwrap();
            *weighted.entry(*agent).or_default() += BigInt::from(*weight) * points;
        }
        weighted
    }

    pub(crate) fn weight(&self, now: u32) -> BigInt {
        self.weighted(now).into_values().sum()
    }

    pub(crate) fn spread(&mut self, currency: &'static str, now: u32, part: i128, whole: u64) {
        let points = self.weighted(now);
        let all: BigInt = points.values().sum();
        let part = BigInt::from(part);
        let each = floor(&(&part + self.carry(currency)), &all);
        let zero = BigInt::default;
        self.incomes.push(Income {
            currency,
            points,
            all,
            part,
            whole: whole.into(),
            each,
            lost: zero(),
            reversed: zero(),
            settled: zero(),
            settled_whole: zero(),
        });
    }

    /// `reversed` of the whole income, `part` of the part.
    pub(crate) fn reverse_to(&mut self, n: usize, reversed: u64, part: i128) {
        let income = &mut self.incomes[n];
        income.lost = floor(&(&income.each * reversed), &income.whole);
        income.reversed = part.into();
    }

    pub(crate) fn settle_to(&mut self, n: usize, settled: u64) {
        let income = &mut self.incomes[n];
        income.settled_whole = settled.into();
        income.settled = floor(&(floor(&income.part, &income.all) * settled), &income.whole);
    }

    fn of(&self, currency: &str) -> impl Iterator<Item = &Income> {
        self.incomes.iter().filter(move |i| i.currency == currency)
    }

    pub(crate) fn accrued(&self, agent: u32, currency: &str) -> BigInt {
        self.of(currency).map(|i| i.of(agent) * i.left()).sum()
    }

    pub(crate) fn payable(&self, agent: u32, currency: &str) -> BigInt {
        self.of(currency).map(|i| i.of(agent) * &i.settled).sum()
    }

    pub(crate) fn accrued_by_all(&self, currency: &str) -> BigInt {
        self.of(currency).map(|i| &i.all * i.left()).sum()
    }

    pub(crate) fn payable_to_all(&self, currency: &str) -> BigInt {
        self.of(currency).map(|i| &i.all * &i.settled).sum()
    }

    pub(crate) fn taken(&self, currency: &str) -> BigInt {
        self.of(currency).map(|i| &i.part - &i.reversed).sum()
    }

    /// What is not accrued of what was taken: by definition.
    pub(crate) fn carry(&self, currency: &str) -> BigInt {
        self.taken(currency) - self.accrued_by_all(currency)
    }

    /// This bucket's part of the cash that has come, as a fraction.
    pub(crate) fn cash(&self, currency: &str) -> BigRational {
        self.of(currency)
            .map(|i| BigRational::new(&i.part * &i.settled_whole, i.whole.clone()))
            .sum()
    }
}
