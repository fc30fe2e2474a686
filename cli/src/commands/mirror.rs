//! `subak mirror`: other operators' ledgers, served from a copy.
//!
//! Owns the options. Leaves out copying (`subak_node::follow`) and serving (`serve`).

use super::{
    peer::verifier_key,
    serve::{Place, follow, look},
};
use crate::{
    connect,
    context::Context,
    failure::{Done, Failure},
};
use clap::Args;
use std::sync::Arc;
use subak_ledger::log::checkpoint::parse_verifier_key;
use subak_node::{
    follow::peers::Peer,
    runtime::{Node, Options},
};

/// Serve a copy of other nodes' ledgers: every read, with proofs; nothing can be appended.
///
/// All ledgers of those nodes are copied, or only those that --vkey names, with their texts, and
/// every entry is verified as it arrives. Readers see how far the copy is behind. The stewards
/// can make a mirror the operator of a ledger: `subak operator offer` on its file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak mirror https://commons.example:7117 --db mirror.db --listen 0.0.0.0:7118\n  subak mirror http://127.0.0.1:7117 --db mirror.db --listen 127.0.0.1:0 --vkey \"subak/6f…+1f2e3d4c+AZ…\""
)]
pub struct Mirror {
    /// The nodes to copy from; with --node-ca only that certificate is believed
    #[arg(required = true, value_name = "URL")]
    from: Vec<String>,
    /// Only this ledger: its operator's verifier key, as `subak commons show --vkey` prints it
    #[arg(long, value_name = "KEY")]
    vkey: Vec<String>,
    #[command(flatten)]
    place: Place,
}

impl Mirror {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let vkey: Vec<String> = self.vkey.iter().map(|key| verifier_key(key)).collect();
        for key in &vkey {
            parse_verifier_key(key)?;
        }
        let mut peers = Vec::new();
        for url in &self.from {
            let url = connect::node_url(url)?;
            connect::require_url(&url, cx.node_ca())?;
            let ca = cx.node_ca().map(std::path::absolute).transpose();
            let ca = ca.map_err(|e| Failure::file(cx.node_ca().unwrap_or(&cx.db()), &e))?;
            let (follow, all) = (vkey.clone(), vkey.is_empty());
            peers.push(Peer { url, ca, follow, all });
        }
        let listening = self.place.open(cx).await?;
        let options = Options { create: true, allow_new_ledgers: false, ..Options::default() };
        let node = Arc::new(Node::open(cx.db(), options).await?);
        let looked = look(cx, &node).await?;
        follow(cx, &node, peers, true, None);
        listening.serve(cx, node, looked).await
    }
}
