//! `subak network`: who routes how much to whom, from node to node.
//!
//! Owns the walk: a node says which ledgers it keeps and from where it copies others, and so the
//! next node is found. Guarantees that every figure comes from entries that were verified under
//! their operator's signed head, that a node which is away hides no other, and that the walk ends.
//! Leaves out judgement: `subak audit URL…` compares both sides of each agreement.

use crate::{
    connect,
    context::Context,
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        state::State,
        types::{Base, Minor},
    },
    log::{Hash, LedgerId},
};
use subak_node::Ledgers as _;

/// How long a node may take to say what it keeps.
const PATIENCE: Duration = Duration::from_secs(10);

/// Walk the network of phyles and commons: who routes how much to whom.
///
/// Begins at the nodes named, or at --node, and goes on to those from which they copy ledgers. Every
/// ledger is verified entry by entry, and the longest copy of each is used. With --node-ca only
/// that certificate is believed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak network --node https://commons.example:7117\n  subak network http://127.0.0.1:7117 http://127.0.0.1:7118 --json"
)]
pub struct Network {
    /// Where to begin
    #[arg(value_name = "URL")]
    from: Vec<String>,
    /// Visit at most so many nodes
    #[arg(long, default_value_t = 100, value_name = "N")]
    most: usize,
}

/// What was found.
#[derive(Default)]
struct Found {
    /// In the order of the walk: where, and which ledgers are kept there, or why it was not asked.
    nodes: Vec<(String, Result<Vec<String>, String>)>,
    /// The longest verified copy of each ledger, and where it was read.
    books: BTreeMap<LedgerId, (Arc<State>, String)>,
    /// Ledgers that did not verify, with where and why.
    refused: Vec<(String, String, String)>,
}

impl Network {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let mut next: VecDeque<String> = self.from.into();
        next.extend(cx.global.node.clone());
        if next.is_empty() {
            return Err(Failure::usage(
                "a walk begins at a node",
                "name one: `subak network http://127.0.0.1:7117`",
            ));
        }
        for url in &next {
            connect::require_url(url, cx.node_ca().filter(|_| url.starts_with("https:")))?;
        }
        let (mut found, mut seen) = (Found::default(), BTreeSet::new());
        let mut left_out = 0u64;
        while let Some(url) = next.pop_front() {
            if !seen.insert(url.clone()) {
                continue;
            }
            if found.nodes.len() >= self.most {
                left_out += 1;
                continue;
            }
            match visit(cx, &url, &mut found).await {
                Ok((names, sources)) => {
                    found.nodes.push((url, Ok(names)));
                    next.extend(sources);
                }
                Err(failure) => found.nodes.push((url, Err(failure.to_string()))),
            }
        }
        found.report(cx, left_out)
    }
}

/// Reads what a node keeps; returns the names of those ledgers, and where it has the copies from.
async fn visit(cx: &Context, url: &str, found: &mut Found) -> Done<(Vec<String>, Vec<String>)> {
    let ca = cx.node_ca().filter(|_| url.starts_with("https:"));
    let asked = async {
        let remote = connect::remote(url, None, ca).await?;
        let ledgers = remote.ledgers().await?;
        Ok((remote, ledgers))
    };
    let (remote, ledgers) = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(Failure::world("no-answer", format!("{url} did not answer in time"), "try again"))
    })?;
    let (mut names, mut sources) = (Vec::new(), Vec::new());
    for info in ledgers {
        match &info.mirror {
            Some(mirror) if mirror.source.is_empty() => {}
            Some(mirror) => sources.push(mirror.source.clone()),
            None => names.push(info.name.clone()),
        }
        let known = found.books.get(&info.id).map_or(0, |(book, _)| book.size);
        if known > info.size || (known == info.size && info.mirror.is_some()) {
            continue;
        }
        match remote.book(info.id).await {
            Ok(book) => drop(found.books.insert(info.id, (book, url.to_owned()))),
            Err(error) => found.refused.push((info.name, url.to_owned(), error.to_string())),
        }
    }
    Ok((names, sources))
}

/// One agreement, as far as either side was found.
struct Flow<'a> {
    digest: Hash,
    payer: Option<&'a Agreement>,
    commons: Option<&'a Agreement>,
}

impl Flow<'_> {
    fn either(&self) -> &Agreement {
        self.payer.or(self.commons).expect("a flow is found in one of the ledgers")
    }

    fn due(side: Option<&Agreement>) -> Option<Minor> {
        let items = side?.dues.items.values();
        Some(items.map(|item| item.due - item.due_reversed).sum())
    }

    fn state(&self) -> String {
        match (self.payer, self.commons) {
            (_, Some(commons)) if commons.frozen.is_some() => "frozen".to_owned(),
            (None, _) => "the payer's ledger was not found".to_owned(),
            (_, None) => "the commons' ledger was not found".to_owned(),
            (Some(payer), Some(commons)) => {
                let behind = payer.dues.last.saturating_sub(commons.dues.last);
                match behind {
                    0 => format!("{:?}", payer.progress).to_lowercase(),
                    n => format!("{n} in flight"),
                }
            }
        }
    }
}

impl Found {
    fn flows(&self) -> Vec<Flow<'_>> {
        let mut flows: BTreeMap<Hash, Flow<'_>> = BTreeMap::new();
        for (book, _) in self.books.values() {
            for agreement in book.agreements.values() {
                let digest = agreement.terms.digest;
                let flow =
                    flows.entry(digest).or_insert(Flow { digest, payer: None, commons: None });
                match agreement.progress {
                    Progress::Accepted => flow.commons = Some(agreement),
                    Progress::Offered | Progress::Active => flow.payer = Some(agreement),
                }
            }
        }
        flows.into_values().collect()
    }

    fn name(&self, ledger: Hash, handle: &str) -> String {
        let known = self.books.get(&LedgerId(ledger));
        known.map_or_else(|| handle.to_owned(), |(book, _)| book.root().name.to_string())
    }

    fn report(&self, cx: &Context, left_out: u64) -> Done {
        let flows = self.flows();
        let mut lines: Vec<String> = self
            .nodes
            .iter()
            .map(|(url, kept)| match kept {
                Ok(names) if names.is_empty() => format!("{url}  keeps copies only"),
                Ok(names) => format!("{url}  keeps {}", names.join(", ")),
                Err(why) => format!("{url}  {}", cx.out.bad(why)),
            })
            .collect();
        for (name, url, why) in &self.refused {
            lines.push(cx.out.bad(&format!("{name} at {url} does not verify: {why}")));
        }
        if left_out > 0 {
            lines.push(format!("{} not visited: see --most", describe::count(left_out, "node")));
        }
        let rows: Vec<Vec<String>> = flows.iter().map(|flow| self.cells(flow)).collect();
        let heads = ["payer", "commons", "share", "", ">due", ">taken", ">settled", "state"];
        let table =
            if rows.is_empty() { "no agreements".to_owned() } else { cx.out.table(&heads, &rows) };
        let text = format!("{}\n\n{table}", lines.join("\n"));
        let data = json!({
            "nodes": self.nodes.iter().map(|(url, kept)| json!({
                "url": url, "keeps": kept.as_ref().ok(), "away": kept.as_ref().err(),
            })).collect::<Vec<_>>(),
            "ledgers": self.books.iter().map(|(id, (book, url))| json!({
                "id": id.to_string(), "ledger": book.root().name.as_str(), "size": book.size,
                "read_at": url, "operator": hex::encode(book.operator()),
            })).collect::<Vec<_>>(),
            "not_verified": self.refused.iter().map(|(name, url, why)| json!({
                "ledger": name, "url": url, "message": why,
            })).collect::<Vec<_>>(),
            "not_visited": left_out,
            "flows": flows.iter().map(|flow| self.json(flow)).collect::<Vec<_>>(),
        });
        cx.out.result("subak.network/1", &data, &text)?;
        let away = self.nodes.iter().any(|(_, kept)| kept.is_err());
        match (self.refused.is_empty(), away) {
            (false, _) => Err(Failure::told(1)),
            (true, true) => Err(Failure::told(4)),
            (true, false) => Ok(()),
        }
    }

    fn cells(&self, flow: &Flow<'_>) -> Vec<String> {
        let terms = &flow.either().terms;
        let share = match terms.base {
            Base::Payout => "payouts".to_owned(),
            base => format!("{} of {base}", money::show_share(terms.share)),
        };
        let m = |v: Option<Minor>| v.map_or("?".into(), |v| money::plain(v.into(), terms.currency));
        let settled = flow.commons.map(|a| u64::try_from(a.settled).unwrap_or(u64::MAX));
        vec![
            self.name(terms.payer, terms.payer_handle.as_str()),
            self.name(terms.commons, terms.commons_handle.as_str()),
            share,
            terms.currency.to_string(),
            m(Flow::due(flow.payer)),
            m(Flow::due(flow.commons)),
            m(settled),
            flow.state(),
        ]
    }

    fn json(&self, flow: &Flow<'_>) -> Value {
        let terms = &flow.either().terms;
        let m = |v: Option<Minor>| v.map(|v| money::json(v.into(), terms.currency));
        let settled = flow.commons.map(|a| u64::try_from(a.settled).unwrap_or(u64::MAX));
        json!({
            "agreement": hex::encode(flow.digest),
            "payer": self.name(terms.payer, terms.payer_handle.as_str()),
            "payer_ledger": hex::encode(terms.payer),
            "commons": self.name(terms.commons, terms.commons_handle.as_str()),
            "commons_ledger": hex::encode(terms.commons),
            "share_ppm": terms.share, "base": terms.base.word(), "currency": terms.currency.as_str(),
            "due": m(Flow::due(flow.payer)), "taken": m(Flow::due(flow.commons)),
            "settled": m(settled), "state": flow.state(),
        })
    }
}
