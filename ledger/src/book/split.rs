//! One income over points, exactly (DESIGN section 6).
//!
//! Owns the arithmetic of a bucket: who counts with how many points from which
//! income on, how much each point has accrued, what of it is settled, what is
//! carried. An agent of a one-agent bucket is the case of one point for ever.
//!
//! Guarantees, at every moment and to the last of the 64 fractional bits,
//! `sum of accrued + carry = sum of parts - reversed`, at a cost that does not
//! depend on how many agents there are. Nothing here wraps within the limits of
//! `types` ([`super::types::MAX_MONEY`], [`MAX_WEIGHTED`]): an agent's points at an
//! income are never more than the points that income was divided by.
//!
//! Leaves out what may happen when (`income`, `lots`) and the accounts.

use super::{
    equation::{BucketDef, To},
    types::{AgentId, Currency, Fixed, Minor, Points, Q},
};
use imbl::{OrdMap, OrdSet};
use std::{collections::HashMap, sync::Arc};

/// The most weighted points a bucket may hold: 2^60.
pub const MAX_WEIGHTED: u128 = 1 << 60;

/// The most points, in thousandths, that a ledger ever validates: 2^44; with
/// weights under 2^16 this keeps every bucket within [`MAX_WEIGHTED`].
pub const MAX_POINTS: u64 = 1 << 44;

/// The most that the heaviest agent's weighted points may sum to over a bucket's
/// incomes: 2^48. An income floors away less than one unit of 2^-64 for each weighted point,
/// so below this limit what one bucket keeps from an agent stays under what
/// [`super::types::whole`] forgives: accruals always, what is payable once its incomes are
/// settled in full (in part: twice as much).
///
/// It is a limit of each bucket, not of an agent. Who has points in several may lack as
/// much for each of them, and `whole` then shows one minor unit less. That unit is not
/// lost: it stays accrued to the agent, and shows with what comes next.
pub const MAX_POINT_INCOMES: u128 = 1 << 48;

/// Incomes of a bucket are numbered from 1 below this.
const CAPACITY: u32 = 1 << 31;

/// Still counting: no end yet.
const OPEN: u32 = u32::MAX;

/// `floor(v * part / total)` without wrapping: `v` up to 2^114, `part <= total`.
pub fn scale(v: Fixed, part: Minor, total: Minor) -> Fixed {
    assert!(part <= total && total > 0, "a part of an income is never more than the income");
    let (part, total) = (Fixed::from(part), Fixed::from(total));
    v.div_euclid(total) * part + v.rem_euclid(total) * part / total
}

/// The parts of `minor` by shares in ppm that sum to 10^6: each floored at 64
/// fractional bits, the last takes what remains.
pub fn parts(minor: Minor, shares: &[u32]) -> Vec<Fixed> {
    let all = Fixed::from(minor) * Q;
    let mut rest = all;
    let mut out: Vec<Fixed> = shares
        .iter()
        .map(|share| {
            let t = Fixed::from(minor) * Fixed::from(*share);
            let x = t / 1_000_000 * Q + t % 1_000_000 * Q / 1_000_000;
            rest -= x;
            x
        })
        .collect();
    if let Some(last) = out.last_mut() {
        *last += rest;
    }
    out
}

/// Sums over prefixes of a sequence, changed point by point: a Fenwick tree whose
/// zero nodes are not stored (P. Fenwick 1994).
#[derive(Debug, Clone, Default)]
pub struct PrefixSums {
    nodes: OrdMap<u32, Fixed>,
}

impl PrefixSums {
    /// Adds `delta` at position `at` (from 1); returns how many nodes it touched.
    pub fn add(&mut self, at: u32, delta: Fixed) -> u32 {
        assert!(at > 0 && at < CAPACITY, "positions are handed out by a bucket, from 1");
        if delta == 0 {
            return 0;
        }
        let (mut i, mut touched) = (at, 0);
        loop {
            *self.nodes.entry(i).or_insert(0) += delta;
            touched += 1;
            if i == CAPACITY {
                return touched; // the root: one step further no longer fits a u32
            }
            i += i & i.wrapping_neg();
        }
    }

    /// The sum of positions 1 to `to`.
    pub fn prefix(&self, to: u32) -> Fixed {
        let (mut i, mut sum) = (to.min(CAPACITY - 1), 0);
        while i > 0 {
            sum += self.nodes.get(&i).copied().unwrap_or(0);
            i &= i - 1;
        }
        sum
    }

    /// The sum of positions `from..until`.
    pub fn range(&self, from: u32, until: u32) -> Fixed {
        if until <= from { 0 } else { self.prefix(until - 1) - self.prefix(from.saturating_sub(1)) }
    }

    /// The sum of all.
    pub fn total(&self) -> Fixed {
        self.nodes.get(&CAPACITY).copied().unwrap_or(0)
    }
}

/// A bucket's money in one currency.
#[derive(Debug, Clone, Default)]
pub struct Pot {
    /// Per point, what each income has accrued, reversals taken off.
    accrued: PrefixSums,
    /// Per point, what of each income is settled, without any carry.
    settled: PrefixSums,
    /// What could not be divided yet; may be negative after a reversal.
    pub carry: Fixed,
    /// Sum of parts less what was reversed of them.
    pub taken: Fixed,
    /// Accrued by all agents together.
    pub accrued_by_all: Fixed,
    /// Payable to all agents together.
    pub payable_to_all: Fixed,
}

/// One income's part in a bucket, spread over the points of that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Its number in the bucket, from 1.
    pub number: u32,
    /// Month in which it was spread.
    pub month: u32,
    /// All weighted points it was divided by (1 for a one-agent bucket).
    pub weight: i128,
    /// The part, before reversals.
    pub part: Fixed,
    /// Per point, with the carry brought in, before reversals.
    pub each: Fixed,
    /// The whole income that `part` is a part of.
    pub income: Minor,
    /// Per point, lost through reversals so far.
    lost: Fixed,
    /// Of `part`, reversed so far.
    reversed: Fixed,
    /// Per point, settled so far.
    settled: Fixed,
}

impl Point {
    /// Per point, accrued after reversals.
    pub fn standing(&self) -> Fixed {
        self.each - self.lost
    }

    /// Per point, settled.
    pub fn settled(&self) -> Fixed {
        self.settled
    }
}

/// How a bucket's agents came off in one step: for the postings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Change of what all its agents have accrued.
    pub accrued: Fixed,
    /// Change of the carry.
    pub carry: Fixed,
    /// How many entries of its tables the step visited: at most 32 nodes of the tree,
    /// and for a new income one for each month in which counted work was done. Never
    /// one for each agent: a test holds the split to it.
    pub visited: u32,
}

/// One run of points of an agent: month of work, and the incomes it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    agent: AgentId,
    month: u32,
    from: u32,
    until: u32,
}

/// Everything a bucket knows.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its definition; name and `to` are its identity.
    pub def: Arc<BucketDef>,
    next: u32,
    /// First income number of each month that had one.
    months: OrdMap<u32, u32>,
    /// Points by month of work, all agents together.
    cohorts: OrdMap<u32, u64>,
    runs: OrdMap<Run, Points>,
    /// Each agent's points now.
    members: OrdMap<AgentId, Points>,
    /// The same by points, for the heaviest agent.
    by_points: OrdSet<(Points, AgentId)>,
    /// Sum over incomes of the heaviest agent's weighted points: no agent's flooring
    /// is more than that, in units of 2^-64.
    floored: u128,
    pots: OrdMap<Currency, Pot>,
}

impl Bucket {
    /// A bucket in which nothing has happened.
    pub fn new(def: Arc<BucketDef>) -> Self {
        Self {
            def,
            next: 1,
            months: OrdMap::new(),
            cohorts: OrdMap::new(),
            runs: OrdMap::new(),
            members: OrdMap::new(),
            by_points: OrdSet::new(),
            floored: 0,
            pots: OrdMap::new(),
        }
    }

    fn weights(&self) -> Option<&[u32]> {
        match &self.def.to {
            To::Agent(_) => None,
            To::Contributors(c) => Some(&c.weight),
        }
    }

    /// Counts `points` of work done in `month` for `agent`, from the next income on.
    pub fn count(&mut self, agent: AgentId, month: u32, points: Points) {
        if points == 0 {
            return;
        }
        let run = Run { agent, month, from: self.next, until: OPEN };
        *self.runs.entry(run).or_insert(0) += points;
        *self.cohorts.entry(month).or_insert(0) += points;
        let all = self.members.get(&agent).copied().unwrap_or(0);
        self.weigh(agent, all, all + points);
    }

    fn weigh(&mut self, agent: AgentId, before: Points, now: Points) {
        self.by_points.remove(&(before, agent));
        self.by_points.insert((now, agent));
        self.members.insert(agent, now);
    }

    /// Stops counting `points` that [`Bucket::count`] has counted, for income to come.
    pub fn discount(&mut self, agent: AgentId, month: u32, points: Points) {
        let first = Run { agent, month, from: 0, until: 0 };
        let last = Run { agent, month, from: u32::MAX, until: OPEN };
        let open: Vec<(Run, Points)> = self
            .runs
            .range(first..=last)
            .filter(|(r, _)| r.until == OPEN)
            .map(|(r, p)| (*r, *p))
            .collect();
        let mut left = points;
        // Which run gives the points up does not matter: what counted when is the same.
        for (run, held) in open.into_iter().rev() {
            let taken = held.min(left);
            if taken == 0 {
                break;
            }
            left -= taken;
            if taken == held {
                self.runs.remove(&run);
            } else {
                self.runs.insert(run, held - taken);
            }
            if run.from < self.next {
                *self.runs.entry(Run { until: self.next, ..run }).or_insert(0) += taken;
            }
        }
        assert_eq!(left, 0, "only points that were counted are ever discounted");
        *self.cohorts.entry(month).or_insert(0) -= points;
        let all = self.members.get(&agent).copied().unwrap_or(0);
        self.weigh(agent, all, all - points);
    }

    /// All weighted points that an income of `month` would meet.
    pub fn weight(&self, month: u32) -> i128 {
        let Some(weights) = self.weights() else { return 1 };
        self.cohorts
            .iter()
            .map(|(m, points)| i128::from(*points) * i128::from(at_age(weights, month, *m)))
            .sum()
    }

    /// The weight of work of `worked` for an income of `month`.
    pub fn weight_of(&self, month: u32, worked: u32) -> u32 {
        self.weights().map_or(1, |w| at_age(w, month, worked))
    }

    /// Whether one more income keeps within [`MAX_POINT_INCOMES`].
    pub fn has_room(&self) -> bool {
        self.floored + self.heaviest() <= MAX_POINT_INCOMES && self.next < CAPACITY - 1
    }

    /// The most weighted points that one agent could meet an income with now.
    fn heaviest(&self) -> u128 {
        let weight = self.weights().and_then(|w| w.iter().max()).copied().unwrap_or(1);
        u128::from(self.by_points.get_max().map_or(0, |m| m.0)) * u128::from(weight)
    }

    /// Spreads `part` of an income over the points of this moment; there must be some.
    pub fn spread(
        &mut self,
        currency: Currency,
        month: u32,
        part: Fixed,
        income: Minor,
    ) -> (Point, Moved) {
        let weight = self.weight(month);
        assert!(weight > 0, "a part without points is held, never spread");
        let number = self.next;
        self.floored += self.heaviest();
        self.next += 1;
        self.months.entry(month).or_insert(number);
        let pot = self.pots.entry(currency).or_default();
        let carry = (part + pot.carry).rem_euclid(weight);
        let each = (part + pot.carry).div_euclid(weight);
        let touched = pot.accrued.add(number, each);
        let months = u32::try_from(self.cohorts.len()).expect("a day is a u32, months are fewer");
        let moved =
            Moved { accrued: each * weight, carry: carry - pot.carry, visited: months + touched };
        pot.carry = carry;
        pot.taken += part;
        pot.accrued_by_all += moved.accrued;
        pot.check();
        (
            Point { number, month, weight, part, each, income, lost: 0, reversed: 0, settled: 0 },
            moved,
        )
    }

    /// Brings a point to `reversed` minor units of its income reversed in all, of
    /// which `reversed_part` fall on its part.
    pub fn reverse_to(
        &mut self,
        currency: Currency,
        point: &mut Point,
        reversed: Minor,
        reversed_part: Fixed,
    ) -> Moved {
        let lost = scale(point.each, reversed, point.income);
        let (more_lost, more) = (lost - point.lost, reversed_part - point.reversed);
        point.lost = lost;
        point.reversed = reversed_part;
        let pot = self.pots.get_mut(&currency).expect("a point lies in a pot of its currency");
        let visited = pot.accrued.add(point.number, -more_lost);
        let returned = more_lost * point.weight;
        let moved = Moved { accrued: -returned, carry: returned - more, visited };
        pot.carry += moved.carry;
        pot.taken -= more;
        pot.accrued_by_all += moved.accrued;
        pot.check();
        moved
    }

    /// Brings a point to `settled` minor units of its income settled in all.
    pub fn settle_to(&mut self, currency: Currency, point: &mut Point, settled: Minor) {
        let each = scale(point.part.div_euclid(point.weight), settled, point.income);
        let more = each - point.settled;
        point.settled = each;
        let pot = self.pots.get_mut(&currency).expect("a point lies in a pot of its currency");
        pot.settled.add(point.number, more);
        pot.payable_to_all += more * point.weight;
    }

    /// What `agent` has accrued in this bucket.
    pub fn accrued(&self, agent: AgentId, currency: Currency) -> Fixed {
        self.pots.get(&currency).map_or(0, |pot| self.sum(agent, &pot.accrued))
    }

    /// What of it is payable.
    pub fn payable(&self, agent: AgentId, currency: Currency) -> Fixed {
        self.pots.get(&currency).map_or(0, |pot| self.sum(agent, &pot.settled))
    }

    /// Everybody's at once, by agent: what each has accrued here, and what of it is payable.
    /// One pass over the runs, where [`Bucket::accrued`] for each agent would look each up.
    pub fn everybody(&self, currency: Currency, mut each: impl FnMut(AgentId, Fixed, Fixed)) {
        let Some(pot) = self.pots.get(&currency) else { return };
        let contributors = match &self.def.to {
            To::Agent(agent) => return each(*agent, pot.accrued.total(), pot.settled.total()),
            To::Contributors(contributors) => contributors,
        };
        // Many agents' points count from the same income on, for work of the same month.
        let mut known: HashMap<(u32, u32, u32), (Fixed, Fixed)> = HashMap::new();
        let mut last: Option<(AgentId, Fixed, Fixed)> = None;
        for (run, points) in &self.runs {
            let sum = |sums| self.run_sum(run, &contributors.weight, sums);
            let per_point = known.entry((run.month, run.from, run.until));
            let (accrued, settled) =
                *per_point.or_insert_with(|| (sum(&pot.accrued), sum(&pot.settled)));
            let (accrued, settled) =
                (Fixed::from(*points) * accrued, Fixed::from(*points) * settled);
            match &mut last {
                Some((agent, a, s)) if *agent == run.agent => {
                    *a += accrued;
                    *s += settled;
                }
                _ => {
                    if let Some((agent, a, s)) = last.replace((run.agent, accrued, settled)) {
                        each(agent, a, s);
                    }
                }
            }
        }
        if let Some((agent, a, s)) = last {
            each(agent, a, s);
        }
    }

    /// The pot of a currency, where there is one.
    pub fn pot(&self, currency: Currency) -> Option<&Pot> {
        self.pots.get(&currency)
    }

    /// All pots.
    pub fn pots(&self) -> impl Iterator<Item = (Currency, &Pot)> {
        self.pots.iter().map(|(c, p)| (*c, p))
    }

    /// The agents who have or had points here.
    pub fn members(&self) -> impl Iterator<Item = AgentId> + '_ {
        self.members.keys().copied()
    }

    /// Whether this bucket and `other`, one of which was cloned from the other, still share
    /// all that has a part for each agent: nothing of it was written since. For the test
    /// of what an income costs.
    #[doc(hidden)]
    pub fn shares_agents_with(&self, other: &Self) -> bool {
        self.runs.ptr_eq(&other.runs)
            && self.members.ptr_eq(&other.members)
            && self.by_points.ptr_eq(&other.by_points)
    }

    /// The weighted points with which `agent` met the point numbered `number`.
    pub fn weighted_points(&self, agent: AgentId, point: &Point) -> i128 {
        match &self.def.to {
            To::Agent(a) => i128::from(*a == agent),
            To::Contributors(c) => self
                .runs_of(agent)
                .filter(|(r, _)| r.from <= point.number && point.number < r.until)
                .map(|(r, p)| i128::from(*p) * i128::from(at_age(&c.weight, point.month, r.month)))
                .sum(),
        }
    }

    fn runs_of(&self, agent: AgentId) -> impl Iterator<Item = (&Run, &Points)> {
        let first = Run { agent, month: 0, from: 0, until: 0 };
        let last = Run { agent, month: u32::MAX, from: u32::MAX, until: OPEN };
        self.runs.range(first..=last)
    }

    fn sum(&self, agent: AgentId, sums: &PrefixSums) -> Fixed {
        match &self.def.to {
            To::Agent(a) => {
                if *a == agent {
                    sums.total()
                } else {
                    0
                }
            }
            To::Contributors(c) => self
                .runs_of(agent)
                .map(|(run, points)| Fixed::from(*points) * self.run_sum(run, &c.weight, sums))
                .sum(),
        }
    }

    /// Per point of a run: weights by month times what the months' incomes gave.
    fn run_sum(&self, run: &Run, weights: &[u32], sums: &PrefixSums) -> Fixed {
        let until = run.until.min(self.next);
        if until <= run.from {
            return 0;
        }
        let settled_age =
            run.month.saturating_add(u32::try_from(weights.len() - 1).expect("tables are short"));
        let mut total = 0;
        let mut months = self.months.range(..=settled_age).rev().peekable();
        // From the table's last age on the weight is the same for ever: one range.
        let tail_start =
            self.months.range(settled_age..).next().map_or(self.next, |(_, first)| *first);
        total +=
            Fixed::from(weights[weights.len() - 1]) * sums.range(tail_start.max(run.from), until);
        let mut end = tail_start;
        if months.peek().is_some_and(|(m, _)| **m == settled_age) {
            months.next();
        }
        for (month, first) in months {
            if end <= run.from {
                break;
            }
            let w = Fixed::from(at_age(weights, *month, run.month));
            total += w * sums.range((*first).max(run.from), end.min(until));
            end = *first;
        }
        total
    }
}

impl Pot {
    fn check(&self) {
        assert_eq!(
            self.accrued_by_all + self.carry,
            self.taken,
            "accrued and carry are all that was taken"
        );
    }
}

/// The weight of work done in `worked` at an income of `month`; the table's last
/// entry repeats for ever. Work is never dated after its entry.
fn at_age(weights: &[u32], month: u32, worked: u32) -> u32 {
    let age = usize::try_from(month.saturating_sub(worked)).unwrap_or(usize::MAX);
    weights[age.min(weights.len() - 1)]
}
