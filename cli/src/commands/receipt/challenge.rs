//! `subak receipt challenge`: a receipt that somebody kept, held against the log that is shown now.
//!
//! Owns the words, the exit status and the file of proof. Guarantees that status 1 is the operator's
//! guilt and nothing else, that a proof is verified before it is written, and that none is
//! overwritten. Leaves out the judgement (`subak_node::follow::evidence`) and what a node does that
//! is contradicted (`Ledgers::challenge`).

use super::{read_one, verified};
use crate::{
    context::Context,
    describe,
    failure::{Done, Failure},
    files::write_once,
};
use clap::Args;
use serde_json::json;
use std::{fs, path::PathBuf};
use subak_ledger::{
    audit::Verdict,
    log::{Checkpoint, LedgerId, PublicKey, fraud::FraudProof},
};
use subak_node::{
    Ledgers,
    follow::evidence::{Kept, kept},
};

/// Arguments of `receipt challenge`.
#[derive(Debug, Args)]
pub struct Challenge {
    /// The receipt
    file: PathBuf,
    /// Where to write the proof if the operator signed two histories [default: LEDGER-ID.fraud-proof]
    #[arg(long, value_name = "FILE")]
    fraud_out: Option<PathBuf>,
}

impl Challenge {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        // Only a proof that was written is anybody's guilt.
        let judged = self.judge(cx).await;
        judged.map_err(|f| if f.status == 1 && !f.code.is_empty() { unjudged(f) } else { f })
    }

    async fn judge(self, cx: &Context) -> Done {
        let (receipt, balance) = read_one(&self.file)?;
        let (proven, operator) = verified(cx, &receipt)?;
        // What hangs on the entry is held to it first, else `kept` would be said of a changed figure.
        balance.map(|proof| proof.verify(&proven)).transpose()?;
        let ledger = proven.leaf.ledger;
        let connection = cx.reader().await?;
        let listed = cx.choose(&connection, Some(&ledger.to_string())).await?;
        let there = &*connection.ledgers;
        let note = there.checkpoint(ledger).await?;
        let newest = opened(there, ledger, &operator, &note).await?;
        let found = kept(&receipt, &proven, &operator, there, (&note, &newest)).await?;
        let (size, entry, mut why) = (newest.size, receipt.index, None);
        let (verdict, mut text, file) = match found {
            Kept::Yes => {
                let head = describe::entries(size);
                let text =
                    format!("{}: entry {entry}, under the head of {head}", cx.out.good("kept"));
                (Verdict::Sound, text, None)
            }
            Kept::No(proof) => {
                let file = self.fraud_out.unwrap_or_else(|| format!("{ledger}.fraud-proof").into());
                // One that was written before, of another head, says the same.
                let known = fs::read_to_string(&file).ok();
                let known = known.and_then(|text| FraudProof::parse(&text).ok());
                if !known.is_some_and(|known| {
                    known.verify(&operator).is_ok_and(|it| it.ledger == ledger)
                }) {
                    write_once(&file, &proof.to_text())?;
                }
                let text = format!(
                    "{}: entry {entry} of {}: its operator has signed a head of {} that has it, and \
                     one of {} that is of another history\n  the fraud proof is in {file}\n  next: \
                     pass it on; whoever has the operator's key checks it: `subak audit {file} \
                     --expect {}`",
                    cx.out.bad("not kept"),
                    listed.name,
                    describe::entries(proven.head.size),
                    describe::entries(size),
                    hex::encode(operator.bytes()),
                    file = file.display(),
                );
                (Verdict::Fault, text, Some(file))
            }
            Kept::Open(what) => {
                let text = format!(
                    "{}: {what}\n  next: keep the receipt, and ask again later or elsewhere (a \
                     mirror, a backup): where another entry is shown in its place, that is a proof",
                    cx.out.bad("gap")
                );
                why = Some(what);
                (Verdict::Gap, text, None)
            }
        };
        // A node that is honest, and keeps an old copy, must not go on with it.
        let answer = match (verdict, &connection.embedded) {
            (Verdict::Sound, _) | (_, Some(_)) => None,
            _ => there.challenge(ledger, receipt.checkpoint).await.err().map(|e| e.to_string()),
        };
        if let Some(answer) = &answer {
            text += &format!("\n  shown that head, the node's answer: {answer}");
        }
        let said = json!({
            "verdict": verdict.word(), "ledger": ledger.to_string(), "entry": entry,
            "challenged_size": proven.head.size, "size": size,
            "operator_key": hex::encode(operator.bytes()), "fraud_proof": file, "message": why,
            "answer": answer,
        });
        cx.out.result("subak.receipt/1", &said, &text)?;
        match verdict {
            Verdict::Sound => Ok(()),
            Verdict::Gap => Err(Failure::told(3)),
            Verdict::Fault => Err(Failure::told(1)),
        }
    }
}

/// The newest head, by the key of the receipt; where another operator has followed, by the log.
async fn opened(
    there: &dyn Ledgers,
    ledger: LedgerId,
    operator: &PublicKey,
    note: &str,
) -> Done<Checkpoint> {
    match Checkpoint::open(note, ledger, operator) {
        Ok(head) => Ok(head),
        Err(_) => Ok(there.book(ledger).await?.signed_head(note)?),
    }
}

fn unjudged(failure: Failure) -> Failure {
    Failure::gap(&failure.code, failure.message, failure.next)
}
