//! Hours and other work from a time tracker, as CSV.
//!
//! Owns the format below and what is wrong with a file. Guarantees that every row
//! comes out either as a [`CsvRow`] that can be claimed or as a [`BadRow`] with its
//! line and the reason, that no row is guessed at, and that the same row gets the
//! same reference in every import. Leaves out who the people are in the ledger and
//! the decision to import when some rows are bad.
//!
//! A header, then one row a piece of work; names of columns in any case and order:
//!
//! | column | | content |
//! |---|---|---|
//! | `date` | required | the day of the work, `YYYY-MM-DD`, not after today |
//! | `person` | required | a handle, an e-mail, `Name <email>`, or a name |
//! | `quantity` | required | more than 0, up to three decimals (`1.5`, `1,5`), or `h:mm` |
//! | `kind` | `hours` if absent | a kind of the value equation, `[a-z0-9-]{1,32}` |
//! | `stream` | `livelihood` if absent | `livelihood`, `love` or `care` |
//! | `reference` | made if absent | `scheme:text`, `[a-z0-9-]{1,16}:[A-Za-z0-9._-]{1,100}` |
//! | `note` | | any text; it becomes a disclosure |
//!
//! Comma, semicolon or tab between fields (found from the header), quotes as in RFC
//! 4180, UTF-8 with or without a byte order mark, either line ending.
//!
//! The made reference is `csv:` and the first 32 hex digits of a BLAKE3 hash
//! (derive_key, context below) over date, person, kind, quantity, stream and note as
//! read (so `1.5` and `1:30` are one), each with its length before it, and the
//! number of equal rows above in the file. Importing a file again, or the file grown
//! at its end, therefore adds nothing twice; changing a row makes it another one.

mod fields;
mod records;

use super::Person;
use fields::{Cells, Reading};
use records::{Record, Records, delimiter};
use std::{
    collections::HashMap,
    fmt,
    io::{self, Read},
};

/// BLAKE3 context of made references. Never reused for anything else.
const REFERENCE_CONTEXT: &str = "subak 2026 csv row reference v1";

/// The largest file read: a time tracker's years, not a mistake in the path.
const BYTES_AT_MOST: u64 = 64 << 20;

/// The largest quantity, in thousandths, as in the ledger.
pub const QUANTITY_AT_MOST: u64 = 1_000_000_000_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The day of the work.
    Date,
    /// Who did it.
    Person,
    /// The kind of work.
    Kind,
    /// How much, in the kind's unit.
    Quantity,
    /// For a livelihood, out of love, or as care.
    Stream,
    /// Where the work is recorded.
    Reference,
    /// Prose for the validators.
    Note,
}

impl Column {
    /// All columns, in the order in which they are documented.
    pub const ALL: [Self; 7] = [
        Self::Date,
        Self::Person,
        Self::Quantity,
        Self::Kind,
        Self::Stream,
        Self::Reference,
        Self::Note,
    ];

    /// The name in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Person => "person",
            Self::Kind => "kind",
            Self::Quantity => "quantity",
            Self::Stream => "stream",
            Self::Reference => "reference",
            Self::Note => "note",
        }
    }

    fn required(self) -> bool {
        matches!(self, Self::Date | Self::Person | Self::Quantity)
    }
}

/// Which header names hold what, where they are not the documented ones.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    columns: HashMap<Column, String>,
    ignored: Vec<String>,
    ignore_others: bool,
    /// The byte between fields; found from the header if absent.
    pub delimiter: Option<u8>,
}

/// What is wrong with a mapping, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMapping(String);

impl Mapping {
    /// Reads `column=Header` pairs separated by commas, such as
    /// `date=Datum,person=Wer`. `ignore=Header` names a column to pass over, and
    /// `ignore=*` passes over all that are not known.
    pub fn parse(text: &str) -> Result<Self, BadMapping> {
        let mut mapping = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, header) = pair.split_once('=').ok_or_else(|| {
                BadMapping(format!("{pair:?} is not `column=Header`, such as `date=Datum`"))
            })?;
            mapping.add(name.trim(), header.trim())?;
        }
        Ok(mapping)
    }

    fn add(&mut self, name: &str, header: &str) -> Result<(), BadMapping> {
        if header.is_empty() {
            return Err(BadMapping(format!("{name:?} is mapped to no header")));
        }
        if name == "ignore" && header == "*" {
            self.ignore_others = true;
        } else if name == "ignore" {
            self.ignored.push(header.to_lowercase());
        } else {
            let column = Column::ALL.into_iter().find(|c| c.name() == name).ok_or_else(|| {
                let known: Vec<_> = Column::ALL.iter().map(|c| c.name()).collect();
                BadMapping(format!("{name:?} is none of {}, ignore", known.join(", ")))
            })?;
            if self.columns.insert(column, header.to_lowercase()).is_some() {
                return Err(BadMapping(format!("{name:?} is mapped twice")));
            }
        }
        Ok(())
    }

    fn header_of(&self, column: Column) -> &str {
        self.columns.get(&column).map_or(column.name(), String::as_str)
    }
}

/// For what the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// For a livelihood.
    Livelihood,
    /// Out of love.
    Love,
    /// As care.
    Care,
}

impl Stream {
    /// The name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Livelihood => "livelihood",
            Self::Love => "love",
            Self::Care => "care",
        }
    }
}

/// Whom a row names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// An agent's handle; also a one-word name in lower case is read so.
    Handle(String),
    /// A name, an e-mail (in lower case), or both; what is absent is empty.
    Person(Person),
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvRow {
    /// The line of the file where the row begins; the header is line 1.
    pub line: u64,
    /// Days since 1970-01-01.
    pub day: u32,
    /// Who did it.
    pub person: Who,
    /// The kind of work.
    pub kind: String,
    /// Thousandths of the kind's unit, 1 to [`QUANTITY_AT_MOST`].
    pub quantity: u64,
    /// For what it was done.
    pub stream: Stream,
    /// As in the file, or made; unique together with the person.
    pub reference: String,
    /// As in the file; may be empty.
    pub note: String,
}

/// A row, or the header, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the file where it begins; the header is line 1.
    pub line: u64,
    /// Everything that is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What a file holds, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsvReport {
    /// The good rows.
    pub rows: Vec<CsvRow>,
    /// The bad ones. A bad header is one; where a required column is missing, there
    /// are no rows.
    pub bad: Vec<BadRow>,
}

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The world failed.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It cannot be what was meant.
    #[error("the file has more than {} MiB; split it", BYTES_AT_MOST >> 20)]
    TooLarge,
}

/// Reads a file. `today`: days since 1970-01-01; later work is refused.
pub fn read_csv(input: impl Read, mapping: &Mapping, today: u32) -> Result<CsvReport, CsvError> {
    let mut text = Vec::new();
    input.take(BYTES_AT_MOST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_AT_MOST {
        return Err(CsvError::TooLarge);
    }
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    let mut report = CsvReport::default();
    let mut records = Records::new(text, mapping.delimiter.unwrap_or_else(|| delimiter(text)));
    let Some(header) = records.next() else {
        report.bad.push(BadRow { line: 1, reason: "the file is empty: not even a header".into() });
        return Ok(report);
    };
    let Some(places) = places(&header, mapping, &mut report.bad) else { return Ok(report) };
    let mut seen = Seen::default();
    for record in records {
        match row(&record, &places, today).and_then(|row| seen.take(row)) {
            Ok(row) => report.rows.push(row),
            Err(reason) => report.bad.push(BadRow { line: record.line, reason }),
        }
    }
    Ok(report)
}

/// Where in a row each column stands.
struct Places {
    of: HashMap<Column, usize>,
    columns: usize,
}

/// Reads the header; `None` if rows cannot be read by it.
fn places(header: &Record, mapping: &Mapping, bad: &mut Vec<BadRow>) -> Option<Places> {
    let mut complain = |reason: String| bad.push(BadRow { line: header.line, reason });
    let names: Vec<String> = header
        .fields
        .iter()
        .map(|field| String::from_utf8_lossy(field).trim().to_lowercase())
        .collect();
    let mut of = HashMap::new();
    let mut sound = true;
    for column in Column::ALL {
        let wanted = mapping.header_of(column);
        let found: Vec<usize> = (0..names.len()).filter(|&at| names[at] == wanted).collect();
        match found.as_slice() {
            [at] => drop(of.insert(column, *at)),
            [] if column.required() || mapping.columns.contains_key(&column) => {
                sound = false;
                complain(format!(
                    "no column {wanted:?} for the {}; found {}; map one with `--map {}=HEADER`",
                    column.name(),
                    names.join(", "),
                    column.name()
                ));
            }
            [] => (),
            _ => {
                sound = false;
                complain(format!("the column {wanted:?} stands there {} times", found.len()));
            }
        }
    }
    for (at, name) in names.iter().enumerate() {
        let known = of.values().any(|place| *place == at);
        if !known && !mapping.ignore_others && !mapping.ignored.contains(name) {
            complain(format!(
                "unknown column {name:?}; map it, or pass over it with `--map ignore={name}`"
            ));
        }
    }
    sound.then_some(Places { of, columns: names.len() })
}

fn row(record: &Record, places: &Places, today: u32) -> Result<CsvRow, String> {
    if record.open_quote {
        return Err("a quote is opened and not closed; inside quotes, write it twice".into());
    }
    if record.fields.len() != places.columns {
        let (found, expected) = (record.fields.len(), places.columns);
        return Err(format!("{found} fields where the header has {expected}"));
    }
    let cells = Cells::new(&record.fields, &places.of)?;
    let mut reading = Reading::default();
    let row = CsvRow {
        line: record.line,
        day: reading.take(Column::Date, fields::day(cells.get(Column::Date), today)),
        person: reading.take_or(
            Column::Person,
            fields::who(cells.get(Column::Person)),
            Who::Handle(String::new()),
        ),
        kind: reading.take(Column::Kind, fields::kind(cells.get(Column::Kind))),
        quantity: reading.take(Column::Quantity, fields::quantity(cells.get(Column::Quantity))),
        stream: reading.take_or(
            Column::Stream,
            fields::stream(cells.get(Column::Stream)),
            Stream::Livelihood,
        ),
        reference: reading.take(Column::Reference, fields::reference(cells.get(Column::Reference))),
        note: cells.get(Column::Note).to_owned(),
    };
    reading.verdict().map(|()| row)
}

/// What stood above: for the made references, and against claiming twice.
#[derive(Default)]
struct Seen {
    equal_rows: HashMap<blake3::Hash, u64>,
    claims: HashMap<(String, Who), u64>,
}

impl Seen {
    fn take(&mut self, mut row: CsvRow) -> Result<CsvRow, String> {
        if row.reference.is_empty() {
            let content = content_hash(&row);
            let above = self.equal_rows.entry(content).or_default();
            row.reference = made_reference(&content, *above);
            *above += 1;
        }
        let claim = (row.reference.clone(), row.person.clone());
        let first = *self.claims.entry(claim).or_insert(row.line);
        if first == row.line {
            return Ok(row);
        }
        Err(format!(
            "the reference {} stands on line {first} already for the same person",
            row.reference
        ))
    }
}

fn content_hash(row: &CsvRow) -> blake3::Hash {
    let (day, quantity) = (row.day.to_string(), row.quantity.to_string());
    let (handle, name, email) = match &row.person {
        Who::Handle(handle) => (handle.as_str(), "", ""),
        Who::Person(person) => ("", person.name.as_str(), person.email.as_str()),
    };
    let mut hasher = blake3::Hasher::new_derive_key(REFERENCE_CONTEXT);
    for part in
        [&day, handle, name, email, &row.kind, &quantity, row.stream.name(), row.note.as_str()]
    {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn made_reference(content: &blake3::Hash, above: u64) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(REFERENCE_CONTEXT);
    hasher.update(content.as_bytes());
    hasher.update(&above.to_be_bytes());
    format!("csv:{}", &hasher.finalize().to_hex()[..32])
}

#[cfg(test)]
mod tests;
