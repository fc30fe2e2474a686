//! What was said: statements, entries, chain, tree, checkpoints. Knows nothing of the book.
//!
//! Owns the formats that fix a fact and the checks that prove them. Guarantees that
//! every form has one reading and is judged from raw bytes alone: no clock, no file,
//! no randomness. Leaves out what events mean (`book`) and where bytes lie (`store`).
//!
//! The model, in reading order:
//!
//! ```text
//! key         an admitted Ed25519 key; one verdict on signatures, the strict one
//! canonical   a message is the encoding of what it decodes to, or it is refused
//! commit      what must not be public enters as a salted commitment
//! statement   body || key || signature: Unverified -> (signature, form, limits) -> Statement
//! replay      a body is taken once, before it expires, at most 30 days ahead
//! entry       Leaf: the statement in its place. version | ledger | seq | previous | time | digest
//!                     |                               |
//!                     | BLAKE3, links to `previous`   | SHA-256, RFC 6962
//!                     v                               v
//!                   chain: one hash per prefix      tree: the same leaves, with
//!                                                   proofs of logarithmic length
//! note        C2SP signed text
//! checkpoint  (ledger, size, root), signed by the operator as a note
//! cosignature a witness's line under it;  policy: whose lines are asked for
//! head        the head of any log;  submission: how it is brought to a witness
//! receipt     an entry, its path and its checkpoint, in a file
//! fraud       two checkpoints that cannot both be true, in one file
//! ```
//!
//! Chain and tree commit to the same leaf bytes, and each leaf holds the chain hash
//! before it, so a tree root also commits to every chain hash below it.

pub mod canonical;
pub mod checkpoint;
pub mod commit;
pub mod cosignature;
pub mod entry;
pub mod fraud;
pub mod handle;
pub mod head;
pub mod key;
pub mod note;
pub mod policy;
pub mod receipt;
pub mod replay;
pub mod statement;
pub mod submission;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use commit::Disclosure;
pub use entry::{LEAF_LEN, Leaf};
pub use handle::Handle;
pub use key::{KeyCache, PublicKey, SecretKey};
pub use replay::ReplayWindow;
pub use statement::{Basis, Draft, Header, Statement, Unverified};
pub use tree::Frontier;

use crate::reject::{Code, Outcome, Reject, require};
use std::fmt;

/// A 32-byte hash. Which function made it is said where it is used: SHA-256 in the
/// tree, BLAKE3 everywhere else.
pub type Hash = [u8; 32];

/// A ledger's name: the hash of its genesis body ([`entry::ledger_id_of_genesis`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LedgerId(pub Hash);

impl LedgerId {
    /// What a genesis says in place of the id that it is about to define.
    pub const ZERO: Self = Self([0; 32]);

    /// Reads the 64 lowercase hexadecimal digits that `Display` writes, nothing else.
    pub fn from_hex(text: &str) -> Outcome<Self> {
        let refuse = || {
            let found: String = text.chars().take(70).collect();
            let why = format!("ledger id: expected 64 lowercase hex digits, found {found:?}");
            Reject::new(Code::Malformed, why)
        };
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id).map_err(|_| refuse())?;
        // Uppercase digits also decode: only the text we would write is the id.
        if Self(id).to_string() == text { Ok(Self(id)) } else { Err(refuse()) }
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerId({self})")
    }
}

/// `bytes` as an array of exactly `N`; `field` names them in a refusal.
fn fixed<const N: usize>(bytes: &[u8], code: Code, field: &str) -> Outcome<[u8; N]> {
    require(bytes.len() == N, code, || {
        format!("{field}: expected {N} bytes, found {}", bytes.len())
    })?;
    Ok(bytes.try_into().expect("the length was checked above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_id_has_one_spelling() {
        let id = LedgerId(std::array::from_fn(|i| u8::try_from(i * 8).expect("at most 248")));
        let text = id.to_string();
        assert_eq!(LedgerId::from_hex(&text), Ok(id));
        for other in [&text.to_uppercase(), &text[..62], &format!("{text}00"), "", &"g".repeat(64)]
        {
            assert_eq!(LedgerId::from_hex(other).map_err(|r| r.code), Err(Code::Malformed));
        }
    }
}
