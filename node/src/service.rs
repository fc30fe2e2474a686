//! The gRPC services, over any [`Ledgers`]; here that of the log, in `book` that of the book.
//!
//! Decides no rule: asks, and puts the answer into messages. Guarantees that every message
//! is bounded (by the page that `Ledgers` gives, or by lines), that a stream has one page in
//! memory and reads the next when that was taken (a stream of statements: `streamed`), and that
//! no more than so many streams are open. Leaves out connections, calls at a time and shutdown (`serve`).

use crate::{
    Appended, Ledgers, NodeError,
    metrics::Metrics,
    streamed,
    wire::{self, MOST, malformed, status},
};
use futures::{Stream, StreamExt as _, stream};
use std::{pin::Pin, sync::Arc, thread, time::Instant};
use subak_ledger::log::LedgerId;
use subak_proto::v1::{
    self, append_reply,
    book_server::BookServer,
    log_server::{Log, LogServer},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status, Streaming};

/// Streams that are open at a time; each may hold a page of a megabyte for a slow reader.
const STREAMS: usize = 512;

pub(crate) type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services.
#[derive(Clone)]
pub struct Services {
    pub(crate) ledgers: Arc<dyn Ledgers>,
    /// For what is worked out here.
    pub(crate) cores: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    streams: Arc<Semaphore>,
}

impl Services {
    /// The services of these ledgers.
    pub fn new(ledgers: Arc<dyn Ledgers>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let [cores, streams] = [cores, STREAMS].map(|most| Arc::new(Semaphore::new(most)));
        Self { ledgers, cores, metrics: Arc::default(), streams }
    }

    /// `subak.v1.Log`.
    pub fn log(&self) -> LogServer<Self> {
        LogServer::new(self.clone()).max_decoding_message_size(MOST)
    }

    /// `subak.v1.Book`.
    pub fn book(&self) -> BookServer<Self> {
        BookServer::new(self.clone()).max_decoding_message_size(MOST)
    }

    /// Streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        STREAMS.saturating_sub(self.streams.available_permits())
    }

    /// Leave to open one more stream; it is given back when the stream ends.
    fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        let full = || Status::resource_exhausted(format!("{STREAMS} streams are open"));
        self.streams.clone().try_acquire_owned().map_err(|_| full())
    }
}

pub(crate) fn id(bytes: &[u8]) -> Result<LedgerId, Status> {
    Ok(LedgerId(wire::hash(bytes, "ledger").map_err(malformed)?))
}

#[allow(clippy::needless_pass_by_value)] // it is what map_err hands over
pub(crate) fn failed(error: NodeError) -> Status {
    status(&error)
}

/// The answer to what appends: a refusal is one, too.
pub(crate) fn appended(result: Result<Appended, NodeError>) -> Result<v1::AppendReply, Status> {
    let result = match result {
        Ok(appended) => append_reply::Result::Appended(wire::appended_out(appended)),
        Err(refused @ NodeError::Refused { .. }) => {
            append_reply::Result::Refused(wire::refused_out(&refused))
        }
        Err(error) => return Err(status(&error)),
    };
    Ok(v1::AppendReply { result: Some(result) })
}

#[tonic::async_trait]
impl Log for Services {
    type AppendStreamStream = Messages<v1::AppendReply>;
    type EntriesStream = Messages<v1::EntriesReply>;
    type DisclosuresStream = Messages<v1::DisclosuresReply>;

    async fn ledgers(&self, request: Request<v1::LedgersRequest>) -> Answer<v1::LedgersReply> {
        let v1::LedgersRequest { after, limit } = request.into_inner();
        let after = wire::maybe_hash(&after, "after").map_err(malformed)?.map(LedgerId);
        let limit = if limit == 0 { u64::MAX } else { limit };
        let page = self.ledgers.ledgers_page(after, limit).await.map_err(failed)?;
        let ledger = page.items.into_iter().map(wire::info_out).collect();
        Ok(Response::new(v1::LedgersReply { ledger, more: page.more }))
    }

    async fn prepare(&self, _: Request<v1::PrepareRequest>) -> Answer<v1::PrepareReply> {
        let (operator, clerk) = self.ledgers.prepare().await.map_err(failed)?;
        let (operator_key, clerk_key) = (operator.to_vec(), clerk.to_vec());
        Ok(Response::new(v1::PrepareReply { operator_key, clerk_key }))
    }

    async fn append(&self, request: Request<v1::AppendRequest>) -> Answer<v1::AppendReply> {
        let append = wire::append_in(request.into_inner()).map_err(malformed)?;
        let begun = Instant::now();
        let answer = self.ledgers.append(append).await;
        self.metrics.count(begun.elapsed(), &answer);
        appended(answer).map(Response::new)
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Answer<Self::AppendStreamStream> {
        let permit = self.stream()?;
        let (ledgers, metrics) = (self.ledgers.clone(), self.metrics.clone());
        let replies = streamed::replies(ledgers, metrics, request.into_inner());
        // With it for as long as it is open.
        let replies = replies.map(move |reply| {
            let _open = &permit;
            reply
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn publish_state(
        &self,
        request: Request<v1::PublishStateRequest>,
    ) -> Answer<v1::AppendReply> {
        let ledger = id(&request.into_inner().ledger)?;
        appended(self.ledgers.publish_state(ledger).await).map(Response::new)
    }

    async fn entries(&self, request: Request<v1::EntriesRequest>) -> Answer<Self::EntriesStream> {
        let v1::EntriesRequest { ledger, from, limit, follow } = request.into_inner();
        let ledger = id(&ledger)?;
        let until = if limit == 0 { u64::MAX } else { from.saturating_add(limit) };
        let (ledgers, permit) = (self.ledgers.clone(), self.stream()?);
        let pages = stream::try_unfold((from, permit), move |(from, permit)| {
            let ledgers = ledgers.clone();
            async move {
                loop {
                    if from >= until {
                        return Ok(None);
                    }
                    let page = ledgers.entries(ledger, from, until - from).await.map_err(failed)?;
                    if let Some(last) = page.last() {
                        let next = last.seq.saturating_add(1);
                        let entry = page.into_iter().map(wire::entry_out).collect();
                        return Ok(Some((v1::EntriesReply { entry }, (next, permit))));
                    }
                    if !follow {
                        return Ok(None);
                    }
                    ledgers.wait_beyond(ledger, from).await.map_err(failed)?;
                }
            }
        });
        Ok(Response::new(pages.boxed()))
    }

    async fn checkpoint(
        &self,
        request: Request<v1::CheckpointRequest>,
    ) -> Answer<v1::CheckpointReply> {
        let v1::CheckpointRequest { ledger, witnessed } = request.into_inner();
        let ledger = id(&ledger)?;
        let checkpoint = if witnessed {
            self.ledgers.witnessed(ledger).await.map_err(failed)?.unwrap_or_default()
        } else {
            self.ledgers.checkpoint(ledger).await.map_err(failed)?
        };
        Ok(Response::new(v1::CheckpointReply { checkpoint }))
    }

    async fn challenge(
        &self,
        request: Request<v1::ChallengeRequest>,
    ) -> Answer<v1::ChallengeReply> {
        let v1::ChallengeRequest { ledger, checkpoint } = request.into_inner();
        self.ledgers.challenge(id(&ledger)?, checkpoint).await.map_err(failed)?;
        Ok(Response::new(v1::ChallengeReply {}))
    }

    async fn inclusion(&self, request: Request<v1::InclusionRequest>) -> Answer<v1::PathReply> {
        let v1::InclusionRequest { ledger, entry, size } = request.into_inner();
        let path = self.ledgers.inclusion(id(&ledger)?, entry, size).await.map_err(failed)?;
        Ok(Response::new(v1::PathReply { hash: wire::bytes(&path) }))
    }

    async fn consistency(&self, request: Request<v1::ConsistencyRequest>) -> Answer<v1::PathReply> {
        let v1::ConsistencyRequest { ledger, old, new } = request.into_inner();
        let path = self.ledgers.consistency(id(&ledger)?, old, new).await.map_err(failed)?;
        Ok(Response::new(v1::PathReply { hash: wire::bytes(&path) }))
    }

    async fn disclosures(
        &self,
        request: Request<v1::DisclosuresRequest>,
    ) -> Answer<Self::DisclosuresStream> {
        let v1::DisclosuresRequest { ledger, after, commitment } = request.into_inner();
        let ledger = id(&ledger)?;
        if !commitment.is_empty() {
            let asked = wire::hashes(&commitment, "commitment").map_err(malformed)?;
            let found = self.ledgers.disclosures_of(ledger, asked).await.map_err(failed)?;
            let disclosure = found.into_iter().map(wire::disclosure_out).collect();
            let reply = v1::DisclosuresReply { disclosure, more: false };
            return Ok(Response::new(stream::iter([Ok(reply)]).boxed()));
        }
        let after = wire::maybe_hash(&after, "after").map_err(malformed)?;
        let (ledgers, permit) = (self.ledgers.clone(), self.stream()?);
        let pages = stream::try_unfold(Some((after, permit)), move |from| {
            let ledgers = ledgers.clone();
            async move {
                let Some((after, permit)) = from else { return Ok(None) };
                let page = ledgers.disclosures_page(ledger, after).await.map_err(failed)?;
                let Some(last) = page.items.last() else { return Ok(None) };
                let next = page.more.then_some((Some(last.commitment), permit));
                let disclosure = page.items.into_iter().map(wire::disclosure_out).collect();
                Ok(Some((v1::DisclosuresReply { disclosure, more: page.more }, next)))
            }
        });
        Ok(Response::new(pages.boxed()))
    }
}
