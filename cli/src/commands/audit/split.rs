//! Histories of one ledger held against each other: those of the targets, the remembered one, and
//! the one that witnesses have signed.
//!
//! Owns which are compared, and the files of proof. Guarantees that a proof is verified before it
//! is written, that none is overwritten, and that one that the auditor remembers is a fault in
//! every audit of that ledger. Leaves out the comparison and the proof's form.

use super::{Job, target::Source};
use crate::{
    failure::Done,
    files::create,
    memory::{Accused, Memory, Remembered},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use subak_ledger::{
    audit::{self, Audit, Code, Finding, LedgerReport, Verdict},
    log::{
        Checkpoint, LedgerId, PublicKey,
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

/// The proof that an operator of this log has to answer for. Nobody sheds one by handing over to
/// another key; those whom the stewards have replaced do not answer for it here any more. What a
/// key signs after its time says nothing of a log that it has no say in.
fn answers_for<'m>(memory: &'m Memory, report: &LedgerReport) -> Option<&'m Accused> {
    let mut end = u64::MAX;
    for tenure in &report.operators {
        let key = PublicKey::admit(&tenure.key).ok()?;
        let accused = memory.accused(report.id, &key);
        if accused.is_some_and(|it| it.smaller < end) {
            return accused;
        }
        if !tenure.consented {
            return None;
        }
        end = tenure.from;
    }
    None
}

/// Who was once proven to have signed two histories stays accused when only one of them is shown.
fn accused(job: &Job, found: &mut [Audit], written: &mut Proofs) {
    let Some(memory) = &job.memory else { return };
    for found in found {
        for report in &found.ledgers {
            let Some(accused) = answers_for(memory, report) else { continue };
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
        let one_key = one.operator == other.operator;
        let stands = |side: usize| {
            let own = found[side].findings.iter().filter(|f| f.ledger == Some(one.id));
            audit::verdict(own) != Verdict::Fault
        };
        // Of different operators a copy that is at fault itself says nothing of the other one.
        let both_stand = stands(earlier) && stands(later);
        if !one_key && !both_stand {
            continue;
        }
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
        let proven = proof.is_some();
        match proof {
            Some(proof) => {
                if let Some(file) = write(job, &one, &proof, written) {
                    detail += &format!("; the fraud proof is in {}", file.display());
                }
            }
            None => detail += "; no proof that stands alone follows from them: keep both",
        }
        let finding = if one_key || proven { audit::split_view } else { audit::histories_part };
        for side in [earlier, later] {
            found[side].findings.push(finding(one.id, entry, &detail));
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
    let (Some((head_a, _)), Some((head_b, _))) = (&a.signed, &b.signed) else {
        return Ok((None, None));
    };
    let sizes = [head_a.size, head_b.size];
    let parting = audit::parting(ledger, [one.reader(), other.reader()], sizes);
    // Of two readers, either may have failed; only a node keeps why.
    let parting = parting.map_err(|e| match (one, other) {
        (Source::Node(_), _) => one.failure(e),
        _ => other.failure(e),
    })?;
    let mut proof = None;
    for key in shared(a, b) {
        let (Some((head_a, note_a)), Some((head_b, note_b))) = (a.head_of(&key), b.head_of(&key))
        else {
            continue;
        };
        // Under the newest heads it is known already.
        let apart = match [head_a.size, head_b.size] {
            these if these == sizes => parting.clone(),
            these => audit::parting(ledger, [one.reader(), other.reader()], these).ok().flatten(),
        };
        proof = FraudProof::new(ledger, &key, [note_a, note_b], apart).ok();
        if proof.is_some() {
            break;
        }
    }
    Ok((parting, proof))
}

/// The operators of both, the newest of the first one first.
fn shared(a: &LedgerReport, b: &LedgerReport) -> Vec<PublicKey> {
    let both = a.operators.iter().filter(|one| b.operators.iter().any(|it| it.key == one.key));
    both.filter_map(|tenure| PublicKey::admit(&tenure.key).ok()).collect()
}

/// The remembered head against the log: its last leaf holds the chain hash of all before it, so
/// it is another one in any other history.
fn since_seen(
    source: &Source,
    report: &LedgerReport,
    seen: &Remembered,
) -> Done<Option<FraudProof>> {
    let (head, operator) = (&seen.seen.head, &seen.seen.operator);
    // Under its own key: an operator who has handed over has signed the head at which it did.
    let (Some((now, note)), Some(root)) = (report.head_of(operator), report.roots.get(&head.size))
    else {
        return Ok(None);
    };
    if *root == head.root || now.size < head.size {
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
    let Some(note) = note else { return Ok(None) };
    let keys = report.operators.iter().filter_map(|it| PublicKey::admit(&it.key).ok());
    let signed = |key: &PublicKey| Checkpoint::open(&note, report.id, key).ok();
    let found = keys.into_iter().find_map(|key| Some((signed(&key)?, key)));
    let Some((head, operator)) = found else { return Ok(None) };
    let Some((now, newest)) = report.head_of(&operator) else { return Ok(None) };
    let here = report.roots.get(&head.size);
    if head.size > now.size || here.is_none_or(|root| *root == head.root) {
        return Ok(None);
    }
    let notes = [note.as_str(), newest];
    if head.size == now.size {
        return Ok(FraudProof::new(report.id, &operator, notes, None).ok());
    }
    let prefix = audit::begins(report.id, source.reader(), [head.size, now.size]);
    let prefix = prefix.map_err(|e| source.failure(e))?;
    Ok(prefix.and_then(|prefix| FraudProof::of_prefix(report.id, &operator, notes, prefix).ok()))
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
