//! `subak import`: claim work that was recorded elsewhere.

use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    import::csv::{self, BadRow, Mapping},
    import_ledger::{known::Rival, rows},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{fs::File, path::PathBuf};
use subak_ledger::book::types::day_of;

#[cfg(feature = "git")]
pub mod git;

/// Claim work that was recorded elsewhere, as a maintainer.
///
/// People become agents without a key, under random handles; names and e-mails enter as
/// commitments only. Importing again adds only what is new. Whoever is meant claims
/// their agent with `subak agent claim`, and keeps all that it has.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// The history of a git repository: one contribution a commit
    #[cfg(feature = "git")]
    #[command(after_help = git::HELP)]
    Git(git::Git),
    /// Hours and other work of a time tracker, from CSV
    #[command(after_help = CSV_HELP)]
    Csv(Csv),
}

const CSV_HELP: &str = "\
Columns, in any order: date (YYYY-MM-DD), person (handle, e-mail, `Name <e-mail>` or
name), quantity (1.5, 1,5 or 1:30); and optionally kind, stream, reference, note.
Rows with one reference are one contribution of several people.

Examples:
  subak import csv hours.csv --dry-run
  subak import csv hours.csv --as ana
  subak import csv toggl.csv --map date=Start,person=Email,quantity=Duration,ignore=*";

/// What to read of a CSV file.
#[derive(Debug, Args)]
pub struct Csv {
    /// The file
    file: PathBuf,
    /// Headers that differ: column=Header pairs with commas between; ignore=Header passes over one, ignore=* over all others
    #[arg(long, default_value = "", hide_default_value = true, value_name = "COLUMN=HEADER,…")]
    map: String,
    /// Between fields: comma, semicolon or tab [default: as the header has it]
    #[arg(long)]
    delimiter: Option<String>,
    /// Claim the good rows although there are bad ones
    #[arg(long)]
    skip_bad: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            #[cfg(feature = "git")]
            Self::Git(g) => g.run(cx).await,
            Self::Csv(c) => c.run(cx).await,
        }
    }
}

/// For a dry run nothing is locked.
async fn open(cx: &Context, dry_run: bool) -> Done<Open> {
    if dry_run { cx.read().await } else { cx.write().await }
}

impl Csv {
    async fn run(self, cx: &Context) -> Done {
        let report = self.read(day_of(cx.at()?))?;
        let open = open(cx, self.dry_run).await?;
        let plan = rows::plan(&open, &report.rows).await?;
        let mut bad: Vec<&BadRow> = report.bad.iter().chain(&plan.bad).collect();
        bad.sort_by_key(|b| b.line);
        if !bad.is_empty() && !self.skip_bad {
            return Err(self.refuse(&bad));
        }
        let outcome = if self.dry_run {
            plan.outcome.clone()
        } else {
            let author = cx.author()?;
            let secret = cx.secret(&author)?;
            rows::import_rows(cx, &open, &author, &secret, &plan).await?
        };
        let mut data = json!(outcome);
        if let Some(data) = data.as_object_mut() {
            data.insert("ledger".into(), open.info.id.to_string().into());
            data.insert("dry_run".into(), self.dry_run.into());
            data.insert("bad".into(), bad.iter().map(|b| bad_json(b)).collect());
        }
        cx.out.result("subak.import/1", &data, &self.text(&outcome, &bad))
    }

    fn read(&self, today: u32) -> Done<csv::CsvReport> {
        let mut mapping = Mapping::parse(&self.map)
            .map_err(|e| Failure::usage(format!("--map: {e}"), "write it as in date=Datum"))?;
        mapping.delimiter = self.delimiter.as_deref().map(delimiter).transpose()?;
        let file = File::open(&self.file).map_err(|e| Failure::file(&self.file, &e))?;
        csv::read_csv(file, &mapping, today).map_err(|e| match e {
            csv::CsvError::Read(e) => Failure::file(&self.file, &e),
            csv::CsvError::TooLarge => Failure::refused(
                "file-too-large",
                format!("{}: {e}", self.file.display()),
                "split it by month or year; equal rows keep their references within a file only",
            ),
        })
    }

    fn refuse(&self, bad: &[&BadRow]) -> Failure {
        let lines: Vec<String> = bad.iter().map(|b| format!("  {b}")).collect();
        let count = describe::count(bad.len() as u64, "bad row");
        Failure::refused(
            "bad-rows",
            format!("{}:\n{}\n{count}, nothing imported", self.file.display(), lines.join("\n")),
            "correct them, or leave them out with --skip-bad",
        )
    }

    fn text(&self, o: &rows::RowsOutcome, bad: &[&BadRow]) -> String {
        let mut lines = vec![format!(
            "{} {} ({}){}",
            if self.dry_run { "would claim" } else { "claimed" },
            describe::count(o.new_contributions, "contribution"),
            describe::count(o.new_rows, "row"),
            entries(o.first_entry, o.last_entry)
        )];
        lines.push(format!("  new agents    {}", o.new_agents));
        lines.push(format!("  known before  {}", describe::count(o.known, "row")));
        if !bad.is_empty() {
            lines.push(format!("  left out      {}:", describe::count(bad.len() as u64, "row")));
            lines.extend(bad.iter().map(|b| describe::wrap(&format!("    {b}"), 6)));
        }
        lines.extend(rivals(&o.rivals));
        lines.extend(next(o.first_entry, o.last_entry));
        lines.join("\n")
    }
}

fn bad_json(bad: &BadRow) -> Value {
    json!({ "line": bad.line, "reason": bad.reason })
}

fn delimiter(text: &str) -> Done<u8> {
    match text {
        "," | "comma" => Ok(b','),
        ";" | "semicolon" => Ok(b';'),
        "\t" | "\\t" | "tab" => Ok(b'\t'),
        other => {
            Err(Failure::usage(format!("--delimiter {other:?}"), "use comma, semicolon or tab"))
        }
    }
}

/// `, entries 3 to 60`.
fn entries(first: Option<u64>, last: Option<u64>) -> String {
    match (first, last) {
        (Some(a), Some(b)) if a == b => format!(", entry {a}"),
        (Some(a), Some(b)) => format!(", entries {a} to {b}"),
        _ => String::new(),
    }
}

/// Claims that somebody made by hand to what is imported: maintainers decide.
fn rivals(rivals: &[Rival]) -> Vec<String> {
    const SHOWN: usize = 10;
    let Some(first) = rivals.first() else { return Vec::new() };
    let count = describe::count(rivals.len() as u64, "open claim");
    let mut lines = vec![format!("{count} by hand to the same work, not judged yet:")];
    lines.extend(rivals.iter().take(SHOWN).map(|r| {
        let how = if r.beside { "claimed beside it" } else { "the same person: not claimed again" };
        let text = format!("    {} by {}: {} ({how})", r.contribution, r.claimed_by, r.reference);
        describe::wrap(&text, 6)
    }));
    if rivals.len() > SHOWN {
        lines.push(format!("    and {} more: --json lists them", rivals.len() - SHOWN));
    }
    let place = &first.contribution;
    lines.push(format!("  if wrong: `subak contribution reject {place} --reason wrong-agent`"));
    lines
}

/// What comes after an import that recorded something.
fn next(first: Option<u64>, last: Option<u64>) -> Option<String> {
    let (first, last) = (first?, last?);
    let range = if first == last { first.to_string() } else { format!("{first}..{last}") };
    Some(format!("next: `subak validate {range} --remuneration unpaid|paid`, by maintainers"))
}

/// A day that an option names.
#[cfg(feature = "git")]
fn day(text: Option<&str>) -> Done<Option<u32>> {
    text.map(crate::money::day).transpose()
}
