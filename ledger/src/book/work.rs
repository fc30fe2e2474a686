//! Contributions: claims, the maintainers' readings of them, and the points that
//! follow.
//!
//! One mechanism serves validating, revising and ending: maintainers vote for a
//! *reading* of a part (its quantity, paid or unpaid). A reading that differs from
//! the one before it starts the count anew; with as many votes as the equation asks
//! it stands, and its points count, for income to come, after they have matured.
//! What a lower reading takes away it takes at once. A quantity of 0 ends the claim.

use super::{
    equation::To,
    event::Contribute,
    split::MAX_POINTS,
    state::{Contribution, Reading, Standing, State, Step, Task, WorkPart},
    types::*,
};
use crate::reject::{Code, Outcome, Reject, require};
use std::{collections::BTreeSet, sync::Arc};

/// Thousandths that one part may have: 10^9 units.
const MAX_QUANTITY: u64 = 1_000_000_000_000;
/// Contributions that one Validate may cover.
const MAX_SPAN: usize = 100_000;

/// What a vote did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vote {
    Counted,
    Stands,
    Own,
    Again,
}

impl State {
    /// Contribute.
    pub(super) fn contribute(&mut self, step: &mut Step<'_>, c: &Contribute) -> Outcome {
        let rate = self
            .equation()
            .rates
            .get(&c.kind)
            .copied()
            .ok_or_else(|| Reject::new(Code::UnknownKind, format!("kind {}", c.kind)))?;
        require(c.worked_on <= day_of(step.at), Code::FutureWork, || {
            format!("worked on day {}, recorded on day {}", c.worked_on, day_of(step.at))
        })?;
        let parts = self.find_parts(&c.parts)?;
        let author = self.agent(step.author);
        let own = parts.iter().any(|(id, _)| self.person(*id) == step.author);
        require(own || author.roles.contains(&Role::Maintainer), Code::NotOwnClaim, || {
            format!("{} is not among its parts", author.handle)
        })?;
        require(!self.taken.contains_key(&c.reference), Code::ReferenceTaken, || {
            c.reference.to_string()
        })?;
        for (id, _) in &parts {
            let double = self.claimed.contains_key(&(c.reference.clone(), *id));
            require(!double, Code::DuplicateClaim, || {
                format!("{} by {}", c.reference, self.agent(*id).handle)
            })?;
        }
        if !author.admitted {
            let waiting = self.unadmitted.1;
            require(waiting < super::agents::MAX_UNADMITTED, Code::TooManyUnadmitted, || {
                format!("{waiting} claims of newcomers wait already")
            })?;
            self.unadmitted.1 += 1;
            self.change_agent(step.author, |a| a.pending += 1);
        }
        let place = step.place();
        for (id, _) in &parts {
            self.claimed.insert((c.reference.clone(), *id), place);
            self.work_of.insert((*id, place));
        }
        let parts = parts.into_iter().map(|(agent, quantity)| WorkPart {
            agent,
            claimed: quantity,
            reading: Reading { quantity, remuneration: None },
            votes: Vec::new(),
            standing: None,
            generation: 0,
        });
        self.contributions.insert(
            place,
            Arc::new(Contribution {
                reference: c.reference.clone(),
                kind: c.kind.clone(),
                stream: c.stream,
                worked_on: c.worked_on,
                month: month_of_day(c.worked_on),
                rate,
                claimant: step.author,
                claimed_at: step.at,
                closed: None,
                parts: parts.collect(),
            }),
        );
        Ok(())
    }

    fn find_parts(&self, parts: &[(Handle, u64)]) -> Outcome<Vec<(AgentId, u64)>> {
        let bad = |what: String| Reject::new(Code::PartsInvalid, what);
        if !(1..=64).contains(&parts.len()) {
            return Err(bad(format!("{} parts", parts.len())));
        }
        let mut seen = BTreeSet::new();
        parts
            .iter()
            .map(|(handle, quantity)| {
                if !(1..=MAX_QUANTITY).contains(quantity) {
                    return Err(bad(format!("{handle}: {quantity} thousandths")));
                }
                let id = self.find(handle)?;
                if !seen.insert(id) {
                    return Err(bad(format!("{handle} twice")));
                }
                Ok((id, *quantity))
            })
            .collect()
    }

    fn contribution(&self, place: Ref) -> Outcome<&Arc<Contribution>> {
        self.contributions
            .get(&place)
            .ok_or_else(|| Reject::new(Code::UnknownContribution, format!("contribution {place}")))
    }

    /// Validate.
    pub(super) fn validate(
        &mut self,
        step: &mut Step<'_>,
        spans: &[(Ref, Ref)],
        remuneration: Remuneration,
        quantities: &[(Handle, u64)],
    ) -> Outcome {
        if let [(first, last)] = spans
            && first == last
        {
            return self.validate_one(step, *first, remuneration, quantities);
        }
        require(quantities.is_empty(), Code::NotSingle, || "quantities with several spans".into())?;
        let mut places: Vec<Ref> = Vec::new();
        for (first, last) in spans {
            let room = MAX_SPAN + 1 - places.len();
            places.extend(self.contributions.range(*first..=*last).map(|(p, _)| *p).take(room));
            require(places.len() <= MAX_SPAN, Code::SpanTooLarge, || {
                format!("more than {MAX_SPAN}")
            })?;
        }
        let mut counted = 0;
        for place in places {
            let c = &self.contributions[&place];
            let rival = self.taken.get(&c.reference).is_some_and(|other| *other != place);
            if c.closed.is_some() || rival {
                continue; // a range takes what it can; a single name is answered precisely
            }
            for part in 0..c.parts.len() {
                let reading = Reading {
                    quantity: as_read(&self.contributions[&place].parts[part]),
                    remuneration: Some(remuneration),
                };
                if matches!(self.vote(step, place, part, reading)?, Vote::Counted | Vote::Stands) {
                    counted += 1;
                }
            }
        }
        require(counted > 0, Code::NothingToValidate, || {
            format!("{} to {}", spans[0].0, spans[spans.len() - 1].1)
        })
    }

    fn validate_one(
        &mut self,
        step: &mut Step<'_>,
        place: Ref,
        remuneration: Remuneration,
        quantities: &[(Handle, u64)],
    ) -> Outcome {
        let c = self.contribution(place)?.clone();
        require(c.closed.is_none(), Code::ContributionClosed, || format!("contribution {place}"))?;
        let rival = self.taken.get(&c.reference).filter(|other| **other != place);
        require(rival.is_none(), Code::ReferenceTaken, || {
            format!("{} by {:?}", c.reference, rival)
        })?;
        let changed = if quantities.is_empty() { Vec::new() } else { self.find_parts(quantities)? };
        for (id, _) in &changed {
            require(c.parts.iter().any(|p| p.agent == *id), Code::PartsInvalid, || {
                format!("{} has no part in {place}", self.agent(*id).handle)
            })?;
        }
        let mut outcomes = Vec::new();
        for (n, part) in c.parts.iter().enumerate() {
            let quantity = changed
                .iter()
                .find(|(id, _)| *id == part.agent)
                .map_or_else(|| as_read(part), |(_, quantity)| *quantity);
            let reading = Reading { quantity, remuneration: Some(remuneration) };
            outcomes.push(self.vote(step, place, n, reading)?);
        }
        if outcomes.iter().any(|o| matches!(o, Vote::Counted | Vote::Stands)) {
            return Ok(());
        }
        let own = outcomes.contains(&Vote::Own) && !outcomes.contains(&Vote::Again);
        Err(Reject::new(
            if own { Code::OwnPart } else { Code::AlreadyValidated },
            format!("contribution {place}"),
        ))
    }

    /// One maintainer's vote for a reading of one part.
    fn vote(
        &mut self,
        step: &mut Step<'_>,
        place: Ref,
        n: usize,
        reading: Reading,
    ) -> Outcome<Vote> {
        let voter = step.author;
        let needed = self.equation().validators as usize;
        let slot = self.contributions.get(&place).expect("the caller found it");
        let part = &slot.parts[n];
        if self.person(part.agent) == voter {
            return Ok(Vote::Own);
        }
        let stands = part.standing.as_ref().filter(|s| {
            s.quantity == reading.quantity && Some(s.remuneration) == reading.remuneration
        });
        if let Some(standing) = stands {
            // A confirmation of what stands: one more who answers for it.
            if standing.votes.contains(&voter) {
                return Ok(Vote::Again);
            }
            self.change_part(place, n, |p| {
                p.standing.as_mut().expect("looked at above").votes.push(voter);
                p.reading = reading;
                p.votes.clear();
            });
            return Ok(Vote::Counted);
        }
        if part.reading == reading && part.votes.contains(&voter) {
            return Ok(Vote::Again);
        }
        let mut votes = if part.reading == reading { part.votes.clone() } else { Vec::new() };
        votes.push(voter);
        if votes.len() < needed {
            self.change_part(place, n, |p| (p.reading, p.votes) = (reading, votes));
            return Ok(Vote::Counted);
        }
        self.let_stand(step, place, n, reading, votes)?;
        Ok(Vote::Stands)
    }

    fn change_part(&mut self, place: Ref, n: usize, change: impl FnOnce(&mut WorkPart)) {
        let slot = self.contributions.get_mut(&place).expect("the caller found it");
        change(&mut Arc::make_mut(slot).parts[n]);
    }

    /// A reading has its votes: points change for income to come.
    fn let_stand(
        &mut self,
        step: &mut Step<'_>,
        place: Ref,
        n: usize,
        reading: Reading,
        votes: Vec<AgentId>,
    ) -> Outcome {
        let c = self.contributions[&place].clone();
        let part = &c.parts[n];
        let remuneration = reading.remuneration.expect("votes carry a remuneration");
        let points = u128::from(reading.quantity) * u128::from(c.rate);
        let points = u64::try_from(points).unwrap_or(u64::MAX);
        // What stood before is not counted again: a reading that goes back and forth
        // does not use the limit up.
        let before = self.contributions[&place].parts[n].standing.as_ref().map_or(0, |s| s.counted);
        let ever = self.points_ever.saturating_add(points - before.min(points));
        require(ever <= MAX_POINTS, Code::LimitExceeded, || {
            format!("points ever validated: at most {MAX_POINTS} thousandths, would be {ever}")
        })?;
        self.points_ever = ever;
        let kept = before.min(points);
        if let Some(old) = &part.standing {
            self.discount(&c, part.agent, old.remuneration, old.counted);
        }
        self.count(&c, part.agent, remuneration, kept);
        let generation = part.generation + 1;
        let maturity = u64::from(self.equation().maturity_days) * DAY_MS;
        let maturing = points - kept;
        self.change_part(place, n, |p| {
            p.generation = generation;
            p.reading = reading;
            p.votes = Vec::new();
            p.standing = Some(Standing {
                quantity: reading.quantity,
                remuneration,
                votes,
                since: step.at,
                counted: kept,
                maturing,
            });
        });
        if self.taken.insert(c.reference.clone(), place).is_none() {
            self.no_longer_pending(c.claimant);
        }
        if maturing > 0 && maturity > 0 {
            let task = Task::Mature { contribution: place, part: n, generation };
            self.schedule(step.at + maturity, step.entry, task);
        } else {
            self.mature(place, n, generation);
        }
        Ok(())
    }

    fn no_longer_pending(&mut self, claimant: AgentId) {
        if self.agent(claimant).pending > 0 {
            self.unadmitted.1 -= 1;
            self.change_agent(claimant, |a| a.pending -= 1);
        }
    }

    /// Points that have waited long enough begin to count.
    pub(super) fn mature(&mut self, place: Ref, n: usize, generation: u32) {
        let c = self.contributions[&place].clone();
        let part = &c.parts[n];
        let Some(standing) = part.standing.as_ref().filter(|_| part.generation == generation)
        else {
            return; // another reading stands since: it has its own date
        };
        self.count(&c, part.agent, standing.remuneration, standing.maturing);
        self.change_part(place, n, |p| {
            if let Some(s) = &mut p.standing {
                s.counted += s.maturing;
                s.maturing = 0;
            }
        });
    }

    fn count(&mut self, c: &Contribution, agent: AgentId, paid: Remuneration, points: Points) {
        self.each_bucket(c, paid, points, |b| b.count(agent, c.month, points));
    }

    fn discount(&mut self, c: &Contribution, agent: AgentId, paid: Remuneration, points: Points) {
        self.each_bucket(c, paid, points, |b| b.discount(agent, c.month, points));
    }

    fn each_bucket(
        &mut self,
        c: &Contribution,
        paid: Remuneration,
        points: Points,
        change: impl Fn(&mut super::split::Bucket),
    ) {
        if points == 0 {
            return;
        }
        let matching: Vec<_> = self
            .buckets
            .iter()
            .filter(|(_, b)| match &b.def.to {
                To::Contributors(f) => f.matches(&c.kind, c.stream, paid),
                To::Agent(_) => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in matching {
            change(self.buckets.get_mut(&id).expect("just listed"));
        }
    }

    /// Revise: by the claimant, while nothing is validated.
    pub(super) fn revise(
        &mut self,
        step: &Step<'_>,
        place: Ref,
        parts: &[(Handle, u64)],
    ) -> Outcome {
        let c = self.contribution(place)?.clone();
        require(c.closed.is_none(), Code::ContributionClosed, || format!("contribution {place}"))?;
        require(c.claimant == step.author, Code::NotOwnClaim, || format!("contribution {place}"))?;
        let stands = c.parts.iter().any(|p| p.standing.is_some());
        require(!stands, Code::AlreadyValidated, || format!("contribution {place}"))?;
        let changed = self.find_parts(parts)?;
        let same: BTreeSet<_> = changed.iter().map(|p| p.0).collect();
        let there: BTreeSet<_> = c.parts.iter().map(|p| p.agent).collect();
        require(same == there, Code::PartsInvalid, || "a revision names the same agents".into())?;
        for (n, part) in c.parts.iter().enumerate() {
            let quantity =
                changed.iter().find(|(id, _)| *id == part.agent).expect("the same agents").1;
            self.change_part(place, n, |p| {
                p.claimed = quantity;
                p.reading = Reading { quantity, remuneration: None };
                p.votes.clear();
            });
        }
        Ok(())
    }

    /// RejectContribution.
    pub(super) fn reject(
        &mut self,
        step: &mut Step<'_>,
        place: Ref,
        reason: RejectReason,
    ) -> Outcome {
        let c = self.contribution(place)?.clone();
        require(c.closed.is_none(), Code::ContributionClosed, || format!("contribution {place}"))?;
        let maintainer = self.agent(step.author).roles.contains(&Role::Maintainer);
        let own = c.claimant == step.author;
        // A claimant only withdraws: that somebody judged the work is for maintainers to say.
        let withdraws = own && reason == RejectReason::Withdrawn;
        require(withdraws || maintainer, Code::RoleRequired, || {
            "maintainer, or its claimant with the reason withdrawn".into()
        })?;
        let stands = c.parts.iter().any(|p| p.standing.is_some());
        if !stands {
            self.close(place, reason);
            self.no_longer_pending(c.claimant);
            return Ok(());
        }
        require(maintainer, Code::AlreadyValidated, || {
            format!("contribution {place}: what is validated is ended by maintainers")
        })?;
        let mut counted = false;
        for (n, part) in c.parts.iter().enumerate() {
            let paid = part.standing.as_ref().map(|s| s.remuneration).or(part.reading.remuneration);
            let reading =
                Reading { quantity: 0, remuneration: paid.or(Some(Remuneration::Unknown)) };
            counted |= matches!(self.vote(step, place, n, reading)?, Vote::Counted | Vote::Stands);
        }
        require(counted, Code::AlreadyValidated, || format!("contribution {place}"))?;
        let ended = self.contributions[&place]
            .parts
            .iter()
            .all(|p| p.standing.as_ref().is_none_or(|s| s.quantity == 0));
        if ended {
            self.close(place, reason);
        }
        Ok(())
    }

    fn close(&mut self, place: Ref, reason: RejectReason) {
        let slot = self.contributions.get_mut(&place).expect("the caller found it");
        let c = Arc::make_mut(slot);
        c.closed = Some(reason);
        let (reference, agents) =
            (c.reference.clone(), c.parts.iter().map(|p| p.agent).collect::<Vec<_>>());
        for agent in agents {
            self.claimed.remove(&(reference.clone(), agent));
        }
        if self.taken.get(&reference) == Some(&place) {
            self.taken.remove(&reference);
        }
    }

    /// From an attested claim on, the person's own votes for those parts are void.
    pub(super) fn drop_votes(&mut self, agent: AgentId, person: AgentId) {
        let first = (agent, Ref { entry: 0, event: 0 });
        let last = (agent, Ref { entry: u64::MAX, event: u32::MAX });
        let places: Vec<Ref> = self.work_of.range(first..=last).map(|(_, p)| *p).collect();
        let needed = self.equation().validators as usize;
        for place in places {
            let c = self.contributions[&place].clone();
            for (n, part) in c.parts.iter().enumerate().filter(|(_, p)| p.agent == agent) {
                let voted = part.votes.contains(&person)
                    || part.standing.as_ref().is_some_and(|s| s.votes.contains(&person));
                if !voted {
                    continue;
                }
                let falls = part
                    .standing
                    .as_ref()
                    .filter(|s| s.votes.contains(&person) && s.votes.len() <= needed);
                if let Some(s) = falls {
                    self.discount(&c, agent, s.remuneration, s.counted);
                    let reading =
                        Reading { quantity: s.quantity, remuneration: Some(s.remuneration) };
                    let votes = s.votes.clone();
                    self.change_part(place, n, |p| {
                        (p.standing, p.reading, p.votes) = (None, reading, votes);
                        p.generation += 1;
                    });
                }
                self.change_part(place, n, |p| {
                    p.votes.retain(|v| *v != person);
                    if let Some(s) = &mut p.standing {
                        s.votes.retain(|v| *v != person);
                    }
                });
            }
        }
    }
}

/// The quantity that a validation without quantities is about. A pending wish to end
/// the claim (quantity 0) is nothing that a validation could confirm.
fn as_read(part: &WorkPart) -> u64 {
    match (&part.standing, part.reading.quantity) {
        (Some(standing), 0) => standing.quantity,
        (None, 0) => part.claimed,
        (_, quantity) => quantity,
    }
}
