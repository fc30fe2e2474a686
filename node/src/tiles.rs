//! C2SP `tlog-tiles`: a ledger as files of fixed content, for monitors, witnesses and caches.
//!
//! Owns the paths below a ledger's prefix and the bytes behind them. Guarantees that a path
//! has one spelling (a number is refused by writing it again), that an answer has at most
//! 256 hashes or leaves, and that it lies within the signed head that it is asked for under.
//! The bytes at a path never change: a tile's width is part of its name. Leaves out HTTP
//! (`http`), which head that is (`runtime`), and pruning: a ledger is whole for ever.
//!
//! ```text
//! /<64 hex digits of the ledger id>/checkpoint
//! /<ledger id>/tile/<L>/<N>[.p/<W>]        W or 256 hashes of 32 bytes
//! /<ledger id>/tile/entries/<N>[.p/<W>]    the same number of leaves, each after its length (u16)
//! ```
//!
//! Hash `i` of tile `(L, N)` is the tree's node of level `8 * L` and index `256 * N + i`.
//! Those of level 0 are not stored: they follow from the leaves. A leaf fixes its statement's
//! envelope by a digest; the envelopes themselves are fetched over gRPC.

use crate::{
    NodeError,
    fold::damaged,
    refusal::{corrupt, not_found},
};
use subak_ledger::{
    log::{LEAF_LEN, LedgerId, checkpoint::claimed_size, tree},
    store::Reader,
};

/// Hashes in a full tile, and leaves in a full bundle.
const FULL: u64 = 256;
/// Levels of the tree between two levels of tiles.
const HEIGHT: u32 = 8;
/// The highest level of tiles that a path may name.
const TOP: u64 = 63;
/// Bytes of entries that are read at a time, but for a single one: a leaf comes with its
/// statement.
const PAGE_BYTES: usize = 1 << 20;

/// What a path below a ledger's prefix names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The newest signed head.
    Checkpoint,
    /// Something that never changes.
    Tile(Tile),
}

/// A run of consecutive hashes or leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Which level of hashes; leaves where it is none.
    level: Option<u32>,
    /// Its place within its level, in full tiles from 0.
    index: u64,
    /// How many, 1 to 256.
    width: u64,
}

/// What a path names, or in a line why it can name nothing.
pub(crate) fn parse(path: &str) -> Result<(LedgerId, Resource), &'static str> {
    const SHAPE: &str = "expected /<ledger id>/checkpoint, /<ledger id>/tile/<L>/<N>[.p/<W>] or \
                         /<ledger id>/tile/entries/<N>[.p/<W>]";
    let (ledger, below) = path.strip_prefix('/').and_then(|p| p.split_once('/')).ok_or(SHAPE)?;
    let ledger = LedgerId::from_hex(ledger)
        .map_err(|_| "the first part is no ledger id: expected 64 lowercase hex digits")?;
    if below == "checkpoint" {
        return Ok((ledger, Resource::Checkpoint));
    }
    let tile = below.strip_prefix("tile/").and_then(|t| t.split_once('/')).ok_or(SHAPE)?;
    let (level, place) = tile;
    let level = match level {
        "entries" => None,
        level => Some(
            number(level)
                .filter(|level| *level <= TOP)
                .and_then(|level| u32::try_from(level).ok())
                .ok_or("tile level: expected 0 to 63, without leading zeros, or `entries`")?,
        ),
    };
    let (index, width) = match place.split_once(".p/") {
        None => (place, FULL),
        Some((index, width)) => {
            let width = number(width).filter(|width| (1..FULL).contains(width));
            (index, width.ok_or("tile width: expected 1 to 255, without leading zeros")?)
        }
    };
    let index = index_of(index)
        .ok_or("tile index: expected groups of three digits, all but the last after an x")?;
    Ok((ledger, Resource::Tile(Tile { level, index, width })))
}

/// A number in its one spelling.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

/// An index in its one spelling: `x001/x234/067` is 1234067.
fn index_of(text: &str) -> Option<u64> {
    text.replace(['x', '/'], "").parse().ok().filter(|index| spell(*index) == text)
}

fn spell(index: u64) -> String {
    let mut text = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1_000);
        rest /= 1_000;
    }
    text
}

/// How many entries a checkpoint of our own store covers. Whoever is given it verifies it.
pub(crate) fn covered(ledger: LedgerId, checkpoint: &str) -> Result<u64, NodeError> {
    claimed_size(checkpoint).ok_or_else(|| {
        let what = format!("ledger {ledger}: its stored checkpoint has no size");
        corrupt(what, "run `subak audit` on it")
    })
}

impl Tile {
    /// The first hash or leaf in it, if the first `size` entries have all of it.
    fn first_within(&self, size: u64) -> Option<u64> {
        let bits = HEIGHT * self.level.unwrap_or(0);
        let there = size.checked_shr(bits).unwrap_or(0);
        let first = self.index.checked_mul(FULL)?;
        (first.checked_add(self.width)? <= there).then_some(first)
    }

    /// Its bytes, in a ledger whose signed head covers `size` entries.
    pub(crate) fn read(
        &self,
        reader: &dyn Reader,
        ledger: LedgerId,
        size: u64,
    ) -> Result<Vec<u8>, NodeError> {
        let Some(first) = self.first_within(size) else {
            let what = format!("the signed head of ledger {ledger} covers {size} entries");
            let next = "ask for what the checkpoint says is there";
            return Err(not_found(format!("{what}: this is not there yet"), next));
        };
        let mut bytes = Vec::new();
        match self.level {
            None => self.each_leaf(reader, ledger, first, |leaf| {
                let length = u16::try_from(LEAF_LEN).expect("a leaf is 113 bytes long");
                bytes.extend(length.to_be_bytes());
                bytes.extend(leaf);
            })?,
            Some(0) => self.each_leaf(reader, ledger, first, |leaf| {
                bytes.extend(tree::leaf_hash(leaf));
            })?,
            Some(level) => bytes = self.nodes(reader, ledger, HEIGHT * level, first)?,
        }
        Ok(bytes)
    }

    fn each_leaf(
        &self,
        reader: &dyn Reader,
        ledger: LedgerId,
        first: u64,
        mut put: impl FnMut(&[u8]),
    ) -> Result<(), NodeError> {
        let (mut next, end) = (first, first + self.width);
        while next < end {
            let limit = usize::try_from(end - next).expect("a tile is 256 wide at most");
            let page = reader.entries(&ledger.0, next, limit, PAGE_BYTES)?;
            if page.is_empty() {
                return Err(damaged(&ledger, next, "it is missing"));
            }
            for entry in page {
                if entry.seq != next {
                    return Err(damaged(&ledger, next, "it is missing"));
                }
                if entry.leaf.len() != LEAF_LEN {
                    let what = format!("its leaf has {} bytes", entry.leaf.len());
                    return Err(damaged(&ledger, next, &what));
                }
                put(&entry.leaf);
                next += 1;
            }
        }
        Ok(())
    }

    fn nodes(
        &self,
        reader: &dyn Reader,
        ledger: LedgerId,
        level: u32,
        first: u64,
    ) -> Result<Vec<u8>, NodeError> {
        let limit = usize::try_from(self.width).expect("a tile is 256 wide at most");
        let stored = u8::try_from(level).expect("a tile that is within a log has level 7 at most");
        let found = reader.nodes(&ledger.0, stored, first, limit)?;
        let mut bytes = Vec::new();
        for (place, index) in (first..first + self.width).enumerate() {
            let Some((_, hash)) = found.get(place).filter(|(there, _)| *there == index) else {
                let what = format!("ledger {ledger}: tree node {index} of level {level}");
                return Err(corrupt(format!("{what} is missing"), "run `subak audit` on it"));
            };
            bytes.extend(hash);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use subak_ledger::{
        log::{Frontier, Hash},
        store::{Batch, Head, MemoryStore, NewEntry, Store as _},
    };

    const LEDGER: LedgerId = LedgerId([0xab; 32]);

    fn prefix() -> String {
        format!("/{LEDGER}/")
    }

    fn tile(path: &str) -> Option<(Option<u32>, u64, u64)> {
        match parse(&format!("{}tile/{path}", prefix())) {
            Ok((ledger, Resource::Tile(Tile { level, index, width }))) => {
                assert_eq!(ledger, LEDGER);
                Some((level, index, width))
            }
            Ok(other) => panic!("{path}: {other:?}"),
            Err(why) => {
                assert!(!why.contains('\n'), "one line: {why:?}");
                None
            }
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        let checkpoint = parse(&format!("{}checkpoint", prefix()));
        assert_eq!(checkpoint, Ok((LEDGER, Resource::Checkpoint)));
        for (path, expected) in [
            ("0/000", (Some(0), 0, 256)),
            ("0/x001/x234/067", (Some(0), 1_234_067, 256)),
            ("1/x001/000", (Some(1), 1_000, 256)),
            ("63/999", (Some(63), 999, 256)),
            ("entries/x001/x234/067", (None, 1_234_067, 256)),
            ("entries/000.p/1", (None, 0, 1)),
            ("2/x273/000.p/255", (Some(2), 273_000, 255)),
            ("0/x018/x446/x744/x073/x709/x551/615", (Some(0), u64::MAX, 256)),
        ] {
            assert_eq!(tile(path), Some(expected), "{path}");
        }
        for path in [
            "",
            "0",
            "0/",
            "/000",
            "0/0",
            "0/00",
            "0/0000",
            "0/x000/000",
            "0/x000",
            "0/001/000",
            "0/x001/x000",
            "0/x01/000",
            "0/x0001/000",
            "0/x001//000",
            "0/x001/000/",
            "0/ 00",
            "0/+00",
            "0/-01",
            "0/x-01/000",
            "0/٠٠٠",
            "0/X001/000",
            "0/x018/x446/x744/x073/x709/x551/616",
            "00/000",
            "01/000",
            "64/000",
            "-1/000",
            "+1/000",
            "a/000",
            "entry/000",
            "Entries/000",
            "0/000.p",
            "0/000.p/",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/+1",
            "0/000.p/1/",
            "0/000.p/1.p/1",
            "0/.p/1",
            "0/000/.p/1",
            "entries/000.p/0",
            "entries/0",
        ] {
            assert_eq!(tile(path), None, "{path}");
        }
        let id = LEDGER.to_string();
        for path in [
            "",
            "/",
            &id,
            &format!("/{id}"),
            &format!("/{id}/"),
            &format!("/{id}/checkpoint/"),
            &format!("/{id}/Checkpoint"),
            &format!("/{id}/tile"),
            &format!("/{}/checkpoint", id.to_uppercase()),
            &format!("/{}/checkpoint", &id[..62]),
            &format!("//{id}/checkpoint"),
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn every_index_is_read_as_it_is_written() {
        for index in [0, 1, 9, 999, 1_000, 67_000, 999_999, 1_000_000, 1_234_067, u64::MAX] {
            assert_eq!(index_of(&spell(index)), Some(index));
        }
        assert_eq!(spell(1_234_067), "x001/x234/067");
    }

    /// A store with leaves of the right length that nobody has signed anything in.
    fn store(size: u64) -> (MemoryStore, Hash) {
        let (mut store, mut frontier, mut nodes) =
            (MemoryStore::new(), Frontier::default(), vec![]);
        let leaf = |n: u64| [&[1; 105][..], &n.to_be_bytes()].concat();
        let entries: Vec<_> = (0..size)
            .map(|n| NewEntry { leaf: leaf(n).into(), envelope: vec![].into(), chain: [1; 32] })
            .collect();
        for entry in &entries {
            let completed = frontier.push(tree::leaf_hash(&entry.leaf));
            nodes.extend(completed.into_iter().map(|(l, i, h)| (u8::try_from(l).unwrap(), i, h)));
        }
        store
            .append(&[Batch {
                ledger: LEDGER.0,
                name: "rice",
                expected: Head::EMPTY,
                entries: &entries,
                nodes: &nodes,
                checkpoint: None,
                disclosures: &[],
                erasures: &[],
            }])
            .unwrap();
        (store, frontier.root())
    }

    fn root(hashes: &[u8]) -> Hash {
        let mut frontier = Frontier::default();
        hashes.chunks(32).for_each(|hash| drop(frontier.push(hash.try_into().unwrap())));
        frontier.root()
    }

    /// All tiles of one level, as a client finds them: full ones, then one partial one.
    fn level(reader: &dyn Reader, level: Option<u32>, size: u64) -> Vec<Vec<u8>> {
        let there = size >> (8 * level.unwrap_or(0));
        let full = (0..there / 256).map(|index| Tile { level, index, width: 256 });
        let last = Tile { level, index: there / 256, width: there % 256 };
        let all: Vec<_> = full.chain((last.width > 0).then_some(last)).collect();
        all.iter().map(|tile| tile.read(reader, LEDGER, size).unwrap()).collect()
    }

    /// The example of the specification: 70,000 entries.
    #[test]
    fn each_hash_of_a_tile_is_the_root_of_a_full_tile_below() {
        let (store, expected) = store(70_000);
        let levels: Vec<_> = (0..3).map(|l| level(&store, Some(l), 70_000)).collect();
        let shape: Vec<_> = levels.iter().map(|l| (l.len(), l[l.len() - 1].len() / 32)).collect();
        assert_eq!(shape, [(274, 112), (2, 17), (1, 1)]);
        assert_eq!(root(&levels[0].concat()), expected);
        for (below, above) in [(0, 1), (1, 2)] {
            let full = levels[below].iter().filter(|tile| tile.len() == 256 * 32);
            let roots: Vec<u8> = full.flat_map(|tile| root(tile)).collect();
            assert_eq!(roots, levels[above].concat());
        }
        let mut hashes = Vec::new();
        for bundle in level(&store, None, 70_000) {
            let mut rest = &bundle[..];
            while let [high, low, after @ ..] = rest {
                let (leaf, left) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                hashes.extend(tree::leaf_hash(leaf));
                rest = left;
            }
        }
        assert_eq!(hashes, levels[0].concat());
    }

    #[test]
    fn nothing_is_there_beyond_the_signed_head() {
        let (store, _) = store(600);
        let read = |level, index, width, size| {
            Tile { level, index, width }.read(&store, LEDGER, size).map_err(|e| e.code().to_owned())
        };
        let absent = Err("not-found".to_owned());
        // The log has 600 entries, of which the head covers 512 or 513.
        assert!(read(Some(0), 1, 256, 512).is_ok() && read(None, 1, 256, 512).is_ok());
        for level in [Some(0), None] {
            assert_eq!(read(level, 2, 1, 512), absent);
            assert!(read(level, 2, 1, 513).is_ok());
            assert_eq!(read(level, 2, 2, 513), absent);
            assert_eq!(read(level, 2, 256, 513), absent);
            assert_eq!(read(level, u64::MAX, 256, u64::MAX), absent);
            // A narrower one than the head has: its bytes are fixed all the same.
            let (narrow, full) =
                (read(level, 1, 7, 513).unwrap(), read(level, 1, 256, 513).unwrap());
            assert_eq!(full[..narrow.len()], narrow);
        }
        assert!(read(Some(1), 0, 2, 513).is_ok());
        assert_eq!(read(Some(1), 0, 3, 513), absent);
        for level in [2, 7, 8, 63] {
            assert_eq!(read(Some(level), 0, 1, 600), absent);
        }
        assert!(read(Some(0), 0, 1, 0).is_err());
    }

    #[test]
    fn a_store_with_holes_is_damage_and_no_shorter_tile() {
        let (store, _) = store(300);
        let read = |level, index, width| Tile { level, index, width }.read(&store, LEDGER, 1 << 20);
        for (level, index, width) in [(Some(0), 1, 256), (None, 1, 45), (Some(1), 0, 2)] {
            let found = read(level, index, width);
            assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{found:?}");
        }
    }

    #[test]
    fn the_size_is_read_from_the_checkpoint() {
        assert_eq!(covered(LEDGER, "subak/ab\n513\nroot\n\n— sig\n"), Ok(513));
        for text in ["", "subak/ab", "subak/ab\n0513\n", "subak/ab\n\n513\n"] {
            assert!(covered(LEDGER, text).is_err(), "{text:?}");
        }
    }
}
