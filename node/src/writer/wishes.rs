//! State roots in the writer's queue: after a payout, and for whoever asks.
//!
//! Owns their place among what is pending. Guarantees that each is composed between two
//! statements, so that it cannot have become false, and that no answer rests on anything that
//! is not durable, as with orders. Leaves out the statement itself, and how often anybody may
//! ask (`publish`).

use super::{Order, Writer};
use crate::{NodeError, publish, sequencer::decode};
use std::collections::BTreeSet;
use subak_ledger::log::LedgerId;
use tokio::sync::oneshot;

/// A StateRoot, and who waits for its number.
pub(crate) struct Wish {
    pub(crate) ledger: LedgerId,
    pub(crate) answer: oneshot::Sender<Result<u64, NodeError>>,
}

impl Wish {
    /// As [`Order::answer`].
    fn answer(self, result: Result<u64, NodeError>) {
        drop(self.answer.send(result));
    }
}

/// A wish, and the entry that fulfils it or why none does.
type Wished = (Wish, Result<u64, NodeError>);

impl Writer {
    /// A run of payouts is followed by the state in which it was proposed, before anything
    /// else can be said of it. It stands without, too: then there is none.
    pub(super) fn after_payout(&mut self, order: &Order, now: u64) {
        if !order.verified.events.as_deref().is_ok_and(publish::proposes_payout) {
            return;
        }
        if let Err(error) = self.state_root(order.ledger, now) {
            tracing::warn!(%error, ledger = %order.ledger, "a payout without a state root");
        }
    }

    /// The clerk's StateRoot on top of what is pending: composed here, between two statements,
    /// it cannot have become false. The ledger is open.
    fn state_root(&mut self, ledger: LedgerId, now: u64) -> Result<u64, NodeError> {
        let open = self.open.get_mut(&ledger).expect("the caller has opened it");
        let ring = &self.shared.ring;
        let (statement, at) = publish::compose(ring, open.sequencer.pending(), now)?;
        Ok(open.sequencer.admit(&statement, &decode(&statement), at, now)?)
    }

    /// As [`Writer::state_root`], for whoever asks, and so not without end.
    fn wanted_root(&mut self, ledger: LedgerId, now: u64) -> Result<u64, NodeError> {
        self.ready(ledger)?;
        let pending = self.open[&ledger].sequencer.pending();
        if let Some(stated) = pending.stated() {
            return Ok(stated);
        }
        publish::require_due(pending, now)?;
        self.state_root(ledger, now)
    }

    pub(super) fn judge_wishes(&mut self, now: u64) -> Vec<Wished> {
        let wishes = std::mem::take(&mut self.wishes).into_iter();
        let judged = wishes.map(|wish| {
            let verdict = self.wanted_root(wish.ledger, now);
            (wish, verdict)
        });
        judged.collect()
    }

    /// After the transaction: as with orders, nothing rests on what is not durable and kept.
    pub(super) fn answer_wishes(
        &mut self,
        wished: Vec<Wished>,
        touched: &BTreeSet<LedgerId>,
        failed: Option<NodeError>,
    ) {
        for (wish, verdict) in wished {
            let lost = failed.clone().filter(|_| touched.contains(&wish.ledger));
            let kept = match (lost, self.open.get_mut(&wish.ledger)) {
                (Some(error), _) => Err(error),
                (None, Some(open)) => open.make_up(&self.shared),
                (None, None) => Ok(()),
            };
            wish.answer(kept.and(verdict));
        }
    }

    pub(super) fn refuse_wishes(&mut self, error: &NodeError) {
        for wish in std::mem::take(&mut self.wishes) {
            wish.answer(Err(error.clone()));
        }
    }
}
