//! `subak relay`: what a proof in a file shows, appended to the ledger that it concerns.
//!
//! Owns the way from a receipt to the events that it is good for here, and what is said where
//! it is good for none. Guarantees nothing of a proof that is appended: the rules check it; one of
//! which nothing is new is checked here. Leaves out how a
//! receipt is made (`receipt`), and all that a node relays by itself (`subak_node::relay`).

use crate::{
    context::{Context, Open},
    counterpart, describe,
    failure::{Done, Failure},
    files::read,
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        state::State,
    },
    log::{
        Hash, Leaf, LedgerId, PublicKey, Unverified,
        receipt::{MOST_BYTES, Receipt},
    },
    reject::Code,
};
use subak_node::relay::{plan::other_side, proofs};
use subak_proto::v1::{self, event::Kind};

/// Relay a proof: append what it shows to the ledger that it concerns.
///
/// The file is a receipt of an entry of another ledger (`subak receipt get`): of a revenue or a
/// payout that a share of is due here, of an acceptance, of a handover. Anyone who has one may
/// relay it; the rules check it. A node does so by itself for the ledgers that it knows.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak receipt get 12 --ledger our-phyle --out due.tlog-proof\n  subak relay due.tlog-proof --ledger our-commons\n\nExit status: 0 it is appended, or was before; 1 it is not for this ledger, or others come first."
)]
pub struct Relay {
    /// The receipt
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What a receipt is good for in a ledger.
#[derive(Default)]
struct Use {
    events: Vec<Kind>,
    /// In sentences: what was there already, and what comes first.
    known: Vec<String>,
    early: Vec<String>,
    /// Of what is known.
    incomes: Vec<u64>,
    /// Agreements under which it tells a second story.
    second: Vec<Hash>,
}

impl Relay {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let text = read(&self.file, Code::BadReceipt, MOST_BYTES)?;
        let receipt = Receipt::parse(&text)?;
        let from = Leaf::from_bytes(&receipt.leaf)?.ledger;
        let mut open = cx.write().await?;
        let found = good_for(&open, from.0, &receipt)?;
        if found.events.is_empty() {
            return unused(cx, &open, from.0, &found, &receipt);
        }
        let before = open.book.clone();
        let appended = counterpart::say_as_anyone(cx, &open, found.events).await?;
        cx.refresh(&mut open).await?;
        let mut lines = news(&before, &open.book, appended.entry);
        lines.extend(found.known);
        let new: Vec<u64> = (before.incomes.len() + 1..=open.book.incomes.len())
            .map(|number| number as u64)
            .collect();
        let data = json!({
            "ledger": open.info.id.to_string(), "from": hex::encode(from.0),
            "entry": appended.entry, "incomes": new,
            "frozen": found.second.iter().map(hex::encode).collect::<Vec<_>>(),
        });
        let text = format!("entry {}: {}", appended.entry, lines.join("\n  "));
        cx.out.result("subak.relay/1", &data, &text)
    }
}

/// The events that the entry of `from` allows here.
fn good_for(open: &Open, from: Hash, receipt: &Receipt) -> Done<Use> {
    let book = &open.book;
    let statement = Unverified::parse(&receipt.envelope)?.trust_stored()?;
    let kinds = proofs::kinds(statement.events());
    let source = statement.envelope_digest();
    let proof = || {
        Some(v1::Proof {
            envelope: receipt.envelope.clone(),
            leaf: receipt.leaf.clone(),
            path: receipt.path.iter().map(|hash| hash.to_vec()).collect(),
            checkpoint: receipt.checkpoint.clone(),
        })
    };
    let mut found = Use::default();
    for a in book.agreements.values().filter(|a| other_side(a).0.0 == from) {
        let digest = a.terms.digest;
        let numbers = || {
            let dues = kinds.iter().flat_map(proofs::dues);
            dues.filter(|due| due.agreement == digest).map(|due| due.number)
        };
        let states = |kind: &Kind| {
            let accepted = v1::Stage::Accepted as i32;
            matches!(kind, Kind::AgreementStage(s) if s.agreement == digest && s.stage == accepted)
        };
        match a.progress {
            Progress::Accepted => {
                if let (Some(first), Some(last)) = (numbers().min(), numbers().max()) {
                    let take = v1::IncomeTake { agreement: digest.to_vec(), proof: proof() };
                    found.income(a, (first, last), source, Kind::IncomeTake(take));
                }
            }
            Progress::Offered if kinds.iter().any(states) => {
                let active = v1::AgreementActive { agreement: digest.to_vec(), proof: proof() };
                found.events.push(Kind::AgreementActive(active));
            }
            Progress::Active if kinds.iter().any(states) => {
                let short = describe::short(&digest);
                found.known.push(format!("agreement {short} is active already"));
            }
            Progress::Offered | Progress::Active => {}
        }
    }
    if let (Some(Kind::Handover(h)), Some(line)) = (kinds.first(), book.counterparts.get(&from)) {
        if line.iter().any(|key| *key == h.key[..]) {
            found.known.push("that operator is known here already".into());
        } else {
            let take = v1::HandoverTake { ledger: from.to_vec(), proof: proof() };
            found.events.push(Kind::HandoverTake(take));
        }
    }
    Ok(found)
}

impl Use {
    /// A proof of these numbers of an accepted agreement.
    fn income(&mut self, a: &Agreement, (first, last): (u64, u64), source: Hash, take: Kind) {
        let (short, taken) = (describe::short(&a.terms.digest), a.dues.last);
        if first > taken + 1 {
            let missing = match first - 1 {
                only if only == taken + 1 => format!("number {only} comes"),
                until => format!("numbers {}..{until} come", taken + 1),
            };
            let them = if first - 1 == taken + 1 { "that" } else { "those" };
            self.early.push(format!("agreement {short}: {missing} first: relay {them}"));
        } else if first > taken {
            self.events.push(take);
        } else if a.sources.get(&first).map(|source| source.envelope) == Some(source) {
            let incomes: Vec<u64> = (first..=last)
                .filter_map(|n| a.dues.items.get(&n).map(|item| item.income))
                .collect();
            let which = incomes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            self.known.push(match incomes.len() {
                0 => format!("agreement {short}: taken already, as a reversal"),
                1 => format!("agreement {short}: taken already as income {which}"),
                _ => format!("agreement {short}: taken already as incomes {which}"),
            });
            self.incomes.extend(incomes);
        } else {
            // Another entry under an old number: the rules keep it as evidence, and freeze.
            self.second.push(a.terms.digest);
            self.events.push(take);
        }
    }
}

/// What to say where nothing is to be appended.
fn unused(cx: &Context, open: &Open, from: Hash, found: &Use, receipt: &Receipt) -> Done {
    let name = &open.info.name;
    if !found.early.is_empty() {
        return Err(Failure::refused(
            Code::NumberOutOfOrder.name(),
            found.early.join("\n"),
            "get the receipts of the entries before it, in their order",
        ));
    }
    if found.known.is_empty() {
        let short = &hex::encode(from)[..16];
        return Err(Failure::refused(
            "not-for-this-ledger",
            format!(
                "the proof is of ledger {short}…, and holds nothing for an agreement of {name}"
            ),
            "name the ledger that it is for with --ledger; `subak agreement list` shows with whom one has agreements",
        ));
    }
    require_proven(&open.book, from, receipt)?;
    let data: Value = json!({
        "ledger": open.info.id.to_string(), "from": hex::encode(from), "entry": null,
        "incomes": found.incomes, "frozen": [],
    });
    cx.out.result("subak.relay/1", &data, &found.known.join("\n"))
}

/// That a receipt holds of which nothing is appended: no rule will have checked it.
fn require_proven(book: &State, from: Hash, receipt: &Receipt) -> Done {
    let known = book.counterparts.get(&from).into_iter().flatten();
    let keys = known.filter_map(|key| PublicKey::admit(key).ok());
    let mut judged = keys.map(|key| receipt.verify(LedgerId(from), &key));
    if judged.any(|proven| proven.is_ok()) {
        return Ok(());
    }
    let code = Code::ProofInvalid;
    let what = format!(
        "{}: the file is not what was taken: no operator of ledger {}… who is known here has signed \
         its entry {} at that place",
        code.meaning(),
        &hex::encode(from)[..16],
        receipt.index
    );
    Err(Failure::refused(code.name(), what, code.next()))
}

/// What an entry has brought.
fn news(before: &State, now: &State, entry: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for income in now.incomes.iter().skip(before.incomes.len()) {
        let amount = crate::money::show(income.amount.into(), income.currency);
        let payer = &now.agent(income.payer).handle;
        lines.push(format!("income {}: {amount} from {payer}", income.number));
    }
    for (old, new) in before.incomes.iter().zip(&now.incomes) {
        if new.refunded > old.refunded {
            let back = crate::money::show((new.refunded - old.refunded).into(), new.currency);
            lines.push(format!("income {}: {back} taken back", new.number));
        }
    }
    for a in now.agreements.values() {
        let Some(old) = before.agreements.get(&a.terms.digest) else { continue };
        let short = describe::short(&a.terms.digest);
        if a.frozen == Some(entry) && old.frozen.is_none() {
            lines.push(format!(
                "agreement {short} is FROZEN: it shows a second story under an old number; both \
                 are in this log now"
            ));
        }
        if a.progress != old.progress {
            lines.push(format!("agreement {short} is active: shares fall due from now on"));
        }
    }
    if !before.counterparts.ptr_eq(&now.counterparts) && lines.is_empty() {
        lines.push("the other ledger's operator is known here now".into());
    }
    lines
}
