//! `subak demo`: the whole cycle on a real git history, then the audit.
//!
//! The demo is a script of the very commands that a person types: it parses each
//! command line, runs it on one open ledger file, and reads what it answers. Nothing
//! in it reaches around them. Its organisations and people are plainly samples.

mod story;

use crate::{
    context::{Connection, Context, Global},
    failure::{Done, Failure},
    import::{self, History},
    money,
    output::Output,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use subak_ledger::book::{state::State, types::day_of};

/// The whole cycle on a real git history, then the audit.
///
/// A sandbox commons is opened with the repository's own history as its contributions;
/// two sample phyles earn for a year under agreements with it; their shares become
/// income, are settled (late, in part, or never), and are paid out. Then it shows where
/// the money went and why, and audits every byte. All of it stays in DIR, to be tried
/// with every other command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  subak demo\n  subak demo --repo ../some-project --dir /tmp/x")]
pub struct Demo {
    /// The git repository whose history it reads
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// Where its ledger file and keys go
    #[arg(long, default_value = "subak-demo", value_name = "DIR")]
    dir: PathBuf,
}

/// Fewer people than this, and the demo makes a history.
const ENOUGH_PEOPLE: usize = 3;

/// The open ledger file, and how to run commands on it.
struct Stage {
    db: PathBuf,
    home: PathBuf,
    connection: Connection,
    out: Output,
}

impl Demo {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        if cx.global.node.is_some() || cx.global.db.is_some() {
            return Err(Failure::usage(
                "the demo keeps its own ledger file",
                "leave --db and --node out; name a folder with --dir",
            ));
        }
        let db = self.dir.join("subak.db");
        if db.exists() {
            return Err(Failure::refused(
                "demo-exists",
                format!("{} is there already", db.display()),
                "look at it (`subak audit`), or name another folder with --dir",
            ));
        }
        let now = money::now();
        let (history, origin) = self.history(cx, now)?;
        std::fs::create_dir_all(&self.dir).map_err(|e| Failure::file(&self.dir, &e))?;
        let global =
            Global { db: Some(db.clone()), home: Some(self.dir.clone()), ..Global::default() };
        let connection = Context::new(global)?.writer(true).await?;
        let out = if cx.out.json { Output::capture() } else { Output::new(false) };
        let stage = Stage { db, home: self.dir.clone(), connection, out };
        story::play(&stage, &history, &origin, now).await?;
        if !cx.out.json {
            return Ok(());
        }
        // Of the audit that ends it.
        let audit = stage.out.taken().unwrap_or(Value::Null);
        cx.out.result("subak.demo/1", &json!({ "db": stage.db, "audit": audit }), "")
    }

    /// The repository's history, or a made one; and a sentence about which.
    fn history(&self, cx: &Context, now: u64) -> Done<(History, String)> {
        let today = day_of(now);
        let made = |why: String| {
            let history = import::made::made_history(7, today);
            cx.out.note(&format!("{why}; the demo uses a history that it makes"));
            (history, "a made history".to_owned())
        };
        match read_repository(&self.repo, today) {
            Ok(history) if history.people.len() >= ENOUGH_PEOPLE => {
                Ok((history, format!("the git history of {}", shown(&self.repo))))
            }
            Ok(history) => {
                let n = history.people.len();
                let who = if n == 1 { "1 contributor".into() } else { format!("{n} contributors") };
                Ok(made(format!("{} has {who}, fewer than {ENOUGH_PEOPLE}", shown(&self.repo))))
            }
            // The default repository is a guess; one that was named is a wish.
            Err(f) if self.repo == Path::new(".") => Ok(made(f.message)),
            Err(f) => Err(f),
        }
    }
}

#[cfg(feature = "git")]
fn read_repository(repo: &Path, today: u32) -> Done<History> {
    import::read(repo, &import::Options::new(today), &|_| ()).map_err(|e| {
        Failure::refused("history", e.to_string(), "name a git repository with --repo")
    })
}

#[cfg(not(feature = "git"))]
fn read_repository(_: &Path, _: u32) -> Done<History> {
    Err(Failure::refused(
        "no-git",
        "built without the feature git",
        "build with it to read repositories",
    ))
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

impl Stage {
    /// Runs one command line at a moment and returns the data that it answers.
    async fn run(&self, at: u64, ledger: &str, who: &str, line: &[&str]) -> Done<Value> {
        let cx = self.context(at, ledger, who)?;
        let command = parse(line)?;
        Box::pin(command.run(&cx)).await.map_err(|f| Failure {
            message: format!("demo: `subak {}` ({ledger}, {who}): {}", line.join(" "), f.message),
            ..f
        })?;
        Ok(cx.out.taken().unwrap_or(Value::Null))
    }

    fn context(&self, at: u64, ledger: &str, who: &str) -> Done<Context> {
        let global = Global {
            db: Some(self.db.clone()),
            ledger: Some(ledger.into()).filter(|l: &String| !l.is_empty()),
            author: Some(who.into()).filter(|w: &String| !w.is_empty()),
            home: Some(self.home.clone()),
            at: Some(money::show_time(at)),
            ..Global::default()
        };
        Context::within(global, self.connection.clone())
    }

    /// Runs a command as a person would, its line above its output.
    async fn show(&self, ledger: &str, line: &[&str]) -> Done {
        let db = self.db.display().to_string();
        let named = if ledger.is_empty() { String::new() } else { format!(" --ledger {ledger}") };
        let where_ = if line[0] == "audit" { String::new() } else { format!(" --db {db}{named}") };
        self.out.line(&format!(
            "\n{}",
            self.out.strong(&format!("$ subak {}{where_}", line.join(" ")))
        ))?;
        let global = Global {
            db: Some(self.db.clone()),
            ledger: Some(ledger.into()).filter(|l: &String| !l.is_empty()),
            home: Some(self.home.clone()),
            ..Global::default()
        };
        let mut cx = Context::within(global, self.connection.clone())?;
        cx.out = self.out.clone();
        Box::pin(parse(line)?.run(&cx)).await
    }

    /// A ledger's state.
    async fn book(&self, ledger: &str) -> Done<Arc<State>> {
        let cx = self.context(0, ledger, "")?;
        let info = cx.choose(&self.connection, Some(ledger)).await?;
        Ok(self.connection.ledgers.book(info.id).await?)
    }

    /// A line of the story.
    fn tell(&self, text: &str) -> Done {
        self.out.line(text)
    }
}

fn parse(line: &[&str]) -> Done<super::Command> {
    let words = std::iter::once("subak").chain(line.iter().copied());
    crate::parse(words).map_err(|e| {
        Failure::refused("demo", e.to_string(), "this is a bug of the demo: report it")
    })
}
