//! The rows of the state: what is known of an agent, a piece of work, an income, a payout, and of the
//! step that is being folded. Leaves out the tables that they stand in (`state`).

use super::{
    accounts::Posting,
    equation::{BucketId, Equation},
    event::Event,
    split::Point,
    state::State,
    types::*,
    votes::Votes,
};
use crate::log::Hash;
use imbl::{OrdMap, OrdSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// A StateRoot: its place, and whether one can still go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The entry.
    pub entry: u64,
    /// When it was recorded.
    pub at: u64,
    /// Leaves under its root.
    pub leaves: u64,
    /// Whether what it says is still so: no other entry came after it, and no date that
    /// brought anything about.
    pub holds: bool,
}

/// What a StateRoot that is alone in its statement is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The state as the entry before left it.
    pub state: &'a State,
    /// Whether the time of its own entry has brought nothing about.
    pub still: bool,
}

/// What a genesis fixed.
#[derive(Debug, Clone)]
pub struct Root {
    /// What keeps this ledger.
    pub kind: AgentKind,
    /// Its name.
    pub name: Handle,
    /// Whether `recorded_at` may be chosen.
    pub sandbox: bool,
    /// m of the quorum.
    pub quorum: u32,
    /// Digest of the genesis body.
    pub digest: Hash,
    /// Stewards that the genesis names.
    pub stewards: OrdSet<AgentId>,
}

/// Somebody, or something, with a handle.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its number.
    pub id: AgentId,
    /// Its handle.
    pub handle: Handle,
    /// What it is.
    pub kind: AgentKind,
    /// Whether a maintainer has admitted it (or somebody with a role introduced it).
    pub admitted: bool,
    /// The node's key: authors only what anyone may append.
    pub clerk: bool,
    /// Its keys, without those that were revoked.
    pub keys: Vec<Hash>,
    /// Whether a key of its was revoked: without a key, it is not unclaimed.
    pub had_keys: bool,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Commitments to its name and e-mail.
    pub name: Option<Hash>,
    /// Commitment to its e-mail.
    pub email: Option<Hash>,
    /// The person behind an unclaimed agent, and since when.
    pub alias: Option<(AgentId, u64)>,
    /// Whether a maintainer has refused it: it authors nothing more.
    pub refused: bool,
    /// Events it has authored while nobody had admitted it.
    pub spent: u32,
    /// Entry that introduced it.
    pub entry: u64,
}

impl Agent {
    /// A person who never had a key: as an import leaves them, until somebody claims them.
    pub fn is_keyless(&self) -> bool {
        self.kind == AgentKind::Person && self.keys.is_empty() && !self.had_keys
    }
}

/// Events before the stewards.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Who proposed.
    pub by: AgentId,
    /// Digest of the body that carries it.
    pub digest: Hash,
    /// The events.
    pub events: Arc<Vec<Event>>,
    /// Who approved so far.
    pub approvals: Vec<AgentId>,
    /// Until when.
    pub expires_at: u64,
}

/// Something that a date brings about.
#[derive(Debug, Clone)]
pub enum Task {
    /// A part's points begin to count.
    Mature {
        /// Of this contribution
        contribution: Ref,
        /// this part,
        part: usize,
        /// unless its standing has changed since.
        generation: u32,
    },
    /// An adopted equation comes into force.
    InForce(Arc<Equation>),
    /// Held lots are released to whoever has points now.
    Release {
        /// Numbers of the incomes.
        incomes: Arc<Vec<u64>>,
        /// The bucket.
        bucket: BucketId,
    },
    /// A proposal closes.
    CloseProposal(u64),
    /// Undecided lines of a run are released.
    ExpireRun(u64),
}

/// A piece of work, as claimed and as validated.
#[derive(Debug, Clone)]
pub struct Contribution {
    /// What it is known by elsewhere.
    pub reference: Reference,
    /// Its kind; the equation's own.
    pub kind: Arc<Handle>,
    /// Its stream.
    pub stream: Stream,
    /// Day of the work.
    pub worked_on: u32,
    /// Points per unit when it was claimed.
    pub rate: u32,
    /// Who claimed it.
    pub claimant: AgentId,
    /// When.
    pub claimed_at: u64,
    /// The entry that last said what it is: the claim, or its last revision.
    pub said: u64,
    /// Why it ended, if it did.
    pub closed: Option<RejectReason>,
    /// Whose work, in the order of the claim.
    pub parts: SmallVec<[WorkPart; 1]>,
}

impl Contribution {
    /// Month of the work.
    pub fn month(&self) -> u32 {
        month_of_day(self.worked_on)
    }
}

/// One agent's part.
#[derive(Debug, Clone)]
pub struct WorkPart {
    /// Whose.
    pub agent: AgentId,
    /// Thousandths, as claimed.
    pub claimed: u64,
    /// What is before the maintainers, where that is neither what holds nor the claim.
    pub pending: Option<Box<Pending>>,
    /// What holds.
    pub standing: Option<Standing>,
    /// Counts changes of the standing.
    pub generation: u32,
}

/// A reading that has too few votes.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What it says.
    pub reading: Reading,
    /// Who agrees with it.
    pub votes: Votes,
}

impl WorkPart {
    /// What is before the maintainers; without votes for something else, what holds, or
    /// else the claim.
    pub fn reading(&self) -> Reading {
        match (&self.pending, &self.standing) {
            (Some(pending), _) => pending.reading,
            (None, Some(s)) => Reading { quantity: s.quantity, remuneration: Some(s.remuneration) },
            (None, None) => Reading { quantity: self.claimed, remuneration: None },
        }
    }

    /// Who agrees with a reading that does not hold.
    pub fn votes(&self) -> &[AgentId] {
        self.pending.as_ref().map_or(&[], |pending| &pending.votes)
    }
}

/// What somebody says a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Thousandths.
    pub quantity: u64,
    /// Paid or not; `None` before anybody has attested it.
    pub remuneration: Option<Remuneration>,
}

/// A validated reading.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Thousandths.
    pub quantity: u64,
    /// Paid or not.
    pub remuneration: Remuneration,
    /// Who validated.
    pub votes: Votes,
    /// When it was validated.
    pub since: u64,
    /// Points that count.
    pub counted: Points,
    /// Of these, points that also count where only unpaid work does. Fewer than all where
    /// it was attested as unpaid only lately: that, too, waits for maturity.
    pub counted_unpaid: Points,
    /// Points that will.
    pub maturing: Points,
}

impl Standing {
    /// Points that count in a bucket for all work, or for unpaid work only.
    pub fn counted_in(&self, unpaid_only: bool) -> Points {
        if unpaid_only { self.counted_unpaid } else { self.counted }
    }
}

/// A commons' share of a revenue, or a gift.
#[derive(Debug, Clone)]
pub struct Income {
    /// This ledger's number, from 1.
    pub number: u64,
    /// Where it was recorded.
    pub place: Ref,
    /// When.
    pub recorded_at: u64,
    /// Who owes it.
    pub payer: AgentId,
    /// Agreement and number there; none for a gift.
    pub source: Option<(Hash, u64)>,
    /// Currency.
    pub currency: Currency,
    /// Amount.
    pub amount: Minor,
    /// The equation that split it.
    pub equation: Arc<Equation>,
    /// Its parts, in the equation's order; empty if the amount is 0.
    pub shares: Vec<Share>,
    /// Taken back by the payer.
    pub refunded: Minor,
    /// Given up by the stewards.
    pub written_off: Minor,
    /// Paid.
    pub settled: Minor,
    /// The entry whose AgreementUnfreeze undid it: its number is another income's now, if any's.
    pub undone: Option<u64>,
}

impl Income {
    /// What is still to come.
    pub fn open(&self) -> Minor {
        self.amount - self.refunded - self.written_off - self.settled
    }
}

/// One bucket's part of an income.
#[derive(Debug, Clone)]
pub struct Share {
    /// The bucket of the equation.
    pub bucket: BucketId,
    /// Its part.
    pub part: Fixed,
    /// Of that, reversed.
    pub reversed: Fixed,
    /// Where it lies.
    pub lies: Lies,
    /// The entry, and the event in it, that spread it over points; without an event time
    /// did, before those of the entry. None while it is held.
    pub spread_at: Option<(u64, Option<u32>)>,
}

/// Where a part of an income lies.
#[derive(Debug, Clone)]
pub enum Lies {
    /// Spread over points, in this bucket (another one after a fallback).
    Spread(BucketId, Point),
    /// Held, because there were no points.
    Held,
}

/// What an agent has drawn in a currency, whole minor units by fund.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// Reserved by payout runs, of the agent's own fund.
    pub reserved_own: Minor,
    /// Reserved of the contributors' fund.
    pub reserved_common: Minor,
    /// Paid, of the agent's own fund, fees included.
    pub paid_own: Minor,
    /// Paid of the contributors' fund, fees included.
    pub paid_common: Minor,
    /// Of what is paid, bank fees.
    pub fees: Minor,
    /// Drawn or reserved by bucket, exact.
    pub buckets: OrdMap<BucketId, Fixed>,
}

/// From which funds and buckets a whole amount is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draw {
    /// Of the agent's own fund.
    pub own: Minor,
    /// Of the contributors' fund.
    pub common: Minor,
    /// Of these buckets; sums to the whole.
    pub buckets: Vec<(BucketId, Fixed)>,
}

/// A payout run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Who holds the cash.
    pub treasurer: AgentId,
    /// Who proposed it: the same, unless the cash is a former treasurer's.
    pub by: AgentId,
    /// Currency.
    pub currency: Currency,
    /// When undecided lines are released.
    pub expires_at: u64,
    /// When it was proposed.
    pub proposed_at: u64,
    /// Its lines, by agent's handle ascending.
    pub lines: Vec<Line>,
}

/// One agent's line of a run.
#[derive(Debug, Clone)]
pub struct Line {
    /// Who.
    pub agent: AgentId,
    /// How much.
    pub minor: Minor,
    /// From where.
    pub draw: Draw,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a payout line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fate {
    Proposed,
    Paid { bank: Reference, at: u64 },
    Failed { reason: FailReason },
    Returned { reason: FailReason, bank: Reference },
    Expired,
}

impl Fate {
    /// The word for people and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Paid { .. } => "paid",
            Self::Failed { .. } => "failed",
            Self::Returned { .. } => "returned",
            Self::Expired => "expired",
        }
    }
}

/// Recorded revenue.
#[derive(Debug, Clone)]
pub struct RevenueRow {
    /// Where.
    pub place: Ref,
    /// When.
    pub recorded_at: u64,
    /// Product tag.
    pub product: Option<Handle>,
    /// Currency.
    pub currency: Currency,
    /// Without tax.
    pub net: Minor,
    /// Tax.
    pub tax: Minor,
    /// Taken back of `net`.
    pub net_reversed: Minor,
    /// Taken back of `tax`.
    pub tax_reversed: Minor,
    /// The agreements it fell under, with its number there.
    pub under: Vec<(Hash, u64)>,
}

/// What a handler knows about the moment, and where its postings go.
pub struct Step<'a> {
    /// `recorded_at` of the entry.
    pub at: u64,
    /// The entry.
    pub entry: u64,
    /// The event in it; none while time brings something about.
    pub event: Option<u32>,
    /// The statement's author.
    pub author: AgentId,
    /// The key that signed it.
    pub key: Hash,
    /// Whether the stewards' quorum says the event, through a proposal.
    pub quorum: bool,
    /// When the statement expires.
    pub expires_at: u64,
    /// Digest of the statement's body.
    pub digest: Hash,
    /// How many entries the author has seen, if the statement says so.
    pub seen: Option<u64>,
    /// Whether it is the statement's only event.
    pub alone: bool,
    /// For a StateRoot that is alone.
    pub before: Option<Before<'a>>,
    /// Postings so far.
    pub journal: &'a mut Vec<Posting>,
}

impl Step<'_> {
    /// The place of the event.
    pub fn place(&self) -> Ref {
        Ref { entry: self.entry, event: self.event.unwrap_or(0) }
    }
}
