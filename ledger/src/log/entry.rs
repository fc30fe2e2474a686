//! Entries: a statement in its place, and the chain through them.
//!
//! Owns the leaf's bytes, the chain hash and the ledger's id. Guarantees that one leaf
//! fixes its statement, its place, its time and, through `previous`, all that went
//! before. Leaves out the rules between entries (order, time: `audit` and the
//! sequencer) and the statement's own form.
//!
//! LEAF, version 1: 113 bytes, numbers big endian.
//!
//! ```text
//! offset  0  version      1 byte, 1
//!         1  ledger      32 bytes
//!        33  seq          8 bytes, from 0
//!        41  previous    32 bytes, chain hash of entry seq - 1; zeros for entry 0
//!        73  recorded_at  8 bytes, milliseconds since 1970-01-01T00:00:00Z
//!        81  envelope    32 bytes, BLAKE3 of the whole envelope
//! ```

use super::{Hash, LedgerId, fixed};
use crate::reject::{Code, Outcome, Reject, require};

/// The length of a leaf in bytes.
pub const LEAF_LEN: usize = 1 + 32 + 8 + 32 + 8 + 32;

/// What entry 0 names as the chain hash before it.
pub const NO_PREVIOUS: Hash = [0; 32];

const VERSION: u8 = 1;
const CHAIN_CONTEXT: &str = "subak 2026 ledger chain v1";
const LEDGER_ID_CONTEXT: &str = "subak 2026 ledger id v1";

/// A statement's place in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The ledger, also for entry 0, whose statement could not name it yet.
    pub ledger: LedgerId,
    /// The place, from 0.
    pub seq: u64,
    /// The chain hash of entry `seq - 1`; [`NO_PREVIOUS`] for entry 0.
    pub previous: Hash,
    /// When the node took it, in milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: u64,
    /// BLAKE3 of the whole envelope, so of body, key and signature.
    pub envelope: Hash,
}

impl Leaf {
    /// The bytes that chain and tree commit to.
    pub fn to_bytes(&self) -> [u8; LEAF_LEN] {
        let mut bytes = [0; LEAF_LEN];
        bytes[0] = VERSION;
        bytes[1..33].copy_from_slice(&self.ledger.0);
        bytes[33..41].copy_from_slice(&self.seq.to_be_bytes());
        bytes[41..73].copy_from_slice(&self.previous);
        bytes[73..81].copy_from_slice(&self.recorded_at.to_be_bytes());
        bytes[81..].copy_from_slice(&self.envelope);
        bytes
    }

    /// Reads what [`Self::to_bytes`] writes; any other length or version is `bad-leaf`.
    pub fn from_bytes(bytes: &[u8]) -> Outcome<Self> {
        let bytes: [u8; LEAF_LEN] = fixed(bytes, Code::BadLeaf, "leaf")?;
        let (version, rest) = take::<1>(&bytes);
        let (ledger, rest) = take(rest);
        let (seq, rest) = take(rest);
        let (previous, rest) = take(rest);
        let (recorded_at, rest) = take(rest);
        let (envelope, _) = take(rest);
        require(version == [VERSION], Code::BadLeaf, || {
            format!("leaf version: expected {VERSION}, found {}", version[0])
        })?;
        let (seq, recorded_at) = (u64::from_be_bytes(seq), u64::from_be_bytes(recorded_at));
        if seq == 0 && previous != NO_PREVIOUS {
            let why = format!(
                "leaf of entry 0, previous: expected zeros, found {}",
                hex::encode(previous)
            );
            return Err(Reject::new(Code::BadLeaf, why));
        }
        Ok(Self { ledger: LedgerId(ledger), seq, previous, recorded_at, envelope })
    }

    /// The chain hash after this entry.
    pub fn chain_hash(&self) -> Hash {
        chain_hash(&self.to_bytes())
    }
}

/// The chain hash after the entry with this leaf: BLAKE3 derive_key.
pub fn chain_hash(leaf: &[u8; LEAF_LEN]) -> Hash {
    blake3::derive_key(CHAIN_CONTEXT, leaf)
}

/// The id of the ledger that this genesis body opens: BLAKE3 derive_key over the body,
/// whose 32 random bytes make it unique.
pub fn ledger_id_of_genesis(body: &[u8]) -> LedgerId {
    LedgerId(blake3::derive_key(LEDGER_ID_CONTEXT, body))
}

fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = bytes.split_first_chunk().expect("the fields add up to LEAF_LEN");
    (*head, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            ledger: LedgerId([0x11; 32]),
            seq: 0x0102_0304_0506_0708,
            previous: [0x22; 32],
            recorded_at: 0x1112_1314_1516_1718,
            envelope: [0x33; 32],
        }
    }

    #[test]
    fn the_bytes_are_those_documented() {
        let expected = format!(
            "01{}0102030405060708{}1112131415161718{}",
            "11".repeat(32),
            "22".repeat(32),
            "33".repeat(32)
        );
        assert_eq!(hex::encode(leaf().to_bytes()), expected);
        assert_eq!(Leaf::from_bytes(&leaf().to_bytes()), Ok(leaf()));
        let chain = blake3::derive_key("subak 2026 ledger chain v1", &leaf().to_bytes());
        assert_eq!(leaf().chain_hash(), chain);
    }

    #[test]
    fn other_forms_are_refused() {
        let bytes = leaf().to_bytes();
        let mut version_0 = bytes;
        version_0[0] = 0;
        let mut version_2 = bytes;
        version_2[0] = 2;
        let longer = [&bytes[..], &[0]].concat();
        let rooted = Leaf { seq: 0, ..leaf() }.to_bytes();
        for other in [&[][..], &bytes[..LEAF_LEN - 1], &longer, &version_0, &version_2, &rooted] {
            assert_eq!(Leaf::from_bytes(other).map_err(|r| r.code), Err(Code::BadLeaf));
        }
        let genesis = Leaf { seq: 0, previous: NO_PREVIOUS, ..leaf() };
        assert_eq!(Leaf::from_bytes(&genesis.to_bytes()), Ok(genesis));
    }

    /// One string hashed for three purposes gives three hashes, none of them the plain one.
    #[test]
    fn hashes_of_different_purposes_never_meet() {
        let bytes = leaf().to_bytes();
        let plain: Hash = blake3::hash(&bytes).into();
        let hashes = [plain, chain_hash(&bytes), ledger_id_of_genesis(&bytes).0];
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }
}
