//! The audit: everything that a store holds, judged from its raw bytes.
//!
//! Owns the order of the layers and the verdict. Guarantees that no stored hash is
//! compared with itself, that a broken rule (a fault) and what could not be judged (a
//! gap) are told apart and neither is silent, and that after the first fault the book
//! stops while the log layers go on to the end. Pure over a [`Reader`]: no clock, no
//! printing. What only its caller can know is told it ([`Options`]): which operators to trust, and
//! which heads were seen before. Leaves out where those are kept.
//!
//! ```text
//! reader ──chunks──> pool: hashes, signatures, form ──in order──> entries: chain, tree, time
//!    │                     (all cores)                               │
//!    ├── stored nodes <──────────── compared ────────────────────────┤
//!    │                                                               v
//!    └── disclosures, checkpoint <─── at the end ───────────────── book: rules, accounts
//!                                                                    v
//!                                         reconcile: between all ledgers of all targets
//! ```

mod book;
mod disclosures;
mod entries;
mod examine;
mod finding;
mod forks;
mod ledger;
mod nodes;
mod pair;
mod parting;
mod pool;
mod reconcile;
mod seen;
mod side;
mod table;
mod witnessed;
mod worth;

pub use disclosures::Disclosures;
pub use examine::{Examined, examine};
pub use finding::{Code, Finding, MOST, Severity};
pub use forks::{Citing, forks};
pub use ledger::{LedgerAudit, LedgerReport};
pub use parting::{begins, contradict, histories_part, parting, placed, split_view};
pub use reconcile::reconcile;
pub use seen::{Seen, replaced};
pub use side::Side;
pub use table::{Owing, Row, Standing, Table, Total};
pub use witnessed::Witnessed;

use crate::{
    log::{Hash, LedgerId, PublicKey, policy::Policy},
    store::{Kind, Reader, StoreError},
};
use finding::Findings;
use pool::Pool;
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

/// What the audit says of all ledgers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Everything was judged, and no rule is broken.
    Sound,
    /// No rule was seen broken, but something could not be judged.
    Gap,
    /// A rule is broken.
    Fault,
}

impl Verdict {
    /// The word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Gap => "gap",
            Self::Fault => "fault",
        }
    }
}

/// The result of an audit.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The worst that was found.
    pub verdict: Verdict,
    /// The ledgers, in the order of the store.
    pub ledgers: Vec<LedgerReport>,
    /// The file's findings first, then each ledger's, in the order of the log; last those between
    /// ledgers.
    pub findings: Vec<Finding>,
    /// What is kept of each ledger to hold it against others; empty once [`reconcile`] has.
    pub sides: Vec<Side>,
}

/// How to audit.
pub struct Options<'a> {
    /// Threads that verify signatures; 0: as many as the machine has cores.
    pub threads: usize,
    /// Operators that the caller trusts: each must have a ledger here, and each ledger
    /// one of them. None: a sound log is only consistent in itself, its operator is not
    /// authenticated, and a ledger that was taken out whole is not missed.
    pub expect_operator: Vec<PublicKey>,
    /// The ledger of an expected operator may be in another store, one that names the same key
    /// too, the other side of an agreement, and the parent of a fork. For whoever audits several,
    /// and asks [`operators`], [`reconcile`] and [`forks`] of all of them at the end.
    pub several_stores: bool,
    /// A trust file; it alone decides then, and not `expect_operator`.
    pub policy: Option<&'a Policy>,
    /// Heads that this auditor has judged sound before, one a ledger. Each log must go on from
    /// its own; up to it, signatures are not checked again.
    pub seen: &'a [Seen],
    /// Check every signature, whatever was seen.
    pub full: bool,
    /// Sizes at which the roots are wanted in the report, to compare with other heads.
    pub sizes: BTreeMap<LedgerId, BTreeSet<u64>>,
    /// Called now and then with entries done and entries in all.
    pub progress: &'a dyn Fn(u64, u64),
}

impl Default for Options<'_> {
    fn default() -> Self {
        let progress = &|_, _| {};
        Self {
            threads: 0,
            expect_operator: Vec::new(),
            several_stores: false,
            policy: None,
            seen: &[],
            full: false,
            sizes: BTreeMap::new(),
            progress,
        }
    }
}

impl Options<'_> {
    /// The operators that are believed for a ledger; none where any is.
    fn trusted(&self, ledger: LedgerId) -> Option<Vec<PublicKey>> {
        match self.policy {
            Some(policy) => Some(policy.operators(ledger).cloned().collect()),
            None => Some(self.expect_operator.clone()).filter(|keys| !keys.is_empty()),
        }
    }
}

/// Audits all ledgers of a store. `reader` must show one state throughout
/// (`SqliteReader::freeze`). Damage is a finding; only a failing world is an error.
pub fn audit(reader: &dyn Reader, options: &Options<'_>) -> Result<Audit, StoreError> {
    let mut whole = Findings::new(None);
    let rows = damage_is_found(reader.ledgers(), &mut whole)?.unwrap_or_default();
    let mut total: u64 = 0;
    for row in &rows {
        // A head that cannot be read is found again, with its place, when its entry is.
        let size = reader.head(&row.id).or_else(only_damage)?.size;
        // It may be no more than what the file says of itself.
        total = total.saturating_add(size);
    }
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let mut done: u64 = 0;
    let mut progress = |more: u64| {
        done = done.saturating_add(more);
        (options.progress)(done, total);
    };
    let (mut reports, mut sides, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let mut forked = Vec::new();
    let inspected = thread::scope(|scope| {
        let inspection = scope.spawn(reader.inspection());
        let pool = Pool::start(scope, threads);
        for row in rows {
            let (report, side, found) = ledger::audit(reader, row, options, &pool, &mut progress)?;
            reports.push(report);
            sides.push(side);
            findings.push(found);
        }
        Ok(inspection.join().expect("an inspection panicked"))
    })?;
    for sentence in damage_is_found(inspected, &mut whole)?.unwrap_or_default() {
        whole.add(Code::Store, None, &sentence);
    }
    if reports.is_empty() && whole.list().is_empty() {
        whole.add(Code::NoLedger, None, "expected at least one, found none");
    }
    if !options.several_stores {
        for (_, finding) in forks::forks(&[reader])? {
            forked.push(finding);
        }
    }
    let missing = if options.several_stores {
        Vec::new()
    } else {
        // A trust file may name ledgers that nobody meant to audit now.
        let expected = options.policy.map_or(&options.expect_operator[..], |_| &[]);
        operators(&reports, expected)
    };
    let gathered = std::iter::once(whole).chain(findings).flat_map(Findings::close);
    let findings: Vec<Finding> = missing.into_iter().chain(gathered).chain(forked).collect();
    let mut found = Audit { verdict: verdict(&findings), ledgers: reports, findings, sides };
    if !options.several_stores {
        reconcile(std::slice::from_mut(&mut found));
    }
    Ok(found)
}

/// One fault for each expected operator whom no ledger names: a file says nothing of a
/// ledger that somebody took out of it whole, so only who expects it can miss it. And one
/// for each key that several ledgers name, expected or not: either could stand where the
/// other is missing. One ledger in several stores is one.
pub fn operators<'r>(
    ledgers: impl IntoIterator<Item = &'r LedgerReport>,
    expected: &[PublicKey],
) -> Vec<Finding> {
    let mut found: BTreeMap<Hash, BTreeSet<LedgerId>> = BTreeMap::new();
    for ledger in ledgers {
        for key in &ledger.named {
            found.entry(*key).or_default().insert(ledger.id);
        }
    }
    let mut findings = Findings::new(None);
    let expected: BTreeSet<Hash> = expected.iter().map(PublicKey::bytes).collect();
    for key in expected.iter().filter(|key| !found.contains_key(*key)) {
        let detail = format!("expected {}", hex::encode(key));
        findings.add(Code::OperatorMissing, None, &detail);
    }
    for (key, ids) in &found {
        let mut ids = ids.iter();
        if let (Some(one), Some(another)) = (ids.next(), ids.next()) {
            let key = hex::encode(key);
            let more = match ids.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let detail = format!("key {key} is named by ledgers {one} and {another}{more}");
            findings.add(Code::OperatorShared, None, &detail);
        }
    }
    findings.close()
}

/// The worst of these findings, as a verdict.
pub fn verdict<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Verdict {
    match findings.into_iter().map(|finding| finding.severity).max() {
        Some(Severity::Fault) => Verdict::Fault,
        Some(Severity::Gap) => Verdict::Gap,
        Some(Severity::Warning) | None => Verdict::Sound,
    }
}

/// A store that contradicts itself is what an audit is there to find; a failing disk is
/// not.
fn damage_is_found<T>(
    read: Result<T, StoreError>,
    findings: &mut Findings,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::Fault => {
            findings.add(Code::Store, None, &error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn only_damage(error: StoreError) -> Result<crate::store::Head, StoreError> {
    match error.kind() {
        Kind::Fault => Ok(crate::store::Head::EMPTY),
        _ => Err(error),
    }
}
