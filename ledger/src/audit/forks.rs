//! A fork against the ledger that it cites.
//!
//! Owns that comparison, over any number of stores. Guarantees that what a fork copies is worked
//! out again from the parent's own entries, and compared by the digest that its genesis commits to,
//! which covers every byte; that the head which it cites is the parent's, and was signed by who
//! was its operator then; and that a fork of a fork is compared with its own parent, and so on.
//! Leaves out whether either log holds: each is audited by itself, with signatures.

use super::finding::{Code, Finding, Findings};
use crate::{
    book::{
        accounts::Posting,
        event::{Event, Parent},
        fork::{copy, digest_of},
        state::State,
    },
    log::{Frontier, Hash, Leaf, LedgerId, Unverified, checkpoint::claimed_size, tree::leaf_hash},
    store::{Kind, Reader, StoreError, StoredEntry},
};
use std::sync::Arc;

/// Entries read at a time, and their bytes.
const PAGE: usize = 1_000;
const MOST_BYTES: usize = 1 << 23;

/// In which of the stores the fork is.
pub type Citing = usize;

/// What is wrong with the forks among all ledgers of these stores, or could not be judged.
pub fn forks(stores: &[&dyn Reader]) -> Result<Vec<(Citing, Finding)>, StoreError> {
    let mut found = Vec::new();
    for (place, store) in stores.iter().enumerate() {
        for row in readable(store.ledgers())?.unwrap_or_default() {
            let Some(parent) = cited(*store, &row.id)? else { continue };
            let mut findings = Findings::new(Some(LedgerId(row.id)));
            judge(stores, &parent, &mut findings)?;
            found.extend(findings.close().into_iter().map(|finding| (place, finding)));
        }
    }
    Ok(found)
}

/// What a ledger cites as its parent, if its genesis can be read and does.
fn cited(store: &dyn Reader, ledger: &Hash) -> Result<Option<Arc<Parent>>, StoreError> {
    let first = readable(store.entries(ledger, 0, 1, MOST_BYTES))?.unwrap_or_default();
    let Some(entry) = first.into_iter().next().filter(|entry| entry.seq == 0) else {
        return Ok(None);
    };
    let statement = Unverified::parse(&entry.envelope).and_then(Unverified::trust_stored);
    let event =
        statement.ok().and_then(|statement| Event::decode(statement.events().first()?).ok());
    let Some(Event::Genesis(genesis)) = event else { return Ok(None) };
    Ok(genesis.parent)
}

fn judge(
    stores: &[&dyn Reader],
    parent: &Parent,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let id = LedgerId(parent.ledger);
    let mut copies: Vec<(u64, &dyn Reader)> = Vec::new();
    for store in stores {
        let listed = readable(store.ledgers())?.unwrap_or_default();
        if listed.iter().any(|row| row.id == parent.ledger) {
            let size = readable(store.head(&parent.ledger))?.map_or(0, |head| head.size);
            copies.push((size, *store));
        }
    }
    copies.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    // A copy that its operator has not signed, or that ends too soon, says nothing; of those that do
    // say something, one that has what is cited is enough.
    let (mut against, mut why) = (None, format!("ledger {id}"));
    for (size, store) in copies {
        match compare(store, size, parent)? {
            Ok(found) if found.is_empty() => return Ok(()),
            Ok(found) => drop(against.get_or_insert(found)),
            Err(reason) => why = format!("ledger {id}: {reason}"),
        }
    }
    match against {
        Some(found) => found.iter().for_each(|(code, what)| findings.add(*code, Some(0), what)),
        None => findings.add(Code::ParentMissing, Some(0), &why),
    }
    Ok(())
}

/// What one copy of the parent has against what is cited; or why it says nothing.
fn compare(
    store: &dyn Reader,
    size: u64,
    parent: &Parent,
) -> Result<Result<Vec<(Code, String)>, String>, StoreError> {
    let mut found = Vec::new();
    // Who signs the head that proves it is a question of that one's size.
    let signed = claimed_size(&parent.checkpoint).unwrap_or(parent.size).max(parent.size);
    if size < signed {
        return Ok(Err(format!("expected {signed} entries, found {size}")));
    }
    let mut log = Folding::new(store, parent.ledger);
    if let Err(why) = log.to(parent.size)? {
        return Ok(Err(why));
    }
    let of = parent.size;
    let mut differ = |code, what: &str, here: Hash, cited: Hash| {
        if here != cited {
            let (here, cited) = (hex::encode(here), hex::encode(cited));
            found.push((code, format!("{what}: expected {here}, cited {cited}")));
        }
    };
    differ(Code::ForkParent, &format!("root of {of} entries"), log.tree.root(), parent.root);
    // Another log gives another copy: that is told already.
    if log.tree.root() == parent.root {
        let copied = digest_of(&copy(&log.state)[0]);
        differ(Code::ForkCopied, &format!("copy of {of} entries"), copied, parent.copy);
    }
    if let Err(why) = log.to(signed)? {
        return Ok(Err(why));
    }
    let operator = log.state.operator_of(signed);
    differ(Code::ForkParent, &format!("operator of {signed} entries"), operator, parent.operator);
    if log.state.operator_of(of) == parent.operator
        && let Ok(head) = log.state.signed_head(&parent.checkpoint)
        && signed > of
    {
        differ(Code::ForkParent, &format!("root of {signed} entries"), log.tree.root(), head.root);
    }
    // What nobody has signed for accuses nobody.
    let note = readable(store.checkpoint(&parent.ledger))?.flatten().unwrap_or_default();
    let own = claimed_size(&note).unwrap_or_default();
    if own < log.state.size {
        return Ok(Err("its signed head is older than what is cited".into()));
    }
    if let Err(why) = log.to(own)? {
        return Ok(Err(why));
    }
    let holds = log.state.signed_head(&note).is_ok_and(|head| head.root == log.tree.root());
    Ok(if holds { Ok(found) } else { Err("its operator has not signed this copy".into()) })
}

/// A log, folded from its beginning.
struct Folding<'s> {
    store: &'s dyn Reader,
    ledger: Hash,
    state: State,
    journal: Vec<Posting>,
    tree: Frontier,
}

impl<'s> Folding<'s> {
    fn new(store: &'s dyn Reader, ledger: Hash) -> Self {
        let (state, tree) = (State::default(), Frontier::default());
        Self { store, ledger, state, journal: Vec::new(), tree }
    }

    /// Up to so many entries; or why not.
    fn to(&mut self, size: u64) -> Result<Result<(), String>, StoreError> {
        while self.state.size < size {
            let limit = PAGE.min(usize::try_from(size - self.state.size).unwrap_or(PAGE));
            let page = self.store.entries(&self.ledger, self.state.size, limit, MOST_BYTES);
            let page = readable(page)?.unwrap_or_default();
            if page.is_empty() {
                return Ok(Err(format!("entry {} is missing", self.state.size)));
            }
            for entry in page {
                if let Err(why) = push(&mut self.state, &mut self.journal, &entry) {
                    return Ok(Err(format!("entry {}: {why}", entry.seq)));
                }
                self.tree.push(leaf_hash(&entry.leaf));
            }
        }
        Ok(Ok(()))
    }
}

fn push(state: &mut State, journal: &mut Vec<Posting>, entry: &StoredEntry) -> Result<(), String> {
    if entry.seq != state.size {
        return Err(format!("expected entry {}", state.size));
    }
    journal.clear();
    let leaf = Leaf::from_bytes(&entry.leaf).map_err(|refused| refused.to_string())?;
    let statement = Unverified::parse(&entry.envelope).and_then(Unverified::trust_stored);
    let statement = statement.map_err(|refused| refused.to_string())?;
    let said = state.replay_statement(&statement, leaf.recorded_at, journal);
    said.map_err(|refused| refused.to_string())?;
    state.seal(leaf.chain_hash());
    Ok(())
}

/// Damage is found, with its place, by the audit of the store itself.
fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::Fault => Ok(None),
        Err(error) => Err(error),
    }
}
