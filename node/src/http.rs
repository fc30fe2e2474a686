//! Plain HTTP beside gRPC, on the same port: the list of ledgers, their tiles, and figures.
//!
//! Guarantees that an answer says how long it may be kept (what never changes: a year; the
//! rest: not at all, errors included, since what is not there yet may be there soon), that
//! there is at most one tile in it, and that it is given or given up within a bound. What is
//! asked over gRPC and is no call of ours is still answered in gRPC's own form. Leaves out
//! paths and bytes (`tiles`), TLS and connections (`serve`), and compression: most of a leaf
//! is hashes.

use crate::{
    Ledgers as _, NodeError,
    runtime::Node,
    service::Services,
    tiles::{self, Resource},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tonic::Status;

/// Shorter than the bound on a call, whose end is an answer in gRPC's form.
const TIME: Duration = Duration::from_secs(20);

const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus text.
const FIGURES: &str = "text/plain; version=0.0.4; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// To be asked for anew each time.
const MUTABLE: &str = "no-cache";
/// A year: the bytes are fixed by their path.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What is about now: figures, and errors.
const NOW: &str = "no-store";

/// The routes, with a fallback for everything that is nobody's.
pub(crate) fn routes(node: Arc<Node>, services: Services) -> Router {
    Router::new()
        .route("/", get(list))
        .route(
            "/metrics",
            get(|State(node): State<Arc<Node>>| async move {
                let text = services.metrics.text(services.open_streams(), &node.figures());
                found(FIGURES, NOW, text.into_bytes())
            }),
        )
        .fallback(resource)
        .layer(middleware::from_fn(in_time))
        .with_state(node)
}

/// No more requests of any kind than there are permits: the others are told so at once.
pub(crate) async fn one_of_so_many(
    State(calls): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = calls.try_acquire() else {
        let full = "as many calls as may be are being answered";
        return if is_grpc(request.headers()) {
            Status::resource_exhausted(full).into_http()
        } else {
            error(StatusCode::SERVICE_UNAVAILABLE, full)
        };
    };
    next.run(request).await
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| error(StatusCode::SERVICE_UNAVAILABLE, "the node was too slow: try again");
    tokio::time::timeout(TIME, next.run(request)).await.unwrap_or_else(late)
}

/// `GET /`: a line for each ledger.
async fn list(State(node): State<Arc<Node>>) -> Response {
    let page = match node.ledgers_page(None, u64::MAX).await {
        Ok(page) => page,
        Err(e) => return failed(&e),
    };
    let mut text =
        "# A Subak node. Ledgers: name, entries, prefix of checkpoint and tiles.\n".to_owned();
    for info in page.items {
        text += &format!("{} {} /{}\n", info.name, info.size, info.id);
    }
    if page.more {
        text += "# There are more: `subak.v1.Log/Ledgers` gives them all.\n";
    }
    found(TEXT, MUTABLE, text.into_bytes())
}

/// Everything else: a checkpoint, a tile, or nothing that is here.
async fn resource(State(node): State<Arc<Node>>, request: Request) -> Response {
    if is_grpc(request.headers()) {
        return Status::unimplemented("").into_http();
    }
    let (ledger, resource) = match tiles::parse(request.uri().path()) {
        Ok(parsed) => parsed,
        Err(why) => return error(StatusCode::NOT_FOUND, why),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (allow, error(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD"))
            .into_response();
    }
    let answer = match resource {
        Resource::Checkpoint => {
            let note = node.checkpoint(ledger).await;
            note.map(|note| found(TEXT, MUTABLE, note.into_bytes()))
        }
        Resource::Tile(tile) => {
            node.tile(ledger, tile).await.map(|bytes| found(BYTES, IMMUTABLE, bytes))
        }
    };
    answer.unwrap_or_else(|e| failed(&e))
}

fn found(kind: &'static str, keep: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], body).into_response()
}

/// A line of text, and nothing that a cache may keep.
fn error(status: StatusCode, what: &str) -> Response {
    (status, found(TEXT, NOW, format!("{what}\n").into_bytes())).into_response()
}

fn failed(e: &NodeError) -> Response {
    let status = match e {
        NodeError::NotFound { .. } => StatusCode::NOT_FOUND,
        NodeError::World { .. } => StatusCode::SERVICE_UNAVAILABLE,
        NodeError::Corrupt { .. } | NodeError::Refused { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error(status, &e.to_string().replace('\n', " "))
}
