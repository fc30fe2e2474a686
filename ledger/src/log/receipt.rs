//! Receipts: the proof of one entry, in a file that outlives the server.
//!
//! Owns the C2SP `tlog-proof` text of an entry, and the one judgement whether an entry is
//! proven. Guarantees that what verifies is an entry of that ledger, at that place, under a
//! head that its operator signed, and was signed by the key in it; and that all that is the
//! receipt's own has one spelling (lines of other signers under the checkpoint are carried and
//! not judged). Leaves out whose key it was and what the entry meant: that takes the log.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64 of the leaf (113 bytes) and the envelope>
//! index <the entry, decimal>
//! <base64 hash>, one line for each of the path, from the leaf up
//!
//! <the signed checkpoint>
//! ```

use super::{
    Checkpoint, Hash, KeyCache, LEAF_LEN, Leaf, LedgerId, PublicKey, Statement, Unverified,
    checkpoint,
    entry::ledger_id_of_genesis,
    fixed,
    note::{MAX_NOTE, decode_base64},
    statement::MAX_ENVELOPE,
    tree,
};
use crate::reject::{Code, Outcome, Reject, require};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::Write as _;

/// The first line of a receipt.
pub const FORMAT: &str = "c2sp.org/tlog-proof@v1";

/// The most a receipt may have, in bytes: a largest envelope in base64, a path of 64 hashes,
/// words and the largest checkpoint.
pub const MOST_BYTES: usize = (LEAF_LEN + MAX_ENVELOPE) * 4 / 3 + 64 * 45 + 1_024 + MAX_NOTE;

/// An entry and what proves it. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry, from 0.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Body, key and signature, as their author sent them.
    pub envelope: Vec<u8>,
    /// The RFC 6962 inclusion proof, from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The checkpoint, as signed.
    pub checkpoint: String,
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What was said, verified.
    pub statement: Statement,
    /// Its place.
    pub leaf: Leaf,
    /// The signed head that it lies under.
    pub head: Checkpoint,
}

impl Receipt {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        let extra = [&self.leaf[..], &self.envelope[..]].concat();
        let extra = BASE64_STANDARD.encode(extra);
        let mut text = format!("{FORMAT}\nextra {extra}\nindex {}\n", self.index);
        for hash in &self.path {
            let line = BASE64_STANDARD.encode(hash);
            writeln!(text, "{line}").expect("a String takes all");
        }
        text + "\n" + &self.checkpoint
    }

    /// Reads what [`Receipt::to_text`] writes; every other form is refused (`bad-receipt`).
    pub fn parse(text: &str) -> Outcome<Self> {
        require(text.len() <= MOST_BYTES, Code::BadReceipt, || {
            format!("receipt: expected at most {MOST_BYTES} bytes, found {}", text.len())
        })?;
        let (proof, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| bad("no blank line before the checkpoint (Windows line ends?)"))?;
        let mut lines = proof.split('\n');
        require(lines.next() == Some(FORMAT), Code::BadReceipt, || {
            format!("receipt: expected {FORMAT} in the first line")
        })?;
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.ok_or_else(|| bad(&format!("expected a line that begins with {name:?}")))
        };
        let extra = decode(field("extra ")?)?;
        let index = field("index ")?;
        let index: u64 = index.parse().map_err(|_| bad("index: expected a decimal number"))?;
        let path = lines
            .map(|line| fixed(&decode(line)?, Code::BadReceipt, "receipt, path"))
            .collect::<Outcome<Vec<Hash>>>()?;
        let (leaf, envelope) = extra
            .split_at_checked(LEAF_LEN)
            .ok_or_else(|| bad("extra: expected a leaf and an envelope"))?;
        let read = Self {
            index,
            leaf: leaf.to_vec(),
            envelope: envelope.to_vec(),
            path,
            checkpoint: checkpoint.to_owned(),
        };
        // Whatever the parser above lets slip: there is one text of a receipt.
        require(read.to_text() == text, Code::BadReceipt, || {
            "receipt: not in its canonical form".into()
        })?;
        Ok(read)
    }

    /// Whether the checkpoint has a line that says it is `operator`'s: whether it is, `verify`
    /// says. To tell a receipt that one does not trust from one that is false.
    pub fn bears(&self, ledger: LedgerId, operator: &PublicKey) -> bool {
        checkpoint::bears(&self.checkpoint, &ledger, operator)
    }

    /// What this proves of `ledger`, to whoever trusts that `operator` signs for it.
    pub fn verify(&self, ledger: LedgerId, operator: &PublicKey) -> Outcome<Proven> {
        let Self { index, leaf, envelope, path, checkpoint } = self;
        let proven = prove(ledger, operator, (leaf, envelope), path, checkpoint)?;
        require(proven.leaf.seq == *index, Code::ProofInvalid, || {
            format!("the index is {index}, the leaf says entry {}", proven.leaf.seq)
        })?;
        Ok(proven)
    }
}

/// What an entry, given as leaf and envelope, and an inclusion proof under a signed checkpoint
/// show of `ledger`; refused as `proof-invalid`.
pub fn prove(
    ledger: LedgerId,
    operator: &PublicKey,
    (leaf, envelope): (&[u8], &[u8]),
    path: &[Hash],
    checkpoint: &str,
) -> Outcome<Proven> {
    let digest: Hash = blake3::hash(envelope).into();
    let (leaf, head) = place(ledger, operator, (leaf, &digest), path, checkpoint)?;
    let statement = Unverified::parse(envelope)
        .and_then(|it| it.verify(&mut KeyCache::default()))
        .map_err(|r| invalid(format!("statement: {}", r.detail)))?;
    let said_for = match statement.header().ledger {
        LedgerId::ZERO => ledger_id_of_genesis(statement.body()),
        named => named,
    };
    require(said_for == ledger, Code::ProofInvalid, || {
        "the statement was signed for another ledger".into()
    })?;
    Ok(Proven { statement, leaf, head })
}

/// As [`prove`], of the leaf alone and the digest of its envelope: for whoever has verified the
/// statement.
pub fn place(
    ledger: LedgerId,
    operator: &PublicKey,
    (leaf, envelope): (&[u8], &Hash),
    path: &[Hash],
    checkpoint: &str,
) -> Outcome<(Leaf, Checkpoint)> {
    let hash = tree::leaf_hash(leaf);
    let leaf = Leaf::from_bytes(leaf).map_err(|r| invalid(format!("leaf: {}", r.detail)))?;
    require(leaf.ledger == ledger, Code::ProofInvalid, || {
        "the leaf belongs to another ledger".into()
    })?;
    require(leaf.envelope == *envelope, Code::ProofInvalid, || {
        "the leaf is of another envelope".into()
    })?;
    let head = Checkpoint::open(checkpoint, ledger, operator)
        .map_err(|r| invalid(format!("checkpoint: {}", r.detail)))?;
    tree::verify_inclusion(leaf.seq, head.size, &head.root, &hash, path)
        .map_err(|_| invalid("the entry is not in the checkpoint's tree".into()))?;
    Ok((leaf, head))
}

fn invalid(what: String) -> Reject {
    Reject::new(Code::ProofInvalid, what)
}

fn decode(text: &str) -> Outcome<Vec<u8>> {
    decode_base64(text, "receipt").map_err(|refused| bad(&refused.detail))
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadReceipt, format!("receipt: {why}"))
}
