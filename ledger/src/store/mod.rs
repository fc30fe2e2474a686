//! Where a log is kept: the contract that every store fulfils, and its stores.
//!
//! Owns the words of the contract ([`Reader`], [`Store`], [`StoreError`]), the stores
//! [`memory`] and [`sqlite`], [`bundle`] (read-only, to be carried), and `conformance`, the suite that
//! the first two pass; apart from them [`witness`], what a witness keeps of other logs. Guarantees
//! what the traits' comments say in sentences: what is durable when, what is atomic, and
//! who is trusted with what. Leaves out all meaning: a store compares heads and keeps
//! bytes. It checks no signature, no hash and no rule, so whoever reads verifies.

pub mod bundle;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod memory;
pub mod sqlite;
pub mod witness;

pub use bundle::BundleReader;
pub use error::{Kind, StoreError};
pub use memory::MemoryStore;
pub use sqlite::{SqliteReader, SqliteStore, WitnessFile, WitnessReader};
pub use witness::WitnessStore;

use prost::bytes::Bytes;
use std::{fmt, fs::File, io, path::Path};

/// 32 bytes: a ledger's id, a chain hash, a tree node, a commitment.
pub type Hash = [u8; 32];

/// What every read and every append gives back.
pub type Result<T> = std::result::Result<T, StoreError>;

/// [`Reader::integrity`], not run yet.
pub type Inspection = Box<dyn FnOnce() -> Result<Vec<String>> + Send>;

/// One node of the Merkle tree: level, index within its level, hash. A node keeps those from
/// level 1 on ([`crate::log::Frontier::push`]); level 0 are the leaf hashes.
pub type Node = (u8, u64, Hash);

/// An entry as it is stored: nothing here has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Position in the log, from 0, as the store has it: a hole shows as a jump.
    pub seq: u64,
    /// The leaf's bytes, of whatever length was stored.
    pub leaf: Bytes,
    /// The whole statement envelope, as its author sent it.
    pub envelope: Bytes,
    /// The chain hash of this leaf, as the writer computed it.
    pub chain: Hash,
}

/// An entry to append; its position follows from the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The leaf's bytes.
    pub leaf: Bytes,
    /// The whole statement envelope, as its author sent it.
    pub envelope: Bytes,
    /// The chain hash of this leaf.
    pub chain: Hash,
}

/// Where a ledger's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of entries: the last one's seq plus one.
    pub size: u64,
    /// The chain hash of the last entry; zeros while there is none.
    pub chain: Hash,
}

impl Head {
    /// The head of a ledger without entries, and of one that a store does not know.
    pub const EMPTY: Self = Self { size: 0, chain: [0; 32] };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size {} with chain hash {}", self.size, hex::encode(self.chain))
    }
}

/// The opening of a commitment: what a log only fixes by its hash. Kept beside the log,
/// so that it can be erased without touching chain, tree or signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// The commitment as it stands in the log.
    pub commitment: Hash,
    /// The salt that keyed it.
    pub salt: Hash,
    /// What kind of thing was committed to.
    pub tag: String,
    /// The handle of whose commitment it is.
    pub author: String,
    /// The field that it stands in.
    pub field: String,
    /// The committed bytes: a name, an invoice text, a note.
    pub bytes: Vec<u8>,
}

/// One ledger of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The ledger's id.
    pub id: Hash,
    /// Its number in this store only, from 1 in order of arrival; never leaves the store's machine.
    pub number: u64,
    /// The handle given with its first batch. Not unique: a mirror may keep namesakes.
    pub name: String,
}

/// What to add to one ledger.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The ledger's id.
    pub ledger: Hash,
    /// The handle to list the ledger under. Read when this batch makes the ledger known, ignored later.
    pub name: &'a str,
    /// The head that these entries follow.
    pub expected: Head,
    /// The entries in order. None is fine: a checkpoint that gained cosignatures, a late disclosure.
    pub entries: &'a [NewEntry],
    /// The tree nodes that these entries completed.
    pub nodes: &'a [Node],
    /// The signed note of the new head; replaces the previous one. `None` keeps it.
    pub checkpoint: Option<&'a str>,
    /// Openings to keep. One whose commitment is there already is ignored.
    pub disclosures: &'a [Disclosure],
    /// Commitments whose openings are removed, after `disclosures` were added, and are never kept
    /// again. Unknown ones are ignored. See [`Store::purge`].
    pub erasures: &'a [Hash],
}

/// Reading what is kept, for several ledgers in one store.
///
/// A reader sees committed groups only, each wholly or not at all. Two calls may see two
/// states; because logs only grow, a caller that reads `head` first and then no further
/// than it has one consistent log. (`SqliteReader::freeze` fixes all else too.)
///
/// Nothing a reader returns is to be believed: whoever can write the file can write anything
/// in it. What cannot even be returned (a NULL, a hash of 31 bytes) is
/// [`StoreError::Corrupt`] and names the place. A ledger that the store does not know reads
/// like an empty one, so that its first append is an append like any other.
pub trait Reader {
    /// All ledgers, in order of arrival.
    fn ledgers(&self) -> Result<Vec<LedgerRow>>;

    /// Where the ledger's log ends, read from its last entry: there is no second copy to disagree.
    fn head(&self, ledger: &Hash) -> Result<Head>;

    /// Stored entries with `seq >= from`, ascending. Ends at `limit` entries or before `max_bytes`
    /// of leaves and envelopes are passed, but gives at least one entry (if `limit` allows one)
    /// where there is one: a caller that asks again from the last seq plus one always gets on.
    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>>;

    /// Whether it keeps tree nodes at all. What was made to be carried (a bundle) keeps none: whoever
    /// reads it computes them from the leaves.
    fn keeps_nodes(&self) -> bool {
        true
    }

    /// Stored nodes of one level with `index >= from`, ascending, at most `limit`.
    fn nodes(&self, ledger: &Hash, level: u8, from: u64, limit: usize) -> Result<Vec<(u64, Hash)>>;

    /// One stored node.
    fn node(&self, ledger: &Hash, level: u8, index: u64) -> Result<Option<Hash>> {
        let nearest = self.nodes(ledger, level, index, 1)?;
        Ok(nearest.into_iter().find(|(found, _)| *found == index).map(|(_, hash)| hash))
    }

    /// The newest signed checkpoint.
    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>>;

    /// The checkpoint that was last given to [`Store::keep_witnessed`].
    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>>;

    /// Disclosures in order of their commitments, those after `after` (`None`: from the first),
    /// at most `limit`.
    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Disclosure>>;

    /// The disclosure that opens one commitment.
    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>>;

    /// What is wrong with the store itself, one sentence each; none when it is sound. For the
    /// audit: it notices a store repaired by hand, not a false entry.
    fn integrity(&self) -> Result<Vec<String>> {
        self.inspection()()
    }

    /// As [`Reader::integrity`], to be run on any thread, on the store as it is then.
    fn inspection(&self) -> Inspection;
}

/// Appending, the only way to change a log.
///
/// **Durable.** When `append` returns `Ok`, all of the group survives the loss of power, as far
/// as the disk keeps its promise to have synced. (A memory store outlives nothing.)
///
/// **Atomic.** A group is one transaction: all batches with their entries, nodes, checkpoints,
/// disclosures and erasures, or nothing of any of them.
///
/// **Compare and swap.** Inside that transaction each batch's `expected` is compared with its
/// ledger's head, as earlier batches of the group left it. If one differs the group is
/// refused as [`StoreError::HeadMoved`] and nothing is written.
///
/// **Failed, but persisted.** After `HeadMoved` and `Corrupt` nothing was written. After any other
/// error the group is wholly there or wholly absent, and only `head` tells which; if the disk
/// failed while syncing, a group found absent can even be found present after a restart.
/// So no author may be told "refused" because of such an error. Appending the same group again is
/// safe: if it is there, the answer is `HeadMoved` with `found` at the head it would have made.
///
/// **Trusted.** The caller, to hand over only what it verified: a store keeps bytes. The
/// store, to order groups and to lose none; what it returns is verified by whoever reads.
pub trait Store: Reader + Send {
    /// Adds a group of batches in one durable transaction.
    fn append(&mut self, batches: &[Batch<'_>]) -> Result<()>;

    /// Keeps a checkpoint that witnesses have signed, in place of the one before; beside the
    /// newest checkpoint, which may be of a larger head. Nothing happens where the ledger is
    /// unknown. As durable as an append.
    fn keep_witnessed(&mut self, ledger: &Hash, note: &str) -> Result<()>;

    /// Whether nothing is left, in any file of the store, of the openings that were erased:
    /// neither salt nor bytes nor the names beside them. No reader gets them from the append
    /// on; but one that looks at an older state holds on to the file in which that stands, and is not
    /// waited for. Until this says `true` it is to be asked again; opening and closing the
    /// store try too, so that a crash between the two keeps nothing for ever.
    fn purge(&mut self) -> Result<bool>;
}

/// A new file lasts only once its directory is synced too: that of `path`.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
