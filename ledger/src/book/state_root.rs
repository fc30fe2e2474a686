//! The state root: one hash of what everybody has, and a proof of anybody's part of it.
//!
//! Owns the leaves, their order and the tree over them. Guarantees that a state has one root,
//! that every figure in a leaf is the one that [`State::balance`] and [`State::points`] show,
//! and that all of it is worked out in one pass over runs, contributions and drawings:
//! about as long for a million agents as hashing their leaves. Pure, as all of the book.
//! Leaves out the file that holds a proof (`balance_proof`), and who may publish a root and
//! when (`apply`, the node).
//!
//! LEAF: one for each agent and currency in which something has accrued, is payable, is
//! reserved or was paid; an agent with points and no money has one with three zero bytes as
//! currency; an agent with nothing has none. Numbers are big endian.
//!
//! ```text
//! tag        19 bytes, "subak/state-leaf@v1"
//! length      1 byte, of the handle
//! handle      1 to 32 bytes
//! currency    3 bytes, capital letters; or three zeros
//! accrued     8 bytes, signed, whole minor units, as are the next three
//! payable     8 bytes
//! reserved    8 bytes
//! paid        8 bytes
//! points      8 bytes, thousandths that count
//! ```
//!
//! TREE: that of RFC 6962 over SHA-256 (`log::tree`), leaves by handle and then currency, both
//! in the order of their bytes. The tree of a ledger's entries uses the same functions. Neither
//! can pass for the other: an entry's leaf begins with its version, 1, and a state's with the
//! `s` of its tag; and what a StateRoot states is never taken for a checkpoint's root, since
//! that stands in a note with an origin of its own.

use super::{
    equation::To,
    state::{Published, State, Step},
    types::{Currency, Fixed, Handle, Minor, Points, whole},
};
use crate::{
    log::{
        Frontier, Hash,
        tree::{self, leaf_hash},
    },
    reject::{Code, Outcome, Reject, require},
};

/// What a leaf begins with.
const TAG: &[u8] = b"subak/state-leaf@v1";
/// The currency of who has points and no money.
const NO_CURRENCY: [u8; 3] = [0; 3];

/// What one agent has in one currency: a leaf, read. Money in whole minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLeaf {
    /// Whose.
    pub agent: Handle,
    /// In which currency; none where there are points and no money.
    pub currency: Option<Currency>,
    /// Owed, reversals taken off, over all time.
    pub accrued: i64,
    /// The part of it whose own income is settled.
    pub payable: i64,
    /// In payout runs that are not decided.
    pub reserved: i64,
    /// Paid, fees included.
    pub paid: i64,
    /// Points that count, in thousandths; the same in each of the agent's leaves.
    pub points: Points,
}

/// One agent's leaf with its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Its number, from 0.
    pub index: u64,
    /// The RFC 6962 inclusion proof, from the leaf's sibling up.
    pub path: Vec<Hash>,
}

impl StateLeaf {
    /// The bytes that the tree commits to.
    pub fn to_bytes(&self) -> Vec<u8> {
        let handle = self.agent.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(TAG.len() + 1 + handle.len() + 3 + 5 * 8);
        bytes.extend_from_slice(TAG);
        bytes.push(u8::try_from(handle.len()).expect("a handle has at most 32 bytes"));
        bytes.extend_from_slice(handle);
        match &self.currency {
            Some(currency) => bytes.extend_from_slice(currency.as_str().as_bytes()),
            None => bytes.extend_from_slice(&NO_CURRENCY),
        }
        for minor in [self.accrued, self.payable, self.reserved, self.paid] {
            bytes.extend_from_slice(&minor.to_be_bytes());
        }
        bytes.extend_from_slice(&self.points.to_be_bytes());
        bytes
    }

    /// Reads what [`StateLeaf::to_bytes`] writes, nothing else (`bad-receipt`).
    pub fn from_bytes(bytes: &[u8]) -> Outcome<Self> {
        let read = Self::read(bytes).filter(|leaf| leaf.to_bytes() == bytes);
        read.ok_or_else(|| Reject::new(Code::BadReceipt, "state leaf: not in the published form"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(TAG)?.split_first()?;
        let (handle, rest) = rest.split_at_checked(usize::from(*length))?;
        let agent = Handle::new(std::str::from_utf8(handle).ok()?).ok()?;
        let (currency, rest) = rest.split_first_chunk::<3>()?;
        let currency = match *currency {
            NO_CURRENCY => None,
            letters => Some(Currency::new(std::str::from_utf8(&letters).ok()?).ok()?),
        };
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        let [accrued, payable, reserved, paid, points] = *numbers else { return None };
        let [accrued, payable, reserved, paid] =
            [accrued, payable, reserved, paid].map(i64::from_be_bytes);
        let points = u64::from_be_bytes(points);
        Some(Self { agent, currency, accrued, payable, reserved, paid, points })
    }

    fn has_money(&self) -> bool {
        (self.accrued, self.payable, self.reserved, self.paid) != (0, 0, 0, 0)
    }
}

/// The root over a state's leaves, and how many there are.
pub fn root(state: &State) -> (Hash, u64) {
    let mut tree = Frontier::default();
    visit(state, |leaf| {
        tree.push(leaf_hash(&leaf.to_bytes()));
    });
    (tree.root(), tree.size())
}

/// An agent's leaves in order of currency, each with its proof, under the root that
/// [`root`] gives; none where the agent has nothing.
pub fn prove(state: &State, agent: &Handle) -> Vec<Shown> {
    let mut found: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut tree = Frontier::default();
    let mut levels: Vec<Vec<Hash>> = vec![Vec::new()];
    visit(state, |leaf| {
        let bytes = leaf.to_bytes();
        let hash = leaf_hash(&bytes);
        if leaf.agent == *agent {
            found.push((bytes, tree.size()));
        }
        levels[0].push(hash);
        for (level, _, hash) in tree.push(hash) {
            let level = level as usize;
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            // Nodes of a level complete from left to right, so their index is their place.
            levels[level].push(hash);
        }
    });
    let place = |n: u64| usize::try_from(n).expect("the leaves are in memory");
    let read = |level: u32, index: u64| {
        Ok::<_, std::convert::Infallible>(levels[level as usize][place(index)])
    };
    let shown = found.into_iter().map(|(leaf, index)| {
        let Ok(path) = tree::prove_inclusion(index, tree.size(), read);
        Shown { leaf, index, path }
    });
    shown.collect()
}

impl State {
    /// StateRoot: true of the state as the entry before left it, or refused.
    pub(super) fn publish(&mut self, step: &Step<'_>, stated: (Hash, u64)) -> Outcome {
        let before = step.before.ok_or_else(|| {
            let why = "expected no other event in its statement, which is about the state before";
            Reject::new(Code::StateRootMisplaced, why)
        })?;
        let expected = root(before.state);
        require(stated == expected, Code::StateRootFalse, || {
            let show = |(root, leaves): (Hash, u64)| format!("{} over {leaves}", hex::encode(root));
            format!("expected {}, found {}", show(expected), show(stated))
        })?;
        let (entry, at, leaves, holds) = (step.entry, step.at, stated.1, before.still);
        self.published = Some(Published { entry, at, leaves, holds });
        Ok(())
    }
}

/// A part of what an agent has: one bucket's, or what was drawn.
#[derive(Clone, Copy, Default)]
struct Part {
    accrued: Fixed,
    /// Payable of its own fund and of the contributors': each is made whole by itself.
    own: Fixed,
    common: Fixed,
    reserved: Minor,
    paid: Minor,
}

impl Part {
    fn add(&mut self, other: &Self) {
        self.accrued += other.accrued;
        self.own += other.own;
        self.common += other.common;
        self.reserved += other.reserved;
        self.paid += other.paid;
    }
}

/// Every leaf in order. Buckets and drawings are read agent by agent, each in one pass, and
/// sorted by handle; no agent is looked up by itself.
fn visit(state: &State, mut to: impl FnMut(&StateLeaf)) {
    let points = points(state);
    let mut ranks = vec![0_u32; state.agents.len()];
    for (rank, id) in (0..).zip(state.handles.values()) {
        ranks[id.0 as usize] = rank;
    }
    let mut parts: Vec<(u32, Currency, Part)> = Vec::new();
    for bucket in state.buckets.values() {
        let own = matches!(bucket.def.to, To::Agent(_));
        for (currency, _) in bucket.pots() {
            bucket.everybody(currency, |agent, accrued, payable| {
                let (own, common) = if own { (payable, 0) } else { (0, payable) };
                let part = Part { accrued, own, common, ..Part::default() };
                parts.push((ranks[agent.0 as usize], currency, part));
            });
        }
    }
    for ((agent, currency), drawn) in &state.drawn {
        let reserved = drawn.reserved_own + drawn.reserved_common;
        let paid = drawn.paid_own + drawn.paid_common;
        let part = Part { reserved, paid, ..Part::default() };
        parts.push((ranks[agent.0 as usize], *currency, part));
    }
    parts.sort_unstable_by_key(|(rank, currency, _)| (*rank, *currency));
    let mut parts = parts.into_iter().peekable();
    for (rank, (handle, id)) in (0..).zip(&state.handles) {
        let points = points[id.0 as usize];
        let mut any = false;
        while let Some((_, currency, mut sum)) = parts.next_if(|(of, ..)| *of == rank) {
            while let Some((.., more)) = parts.next_if(|(of, c, _)| (*of, *c) == (rank, currency)) {
                sum.add(&more);
            }
            let leaf = leaf(handle, Some(currency), &sum, points);
            if leaf.has_money() {
                any = true;
                to(&leaf);
            }
        }
        if !any && points > 0 {
            to(&leaf(handle, None, &Part::default(), points));
        }
    }
}

/// The figures as [`State::balance`] shows them.
fn leaf(agent: &Handle, currency: Option<Currency>, sum: &Part, points: Points) -> StateLeaf {
    fn int(minor: impl TryInto<i64>) -> i64 {
        let fits = minor.try_into().ok();
        fits.expect("a ledger takes in 10^15 minor units of a currency at most (MAX_MONEY)")
    }
    StateLeaf {
        agent: agent.clone(),
        currency,
        accrued: int(whole(sum.accrued)),
        payable: int(whole(sum.own) + whole(sum.common)),
        reserved: int(sum.reserved),
        paid: int(sum.paid),
        points,
    }
}

/// As [`State::points`], of all agents at once, by number.
fn points(state: &State) -> Vec<Points> {
    let mut points = vec![0; state.agents.len()];
    for part in state.contributions.parts() {
        points[part.agent.0 as usize] += part.standing.as_ref().map_or(0, |s| s.counted);
    }
    points
}
