//! A witness on the network: HTTP/1.1, with keep-alive.
//!
//! Owns the port. Guarantees bounds on connections, on the size of a request and on the time it
//! may take to come, and an orderly end: what was begun is answered. Leaves out the answers
//! (`witness`), TLS and limits for each peer, which a proxy in front of it has, and all
//! authentication: the log's signature is the permission.

use super::{Answer, Witness};
use crate::connections::limited;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures::StreamExt as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    fmt::Write as _,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use subak_ledger::log::submission::MAX_SUBMISSION;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tonic::transport::server::TcpIncoming;

/// A request's body comes within this.
pub const BODY_TIME: Duration = Duration::from_secs(10);
/// A request's head comes within this; so long a connection may be silent before the next one.
const HEAD_TIME: Duration = Duration::from_mins(1);
/// Connections at a time; the next ones wait to be accepted.
const CONNECTIONS: usize = 256;
/// How long the end waits for answers under way.
const DRAIN: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

/// Serves `witness` on `listener` until `shutdown`; returns once all that was begun is answered.
pub async fn serve(
    witness: Arc<Witness>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let routes = routes(witness);
    let (stopping, stopped) = watch::channel(false);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut incoming = pin!(limited(incoming, CONNECTIONS, Arc::default()));
    let mut shutdown = pin!(shutdown);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = incoming.next() => match accepted {
                Some(Ok(socket)) => {
                    open.spawn(connection(socket, routes.clone(), stopped.clone()));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
                None => break,
            },
            // The set would keep every result there ever was.
            Some(_) = open.join_next() => {}
        }
    }
    tracing::info!("shutting down");
    stopping.send_replace(true);
    let all = async { while open.join_next().await.is_some() {} };
    if timeout(DRAIN, all).await.is_err() {
        tracing::warn!("some answers were not taken in time");
    }
}

/// One connection, of whatever is read and written: to its end, or to the end of the request
/// that it is in when everything stops.
async fn connection(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    let mut served = pin!(served);
    let end = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = end => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection has ended");
    }
}

fn routes(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/", get(about))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "POST /add-checkpoint, or GET /\n") })
        .layer(DefaultBodyLimit::max(MAX_SUBMISSION))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: Request) -> Response {
    let body = match timeout(BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return text(refused.status(), &format!("{}\n", refused.body_text())),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
    };
    let judged = move || witness.add_checkpoint(&body, now());
    // The disk is waited for on a thread of its own. One that panics has answered nothing.
    let answer = tokio::task::spawn_blocking(judged).await.unwrap_or(Answer::Failed);
    let status = StatusCode::from_u16(answer.status()).expect("a status of the table");
    (status, [(CONTENT_TYPE, answer.content_type())], answer.body()).into_response()
}

/// Who this is, and what it has signed last, for people.
async fn about(State(witness): State<Arc<Witness>>) -> Response {
    let told = tokio::task::spawn_blocking(move || describe(&witness)).await;
    match told {
        Ok(Ok(about)) => text(StatusCode::OK, &about),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store failed");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the store failed\n")
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the store failed\n"),
    }
}

fn describe(witness: &Witness) -> subak_ledger::store::Result<String> {
    let verifier = witness.verifier();
    let mut about = format!(
        "{}: a witness (C2SP tlog-witness), POST /add-checkpoint\n{verifier}\n\n\
         origin, size, time of the last cosignature (seconds since 1970)\n",
        verifier.name()
    );
    for head in witness.heads()? {
        let _ = writeln!(about, "{} {} {}", head.origin, head.size, head.time);
    }
    Ok(about)
}

fn text(status: StatusCode, body: &str) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], body.to_owned()).into_response()
}

/// Seconds since 1970; a clock before that reads as 0.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
