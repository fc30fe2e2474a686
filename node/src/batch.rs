//! Entries that were fetched and not believed yet, some thousands at a time.
//!
//! Guarantees that what waits is bounded in number and in bytes, and that signatures are
//! verified on all cores. Leaves out chain, tree and rules (`fold`), and where entries come
//! from (`client`).

use crate::RawEntry;
use std::thread;
use subak_ledger::log::{KeyCache, Statement, Unverified};

/// Entries that are verified and folded at a time,
pub(crate) const BATCH: usize = 4_096;
/// and bytes of their envelopes, but for the last message.
const BATCH_BYTES: usize = 8 << 20;

/// What was fetched and is not verified yet: so many entries, and so many bytes.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<RawEntry>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, raw: RawEntry) {
        self.bytes += raw.envelope.len();
        self.entries.push(raw);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// How many entries of so many each core verifies.
pub(crate) fn share(count: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // A thread for less than this would cost more than it saves.
    count.div_ceil(cores).max(64)
}

/// Verifies signatures on all cores.
pub(crate) fn verify(batch: &[RawEntry]) -> Result<Vec<Statement>, String> {
    let share = share(batch.len());
    thread::scope(|scope| {
        let lanes: Vec<_> =
            batch.chunks(share).map(|lane| scope.spawn(|| verify_lane(lane))).collect();
        let mut all = Vec::with_capacity(batch.len());
        for lane in lanes {
            all.extend(lane.join().expect("verifying does not panic")?);
        }
        Ok(all)
    })
}

fn verify_lane(lane: &[RawEntry]) -> Result<Vec<Statement>, String> {
    verify_with(&mut KeyCache::default(), lane)
}

/// One after another, with keys that were admitted before.
pub(crate) fn verify_with(
    keys: &mut KeyCache,
    lane: &[RawEntry],
) -> Result<Vec<Statement>, String> {
    let one = |raw: &RawEntry| {
        Unverified::parse(&raw.envelope)
            .and_then(|unverified| unverified.verify(keys))
            .map_err(|reject| format!("entry {}: {reject}", raw.seq))
    };
    lane.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_by_count_and_by_bytes() {
        let entries_to_full = |bytes: usize| {
            let mut batch = Batch::default();
            while !batch.is_full() {
                batch.push(RawEntry {
                    seq: 0,
                    leaf: vec![].into(),
                    envelope: vec![0; bytes].into(),
                });
            }
            batch.entries.len()
        };
        assert_eq!(entries_to_full(300), BATCH);
        assert_eq!(entries_to_full(256 << 10), 32, "of 4096 largest ones, 8 MiB");
    }
}
