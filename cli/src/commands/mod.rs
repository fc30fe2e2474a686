//! The commands: one file per noun or frequent verb.

mod agent;
mod agreement;
mod audit;
mod backup;
mod approve;
mod balance;
mod completions;
mod contribute;
mod explain;
mod income;
mod contribution;
mod equation;
mod held;
mod import;
mod key;
mod log;
mod open;
mod payout;
mod revenue;
mod serve;
mod settle;
mod places;
mod role;
mod validate;

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
    /// Agreements between a payer and a commons
    #[command(subcommand)]
    Agreement(agreement::AgreementCommand),
    /// Revenue of a phyle: record, reverse, void, list
    #[command(subcommand)]
    Revenue(revenue::Revenue),
    /// Cash under an agreement: sent, received
    #[command(subcommand)]
    Settle(settle::Settle),
    /// Income of a commons: take, record, list, write off
    #[command(subcommand)]
    Income(income::Income),
    /// Payouts: propose, paid, failed, returned, list
    #[command(subcommand)]
    Payout(payout::Payout),
    /// Why somebody has what they have
    Explain(explain::Explain),
    /// Verify every byte, signature, rule and cent
    Audit(audit::Audit),
    /// Serve the ledgers of a file
    Serve(serve::Serve),
    /// Copy the ledger file, all ledgers in it
    Backup(backup::Backup),
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
            Self::Agreement(c) => c.schema(),
            Self::Revenue(c) => c.schema(),
            Self::Settle(_) => "subak.appended/1",
            Self::Income(c) => c.schema(),
            Self::Payout(c) => c.schema(),
            Self::Explain(_) => "subak.explain/1",
            Self::Audit(_) => "subak.audit/1",
            Self::Serve(_) => "subak.serve/1",
            Self::Backup(_) => "subak.backup/1",
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
            Self::Agreement(c) => c.run(context).await,
            Self::Revenue(c) => c.run(context).await,
            Self::Settle(c) => c.run(context).await,
            Self::Income(c) => c.run(context).await,
            Self::Payout(c) => c.run(context).await,
            Self::Explain(c) => c.run(context).await,
            Self::Audit(c) => c.run(context).await,
            Self::Serve(c) => c.run(context).await,
            Self::Backup(c) => c.run(context).await,
        }
    }
}
