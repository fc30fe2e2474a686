//! What the writer shows to everybody else.
//!
//! Owns the newest durable snapshot of each ledger, and the newest head of each that may
//! leave. Guarantees that snapshots only ever grow, and that a head here is in its head file.
//! Leaves out where snapshots come from (`load`, `writer`).

use crate::{Mirror, fold::Folded, prepared::Prepared, readers::lock, relay::Board, ring::Ring};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};
use subak_ledger::log::LedgerId;
use tokio::sync::watch;

/// What a ledger looks like to readers: the newest durable snapshot.
pub(crate) struct Slot {
    /// Held while it is folded, so that it is folded once.
    pub(crate) loading: tokio::sync::Mutex<()>,
    pub(crate) published: watch::Sender<Option<Arc<Folded>>>,
}

impl Slot {
    pub(crate) fn get(&self) -> Option<Arc<Folded>> {
        self.published.borrow().clone()
    }

    /// Logs only grow: an older snapshot never takes the place of a newer one.
    pub(crate) fn publish(&self, folded: Folded) {
        self.published.send_if_modified(|current| {
            let newer = current.as_ref().is_none_or(|c| c.state.size < folded.state.size);
            if newer {
                *current = Some(Arc::new(folded));
            }
            newer
        });
    }
}

/// The snapshots by ledger.
#[derive(Default)]
pub(crate) struct Slots(Mutex<HashMap<LedgerId, Arc<Slot>>>);

impl Slots {
    pub(crate) fn find(&self, ledger: LedgerId) -> Option<Arc<Slot>> {
        lock(&self.0).get(&ledger).cloned()
    }

    /// All that were folded, in order of their ids.
    pub(crate) fn folded(&self) -> BTreeMap<LedgerId, Arc<Folded>> {
        lock(&self.0).iter().filter_map(|(id, slot)| Some((*id, slot.get()?))).collect()
    }

    /// Only for ledgers that exist: strangers' ids would fill the memory.
    pub(crate) fn make(&self, ledger: LedgerId) -> Arc<Slot> {
        let new = || {
            let loading = tokio::sync::Mutex::new(());
            Arc::new(Slot { loading, published: watch::Sender::new(None) })
        };
        lock(&self.0).entry(ledger).or_insert_with(new).clone()
    }
}

/// The newest signed head that is in its operator's head file, and so may leave.
#[derive(Clone)]
pub(crate) enum Kept {
    Head(String),
    /// The first could not be kept yet.
    Nothing,
}

/// What the writer and its node share.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) prepared: Prepared,
    pub(crate) allow_new_ledgers: bool,
    pub(crate) slots: Slots,
    /// Of ledgers that are written here.
    kept: Mutex<HashMap<LedgerId, Kept>>,
    /// Of ledgers that are copied here from elsewhere: how far that is.
    mirrors: Mutex<BTreeMap<LedgerId, Mirror>>,
    pub(crate) closing: watch::Sender<bool>,
    /// What waits to be relayed.
    pub(crate) board: Board,
}

impl Shared {
    pub(crate) fn new(ring: Ring, allow_new_ledgers: bool) -> Arc<Self> {
        let (slots, closing) = (Slots::default(), watch::Sender::new(false));
        let (prepared, kept, mirrors) = (Prepared::default(), Mutex::default(), Mutex::default());
        let board = Board::default();
        Arc::new(Self { ring, prepared, allow_new_ledgers, slots, kept, mirrors, closing, board })
    }

    /// What of a ledger that is written here may leave; nothing is said of others.
    pub(crate) fn kept(&self, ledger: LedgerId) -> Option<Kept> {
        lock(&self.kept).get(&ledger).cloned()
    }

    pub(crate) fn set_kept(&self, ledger: LedgerId, note: &str) {
        lock(&self.kept).insert(ledger, Kept::Head(note.to_owned()));
    }

    /// A head was signed and not kept: what was kept before is still the newest.
    pub(crate) fn set_unkept(&self, ledger: LedgerId) {
        lock(&self.kept).entry(ledger).or_insert(Kept::Nothing);
    }

    /// How far the copy of a ledger is, where it is one.
    pub(crate) fn mirror(&self, ledger: LedgerId) -> Option<Mirror> {
        lock(&self.mirrors).get(&ledger).cloned()
    }

    /// All copies, in order of their ids.
    pub(crate) fn mirrors(&self) -> BTreeMap<LedgerId, Mirror> {
        lock(&self.mirrors).clone()
    }

    /// A follower says how far its copy is; none: it is no copy any more.
    pub(crate) fn set_mirror(&self, ledger: LedgerId, mirror: Option<Mirror>) {
        match mirror {
            Some(mirror) => drop(lock(&self.mirrors).insert(ledger, mirror)),
            None => drop(lock(&self.mirrors).remove(&ledger)),
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
