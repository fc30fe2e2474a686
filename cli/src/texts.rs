//! Texts that enter a ledger as commitments only.

use crate::{context::random, failure::Done};
use subak_ledger::{
    log::{Handle, Hash, LedgerId, commit},
    store::Disclosure,
};

/// Texts that go beside a statement, collected while it is composed.
#[derive(Default)]
pub struct Texts {
    disclosures: Vec<(String, Vec<u8>, Hash)>,
}

/// The tag of the command line's commitments.
const TAG: &str = "text";

impl Texts {
    /// Commits to a text under a field; returns the 32 bytes for the event.
    pub fn commit(
        &mut self,
        ledger: &LedgerId,
        author: &Handle,
        field: &str,
        text: &str,
    ) -> Done<Vec<u8>> {
        let salt: Hash = random()?;
        let hash = commit::commitment(&salt, TAG, ledger, author, field, text.as_bytes());
        self.disclosures.push((field.into(), text.as_bytes().to_vec(), salt));
        Ok(hash.to_vec())
    }

    /// As they are kept beside the log.
    pub(crate) fn disclosures(self, ledger: &LedgerId, author: &Handle) -> Vec<Disclosure> {
        let one = |(field, bytes, salt): (String, Vec<u8>, Hash)| {
            let tag = TAG.to_owned();
            let d = commit::Disclosure { salt, tag, author: author.clone(), field, bytes };
            Disclosure {
                commitment: d.commitment(ledger),
                salt,
                tag: d.tag,
                author: d.author.to_string(),
                field: d.field,
                bytes: d.bytes,
            }
        };
        self.disclosures.into_iter().map(one).collect()
    }
}
