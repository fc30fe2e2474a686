//! What can be drawn: of what is payable to an agent, from which buckets and funds, and of whose cash.
//!
//! Guarantees that nobody draws more than is payable, nor out of another's fund. Leaves out who draws
//! when (`payout`), and cash that goes from fund to fund (`funds`).

use super::{
    accounts::{Account, Fund},
    equation::{BucketId, To},
    state::{Draw, Drawn, State},
    types::*,
};
use crate::reject::{Code, Outcome, require};

impl State {
    /// Accrued to an agent in a currency, over all buckets.
    pub fn accrued(&self, agent: AgentId, currency: Currency) -> Fixed {
        self.buckets.values().map(|b| b.accrued(agent, currency)).sum()
    }

    /// Payable of it, less nothing: the settled part.
    pub fn payable(&self, agent: AgentId, currency: Currency) -> Fixed {
        self.buckets.values().map(|b| b.payable(agent, currency)).sum()
    }

    /// What was drawn or reserved.
    pub fn drawn(&self, agent: AgentId, currency: Currency) -> Drawn {
        self.drawn.get(&(agent, currency)).cloned().unwrap_or_default()
    }

    pub(super) fn payable_by_fund(&self, agent: AgentId, currency: Currency) -> (Fixed, Fixed) {
        let (mut own, mut common) = (0, 0);
        for b in self.buckets.values() {
            let payable = b.payable(agent, currency);
            match b.def.to {
                To::Agent(_) => own += payable,
                To::Contributors(_) => common += payable,
            }
        }
        (own, common)
    }

    /// What an agent could be paid now, of its own fund and of the contributors':
    /// `payable - paid - reserved`, negative where more was paid than is payable.
    pub fn available(&self, agent: AgentId, currency: Currency) -> (i128, i128) {
        let (own, common) = self.payable_by_fund(agent, currency);
        let d = self.drawn(agent, currency);
        (
            whole(own) - i128::from(d.paid_own) - i128::from(d.reserved_own),
            whole(common) - i128::from(d.paid_common) - i128::from(d.reserved_common),
        )
    }

    /// From where `minor` would be drawn; `None` if it is more than is available.
    pub(super) fn find_draw(
        &self,
        agent: AgentId,
        currency: Currency,
        minor: Minor,
    ) -> Option<Draw> {
        let (own, common) = self.available(agent, currency);
        if own + common < i128::from(minor) {
            return None;
        }
        let own_take = u64::try_from(own.max(0)).unwrap_or(u64::MAX).min(minor);
        let common_take = minor - own_take;
        let mut draw = Draw { own: own_take, common: common_take, buckets: Vec::new() };
        self.draw_buckets(agent, currency, true, own_take, &mut draw.buckets);
        self.draw_buckets(agent, currency, false, common_take, &mut draw.buckets);
        Some(draw)
    }

    /// Spreads a whole amount over the buckets of a fund, first come first drawn; what
    /// is under a minor unit through rounding stays with the last of them.
    pub(super) fn draw_buckets(
        &self,
        agent: AgentId,
        currency: Currency,
        own: bool,
        minor: Minor,
        out: &mut Vec<(BucketId, Fixed)>,
    ) {
        let mut left = fixed(minor);
        let drawn = self.drawn(agent, currency);
        let mut last: Option<BucketId> = None;
        for (id, b) in &self.buckets {
            if left == 0 {
                return;
            }
            let payable = b.payable(agent, currency);
            if matches!(b.def.to, To::Agent(_)) != own || payable == 0 {
                continue;
            }
            last = Some(*id);
            let free = payable - drawn.buckets.get(id).copied().unwrap_or(0);
            let take = free.clamp(0, left);
            if take > 0 {
                out.push((*id, take));
                left -= take;
            }
        }
        if left > 0 {
            let id = last.expect("what is payable lies in some bucket");
            match out.iter_mut().find(|(b, _)| *b == id) {
                Some((_, amount)) => *amount += left,
                None => out.push((id, left)),
            }
        }
    }

    pub(super) fn change_drawn(
        &mut self,
        agent: AgentId,
        currency: Currency,
        change: impl FnOnce(&mut Drawn),
    ) {
        change(self.drawn.entry((agent, currency)).or_default());
    }

    pub(super) fn bucket_lines(&self, draw: &Draw, sign: Fixed) -> Vec<(Account, Fixed)> {
        let account = |id: &BucketId| self.bucket_account(&self.buckets[id].def);
        draw.buckets.iter().map(|(id, amount)| (account(id), sign * amount)).collect()
    }

    pub(super) fn cash_lines(
        treasurer: AgentId,
        agent: AgentId,
        draw: &Draw,
        sign: Fixed,
    ) -> [(Account, Fixed); 2] {
        [
            (Account::Cash(treasurer, Fund::Agent(agent)), sign * fixed(draw.own)),
            (Account::Cash(treasurer, Fund::Contributors), sign * fixed(draw.common)),
        ]
    }

    /// Cash of a fund with a treasurer that no run has earmarked.
    pub fn free_cash(&self, treasurer: AgentId, fund: Fund, currency: Currency) -> i128 {
        let cash = whole(self.accounts.balance(Account::Cash(treasurer, fund), currency));
        cash - i128::from(self.earmarked.get(&(treasurer, fund, currency)).copied().unwrap_or(0))
    }

    /// All of a treasurer's cash that no run has earmarked.
    pub fn free_cash_in_all(&self, treasurer: AgentId, currency: Currency) -> i128 {
        let cash = self.accounts.cash_from(treasurer, currency);
        cash.take_while(|(holder, _, _)| *holder == treasurer)
            .map(|(_, fund, _)| self.free_cash(treasurer, fund, currency))
            .sum()
    }

    pub(super) fn require_cash(
        &self,
        treasurer: AgentId,
        agent: AgentId,
        currency: Currency,
        draw: &Draw,
    ) -> Outcome {
        let all = self.free_cash_in_all(treasurer, currency);
        let funds = [(Fund::Agent(agent), draw.own), (Fund::Contributors, draw.common)];
        for (fund, wanted) in funds {
            let free = self.free_cash(treasurer, fund, currency).min(all);
            require(wanted == 0 || i128::from(wanted) <= free, Code::NoCash, || {
                format!("{}: needs {wanted}, free {free}", self.agent(agent).handle)
            })?;
        }
        require(i128::from(draw.own) + i128::from(draw.common) <= all, Code::NoCash, || {
            format!(
                "{}: needs {}, free in all {all}",
                self.agent(agent).handle,
                draw.own + draw.common
            )
        })
    }
}
