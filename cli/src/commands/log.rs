//! `subak log` and `subak show`: the entries of a ledger, as they are.

use super::approve::on_chain;
use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use subak_ledger::{
    book::{
        accounts::{Account, Posting},
        event::Event,
        state::State,
        types::{Q, whole},
    },
    log::{Hash, KeyCache, Leaf, Statement, Unverified},
    store::Disclosure,
};
use subak_node::RawEntry;

/// Entries asked for at a time.
const BATCH: u64 = 256;
/// Events of an entry that are shown without `--all`.
const EVENTS_SHOWN: usize = 20;

/// List the entries of a ledger.
///
/// Every signature is verified, and each entry's place in the chain. Without --from the newest are listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak log\n  subak log --from 0 --limit 100\n  subak log --follow\n  subak log --follow --json | jq .data.entry      # one JSON object a line"
)]
pub struct Log {
    /// The first entry to list
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// At most so many [default: 20; without limit with --follow]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Go on listing as entries come; with --json one object a line
    #[arg(long)]
    follow: bool,
}

/// Show all of an entry: author, key, times, hashes, events, postings, texts.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  subak show 12\n  subak show 12 --all\n  subak show 12 --json")]
pub struct Show {
    /// The entry
    pub entry: u64,
    /// All events, however many
    #[arg(long)]
    pub all: bool,
}

impl Log {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        let limit = self.limit.unwrap_or(if self.follow { u64::MAX } else { 20 });
        let shown_first = self.limit.unwrap_or(20);
        let from = self.from.unwrap_or_else(|| open.book.size.saturating_sub(shown_first));
        let mut reading = Reading { open, next: from, keys: KeyCache::default() };
        if self.follow {
            return reading.follow(cx, limit).await;
        }
        let entries = reading.up_to(cx, limit).await?;
        let data: Vec<Value> = entries.iter().map(|row| row.json(&reading.open.book)).collect();
        let mut text =
            entries.iter().map(|row| row.line(&reading.open.book)).collect::<Vec<_>>().join("\n");
        if entries.is_empty() {
            text = format!("no entries from {from} on; the ledger has {}", reading.open.book.size);
        } else if self.from.is_none() && from > 0 {
            text = format!("the newest {} of {}:\n{text}", entries.len(), reading.open.book.size);
        }
        let data = json!({ "size": reading.open.book.size, "entries": data });
        cx.out.result("subak.log/1", &data, &text)
    }
}

/// Reads on from an entry.
struct Reading {
    /// Folded: what is listed lies on its chain.
    open: Open,
    next: u64,
    keys: KeyCache,
}

/// One entry, for listing.
struct Row {
    seq: u64,
    leaf: Leaf,
    statement: Statement,
    events: Vec<Event>,
}

impl Reading {
    /// Entries from the next on that are there, at most `limit`.
    async fn up_to(&mut self, cx: &Context, limit: u64) -> Done<Vec<Row>> {
        if self.next >= self.open.book.size {
            cx.refresh(&mut self.open).await?;
        }
        let mut rows = Vec::new();
        let mut left = limit.min(self.open.book.size.saturating_sub(self.next));
        while left > 0 {
            let (ledgers, id) = (&self.open.connection.ledgers, self.open.info.id);
            let found = ledgers.entries(id, self.next, left.min(BATCH)).await?;
            if found.is_empty() {
                break;
            }
            for raw in &found {
                rows.push(Row::verified(&self.open.book, raw, self.next, &mut self.keys)?);
                self.next += 1;
            }
            left -= found.len() as u64;
        }
        Ok(rows)
    }

    async fn follow(&mut self, cx: &Context, mut left: u64) -> Done {
        while left > 0 {
            let rows = self.up_to(cx, left.min(BATCH)).await?;
            if rows.is_empty() {
                let (ledgers, id) = (&self.open.connection.ledgers, self.open.info.id);
                ledgers.wait_beyond(id, self.next).await?;
                continue;
            }
            left -= rows.len() as u64;
            for row in rows {
                let heard = if cx.out.json {
                    let line =
                        json!({ "schema": "subak.log/1", "data": row.json(&self.open.book) });
                    cx.out.heard(&line.to_string())?
                } else {
                    cx.out.heard(&row.line(&self.open.book))?
                };
                if !heard {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Row {
    /// The expected entry of the chain, with a signature that holds.
    fn verified(book: &State, raw: &RawEntry, expected: u64, keys: &mut KeyCache) -> Done<Self> {
        let (leaf, _) = on_chain(book, raw)?;
        let statement = Unverified::parse(&raw.envelope)?.verify(keys)?;
        if leaf.seq != expected {
            return Err(Failure::refused(
                "corrupt",
                format!("entry {} was returned for {expected}", leaf.seq),
                "run `subak audit`; keep the file as it is",
            ));
        }
        let events =
            statement.events().iter().map(|b| Event::decode(b)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { seq: raw.seq, leaf, statement, events })
    }

    /// `  12  2026-11-21 10:00  ana  Contribute: …` in 80 columns.
    fn line(&self, book: &State) -> String {
        let time = money::show_time(self.leaf.recorded_at);
        let time = time.get(..16).unwrap_or(&time).replace('T', " ");
        let head = format!("{:>5}  {time}  {:<10} ", self.seq, self.statement.header().author);
        let room = 79_usize.saturating_sub(head.chars().count()).max(30);
        format!("{head} {}", clip(&describe::events(&self.events, Some(book)), room))
    }

    fn json(&self, book: &State) -> Value {
        let header = self.statement.header();
        json!({
            "entry": self.seq,
            "recorded_at": money::show_time(self.leaf.recorded_at),
            "author": header.author.as_str(),
            "key": hex::encode(self.statement.key()),
            "digest": hex::encode(self.statement.body_digest()),
            "events": self.events.iter().map(|e| event_json(e, book)).collect::<Vec<_>>(),
        })
    }
}

fn event_json(event: &Event, book: &State) -> Value {
    json!({ "event": event.name(), "text": describe::event(event, Some(book)) })
}

/// At most so many characters, an ellipsis where more would follow.
fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{}…", kept.trim_end())
}

impl Show {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        let shown = Shown::load(&open, self.entry).await?;
        let texts = texts(&open, &shown.statement).await?;
        let data = shown.json(&open.book, &texts);
        let text = shown.text(cx, &open.book, &texts, self.all);
        cx.out.result("subak.entry/1", &data, &text)
    }
}

/// An entry with what it did.
struct Shown {
    seq: u64,
    leaf: Leaf,
    leaf_bytes: Vec<u8>,
    statement: Statement,
    events: Vec<Event>,
    postings: Vec<Posting>,
}

/// A text behind a commitment of an entry: event, field, commitment, text if disclosed.
struct Text {
    event: usize,
    field: &'static str,
    commitment: Hash,
    says: Option<String>,
    /// Where nothing is disclosed: the entry that erased it.
    erased: Option<u64>,
}

impl Text {
    fn line(&self) -> String {
        let says = match (&self.says, self.erased) {
            (Some(text), _) => format!("{text:?}"),
            (None, Some(entry)) => format!("erased at entry {entry}"),
            (None, None) => "committed to, not disclosed".into(),
        };
        format!("        {}: {says}", self.field)
    }
}

impl Shown {
    /// Replays the log up to the entry: postings are derived, not stored.
    async fn load(open: &Open, seq: u64) -> Done<Self> {
        if seq >= open.book.size {
            return Err(Failure::refused(
                "not-found",
                format!("there is no entry {seq}: the ledger has {}", open.book.size),
                "list them: `subak log`",
            ));
        }
        let mut state = State::default();
        loop {
            let from = state.size;
            let limit = BATCH.min(seq + 1 - from);
            let found = open.connection.ledgers.entries(open.info.id, from, limit).await?;
            if found.is_empty() {
                return Err(Failure::refused(
                    "corrupt",
                    format!("entry {from} is missing"),
                    "run `subak audit`; keep the file as it is",
                ));
            }
            for raw in found {
                let (leaf, statement) = on_chain(&open.book, &raw)?;
                let mut postings = Vec::new();
                state.replay_statement(&statement, leaf.recorded_at, &mut postings)?;
                state.seal(leaf.chain_hash());
                if raw.seq == seq {
                    let events = statement
                        .events()
                        .iter()
                        .map(|b| Event::decode(b))
                        .collect::<Result<Vec<_>, _>>()?;
                    return Ok(Self {
                        seq,
                        leaf,
                        leaf_bytes: raw.leaf.into(),
                        statement,
                        events,
                        postings,
                    });
                }
            }
        }
    }

    fn json(&self, book: &State, texts: &[Text]) -> Value {
        let header = self.statement.header();
        let events = self.events.iter().zip(self.statement.events()).enumerate();
        json!({
            "entry": self.seq,
            "author": header.author.as_str(),
            "key": hex::encode(self.statement.key()),
            "created_at": money::show_time(header.created_at),
            "expires_at": money::show_time(header.expires_at),
            "recorded_at": money::show_time(self.leaf.recorded_at),
            "basis": header.basis.map(|b| json!({ "size": b.size, "chain": hex::encode(b.chain) })),
            "digest": hex::encode(self.statement.body_digest()),
            "leaf": hex::encode(&self.leaf_bytes),
            "previous": hex::encode(self.leaf.previous),
            "chain": hex::encode(self.leaf.chain_hash()),
            "events": events.map(|(n, (event, bytes))| json!({
                "index": n, "event": event.name(), "text": describe::event(event, Some(book)),
                "bytes": hex::encode(bytes),
            })).collect::<Vec<_>>(),
            "postings": self.postings.iter().map(|p| json!({
                "event": p.event, "account": describe::account(book, &p.account),
                "currency": p.currency.as_str(),
                "amount": money::json(whole(p.amount), p.currency),
                "exact": format!("{}/{Q}", p.amount),
            })).collect::<Vec<_>>(),
            "texts": texts.iter().map(|t| json!({
                "event": t.event, "field": t.field, "commitment": hex::encode(t.commitment),
                "text": t.says, "erased_at": t.erased,
            })).collect::<Vec<_>>(),
        })
    }

    fn text(&self, cx: &Context, book: &State, texts: &[Text], all: bool) -> String {
        let header = self.statement.header();
        let most = if all { usize::MAX } else { EVENTS_SHOWN };
        let mut lines = vec![
            cx.out.strong(&format!("entry {}, by {}", self.seq, header.author)),
            format!("  recorded {}", money::show_time(self.leaf.recorded_at)),
            format!(
                "  signed   {}, valid until {}",
                money::show_time(header.created_at),
                money::show_time(header.expires_at)
            ),
            format!("  key      {}", hex::encode(self.statement.key())),
            format!("  digest   {}", hex::encode(self.statement.body_digest())),
            format!("  leaf     {}", hex::encode(&self.leaf_bytes[..32])),
        ];
        let rest = self.leaf_bytes[32..].chunks(32);
        lines.extend(rest.map(|chunk| format!("           {}", hex::encode(chunk))));
        lines.push(format!("  chain    {}", hex::encode(self.leaf.chain_hash())));
        if let Some(basis) = &header.basis {
            lines.push(format!(
                "  basis    {}, {}",
                describe::entries(basis.size),
                hex::encode(basis.chain)
            ));
        }
        lines.push(String::new());
        for (n, event) in self.events.iter().enumerate().take(most) {
            let line = format!("  {}.{n}  {}", self.seq, describe::event(event, Some(book)));
            lines.push(describe::wrap(&line, 8));
            lines.extend(texts.iter().filter(|t| t.event == n).map(Text::line));
        }
        if self.events.len() > most {
            lines.push(format!("  and {} more events: --all", self.events.len() - most));
        }
        if !self.postings.is_empty() {
            lines.push(String::new());
            lines.push(self.postings(cx, book));
        }
        lines.join("\n")
    }

    fn postings(&self, cx: &Context, book: &State) -> String {
        let mut sums: BTreeMap<(Option<u32>, Account, _), i128> = BTreeMap::new();
        for p in &self.postings {
            *sums.entry((p.event, p.account, p.currency)).or_insert(0) += p.amount;
        }
        let rows: Vec<Vec<String>> = sums
            .into_iter()
            .map(|((event, account, currency), amount)| {
                let digits = money::show_fixed(amount, currency);
                let (debit, credit) = match digits.strip_prefix('-') {
                    Some(credit) => (String::new(), credit.to_owned()),
                    None => (digits, String::new()),
                };
                let by = event.map_or_else(|| "time".into(), |n| format!("{}.{n}", self.seq));
                vec![by, describe::account(book, &account), currency.to_string(), debit, credit]
            })
            .collect();
        let table = cx.out.table(&["by", "account", "", ">debit", ">credit"], &rows);
        let mut lines: Vec<String> = table.lines().map(|l| format!("  {l}")).collect();
        if self.postings.iter().any(|p| !money::is_shown_whole(p.amount)) {
            lines.push("  (cut after these decimals; exactly, each movement sums to zero)".into());
        }
        lines.join("\n")
    }
}

/// The texts behind the entry's commitments, as far as they are disclosed and true.
async fn texts(open: &Open, statement: &Statement) -> Done<Vec<Text>> {
    let mut texts = Vec::new();
    for (event, bytes) in statement.events().iter().enumerate() {
        for (field, commitment) in describe::commitments(bytes) {
            texts.push(Text { event, field, commitment, says: None, erased: None });
        }
    }
    if texts.is_empty() {
        return Ok(texts);
    }
    let all = open.connection.ledgers.disclosures(open.info.id).await?;
    let known: HashMap<Hash, &Disclosure> = all.iter().map(|d| (d.commitment, d)).collect();
    for text in &mut texts {
        let found = known.get(&text.commitment).filter(|d| describe::opens(&open.info.id, d));
        text.says = found.map(|d| String::from_utf8_lossy(&d.bytes).into_owned());
        if text.says.is_none() {
            text.erased = open.book.erasure_named(&text.commitment).map(|e| e.entry);
        }
    }
    Ok(texts)
}
