//! Payouts: proposed and reserved, then paid, failed, returned or expired (and even then
//! paid late, where nothing else has used it up); and whose cash is whose.
//!
//! Guarantees that a line never takes more than is payable to its agent, nor more
//! cash than the funds concerned hold with that treasurer, and that no fund pays
//! for another.

use super::{
    accounts::{Account, Fund},
    agreement::{Origin, Progress},
    event::{Due, Fee},
    state::{Draw, Fate, Line, Run, State, Step, Task},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, Reject, require},
};
use std::sync::Arc;

/// The longest that a run may stay undecided.
const MAX_RUN_DAYS: u64 = 92;

impl State {
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
