//! `subak settle`: cash between a payer and a commons.

use crate::{
    bank,
    commands::{agreement::figures, contribute::report},
    context::{Context, Open, Texts},
    counterpart::{Elsewhere, partner, require, resolve},
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::{
    book::{
        agreement::Progress,
        flight::flight,
        state::State,
        types::{Base, Currency, Handle, Minor},
    },
    log::Hash,
};
use subak_proto::v1::{self, event::Kind};

/// Cash under an agreement: sent by the payer, received by the commons.
#[derive(Debug, Subcommand)]
pub enum Settle {
    /// Cash for a commons has left (payer's ledger, treasurers)
    ///
    /// Without --item the oldest open numbers are paid first. The text that the bank
    /// knows the transfer by enters the log as `bank:` and the first 32 hex digits of a
    /// keyed BLAKE3 over ledger id and text, so that it can be recorded once and read
    /// by nobody; a text that begins with `bank:` stays as it is. With `all`, each
    /// agreement gets the reference of "TEXT HANDLE".
    #[command(
        after_help = "Examples:\n  subak settle sent our-commons --amount \"120.00 EUR\" --bank \"SEPA 4711\"\n  subak settle sent all --bank \"SEPA batch 2026-03\"\n  subak settle sent 3f9c21ab --amount \"50.00 EUR\" --item 3=\"50.00\" --bank \"SEPA 4712\""
    )]
    Sent(Sent),
    /// Cash of a payer has arrived (commons' ledger, treasurers)
    ///
    /// Without --item the oldest open incomes are settled first; what is left is the
    /// payer's credit. How the bank's text enters the log: see `settle sent --help`.
    #[command(
        after_help = "Examples:\n  subak settle received our-phyle --amount \"120.00 EUR\" --bank \"SEPA 4711\"\n  subak settle received 3f9c21ab --amount \"120.00 EUR\" --bank \"SEPA 4711\" \\\n      --fee \"1.50 EUR\" --fee-by our-association\n  subak settle received 3f9c21ab --sent --bank \"SEPA 4711\""
    )]
    Received(Received),
}

/// Arguments of `settle sent`.
#[derive(Debug, Args)]
pub struct Sent {
    /// Beginning of the agreement's digest, the commons' handle, or `all` that is open
    agreement: String,
    /// How much [default with `all`: what is open under each agreement]
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    amount: Option<String>,
    /// What the bank knows the transfer by
    #[arg(long, value_name = "TEXT")]
    bank: String,
    /// Pay this number of the agreement, by so much
    #[arg(long = "item", value_name = "N=AMOUNT")]
    items: Vec<String>,
    /// What the bank charged on top
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    fee: Option<String>,
}

/// Arguments of `settle received`.
#[derive(Debug, Args)]
pub struct Received {
    /// Beginning of the agreement's digest, or the payer's handle
    agreement: String,
    /// What the payer has paid, the fee included
    #[arg(
        long,
        value_name = "AMOUNT",
        allow_hyphen_values = true,
        required_unless_present = "sent",
        conflicts_with = "sent"
    )]
    amount: Option<String>,
    /// As much as the payer's ledger says has left and has not arrived here yet
    ///
    /// That it has arrived is for the bank to say: look at the statement first.
    #[arg(long)]
    sent: bool,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// What the bank knows the transfer by
    #[arg(long, value_name = "TEXT")]
    bank: String,
    /// Settle this income, by so much
    #[arg(long = "item", value_name = "N=AMOUNT")]
    items: Vec<String>,
    /// What the bank kept of it
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, requires = "fee_by")]
    fee: Option<String>,
    /// Who bears the fee
    #[arg(long, value_name = "HANDLE", requires = "fee")]
    fee_by: Option<String>,
    /// It is more than what is open: the rest is the payer's credit
    #[arg(long)]
    overpay: bool,
}

impl Settle {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Sent(s) => s.run(cx).await,
            Self::Received(r) => r.run(cx).await,
        }
    }
}

/// An amount in the currency that is expected; the currency may be left out after `=`.
pub fn in_currency(text: &str, currency: Currency) -> Done<Minor> {
    // With commas too: whether they group thousands is judged where amounts are read.
    let bare = text.trim().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','));
    let (minor, found) =
        if bare { money::read(&format!("{text} {currency}"))? } else { money::read(text)? };
    if found != currency {
        return Err(Failure::usage(
            format!("expected an amount in {currency}, found {text:?}"),
            "currencies never convert: use the agreement's",
        ));
    }
    Ok(minor)
}

/// `3=50.00`, ascending and each number once.
fn items(texts: &[String], currency: Currency) -> Done<Vec<v1::SettleItem>> {
    let mut items = Vec::new();
    for text in texts {
        let (number, amount) = text.split_once('=').ok_or_else(|| bad_item(text))?;
        let income = number.trim().parse().map_err(|_| bad_item(text))?;
        items.push(v1::SettleItem { income, minor: in_currency(amount, currency)? });
    }
    items.sort_by_key(|i| i.income);
    Ok(items)
}

fn bad_item(text: &str) -> Failure {
    Failure::usage(format!("item {text:?}: expected N=AMOUNT"), "write it as in 3=50.00")
}

impl Sent {
    async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let events =
            if self.agreement == "all" { self.all(&open)? } else { vec![self.one(&open)?] };
        let kinds = events.iter().cloned().map(Kind::SettlementSent).collect();
        let before = open.book.clone();
        let appended = cx.say(&open, kinds, Texts::default()).await?;
        cx.refresh(&mut open).await?;
        let sum = |e: &v1::SettlementSent| -> Done<(String, Value)> {
            let digest: Hash = e.agreement.as_slice().try_into().expect("the book has it");
            after(&before, &open.book, &digest, e.minor, "sent to", &e.bank)
        };
        let parts = events.iter().map(sum).collect::<Done<Vec<_>>>()?;
        let text = parts.iter().map(|p| p.0.clone()).collect::<Vec<_>>().join("\n");
        let data: Vec<Value> = parts.into_iter().map(|p| p.1).collect();
        report(cx, &appended, &json!({ "settlements": data }), &text)
    }

    fn one(&self, open: &Open) -> Done<v1::SettlementSent> {
        let digest = resolve(&open.book, &self.agreement)?;
        let a = open.book.agreement(&digest)?;
        let currency = a.terms.currency;
        let amount = self.amount.as_deref().ok_or_else(|| {
            let due = figures(&open.book, a).open;
            Failure::usage(
                "how much was sent?",
                format!("say it with --amount; open is {}", money::show(due, currency)),
            )
        })?;
        Ok(v1::SettlementSent {
            agreement: digest.to_vec(),
            minor: in_currency(amount, currency)?,
            bank: bank::reference(&open.info.id, &self.bank)?,
            item: items(&self.items, currency)?,
            fee: self.fee.as_deref().map_or(Ok(0), |f| in_currency(f, currency))?,
        })
    }

    /// All that is open, one settlement for each agreement.
    fn all(&self, open: &Open) -> Done<Vec<v1::SettlementSent>> {
        if self.amount.is_some() || !self.items.is_empty() || self.fee.is_some() {
            return Err(Failure::usage(
                "`all` sends what is open under each agreement",
                "leave out --amount, --item and --fee, or name one agreement",
            ));
        }
        let mut events = Vec::new();
        for a in open.book.agreements.values() {
            let due = figures(&open.book, a).open;
            if due <= 0 || a.progress != Progress::Active || a.terms.base == Base::Payout {
                continue;
            }
            events.push(v1::SettlementSent {
                agreement: a.terms.digest.to_vec(),
                minor: u64::try_from(due).expect("checked to be above 0, and within MAX_MONEY"),
                bank: bank::reference(
                    &open.info.id,
                    &format!("{} {}", self.bank, suffix(&open.book, a)),
                )?,
                item: Vec::new(),
                fee: 0,
            });
        }
        if events.is_empty() {
            return Err(Failure::refused(
                "nothing-open",
                "nothing is open under any agreement",
                "look at `subak agreement list`",
            ));
        }
        Ok(events)
    }
}

/// What tells the transfers of one batch apart: the commons' handle, and the digest
/// where there are several agreements with it.
fn suffix(book: &State, a: &subak_ledger::book::agreement::Agreement) -> String {
    let same =
        |b: &&std::sync::Arc<subak_ledger::book::agreement::Agreement>| partner(b) == partner(a);
    if book.agreements.values().filter(same).count() > 1 {
        format!("{} {}", partner(a), crate::describe::short(&a.terms.digest))
    } else {
        partner(a).to_string()
    }
}

impl Received {
    /// A receipt cannot be taken back: more than is open is asked for twice.
    fn within_what_is_open(&self, open: &Open, digest: &Hash, minor: u64) -> Done {
        let a = open.book.agreement(digest)?;
        let numbers = a.open.iter().chain(a.written_off.iter());
        let mut incomes: Vec<u64> = numbers.copied().collect();
        incomes.sort_unstable();
        incomes.dedup();
        let mut expected = 0;
        for number in incomes {
            let income = open.book.income(number)?;
            expected += income.open() + income.written_off;
        }
        if minor > expected && !self.overpay {
            let currency = a.terms.currency;
            return Err(Failure::usage(
                format!(
                    "{} is more than the {} that is open or written off",
                    money::show(minor.into(), currency),
                    money::show(expected.into(), currency)
                ),
                "correct the amount; if so much has come, say --overpay: the rest is the payer's credit",
            ));
        }
        Ok(())
    }

    /// The amount as given; else what is under way.
    async fn minor(&self, cx: &Context, open: &Open, digest: &Hash) -> Done<Minor> {
        let a = open.book.agreement(digest)?;
        if let Some(amount) = &self.amount {
            return in_currency(amount, a.terms.currency);
        }
        let handle = &a.terms.payer_handle;
        let there = self.elsewhere.reader(cx, &open.connection).await?;
        let payer = require(cx, &there, a.terms.payer, handle).await?;
        let flight = flight(payer.book.agreement(digest)?, a, cx.at()?);
        let (cash, currency) = (flight.cash(), a.terms.currency);
        u64::try_from(cash).ok().filter(|minor| *minor > 0).ok_or_else(|| {
            let plain = |amount: u128| {
                let amount = i128::try_from(amount).expect("cash is limited by MAX_MONEY");
                money::plain(amount, currency)
            };
            Failure::refused(
                "nothing-in-flight",
                format!(
                    "{handle} has sent {} {currency} in all, and {} has arrived here: nothing is \
                     in flight",
                    plain(flight.sent),
                    plain(flight.arrived)
                ),
                "if cash has come all the same, say how much with --amount",
            )
        })
    }

    async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let digest = resolve(&open.book, &self.agreement)?;
        let currency = open.book.agreement(&digest)?.terms.currency;
        let fee = match (&self.fee, &self.fee_by) {
            (Some(fee), Some(bearer)) => Some(v1::Fee {
                minor: in_currency(fee, currency)?,
                bearer: Handle::new(bearer)?.to_string(),
            }),
            _ => None,
        };
        let event = v1::SettlementReceived {
            agreement: digest.to_vec(),
            minor: self.minor(cx, &open, &digest).await?,
            bank: bank::reference(&open.info.id, &self.bank)?,
            item: items(&self.items, currency)?,
            fee,
        };
        self.within_what_is_open(&open, &digest, event.minor)?;
        let before = open.book.clone();
        let (minor, bank) = (event.minor, event.bank.clone());
        let kinds = vec![Kind::SettlementReceived(event)];
        let appended = cx.say(&open, kinds, Texts::default()).await?;
        cx.refresh(&mut open).await?;
        let (mut text, mut data) =
            after(&before, &open.book, &digest, minor, "received from", &bank)?;
        let settled = settled_incomes(&before, &open.book, &digest);
        for (number, more, rest) in &settled {
            let of = if *rest > 0 {
                format!(", {} of it still open", money::plain((*rest).into(), currency))
            } else {
                ", settled in full".into()
            };
            let _ = write!(
                text,
                "\n  income {number}: {}{of}",
                money::show(i128::from(*more), currency)
            );
        }
        data["incomes"] = settled
            .iter()
            .map(|(n, more, rest)| {
                json!({ "income": n, "settled": money::json((*more).into(), currency),
                        "open": money::json((*rest).into(), currency) })
            })
            .collect();
        report(cx, &appended, &data, &text)
    }
}

/// Incomes of an agreement of which more is settled now: number, how much, what is open.
fn settled_incomes(before: &State, after: &State, digest: &Hash) -> Vec<(u64, Minor, Minor)> {
    after
        .incomes
        .iter()
        .filter(|i| i.source.is_some_and(|(d, _)| d == *digest))
        .filter_map(|i| {
            let old = before.income(i.number).map_or(0, |o| o.settled);
            (i.settled > old).then(|| (i.number, i.settled - old, i.open()))
        })
        .collect()
}

fn after(
    before: &State,
    now: &State,
    digest: &Hash,
    minor: Minor,
    verb: &str,
    bank: &str,
) -> Done<(String, Value)> {
    let a = now.agreement(digest)?;
    let (old, new) = (figures(before, before.agreement(digest)?), figures(now, a));
    let c = a.terms.currency;
    let credit = if new.credit > 0 {
        format!(", {} credit", money::plain(new.credit, c))
    } else {
        String::new()
    };
    let text = format!(
        "{} {verb} {} ({bank})\n  open: {} before, {} now{credit}",
        money::show(minor.into(), c),
        partner(a),
        money::plain(old.open, c),
        money::show(new.open, c),
    );
    let data = json!({
        "agreement": hex::encode(digest), "currency": c.as_str(), "bank": bank,
        "amount": money::json(minor.into(), c), "open_before": money::json(old.open, c),
        "open": money::json(new.open, c), "credit": money::json(new.credit, c),
    });
    Ok((text, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sorted_and_in_the_agreements_currency() {
        let eur = Currency::new("EUR").unwrap();
        let found = items(&["7=1.50".into(), "3=50.00 EUR".into()], eur).unwrap();
        let plain: Vec<_> = found.iter().map(|i| (i.income, i.minor)).collect();
        assert_eq!(plain, [(3, 5_000), (7, 150)]);
        for bad in ["3", "x=1.00", "3=1.00 USD", "3=1.001", "3=50,00", "3=1,5"] {
            assert!(items(&[bad.into()], eur).is_err(), "{bad}");
        }
    }
}
