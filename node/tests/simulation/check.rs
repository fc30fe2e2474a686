//! What must hold, after each step and when all is quiet.
//!
//! Owns the simulator's own record of what every operator has made durable, shown and acknowledged,
//! gathered from the disks and from what leaves the nodes, never from what a node says of itself.

use super::{found::Deal, node::Node};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::{
    book::event::Event,
    log::{Frontier, Hash, LedgerId, Unverified, checkpoint::claimed_size, tree::leaf_hash},
    store::{Head, MemoryStore, Reader as _, StoredEntry},
};
use subak_proto::v1::{self, event::Kind};

/// A rule of the simulation that does not hold, in words.
pub type Broken = String;
pub type Verdict = Result<(), Broken>;

pub fn holds(condition: bool, what: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(what()) }
}

/// A numbered effect as its payer's log states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    pub agreement: Hash,
    pub number: u64,
    /// The envelope that states it.
    pub source: Hash,
    /// Minor units; a reversal takes back.
    pub amount: i128,
}

/// A due as it stands in a statement.
pub struct Stated {
    pub agreement: Hash,
    pub number: u64,
    amount: i128,
}

/// All that one operator has made durable.
#[derive(Debug, Clone, Default)]
pub struct Log {
    chain: Vec<Hash>,
    digests: Vec<Hash>,
    /// Root of the first so many entries, from none.
    roots: Vec<Hash>,
    frontier: Frontier,
    /// Of this history, by agreement, in order.
    pub effects: BTreeMap<Hash, Vec<Effect>>,
    /// Of all histories: what each number came from.
    stories: BTreeMap<(Hash, u64), BTreeSet<Hash>>,
    /// Heads of all histories.
    heads: BTreeSet<(u64, Hash)>,
    /// Sizes that were shown under a signature.
    shown: BTreeSet<u64>,
    /// (entry, digest of the statement) that were acknowledged.
    acks: Vec<(u64, Hash)>,
    /// Whether more than one history was ever durable.
    pub parted: bool,
}

impl Log {
    /// The dues in an envelope.
    pub fn dues(envelope: &[u8]) -> Vec<Stated> {
        let Ok(statement) = Unverified::parse(envelope).and_then(Unverified::trust_stored) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for bytes in statement.events() {
            let Ok(wire) = v1::Event::decode(&bytes[..]) else { continue };
            if !Event::may_state_dues(&wire) {
                continue;
            }
            let (due, sign) = match wire.kind {
                Some(Kind::RevenueRecord(r)) => (r.due, 1),
                Some(Kind::PayoutPaid(p)) => (p.due, 1),
                Some(Kind::RevenueReverse(r)) => (r.due, -1),
                Some(Kind::PayoutReturned(p)) => (p.due, -1),
                _ => continue,
            };
            all.extend(due.into_iter().map(|due| Stated {
                agreement: due.agreement.try_into().unwrap(),
                number: due.number,
                amount: sign * i128::from(due.amount),
            }));
        }
        all
    }

    pub fn len(&self) -> u64 {
        self.chain.len() as u64
    }

    fn push(&mut self, entry: &StoredEntry) {
        if self.roots.is_empty() {
            self.roots.push(self.frontier.root());
        }
        let source: Hash = blake3::hash(&entry.envelope).into();
        self.chain.push(entry.chain);
        self.digests.push(source);
        self.frontier.push(leaf_hash(&entry.leaf));
        self.roots.push(self.frontier.root());
        self.heads.insert((self.len(), entry.chain));
        for Stated { agreement, number, amount } in Self::dues(&entry.envelope) {
            self.stories.entry((agreement, number)).or_default().insert(source);
            let effect = Effect { agreement, number, source, amount };
            self.effects.entry(agreement).or_default().push(effect);
        }
    }

    /// Reads on in what is durable. An old copy is a prefix, and changes nothing here. Whoever is
    /// `bound` has one history.
    pub fn sync(&mut self, node: &Node, ledger: LedgerId, bound: bool) -> Verdict {
        self.read(&node.disk.store, ledger, bound)
    }

    /// As [`Log::sync`], of a store.
    pub fn read(&mut self, store: &MemoryStore, ledger: LedgerId, bound: bool) -> Verdict {
        let head = store.head(&ledger.0).map_err(|e| e.to_string())?;
        let common = head.size.min(self.len());
        if common > 0 {
            let last = store.entries(&ledger.0, common - 1, 1, 0).map_err(|e| e.to_string())?;
            let same = last.first().is_some_and(|e| e.chain == self.chain[index(common - 1)]);
            if !same {
                self.part(store, ledger, bound)?;
            }
        }
        if head.size > self.len() {
            let rest = store.entries(&ledger.0, self.len(), usize::MAX, usize::MAX);
            rest.map_err(|e| e.to_string())?.iter().for_each(|entry| self.push(entry));
        }
        Ok(())
    }

    /// Notes another history that the operator tells.
    pub fn learn(&mut self, store: &MemoryStore, ledger: LedgerId) {
        for entry in store.entries(&ledger.0, 0, usize::MAX, usize::MAX).unwrap() {
            let source: Hash = blake3::hash(&entry.envelope).into();
            self.heads.insert((entry.seq + 1, entry.chain));
            for due in Self::dues(&entry.envelope) {
                self.stories.entry((due.agreement, due.number)).or_default().insert(source);
            }
        }
        self.parted = true;
    }

    /// Another history is durable than before. Of an honest operator that is so where an old copy
    /// was put back and nothing that is not in it was ever shown: then it never was.
    fn part(&mut self, store: &MemoryStore, ledger: LedgerId, bound: bool) -> Verdict {
        let all = store.entries(&ledger.0, 0, usize::MAX, usize::MAX).map_err(|e| e.to_string())?;
        let same = all.iter().zip(&self.chain).take_while(|(e, chain)| e.chain == **chain);
        let (same, shown) = (same.count() as u64, self.shown.last().copied().unwrap_or(0));
        holds(!bound || shown <= same, || {
            format!("two histories, apart at entry {same}: of the one, {shown} were shown")
        })?;
        let was = std::mem::take(self);
        (self.acks, self.shown) = (was.acks, was.shown);
        if !bound {
            (self.stories, self.heads, self.parted) = (was.stories, was.heads, true);
        }
        Ok(())
    }

    /// A head leaves the node. It must be that of a durable history, and be in the head file.
    pub fn show(&mut self, note: &str, kept: Option<&str>) -> Verdict {
        let size = claimed_size(note).ok_or("a head without a size")?;
        let root = note.lines().nth(2).unwrap_or_default();
        let own = self.roots.get(index(size)).map(|root| BASE64_STANDARD.encode(root));
        holds(own.as_deref() == Some(root), || {
            format!("a head of {size} entries leaves under root {root}, durable is {own:?}")
        })?;
        let synced = kept.and_then(claimed_size).unwrap_or(0);
        holds(size <= synced, || {
            format!("a head of {size} entries leaves, the head file has {synced}")
        })?;
        self.shown.insert(size);
        Ok(())
    }

    /// An acknowledgement leaves the node.
    pub fn acknowledge(&mut self, entry: u64, envelope: &[u8]) {
        self.acks.push((entry, blake3::hash(envelope).into()));
    }

    /// Nothing acknowledged is missing in what is durable.
    pub fn keeps_its_word(&self, stored: Head) -> Verdict {
        for (entry, digest) in &self.acks {
            let found = self.digests.get(index(*entry)).filter(|_| *entry < stored.size);
            holds(found == Some(digest), || format!("acknowledged entry {entry} is missing"))?;
        }
        Ok(())
    }

    /// Whether a copy is a prefix of something that this operator has made durable.
    pub fn has(&self, head: Head) -> bool {
        head.size == 0 || self.heads.contains(&(head.size, head.chain))
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("a small log")
}

/// What is due is taken once or still beyond the cursor, and nothing else is taken.
pub fn exactly_once(deal: &Deal, payer: &Log, own: &Node, commons: &Node) -> Verdict {
    let state = &commons.last.state;
    let Some(agreement) = state.agreements.get(&deal.digest) else {
        return Err("the commons has lost an agreement".into());
    };
    let none = Vec::new();
    let effects = payer.effects.get(&deal.digest).unwrap_or(&none);
    for (n, effect) in (1..).zip(effects) {
        holds(effect.number == n, || format!("number {} in place of {n}", effect.number))?;
    }
    // What the payer's book says of itself is what its log states, where it is read to the end.
    if payer.chain.last() == Some(&own.last.chain()) {
        let items = own.last.state.agreements[&deal.digest].dues.items.values();
        let booked = items.map(|item| i128::from(item.due) - i128::from(item.due_reversed));
        let (booked, stated) = (booked.sum::<i128>(), effects.iter().map(|e| e.amount).sum());
        holds(booked == stated, || format!("the payer's book has {booked} due, its log {stated}"))?;
    }
    let last = agreement.dues.last;
    for number in 1..=last {
        let from = agreement.sources.get(&number);
        let told = payer.stories.get(&(deal.digest, number));
        holds(from.zip(told).is_some_and(|(from, told)| told.contains(&from.envelope)), || {
            format!("number {number} was taken from what its payer never recorded, or skipped")
        })?;
    }
    let mut incomes: BTreeMap<u64, i128> = BTreeMap::new();
    for income in &state.incomes {
        let Some((_, number)) = income.source.filter(|(digest, _)| *digest == deal.digest) else {
            continue;
        };
        let net = i128::from(income.amount) - i128::from(income.refunded);
        holds(incomes.insert(number, net).is_none(), || {
            format!("number {number} is income twice")
        })?;
    }
    if payer.parted {
        return Ok(()); // which of two stories the sum is of, nobody can say
    }
    let (taken, beyond): (Vec<&Effect>, Vec<&Effect>) =
        effects.iter().partition(|effect| effect.number <= last);
    holds(taken.len() as u64 == last, || {
        format!("{last} numbers are taken, of {} that were given out", effects.len())
    })?;
    let sum = |of: &[&Effect]| of.iter().map(|effect| effect.amount).sum::<i128>();
    let (due, here) = (sum(&taken) + sum(&beyond), incomes.values().sum::<i128>());
    holds(due == here + sum(&beyond), || {
        format!("due {due}, taken {here}, beyond the cursor {}", sum(&beyond))
    })?;
    let shares = taken.iter().filter(|effect| agreement.dues.items.contains_key(&effect.number));
    for effect in shares {
        let item = &agreement.dues.items[&effect.number];
        holds(i128::from(item.due) == effect.amount, || {
            format!("number {}: due {}, taken {}", effect.number, effect.amount, item.due)
        })?;
    }
    Ok(())
}

/// The sums within a ledger, and that its state is that of its store.
pub fn ledger(node: &Node, id: LedgerId) -> Verdict {
    let wrong = node.last.state.check();
    holds(wrong.is_empty(), || wrong.join("; "))?;
    let open = node.process.as_ref().and_then(|process| process.open.as_ref());
    let Some(open) = open else { return Ok(()) };
    let (stored, folded) = (node.disk.store.head(&id.0).unwrap(), open.sequencer.head());
    holds(stored == folded, || format!("stored is {stored}, folded {folded}"))
}

/// Chain, tree and state are those of the entries, read again from the store. Where a write has
/// failed and nobody has written since, it may be there all the same, one more than readers know.
pub fn replays(node: &Node, id: LedgerId, base: &subak_node::fold::Folded) -> Verdict {
    let again = subak_node::load::extend(&node.disk.store, id, base.clone());
    let again = again.map_err(|error| format!("replay: {error}"))?;
    let (a, b) = (&again.state, &node.last.state);
    let idle = node.process.as_ref().is_some_and(|process| process.open.is_none());
    if idle && a.size > b.size {
        let before = usize::try_from(b.size - 1).unwrap();
        let same = a.chain.get(before) == b.chain.last();
        return holds(same, || "replay: readers know another history".into());
    }
    holds(again.head() == node.last.head(), || "replay: another head".into())?;
    holds(again.tree.root() == node.last.tree.root(), || "replay: another tree".into())?;
    holds(a.accounts.iter().eq(b.accounts.iter()), || "replay: other balances".into())?;
    let root = subak_ledger::book::state_root::root;
    holds(root(a) == root(b), || "replay: another state".into())?;
    let text = |state: &subak_ledger::book::state::State| {
        format!("{:?}{:?}{:?}", state.agreements, state.incomes, state.runs)
    };
    holds(text(a) == text(b), || "replay: other agreements, incomes or runs".into())
}
