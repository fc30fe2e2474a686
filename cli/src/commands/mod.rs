//! The commands: one file per noun or frequent verb.

mod agent;
mod balance;
mod contribute;
mod key;
mod open;

use crate::{context::Context, failure::Done};
use clap::Subcommand;

/// Everything `subak` does.
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
    /// What has accrued to whom, what is payable, what was paid
    Balance(balance::Balance),
}

impl Command {
    /// The schema of the command's JSON.
    pub fn schema(&self) -> &'static str {
        match self {
            Self::Key(_) => "subak.key/1",
            Self::Commons(_) | Self::Phyle(_) => "subak.ledger/1",
            Self::Agent(_) => "subak.agent/1",
            Self::Contribute(_) => "subak.appended/1",
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
            Self::Balance(c) => c.run(context).await,
        }
    }
}
