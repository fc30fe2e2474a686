//! `subak income`: what a commons receives: taken with proof, or given.

use crate::{
    bank,
    commands::contribute::report,
    context::{Context, Open, Texts},
    counterpart::{self, Elsewhere, resolve},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::Arc}; // to a String: it cannot fail, hence `let _`
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        state::{Income as Row, State},
        types::{Currency, DAY_MS, Handle},
    },
    log::Hash,
    reject::Code,
};
use subak_node::relay::{
    plan,
    proofs::{self, Batch},
};
use subak_proto::v1::{self, event::Kind};

/// Income of a commons: take, record, list, write off.
#[derive(Debug, Subcommand)]
pub enum Income {
    /// Take all that fell due in payers' ledgers and is not taken yet, in order, with proofs
    ///
    /// Anyone may relay it; the rules check every proof. Without options the payers'
    /// ledgers are looked for in the same ledger file or node.
    #[command(
        after_help = "Examples:\n  subak income take --ledger our-commons\n  subak income take --agreement our-phyle --other-node http://phyle.example:7117"
    )]
    Take {
        /// Only under this agreement: beginning of its digest, or the payer's handle
        #[arg(long)]
        agreement: Option<String>,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// Record a gift that has reached the treasurer, from a payer without a ledger
    ///
    /// How the bank's text enters the log: see `subak settle sent --help`.
    #[command(
        after_help = "Example:\n  subak income record --payer our-friends --amount \"50.00 EUR\" --bank \"SEPA 4713\""
    )]
    Record {
        /// The payer: an agent
        #[arg(long, value_name = "HANDLE")]
        payer: String,
        /// How much
        #[arg(long, allow_hyphen_values = true)]
        amount: String,
        /// What the bank knows the transfer by
        #[arg(long, value_name = "TEXT")]
        bank: String,
        /// A note; only a commitment to it enters the log
        #[arg(long)]
        note: Option<String>,
    },
    /// List incomes: what is settled, open, due when
    #[command(after_help = "Examples:\n  subak income list\n  subak income list --open")]
    List {
        /// Only those with something open
        #[arg(long)]
        open: bool,
    },
    /// Give up the open rest of incomes that will not come (stewards)
    #[command(after_help = "Example:\n  subak income write-off 3 4")]
    WriteOff {
        /// Numbers of the incomes
        #[arg(required = true)]
        incomes: Vec<u64>,
    },
}

impl Income {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        match self {
            Self::Take { .. } | Self::List { .. } => "subak.income/1",
            Self::Record { .. } | Self::WriteOff { .. } => "subak.appended/1",
        }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Take { agreement, elsewhere } => take(cx, agreement.as_deref(), &elsewhere).await,
            Self::Record { payer, amount, bank, note } => {
                record(cx, &payer, &amount, &bank, note.as_deref()).await
            }
            Self::List { open } => list(cx, open).await,
            Self::WriteOff { incomes } => write_off(cx, incomes).await,
        }
    }
}

async fn take(cx: &Context, wanted: Option<&str>, elsewhere: &Elsewhere) -> Done {
    let mut open = cx.write().await?;
    let digests: Vec<Hash> = if let Some(wanted) = wanted {
        vec![resolve(&open.book, wanted)?]
    } else {
        let accepted = open.book.agreements.values();
        accepted.filter(|a| a.progress == Progress::Accepted).map(|a| a.terms.digest).collect()
    };
    if digests.is_empty() {
        return Err(Failure::refused(
            "unknown-agreement",
            format!("ledger {} has accepted no agreement", open.info.name),
            "accept one: `subak agreement accept`",
        ));
    }
    let there = elsewhere.reader(cx, &open.connection).await?;
    let before = open.book.clone();
    let mut taken = Taken::default();
    for digest in digests {
        let a = open.book.agreement(&digest)?.clone();
        if let (Some(entry), None) = (a.frozen, wanted) {
            cx.out.note(&format!(
                "agreement {} is frozen by entry {entry}",
                describe::short(&digest)
            ));
            continue;
        }
        // One payer whose ledger refuses must not keep the others' income away.
        let relayed = match counterpart::find(cx, &there, a.terms.payer).await {
            Ok(Some(payer)) => relay(cx, &mut open, &payer, &digest, &mut taken.entries).await,
            Ok(None) => {
                taken.missing.push(a.terms.payer_handle.clone());
                continue;
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = relayed {
            taken.failed.push((digest, a.terms.payer_handle.clone(), failure));
        }
    }
    if !taken.entries.is_empty() {
        cx.refresh(&mut open).await?;
    }
    taken.report(cx, &open, &before)
}

/// What came of the payers.
#[derive(Default)]
struct Taken {
    /// Entries that take something.
    entries: Vec<u64>,
    /// Payers whose ledgers are not here.
    missing: Vec<Handle>,
    /// Agreements under which not all could be taken: of whom, and why.
    failed: Vec<(Hash, Handle, Failure)>,
}

/// Takes the payer's entries beyond the last number, in order.
async fn relay(
    cx: &Context,
    open: &mut Open,
    payer: &Open,
    digest: &Hash,
    appended: &mut Vec<u64>,
) -> Done {
    // What differs is shown: from there on nothing there belongs to what was taken here.
    let agreement = open.book.agreement(digest)?.clone();
    let (ledgers, log) = (&*payer.connection.ledgers, (payer.info.id, payer.book.size));
    if let Some(entry) = proofs::second_story(ledgers, log, &agreement).await? {
        let proof = Some(counterpart::prove(cx, payer, entry).await?);
        let take = v1::IncomeTake { agreement: digest.to_vec(), proof };
        return take_batch(cx, open, digest, vec![Kind::IncomeTake(take)], appended).await;
    }
    while let Some((numbers, found)) = plan::due(open.book.agreement(digest)?, &payer.book) {
        let (ledgers, log) = (&*payer.connection.ledgers, (payer.info.id, payer.book.size));
        let sources = proofs::sources(ledgers, log, digest, &numbers, &found).await?;
        let before = open.book.agreement(digest)?.dues.last;
        let mut batch = Batch::default();
        for source in sources {
            let proof = counterpart::prove(cx, payer, source).await?;
            if let Some(events) = batch.push(digest, proof) {
                take_batch(cx, open, digest, events, appended).await?;
            }
        }
        take_batch(cx, open, digest, batch.take(), appended).await?;
        if open.book.agreement(digest)?.dues.last == before {
            break;
        }
    }
    Ok(())
}

/// Appends one statement of proofs; a node may have been faster with the same ones.
async fn take_batch(
    cx: &Context,
    open: &mut Open,
    digest: &Hash,
    events: Vec<Kind>,
    appended: &mut Vec<u64>,
) -> Done {
    if events.is_empty() {
        return Ok(());
    }
    let before = open.book.agreement(digest)?.dues.last;
    let said = counterpart::say_as_anyone(cx, open, events).await;
    cx.refresh(open).await?;
    let faster = open.book.agreement(digest)?.dues.last > before;
    match said {
        Ok(said) => appended.push(said.entry),
        Err(failure) if failure.code == Code::NumberOutOfOrder.name() && faster => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Incomes of which more was taken back than `before`: the income, and how much more.
fn reversed<'b>(before: &State, now: &'b State) -> Vec<(&'b Row, u64)> {
    let both = before.incomes.iter().zip(&now.incomes);
    both.filter(|(old, new)| new.refunded > old.refunded)
        .map(|(old, new)| (new.as_ref(), new.refunded - old.refunded))
        .collect()
}

impl Taken {
    fn report(self, cx: &Context, open: &Open, before: &State) -> Done {
        let Self { entries, missing, failed } = &self;
        let now = cx.at()?;
        let skipped = before.incomes.len();
        let new: Vec<&Row> = open.book.incomes.iter().skip(skipped).map(AsRef::as_ref).collect();
        let back = reversed(before, &open.book);
        let mut text = match (entries.as_slice(), new.len()) {
            ([], _) => "nothing new fell due".to_owned(),
            (e, n) => {
                let mut what = Vec::new();
                if n > 0 || back.is_empty() {
                    what.push(format!("{} taken", describe::count(n as u64, "income")));
                }
                if !back.is_empty() {
                    what.push(format!(
                        "{} taken over",
                        describe::count(back.len() as u64, "reversal")
                    ));
                }
                format!(
                    "entr{} {}: {}",
                    if e.len() == 1 { "y" } else { "ies" },
                    e.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                    what.join(", "),
                )
            }
        };
        for i in &new {
            let _ = write!(
                text,
                "\n  income {}: {} from {}",
                i.number,
                money::show(i.amount.into(), i.currency),
                open.book.agent(i.payer).handle
            );
        }
        for (i, minor) in &back {
            let _ = write!(
                text,
                "\n  income {}: {} {} took back, of {}",
                i.number,
                money::show((*minor).into(), i.currency),
                open.book.agent(i.payer).handle,
                money::plain(i.amount.into(), i.currency),
            );
        }
        for payer in missing {
            let _ = write!(
                text,
                "\n  the ledger of {payer} is not here: name it with --other-db or --other-node"
            );
        }
        let froze = |a: &&Arc<Agreement>| a.frozen.is_some_and(|entry| entries.contains(&entry));
        let frozen: Vec<_> = open.book.agreements.values().filter(froze).collect();
        for a in &frozen {
            let short = describe::short(&a.terms.digest);
            let _ = write!(
                text,
                "\n  agreement {short} is frozen: {} has told another story of number {}\n  both \
                 are in this log: `subak agreement evidence {short} --out FILE`",
                a.terms.payer_handle,
                a.rival.map_or(0, |(number, _)| number),
            );
        }
        for line in self.failures() {
            let _ = write!(text, "\n  {line}");
        }
        let data = json!({
            "ledger": open.info.id.to_string(), "entries": entries,
            "incomes": new.iter().map(|i| line(&open.book, i, now)).collect::<Vec<_>>(),
            "reversals": back.iter().map(|(i, minor)| json!({
                "income": i.number, "amount": money::json((*minor).into(), i.currency),
                "currency": i.currency.as_str(),
            })).collect::<Vec<_>>(),
            "failed": failed.iter().map(|(digest, payer, f)| json!({
                "agreement": hex::encode(digest), "payer": payer.as_str(),
                "code": f.code, "message": f.message, "next": f.next,
            })).collect::<Vec<_>>(),
            "not_here": missing.iter().map(Handle::as_str).collect::<Vec<_>>(),
            "frozen": frozen.iter().map(|a| hex::encode(a.terms.digest)).collect::<Vec<_>>(),
        });
        // Refused is refused, whatever else a retry may help.
        let worst = failed.iter().map(|(.., f)| f).min_by_key(|f| f.status);
        if let (true, Some(f)) = (entries.is_empty(), worst) {
            let message = self.failures().join("\n");
            return Err(Failure { message, ..f.clone() });
        }
        if entries.is_empty() && !missing.is_empty() {
            return Err(Failure::refused(
                "no-ledger",
                format!(
                    "not here: the ledger of {}",
                    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
                "say where it is with --other-db PATH or --other-node URL",
            ));
        }
        cx.out.result("subak.income/1", &data, &text)?;
        match worst {
            Some(f) => Err(Failure::told(f.status)),
            None if !frozen.is_empty() => Err(Failure::told(1)),
            None => Ok(()),
        }
    }

    /// A line for each agreement under which not all could be taken.
    fn failures(&self) -> Vec<String> {
        let line = |(digest, payer, f): &(Hash, Handle, Failure)| {
            let agreement = describe::short(digest);
            format!("agreement {agreement}, {payer}: {f}; next: {}", f.next)
        };
        self.failed.iter().map(line).collect()
    }
}

async fn record(
    cx: &Context,
    payer: &str,
    amount: &str,
    bank_text: &str,
    note: Option<&str>,
) -> Done {
    let (minor, currency) = money::read(amount)?;
    let mut open = cx.write().await?;
    let mut texts = Texts::default();
    let note = match note {
        Some(text) => texts.commit(&open.info.id, &cx.author()?, "note", text)?,
        None => Vec::new(),
    };
    let event = v1::IncomeRecord {
        payer: Handle::new(payer)?.to_string(),
        amount: Some(v1::Amount { currency: currency.to_string(), minor }),
        bank: bank::reference(&open.info.id, bank_text)?,
        note,
    };
    let reference = event.bank.clone();
    let appended = cx.say(&open, vec![Kind::IncomeRecord(event)], texts).await?;
    cx.refresh(&mut open).await?;
    let number =
        open.book.incomes.iter().rev().find(|i| i.place.entry == appended.entry).map(|i| i.number);
    let more = json!({ "income": number, "bank": reference });
    let text = format!(
        "income {}: {} from {payer}, settled ({reference})",
        number.unwrap_or_default(),
        money::show(minor.into(), currency)
    );
    report(cx, &appended, &more, &text)
}

async fn write_off(cx: &Context, mut incomes: Vec<u64>) -> Done {
    incomes.sort_unstable();
    incomes.dedup();
    let mut open = cx.write().await?;
    let mut what = Vec::new();
    for n in &incomes {
        let i = open.book.income(*n)?;
        what.push(format!("income {n}: {} open", money::show(i.open().into(), i.currency)));
    }
    cx.out.note(&format!("to be written off:\n  {}", what.join("\n  ")));
    let event = Kind::WriteOff(v1::WriteOff { income: incomes.clone() });
    let appended = cx.propose(&open, event).await?;
    cx.refresh(&mut open).await?;
    let done = !open.book.proposals.contains_key(&appended.entry);
    let text = if done {
        format!("written off: {}", what.join(", "))
    } else {
        format!(
            "the write-off is proposed; more stewards: `subak approve {} --ledger {}`",
            appended.entry, open.info.name
        )
    };
    report(cx, &appended, &json!({ "incomes": incomes, "done": done }), &text)
}

/// When an income should have been paid: its agreement's days after it was recorded.
fn due_at(book: &State, i: &Row) -> Option<u64> {
    let (digest, _) = i.source?;
    Some(book.agreements.get(&digest)?.terms.due_by(i.recorded_at))
}

fn line(book: &State, i: &Row, now: u64) -> Value {
    let m = |v: u64| money::json(v.into(), i.currency);
    json!({
        "income": i.number, "entry": i.place.entry, "recorded_at": money::show_time(i.recorded_at),
        "payer": book.agent(i.payer).handle.as_str(),
        "agreement": i.source.map(|(d, _)| hex::encode(d)), "number": i.source.map(|(_, n)| n),
        "currency": i.currency.as_str(), "amount": m(i.amount), "reversed": m(i.refunded),
        "written_off": m(i.written_off), "settled": m(i.settled), "open": m(i.open()),
        "due": due_at(book, i).map(money::show_date),
        "undone": i.undone,
        "overdue": i.open() > 0 && due_at(book, i).is_some_and(|d| d < now),
    })
}

async fn list(cx: &Context, only_open: bool) -> Done {
    let open = cx.read().await?;
    open.of_a_commons("incomes")?;
    let (book, now) = (&open.book, cx.at()?);
    let incomes: Vec<&Row> =
        book.incomes.iter().map(AsRef::as_ref).filter(|i| !only_open || i.open() > 0).collect();
    let data: Vec<Value> = incomes.iter().map(|i| line(book, i, now)).collect();
    let text = if incomes.is_empty() {
        "no incomes: a commons takes them with `subak income take`".to_owned()
    } else {
        table(cx, book, &incomes, now)
    };
    cx.out.result("subak.income/1", &json!({ "incomes": data }), &text)
}

/// Columns that hold nothing anywhere are left out, so that the usual list is narrow.
fn table(cx: &Context, book: &State, incomes: &[&Row], now: u64) -> String {
    let m = |v: u64, c: Currency| if v == 0 { "-".into() } else { money::plain(v.into(), c) };
    let reversed = incomes.iter().any(|i| i.refunded > 0);
    let given_up = incomes.iter().any(|i| i.written_off > 0);
    let waiting = incomes.iter().any(|i| !when(book, i, now).is_empty());
    let mut heads = vec![">no.", "|date", "payer", "", ">amount"];
    heads.extend(reversed.then_some(">reversed"));
    heads.extend(given_up.then_some(">bad debt"));
    heads.extend([">settled", ">open"]);
    heads.extend(waiting.then_some("due"));
    let rows: Vec<Vec<String>> = incomes
        .iter()
        .map(|i| {
            let c = i.currency;
            let mut row = vec![
                i.number.to_string(),
                money::show_date(i.recorded_at),
                book.agent(i.payer).handle.to_string(),
                c.to_string(),
                money::plain(i.amount.into(), c),
            ];
            row.extend(reversed.then(|| m(i.refunded, c)));
            row.extend(given_up.then(|| m(i.written_off, c)));
            row.extend([m(i.settled, c), m(i.open(), c)]);
            row.extend(waiting.then(|| when(book, i, now)));
            row
        })
        .collect();
    cx.out.table(&heads, &rows)
}

fn when(book: &State, i: &Row, now: u64) -> String {
    match due_at(book, i) {
        Some(due) if i.open() > 0 && due < now => format!("late {} d", (now - due) / DAY_MS),
        Some(due) if i.open() > 0 => money::show_date(due),
        _ if i.undone.is_some() => "undone".into(),
        _ => String::new(),
    }
}
