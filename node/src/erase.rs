//! Whether an erasure binds what is kept here, and whether a text may be kept at all.
//!
//! Owns the refusals of erasures that rules cannot judge, because no rule reads a
//! disclosure. Guarantees that what an admitted entry erases was here, belonged to its author
//! (or that one is a steward), and is never taken in again. Leaves out the removal itself
//! (`store`), and what binds (`subak_ledger::book::erasure`).

use crate::{NodeError, refusal::Refusal};
use subak_ledger::{
    book::{event::Event, state::State},
    log::{Hash, LedgerId},
    reject::Outcome,
    store::{Disclosure, Reader},
};

/// The commitments that these events erase.
pub(crate) fn named(events: &Outcome<Vec<Event>>) -> Vec<Hash> {
    let events = events.as_deref().unwrap_or_default().iter();
    let named = events.filter_map(|event| match event {
        Event::Erase { commitments } => Some(commitments),
        _ => None,
    });
    named.flatten().copied().collect()
}

/// The disclosures of one ledger, as they will be once what is pending is stored.
pub(crate) struct Kept<'a> {
    pub(crate) store: &'a dyn Reader,
    pub(crate) ledger: LedgerId,
    /// To come,
    pub(crate) disclosures: &'a [Disclosure],
    /// and to go.
    pub(crate) erasures: &'a [Hash],
}

impl Kept<'_> {
    fn find(&self, commitment: &Hash) -> Result<Option<Disclosure>, NodeError> {
        if self.erasures.contains(commitment) {
            return Ok(None);
        }
        let pending = self.disclosures.iter().find(|d| d.commitment == *commitment);
        match pending {
            Some(found) => Ok(Some(found.clone())),
            None => Ok(self.store.disclosure(&self.ledger.0, commitment)?),
        }
    }

    /// Judges a statement that the rules admit, and that makes `next` the state: what it
    /// erases, and what it discloses.
    pub(crate) fn judge(
        &self,
        next: &State,
        erases: &[Hash],
        discloses: &[Disclosure],
    ) -> Result<(), NodeError> {
        for commitment in erases {
            let Some(d) = self.find(commitment)? else {
                return Err(Refusal::UnknownDisclosure(hex::encode(commitment)).into());
            };
            if next.erasure_of(commitment, &d.author, &d.field).is_none() {
                let (commitment, author) = (hex::encode(commitment), d.author);
                return Err(Refusal::EraseNotYours { commitment, author }.into());
            }
        }
        let erased =
            |d: &&Disclosure| next.erasure_of(&d.commitment, &d.author, &d.field).is_some();
        match discloses.iter().find(erased) {
            Some(d) => Err(Refusal::Erased(hex::encode(d.commitment)).into()),
            None => Ok(()),
        }
    }
}
