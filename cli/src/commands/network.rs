//! `subak network`: who routes how much to whom, from node to node.
//!
//! Owns the walk: a node says which ledgers it keeps and from where it copies others, and so the
//! next node is found; a ledger file also names peers. Guarantees that every figure comes from
//! entries that were verified under their operator's signed head, that a node which is away or
//! slow hides no other, and that the walk ends. Leaves out judgement: `subak audit URL…`
//! compares both sides of each agreement.

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
    path::{Path, PathBuf},
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
use subak_node::{
    LedgerInfo, Ledgers, NodeError,
    follow::peers::{self, Peers, node_url},
};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a node may take to say what it keeps.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all ledgers of a node may take to be read: some millions of entries.
const READING: Duration = Duration::from_mins(5);

/// Walk the network of phyles and commons: who routes how much to whom.
///
/// Begins at the nodes named, or at --node, and goes on to those from which they copy ledgers; with
/// --db at that ledger file and its peers. Every ledger is verified entry by entry, and the longest
/// copy of each is used. With --expect or a trust file only those operators are believed, with
/// --node-ca only that certificate.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak network --node https://commons.example:7117\n  subak network http://127.0.0.1:7117 http://127.0.0.1:7118 --json\n  subak network --db subak.db"
)]
pub struct Network {
    /// Where to begin
    #[arg(value_name = "URL")]
    from: Vec<String>,
    /// Visit at most so many nodes
    #[arg(long, default_value_t = 100, value_name = "N")]
    most: usize,
}

/// A node to visit, and the certificates that alone it may show.
type Stop = (String, Option<PathBuf>);

/// What was found.
#[derive(Default)]
struct Found {
    /// In the order of the walk: where, and which ledgers are kept there, or why it was not asked.
    nodes: Vec<(String, Result<Vec<String>, String>)>,
    /// The longest verified copy of each ledger, and where it was read.
    books: BTreeMap<LedgerId, (Arc<State>, String)>,
    /// Ledgers that were not read, or are not believed: which, where and why.
    refused: Vec<(String, String, Failure)>,
}

impl Network {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let mut found = Found::default();
        let mut next = self.first(cx)?;
        let alone = next.is_empty();
        next.extend(found.at_home(cx, alone).await?);
        if next.is_empty() && found.nodes.is_empty() {
            return Err(Failure::usage(
                "a walk begins at a node",
                "name one: `subak network http://127.0.0.1:7117`, or a ledger file that has peers",
            ));
        }
        let (mut seen, mut left_out, mut visited) = (BTreeSet::new(), 0u64, 0);
        while let Some((url, ca)) = next.pop_front() {
            if !seen.insert(url.clone()) {
                continue;
            }
            if visited >= self.most {
                left_out += 1;
                continue;
            }
            visited += 1;
            match found.visit(cx, &url, ca.as_deref()).await {
                Ok((names, sources)) => {
                    found.nodes.push((url, Ok(names)));
                    next.extend(sources.into_iter().map(|source| (source, None)));
                }
                Err(failure) => found.nodes.push((url, Err(failure.to_string()))),
            }
        }
        found.report(cx, left_out)
    }

    /// The nodes that were named.
    fn first(&self, cx: &Context) -> Done<VecDeque<Stop>> {
        let named = self.from.iter().chain(&cx.global.node);
        named.map(|url| Ok((connect::node_url(url)?, None))).collect()
    }
}

impl Found {
    /// Reads the ledger file, if it is meant: one is named, or nothing else is and one is here.
    /// Returns its peers.
    async fn at_home(&mut self, cx: &Context, alone: bool) -> Done<Vec<Stop>> {
        let is_named = cx.global.node.is_none() && cx.global.db.is_some();
        let is_only = alone && cx.db().exists();
        if !is_named && !is_only {
            return Ok(Vec::new());
        }
        let connection = cx.reader().await?;
        let ledgers = connection.ledgers.ledgers().await?;
        let place = cx.db().display().to_string();
        self.read(cx, &*connection.ledgers, &ledgers, &place).await;
        let own = ledgers.iter().filter(|info| connection.is_own(info));
        self.nodes.push((place, Ok(own.map(|info| info.name.clone()).collect())));
        let file = peers::file_of(&cx.db());
        let peers = Peers::read(&file)?.peer.into_iter();
        Ok(peers.map(|peer| (peer.url.clone(), peer.ca_beside(&file))).collect())
    }

    /// Reads what a node keeps; returns the names of those ledgers, and where it has the copies from.
    async fn visit(
        &mut self,
        cx: &Context,
        url: &str,
        ca: Option<&Path>,
    ) -> Done<(Vec<String>, Vec<String>)> {
        let ca = ca.or(cx.node_ca()).filter(|_| url.starts_with("https:"));
        let asked = async {
            let remote = connect::remote(url, None, ca).await?;
            let ledgers = remote.ledgers().await?;
            Ok((remote, ledgers))
        };
        let (remote, ledgers) = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(Failure::world("no-answer", format!("{url} did not answer in time"), "try again"))
        })?;
        let (mut names, mut sources) = (Vec::new(), Vec::new());
        for info in &ledgers {
            match &info.mirror {
                Some(mirror) if mirror.source.is_empty() => {}
                // What is no URL is visited as it is, and said to be none.
                Some(mirror) => {
                    let url = node_url(&mirror.source);
                    sources.push(url.unwrap_or_else(|| mirror.source.clone()));
                }
                None => names.push(info.name.clone()),
            }
        }
        self.read(cx, &remote, &ledgers, url).await;
        Ok((names, sources))
    }

    /// Reads those of these ledgers of which there may be more than was read elsewhere.
    async fn read(&mut self, cx: &Context, from: &dyn Ledgers, all: &[LedgerInfo], place: &str) {
        let until = Instant::now() + READING;
        for info in all {
            // What is said to be there is a reason to ask, and no more.
            let known = self.books.get(&info.id).map_or(0, |(book, _)| book.size);
            if known >= info.size {
                continue;
            }
            let read = timeout_at(until, from.book(info.id)).await.unwrap_or_else(|_| {
                let what = format!("it was not read within {} minutes", READING.as_secs() / 60);
                Err(NodeError::World {
                    code: "no-answer".into(),
                    message: what,
                    next: "try again, or ask another node".into(),
                })
            });
            let believed = read.map_err(Failure::from).and_then(|book| {
                connect::as_folded(info, &book, &cx.trust)?;
                Ok(book)
            });
            match believed {
                Ok(book) if book.size > known => {
                    self.books.insert(info.id, (book, place.to_owned()));
                }
                Ok(_) => {}
                Err(failure) => self.refused.push((info.name.clone(), place.to_owned(), failure)),
            }
        }
    }
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
}

/// How far an agreement is: a word for programs, and the words for people.
struct Stage {
    word: &'static str,
    text: String,
    in_flight: Option<u64>,
}

impl Stage {
    fn new(word: &'static str, text: &str) -> Self {
        Self { word, text: text.to_owned(), in_flight: None }
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

    /// How far an agreement is, by both ledgers as they were read.
    fn stage(&self, flow: &Flow<'_>) -> Stage {
        let terms = &flow.either().terms;
        let found = |ledger| self.books.get(&LedgerId(ledger)).map(|(book, _)| book);
        let over = |side: Option<&Agreement>, ledger| {
            let end = side.and_then(|side| side.ends_at);
            end.zip(found(ledger)).is_some_and(|(end, book)| book.time >= end)
        };
        let has_ended = over(flow.payer, terms.payer) || over(flow.commons, terms.commons);
        match (flow.payer, flow.commons) {
            (_, Some(commons)) if commons.frozen.is_some() => Stage::new("frozen", "frozen"),
            (Some(payer), Some(commons)) if payer.dues.last > commons.dues.last => {
                let n = payer.dues.last - commons.dues.last;
                let text = format!("{n} in flight");
                Stage { word: "in-flight", text, in_flight: Some(n) }
            }
            (Some(payer), Some(_)) if payer.progress == Progress::Offered => {
                Stage::new("accepted", "accepted, not active yet")
            }
            (Some(_), Some(_)) if has_ended => {
                Stage { in_flight: Some(0), ..Stage::new("ended", "ended") }
            }
            (Some(_), Some(_)) => Stage { in_flight: Some(0), ..Stage::new("active", "active") },
            (Some(_), None) if found(terms.commons).is_none() => {
                Stage::new("commons-not-found", "the commons' ledger was not found")
            }
            (Some(payer), None) if payer.progress == Progress::Offered => {
                Stage::new("offered", "offered, not accepted yet")
            }
            (Some(_), None) => {
                Stage::new("commons-behind", "not in the commons' log as it was read")
            }
            (None, _) if found(terms.payer).is_none() => {
                Stage::new("payer-not-found", "the payer's ledger was not found")
            }
            (None, _) => Stage::new("payer-behind", "not in the payer's log as it was read"),
        }
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
            let what = if why.status == 4 { "was not read" } else { "is not believed" };
            lines.push(cx.out.bad(&format!("{name} at {url} {what}: {why}")));
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
                "ledger": name, "url": url, "code": why.code, "message": why.message,
            })).collect::<Vec<_>>(),
            "not_visited": left_out,
            "flows": flows.iter().map(|flow| self.json(flow)).collect::<Vec<_>>(),
        });
        cx.out.result("subak.network/1", &data, &text)?;
        let away = self.nodes.iter().any(|(_, kept)| kept.is_err());
        let worst = self.refused.iter().map(|(.., why)| why.status);
        // What contradicts comes before what could not be read: status 1 before 4.
        match worst.chain(away.then_some(4)).min() {
            Some(status) => Err(Failure::told(status)),
            None => Ok(()),
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
            self.stage(flow).text,
        ]
    }

    fn json(&self, flow: &Flow<'_>) -> Value {
        let terms = &flow.either().terms;
        let m = |v: Option<Minor>| v.map(|v| money::json(v.into(), terms.currency));
        let settled = flow.commons.map(|a| u64::try_from(a.settled).unwrap_or(u64::MAX));
        let stage = self.stage(flow);
        json!({
            "agreement": hex::encode(flow.digest),
            "payer": self.name(terms.payer, terms.payer_handle.as_str()),
            "payer_ledger": hex::encode(terms.payer),
            "commons": self.name(terms.commons, terms.commons_handle.as_str()),
            "commons_ledger": hex::encode(terms.commons),
            "share_ppm": terms.share, "base": terms.base.word(), "currency": terms.currency.as_str(),
            "due": m(Flow::due(flow.payer)), "taken": m(Flow::due(flow.commons)),
            "settled": m(settled), "state": stage.word, "in_flight": stage.in_flight,
        })
    }
}
