//! Rounds, and the table.
//!
//! A round measures the limit and then the figure; the round with the median ratio is
//! the one that is printed, so that figure, limit and ratio belong together.

use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// How many a second: more is better.
    PerSecond(&'static str),
    /// How long one takes, in nanoseconds: less is better.
    Nanoseconds,
}

/// One figure's place in the table.
pub struct Row {
    /// Group and what is measured.
    pub name: String,
    /// Of figure and limit both.
    pub unit: Unit,
    /// What it is held against.
    pub limit: String,
    /// The ratio of figure to limit that is wanted: at least for a rate, at most for a time.
    pub target: Option<f64>,
}

/// One round.
#[derive(Clone, Copy)]
pub struct Round {
    pub figure: f64,
    pub limit: f64,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.figure / self.limit
    }
}

/// What was asked for, and what came out.
pub struct Report {
    pub quick: bool,
    filter: Option<String>,
    printed: u32,
}

impl Report {
    pub fn new(quick: bool, filter: Option<String>) -> Self {
        Self { quick, filter, printed: 0 }
    }

    /// Whether a figure of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.as_deref().is_none_or(|part| name.contains(part))
    }

    /// `full`, or the smaller one where the run is to be quick.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    #[allow(clippy::unused_self)] // it belongs to the report
    pub fn open(&self) {
        println!("{} cores, load {}", cores(), load());
        println!(
            "{:<46} {:>18}  {:>18} {:>7}  {:<9} limit",
            "name", "figure", "limit", "ratio", "target"
        );
    }

    pub fn close(&self) {
        if self.printed == 0 {
            println!("no figure has that in its name");
        }
        println!("load {}", load());
    }

    /// Prints the round with the median ratio.
    pub fn add(&mut self, row: &Row, mut rounds: Vec<Round>) {
        rounds.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        let round = rounds[rounds.len() / 2];
        let target = row.target.map_or_else(String::new, |target| {
            let (sign, met) = match row.unit {
                Unit::PerSecond(_) => (">=", round.ratio() >= target),
                Unit::Nanoseconds => ("<=", round.ratio() <= target),
            };
            format!("{sign} {target}{}", if met { "" } else { " no" })
        });
        println!(
            "{:<46} {:>18}  {:>18} {:>7.3}  {target:<9} {}",
            row.name,
            show(row.unit, round.figure),
            show(row.unit, round.limit),
            round.ratio(),
            row.limit
        );
        self.printed += 1;
    }

    /// A figure in words of its own.
    pub fn show(&mut self, name: &str, text: &str) {
        println!("{name:<46} {text}");
        self.printed += 1;
    }

    /// As [`Report::show`], of a figure that is held to what was asked.
    pub fn judge(&mut self, name: &str, text: &str, reached: bool) {
        self.show(name, &format!("{text}{}", if reached { "" } else { ": no" }));
    }

    /// A figure without a limit of its own: for the reader of the others.
    #[allow(clippy::unused_self)] // as above
    pub fn note(&self, text: &str) {
        println!("  {text}");
    }
}

fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::PerSecond(what) => format!("{value:.0} {what}/s"),
        Unit::Nanoseconds if value < 10_000.0 => format!("{value:.0} ns"),
        Unit::Nanoseconds if value < 10_000_000.0 => format!("{:.1} us", value / 1e3),
        Unit::Nanoseconds => format!("{:.1} ms", value / 1e6),
    }
}

/// How many a second.
pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The middle of several measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The system's load averages over 1, 5 and 15 minutes, where it tells.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown".into());
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
