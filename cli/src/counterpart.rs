//! The other ledger of an agreement: where it is, and proofs of its entries.
//!
//! Owns the options `--other-db` and `--other-node` (default: the same connection, for
//! one file or node often holds both ledgers) and everything that is fetched there.
//! Guarantees nothing of what it fetches: the rules check each proof again. Leaves out
//! what the entries are good for.

use crate::{
    connect,
    context::{Connection, Context, Open, Texts},
    failure::{Done, Failure},
    trust,
};
use clap::Args;
use std::path::PathBuf;
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        state::{CLERK, State},
        types::{DAY_MS, Handle},
    },
    log::{Hash, LedgerId},
};
use subak_node::{
    Appended, LedgerInfo,
    relay::proofs::{self, Head},
};
use subak_proto::v1::{self, event::Kind};

/// Where the other ledger of an agreement is.
#[derive(Debug, Clone, Default, Args)]
pub struct Elsewhere {
    /// The other ledger is in this ledger file [default: the same as --db]
    #[arg(long, value_name = "PATH", conflicts_with = "other_node")]
    pub other_db: Option<PathBuf>,
    /// The other ledger is at this node [default: the same as --node]
    #[arg(long, value_name = "URL")]
    pub other_node: Option<String>,
}

impl Elsewhere {
    /// The connection to the other ledger, for reading; `mine` where nothing else is said.
    pub async fn reader(&self, cx: &Context, mine: &Connection) -> Done<Connection> {
        match (&self.other_db, &self.other_node) {
            (Some(db), _) => connect::reader(db).await,
            (None, Some(url)) => {
                connect::node(url, &cx.trust, cx.node_ca().filter(|_| url.starts_with("https:")))
                    .await
            }
            (None, None) => Ok(mine.clone()),
        }
    }

    /// As [`Elsewhere::reader`], for appending.
    pub async fn writer(&self, cx: &Context, mine: &Connection) -> Done<Connection> {
        match (&self.other_db, &self.other_node) {
            (Some(db), _) => connect::writer(db, false).await,
            (None, Some(url)) => {
                connect::node(url, &cx.trust, cx.node_ca().filter(|_| url.starts_with("https:")))
                    .await
            }
            (None, None) => Ok(mine.clone()),
        }
    }

    /// The same options, for another command that is to be run here.
    pub fn again(&self) -> String {
        match (&self.other_db, &self.other_node) {
            (Some(db), _) => format!(" --other-db {}", db.display()),
            (None, Some(url)) => format!(" --other-node {url}"),
            (None, None) => String::new(),
        }
    }

    /// Where the other side finds its ledger and this one, for a command that it is told
    /// to run; nothing where both are on one connection.
    pub fn hint(&self, cx: &Context) -> String {
        let theirs = match (&self.other_db, &self.other_node) {
            (Some(db), _) => format!(" --db {}", db.display()),
            (None, Some(url)) => format!(" --node {url}"),
            (None, None) => return String::new(),
        };
        match &cx.global.node {
            Some(url) => format!("{theirs} --other-node {url}"),
            None => format!("{theirs} --other-db {}", cx.db().display()),
        }
    }
}

/// The ledger with this id there, folded; `None` if it is not there.
pub async fn find(cx: &Context, there: &Connection, id: Hash) -> Done<Option<Open>> {
    let all = there.ledgers.ledgers().await?;
    match all.into_iter().find(|l| l.id == LedgerId(id)) {
        Some(info) => cx.open_ledger(there.clone(), info).await.map(Some),
        None => Ok(None),
    }
}

/// As [`find`], where there must be one.
pub async fn require(cx: &Context, there: &Connection, id: Hash, who: &Handle) -> Done<Open> {
    find(cx, there, id).await?.ok_or_else(|| {
        Failure::refused(
            "no-ledger",
            format!("the ledger of {who} ({}…) is not here", &hex::encode(id)[..16]),
            "say where it is with --other-db PATH or --other-node URL",
        )
    })
}

/// For what anyone may append: signs as whom the user names, where that is an agent of
/// this ledger; else as the clerk where its key is in this process; else as the user.
pub async fn say_as_anyone(cx: &Context, open: &Open, events: Vec<Kind>) -> Done<Appended> {
    let named = cx.global.author.as_deref().map(Handle::new).transpose()?;
    let here = named.as_ref().is_some_and(|h| open.book.handles.contains_key(h));
    let clerk = match &open.connection.embedded {
        Some(node) if !here => node.clerk(open.info.id).await?,
        _ => None,
    };
    match clerk {
        Some(secret) => {
            if let Some(named) = named {
                let ledger = &open.info.name;
                cx.out.note(&format!("{named} is no agent of {ledger}: the clerk signs"));
            }
            let handle = Handle::new(CLERK)?;
            cx.say_as(open, &handle, &secret, events, Texts::default(), DAY_MS).await
        }
        None => cx.say(open, events, Texts::default()).await,
    }
}

/// A proof of an entry under the newest checkpoint of its ledger; where the trust file asks for
/// witnesses, under the one that they have signed.
pub async fn prove(cx: &Context, there: &Open, entry: u64) -> Done<v1::Proof> {
    let (ledgers, id) = (&there.connection.ledgers, there.info.id);
    let head = if let Some(policy) = cx.trust.asking() {
        let (head, note) = trust::seen(policy, there, entry + 1).await?;
        Head { size: head.size, note }
    } else {
        let note = ledgers.checkpoint(id).await?;
        Head { size: there.book.signed_head(&note)?.size, note }
    };
    Ok(proofs::prove(&**ledgers, id, entry, &head).await?)
}

/// The terms of an offer as they stand in the payer's log: their bytes are its name.
pub async fn offered_terms(there: &Open, digest: &Hash) -> Done<Option<v1::Terms>> {
    let (ledgers, size) = (&*there.connection.ledgers, there.book.size);
    let terms = proofs::scan(ledgers, there.info.id, 0..size, |_, events| {
        let proposed = events.iter().flat_map(|k| match k {
            Kind::Propose(p) => proofs::kinds(&p.event),
            _ => Vec::new(),
        });
        proposed
            .filter_map(|k| match k {
                Kind::AgreementOffer(o) => o.terms,
                _ => None,
            })
            .find(|t| subak_ledger::book::event::terms_digest(t).is_ok_and(|d| d == *digest))
    });
    Ok(terms.await?)
}

/// The agreement that `wanted` names: the beginning of its digest, or the other side's handle.
pub fn resolve(book: &State, wanted: &str) -> Done<Hash> {
    let by_digest = |d: &Hash| wanted.len() >= 4 && hex::encode(d).starts_with(wanted);
    let fits = |a: &Agreement| by_digest(&a.terms.digest) || partner(a).as_str() == wanted;
    let found: Vec<Hash> =
        book.agreements.values().filter(|a| fits(a)).map(|a| a.terms.digest).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::refused(
            "unknown-agreement",
            format!("no agreement {wanted:?} in this ledger"),
            "look them up: `subak agreement list`",
        )),
        several => Err(Failure::usage(
            format!("{} agreements fit {wanted:?}", several.len()),
            "give more digits: `subak agreement list` prints them",
        )),
    }
}

/// The other side of an agreement.
pub fn partner(a: &Agreement) -> &Handle {
    if a.progress == Progress::Accepted { &a.terms.payer_handle } else { &a.terms.commons_handle }
}

/// The ledgers at a connection, but for one.
pub async fn others(there: &Connection, but: LedgerId) -> Done<Vec<LedgerInfo>> {
    let all = there.ledgers.ledgers().await?;
    Ok(all.into_iter().filter(|l| l.id != but).collect())
}
