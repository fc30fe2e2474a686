//! `subak equation`: write, check, propose and read the value equation.

use super::approve::proposed;
use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use subak_ledger::{
    book::{
        equation::Equation as Checked,
        equation_toml,
        templates::{Institutions, NAMES, template},
        types::{Currency, Handle},
    },
    reject::{Code, Reject, require},
};
use subak_proto::v1::{self, event::Kind};

/// The value equation: rates per kind of work, buckets and their shares, delays.
#[derive(Debug, Subcommand)]
pub enum Equation {
    /// Print a template to start from, as TOML
    ///
    /// Where a ledger is named, or is the only one here, it has the version that can be
    /// proposed to it next; else version 1, to open a ledger with.
    #[command(
        after_help = "Examples:\n  subak equation new --template hours > equation.toml\n  subak equation new --template points-with-decay --association our-association > equation.toml"
    )]
    New(New),
    /// Check a file: form, shares, and every worked example, stated against computed
    #[command(after_help = "Example:\n  subak equation check equation.toml")]
    Check {
        /// The TOML file
        file: PathBuf,
    },
    /// Propose an equation; adopted by the quorum, it is in force after notice
    #[command(after_help = "Example:\n  subak equation propose equation.toml --as ana")]
    Propose {
        /// The TOML file
        file: PathBuf,
    },
    /// Show the equation in force, or another version, as TOML
    #[command(
        after_help = "Examples:\n  subak equation show\n  subak equation show --version 1 > equation.toml"
    )]
    Show {
        /// Which version [default: the one in force]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
}

/// Which template, for which institutions.
#[derive(Debug, Args)]
pub struct New {
    /// equal, hours, points-with-decay or solo
    #[arg(long, value_parser = NAMES)]
    template: String,
    /// Handle of the for-benefit association
    #[arg(long, value_name = "HANDLE")]
    association: Option<String>,
    /// Handle of the trust
    #[arg(long, value_name = "HANDLE")]
    trust: Option<String>,
    /// Handle of the upstream commons
    #[arg(long, value_name = "HANDLE")]
    upstream: Option<String>,
}

impl Equation {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::New(n) => n.run(cx).await,
            Self::Check { file } => check(cx, &file),
            Self::Propose { file } => propose(cx, &file).await,
            Self::Show { version } => show(cx, version).await,
        }
    }
}

impl New {
    async fn run(&self, cx: &Context) -> Done {
        let institutions = Institutions {
            association: self.association.as_deref(),
            upstream: self.upstream.as_deref(),
            trust: self.trust.as_deref(),
        };
        let mut toml = template(&self.template, &institutions)?;
        if let Some((ledger, version)) = next_version(cx).await {
            toml = toml.replacen("\nversion = 1\n", &format!("\nversion = {version}\n"), 1);
            cx.out.note(&format!("version {version}: the next one of {ledger}"));
        }
        cx.out.result("subak.equation/1", &json!({ "toml": toml }), &toml)
    }
}

/// The commons that is meant, and the version that can be proposed to it. A template needs
/// no ledger: where none can be read, or it is not said which, there is none.
async fn next_version(cx: &Context) -> Option<(String, u32)> {
    let there = cx.global.node.is_some() || cx.db().exists();
    let open = if there { cx.read().await.ok()? } else { return None };
    let (_, last) = open.book.equations.last()?;
    Some((open.info.name, last.version + 1))
}

/// Reads the file's form: keys, units, limits. The examples are not worked out yet.
pub fn read(file: &Path) -> Done<v1::Equation> {
    let text = fs::read_to_string(file).map_err(|e| Failure::file(file, &e))?;
    equation_toml::parse(&text, &money::exponent).map_err(|f| {
        Failure::refused(
            "equation-invalid",
            format!("{}: {f}", file.display()),
            format!("correct that line, then `subak equation check {}`", file.display()),
        )
    })
}

/// One agent's line of an example: stated and computed, minor units.
struct Line {
    agent: String,
    stated: i128,
    computed: i128,
}

struct Worked {
    currency: Currency,
    income: u64,
    lines: Vec<Line>,
}

impl Worked {
    fn of(equation: &Checked, example: &v1::Example) -> Done<Self> {
        let computed = equation.work_out(example)?;
        let stated: Vec<(Handle, i128)> = example
            .amount
            .iter()
            .map(|a| Ok((Handle::new(&a.agent)?, i128::from(a.minor))))
            .collect::<Done<_>>()?;
        let agents: BTreeSet<&Handle> =
            computed.keys().chain(stated.iter().map(|s| &s.0)).collect();
        let lines = agents.into_iter().map(|agent| Line {
            agent: agent.to_string(),
            stated: stated.iter().find(|s| s.0 == *agent).map_or(0, |s| s.1),
            computed: computed.get(agent).copied().unwrap_or(0),
        });
        let income = example.income.clone().unwrap_or_default();
        Ok(Self {
            currency: Currency::new(&income.currency)?,
            income: income.minor,
            lines: lines.collect(),
        })
    }

    fn wrong(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|l| l.stated != l.computed)
    }

    fn json(&self) -> Value {
        let m = |v| money::json(v, self.currency);
        json!({
            "income": m(self.income.into()), "currency": self.currency.as_str(),
            "holds": self.wrong().next().is_none(),
            "amounts": self.lines.iter().map(|l| json!({
                "agent": l.agent, "stated": m(l.stated), "computed": m(l.computed),
            })).collect::<Vec<_>>(),
        })
    }

    fn text(&self, cx: &Context, number: usize) -> String {
        let m = |v| money::plain(v, self.currency);
        let rows: Vec<Vec<String>> = self
            .lines
            .iter()
            .map(|l| {
                let mark = if l.stated == l.computed { "" } else { "differs" };
                vec![l.agent.clone(), m(l.stated), m(l.computed), mark.into()]
            })
            .collect();
        let table = cx.out.table(&["agent", ">stated", ">computed", ""], &rows);
        let table: Vec<String> = table.lines().map(|l| format!("  {l}")).collect();
        let income = money::show(self.income.into(), self.currency);
        format!("example {number}: income {income}\n{}", table.join("\n"))
    }
}

fn check(cx: &Context, file: &Path) -> Done {
    let wire = read(file)?;
    let equation = Checked::read(wire)?;
    let worked: Vec<Worked> = equation
        .wire
        .example
        .iter()
        .map(|example| Worked::of(&equation, example))
        .collect::<Done<_>>()?;
    let mut text: Vec<String> = worked.iter().enumerate().map(|(n, w)| w.text(cx, n + 1)).collect();
    let title = format!("{} version {}", equation.name, equation.version);
    let wrong: Vec<String> = worked
        .iter()
        .enumerate()
        .flat_map(|(n, w)| w.wrong().map(move |l| (n + 1, w, l)))
        .map(|(n, w, l)| {
            let m = |v| money::show(v, w.currency);
            format!("example {n}, {}: stated {}, computed {}", l.agent, m(l.stated), m(l.computed))
        })
        .collect();
    if !wrong.is_empty() {
        if !cx.out.json {
            cx.out.line(&text.join("\n\n"))?;
        }
        return Err(Failure::refused(
            "example-fails",
            format!("{}: {}", file.display(), wrong.join("; ")),
            "correct the rules or the stated amounts, whichever is not what you mean",
        ));
    }
    // The examples come out; what is left is what adoption checks as well.
    let equation = Checked::from_wire(equation.wire)?;
    let verdict = match worked.len() {
        0 => format!("{title} is sound, but has no worked example: add one, people read those"),
        1 => format!("{title} is sound; its worked example comes out"),
        n => format!("{title} is sound; its {n} worked examples come out"),
    };
    text.push(cx.out.good(&verdict));
    let data = json!({ "name": equation.name.as_str(), "version": equation.version, "sound": true,
                       "examples": worked.iter().map(Worked::json).collect::<Vec<_>>() });
    cx.out.result("subak.equation/1", &data, &text.join("\n\n"))
}

async fn propose(cx: &Context, file: &Path) -> Done {
    let wire = read(file)?;
    let equation = Checked::from_wire(wire.clone())?;
    let open = cx.write().await?;
    let Some((_, last)) = open.book.equations.last() else {
        return Err(no_equation(&open));
    };
    // Refused now, not when the last steward approves.
    require(equation.version == last.version + 1, Code::EquationVersion, || {
        format!("expected version {}, found {}", last.version + 1, equation.version)
    })?;
    let notice = last.notice_days;
    let event = Kind::EquationAdopt(v1::EquationAdopt { equation: Some(wire) });
    let title = format!("{} version {}", equation.name, equation.version);
    let done = match notice {
        0 => format!("{title} is adopted and in force"),
        n => format!("{title} is adopted, in force in {}", describe::count(n.into(), "day")),
    };
    let data = json!({ "name": equation.name.as_str(), "version": equation.version,
                       "notice_days": notice });
    proposed(cx, &open, event, &data, &done).await
}

async fn show(cx: &Context, version: Option<u32>) -> Done {
    let open = cx.read().await?;
    let book = &open.book;
    let Some(current) = book.equation.as_ref() else {
        return Err(no_equation(&open));
    };
    let wanted = version.unwrap_or(current.version);
    let found = book.equations.iter().find(|(_, e)| e.version == wanted);
    let Some((from, equation)) = found else {
        let last = book.equations.last().map_or(0, |(_, e)| e.version);
        return Err(Failure::refused(
            "not-found",
            format!("there is no version {wanted}; adopted are 1 to {last}"),
            "name one of them with --version",
        ));
    };
    let in_force = wanted == current.version;
    let toml = equation_toml::print(&equation.wire, &money::exponent);
    let when = if in_force {
        format!("in force since {}", money::show_time(*from))
    } else if wanted > current.version {
        format!("adopted, in force from {}", money::show_time(*from))
    } else {
        format!("in force from {}, until another one replaced it", money::show_time(*from))
    };
    let coming = book.equations.last().filter(|(_, e)| e.version > wanted.max(current.version));
    let coming_text = coming.map_or_else(String::new, |(from, e)| {
        let from = money::show_time(*from);
        format!("# version {} is adopted, in force from {from}: --version {0}\n", e.version)
    });
    let data = json!({
        "adopted": coming.map(|(from, e)| json!({
            "version": e.version, "from": money::show_time(*from) })),
        "name": equation.name.as_str(), "version": equation.version, "in_force": in_force,
        "from": money::show_time(*from), "toml": toml,
        "kinds": equation.rates.keys().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let text = format!("# {} version {wanted}, {when}\n{coming_text}{toml}", equation.name);
    cx.out.result("subak.equation/1", &data, &text)
}

fn no_equation(open: &Open) -> Failure {
    let detail = format!("{} is the ledger of a {}", open.info.name, open.info.kind);
    Reject::new(Code::WrongLedgerKind, detail).into()
}
