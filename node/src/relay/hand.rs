//! Carries a step of a plan out: proofs, and statements of the clerk.
//!
//! Guarantees that a proof is made under a head that is relied on, that a statement with several
//! proofs of which one is refused keeps away nobody else's, and that a step which waits says
//! for what. Leaves out when (`desk`), and whether (`plan`).

use super::{
    plan::{self, Step, Under},
    proofs::{self, Batch},
    run::Relay,
    status::Why,
};
use crate::{
    Append, Ledgers as _, NodeError, clock::Reading, publish, refusal::corrupt, runtime::Node,
};
use std::{collections::BTreeMap, sync::Arc};
use subak_ledger::{
    book::{state::State, types::Stage},
    log::{Hash, LedgerId, SecretKey},
};
use subak_proto::v1::{self, event::Kind};

/// AgreementStage events in one statement at most: far below what one may have.
const STAGES: usize = 500;

/// What came of a step.
pub(super) enum Outcome {
    /// Something was appended, or has been by somebody else.
    Moved,
    /// Its incomes go into a statement with others'; [`Hand::finish`] says what came of it.
    Gathered,
    /// What there is lies beyond the head that may be relied on: an obstacle of the plan says so.
    Nothing,
    /// It waits for this.
    Waits(Why),
}

/// Who appends to one ledger.
pub(super) struct Hand {
    relay: Arc<Relay>,
    own: LedgerId,
    /// Its key, and the public half.
    clerk: Option<(SecretKey, Hash)>,
    /// Incomes of this plan that are not appended yet.
    batch: Batch,
    /// Agreements of this plan under which an income was refused, or could not be appended.
    failed: BTreeMap<Hash, NodeError>,
}

impl Hand {
    pub(super) fn new(relay: Arc<Relay>, own: LedgerId) -> Self {
        Self { relay, own, clerk: None, batch: Batch::default(), failed: BTreeMap::new() }
    }

    fn node(&self) -> &Arc<Node> {
        &self.relay.node
    }

    /// Says in the own log how far agreements are.
    pub(super) async fn state_stages(&mut self, book: &Arc<State>) -> Result<(), NodeError> {
        if !book.is_open() {
            return Ok(());
        }
        let kind = |(agreement, stage): (Hash, Stage)| {
            let (agreement, stage) = (agreement.to_vec(), stage.to_wire());
            Kind::AgreementStage(v1::AgreementStage { agreement, stage })
        };
        let mut kinds: Vec<Kind> = plan::unstated(book).map(kind).collect();
        while !kinds.is_empty() {
            let rest = kinds.split_off(kinds.len().min(STAGES));
            self.say(std::mem::replace(&mut kinds, rest), 0).await?;
        }
        Ok(())
    }

    /// Carries out a step, of a plan for the other ledger's `book`.
    pub(super) async fn perform(
        &mut self,
        step: &Step,
        book: &Arc<State>,
    ) -> Result<Outcome, NodeError> {
        let (relay, ledger) = (self.relay.clone(), book.ledger);
        match step {
            Step::Handover { entry, under, .. } => {
                let proof = match relay.proof(book, *entry, *under).await? {
                    Ok(proof) => Some(proof),
                    Err(why) => return Ok(Outcome::Waits(why)),
                };
                let take = v1::HandoverTake { ledger: ledger.0.to_vec(), proof };
                self.say(vec![Kind::HandoverTake(take)], book.time).await
            }
            Step::Activate { agreement, entry, under } => {
                let proof = match relay.proof(book, *entry, *under).await? {
                    Ok(proof) => Some(proof),
                    Err(why) => return Ok(Outcome::Waits(why)),
                };
                let active = v1::AgreementActive { agreement: agreement.to_vec(), proof };
                self.say(vec![Kind::AgreementActive(active)], book.time).await
            }
            Step::Take { agreement, numbers, found, under } => {
                let log = (ledger, book.size);
                // What differs is shown: from there on nothing there belongs to what was taken here.
                let own = relay.node.book(self.own).await?;
                let taken = own.agreement(agreement)?;
                let entries = match proofs::second_story(&*relay.node, log, taken).await? {
                    Some(entry) if !relay.is_decided(book.ledger, entry, taken).await? => {
                        vec![entry]
                    }
                    // What the stewards have decided against is not shown again.
                    _ => proofs::sources(&*relay.node, log, agreement, numbers, found).await?,
                };
                self.gather(book, agreement, &entries, *under).await
            }
        }
    }

    /// Proves these entries, and appends whenever a statement is full.
    async fn gather(
        &mut self,
        book: &Arc<State>,
        agreement: &Hash,
        entries: &[u64],
        under: Under,
    ) -> Result<Outcome, NodeError> {
        let relay = self.relay.clone();
        let Some(first) = entries.first().copied() else {
            // The other book says that there are numbers, and its log does not have them.
            let what = format!("ledger {}: no entry holds the next number", book.ledger);
            return Err(corrupt(what, "run `subak audit` on it"));
        };
        if !under.holds(first) {
            return Ok(Outcome::Nothing);
        }
        let head = match relay.head_for(book, first, under).await? {
            Ok(head) => head,
            Err(why) => return Ok(Outcome::Waits(why)),
        };
        for entry in entries.iter().take_while(|entry| **entry < head.size) {
            if self.failed.contains_key(agreement) {
                break; // the next number would be refused as well
            }
            let proof = proofs::prove(&*relay.node, book.ledger, *entry, &head).await?;
            if let Some(events) = self.batch.push(agreement, proof) {
                self.take(events, book.time).await;
            }
        }
        Ok(Outcome::Gathered)
    }

    /// Appends what is left of a plan's incomes. Returns the agreements under which not all could
    /// be, with the reason.
    pub(super) async fn finish(&mut self, time: u64) -> BTreeMap<Hash, NodeError> {
        let rest = self.batch.take();
        self.take(rest, time).await;
        std::mem::take(&mut self.failed)
    }

    /// One statement; where it is refused, each event by itself, so that what one agreement is
    /// refused keeps no other's income away, nor that before it.
    async fn take(&mut self, events: Vec<Kind>, time: u64) {
        if events.is_empty() {
            return;
        }
        let Err(error) = self.say(events.clone(), time).await else { return };
        let alone = events.len() == 1 || !error.is_refusal();
        for event in events {
            let Kind::IncomeTake(take) = &event else { continue };
            let Ok(agreement) = Hash::try_from(&take.agreement[..]) else { continue };
            if self.failed.contains_key(&agreement) {
                continue;
            }
            let said = if alone { Err(error.clone()) } else { self.say(vec![event], time).await };
            if let Err(error) = said {
                self.failed.insert(agreement, error);
            }
        }
    }

    /// Appends one statement as the clerk. `time`: of the other ledger, for a sandbox.
    async fn say(&mut self, events: Vec<Kind>, time: u64) -> Result<Outcome, NodeError> {
        let node = self.node().clone();
        let book = node.book(self.own).await?;
        let key = self.clerk(&book).await?;
        let now = Reading::now().wall;
        // In a sandbox dates that are chosen later are still to come.
        let (envelope, at) = publish::say_as_clerk(key, &book, now, time, events)?;
        let append = Append { envelope: envelope.into(), at, ..Append::default() };
        node.append(append).await.map(|_| Outcome::Moved)
    }

    /// Whether the clerk's key is here.
    pub(super) async fn ready(&mut self, book: &State) -> Result<(), NodeError> {
        self.clerk(book).await.map(drop)
    }

    async fn clerk(&mut self, book: &State) -> Result<&SecretKey, NodeError> {
        let is_clerk = |(_, public): &(SecretKey, Hash)| {
            book.agents.iter().find(|agent| agent.clerk).is_some_and(|it| it.keys.contains(public))
        };
        if !self.clerk.as_ref().is_some_and(is_clerk) {
            let key = self.node().clerk(self.own).await?;
            self.clerk = key.map(|key| {
                let public = key.public().bytes();
                (key, public)
            });
        }
        let missing = || publish::no_clerk_key(&self.relay.node.ring(), self.own);
        self.clerk.as_ref().map(|(key, _)| key).ok_or_else(missing)
    }
}
