//! Signed notes: the text form of everything a key says to other logs and witnesses.
//!
//! Owns the C2SP `signed-note` format: parsing, key ids, verifier keys, Ed25519 (type
//! 0x01) signatures. Guarantees that every part of a note has one spelling, so equal
//! notes are equal bytes. Leaves out what a text means ([`super::checkpoint`]) and the
//! signatures of witnesses ([`super::cosignature`]).
//!
//! ```text
//! NOTE      text ending in a newline, blank line, one or more signature lines:
//!           "— " name " " base64(key id (4) || signature) newline
//! KEY ID    SHA-256(name || 0x0A || type || public key)[..4]
//! VERIFIER  name "+" hex(key id) "+" base64(type || public key)
//! ```
//!
//! The last blank line parts text from signatures. UTF-8, no control characters but
//! the newline; a name is not empty and has no spaces and no plus sign.

use super::{Hash, PublicKey, SecretKey, fixed};
use crate::reject::{Code, Outcome, Reject, require};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use std::fmt;

/// The most a note may have, in bytes: room for some forty post-quantum signatures of
/// 5 kB each.
pub const MAX_NOTE: usize = 256 * 1024;

/// The signature type of Ed25519 over the note's text.
pub const ED25519: u8 = 0x01;

/// A parsed note. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// The signed text, with its final newline.
    pub text: &'a str,
    /// The signature lines, in order, at least one.
    pub signatures: Vec<SignatureLine<'a>>,
}

/// One signature line, of whatever key and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine<'a> {
    /// The key's name.
    pub name: &'a str,
    /// The key's id under that name.
    pub key_id: [u8; 4],
    /// What follows the key id: for Ed25519, 64 bytes.
    pub signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Takes a note apart; refuses every other form as `bad-note`.
    pub fn parse(note: &'a str) -> Outcome<Self> {
        require(note.len() <= MAX_NOTE, Code::BadNote, || {
            format!("note: expected at most {MAX_NOTE} bytes, found {}", note.len())
        })?;
        require(!note.contains(|c: char| c < ' ' && c != '\n'), Code::BadNote, || {
            "note: contains a control character".into()
        })?;
        let (text, lines) = note
            .rfind("\n\n")
            .map(|blank| (&note[..=blank], &note[blank + 2..]))
            .ok_or_else(|| bad("note: no blank line before the signatures"))?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or_else(|| bad("note: expected signature lines that end in a newline"))?;
        let signatures = lines.split('\n').map(SignatureLine::parse).collect::<Outcome<_>>()?;
        Ok(Self { text, signatures })
    }
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Outcome<Self> {
        let (name, encoded) = line
            .strip_prefix("— ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or_else(|| bad("signature line: expected an em dash, a name and base64"))?;
        require_name(name)?;
        let blob = decode_base64(encoded, "signature line")?;
        match blob.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name, key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(bad("signature line: expected a key id and a signature")),
        }
    }
}

impl fmt::Display for SignatureLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id[..], &self.signature].concat();
        writeln!(f, "— {} {}", self.name, BASE64_STANDARD.encode(blob))
    }
}

/// The id of a key: `SHA-256(name || 0x0A || kind || key)[..4]`. It finds the key of a
/// line; it proves nothing.
pub fn key_id(name: &str, kind: u8, key: &[u8]) -> [u8; 4] {
    let digest: Hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind])
        .chain_update(key)
        .finalize()
        .into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// `text`, which must end in a newline, as a note signed by `key` under `name`.
pub fn sign(name: &str, text: &str, key: &SecretKey) -> String {
    debug_assert!(text.ends_with('\n') && require_name(name).is_ok(), "our own text and name");
    let key_id = key_id(name, ED25519, &key.public().bytes());
    let line = SignatureLine { name, key_id, signature: key.sign(text.as_bytes()).to_vec() };
    format!("{text}\n{line}")
}

/// An Ed25519 key under the name that it signs with, for signatures of type `KIND`;
/// displayed as the "verifier key" of trust files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier<const KIND: u8> {
    name: String,
    key: PublicKey,
}

/// The key of who signs notes themself: the operator of a ledger.
pub type VerifierKey = Verifier<ED25519>;

impl<const KIND: u8> Verifier<KIND> {
    /// Gives `key` a name; refuses a name that no note can carry.
    pub fn new(name: &str, key: PublicKey) -> Outcome<Self> {
        require_name(name)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// Reads what `Display` writes. Other key types are refused, as are keys that are
    /// not admitted (`bad-key`).
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("verifier key: expected name+id+key"));
        };
        let blob: [u8; 33] =
            fixed(&decode_base64(encoded, "verifier key")?, Code::BadNote, "verifier key")?;
        let [kind, key @ ..] = blob;
        require(kind == KIND, Code::BadNote, || {
            format!("verifier key: expected type {KIND}, found {kind}")
        })?;
        let parsed = Self::new(name, PublicKey::admit(&key)?)?;
        // Settles the id, and that there is one spelling.
        require(parsed.to_string() == text, Code::BadNote, || {
            format!("verifier key: expected {parsed}, found another id or spelling")
        })?;
        Ok(parsed)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its id, as its lines bear it.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, KIND, &self.key.bytes())
    }

    /// The lines of a note that say they are this key's.
    pub fn lines<'n>(&self, note: &'n Note<'_>) -> impl Iterator<Item = &'n SignatureLine<'n>> {
        let id = self.id();
        note.signatures.iter().filter(move |line| line.name == self.name && line.key_id == id)
    }
}

impl VerifierKey {
    /// Checks that `note` bears exactly one line of this key and that it verifies; lines
    /// of other keys, also under the same name or id, are ignored.
    pub fn verify(&self, note: &Note<'_>) -> Outcome {
        let mut ours = self.lines(note);
        let (Some(line), None) = (ours.next(), ours.next()) else {
            return Err(bad(&format!("note: expected one signature line of {self}")));
        };
        let signature = fixed(&line.signature, Code::BadNote, "signature line")?;
        require(self.key.verify(note.text.as_bytes(), &signature), Code::BadNote, || {
            format!("note: the signature of {self} does not verify")
        })
    }
}

impl<const KIND: u8> fmt::Display for Verifier<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = BASE64_STANDARD.encode([&[KIND][..], &self.key.bytes()].concat());
        write!(f, "{}+{}+{blob}", self.name, hex::encode(self.id()))
    }
}

/// Decodes padded standard base64 in its one spelling: what encodes back to `text`.
pub(super) fn decode_base64(text: &str, what: &str) -> Outcome<Vec<u8>> {
    BASE64_STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| BASE64_STANDARD.encode(bytes) == text)
        .ok_or_else(|| bad(&format!("{what}: expected canonical base64")))
}

pub(super) fn require_name(name: &str) -> Outcome {
    let fits = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    require(fits, Code::BadNote, || "key name: empty, or with a space or plus sign".into())
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadNote, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification C2SP/signed-note.
    const PUBLISHED: &str = "Ognuno sta solo sul cuor della terra\n\
        trafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    fn verifier() -> VerifierKey {
        let key = SecretKey::from_seed(&[5; 32]).public();
        VerifierKey::new("example.com/log", key).expect("a name")
    }

    fn signed() -> String {
        sign("example.com/log", "one\n\ntwo\n", &SecretKey::from_seed(&[5; 32]))
    }

    #[test]
    fn the_published_note_is_taken_apart_and_put_together() {
        let note = Note::parse(PUBLISHED).expect("published");
        assert!(note.text.ends_with(":\n\ned è subito sera.\n"), "the last blank line parts");
        let [line] = &note.signatures[..] else { panic!("one line") };
        assert_eq!(
            (line.name, line.key_id),
            ("quasimodo.example/salvatore", [0x36, 0x7b, 0xa0, 0x4b])
        );
        assert_eq!(line.signature.len(), 64);
        assert_eq!(format!("{}\n{line}", note.text), PUBLISHED);
    }

    #[test]
    fn notes_in_another_form_are_refused() {
        let signed = signed();
        let line = signed.lines().last().expect("the signature").to_owned();
        let cases = [
            String::new(),
            "text\n".into(),
            "text\n\n".into(),
            format!("text\n{line}\n"),
            signed.trim_end().into(),
            signed.replace('\n', "\r\n"),
            signed.replace("one", "o\tne"),
            signed.replace('—', "-"),
            signed.replace("— ", "—  "),
            signed.replace(" example", "  example"),
            signed.replace("example.com/log", "example.com+log"),
            signed.replace("example.com/log", "example.com\u{a0}log"),
            signed.trim_end().trim_end_matches('=').to_owned() + "\n",
            format!("{} \n", signed.trim_end()),
            "text\n\n— name AAAAAA==\n".into(), // a key id and no signature
            "text\n\n— name \n".into(),
            // The last character's spare bits set: another spelling of the same bytes.
            "text\n\n— name AAAAAAB=\n".into(),
            signed.clone() + "\n",
            signed.clone() + "more\n",
            format!("{}{signed}", "x".repeat(MAX_NOTE)),
        ];
        for case in cases {
            let shown: String = case.chars().take(200).collect();
            assert_eq!(Note::parse(&case).map_err(|r| r.code), Err(Code::BadNote), "{shown:?}");
        }
    }

    #[test]
    fn lines_of_other_keys_are_ignored_and_ours_is_there_once() {
        let (signed, verifier) = (signed(), verifier());
        let (head, line) = signed.split_at(signed.rfind('—').expect("a line"));
        let other = sign("example.com/log", "any\n", &SecretKey::from_seed(&[6; 32]));
        let other = &other[other.rfind('—').expect("a line")..];
        let judge = |note: String| verifier.verify(&Note::parse(&note).expect("well formed"));
        assert_eq!(judge(format!("{head}{other}{line}— ml.dsa AAAAAAAA\n")), Ok(()));
        for absent in [format!("{head}{other}"), format!("{head}{line}{line}")] {
            assert_eq!(judge(absent).map_err(|r| r.code), Err(Code::BadNote));
        }
        assert!(judge(signed.replace("two", "too")).is_err(), "another text");
        // Our name and id with a signature of another length is a broken line of ours.
        let id = key_id("example.com/log", ED25519, &verifier.key().bytes());
        let short = SignatureLine { name: "example.com/log", key_id: id, signature: vec![0; 63] };
        assert!(judge(format!("{head}{short}")).is_err());
    }

    #[test]
    fn a_verifier_key_has_one_spelling() {
        let text = verifier().to_string();
        assert_eq!(VerifierKey::parse(&text), Ok(verifier()));
        let id = &text["example.com/log+".len()..][..8];
        let cases = [
            String::new(),
            "name".into(),
            text.replace(id, "00000000"),
            text.replace(id, &format!("0{id}")),
            text.replace("example", "example2"),
            format!("{text}="),
            format!("{text}+"),
            format!("{text}\n"),
            text.replace(id, &id.to_uppercase()),
        ];
        for case in cases {
            assert!(case != text && VerifierKey::parse(&case).is_err(), "{case:?}");
        }
        let weak = BASE64_STANDARD.encode([&[ED25519][..], &[0; 32]].concat());
        let refused = VerifierKey::parse(&format!("name+00000000+{weak}"));
        assert_eq!(refused.map_err(|r| r.code), Err(Code::BadKey));
        let other_type = BASE64_STANDARD.encode([0x04; 33]);
        let refused = VerifierKey::parse(&format!("name+00000000+{other_type}"));
        assert_eq!(refused.map_err(|r| r.code), Err(Code::BadNote));
    }
}
