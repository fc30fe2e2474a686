//! `subak peer`: whom the node of this ledger file follows.
//!
//! Owns the commands on the peers file, and what a person sees of the copies. Leaves out following
//! (`subak_node::follow`); a running node sees a change of the file within seconds.

use crate::{
    connect,
    context::Context,
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use subak_ledger::log::{LedgerId, checkpoint::parse_verifier_key};
use subak_node::{
    LedgerInfo, Ledgers as _, Mirror,
    follow::{
        evidence::Evidence,
        peers::{self, Peers},
    },
    ring::{Ring, Use},
};

/// How long a peer may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom this node follows: add, list, remove.
///
/// A node copies the ledgers of its peers with which its own ones have agreements, and those that
/// are named, and verifies every entry as it arrives. What falls due in them is taken by itself
/// (`subak serve`).
#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Follow a node
    #[command(
        after_help = "Examples:\n  subak peer add https://phyle.example:7117\n  subak peer add https://commons.example:7117 --vkey \"subak/6f…+1f2e3d4c+AZ…\" --node-ca commons.pem"
    )]
    Add {
        /// Where it is: http://HOST:PORT or https://HOST:PORT
        url: String,
        /// Copy this ledger too, whoever has an agreement with it: its operator's verifier key, as
        /// `subak commons show --vkey` prints it
        #[arg(long, value_name = "KEY")]
        vkey: Vec<String>,
        /// Copy every ledger that is there
        #[arg(long)]
        all: bool,
    },
    /// List the nodes that are followed, and how far each copy is
    #[command(
        after_help = "Examples:\n  subak peer list\n  subak peer list --node http://127.0.0.1:7117"
    )]
    List,
    /// Follow a node no more; what was copied stays
    #[command(after_help = "Example:\n  subak peer remove https://phyle.example:7117")]
    Remove {
        /// As it was added
        url: String,
    },
}

impl PeerCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Add { url, vkey, all } => add(cx, url, vkey, all).await,
            Self::List if cx.global.node.is_some() => list_of_node(cx).await,
            Self::List => list(cx).await,
            Self::Remove { url } => remove(cx, &url),
        }
    }
}

/// A verifier key, also as a line for a trust file has it: `log KEY`.
pub(super) fn verifier_key(text: &str) -> String {
    let key = text.trim().strip_prefix("log ").unwrap_or(text.trim());
    key.split_whitespace().next().unwrap_or_default().to_owned()
}

fn file(cx: &Context) -> Done<PathBuf> {
    match &cx.global.node {
        None => Ok(peers::file_of(&cx.db())),
        Some(url) => Err(Failure::usage(
            format!("the peers are in a file beside the ledger file, found --node {url}"),
            "run it where the file is, with --db",
        )),
    }
}

async fn add(cx: &Context, url: String, vkey: Vec<String>, all: bool) -> Done {
    let file = file(cx)?;
    let vkey: Vec<String> = vkey.iter().map(|key| verifier_key(key)).collect();
    for key in &vkey {
        parse_verifier_key(key)?;
    }
    // As the node will write it: the certificate's path from where the file lies.
    let ca =
        cx.node_ca().map(std::path::absolute).transpose().map_err(|e| Failure::file(&file, &e))?;
    let found = there(cx, &url, ca.as_deref()).await;
    if let Err(failure) = &found
        && failure.status == 2
    {
        return Err(failure.clone());
    }
    let mut all_peers = Peers::read(&file)?;
    let peer = peers::Peer { url: url.clone(), ca, follow: vkey, all };
    all_peers.peer.retain(|known| known.url != url);
    all_peers.peer.push(peer);
    all_peers.write(&file)?;
    let said = match &found {
        Ok(ledgers) if ledgers.is_empty() => "it keeps no ledger now".to_owned(),
        Ok(ledgers) => {
            let names: Vec<&str> = ledgers.iter().map(|l| &*l.name).collect();
            format!("it keeps {}", names.join(", "))
        }
        Err(failure) => format!("it could not be asked now: {failure}"),
    };
    let text = format!("{url} is followed, from {}\n  {said}", file.display());
    let ledgers: Vec<_> = found.unwrap_or_default().iter().map(|l| l.id.to_string()).collect();
    cx.out.result("subak.peer/1", &json!({ "url": url, "file": file, "ledgers": ledgers }), &text)
}

fn remove(cx: &Context, url: &str) -> Done {
    let file = file(cx)?;
    let mut all = Peers::read(&file)?;
    let before = all.peer.len();
    all.peer.retain(|peer| peer.url != url);
    if all.peer.len() == before {
        return Err(Failure::refused(
            "unknown-peer",
            format!("{}: no peer {url}", file.display()),
            "`subak peer list` lists them",
        ));
    }
    all.write(&file)?;
    let text = format!("{url} is not followed any more; what was copied from it stays");
    cx.out.result("subak.peer/1", &json!({ "url": url, "file": file }), &text)
}

/// What a node says that it keeps.
async fn there(cx: &Context, url: &str, ca: Option<&std::path::Path>) -> Done<Vec<LedgerInfo>> {
    let asked = async {
        let remote = connect::remote(url, None, ca.or(cx.node_ca())).await?;
        Ok(remote.ledgers().await?)
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(Failure::world("no-answer", format!("{url} did not answer in time"), "try again"))
    })
}

/// A copy, for a line of the list.
struct Row {
    peer: String,
    ledger: String,
    id: LedgerId,
    here: u64,
    there: Option<u64>,
    heard_at: u64,
    trouble: String,
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "peer": self.peer, "ledger": self.ledger, "id": self.id.to_string(), "here": self.here,
            "there": self.there, "lag": self.there.map(|there| there.saturating_sub(self.here)),
            "heard_at": (self.heard_at > 0).then(|| money::show_time(self.heard_at)),
            "trouble": self.trouble,
        })
    }

    fn cells(&self) -> Vec<String> {
        let lag = match self.there {
            Some(there) if there > self.here => format!("{} behind", there - self.here),
            Some(_) => "whole".to_owned(),
            None => "unknown".to_owned(),
        };
        vec![
            self.ledger.clone(),
            self.here.to_string(),
            lag,
            self.peer.clone(),
            self.trouble.clone(),
        ]
    }
}

const HEADS: [&str; 5] = ["ledger", ">entries here", "copy", "from", "trouble"];

/// What the node itself says of its copies.
async fn list_of_node(cx: &Context) -> Done {
    let ledgers = cx.reader().await?.ledgers.ledgers().await?;
    let rows: Vec<Row> = ledgers
        .into_iter()
        .filter_map(|info| {
            let Mirror { source, size, heard_at, trouble } = info.mirror?;
            let there = (heard_at > 0).then_some(size);
            let (peer, ledger, id, here) = (source, info.name, info.id, info.size);
            Some(Row { peer, ledger, id, here, there, heard_at, trouble })
        })
        .collect();
    let data: Vec<Value> = rows.iter().map(Row::json).collect();
    let text = if rows.is_empty() {
        "this node keeps no copies".to_owned()
    } else {
        cx.out.table(&HEADS, &rows.iter().map(Row::cells).collect::<Vec<_>>())
    };
    cx.out.result("subak.peer/1", &json!({ "copies": data }), &text)
}

/// The peers in the file, each asked now how far its ledgers are of which there are copies here.
async fn list(cx: &Context) -> Done {
    let file = file(cx)?;
    let peers = Peers::read(&file)?.peer;
    let here =
        if cx.db().exists() { cx.reader().await?.ledgers.ledgers().await? } else { Vec::new() };
    let (ring, evidence) = (Ring::beside(&cx.db()), Evidence::beside(&cx.db()));
    let copies: Vec<&LedgerInfo> =
        here.iter().filter(|l| !ring.holds(&l.operator, Use::Operator)).collect();
    let (mut rows, mut lines, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for peer in &peers {
        let ca =
            peer.ca.as_ref().map(|ca| file.parent().map_or_else(|| ca.clone(), |d| d.join(ca)));
        let found = there(cx, &peer.url, ca.as_deref()).await;
        let away = found.as_ref().err().map(ToString::to_string);
        lines.push(match &away {
            None => peer.url.clone(),
            Some(why) => format!("{}  {}", peer.url, cx.out.bad(why)),
        });
        data.push(json!({ "url": peer.url, "follow": peer.follow, "all": peer.all, "away": away }));
        let found = found.unwrap_or_default();
        let named: Vec<LedgerId> = peer.named()?.into_iter().map(|(ledger, _)| ledger).collect();
        for copy in &copies {
            let there = found.iter().find(|l| l.id == copy.id).map(|l| l.size);
            if there.is_none() && !named.contains(&copy.id) {
                continue;
            }
            let proven = evidence.against(copy.id);
            let trouble = match (proven, there) {
                (Some(proof), _) => format!("two histories: {}", proof.display()),
                (None, Some(there)) if there < copy.size => {
                    format!("{there} entries there, more were signed")
                }
                _ => String::new(),
            };
            rows.push(Row {
                peer: peer.url.clone(),
                ledger: copy.name.clone(),
                id: copy.id,
                here: copy.size,
                there,
                heard_at: there.map_or(0, |_| money::now()),
                trouble,
            });
        }
    }
    let copied: Vec<Value> = rows.iter().map(Row::json).collect();
    let mut text = if peers.is_empty() {
        "nobody is followed: `subak peer add URL`".to_owned()
    } else {
        format!(
            "{} followed\n  {}",
            describe::count(peers.len() as u64, "node"),
            lines.join("\n  ")
        )
    };
    if !rows.is_empty() {
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        text = format!("{text}\n\n{}", cx.out.table(&HEADS, &cells));
    }
    cx.out.result("subak.peer/1", &json!({ "peers": data, "copies": copied }), &text)
}
