//! `subak serve`: the node, on the network.
//!
//! Owns the process around the server: the log on standard error, the listener, the
//! signals that end it. Leaves out the server (`subak_node::serve`).

use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use subak_node::{
    runtime::{Node, Options},
    serve,
};

/// Serve the ledgers of a file: gRPC, with reflection and health.
///
/// Writing needs no account: a statement's signature is the permission. Ends in order
/// on SIGINT and SIGTERM: what was acknowledged is durable. Logs go to standard error;
/// RUST_LOG says how much. TLS is for a proxy in front of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak serve --db subak.db\n  subak serve --listen 0.0.0.0:7117 --new-ledgers"
)]
pub struct Serve {
    /// Address and port; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:7117", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Make the ledger file where there is none, and let anyone open ledgers in it
    #[arg(long)]
    new_ledgers: bool,
}

impl Serve {
    /// Runs it, until a signal ends it.
    pub async fn run(self, cx: &Context) -> Done {
        if cx.global.node.is_some() {
            return Err(Failure::usage(
                "a node serves a ledger file",
                "name it with --db, leave --node out",
            ));
        }
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        // Where strangers may open ledgers, the file may be a new one.
        let options = Options {
            create: self.new_ledgers,
            allow_new_ledgers: self.new_ledgers,
            ..Options::default()
        };
        let node = Arc::new(Node::open(cx.db(), options).await?);
        let listener = tokio::net::TcpListener::bind(self.listen).await.map_err(|e| {
            Failure::world(
                "listen",
                format!("{}: {e}", self.listen),
                "choose another address with --listen",
            )
        })?;
        let address = listener
            .local_addr()
            .map_err(|e| Failure::world("listen", e.to_string(), "try again"))?;
        let text = format!("serving {} on http://{address}", cx.db().display());
        cx.out.result("subak.serve/1", &json!({ "url": format!("http://{address}") }), &text)?;
        serve::serve(node, listener, ended())
            .await
            .map_err(|e| Failure::world("serve", format!("{e:#}"), "start it again"))
    }
}

/// Returns at SIGINT or SIGTERM.
async fn ended() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            let _ = interrupt.await;
            return;
        };
        tokio::select! { _ = interrupt => (), _ = terminate.recv() => () }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
