//! `subak receipt`: a proof of one entry to keep, and its verification without a server; and
//! so of what somebody had at an entry (`balance_proof`).
//!
//! Owns what is read from a ledger for it, and the words for what was proven. Leaves out the format and the judgement (`log::receipt`)
//! and whose word is believed (`trust`).

mod challenge;

use super::{balance_proof, places};
use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    files::{read, write_new},
    money,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use subak_ledger::{
    book::balance_proof::{BalanceProof, MOST_BYTES},
    log::{
        Leaf, PublicKey, Statement,
        policy::Cosigned,
        receipt::{Proven, Receipt},
    },
    reject::Code,
};

/// Receipts of entries.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Get the receipt of an entry: of a claim, a validation, an income, a payout; or of what somebody has
    ///
    /// It proves, without a server and for as long as the operator's key is known, that the
    /// operator has signed for the entry at this place. What it means takes the log.
    ///
    /// With --balance it shows what the operator's node published of one agent: at ENTRY, a
    /// StateRoot, or now. Where nothing that is published still holds, the node publishes anew.
    #[command(
        after_help = "Examples:\n  subak receipt get 12 --out claim.tlog-proof\n  subak receipt get 12.3        # the entry of a contribution\n  subak receipt get 40 > run.tlog-proof\n  subak receipt get --balance ana --out ana.balance-proof\n  subak receipt get 41 --balance ana     # as the StateRoot at entry 41 has it"
    )]
    Get(Get),
    /// Verify a receipt, or a proof of a balance, without a server
    #[command(
        after_help = "Examples:\n  subak receipt verify claim.tlog-proof --expect <operator's public key>\n  subak receipt verify claim.tlog-proof --trust-file trust.txt\n\nA trust file (C2SP tlog-policy) has a line for each ledger, as `subak commons show --vkey`\nprints it; a line for each witness whose word counts; and who of these must have signed:\n\n  log subak/... \n  witness W1 witness.example/w1+...\n  quorum W1                       # or a group; or none\n\nExit status: 0 it holds, 1 it does not, or is no receipt."
    )]
    Verify(Verify),
    /// Hold a receipt that you kept against the log that is shown now
    ///
    /// Where another entry stands in its place, or the log was rewritten after it, the operator has
    /// signed two histories: that is written down as a fraud proof, which anybody verifies without a
    /// server. Where the log ends before what was signed, or withholds it, nothing is proven; the
    /// node is shown the receipt's head, and an honest one appends nothing more.
    #[command(
        after_help = "Examples:\n  subak receipt challenge claim.tlog-proof --expect KEY --node http://127.0.0.1:7117\n  subak receipt challenge claim.tlog-proof --trust-file trust.txt --db copy.db\n\nExit status: 0 kept, 1 not kept, and the fraud proof is written; 3 neither is shown, or the receipt proves nothing; 4 the node is away."
    )]
    Challenge(challenge::Challenge),
}

/// Arguments of `receipt get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The entry, or the place of a contribution or payout in it
    #[arg(value_name = "ENTRY", required_unless_present = "balance")]
    place: Option<String>,
    /// What this agent had, instead of the entry alone
    #[arg(long, value_name = "AGENT")]
    balance: Option<String>,
    /// Write it to a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `receipt verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The receipt, or the proof of a balance
    file: PathBuf,
}

impl ReceiptCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Get(get) => get.run(cx).await,
            Self::Verify(verify) => verify.run(cx),
            Self::Challenge(challenge) => challenge.run(cx).await,
        }
    }
}

impl Get {
    async fn run(self, cx: &Context) -> Done {
        let seq = self.place.as_deref().map(entry).transpose()?;
        let seq = match (self.balance, seq) {
            (Some(agent), seq) => {
                return balance_proof::get(cx, &agent, seq, self.out.as_deref()).await;
            }
            (None, Some(seq)) => seq,
            (None, None) => unreachable!("clap requires one of the two"),
        };
        let open = cx.read().await?;
        let (receipt, proven, operator) = of_entry(&open, seq).await?;
        let text = receipt.to_text();
        let Some(file) = self.out else {
            return if cx.out.json {
                cx.out.result("subak.receipt/1", &data(&proven, &operator, Some(&text)), "")
            } else {
                cx.out.line(text.trim_end())
            };
        };
        write_new(&file, &text)?;
        let mut said = data(&proven, &operator, None);
        said["file"] = json!(file);
        let text = format!(
            "the receipt of entry {seq} of {} is in {}\n  check it without a server: `subak receipt verify {1} --expect {}`",
            open.info.name,
            file.display(),
            hex::encode(operator.bytes())
        );
        cx.out.result("subak.receipt/1", &said, &text)
    }
}

/// The one entry that a place is in.
fn entry(place: &str) -> Done<u64> {
    let range = places::range(place)?;
    let seq = range.start().entry;
    if range.end().entry == seq {
        return Ok(seq);
    }
    let what = format!("place {place:?}: a receipt is of one entry");
    Err(Failure::usage(what, "get one for each"))
}

/// The receipt of an entry, as it reads from its own text, and what it proves.
pub(super) async fn of_entry(open: &Open, seq: u64) -> Done<(Receipt, Proven, PublicKey)> {
    let (ledgers, id, name) = (&open.connection.ledgers, open.info.id, &open.info.name);
    let found = ledgers.entries(id, seq, 1).await?.into_iter().find(|raw| raw.seq == seq);
    let raw = found.ok_or_else(|| {
        let has = describe::entries(open.book.size);
        let what = format!("there is no entry {seq}: ledger {name} has {has}");
        Failure::refused("not-found", what, "`subak log` lists them; --ledger names another")
    })?;
    // Under a head that witnesses have signed, where one has the entry: it proves more.
    let newest = ledgers.checkpoint(id).await?;
    let seen = ledgers.witnessed(id).await?;
    let covers = |note: &String| open.book.signed_head(note).is_ok_and(|head| head.size > seq);
    let checkpoint = seen.filter(covers).unwrap_or(newest);
    let head = open.book.signed_head(&checkpoint)?;
    let operator = PublicKey::admit(&open.book.operator_of(head.size))?;
    let path = ledgers.inclusion(id, seq, head.size).await?;
    let (leaf, envelope) = (raw.leaf.into(), raw.envelope.into());
    let receipt = Receipt { index: seq, leaf, envelope, path, checkpoint };
    // What does not hold is not handed out: the very text is read and judged.
    let receipt = Receipt::parse(&receipt.to_text())?;
    let proven = receipt.verify(id, &operator)?;
    Ok((receipt, proven, operator))
}

impl Verify {
    fn run(self, cx: &Context) -> Done {
        let (receipt, balance) = read_one(&self.file)?;
        let (proven, operator) = verified(cx, &receipt)?;
        let ledger = proven.leaf.ledger;
        let Proven { statement, leaf, head } = &proven;
        let seen =
            cx.trust.policy().map_or(Ok(Vec::new()), |it| it.witnessed(&receipt.checkpoint))?;
        let shown = balance.map(|proof| proof.verify(&proven)).transpose()?;
        let said = shown.as_ref().map_or_else(|| of_entry_alone(statement), balance_proof::told);
        let text = format!(
            "{}: entry {} of\n  ledger   {ledger}\n  operator {}\n  recorded {} (or so it says, if it is a SANDBOX)\n  under a head of {}\n{}{said}",
            cx.out.good("holds"),
            leaf.seq,
            hex::encode(operator.bytes()),
            money::show_time(leaf.recorded_at),
            describe::entries(head.size),
            witnessed(&seen),
        );
        let (schema, mut said) = match &shown {
            Some(shown) => {
                let said = balance_proof::data(shown, &proven, &operator, None);
                ("subak.balance-proof/1", said)
            }
            None => ("subak.receipt/1", data(&proven, &operator, None)),
        };
        said["witnessed"] = seen
            .iter()
            .map(|(name, at)| json!({ "witness": name, "at": show_seconds(*at) }))
            .collect();
        cx.out.result(schema, &said, &text)
    }
}

/// The receipt in a file, and the balance that it shows, where it does.
fn read_one(file: &Path) -> Done<(Receipt, Option<BalanceProof>)> {
    let text = read(file, Code::BadReceipt, MOST_BYTES)?;
    if BalanceProof::is_one(&text) {
        let proof = BalanceProof::parse(&text)?;
        return Ok((proof.receipt.clone(), Some(proof)));
    }
    Ok((Receipt::parse(&text)?, None))
}

/// What a receipt proves, by a key that is believed for its ledger; which one.
fn verified(cx: &Context, receipt: &Receipt) -> Done<(Proven, PublicKey)> {
    let ledger = Leaf::from_bytes(&receipt.leaf)?.ledger;
    if cx.trust.is_anyone() {
        return Err(Failure::usage(
            "whose signature is believed?",
            "name the operator's key with --expect (`subak commons show` prints it; get it \
             from somebody you trust), or a trust file with --trust-file",
        ));
    }
    let trusted = cx.trust.operators(ledger);
    let next = "trust the ledger's operator on purpose, by a key that you have from somebody you \
                trust, or not at all";
    let unexpected = |what: String| Failure::refused("operator-unexpected", what, next);
    if trusted.is_empty() {
        let what = format!("the receipt is of ledger {ledger}, which the trust file does not name");
        return Err(unexpected(what));
    }
    // A line under the checkpoint may only claim to be of a key: one that holds is enough.
    trusted
        .iter()
        .filter(|operator| receipt.bears(ledger, operator))
        .map(|operator| Ok((receipt.verify(ledger, operator)?, operator.clone())))
        .reduce(|found: Done<_>, next| found.or(next))
        .unwrap_or_else(|| {
            let what = "is signed by no key that you trust";
            Err(unexpected(format!("the receipt, of ledger {ledger}, {what}")))
        })
}

/// What a receipt proves, and what was said.
fn of_entry_alone(statement: &Statement) -> String {
    format!(
        "  {}\n{}",
        "It proves that the operator has signed for it at this place. Whether the key was the\n  \
         author's then, and what became of it, is in the log: `subak audit`, `subak show`.",
        describe::statement(statement, None)
    )
}

/// One line for each witness who saw that head, and none that contradicts it.
fn witnessed(seen: &[Cosigned]) -> String {
    seen.iter().fold(String::new(), |mut text, (name, at)| {
        text += &format!("  seen by  {name} at {}\n", show_seconds(*at));
        text
    })
}

fn show_seconds(seconds: u64) -> String {
    money::show_time(seconds.saturating_mul(1_000))
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
