//! Balance proofs: what was owed to one agent, in a file that outlives the server.
//!
//! Owns the text of the file and the judgement whether its leaves are those of the StateRoot
//! that it carries. Guarantees that what holds was published, in these very figures, by the
//! entry that is proven, and that all of it has one spelling. Leaves out the entry's own proof
//! (`log::receipt`, whose text is the file's second part), whom one trusts for it, and
//! whether what was published is right: that takes the log, and a replay of it.
//!
//! ```text
//! subak/balance-proof@v1
//! leaf <base64 of the leaf: book::state_root>
//! index <its number in the state's tree, decimal>
//! <base64 hash>, one line for each of the path, from the leaf up
//! leaf …                              for each further currency, ascending
//!
//! c2sp.org/tlog-proof@v1              the receipt of the StateRoot, as it stands
//! …
//! ```
//!
//! Root and number of leaves are in the StateRoot, and nowhere else.

use super::{
    event::Event,
    state::CLERK,
    state_root::{Shown, StateLeaf},
    types::Handle,
};
use crate::{
    log::{
        Hash,
        receipt::{self, Proven, Receipt},
        tree::{self, leaf_hash},
    },
    reject::{Code, Outcome, Reject, require},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::Write as _;

/// The first line of a balance proof.
pub const FORMAT: &str = "subak/balance-proof@v1";

/// Leaves in one file at most: more currencies than there are.
const MOST_LEAVES: usize = 256;
/// Hashes of one path at most: a tree has fewer than 2^64 leaves.
const MOST_PATH: usize = 64;

/// The most a balance proof may have, in bytes: its leaves, of at most 96 bytes each, with
/// their paths and words, and the largest receipt.
pub const MOST_BYTES: usize = 64 + MOST_LEAVES * (256 + MOST_PATH * 45) + receipt::MOST_BYTES;

/// One agent's leaves, and the receipt of the StateRoot that they are under. Nothing in it is
/// verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceProof {
    /// The leaves with their paths, by currency.
    pub leaves: Vec<Shown>,
    /// The StateRoot's entry.
    pub receipt: Receipt,
}

/// What a balance proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownBalance {
    /// Whose.
    pub agent: Handle,
    /// What, by currency: one leaf at least.
    pub leaves: Vec<StateLeaf>,
    /// The root that was published.
    pub root: Hash,
    /// How many leaves are under it.
    pub of: u64,
}

impl BalanceProof {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        for Shown { leaf, index, path } in &self.leaves {
            let leaf = BASE64_STANDARD.encode(leaf);
            writeln!(text, "leaf {leaf}\nindex {index}").expect("a String takes all");
            for hash in path {
                let line = BASE64_STANDARD.encode(hash);
                writeln!(text, "{line}").expect("a String takes all");
            }
        }
        text + "\n" + &self.receipt.to_text()
    }

    /// Whether a file says that it is one: then every other form is refused.
    pub fn is_one(text: &str) -> bool {
        text.split('\n').next() == Some(FORMAT)
    }

    /// Reads what [`BalanceProof::to_text`] writes; every other form is refused
    /// (`bad-receipt`).
    pub fn parse(text: &str) -> Outcome<Self> {
        require(text.len() <= MOST_BYTES, Code::BadReceipt, || {
            format!("balance proof: expected at most {MOST_BYTES} bytes, found {}", text.len())
        })?;
        let (leaves, receipt) = text
            .split_once("\n\n")
            .ok_or_else(|| bad("no blank line before the receipt (Windows line ends?)"))?;
        let rest = leaves.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix("\nleaf "));
        let rest = rest.ok_or_else(|| bad(&format!("expected {FORMAT}, then a line `leaf …`")))?;
        // No line of a path holds a space, so nothing but a leaf begins so.
        let leaves = rest.split("\nleaf ").map(shown).collect::<Outcome<Vec<_>>>()?;
        require(leaves.len() <= MOST_LEAVES, Code::BadReceipt, || {
            format!("balance proof: expected at most {MOST_LEAVES} leaves, found {}", leaves.len())
        })?;
        let read = Self { leaves, receipt: Receipt::parse(receipt)? };
        // Whatever the parser above lets slip: there is one text of a proof.
        require(read.to_text() == text, Code::BadReceipt, || {
            "balance proof: not in its canonical form".into()
        })?;
        Ok(read)
    }

    /// What this shows, once its receipt is verified: `proven` is what that gave
    /// (`proof-irrelevant`, `proof-invalid`).
    pub fn verify(&self, proven: &Proven) -> Outcome<ShownBalance> {
        let (root, of) = stated(proven)?;
        let leaves = self
            .leaves
            .iter()
            .map(|shown| {
                let hash = leaf_hash(&shown.leaf);
                tree::verify_inclusion(shown.index, of, &root, &hash, &shown.path)
                    .map_err(|_| invalid("a leaf is not in the tree of the published root"))?;
                StateLeaf::from_bytes(&shown.leaf)
            })
            .collect::<Outcome<Vec<StateLeaf>>>()?;
        let agent = leaves.first().map(|leaf| leaf.agent.clone());
        let agent = agent.ok_or_else(|| invalid("there is no leaf"))?;
        let in_order = leaves.windows(2).zip(self.leaves.windows(2)).all(|(leaf, place)| {
            leaf[0].currency < leaf[1].currency && place[0].index + 1 == place[1].index
        });
        require(in_order && leaves.iter().all(|l| l.agent == agent), Code::ProofInvalid, || {
            "expected one agent's leaves, side by side and by currency".into()
        })?;
        Ok(ShownBalance { agent, leaves, root, of })
    }
}

/// Root and leaves of the StateRoot that an entry is.
fn stated(proven: &Proven) -> Outcome<(Hash, u64)> {
    let statement = &proven.statement;
    let event = match statement.events() {
        [one] if statement.header().author.as_str() == CLERK => Event::decode(one)?,
        _ => return Err(irrelevant(proven)),
    };
    match event {
        Event::StateRoot { root, leaves } => Ok((root, leaves)),
        _ => Err(irrelevant(proven)),
    }
}

fn irrelevant(proven: &Proven) -> Reject {
    let what = format!("entry {} is no StateRoot of the clerk", proven.leaf.seq);
    Reject::new(Code::ProofIrrelevant, what)
}

/// What stands between two lines `leaf …`, and of the first of them all but that word.
fn shown(text: &str) -> Outcome<Shown> {
    let mut lines = text.split('\n');
    let leaf = decode(lines.next().unwrap_or_default())?;
    let index = lines.next().and_then(|line| line.strip_prefix("index "));
    let index = index.and_then(|index| index.parse().ok());
    let index = index.ok_or_else(|| bad("expected a line `index` with a decimal number"))?;
    let path: Vec<&str> = lines.collect();
    require(path.len() <= MOST_PATH, Code::BadReceipt, || {
        format!("balance proof: a path of {} hashes", path.len())
    })?;
    let hash = |line: &&str| {
        let bytes = decode(line)?;
        Hash::try_from(bytes).map_err(|_| bad("path: expected hashes of 32 bytes"))
    };
    Ok(Shown { leaf, index, path: path.iter().map(hash).collect::<Outcome<_>>()? })
}

/// Any spelling: the canonical one is what the whole text is compared with.
fn decode(text: &str) -> Outcome<Vec<u8>> {
    BASE64_STANDARD.decode(text).map_err(|_| bad("expected base64"))
}

fn invalid(what: &str) -> Reject {
    Reject::new(Code::ProofInvalid, what)
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadReceipt, format!("balance proof: {why}"))
}
