//! Why somebody has what they have: balances and the chain of reasons.
//!
//! Reads a [`State`]; decides nothing. Guarantees that the reasons of an agent in a
//! currency sum to what has accrued to it, exactly in 64-bit fixed point but for the
//! flooring of reversals per point that they name.

use super::{
    equation::To,
    event::Event,
    state::{Contribution, Lies, State, WorkPart},
    types::*,
};
use crate::{log::Statement, reject::Outcome};
use std::collections::BTreeSet;

/// An agent's money in one currency, whole minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub agent: AgentId,
    /// Currency.
    pub currency: Currency,
    /// Owed, reversals taken off, over all time.
    pub accrued: i128,
    /// The part of it whose own income is settled.
    pub payable: i128,
    /// In payout runs that are not decided.
    pub reserved: i128,
    /// Paid, fees included.
    pub paid: i128,
    /// Of that, bank fees.
    pub fees: i128,
    /// What a payout could carry now; negative: to be recouped from what comes.
    pub available: i128,
    /// `accrued - paid - reserved`.
    pub balance: i128,
}

/// One income's contribution to an agent's accruals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Number of the income.
    pub income: u64,
    /// Which bucket of its equation.
    pub bucket: Handle,
    /// Its share, ppm.
    pub share: u32,
    /// The bucket's part of the income, before reversals.
    pub part: Fixed,
    /// Weighted points with which the agent met it, thousandths.
    pub points: i128,
    /// All weighted points it was divided by.
    pub all_points: i128,
    /// What accrued, reversals taken off.
    pub accrued: Fixed,
    /// What of it is payable.
    pub payable: Fixed,
    /// It was held at first and came through a release or the fallback.
    pub was_held: bool,
    /// Entry and event at which the points were met: the income's own, or those that
    /// released the lot. Without an event time released it, before those of the entry.
    pub spread_at: (u64, Option<u32>),
}

/// One part of one contribution, as it counts.
#[derive(Debug, Clone)]
pub struct Work {
    /// Where it was claimed.
    pub place: Ref,
    /// The contribution.
    pub contribution: Contribution,
    /// The agent's part.
    pub part: WorkPart,
}

impl State {
    /// All currencies that money was ever posted in, in order.
    pub fn currencies(&self) -> Vec<Currency> {
        let all: BTreeSet<Currency> = self.accounts.iter().map(|(_, c, _)| c).collect();
        all.into_iter().collect()
    }

    /// An agent's balance in a currency.
    pub fn balance(&self, agent: AgentId, currency: Currency) -> Balance {
        let d = self.drawn(agent, currency);
        let (own, common) = self.available(agent, currency);
        let accrued = whole(self.accrued(agent, currency));
        let reserved = i128::from(d.reserved_own) + i128::from(d.reserved_common);
        let paid = i128::from(d.paid_own) + i128::from(d.paid_common);
        Balance {
            agent,
            currency,
            accrued,
            payable: own + common + paid + reserved,
            reserved,
            paid,
            fees: i128::from(d.fees),
            available: own + common,
            balance: accrued - paid - reserved,
        }
    }

    /// Balances that are not all zero, by agent and currency.
    pub fn balances(&self) -> Vec<Balance> {
        let currencies = self.currencies();
        let zero = |b: &Balance| b.accrued == 0 && b.payable == 0 && b.reserved == 0 && b.paid == 0;
        self.agents
            .iter()
            .flat_map(|a| currencies.iter().map(|c| self.balance(a.id, *c)))
            .filter(|b| !zero(b))
            .collect()
    }

    /// Unweighted points of an agent that count now, thousandths: each part once,
    /// however many buckets it counts in.
    pub fn points(&self, agent: AgentId) -> u64 {
        self.work(agent).filter_map(|w| w.part.standing.as_ref().map(|s| s.counted)).sum()
    }

    /// An agent's parts, in order; it has one in a contribution at most.
    pub fn work(&self, agent: AgentId) -> impl Iterator<Item = Work> {
        self.places_of(agent).filter_map(move |place| {
            let contribution = self.contributions.at(place);
            let part = contribution.parts.iter().find(|p| p.agent == agent)?.clone();
            Some(Work { place, contribution, part })
        })
    }

    /// The reasons of an agent in a currency, by income.
    pub fn reasons(&self, agent: AgentId, currency: Currency) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for income in self.incomes.iter().filter(|i| i.currency == currency) {
            for (share, spec) in income.shares.iter().zip(&income.equation.buckets) {
                let (Lies::Spread(id, point), Some(at)) = (&share.lies, share.spread_at) else {
                    continue;
                };
                let bucket = &self.buckets[id];
                let points = bucket.weighted_points(agent, point);
                if points == 0 {
                    continue;
                }
                reasons.push(Reason {
                    income: income.number,
                    bucket: spec.name.clone(),
                    share: spec.share,
                    part: share.part,
                    points,
                    all_points: point.weight,
                    accrued: points * point.standing(),
                    payable: points * point.settled(),
                    was_held: at != (income.place.entry, Some(income.place.event)),
                    spread_at: at,
                });
            }
        }
        reasons
    }

    /// Replays the next entry as far as `event` and with it; without one, as far as what
    /// time brought about before its events. For whoever wants the book as an income met
    /// it: what the same statement said afterwards was not known yet.
    pub fn replay_until(&mut self, statement: &Statement, at: u64, event: Option<u32>) -> Outcome {
        let events = statement.events().iter().map(|bytes| Event::decode(bytes));
        let events = events.collect::<Outcome<Vec<Event>>>()?;
        // Who is introduced by the statement itself can author nothing without that.
        let joins = matches!(events.first(), Some(Event::AgentJoin { .. }));
        let wanted = event.map_or(usize::from(joins), |n| n as usize + 1);
        let events = &events[..wanted.min(events.len())];
        self.replay_events(statement, events, at, &mut Vec::new())
    }

    /// The agents behind a person: itself, and those it has claimed.
    pub fn faces(&self, person: AgentId) -> Vec<AgentId> {
        let claimed = self.agents.iter().filter(|a| a.alias.is_some_and(|(p, _)| p == person));
        std::iter::once(person).chain(claimed.map(|a| a.id)).collect()
    }

    /// Whether a bucket is one agent's.
    pub fn bucket_owner(&self, id: &super::equation::BucketId) -> Option<AgentId> {
        match self.buckets.get(id)?.def.to {
            To::Agent(a) => Some(a),
            To::Contributors(_) => None,
        }
    }
}
