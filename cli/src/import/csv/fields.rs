//! The fields of a row: text in, value or reason out.
//!
//! Owns what each column may hold. Guarantees that all that is wrong with a row is
//! said at once, so that a file is mended in one round. Leaves out the file.

use super::{Column, Person, QUANTITY_AT_MOST, Stream, Who};
use crate::import::one_spelling;
use jiff::civil::{Date, date};
use std::collections::HashMap;
use subak_ledger::log::handle::Handle;

const EPOCH: Date = date(1970, 1, 1);

/// The fields of one row as text without space around it; absent ones are empty.
pub(super) struct Cells<'r> {
    text: HashMap<Column, &'r str>,
}

impl<'r> Cells<'r> {
    pub(super) fn new(
        fields: &'r csv::ByteRecord,
        places: &HashMap<Column, usize>,
    ) -> Result<Self, String> {
        let mut text = HashMap::new();
        for (column, at) in places {
            let field = std::str::from_utf8(&fields[*at])
                .map_err(|_| format!("{} is not UTF-8; save the file as UTF-8", column.name()))?;
            text.insert(*column, field.trim());
        }
        Ok(Self { text })
    }

    pub(super) fn get(&self, column: Column) -> &'r str {
        self.text.get(&column).copied().unwrap_or("")
    }
}

/// Collects the reasons while the values are taken.
#[derive(Default)]
pub(super) struct Reading {
    reasons: Vec<String>,
}

impl Reading {
    /// The value; failing it, a placeholder that [`Self::verdict`] keeps from use.
    pub(super) fn take_or<T>(
        &mut self,
        column: Column,
        value: Result<T, String>,
        placeholder: T,
    ) -> T {
        value.unwrap_or_else(|reason| {
            self.reasons.push(format!("{}: {reason}", column.name()));
            placeholder
        })
    }

    pub(super) fn take<T: Default>(&mut self, column: Column, value: Result<T, String>) -> T {
        self.take_or(column, value, T::default())
    }

    /// Whether all values are real.
    pub(super) fn verdict(self) -> Result<(), String> {
        if self.reasons.is_empty() { Ok(()) } else { Err(self.reasons.join("; ")) }
    }
}

/// The text as a reason shows it: bounded, with everything visible.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

pub(super) fn day(text: &str, today: u32) -> Result<u32, String> {
    let bad = || format!("{} is no date of the form YYYY-MM-DD", shown(text));
    let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date: Date = text.parse().ok().filter(|_| shape).ok_or_else(bad)?;
    let days = date.since(EPOCH).map_err(|_| bad())?.get_days();
    let day = u32::try_from(days).map_err(|_| format!("{text} is before 1970-01-01"))?;
    if day > today {
        return Err(format!("{text} is in the future; claim work when it is done"));
    }
    Ok(day)
}

pub(super) fn who(text: &str) -> Result<Who, String> {
    if text.is_empty() {
        return Err("empty; give a handle, an e-mail or a name".into());
    }
    if text.contains(char::is_control) {
        return Err(format!("{} holds control characters", shown(text)));
    }
    if Handle::new(text).is_ok() {
        return Ok(Who::Handle(text.to_owned()));
    }
    if let Some((name, rest)) = text.split_once('<') {
        let email = rest.strip_suffix('>').map(str::trim).filter(|email| is_email(email));
        let email = email.ok_or_else(|| format!("{} is not `Name <email>`", shown(text)))?;
        return Ok(Who::Person(Person {
            name: name.trim().to_owned(),
            email: email.to_lowercase(),
        }));
    }
    if is_email(text) {
        return Ok(Who::Person(Person { name: String::new(), email: text.to_lowercase() }));
    }
    Ok(Who::Person(Person { name: text.to_owned(), email: String::new() }))
}

fn is_email(text: &str) -> bool {
    let sides = text.split_once('@');
    let plain = !text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>'));
    plain && sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

pub(super) fn kind(text: &str) -> Result<String, String> {
    let kind = if text.is_empty() { "hours" } else { text };
    match Handle::new(kind) {
        Ok(_) => Ok(kind.to_owned()),
        Err(_) => Err(format!("{} is not 1 to 32 of a-z, 0-9 and -", shown(text))),
    }
}

pub(super) fn stream(text: &str) -> Result<Stream, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "livelihood" => Ok(Stream::Livelihood),
        "love" => Ok(Stream::Love),
        "care" => Ok(Stream::Care),
        _ => Err(format!("{} is none of livelihood, love, care", shown(text))),
    }
}

pub(super) fn reference(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let fits = text.split_once(':').is_some_and(|(scheme, name)| {
        let lower = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=16).contains(&scheme.len())
            && scheme.bytes().all(lower)
            && (1..=100).contains(&name.len())
            && name.bytes().all(plain)
    });
    let form = "`scheme:text`, such as `ticket:4711`, with 1 to 16 of a-z, 0-9, - before the \
                colon and 1 to 100 of A-Z, a-z, 0-9, `.`, `_`, `-` after it";
    if fits { Ok(one_spelling(text)) } else { Err(format!("{} is not {form}", shown(text))) }
}

/// Thousandths. `h:mm` is rounded half up to the thousandth of an hour, which is
/// 3.6 seconds: 20 minutes are 0.333 hours.
pub(super) fn quantity(text: &str) -> Result<u64, String> {
    let thousandths = match text.split_once(':') {
        Some((hours, minutes)) => clock(hours, minutes),
        None => decimal(text)?,
    };
    match thousandths {
        None => Err(format!(
            "{} is no quantity: write digits with up to three decimals, or h:mm",
            shown(text)
        )),
        Some(0) => Err("zero; leave the row out".into()),
        Some(more) if more > QUANTITY_AT_MOST => {
            Err(format!("{} is more than {}", shown(text), QUANTITY_AT_MOST / 1_000))
        }
        Some(thousandths) => Ok(thousandths),
    }
}

fn clock(hours: &str, minutes: &str) -> Option<u64> {
    let minutes = digits(minutes).filter(|m| *m < 60 && minutes.len() == 2)?;
    let total = digits(hours)?.checked_mul(60)?.checked_add(minutes)?;
    Some(total.checked_mul(1_000)?.checked_add(30)? / 60)
}

/// `None` if it is no number; a reason where it is one that could be read two ways.
fn decimal(text: &str) -> Result<Option<u64>, String> {
    if text.starts_with('-') {
        return Err(format!("{} is negative; reject or revise the claim instead", shown(text)));
    }
    let Some((whole, places)) = text.split_once(['.', ',']) else {
        return Ok(digits(text).and_then(|whole| whole.checked_mul(1_000)));
    };
    if text.contains(',') && places.len() == 3 {
        let (point, none) = (text.replace(',', "."), text.replace(',', ""));
        return Err(format!("{text} could be {point} or {none}; write one of these"));
    }
    let scale = match places.len() {
        1 => 100,
        2 => 10,
        3 => 1,
        _ => return Ok(None),
    };
    let value = || digits(whole)?.checked_mul(1_000)?.checked_add(digits(places)? * scale);
    Ok(value())
}

/// Digits only: no sign, no space, not empty. More than fit are no number we know.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
