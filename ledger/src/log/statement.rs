//! Statements: what an author signs, and the one way to believe it.
//!
//! Owns the envelope, the header and their limits. Guarantees that a [`Statement`] was
//! signed by the key in its envelope, has one reading and keeps its limits, and that
//! nothing was decoded before its signature was checked. Leaves out whose key it is,
//! which ledger and time it is for (`book`, [`super::replay`]) and what an event means.
//!
//! The form is documented in `statement.proto`: `body || key (32) || signature (64)`,
//! Ed25519 over the DSSE pre-authentication encoding of the body's bytes as sent.

use super::canonical::{decode_shared, hash32};
use super::key::{KeyCache, SecretKey};
use super::{Handle, Hash, LedgerId, fixed};
use crate::reject::{Code, Outcome, require};
use prost::{Message, bytes::Bytes};
use std::io::Write as _;
use subak_proto::v1;

/// The DSSE payload type: keeps a statement's signature from being any other's.
pub const STATEMENT_TYPE: &str = "application/vnd.subak.statement.v1+protobuf";

/// The most an envelope may have, in bytes.
pub const MAX_ENVELOPE: usize = 256 * 1024;

/// The most an envelope may have, in bytes, where an event in it is numbered for
/// another ledger: it must fit into a statement there. Which events are is the book's
/// to say, so it holds them to this.
pub const MAX_EFFECT_ENVELOPE: usize = 64 * 1024;

/// The most events in a statement; the least is 1.
pub const MAX_EVENTS: usize = 1_000;

/// How far `expires_at` may lie after `recorded_at`, in milliseconds: 30 days.
pub const MAX_LIFETIME_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

const BODY_CONTEXT: &str = "subak 2026 statement body v1";
const KEY_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;

/// What is signed for `body`: the DSSE v1 pre-authentication encoding,
/// `"DSSEv1" SP len(type) SP type SP len(body) SP body`, lengths in decimal.
pub fn pae(body: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(body.len() + 64);
    let head = format_args!("DSSEv1 {} {STATEMENT_TYPE} {} ", STATEMENT_TYPE.len(), body.len());
    signed.write_fmt(head).expect("a Vec grows as it must");
    signed.extend_from_slice(body);
    signed
}

/// The digest that names a body, for replay and for approvals: BLAKE3 derive_key.
pub fn body_digest(body: &[u8]) -> Hash {
    blake3::derive_key(BODY_CONTEXT, body)
}

/// A ledger's position as the author saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// How many entries, at least 1.
    pub size: u64,
    /// The chain hash of entry `size - 1`.
    pub chain: Hash,
}

/// What a statement says of itself. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The ledger it is for; [`LedgerId::ZERO`] in a genesis.
    pub ledger: LedgerId,
    /// Who says it.
    pub author: Handle,
    /// Random, so that saying the same thing twice makes two bodies.
    pub nonce: [u8; 16],
    /// By the author's clock; no rule reads it.
    pub created_at: u64,
    /// Not to be recorded after this.
    pub expires_at: u64,
    /// The history that the author built on.
    pub basis: Option<Basis>,
}

/// A statement before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it says of itself.
    pub header: Header,
    /// Encodings of `Event`, 1 to [`MAX_EVENTS`].
    pub events: Vec<Vec<u8>>,
}

impl Draft {
    /// The canonical bytes to show and to sign. Limits are judged where they count, at
    /// [`Unverified::verify`].
    pub fn body(&self) -> Vec<u8> {
        let Header { ledger, author, nonce, created_at, expires_at, basis } = &self.header;
        let basis = basis.map(|b| v1::Basis { size: b.size, chain: b.chain.to_vec().into() });
        v1::StatementBody {
            ledger: ledger.0.to_vec().into(),
            author: author.to_string(),
            nonce: nonce.to_vec().into(),
            created_at: *created_at,
            expires_at: *expires_at,
            basis,
            event: self.events.iter().cloned().map(Bytes::from).collect(),
        }
        .encode_to_vec()
    }

    /// The envelope, signed by `key`.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        seal(self.body(), key)
    }
}

fn seal(mut body: Vec<u8>, key: &SecretKey) -> Vec<u8> {
    let signature = key.sign(&pae(&body));
    body.extend_from_slice(&key.public().bytes());
    body.extend_from_slice(&signature);
    body
}

/// An envelope of a permitted size, of which nothing is known yet.
#[derive(Debug, Clone)]
pub struct Unverified {
    envelope: Bytes,
}

impl Unverified {
    /// Judges the length, and nothing else.
    pub fn parse(envelope: &[u8]) -> Outcome<Self> {
        Self::take(envelope.to_vec())
    }

    /// As [`Unverified::parse`], without a copy.
    pub fn take(envelope: impl Into<Bytes>) -> Outcome<Self> {
        let envelope = envelope.into();
        let least = KEY_LEN + SIGNATURE_LEN + 1;
        require(envelope.len() <= MAX_ENVELOPE, Code::TooLarge, || {
            format!("envelope: expected at most {MAX_ENVELOPE} bytes, found {}", envelope.len())
        })?;
        require(envelope.len() >= least, Code::Malformed, || {
            format!("envelope: expected at least {least} bytes, found {}", envelope.len())
        })?;
        Ok(Self { envelope })
    }

    /// Admits the key, checks the signature over the body's bytes, and only then decodes
    /// them and holds them to the canonical form and the limits.
    ///
    /// Needs nothing shared but `keys`: with one [`KeyCache`] a thread, statements are
    /// verified on every core.
    pub fn verify(self, keys: &mut KeyCache) -> Outcome<Statement> {
        let (body, key, signature) = split(&self.envelope);
        let key = keys.admit(key)?;
        require(key.verify(&pae(body), signature), Code::BadSignature, || {
            format!("statement: the signature does not verify under {key:?}")
        })?;
        Statement::read(self.envelope)
    }

    /// Decodes without checking the signature: for a node that reads back from its own store
    /// what it verified when it appended it, and for an auditor who has verified the same bytes
    /// before and recomputes their place under the root remembered from then. A mirror, whose
    /// point is not to believe a store, never calls this.
    pub fn trust_stored(self) -> Outcome<Statement> {
        Statement::read(self.envelope)
    }
}

/// Body, key and signature of an envelope that [`Unverified::parse`] let through.
fn split(envelope: &[u8]) -> (&[u8], &[u8; KEY_LEN], &[u8; SIGNATURE_LEN]) {
    let fits = "parse refuses what is shorter than key and signature";
    let (rest, signature) = envelope.split_last_chunk().expect(fits);
    let (body, key) = rest.split_last_chunk().expect(fits);
    (body, key, signature)
}

/// A verified statement. Immutable: what is read from it is what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    header: Header,
    /// Parts of the envelope.
    events: Vec<Bytes>,
    body_digest: Hash,
    envelope: Bytes,
}

impl Statement {
    /// Form first, limits after: a body that is not canonical has no fields to speak of.
    fn read(envelope: Bytes) -> Outcome<Self> {
        let (body, _, _) = split(&envelope);
        let decoded: v1::StatementBody = decode_shared(&envelope.slice_ref(body), "statement")?;
        let body_digest = body_digest(body);
        let count = decoded.event.len();
        require((1..=MAX_EVENTS).contains(&count), Code::TooManyEvents, || {
            format!("statement.event: expected 1 to {MAX_EVENTS}, found {count}")
        })?;
        let header = Header {
            ledger: LedgerId(hash32(&decoded.ledger, "statement.ledger")?),
            author: Handle::new(&decoded.author)?,
            nonce: fixed(&decoded.nonce, Code::Malformed, "statement.nonce")?,
            created_at: positive(decoded.created_at, "statement.created_at")?,
            expires_at: positive(decoded.expires_at, "statement.expires_at")?,
            basis: decoded.basis.as_ref().map(read_basis).transpose()?,
        };
        Ok(Self { header, events: decoded.event, body_digest, envelope })
    }

    /// What the statement says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The encodings of its events, 1 to [`MAX_EVENTS`], in order. They are not decoded
    /// here, and so not known to be canonical.
    pub fn events(&self) -> &[Bytes] {
        &self.events
    }

    /// The public key that signed it.
    pub fn key(&self) -> Hash {
        *split(&self.envelope).1
    }

    /// The digest of the body: what replay and approvals go by. See [`body_digest`].
    pub fn body_digest(&self) -> Hash {
        self.body_digest
    }

    /// The signed bytes.
    pub fn body(&self) -> &[u8] {
        split(&self.envelope).0
    }

    /// Body, key and signature, as sent.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// As [`Statement::envelope`], without a copy.
    pub fn shared(&self) -> Bytes {
        self.envelope.clone()
    }

    /// Plain BLAKE3 of the whole envelope: what an entry's leaf holds.
    pub fn envelope_digest(&self) -> Hash {
        blake3::hash(&self.envelope).into()
    }
}

fn positive(value: u64, field: &str) -> Outcome<u64> {
    require(value > 0, Code::Malformed, || format!("{field}: expected at least 1, found 0"))?;
    Ok(value)
}

fn read_basis(basis: &v1::Basis) -> Outcome<Basis> {
    Ok(Basis {
        size: positive(basis.size, "statement.basis.size")?,
        chain: hash32(&basis.chain, "statement.basis.chain")?,
    })
}

#[cfg(test)]
mod tests;
