//! `subak payout`: the treasurer's cash reaches people, in two phases.
//!
//! Owns the words of the command, and which currency and run are meant. Leaves out the
//! rules (`ledger::book::payout`).

pub(super) mod choose;
mod decide;
mod list;
mod propose;

use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::Subcommand;
use decide::Paid;
use propose::Propose;
use subak_ledger::book::{
    state::{Run, State},
    types::Currency,
};

/// Payouts: propose, then say what became of each line.
#[derive(Debug, Subcommand)]
pub enum Payout {
    /// Propose a payout run: its lines are reserved until they are decided
    #[command(
        after_help = "Examples:\n  subak payout propose --all\n  subak payout propose --all --min \"20.00 EUR\" --expires 2026-12-31\n  subak payout propose ana=120.00 ben=80.50 --currency EUR"
    )]
    Propose(Propose),
    /// Lines have left the bank
    ///
    /// All undecided lines of the run, but for --except; or only those named. How the
    /// bank's text enters the log: see `settle sent --help`.
    #[command(
        after_help = "Examples:\n  subak payout paid 57 --bank \"SEPA batch 12\"\n  subak payout paid 57 --except ben --bank \"SEPA batch 12\" --fee \"1.20 EUR\" --fee-by our-association"
    )]
    Paid(Paid),
    /// Lines could not be paid: they are released
    #[command(after_help = "Example:\n  subak payout failed 57 ben --reason account-closed")]
    Failed {
        /// Entry of the run
        run: u64,
        /// Whose lines
        #[arg(required = true, value_name = "HANDLE")]
        agents: Vec<String>,
        /// account-closed, account-unknown, refused-by-bank or other
        #[arg(long)]
        reason: String,
    },
    /// A paid line came back
    #[command(
        after_help = "Example:\n  subak payout returned 57 ben --bank \"SEPA return 4718\" --reason account-closed"
    )]
    Returned {
        /// Entry of the run
        run: u64,
        /// Whose line
        agent: String,
        /// What the bank knows the return by
        #[arg(long, value_name = "TEXT")]
        bank: String,
        /// account-closed, account-unknown, refused-by-bank or other
        #[arg(long)]
        reason: String,
    },
    /// List payout runs, or the lines of one; --csv for the bank: what is to be paid
    ///
    /// With --csv and a trust file that asks for witnesses, they must have seen the ledger to its
    /// end, as for `payout propose`.
    #[command(
        after_help = "Examples:\n  subak payout list\n  subak payout list 57\n  subak payout list 57 --csv > payout-57.csv"
    )]
    List {
        /// Entry of the run
        run: Option<u64>,
        /// Comma-separated values, of the lines that are still to be paid
        #[arg(long)]
        csv: bool,
        /// With --csv: also the lines that are decided
        #[arg(long, requires = "csv")]
        decided: bool,
    },
}

impl Payout {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        if matches!(self, Self::List { .. }) { "subak.payout/1" } else { "subak.appended/1" }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Propose(p) => p.run(cx).await,
            Self::Paid(p) => p.run(cx).await,
            Self::Failed { run, agents, reason } => decide::failed(cx, run, agents, &reason).await,
            Self::Returned { run, agent, bank, reason } => {
                decide::returned(cx, run, &agent, &bank, &reason).await
            }
            Self::List { run, csv, decided } => list::list(cx, run, csv, decided).await,
        }
    }
}

/// Reads a currency's code.
pub fn code(text: &str) -> Done<Currency> {
    Currency::new(text).map_err(|_| {
        Failure::usage(
            format!("currency {text:?}: expected three capital letters"),
            "use a code such as EUR, USD or IDR",
        )
    })
}

/// The currency that is meant: what is said, or the only one.
pub fn currency(book: &State, said: Option<&str>) -> Done<Currency> {
    if let Some(text) = said {
        return code(text);
    }
    match book.currencies().as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::refused(
            "no-money",
            "no money has come to this ledger yet",
            "take income first: `subak income take`",
        )),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::usage(
                format!("several currencies are here: {}", names.join(", ")),
                "name one with --currency",
            ))
        }
    }
}

fn find_run(book: &State, run: u64) -> Done<&Run> {
    book.runs.get(&run).map(AsRef::as_ref).ok_or_else(|| {
        Failure::refused(
            "unknown-payout",
            format!("there is no payout run {run}"),
            "look it up: `subak payout list`",
        )
    })
}
