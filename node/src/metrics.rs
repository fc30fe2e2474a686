//! What a node has done, in numbers: the Prometheus text format, version 0.0.4.
//!
//! Owns the counters of the process and the text. Guarantees that counting costs an atomic
//! addition (a refusal: a lock for as long), that a text is made from memory alone, so that it
//! comes also when the disk does not answer, and that nothing in it is personal: ledgers by
//! id and public name, refusals by code. Leaves out what a text is asked for with (`http`).

use crate::{Appended, Mirror, NodeError, readers::lock};
use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use subak_ledger::log::LedgerId;

/// Upper bounds of the histogram, microseconds: a commit takes 0.2 to 10 ms on a sound disk,
/// and a call is given up after 30 s.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// The counters of one server.
pub(crate) struct Metrics {
    started: Instant,
    acknowledged: AtomicU64,
    /// By code, of a closed set.
    refused: Mutex<BTreeMap<String, u64>>,
    failed: Mutex<BTreeMap<String, u64>>,
    /// Answers to appends by time, each in its own bucket only; the last is beyond all bounds.
    durations: [AtomicU64; BOUNDS.len() + 1],
    /// Their sum, microseconds.
    total: AtomicU64,
    connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            acknowledged: AtomicU64::default(),
            refused: Mutex::default(),
            failed: Mutex::default(),
            durations: std::array::from_fn(|_| AtomicU64::default()),
            total: AtomicU64::default(),
            connections: AtomicU64::default(),
        }
    }
}

/// A connection that counts as long as this lives.
pub(crate) struct Present(Arc<Metrics>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// A ledger as it is in memory.
pub(crate) struct Figures {
    pub(crate) id: LedgerId,
    pub(crate) name: String,
    /// Entries.
    pub(crate) size: u64,
    /// Entries under the newest checkpoint that may leave; none where another process signs.
    pub(crate) signed: Option<u64>,
    /// Of the last entry, milliseconds.
    pub(crate) recorded_at: u64,
    /// How far it is, where it is a copy.
    pub(crate) mirror: Option<Mirror>,
    /// Agreements under which something waits to be relayed to it.
    pub(crate) waiting: usize,
    /// Agreements that are frozen.
    pub(crate) frozen: usize,
    /// Numbers that payers' ledgers here hold for it, and that it has not taken.
    pub(crate) in_flight: u64,
}

impl Metrics {
    /// Counts an answer to an append, whatever it says.
    pub(crate) fn count(&self, took: Duration, answer: &Result<Appended, NodeError>) {
        let by_code = |codes: &Mutex<BTreeMap<String, u64>>, code: &str| {
            *lock(codes).entry(code.to_owned()).or_default() += 1;
        };
        match answer {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Relaxed);
            }
            Err(NodeError::Refused { code, .. }) => by_code(&self.refused, code),
            Err(other) => by_code(&self.failed, other.code()),
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.durations[bucket].fetch_add(1, Relaxed);
        self.total.fetch_add(micros, Relaxed);
    }

    /// Counts a connection.
    pub(crate) fn connected(self: &Arc<Self>) -> Present {
        self.connections.fetch_add(1, Relaxed);
        Present(self.clone())
    }

    /// All of it, with what others count.
    pub(crate) fn text(&self, streams: usize, ledgers: &[Figures]) -> String {
        let mut text = Text::default();
        text.family("subak_build_info", "gauge", "The program; always 1.");
        text.sample("subak_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.one(
            "subak_uptime_seconds",
            "gauge",
            "Since the start.",
            self.started.elapsed().as_secs(),
        );
        let connections = self.connections.load(Relaxed);
        text.one("subak_connections", "gauge", "Connections that are open.", connections);
        text.one("subak_streams", "gauge", "gRPC streams that are open.", streams);
        let acknowledged = self.acknowledged.load(Relaxed);
        let help = "Statements recorded: durable, proven and answered.";
        text.one("subak_appends_acknowledged_total", "counter", help, acknowledged);
        let help = "Statements that a rule refused, by its code.";
        text.by_code("subak_appends_refused_total", help, &lock(&self.refused));
        let help = "Statements that were not recorded because the node could not, by code.";
        text.by_code("subak_appends_failed_total", help, &lock(&self.failed));
        self.histogram(&mut text);
        of_ledgers(&mut text, ledgers);
        text.0
    }

    fn histogram(&self, text: &mut Text) {
        const NAME: &str = "subak_append_duration_seconds";
        text.family(NAME, "histogram", "From a statement's arrival to its answer.");
        let mut below = 0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(&self.durations) {
            below += bucket.load(Relaxed);
            text.sample(&format!("{NAME}_bucket"), &[("le", &bound)], below);
        }
        text.sample(&format!("{NAME}_sum"), &[], seconds(self.total.load(Relaxed)));
        // The sum of the buckets that were read: a count of its own could disagree with them.
        text.sample(&format!("{NAME}_count"), &[], below);
    }
}

fn of_ledgers(text: &mut Text, ledgers: &[Figures]) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Figures) -> Option<String>| {
        text.family(name, "gauge", help);
        for ledger in ledgers {
            if let Some(value) = value(ledger) {
                let labels = [("ledger", &*ledger.id.to_string()), ("name", &*ledger.name)];
                text.sample(name, &labels, value);
            }
        }
    };
    gauge("subak_ledger_entries", "Entries.", &|l| Some(l.size.to_string()));
    let help = "Entries under the newest checkpoint that is given out.";
    gauge("subak_ledger_checkpoint_entries", help, &|l| l.signed.map(|size| size.to_string()));
    let help = "When the last entry was recorded, seconds since 1970.";
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    gauge("subak_ledger_recorded_seconds", help, &|l| Some(seconds(l.recorded_at)));
    let help =
        "Of a copy: entries that its source had when it last answered, and that are not here.";
    gauge("subak_mirror_lag_entries", help, &|l| {
        Some(l.mirror.as_ref()?.size.saturating_sub(l.size).to_string())
    });
    let help = "Of a copy: when its source last answered, seconds since 1970.";
    gauge("subak_mirror_heard_seconds", help, &|l| Some(seconds(l.mirror.as_ref()?.heard_at)));
    let help =
        "Of a copy: 1 while something is wrong, which the log and `subak peer list --node` tell.";
    gauge("subak_mirror_trouble", help, &|l| {
        Some(u8::from(!l.mirror.as_ref()?.trouble.is_empty()).to_string())
    });
    let help = "Agreements under which something waits to be relayed to the ledger.";
    gauge("subak_agreements_waiting", help, &|l| Some(l.waiting.to_string()));
    let help = "Agreements that are frozen: two stories under one number.";
    gauge("subak_agreements_frozen", help, &|l| Some(l.frozen.to_string()));
    let help = "Numbers that payers' ledgers here hold for the ledger, not taken yet.";
    gauge("subak_numbers_in_flight", help, &|l| Some(l.in_flight.to_string()));
}

/// Microseconds as seconds, without a float.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn by_code(&mut self, name: &str, help: &str, codes: &BTreeMap<String, u64>) {
        self.family(name, "counter", help);
        for (code, count) in codes {
            self.sample(name, &[("code", code)], count);
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_buckets_that_hold_them() {
        let metrics = Metrics::default();
        let refused = NodeError::Refused {
            code: "expired".into(),
            message: String::new(),
            next: String::new(),
        };
        for micros in [1, 500, 501, 1_000_000, 30_000_000, 30_000_001] {
            metrics.count(Duration::from_micros(micros), &Err(refused.clone()));
        }
        let text = metrics.text(0, &[]);
        for line in [
            "subak_append_duration_seconds_bucket{le=\"0.0005\"} 2",
            "subak_append_duration_seconds_bucket{le=\"0.001\"} 3",
            "subak_append_duration_seconds_bucket{le=\"0.5\"} 3",
            "subak_append_duration_seconds_bucket{le=\"1\"} 4",
            "subak_append_duration_seconds_bucket{le=\"30\"} 5",
            "subak_append_duration_seconds_bucket{le=\"+Inf\"} 6",
            "subak_append_duration_seconds_sum 61.001003",
            "subak_append_duration_seconds_count 6",
            "subak_appends_refused_total{code=\"expired\"} 6",
            "subak_appends_acknowledged_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut text = Text::default();
        text.sample("m", &[("a", "x\"} 1\nb\\")], 0);
        assert_eq!(text.0, "m{a=\"x\\\"} 1\\nb\\\\\"} 0\n");
    }
}
