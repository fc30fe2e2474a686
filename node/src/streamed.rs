//! Statements that arrive as a stream, and their answers as another.
//!
//! Owns how many statements of one stream are under way: so many, and so many bytes of them.
//! Beyond that nothing is read, and HTTP/2 holds the sender up; answers that nobody takes count
//! as under way. Guarantees that each is counted as one that came alone, and that what is no
//! statement ends the stream after the answers to those before it. Leaves out the order, which is
//! that of `Ledgers::append_all`, and how many streams there are (`service`).

use crate::{
    Append, Ledgers,
    metrics::Metrics,
    readers::lock,
    service::appended,
    wire::{self, MOST, malformed},
};
use futures::{Stream, StreamExt as _, stream};
use prost::Message as _;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Instant,
};
use subak_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Statements of one stream that are under way at most.
const STATEMENTS: usize = 64;
/// Bytes of them at most, but for a single one. A statement has its share of them, or what it
/// is larger.
const BYTES: usize = MOST;

/// What is under way of one stream, in its order; and why it takes no more, if it broke.
#[derive(Default)]
struct UnderWay {
    statements: VecDeque<(Instant, OwnedSemaphorePermit)>,
    broken: Option<Status>,
}

/// The replies to `requests`, in their order.
pub(crate) fn replies(
    ledgers: Arc<dyn Ledgers>,
    metrics: Arc<Metrics>,
    requests: impl Stream<Item = Result<v1::AppendRequest, Status>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<v1::AppendReply, Status>> + Send + 'static {
    let under_way = Arc::<Mutex<UnderWay>>::default();
    let room = Arc::new(Semaphore::new(BYTES));
    let taking = under_way.clone();
    let statements = stream::unfold(requests, move |mut requests| {
        let (under_way, room) = (taking.clone(), room.clone());
        async move {
            match take(requests.next().await?, room).await {
                Ok((append, permit)) => {
                    lock(&under_way).statements.push_back((Instant::now(), permit));
                    Some((append, requests))
                }
                Err(status) => {
                    lock(&under_way).broken = Some(status);
                    None
                }
            }
        }
    });
    let answering = under_way.clone();
    let replies = ledgers.append_all(statements.boxed()).map(move |answer| {
        let begun = lock(&answering).statements.pop_front();
        // Only the failure that ends the stream may be about no statement.
        if let Some((begun, _room)) = begun {
            metrics.count(begun.elapsed(), &answer);
        }
        appended(answer)
    });
    let end = stream::once(async move { lock(&under_way).broken.take() });
    replies.chain(end.filter_map(|broken| async { broken.map(Err) }))
}

/// Waits for room, and reads a request.
async fn take(
    request: Result<v1::AppendRequest, Status>,
    room: Arc<Semaphore>,
) -> Result<(Append, OwnedSemaphorePermit), Status> {
    let request = request?;
    let share = request.encoded_len().clamp(BYTES / STATEMENTS, BYTES);
    let share = u32::try_from(share).expect("a message is bounded by some megabytes");
    let permit = room.acquire_many_owned(share).await;
    let permit = permit.expect("this semaphore is never closed");
    Ok((wire::append_in(request).map_err(malformed)?, permit))
}
