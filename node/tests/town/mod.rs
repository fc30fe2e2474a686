//! Phyles and commons on one node, for tests: what people do in them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use crate::kit::{append, key, now, say, say_seeing};
use prost::Message as _;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        event::terms_digest,
        state::State,
        types::{Currency, whole},
    },
    log::{Basis, Handle, Hash, LedgerId},
};
use subak_node::{
    Ledgers as _,
    relay::{
        Relay,
        proofs::{self, Head},
    },
    runtime::{Node, Options},
};
use subak_proto::v1::{self, AgentKind, event::Kind};

pub const EUR: &str = "EUR";

/// Ledgers on one node.
pub struct Town {
    pub node: Arc<Node>,
    pub db: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn open(db: &Path) -> Arc<Node> {
    Arc::new(Node::open(db, Options::default()).await.unwrap())
}

/// A bucket for one agent (`Some`) or for the contributors.
pub type Bucket<'a> = (&'a str, u32, Option<&'a str>);
/// All is for work.
pub const ALL: &[Bucket<'_>] = &[("work", 1_000_000, None)];
/// A tenth goes upstream.
pub const TENTH: &[Bucket<'_>] = &[("up", 100_000, Some("upstream")), ("work", 900_000, None)];

impl Town {
    /// Nobody relays yet.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("town.db");
        Self { node: open(&db).await, db, _dir: Some(dir) }
    }

    /// On a node that somebody else keeps.
    pub fn on(node: Arc<Node>, db: PathBuf) -> Self {
        Self { node, db, _dir: None }
    }

    /// Relays from now on, until the node closes.
    pub fn relay(&self) -> Arc<Relay> {
        let relay = Arc::new(Relay::new(self.node.clone()));
        tokio::spawn(relay.clone().run());
        relay
    }

    /// The node ends, and another one begins on its file.
    pub async fn reopen(&mut self) {
        self.node.close().await;
        self.node = open(&self.db).await;
    }

    pub async fn book(&self, ledger: LedgerId) -> Arc<State> {
        self.node.book(ledger).await.unwrap()
    }

    pub async fn agreement(&self, ledger: LedgerId, digest: Hash) -> Arc<Agreement> {
        self.book(ledger).await.agreements[&digest].clone()
    }

    /// Sam says it; returns the entry.
    pub async fn say(&self, ledger: LedgerId, kinds: Vec<Kind>) -> u64 {
        let book = self.book(ledger).await;
        let basis = Some(Basis { size: book.size, chain: *book.chain.last().unwrap() });
        let said = say_seeing(ledger, "sam", kinds, now(), basis);
        self.node.append(append(said)).await.unwrap().entry
    }

    /// Sam is the quorum.
    pub async fn decree(&self, ledger: LedgerId, kind: Kind) -> u64 {
        let event = vec![v1::Event { kind: Some(kind) }.encode_to_vec()];
        self.say(ledger, vec![Kind::Propose(v1::Propose { event })]).await
    }

    async fn open(&self, mut genesis: v1::Genesis) -> LedgerId {
        let (operator, clerk) = self.node.prepare().await.unwrap();
        (genesis.operator_key, genesis.clerk_key) = (operator.to_vec(), clerk.to_vec());
        let said = say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis)]);
        self.node.append(append(said)).await.unwrap().ledger
    }

    /// A phyle of sam's that knows these commons.
    pub async fn phyle(&self, name: &str, commons: &[&str]) -> LedgerId {
        self.open(genesis(name, AgentKind::Phyle, &[(commons, AgentKind::Commons)], None)).await
    }

    /// A commons of sam's that knows these payers, in which ana has done an hour.
    pub async fn commons(
        &self,
        name: &str,
        phyles: &[&str],
        commons: &[&str],
        buckets: &[Bucket<'_>],
    ) -> LedgerId {
        let agents = [(phyles, AgentKind::Phyle), (commons, AgentKind::Commons)];
        let ledger = self.open(genesis(name, AgentKind::Commons, &agents, Some(buckets))).await;
        let ana = v1::AgentAdd {
            handle: "ana".into(),
            kind: AgentKind::Person as i32,
            key: key("ana").public().bytes().to_vec(),
            ..Default::default()
        };
        let work = v1::Contribute {
            reference: "test:work".into(),
            kind: "hours".into(),
            stream: v1::Stream::Livelihood as i32,
            worked_on: u32::try_from(now() / 86_400_000).unwrap() - 1,
            part: vec![v1::Part { agent: "ana".into(), quantity: 1_000 }],
            evidence: vec![],
        };
        let entry = self.say(ledger, vec![Kind::AgentAdd(ana), Kind::Contribute(work)]).await;
        let place = v1::Ref { entry, event: 1 };
        let validate = v1::Validate {
            span: vec![v1::Span { first: Some(place), last: Some(place) }],
            remuneration: v1::Remuneration::Unpaid as i32,
            quantity: vec![],
        };
        self.say(ledger, vec![Kind::Validate(validate)]).await;
        ledger
    }

    pub async fn terms(&self, payer: LedgerId, commons: LedgerId, share: u32) -> v1::Terms {
        let (from, to) = (self.book(payer).await, self.book(commons).await);
        let upstream = from.root().kind == subak_ledger::book::types::AgentKind::Commons;
        let base = if upstream { v1::Base::Payout } else { v1::Base::Net };
        v1::Terms {
            payer: payer.0.to_vec(),
            payer_operator: from.operator().to_vec(),
            commons: commons.0.to_vec(),
            commons_operator: to.operator().to_vec(),
            payer_handle: from.root().name.to_string(),
            commons_handle: to.root().name.to_string(),
            share,
            base: base as i32,
            currency: EUR.into(),
            due_days: 30,
            notice_days: 30,
            product: String::new(),
            random: [unique().to_be_bytes(); 2].concat(),
        }
    }

    /// The payer's offer; the relay states it.
    pub async fn offer(&self, terms: &v1::Terms) -> Hash {
        let payer = LedgerId(terms.payer[..].try_into().unwrap());
        let offer = v1::AgreementOffer { terms: Some(terms.clone()) };
        self.decree(payer, Kind::AgreementOffer(offer)).await;
        terms_digest(terms).unwrap()
    }

    /// The commons' acceptance, once the offer is stated; the relay does the rest.
    pub async fn accept(&self, terms: &v1::Terms) {
        let [payer, commons] =
            [&terms.payer, &terms.commons].map(|id| LedgerId(id[..].try_into().unwrap()));
        let digest = terms_digest(terms).unwrap();
        until(async || self.agreement(payer, digest).await.stated.is_some()).await;
        let stated = self.agreement(payer, digest).await.stated.unwrap();
        let proof = Some(self.prove(payer, stated).await);
        let accept = v1::AgreementAccept { terms: Some(terms.clone()), proof };
        self.decree(commons, Kind::AgreementAccept(accept)).await;
    }

    /// Two decisions of people; everything between them comes by itself.
    pub async fn agree(&self, payer: LedgerId, commons: LedgerId, share: u32) -> Hash {
        let terms = self.terms(payer, commons, share).await;
        let digest = self.offer(&terms).await;
        self.accept(&terms).await;
        until(async || self.agreement(payer, digest).await.progress == Progress::Active).await;
        digest
    }

    pub async fn prove(&self, ledger: LedgerId, entry: u64) -> v1::Proof {
        let note = self.node.checkpoint(ledger).await.unwrap();
        let size = self.book(ledger).await.signed_head(&note).unwrap().size;
        proofs::prove(&*self.node, ledger, entry, &Head { size, note }).await.unwrap()
    }

    /// An invoice of `net` cents, under a number of its own.
    pub async fn earn(&self, phyle: LedgerId, net: u64) -> v1::Invoice {
        self.earn_in(phyle, net, EUR).await
    }

    /// The number of the first invoice of a phyle.
    pub async fn first_invoice(&self, phyle: LedgerId) -> u64 {
        self.book(phyle).await.revenues.keys().next().unwrap().number
    }

    /// As [`Town::earn`], in minor units of another currency.
    pub async fn earn_in(&self, phyle: LedgerId, net: u64, currency: &str) -> v1::Invoice {
        let book = self.book(phyle).await;
        let invoice = v1::Invoice { series: "inv".into(), number: unique(), line: 0 };
        let code = Currency::new(currency).unwrap();
        let record = v1::RevenueRecord {
            invoice: Some(invoice.clone()),
            currency: currency.into(),
            net,
            due: book.dues_of_revenue(None, code, (net, 0), now()),
            ..Default::default()
        };
        self.say(phyle, vec![Kind::RevenueRecord(record)]).await;
        invoice
    }

    /// Takes back `net` cents of an invoice.
    pub async fn refund(&self, phyle: LedgerId, invoice: v1::Invoice, net: u64) {
        let id = subak_ledger::book::event::InvoiceId {
            series: Handle::new(&invoice.series).unwrap(),
            number: invoice.number,
            line: 0,
        };
        let reverse = v1::RevenueReverse {
            invoice: Some(invoice),
            net,
            cause: v1::Cause::Refund as i32,
            due: self.book(phyle).await.dues_of_reversal(&id, net, 0),
            ..Default::default()
        };
        self.say(phyle, vec![Kind::RevenueReverse(reverse)]).await;
    }

    /// The cash of an agreement arrives.
    pub async fn receive(&self, commons: LedgerId, digest: Hash, minor: u64) {
        let agreement = digest.to_vec();
        let bank = format!("bank:in-{}", unique());
        let fee = None;
        let received = v1::SettlementReceived { agreement, minor, bank, item: vec![], fee };
        self.say(commons, vec![Kind::SettlementReceived(received)]).await;
    }

    pub async fn send(&self, payer: LedgerId, digest: Hash, minor: u64) {
        let agreement = digest.to_vec();
        let bank = format!("bank:out-{}", unique());
        let sent = v1::SettlementSent { agreement, minor, bank, item: vec![], fee: 0 };
        self.say(payer, vec![Kind::SettlementSent(sent)]).await;
    }

    /// What an agent could be paid, whole cents.
    pub async fn payable(&self, commons: LedgerId, agent: &str) -> u64 {
        let book = self.book(commons).await;
        let agent = book.find(&Handle::new(agent).unwrap()).unwrap();
        let drawn = book.drawn.get(&(agent, Currency::new(EUR).unwrap()));
        let drawn =
            drawn.map_or(0, |d| d.reserved_own + d.reserved_common + d.paid_own + d.paid_common);
        let payable = whole(book.payable(agent, Currency::new(EUR).unwrap()));
        u64::try_from(payable).unwrap().saturating_sub(drawn)
    }

    /// Proposes and pays `minor` to an agent; returns the run.
    pub async fn pay(&self, commons: LedgerId, agent: &str, minor: u64) -> u64 {
        let line = vec![v1::PayoutLine { agent: agent.into(), minor }];
        let (currency, expires_at) = (EUR.into(), now() + 10 * 86_400_000);
        let propose = v1::PayoutPropose { currency, line, expires_at, cash_of: String::new() };
        let run = self.say(commons, vec![Kind::PayoutPropose(propose)]).await;
        let due = self.book(commons).await.dues_of_payment(run, &[Handle::new(agent).unwrap()]);
        let (agent, bank) = (vec![agent.to_owned()], format!("bank:pay-{}", unique()));
        let paid = v1::PayoutPaid { run, agent, bank, fee: None, due };
        self.say(commons, vec![Kind::PayoutPaid(paid)]).await;
        run
    }

    /// Until the commons has taken all that the payer's ledger says is due.
    pub async fn taken(&self, payer: LedgerId, commons: LedgerId, digest: Hash) {
        until(async || {
            let due = self.agreement(payer, digest).await.dues.last;
            self.agreement(commons, digest).await.dues.last == due
        })
        .await;
    }

    /// Income of a commons so far, less what was taken back.
    pub async fn income(&self, commons: LedgerId) -> u64 {
        self.book(commons).await.incomes.iter().map(|i| i.amount - i.refunded).sum()
    }
}

/// What sam opens: an institution with the agents that it knows from the start.
fn genesis(
    name: &str,
    kind: AgentKind,
    agents: &[(&[&str], AgentKind)],
    buckets: Option<&[Bucket<'_>]>,
) -> v1::Genesis {
    let mut genesis = crate::kit::genesis(name, [0; 32], [0; 32], false);
    genesis.kind = kind as i32;
    let agent = |handle: &str, kind: AgentKind| v1::AgentAdd {
        handle: handle.into(),
        kind: kind as i32,
        ..Default::default()
    };
    let all = agents.iter().flat_map(|(names, kind)| names.iter().map(|n| agent(n, *kind)));
    genesis.agent = all.collect();
    let Some(buckets) = buckets else {
        genesis.equation = None;
        genesis.steward_role = vec![v1::Role::Treasurer as i32];
        return genesis;
    };
    let equation = genesis.equation.as_mut().unwrap();
    let contributors = || v1::Contributors { weight: vec![1], ..Default::default() };
    let bucket = |(name, share, agent): &Bucket<'_>| v1::Bucket {
        name: (*name).into(),
        share: *share,
        to: Some(match agent {
            Some(agent) => v1::bucket::To::Agent((*agent).into()),
            None => v1::bucket::To::Contributors(contributors()),
        }),
    };
    equation.bucket = buckets.iter().map(bucket).collect();
    genesis
}

/// Waits until something is so.
pub async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..5_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it did not come about in ten seconds");
}
