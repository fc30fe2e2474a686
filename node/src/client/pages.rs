//! Entries of a node far away, verified as far as one statement goes.
//!
//! Guarantees that signatures are verified on all cores while the next entries arrive, and that
//! little is in memory. Leaves out chain, tree, rules and heads: whoever copies a log checks those.

use super::Remote;
use crate::{
    NodeError, RawEntry,
    batch::{Batch, verify},
    readers::off_executor,
    wire::{self, away},
};
use futures::{Stream, StreamExt as _, stream};
use std::{sync::Arc, time::Duration};
use subak_ledger::log::{LedgerId, Statement};
use subak_proto::v1;
use tokio::time::{Instant, timeout};
use tonic::Streaming;

/// How long a node may take to send more of a log, and how long entries wait for others of a batch.
const PATIENCE: Duration = Duration::from_secs(20);
/// Batches that are verified beside the one that is being used.
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
        let this = self.clone();
        let batches = stream::once(async move {
            let request =
                v1::EntriesRequest { ledger: ledger.0.to_vec(), from, limit, follow: false };
            let opened = this.log().entries(request).await;
            let stream = opened.map_err(|status| this.failed(&status))?.into_inner();
            Ok(stream::try_unfold((this, Some(stream)), next_batch))
        });
        let batches = batches.flat_map(|opened: Result<_, NodeError>| match opened {
            Ok(batches) => batches.left_stream(),
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        });
        let this = self.clone();
        let verified = batches.map(move |batch| {
            let this = this.clone();
            async move {
                let batch: Vec<RawEntry> = batch?;
                let verified = off_executor(move || {
                    let statements = verify(&batch)?;
                    Ok(batch.into_iter().zip(statements).collect())
                });
                verified.await.map_err(|what: String| this.lie(what))
            }
        });
        verified.buffered(AHEAD)
    }
}

type Open = (Arc<Remote>, Option<Streaming<v1::EntriesReply>>);

async fn next_batch((this, stream): Open) -> Result<Option<(Vec<RawEntry>, Open)>, NodeError> {
    let Some(mut stream) = stream else { return Ok(None) };
    let (mut batch, begun) = (Batch::default(), Instant::now());
    while !batch.is_full() && (batch.entries.is_empty() || begun.elapsed() < PATIENCE) {
        let reply = timeout(PATIENCE, stream.message()).await;
        let reply = reply.map_err(|_| away(&this.url, "it has stopped in the middle of a log"))?;
        let Some(reply) = reply.map_err(|status| this.failed(&status))? else {
            let rest = (!batch.entries.is_empty()).then_some((batch.entries, (this, None)));
            return Ok(rest);
        };
        for entry in reply.entry {
            batch.push(wire::entry_in(entry).map_err(|what| this.lie(what))?);
        }
    }
    Ok(Some((batch.entries, (this, Some(stream)))))
}
