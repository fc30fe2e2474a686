//! Fees, and cash between the funds of one treasurer.
//!
//! Guarantees that no fund pays for another: a fee is borne by whom it is for, and after each event a
//! fund holds what is payable out of it. Leaves out payouts (`payout`).

use super::{
    accounts::{Account, Fund},
    equation::To,
    state::{State, Step},
    types::*,
};
use crate::reject::{Code, Outcome, Reject, require};
use std::collections::BTreeMap;

impl State {
    /// A fee is borne by who is paid, or by an institution: no treasurer takes it from a
    /// person who has no part in the transfer.
    pub(super) fn require_bearer(&self, bearer: AgentId, payees: &[Handle]) -> Outcome {
        let a = self.agent(bearer);
        let may = a.kind != AgentKind::Person || payees.contains(&a.handle);
        require(may, Code::FeeBearer, || format!("{} has no part in it", a.handle))
    }

    /// A bank fee, borne by an agent out of what is payable to it. `from`: the treasurer
    /// whose cash it leaves now; otherwise it was kept back from cash that came in.
    pub(super) fn charge(
        &mut self,
        step: &mut Step<'_>,
        bearer: AgentId,
        currency: Currency,
        minor: Minor,
        from: Option<AgentId>,
    ) -> Outcome {
        let handle = self.agent(bearer).handle.clone();
        let principal = self.agent(bearer).kind == AgentKind::Trust;
        require(!principal, Code::PrincipalStays, || handle.to_string())?;
        let Some(draw) = self.find_draw(bearer, currency, minor) else {
            return Err(Reject::new(
                Code::FeeTooLarge,
                format!("{handle} has less than {minor} payable"),
            ));
        };
        if let Some(treasurer) = from {
            self.require_cash(treasurer, bearer, currency, &draw)?;
        }
        self.change_drawn(bearer, currency, |d| {
            d.paid_own += draw.own;
            d.paid_common += draw.common;
            d.fees += minor;
            for (id, amount) in &draw.buckets {
                *d.buckets.entry(*id).or_insert(0) += amount;
            }
        });
        let mut posting = self.bucket_lines(&draw, 1);
        posting.push((Account::Fees, -fixed(minor)));
        if let Some(treasurer) = from {
            posting.push((Account::Fees, fixed(minor)));
            posting.extend(Self::cash_lines(treasurer, bearer, &draw, -1));
        }
        self.post(step, currency, &posting);
        Ok(())
    }

    /// Moves cash between funds until each one-agent fund holds what is payable to its
    /// agent and not paid yet; the contributors' fund holds the rest. `first` names the
    /// treasurer whose cash has just come in. An event does it once, after all it has done
    /// to incomes: the cost is that of its funds and of the treasurers who hold cash.
    pub(super) fn rebalance(
        &mut self,
        step: &mut Step<'_>,
        currency: Currency,
        first: Option<AgentId>,
    ) {
        let holders = self.holders(currency, first);
        for (owner, target) in self.fund_targets(currency) {
            let fund = Fund::Agent(owner);
            let held = |s: &Self, t: AgentId, f: Fund| {
                whole(s.accounts.balance(Account::Cash(t, f), currency))
            };
            let has: i128 = holders.iter().map(|t| held(self, *t, fund)).sum();
            let mut missing = target - has;
            for (n, t) in holders.iter().enumerate() {
                if missing == 0 {
                    break;
                }
                let source = if missing > 0 { Fund::Contributors } else { fund };
                let there = held(self, *t, source).max(0);
                let last = n + 1 == holders.len();
                let moved = if missing > 0 {
                    if last { missing } else { missing.min(there) }
                } else {
                    missing.max(-there)
                };
                missing -= moved;
                self.post(
                    step,
                    currency,
                    &[
                        (Account::Cash(*t, fund), moved * Q),
                        (Account::Cash(*t, Fund::Contributors), -moved * Q),
                    ],
                );
            }
        }
    }

    /// The treasurers who hold or held cash in a currency: `first`, then by number.
    fn holders(&self, currency: Currency, first: Option<AgentId>) -> Vec<AgentId> {
        let mut holders: Vec<AgentId> =
            self.accounts.cash_from(AgentId(0), currency).map(|(t, _, _)| t).collect();
        holders.dedup();
        holders.retain(|t| Some(*t) != first);
        first.into_iter().chain(holders).collect()
    }

    /// What the fund of each one-agent bucket's agent is to hold, whole minor units.
    fn fund_targets(&self, currency: Currency) -> Vec<(AgentId, i128)> {
        let mut payable: BTreeMap<AgentId, Fixed> = BTreeMap::new();
        for bucket in self.buckets.values() {
            if let To::Agent(owner) = bucket.def.to {
                *payable.entry(owner).or_default() += bucket.payable(owner, currency);
            }
        }
        let target = |(owner, payable): (AgentId, Fixed)| {
            let paid = i128::from(self.drawn(owner, currency).paid_own);
            (owner, (whole(payable) - paid).max(0))
        };
        payable.into_iter().map(target).collect()
    }
}
