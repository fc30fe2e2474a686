//! `subak import git`: the history of a repository.

use super::{day, entries, next, open, rivals};
use crate::{
    context::Context,
    describe,
    failure::{Done, Failure},
    import::{self, History, ImportError, Options, Summary, bots},
    import_ledger::{
        history::{Claiming, ImportOutcome, dry_run, import_history},
        progress,
    },
    money,
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use subak_ledger::{
    book::types::{Stream, day_of},
    log::statement::MAX_EVENTS,
};

/// The help below the options.
pub const HELP: &str = "\
One contribution a commit, under the reference git:<hash>, shared equally with
its co-authors. Not counted: merges, reverted and reverting commits, programs
(--show-bots lists them).

Names and e-mails do not enter the log, only commitments to them, which can be
erased. But the commit hashes do enter: whoever has the repository can look up
who wrote a commit. Do not import a history whose authors must not be found.

Examples:
  subak import git . --dry-run
  subak import git ../our-project --as ana
  subak import git ../our-project --revision v2.0 --since 2025-01-01
  subak import git ../our-project --exclude '*@build.example.org'";

/// What to read of a repository.
#[derive(Debug, Args)]
pub struct Git {
    /// A directory in a work tree, or a bare repository
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Where to start: everything that this branch, tag or commit reaches
    #[arg(long, default_value = "HEAD")]
    revision: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Count programs too
    #[arg(long)]
    include_bots: bool,
    /// Leave out whose name or e-mail fits; * is any text
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// List which programs are left out, and end
    #[arg(long)]
    show_bots: bool,
    /// Count reverted and reverting commits like all others
    #[arg(long)]
    keep_reverts: bool,
    /// Count a commit for its author alone
    #[arg(long)]
    no_coauthors: bool,
    /// Take names and e-mails as the commits have them
    #[arg(long)]
    no_mailmap: bool,
    /// Only work of this day and later
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// Only work up to this day
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Kind of the contributions: one with a rate in the value equation
    #[arg(long, default_value = "commit")]
    kind: String,
    /// livelihood, love or care
    #[arg(long, default_value = "livelihood")]
    stream: String,
    /// Contributions in a statement, 1 to 1000
    #[arg(long, default_value_t = MAX_EVENTS, value_name = "N")]
    batch: usize,
}

impl Git {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        if self.show_bots {
            return show_bots(cx);
        }
        let stream = Stream::from_word(&self.stream).ok_or_else(|| {
            Failure::usage(format!("stream {:?}", self.stream), "use livelihood, love or care")
        })?;
        if !(1..=MAX_EVENTS).contains(&self.batch) {
            return Err(Failure::usage(
                format!("--batch {}: expected 1 to {MAX_EVENTS}", self.batch),
                "leave it out for the largest",
            ));
        }
        let options = self.options()?;
        let open = open(cx, self.dry_run).await?;
        let history = self.read(cx, &options)?;
        for warning in &history.summary.warnings {
            cx.out.note(&format!("note: {warning}"));
        }
        let outcome = if self.dry_run {
            dry_run(cx, &open, &history).await?
        } else {
            let author = cx.author()?;
            let secret = cx.secret(&author)?;
            let claiming = Claiming { stream, batch: self.batch };
            import_history(cx, &open, &author, &secret, &history, claiming).await?
        };
        let mut data = json!(history.summary);
        if let (Some(data), Some(more)) = (data.as_object_mut(), json!(outcome).as_object()) {
            data.extend(more.clone());
            data.insert("ledger".into(), open.info.id.to_string().into());
            data.insert("dry_run".into(), self.dry_run.into());
        }
        let text = text(cx, &self.path, &history.summary, &outcome, self.dry_run);
        cx.out.result("subak.import/1", &data, &text)
    }

    fn options(&self) -> Done<Options> {
        Ok(Options {
            revision: self.revision.clone(),
            exclude_bots: !self.include_bots,
            extra_bots: self.exclude.clone(),
            keep_reverts: self.keep_reverts,
            coauthors: !self.no_coauthors,
            mailmap: !self.no_mailmap,
            since_day: day(self.since.as_deref())?,
            until_day: day(self.until.as_deref())?,
            kind: self.kind.clone(),
            // Today, also with --at: a commit later than that keeps its day and waits.
            ..Options::new(day_of(money::now()))
        })
    }

    fn read(&self, cx: &Context, options: &Options) -> Done<History> {
        let bar = progress(cx, None, "reading commits");
        let history = import::read(&self.path, options, &|n| bar.set_position(n));
        bar.finish_and_clear();
        Ok(history?)
    }
}

impl From<ImportError> for Failure {
    fn from(e: ImportError) -> Self {
        // The library's sentences end in the next step, after the last semicolon.
        let text = e.to_string();
        let (message, next) = text.rsplit_once("; ").unwrap_or((&text, "check the path"));
        let code = match &e {
            ImportError::NotARepository { .. } => "not-a-repository",
            ImportError::Unusable { .. } => "repository-unusable",
            ImportError::UnknownRevision { .. } => "unknown-revision",
            ImportError::Empty { .. } => "no-commits",
            ImportError::Unreadable { .. } => "commit-unreadable",
            ImportError::BadPattern { .. } => return Self::usage(message, next),
        };
        match &e {
            ImportError::NotARepository { path } if path.exists() => {
                Self::refused(code, message, next)
            }
            ImportError::NotARepository { .. }
            | ImportError::Unusable { .. }
            | ImportError::Unreadable { .. } => Self::world(code, message, next),
            _ => Self::refused(code, message, next),
        }
    }
}

fn show_bots(cx: &Context) -> Done {
    let data: Vec<_> =
        bots::LISTED.iter().map(|g| json!({ "what": g.what, "patterns": g.patterns })).collect();
    let text: Vec<String> = bots::LISTED
        .iter()
        .map(|g| format!("{}\n    {}", cx.out.strong(g.what), g.patterns.join("\n    ")))
        .collect();
    cx.out.result("subak.import/1", &json!({ "bots": data }), &text.join("\n"))
}

/// Lines of figures, those that are zero left out.
fn text(
    cx: &Context,
    path: &std::path::Path,
    s: &Summary,
    o: &ImportOutcome,
    dry_run: bool,
) -> String {
    let mut lines = vec![cx.out.strong(&format!(
        "{} {}{}",
        if dry_run { "would claim" } else { "claimed" },
        describe::count(o.new_contributions, "contribution"),
        entries(o.first_entry, o.last_entry)
    ))];
    let bots: Vec<String> =
        s.excluded_names.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let mut figure = |n: u64, what: &str, more: &str| {
        if n > 0 {
            lines.push(format!("{n:>9}  {what}{more}"));
        }
    };
    figure(s.commits, "commits read", &format!(" from {}", path.display()));
    figure(s.merges, "merges", ", which are no work of their own");
    figure(s.excluded, "of programs left out", &format!(" ({})", shorten(&bots)));
    figure(s.reverted, "reverted or reverting", "");
    figure(s.outside_dates, "outside --since and --until", "");
    figure(s.unattributed, "without an author or date", "");
    figure(s.clipped, "dated in the future or before 1970", ", moved to the nearest day");
    figure(s.malformed, "malformed", ": --json lists them");
    let people = if s.agents == 1 { "person" } else { "people" };
    figure(s.agents, people, &format!(", {} of them new", o.new_agents));
    figure(o.known, "claimed before", "");
    figure(o.claimed_by_hand, "of them by hand, for the same person", "");
    figure(o.ended, "of them ended by maintainers", ", not claimed again");
    figure(o.later, "later than --at", ", left for the next import");
    figure(o.reverted_since.len() as u64, "claimed once and reverted since", ":");
    for r in o.reverted_since.iter().take(10) {
        let (commit, by) = (&r.commit[..12], &r.by[..12]);
        lines.push(format!("           {}  {commit} by {by}", r.contribution));
    }
    lines.extend(rivals(&o.rivals));
    if let Some(r) = o.reverted_since.first() {
        let place = &r.contribution;
        lines.push(format!("next: `subak contribution reject {place} --reason not-useful`"));
    }
    lines.extend(next(o.first_entry, o.last_entry));
    lines.join("\n")
}

/// The first few of a list.
fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}
