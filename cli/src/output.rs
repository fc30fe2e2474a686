//! Where a command's result goes: text for people, one JSON object for programs.
//!
//! Guarantees that a closed pipe is no error and changes no exit status (the command goes
//! on to its end, unheard), that colour appears only on a terminal
//! without `NO_COLOR`, and that tables fit 80 columns, except where ids and URLs, which are copied and
//! never broken, take more.

use crate::failure::{Done, Failure};
use anstyle::{AnsiColor, Style};
use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex},
};

/// How to write.
#[derive(Debug, Clone)]
pub struct Output {
    /// One JSON object instead of text.
    pub json: bool,
    /// Colour on standard output.
    pub colour: bool,
    /// Where results go instead of standard output: the demo runs commands and reads
    /// what they answer.
    captured: Option<Arc<Mutex<Option<Value>>>>,
}

impl Output {
    /// As the terminal and the environment ask for.
    pub fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self { json, colour: !json && !plain && io::stdout().is_terminal(), captured: None }
    }

    /// Keeps the data of the last result instead of printing it.
    pub fn capture() -> Self {
        Self { json: true, colour: false, captured: Some(Arc::default()) }
    }

    /// The data of the last result, where results are captured.
    pub fn taken(&self) -> Option<Value> {
        self.captured.as_ref()?.lock().ok()?.take()
    }

    /// The result of a command: `schema` is `subak.NAME/1`.
    pub fn result(&self, schema: &str, data: &Value, text: &str) -> Done {
        if let Some(slot) = &self.captured {
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(data.clone());
            }
            Ok(())
        } else if self.json {
            self.line(&json!({ "schema": schema, "data": data }).to_string())
        } else {
            self.line(text.trim_end())
        }
    }

    /// One line, or several; a reader who has gone away is no error.
    pub fn line(&self, text: &str) -> Done {
        self.heard(text).map(|_| ())
    }

    /// As [`Output::line`], for what has no end: false when nobody listens any more.
    pub fn heard(&self, text: &str) -> Done<bool> {
        if self.captured.is_some() {
            return Ok(true); // a program asks, and gets its one object
        }
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Failure::world(
                "output",
                format!("standard output: {e}"),
                "check where it goes",
            )),
            Ok(()) => Ok(true),
        }
    }

    /// A note to the person, beside the result: standard error, not with `--json`.
    pub fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What a person must see, also beside `--json`: standard error.
    pub fn warning(&self, text: &str) {
        let _ = writeln!(io::stderr(), "warning: {text}");
    }

    /// A failed command; returns the exit status.
    pub fn failure(&self, schema: &str, f: &Failure) -> u8 {
        if f.code.is_empty() {
            // `Failure::told`: the result is out already, and there is one object only.
        } else if self.json {
            let _ = self.line(&json!({ "schema": schema, "error": f }).to_string());
        } else {
            let _ = writeln!(io::stderr(), "subak: {f}\n  next: {}", f.next);
        }
        f.status
    }

    /// Bold, where colour is on.
    pub fn strong(&self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    /// Green, where colour is on.
    pub fn good(&self, text: &str) -> String {
        self.paint(text, AnsiColor::Green.on_default().bold())
    }

    /// Red, where colour is on.
    pub fn bad(&self, text: &str) -> String {
        self.paint(text, AnsiColor::Red.on_default().bold())
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A table of 80 columns, or as many as it needs. A head that begins with `>` is of figures,
    /// which stand to the right and in one piece; with `|`, of words that stay in one piece;
    /// other columns give way, between words, and as far as their ids and URLs let them.
    pub fn table(&self, heads: &[&str], rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(80);
        table.set_header(heads.iter().map(|h| Cell::new(h.trim_start_matches(['>', '|']))));
        for row in rows {
            table.add_row(row.clone());
        }
        for (n, head) in heads.iter().enumerate() {
            let Some(column) = table.column_mut(n) else { continue };
            if head.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
            let padding = column.padding_width();
            let whole = rows.iter().filter_map(|row| row.get(n)).flat_map(|cell| unbroken(cell));
            if head.starts_with(['>', '|']) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if let Some(widest) = whole.max() {
                let width = Width::Fixed(widest.saturating_add(padding));
                column.set_constraint(ColumnConstraint::LowerBoundary(width));
            }
        }
        let text = table.to_string();
        let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned()).collect();
        if let Some(head) = lines.first_mut() {
            *head = self.strong(head);
        }
        lines.join("\n")
    }
}

/// The widths of what somebody copies out of a text: ids, in hex, and URLs.
fn unbroken(text: &str) -> impl Iterator<Item = u16> {
    let is_id = |word: &str| word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split_whitespace();
    words
        .filter(move |word| word.contains("://") || is_id(word))
        .map(|word| u16::try_from(word.chars().count()).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_way_between_words_and_breaks_no_id_and_no_url() {
        let url = format!("https://{}.example:7117", "far-away".repeat(9));
        let (id, words) = ("0123456789abcdef".repeat(4), "several words ".repeat(9));
        let row = vec![id.clone(), format!("copied from {url}, 3 behind"), words];
        let text = Output::capture().table(&["id", "from", "told"], &[row]);
        assert!(text.contains(&id) && text.contains(&format!("{url},")), "{text}");
        let short = vec!["a".repeat(20), "b c ".repeat(20), "several words ".repeat(3)];
        let text = Output::capture().table(&["id", "from", "told"], &[short]);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
