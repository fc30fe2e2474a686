//! A fork: a new ledger that cites another one at a head, and begins with its agents and points.
//!
//! Owns what is copied, in which bytes, and how it is taken over. Guarantees that the copy is a pure
//! function of the parent's state, so that whoever has both logs recomputes it; that the genesis
//! commits to all of it before anybody approves, and each part to the next one, so that no other
//! part is ever admitted, whoever appends it; that nothing happens in the fork until it is whole;
//! and that each bucket of whatever equation sees the points that the parent's state gives. Leaves
//! out who compares the two logs (`audit`).
//!
//! Copied: agents who are admitted or whom a copied piece of work names, with their keys, the revoked
//! ones among them, and their aliases; work that stands, with its reference, so that nothing is
//! validated twice, and its points, counted or waiting for their date. Not copied: roles, since
//! only whom the new genesis names governs; balances, agreements, incomes and payouts, which the
//! parent still owes; commitments to names, which are keyed to the parent's id; claims that wait;
//! and points that rest on what a revoked key has signed and nobody has confirmed there: that
//! work is claimed and judged anew.

use super::{
    event::{ForkAgent, ForkCopy, ForkPart, ForkWork, Parent},
    references::Hindrance,
    split::MAX_POINTS,
    state::{Contribution, Standing, State, Step, Task, WorkPart},
    types::*,
    work::{Counts, MAX_QUANTITY, recount},
};
use crate::{
    log::{Checkpoint, Hash, LedgerId, PublicKey, checkpoint::own_line, tree::verify_consistency},
    reject::{Code, Outcome, Reject, require},
};
use prost::Message as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use subak_proto::v1;

/// Bytes of rows in one part of the copy, unless it has one row only.
const MAX_COPY: usize = 96 * 1024;
/// Pieces of work in one part: as many as a statement has events.
pub const MAX_COPIED: usize = 1_000;

/// What a ledger knows of being a fork.
#[derive(Debug, Clone)]
pub struct Fork {
    /// What its genesis cites.
    pub parent: Arc<Parent>,
    /// Digest of the part of the copy that comes next; none once it is whole.
    pub next: Option<Hash>,
}

/// The digest by which a genesis, or the part before it, names a part of the copy.
pub fn digest_of(part: &v1::ForkCopy) -> Hash {
    blake3::derive_key("subak 2026 fork copy v1", &part.encode_to_vec())
}

/// All that a fork copies of a state, in its parts: the first is the one that a genesis names.
pub fn copy(state: &State) -> Vec<v1::ForkCopy> {
    let works = works(state);
    let agents = agents(state, &works);
    let mut parts = vec![v1::ForkCopy::default()];
    let mut held = 0;
    let mut room = |bytes: usize, parts: &mut Vec<v1::ForkCopy>| {
        let last = parts.last().expect("there is one from the start");
        if held > 0 && held + bytes > MAX_COPY || last.work.len() == MAX_COPIED {
            parts.push(v1::ForkCopy::default());
            held = 0;
        }
        held += bytes;
    };
    for agent in agents {
        room(agent.encoded_len(), &mut parts);
        parts.last_mut().expect("there is one from the start").agent.push(agent);
    }
    for work in works {
        room(work.encoded_len(), &mut parts);
        parts.last_mut().expect("there is one from the start").work.push(work);
    }
    let mut next = Vec::new();
    for part in parts.iter_mut().rev() {
        part.next = next;
        next = digest_of(part).to_vec();
    }
    parts
}

/// Work that stands, by place.
fn works(state: &State) -> Vec<v1::ForkWork> {
    let mut ripens: BTreeMap<(Ref, usize, u32), u64> = BTreeMap::new();
    for ((date, ..), task) in &state.agenda {
        if let Task::Mature { contribution, part, generation } = task {
            // What the part was before may have a date too, even a later one.
            ripens.insert((*contribution, *part, *generation), *date);
        }
    }
    let name = |id: AgentId| state.agent(id).handle.to_string();
    let mut works = Vec::new();
    for (place, c) in state.contributions.iter().filter(|(_, c)| c.closed.is_none()) {
        let mut parts = Vec::new();
        for (n, part) in c.parts.iter().enumerate() {
            let Some(s) = part.standing.as_ref().filter(|s| s.quantity > 0) else { continue };
            if state.is_part_doubtful(place, &c, part) {
                continue;
            }
            let date = ripens.get(&(place, n, part.generation));
            parts.push(v1::ForkPart {
                agent: name(part.agent),
                quantity: s.quantity,
                remuneration: s.remuneration.to_wire(),
                vote: s.votes.iter().map(|voter| name(*voter)).collect(),
                since: s.since,
                counted: s.counted,
                counted_unpaid: s.counted_unpaid,
                maturing: s.maturing,
                matures_at: date.copied().unwrap_or(0),
            });
        }
        if !parts.is_empty() {
            works.push(v1::ForkWork {
                reference: c.reference.to_string(),
                kind: c.kind.to_string(),
                stream: c.stream.to_wire(),
                worked_on: c.worked_on,
                rate: c.rate,
                claimant: name(c.claimant),
                claimed_at: c.claimed_at,
                part: parts,
            });
        }
    }
    works
}

/// Agents in the order of their introduction, those with an alias after all others: whoever is
/// behind them is there then.
fn agents(state: &State, works: &[v1::ForkWork]) -> Vec<v1::ForkAgent> {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for work in works {
        named.insert(&work.claimant);
        for part in &work.part {
            named.insert(&part.agent);
            named.extend(part.vote.iter().map(String::as_str));
        }
    }
    let mut revoked: BTreeMap<AgentId, Vec<Vec<u8>>> = BTreeMap::new();
    for key in state.revoked.keys() {
        revoked.entry(state.keys[key]).or_default().push(key.to_vec());
    }
    let copied = state
        .agents
        .iter()
        .filter(|a| !a.clerk && (a.admitted || named.contains(a.handle.as_str())));
    let row = |a: &Arc<super::state::Agent>| {
        let alias = a.alias.filter(|_| !state.is_alias_doubtful(a.id));
        v1::ForkAgent {
            handle: a.handle.to_string(),
            kind: a.kind.to_wire(),
            key: a.keys.iter().map(|key| key.to_vec()).collect(),
            revoked: revoked.get(&a.id).cloned().unwrap_or_default(),
            admitted: a.admitted,
            alias: alias
                .map_or_else(String::new, |(person, _)| state.agent(person).handle.to_string()),
            alias_since: alias.map_or(0, |(_, since)| since),
        }
    };
    let (mut plain, aliased): (Vec<_>, Vec<_>) =
        copied.map(row).partition(|row| row.alias.is_empty());
    plain.extend(aliased);
    plain
}

impl Parent {
    /// That an operator's key has signed a head that begins with what is cited.
    pub fn verify(&self) -> Outcome {
        let invalid = |why: String| Reject::new(Code::ParentInvalid, why);
        let ledger = LedgerId(self.ledger);
        let operator = PublicKey::admit(&self.operator).map_err(|r| invalid(r.detail))?;
        let head =
            Checkpoint::open(&self.checkpoint, ledger, &operator).map_err(|r| invalid(r.detail))?;
        let own = own_line(&self.checkpoint, &ledger, &operator);
        require(own.as_ref() == Some(&self.checkpoint), Code::ParentInvalid, || {
            "expected no line but the operator's under its checkpoint".into()
        })?;
        verify_consistency(self.size, head.size, &self.root, &head.root, &self.path)
            .map_err(|r| invalid(r.detail))
    }
}

impl State {
    /// A genesis that cites a parent.
    pub(super) fn cite(&mut self, parent: &Arc<Parent>) -> Outcome {
        parent.verify()?;
        self.fork = Some(Fork { parent: parent.clone(), next: Some(parent.copy) });
        Ok(())
    }

    /// A fork is nobody's ledger until all of its copy is there.
    pub(super) fn require_whole(&self) -> Outcome {
        let waits = self.fork.as_ref().and_then(|fork| fork.next);
        let Some(next) = waits else { return Ok(()) };
        Err(Reject::new(Code::ForkIncomplete, format!("next is part {}", hex::encode(next))))
    }

    /// ForkCopy.
    pub(super) fn copy_part(&mut self, step: &Step<'_>, part: &ForkCopy) -> Outcome {
        let misplaced = |why: &str| Reject::new(Code::ForkCopyMisplaced, why.to_owned());
        require(step.alone, Code::ForkCopyMisplaced, || "expected no other event".into())?;
        let fork = self.fork.as_ref().ok_or_else(|| misplaced("this ledger is no fork"))?;
        let expected = fork.next.ok_or_else(|| misplaced("the copy is whole already"))?;
        require(expected == part.digest, Code::ForkCopyFalse, || {
            format!("expected part {}, found {}", hex::encode(expected), hex::encode(part.digest))
        })?;
        part.agents.iter().try_for_each(|agent| self.copy_agent(step, agent))?;
        for (n, work) in (0..).zip(&part.works) {
            self.copy_work(step, Ref { entry: step.entry, event: n }, work)?;
        }
        let fork = self.fork.as_mut().expect("looked up above");
        fork.next = part.next;
        Ok(())
    }

    /// An agent of the parent's; one whom the genesis has introduced must be the same.
    fn copy_agent(&mut self, step: &Step<'_>, row: &ForkAgent) -> Outcome {
        let handle = &row.handle;
        let id = match self.handles.get(handle).copied() {
            None => self.introduce(step, handle.clone(), row.kind, None, row.admitted)?,
            Some(id) => {
                let agent = self.agent(id);
                require(agent.entry == 0, Code::HandleTaken, || format!("{handle} twice"))?;
                require(agent.kind == row.kind && !agent.clerk, Code::WrongAgentKind, || {
                    format!("{handle} is a {} in the parent", row.kind)
                })?;
                let same = agent.keys.iter().all(|key| row.keys.contains(key));
                require(same, Code::HandleTaken, || {
                    format!("{handle} has a key here that it does not have in the parent")
                })?;
                id
            }
        };
        let known = self.agent(id).keys.clone();
        for key in row.keys.iter().chain(&row.revoked).filter(|key| !known.contains(key)) {
            self.check_new_key(*key)?;
            self.keys.insert(*key, id);
        }
        if row.keys.len() != 1 || !row.revoked.is_empty() {
            // From here on it is told apart which key signs; what was signed there is not.
            self.signed.insert(id, imbl::Vector::new());
        }
        for key in &row.revoked {
            let revoked = super::keys::Revoked { since: step.at, entry: step.entry, at: step.at };
            self.revoked.insert(*key, revoked);
        }
        let alias = match &row.alias {
            Some((person, since)) => Some((self.find(person)?, *since)),
            None => None,
        };
        self.waiting.0 += u32::from(!self.agent(id).admitted);
        self.change_agent(id, |a| {
            a.keys.clone_from(&row.keys);
            a.had_keys = !row.revoked.is_empty();
            a.alias = alias;
        });
        Ok(())
    }

    fn copy_work(&mut self, step: &Step<'_>, place: Ref, row: &ForkWork) -> Outcome {
        require(row.worked_on <= day_of(step.at), Code::FutureWork, || {
            format!("worked on day {}, copied on day {}", row.worked_on, day_of(step.at))
        })?;
        let claimant = self.find(&row.claimant)?;
        let mut parts = Vec::new();
        for part in &row.parts {
            parts.push(self.copied_part(row.rate, part)?);
        }
        let agents: Vec<AgentId> = parts.iter().map(|part| part.agent).collect();
        let distinct: BTreeSet<AgentId> = agents.iter().copied().collect();
        require(distinct.len() == agents.len(), Code::PartsInvalid, || {
            format!("{}: an agent twice", row.reference)
        })?;
        self.references.claim(&row.reference, &agents, place).map_err(|hindrance| {
            let code = match hindrance {
                Hindrance::Taken => Code::ReferenceTaken,
                Hindrance::Claimed(_) => Code::DuplicateClaim,
            };
            Reject::new(code, row.reference.to_string())
        })?;
        self.references.take(&row.reference, place);
        for agent in &agents {
            self.work_of.entry(*agent).or_default().push_back(place.into());
        }
        let c = Contribution {
            reference: row.reference.clone(),
            kind: Arc::new(row.kind.clone()),
            stream: row.stream,
            worked_on: row.worked_on,
            rate: row.rate,
            claimant,
            claimed_at: row.claimed_at,
            said: step.entry,
            closed: None,
            parts: parts.into_iter().collect(),
        };
        for (n, (part, row)) in c.parts.iter().zip(&row.parts).enumerate() {
            let counts = Counts { any: row.counted, unpaid: row.counted_unpaid };
            recount(&mut self.buckets, &c, part.agent, Counts::default(), counts);
            self.points = self.points.saturating_add(row.counted + row.maturing);
            if row.matures_at > 0 {
                let task = Task::Mature { contribution: place, part: n, generation: 1 };
                self.schedule(row.matures_at, step.entry, task);
            }
        }
        require(self.points <= MAX_POINTS, Code::LimitExceeded, || {
            format!("points that stand: at most {MAX_POINTS} thousandths")
        })?;
        self.contributions.put(place, &c);
        Ok(())
    }

    /// Points are quantity times rate, all of which count or wait for a date.
    fn copied_part(&self, rate: u32, row: &ForkPart) -> Outcome<WorkPart> {
        let agent = self.find(&row.agent)?;
        require((1..=MAX_QUANTITY).contains(&row.quantity), Code::PartsInvalid, || {
            format!("{}: {} thousandths", row.agent, row.quantity)
        })?;
        let points = u128::from(row.quantity) * u128::from(rate);
        let stated = u128::from(row.counted) + u128::from(row.maturing);
        let most = if row.remuneration == Remuneration::Unpaid { row.counted } else { 0 };
        let unpaid = row.counted_unpaid;
        let ripe = row.maturing == 0 && unpaid == most;
        let fits = points == stated && unpaid <= most && ripe == (row.matures_at == 0);
        require(fits && points <= u128::from(MAX_POINTS), Code::PartsInvalid, || {
            format!("{}: {points} points, {stated} stated", row.agent)
        })?;
        let mut votes = super::votes::Votes::default();
        for voter in &row.votes {
            votes.push(self.find(voter)?);
        }
        Ok(WorkPart {
            agent,
            claimed: row.quantity,
            pending: None,
            standing: Some(Standing {
                quantity: row.quantity,
                remuneration: row.remuneration,
                votes,
                since: row.since,
                counted: row.counted,
                counted_unpaid: unpaid,
                maturing: row.maturing,
            }),
            generation: 1,
        })
    }
}
