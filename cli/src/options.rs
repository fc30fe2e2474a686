//! The options that every command has, and where their values come from.
//!
//! Owns the one precedence: flag, then environment, then `config.toml` in the home folder,
//! then the default.

use crate::failure::{Done, Failure};
use clap::{ArgMatches, Args, parser::ValueSource};
use serde::Deserialize;
use std::path::PathBuf;

/// Options that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where, who, how")]
pub struct Global {
    /// Ledger file, without a server [default: subak.db]
    #[arg(long, global = true, env = "SUBAK_DB", value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// A node's URL, as in http://127.0.0.1:7117 or https://subak.example:7117
    #[arg(long, global = true, env = "SUBAK_NODE", value_name = "URL")]
    pub node: Option<String>,
    /// Believe only this certificate of a node in TLS, or what it has signed [default: the public authorities]
    #[arg(long, global = true, env = "SUBAK_NODE_CA", value_name = "FILE")]
    pub node_ca: Option<PathBuf>,
    /// An operator that you trust, once for each: public key in hex, or verifier key
    #[arg(long, global = true, env = "SUBAK_EXPECT", value_name = "KEY", value_delimiter = ',')]
    pub expect: Vec<String>,
    /// A trust file (C2SP tlog-policy): ledgers, their operators, and witnesses who must have
    /// seen what money moves on; it alone decides then, and not --expect
    #[arg(long, global = true, env = "SUBAK_TRUST_FILE", value_name = "FILE")]
    pub trust_file: Option<PathBuf>,
    /// Which ledger there: its name or (the beginning of) its id
    #[arg(long, global = true, env = "SUBAK_LEDGER", value_name = "NAME|ID")]
    pub ledger: Option<String>,
    /// Who signs: a handle
    #[arg(long = "as", global = true, env = "SUBAK_AS", value_name = "HANDLE")]
    pub author: Option<String>,
    /// Key file of the signer [default: HANDLE.key in `keys` beside the ledger file, then in the home folder]
    #[arg(long, global = true, env = "SUBAK_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Home folder for keys and config.toml [default: ~/.config/subak]
    #[arg(long, global = true, env = "SUBAK_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Record at this date instead of now: sandbox ledgers only
    #[arg(long, global = true, value_name = "DATE")]
    pub at: Option<String>,
    /// Print one JSON object
    #[arg(long, global = true)]
    pub json: bool,
}

/// `config.toml`: defaults for the options of the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    db: Option<PathBuf>,
    node: Option<String>,
    #[serde(rename = "node-ca")]
    node_ca: Option<PathBuf>,
    #[serde(default)]
    expect: Vec<String>,
    trust_file: Option<PathBuf>,
    ledger: Option<String>,
    #[serde(rename = "as")]
    author: Option<String>,
    key: Option<PathBuf>,
}

impl Global {
    /// Between a file and a node the flag decides, then the environment: `--node` is meant
    /// although SUBAK_DB is set. Two at one level contradict each other.
    pub fn settle(&mut self, matches: &ArgMatches) -> Done {
        let (db, node) = (matches.value_source("db"), matches.value_source("node"));
        match (db, node) {
            (Some(ValueSource::CommandLine), Some(ValueSource::EnvVariable)) => self.node = None,
            (Some(ValueSource::EnvVariable), Some(ValueSource::CommandLine)) => self.db = None,
            (Some(ValueSource::EnvVariable), Some(_)) => {
                return Err(Failure::usage(
                    "both SUBAK_DB and SUBAK_NODE are set",
                    "unset one of them, or say --db or --node",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "--db and --node name two places",
                    "leave one of them out",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills in what `config.toml` has and nobody has said; returns the home folder.
    pub fn complete(&mut self) -> Done<PathBuf> {
        let home = match &self.home {
            Some(home) => home.clone(),
            None => default_home()?,
        };
        let file = home.join("config.toml");
        let config: Config = match std::fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).map_err(|e| {
                Failure::usage(format!("{}: {}", file.display(), e.message()), "correct the file")
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Config::default(),
            Err(e) => return Err(Failure::file(&file, &e)),
        };
        if self.db.is_none() && self.node.is_none() {
            (self.db, self.node) = (config.db, config.node);
            if self.db.is_some() && self.node.is_some() {
                return Err(Failure::usage(
                    format!("{}: both db and node are set", file.display()),
                    "keep one of them",
                ));
            }
        }
        // Of two that say whom to believe, the file is the narrower; what is said comes first.
        if self.expect.is_empty() && self.trust_file.is_none() {
            (self.expect, self.trust_file) = (config.expect, config.trust_file);
        }
        self.node_ca = self.node_ca.take().or(config.node_ca);
        self.ledger = self.ledger.take().or(config.ledger);
        self.author = self.author.take().or(config.author);
        self.key = self.key.take().or(config.key);
        Ok(home)
    }
}

fn default_home() -> Done<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    from("XDG_CONFIG_HOME")
        .or_else(|| from("HOME").map(|h| h.join(".config")))
        .map(|c| c.join("subak"))
        .ok_or_else(|| {
            Failure::usage("there is no home folder", "name one with --home or SUBAK_HOME")
        })
}
