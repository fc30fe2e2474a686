//! Durable appends through gRPC: what a client sees from the call to the proof.

use crate::{
    limits,
    report::{Report, Round, Row, Unit, rate},
    world::{Author, SAM, encode, genesis, work},
};
use futures::{future::join_all, stream};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use subak_ledger::log::LedgerId;
use subak_node::{
    Append, Ledgers as _,
    runtime::{Node, Options},
    serve::serve,
};
use subak_proto::v1::{self, append_reply, event::Kind, log_client::LogClient};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

/// Calls in flight on one connection at most.
const A_CONNECTION: usize = 16;

struct Load {
    name: &'static str,
    /// Events in a statement.
    events: usize,
    in_flight: usize,
    /// All of them on one stream, which has so many under way.
    streamed: bool,
    statements: (usize, usize),
    limit: Limit,
    target: Option<f64>,
}

#[derive(Clone, Copy)]
enum Limit {
    /// One call, one sync: the least. Ours makes two, of the store and of the head file.
    Sync,
    /// The slower of all signatures and of as many syncs as calls wait for.
    SignatureOrSync,
    /// The same events as raw rows.
    Rows,
}

const LOADS: [Load; 5] = [
    Load {
        name: "append, 1 event, 1 in flight",
        events: 1,
        in_flight: 1,
        streamed: false,
        statements: (1_000, 200),
        limit: Limit::Sync,
        target: None,
    },
    Load {
        name: "append, 1 event, 64 in flight",
        events: 1,
        in_flight: 64,
        streamed: false,
        statements: (20_000, 4_000),
        limit: Limit::SignatureOrSync,
        target: Some(0.25),
    },
    Load {
        name: "append, 1 event, streamed",
        events: 1,
        in_flight: 64,
        streamed: true,
        statements: (20_000, 4_000),
        limit: Limit::SignatureOrSync,
        target: None,
    },
    Load {
        name: "append, 1,000 events, 1 in flight",
        events: 1_000,
        in_flight: 1,
        streamed: false,
        statements: (100, 20),
        limit: Limit::Rows,
        target: Some(0.4),
    },
    Load {
        name: "append, 1,000 events, 64 in flight",
        events: 1_000,
        in_flight: 64,
        streamed: false,
        statements: (300, 64),
        limit: Limit::Rows,
        target: Some(0.4),
    },
];

pub fn figures(report: &mut Report) {
    let runtime = Runtime::new().unwrap();
    for load in LOADS.iter().filter(|load| report.wants(load.name)).collect::<Vec<_>>() {
        let statements = report.size(load.statements.0, load.statements.1);
        let rounds = (0..report.size(5, 1)).map(|_| round(&runtime, load, statements)).collect();
        let (unit, limit) = match load.limit {
            Limit::Sync => ("statements", "fdatasync of 4 KiB, one after another"),
            Limit::SignatureOrSync => {
                ("statements", "min(verify_strict on all cores, 64 x fdatasync)")
            }
            Limit::Rows => ("events", "SQLite alone, WAL FULL, a row an event, 1,000 a commit"),
        };
        let unit = Unit::PerSecond(unit);
        let row = Row { name: load.name.into(), unit, limit: limit.into(), target: load.target };
        report.add(&row, rounds);
    }
}

fn round(runtime: &Runtime, load: &Load, statements: usize) -> Round {
    let dir = tempfile::tempdir().unwrap();
    let server = runtime.block_on(Server::start(dir.path()));
    let mut author = Author::sam(server.ledger);
    let events: Vec<Vec<u8>> = (0..statements * load.events).map(|n| work(SAM, n)).collect();
    let envelopes: Vec<Vec<u8>> =
        events.chunks(load.events).map(|part| author.say(part.to_vec())).collect();
    let limit = match load.limit {
        Limit::Sync => limits::syncs(dir.path(), 300),
        Limit::SignatureOrSync => {
            let syncs = limits::syncs(dir.path(), 300);
            limits::strict(&envelopes).min(syncs * load.in_flight as f64)
        }
        Limit::Rows => limits::raw_rows(dir.path(), &events),
    };
    let begun = Instant::now();
    if load.streamed {
        runtime.block_on(server.append_streamed(envelopes));
    } else {
        runtime.block_on(server.append(envelopes, load.in_flight));
    }
    let figure = rate(statements * load.events, begun.elapsed());
    runtime.block_on(server.stop());
    Round { figure, limit }
}

/// A node that serves one ledger on a port of this machine.
pub struct Server {
    pub ledger: LedgerId,
    pub url: String,
    pub channels: Vec<Channel>,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    /// A new ledger in `dir`.
    async fn start(dir: &Path) -> Self {
        let node = Arc::new(Node::open(dir.join("figures.db"), Options::default()).await.unwrap());
        let (operator, clerk) = node.prepare().await.unwrap();
        let open = encode(Kind::Genesis(genesis(operator, clerk)));
        let envelope = Author::sam(LedgerId::ZERO).say(vec![open]);
        let ledger = node
            .append(Append { envelope: envelope.into(), ..Append::default() })
            .await
            .unwrap()
            .ledger;
        Self::of(node, ledger).await
    }

    /// A ledger of this node.
    pub async fn of(node: Arc<Node>, ledger: LedgerId) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (end, ended) = oneshot::channel();
        let served = tokio::spawn(async move {
            let ended = async { drop(ended.await) };
            serve(node, listener, ended).await.unwrap();
        });
        let connect = || async {
            let endpoint = Endpoint::from_shared(url.clone()).unwrap().tcp_nodelay(true);
            endpoint.connect().await.unwrap()
        };
        let channels = join_all((0..64 / A_CONNECTION).map(|_| connect())).await;
        Self { ledger, url, channels, end, served }
    }

    /// All of them, `in_flight` at a time; every answer must be an acknowledgement.
    async fn append(&self, envelopes: Vec<Vec<u8>>, in_flight: usize) {
        let (envelopes, next) = (Arc::new(envelopes), Arc::new(AtomicUsize::new(0)));
        let callers = (0..in_flight).map(|n| {
            let (envelopes, next) = (envelopes.clone(), next.clone());
            let mut client = LogClient::new(self.channels[n % self.channels.len()].clone());
            tokio::spawn(async move {
                while let Some(envelope) = envelopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let request = v1::AppendRequest {
                        envelope: envelope.clone().into(),
                        ..Default::default()
                    };
                    let reply = client.append(request).await.unwrap().into_inner();
                    let done = matches!(reply.result, Some(append_reply::Result::Appended(_)));
                    assert!(done, "{reply:?}");
                }
            })
        });
        for caller in join_all(callers.collect::<Vec<_>>()).await {
            caller.unwrap();
        }
    }

    /// All of them on one stream; the answers must be acknowledgements, in order.
    async fn append_streamed(&self, envelopes: Vec<Vec<u8>>) {
        let mut client = LogClient::new(self.channels[0].clone());
        let count = envelopes.len();
        let request = |envelope: Vec<u8>| v1::AppendRequest {
            envelope: envelope.into(),
            ..Default::default()
        };
        let requests = stream::iter(envelopes.into_iter().map(request));
        let mut replies = client.append_stream(requests).await.unwrap().into_inner();
        let mut last = 0;
        for _ in 0..count {
            let reply = replies.message().await.unwrap().unwrap();
            let Some(append_reply::Result::Appended(appended)) = reply.result else {
                panic!("{reply:?}")
            };
            assert!(appended.entry > last, "in their order");
            last = appended.entry;
        }
    }

    pub async fn stop(self) {
        drop(self.channels);
        let _ = self.end.send(());
        self.served.await.unwrap();
    }
}
