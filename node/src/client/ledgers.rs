//! The answers of a node far away, as any other ledgers': each call, and what of its reply is checked
//! before it counts. Leaves out the connection, and who signs for a ledger (`client`).

use super::{MOST_LEDGERS, Origin, Remote, streams};
use crate::{
    Answers, Append, Appended, LedgerInfo, Ledgers, NodeError, Page, RawEntry, Statements, Wait,
    disclose,
    refusal::older,
    wire::{self, away},
};
use async_trait::async_trait;
use std::{collections::BTreeSet, sync::Arc};
use subak_ledger::{
    book::state::State,
    log::{
        Checkpoint, Hash, Leaf, LedgerId, Statement, Unverified, checkpoint::claimed_size,
        receipt::place, statement::MAX_ENVELOPE, tree,
    },
    store::Disclosure,
};
use subak_proto::v1;
use tonic::Code;

/// Our own bytes: only the node has to judge the signature.
pub(super) fn own(append: &Append) -> Result<Statement, NodeError> {
    Ok(Unverified::parse(&append.envelope)?.trust_stored()?)
}

#[async_trait]
impl Ledgers for Remote {
    async fn ledgers_page(
        &self,
        after: Option<LedgerId>,
        limit: u64,
    ) -> Result<Page<LedgerInfo>, NodeError> {
        let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
        let reply = self.log().ledgers(v1::LedgersRequest { after, limit }).await;
        let reply = reply.map_err(|status| self.failed(&status))?.into_inner();
        let all = reply.ledger.into_iter().map(wire::info_in);
        let items: Vec<_> = all.collect::<Result<_, _>>().map_err(|what| self.lie(what))?;
        self.page(items, reply.more)
    }

    /// Arrival gives no order that one could check, so that a list ends is seen by what is
    /// on it: no ledger twice, and no more of them than a node keeps.
    async fn ledgers(&self) -> Result<Vec<LedgerInfo>, NodeError> {
        let (mut all, mut seen): (Vec<LedgerInfo>, _) = (Vec::new(), BTreeSet::new());
        loop {
            let page = self.ledgers_page(all.last().map(|info| info.id), u64::MAX).await?;
            for info in page.items {
                if !seen.insert(info.id) {
                    return Err(self.lie(format!("ledger {} twice in its list", info.id)));
                }
                all.push(info);
            }
            if all.len() > MOST_LEDGERS {
                let found = all.len();
                let what = format!("at most {MOST_LEDGERS} ledgers expected, {found} found so far");
                return Err(self.lie(what));
            }
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn prepare(&self) -> Result<(Hash, Hash), NodeError> {
        let reply = self.log().prepare(v1::PrepareRequest {}).await;
        let reply = reply.map_err(|status| self.failed(&status))?.into_inner();
        let operator = wire::hash(&reply.operator_key, "operator_key");
        let clerk = wire::hash(&reply.clerk_key, "clerk_key");
        operator.and_then(|operator| Ok((operator, clerk?))).map_err(|what| self.lie(what))
    }

    async fn append(&self, append: Append) -> Result<Appended, NodeError> {
        let statement = own(&append)?;
        let reply = self.log().append(wire::append_out(append)).await;
        let reply = reply.map_err(|status| self.failed(&status))?.into_inner();
        self.proven(&statement, reply).await
    }

    fn append_all(self: Arc<Self>, statements: Statements) -> Answers {
        streams::append_all(self, statements)
    }

    /// That the entry is in the ledger is checked; that it is a StateRoot, and which, is for
    /// whoever reads it.
    async fn publish_state(&self, ledger: LedgerId) -> Result<Appended, NodeError> {
        let request = v1::PublishStateRequest { ledger: ledger.0.to_vec() };
        let reply = self.log().publish_state(request).await;
        let reply = reply.map_err(|status| self.failed(&status))?.into_inner();
        let appended = self.appended(reply)?;
        let Appended { leaf, path, checkpoint, .. } = &appended;
        let envelope = Leaf::from_bytes(leaf).map_err(|reject| self.lie(reject))?.envelope;
        let operator = self.present(ledger, checkpoint).await?;
        let placed = place(ledger, &operator, (leaf, &envelope), path, checkpoint);
        let (leaf, _) = placed.map_err(|reject| self.lie(reject))?;
        if (appended.ledger, appended.entry) != (ledger, leaf.seq) {
            return Err(self.lie("the leaf is not that of the answer"));
        }
        Ok(appended)
    }

    async fn entries(
        &self,
        ledger: LedgerId,
        from: u64,
        limit: u64,
    ) -> Result<Vec<RawEntry>, NodeError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let ledger = ledger.0.to_vec();
        let request = v1::EntriesRequest { ledger, from, limit, follow: false };
        let stream = self.log().entries(request).await;
        let mut stream = stream.map_err(|status| self.failed(&status))?.into_inner();
        let first = stream.message().await.map_err(|status| self.failed(&status))?;
        let page = first.unwrap_or_default().entry.into_iter().map(wire::entry_in);
        page.collect::<Result<_, _>>().map_err(|what| self.lie(what))
    }

    async fn wait_beyond(&self, ledger: LedgerId, size: u64) -> Result<(), NodeError> {
        let ledger = ledger.0.to_vec();
        let request = v1::EntriesRequest { ledger, from: size, limit: 1, follow: true };
        let stream = self.log().entries(request).await;
        let mut stream = stream.map_err(|status| self.failed(&status))?.into_inner();
        match stream.message().await.map_err(|status| self.failed(&status))? {
            Some(reply) if reply.entry.is_empty() => Err(self.lie("a message without entries")),
            Some(_) => Ok(()),
            None => Err(away(&self.url, "it ended the stream")),
        }
    }

    async fn checkpoint(&self, ledger: LedgerId) -> Result<String, NodeError> {
        let text = self.fetch_checkpoint(ledger, false).await?;
        let signer = self.present(ledger, &text).await?;
        match Checkpoint::open(&text, ledger, &signer) {
            Ok(_) => Ok(text),
            Err(reject) => Err(self.lie(reject)),
        }
    }

    async fn witnessed(&self, ledger: LedgerId) -> Result<Option<String>, NodeError> {
        let text = self.fetch_checkpoint(ledger, true).await?;
        if text.is_empty() {
            return Ok(None);
        }
        self.open(ledger, &text).await.map(|_| Some(text))
    }

    async fn waiting(&self, ledger: LedgerId) -> Result<Vec<Wait>, NodeError> {
        let request = v1::WaitingRequest { ledger: ledger.0.to_vec() };
        let reply = match self.log().waiting(request).await {
            // A node of before says nothing of it.
            Err(status) if status.code() == Code::Unimplemented => return Ok(Vec::new()),
            reply => reply.map_err(|status| self.failed(&status))?.into_inner(),
        };
        let waits = reply.wait.into_iter().map(wire::wait_in);
        waits.collect::<Result<_, _>>().map_err(|what| self.lie(what))
    }

    async fn challenge(&self, ledger: LedgerId, checkpoint: String) -> Result<(), NodeError> {
        let signer = self.signer(ledger, &checkpoint).await?;
        let shown = Checkpoint::open(&checkpoint, ledger, &signer)?;
        let request = v1::ChallengeRequest { ledger: ledger.0.to_vec(), checkpoint };
        self.log().challenge(request).await.map_err(|status| self.failed(&status))?;
        // A node that says yes has said nothing: it is held to its own newest head.
        let newest = self.open(ledger, &self.checkpoint(ledger).await?).await?;
        let (size, last) = (newest.size, shown.size);
        if last > size {
            let what = format!("ends after {size} entries, its operator has signed {last}");
            return Err(older(&ledger.to_string(), &what));
        }
        let proof = if last == 0 || last == size {
            Vec::new()
        } else {
            self.consistency(ledger, last, size).await?
        };
        let goes_on = last == 0
            || tree::verify_consistency(last, size, &shown.root, &newest.root, &proof).is_ok();
        if goes_on {
            return Ok(());
        }
        let what =
            format!("is not shown to go on from the {last} entries that its operator signed");
        Err(older(&ledger.to_string(), &what))
    }

    async fn inclusion(
        &self,
        ledger: LedgerId,
        entry: u64,
        size: u64,
    ) -> Result<Vec<Hash>, NodeError> {
        let request = v1::InclusionRequest { ledger: ledger.0.to_vec(), entry, size };
        self.path(self.log().inclusion(request).await)
    }

    async fn consistency(
        &self,
        ledger: LedgerId,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, NodeError> {
        let request = v1::ConsistencyRequest { ledger: ledger.0.to_vec(), old, new };
        self.path(self.log().consistency(request).await)
    }

    async fn disclosures_page(
        &self,
        ledger: LedgerId,
        after: Option<Hash>,
    ) -> Result<Page<Disclosure>, NodeError> {
        let origin = self.origin(ledger).await?;
        let mut last = after;
        let after = after.map(|commitment| commitment.to_vec()).unwrap_or_default();
        let request =
            v1::DisclosuresRequest { ledger: ledger.0.to_vec(), after, commitment: Vec::new() };
        let stream = self.log().disclosures(request).await;
        let mut stream = stream.map_err(|status| self.failed(&status))?.into_inner();
        let first = stream.message().await.map_err(|status| self.failed(&status))?;
        let reply = first.unwrap_or_default();
        let mut items = Vec::new();
        for sent in reply.disclosure {
            let read = wire::disclosure_in(sent).and_then(|d| commit(d, ledger, &origin));
            let read = read.map_err(|what| self.lie(what))?;
            // Else it could show the same ones for ever.
            if last.is_some_and(|last| last >= read.commitment) {
                return Err(self.lie("disclosures that are not in order of their commitments"));
            }
            last = Some(read.commitment);
            items.push(read);
        }
        self.page(items, reply.more)
    }

    async fn disclosures_of(
        &self,
        ledger: LedgerId,
        commitments: Vec<Hash>,
    ) -> Result<Vec<Disclosure>, NodeError> {
        let origin = self.origin(ledger).await?;
        let (id, commitment) = (ledger.0.to_vec(), wire::bytes(&commitments));
        let request = v1::DisclosuresRequest { ledger: id, after: Vec::new(), commitment };
        let stream = self.log().disclosures(request).await;
        let mut stream = stream.map_err(|status| self.failed(&status))?.into_inner();
        let first = stream.message().await.map_err(|status| self.failed(&status))?;
        let sent = first.unwrap_or_default().disclosure.into_iter();
        let read =
            sent.map(|sent| wire::disclosure_in(sent).and_then(|d| commit(d, ledger, &origin)));
        let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|what| self.lie(what))?;
        // Each at most once, so that an answer is no longer than what was asked for.
        let mut asked = commitments.iter();
        if found.iter().any(|found| !asked.any(|asked| *asked == found.commitment)) {
            return Err(self.lie("texts that were not asked for, or not in that order"));
        }
        let size = |d: &Disclosure| d.bytes.len() + d.tag.len() + d.field.len();
        match found.iter().map(size).find(|size| *size > MAX_ENVELOPE) {
            Some(size) => Err(self.lie(format!("a text of {size} bytes: at most {MAX_ENVELOPE}"))),
            None => Ok(found),
        }
    }

    async fn book(&self, ledger: LedgerId) -> Result<Arc<State>, NodeError> {
        // Held all through: two who ask at once fetch once, and nobody takes the head that
        // another has read before for one that went back.
        let mut books = self.books.lock().await;
        // The head first: all its entries are there, and what comes later is left for later. Who
        // should have signed it may stand in them, so that it is a number until they are read.
        let text = self.fetch_checkpoint(ledger, false).await?;
        let origin = self.first(ledger).await?;
        let size = claimed_size(&text).filter(|size| *size > 0);
        let size = size.ok_or_else(|| self.lie("a checkpoint of a ledger without entries"))?;
        let base = books.get(&ledger).cloned().unwrap_or_default();
        if size < base.state.size {
            base.open(&text).map_err(|what| self.lie(what))?;
        }
        let folded = self.fetch(ledger, base, size).await?;
        folded.check(&text).map_err(|what| self.lie(format!("ledger {ledger}: {what}")))?;
        let state = folded.state.clone();
        books.insert(ledger, folded);
        let (operators, commitments) =
            (state.operators.iter().copied().collect(), origin.commitments.clone());
        let origin = Arc::new(Origin { operators, commitments });
        self.origins.lock().await.insert(ledger, origin.clone());
        self.require_expected(ledger, &origin)?;
        Ok(state)
    }
}

/// With its commitment, which in a genesis was made before the ledger had an id.
fn commit(mut d: Disclosure, ledger: LedgerId, origin: &Origin) -> Result<Disclosure, String> {
    let first = disclose::recompute(&d, &LedgerId::ZERO).filter(|c| origin.commitments.contains(c));
    let commitment = first.or_else(|| disclose::recompute(&d, &ledger));
    d.commitment = commitment.ok_or("a disclosure by what is no handle")?;
    Ok(d)
}
