//! The audit says sound of what is sound, and names what is not, at its entry.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use subak_ledger::audit::{Audit, Options, Severity, Verdict, audit};

fn errors(audit: &Audit) -> Vec<&str> {
    let worse = audit.findings.iter().filter(|f| f.severity > Severity::Warning);
    worse.map(|f| f.message.as_str()).collect()
}

#[test]
fn two_honest_ledgers_are_sound() {
    let cycle = cycle();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cycle.db");
    in_file(&path, &cycle.logs());
    let seen = std::cell::Cell::new((0, 0));
    let progress = |done, total| seen.set((done, total));
    let options = Options { threads: 2, progress: &progress, ..Options::default() };
    let result = audit(&open(&path), &options).unwrap();
    assert_eq!(errors(&result), Vec::<&str>::new());
    assert_eq!(result.verdict, Verdict::Sound);
    let [c, p] = &result.ledgers[..] else { panic!("two ledgers") };
    for (report, world) in [(c, &cycle.commons), (p, &cycle.phyle)] {
        assert_eq!((report.id, report.size), (world.state.ledger, world.state.size));
        assert_eq!(Some(&report.head), world.state.chain.last());
        assert_eq!(report.root, world.frontier.root());
        assert_eq!(report.checkpoint_size, Some(world.state.size));
        assert_eq!((report.sandbox, report.operator_authenticated), (true, false));
        assert_eq!(report.stopped_book_at, None);
    }
    assert_eq!((c.disclosures.disclosed, c.disclosures.undisclosed), (1, 1));
    let all = c.size + p.size;
    assert_eq!(seen.get(), (all, all));
    let warned: Vec<_> = result.findings.iter().map(|f| f.code.name()).collect();
    assert_eq!(warned, ["single-validator", "unproven-income"]);
}
