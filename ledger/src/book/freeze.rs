//! What a revoked key has signed, and what is therefore not paid until stewards have looked.
//!
//! A statement is *doubtful* that a revoked key has signed at or after the revocation's
//! `since`. Nothing of it is void. But as long as the stewards have not confirmed it, nothing
//! is paid that rests on it: to an agent with points by a doubtful claim or vote; by a run
//! that was proposed so; in a currency in which cash was so said to have come (what a false
//! receipt makes payable could be paid out of any treasurer's cash).
//!
//! Guarantees that nothing doubtful is missed, and that it costs nothing while no key is
//! revoked: for each key of who validates, pays or governs the state keeps only when it was
//! last used for what. (A vote that only confirmed what stood already is no such thing: nothing
//! rests on it.) So it may freeze too much, never too little: votes carry no key, hence
//! what stands since then with any vote of that agent, or stood otherwise before, is held.
//! A revocation costs one look at the agent's own work, a payout line one look at the payee's.
//! Leaves out the keys themselves (`keys`).

use super::{
    state::{Contribution, State, Step, WorkPart},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, Reject, require},
};
use imbl::OrdSet;
use smallvec::SmallVec;
use std::fmt;

/// When a key was last used for something that leads to money, in milliseconds; 0: never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acts {
    /// Validated, rejected what stood, or attested a claim to an agent.
    pub voted: u64,
    /// Claimed work as a maintainer, for whomever. Others claim only what they have a part in.
    pub claimed: u64,
    /// Revised a claim.
    pub revised: u64,
    /// Proposed a payout run.
    pub proposed: u64,
    /// Proposed to the stewards, or approved.
    pub governed: u64,
    /// Said that cash has come or has not gone, by currency.
    pub cash: SmallVec<[(Currency, u64); 1]>,
}

/// What is doubtful of one key, until stewards confirm it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// From when on.
    pub since: u64,
    /// The entry that revoked it: work that was claimed later has no vote of it.
    pub until: u64,
    /// Claims are.
    pub claims: bool,
    /// Revisions of claims are.
    pub revisions: bool,
    /// Votes are.
    pub votes: bool,
    /// Payout runs are.
    pub runs: bool,
    /// Cash in these currencies is.
    pub cash: SmallVec<[Currency; 1]>,
    /// Agents to whom what is owed was confirmed all the same.
    pub released: OrdSet<AgentId>,
}

/// Why something is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// The revoked key.
    pub key: Hash,
    /// Whose it was.
    pub agent: AgentId,
    /// What it has signed, or may have.
    pub by: By,
}

/// What a revoked key has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The claim, or a revision of it.
    Claim(Ref),
    /// A vote for what stands, or stood.
    Vote(Ref),
    /// The claim to the agent, or its attestation.
    Alias,
    /// The payout run.
    Run(u64),
    /// That cash came, or came back, or did not go.
    Cash(Currency),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(place) => write!(f, "contribution {place} was claimed with it"),
            Self::Vote(place) => write!(f, "contribution {place} was validated with it"),
            Self::Alias => write!(f, "the claim to the agent was made or attested with it"),
            Self::Run(run) => write!(f, "run {run} was proposed with it"),
            Self::Cash(currency) => write!(f, "{currency} was said to be there with it"),
        }
    }
}

impl State {
    /// Notes what a key is used for.
    pub(super) fn note_act(&mut self, step: &Step<'_>, act: impl FnOnce(&mut Acts) -> &mut u64) {
        *act(self.acts.entry(step.key).or_default()) = step.at;
    }

    /// Notes that a key says something about cash that makes more of it payable.
    pub(super) fn note_cash(&mut self, step: &Step<'_>, currency: Currency) {
        let cash = &mut self.acts.entry(step.key).or_default().cash;
        match cash.iter_mut().find(|(c, _)| *c == currency) {
            Some((_, at)) => *at = step.at,
            None => cash.push((currency, step.at)),
        }
    }

    /// From now on what the key has signed since then is frozen, where there is anything.
    pub(super) fn freeze(&mut self, step: &Step<'_>, agent: AgentId, key: Hash, since: u64) {
        let acts = self.acts.get(&key).cloned().unwrap_or_default();
        // Whoever has the key may have said so for its agent: who it is says it again.
        if acts.governed >= since {
            self.void_approvals(agent);
        }
        let cash = acts.cash.iter().filter(|(_, at)| *at >= since).map(|(c, _)| *c).collect();
        let doubt = Doubt {
            since,
            until: step.entry,
            claims: acts.claimed >= since || self.has_claimed(agent, &key, since),
            revisions: acts.revised >= since,
            votes: acts.voted >= since,
            runs: acts.proposed >= since,
            cash,
            released: OrdSet::new(),
        };
        let any = doubt.claims || doubt.revisions || doubt.votes || doubt.runs;
        if any || !doubt.cash.is_empty() {
            self.doubts.insert((agent, key), doubt);
        }
    }

    /// Whether an agent has claimed own work with a key since then.
    fn has_claimed(&self, agent: AgentId, key: &Hash, since: u64) -> bool {
        // A key that never signed claims nothing: to add and revoke keys costs no look at all.
        self.has_signed(agent, key)
            && self.faces(agent).into_iter().flat_map(|face| self.places_of(face)).any(|place| {
                let c = self.contributions.at(place);
                c.claimant == agent && self.is_claimed_with(place, &c, key, since)
            })
    }

    fn is_claimed_with(&self, place: Ref, c: &Contribution, key: &Hash, since: u64) -> bool {
        c.claimed_at >= since && self.key_at(c.claimant, place.entry) == Some(*key)
    }

    /// EffectsConfirm.
    pub(super) fn confirm(&mut self, key: &Hash, agents: &[Handle]) -> Outcome {
        let unknown = || Reject::new(Code::UnknownKey, hex::encode(key));
        let owner = self.keys.get(key).copied().ok_or_else(unknown)?;
        let open = self.doubts.contains_key(&(owner, *key));
        require(open, Code::NothingFrozen, || hex::encode(key))?;
        if agents.is_empty() {
            self.doubts.remove(&(owner, *key));
            return Ok(());
        }
        for agent in agents {
            let id = self.find(agent)?;
            let doubt = self.doubts.get_mut(&(owner, *key)).expect("looked up above");
            let fresh = doubt.released.insert(id).is_none();
            require(fresh, Code::NothingFrozen, || format!("{agent} is released already"))?;
        }
        Ok(())
    }

    /// Why nothing is paid to an agent, if so. A refund or a rejection does not end it: what
    /// has accrued by doubtful points is still there.
    pub fn frozen(&self, agent: AgentId) -> Option<Frozen> {
        if self.doubts.is_empty() {
            return None;
        }
        let a = self.agent(agent);
        let open = |d: &Doubt| !d.released.contains(&agent);
        let votes = self.doubtful_votes(agent);
        if let Some((person, since)) = a.alias {
            let claimed = self.doubts_of(person).find(|(_, d)| open(d) && since >= d.since);
            let attested = votes.iter().copied().find(|(_, d)| since >= d.since);
            if let Some(((agent, key), _)) = claimed.or(attested) {
                return Some(Frozen { key: *key, agent: *agent, by: By::Alias });
            }
        }
        self.places_of(agent).find_map(|place| {
            let c = &self.contributions.at(place);
            let mut parts = c.parts.iter().filter(|p| p.agent == agent);
            parts.find_map(|part| self.doubt_of(place, c, part, &votes))
        })
    }

    /// What a part's points rest on that is doubtful. What never stood has none.
    fn doubt_of(
        &self,
        place: Ref,
        c: &Contribution,
        part: &WorkPart,
        votes: &[(&(AgentId, Hash), &Doubt)],
    ) -> Option<Frozen> {
        if part.generation == 0 {
            return None;
        }
        let open = |d: &Doubt| !d.released.contains(&part.agent);
        let mut claims = self.doubts_of(c.claimant);
        let claim =
            claims.find(|((_, key), d)| open(d) && self.is_doubtful(place, c, part, key, d));
        if let Some(((agent, key), _)) = claim {
            return Some(Frozen { key: *key, agent: *agent, by: By::Claim(place) });
        }
        let vote = votes
            .iter()
            .find(|((voter, _), d)| place.entry <= d.until && may_have_voted(part, *voter, d));
        let ((agent, key), _) = vote?;
        Some(Frozen { key: *key, agent: *agent, by: By::Vote(place) })
    }

    fn doubtful_votes(&self, agent: AgentId) -> Vec<(&(AgentId, Hash), &Doubt)> {
        let open = |d: &Doubt| !d.released.contains(&agent);
        self.doubts.iter().filter(|(_, d)| d.votes && open(d)).collect()
    }

    /// Whether a part's points rest on what a revoked key has signed and nobody has confirmed.
    pub(super) fn is_part_doubtful(&self, place: Ref, c: &Contribution, part: &WorkPart) -> bool {
        let votes = || self.doubtful_votes(part.agent);
        !self.doubts.is_empty() && self.doubt_of(place, c, part, &votes()).is_some()
    }

    /// Whether who is behind an agent rests on such a thing.
    pub(super) fn is_alias_doubtful(&self, agent: AgentId) -> bool {
        self.frozen(agent).is_some_and(|frozen| frozen.by == By::Alias)
    }

    fn doubts_of(&self, agent: AgentId) -> impl Iterator<Item = (&(AgentId, Hash), &Doubt)> {
        self.doubts.range((agent, [0; 32])..=(agent, [255; 32]))
    }

    fn is_doubtful(
        &self,
        place: Ref,
        c: &Contribution,
        part: &WorkPart,
        key: &Hash,
        d: &Doubt,
    ) -> bool {
        let revised = || {
            // The entry that revised it is known, its time is not: what stood before is safe.
            c.said > place.entry
                && self.key_at(c.claimant, c.said) == Some(*key)
                && changed_since(part, d.since)
        };
        (d.claims && self.is_claimed_with(place, c, key, d.since)) || (d.revisions && revised())
    }

    /// Why nothing is paid in a currency, if so.
    pub fn frozen_cash(&self, currency: Currency) -> Option<Frozen> {
        let ((agent, key), _) = self.doubts.iter().find(|(_, d)| d.cash.contains(&currency))?;
        Some(Frozen { key: *key, agent: *agent, by: By::Cash(currency) })
    }

    /// Why a payout run is not paid, if so.
    pub fn frozen_run(&self, run: u64) -> Option<Frozen> {
        let r = self.runs.get(&run)?;
        let ((agent, key), _) = self.doubts_of(r.by).find(|((by, key), d)| {
            d.runs && r.proposed_at >= d.since && self.key_at(*by, run) == Some(*key)
        })?;
        Some(Frozen { key: *key, agent: *agent, by: By::Run(run) })
    }

    pub(super) fn require_sound(&self, agent: AgentId) -> Outcome {
        self.require_thawed(self.frozen(agent), || self.agent(agent).handle.to_string())
    }

    pub(super) fn require_sound_cash(&self, currency: Currency) -> Outcome {
        self.require_thawed(self.frozen_cash(currency), || format!("payouts in {currency}"))
    }

    pub(super) fn require_sound_run(&self, run: u64) -> Outcome {
        self.require_thawed(self.frozen_run(run), || format!("run {run}"))
    }

    fn require_thawed(&self, frozen: Option<Frozen>, what: impl FnOnce() -> String) -> Outcome {
        let Some(frozen) = frozen else { return Ok(()) };
        Err(Reject::new(Code::Frozen, format!("{}: {}", what(), self.why(&frozen))))
    }

    /// Why something is frozen, in words.
    pub fn why(&self, frozen: &Frozen) -> String {
        let Frozen { key, agent, by } = frozen;
        format!("{by}, {}'s revoked key {}", self.agent(*agent).handle, hex::encode(key))
    }
}

/// Whether a vote that was given since then may be among those for what stands or stood. The
/// votes of what stood before are not kept.
fn may_have_voted(part: &WorkPart, voter: AgentId, doubt: &Doubt) -> bool {
    let votes = part.standing.as_ref().map(|s| &s.votes);
    let among = part.generation > 1 || votes.is_some_and(|votes| votes.contains(&voter));
    among && changed_since(part, doubt.since)
}

fn changed_since(part: &WorkPart, since: u64) -> bool {
    part.standing.as_ref().is_none_or(|standing| standing.since >= since)
}
