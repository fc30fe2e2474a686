//! Payouts: proposed and reserved, then paid, failed, returned or expired (and even then
//! paid late, where nothing else has used it up); and whose cash is whose.
//!
//! Guarantees that a line never takes more than is payable to its agent, nor more
//! cash than the funds concerned hold with that treasurer, and that no fund pays
//! for another.

use super::{
    accounts::{Account, Fund},
    agreement::{Origin, Progress},
    equation::{BucketId, To},
    event::{Due, Fee},
    state::{Draw, Drawn, Fate, Line, Run, State, Step, Task},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, Reject, require},
};
use std::{collections::BTreeMap, sync::Arc};

/// The longest that a run may stay undecided.
const MAX_RUN_DAYS: u64 = 92;

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

    fn payable_by_fund(&self, agent: AgentId, currency: Currency) -> (Fixed, Fixed) {
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
    fn find_draw(&self, agent: AgentId, currency: Currency, minor: Minor) -> Option<Draw> {
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
    fn draw_buckets(
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

    fn change_drawn(
        &mut self,
        agent: AgentId,
        currency: Currency,
        change: impl FnOnce(&mut Drawn),
    ) {
        change(self.drawn.entry((agent, currency)).or_default());
    }

    fn bucket_lines(&self, draw: &Draw, sign: Fixed) -> Vec<(Account, Fixed)> {
        let account = |id: &BucketId| self.bucket_account(&self.buckets[id].def);
        draw.buckets.iter().map(|(id, amount)| (account(id), sign * amount)).collect()
    }

    fn cash_lines(
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

    fn require_cash(
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

    /// PayoutPropose.
    pub(super) fn propose_payout(
        &mut self,
        step: &mut Step<'_>,
        currency: Currency,
        lines: &[(Handle, Minor)],
        expires_at: u64,
        cash_of: Option<&Handle>,
    ) -> Outcome {
        let soon = step.at < expires_at && expires_at <= step.at + MAX_RUN_DAYS * DAY_MS;
        require(soon, Code::LinesInvalid, || {
            format!("expires within {MAX_RUN_DAYS} days of its entry, found {expires_at}")
        })?;
        require(!self.runs.contains_key(&step.entry), Code::LinesInvalid, || {
            "one run in a statement".into()
        })?;
        let treasurer = match cash_of {
            Some(handle) => self.former_treasurer(handle)?,
            None => step.author,
        };
        self.require_sound_cash(currency)?;
        self.note_act(step, |acts| &mut acts.proposed);
        let minimum = self.equation().minimum_payout.get(&currency).copied().unwrap_or(0);
        let mut run = Vec::new();
        for (handle, minor) in lines {
            let agent = self.payee(step.at, handle)?;
            self.require_sound(agent)?;
            require(*minor >= minimum, Code::BelowMinimum, || {
                format!("{handle}: {minor} of at least {minimum}")
            })?;
            let draw = self.reserve(step, step.entry, treasurer, currency, (agent, *minor))?;
            run.push(Line { agent, minor: *minor, draw, fate: Fate::Proposed });
        }
        self.runs.insert(
            step.entry,
            Arc::new(Run {
                treasurer,
                by: step.author,
                currency,
                expires_at,
                proposed_at: step.at,
                lines: run,
            }),
        );
        self.schedule(expires_at + 1, step.entry, Task::ExpireRun(step.entry));
        Ok(())
    }

    /// Whose account other treasurers pay from: nobody's who can still do it.
    fn former_treasurer(&self, handle: &Handle) -> Outcome<AgentId> {
        let id = self.find(handle)?;
        let still = self.agent(id).roles.contains(&Role::Treasurer);
        require(!still, Code::NotRunTreasurer, || format!("{handle} is treasurer still"))?;
        Ok(id)
    }

    /// Takes a line out of what is payable and free, for a run.
    fn reserve(
        &mut self,
        step: &mut Step<'_>,
        run: u64,
        treasurer: AgentId,
        currency: Currency,
        (agent, minor): (AgentId, Minor),
    ) -> Outcome<Draw> {
        let Some(draw) = self.find_draw(agent, currency, minor) else {
            let (own, common) = self.available(agent, currency);
            let (handle, free) = (&self.agent(agent).handle, (own + common).max(0));
            let detail = format!("{handle}: {minor} of {free} payable");
            return Err(Reject::new(Code::Unpayable, detail));
        };
        self.require_cash(treasurer, agent, currency, &draw)?;
        self.earmark(treasurer, agent, currency, &draw, true);
        self.change_drawn(agent, currency, |d| {
            d.reserved_own += draw.own;
            d.reserved_common += draw.common;
            for (id, amount) in &draw.buckets {
                *d.buckets.entry(*id).or_insert(0) += amount;
            }
        });
        let mut posting = self.bucket_lines(&draw, 1);
        posting.push((Account::Reserved(run), -fixed(minor)));
        self.post(step, currency, &posting);
        Ok(draw)
    }

    fn payee(&self, at: u64, handle: &Handle) -> Outcome<AgentId> {
        let id = self.find(handle)?;
        let agent = self.agent(id);
        require(agent.kind != AgentKind::Trust, Code::PrincipalStays, || handle.to_string())?;
        if agent.is_keyless() {
            let Some((_, since)) = agent.alias else {
                return Err(Reject::new(Code::PayeeUnclaimed, handle.to_string()));
            };
            let from = since + u64::from(self.equation().claim_delay_days) * DAY_MS;
            require(at >= from, Code::ClaimTooFresh, || {
                format!("{handle}: payable from day {} on", day_of(from))
            })?;
        }
        require(agent.admitted, Code::NotAdmitted, || handle.to_string())?;
        Ok(id)
    }

    fn earmark(
        &mut self,
        treasurer: AgentId,
        agent: AgentId,
        currency: Currency,
        draw: &Draw,
        more: bool,
    ) {
        for (fund, minor) in [(Fund::Agent(agent), draw.own), (Fund::Contributors, draw.common)] {
            let slot = self.earmarked.entry((treasurer, fund, currency)).or_insert(0);
            if more { *slot += minor } else { *slot -= minor }
        }
    }

    /// A run and a line of it, for a treasurer who reports on it: the one who proposed it,
    /// whose cash it is, or any other when that one is treasurer no more or the run is frozen.
    fn run_line(&self, step: &Step<'_>, run: u64, handle: &Handle) -> Outcome<(Arc<Run>, usize)> {
        let unknown = || Reject::new(Code::UnknownPayout, format!("run {run}, line {handle}"));
        let r = self.runs.get(&run).ok_or_else(unknown)?;
        let owner = self.agent(r.treasurer);
        let may = r.treasurer == step.author
            || !owner.roles.contains(&Role::Treasurer)
            || self.frozen_run(run).is_some();
        require(may, Code::NotRunTreasurer, || format!("run {run} is {}'s", owner.handle))?;
        let n = r
            .lines
            .iter()
            .position(|l| self.agent(l.agent).handle == *handle)
            .ok_or_else(unknown)?;
        Ok((r.clone(), n))
    }

    fn decide(&mut self, run: u64, n: usize, fate: Fate) {
        let slot = self.runs.get_mut(&run).expect("the caller found it");
        Arc::make_mut(slot).lines[n].fate = fate;
    }

    fn require_fate(line: &Line, fits: bool, run: u64) -> Outcome {
        require(fits, Code::LineDecided, || format!("run {run}: the line is {}", line.fate.word()))
    }

    /// PayoutPaid.
    pub(super) fn pay(
        &mut self,
        step: &mut Step<'_>,
        run: u64,
        agents: &[Handle],
        bank: &Reference,
        fee: Option<&Fee>,
        due: &[Due],
    ) -> Outcome {
        self.use_bank(bank)?;
        let mut expected: Vec<Due> = Vec::new();
        let mut whose = None;
        for handle in agents {
            let (r, n) = self.payable_line(step, run, handle)?;
            let line = &r.lines[n];
            whose = Some((r.treasurer, r.currency));
            self.earmark(r.treasurer, line.agent, r.currency, &line.draw, false);
            self.change_drawn(line.agent, r.currency, |d| {
                d.reserved_own -= line.draw.own;
                d.reserved_common -= line.draw.common;
                d.paid_own += line.draw.own;
                d.paid_common += line.draw.common;
            });
            let mut posting = vec![(Account::Reserved(run), fixed(line.minor))];
            posting.extend(Self::cash_lines(r.treasurer, line.agent, &line.draw, -1));
            self.post(step, r.currency, &posting);
            self.decide(run, n, Fate::Paid { bank: bank.clone(), at: step.at });
            if let Some(digest) = self.upstream(handle, r.currency) {
                let minor = line.minor;
                let number = self.add_due(&digest, Origin::Payout(run), minor, minor, step.at, 0);
                expected.push(Due { agreement: digest, number, amount: minor });
                self.change_agreement(&digest, |a| {
                    a.cash += u128::from(minor);
                    a.settled += u128::from(minor);
                });
            }
        }
        require_dues(expected, due)?;
        let (treasurer, currency) = whose.expect("a payment names at least one line");
        if let Some(fee) = fee {
            let bearer = self.find(&fee.bearer)?;
            self.require_bearer(bearer, agents)?;
            self.charge(step, bearer, currency, fee.minor, Some(treasurer))?;
        }
        // A reversal since the proposal may have left less in the line's own fund.
        self.rebalance(step, currency, Some(treasurer));
        Ok(())
    }

    /// A line that can be paid: an undecided one, or an expired one that is reserved anew.
    /// A bank may pay after the run's date, and what has happened must be sayable for as
    /// long as it takes nothing from anybody else.
    fn payable_line(
        &mut self,
        step: &mut Step<'_>,
        run: u64,
        handle: &Handle,
    ) -> Outcome<(Arc<Run>, usize)> {
        let (mut r, n) = self.run_line(step, run, handle)?;
        let line = &r.lines[n];
        Self::require_fate(line, matches!(line.fate, Fate::Proposed | Fate::Expired), run)?;
        self.require_sound_run(run)?;
        self.require_sound_cash(r.currency)?;
        self.require_sound(line.agent)?;
        if line.fate == Fate::Expired {
            let whose = (line.agent, line.minor);
            let draw = self.reserve(step, run, r.treasurer, r.currency, whose)?;
            Arc::make_mut(&mut r).lines[n].draw = draw;
            self.runs.insert(run, r.clone());
        }
        Ok((r, n))
    }

    /// PayoutFailed: the line is released.
    pub(super) fn fail(
        &mut self,
        step: &mut Step<'_>,
        run: u64,
        agents: &[Handle],
        reason: FailReason,
    ) -> Outcome {
        for handle in agents {
            let (r, n) = self.run_line(step, run, handle)?;
            Self::require_fate(&r.lines[n], r.lines[n].fate == Fate::Proposed, run)?;
            self.note_cash(step, r.currency);
            self.release(step, run, &r, n, Fate::Failed { reason });
        }
        Ok(())
    }

    /// What nobody decided in time is released.
    pub(super) fn expire_run(&mut self, step: &mut Step<'_>, run: u64) {
        let r = self.runs[&run].clone();
        for (n, line) in r.lines.iter().enumerate() {
            if line.fate == Fate::Proposed {
                self.release(step, run, &r, n, Fate::Expired);
            }
        }
    }

    fn release(&mut self, step: &mut Step<'_>, run: u64, r: &Run, n: usize, fate: Fate) {
        let line = &r.lines[n];
        self.earmark(r.treasurer, line.agent, r.currency, &line.draw, false);
        self.change_drawn(line.agent, r.currency, |d| {
            d.reserved_own -= line.draw.own;
            d.reserved_common -= line.draw.common;
            for (id, amount) in &line.draw.buckets {
                *d.buckets.entry(*id).or_insert(0) -= amount;
            }
        });
        let mut posting = self.bucket_lines(&line.draw, -1);
        posting.push((Account::Reserved(run), fixed(line.minor)));
        self.post(step, r.currency, &posting);
        self.decide(run, n, fate);
    }

    /// PayoutReturned: what was paid came back.
    pub(super) fn give_back(
        &mut self,
        step: &mut Step<'_>,
        run: u64,
        handle: &Handle,
        reason: FailReason,
        bank: &Reference,
        due: &[Due],
    ) -> Outcome {
        self.use_bank(bank)?;
        let (r, n) = self.run_line(step, run, handle)?;
        let line = &r.lines[n];
        Self::require_fate(line, matches!(line.fate, Fate::Paid { .. }), run)?;
        self.note_cash(step, r.currency);
        self.change_drawn(line.agent, r.currency, |d| {
            d.paid_own -= line.draw.own;
            d.paid_common -= line.draw.common;
            for (id, amount) in &line.draw.buckets {
                *d.buckets.entry(*id).or_insert(0) -= amount;
            }
        });
        let mut posting = self.bucket_lines(&line.draw, -1);
        posting.extend(Self::cash_lines(r.treasurer, line.agent, &line.draw, 1));
        self.post(step, r.currency, &posting);
        self.decide(run, n, Fate::Returned { reason, bank: bank.clone() });
        let mut expected = Vec::new();
        let under: Option<(Hash, u64)> = self.agreements.values().find_map(|a| {
            let ours = a.terms.base == Base::Payout
                && a.progress == Progress::Active
                && a.terms.commons_handle == *handle;
            let number = a.dues.origins.get(&Origin::Payout(run)).filter(|_| ours)?;
            Some((a.terms.digest, *number))
        });
        if let Some((digest, number)) = under {
            self.reverse_due(&digest, number, line.minor, line.minor);
            let number = self.agreements[&digest].dues.last;
            expected.push(Due { agreement: digest, number, amount: line.minor });
            let minor = u128::from(line.minor);
            self.change_agreement(&digest, |a| {
                a.cash -= minor;
                a.settled -= minor;
            });
        }
        require_dues(expected, due)?;
        self.rebalance(step, r.currency, Some(r.treasurer));
        Ok(())
    }

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

/// The stated dues are those that the rules give.
pub(super) fn require_dues(mut expected: Vec<Due>, stated: &[Due]) -> Outcome {
    expected.sort_by_key(|d| (d.agreement, d.number));
    require(expected == stated, Code::DueMismatch, || {
        let show = |dues: &[Due]| {
            let one = |d: &Due| {
                format!("{}… no. {} {}", &hex::encode(d.agreement)[..8], d.number, d.amount)
            };
            if dues.is_empty() {
                "none".to_owned()
            } else {
                dues.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        };
        format!("expected {}; stated {}", show(&expected), show(stated))
    })
}
