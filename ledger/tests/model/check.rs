//! Whether ledger and model say the same, and the identities of DESIGN section 6.
//!
//! `agree` runs after every entry and compares every figure; `ideal` compares the
//! ledger with the split in rational numbers; `replays` folds the log once more.

use super::{book::*, money::*};
use crate::kit::{World, currency};
use num_bigint::BigInt;
use num_rational::BigRational;
use std::collections::BTreeMap;
use subak_ledger::book::{
    accounts::{Account, Fund},
    equation::BucketId,
    state::{self, Lies},
    types::{AgentId, Currency, Fixed, Ref},
};

type Sheet = BTreeMap<(Account, Currency), BigInt>;

fn id(agent: Agent) -> AgentId {
    AgentId(u32::try_from(agent).unwrap())
}

fn big(v: Fixed) -> BigInt {
    BigInt::from(v)
}

pub fn agree(model: &Model, world: &World) {
    let state = &world.state;
    assert_eq!(state.equation().version, model.rules.wire.version, "equation in force");
    let known: Vec<BucketId> = state.buckets.keys().copied().collect();
    assert_eq!(known, model.buckets.keys().copied().collect::<Vec<_>>(), "buckets");
    work(model, world);
    incomes(model, world);
    let mut sheet = Sheet::new();
    for money in Money::ALL {
        split(model, world, money, &mut sheet);
    }
    balances(model, world, sheet);
}

fn work(model: &Model, world: &World) {
    assert_eq!(world.state.contributions.len(), model.work.len());
    for w in &model.work {
        let c = world.state.contributions.at(Ref { entry: w.place.0, event: w.place.1 });
        assert_eq!(c.closed.is_some(), w.closed, "contribution {:?} is closed", w.place);
        for (p, there) in w.parts.iter().zip(&c.parts) {
            let points = |s: &state::Standing| (s.counted, s.counted_unpaid, s.maturing);
            assert_eq!(
                there.standing.as_ref().map(points),
                p.standing.as_ref().map(|s| (s.counted, s.counted_unpaid, s.ripening)),
                "points of {} in {:?}",
                ROSTER[p.agent].0,
                w.place
            );
        }
    }
}

fn incomes(model: &Model, world: &World) {
    let state = &world.state;
    assert_eq!(state.incomes.len(), model.incomes.len());
    for (i, there) in model.incomes.iter().zip(&state.incomes) {
        assert_eq!(
            (
                there.amount,
                there.refunded,
                there.written_off,
                there.settled,
                there.undone.is_some()
            ),
            (i.amount, i.refunded, i.written_off, i.settled, i.undone),
            "income {}: amount, refunded, written off, settled, undone",
            there.number
        );
        assert!(i.settled <= i.amount - i.reversed(), "settled <= income - reversed");
        for (share, there) in i.shares.iter().zip(&there.shares) {
            assert_eq!((there.bucket, big(there.part)), (share.bucket, share.part.clone()));
            match (&there.lies, &share.spread) {
                (Lies::Held, None) => {}
                (Lies::Spread(into, point), Some(s)) => assert_eq!(
                    (*into, big(point.weight), big(point.each)),
                    (s.into, s.weight.clone(), s.each.clone()),
                    "where a share lies, its points, its amount per point"
                ),
                (lies, _) => panic!("a share lies elsewhere: {lies:?}"),
            }
        }
    }
    for (n, a) in model.agreements.iter().enumerate() {
        let there = state.agreement(&a.digest).unwrap();
        assert_eq!((there.dues.last, there.credit()), (a.taken.len() as u64, model.credit(n)));
        assert_eq!(there.frozen, a.frozen.map(|f| f.0), "frozen by");
    }
}

/// Agents and buckets in one currency; notes what the accounts must say.
fn split(model: &Model, world: &World, money: Money, sheet: &mut Sheet) {
    let (state, c) = (&world.state, currency(money.text()));
    let mut payable_to_all = BigInt::ZERO;
    for (agent, (name, ..)) in ROSTER.iter().enumerate() {
        let (accrued, payable) = model.owed(agent, money, |_| true);
        assert_eq!(big(state.accrued(id(agent), c)), accrued, "{name} has accrued");
        assert_eq!(big(state.payable(id(agent), c)), payable, "payable to {name}");
        payable_to_all += payable;
    }
    let of = |i: &&Income| i.money == money;
    let settled: u64 = model.incomes.iter().filter(of).map(|i| i.settled).sum();
    assert!(payable_to_all <= BigInt::from(settled) * q(), "payable is at most what is settled");
    let (mut taken, mut accrued) = (BTreeMap::new(), BTreeMap::new());
    for (income, n, share, spread) in model.spreads().filter(|s| s.0.money == money) {
        let part = &share.part - income.part_reversed(n);
        *taken.entry(spread.into).or_insert(BigInt::ZERO) += part;
        let each = income.each(share, spread).0;
        *accrued.entry(spread.into).or_insert(BigInt::ZERO) += each * &spread.weight;
    }
    for (bucket, def) in &model.buckets {
        let taken = taken.remove(bucket).unwrap_or_default();
        let accrued = accrued.remove(bucket).unwrap_or_default();
        let carry = &taken - &accrued;
        let b = &state.buckets[bucket];
        let (there_taken, there_carry) = b.pot(c).map_or((0, 0), |p| (p.taken, p.carry));
        let by_agents: Fixed = (0..ROSTER.len()).map(|a| b.accrued(id(a), c)).sum();
        assert_eq!((big(there_taken), big(there_carry)), (taken, carry.clone()), "{}", def.name);
        assert_eq!(by_agents + there_carry, there_taken, "accrued + carry = parts - reversed");
        let mut control = -accrued;
        for d in model.drawn.iter().filter(|d| d.money == money && d.counts()) {
            control += d.buckets.iter().filter(|x| x.0 == *bucket).map(|x| &x.1).sum::<BigInt>();
        }
        let trust = def.owner().is_some_and(|o| ROSTER[o].0 == "trust");
        let account = if trust { Account::Principal(*bucket) } else { Account::Bucket(*bucket) };
        sheet.insert((account, c), control);
        sheet.insert((Account::Carry(*bucket), c), -carry);
    }
}

fn balances(model: &Model, world: &World, mut sheet: Sheet) {
    let state = &world.state;
    let mut post = |account, money: Money, v: BigInt| {
        *sheet.entry((account, currency(money.text()))).or_default() += v;
    };
    let mut held = Vec::new();
    for (n, i) in model.incomes.iter().enumerate() {
        let due = i128::from(i.amount) - i128::from(i.reversed());
        let paid = if i.source.is_some() { 0 } else { i128::from(i.settled) };
        post(Account::Receivable(id(i.payer)), i.money, BigInt::from(due - paid) * q());
        for (s, share) in i.shares.iter().enumerate().filter(|s| s.1.spread.is_none()) {
            held.push((n as u64 + 1, share.bucket));
            let left = &share.part - i.part_reversed(s);
            post(Account::Held(share.bucket), i.money, -left);
        }
    }
    for a in &model.agreements {
        post(Account::Receivable(id(a.payer)), a.money, -BigInt::from(a.cash) * q());
    }
    for d in model.drawn.iter().filter(|d| d.fate == Fate::Proposed) {
        let minor = BigInt::from(d.own + d.common);
        post(Account::Reserved(d.run.unwrap()), d.money, -minor * q());
    }
    held.sort_unstable();
    assert_eq!(state.held.iter().copied().collect::<Vec<_>>(), held, "held lots");
    let mut there = Sheet::new();
    let mut cash: BTreeMap<(AgentId, Currency), BigInt> = BTreeMap::new();
    let mut funds: BTreeMap<(AgentId, Currency), BigInt> = BTreeMap::new();
    let mut sums: BTreeMap<Currency, Fixed> = BTreeMap::new();
    for (account, c, v) in state.accounts.iter() {
        *sums.entry(c).or_insert(0) += v;
        if let Account::Cash(treasurer, fund) = account {
            *cash.entry((treasurer, c)).or_default() += big(v);
            if let Fund::Agent(a) = fund {
                *funds.entry((a, c)).or_default() += big(v);
            }
        } else if v != 0 {
            there.insert((account, c), big(v));
        }
    }
    sheet.retain(|_, v| *v != BigInt::ZERO);
    assert_eq!(there, sheet, "all balances but cash; fees and write-offs are 0");
    assert!(sums.values().all(|v| *v == 0), "accounts sum to zero in each currency");
    for money in Money::ALL {
        let c = currency(money.text());
        for treasurer in 0..ROSTER.len() {
            let there = cash.remove(&(id(treasurer), c)).unwrap_or_default();
            assert_eq!(there, BigInt::from(model.cash_of(treasurer, money)) * q(), "cash");
            assert!(there >= BigInt::ZERO, "a treasurer's cash is never below 0");
        }
        for owner in model.owners() {
            let there = funds.remove(&(id(owner), c)).unwrap_or_default();
            let fund = model.fund(owner, money);
            assert_eq!(there, BigInt::from(fund) * q(), "fund of {}", ROSTER[owner].0);
        }
    }
    assert!(cash.is_empty() && funds.is_empty(), "nobody else holds cash");
}

/// The ledger against the split in rational numbers: what each agent has of each share
/// is `income x share x points / all points x (1 - reversed part)`, exact within
/// `points x (2 + (carry + shares) / all points)` units of 2^-64; where nothing is
/// reversed and less than one unit a point was carried in, within the `points` units of
/// DESIGN section 6 (and for the last bucket, the remainder of the others).
pub fn ideal(model: &Model, world: &World) {
    let ratio = |v: &BigInt| BigRational::from(v.clone());
    let whole = |v: u64| BigRational::from(BigInt::from(v));
    let mut all: BTreeMap<(Agent, Money), (BigRational, BigRational)> = BTreeMap::new();
    let zero = || BigRational::from(BigInt::ZERO);
    for (income, n, share, spread) in model.spreads() {
        let kept = whole(income.amount - income.reversed()) / whole(income.amount);
        let part = whole(income.amount) * ratio(&q()) * whole(share.ppm.into());
        let per_point = part / whole(1_000_000) / ratio(&spread.weight) * kept;
        let remainder = if n + 1 == income.shares.len() { n as u64 } else { 0 };
        let carried = BigRational::from(BigInt::from(spread.carry_in.magnitude().clone()));
        let loose = (carried + whole(remainder)) / ratio(&spread.weight);
        let clean = income.reversed() == 0
            && spread.carry_in >= BigInt::ZERO
            && spread.carry_in < spread.weight;
        let bound = if clean {
            whole(1) + whole(remainder) / ratio(&spread.weight)
        } else {
            whole(2) + loose
        };
        let each = ratio(&income.each(share, spread).0);
        let off = if each > per_point { &each - &per_point } else { &per_point - &each };
        assert!(off <= bound, "per point off by {off}, at most {bound}");
        for (agent, points) in &spread.who {
            let slot = all.entry((*agent, income.money)).or_insert_with(|| (zero(), zero()));
            slot.0 += &per_point * ratio(points);
            slot.1 += &bound * ratio(points);
        }
    }
    for ((agent, money), (ideal, bound)) in all {
        let there = big(world.state.accrued(id(agent), currency(money.text())));
        let there = BigRational::from(there);
        let off = if there > ideal { there - ideal } else { ideal - there };
        assert!(off <= bound, "{} is off by {off}, at most {bound}", ROSTER[agent].0);
    }
}

/// A mirror that folds the recorded bytes in place ends in the same state.
pub fn replays(world: &World) {
    let state = world.replayed();
    assert_eq!(format!("{state:?}"), format!("{:?}", world.state));
}
