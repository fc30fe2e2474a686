//! `subak peer`: whom the node of this ledger file follows.
//!
//! Owns the commands that change the peers file. Guarantees that nothing said before is lost
//! unheard, and that what contradicts the node that is meant is refused before it is written.
//! Leaves out how far the copies are (`list`), and following (`subak_node::follow`); a running node
//! sees a change of the file within seconds.

mod list;

use crate::{
    connect,
    context::Context,
    describe,
    failure::{Done, Failure},
};
use clap::Subcommand;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use subak_ledger::log::{LedgerId, PublicKey, checkpoint::parse_verifier_key};
use subak_node::{
    LedgerInfo, Ledgers as _,
    client::Remote,
    follow::peers::{self, Added, Peer, Peers},
    ring::{Ring, Use},
};
use tokio::time::timeout;

/// How long a peer may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom this node follows: add, list, remove.
///
/// A node copies the ledgers of its peers with which its own ones have agreements, and those that
/// are named, and verifies every entry as it arrives. What falls due in them is taken by itself
/// (`subak serve`).
#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Follow a node, or more of one that is followed already
    ///
    /// What is said adds to what was said of that node before. Another --node-ca takes the place of
    /// the one before, another key of a ledger too; what is to end is removed first.
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
        /// As `subak peer list` shows it
        url: String,
    },
}

impl PeerCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Add { url, vkey, all } => add(cx, &url, &vkey, all).await,
            Self::List if cx.global.node.is_some() => list::of_node(cx).await,
            Self::List => list::of_file(cx).await,
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

async fn add(cx: &Context, url: &str, vkey: &[String], all: bool) -> Done {
    let file = file(cx)?;
    let url = connect::node_url(url)?;
    connect::require_url(&url, cx.node_ca())?;
    let follow: Vec<String> = vkey.iter().map(|key| verifier_key(key)).collect();
    for key in &follow {
        parse_verifier_key(key)?;
    }
    // The certificate's path from wherever the node is started.
    let ca =
        cx.node_ca().map(std::path::absolute).transpose().map_err(|e| Failure::file(&file, &e))?;
    let said = Peer { url, ca, follow, all };
    // Asked as the node will ask it, with what stands in the file already.
    let planned = Peers::read(&file)?.add(&said)?.now;
    let ca = planned.ca_beside(&file);
    if let Some(ca) = &ca {
        connect::pin(ca)?;
    }
    let found = match there(cx, &planned.url, ca.as_deref()).await {
        Ok((remote, ledgers)) => {
            require_other(cx, &said.url, &ledgers)?;
            require_named(cx, &remote, &said, &ledgers).await?;
            Ok(ledgers)
        }
        // Another certificate than is believed is an answer, too.
        Err(failure)
            if failure.status == 4
                && !matches!(&*failure.code, "node-certificate" | "node-tls") =>
        {
            Err(failure)
        }
        Err(failure) => return Err(failure),
    };
    let added = Peers::change(&file, |peers| peers.add(&said))?;
    report(cx, &file, &added, found)
}

/// A node does not follow itself: whoever signs for a ledger whose operator's key is beside this
/// file is the node of this file.
fn require_other(cx: &Context, url: &str, ledgers: &[LedgerInfo]) -> Done {
    let ring = Ring::beside(&cx.db());
    let own = |l: &&LedgerInfo| l.mirror.is_none() && ring.holds(&l.operator, Use::Operator);
    match ledgers.iter().find(own) {
        None => Ok(()),
        Some(own) => Err(Failure::refused(
            "own-node",
            format!(
                "{url} is the node of {} itself: it signs for {}, whose operator's key is beside \
                 that file",
                cx.db().display(),
                own.name
            ),
            "name the node of somebody else; if two nodes have that key, stop one of them: two \
             histories can be proven",
        )),
    }
}

/// What is named must be there, and have had that operator; what cannot be found out now is said.
async fn require_named(cx: &Context, remote: &Remote, said: &Peer, there: &[LedgerInfo]) -> Done {
    for (ledger, key) in said.named()? {
        let Some(info) = there.iter().find(|info| info.id == ledger) else {
            return Err(Failure::refused(
                "no-ledger",
                format!("{} does not have ledger {ledger}; {}", said.url, keeps(there)),
                "compare the key with whoever gave it to you, or ask the node that has it",
            ));
        };
        if info.operator == key.bytes() {
            continue;
        }
        // Another may have followed since, which the log says.
        let read = timeout(PATIENCE, remote.book(ledger)).await;
        match read.map(|book| book.map_err(Failure::from)) {
            Ok(Ok(book)) if book.operators.iter().any(|term| term.key == key.bytes()) => {}
            Ok(Ok(book)) => return Err(another_operator(info, ledger, &key, &book.operator())),
            Ok(Err(failure)) if failure.status != 4 => return Err(failure),
            Ok(Err(_)) | Err(_) => cx.out.warning(&format!(
                "whether the operator of {} has or had the key {} could not be found out now; the \
                 node will, before it copies",
                info.name,
                hex::encode(key.bytes())
            )),
        }
    }
    Ok(())
}

fn another_operator(
    info: &LedgerInfo,
    ledger: LedgerId,
    expected: &PublicKey,
    found: &[u8; 32],
) -> Failure {
    Failure::refused(
        "operator-unexpected",
        format!(
            "ledger {} ({ledger}): expected the operator key {}, found {}, and it never was another's",
            info.name,
            hex::encode(expected.bytes()),
            hex::encode(found)
        ),
        "compare the key with the commons or phyle; one of the two is not what it says",
    )
}

fn keeps(ledgers: &[LedgerInfo]) -> String {
    if ledgers.is_empty() {
        return "it has no ledger now".to_owned();
    }
    let names: Vec<&str> = ledgers.iter().map(|l| &*l.name).collect();
    format!("it has {}", names.join(", "))
}

fn report(cx: &Context, file: &Path, added: &Added, found: Done<Vec<LedgerInfo>>) -> Done {
    let Added { before, now } = added;
    let changed = before.as_ref() != Some(now);
    let mut lines = vec![match before {
        None => format!("{} is followed, from {}", now.url, file.display()),
        Some(_) if changed => format!("{} is followed; changed in {}", now.url, file.display()),
        Some(_) => format!("{} is followed already, and nothing changes", now.url),
    }];
    let known = found.as_deref().unwrap_or_default();
    lines.push(format!("  copied from there: {}", what(now, known)?));
    let before_url = before.as_ref().map(|p| &p.url).filter(|url| **url != now.url);
    lines.extend(before_url.map(|url| format!("  its URL was {url}")));
    let before_ca =
        before.as_ref().and_then(|p| p.ca.as_ref()).filter(|ca| Some(*ca) != now.ca.as_ref());
    if let Some(ca) = &now.ca {
        lines.push(format!("  believed by the certificate in {} alone", ca.display()));
    }
    lines.extend(before_ca.map(|ca| format!("  no more by that in {}", ca.display())));
    lines.push(match &found {
        Ok(ledgers) => format!("  {}", keeps(ledgers)),
        Err(failure) => format!("  it could not be asked now, and nothing is checked: {failure}"),
    });
    let data = json!({
        "url": now.url, "file": file, "changed": changed, "follow": now.follow, "all": now.all,
        "ca": now.ca, "before": before.as_ref().map(|peer| json!({
            "url": peer.url, "follow": peer.follow, "all": peer.all, "ca": peer.ca,
        })),
        "ledgers": known.iter().map(|l| l.id.to_string()).collect::<Vec<_>>(),
    });
    cx.out.result("subak.peer/1", &data, &lines.join("\n"))
}

/// What of a node is copied, in words.
fn what(peer: &Peer, known: &[LedgerInfo]) -> Done<String> {
    if peer.all {
        return Ok("every ledger".to_owned());
    }
    let partners = "those with which own ones have agreements";
    let name = |(ledger, _): (LedgerId, PublicKey)| {
        let known = known.iter().find(|info| info.id == ledger);
        known.map_or_else(|| format!("ledger {}", describe::short(&ledger.0)), |l| l.name.clone())
    };
    let named: Vec<String> = peer.named()?.into_iter().map(name).collect();
    Ok(if named.is_empty() {
        partners.to_owned()
    } else {
        format!("{}, and {partners}", named.join(", "))
    })
}

fn remove(cx: &Context, url: &str) -> Done {
    let (file, url) = (file(cx)?, connect::node_url(url)?);
    Peers::change(&file, |peers| {
        let before = peers.peer.len();
        peers.peer.retain(|peer| !peer.is_at(&url));
        if peers.peer.len() < before {
            return Ok(());
        }
        let known: Vec<&str> = peers.peer.iter().map(|peer| &*peer.url).collect();
        let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
        Err(Failure::refused(
            "unknown-peer",
            format!("{}: no peer {url}; followed: {known}", file.display()),
            "`subak peer list` lists them",
        ))
    })?;
    let text = format!("{url} is not followed any more; what was copied from it stays");
    cx.out.result("subak.peer/1", &json!({ "url": url, "file": file }), &text)
}

/// What a node says that it keeps.
async fn there(cx: &Context, url: &str, ca: Option<&Path>) -> Done<(Remote, Vec<LedgerInfo>)> {
    let asked = async {
        let ca = ca.or(cx.node_ca()).filter(|_| url.starts_with("https:"));
        let remote = connect::remote(url, None, ca).await?;
        let ledgers = remote.ledgers().await?;
        Ok((remote, ledgers))
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(Failure::world("no-answer", format!("{url} did not answer in time"), "try again"))
    })
}
