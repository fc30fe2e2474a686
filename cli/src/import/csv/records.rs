//! A file's rows as fields, each with the line where it begins.
//!
//! Owns the dialect: separator, quotes, lines. Guarantees that a row left open by a
//! quote is marked. Leaves out what the fields mean.

/// The separator that the first line has most of, outside quotes; comma if none.
pub(super) fn delimiter(text: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    let blank = text.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    for &byte in &text[blank..] {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => (),
            _ => counts.iter_mut().filter(|c| c.0 == byte).for_each(|c| c.1 += 1),
        }
    }
    // The first of equals: `max_by_key` would give the last.
    counts.into_iter().rev().max_by_key(|c| c.1).map_or(b',', |c| c.0)
}

/// The rows of a file as fields, with their lines.
pub(super) struct Records<'t> {
    text: &'t [u8],
    reader: csv::Reader<&'t [u8]>,
    line: u64,
}

/// One row, not judged yet.
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) fields: csv::ByteRecord,
    /// Whether a quote is opened and not closed: it would swallow the rows after it.
    pub(super) open_quote: bool,
}

impl<'t> Records<'t> {
    pub(super) fn new(text: &'t [u8], delimiter: u8) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text);
        Self { text, reader, line: 1 }
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut fields = csv::ByteRecord::new();
        let found = self.reader.read_byte_record(&mut fields).expect("memory can be read");
        if !found {
            return None;
        }
        let place = |byte: u64| usize::try_from(byte).map_or(self.text.len(), |at| at);
        let from = fields.position().map_or(0, |position| place(position.byte()));
        let raw = &self.text[from..place(self.reader.position().byte())];
        // The reader's position is before the blank lines that it passes over.
        let blank = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        let skipped = blank.filter(|b| **b == b'\n').count() as u64;
        let line = fields.position().map_or(self.line, csv::Position::line) + skipped;
        self.line = line;
        let open_quote = raw.iter().fold(false, |open, b| open ^ (*b == b'"'));
        Some(Record { line, fields, open_quote })
    }
}
