//! The server: services, limits, and an orderly end.
//!
//! Owns the port, on which gRPC and plain HTTP (1.1 and 2) are answered, in TLS or not.
//! Guarantees bounds: on connections, on calls at a time (on one connection and on all), on the
//! time of a call that is no stream; that at the end what was begun is finished and answered,
//! what waits is told, and the store is closed when [`serve`] returns. Bounds on messages and
//! on open streams are `service`'s. Leaves out a bound on the time of a stream, which may
//! follow for ever; limits for each peer, which a proxy in front of it has; and all
//! authentication: a statement's signature is the permission.

use crate::{
    connections::{limited, secured},
    http,
    runtime::Node,
    service::Services,
    tls::Identity,
};
use anyhow::Context as _;
use axum::middleware;
use futures::{FutureExt as _, StreamExt as _};
use std::{future::Future, sync::Arc, time::Duration};
use subak_proto::v1::{book_server::BookServer, log_server::LogServer};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

/// A call that is not a stream is answered or given up within this.
const CALL: Duration = Duration::from_secs(30);
/// Connections at a time; the next ones wait to be accepted.
const CONNECTIONS: usize = 256;
/// Calls at a time on one connection; beyond them the answer is RESOURCE_EXHAUSTED.
const CALLS_A_CONNECTION: usize = 256;
/// Calls at a time on all of them, with the same answer (503 over plain HTTP). Each may have a
/// message of two megabytes in memory.
const CALLS: usize = 512;
/// How long the end waits for slow readers.
const DRAIN: Duration = Duration::from_secs(10);
/// A silent peer is asked after this, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Serves `node` on `listener` until `shutdown`; returns once the store is closed. Without TLS:
/// what is said can be read on the way.
pub async fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    serve_as(node, listener, None, shutdown).await
}

/// As [`serve`]; with an identity in TLS and nothing else.
pub async fn serve_as(
    node: Arc<Node>,
    listener: TcpListener,
    identity: Option<Identity>,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let services = Services::new(node.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LogServer<Services>>().await;
    health.set_serving::<BookServer<Services>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(subak_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the compiled descriptors")?;
    // Not Server::tcp_nodelay, which does nothing for a listener that is handed over.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = limited(incoming, CONNECTIONS, services.metrics.clone()).boxed();
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let end = {
        let node = node.clone();
        async move {
            shutdown.await;
            tracing::info!("shutting down");
            health.set_not_serving::<LogServer<Services>>().await;
            health.set_not_serving::<BookServer<Services>>().await;
            // Ends the streams that follow, too: the server waits for all that is open.
            node.stop();
            stopping.send_replace(true);
        }
    };
    let calls =
        middleware::from_fn_with_state(Arc::new(Semaphore::new(CALLS)), http::one_of_so_many);
    let routes = Routes::new(services.log())
        .add_service(services.book())
        .add_service(health_service)
        .add_service(reflection)
        .into_axum_router()
        .reset_fallback()
        .merge(http::routes(node.clone(), services.clone()))
        .layer(calls);
    let server = Server::builder()
        .accept_http1(true)
        .timeout(CALL)
        .concurrency_limit_per_connection(CALLS_A_CONNECTION)
        .load_shed(true)
        .max_concurrent_streams(Some(u32::try_from(CALLS_A_CONNECTION)?))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        // The path names the call; what is in it may be personal.
        .trace_fn(|request| tracing::info_span!("call", path = request.uri().path()))
        .add_routes(Routes::from(routes).prepare());
    let server = match identity {
        None => server.serve_with_incoming_shutdown(incoming, end).left_future(),
        Some(identity) => {
            let incoming = secured(incoming, identity.acceptor(), CONNECTIONS);
            server.serve_with_incoming_shutdown(incoming, end).right_future()
        }
    };
    let late = async {
        // An error means that the server is gone already.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = server => served.context("the server"),
        () = late => Ok(()),
    };
    node.close().await;
    served
}
