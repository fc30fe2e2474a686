//! The file in which a handover travels between those who sign it.
//!
//! Owns its form: the event without what is still to be signed. Guarantees that a file is read in one
//! spelling only, and that its checkpoint is signed by whom it names; of what else it says
//! nothing is believed, since the rules check all of it. Leaves out keys and ledgers.
//!
//! ```text
//! subak/handover@v1
//! to <64 hex digits>                  the new operator's key
//! clerk <64 hex digits>               the clerk's key from then on
//! before <64 hex digits>              the key of the operator whose place is taken
//! until <milliseconds since 1970>     when what is signed here ends
//! possession <128 hex digits>         the new key's signature
//! consent <64 hex digits> <128 hex digits>    a key and its signature; any number, by key
//!
//! <the checkpoint at which it takes place, a signed note>
//! ```

use crate::failure::{Done, Failure};
use std::{fmt::Write as _, fs::File, io::Read as _, path::Path};
use subak_ledger::{
    book::handover::{MAX_CONSENTS, handover_text},
    log::{Checkpoint, Hash, LedgerId, PublicKey, checkpoint::ledger_of_origin, note::MAX_NOTE},
};
use subak_proto::v1;

const FORMAT: &str = "subak/handover@v1";
/// A file is smaller than this, in bytes.
const MOST_BYTES: usize = MAX_NOTE + MAX_CONSENTS * 256 + 1_024;

/// A handover on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoverFile {
    /// The event as far as it is signed.
    pub event: v1::Handover,
    /// Whose place is taken.
    pub before: Hash,
    /// The ledger and its head, as that operator has signed them.
    pub head: Checkpoint,
}

impl HandoverFile {
    /// A handover of the operator `before`.
    pub fn new(ledger: LedgerId, before: Hash, event: v1::Handover) -> Done<Self> {
        let head = Checkpoint::open(&event.checkpoint, ledger, &PublicKey::admit(&before)?)?;
        Ok(Self { event, before, head })
    }

    /// Reads one, and checks that its checkpoint is signed by whom it names.
    pub fn read(path: &Path) -> Done<Self> {
        let mut bytes = Vec::new();
        let limit = MOST_BYTES as u64 + 1;
        let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        read.map_err(|error| Failure::file(path, &error))?;
        let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= MOST_BYTES);
        text.as_deref().and_then(parse).ok_or_else(|| {
            Failure::refused(
                "bad-handover",
                format!("{}: it is no file of a handover, or not whole", path.display()),
                "get it again from whoever has made it: `subak operator offer`",
            )
        })
    }

    /// What is to be signed.
    pub fn text(&self) -> Vec<u8> {
        let key = |bytes: &[u8]| bytes.try_into().expect("read or made with 32 bytes");
        let (to, clerk) = (key(&self.event.key), key(&self.event.clerk));
        handover_text(&self.head, &self.before, (&to, &clerk), self.event.expires_at)
    }

    /// Adds a signature; one by the same key gives way.
    pub fn add(&mut self, key: Hash, signature: [u8; 64]) {
        let consent = &mut self.event.consent;
        consent.retain(|other| other.key != key);
        consent.push(v1::Consent { key: key.to_vec(), signature: signature.to_vec() });
        consent.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let v1::Handover { key, clerk, checkpoint, possession, consent, expires_at } = &self.event;
        let hex = |bytes: &[u8]| hex::encode(bytes);
        let mut text = format!(
            "{FORMAT}\nto {}\nclerk {}\nbefore {}\nuntil {expires_at}\npossession {}\n",
            hex(key),
            hex(clerk),
            hex(&self.before),
            hex(possession)
        );
        for c in consent {
            let _ = writeln!(text, "consent {} {}", hex(&c.key), hex(&c.signature));
        }
        text + "\n" + checkpoint
    }
}

fn parse(text: &str) -> Option<HandoverFile> {
    let (front, checkpoint) = text.split_once("\n\n")?;
    let mut lines = front.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let mut field = |name: &str, len: usize| {
        let value = lines.next()?.strip_prefix(name)?.strip_prefix(' ')?;
        bytes(value, len)
    };
    let (key, clerk) = (field("to", 32)?, field("clerk", 32)?);
    let before = field("before", 32)?;
    let expires_at = lines.next()?.strip_prefix("until ")?.parse().ok()?;
    let possession = bytes(lines.next()?.strip_prefix("possession ")?, 64)?;
    let consent = lines.map(|line| {
        let (key, signature) = line.strip_prefix("consent ")?.split_once(' ')?;
        Some(v1::Consent { key: bytes(key, 32)?, signature: bytes(signature, 64)? })
    });
    let consent: Vec<_> = consent.collect::<Option<_>>()?;
    let ledger = ledger_of_origin(checkpoint.lines().next()?)?;
    let checkpoint = checkpoint.to_owned();
    let event = v1::Handover { key, clerk, checkpoint, possession, consent, expires_at };
    let read = HandoverFile::new(ledger, before.try_into().ok()?, event).ok()?;
    (read.to_text() == text).then_some(read)
}

fn bytes(text: &str, len: usize) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|bytes| bytes.len() == len)
}
