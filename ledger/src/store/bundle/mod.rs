//! Bundles: ledgers in one file that is carried elsewhere, and verified there with public keys alone.
//!
//! Owns the format, version 1; [`export`] writes it, [`BundleReader`] reads it. Guarantees that
//! both take one pass and memory that does not grow with the log, however hostile the file: the
//! window of the compression and the length of each record are bounded. Leaves out all judgement:
//! like every store a bundle is believed in nothing, and the audit recomputes what it says.
//!
//! A bundle is a zstd file (RFC 8878) that `zstd -d` also takes: a skippable frame that says what it is,
//! then one frame with a content checksum and a window of at most 2^23 bytes.
//!
//! ```text
//! FILE      50 2a 4d 18 | 10 00 00 00 | "subak/bundle@v1\n" | zstd frame of the records
//! RECORDS   (LEDGER CHECKPOINT? WITNESSED?)+  (SECTION ENTRY* TEXT*)+  END      numbers big endian
//! RECORD    kind (1 byte) | length of what follows (u32) | what follows
//!
//! LEDGER      'L'  id (32) | number of entries (u64) | name (UTF-8)
//! CHECKPOINT  'C'  the signed note as stored, with all its lines
//! WITNESSED   'W'  the signed note with the witnesses' lines, of this head or an earlier one
//! SECTION     'S'  id (32): what belongs to which ledger, in the order of the LEDGERs
//! ENTRY       'E'  leaf (113) | envelope; as many as the LEDGER says, from entry 0 on
//! TEXT        'D'  commitment (32) | salt (32) | tag | author | field | bytes,
//!                  of these the first three with their length before them (u32);
//!                  ascending by commitment
//! END         'Z'  nothing, and nothing after it
//! ```
//!
//! The checkpoints come first, so that whoever reads on knows at which sizes roots are wanted.
//! Chain hashes and tree nodes follow from the leaves and are not in it.

mod read;
mod write;

pub use read::BundleReader;
pub use write::{Exported, export};

use crate::log::{LEAF_LEN, note::MAX_NOTE, statement::MAX_ENVELOPE};

/// The frame that a file begins with: skippable, 16 bytes long.
const FRAME: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 16, 0, 0, 0];
const NAME: &[u8] = b"subak/bundle@v";
const VERSION: i64 = 1;
/// Frame, name, version, newline.
const MAGIC: &[u8; 24] = b"\x50\x2a\x4d\x18\x10\0\0\0subak/bundle@v1\n";
/// Base 2 logarithm of the most that a decoder keeps of what it has read, in bytes.
const WINDOW_LOG: u32 = 23;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ledger,
    Checkpoint,
    Witnessed,
    Section,
    Entry,
    Text,
    End,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Ledger,
        Self::Checkpoint,
        Self::Witnessed,
        Self::Section,
        Self::Entry,
        Self::Text,
        Self::End,
    ];

    fn byte(self) -> u8 {
        match self {
            Self::Ledger => b'L',
            Self::Checkpoint => b'C',
            Self::Witnessed => b'W',
            Self::Section => b'S',
            Self::Entry => b'E',
            Self::Text => b'D',
            Self::End => b'Z',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// The most that a record of this kind may hold, in bytes.
    fn most(self) -> usize {
        match self {
            Self::Ledger => 32 + 8 + 64,
            Self::Checkpoint | Self::Witnessed => MAX_NOTE,
            Self::Section => 32,
            Self::Entry => LEAF_LEN + MAX_ENVELOPE,
            // A node takes no more text with a statement than a statement may have.
            Self::Text => 64 + 12 + MAX_ENVELOPE,
            Self::End => 0,
        }
    }
}
