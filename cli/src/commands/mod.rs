//! The commands: one file per noun or frequent verb.

mod agent;
mod agreement;
mod approve;
mod audit;
mod backup;
mod balance;
mod balance_proof;
mod bundle;
mod certificate;
mod checkpoint;
mod completions;
mod contribute;
mod contribution;
mod demo;
mod equation;
mod erase;
mod explain;
mod fork;
mod frozen;
mod held;
mod import;
mod income;
mod key;
mod ledger;
mod log;
mod man;
mod mirror;
mod network;
mod open;
mod operator;
mod past;
mod payout;
mod peer;
mod places;
mod receipt;
mod relay;
mod revenue;
mod role;
mod serve;
mod settle;
mod validate;
mod witness;

use crate::{context::Context, failure::Done, options::Global};
use clap::Subcommand;

/// Everything `subak` does; each variant's help is that of its own type.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(subcommand, after_help = "Examples:\n  subak key new ana\n  subak key list")]
    Key(key::Key),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak commons open our-commons --steward ana\n  subak commons show"
    )]
    Commons(open::Commons),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak phyle open our-phyle --steward tess --commons our-commons\n  subak phyle show --ledger our-phyle"
    )]
    Phyle(open::Phyle),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak agent list --unclaimed\n  subak agent admit ben --as ana"
    )]
    Agent(agent::Agent),
    Contribute(contribute::Contribute),
    Demo(demo::Demo),
    Validate(validate::Validate),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak contribution list --pending\n  subak contribution list --agent ben"
    )]
    Contribution(contribution::Contribution),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak import git ../our-repository\n  subak import csv hours.csv"
    )]
    Import(import::Import),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak equation new --template hours > eq.toml\n  subak equation check eq.toml"
    )]
    Equation(equation::Equation),
    #[command(subcommand, after_help = "Example:\n  subak role grant ben maintainer")]
    Role(role::Role),
    Approve(approve::Approve),
    Withdraw(approve::Withdraw),
    Proposals(approve::Proposals),
    #[command(subcommand, after_help = "Example:\n  subak held list")]
    Held(held::Held),
    Balance(balance::Balance),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak agreement list --ledger our-commons\n  subak agreement accept 3f9c21ab --ledger our-commons"
    )]
    Agreement(agreement::AgreementCommand),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak revenue record 2026/17 --net \"1200.00 EUR\" --tax \"240.00 EUR\"\n  subak revenue list"
    )]
    Revenue(revenue::Revenue),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak settle sent all --bank \"SEPA batch 2026-03\"\n  subak settle received our-phyle --amount \"120.00 EUR\" --bank \"SEPA 4711\""
    )]
    Settle(settle::Settle),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak income take --ledger our-commons\n  subak income list --open"
    )]
    Income(income::Income),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak payout propose --all\n  subak payout list 57 --csv > payout-57.csv"
    )]
    Payout(payout::Payout),
    Explain(explain::Explain),
    Fork(fork::Fork),
    Audit(audit::Audit),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak receipt get 12 --out claim.tlog-proof\n  subak receipt verify claim.tlog-proof --expect <operator's public key>"
    )]
    Receipt(receipt::ReceiptCommand),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak checkpoint get --out today.checkpoint\n  subak checkpoint challenge today.checkpoint"
    )]
    Checkpoint(checkpoint::CheckpointCommand),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak bundle export ours.subak\n  subak audit ours.subak --expect <operator's public key>"
    )]
    Bundle(bundle::Bundle),
    Relay(relay::Relay),
    Serve(serve::Serve),
    Mirror(mirror::Mirror),
    #[command(
        subcommand,
        after_help = "Example:\n  subak ledger list --node http://127.0.0.1:7117"
    )]
    Ledger(ledger::LedgerCommand),
    Network(network::Network),
    Certificate(certificate::Certificate),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak peer add https://phyle.example:7117\n  subak peer list"
    )]
    Peer(peer::PeerCommand),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak witness new w1 --name witness.example/w1\n  subak witness serve --as w1 --trust-file logs.txt"
    )]
    Witness(witness::Witness),
    #[command(
        subcommand,
        after_help = "Examples:\n  subak operator rotate --db subak.db\n  subak operator offer our-commons.handover --db copy.db"
    )]
    Operator(operator::Operator),
    Backup(backup::Backup),
    Erase(erase::Erase),
    Log(log::Log),
    Show(log::Show),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// The schema of the command's JSON.
    pub fn schema(&self) -> &'static str {
        match self {
            Self::Key(_) => "subak.key/1",
            Self::Commons(_) | Self::Phyle(_) => "subak.ledger/1",
            Self::Agent(_) => "subak.agent/1",
            Self::Contribute(_) => "subak.appended/1",
            Self::Demo(_) => "subak.demo/1",
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
            Self::Man(_) => "subak.man/1",
            Self::Balance(_) => "subak.balance/1",
            Self::Agreement(c) => c.schema(),
            Self::Revenue(c) => c.schema(),
            Self::Settle(_) => "subak.appended/1",
            Self::Income(c) => c.schema(),
            Self::Payout(c) => c.schema(),
            Self::Explain(_) => "subak.explain/1",
            Self::Fork(_) => "subak.fork/1",
            Self::Audit(_) => "subak.audit/1",
            Self::Bundle(_) => "subak.bundle/1",
            Self::Serve(_) | Self::Mirror(_) => "subak.serve/1",
            Self::Peer(_) => "subak.peer/1",
            Self::Ledger(_) => "subak.ledgers/1",
            Self::Network(_) => "subak.network/1",
            Self::Certificate(_) => "subak.certificate/1",
            Self::Relay(_) => "subak.relay/1",
            Self::Witness(_) => "subak.witness/1",
            Self::Backup(_) => "subak.backup/1",
            Self::Receipt(_) => "subak.receipt/1",
            Self::Checkpoint(_) => "subak.checkpoint/1",
            Self::Erase(_) => "subak.erase/1",
            Self::Operator(operator::Operator::Rotate | operator::Operator::Take { .. }) => {
                "subak.appended/1"
            }
            Self::Operator(operator::Operator::Restore { .. }) => "subak.restore/1",
            Self::Operator(_) => "subak.handover/1",
        }
    }

    /// Options that mean something else to a command than to all others.
    pub fn settle(&mut self, global: &mut Global) {
        if let Self::Fork(fork) = self {
            fork.settle(global);
        }
    }

    /// Runs it.
    pub async fn run(self, context: &Context) -> Done {
        match self {
            Self::Key(c) => c.run(context).await,
            Self::Operator(c) => c.run(context).await,
            Self::Commons(c) => c.run(context).await,
            Self::Phyle(c) => c.run(context).await,
            Self::Agent(c) => c.run(context).await,
            Self::Contribute(c) => c.run(context).await,
            Self::Demo(c) => c.run(context).await,
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
            Self::Man(c) => c.run(context),
            Self::Balance(c) => c.run(context).await,
            Self::Agreement(c) => c.run(context).await,
            Self::Revenue(c) => c.run(context).await,
            Self::Settle(c) => c.run(context).await,
            Self::Income(c) => c.run(context).await,
            Self::Payout(c) => c.run(context).await,
            Self::Explain(c) => c.run(context).await,
            Self::Fork(c) => c.run(context).await,
            Self::Audit(c) => c.run(context).await,
            Self::Bundle(c) => c.run(context).await,
            Self::Relay(c) => c.run(context).await,
            Self::Serve(c) => c.run(context).await,
            Self::Mirror(c) => c.run(context).await,
            Self::Peer(c) => c.run(context).await,
            Self::Ledger(c) => c.run(context).await,
            Self::Network(c) => c.run(context).await,
            Self::Certificate(c) => c.run(context),
            Self::Witness(c) => c.run(context).await,
            Self::Backup(c) => c.run(context).await,
            Self::Receipt(c) => c.run(context).await,
            Self::Checkpoint(c) => c.run(context).await,
            Self::Erase(c) => c.run(context).await,
        }
    }
}
