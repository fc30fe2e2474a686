//! One ledger: its layers put together.
//!
//! Owns what is said of a ledger in all, and the fold of a log that is fed entry by
//! entry, which a mirror can use as well. Guarantees the order of the layers. Leaves
//! out each layer's own checks.

use super::{
    Options,
    book::Book,
    damage_is_found,
    disclosures::{self, Disclosures},
    entries::{Completed, Entries},
    examine::Examined,
    finding::{Code, Finding, Findings, Severity},
    nodes::StoredNodes,
    pool::Pool,
    seen::Seen,
    side::{Heard, Side},
    witnessed::{self, Witnessed},
};
use crate::{
    book::{handover::Tenure, types::AgentKind},
    dense::DenseMap,
    log::{Checkpoint, Hash, LedgerId, PublicKey},
    store::{LedgerRow, Reader, StoreError},
};
use std::collections::{BTreeMap, BTreeSet};

/// Entries, and bytes, that go to a thread at once: enough to outweigh the handing
/// over, little enough to keep every core busy on a small log.
const CHUNK: (usize, usize) = (64, 1 << 16);

/// What is said of a ledger in all. Hashes are recomputed, not read.
#[derive(Debug, Clone)]
pub struct LedgerReport {
    /// The ledger.
    pub id: LedgerId,
    /// The handle that the store lists it under.
    pub name: String,
    /// What keeps it; none if its genesis could not be read.
    pub kind: Option<AgentKind>,
    /// Entries that were found.
    pub size: u64,
    /// Chain hash of the last entry; zeros if it cannot be computed.
    pub head: Hash,
    /// Root of the tree over all leaves.
    pub root: Hash,
    /// Entries that the operator has signed; none without a checkpoint that holds.
    pub checkpoint_size: Option<u64>,
    /// `recorded_at` of the last entry, in milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: Option<u64>,
    /// Whether times may have been chosen.
    pub sandbox: bool,
    /// The operator: who signs the newest head, here the stored checkpoint.
    pub operator: Option<PublicKey>,
    /// That one first, and those before whose word leads to it: by their own handover, or by their
    /// stewards', which the book has judged.
    pub operators: Vec<Tenure>,
    /// All whom the log names, by right or not.
    pub named: Vec<Hash>,
    /// Heads of this log that operators before that one have signed: the key, and the note.
    pub handed: Vec<(PublicKey, String)>,
    /// Whether the caller expected this operator. If not, a sound log is only
    /// consistent in itself.
    pub operator_authenticated: bool,
    /// Disclosed texts.
    pub disclosures: Disclosures,
    /// The entry from which on the book was not judged.
    pub stopped_book_at: Option<u64>,
    /// Signatures of statements that were checked now; fewer than entries where those before a
    /// remembered head were not checked again.
    pub signatures_checked: u64,
    /// The size of the remembered head that this log goes on from.
    pub seen: Option<u64>,
    /// What the witnesses of the caller's trust file have signed of it.
    pub witnessed: Option<Witnessed>,
    /// The checkpoint whose signature holds: what it says, and the whole note.
    pub signed: Option<(Checkpoint, String)>,
    /// Of the last leaf that the checkpoint covers: its hash, and its path to the signed root. It
    /// holds the chain hash of all before it, so whoever keeps it can prove any rewrite.
    pub last_leaf: Option<(Hash, Vec<Hash>)>,
    /// Recomputed roots by size: at the checkpoint's, and those asked for ([`Options::sizes`]).
    pub roots: BTreeMap<u64, Hash>,
}

impl LedgerReport {
    /// The newest head of this log that an operator has signed, as far as it is at hand: what it
    /// says, and the note. The root is one of [`LedgerReport::roots`] where it was asked for.
    pub fn head_of(&self, key: &PublicKey) -> Option<(Checkpoint, &str)> {
        if self.operator.as_ref() == Some(key) {
            return self.signed.as_ref().map(|(head, note)| (*head, note.as_str()));
        }
        let (_, note) = self.handed.iter().find(|(before, _)| before == key)?;
        Some((Checkpoint::open(note, self.id, key).ok()?, note))
    }
}

/// A ledger's audit, fed entry by entry. A clone is cheap but for what it collects.
#[derive(Debug, Clone)]
pub struct LedgerAudit {
    row: LedgerRow,
    entries: Entries,
    book: Book,
    findings: Findings,
    commitments: DenseMap<Hash, u64>,
    heard: BTreeMap<Hash, Heard>,
}

impl LedgerAudit {
    /// The audit of a log that is listed as `row` and has this checkpoint.
    pub fn new(row: LedgerRow, checkpoint: Option<String>) -> Self {
        Self::with_sizes(row, checkpoint, BTreeSet::new())
    }

    /// As [`LedgerAudit::new`]; the report will have the roots at these sizes.
    pub(super) fn with_sizes(
        row: LedgerRow,
        checkpoint: Option<String>,
        sizes: BTreeSet<u64>,
    ) -> Self {
        let id = LedgerId(row.id);
        Self {
            row,
            entries: Entries::new(id, checkpoint, sizes),
            book: Book::default(),
            findings: Findings::new(Some(id)),
            commitments: DenseMap::default(),
            heard: BTreeMap::new(),
        }
    }

    /// Takes the next entry; returns the tree nodes that it completes, as level, index
    /// and hash.
    pub fn push(&mut self, examined: &Examined) -> Vec<(u32, u64, Hash)> {
        let (sound, nodes) = self.entries.push(examined, &mut self.findings);
        self.book.push(examined, sound, &mut self.findings);
        self.collect(examined);
        nodes
    }

    /// After the last entry: the checkpoint, the accounts.
    pub fn finish(&mut self) {
        self.entries.finish(&mut self.findings);
        self.book.finish(&self.row.name, &mut self.findings);
    }

    /// What was found so far.
    pub fn findings(&self) -> &[Finding] {
        self.findings.list()
    }

    fn collect(&mut self, e: &Examined) {
        for commitment in &e.facts.commitments {
            if self.commitments.get(commitment).is_none() {
                self.commitments.insert(*commitment, e.seq);
            }
        }
        let at = e.leaf.as_ref().map_or(0, |leaf| leaf.recorded_at);
        Heard::collect(&mut self.heard, e, at);
    }

    /// Whether it is a rule of the book that the entry breaks.
    fn is_refused(&self, entry: u64) -> bool {
        let broken = |f: &Finding| f.code == Code::Rule && f.entry == Some(entry);
        self.findings.list().iter().any(broken)
    }

    /// The operators, the newest first, as far as one's word leads to the next.
    fn line(&self) -> Vec<PublicKey> {
        keys(self.entries.line(self.book.stopped.unwrap_or(u64::MAX)))
    }

    /// Whether the operator is one that the caller trusts for this ledger, or follows one.
    fn expect(&mut self, options: &Options<'_>) -> bool {
        let line = self.line();
        let Some(operator) = line.first() else { return false };
        let trusted = options.trusted(LedgerId(self.row.id));
        let expected =
            trusted.as_ref().is_some_and(|keys| line.iter().any(|key| keys.contains(key)));
        if trusted.as_ref().is_some_and(|keys| !expected && self.follows_unjudged(keys)) {
            self.unjudged(operator);
        } else if trusted.is_some() && !expected {
            let detail = format!("found {}", hex::encode(operator.bytes()));
            self.findings.add(Code::OperatorUnexpected, Some(0), &detail);
        }
        expected
    }

    /// Whether the operator is in the place of one of these, but the book could not say by what right.
    /// Where it breaks a rule, that is the fault.
    fn follows_unjudged(&self, keys: &[PublicKey]) -> bool {
        let fault = self.findings.list().iter().any(|found| found.severity == Severity::Fault);
        !fault && self::keys(self.entries.line(u64::MAX)).iter().any(|key| keys.contains(key))
    }

    fn unjudged(&mut self, operator: &PublicKey) {
        let detail = format!("to {}", hex::encode(operator.bytes()));
        self.findings.add(Code::HandoverUnjudged, self.book.stopped, &detail);
    }

    /// The log against the head that is remembered of it; the size if it goes on from there.
    fn compare(&mut self, seen: &Seen, authenticated: bool) -> Option<u64> {
        let line = self.line();
        // An old copy names one who has signed before what was seen: it is old, and no other one's.
        let earlier = line.first().is_some_and(|key| seen.former.contains(key));
        let known = authenticated || earlier || line.contains(&seen.operator);
        let follows = !known && self.follows_unjudged(std::slice::from_ref(&seen.operator));
        if let Some(operator) = line.first().filter(|_| follows) {
            self.unjudged(operator);
        } else if let Some(operator) = line.first().filter(|_| !known) {
            let (expected, found) = (seen.operator.bytes(), operator.bytes());
            let detail =
                format!("expected {}, found {}", hex::encode(expected), hex::encode(found));
            self.findings.add(Code::OperatorChanged, Some(0), &detail);
        }
        let (head, size) = (&seen.head, self.entries.frontier.size());
        let Some(root) = self.entries.roots.get(&head.size) else {
            let detail = format!("expected at least {} entries, found {size}", head.size);
            self.findings.add(Code::OlderThanSeen, None, &detail);
            return None;
        };
        if *root != head.root {
            let (expected, found) = (hex::encode(head.root), hex::encode(root));
            let detail = format!("{} entries, expected root {expected}, found {found}", head.size);
            self.findings.add(Code::RewrittenSinceSeen, None, &detail);
            return None;
        }
        Some(head.size)
    }

    fn report(
        &mut self,
        operator_authenticated: bool,
        disclosures: Disclosures,
        seen: Option<u64>,
        witnessed: Option<Witnessed>,
    ) -> LedgerReport {
        let root = self.book.state.root.as_deref();
        LedgerReport {
            id: LedgerId(self.row.id),
            name: self.row.name.clone(),
            kind: root.map(|root| root.kind),
            size: self.entries.frontier.size(),
            head: self.entries.chain.unwrap_or_default(),
            root: self.entries.frontier.root(),
            checkpoint_size: self.entries.signed_size(),
            recorded_at: (self.entries.next > 0).then_some(self.entries.time),
            sandbox: root.is_some_and(|root| root.sandbox),
            operator: self.entries.operator(),
            operators: self.entries.line(self.book.stopped.unwrap_or(u64::MAX)),
            named: self.entries.line(u64::MAX).iter().map(|tenure| tenure.key).collect(),
            handed: self
                .entries
                .handed()
                .filter_map(|(key, note)| Some((PublicKey::admit(&key).ok()?, note.to_owned())))
                .collect(),
            operator_authenticated,
            disclosures,
            stopped_book_at: self.book.stopped,
            signatures_checked: self.entries.signatures,
            seen,
            witnessed,
            signed: self.entries.signed().map(|(head, note)| (head, note.to_owned())),
            last_leaf: self.entries.last_leaf.take(),
            roots: std::mem::take(&mut self.entries.roots),
        }
    }
}

fn keys(tenures: Vec<Tenure>) -> Vec<PublicKey> {
    tenures.iter().filter_map(|tenure| PublicKey::admit(&tenure.key).ok()).collect()
}

/// Audits one ledger of a store. What an earlier audit has judged sound is spared the checking
/// of signatures; where anything is at fault, nothing is spared: then the log is read anew, so
/// that what is found does not depend on what is remembered.
pub(super) fn audit(
    reader: &dyn Reader,
    row: LedgerRow,
    options: &Options<'_>,
    pool: &Pool,
    progress: &mut dyn FnMut(u64),
) -> Result<(LedgerReport, Side, Findings), StoreError> {
    let seen = options.seen.iter().find(|seen| seen.head.ledger.0 == row.id);
    let first = seen.filter(|_| !options.full).map_or(0, |seen| seen.head.size);
    let begun = (seen, first);
    let found = audit_from(reader, row.clone(), options, begun, pool, progress)?;
    if first == 0 || found.2.list().iter().all(|f| f.severity != Severity::Fault) {
        return Ok(found);
    }
    audit_from(reader, row, options, (seen, 0), pool, &mut |_| {})
}

fn audit_from(
    reader: &dyn Reader,
    row: LedgerRow,
    options: &Options<'_>,
    (seen, first): (Option<&Seen>, u64),
    pool: &Pool,
    progress: &mut dyn FnMut(u64),
) -> Result<(LedgerReport, Side, Findings), StoreError> {
    let id = LedgerId(row.id);
    let mut early = Findings::new(Some(id));
    let note = damage_is_found(reader.checkpoint(&row.id), &mut early)?.flatten();
    let mut sizes = options.sizes.get(&id).cloned().unwrap_or_default();
    sizes.extend(seen.map(|seen| seen.head.size));
    let seen_by = damage_is_found(reader.witnessed(&row.id), &mut early)?.flatten();
    sizes.extend(witnessed::sizes(seen_by.as_deref()));
    sizes.remove(&0); // no entry completes the empty tree
    let mut it = LedgerAudit { findings: early, ..LedgerAudit::with_sizes(row, note, sizes) };
    let complete = read_log(&mut it, reader, pool, first, progress)?;
    it.finish();
    let whole = complete && it.entries.readable && it.entries.gapless;
    let (book, found) = (&it.book.state, &mut it.findings);
    let judged = disclosures::judge(reader, id, &it.commitments, whole, book, found);
    let disclosures = damage_is_found(judged, &mut it.findings)?.unwrap_or_default();
    let authenticated = it.expect(options);
    let goes_on = seen.and_then(|seen| it.compare(seen, authenticated));
    let (log, found) = (&it.entries, &mut it.findings);
    let witnessed = witnessed::judge(id, seen_by.as_deref(), options.policy, log, found);
    let report = it.report(authenticated, disclosures, goes_on, witnessed);
    let book = it.book.stopped.is_none().then_some(&it.book.state);
    let stopped = it.book.stopped.map(|at| (at, it.is_refused(at)));
    let side = Side::new(&report, whole, stopped, it.heard, book);
    Ok((report, side, it.findings))
}

/// Reads ahead, examines on all cores, folds in order. Returns whether all of the log
/// could be read.
fn read_log(
    it: &mut LedgerAudit,
    reader: &dyn Reader,
    pool: &Pool,
    first: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<bool, StoreError> {
    let id = it.row.id;
    let mut nodes = reader.keeps_nodes().then(|| StoredNodes::new(reader, id));
    let mut queue = pool.queue(first);
    let (mut from, mut more, mut complete) = (0, true, true);
    loop {
        while more && !queue.is_full() {
            let page = reader.entries(&id, from, CHUNK.0, CHUNK.1);
            let page = damage_is_found(page, &mut it.findings)?;
            complete &= page.is_some();
            let page = page.unwrap_or_default();
            // A hostile file can number a row so high that it comes after itself.
            let Some(last) = page.last().filter(|last| last.seq >= from) else {
                more = false;
                continue;
            };
            from = last.seq.saturating_add(1);
            queue.put(page);
        }
        let Some(examined) = queue.take() else { break };
        for e in &examined {
            let completed = it.push(e);
            compare_nodes(it, &mut nodes, &completed)?;
        }
        progress(examined.len() as u64);
    }
    if let Some(nodes) = nodes.filter(|_| complete) {
        for detail in damage_is_found(nodes.excess(), &mut it.findings)?.unwrap_or_default() {
            it.findings.add(Code::TreeNode, None, &detail);
        }
    }
    Ok(complete)
}

/// Compares until an entry is missing: from there on it is another tree.
fn compare_nodes(
    it: &mut LedgerAudit,
    nodes: &mut Option<StoredNodes<'_>>,
    completed: &[Completed],
) -> Result<(), StoreError> {
    if !it.entries.gapless {
        *nodes = None;
    }
    let Some(stored) = nodes.as_mut() else { return Ok(()) };
    for (level, index, hash) in completed {
        let compared = stored.compare(*level, *index, hash);
        let Some(wrong) = damage_is_found(compared, &mut it.findings)? else {
            *nodes = None;
            return Ok(());
        };
        if let Some(detail) = wrong {
            // The entry that completed the node.
            it.findings.add(Code::TreeNode, it.entries.next.checked_sub(1), &detail);
        }
    }
    Ok(())
}
