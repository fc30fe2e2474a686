//! The naive payouts: lines, fees, and whose cash is whose.
//!
//! What an agent has drawn is a list of draws; what is free is added up from it each
//! time. A one-agent bucket's agent has a fund of its own, which holds what is payable
//! to it and not paid yet; the contributors' fund holds all other cash.

use super::{book::*, money::*};
use num_bigint::BigInt;
use subak_ledger::{book::equation::BucketId, reject::Code};
use subak_proto::v1;

impl Drawn {
    /// Out of what is payable, now.
    pub fn counts(&self) -> bool {
        matches!(self.fate, Fate::Proposed | Fate::Paid)
    }
}

impl Model {
    fn is_own(&self, bucket: &BucketId) -> bool {
        self.buckets[bucket].owner().is_some()
    }

    fn drawn_by(&self, agent: Agent, money: Money) -> impl Iterator<Item = &Drawn> {
        let of = move |d: &&Drawn| d.agent == agent && d.money == money && d.counts();
        self.drawn.iter().filter(of)
    }

    /// What could be paid now, of the agent's own fund and of the contributors'.
    pub fn available(&self, agent: Agent, money: Money) -> (i128, i128) {
        let own = self.owed(agent, money, |b| self.is_own(b)).1;
        let common = self.owed(agent, money, |b| !self.is_own(b)).1;
        let drawn = self.drawn_by(agent, money);
        let drawn = drawn.fold((0, 0), |d, x| (d.0 + x.own, d.1 + x.common));
        (whole(&own) - i128::from(drawn.0), whole(&common) - i128::from(drawn.1))
    }

    /// An agent's own fund is drawn first; in it, buckets one after the other.
    fn draw(&self, agent: Agent, money: Money, minor: u64) -> Option<Drawn> {
        let (own, common) = self.available(agent, money);
        if own + common < i128::from(minor) {
            return None;
        }
        let from_own = u64::try_from(own.max(0)).unwrap().min(minor);
        let mut draw = Drawn {
            agent,
            money,
            own: from_own,
            common: minor - from_own,
            buckets: Vec::new(),
            fate: Fate::Proposed,
            treasurer: 0,
            run: None,
        };
        for (own, minor) in [(true, draw.own), (false, draw.common)] {
            let mut left = BigInt::from(minor) * q();
            let mut last = None;
            for id in self.buckets.keys().filter(|id| self.is_own(id) == own) {
                let payable = self.owed(agent, money, |b| b == id).1;
                if payable == BigInt::ZERO || left == BigInt::ZERO {
                    continue;
                }
                let before = self.drawn_by(agent, money).flat_map(|d| &d.buckets);
                let before: BigInt = before.filter(|b| b.0 == *id).map(|b| &b.1).sum();
                let take = (payable - before).max(BigInt::ZERO).min(left.clone());
                left -= &take;
                draw.buckets.push((*id, take));
                last = Some(draw.buckets.len() - 1);
            }
            if let Some(n) = last {
                draw.buckets[n].1 += left; // what rounding to whole units has added
            }
        }
        Some(draw)
    }

    /// Cash of a treasurer.
    pub fn cash_of(&self, treasurer: Agent, money: Money) -> i128 {
        self.cash.iter().filter(|c| c.0 == treasurer && c.1 == money).map(|c| c.2).sum()
    }

    /// What an institution's (or any one-agent bucket's) fund holds.
    pub fn fund(&self, agent: Agent, money: Money) -> i128 {
        let paid: u64 =
            self.drawn_by(agent, money).filter(|d| d.fate == Fate::Paid).map(|d| d.own).sum();
        let payable = whole(&self.owed(agent, money, |b| self.is_own(b)).1);
        (payable - i128::from(paid)).max(0)
    }

    pub fn owners(&self) -> Vec<Agent> {
        let mut owners: Vec<Agent> = self.buckets.values().filter_map(|d| d.owner()).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Where one treasurer alone has cash, what is free of each fund is certain.
    pub fn sole_treasurer(&self) -> bool {
        self.cash.iter().all(|c| c.0 == self.cash[0].0)
    }

    fn require_cash(&self, treasurer: Agent, draw: &Drawn) -> Verdict {
        let (agent, money) = (draw.agent, draw.money);
        let open = || self.drawn.iter().filter(|d| d.fate == Fate::Proposed && d.money == money);
        let mine = || open().filter(|d| d.treasurer == treasurer);
        let reserved: u64 = mine().map(|d| d.own + d.common).sum();
        let all = self.cash_of(treasurer, money) - i128::from(reserved);
        let (own, common) = (i128::from(draw.own), i128::from(draw.common));
        if own + common > all {
            return Err(Code::NoCash);
        }
        if !self.sole_treasurer() {
            return Ok(());
        }
        let reserved: u64 = mine().filter(|d| d.agent == agent).map(|d| d.own).sum();
        let own_free = self.fund(agent, money) - i128::from(reserved);
        let funds: i128 = self.owners().iter().map(|o| self.fund(*o, money)).sum();
        let reserved: u64 = mine().map(|d| d.common).sum();
        let common_free = self.cash_of(treasurer, money) - funds - i128::from(reserved);
        let short = (own > 0 && own > own_free) || (common > 0 && common > common_free);
        if short { Err(Code::NoCash) } else { Ok(()) }
    }

    fn payee(&self, agent: Agent) -> Verdict {
        let (_, kind, key) = ROSTER[agent];
        if kind == v1::AgentKind::Trust {
            return Err(Code::PrincipalStays);
        }
        if kind == v1::AgentKind::Person && !key {
            let (_, since) = self.aliases.get(&agent).ok_or(Code::PayeeUnclaimed)?;
            if self.at < since + u64::from(self.rules.wire.claim_delay_days) * DAY {
                return Err(Code::ClaimTooFresh);
            }
        }
        Ok(())
    }

    pub fn propose(
        &mut self,
        author: Agent,
        money: Money,
        lines: &[(Agent, u64)],
        expires_at: u64,
    ) -> Verdict {
        if expires_at <= self.at || expires_at > self.at + 92 * DAY {
            return Err(Code::LinesInvalid);
        }
        if self.runs.contains_key(&self.entry) {
            return Err(Code::LinesInvalid);
        }
        let least = self.rules.wire.minimum_payout.iter();
        let least = least.filter(|m| m.currency == money.text()).map(|m| m.minor).sum();
        for (agent, minor) in lines {
            self.payee(*agent)?;
            if *minor < least {
                return Err(Code::BelowMinimum);
            }
            let mut draw = self.draw(*agent, money, *minor).ok_or(Code::Unpayable)?;
            self.require_cash(author, &draw)?;
            (draw.treasurer, draw.run) = (author, Some(self.entry));
            self.drawn.push(draw);
        }
        self.runs.insert(self.entry, author);
        self.schedule(expires_at + 1, Task::Expire(self.entry));
        Ok(())
    }

    pub fn expire(&mut self, run: u64) {
        let of = |d: &&mut Drawn| d.run == Some(run) && d.fate == Fate::Proposed;
        self.drawn.iter_mut().filter(of).for_each(|d| d.fate = Fate::Expired);
    }

    /// An expired line is drawn anew before it is paid after all.
    fn draw_late(&mut self, author: Agent, run: u64, agent: Agent) -> Verdict {
        let Ok(line) = self.line(author, run, agent, Fate::Expired) else { return Ok(()) };
        let (money, minor) = (line.money, line.own + line.common);
        let mut draw = self.draw(agent, money, minor).ok_or(Code::Unpayable)?;
        self.require_cash(author, &draw)?;
        (draw.treasurer, draw.run) = (author, Some(run));
        *self.line(author, run, agent, Fate::Expired)? = draw;
        Ok(())
    }

    fn line(&mut self, author: Agent, run: u64, agent: Agent, fate: Fate) -> Verdict<&mut Drawn> {
        let treasurer = self.runs.get(&run).ok_or(Code::UnknownPayout)?;
        if *treasurer != author {
            return Err(Code::NotRunTreasurer);
        }
        let of = |d: &&mut Drawn| d.run == Some(run) && d.agent == agent;
        let line = self.drawn.iter_mut().find(of).ok_or(Code::UnknownPayout)?;
        if line.fate == fate { Ok(line) } else { Err(Code::LineDecided) }
    }

    /// What a payment makes due upstream: number and amount.
    pub fn due_of_payment(&self, run: u64, agents: &[Agent]) -> Option<(u64, u64)> {
        let upstream = agent("upstream").unwrap();
        let of = |d: &&Drawn| d.run == Some(run) && d.agent == upstream && d.money == Money::Eur;
        let line = self.drawn.iter().find(of).filter(|_| agents.contains(&upstream))?;
        Some((self.upstream.1 + 1, line.own + line.common))
    }

    pub fn paid(&mut self, author: Agent, p: &Payment) -> Verdict {
        self.use_bank(&p.bank)?;
        let expected = self.due_of_payment(p.run, &p.agents);
        let mut money = Money::Eur;
        for agent in &p.agents {
            self.draw_late(author, p.run, *agent)?;
            let line = self.line(author, p.run, *agent, Fate::Proposed)?;
            line.fate = Fate::Paid;
            money = line.money;
            let minor = i128::from(line.own + line.common);
            self.cash.push((author, money, -minor));
        }
        if let Some((number, _)) = expected {
            self.upstream.0.insert(p.run, number);
            self.upstream.1 = number;
        }
        if expected != p.due {
            return Err(Code::DueMismatch);
        }
        match p.fee {
            Some((_, bearer)) if is_person(bearer) && !p.agents.contains(&bearer) => {
                Err(Code::FeeBearer)
            }
            Some((minor, bearer)) => self.charge(author, bearer, money, minor, true),
            None => Ok(()),
        }
    }

    pub fn failed(&mut self, author: Agent, run: u64, agents: &[Agent]) -> Verdict {
        for agent in agents {
            self.line(author, run, *agent, Fate::Proposed)?.fate = Fate::Failed;
        }
        Ok(())
    }

    pub fn due_of_return(&self, run: u64, agent: Agent) -> Option<(u64, u64)> {
        let paid = self.upstream.0.get(&run).filter(|_| ROSTER[agent].0 == "upstream")?;
        assert!(*paid <= self.upstream.1);
        let line = self.drawn.iter().find(|d| d.run == Some(run) && d.agent == agent)?;
        Some((self.upstream.1 + 1, line.own + line.common))
    }

    pub fn returned(&mut self, author: Agent, run: u64, agent: Agent, bank: &str) -> Verdict {
        self.use_bank(bank)?;
        let due = self.due_of_return(run, agent);
        let line = self.line(author, run, agent, Fate::Paid)?;
        line.fate = Fate::Returned;
        let back = (author, line.money, i128::from(line.own + line.common));
        self.cash.push(back);
        self.upstream.1 += u64::from(due.is_some());
        Ok(())
    }

    /// A bank fee that an agent bears; `out`: it leaves the author's cash now.
    pub fn charge(
        &mut self,
        author: Agent,
        bearer: Agent,
        money: Money,
        minor: u64,
        out: bool,
    ) -> Verdict {
        if ROSTER[bearer].1 == v1::AgentKind::Trust {
            return Err(Code::PrincipalStays);
        }
        let mut draw = self.draw(bearer, money, minor).ok_or(Code::FeeTooLarge)?;
        if out {
            self.require_cash(author, &draw)?;
            self.cash.push((author, money, -i128::from(minor)));
        }
        (draw.treasurer, draw.fate) = (author, Fate::Paid);
        self.drawn.push(draw);
        Ok(())
    }
}

/// A PayoutPaid as the model reads it.
#[derive(Clone, Debug)]
pub struct Payment {
    pub run: u64,
    pub agents: Vec<Agent>,
    pub bank: String,
    pub fee: Option<(u64, Agent)>,
    pub due: Option<(u64, u64)>,
}
