//! The naive work: claims, readings, votes, points, aliases.
//!
//! Owns what DESIGN section 5 says of contributions and unclaimed agents: maintainers
//! vote for a reading of each part, never for their own; a reading that differs from
//! the one before it starts the count anew; points count after maturity, and what a
//! lower reading takes away goes at once.

use super::book::*;
use std::collections::BTreeSet;
use subak_ledger::reject::Code;
use subak_proto::v1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Vote {
    New,
    Own,
    Again,
}

fn check_parts(parts: &[(Agent, u64)]) -> Verdict {
    let agents: BTreeSet<_> = parts.iter().map(|p| p.0).collect();
    let fits = (1..=64).contains(&parts.len())
        && agents.len() == parts.len()
        && parts.iter().all(|p| (1..=1_000_000_000_000).contains(&p.1));
    if fits { Ok(()) } else { Err(Code::PartsInvalid) }
}

impl Model {
    pub fn contribute(&mut self, author: Agent, event: u32, c: &Claim) -> Verdict {
        let rate = self.rules.rate(&c.kind)?;
        if u64::from(c.day) > self.at / DAY {
            return Err(Code::FutureWork);
        }
        check_parts(&c.parts)?;
        let own = c.parts.iter().any(|p| self.person(p.0) == author);
        if !own && !self.maintainers.contains(&author) {
            return Err(Code::NotOwnClaim);
        }
        if self.taken_by(&c.reference).is_some() {
            return Err(Code::ReferenceTaken);
        }
        let maintainer = self.maintainers.contains(&author);
        let speaks_for = |agent: Agent| maintainer || self.person(agent) == author;
        let for_whom: Vec<Agent> =
            c.parts.iter().map(|p| p.0).filter(|agent| speaks_for(*agent)).collect();
        let double = self.work.iter().any(|w| {
            !w.closed
                && w.reference == c.reference
                && w.for_whom.iter().any(|agent| for_whom.contains(agent))
        });
        if double {
            return Err(Code::DuplicateClaim);
        }
        let part = |&(agent, quantity): &(Agent, u64)| WorkPart {
            agent,
            claimed: quantity,
            reading: (quantity, None),
            votes: Vec::new(),
            standing: None,
            generation: 0,
        };
        self.work.push(Work {
            place: (self.entry, event),
            reference: c.reference.clone(),
            kind: c.kind.clone(),
            stream: c.stream,
            month: month_of(u64::from(c.day)),
            rate,
            claimant: author,
            closed: false,
            took: false,
            for_whom,
            parts: c.parts.iter().map(part).collect(),
        });
        Ok(())
    }

    fn taken_by(&self, reference: &str) -> Option<Place> {
        let taker = self.work.iter().find(|w| !w.closed && w.took && w.reference == reference);
        taker.map(|w| w.place)
    }

    fn has_rival(&self, w: &Work) -> bool {
        self.taken_by(&w.reference).is_some_and(|place| place != w.place)
    }

    fn open_work(&self, place: Place) -> Verdict<usize> {
        let n = self.work.iter().position(|w| w.place == place).ok_or(Code::UnknownContribution)?;
        if self.work[n].closed { Err(Code::ContributionClosed) } else { Ok(n) }
    }

    pub fn validate(
        &mut self,
        author: Agent,
        spans: &[(Place, Place)],
        paid: v1::Remuneration,
        quantities: &[(Agent, u64)],
    ) -> Verdict {
        if spans.len() == 1 && spans[0].0 == spans[0].1 {
            return self.validate_one(author, spans[0].0, paid, quantities);
        }
        if !quantities.is_empty() {
            return Err(Code::NotSingle);
        }
        let mut counted = false;
        for n in 0..self.work.len() {
            let w = &self.work[n];
            let named = spans.iter().any(|(a, b)| *a <= w.place && w.place <= *b);
            if !named || w.closed || self.has_rival(w) {
                continue;
            }
            for part in 0..self.work[n].parts.len() {
                let quantity = self.work[n].parts[part].as_seen();
                counted |= self.vote(author, n, part, (quantity, Some(paid))) == Vote::New;
            }
        }
        if counted { Ok(()) } else { Err(Code::NothingToValidate) }
    }

    fn validate_one(
        &mut self,
        author: Agent,
        place: Place,
        paid: v1::Remuneration,
        quantities: &[(Agent, u64)],
    ) -> Verdict {
        let n = self.open_work(place)?;
        if self.has_rival(&self.work[n]) {
            return Err(Code::ReferenceTaken);
        }
        if !quantities.is_empty() {
            check_parts(quantities)?;
            let there = |a: Agent| self.work[n].parts.iter().any(|p| p.agent == a);
            if !quantities.iter().all(|q| there(q.0)) {
                return Err(Code::PartsInvalid);
            }
        }
        let mut votes = Vec::new();
        for part in 0..self.work[n].parts.len() {
            let p = &self.work[n].parts[part];
            let other = quantities.iter().find(|q| q.0 == p.agent).map(|q| q.1);
            let reading = (other.unwrap_or(p.as_seen()), Some(paid));
            votes.push(self.vote(author, n, part, reading));
        }
        if votes.contains(&Vote::New) {
            return Ok(());
        }
        let own = votes.iter().all(|v| *v == Vote::Own);
        Err(if own { Code::OwnPart } else { Code::AlreadyValidated })
    }

    fn vote(&mut self, author: Agent, n: usize, part: usize, reading: Reading) -> Vote {
        let needed = self.rules.wire.validators as usize;
        if self.person(self.work[n].parts[part].agent) == author {
            return Vote::Own;
        }
        let p = &mut self.work[n].parts[part];
        if let Some(s) = p.standing.as_mut().filter(|s| (s.quantity, Some(s.paid)) == reading) {
            if s.votes.contains(&author) {
                return Vote::Again;
            }
            s.votes.push(author);
            p.reading = reading;
            p.votes.clear();
            return Vote::New;
        }
        if p.reading != reading {
            p.reading = reading;
            p.votes.clear();
        }
        if p.votes.contains(&author) {
            if p.votes.len() < needed {
                return Vote::Again;
            }
        } else {
            p.votes.push(author);
        }
        if p.votes.len() >= needed {
            self.let_stand(n, part);
        }
        Vote::New
    }

    fn let_stand(&mut self, n: usize, part: usize) {
        let wait = u64::from(self.rules.wire.maturity_days) * DAY;
        let w = &mut self.work[n];
        w.took = true;
        let p = &mut w.parts[part];
        let points = p.reading.0 * w.rate;
        let (before, before_unpaid) =
            p.standing.as_ref().map_or((0, 0), |s| (s.counted, s.counted_unpaid));
        let counted = if wait == 0 { points } else { before.min(points) };
        let paid = p.reading.1.unwrap();
        // What is unpaid now, and was not before, waits like new work where only unpaid
        // work counts.
        let counted_unpaid = match paid {
            v1::Remuneration::Unpaid if wait == 0 => points,
            v1::Remuneration::Unpaid => before_unpaid.min(points),
            _ => 0,
        };
        p.generation += 1;
        p.standing = Some(Standing {
            quantity: p.reading.0,
            paid,
            votes: std::mem::take(&mut p.votes),
            counted,
            counted_unpaid,
            ripening: points - counted,
        });
        let task = Task::Ripen(n, part, p.generation);
        if points > counted || (paid == v1::Remuneration::Unpaid && points > counted_unpaid) {
            self.schedule(self.at + wait, task);
        }
    }

    pub fn ripen(&mut self, n: usize, part: usize, generation: u32) {
        let p = &mut self.work[n].parts[part];
        if let Some(s) = p.standing.as_mut().filter(|_| p.generation == generation) {
            s.counted += std::mem::take(&mut s.ripening);
            if s.paid == v1::Remuneration::Unpaid {
                s.counted_unpaid = s.counted;
            }
        }
    }

    pub fn revise(&mut self, author: Agent, place: Place, parts: &[(Agent, u64)]) -> Verdict {
        let n = self.open_work(place)?;
        let w = &mut self.work[n];
        if w.claimant != author {
            return Err(Code::NotOwnClaim);
        }
        if w.parts.iter().any(|p| p.standing.is_some()) {
            return Err(Code::AlreadyValidated);
        }
        check_parts(parts)?;
        let same = parts.len() == w.parts.len()
            && w.parts.iter().all(|p| parts.iter().any(|q| q.0 == p.agent));
        if !same {
            return Err(Code::PartsInvalid);
        }
        for p in &mut w.parts {
            let quantity = parts.iter().find(|q| q.0 == p.agent).unwrap().1;
            (p.claimed, p.reading, p.votes) = (quantity, (quantity, None), Vec::new());
        }
        Ok(())
    }

    pub fn reject(&mut self, author: Agent, place: Place, judged: bool) -> Verdict {
        let n = self.open_work(place)?;
        let maintainer = self.maintainers.contains(&author);
        let withdraws = self.work[n].claimant == author && !judged;
        if !withdraws && !maintainer {
            return Err(Code::RoleRequired);
        }
        if self.work[n].parts.iter().all(|p| p.standing.is_none()) {
            self.work[n].closed = true;
            return Ok(());
        }
        if !maintainer {
            return Err(Code::AlreadyValidated);
        }
        let mut counted = false;
        for part in 0..self.work[n].parts.len() {
            let p = &self.work[n].parts[part];
            let paid = p.standing.as_ref().map(|s| s.paid).or(p.reading.1);
            let nothing = (0, Some(paid.unwrap_or(v1::Remuneration::Unknown)));
            counted |= self.vote(author, n, part, nothing) == Vote::New;
        }
        if !counted {
            return Err(Code::AlreadyValidated);
        }
        let stands = |p: &WorkPart| p.standing.as_ref().is_some_and(|s| s.quantity > 0);
        self.work[n].closed = !self.work[n].parts.iter().any(stands);
        Ok(())
    }

    pub fn claim(&mut self, author: Agent, unclaimed: Agent) -> Verdict {
        let (_, kind, key) = ROSTER[unclaimed];
        if key || kind != v1::AgentKind::Person || self.aliases.contains_key(&unclaimed) {
            return Err(Code::NotUnclaimed);
        }
        if self.claims.contains_key(&(unclaimed, author)) {
            return Err(Code::DuplicateClaim);
        }
        self.claims.insert((unclaimed, author), Vec::new());
        Ok(())
    }

    pub fn attest(&mut self, author: Agent, unclaimed: Agent, claimant: Agent) -> Verdict {
        if self.aliases.contains_key(&unclaimed) {
            return Err(Code::NotUnclaimed);
        }
        let needed = self.rules.wire.validators as usize;
        let votes = self.claims.get_mut(&(unclaimed, claimant)).ok_or(Code::UnknownClaim)?;
        if author == claimant {
            return Err(Code::OwnClaim);
        }
        if !votes.contains(&author) {
            votes.push(author);
        } else if votes.len() < needed {
            return Err(Code::AlreadyAttested);
        }
        if votes.len() >= needed {
            self.claims.retain(|(u, _), _| *u != unclaimed);
            self.aliases.insert(unclaimed, (claimant, self.at));
            self.drop_votes(unclaimed, claimant);
        }
        Ok(())
    }

    /// From an attested claim on, the person's own votes for those parts are void; what
    /// then lacks votes no longer stands, and waits for others with the votes it has.
    fn drop_votes(&mut self, agent: Agent, person: Agent) {
        let needed = self.rules.wire.validators as usize;
        let parts = self.work.iter_mut().flat_map(|w| &mut w.parts);
        for p in parts.filter(|p| p.agent == agent) {
            if let Some(s) = p.standing.as_mut().filter(|s| s.votes.contains(&person)) {
                s.votes.retain(|v| *v != person);
                if s.votes.len() < needed {
                    p.reading = (s.quantity, Some(s.paid));
                    p.votes = std::mem::take(&mut s.votes);
                    p.standing = None;
                    p.generation += 1;
                }
            }
            p.votes.retain(|v| *v != person);
        }
    }

    /// Points that count now in a contributors' bucket, by agent, at the age of today.
    pub fn points_now(&self, to: &v1::Contributors) -> Vec<(Agent, u128)> {
        let month = month_of(self.at / DAY);
        let mut all = Vec::new();
        for agent in 0..ROSTER.len() {
            let mut points: u128 = 0;
            for w in &self.work {
                let stream = to.stream.is_empty() || to.stream.contains(&(w.stream as i32));
                let kind = to.kind.is_empty() || to.kind.contains(&w.kind);
                for p in w.parts.iter().filter(|p| p.agent == agent && stream && kind) {
                    let Some(s) = &p.standing else { continue };
                    let age = (month - w.month) as usize;
                    let weight = to.weight[age.min(to.weight.len() - 1)];
                    let counted = if to.unpaid_only { s.counted_unpaid } else { s.counted };
                    points += u128::from(counted) * u128::from(weight);
                }
            }
            if points > 0 {
                all.push((agent, points));
            }
        }
        all
    }
}

impl WorkPart {
    /// What a validation that names no quantity is about.
    fn as_seen(&self) -> u64 {
        self.standing.as_ref().map_or(self.claimed, |s| s.quantity)
    }
}

/// A Contribute as the model reads it.
#[derive(Clone, Debug)]
pub struct Claim {
    pub reference: String,
    pub kind: String,
    pub stream: v1::Stream,
    pub day: u32,
    pub parts: Vec<(Agent, u64)>,
}
