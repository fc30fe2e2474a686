//! Two stories: one number of an agreement, given out twice under an operator's signature.
//!
//! Owns the one portable file that proves it, and its judgement. Guarantees that what verifies are
//! two different statements, each an entry of the payer's ledger under a head that a key has
//! signed, that state the same number of the same agreement, and that the file has one
//! spelling. Each half is a receipt of section 5 of docs/FORMAT.md, whole, for whoever verifies
//! receipts already. Leaves out how the second story is found (`income`), whose keys they are,
//! and what the agreement is: that takes the log of either side.
//!
//! ```text
//! subak/two-stories@v1
//! agreement <hex digest of the terms>
//! number <decimal>
//! first subak/<ledger id>+<key id>+<key>          C2SP verifier key of the first receipt's operator
//! second subak/<ledger id>+<key id>+<key>         and of the second's
//!
//! <the receipt of the entry with the smaller index (of equal ones, with the smaller leaf)>
//!
//! <the other receipt>
//! ```
//!
//! Of each checkpoint only the operator's own line is kept. Under one key it is that operator who
//! lied: either the heads are of two logs, or one log breaks the payer's own rules. Under two
//! keys it need not be a lie: a ledger that its stewards moved leaves numbers behind.

use super::event::Event;
use crate::{
    log::{
        Checkpoint, Hash, LedgerId, PublicKey, checkpoint,
        fraud::{FraudProof, Parting, Placed},
        receipt::{self, Receipt},
        statement::{MAX_EFFECT_ENVELOPE, Statement},
        tree::leaf_hash,
    },
    reject::{Code, Outcome, Reject, require},
};
use std::{cmp::Ordering, fmt::Write as _};

/// The first line of the file.
pub const FORMAT: &str = "subak/two-stories@v1";

/// The most that the file may have, in bytes: two envelopes that state dues in base64, two paths
/// of 64 hashes, two notes of one line.
pub const MOST_BYTES: usize = 2 * (MAX_EFFECT_ENVELOPE * 4 / 3 + 64 * 45 + 2_048);

/// One of the stories: an entry, and the key whose head it lies under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The operator.
    pub operator: PublicKey,
    /// The entry and its proof.
    pub receipt: Receipt,
}

/// Two stories. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoStories {
    /// The payer's ledger.
    ledger: LedgerId,
    agreement: Hash,
    number: u64,
    stories: [Story; 2],
}

/// What is proven of one story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The head that its entry lies under.
    pub head: Checkpoint,
    /// Its entry.
    pub entry: u64,
    /// When the operator says that it was recorded, in milliseconds.
    pub recorded_at: u64,
    /// Who signed the statement, as it says.
    pub author: super::types::Handle,
    /// The share, or what is taken back of one, in minor units.
    pub amount: u64,
}

/// What two stories prove: whoever holds these keys has signed for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The payer's ledger.
    pub ledger: LedgerId,
    /// The agreement's digest.
    pub agreement: Hash,
    /// The number that was given out twice.
    pub number: u64,
    /// Each as it was told.
    pub told: [Told; 2],
}

impl TwoStories {
    /// Puts it together from two stories of `ledger` in either order, and verifies it.
    pub fn new(
        ledger: LedgerId,
        (agreement, number): (Hash, u64),
        stories: [Story; 2],
    ) -> Outcome<Self> {
        let mut stories = stories;
        for Story { operator, receipt } in &mut stories {
            let own = checkpoint::own_line(&receipt.checkpoint, &ledger, operator);
            receipt.checkpoint =
                own.ok_or_else(|| bad("a checkpoint without its operator's line"))?;
        }
        if order(&stories) == Ordering::Greater {
            stories.reverse();
        }
        let made = Self { ledger, agreement, number, stories };
        made.verify()?;
        Ok(made)
    }

    /// The payer's ledger, and the keys that would have signed for both: the file's word.
    pub fn accused(&self) -> (LedgerId, [&PublicKey; 2]) {
        (self.ledger, self.stories.each_ref().map(|story| &story.operator))
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let (agreement, number) = (hex::encode(self.agreement), self.number);
        let mut text = format!("{FORMAT}\nagreement {agreement}\nnumber {number}\n");
        for (name, story) in ["first", "second"].iter().zip(&self.stories) {
            let key = checkpoint::verifier_key(&self.ledger, &story.operator);
            writeln!(text, "{name} {key}").expect("a String takes all");
        }
        let [first, second] = self.stories.each_ref().map(|story| story.receipt.to_text());
        format!("{text}\n{first}\n{second}")
    }

    /// Reads what [`TwoStories::to_text`] writes; every other form is refused (`bad-evidence`).
    pub fn parse(text: &str) -> Outcome<Self> {
        require(text.len() <= MOST_BYTES, Code::BadEvidence, || {
            format!("two stories: expected at most {MOST_BYTES} bytes, found {}", text.len())
        })?;
        let parts: Vec<&str> = text.split("\n\n").collect();
        let [top, proof_1, head_1, line_1, proof_2, head_2, line_2] = parts[..] else {
            return Err(bad("expected its lines and two receipts (Windows line ends?)"));
        };
        let mut lines = top.split('\n');
        require(lines.next() == Some(FORMAT), Code::BadEvidence, || {
            format!("two stories: expected {FORMAT} in the first line")
        })?;
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.ok_or_else(|| bad(&format!("expected a line that begins with {name:?}")))
        };
        let agreement = hex::decode(field("agreement ")?).ok().and_then(|it| it.try_into().ok());
        let agreement = agreement.ok_or_else(|| bad("agreement: expected 64 hex digits"))?;
        let number = field("number ")?.parse().ok();
        let number = number.ok_or_else(|| bad("number: expected a decimal number"))?;
        let mut key = |name| {
            let read = checkpoint::parse_verifier_key(field(name)?);
            read.map_err(|refused| bad(&refused.detail))
        };
        let [(ledger, first), (_, second)] = [key("first ")?, key("second ")?];
        let receipt = |text: String| Receipt::parse(&text).map_err(|refused| bad(&refused.detail));
        let stories = [
            Story {
                operator: first,
                receipt: receipt(format!("{proof_1}\n\n{head_1}\n\n{line_1}\n"))?,
            },
            Story {
                operator: second,
                receipt: receipt(format!("{proof_2}\n\n{head_2}\n\n{line_2}"))?,
            },
        ];
        let read = Self { ledger, agreement, number, stories };
        // Whatever the parser above lets slip: there is one text of two stories.
        require(read.to_text() == text, Code::BadEvidence, || {
            "two stories: not in their canonical form".into()
        })?;
        Ok(read)
    }

    /// What this proves of the keys in it; refused as `bad-evidence` where it proves nothing.
    pub fn verify(&self) -> Outcome<Proven> {
        let ordered = order(&self.stories) == Ordering::Less;
        require(ordered, Code::BadEvidence, || {
            "two stories: expected two entries, the smaller one first".into()
        })?;
        let [first, second] = &self.stories;
        require(first.receipt.envelope != second.receipt.envelope, Code::BadEvidence, || {
            "two stories: they are one statement, and so one story".into()
        })?;
        let told = [self.judge(first)?, self.judge(second)?];
        let Self { ledger, agreement, number, .. } = *self;
        Ok(Proven { ledger, agreement, number, told })
    }

    fn judge(&self, story: &Story) -> Outcome<Told> {
        let Story { operator, receipt } = story;
        let own = checkpoint::own_line(&receipt.checkpoint, &self.ledger, operator);
        require(own.as_ref() == Some(&receipt.checkpoint), Code::BadEvidence, || {
            "two stories: a checkpoint with lines that are not its operator's".into()
        })?;
        require(receipt.envelope.len() <= MAX_EFFECT_ENVELOPE, Code::BadEvidence, || {
            "two stories: an envelope over 64 KiB states no dues".into()
        })?;
        let receipt::Proven { statement, leaf, head } =
            receipt.verify(self.ledger, operator).map_err(|refused| bad(&refused.detail))?;
        let amount = stated(&statement, &self.agreement, self.number)?;
        let author = statement.header().author.clone();
        Ok(Told { head, entry: leaf.seq, recorded_at: leaf.recorded_at, author, amount })
    }

    /// The stronger proof, where the heads alone contradict each other: this key has signed two
    /// histories, whatever they say. None where one log may hold both entries, or the keys differ.
    pub fn fraud_proof(&self) -> Option<FraudProof> {
        let [first, second] = &self.stories;
        if first.operator != second.operator {
            return None;
        }
        let placed = |receipt: &Receipt| Placed {
            leaf: leaf_hash(&receipt.leaf),
            path: receipt.path.clone(),
        };
        let (one, other) = (&first.receipt, &second.receipt);
        let parting = (one.index == other.index).then(|| Parting {
            index: one.index,
            first: placed(one),
            second: placed(other),
        });
        let notes = [&one.checkpoint[..], &other.checkpoint];
        FraudProof::new(self.ledger, &first.operator, notes, parting).ok()
    }
}

fn order([first, second]: &[Story; 2]) -> Ordering {
    let of = |story: &Story| (story.receipt.index, story.receipt.leaf.clone());
    of(first).cmp(&of(second))
}

/// The amount that a statement gives under the number.
fn stated(statement: &Statement, agreement: &Hash, number: u64) -> Outcome<u64> {
    for bytes in statement.events() {
        // The rest of it is of another book, and may be costly to read.
        let wire = Event::wire(bytes).map_err(|refused| bad(&refused.detail))?;
        if !Event::may_state_dues(&wire) {
            continue;
        }
        let event = Event::from_wire(wire).map_err(|refused| bad(&refused.detail))?;
        let dues = event.dues().iter();
        if let Some(due) = dues.clone().find(|d| d.agreement == *agreement && d.number == number) {
            return Ok(due.amount);
        }
    }
    Err(bad(&format!("an entry states no number {number} of that agreement")))
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadEvidence, format!("two stories: {why}"))
}
