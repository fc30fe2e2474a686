//! Fraud proofs: two signed heads of one ledger that cannot both be true.
//!
//! Owns the one portable file that proves it, and its judgement. Guarantees that what verifies
//! was signed twice by that key, that both heads are of one ledger, that no log holds both, and
//! that the file has one spelling; nobody needs a log, a server or this program's word for it.
//! Leaves out how two histories are found ([`crate::audit`]) and whose key it was.
//!
//! ```text
//! subak/fraud-proof@v1
//! operator subak/<ledger id>+<key id>+<key>       C2SP verifier key
//! index <entry, decimal>                          | only where
//! first <base64 of the leaf's hash>               | the sizes differ:
//! <base64 hash>, a line each: path to the first   | an entry
//! second <base64 of the leaf's hash>              |
//! <base64 hash>, a line each: path to the second  |
//! prefix <base64 of a root>                       | or in its place: how
//! <base64 hash>, a line each: its consistency     | the larger log begins
//!
//! <the signed checkpoint with fewer entries (of equal ones, with the smaller root)>
//!
//! <the other signed checkpoint>
//! ```
//!
//! Of each note only the operator's own line is kept: cosignatures say nothing of who lied. Two
//! heads of one size under two roots need nothing else. Of two sizes the older may be a prefix of
//! the newer, and that no proof of consistency exists cannot be shown; but an entry is one, so two
//! leaves at one index, each under its own head (RFC 9162, 2.1.3), show it. Who has only the larger
//! log shows how that begins: a proof of consistency (2.1.4) of the newer head with a root, at the
//! older head's size, that is not the older head's.

use super::{Checkpoint, Hash, LedgerId, PublicKey, checkpoint, fixed, note::decode_base64, tree};
use crate::reject::{Code, Outcome, Reject, require};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::Write as _;

/// The first line of a fraud proof.
pub const FORMAT: &str = "subak/fraud-proof@v1";

/// The most a fraud proof may have, in bytes: two paths of 64 hashes, two notes of one line.
pub const MOST_BYTES: usize = 16 * 1024;

/// A leaf, by its hash, and its way up to a head's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The leaf's hash in the tree.
    pub leaf: Hash,
    /// Its inclusion proof, from the sibling up.
    pub path: Vec<Hash>,
}

/// An entry that is one thing under the first head and another under the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// Which entry, from 0.
    pub index: u64,
    /// What it is under the first head.
    pub first: Placed,
    /// What it is under the second.
    pub second: Placed,
}

/// How the log under the larger head begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The root of as many of its entries as the smaller head has.
    pub root: Hash,
    /// The proof that this root and the larger head's are of one log.
    pub proof: Vec<Hash>,
}

/// What sets heads of two sizes apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Apart {
    Entry(Parting),
    Prefix(Prefix),
}

/// Two signed heads and what sets them apart. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FraudProof {
    ledger: LedgerId,
    operator: PublicKey,
    heads: [String; 2],
    apart: Option<Apart>,
}

/// What a fraud proof proves: this key has signed both heads, and no log holds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The ledger.
    pub ledger: LedgerId,
    /// The heads, the one with fewer entries first.
    pub heads: [Checkpoint; 2],
    /// An entry that differs between them, where the proof shows one.
    pub entry: Option<u64>,
}

impl FraudProof {
    /// Puts a proof together from two checkpoints of `ledger` by `operator`, and verifies it.
    /// `parting` is in the order of the notes, and needed where their sizes differ.
    pub fn new(
        ledger: LedgerId,
        operator: &PublicKey,
        notes: [&str; 2],
        parting: Option<Parting>,
    ) -> Outcome<Self> {
        Self::of(ledger, operator, notes, parting.map(Apart::Entry))
    }

    /// As [`FraudProof::new`], of two sizes, by whoever has the log of the larger head alone.
    pub fn of_prefix(
        ledger: LedgerId,
        operator: &PublicKey,
        notes: [&str; 2],
        prefix: Prefix,
    ) -> Outcome<Self> {
        Self::of(ledger, operator, notes, Some(Apart::Prefix(prefix)))
    }

    fn of(
        ledger: LedgerId,
        operator: &PublicKey,
        notes: [&str; 2],
        apart: Option<Apart>,
    ) -> Outcome<Self> {
        let open = |note: &str| -> Outcome<_> {
            let head = Checkpoint::open(note, ledger, operator)?;
            Ok(((head.size, head.root), own_line(note, ledger, operator)?))
        };
        let [(a, first), (b, second)] = [open(notes[0])?, open(notes[1])?];
        let apart = apart.filter(|_| a.0 != b.0);
        let operator = operator.clone();
        let proof = if a <= b {
            Self { ledger, operator, heads: [first, second], apart }
        } else {
            let turn = |apart| match apart {
                Apart::Entry(it) => {
                    Apart::Entry(Parting { first: it.second, second: it.first, ..it })
                }
                Apart::Prefix(_) => apart,
            };
            Self { ledger, operator, heads: [second, first], apart: apart.map(turn) }
        };
        proof.verify(&proof.operator).map(|_| ())?;
        Ok(proof)
    }

    /// Whose key would be guilty, and of which ledger: the file's word.
    pub fn accused(&self) -> (LedgerId, &PublicKey) {
        (self.ledger, &self.operator)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let key = checkpoint::verifier_key(&self.ledger, &self.operator);
        let mut text = format!("{FORMAT}\noperator {key}\n");
        let mut hashes = |name: &str, first: &Hash, rest: &[Hash]| {
            text += name;
            for hash in std::iter::once(first).chain(rest) {
                writeln!(text, "{}", BASE64_STANDARD.encode(hash)).expect("a String takes all");
            }
        };
        match &self.apart {
            None => {}
            Some(Apart::Prefix(Prefix { root, proof })) => hashes("prefix ", root, proof),
            Some(Apart::Entry(Parting { index, first, second })) => {
                hashes(&format!("index {index}\nfirst "), &first.leaf, &first.path);
                hashes("second ", &second.leaf, &second.path);
            }
        }
        let [first, second] = &self.heads;
        format!("{text}\n{first}\n{second}")
    }

    /// Reads what [`FraudProof::to_text`] writes; every other form is refused
    /// (`bad-fraud-proof`).
    pub fn parse(text: &str) -> Outcome<Self> {
        require(text.len() <= MOST_BYTES, Code::BadFraudProof, || {
            format!("fraud proof: expected at most {MOST_BYTES} bytes, found {}", text.len())
        })?;
        let parts: Vec<&str> = text.split("\n\n").collect();
        let [top, text_1, line_1, text_2, line_2] = parts[..] else {
            return Err(bad("expected its lines and two signed checkpoints (Windows line ends?)"));
        };
        let mut lines = top.split('\n');
        require(lines.next() == Some(FORMAT), Code::BadFraudProof, || {
            format!("fraud proof: expected {FORMAT} in the first line")
        })?;
        let key = lines.next().and_then(|line| line.strip_prefix("operator "));
        let key = key.ok_or_else(|| bad("expected a line that begins with \"operator \""))?;
        let (ledger, operator) =
            checkpoint::parse_verifier_key(key).map_err(|refused| bad(&refused.detail))?;
        let heads = [format!("{text_1}\n\n{line_1}\n"), format!("{text_2}\n\n{line_2}")];
        let read = Self { ledger, operator, heads, apart: apart(lines)? };
        // Whatever the parser above lets slip: there is one text of a fraud proof.
        require(read.to_text() == text, Code::BadFraudProof, || {
            "fraud proof: not in its canonical form".into()
        })?;
        Ok(read)
    }

    /// What this proves of the owner of the key `operator`; refused as `bad-fraud-proof` where it
    /// proves nothing.
    pub fn verify(&self, operator: &PublicKey) -> Outcome<Proven> {
        let ledger = self.ledger;
        require(*operator == self.operator, Code::BadFraudProof, || {
            "fraud proof: it is about another key".into()
        })?;
        let open = |note: &str| {
            let head = Checkpoint::open(note, ledger, operator).map_err(|r| bad(&r.detail))?;
            require(own_line(note, ledger, operator)? == note, Code::BadFraudProof, || {
                "fraud proof: a checkpoint with lines that are not the operator's".into()
            })?;
            Ok(head)
        };
        let heads = [open(&self.heads[0])?, open(&self.heads[1])?];
        let [first, second] = &heads;
        let ordered = (first.size, first.root) < (second.size, second.root);
        require(ordered, Code::BadFraudProof, || {
            "fraud proof: expected two heads that differ, the smaller one first".into()
        })?;
        // Of one size the roots say it all, and a proof has one spelling.
        require(self.apart.is_none() == (first.size == second.size), Code::BadFraudProof, || {
            "fraud proof: expected what sets them apart of heads of two sizes, and of no others"
                .into()
        })?;
        let entry = match &self.apart {
            None => None,
            Some(Apart::Prefix(prefix)) => {
                begins(prefix, first, second)?;
                None
            }
            Some(Apart::Entry(parting)) => {
                differs(parting, first, second)?;
                Some(parting.index)
            }
        };
        Ok(Proven { ledger, heads, entry })
    }
}

/// Whether an entry is one thing under the one head and another under the other.
fn differs(parting: &Parting, first: &Checkpoint, second: &Checkpoint) -> Outcome {
    let Parting { index, first: one, second: other } = parting;
    require(one.leaf != other.leaf, Code::BadFraudProof, || {
        format!("fraud proof: entry {index} is the same under both heads")
    })?;
    for (head, placed) in [(first, one), (second, other)] {
        tree::verify_inclusion(*index, head.size, &head.root, &placed.leaf, &placed.path)
            .map_err(|refused| bad(&refused.detail))?;
    }
    Ok(())
}

/// Whether the log of the larger head begins with something else than the smaller head.
fn begins(prefix: &Prefix, smaller: &Checkpoint, larger: &Checkpoint) -> Outcome {
    let Prefix { root, proof } = prefix;
    require(*root != smaller.root, Code::BadFraudProof, || {
        "fraud proof: the log of the larger head begins with the smaller".into()
    })?;
    tree::verify_consistency(smaller.size, larger.size, root, &larger.root, proof)
        .map_err(|refused| bad(&refused.detail))
}

fn hash(line: &str) -> Outcome<Hash> {
    let hash = decode_base64(line, "fraud proof").map_err(|refused| bad(&refused.detail))?;
    fixed(&hash, Code::BadFraudProof, "fraud proof, hash")
}

fn apart<'a>(mut lines: impl Iterator<Item = &'a str>) -> Outcome<Option<Apart>> {
    let Some(line) = lines.next() else { return Ok(None) };
    if let Some(root) = line.strip_prefix("prefix ") {
        let proof = lines.map(hash).collect::<Outcome<_>>()?;
        return Ok(Some(Apart::Prefix(Prefix { root: hash(root)?, proof })));
    }
    let index = line.strip_prefix("index ").and_then(|text| text.parse().ok());
    let index = index.ok_or_else(|| bad("expected a line \"index NUMBER\" or \"prefix HASH\""))?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut beyond = false;
    for (place, line) in lines.enumerate() {
        let line = match line.strip_prefix("second ") {
            Some(rest) if !beyond => {
                beyond = true;
                rest
            }
            _ if place == 0 => {
                line.strip_prefix("first ").ok_or_else(|| bad("expected a line \"first HASH\""))?
            }
            _ => line,
        };
        if beyond { &mut second } else { &mut first }.push(hash(line)?);
    }
    let placed = |hashes: Vec<Hash>| match hashes.split_first() {
        Some((leaf, path)) => Ok(Placed { leaf: *leaf, path: path.to_vec() }),
        None => Err(bad("expected a leaf's hash under each head")),
    };
    let (first, second) = (placed(first)?, placed(second)?);
    Ok(Some(Apart::Entry(Parting { index, first, second })))
}

fn own_line(note: &str, ledger: LedgerId, operator: &PublicKey) -> Outcome<String> {
    let own = checkpoint::own_line(note, &ledger, operator);
    own.ok_or_else(|| bad("a checkpoint without the operator's line"))
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadFraudProof, format!("fraud proof: {why}"))
}
