//! The commands: one file per noun or frequent verb.

pub mod agent;
pub mod approve;
pub mod balance;
pub mod completions;
pub mod contribute;
pub mod contribution;
pub mod equation;
pub mod held;
pub mod import;
pub mod key;
pub mod log;
pub mod open;
pub mod places;
pub mod role;
pub mod validate;

use crate::{context::Context, failure::Done};
use clap::Subcommand;

/// Everything `subak` does. Variants without a comment take the command's own, which
/// may be longer than one paragraph.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, show and list signing keys
    #[command(subcommand)]
    Key(key::Key),
    /// Open or show the ledger of a commons
    #[command(subcommand)]
    Commons(open::Commons),
    /// Open or show the ledger of a phyle, an association, a trust or an authority
    #[command(subcommand)]
    Phyle(open::Phyle),
    /// Agents: add, admit, list, claim, add a key
    #[command(subcommand)]
    Agent(agent::Agent),
    /// Claim work that you did
    Contribute(contribute::Contribute),
    Validate(validate::Validate),
    #[command(subcommand)]
    Contribution(contribution::Contribution),
    #[command(subcommand)]
    Import(import::Import),
    #[command(subcommand)]
    Equation(equation::Equation),
    #[command(subcommand)]
    Role(role::Role),
    Approve(approve::Approve),
    Withdraw(approve::Withdraw),
    Proposals(approve::Proposals),
    #[command(subcommand)]
    Held(held::Held),
    /// What has accrued to whom, what is payable, what was paid
    Balance(balance::Balance),
    Log(log::Log),
    Show(log::Show),
    Completions(completions::Completions),
}

impl Command {
    /// The schema of the command's JSON.
    pub fn schema(&self) -> &'static str {
        match self {
            Self::Key(_) => "subak.key/1",
            Self::Commons(_) | Self::Phyle(_) => "subak.ledger/1",
            Self::Agent(_) => "subak.agent/1",
            Self::Contribute(_) => "subak.appended/1",
            Self::Validate(_) | Self::Role(_) => "subak.appended/1",
            Self::Approve(_) | Self::Withdraw(_) => "subak.appended/1",
            Self::Contribution(_) => "subak.contribution/1",
            Self::Import(_) => "subak.import/1",
            Self::Equation(_) => "subak.equation/1",
            Self::Proposals(_) => "subak.proposals/1",
            Self::Held(_) => "subak.held/1",
            Self::Log(_) => "subak.log/1",
            Self::Show(_) => "subak.entry/1",
            Self::Completions(_) => "subak.completions/1",
            Self::Balance(_) => "subak.balance/1",
        }
    }

    /// Runs it.
    pub async fn run(self, context: &Context) -> Done {
        match self {
            Self::Key(c) => c.run(context),
            Self::Commons(c) => c.run(context).await,
            Self::Phyle(c) => c.run(context).await,
            Self::Agent(c) => c.run(context).await,
            Self::Contribute(c) => c.run(context).await,
            Self::Validate(c) => c.run(context).await,
            Self::Contribution(c) => c.run(context).await,
            Self::Import(c) => c.run(context).await,
            Self::Equation(c) => c.run(context).await,
            Self::Role(c) => c.run(context).await,
            Self::Approve(c) => c.run(context).await,
            Self::Withdraw(c) => c.run(context).await,
            Self::Proposals(c) => c.run(context).await,
            Self::Held(c) => c.run(context).await,
            Self::Log(c) => c.run(context).await,
            Self::Show(c) => c.run(context).await,
            Self::Completions(c) => c.run(context),
            Self::Balance(c) => c.run(context).await,
        }
    }
}
