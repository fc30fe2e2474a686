//! What a node answers about its own store, as any other ledgers'. Leaves out how it is opened, and who
//! may read at a time (`runtime`).

use super::{Node, in_order, node};
use crate::{
    Answers, Append, Appended, LedgerInfo, Ledgers, NodeError, Page, RawEntry, Statements, Wait,
    fold::Folded,
    load::unknown,
    page,
    readers::off_executor,
    refusal::{Refusal, not_found, stopping},
    relay::Waiting,
    sequencer::ledger_of,
    writer::{Job, Row, Wish},
};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use subak_ledger::{
    book::state::State,
    log::{Hash, LedgerId, tree},
    store::{Disclosure, Reader},
};
use tokio::sync::oneshot;

/// Ledgers in one answer at most; each is a genesis to decode.
const LEDGERS: usize = 200;
/// Agreements that wait, in one answer at most.
const WAITS: usize = 1_000;
/// Entries in one answer at most.
const PAGE: usize = 1_000;
/// Bytes in one answer at most, but for a single entry.
const PAGE_BYTES: usize = 1 << 20;
/// How often a reader beside another process looks whether the log has grown.
const LOOK: Duration = Duration::from_millis(500);

#[async_trait]
impl Ledgers for Node {
    async fn ledgers_page(
        &self,
        after: Option<LedgerId>,
        limit: u64,
    ) -> Result<Page<LedgerInfo>, NodeError> {
        let limit = usize::try_from(limit).unwrap_or(LEDGERS).clamp(1, LEDGERS);
        let found = self.read(move |reader| page::ledgers(reader, after, limit)).await?;
        let mut items = Vec::with_capacity(found.items.len());
        for (mut info, known) in found.items {
            if !known {
                // One that is damaged, or not whole yet, does not hide the others: whoever opens it
                // is told.
                match self.load(info.id).await {
                    Ok((_, folded)) => info.operator = folded.state.operator(),
                    Err(NodeError::Corrupt { .. }) => {}
                    Err(error) if error.code() == "copy-incomplete" => {}
                    Err(error) => return Err(error),
                }
            }
            info.mirror = if self.writes { self.mirror_of(&info) } else { None };
            info.agreements = self.agreements_of(info.id);
            items.push(info);
        }
        Ok(Page { items, more: found.more })
    }

    async fn prepare(&self) -> Result<(Hash, Hash), NodeError> {
        self.writer()?;
        if !self.shared.allow_new_ledgers {
            return Err(Refusal::NewLedgersClosed.into());
        }
        let shared = self.shared.clone();
        Ok(off_executor(move || shared.prepared.make()).await?)
    }

    async fn append(&self, append: Append) -> Result<Appended, NodeError> {
        self.writer()?;
        let verified = self.verifiers.verify(append, self.shared.allow_new_ledgers).await?;
        if verified.statement.header().ledger != LedgerId::ZERO {
            // Folded here, so that the writer need not.
            self.load(verified.statement.header().ledger).await?;
        }
        let ledger = ledger_of(&verified.statement);
        let answered = self.enqueue(verified, Row::default()).await?;
        let answer = answered.await.map_err(|_| self.gone())?;
        answer.map_err(|error| self.of_a_copy(ledger, error))
    }

    fn append_all(self: Arc<Self>, statements: Statements) -> Answers {
        in_order::append_all(self, statements)
    }

    async fn publish_state(&self, ledger: LedgerId) -> Result<Appended, NodeError> {
        let (_, folded) = self.load(ledger).await?;
        if let Some(entry) = folded.state.stated() {
            return self.shown(ledger, entry).await;
        }
        drop(folded);
        let writer = self.writer()?;
        let (answer, answered) = oneshot::channel();
        writer.send(Job::Publish(Wish { ledger, answer })).await.map_err(|_| self.gone())?;
        drop(writer);
        let entry = answered.await.map_err(|_| self.gone())??;
        self.shown(ledger, entry).await
    }

    async fn entries(
        &self,
        ledger: LedgerId,
        from: u64,
        limit: u64,
    ) -> Result<Vec<RawEntry>, NodeError> {
        let limit = usize::try_from(limit).unwrap_or(PAGE).min(PAGE);
        self.read(move |reader| {
            let page = reader.entries(&ledger.0, from, limit, PAGE_BYTES)?;
            if page.is_empty() && reader.head(&ledger.0)?.size == 0 {
                return Err(unknown(&ledger));
            }
            let raw = page.into_iter();
            Ok(raw.map(|e| RawEntry { seq: e.seq, leaf: e.leaf, envelope: e.envelope }).collect())
        })
        .await
    }

    async fn wait_beyond(&self, ledger: LedgerId, size: u64) -> Result<(), NodeError> {
        let mut closing = self.shared.closing.subscribe();
        let grown = async {
            if !self.writes {
                while self.size(ledger).await? <= size {
                    tokio::time::sleep(LOOK).await;
                }
                return Ok(());
            }
            let (slot, _) = self.load(ledger).await?;
            let mut published = slot.published.subscribe();
            let longer =
                |now: &Option<Arc<Folded>>| now.as_ref().is_some_and(|f| f.state.size > size);
            published.wait_for(longer).await.map(drop).map_err(|_| stopping())
        };
        tokio::select! {
            grown = grown => grown,
            _ = closing.wait_for(|closing| *closing) => Err(stopping()),
        }
    }

    async fn checkpoint(&self, ledger: LedgerId) -> Result<String, NodeError> {
        let own = self.own_checkpoint(ledger).await?;
        let seen = self.read(move |reader| Ok(reader.witnessed(&ledger.0)?)).await?;
        // Of the same head: with the witnesses' lines.
        let same = |seen: &String| seen.starts_with(&own);
        Ok(seen.filter(same).unwrap_or(own))
    }

    async fn witnessed(&self, ledger: LedgerId) -> Result<Option<String>, NodeError> {
        self.size(ledger).await?;
        self.read(move |reader| Ok(reader.witnessed(&ledger.0)?)).await
    }

    async fn waiting(&self, ledger: LedgerId) -> Result<Vec<Wait>, NodeError> {
        let here = Self::waiting(self).into_iter().filter(|it| it.own == ledger);
        let wait = |it: Waiting| Wait {
            agreement: it.agreement,
            other: it.ledger,
            code: it.why.word().into(),
            message: it.why.to_string(),
        };
        Ok(here.take(WAITS).map(wait).collect())
    }

    async fn challenge(&self, ledger: LedgerId, checkpoint: String) -> Result<(), NodeError> {
        let (_, folded) = self.load(ledger).await?;
        // Off the writer: anybody may show anything.
        let shown = folded.state.signed_head(&checkpoint)?;
        self.ask_writer(|answer| Job::Challenge(shown, answer)).await
    }

    async fn inclusion(
        &self,
        ledger: LedgerId,
        entry: u64,
        size: u64,
    ) -> Result<Vec<Hash>, NodeError> {
        let proof = move |reader: &dyn Reader| {
            within(reader, ledger, entry < size, size)?;
            tree::prove_inclusion(entry, size, |level, index| node(reader, ledger, level, index))
        };
        self.read(proof).await
    }

    async fn consistency(
        &self,
        ledger: LedgerId,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, NodeError> {
        let proof = move |reader: &dyn Reader| {
            within(reader, ledger, 0 < old && old <= new, new)?;
            tree::prove_consistency(old, new, |level, index| node(reader, ledger, level, index))
        };
        self.read(proof).await
    }

    async fn disclosures_page(
        &self,
        ledger: LedgerId,
        after: Option<Hash>,
    ) -> Result<Page<Disclosure>, NodeError> {
        self.size(ledger).await?;
        self.read(move |reader| page::disclosures(reader, ledger, after, PAGE_BYTES)).await
    }

    async fn disclosures_of(
        &self,
        ledger: LedgerId,
        commitments: Vec<Hash>,
    ) -> Result<Vec<Disclosure>, NodeError> {
        self.size(ledger).await?;
        self.read(move |reader| page::disclosures_of(reader, ledger, &commitments, PAGE_BYTES))
            .await
    }

    async fn book(&self, ledger: LedgerId) -> Result<Arc<State>, NodeError> {
        let (_, folded) = self.load(ledger).await?;
        Ok(folded.state.clone())
    }
}

/// Whether there can be a proof: `ordered`, and the ledger has `size` entries.
fn within(
    reader: &dyn Reader,
    ledger: LedgerId,
    ordered: bool,
    size: u64,
) -> Result<(), NodeError> {
    let head = reader.head(&ledger.0)?;
    if head.size == 0 {
        return Err(unknown(&ledger));
    }
    if ordered && size <= head.size {
        return Ok(());
    }
    Err(not_found(
        format!("ledger {ledger} has {} entries: there is no such proof in {size}", head.size),
        "ask for one within a size that the ledger has",
    ))
}
