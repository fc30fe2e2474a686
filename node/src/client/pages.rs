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
    batch::{BATCH, Batch, share, verify_with},
    readers::{joined, lock, off_executor},
    wire::{self, away},
};
use futures::{Stream, future::join_all, stream};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use subak_ledger::log::{KeyCache, LedgerId, Statement};
use subak_proto::v1;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// How long a node may take to send more of a log, and how long entries wait for others of a batch.
const PATIENCE: Duration = Duration::from_secs(20);
/// Batches that arrive and are verified while one is being used.
const AHEAD: usize = 3;

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
        let (room, arrived) = mpsc::channel(AHEAD);
        // A task of its own goes on reading while nobody asks for the next batch.
        tokio::spawn(fetch_all(self.clone(), ledger, from..from.saturating_add(limit), room));
        stream::unfold((self.clone(), arrived), next)
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
            if reply.entry.is_empty() {
                return Err(self.lie("a message without entries"));
            }
            for entry in reply.entry {
                batch.push(wire::entry_in(entry).map_err(|what| self.lie(what))?);
            }
        }
        Ok(batch.entries)
    }
}

/// A batch, of which the signatures are being verified.
type Verifying = Result<JoinHandle<Result<Verified, String>>, NodeError>;

type Coming = (Arc<Remote>, mpsc::Receiver<Verifying>);

async fn next((remote, mut arrived): Coming) -> Option<(Result<Verified, NodeError>, Coming)> {
    let verified = match arrived.recv().await? {
        Ok(verifying) => joined(verifying).await.map_err(|what| remote.lie(what)),
        Err(error) => Err(error),
    };
    Some((verified, (remote, arrived)))
}

/// Asks for batch after batch, each when there is room for it, until they are all there, nothing more
/// comes, or nobody wants them any more. Each is verified as soon as it is there.
async fn fetch_all(
    remote: Arc<Remote>,
    ledger: LedgerId,
    mut wanted: std::ops::Range<u64>,
    room: mpsc::Sender<Verifying>,
) {
    let keys = Keys::default();
    while !wanted.is_empty() {
        let Ok(place) = room.reserve().await else { return };
        let limit = (wanted.end - wanted.start).min(BATCH as u64);
        let fetched = tokio::select! {
            fetched = remote.fetch_some(ledger, wanted.start, limit) => fetched,
            () = room.closed() => return,
        };
        match fetched {
            Ok(batch) if batch.is_empty() => return,
            Ok(batch) => {
                wanted.start += batch.len() as u64;
                place.send(Ok(tokio::spawn(verified(batch, keys.clone()))));
            }
            Err(error) => return place.send(Err(error)),
        }
    }
}

/// The keys that were admitted, for whichever thread is next.
type Keys = Arc<Mutex<Vec<KeyCache>>>;

/// Verifies on all cores, by threads that stay.
async fn verified(mut batch: Vec<RawEntry>, keys: Keys) -> Result<Verified, String> {
    let share = share(batch.len());
    let mut lanes = Vec::new();
    while !batch.is_empty() {
        let lane: Vec<RawEntry> = batch.drain(..share.min(batch.len())).collect();
        let keys = keys.clone();
        lanes.push(off_executor(move || {
            let mut own = lock(&keys).pop().unwrap_or_default();
            let statements = verify_with(&mut own, &lane);
            lock(&keys).push(own);
            Ok(lane.into_iter().zip(statements?).collect::<Verified>())
        }));
    }
    let lanes: Vec<Result<Verified, String>> = join_all(lanes).await;
    let mut all = Verified::new();
    for lane in lanes {
        all.extend(lane?);
    }
    Ok(all)
}
