//! `subak peer list`: whom a node follows, and how far its copies are.
//!
//! Owns what a person sees of them. Guarantees that every copy in the file is listed, also while
//! whoever it comes from is away, and that one peer that is slow holds up no other. Leaves out what
//! is wrong with a copy on its way: the node that copies it knows that (`--node`).

use super::there;
use crate::{context::Context, describe, failure::Done, money};
use futures::future::join_all;
use serde_json::{Value, json};
use std::path::Path;
use subak_ledger::log::LedgerId;
use subak_node::{
    LedgerInfo, Mirror,
    follow::{
        evidence::Evidence,
        peers::{Peer, Peers},
    },
    ring::{Ring, Use},
};

/// A copy, for a line of the list.
struct Row {
    /// Where it comes from, as far as is known.
    peer: Option<String>,
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
            self.peer.clone().unwrap_or_else(|| "nobody who answers".to_owned()),
            self.trouble.clone(),
        ]
    }
}

const HEADS: [&str; 5] = ["ledger", ">entries here", "copy", "from", "trouble"];

/// What the node itself says of its copies.
pub(super) async fn of_node(cx: &Context) -> Done {
    let ledgers = cx.reader().await?.ledgers.ledgers().await?;
    let rows: Vec<Row> = ledgers
        .into_iter()
        .filter_map(|info| {
            let Mirror { source, size, heard_at, trouble } = info.mirror?;
            let there = (heard_at > 0).then_some(size);
            let peer = (!source.is_empty()).then_some(source);
            let (ledger, id, here) = (info.name, info.id, info.size);
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

/// The peers in the file, all asked now how far their ledgers are of which there are copies here.
pub(super) async fn of_file(cx: &Context) -> Done {
    let file = super::file(cx)?;
    let peers = Peers::read(&file)?.peer;
    let copies = copies(cx).await?;
    let asked = peers.iter().map(|peer| async {
        let ca = peer.ca_beside(&file);
        there(cx, &peer.url, ca.as_deref()).await.map(|(_, ledgers)| ledgers)
    });
    let answers = join_all(asked).await;
    let evidence = Evidence::beside(&cx.db());
    let (mut rows, mut lines, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for (peer, answer) in peers.iter().zip(answers) {
        let away = answer.as_ref().err().map(ToString::to_string);
        lines.push(match &away {
            None => peer.url.clone(),
            Some(why) => format!("{}  {}", peer.url, cx.out.bad(why)),
        });
        data.push(json!({ "url": peer.url, "follow": peer.follow, "all": peer.all, "away": away }));
        rows.extend(rows_of(peer, &answer.unwrap_or_default(), &copies, &evidence)?);
    }
    // The file does not say where a copy came from: it is here all the same.
    for copy in &copies {
        if !rows.iter().any(|row: &Row| row.id == copy.id) {
            rows.push(row(copy, None, None, &evidence));
        }
    }
    let copied: Vec<Value> = rows.iter().map(Row::json).collect();
    let mut text = if peers.is_empty() {
        nobody(&file, copies.len())
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

/// The ledgers in the file that others sign for.
async fn copies(cx: &Context) -> Done<Vec<LedgerInfo>> {
    if !cx.db().exists() {
        return Ok(Vec::new());
    }
    let ring = Ring::beside(&cx.db());
    let mut here = cx.reader().await?.ledgers.ledgers().await?;
    here.retain(|info| !ring.holds(&info.operator, Use::Operator));
    Ok(here)
}

/// The copies of what a peer has, or is followed for by name.
fn rows_of(
    peer: &Peer,
    found: &[LedgerInfo],
    copies: &[LedgerInfo],
    evidence: &Evidence,
) -> Done<Vec<Row>> {
    let named: Vec<LedgerId> = peer.named()?.into_iter().map(|(ledger, _)| ledger).collect();
    let of_copy = |copy: &LedgerInfo| {
        let there = found.iter().find(|l| l.id == copy.id).map(|l| l.size);
        let is_of_peer = there.is_some() || named.contains(&copy.id);
        is_of_peer.then(|| row(copy, Some(&peer.url), there, evidence))
    };
    Ok(copies.iter().filter_map(of_copy).collect())
}

fn row(copy: &LedgerInfo, peer: Option<&str>, there: Option<u64>, evidence: &Evidence) -> Row {
    let trouble = match (evidence.against(copy.id), there) {
        (Some(proof), _) => format!("two histories: {}", proof.display()),
        (None, Some(there)) if there < copy.size => {
            format!("{there} entries there, more were signed")
        }
        _ => String::new(),
    };
    Row {
        peer: peer.map(str::to_owned),
        ledger: copy.name.clone(),
        id: copy.id,
        here: copy.size,
        there,
        heard_at: there.map_or(0, |_| money::now()),
        trouble,
    }
}

/// What is to be said where the peers file names nobody.
fn nobody(file: &Path, copies: usize) -> String {
    if copies == 0 {
        return "nobody is followed: `subak peer add URL`".to_owned();
    }
    format!(
        "{} names nobody, and {} of others {} copied here.\nA mirror has its sources from its \
         command line (`subak mirror URL`): `subak peer list --node URL`,\nwith the mirror's own \
         URL, shows from where and how far.",
        file.display(),
        describe::count(copies as u64, "ledger"),
        if copies == 1 { "is" } else { "are" }
    )
}
