//! `subak payout`: the treasurer's cash reaches people, in two phases.
//!
//! Owns the choice of lines for `--all` ([`choose`]) and the bank's CSV. A line that is
//! chosen is one that the rules would take; what is skipped is named with its reason.
//! Leaves out the rules (`ledger::book::payout`).

use crate::{
    bank,
    commands::{contribute::report, revenue::RETRIES, settle::in_currency},
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::book::{
    accounts::Fund,
    state::{Fate, Line, Run, State},
    types::{AgentId, AgentKind, Currency, DAY_MS, FailReason, Handle, Minor},
};
use subak_proto::v1::{self, event::Kind};

/// Lines that one run may have.
const MOST_LINES: usize = 1_000;
/// Days that a run may stay undecided.
const MOST_DAYS: u64 = 92;

/// Payouts: propose, then say what became of each line.
#[derive(Debug, Subcommand)]
pub enum Payout {
    /// Propose a payout run: its lines are reserved until they are decided
    #[command(
        after_help = "Examples:\n  subak payout propose --all\n  subak payout propose --all --min \"20.00 EUR\" --expires 2026-12-31\n  subak payout propose ana=120.00 ben=80.50 --currency EUR"
    )]
    Propose(Propose),
    /// Lines have left the bank
    ///
    /// All undecided lines of the run, but for --except; or only those named. How the
    /// bank's text enters the log: see `settle sent --help`.
    #[command(
        after_help = "Examples:\n  subak payout paid 57 --bank \"SEPA batch 12\"\n  subak payout paid 57 --except ben --bank \"SEPA batch 12\" --fee \"1.20 EUR\" --fee-by our-association"
    )]
    Paid(Paid),
    /// Lines could not be paid: they are released
    #[command(after_help = "Example:\n  subak payout failed 57 ben --reason account-closed")]
    Failed {
        /// Entry of the run
        run: u64,
        /// Whose lines
        #[arg(required = true, value_name = "HANDLE")]
        agents: Vec<String>,
        /// account-closed, account-unknown, refused-by-bank or other
        #[arg(long)]
        reason: String,
    },
    /// A paid line came back
    #[command(
        after_help = "Example:\n  subak payout returned 57 ben --bank \"SEPA return 4718\" --reason account-closed"
    )]
    Returned {
        /// Entry of the run
        run: u64,
        /// Whose line
        agent: String,
        /// What the bank knows the return by
        #[arg(long, value_name = "TEXT")]
        bank: String,
        /// account-closed, account-unknown, refused-by-bank or other
        #[arg(long)]
        reason: String,
    },
    /// List payout runs, or the lines of one; --csv for the bank: what is to be paid
    #[command(
        after_help = "Examples:\n  subak payout list\n  subak payout list 57\n  subak payout list 57 --csv > payout-57.csv"
    )]
    List {
        /// Entry of the run
        run: Option<u64>,
        /// Comma-separated values, of the lines that are still to be paid
        #[arg(long)]
        csv: bool,
        /// With --csv: also the lines that are decided
        #[arg(long, requires = "csv")]
        decided: bool,
    },
}

/// Arguments of `payout propose`.
#[derive(Debug, Args)]
pub struct Propose {
    /// Whom, and how much
    #[arg(value_name = "HANDLE=AMOUNT", conflicts_with = "all")]
    lines: Vec<String>,
    /// Everybody with something free, as far as the cash goes, in order of handles
    #[arg(long)]
    all: bool,
    /// Currency [default: the only one there is]
    #[arg(long)]
    currency: Option<String>,
    /// With --all: leave out who has less than this free
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, requires = "all")]
    min: Option<String>,
    /// When undecided lines are released [default: in 30 days; at most 92]
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
}

/// Arguments of `payout paid`.
#[derive(Debug, Args)]
pub struct Paid {
    /// Entry of the run
    run: u64,
    /// All undecided lines but this agent's
    #[arg(long, value_name = "HANDLE", conflicts_with = "only")]
    except: Vec<String>,
    /// Only this agent's line
    #[arg(long, value_name = "HANDLE")]
    only: Vec<String>,
    /// What the bank knows the transfer by
    #[arg(long, value_name = "TEXT")]
    bank: String,
    /// What the bank charged on top
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, requires = "fee_by")]
    fee: Option<String>,
    /// Who bears the fee
    #[arg(long, value_name = "HANDLE", requires = "fee")]
    fee_by: Option<String>,
}

impl Payout {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        if matches!(self, Self::List { .. }) { "subak.payout/1" } else { "subak.appended/1" }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Propose(p) => p.run(cx).await,
            Self::Paid(p) => p.run(cx).await,
            Self::Failed { run, agents, reason } => failed(cx, run, agents, &reason).await,
            Self::Returned { run, agent, bank, reason } => {
                returned(cx, run, &agent, &bank, &reason).await
            }
            Self::List { run, csv, decided } => list(cx, run, csv, decided).await,
        }
    }
}

/// Reads a currency's code.
pub fn code(text: &str) -> Done<Currency> {
    Currency::new(text).map_err(|_| {
        Failure::usage(
            format!("currency {text:?}: expected three capital letters"),
            "use a code such as EUR, USD or IDR",
        )
    })
}

/// The currency that is meant: what is said, or the only one.
pub fn currency(book: &State, said: Option<&str>) -> Done<Currency> {
    if let Some(text) = said {
        return code(text);
    }
    match book.currencies().as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::refused(
            "no-money",
            "no money has come to this ledger yet",
            "take income first: `subak income take`",
        )),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::usage(
                format!("several currencies are here: {}", names.join(", ")),
                "name one with --currency",
            ))
        }
    }
}

/// Somebody whom `--all` leaves out, with what is free and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Who.
    pub agent: Handle,
    /// What is free, minor units.
    pub free: i128,
    /// Why not.
    pub why: String,
}

/// The lines of a run, in order of handles, and who is left out.
pub type Choice = (Vec<(Handle, Minor)>, Vec<Skipped>);

/// The treasurer's cash that lines not yet reserved may still take.
struct Purse {
    common: i128,
    all: i128,
}

/// The lines of `--all`: who has at least `minimum` free, as far as the treasurer's cash
/// goes, in order of handles; and who is left out, with the reason.
pub fn choose(
    book: &State,
    treasurer: AgentId,
    currency: Currency,
    minimum: Minor,
    at: u64,
) -> Choice {
    let minimum = i128::from(minimum.max(least(book, currency)).max(1));
    let mut purse = Purse {
        common: book.free_cash(treasurer, Fund::Contributors, currency),
        all: book.free_cash_in_all(treasurer, currency),
    };
    let (mut lines, mut skipped) = (Vec::new(), Vec::new());
    for (handle, id) in &book.handles {
        let (own, common) = book.available(*id, currency);
        let free = own + common;
        if free <= 0 {
            continue;
        }
        let payable = barred(book, *id, at).map_or_else(
            || take(book, (treasurer, *id, currency), (own, common), minimum, &mut purse),
            Err,
        );
        match payable {
            Ok(minor) => lines.push((handle.clone(), minor)),
            Err(why) => skipped.push(Skipped { agent: handle.clone(), free, why }),
        }
    }
    (lines, skipped)
}

/// The equation's minimum for a payout line.
fn least(book: &State, currency: Currency) -> Minor {
    let minimum = book.equation.as_ref().and_then(|e| e.minimum_payout.get(&currency));
    minimum.copied().unwrap_or(0)
}

/// Why an agent cannot be paid at all, if so.
fn barred(book: &State, id: AgentId, at: u64) -> Option<String> {
    let agent = book.agent(id);
    if agent.kind == AgentKind::Trust {
        return Some("a trust's principal stays".into());
    }
    if agent.kind == AgentKind::Person && agent.keys.is_empty() {
        let Some((_, since)) = agent.alias else { return Some("unclaimed".into()) };
        let delay = book.equation.as_ref().map_or(0, |e| e.claim_delay_days);
        let from = since + u64::from(delay) * DAY_MS;
        if at < from {
            return Some(format!("claimed too lately: from {} on", money::show_date(from)));
        }
    }
    (!agent.admitted).then(|| "not admitted".into())
}

/// Takes what is free out of the purse, its own fund first, as the rules draw it.
fn take(
    book: &State,
    (treasurer, id, currency): (AgentId, AgentId, Currency),
    (own, common): (i128, i128),
    minimum: i128,
    purse: &mut Purse,
) -> Result<Minor, String> {
    let free = own + common;
    if free < minimum {
        let text = money::show(minimum, currency);
        return Err(format!("below the minimum of {text}"));
    }
    // Where one fund is negative the other makes it good before anything is free.
    let from_own = own.clamp(0, free);
    let cash = book.free_cash(treasurer, Fund::Agent(id), currency).max(0);
    let from_own_paid = from_own.min(cash).min(purse.all);
    // The contributors' fund is drawn only for what lies beyond the agent's own.
    let from_common = if from_own_paid == from_own {
        (free - from_own).min(purse.common).min(purse.all - from_own)
    } else {
        0
    };
    let minor = from_own_paid + from_common.max(0);
    if minor < minimum {
        return Err("not enough cash with this treasurer".into());
    }
    purse.all -= minor;
    purse.common -= from_common.max(0);
    Ok(u64::try_from(minor).expect("at least the minimum, and within MAX_MONEY"))
}

impl Propose {
    async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let currency = currency(&open.book, self.currency.as_deref())?;
        let at = cx.at()?;
        let expires_at = match &self.expires {
            Some(date) => expiry(date, at)?,
            None => at + 30 * DAY_MS,
        };
        let (lines, skipped) = self.lines(cx, &open, currency, at)?;
        let line = lines
            .iter()
            .map(|(agent, minor)| v1::PayoutLine { agent: agent.to_string(), minor: *minor })
            .collect();
        let event = v1::PayoutPropose { currency: currency.to_string(), line, expires_at };
        let appended = cx.say(&open, vec![Kind::PayoutPropose(event)], Texts::default()).await?;
        let sum: i128 = lines.iter().map(|l| i128::from(l.1)).sum();
        let run = appended.entry;
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|(agent, minor)| vec![agent.to_string(), money::plain((*minor).into(), currency)])
            .collect();
        let text = format!(
            "payout run {run}: {}, {}, reserved until {}\n{}{}\n  next: `subak payout list {run} --csv`, pay, then\n  `subak payout paid {run} --bank TEXT`",
            describe::count(lines.len() as u64, "line"),
            money::show(sum, currency),
            money::show_date(expires_at),
            cx.out.table(&["agent", ">amount"], &rows),
            left_out(&skipped, currency),
        );
        let more = json!({
            "run": run, "currency": currency.as_str(), "total": money::json(sum, currency),
            "expires_at": money::show_time(expires_at),
            "lines": lines.iter().map(|(a, m)| json!({ "agent": a.as_str(), "amount": money::json((*m).into(), currency) })).collect::<Vec<_>>(),
            "skipped": skipped.iter().map(|s| json!({ "agent": s.agent.as_str(), "free": money::json(s.free, currency), "why": s.why })).collect::<Vec<_>>(),
        });
        report(cx, &appended, &more, &text)
    }

    fn lines(&self, cx: &Context, open: &Open, currency: Currency, at: u64) -> Done<Choice> {
        if !self.all {
            return Ok((named(&self.lines, currency)?, Vec::new()));
        }
        let minimum = self.min.as_deref().map_or(Ok(0), |m| in_currency(m, currency))?;
        let treasurer = open.book.find(&cx.author()?)?;
        let (mut lines, mut skipped) = choose(&open.book, treasurer, currency, minimum, at);
        for (agent, minor) in lines.split_off(lines.len().min(MOST_LINES)) {
            let why = format!("a run has {MOST_LINES} lines at most: propose again");
            skipped.push(Skipped { agent, free: minor.into(), why });
        }
        if lines.is_empty() {
            return Err(Failure::refused(
                "nothing-to-pay",
                format!("nobody can be paid now{}", left_out(&skipped, currency)),
                "see `subak balance`; income becomes payable as it is settled",
            ));
        }
        Ok((lines, skipped))
    }
}

/// A date that lines can wait for, as the rules have it; refused in dates.
fn expiry(date: &str, at: u64) -> Done<u64> {
    let expires = money::time(date)?;
    let last = at + MOST_DAYS * DAY_MS;
    if expires > at && expires <= last {
        return Ok(expires);
    }
    Err(Failure::usage(
        format!("--expires {date}: expected after {}", money::show_time(at)),
        format!("name a date up to {}: {MOST_DAYS} days at most", money::show_date(last)),
    ))
}

/// `ana=120.00`, ascending.
fn named(texts: &[String], currency: Currency) -> Done<Vec<(Handle, Minor)>> {
    let mut lines = BTreeMap::new();
    for text in texts {
        let bad = || {
            Failure::usage(
                format!("line {text:?}: expected HANDLE=AMOUNT, each agent once"),
                "write it as in ana=120.00",
            )
        };
        let (agent, amount) = text.split_once('=').ok_or_else(bad)?;
        let minor = in_currency(amount, currency)?;
        if lines.insert(Handle::new(agent)?, minor).is_some() {
            return Err(bad());
        }
    }
    if lines.is_empty() {
        return Err(Failure::usage("whom to pay?", "name HANDLE=AMOUNT, or --all"));
    }
    Ok(lines.into_iter().collect())
}

fn left_out(skipped: &[Skipped], currency: Currency) -> String {
    let line = |s: &Skipped| {
        format!("\n  not paid: {} ({}), {}", s.agent, money::show(s.free, currency), s.why)
    };
    skipped.iter().map(line).collect()
}

fn find_run(book: &State, run: u64) -> Done<&Run> {
    book.runs.get(&run).map(AsRef::as_ref).ok_or_else(|| {
        Failure::refused(
            "unknown-payout",
            format!("there is no payout run {run}"),
            "look it up: `subak payout list`",
        )
    })
}

impl Paid {
    async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let bank = bank::reference(&open.info.id, &self.bank)?;
        let currency = find_run(&open.book, self.run)?.currency;
        let agents = self.agents(&open.book)?;
        let fee = match (&self.fee, &self.fee_by) {
            (Some(fee), Some(bearer)) => Some(v1::Fee {
                minor: in_currency(fee, currency)?,
                bearer: Handle::new(bearer)?.to_string(),
            }),
            _ => None,
        };
        let mut attempt = 0;
        let (appended, due) = loop {
            let due = open.book.dues_of_payment(self.run, &agents);
            let event = v1::PayoutPaid {
                run: self.run,
                agent: agents.iter().map(ToString::to_string).collect(),
                bank: bank.clone(),
                fee: fee.clone(),
                due: due.clone(),
            };
            match cx.say(&open, vec![Kind::PayoutPaid(event)], Texts::default()).await {
                Err(f) if f.code == "due-mismatch" && attempt < RETRIES => attempt += 1,
                Err(f) => return Err(f),
                Ok(appended) => break (appended, due),
            }
            cx.refresh(&mut open).await?;
        };
        cx.refresh(&mut open).await?;
        let run = find_run(&open.book, self.run)?;
        let paid = |l: &&Line| agents.contains(&open.book.agent(l.agent).handle);
        let sum: i128 = run.lines.iter().filter(paid).map(|l| i128::from(l.minor)).sum();
        let left = run.lines.iter().filter(|l| l.fate == Fate::Proposed).count();
        let mut text = format!(
            "run {}: {} paid, {} ({bank})",
            self.run,
            describe::count(agents.len() as u64, "line"),
            money::show(sum, currency)
        );
        if left > 0 {
            let _ = write!(
                text,
                "\n  {left} undecided: pay them, or `subak payout failed {}`",
                self.run
            );
        }
        for d in &due {
            let _ = write!(
                text,
                "\n  {} is income of an upstream commons (number {}): it runs `subak income take`",
                money::show(d.amount.into(), currency),
                d.number
            );
        }
        let more = json!({
            "run": self.run, "bank": bank, "agents": agents.iter().map(Handle::as_str).collect::<Vec<_>>(),
            "currency": currency.as_str(), "total": money::json(sum, currency), "undecided": left,
        });
        report(cx, &appended, &more, &text)
    }

    fn agents(&self, book: &State) -> Done<Vec<Handle>> {
        let mut agents = if self.only.is_empty() {
            let run = find_run(book, self.run)?;
            let open = run.lines.iter().filter(|l| l.fate == Fate::Proposed);
            let handles: Vec<Handle> = open.map(|l| book.agent(l.agent).handle.clone()).collect();
            if let Some(stranger) =
                self.except.iter().find(|e| !handles.iter().any(|h| h.as_str() == e.as_str()))
            {
                return Err(Failure::usage(
                    format!("run {} has no undecided line of {stranger}", self.run),
                    format!("look at it: `subak payout list {}`", self.run),
                ));
            }
            handles.into_iter().filter(|h| !self.except.iter().any(|e| e == h.as_str())).collect()
        } else {
            self.only.iter().map(|h| Handle::new(h)).collect::<Result<Vec<_>, _>>()?
        };
        agents.sort();
        agents.dedup();
        if agents.is_empty() {
            return Err(Failure::refused(
                "line-decided",
                format!("run {} has no undecided line left to pay", self.run),
                format!("look at it: `subak payout list {}`", self.run),
            ));
        }
        Ok(agents)
    }
}

fn reason(text: &str) -> Done<FailReason> {
    FailReason::from_word(text).ok_or_else(|| {
        Failure::usage(
            format!("reason {text:?}"),
            "use account-closed, account-unknown, refused-by-bank or other",
        )
    })
}

async fn failed(cx: &Context, run: u64, agents: Vec<String>, why: &str) -> Done {
    let reason = reason(why)?;
    let mut agents = agents.iter().map(|h| Handle::new(h)).collect::<Result<Vec<Handle>, _>>()?;
    agents.sort();
    agents.dedup();
    let open = cx.write().await?;
    let agent: Vec<String> = agents.iter().map(ToString::to_string).collect();
    let names = agent.join(", ");
    let more = json!({ "run": run, "agents": agent, "reason": reason.word() });
    let event = v1::PayoutFailed { run, agent, reason: reason.to_wire() };
    let appended = cx.say(&open, vec![Kind::PayoutFailed(event)], Texts::default()).await?;
    report(
        cx,
        &appended,
        &more,
        &format!(
            "run {run}: {names} could not be paid ({reason}); what was reserved is free again"
        ),
    )
}

async fn returned(cx: &Context, run: u64, agent: &str, text: &str, why: &str) -> Done {
    let (agent, reason) = (Handle::new(agent)?, reason(why)?);
    let open = cx.write().await?;
    let bank = bank::reference(&open.info.id, text)?;
    let due = open.book.dues_of_return(run, &agent);
    let event = v1::PayoutReturned {
        run,
        agent: agent.to_string(),
        reason: reason.to_wire(),
        bank: bank.clone(),
        due,
    };
    let appended = cx.say(&open, vec![Kind::PayoutReturned(event)], Texts::default()).await?;
    let more =
        json!({ "run": run, "agent": agent.as_str(), "reason": reason.word(), "bank": bank });
    report(
        cx,
        &appended,
        &more,
        &format!("run {run}: {agent}'s line came back ({reason}); it is free again"),
    )
}

/// The word for a line's fate.
pub fn fate(f: &Fate) -> &'static str {
    f.word()
}

/// What the payee reads on the bank's statement.
fn payment_text(ledger: &str, run: u64, agent: &Handle) -> String {
    format!("subak {ledger} {run} {agent}")
}

async fn list(cx: &Context, wanted: Option<u64>, csv: bool, decided: bool) -> Done {
    let open = cx.read().await?;
    open.of_a_commons("payouts")?;
    let book = &open.book;
    let runs: Vec<(u64, &Run)> = match wanted {
        Some(n) => vec![(n, find_run(book, n)?)],
        None => book.runs.iter().map(|(n, r)| (*n, r.as_ref())).collect(),
    };
    let name = open.info.name.as_str();
    if csv && !cx.out.json {
        let rows = runs.iter().flat_map(|(n, r)| csv_rows(book, name, *n, r, decided));
        return cx.out.line(to_csv(rows).trim_end());
    }
    let data: Vec<Value> = runs.iter().map(|(n, r)| row(book, name, *n, r)).collect();
    let text = match (wanted, runs.as_slice()) {
        (Some(n), [(_, run)]) => one(cx, book, n, run),
        (_, []) => "no payout runs yet: `subak payout propose --all`".into(),
        _ => table(cx, book, &runs),
    };
    cx.out.result("subak.payout/1", &json!({ "runs": data }), &text)
}

fn csv_rows(book: &State, ledger: &str, n: u64, run: &Run, decided: bool) -> Vec<[String; 6]> {
    run.lines
        .iter()
        .filter(|l| decided || l.fate == Fate::Proposed)
        .map(|l| {
            let agent = &book.agent(l.agent).handle;
            [
                n.to_string(),
                agent.to_string(),
                money::json(l.minor.into(), run.currency),
                run.currency.to_string(),
                payment_text(ledger, n, agent),
                fate(&l.fate).to_owned(),
            ]
        })
        .collect()
}

/// RFC 4180, with a header.
fn to_csv(rows: impl Iterator<Item = [String; 6]>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["run", "agent", "amount", "currency", "reference", "status"].map(str::to_owned);
    for row in std::iter::once(head).chain(rows) {
        writer.write_record(&row).expect("a Vec takes everything");
    }
    let bytes = writer.into_inner().expect("a Vec takes everything");
    String::from_utf8(bytes).expect("made of strings")
}

fn row(book: &State, ledger: &str, n: u64, run: &Run) -> Value {
    let lines: Vec<Value> = run
        .lines
        .iter()
        .map(|l| {
            let agent = &book.agent(l.agent).handle;
            let (bank, reason) = match &l.fate {
                Fate::Paid { bank, .. } => (Some(bank.as_str()), None),
                Fate::Returned { reason, bank } => (Some(bank.as_str()), Some(reason.word())),
                Fate::Failed { reason } => (None, Some(reason.word())),
                Fate::Proposed | Fate::Expired => (None, None),
            };
            json!({
                "agent": agent.as_str(), "amount": money::json(l.minor.into(), run.currency),
                "reference": payment_text(ledger, n, agent), "status": fate(&l.fate),
                "bank": bank, "reason": reason,
            })
        })
        .collect();
    json!({
        "run": n, "treasurer": book.agent(run.treasurer).handle.as_str(),
        "currency": run.currency.as_str(), "proposed_at": money::show_time(run.proposed_at),
        "expires_at": money::show_time(run.expires_at), "lines": lines,
    })
}

fn sum_of(run: &Run, fits: impl Fn(&Fate) -> bool) -> i128 {
    run.lines.iter().filter(|l| fits(&l.fate)).map(|l| i128::from(l.minor)).sum()
}

fn table(cx: &Context, book: &State, runs: &[(u64, &Run)]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|(n, r)| {
            let m = |v| if v == 0 { "-".into() } else { money::plain(v, r.currency) };
            vec![
                n.to_string(),
                money::show_date(r.proposed_at),
                book.agent(r.treasurer).handle.to_string(),
                r.lines.len().to_string(),
                r.currency.to_string(),
                m(sum_of(r, |_| true)),
                m(sum_of(r, |f| matches!(f, Fate::Paid { .. }))),
                m(sum_of(r, |f| *f == Fate::Proposed)),
            ]
        })
        .collect();
    cx.out.table(
        &[">run", "proposed", "treasurer", ">lines", "", ">amount", ">paid", ">undecided"],
        &rows,
    )
}

fn one(cx: &Context, book: &State, n: u64, run: &Run) -> String {
    let head = format!(
        "run {n} of {} by {}, {}; undecided lines are released after {}",
        money::show_date(run.proposed_at),
        book.agent(run.treasurer).handle,
        money::show(sum_of(run, |_| true), run.currency),
        money::show_date(run.expires_at)
    );
    let detail = |f: &Fate| match f {
        Fate::Paid { bank, at } => format!("{}, {bank}", money::show_date(*at)),
        Fate::Failed { reason } => reason.to_string(),
        Fate::Returned { reason, bank } => format!("{reason}, {bank}"),
        Fate::Proposed | Fate::Expired => String::new(),
    };
    let rows: Vec<Vec<String>> = run
        .lines
        .iter()
        .map(|l| {
            vec![
                book.agent(l.agent).handle.to_string(),
                money::plain(l.minor.into(), run.currency),
                fate(&l.fate).into(),
                detail(&l.fate),
            ]
        })
        .collect();
    format!(
        "{}\n{}",
        describe::wrap(&head, 2),
        cx.out.table(&["agent", ">amount", "status", ""], &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banks_csv_has_plain_amounts() {
        let row = ["57", "ana", "1200.50", "EUR", "subak our-commons 57 ana", "proposed"];
        let text = to_csv(std::iter::once(row.map(str::to_owned)));
        assert_eq!(
            text,
            "run,agent,amount,currency,reference,status\n57,ana,1200.50,EUR,subak our-commons 57 ana,proposed\n"
        );
    }

    #[test]
    fn an_expiry_is_to_come_and_refused_in_dates() {
        let at = money::time("2026-11-21T10:00:00Z").unwrap();
        assert!(expiry("2026-11-22", at).is_ok());
        let past = expiry("2026-11-20", at).unwrap_err();
        assert_eq!(past.message, "--expires 2026-11-20: expected after 2026-11-21T10:00:00Z");
        assert!(expiry("2027-02-22", at).unwrap_err().next.contains("2027-02-21"));
    }

    #[test]
    fn named_lines_are_ascending_and_once() {
        let eur = Currency::new("EUR").unwrap();
        let found = named(&["ben=1.00".into(), "ana=2.00 EUR".into()], eur).unwrap();
        let plain: Vec<_> = found.iter().map(|(h, m)| (h.as_str(), *m)).collect();
        assert_eq!(plain, [("ana", 200), ("ben", 100)]);
        assert!(named(&["ana=1.00".into(), "ana=2.00".into()], eur).is_err());
        assert!(named(&[], eur).is_err());
    }
}
