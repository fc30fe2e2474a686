//! One ledger: its layers put together.
//!
//! Owns what is said of a ledger in all, and the fold of a log that is fed entry by
//! entry, which a mirror can use as well. Guarantees the order of the layers. Leaves
//! out each layer's own checks.

use super::{
    between::{Side, Stated},
    book::Book,
    damage_is_found,
    disclosures::{self, Disclosures},
    entries::{Completed, Entries},
    examine::{Examined, Take},
    finding::{Code, Finding, Findings},
    nodes::StoredNodes,
    pool::Pool,
};
use crate::{
    book::types::AgentKind,
    log::{Hash, LedgerId, PublicKey},
    store::{LedgerRow, Reader, StoreError},
};
use std::collections::BTreeMap;

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
    /// The operator that the genesis names.
    pub operator: Option<PublicKey>,
    /// Whether the caller expected this operator. If not, a sound log is only
    /// consistent in itself.
    pub operator_authenticated: bool,
    /// Disclosed texts.
    pub disclosures: Disclosures,
    /// The entry from which on the book was not judged.
    pub stopped_book_at: Option<u64>,
}

/// A ledger's audit, fed entry by entry. A clone is cheap but for what it collects.
#[derive(Debug, Clone)]
pub struct LedgerAudit {
    row: LedgerRow,
    entries: Entries,
    book: Book,
    findings: Findings,
    commitments: BTreeMap<Hash, u64>,
    stated: BTreeMap<(Hash, u64), Stated>,
    takes: BTreeMap<Hash, Vec<(u64, Take)>>,
    received: BTreeMap<Hash, u128>,
}

impl LedgerAudit {
    /// The audit of a log that is listed as `row` and has this checkpoint.
    pub fn new(row: LedgerRow, checkpoint: Option<String>) -> Self {
        let id = LedgerId(row.id);
        Self {
            row,
            entries: Entries::new(id, checkpoint),
            book: Book::default(),
            findings: Findings::new(Some(id)),
            commitments: BTreeMap::new(),
            stated: BTreeMap::new(),
            takes: BTreeMap::new(),
            received: BTreeMap::new(),
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
            self.commitments.entry(*commitment).or_insert(e.seq);
        }
        for due in &e.facts.dues {
            let Ok(agreement) = due.agreement.as_slice().try_into() else { continue };
            let stated = Stated { entry: e.seq, digest: e.digest, amount: due.amount };
            self.stated.entry((agreement, due.number)).or_insert(stated);
        }
        for take in &e.facts.takes {
            self.takes.entry(take.agreement).or_default().push((e.seq, *take));
        }
        for (agreement, minor) in &e.facts.received {
            *self.received.entry(*agreement).or_default() += u128::from(*minor);
        }
    }

    fn expect(&mut self, operators: &[PublicKey]) -> bool {
        let Some(operator) = &self.entries.operator else { return false };
        let expected = operators.contains(operator);
        if !expected && !operators.is_empty() {
            let detail = format!("found {}", hex::encode(operator.bytes()));
            self.findings.add(Code::OperatorUnexpected, Some(0), &detail);
        }
        expected
    }

    fn report(&self, operator_authenticated: bool, disclosures: Disclosures) -> LedgerReport {
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
            operator: self.entries.operator.clone(),
            operator_authenticated,
            disclosures,
            stopped_book_at: self.book.stopped,
        }
    }
}

/// Audits one ledger of a store.
pub(super) fn audit(
    reader: &dyn Reader,
    row: LedgerRow,
    operators: &[PublicKey],
    pool: &Pool,
    progress: &mut dyn FnMut(u64),
) -> Result<(LedgerReport, Side, Findings), StoreError> {
    let id = LedgerId(row.id);
    let mut early = Findings::new(Some(id));
    let note = damage_is_found(reader.checkpoint(&row.id), &mut early)?.flatten();
    let mut it = LedgerAudit { findings: early, ..LedgerAudit::new(row, note) };
    let complete = read_log(&mut it, reader, pool, progress)?;
    it.finish();
    let whole = complete && it.entries.readable && it.entries.gapless;
    let (book, found) = (&it.book.state, &mut it.findings);
    let judged = disclosures::judge(reader, id, &it.commitments, whole, book, found);
    let disclosures = damage_is_found(judged, &mut it.findings)?.unwrap_or_default();
    let authenticated = it.expect(operators);
    let report = it.report(authenticated, disclosures);
    let side = Side {
        id,
        size: report.size,
        readable: whole,
        state: it.book.stopped.is_none().then_some(it.book.state),
        stated: it.stated,
        takes: it.takes,
        received: it.received,
    };
    Ok((report, side, it.findings))
}

/// Reads ahead, examines on all cores, folds in order. Returns whether all of the log
/// could be read.
fn read_log(
    it: &mut LedgerAudit,
    reader: &dyn Reader,
    pool: &Pool,
    progress: &mut dyn FnMut(u64),
) -> Result<bool, StoreError> {
    let id = it.row.id;
    let mut nodes = Some(StoredNodes::new(reader, id));
    let mut queue = pool.queue();
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
