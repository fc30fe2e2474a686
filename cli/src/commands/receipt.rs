//! `subak receipt`: a proof of one entry to keep, and its verification without a server.
//!
//! Owns what is read from a ledger for it, the trust that is given on the command line, and
//! the words for what was proven. Leaves out the format and the judgement (`log::receipt`)
//! and trust files (`log::policy`).

use super::places;
use crate::{
    context::Context,
    describe,
    failure::{Done, Failure},
    files::{read, trust_file, write_new},
    money,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{io, path::PathBuf};
use subak_ledger::{
    log::{
        Checkpoint, Leaf, PublicKey,
        receipt::{MOST_BYTES, Proven, Receipt},
    },
    reject::Code,
};

/// Receipts of entries.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Get the receipt of an entry: of a claim, a validation, an income, a payout
    ///
    /// It proves, without a server and for as long as the operator's key is known, that the
    /// operator has signed for the entry at this place. What it means takes the log.
    #[command(
        after_help = "Examples:\n  subak receipt get 12 --out claim.tlog-proof\n  subak receipt get 12.3        # the entry of a contribution\n  subak receipt get 40 > run.tlog-proof"
    )]
    Get(Get),
    /// Verify a receipt without a server
    #[command(
        after_help = "Examples:\n  subak receipt verify claim.tlog-proof --expect <operator's public key>\n  subak receipt verify claim.tlog-proof --trust trust.txt\n\nA trust file (C2SP tlog-policy) has a line for each ledger, as `subak commons show --vkey`\nprints it, and a line `quorum none`.\n\nExit status: 0 it holds, 1 it does not, or is no receipt."
    )]
    Verify(Verify),
}

/// Arguments of `receipt get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The entry, or the place of a contribution or payout in it
    #[arg(value_name = "ENTRY")]
    place: String,
    /// Write it to a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `receipt verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The receipt
    file: PathBuf,
    /// A file that names ledgers and their operators; it alone decides then, and not --expect
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

impl ReceiptCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Get(get) => get.run(cx).await,
            Self::Verify(verify) => verify.run(cx),
        }
    }
}

impl Get {
    async fn run(self, cx: &Context) -> Done {
        let range = places::range(&self.place)?;
        let seq = range.start().entry;
        if range.end().entry != seq {
            return Err(Failure::usage(
                format!("place {:?}: a receipt is of one entry", self.place),
                "get one for each",
            ));
        }
        let open = cx.read().await?;
        let (ledgers, id, name) = (&open.connection.ledgers, open.info.id, &open.info.name);
        let found = ledgers.entries(id, seq, 1).await?.into_iter().find(|raw| raw.seq == seq);
        let raw = found.ok_or_else(|| {
            let has = describe::entries(open.book.size);
            let what = format!("there is no entry {seq}: ledger {name} has {has}");
            Failure::refused("not-found", what, "`subak log` lists them; --ledger names another")
        })?;
        let operator = PublicKey::admit(&open.info.operator)?;
        let checkpoint = ledgers.checkpoint(id).await?;
        let head = Checkpoint::open(&checkpoint, id, &operator)?;
        let path = ledgers.inclusion(id, seq, head.size).await?;
        let (leaf, envelope) = (raw.leaf.into(), raw.envelope.into());
        let receipt = Receipt { index: seq, leaf, envelope, path, checkpoint };
        // What does not hold is not handed out: the very text is read and judged.
        let text = receipt.to_text();
        let proven = Receipt::parse(&text)?.verify(id, &operator)?;
        let Some(file) = self.out else {
            return if cx.out.json {
                cx.out.result("subak.receipt/1", &data(&proven, &operator, Some(&text)), "")
            } else {
                cx.out.line(text.trim_end())
            };
        };
        write_new(&file, &text).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::refused(
                "exists",
                format!("{}: it exists and is not overwritten", file.display()),
                "name another file",
            ),
            _ => Failure::file(&file, &error),
        })?;
        let mut said = data(&proven, &operator, None);
        said["file"] = json!(file);
        let text = format!(
            "the receipt of entry {seq} of {name} is in {}\n  check it without a server: `subak receipt verify {0} --expect {}`",
            file.display(),
            hex::encode(operator.bytes())
        );
        cx.out.result("subak.receipt/1", &said, &text)
    }
}

impl Verify {
    fn run(self, cx: &Context) -> Done {
        let receipt = Receipt::parse(&read(&self.file, Code::BadReceipt, MOST_BYTES)?)?;
        let ledger = Leaf::from_bytes(&receipt.leaf)?.ledger;
        let trusted: Vec<PublicKey> = match &self.trust {
            Some(file) => {
                let policy = trust_file(file)?;
                policy.operators(ledger).cloned().collect()
            }
            None if cx.expect.is_empty() => {
                return Err(Failure::usage(
                    "whose signature is believed?",
                    "name the operator's key with --expect (`subak commons show` prints it; get it \
                     from somebody you trust), or a trust file with --trust",
                ));
            }
            None => cx.expect.clone(),
        };
        let next = "trust the ledger's operator on purpose, by a key that you have from somebody you \
                    trust, or not at all";
        let unexpected = |what: String| Failure::refused("operator-unexpected", what, next);
        if trusted.is_empty() {
            let what =
                format!("the receipt is of ledger {ledger}, which the trust file does not name");
            return Err(unexpected(what));
        }
        // A line under the checkpoint may only claim to be of a key: one that holds is enough.
        let (proven, operator) = trusted
            .iter()
            .filter(|operator| receipt.bears(ledger, operator))
            .map(|operator| Ok((receipt.verify(ledger, operator)?, operator)))
            .reduce(|found: Done<_>, next| found.or(next))
            .unwrap_or_else(|| {
                let what = "is signed by no key that you trust";
                Err(unexpected(format!("the receipt, of ledger {ledger}, {what}")))
            })?;
        let Proven { statement, leaf, head } = &proven;
        let text = format!(
            "{}: entry {} of\n  ledger   {ledger}\n  operator {}\n  recorded {} (or so it says, if it is a SANDBOX)\n  under a head of {}\n  {}\n{}",
            cx.out.good("holds"),
            leaf.seq,
            hex::encode(operator.bytes()),
            money::show_time(leaf.recorded_at),
            describe::entries(head.size),
            "It proves that the operator has signed for it at this place. Whether the key was the\n  \
             author's then, and what became of it, is in the log: `subak audit`, `subak show`.",
            describe::statement(statement, None)
        );
        cx.out.result("subak.receipt/1", &data(&proven, operator, None), &text)
    }
}

fn data(proven: &Proven, operator: &PublicKey, text: Option<&str>) -> serde_json::Value {
    let Proven { statement, leaf, head } = proven;
    json!({
        "ledger": leaf.ledger.to_string(), "entry": leaf.seq,
        "recorded_at": money::show_time(leaf.recorded_at),
        "author": statement.header().author.as_str(), "key": hex::encode(statement.key()),
        "digest": hex::encode(statement.body_digest()),
        "size": head.size, "root": hex::encode(head.root),
        "operator_key": hex::encode(operator.bytes()), "receipt": text,
    })
}
