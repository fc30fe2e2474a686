//! The loop that relays: a task for each ledger whose clerk's key is here.
//!
//! Guarantees that whatever grows is looked at once, at once: from a new entry of another ledger
//! to the income's commit there is one plan and one append, and no timer; that what one agreement
//! is refused holds up no other, is logged once and tried again ever less often; and that a quiet
//! node does nothing but wait. The outbox is what the two books differ in (`plan`): a second
//! append of the same is refused by the rules, which then means that it is done. Leaves out how
//! other ledgers get here.
//!
//! ```text
//! another ledger has grown, or this one's agreements have changed
//!   ──> plan ──> proofs under the newest head that is relied on ──> append, as the clerk
//!         refused, done meanwhile by somebody else    plan again
//!         refused otherwise, or the world fails       status; again after 1 s, 2 s, ... 10 min
//!         no head that enough witnesses have signed   status; looked for again, 0.25 s to 8 s
//! ```

use super::{
    desk::Desk,
    plan::Under,
    proofs::{self, Head},
    status::{Waiting, Why},
};
use crate::{Ledgers as _, NodeError, runtime::Node};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use subak_ledger::{
    book::{agreement::Agreement, state::State},
    log::{LedgerId, cosignature::CosignerKey, note::Note, policy::Policy, tree::leaf_hash},
};
use subak_proto::v1;
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// How often new ledgers, and reasons to stop that have gone, are looked for.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// Why nothing is to be relayed from a ledger, if there is a reason.
type Stop = Box<dyn Fn(LedgerId) -> Option<String> + Send + Sync>;

/// Relays to a node's own ledgers what others in its store say.
pub struct Relay {
    pub(super) node: Arc<Node>,
    policy: Option<Policy>,
    pub(super) stop: Stop,
}

impl Relay {
    /// Relays under any head that an operator has signed.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, policy: None, stop: Box::new(|_| None) }
    }

    /// Relays only what lies under heads that enough witnesses of `policy` have signed, if it asks
    /// for any.
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Some(policy).filter(Policy::asks_for_witnesses), ..self }
    }

    /// Asks before each append whether there is a reason, such as a fraud proof, to relay nothing
    /// from a ledger. It must be quick: a look whether a file is there, and no more.
    pub fn stopped_by(
        self,
        reason: impl Fn(LedgerId) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { stop: Box::new(reason), ..self }
    }

    /// What waits, as of the last look at each.
    pub fn status(&self) -> Vec<Waiting> {
        self.node.waiting()
    }

    /// Relays until the node closes.
    pub async fn run(self: Arc<Self>) {
        let (here, _) = watch::channel(BTreeSet::new());
        let (mut kept, mut tasks) = (BTreeSet::new(), JoinSet::new());
        let (mut closing, mut opened) = (self.node.closing(), self.node.opened());
        loop {
            let ledgers = self.node.ledgers().await.unwrap_or_default();
            let all: BTreeSet<LedgerId> = ledgers.iter().map(|ledger| ledger.id).collect();
            here.send_if_modified(|before| {
                let new = *before != all;
                before.clone_from(&all);
                new
            });
            for own in all {
                // The key may come later: with a handover.
                if !kept.contains(&own) && self.node.speaks_for(own).await {
                    kept.insert(own);
                    let desk = Desk::new(self.clone(), own, here.subscribe());
                    tasks.spawn(desk.work());
                }
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                // Also by this look itself: then the next one finds nothing new.
                _ = opened.changed() => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    /// The newest head of a ledger that is relied on; else whose lines are not here.
    async fn head(&self, book: &State) -> Result<Result<Head, Vec<String>>, NodeError> {
        let newest = self.node.checkpoint(book.ledger).await?;
        let Some(policy) = &self.policy else {
            return Ok(Ok(Head { size: book.signed_head(&newest)?.size, note: newest }));
        };
        let seen = self.node.witnessed(book.ledger).await?;
        match seen.filter(|note| policy.witnessed(note).is_ok()) {
            Some(note) => Ok(Ok(Head { size: book.signed_head(&note)?.size, note })),
            None => Ok(Err(self.lacking(&newest))),
        }
    }

    /// A proof of an entry of a ledger; else for what it waits.
    pub(super) async fn proof(
        &self,
        book: &State,
        entry: u64,
        under: Under,
    ) -> Result<Result<v1::Proof, Why>, NodeError> {
        match self.head_for(book, entry, under).await? {
            Ok(head) => proofs::prove(&*self.node, book.ledger, entry, &head).await.map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Whether the stewards have decided against what this entry says.
    pub(super) async fn is_decided(
        &self,
        ledger: LedgerId,
        entry: u64,
        agreement: &Agreement,
    ) -> Result<bool, NodeError> {
        let there = self.node.entries(ledger, entry, 1).await?;
        Ok(there.first().is_some_and(|raw| agreement.refused.contains_key(&leaf_hash(&raw.leaf))))
    }

    /// A head that holds an entry; else whom it waits for.
    pub(super) async fn head_for(
        &self,
        book: &State,
        entry: u64,
        under: Under,
    ) -> Result<Result<Head, Why>, NodeError> {
        let witnesses = match (self.head(book).await?, under) {
            (Ok(head), Under::Newest) if entry < head.size => return Ok(Ok(head)),
            // Of one log: the newest that is relied on includes the smaller one.
            (Ok(head), Under::Before(size)) if entry < head.size => {
                let handover = proofs::handover_at(&*self.node, book.ledger, size).await?;
                return Ok(Ok(Head { size, note: handover.checkpoint }));
            }
            (Ok(_), _) => self.lacking(&self.node.checkpoint(book.ledger).await?),
            (Err(witnesses), _) => witnesses,
        };
        let entries = entry..book.size.max(entry + 1);
        Ok(Err(Why::Unwitnessed { entries, witnesses }))
    }

    /// Witnesses whose lines are not under a note.
    fn lacking(&self, note: &str) -> Vec<String> {
        let witnesses = self.policy.iter().flat_map(Policy::witnesses);
        let note = Note::parse(note).ok();
        let lacks =
            |key: &CosignerKey| note.as_ref().is_none_or(|note| key.cosigned(note).is_none());
        witnesses.filter(|w| lacks(&w.key)).map(|w| w.name.clone()).collect()
    }
}
