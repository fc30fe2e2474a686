//! Contributions: claims, the maintainers' readings of them, and the points that
//! follow.
//!
//! One mechanism serves validating, revising and ending: maintainers vote for a
//! *reading* of a part (its quantity, paid or unpaid). A reading that differs from
//! the one before it starts the count anew; with as many votes as the equation asks
//! it stands, and its points count, for income to come, after they have matured.
//! What a lower reading takes away it takes at once. A quantity of 0 ends the claim.
//!
//! A signature stands for what its author has seen and for nothing else: a validation
//! without quantities is about what stands, or else what is claimed, never about
//! another maintainer's wish, and only about what its basis shows.

use super::{
    equation::{BucketId, To},
    event::Contribute,
    references::Hindrance,
    split::{Bucket, MAX_POINTS},
    state::{Contribution, Pending, Reading, Standing, State, Step, Task, WorkPart},
    types::*,
    votes::Votes,
};
use crate::reject::{Code, Outcome, Reject, require};
use imbl::OrdMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Thousandths that one part may have: 10^9 units.
pub(super) const MAX_QUANTITY: u64 = 1_000_000_000_000;
/// Contributions that one Validate may cover.
const MAX_SPAN: usize = 100_000;

/// Agents and what is said of each, thousandths.
type Parts = SmallVec<[(AgentId, u64); 2]>;

/// What a vote did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vote {
    Counted,
    Stands,
    Own,
    Again,
}

impl Vote {
    /// Whether the contribution is another one than before.
    fn has_changed(self) -> bool {
        matches!(self, Self::Counted | Self::Stands)
    }
}

impl State {
    /// Contribute.
    pub(super) fn contribute(&mut self, step: &mut Step<'_>, c: &Contribute) -> Outcome {
        let (kind, rate) = self
            .equation()
            .rates
            .get_key_value(&c.kind)
            .map(|(kind, rate)| (kind.clone(), *rate))
            .ok_or_else(|| Reject::new(Code::UnknownKind, format!("kind {}", c.kind)))?;
        require(c.worked_on <= day_of(step.at), Code::FutureWork, || {
            format!("worked on day {}, recorded on day {}", c.worked_on, day_of(step.at))
        })?;
        let parts = self.find_parts(&c.parts)?;
        let author = self.agent(step.author);
        let own = parts.iter().any(|(id, _)| self.person(*id) == step.author);
        let maintainer = author.roles.contains(&Role::Maintainer);
        require(own || maintainer, Code::NotOwnClaim, || {
            format!("{} is not among its parts", author.handle)
        })?;
        let place = step.place();
        if maintainer {
            self.note_act(step, |acts| &mut acts.claimed);
        }
        // Naming somebody else does not keep them from claiming it themself.
        let claimed_for: SmallVec<[AgentId; 4]> = parts
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| maintainer || self.person(*id) == step.author)
            .collect();
        self.references.claim(&c.reference, &claimed_for, place).map_err(|hindrance| {
            let reference = &c.reference;
            match hindrance {
                Hindrance::Taken => Reject::new(Code::ReferenceTaken, reference.to_string()),
                Hindrance::Claimed(id) => {
                    let by = &self.agent(id).handle;
                    Reject::new(Code::DuplicateClaim, format!("{reference} by {by}"))
                }
            }
        })?;
        for (id, _) in &parts {
            self.work_of.entry(*id).or_default().push_back(place.into());
        }
        let parts = parts.into_iter().map(|(agent, quantity)| WorkPart {
            agent,
            claimed: quantity,
            pending: None,
            standing: None,
            generation: 0,
        });
        self.contributions.put(
            place,
            &Contribution {
                reference: c.reference.clone(),
                kind,
                stream: c.stream,
                worked_on: c.worked_on,
                rate: u32::try_from(rate).expect("an equation's rates are at most MAX_RATE"),
                claimant: step.author,
                claimed_at: step.at,
                said: step.entry,
                closed: None,
                parts: parts.collect(),
            },
        );
        Ok(())
    }

    fn find_parts(&self, parts: &[(Handle, u64)]) -> Outcome<Parts> {
        let bad = |what: String| Reject::new(Code::PartsInvalid, what);
        if !(1..=64).contains(&parts.len()) {
            return Err(bad(format!("{} parts", parts.len())));
        }
        let mut found = Parts::with_capacity(parts.len());
        for (handle, quantity) in parts {
            if !(1..=MAX_QUANTITY).contains(quantity) {
                return Err(bad(format!("{handle}: {quantity} thousandths")));
            }
            let id = self.find(handle)?;
            if found.iter().any(|(other, _)| *other == id) {
                return Err(bad(format!("{handle} twice")));
            }
            found.push((id, *quantity));
        }
        Ok(found)
    }

    fn contribution(&self, place: Ref) -> Outcome<Contribution> {
        self.contributions
            .get(place)
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
        let seen = step.seen.ok_or_else(|| {
            Reject::new(Code::BasisRequired, "a Validate in a statement without basis".to_owned())
        })?;
        self.note_act(step, |acts| &mut acts.voted);
        if let [(first, last)] = spans
            && first == last
        {
            return self.validate_one(step, *first, remuneration, quantities);
        }
        require(quantities.is_empty(), Code::NotSingle, || "quantities with several spans".into())?;
        let mut places: Vec<Ref> = Vec::new();
        for (first, last) in spans {
            let room = MAX_SPAN + 1 - places.len();
            places.extend(self.contributions.places(*first..=*last).take(room));
            require(places.len() <= MAX_SPAN, Code::SpanTooLarge, || {
                format!("more than {MAX_SPAN}")
            })?;
        }
        let mut counted = 0;
        for place in places {
            let mut c = self.contributions.at(place);
            let rival = self.references.taken_by(&c.reference).is_some_and(|other| other != place);
            let unseen = c.said >= seen && c.said != step.entry;
            if c.closed.is_some() || rival || unseen || self.agent(c.claimant).refused {
                continue; // a range takes what it can; a single name is answered precisely
            }
            let before = counted;
            for n in 0..c.parts.len() {
                let quantity = as_read(&c.parts[n]);
                let reading = Reading { quantity, remuneration: Some(remuneration) };
                if self.vote(step, (place, &mut c), n, reading)?.has_changed() {
                    counted += 1;
                }
            }
            if counted > before {
                self.contributions.put(place, &c);
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
        let mut c = self.contribution(place)?;
        require(c.closed.is_none(), Code::ContributionClosed, || format!("contribution {place}"))?;
        let refused = self.agent(c.claimant).refused;
        require(!refused, Code::AgentRefused, || self.agent(c.claimant).handle.to_string())?;
        // What the same statement says, its author has seen.
        let seen = step.seen.is_some_and(|seen| c.said < seen) || c.said == step.entry;
        require(seen, Code::NotSeen, || {
            let seen = step.seen.unwrap_or_default();
            format!("entry {} says what it is, the author has seen {seen} entries", c.said)
        })?;
        let rival = self.references.taken_by(&c.reference).filter(|other| *other != place);
        if let Some(rival) = rival {
            return Err(Reject::new(Code::ReferenceTaken, format!("{} by {rival}", c.reference)));
        }
        let changed =
            if quantities.is_empty() { Parts::new() } else { self.find_parts(quantities)? };
        for (id, _) in &changed {
            require(c.parts.iter().any(|p| p.agent == *id), Code::PartsInvalid, || {
                format!("{} has no part in {place}", self.agent(*id).handle)
            })?;
        }
        let mut outcomes = Vec::new();
        for n in 0..c.parts.len() {
            let part = &c.parts[n];
            let quantity = changed
                .iter()
                .find(|(id, _)| *id == part.agent)
                .map_or_else(|| as_read(part), |(_, quantity)| *quantity);
            let reading = Reading { quantity, remuneration: Some(remuneration) };
            outcomes.push(self.vote(step, (place, &mut c), n, reading)?);
        }
        if outcomes.iter().any(|outcome| outcome.has_changed()) {
            self.contributions.put(place, &c);
            return Ok(());
        }
        let own = outcomes.contains(&Vote::Own) && !outcomes.contains(&Vote::Again);
        Err(Reject::new(
            if own { Code::OwnPart } else { Code::AlreadyValidated },
            format!("contribution {place}"),
        ))
    }

    /// One maintainer's vote for a reading of one part. Changes the contribution that it is given:
    /// to put it back is the caller's.
    fn vote(
        &mut self,
        step: &mut Step<'_>,
        (place, c): (Ref, &mut Contribution),
        n: usize,
        reading: Reading,
    ) -> Outcome<Vote> {
        let voter = step.author;
        let needed = self.equation().validators as usize;
        let part = &mut c.parts[n];
        if self.person(part.agent) == voter {
            return Ok(Vote::Own);
        }
        let stands = part.standing.as_mut().filter(|s| {
            s.quantity == reading.quantity && Some(s.remuneration) == reading.remuneration
        });
        if let Some(standing) = stands {
            // A confirmation of what stands: one more who answers for it.
            if standing.votes.contains(&voter) {
                return Ok(Vote::Again);
            }
            standing.votes.push(voter);
            part.pending = None;
            return Ok(Vote::Counted);
        }
        let same = part.pending.as_ref().filter(|pending| pending.reading == reading);
        let mut votes = same.map_or_else(Votes::default, |pending| pending.votes.clone());
        // A word counts as long as its author may give it: a thief's ends with the role.
        votes.retain(|v| self.agent(v).roles.contains(&Role::Maintainer));
        let again = votes.contains(&voter);
        if !again {
            votes.push(voter);
        }
        // Under an equation that asks for fewer, what had too few may now have enough.
        if votes.len() < needed {
            if again {
                return Ok(Vote::Again);
            }
            part.pending = Some(Box::new(Pending { reading, votes }));
            return Ok(Vote::Counted);
        }
        self.let_stand(step, (place, c), n, reading, votes)?;
        Ok(Vote::Stands)
    }

    /// A reading has its votes: points change for income to come.
    fn let_stand(
        &mut self,
        step: &mut Step<'_>,
        (place, c): (Ref, &mut Contribution),
        n: usize,
        reading: Reading,
        votes: Votes,
    ) -> Outcome {
        let part = &c.parts[n];
        let remuneration = reading.remuneration.expect("votes carry a remuneration");
        let points = u128::from(reading.quantity) * u128::from(c.rate);
        let points = u64::try_from(points).unwrap_or(u64::MAX);
        let before = part.standing.as_ref();
        let stood = before.map_or(0, |s| s.counted + s.maturing);
        let all = (self.points - stood).saturating_add(points);
        require(all <= MAX_POINTS, Code::LimitExceeded, || {
            format!("points that stand: at most {MAX_POINTS} thousandths, would be {all}")
        })?;
        self.points = all;
        let old = counts(before);
        let ripe = Counts::ripe(points, remuneration);
        let kept = Counts { any: old.any.min(ripe.any), unpaid: old.unpaid.min(ripe.unpaid) };
        let maturity = u64::from(self.equation().maturity_days) * DAY_MS;
        let waits = kept != ripe && maturity > 0;
        let now = if waits { kept } else { ripe };
        recount(&mut self.buckets, c, part.agent, old, now);
        self.references.take(&c.reference, place);
        let moved = as_read(part) != reading.quantity;
        let generation = part.generation + 1;
        let standing = Standing {
            quantity: reading.quantity,
            remuneration,
            votes,
            since: step.at,
            counted: now.any,
            counted_unpaid: now.unpaid,
            maturing: points - now.any,
        };
        if moved {
            c.said = step.entry;
        }
        let part = &mut c.parts[n];
        (part.generation, part.pending, part.standing) = (generation, None, Some(standing));
        if waits {
            let task = Task::Mature { contribution: place, part: n, generation };
            self.schedule(step.at + maturity, step.entry, task);
        }
        Ok(())
    }

    /// Points that have waited long enough begin to count.
    pub(super) fn mature(&mut self, place: Ref, n: usize, generation: u32) {
        let mut c = self.contributions.at(place);
        let part = &c.parts[n];
        let Some(standing) = part.standing.as_ref().filter(|_| part.generation == generation)
        else {
            return; // another reading stands since: it has its own date
        };
        let ripe = Counts::ripe(standing.counted + standing.maturing, standing.remuneration);
        recount(&mut self.buckets, &c, part.agent, counts(Some(standing)), ripe);
        if let Some(s) = &mut c.parts[n].standing {
            (s.counted, s.counted_unpaid, s.maturing) = (ripe.any, ripe.unpaid, 0);
        }
        self.contributions.put(place, &c);
    }

    /// Revise: by the claimant, while nothing is validated.
    pub(super) fn revise(
        &mut self,
        step: &Step<'_>,
        place: Ref,
        parts: &[(Handle, u64)],
    ) -> Outcome {
        let mut c = self.contribution(place)?;
        require(c.closed.is_none(), Code::ContributionClosed, || format!("contribution {place}"))?;
        require(c.claimant == step.author, Code::NotOwnClaim, || format!("contribution {place}"))?;
        let stands = c.parts.iter().any(|p| p.standing.is_some());
        require(!stands, Code::AlreadyValidated, || format!("contribution {place}"))?;
        let changed = self.find_parts(parts)?;
        let same: BTreeSet<_> = changed.iter().map(|p| p.0).collect();
        let there: BTreeSet<_> = c.parts.iter().map(|p| p.agent).collect();
        require(same == there, Code::PartsInvalid, || "a revision names the same agents".into())?;
        for part in &mut c.parts {
            let quantity =
                changed.iter().find(|(id, _)| *id == part.agent).expect("the same agents").1;
            (part.claimed, part.pending) = (quantity, None);
        }
        c.said = step.entry;
        self.contributions.put(place, &c);
        self.note_act(step, |acts| &mut acts.revised);
        Ok(())
    }

    /// RejectContribution.
    pub(super) fn reject(
        &mut self,
        step: &mut Step<'_>,
        place: Ref,
        reason: RejectReason,
    ) -> Outcome {
        let mut c = self.contribution(place)?;
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
            self.close(place, c, reason);
            return Ok(());
        }
        require(maintainer, Code::AlreadyValidated, || {
            format!("contribution {place}: what is validated is ended by maintainers")
        })?;
        self.note_act(step, |acts| &mut acts.voted);
        let mut counted = false;
        for n in 0..c.parts.len() {
            let part = &c.parts[n];
            let paid =
                part.standing.as_ref().map(|s| s.remuneration).or(part.reading().remuneration);
            let reading =
                Reading { quantity: 0, remuneration: paid.or(Some(Remuneration::Unknown)) };
            counted |= self.vote(step, (place, &mut c), n, reading)?.has_changed();
        }
        require(counted, Code::AlreadyValidated, || format!("contribution {place}"))?;
        if c.parts.iter().all(|p| p.standing.as_ref().is_none_or(|s| s.quantity == 0)) {
            self.close(place, c, reason);
        } else {
            self.contributions.put(place, &c);
        }
        Ok(())
    }

    fn close(&mut self, place: Ref, mut c: Contribution, reason: RejectReason) {
        c.closed = Some(reason);
        self.contributions.put(place, &c);
        self.references.free(&c.reference, place);
    }

    /// From an attested claim on, the person's own votes for those parts are void.
    pub(super) fn drop_votes(&mut self, entry: u64, agent: AgentId, person: AgentId) {
        let places: Vec<Ref> = self.places_of(agent).collect();
        let needed = self.equation().validators as usize;
        for place in places {
            let mut c = self.contributions.at(place);
            let mut changed = false;
            for n in 0..c.parts.len() {
                let part = &c.parts[n];
                let voted = part.votes().contains(&person)
                    || part.standing.as_ref().is_some_and(|s| s.votes.contains(&person));
                if part.agent != agent || !voted {
                    continue;
                }
                let falls = part
                    .standing
                    .as_ref()
                    .filter(|s| s.votes.contains(&person) && s.votes.len() <= needed);
                if let Some(s) = falls {
                    recount(&mut self.buckets, &c, agent, counts(Some(s)), Counts::default());
                    self.points -= s.counted + s.maturing;
                    let reading =
                        Reading { quantity: s.quantity, remuneration: Some(s.remuneration) };
                    let votes = s.votes.clone();
                    c.said = entry;
                    let part = &mut c.parts[n];
                    let pending = Some(Box::new(Pending { reading, votes }));
                    (part.standing, part.pending) = (None, pending);
                    part.generation += 1;
                }
                let part = &mut c.parts[n];
                if let Some(pending) = &mut part.pending {
                    pending.votes.retain(|v| v != person);
                }
                if let Some(s) = &mut part.standing {
                    s.votes.retain(|v| v != person);
                }
                changed = true;
            }
            if changed {
                self.contributions.put(place, &c);
            }
        }
    }
}

/// The quantity that a validation without quantities is about.
fn as_read(part: &WorkPart) -> u64 {
    part.standing.as_ref().map_or(part.claimed, |standing| standing.quantity)
}

/// Points that count, in buckets for all work and in those for unpaid work only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) any: Points,
    pub(super) unpaid: Points,
}

impl Counts {
    /// All that a part has, once it has waited.
    fn ripe(points: Points, remuneration: Remuneration) -> Self {
        let unpaid = remuneration == Remuneration::Unpaid;
        Self { any: points, unpaid: if unpaid { points } else { 0 } }
    }
}

fn counts(standing: Option<&Standing>) -> Counts {
    standing.map_or_else(Counts::default, |s| Counts { any: s.counted, unpaid: s.counted_unpaid })
}

/// What counts of a part in each bucket that it is for goes from one number to another.
pub(super) fn recount(
    buckets: &mut OrdMap<BucketId, Bucket>,
    c: &Contribution,
    agent: AgentId,
    from: Counts,
    to: Counts,
) {
    if from == to {
        return;
    }
    let matching: SmallVec<[_; 4]> = buckets
        .iter()
        .filter_map(|(id, b)| match &b.def.to {
            To::Contributors(f) if f.matches(&c.kind, c.stream) => Some((*id, f.unpaid_only)),
            _ => None,
        })
        .collect();
    for (id, unpaid_only) in matching {
        let bucket = buckets.get_mut(&id).expect("just listed");
        let of = |counts: Counts| if unpaid_only { counts.unpaid } else { counts.any };
        let (from, to) = (of(from), of(to));
        if to > from {
            bucket.count(agent, c.month(), to - from);
        } else if from > to {
            bucket.discount(agent, c.month(), from - to);
        }
    }
}
