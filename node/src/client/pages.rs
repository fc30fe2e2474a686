//! Entries of a node far away, verified as far as one statement goes.
//!
//! Guarantees that signatures are verified on all cores while the next entries arrive, that little is
//! in memory, and that what was asked for is read to its end at once: HTTP/2 counts the bytes under
//! way of a whole connection, so that a few streams which nobody reads stop everything else on
//! it, and a copy asks for other things before it reads on. Leaves out chain, tree, rules and heads:
//! whoever copies a log checks those.

use super::Remote;
use crate::{
    NodeError, RawEntry,
    batch::{BATCH, Batch, verify},
    readers::off_executor,
    wire::{self, away},
};
use futures::{Stream, StreamExt as _, stream};
use std::{sync::Arc, time::Duration};
use subak_ledger::log::{LedgerId, Statement};
use subak_proto::v1;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// How long a node may take to send more of a log, and how long entries wait for others of a batch.
const PATIENCE: Duration = Duration::from_secs(20);
/// Batches that are verified beside the one that is being used; one more is arriving.
const AHEAD: usize = 2;

/// Entries with their statements, whose signatures hold.
pub(crate) type Verified = Vec<(RawEntry, Statement)>;

impl Remote {
    /// `limit` entries from `from` on, some thousands at a time; fewer where the node ends early.
    pub(crate) fn verified(
        self: &Arc<Self>,
        ledger: LedgerId,
        from: u64,
        limit: u64,
    ) -> impl Stream<Item = Result<Verified, NodeError>> + Send + use<> {
        let (room, arrived) = mpsc::channel(1);
        // A task of its own goes on reading while nobody asks for the next batch.
        tokio::spawn(fetch_all(self.clone(), ledger, from..from.saturating_add(limit), room));
        let batches = stream::unfold(arrived, async |mut arrived| {
            arrived.recv().await.map(|batch| (batch, arrived))
        });
        let this = self.clone();
        let verified = batches.map(move |batch: Result<Vec<RawEntry>, NodeError>| {
            let this = this.clone();
            async move {
                let batch = batch?;
                let verified = off_executor(move || {
                    let statements = verify(&batch)?;
                    Ok(batch.into_iter().zip(statements).collect())
                });
                verified.await.map_err(|what: String| this.lie(what))
            }
        });
        verified.buffered(AHEAD)
    }

    /// One batch: what it begins to read it reads, or gives up.
    async fn fetch_some(
        &self,
        ledger: LedgerId,
        from: u64,
        limit: u64,
    ) -> Result<Vec<RawEntry>, NodeError> {
        let request = v1::EntriesRequest { ledger: ledger.0.to_vec(), from, limit, follow: false };
        let opened = self.log().entries(request).await;
        let mut stream = opened.map_err(|status| self.failed(&status))?.into_inner();
        let (mut batch, begun) = (Batch::default(), Instant::now());
        while !batch.is_full() && (batch.entries.is_empty() || begun.elapsed() < PATIENCE) {
            let reply = timeout(PATIENCE, stream.message()).await;
            let reply =
                reply.map_err(|_| away(&self.url, "it has stopped in the middle of a log"))?;
            let Some(reply) = reply.map_err(|status| self.failed(&status))? else { break };
            for entry in reply.entry {
                batch.push(wire::entry_in(entry).map_err(|what| self.lie(what))?);
            }
        }
        Ok(batch.entries)
    }
}

/// Asks for batch after batch, each when there is room for it, until they are all there, nothing more
/// comes, or nobody wants them any more.
async fn fetch_all(
    remote: Arc<Remote>,
    ledger: LedgerId,
    mut wanted: std::ops::Range<u64>,
    room: mpsc::Sender<Result<Vec<RawEntry>, NodeError>>,
) {
    while !wanted.is_empty() {
        let Ok(place) = room.reserve().await else { return };
        let limit = (wanted.end - wanted.start).min(BATCH as u64);
        let batch = remote.fetch_some(ledger, wanted.start, limit).await;
        let count = batch.as_ref().map_or(0, Vec::len);
        if batch.is_err() || count > 0 {
            place.send(batch);
        }
        if count == 0 {
            return;
        }
        wanted.start += count as u64;
    }
}
