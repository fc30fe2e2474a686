//! `subak checkpoint`: a ledger's signed head, to keep, and to hold against a node later.
//!
//! Leaves out its form (`log::checkpoint`) and what a node does that is contradicted
//! (`Ledgers::challenge`).

use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    files::{read, write_new},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use subak_ledger::{
    log::{
        Checkpoint, Frontier, LedgerId, checkpoint::ledger_of_origin, note::MAX_NOTE,
        tree::leaf_hash,
    },
    reject::{Code, Reject},
};
use subak_node::ring::{Ring, Use};

/// Entries asked for at a time.
const PAGE: u64 = 1_000;

/// Signed heads.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Get the newest signed head of a ledger
    ///
    /// Whoever keeps it can show later that the ledger was cut or rewritten.
    #[command(
        after_help = "Examples:\n  subak checkpoint get > today.checkpoint\n  subak checkpoint get --witnessed --out today.checkpoint"
    )]
    Get(Get),
    /// Hold a signed head that you kept against the ledger
    ///
    /// Where it tells of more entries than there are, or of others, an old copy was put back
    /// or the log was forked: a node stops appending to the ledger then, also after a restart.
    /// A copy of the ledger file without the operator's key is compared, and not changed.
    #[command(
        after_help = "Examples:\n  subak checkpoint challenge today.checkpoint\n  subak checkpoint challenge today.checkpoint --node http://127.0.0.1:7117\n\nExit status: 0 the ledger goes on from it, 1 it does not, or it is no head of it."
    )]
    Challenge(Challenge),
}

/// Arguments of `checkpoint get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The newest that witnesses have signed, with their lines
    #[arg(long)]
    witnessed: bool,
    /// Write it to a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `checkpoint challenge`.
#[derive(Debug, Args)]
pub struct Challenge {
    /// The signed head
    file: PathBuf,
}

impl CheckpointCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Get(get) => get.run(cx).await,
            Self::Challenge(challenge) => challenge.run(cx).await,
        }
    }
}

impl Get {
    async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        let (ledgers, id, name) = (&open.connection.ledgers, open.info.id, &open.info.name);
        let note = if self.witnessed {
            ledgers.witnessed(id).await?.ok_or_else(|| {
                let what = format!("ledger {name}: no witness has signed it");
                Failure::from(Reject::new(Code::Unwitnessed, what))
            })?
        } else {
            ledgers.checkpoint(id).await?
        };
        let head = open.book.signed_head(&note)?;
        let mut said = json!({
            "ledger": id.to_string(), "size": head.size, "root": hex::encode(head.root),
            "checkpoint": note,
        });
        let Some(file) = self.out else {
            return if cx.out.json {
                cx.out.result("subak.checkpoint/1", &said, "")
            } else {
                cx.out.line(note.trim_end())
            };
        };
        write_new(&file, &note)?;
        said["file"] = json!(file);
        let text = format!(
            "the head of {name}, {}, is in {}\n  hold it against the ledger later: `subak checkpoint challenge {1}`",
            describe::entries(head.size),
            file.display()
        );
        cx.out.result("subak.checkpoint/1", &said, &text)
    }
}

impl Challenge {
    /// Where the operator's key is, the ledger is opened for writing: what is found must reach its
    /// head file.
    async fn open(&self, cx: &Context, named: LedgerId) -> Done<Open> {
        let connection = cx.reader().await?;
        let listed = cx.choose(&connection, Some(&named.to_string())).await?;
        let open = cx.open_ledger(connection, listed.clone()).await?;
        if open.connection.embedded.is_none() || is_a_copy(cx, &open) {
            return Ok(open);
        }
        drop(open);
        let connection = cx.writer(false).await?;
        cx.open_ledger(connection, listed).await
    }

    async fn run(self, cx: &Context) -> Done {
        let note = read(&self.file, Code::BadNote, MAX_NOTE)?;
        let named = note.lines().next().and_then(ledger_of_origin).ok_or_else(|| {
            let what =
                format!("{}: expected subak/<ledger id> in the first line", self.file.display());
            Failure::from(Reject::new(Code::BadCheckpoint, what))
        })?;
        let open = self.open(cx, named).await?;
        let head = open.book.signed_head(&note)?;
        if is_a_copy(cx, &open) {
            compare(&open, head).await?;
        } else {
            open.connection.ledgers.challenge(named, note).await?;
        }
        let text = format!(
            "{}: ledger {}, {} now, goes on from that head of {}",
            cx.out.good("holds"),
            open.info.name,
            describe::entries(open.book.size),
            describe::entries(head.size)
        );
        let said = json!({
            "ledger": named.to_string(), "size": open.book.size, "challenged_size": head.size,
        });
        cx.out.result("subak.checkpoint/1", &said, &text)
    }
}

/// Whether nothing can be appended here: to compare such a copy needs no key, and changes nothing.
fn is_a_copy(cx: &Context, open: &Open) -> bool {
    let ring = Ring::beside(&cx.db());
    let has_key = || matches!(ring.find(&open.info.operator, Use::Operator), Ok(Some(_)));
    open.connection.embedded.is_some() && !has_key()
}

/// Holds a head against a log that is only read: by its leaves, and no stored node.
async fn compare(open: &Open, head: Checkpoint) -> Done {
    let (name, size) = (&open.info.name, open.book.size);
    let older = |what: String| {
        Err(Failure::refused(
            "older-database",
            format!("ledger {name} {what}"),
            "do not go on with this copy: find the newest; keep the head, it is evidence",
        ))
    };
    if head.size > size {
        let last = head.size;
        return older(format!("ends after {size} entries, its operator has signed {last}"));
    }
    let mut tree = Frontier::default();
    while tree.size() < head.size {
        let limit = PAGE.min(head.size - tree.size());
        let page = open.connection.ledgers.entries(open.info.id, tree.size(), limit).await?;
        if page.is_empty() {
            let what = "entries are missing in the answer";
            return Err(Failure::world("short-answer", what, "try again"));
        }
        for raw in page {
            tree.push(leaf_hash(&raw.leaf));
        }
    }
    if tree.root() == head.root {
        return Ok(());
    }
    let last = head.size;
    older(format!("has not the first {last} entries that its operator has signed"))
}
