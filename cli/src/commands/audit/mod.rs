//! `subak audit`: everything that a ledger file, a bundle or a node holds, judged from raw bytes.
//!
//! Owns targets, trust and memory as they are given on the command line, and the order of the steps:
//! open all, audit each, hold histories of one ledger against each other and the ledgers against
//! one another, remember what is sound. Guarantees that a target that fails keeps no other from
//! being judged.
//! Leaves out the audit itself (`ledger::audit`).

mod proof;
mod split;
mod stories;
mod table;
mod target;
mod tell;

use crate::{
    context::Context,
    failure::{Done, Failure},
    memory::Memory,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proof::Sent;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _},
    path::PathBuf,
};
use subak_ledger::{
    audit::{self, Audit as Found, LedgerReport, Options, Seen, Severity, Table, Verdict},
    log::{LedgerId, PublicKey, checkpoint::claimed_size, policy::Policy},
};
use target::{Source, Target};
use tell::Pinned;

/// Verify every byte, signature, rule and cent.
///
/// A target is a ledger file, a bundle, a node's URL, a fraud proof, or evidence of two stories. A fault is a broken rule;
/// a gap is something that could not be judged; neither is silent. Several targets that hold one
/// ledger are held against each other, and the two sides of each agreement are compared, wherever
/// they are: what is due, taken, on its way, sent, received, open, overdue. What was judged sound is remembered: the next time the
/// log must go on from there, its old signatures are not checked again, and its operator must be the
/// same. An operator who was proven to have signed two histories stays accused. Without --expect or
/// --trust-file a sound ledger is consistent in itself, and its operator is not authenticated.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak audit subak.db\n  subak audit http://commons.example:7117 --expect <operator's public key>\n  subak audit http://commons.example:7117 http://mirror.example:7117 --trust-file trust.txt\n  subak audit phyle.db commons.subak https://upstream.example:7117\n  subak audit ours.subak --no-memory --json\n  subak audit our-commons.fraud-proof --expect <operator's public key>\n\nExit status: 0 sound, 1 fault, 3 gap, 4 a target is not there or cannot be read (the others are judged all the same; 1 if one of them is at fault)."
)]
pub struct Audit {
    /// Ledger files, bundles, nodes' URLs, or one fraud proof; all ledgers in each are judged,
    /// whatever --ledger says [default: what --db or --node names]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Where what was seen is remembered [default: `seen` in the home folder]
    #[arg(long, env = "SUBAK_MEMORY", value_name = "DIR")]
    memory: Option<PathBuf>,
    /// Remember nothing, and go by nothing remembered
    #[arg(long)]
    no_memory: bool,
    /// Check every signature, also those that were checked before
    #[arg(long)]
    full: bool,
    /// Where to write the proof if one operator signed two histories [default: LEDGER.fraud-proof]
    #[arg(long, value_name = "FILE")]
    fraud_out: Option<PathBuf>,
}

/// What is to be done, on a thread that may wait.
pub(super) struct Job {
    targets: Vec<Target>,
    expect: Vec<PublicKey>,
    policy: Option<Policy>,
    memory: Option<Memory>,
    full: bool,
    fraud_out: Option<PathBuf>,
    bar: ProgressBar,
}

/// What judges a file that somebody sent.
type Judge = fn(&Sent<'_>) -> Done;

/// A target that could not be judged, and why.
type Missed = (Target, Failure);

/// What came of a job.
pub(super) struct Judged {
    /// For each of the job's targets.
    found: Vec<Found>,
    /// And the ledgers that are copies there, with the URLs that they are copied from: its word.
    copies: Vec<BTreeMap<LedgerId, String>>,
    proofs: split::Proofs,
    table: Table,
    missed: Vec<Missed>,
}

impl Audit {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let named = match &self.targets[..] {
            [] => vec![cx.global.node.clone().unwrap_or_else(|| cx.db().display().to_string())],
            named => named.to_vec(),
        };
        let targets: Vec<Target> = named.iter().map(|named| Target::of(named)).collect();
        let policy = cx.trust.policy().cloned();
        let folder = self.memory.clone().unwrap_or_else(|| cx.memory_folder());
        let memory = if self.no_memory { None } else { Some(Memory::read(&folder)?) };
        let judges = [
            (targets.iter().find_map(Target::proof), "a fraud proof", proof::judge as Judge),
            (targets.iter().find_map(Target::stories), "evidence of two stories", stories::judge),
        ];
        for (file, what, judge) in judges {
            let Some(path) = file else { continue };
            if targets.len() > 1 {
                let what = format!("{}: {what} is judged by itself", path.display());
                return Err(Failure::usage(what, "audit it alone"));
            }
            return judge(&Sent { cx, path, policy: policy.as_ref(), memory: memory.as_ref() });
        }
        let (mut opened, mut sources, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            match target.open(cx).await {
                Ok(source) => {
                    opened.push(target);
                    sources.push(source);
                }
                Err(failure) if failure.status == 2 => return Err(failure),
                Err(failure) => missed.push((target, failure)),
            }
        }
        let mut job = Job {
            targets: opened,
            expect: if cx.trust.is_file() { Vec::new() } else { cx.trust.keys().to_vec() },
            policy,
            memory,
            full: self.full,
            fraud_out: self.fraud_out,
            bar: bar(!cx.out.json),
        };
        let work = move || {
            let done = job.run(sources, missed);
            done.map(|judged| (job, judged))
        };
        let (job, mut judged) = tokio::task::spawn_blocking(work).await.map_err(|e| {
            Failure::world("audit", format!("the audit broke off: {e}"), "report this")
        })??;
        let found = std::mem::take(&mut judged.found);
        let (kept, failed) = job.remember(&found);
        for failed in judged.proofs.failed.iter().chain(&failed) {
            cx.out.note(failed);
        }
        let all: Vec<(String, Found)> =
            job.targets.iter().map(ToString::to_string).zip(found).collect();
        let verdict = all.iter().map(|(_, a)| a.verdict).max().unwrap_or(Verdict::Sound);
        // Who reads the verdict alone must not take what was not looked at for sound.
        let least = if judged.missed.is_empty() { Verdict::Sound } else { Verdict::Gap };
        let told = verdict.max(least);
        let data = tell::data(told, &all, &judged);
        let text = tell::text(cx, &all, &judged, &|id| job.pinned(id, &kept));
        cx.out.result("subak.audit/1", &data, &text)?;
        match status(verdict, &judged.missed) {
            0 => Ok(()),
            status => Err(Failure::told(status)),
        }
    }
}

/// The exit status: a fault before what is worth a retry, that before a gap.
fn status(verdict: Verdict, missed: &[Missed]) -> u8 {
    let judged = match verdict {
        Verdict::Sound => 0,
        Verdict::Gap => 3,
        Verdict::Fault => 1,
    };
    let all: Vec<u8> =
        missed.iter().map(|(_, f)| f.status).chain((judged > 0).then_some(judged)).collect();
    [1, 4, 3].into_iter().find(|status| all.contains(status)).unwrap_or(0)
}

fn bar(shown: bool) -> ProgressBar {
    if !shown || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {eta} left");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The sizes of all heads of a ledger that is in several targets: there the roots are compared.
/// Each is only what a note says, and a root that nobody asks for does no harm.
fn sizes(sources: &[Source]) -> BTreeMap<LedgerId, BTreeSet<u64>> {
    let mut sizes: BTreeMap<LedgerId, BTreeSet<u64>> = BTreeMap::new();
    if sources.len() < 2 {
        return sizes;
    }
    for reader in sources.iter().map(Source::reader) {
        // Damage is found by the audit, with its place.
        for row in reader.ledgers().unwrap_or_default() {
            let note = reader.checkpoint(&row.id).ok().flatten();
            let size = note.as_deref().and_then(claimed_size);
            sizes.entry(LedgerId(row.id)).or_default().extend::<Option<u64>>(size);
        }
    }
    sizes
}

impl Job {
    /// Judges what can be judged; an error where nothing can.
    fn run(&mut self, sources: Vec<Source>, mut missed: Vec<Missed>) -> Done<Judged> {
        let sizes = sizes(&sources);
        let seen = self.memory.as_ref().map(Memory::seen).unwrap_or_default();
        let (mut targets, mut judged, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for (target, source) in std::mem::take(&mut self.targets).into_iter().zip(sources) {
            match self.audit(&target, &source, &seen, &sizes) {
                Ok(audit) => {
                    targets.push(target);
                    judged.push(source);
                    found.push(audit);
                }
                Err(failure) => missed.push((target, failure)),
            }
        }
        self.targets = targets;
        if found.is_empty() {
            let first = missed.into_iter().next().map(|(_, failure)| failure);
            return Err(first.expect("there is at least one target"));
        }
        // An operator's ledger may be in any of the targets: only all of them can lack it.
        let ledgers = found.iter().flat_map(|found| &found.ledgers);
        let all = self.policy.is_none() && missed.is_empty();
        let expected = if all { &self.expect[..] } else { &[] };
        let missing = audit::operators(ledgers, expected);
        if let Some(last) = found.last_mut() {
            last.findings.extend(missing);
            last.verdict = audit::verdict(&last.findings);
        }
        let stores: Vec<&dyn subak_ledger::store::Reader> =
            judged.iter().map(Source::reader).collect();
        let forks = audit::forks(&stores);
        for (place, finding) in forks.map_err(Failure::from)? {
            found[place].findings.push(finding);
            found[place].verdict = audit::verdict(&found[place].findings);
        }
        let proofs = split::compare(self, &judged, &mut found)?;
        // Last, so that a copy that was found false counts as one.
        let table = audit::reconcile(&mut found);
        self.bar.finish_and_clear();
        let copies = judged.iter().map(Source::copies).collect();
        Ok(Judged { found, copies, proofs, table, missed })
    }

    fn audit(
        &self,
        target: &Target,
        source: &Source,
        seen: &[Seen],
        sizes: &BTreeMap<LedgerId, BTreeSet<u64>>,
    ) -> Done<Found> {
        let progress = |done: u64, all: u64| {
            self.bar.set_length(all);
            self.bar.set_position(done);
        };
        let options = Options {
            expect_operator: self.expect.clone(),
            several_stores: true,
            policy: self.policy.as_ref(),
            seen,
            full: self.full,
            sizes: sizes.clone(),
            progress: &progress,
            ..Options::default()
        };
        let found = audit::audit(source.reader(), &options);
        let mut found = found.map_err(|error| source.failure(error))?;
        if let (Some(memory), Some(place)) = (&self.memory, target.place()) {
            found.findings.extend(audit::replaced(&found.ledgers, &memory.seen_at(&place)));
            found.verdict = audit::verdict(&found.findings);
        }
        Ok(found)
    }

    /// Remembers every ledger that was judged sound, in a target that was; returns those, and what
    /// could not be kept, in sentences: the verdict stands without it.
    fn remember(&self, found: &[Found]) -> (BTreeSet<LedgerId>, Vec<String>) {
        let (mut kept, mut failed) = (BTreeSet::new(), Vec::new());
        let Some(memory) = &self.memory else { return (kept, failed) };
        let whole = |found: &&Found| {
            found.findings.iter().all(|f| f.ledger.is_some() || f.severity == Severity::Warning)
        };
        for (target, found) in self.targets.iter().zip(found).filter(|(_, found)| whole(found)) {
            let sound =
                |l: &&LedgerReport| tell::verdict_of(&found.findings, Some(l.id)) == Verdict::Sound;
            for report in found.ledgers.iter().filter(sound) {
                match memory.remember(report, target.place().as_deref()) {
                    Ok(()) => drop(kept.insert(report.id)),
                    Err(f) => failed.push(format!(
                        "{}: it could not be remembered: {f}; {}",
                        report.name, f.next
                    )),
                }
            }
        }
        (kept, failed)
    }

    fn pinned(&self, ledger: LedgerId, kept: &BTreeSet<LedgerId>) -> Pinned {
        match &self.memory {
            Some(memory) if memory.of(ledger).is_some() => Pinned::Before,
            Some(_) if kept.contains(&ledger) => Pinned::Now,
            _ => Pinned::No,
        }
    }
}
