//! `subak serve`: the node, on the network.
//!
//! Owns the process around the server: the log on standard error, the listener, the
//! signals that end it. Leaves out the server (`subak_node::serve`).

use crate::{
    connect,
    context::Context,
    failure::{Done, Failure},
    files::trust_file,
};
use clap::Args;
use serde_json::json;
use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use subak_ledger::log::policy::Policy;
use subak_node::{
    LedgerInfo, Ledgers as _,
    follow::{
        Follower,
        evidence::Evidence,
        peers::{self, Peer},
    },
    relay::Relay,
    ring::{Ring, Use},
    runtime::{Node, Options},
    serve,
    submit::Submitter,
    tls::Identity,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// Serve the ledgers of a file: gRPC, with reflection and health.
///
/// Writing needs no account: a statement's signature is the permission. Ends in order
/// on SIGINT and SIGTERM: what was acknowledged is durable. The ledgers of its peers are followed
/// (`subak peer`), and what is due between ledgers is relayed by itself. Logs go to standard error;
/// RUST_LOG says how much. On the same port are plain pages: `/` lists the ledgers,
/// below each are its checkpoint and C2SP tiles, and `/metrics` has figures. With a
/// certificate and its key all of it is in TLS, and nothing without; they are read once,
/// so start it again when they are renewed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak serve --db subak.db\n  subak serve --listen 0.0.0.0:7117 --new-ledgers\n  subak serve --witnesses witnesses.txt\n  subak serve --listen 0.0.0.0:7117 --tls-cert node.pem --tls-key node.key"
)]
pub struct Serve {
    #[command(flatten)]
    place: Place,
    /// Make the ledger file where there is none, and let anyone open ledgers in it
    #[arg(long)]
    new_ledgers: bool,
    /// A trust file (C2SP tlog-policy) with witnesses and their URLs: each new head is submitted
    /// to them, and what they sign is served
    ///
    /// What one of them says against a ledger ends appending. Witnesses beyond this machine should
    /// be asked over https://, then it counts until a person removes the file `halted` beside the
    /// keys; over http:// anybody on the way can say it, and it counts until the node ends.
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
    /// Leave to people what is due between ledgers: relay nothing
    ///
    /// Else the node appends by itself, as the clerk, to each ledger whose keys it has what the
    /// others in the file say: incomes with their proofs, the stages of agreements, handovers with
    /// consent. With a trust file (--trust-file) only what its witnesses have signed.
    #[arg(long)]
    no_relay: bool,
}

/// Where a node listens, and who it says it is.
#[derive(Debug, Args)]
pub struct Place {
    /// Address and port; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:7117", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The node's certificate in PEM, and those between it and an authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Serve {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let listening = self.place.open(cx).await?;
        let options = Options {
            create: self.new_ledgers,
            allow_new_ledgers: self.new_ledgers,
            ..Options::default()
        };
        let node = Arc::new(Node::open(cx.db(), options).await?);
        let ledgers = look(cx, &node).await?;
        if let Some(file) = &self.witnesses {
            let submitter = Submitter::new(node.clone(), trust_file(file)?)?;
            submitter.first().await?;
            tokio::spawn(Arc::new(submitter).run());
        }
        let policy = cx.trust.asking().cloned();
        let witnessed = policy.is_some();
        follow(cx, &node, Vec::new(), witnessed, policy);
        if !self.no_relay {
            relay(cx, &node);
        }
        listening.serve(cx, node, ledgers).await
    }
}

/// Relays to the own ledgers what is due, but from nobody who was proven to have signed two histories.
fn relay(cx: &Context, node: &Arc<Node>) {
    let evidence = Evidence::beside(&cx.db());
    let relay = Relay::new(node.clone()).stopped_by(move |ledger| {
        let file = evidence.against(ledger)?;
        Some(format!("its operator has signed two histories: {}", file.display()))
    });
    let relay = match cx.trust.asking() {
        Some(policy) => relay.with_policy(policy.clone()),
        None => relay,
    };
    tokio::spawn(Arc::new(relay).run());
}

/// Follows the peers of the ledger file, and those in `fixed`.
pub(super) fn follow(
    cx: &Context,
    node: &Arc<Node>,
    fixed: Vec<Peer>,
    witnessed: bool,
    policy: Option<Policy>,
) {
    let (file, evidence) = (peers::file_of(&cx.db()), Evidence::beside(&cx.db()));
    let follower = Follower::new(node.clone(), Some(file), fixed, evidence);
    let follower = if witnessed { follower.with_witnessed(policy) } else { follower };
    tokio::spawn(Arc::new(follower).run());
}

/// The ledgers of a node that is about to serve, and which of them it cannot append to.
pub(super) struct Looked {
    names: Vec<String>,
    mute: Vec<String>,
}

/// Looks at every ledger first: whoever is served is not told later that the file is damaged, or
/// an old copy.
pub(super) async fn look(cx: &Context, node: &Node) -> Done<Looked> {
    let ledgers = node.ledgers().await?;
    let mute = without_key(&Ring::beside(&cx.db()), &ledgers);
    let follows = peers::file_of(&cx.db()).exists();
    for name in mute.iter().filter(|_| !follows) {
        tracing::warn!(
            ledger = %name,
            "the operator's key is not in the folder beside the file (.keys): nothing can be \
             appended; put it back from where it is kept"
        );
    }
    for warning in ledgers.iter().filter_map(|l| connect::forgotten(&cx.db(), l)) {
        tracing::warn!("{warning}");
    }
    for ledger in &ledgers {
        if !mute.contains(&ledger.name) {
            node.ready(ledger.id).await?;
            continue;
        }
        match node.book(ledger.id).await {
            // The rest comes when its source answers.
            Err(error) if error.code() == "copy-incomplete" => tracing::info!("{error}"),
            other => drop(other?),
        }
    }
    Ok(Looked { names: ledgers.into_iter().map(|l| l.name).collect(), mute })
}

/// A place that is taken, before anything is served there.
pub(super) struct Listening {
    listener: TcpListener,
    url: String,
    identity: Option<Identity>,
}

impl Place {
    /// Takes the place, and reads who the node is; clap sees to it that both files are named or
    /// neither.
    pub(super) async fn open(&self, cx: &Context) -> Done<Listening> {
        if let Some(url) = &cx.global.node {
            return Err(Failure::usage(
                format!("a node serves a ledger file, found --node {url}"),
                "name the file with --db",
            ));
        }
        let identity = self.identity()?;
        log_to_stderr();
        let listener = TcpListener::bind(self.listen).await.map_err(|e| taken(self.listen, &e))?;
        let address = listener.local_addr().map_err(|e| taken(self.listen, &e))?;
        let url = format!("{}://{address}", if identity.is_some() { "https" } else { "http" });
        Ok(Listening { listener, url, identity })
    }

    fn identity(&self) -> Done<Option<Identity>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let (chain, secret) = (connect::pem(certificate)?, Zeroizing::new(connect::pem(key)?));
        let named = |e| {
            let files = format!("{} and {}", certificate.display(), key.display());
            connect::of_file(Path::new(&files), e)
        };
        Identity::from_pem(&chain, &secret).map(Some).map_err(named)
    }
}

impl Listening {
    /// Serves until the process is asked to end.
    pub(super) async fn serve(self, cx: &Context, node: Arc<Node>, looked: Looked) -> Done {
        let Self { listener, url, identity } = self;
        let Looked { names, mute } = looked;
        let shutdown = signals()?;
        cx.out.result(
            "subak.serve/1",
            &json!({ "url": url, "ledgers": names, "without_key": mute }),
            &format!(
                "serving {} at {url}\n  use it: `subak commons show --node {url} --ledger NAME`; end with Ctrl-C",
                if names.is_empty() { "no ledger yet".to_owned() } else { names.join(", ") }
            ),
        )?;
        serve::serve_as(node, listener, identity, shutdown).await.map_err(|e| {
            Failure::world("serve", format!("{e:#}"), "look at the log, then start it again")
        })
    }
}

/// Ledgers whose checkpoints this process cannot sign.
fn without_key(ring: &Ring, ledgers: &[LedgerInfo]) -> Vec<String> {
    let lacks = |l: &&LedgerInfo| !matches!(ring.find(&l.operator, Use::Operator), Ok(Some(_)));
    ledgers.iter().filter(lacks).map(|l| l.name.clone()).collect()
}

pub(super) fn taken(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::world(
        "listen",
        format!("{address}: {error}"),
        "choose another address with --listen, or end who has it",
    )
}

/// A second call (a command run within another) keeps the first subscriber.
pub(super) fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let coloured = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured);
    let _ = subscriber.with_writer(io::stderr).try_init();
}

/// Ends when the process is asked to: SIGINT, and SIGTERM where there is one.
pub(super) fn signals() -> Done<impl Future<Output = ()> + Send> {
    let failed =
        |e: io::Error| Failure::world("signals", format!("no signal handler: {e}"), "try again");
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(failed)?;
    #[cfg(unix)]
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(failed)?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        {
            let _ = failed;
            let _ = tokio::signal::ctrl_c().await;
        }
    })
}
