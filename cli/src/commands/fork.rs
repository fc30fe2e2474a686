//! `subak fork`: a new ledger that goes on from another one's agents and points.
//!
//! Owns how a fork is founded, and how its copy is brought in, at once or later. Guarantees that what
//! is cited and copied comes from a log that was verified here. Leaves out what is copied
//! (`ledger::book::fork`) and whether that is right, which the audit of both says.

use super::{
    open::{Birth, Founding, found},
    past,
};
use crate::{
    connect,
    context::{Connection, Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money,
    options::Global,
    trust::Trust,
};
use clap::Args;
use serde_json::json;
use std::{fs, path::PathBuf};
use subak_ledger::{
    book::{
        equation::Whose,
        equation_toml,
        fork::{copy, digest_of},
        state::State,
        types::{AgentKind, DAY_MS, Role},
    },
    log::{Checkpoint, Frontier, Handle, Hash, PublicKey, checkpoint::own_line, tree::leaf_hash},
};
use subak_node::LedgerInfo;
use subak_proto::v1::{self, event::Kind};

/// Entries asked for at a time.
const PAGE: u64 = 1_000;

/// Found a new ledger that goes on from another one's agents and points
///
/// The parent is read from --db or --node: one's own, a copy or a mirror. Agents with their keys and work
/// that stands with its points are copied, as the parent's first N entries left them. Balances,
/// agreements, incomes and payouts stay with the parent, which still owes what it owes. Only the
/// stewards named here govern. `subak audit` of both shows whether the copy is the parent's.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak fork our-commons --name new-commons --steward ana\n  subak fork our-commons --node http://commons.example:7117 --at 4711 --steward ana \\\n      --to-db new.db\n  subak fork our-commons --continue new-commons --as ana\n  subak audit our.db new.db"
)]
pub struct Fork {
    /// The parent: name, or beginning of its id
    parent: String,
    /// Copy what its first N entries left [default: all]; `--at N` says the same, and leaves no room
    /// for a date
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    /// Name of the new ledger [default: PARENT-fork]
    #[arg(long)]
    name: Option<String>,
    /// A steward: HANDLE (whose key is here) or HANDLE=PUBLICKEY; the first one signs
    #[arg(long = "steward", required_unless_present = "carry_on", value_name = "HANDLE[=KEY]")]
    stewards: Vec<String>,
    /// How many stewards decide together
    #[arg(long, default_value_t = 1, value_name = "M")]
    quorum: u32,
    /// A value equation of its own, in TOML [default: the parent's]
    #[arg(long, value_name = "FILE")]
    equation: Option<PathBuf>,
    /// Found it in this ledger file [default: where the parent is]
    #[arg(long, value_name = "PATH", conflicts_with = "to_node")]
    to_db: Option<PathBuf>,
    /// Found it at this node
    #[arg(long, value_name = "URL")]
    to_node: Option<String>,
    /// Bring in what is missing of the copy of this fork, once its stewards have opened it
    #[arg(long = "continue", value_name = "NAME", conflicts_with_all = ["size", "name", "equation"])]
    carry_on: Option<String>,
}

/// A parent's head, and what it gives.
struct Parent {
    open: Open,
    /// As the cited entries leave it.
    state: State,
    root: Hash,
}

impl Fork {
    /// `--at N` is a size here: a date has more than digits.
    pub fn settle(&mut self, global: &mut Global) {
        let size = global.at.as_deref().and_then(|at| at.parse().ok());
        if size.is_some() && self.size.is_none() {
            (self.size, global.at) = (size, None);
        }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let reader = cx.reader().await?;
        let info = cx.choose(&reader, Some(&self.parent)).await?;
        let parent = cx.open_ledger(reader, info).await?;
        if let Some(name) = &self.carry_on {
            return self.carry_on(cx, parent, name).await;
        }
        let size = self.size.unwrap_or(parent.book.size);
        let parent = at(parent, size).await?;
        let cited = cite(&parent).await?;
        let (equation, agents) = rules(&self, &parent.state)?;
        let parts = copy(&parent.state);
        let name = match &self.name {
            Some(name) => name.clone(),
            None => format!("{}-fork", parent.open.info.name),
        };
        // A reader of the same file does not keep the writer out.
        let there = self.destination(cx).await?;
        let founding = Founding {
            name: name.clone(),
            stewards: self.stewards.clone(),
            quorum: self.quorum,
            sandbox: parent.state.root().sandbox,
        };
        let birth = Birth {
            kind: AgentKind::Commons,
            roles: vec![Role::Maintainer.to_wire(), Role::Treasurer.to_wire()],
            agents,
            equation: Some(equation),
            parent: Some(cited),
        };
        check_founders(cx, &founding, &parent.state)?;
        let appended = found(cx, &there, founding, birth).await?;
        let listed = there.ledgers.ledgers().await?;
        let info = listed.into_iter().find(|l| l.id == appended.ledger);
        let info = info.ok_or_else(|| {
            Failure::world("short-answer", "the new ledger is not listed", "try again")
        })?;
        let mut fork = child(there, &info).await?;
        if fork.book.is_open() {
            // Whoever has signed the genesis goes on, where nobody else is named.
            let first = self.stewards.first().and_then(|text| text.split('=').next());
            let first = || Handle::new(first.unwrap_or_default());
            let author = cx.author().or_else(|_| first())?;
            bring(cx, &mut fork, &parts, &author).await?;
        }
        report(cx, &parent, &fork, &parts)
    }

    async fn destination(&self, cx: &Context) -> Done<Connection> {
        match (&self.to_db, &self.to_node) {
            (Some(db), _) => connect::writer(db, true).await,
            (None, Some(url)) => connect::node(url, &cx.trust, cx.node_ca()).await,
            (None, None) => cx.writer(true).await,
        }
    }

    async fn carry_on(&self, cx: &Context, parent: Open, name: &str) -> Done {
        let there = self.destination(cx).await?;
        let info = cx.choose(&there, Some(name)).await?;
        let mut fork = child(there, &info).await?;
        let cited = fork.book.fork.as_ref().map(|it| it.parent.clone());
        let Some(cited) = cited.filter(|it| it.ledger == parent.info.id.0) else {
            return Err(Failure::refused(
                "fork-copy-misplaced",
                format!("ledger {name} is no fork of {}", parent.info.name),
                "name the parent that its genesis cites: `subak show 0`",
            ));
        };
        let parent = at(parent, cited.size).await?;
        let parts = copy(&parent.state);
        bring(cx, &mut fork, &parts, &cx.author()?).await?;
        report(cx, &parent, &fork, &parts)
    }
}

/// The fork, verified as any ledger is; whom the caller expects is the parent's operator.
async fn child(there: Connection, info: &LedgerInfo) -> Done<Open> {
    let book = there.ledgers.book(info.id).await?;
    let info = connect::as_folded(info, &book, &Trust::default())?;
    Ok(Open { connection: there, info, book })
}

/// The parent at a size, folded again from its entries, with the root over them.
async fn at(open: Open, size: u64) -> Done<Parent> {
    if size == 0 || size > open.book.size {
        return Err(Failure::usage(
            format!("ledger {} has {}", open.info.name, describe::entries(open.book.size)),
            "name with --at how many of its first entries count",
        ));
    }
    let state = if size == open.book.size {
        open.book.as_ref().clone()
    } else {
        past::before(&open, size).await?.0
    };
    if state.root().kind != AgentKind::Commons {
        return Err(Failure::refused(
            "wrong-ledger-kind",
            format!("ledger {} is a {}'s: it has no points", open.info.name, state.root().kind),
            "open a new ledger instead: `subak phyle open`",
        ));
    }
    let mut tree = Frontier::default();
    while tree.size() < size {
        let limit = PAGE.min(size - tree.size());
        let page = open.connection.ledgers.entries(open.info.id, tree.size(), limit).await?;
        if page.is_empty() {
            let what = "entries are missing in the answer";
            return Err(Failure::world("short-answer", what, "try again"));
        }
        for raw in page {
            past::known(&open, tree.size(), &raw)?;
            tree.push(leaf_hash(&raw.leaf));
        }
    }
    Ok(Parent { root: tree.root(), state, open })
}

/// What the genesis says of the parent, proven by its newest signed head.
async fn cite(parent: &Parent) -> Done<v1::Parent> {
    let (ledgers, id) = (&parent.open.connection.ledgers, parent.open.info.id);
    let note = ledgers.checkpoint(id).await?;
    let head: Checkpoint = parent.open.book.signed_head(&note)?;
    let size = parent.state.size;
    let operator = parent.open.book.operator_of(head.size);
    let key = PublicKey::admit(&operator)?;
    let checkpoint = own_line(&note, &id, &key).ok_or_else(|| {
        Failure::world("short-answer", "the checkpoint lacks its operator's line", "try again")
    })?;
    let path = if head.size == size {
        Vec::new()
    } else {
        ledgers.consistency(id, size, head.size).await?
    };
    Ok(v1::Parent {
        ledger: id.0.to_vec(),
        size,
        root: parent.root.to_vec(),
        operator: operator.to_vec(),
        checkpoint,
        path: path.iter().map(|hash| hash.to_vec()).collect(),
        copy: digest_of(&copy(&parent.state)[0]).to_vec(),
    })
}

/// The equation, and the agents that it names: they are known from the start.
fn rules(fork: &Fork, parent: &State) -> Done<(v1::Equation, Vec<v1::AgentAdd>)> {
    let equation = match &fork.equation {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|e| Failure::file(file, &e))?;
            equation_toml::parse(&text, &money::exponent).map_err(|f| {
                Failure::refused(
                    "equation-malformed",
                    f.to_string(),
                    "correct it: `subak equation check FILE`",
                )
            })?
        }
        None => parent.equation().wire.clone(),
    };
    let equation = v1::Equation { version: 1, ..equation };
    let read = subak_ledger::book::equation::Equation::from_wire(equation.clone())?;
    let named = read.buckets.iter().filter_map(|bucket| match &bucket.to {
        Whose::Agent(handle) => Some(handle.clone()),
        Whose::Contributors(_) => None,
    });
    let mut handles: Vec<_> = named.chain(read.fallback.clone()).collect();
    handles.sort();
    handles.dedup();
    let mut agents = Vec::new();
    for handle in handles {
        let kind = parent.agent(parent.find(&handle)?).kind;
        let (handle, kind) = (handle.to_string(), kind.to_wire());
        agents.push(v1::AgentAdd { handle, kind, ..Default::default() });
    }
    Ok((equation, agents))
}

/// Who has a handle in the parent has a key of theirs here too: else the copy would never fit.
fn check_founders(cx: &Context, founding: &Founding, parent: &State) -> Done {
    for text in &founding.stewards {
        let steward = super::open::steward(cx, text)?;
        let key: Hash = steward.key[..].try_into().map_err(|_| {
            Failure::usage("a public key has 32 bytes", "let the steward run `subak key show`")
        })?;
        let owner = parent.keys.get(&key).map(|id| parent.agent(*id));
        let namesake = parent.agents.iter().find(|a| a.handle.as_str() == steward.agent);
        let fits = match (owner, namesake) {
            (None, None) => true,
            (Some(owner), Some(namesake)) => owner.id == namesake.id && owner.keys.contains(&key),
            _ => false,
        };
        if !fits {
            return Err(Failure::refused(
                "handle-taken",
                format!(
                    "in the parent, {} and key {} are not one's",
                    steward.agent,
                    hex::encode(key)
                ),
                "a steward who is an agent there has the handle and a key that they have there",
            ));
        }
    }
    Ok(())
}

/// Appends what is missing of the copy, part by part.
async fn bring(cx: &Context, fork: &mut Open, parts: &[v1::ForkCopy], author: &Handle) -> Done {
    let secret = cx.secret(author)?;
    for part in parts {
        let next = fork.book.fork.as_ref().and_then(|it| it.next);
        if next != Some(digest_of(part)) {
            continue;
        }
        let events = vec![Kind::ForkCopy(part.clone())];
        cx.say_as(fork, author, &secret, events, Texts::default(), DAY_MS).await?;
        cx.refresh(fork).await?;
    }
    Ok(())
}

fn report(cx: &Context, parent: &Parent, fork: &Open, parts: &[v1::ForkCopy]) -> Done {
    let agents: usize = parts.iter().map(|part| part.agent.len()).sum();
    let works: usize = parts.iter().map(|part| part.work.len()).sum();
    let book = &fork.book;
    let whole = book.fork.as_ref().is_some_and(|it| it.next.is_none());
    let id = fork.info.id.to_string();
    let data = json!({
        "id": id, "name": fork.info.name, "parent": parent.open.info.id.to_string(),
        "parent_size": parent.state.size, "agents": agents, "contributions": works,
        "points": money::show_thousandths(points(parts).into()), "parts": parts.len(), "open": book.is_open(), "whole": whole,
        "operator_key": hex::encode(book.operator()),
    });
    let mut text = format!(
        "ledger {} goes on from {} at {}\n  id       {id}\n  operator {}\n  copied   {}, {}\n  stays    \
         balances, agreements, incomes and payouts: {} still owes what it owes",
        fork.info.name,
        parent.open.info.name,
        describe::entries(parent.state.size),
        hex::encode(book.operator()),
        describe::count(agents as u64, "agent"),
        describe::count(works as u64, "contribution"),
        parent.open.info.name,
    );
    if !whole {
        let missing = u64::from(book.root().quorum) - book.approvals.len() as u64;
        text += &format!(
            "\n  waits for {}: `subak approve 0 --ledger {}`, then for its copy: `subak fork {} --continue {}`",
            describe::count(missing, "more approval"),
            fork.info.name,
            parent.open.info.name,
            fork.info.name
        );
    }
    cx.out.result("subak.fork/1", &data, &text)
}

/// All that stand.
fn points(parts: &[v1::ForkCopy]) -> u64 {
    let all = parts.iter().flat_map(|part| &part.work).flat_map(|work| &work.part);
    all.map(|part| part.counted + part.maturing).sum()
}
