//! Commitments and disclosures: how personal data and prose stay out of the log.
//!
//! Owns the commitment's form. Guarantees that a commitment binds its bytes to one
//! purpose, ledger, author and field, and that without the salt it says nothing about
//! them. Leaves out where disclosures are kept and erased (`store`), and whose absence
//! means what (`audit`).

use super::{Handle, Hash, LedgerId};
use std::fmt;

/// `BLAKE3 keyed_hash(salt, …)` over tag, ledger, author, field and bytes, each preceded
/// by its length (u64, big endian), so that no two lists of parts give one string.
///
/// `tag` is the event's purpose, `field` the field's name. In a genesis the ledger is
/// [`LedgerId::ZERO`], as its id is not known yet.
pub fn commitment(
    salt: &[u8; 32],
    tag: &str,
    ledger: &LedgerId,
    author: &Handle,
    field: &str,
    bytes: &[u8],
) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    let parts = [tag.as_bytes(), &ledger.0, author.as_str().as_bytes(), field.as_bytes(), bytes];
    for part in parts {
        let length = u64::try_from(part.len()).expect("memory is smaller than 2^64 bytes");
        hasher.update(&length.to_be_bytes()).update(part);
    }
    hasher.finalize().into()
}

/// What opens a commitment: kept beside the log, and erasable. It may hold personal
/// data, so its `Debug` shows neither salt nor bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// 32 random bytes; with them erased, the text cannot be guessed and tried.
    pub salt: [u8; 32],
    /// The purpose that the commitment was made for.
    pub tag: String,
    /// Who made it.
    pub author: Handle,
    /// The name of the field that holds the commitment.
    pub field: String,
    /// What was committed to.
    pub bytes: Vec<u8>,
}

impl Disclosure {
    /// The commitment that this disclosure opens in `ledger`.
    pub fn commitment(&self, ledger: &LedgerId) -> Hash {
        commitment(&self.salt, &self.tag, ledger, &self.author, &self.field, &self.bytes)
    }
}

impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, author, field, bytes, .. } = self;
        write!(f, "Disclosure({tag}, {author}, {field}, {} bytes)", bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disclosure() -> Disclosure {
        Disclosure {
            salt: [3; 32],
            tag: "agent".into(),
            author: Handle::new("wayan").expect("a handle"),
            field: "name".into(),
            bytes: b"Wayan of Jatiluwih".to_vec(),
        }
    }

    #[test]
    fn a_commitment_binds_every_part() {
        let ledger = LedgerId([1; 32]);
        let original = disclosure();
        let changes: [fn(&mut Disclosure); 6] = [
            |d| d.salt[0] ^= 1,
            |d| d.tag = "agents".into(),
            |d| d.author = Handle::new("made").expect("a handle"),
            |d| d.field = "mail".into(),
            |d| d.bytes.push(b' '),
            // The same characters, divided otherwise between two neighbours.
            |d| (d.field, d.bytes) = ("nameW".into(), b"ayan of Jatiluwih".to_vec()),
        ];
        for change in changes {
            let mut changed = original.clone();
            change(&mut changed);
            assert_ne!(changed.commitment(&ledger), original.commitment(&ledger));
        }
        assert_ne!(original.commitment(&LedgerId::ZERO), original.commitment(&ledger));
    }

    /// The form, spelled out: nobody may change it under the commitments already made.
    #[test]
    fn the_form_is_length_prefixed_and_keyed() {
        let mut spelled = Vec::new();
        for (length, part) in [
            (5, &b"agent"[..]),
            (32, &[1; 32]),
            (5, b"wayan"),
            (4, b"name"),
            (18, b"Wayan of Jatiluwih"),
        ] {
            spelled.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, length]);
            spelled.extend_from_slice(part);
        }
        let expected: Hash = blake3::keyed_hash(&[3; 32], &spelled).into();
        assert_eq!(disclosure().commitment(&LedgerId([1; 32])), expected);
    }

    #[test]
    fn a_disclosure_in_a_log_line_discloses_nothing() {
        let shown = format!("{:?}", disclosure());
        assert_eq!(shown, "Disclosure(agent, wayan, name, 18 bytes)");
    }
}
