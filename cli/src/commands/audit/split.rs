//! Histories of one ledger held against each other: those of the targets, the remembered one, and
//! the one that witnesses have signed.
//!
//! Owns which are compared, and the files of proof. Guarantees that a proof is verified before it
//! is written, that none is overwritten, and that one that the auditor remembers is a fault in
//! every audit of that ledger. Leaves out the comparison and the proof's form.

use super::{Job, target::Source};
use crate::{failure::Done, files::create, memory::Remembered};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use subak_ledger::{
    audit::{self, Audit, Code, Finding, LedgerReport},
    log::{
        Checkpoint, LedgerId,
        fraud::{FraudProof, Parting},
    },
};

/// The proofs that were written, and what could not be.
#[derive(Debug, Default)]
pub struct Proofs {
    /// Files, new or with this very proof in them.
    pub files: Vec<PathBuf>,
    /// Sentences about those that could not be written: no reason to keep the verdict back.
    pub failed: Vec<String>,
}

/// Compares every ledger that was found with the same one in other targets, and with what is
/// remembered of it; adds findings, and returns the proofs that were written.
pub fn compare(job: &Job, sources: &[Source], found: &mut [Audit]) -> Done<Proofs> {
    let mut written = Proofs::default();
    for later in 0..found.len() {
        for earlier in 0..later {
            pair(job, [earlier, later], sources, found, &mut written)?;
        }
        let reports = found[later].ledgers.clone();
        for report in reports {
            let source = &sources[later];
            let seen = job.memory.as_ref().and_then(|m| m.of(report.id));
            let rewritten = seen.map(|seen| since_seen(source, &report, seen)).transpose()?;
            let proofs = [rewritten.flatten(), since_witnessed(source, &report)?];
            for proof in proofs.into_iter().flatten() {
                write(job, &report, &proof, &mut written);
            }
        }
    }
    accused(job, found, &mut written);
    Ok(written)
}

/// Who was once proven to have signed two histories stays accused when only one of them is shown.
fn accused(job: &Job, found: &mut [Audit], written: &mut Proofs) {
    let Some(memory) = &job.memory else { return };
    for found in found {
        for report in &found.ledgers {
            // Nobody sheds it by another key.
            let mut line = report.operators.iter();
            let Some(accused) = line.find_map(|key| memory.accused(report.id, key)) else {
                continue;
            };
            let said = |f: &Finding| f.ledger == Some(report.id) && f.code == Code::SplitView;
            if found.findings.iter().any(said) {
                continue;
            }
            let detail = format!(
                "it was proven before, and the fraud proof is in {}; the operator is believed \
                 again only when that file is removed",
                accused.file.display()
            );
            found.findings.push(audit::split_view(report.id, accused.entry, &detail));
            if !written.files.contains(&accused.file) {
                written.files.push(accused.file.clone());
            }
        }
        found.verdict = audit::verdict(&found.findings);
    }
}

fn pair(
    job: &Job,
    [earlier, later]: [usize; 2],
    sources: &[Source],
    found: &mut [Audit],
    written: &mut Proofs,
) -> Done {
    for one in found[earlier].ledgers.clone() {
        let other = found[later].ledgers.iter().find(|other| audit::contradict(&one, other));
        let Some(other) = other.cloned() else { continue };
        let sides = [(&sources[earlier], &one), (&sources[later], &other)];
        let (parting, proof) = prove(one.id, sides)?;
        let targets = [&job.targets[earlier], &job.targets[later]].map(ToString::to_string);
        let entry = parting.map(|parting| parting.index);
        let mut detail = format!(
            "{} has {} entries under root {}, {} has {} under root {}",
            targets[0],
            one.size,
            hex::encode(one.root),
            targets[1],
            other.size,
            hex::encode(other.root)
        );
        match proof {
            Some(proof) => {
                if let Some(file) = write(job, &one, &proof, written) {
                    detail += &format!("; the fraud proof is in {}", file.display());
                }
            }
            None => detail += "; no proof that stands alone follows from them: keep both",
        }
        for side in [earlier, later] {
            found[side].findings.push(audit::split_view(one.id, entry, &detail));
            found[side].verdict = audit::verdict(&found[side].findings);
        }
    }
    Ok(())
}

/// What sets two logs apart; none where one of them does not hold what its head signs.
fn prove(
    ledger: LedgerId,
    sides: [(&Source, &LedgerReport); 2],
) -> Done<(Option<Parting>, Option<FraudProof>)> {
    let [(one, a), (other, b)] = sides;
    let (Some((head_a, note_a)), Some((head_b, note_b))) = (&a.signed, &b.signed) else {
        return Ok((None, None));
    };
    let sizes = [head_a.size, head_b.size];
    let parting = audit::parting(ledger, [one.reader(), other.reader()], sizes);
    // Of two readers, either may have failed; only a node keeps why.
    let parting = parting.map_err(|e| match (one, other) {
        (Source::Node(_), _) => one.failure(e),
        _ => other.failure(e),
    })?;
    let operator = a.operator.as_ref();
    let proof = operator.and_then(|operator| {
        FraudProof::new(ledger, operator, [note_a, note_b], parting.clone()).ok()
    });
    Ok((parting, proof))
}

/// The remembered head against the log: its last leaf holds the chain hash of all before it, so
/// it is another one in any other history.
fn since_seen(
    source: &Source,
    report: &LedgerReport,
    seen: &Remembered,
) -> Done<Option<FraudProof>> {
    let (head, operator) = (&seen.seen.head, &seen.seen.operator);
    let (Some((now, note)), Some(root)) = (&report.signed, report.roots.get(&head.size)) else {
        return Ok(None);
    };
    if *root == head.root {
        return Ok(None);
    }
    let index = head.size.saturating_sub(1);
    let here = audit::placed(report.id, source.reader(), index, now.size);
    let here = here.map_err(|e| source.failure(e))?;
    let first = seen.last.clone();
    let parting = here.map(|second| Parting { index, first, second });
    Ok(FraudProof::new(report.id, operator, [&seen.note, note], parting).ok())
}

/// The head that witnesses have signed against the operator's newest: the operator has signed both,
/// and whoever holds the larger log shows how that begins. Where the witnesses' is the larger one,
/// its log is elsewhere, and no proof follows from this one.
fn since_witnessed(source: &Source, report: &LedgerReport) -> Done<Option<FraudProof>> {
    // What cannot be read was found by the audit.
    let note = source.reader().witnessed(&report.id.0).ok().flatten();
    let (Some((now, newest)), Some(operator), Some(note)) =
        (&report.signed, &report.operator, note)
    else {
        return Ok(None);
    };
    let Ok(head) = Checkpoint::open(&note, report.id, operator) else { return Ok(None) };
    let here = report.roots.get(&head.size);
    if head.size > now.size || here.is_none_or(|root| *root == head.root) {
        return Ok(None);
    }
    let notes = [note.as_str(), newest];
    if head.size == now.size {
        return Ok(FraudProof::new(report.id, operator, notes, None).ok());
    }
    let prefix = audit::begins(report.id, source.reader(), [head.size, now.size]);
    let prefix = prefix.map_err(|e| source.failure(e))?;
    Ok(prefix.and_then(|prefix| FraudProof::of_prefix(report.id, operator, notes, prefix).ok()))
}

/// Writes a proof where it was asked for, once; others lie in the current directory. The auditor
/// remembers it as well: the operator is not sound again tomorrow.
fn write(
    job: &Job,
    report: &LedgerReport,
    proof: &FraudProof,
    written: &mut Proofs,
) -> Option<PathBuf> {
    if let Some(Err(failed)) = job.memory.as_ref().map(|memory| memory.accuse(proof)) {
        let why = format!("{}: the fraud proof could not be remembered: {failed}", report.name);
        written.failed.push(format!("{why}; {}", failed.next));
    }
    let text = proof.to_text();
    let plain = report.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let name = if plain { report.name.clone() } else { report.id.to_string() };
    let names = (1..1_000).map(|n: u32| match n {
        1 => PathBuf::from(format!("{name}.fraud-proof")),
        n => PathBuf::from(format!("{name}-{n}.fraud-proof")),
    });
    let wanted = job.fraud_out.clone().filter(|_| written.files.is_empty());
    for file in wanted.into_iter().chain(names) {
        match create(&file, &text) {
            // The same finding on the next day is the same file.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && !holds(&file, &text) => {}
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                let why = format!("{}: the fraud proof could not be written: {e}", file.display());
                written.failed.push(why);
                return None;
            }
            _ => {
                if !written.files.contains(&file) {
                    written.files.push(file.clone());
                }
                return Some(file);
            }
        }
    }
    written.failed.push("a thousand fraud proofs are here: name a file with --fraud-out".into());
    None
}

fn holds(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|found| found == text)
}
