//! Handing a ledger over to another operator's key.
//!
//! Owns the keys of a handover: makes those of whoever takes over, keeps them in the ring before
//! anything names them, and signs for an operator who gives up. Guarantees that what is composed
//! here is for the newest head of the copy that is here. Leaves out the rules
//! (`subak_ledger::book::handover`), whose consent is gathered where (the command line), and
//! the change of keys when it is recorded (`writer`).

use crate::{
    Ledgers as _, NodeError,
    keyfile::{self, KeyFileError},
    load,
    readers::off_executor,
    refusal::{KEY_MISSING, world},
    ring::{Ring, Use},
    runtime::Node,
    wire,
};
use subak_ledger::{
    book::{handover::handover_text, state::State},
    log::{Checkpoint, Hash, LedgerId, PublicKey, checkpoint::own_line},
    reject::{Code, Reject},
};
use subak_proto::v1;

impl Node {
    /// Makes an operator's and a clerk's key, keeps them in this node's ring, and composes the
    /// handover to them at the newest head that is here, valid until `expires_at` (ms). Nobody has
    /// consented to it yet.
    pub async fn offer_handover(
        &self,
        ledger: LedgerId,
        expires_at: u64,
    ) -> Result<v1::Handover, NodeError> {
        let (state, head, note) = self.newest(ledger).await?;
        let ring = self.ring();
        off_executor(move || Ok(offer(&ring, &state, head, note, expires_at)?)).await
    }

    /// The consent of the operator whose key is in this node's ring, to what was offered here.
    pub async fn consent(
        &self,
        ledger: LedgerId,
        offered: &v1::Handover,
    ) -> Result<v1::Consent, NodeError> {
        let (state, head, _) = self.newest(ledger).await?;
        let key = wire::hash(&offered.key, "key").map_err(|what| malformed(&what))?;
        let clerk = wire::hash(&offered.clerk, "clerk").map_err(|what| malformed(&what))?;
        let (ring, expires_at) = (self.ring(), offered.expires_at);
        off_executor(move || {
            let before = state.operator();
            let secret = ring.find(&before, Use::Operator)?.ok_or_else(|| missing(&before))?;
            let text = handover_text(&head, &before, (&key, &clerk), expires_at);
            Ok(v1::Consent { key: before.to_vec(), signature: secret.sign(&text).to_vec() })
        })
        .await
    }

    /// Takes back what [`Node::offer_handover`] has made: the keys of a handover that was refused.
    pub async fn withdraw_handover(&self, key: &Hash) -> Result<(), NodeError> {
        let (ring, key) = (self.ring(), *key);
        off_executor(move || Ok(ring.discard_successor(&key)?)).await
    }

    async fn newest(
        &self,
        ledger: LedgerId,
    ) -> Result<(std::sync::Arc<State>, Checkpoint, String), NodeError> {
        let note = self.own_checkpoint(ledger).await?;
        let state = self.book(ledger).await?;
        let head = state.signed_head(&note)?;
        let stored = self.read(move |reader| Ok(reader.head(&ledger.0)?.size)).await?;
        if stored > head.size && !self.operates(&state.operator())? {
            return Err(load::on_its_way(&ledger, head.size, stored));
        }
        if head.size == state.size {
            // Others' lines are not handed over.
            let operator = PublicKey::admit(&state.operator())?;
            let note = own_line(&note, &ledger, &operator).unwrap_or(note);
            return Ok((state, head, note));
        }
        let what = format!("ledger {ledger} has grown meanwhile");
        Err(world("head-moved", what, "try again while nothing else is appended"))
    }
}

fn offer(
    ring: &Ring,
    state: &State,
    head: Checkpoint,
    checkpoint: String,
    expires_at: u64,
) -> Result<v1::Handover, KeyFileError> {
    let (key, clerk) = (keyfile::generate()?, keyfile::generate()?);
    ring.keep(&clerk, Use::Clerk)?;
    ring.keep(&key, Use::Successor)?;
    let public = (&key.public().bytes(), &clerk.public().bytes());
    let text = handover_text(&head, &state.operator(), public, expires_at);
    Ok(v1::Handover {
        key: public.0.to_vec(),
        clerk: public.1.to_vec(),
        checkpoint,
        possession: key.sign(&text).to_vec(),
        consent: Vec::new(),
        expires_at,
    })
}

fn malformed(what: &str) -> NodeError {
    Reject::new(Code::Malformed, what.to_owned()).into()
}

fn missing(key: &Hash) -> NodeError {
    world(
        KEY_MISSING,
        format!("the operator's key {} is not here", hex::encode(key)),
        "run it where the key is; or let the stewards hand over without it: `subak operator offer`",
    )
}
