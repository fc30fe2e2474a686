//! The command line of Subak.
//!
//! One file or folder per command in `commands`, whose doc comments are the help;
//! `options` reads what is meant, `connect` opens files and nodes, `context` finds ledgers
//! and keys and signs; `output` and `money` turn results into text or JSON; `import` reads
//! histories and `import_ledger` claims them; `afar` reads a node as a store and `memory` keeps
//! what an auditor has seen. It decides no rule: that is `subak-ledger`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod afar;
pub mod bank;
#[allow(unreachable_pub)] // what the files of one folder share
pub mod commands;
pub mod connect;
pub mod context;
pub mod counterpart;
pub mod describe;
pub mod failure;
pub mod files;
pub mod handover_file;
pub mod import;
pub mod import_ledger;
pub mod keys;
pub mod memory;
pub mod money;
pub mod options;
pub mod output;
pub mod texts;
pub mod trust;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use commands::Command;
use context::{Context, Global};
use std::process::ExitCode;

/// An open ledger for value accounting between phyles and commons.
///
/// What people give to a commons is written down and validated; what enterprises earn
/// on top of it is written down too; and the income is routed back, exactly and
/// provably.
#[derive(Debug, Parser)]
#[command(
    name = "subak",
    version,
    max_term_width = 80,
    after_help = "Exit status: 0 done or sound, 1 refused or fault, 2 usage, 3 gap, 4 the world failed.\n\nExamples:\n  subak demo\n  subak key new ana\n  subak commons open our-commons --steward ana"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Parses the arguments, runs the command, reports how it went.
pub fn run() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((matches, cli))
    });
    let (matches, mut cli) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            if e.use_stderr() && std::env::args_os().any(|word| word == "--json") {
                return ExitCode::from(
                    output::Output::new(true).failure("subak.usage/1", &misread(&e)),
                );
            }
            let _ = e.print(); // a reader who has gone away is no error
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let schema = cli.command.schema();
    let out = output::Output::new(cli.global.json);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| failure::Failure::world("runtime", e.to_string(), "try again"))
        .and_then(|runtime| {
            cli.global.settle(&matches)?;
            cli.command.settle(&mut cli.global);
            let context = Context::new(cli.global)?;
            runtime.block_on(cli.command.run(&context)).map_err(|f| context.after_all(f))
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(f) => ExitCode::from(out.failure(schema, &f)),
    }
}

/// What could not be parsed, for programs: clap's own message without its usage lines.
fn misread(e: &clap::Error) -> failure::Failure {
    let text = e.render().to_string();
    let message = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
    failure::Failure::usage(message, "the command's --help shows its options and an example")
}

/// The command of a command line, without its global options: for the demo.
pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(words).map(|cli| cli.command)
}

/// The command line's definition, for completions and the reference.
pub fn definition() -> clap::Command {
    Cli::command()
}
