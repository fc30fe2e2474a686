//! Checkpoints: a ledger's head, signed by its operator.
//!
//! Owns the C2SP `tlog-checkpoint` text of a ledger. Guarantees that whoever opens one
//! has a head of *that* ledger, signed by *that* key. Leaves out whether it is
//! consistent with another head ([`super::tree`]), who the operator is (`book`) and
//! witnesses' cosignatures, which are further lines of the same note.
//!
//! ```text
//! subak/<64 hex digits of the ledger id>
//! <size, decimal, without leading zeros>
//! <root, base64>
//!
//! — subak/<64 hex digits of the ledger id> <base64>
//! ```
//!
//! Exactly three lines: an extension line would be signed, but nobody could audit it.

use super::note::{self, Note, VerifierKey, decode_base64};
use super::{Hash, LedgerId, PublicKey, SecretKey, fixed};
use crate::reject::{Code, Outcome, Reject, require};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The head of a ledger: so many entries, under this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger.
    pub ledger: LedgerId,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over their leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: three lines.
    pub fn body(&self) -> String {
        let Self { ledger, size, root } = self;
        format!("{}\n{size}\n{}\n", origin(ledger), BASE64_STANDARD.encode(root))
    }

    /// The signed note. Only after what it says is durable: an operator that signs a
    /// head and loses it has signed a fork.
    pub fn sign(&self, key: &SecretKey) -> String {
        note::sign(&origin(&self.ledger), &self.body(), key)
    }

    /// The head in `text`, if it is a checkpoint of `ledger` signed by `operator`.
    /// Signature lines of other keys are ignored. Refuses as `bad-note` what is no
    /// signed note, as `bad-checkpoint` the rest.
    pub fn open(text: &str, ledger: LedgerId, operator: &PublicKey) -> Outcome<Self> {
        let note = Note::parse(text)?;
        let verifier = verifier(&ledger, operator);
        // The signature first: what it does not cover is not read.
        verifier.verify(&note).map_err(|refused| bad(refused.detail))?;
        Self::read(note.text, ledger)
    }

    fn read(text: &str, ledger: LedgerId) -> Outcome<Self> {
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let [first, size, root] = lines[..] else {
            return Err(bad(format!("checkpoint: expected 3 lines, found {}", lines.len())));
        };
        let origin = origin(&ledger);
        require(first == origin, Code::BadCheckpoint, || {
            format!("checkpoint origin: expected {origin}, found {first:?}")
        })?;
        let size = parse_decimal(size)?;
        let root = decode_base64(root, "checkpoint root")
            .and_then(|root| fixed(&root, Code::BadCheckpoint, "checkpoint root"))
            .map_err(|refused| bad(refused.detail))?;
        let read = Self { ledger, size, root };
        // Whatever the parser above lets slip: there is one text of a head.
        require(read.body() == text, Code::BadCheckpoint, || {
            "checkpoint: not in its canonical form".into()
        })?;
        Ok(read)
    }
}

/// How many entries a note says that it covers: its second line, in its one spelling. Nothing is
/// verified, so it is for what does no harm where it is false: what to fetch, where to compare, and
/// which operator should have signed it.
pub fn claimed_size(note: &str) -> Option<u64> {
    parse_decimal(note.split('\n').nth(1)?).ok()
}

/// The name under which a ledger is known to witnesses and monitors, and under which
/// its operator signs.
pub fn origin(ledger: &LedgerId) -> String {
    format!("subak/{ledger}")
}

/// The operator's key under the ledger's name.
pub fn verifier(ledger: &LedgerId, operator: &PublicKey) -> VerifierKey {
    VerifierKey::new(&origin(ledger), operator.clone())
        .expect("an origin has neither spaces nor a plus sign")
}

/// Whether a checkpoint has a line that says it is this operator's: whether it is,
/// [`Checkpoint::open`] tells.
pub fn bears(text: &str, ledger: &LedgerId, operator: &PublicKey) -> bool {
    let verifier = verifier(ledger, operator);
    Note::parse(text).is_ok_and(|note| verifier.lines(&note).next().is_some())
}

/// The checkpoint with no line but this operator's: one spelling, whoever else has signed it. None
/// where it has no such line. Whether that holds, [`Checkpoint::open`] tells.
pub fn own_line(text: &str, ledger: &LedgerId, operator: &PublicKey) -> Option<String> {
    let note = Note::parse(text).ok()?;
    let verifier = verifier(ledger, operator);
    let own = verifier.lines(&note).next()?;
    Some(format!("{}\n{own}", note.text))
}

/// The operator's verifier key for trust files: `subak/<id>+<key id>+<key>`.
pub fn verifier_key(ledger: &LedgerId, operator: &PublicKey) -> String {
    verifier(ledger, operator).to_string()
}

/// Reads what [`verifier_key`] writes.
pub fn parse_verifier_key(text: &str) -> Outcome<(LedgerId, PublicKey)> {
    let verifier = VerifierKey::parse(text)?;
    let ledger = ledger_of_origin(verifier.name()).ok_or_else(|| {
        let why = format!("verifier key: expected subak/<ledger id>, found {:?}", verifier.name());
        Reject::new(Code::BadNote, why)
    })?;
    Ok((ledger, verifier.key().clone()))
}

/// The ledger that [`origin`] names so.
pub fn ledger_of_origin(origin: &str) -> Option<LedgerId> {
    LedgerId::from_hex(origin.strip_prefix("subak/")?).ok()
}

/// A number in its one spelling; refused by writing it again.
pub(super) fn parse_decimal(text: &str) -> Outcome<u64> {
    text.parse().ok().filter(|size: &u64| size.to_string() == text).ok_or_else(|| {
        let found: String = text.chars().take(40).collect();
        bad(format!("checkpoint size: expected a decimal number, found {found:?}"))
    })
}

fn bad(why: impl Into<String>) -> Reject {
    Reject::new(Code::BadCheckpoint, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: LedgerId = LedgerId([0x5a; 32]);

    fn key() -> SecretKey {
        SecretKey::from_seed(&[8; 32])
    }

    fn head() -> Checkpoint {
        Checkpoint { ledger: LEDGER, size: 20_852_163, root: [0xfe; 32] }
    }

    fn open(text: &str) -> Result<Checkpoint, Code> {
        Checkpoint::open(text, LEDGER, &key().public()).map_err(|refused| refused.code)
    }

    #[test]
    fn a_signed_head_is_opened() {
        for size in [0, 1, 20_852_163, u64::MAX] {
            let head = Checkpoint { size, ..head() };
            assert_eq!(open(&head.sign(&key())), Ok(head));
        }
        let body = format!("subak/{}\n20852163\n/v7+", "5a".repeat(32));
        assert!(head().body().starts_with(&body), "{}", head().body());
        assert_eq!(head().body().lines().count(), 3);
    }

    #[test]
    fn another_ledger_or_operator_is_refused() {
        let text = head().sign(&key());
        let other = SecretKey::from_seed(&[9; 32]).public();
        assert!(Checkpoint::open(&text, LEDGER, &other).is_err());
        assert!(Checkpoint::open(&text, LedgerId([0x5b; 32]), &key().public()).is_err());
        // Signed under this ledger's name, but about another ledger.
        let foreign = Checkpoint { ledger: LedgerId([0x5b; 32]), ..head() }.body();
        let crossed = note::sign(&origin(&LEDGER), &foreign, &key());
        assert_eq!(open(&crossed), Err(Code::BadCheckpoint));
    }

    /// Even the operator cannot sign a head that has a second spelling.
    #[test]
    fn a_signed_text_in_another_form_is_refused() {
        let root = BASE64_STANDARD.encode([0xfe; 32]);
        let origin = origin(&LEDGER);
        let cases = [
            format!("{origin}\n007\n{root}\n"),
            format!("{origin}\n+7\n{root}\n"),
            format!("{origin}\n-7\n{root}\n"),
            format!("{origin}\n 7\n{root}\n"),
            format!("{origin}\n\n{root}\n"),
            format!("{origin}\n٧\n{root}\n"),
            format!("{origin}\n18446744073709551616\n{root}\n"),
            format!("{origin}\n7\n{}\n", root.trim_end_matches('=')),
            format!("{origin}\n7\n{}\n", root.replace("/v4=", "/v5=")),
            format!("{origin}\n7\n{}\n", BASE64_STANDARD.encode([0xfe; 31])),
            format!("{origin}\n7\n{}\n", BASE64_STANDARD.encode([0xfe; 33])),
            format!("{origin}\n7\n{root}\nextension\n"),
            format!("{origin}\n7\n{root}\n\n"),
            format!("{origin}\n7\n"),
            format!("{}\n7\n{root}\n", origin.to_uppercase()),
            format!("\n{origin}\n7\n{root}\n"),
        ];
        let sound = format!("{origin}\n7\n{root}\n");
        assert!(open(&note::sign(&origin, &sound, &key())).is_ok(), "the control");
        for case in cases {
            assert_ne!(case, sound);
            let signed = note::sign(&origin, &case, &key());
            assert_eq!(open(&signed), Err(Code::BadCheckpoint), "{case:?}");
        }
    }

    #[test]
    fn no_bit_of_a_checkpoint_can_change() {
        let text = head().sign(&key());
        for bit in 0..text.len() * 8 {
            let mut altered = text.clone().into_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            if let Ok(altered) = String::from_utf8(altered) {
                assert!(open(&altered).is_err(), "bit {bit}: {altered:?}");
            }
        }
        for length in (0..text.len()).filter(|length| text.is_char_boundary(*length)) {
            assert!(open(&text[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_size_is_claimed_in_one_spelling() {
        assert_eq!(claimed_size(&head().sign(&key())), Some(head().size));
        for (line, size) in [("0", Some(0)), ("12", Some(12)), ("012", None), ("+12", None)] {
            assert_eq!(claimed_size(&format!("origin\n{line}\nroot\n")), size, "{line}");
        }
        for nothing in ["", "origin", "origin\n\n", "origin\n-1\n", "o\n99999999999999999999\n"] {
            assert_eq!(claimed_size(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn other_signatures_are_ignored() {
        let text = head().sign(&key());
        let witnessed = format!("{text}— witness.example/w1 AAAAAAECAwQ=\n");
        assert_eq!(open(&witnessed), Ok(head()));
    }

    #[test]
    fn a_verifier_key_names_ledger_and_operator() {
        let text = verifier_key(&LEDGER, &key().public());
        assert_eq!(parse_verifier_key(&text), Ok((LEDGER, key().public())));
        let foreign = VerifierKey::new("example.com/log", key().public()).expect("a name");
        assert_eq!(
            parse_verifier_key(&foreign.to_string()).map_err(|r| r.code),
            Err(Code::BadNote)
        );
    }
}
