//! `subak agreement`: offer, state, accept, activate, end, unfreeze, evidence, list.
//!
//! Owns the handshake as people go through it: each command does every further step
//! that the same connection and keys allow, and names the command for the next one
//! where they do not. Leaves out the rules (`ledger::book::agreement`).

mod accept;
mod evidence;
mod handover;
mod list;
mod offer;
mod offers;
mod unfreeze;

pub use evidence::told;

use crate::{
    commands::contribute::report,
    context::{Context, Open},
    counterpart::{self, Elsewhere},
    describe,
    failure::Done,
    money,
};
use clap::Subcommand;
use offer::Offer;
use serde_json::{Value, json};
use std::path::PathBuf;
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        event::Terms,
        state::State,
        types::{Base, Stage},
    },
    log::Hash,
};
use subak_proto::v1::{self, event::Kind};

/// Agreements between a payer and a commons.
#[derive(Debug, Subcommand)]
pub enum AgreementCommand {
    /// Offer a share of revenue to a commons (payer's ledger, stewards)
    ///
    /// The stewards decide on it: with a quorum of one it is offered at once, else it
    /// is offered when enough of them have approved.
    #[command(
        after_help = "Examples:\n  subak agreement offer --ledger our-phyle --commons-ledger our-commons \\\n      --share \"10 %\" --currency EUR\n  subak agreement offer --commons-ledger our-commons --other-db commons.db \\\n      --share \"2.5 %\" --base gross --currency EUR --product hosting"
    )]
    Offer(Offer),
    /// State in the log how far an agreement is, for the other ledger to prove
    #[command(after_help = "Example:\n  subak agreement state 3f9c21ab --ledger our-phyle")]
    State {
        /// Beginning of the agreement's digest, or the other side's handle
        agreement: String,
    },
    /// Accept an offer (commons' ledger, stewards)
    ///
    /// Fetches the terms and the proof of the offer from the payer's ledger, shows the
    /// terms, accepts them, and makes the agreement active in the payer's ledger where
    /// that can be written on the same connection.
    #[command(
        after_help = "Examples:\n  subak agreement accept 3f9c21ab --ledger our-commons\n  subak agreement accept 3f9c21ab --ledger our-commons --other-node http://phyle.example:7117"
    )]
    Accept {
        /// Beginning of the agreement's digest, at least 4 digits
        agreement: String,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// Make an accepted agreement active (payer's ledger): from then on shares fall due
    #[command(after_help = "Example:\n  subak agreement activate 3f9c21ab --ledger our-phyle")]
    Activate {
        /// Beginning of the agreement's digest, or the commons' handle
        agreement: String,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// Learn that the other ledger has another operator
    ///
    /// Fetches the proofs from there. Where the operator before has signed the change, it holds at
    /// once; else the stewards here decide on it.
    #[command(
        after_help = "Example:\n  subak agreement handover 3f9c21ab --ledger our-commons --other-node http://phyle.example:7117"
    )]
    Handover {
        /// Beginning of the agreement's digest, or the other side's handle
        agreement: String,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// End an agreement after its notice (payer's ledger, stewards)
    #[command(after_help = "Example:\n  subak agreement end 3f9c21ab --ledger our-phyle")]
    End {
        /// Beginning of the agreement's digest, or the commons' handle
        agreement: String,
    },
    /// Let a frozen agreement go on (commons' ledger, stewards)
    ///
    /// Two stories exist under one number. Compare both with the payer's ledger first. With
    /// `--back-to` what was taken above that number is undone, and the payer's ledger is taken from
    /// the next one on; without it, all that was taken is kept.
    #[command(
        after_help = "Examples:\n  subak agreement unfreeze 3f9c21ab --ledger our-commons --as ana\n  subak agreement unfreeze 3f9c21ab --back-to 41 --ledger our-commons --as ana"
    )]
    Unfreeze {
        /// Beginning of the agreement's digest, or the payer's handle
        agreement: String,
        /// Keep what was taken up to this number [default: all]
        #[arg(long, value_name = "NUMBER")]
        back_to: Option<u64>,
    },
    /// Write both stories of a frozen agreement to a file that anybody can judge
    ///
    /// Both lie in the commons' own log, each under the signature of the payer's operator. Where
    /// their heads contradict each other, the fraud proof is written beside it.
    #[command(
        after_help = "Example:\n  subak agreement evidence 3f9c21ab --ledger our-commons --out phyle.two-stories\n  subak audit phyle.two-stories --expect <public key of the payer's operator>"
    )]
    Evidence {
        /// Beginning of the agreement's digest, or the payer's handle
        agreement: String,
        /// The entry that showed the second story [default: what it is frozen by]
        #[arg(long)]
        entry: Option<u64>,
        /// Where to write it; never over a file that exists
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// List agreements: how far they are, what is due, settled, open and under way
    ///
    /// Where the ledger of the other side is in the same ledger file or node (or said where), it
    /// shows what has fallen due there and is not taken here, and cash that has left and not
    /// arrived. A commons sees there, too, whether its payers' logs have an agreement as active, and
    /// the offers that wait for its stewards: of payers with which it has an agreement, and of those
    /// whose ledger has the name of an agent here.
    #[command(
        after_help = "Examples:\n  subak agreement list --ledger our-commons\n  subak agreement list --other-node http://phyle.example:7117"
    )]
    List {
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
}

impl AgreementCommand {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        match self {
            Self::List { .. } => "subak.agreement/1",
            Self::Evidence { .. } => "subak.evidence/1",
            _ => "subak.appended/1",
        }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Offer(o) => o.run(cx).await,
            Self::State { agreement } => state(cx, &agreement).await,
            Self::Accept { agreement, elsewhere } => {
                accept::accept(cx, &agreement, &elsewhere).await
            }
            Self::Activate { agreement, elsewhere } => {
                accept::activate(cx, &agreement, &elsewhere).await
            }
            Self::Handover { agreement, elsewhere } => {
                handover::handover(cx, &agreement, &elsewhere).await
            }
            Self::End { agreement } => end(cx, &agreement).await,
            Self::Unfreeze { agreement, back_to } => {
                unfreeze::unfreeze(cx, &agreement, back_to).await
            }
            Self::Evidence { agreement, entry, out } => {
                evidence::evidence(cx, &agreement, entry, &out).await
            }
            Self::List { elsewhere } => list::list(cx, &elsewhere).await,
        }
    }
}

fn with(mut more: Value, key: &str, value: impl Into<Value>) -> Value {
    more[key] = value.into();
    more
}

/// What is paid, as in `10 % of net on hosting`.
fn what(t: &Terms) -> String {
    let on = t.product.as_ref().map_or_else(String::new, |p| format!(" on {p}"));
    match t.base {
        Base::Payout => format!("payouts{on}"),
        base => format!("{} of {base}{on}", money::show_share(t.share)),
    }
}

/// `2 more approvals: subak approve 17`.
fn approvals(book: &State, entry: u64) -> String {
    let have = book.proposals.get(&entry).map_or(0, |p| p.approvals.len());
    let missing = (book.root().quorum as usize).saturating_sub(have);
    let (more, name) = (describe::count(missing as u64, "more approval"), &book.root().name);
    format!("{more}: `subak approve {entry} --ledger {name}`")
}

/// The entry that states a stage of an agreement; where none does, it is stated.
async fn state_stage(cx: &Context, open: &Open, digest: &Hash, stage: Stage) -> Done<u64> {
    // A node states it by itself: it may have been faster.
    let book = open.connection.ledgers.book(open.info.id).await?;
    if let Some(entry) = book.agreement(digest)?.stated {
        return Ok(entry);
    }
    let event = v1::AgreementStage { agreement: digest.to_vec(), stage: stage.to_wire() };
    let said = counterpart::say_as_anyone(cx, open, vec![Kind::AgreementStage(event)]).await?;
    Ok(said.entry)
}

/// What is asked for is so already: a node that relays may have been faster.
fn active_already(cx: &Context, open: &Open, digest: &Hash) -> Done {
    let text = format!(
        "agreement {} is active already; there is nothing to do: what it covers falls due with \
         `subak revenue record`",
        describe::short(digest)
    );
    let data = json!({
        "ledger": open.info.id.to_string(), "agreement": hex::encode(digest), "active": true,
    });
    cx.out.result("subak.appended/1", &data, &text)
}

async fn state(cx: &Context, wanted: &str) -> Done {
    let open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let agreement = open.book.agreement(&digest)?;
    let short = describe::short(&digest);
    let stage = match agreement.progress {
        Progress::Accepted => Stage::Accepted,
        Progress::Offered => Stage::Offered,
        Progress::Active => return active_already(cx, &open, &digest),
    };
    let entry = state_stage(cx, &open, &digest, stage).await?;
    let next = match stage {
        Stage::Offered => {
            format!(
                "next, the commons: `subak agreement accept {short} --ledger {}`",
                agreement.terms.commons_handle
            )
        }
        Stage::Accepted => {
            format!(
                "next, the payer: `subak agreement activate {short} --ledger {}`",
                agreement.terms.payer_handle
            )
        }
    };
    let data = json!({
        "ledger": open.info.id.to_string(), "entry": entry,
        "agreement": hex::encode(digest), "stage": stage.word(),
    });
    let text = format!("entry {entry}: it states that agreement {short} is {stage}\n  {next}");
    cx.out.result("subak.appended/1", &data, &text)
}

async fn end(cx: &Context, wanted: &str) -> Done {
    let mut open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let event = v1::AgreementEnd { agreement: digest.to_vec() };
    let appended = cx.propose(&open, Kind::AgreementEnd(event)).await?;
    cx.refresh(&mut open).await?;
    let short = describe::short(&digest);
    let ends_at = open.book.agreement(&digest)?.ends_at;
    let text = match ends_at {
        Some(at) => {
            format!("agreement {short} ends on {}; what is due stays due", money::show_date(at))
        }
        None => format!(
            "the end of agreement {short} is proposed; it waits for {}",
            approvals(&open.book, appended.entry)
        ),
    };
    let more =
        json!({ "agreement": hex::encode(digest), "ends_at": ends_at.map(money::show_time) });
    report(cx, &appended, &more, &text)
}

/// An agreement's figures, in minor units.
pub struct Figures {
    /// Shares less what was taken back.
    pub due: i128,
    /// Of it, paid.
    pub settled: i128,
    /// Of it, given up (commons).
    pub written_off: i128,
    /// To be paid.
    pub open: i128,
    /// Paid beyond what is due.
    pub credit: i128,
}

/// Sums an agreement's items.
pub fn figures(book: &State, a: &Agreement) -> Figures {
    let due: i128 =
        a.dues.items.values().map(|i| i128::from(i.due) - i128::from(i.due_reversed)).sum();
    let settled = i128::try_from(a.settled).expect("cash is limited by MAX_MONEY");
    let off = a.written_off.iter().filter_map(|n| book.income(*n).ok());
    let written_off = off.map(|i| i128::from(i.written_off)).sum();
    Figures {
        due,
        settled,
        written_off,
        open: due - settled - written_off,
        credit: a.credit().into(),
    }
}
