//! Carries a step of a plan out: proofs, and statements of the clerk.
//!
//! Guarantees that a proof is made under a head that is relied on, that a statement with several
//! proofs of which one is refused does not keep those before it, and that a step which waits says
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
use std::sync::Arc;
use subak_ledger::{
    book::state::State,
    log::{Hash, LedgerId, SecretKey},
};
use subak_proto::v1::{self, event::Kind};

/// AgreementStage events in one statement at most: far below what one may have.
const STAGES: usize = 500;

/// What came of a step.
pub(super) enum Outcome {
    /// Something was appended, or has been by somebody else.
    Moved,
    /// It waits for this.
    Waits(Why),
}

/// Who appends to one ledger.
pub(super) struct Hand {
    relay: Arc<Relay>,
    own: LedgerId,
    clerk: Option<SecretKey>,
}

impl Hand {
    pub(super) fn new(relay: Arc<Relay>, own: LedgerId) -> Self {
        Self { relay, own, clerk: None }
    }

    fn node(&self) -> &Arc<Node> {
        &self.relay.node
    }

    /// Says in the own log how far agreements are.
    pub(super) async fn state_stages(&mut self, book: &Arc<State>) -> Result<(), NodeError> {
        if !book.is_open() {
            return Ok(());
        }
        let kind = |step| match step {
            plan::Step::State { agreement, stage } => {
                let agreement = agreement.to_vec();
                Some(Kind::AgreementStage(v1::AgreementStage { agreement, stage: stage.to_wire() }))
            }
            _ => None,
        };
        let mut kinds: Vec<Kind> = plan::unstated(book).filter_map(kind).collect();
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
            // Said before: it needs no other ledger.
            Step::State { .. } => Ok(Outcome::Moved),
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
                let entries = proofs::sources(&*relay.node, log, agreement, numbers, found).await?;
                self.take(book, agreement, &entries, *under).await
            }
        }
    }

    /// Appends the incomes of these entries.
    async fn take(
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
        let head = match relay.head_for(book, first, under).await? {
            Ok(head) => head,
            Err(why) => return Ok(Outcome::Waits(why)),
        };
        let mut batch = Batch::default();
        for entry in entries.iter().take_while(|entry| **entry < head.size) {
            let proof = proofs::prove(&*relay.node, book.ledger, *entry, &head).await?;
            if let Some(events) = batch.push(agreement, proof) {
                self.say_in_turn(events, book.time).await?;
            }
        }
        self.say_in_turn(batch.take(), book.time).await
    }

    /// One statement; where it is refused, each event by itself, up to the one that is.
    async fn say_in_turn(&mut self, events: Vec<Kind>, time: u64) -> Result<Outcome, NodeError> {
        let several = events.len() > 1;
        match self.say(events.clone(), time).await {
            Err(error) if several && error.is_refusal() => {
                for event in events {
                    self.say(vec![event], time).await?;
                }
                Ok(Outcome::Moved)
            }
            said => said,
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
        let is_clerk = |key: &SecretKey| {
            let public = key.public().bytes();
            book.agents.iter().any(|agent| agent.clerk && agent.keys.contains(&public))
        };
        if !self.clerk.as_ref().is_some_and(is_clerk) {
            self.clerk = self.node().clerk(self.own).await?;
        }
        let missing = || publish::no_clerk_key(&self.relay.node.ring(), self.own);
        self.clerk.as_ref().ok_or_else(missing)
    }
}
