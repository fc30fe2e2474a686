//! A TOML document read key by key, with a precise fault for whatever does not fit.
//!
//! Owns [`TomlFault`] and a cursor over tables that knows the line and path of each
//! value and which keys nobody asked for. Leaves out what the keys mean.

use crate::{
    book::types::clip,
    log::handle::Handle,
    reject::{Outcome, Reject},
};
use std::{collections::BTreeMap, fmt, ops::RangeInclusive};
use toml::de::{DeTable, DeValue};

/// What is wrong in a document, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlFault {
    /// Line in the document, from 1.
    pub line: usize,
    /// Path of the key, such as `bucket[2].share`; empty for the document's form.
    pub key: String,
    /// What would fit.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What its author can do next.
    pub next: String,
}

impl fmt::Display for TomlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, expected, found, next } = self;
        let key = if key.is_empty() { String::new() } else { format!(" {key}:") };
        write!(f, "line {line}:{key} expected {expected}, found {found}; {next}")
    }
}

impl std::error::Error for TomlFault {}

/// Shorthand.
pub(super) type Read<T = ()> = Result<T, TomlFault>;

/// A value, where it stands and what it is called.
pub(super) struct Value<'t> {
    text: &'t str,
    pub(super) line: usize,
    pub(super) path: String,
    is: DeValue<'t>,
}

/// A table whose keys are taken out one by one.
pub(super) struct Table<'t> {
    line: usize,
    path: String,
    left: BTreeMap<String, (usize, Value<'t>)>,
    asked: Vec<&'static str>,
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

impl<'t> Table<'t> {
    /// The whole document.
    pub(super) fn document(text: &'t str) -> Read<Self> {
        let table = DeTable::parse(text).map_err(|e| TomlFault {
            line: line_at(text, e.span().map_or(0, |s| s.start)),
            key: String::new(),
            expected: "a TOML document".into(),
            found: e.message().lines().collect::<Vec<_>>().join(", "),
            next: "correct the line; https://toml.io shows the form".into(),
        })?;
        Ok(Self::new(text, 1, String::new(), table.into_inner()))
    }

    fn new(text: &'t str, line: usize, path: String, table: DeTable<'t>) -> Self {
        let left = table
            .into_iter()
            .map(|(key, value)| {
                let path = if path.is_empty() {
                    key.get_ref().to_string()
                } else {
                    format!("{path}.{}", key.get_ref())
                };
                let line = line_at(text, value.span().start);
                let value = Value { text, line, path, is: value.into_inner() };
                (key.get_ref().to_string(), (line_at(text, key.span().start), value))
            })
            .collect();
        Self { line, path, left, asked: Vec::new() }
    }

    /// The value of a key, where there is one.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.asked.push(key);
        self.left.remove(key).map(|(_, value)| value)
    }

    /// The value of a key that must be there; `example` is a line that would do.
    pub(super) fn need(&mut self, key: &'static str, example: &str) -> Read<Value<'t>> {
        self.take(key).ok_or_else(|| {
            self.fault(key, format!("`{key}`"), "nothing", format!("add for example `{example}`"))
        })
    }

    /// A fault of the table itself, or of a key that is not in it.
    pub(super) fn fault(
        &self,
        key: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> TomlFault {
        let dot = if self.path.is_empty() || key.is_empty() { "" } else { "." };
        TomlFault {
            line: self.line,
            key: format!("{}{dot}{key}", self.path),
            expected: expected.into(),
            found: found.into(),
            next: next.into(),
        }
    }

    /// All keys and values, of a table whose keys are free.
    pub(super) fn entries(self) -> impl Iterator<Item = (String, Value<'t>)> {
        self.left.into_iter().map(|(key, (_, value))| (key, value))
    }

    /// Refuses keys that nobody asked for.
    pub(super) fn finish(self) -> Read {
        // The first in the document, not in the alphabet.
        let Some((key, (line, value))) = self.left.iter().min_by_key(|(_, (line, _))| *line) else {
            return Ok(());
        };
        Err(TomlFault {
            line: *line,
            key: value.path.clone(),
            expected: format!("only {}", self.asked.join(", ")),
            found: format!("`{}`", clip(key)),
            next: "correct its spelling or remove it".into(),
        })
    }
}

impl<'t> Value<'t> {
    /// A fault of this value.
    pub(super) fn fault(&self, expected: impl Into<String>, next: impl Into<String>) -> TomlFault {
        self.fault_found(expected, self.show(), next)
    }

    /// A fault of this value, where what is found is not the value itself.
    pub(super) fn fault_found(
        &self,
        expected: impl Into<String>,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> TomlFault {
        TomlFault {
            line: self.line,
            key: self.path.clone(),
            expected: expected.into(),
            found: found.into(),
            next: next.into(),
        }
    }

    fn show(&self) -> String {
        match &self.is {
            DeValue::String(s) => format!("{:?}", clip(s)),
            DeValue::Integer(i) => clip(&i.to_string()),
            DeValue::Float(x) => format!("the number {} with a point", clip(&x.to_string())),
            DeValue::Boolean(b) => b.to_string(),
            DeValue::Datetime(d) => format!("the date {d}"),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        }
    }

    /// The text of a string.
    pub(super) fn text(&self, expected: &str) -> Read<&str> {
        self.is.as_str().ok_or_else(|| self.fault(expected, "write it in quotation marks"))
    }

    /// What `read` makes of a string.
    pub(super) fn parsed<T>(
        &self,
        expected: &str,
        next: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Read<T> {
        read(self.text(expected)?).ok_or_else(|| self.fault(expected, next))
    }

    /// What a checked constructor makes of a string; the fault tells its reason.
    pub(super) fn checked<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&str) -> Outcome<T>,
    ) -> Read<T> {
        read(self.text(expected)?).map_err(|Reject { detail, .. }| self.fault(expected, detail))
    }

    /// A handle.
    pub(super) fn handle(&self) -> Read<Handle> {
        self.checked("a handle, 1 to 32 of a-z, 0-9 and -", Handle::new)
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Read<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.is.as_integer().and_then(|i| {
            let plain = i.radix() == 10;
            i.as_str().parse().ok().filter(|n| plain && range.contains(n))
        });
        number.ok_or_else(|| self.fault(expected, "write a number within these bounds"))
    }

    /// A whole number within a range of 32 bits.
    pub(super) fn small(&self, range: RangeInclusive<u32>) -> Read<u32> {
        let number = self.integer(u64::from(*range.start())..=u64::from(*range.end()))?;
        Ok(u32::try_from(number).expect("it was compared with a u32"))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Read<bool> {
        self.is.as_bool().ok_or_else(|| self.fault("true or false", "write one of the two"))
    }

    /// The items of a list.
    pub(super) fn list(self, expected: &str, next: &str) -> Read<Vec<Value<'t>>> {
        let fault = self.fault(expected, next);
        let Self { text, path, is, .. } = self;
        let DeValue::Array(items) = is else { return Err(fault) };
        Ok(items
            .into_iter()
            .enumerate()
            .map(|(n, item)| Value {
                text,
                line: line_at(text, item.span().start),
                path: format!("{path}[{}]", n + 1),
                is: item.into_inner(),
            })
            .collect())
    }

    /// The table that the value is.
    pub(super) fn table(self, next: &str) -> Read<Table<'t>> {
        let fault = self.fault("a table", next);
        let Self { text, line, path, is } = self;
        let DeValue::Table(table) = is else { return Err(fault) };
        Ok(Table::new(text, line, path, table))
    }
}
