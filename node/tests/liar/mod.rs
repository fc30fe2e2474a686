//! A node that lies, in one way each.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test uses a part of it

use crate::kit::*;
use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicU64, Ordering},
};
use subak_ledger::{
    log::{Checkpoint, LedgerId, tree},
    store::Disclosure,
};
use subak_node::{
    Append, Appended, LedgerInfo, Ledgers, NodeError, Page, RawEntry, client::Remote,
    runtime::Node, service::Services,
};
use subak_proto::v1::event::Kind;
use tokio::net::TcpListener;

/// What [`Lie::Prepared`] answers to an append.
pub static PREPARED: OnceLock<Appended> = OnceLock::new();

/// A node that lies in one way.
pub struct Liar {
    node: Arc<Node>,
    lie: Lie,
    shown: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    Nothing,
    ShortLog,
    OtherStatement,
    LeafOfAnother,
    SwappedEntries,
    LongLeaf,
    LongEnvelope,
    EndlessDisclosures,
    SameLedgers,
    EndlessLedgers,
    ForeignCheckpoint,
    EmptyCheckpoint,
    EndlessCheckpoint,
    OldCheckpoint,
    StoppedClock,
    NoConsistency,
    FalseGenesis,
    Prepared,
    NoProof,
    NotAppended,
}

#[async_trait::async_trait]
impl Ledgers for Liar {
    async fn ledgers_page(
        &self,
        after: Option<LedgerId>,
        limit: u64,
    ) -> Result<Page<LedgerInfo>, NodeError> {
        match self.lie {
            Lie::SameLedgers => {
                let page = self.node.ledgers_page(None, limit).await?;
                Ok(Page { more: true, ..page })
            }
            Lie::EndlessLedgers => Ok(self.invent(limit).await?),
            _ => self.node.ledgers_page(after, limit).await,
        }
    }
    async fn prepare(&self) -> Result<([u8; 32], [u8; 32]), NodeError> {
        self.node.prepare().await
    }
    async fn append(&self, append: Append) -> Result<Appended, NodeError> {
        if self.lie == Lie::Prepared {
            return Ok(PREPARED.get().unwrap().clone());
        }
        let mut appended = self.node.append(append).await?;
        match self.lie {
            Lie::NoProof => drop(appended.path.pop()),
            // An answer about an entry that was there before.
            Lie::NotAppended => {
                let old = self.node.entries(appended.ledger, 1, 1).await?.remove(0);
                let size = appended.entry + 1;
                appended.path = self.node.inclusion(appended.ledger, 1, size).await?;
                (appended.entry, appended.leaf) = (1, old.leaf);
            }
            Lie::ForeignCheckpoint => appended.checkpoint = foreign(appended.ledger),
            _ => {}
        }
        Ok(appended)
    }
    async fn publish_state(&self, ledger: LedgerId) -> Result<Appended, NodeError> {
        let mut stated = self.node.publish_state(ledger).await?;
        match self.lie {
            Lie::NoProof => drop(stated.path.pop()),
            Lie::NotAppended => stated.entry -= 1,
            Lie::ForeignCheckpoint => stated.checkpoint = foreign(ledger),
            _ => {}
        }
        Ok(stated)
    }
    async fn entries(&self, l: LedgerId, from: u64, n: u64) -> Result<Vec<RawEntry>, NodeError> {
        let mut page = self.node.entries(l, from, n).await?;
        match self.lie {
            Lie::ShortLog if page.len() > 1 => drop(page.pop()),
            Lie::ShortLog if from > 0 => page.clear(),
            Lie::SwappedEntries if page.len() > 3 => page.swap(2, 3),
            Lie::OtherStatement if page.len() > 3 => {
                page[2].envelope = page[3].envelope.split_off(0);
            }
            Lie::LeafOfAnother if page.len() > 3 => page[2].leaf = page[3].leaf.split_off(0),
            Lie::LongLeaf => page[0].leaf = [&page[0].leaf[..], &[0]].concat().into(),
            Lie::LongEnvelope => page[0].envelope = vec![0; 300_000].into(),
            Lie::FalseGenesis if from == 0 => page[0].envelope = false_genesis().into(),
            _ => {}
        }
        Ok(page)
    }
    async fn wait_beyond(&self, l: LedgerId, size: u64) -> Result<(), NodeError> {
        self.node.wait_beyond(l, size).await
    }
    async fn checkpoint(&self, l: LedgerId) -> Result<String, NodeError> {
        let text = self.node.checkpoint(l).await?;
        Ok(match self.lie {
            Lie::ForeignCheckpoint => foreign(l),
            Lie::EmptyCheckpoint => head(l, 0),
            Lie::EndlessCheckpoint => head(l, u64::MAX),
            // Two heads in their order, and then the first again.
            Lie::OldCheckpoint => {
                let mut shown = self.shown.lock().unwrap();
                shown.push(text);
                shown[(shown.len() - 1) % 2].clone()
            }
            // The head that was the newest when it was first asked, for ever.
            Lie::StoppedClock => {
                let mut shown = self.shown.lock().unwrap();
                shown.push(text);
                shown[0].clone()
            }
            _ => text,
        })
    }
    async fn witnessed(&self, l: LedgerId) -> Result<Option<String>, NodeError> {
        self.node.witnessed(l).await
    }
    async fn challenge(&self, l: LedgerId, checkpoint: String) -> Result<(), NodeError> {
        self.node.challenge(l, checkpoint).await
    }
    async fn inclusion(&self, l: LedgerId, e: u64, n: u64) -> Result<Vec<[u8; 32]>, NodeError> {
        self.node.inclusion(l, e, n).await
    }
    async fn consistency(&self, l: LedgerId, o: u64, n: u64) -> Result<Vec<[u8; 32]>, NodeError> {
        let proof = self.node.consistency(l, o, n).await?;
        Ok(if self.lie == Lie::NoConsistency { Vec::new() } else { proof })
    }
    async fn disclosures_page(
        &self,
        l: LedgerId,
        after: Option<[u8; 32]>,
    ) -> Result<Page<Disclosure>, NodeError> {
        let mut page = self.node.disclosures_page(l, after).await?;
        if self.lie == Lie::EndlessDisclosures {
            page = self.node.disclosures_page(l, None).await?;
            page.more = true;
        }
        Ok(page)
    }
    async fn disclosures_of(
        &self,
        l: LedgerId,
        commitments: Vec<[u8; 32]>,
    ) -> Result<Vec<Disclosure>, NodeError> {
        self.node.disclosures_of(l, commitments).await
    }
    async fn book(&self, l: LedgerId) -> Result<Arc<subak_ledger::book::state::State>, NodeError> {
        self.node.book(l).await
    }
}

impl Liar {
    /// Ledgers that nobody has seen before, and more to follow.
    async fn invent(&self, limit: u64) -> Result<Page<LedgerInfo>, NodeError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let known = self.node.ledgers_page(None, limit).await?.items.remove(0);
        let info = |_| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            LedgerInfo { id: LedgerId(*blake3::hash(&number).as_bytes()), ..known.clone() }
        };
        Ok(Page { items: (0..5_000).map(info).collect(), more: true })
    }
}

/// The same head under another key.
fn foreign(ledger: LedgerId) -> String {
    head(ledger, 3)
}

fn head(ledger: LedgerId, size: u64) -> String {
    Checkpoint { ledger, size, root: tree::EMPTY_ROOT }.sign(&key("liar"))
}

/// A genesis that names the liar's key.
fn false_genesis() -> Vec<u8> {
    let own = genesis("rice", key("liar").public().bytes(), key("c").public().bytes(), false);
    say(LedgerId::ZERO, "sam", vec![Kind::Genesis(own)])
}

/// A node that lies, and where it is served.
pub async fn lying_at(node: Arc<Node>, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let services = Services::new(Arc::new(Liar { node, lie, shown: Mutex::default() }));
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(services.log())
            .serve_with_incoming(incoming),
    );
    url
}

/// A client of a node that lies.
pub async fn lying(node: Arc<Node>, lie: Lie) -> Remote {
    Remote::connect(&lying_at(node, lie).await, None).await.unwrap()
}
