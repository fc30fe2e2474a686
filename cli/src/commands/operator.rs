//! `subak operator`: another key signs a ledger's heads.
//!
//! Owns the two ways there: the operator changes its keys (`rotate`), or the stewards move the
//! ledger to another node, with the operator or without (`offer`, `sign`, `take`). Guarantees that
//! nobody signs what they are not shown. Leaves out the rules, and what other ledgers are told
//! (`agreement handover`).

use crate::{
    commands::contribute::report,
    connect,
    context::{Context, Open, Texts},
    counterpart, describe,
    failure::{Done, Failure},
    files::replace,
    handover_file::HandoverFile,
    money,
};
use clap::Subcommand;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use subak_ledger::{
    book::types::{DAY_MS, Role},
    log::Hash,
};
use subak_node::{
    follow::{Follower, evidence::Evidence, peers::Peer},
    ring::{Ring, Use},
    runtime::Node,
};
use subak_proto::v1::event::Kind;

/// Change who signs the heads of a ledger.
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Change the operator's key, beside the ledger file
    ///
    /// And the clerk's. The key before signs that the new one follows, and is removed: whoever found
    /// it could still sign old heads. A node that serves the file must be stopped meanwhile.
    #[command(after_help = "Example:\n  subak operator rotate --db subak.db --ledger our-commons")]
    Rotate,
    /// Prepare to take a ledger over: on another machine, with a copy of the ledger file
    ///
    /// Makes the new keys beside the copy, and a file for the stewards to sign. It needs no
    /// consent of the operator. It holds for the head of this copy: what the operator signs
    /// after that is no part of the ledger that goes on here.
    #[command(
        after_help = "Example:\n  subak operator offer our-commons.handover --db copy.db --ledger our-commons"
    )]
    Offer {
        /// Where to write what is to be signed
        file: PathBuf,
    },
    /// Sign a handover, as a steward
    ///
    /// Compare its head with what you know of the ledger: `subak audit` of a copy of your own.
    #[command(after_help = "Example:\n  subak operator sign our-commons.handover --as ana")]
    Sign {
        /// What `subak operator offer` has made
        file: PathBuf,
    },
    /// Fetch what this operator has signed and lost, since an old copy of the file was put back
    ///
    /// From a node that has copied the ledger: each entry is verified, as it was signed here. The node
    /// that serves the file must be stopped meanwhile. Where the file `halted` lies beside the keys, remove
    /// it afterwards.
    #[command(
        after_help = "Example:\n  subak operator restore https://mirror.example:7118 --db subak.db --ledger our-commons"
    )]
    Restore {
        /// A node that has copied it
        url: String,
    },
    /// Take the ledger over, when as many stewards as the quorum have signed
    #[command(
        after_help = "Example:\n  subak operator take our-commons.handover --db copy.db --ledger our-commons --as ana"
    )]
    Take {
        /// What the stewards have signed
        file: PathBuf,
    },
}

impl Operator {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Rotate => rotate(cx).await,
            Self::Offer { file } => offer(cx, file).await,
            Self::Sign { file } => sign(cx, file),
            Self::Take { file } => take(cx, file).await,
            Self::Restore { url } => restore(cx, url).await,
        }
    }
}

fn here(open: &Open) -> Done<Arc<Node>> {
    open.connection.embedded.clone().ok_or_else(|| {
        Failure::usage(
            "the operator's keys lie beside the ledger file, not with a node",
            "stop the node, and name its file with --db instead of --node",
        )
    })
}

/// What those who rely on the old key have to do.
const NEXT: &str = "  next: give it to whoever trusts the old one: `subak commons show --vkey` prints the \
                    line for trust files\n  each witness needs that line too, and a restart: till then it \
                    signs no more\n  and other ledgers: `subak agreement handover` there";

/// When consents end: as late as a statement may, but for a node's clock that is behind ours.
fn ends(cx: &Context) -> Done<u64> {
    Ok(cx.at()? + 30 * DAY_MS - 60_000)
}

async fn rotate(cx: &Context) -> Done {
    let open = cx.write().await?;
    let node = here(&open)?;
    node.ready(open.info.id).await?;
    let mut event = node.offer_handover(open.info.id, ends(cx)?).await?;
    let key = hash(&event.key);
    event.consent = vec![node.consent(open.info.id, &event).await?];
    let said = counterpart::say_as_anyone(cx, &open, vec![Kind::Handover(event)]).await;
    let appended = match said {
        // Where that is not known, the key may be in force.
        Err(failure) if failure.status == 4 => return Err(failure),
        Err(failure) => {
            node.withdraw_handover(&key).await?;
            return Err(failure);
        }
        Ok(appended) => appended,
    };
    let before = hex::encode(open.book.operator());
    let more = json!({ "operator_key": hex::encode(key), "before": before });
    let text = format!(
        "{} is signed by another key from entry {} on: {}\n{NEXT}",
        open.info.name,
        appended.entry,
        hex::encode(key)
    );
    report(cx, &appended, &more, &text)
}

async fn restore(cx: &Context, url: String) -> Done {
    connect::require_url(&url, cx.node_ca())?;
    let connection = cx.writer(false).await?;
    let info = cx.choose(&connection, cx.global.ledger.as_deref()).await?;
    if !connection.is_own(&info) {
        return Err(Failure::refused(
            "not-the-operator",
            format!("ledger {}: its operator's key is not beside this file", info.name),
            "a copy grows by itself: `subak peer add`, or `subak mirror`",
        ));
    }
    let node = connection.embedded.ok_or_else(|| {
        let what = "what was lost is fetched into the ledger file, not into a node";
        Failure::usage(what, "stop the node, and name its file with --db instead of --node")
    })?;
    let ca = cx.node_ca().map(Path::to_path_buf);
    let peer = Peer { url, ca, follow: Vec::new(), all: false };
    let evidence = Evidence::beside(&cx.db());
    let size = Follower::restore(node.clone(), &peer, info.id, evidence).await?;
    // Whether it is all that was signed here is for the head file to say.
    let ready = node.ready(info.id).await;
    let text = format!(
        "{}: {} fetched from {}, it has {size} now",
        info.name,
        describe::entries(size.saturating_sub(info.size)),
        peer.url
    );
    let data = json!({
        "ledger": info.id.to_string(), "fetched": size.saturating_sub(info.size), "size": size,
        "source": peer.url,
    });
    cx.out.result("subak.restore/1", &data, &text)?;
    Ok(ready?)
}

async fn offer(cx: &Context, file: PathBuf) -> Done {
    let open = cx.write().await?;
    let node = here(&open)?;
    if fs::exists(&file).map_err(|error| Failure::file(&file, &error))? {
        return Err(Failure::refused(
            "file-exists",
            format!("{}: it is there already", file.display()),
            "name another file: what stewards have signed is not overwritten",
        ));
    }
    let event = node.offer_handover(open.info.id, ends(cx)?).await?;
    let key = hash(&event.key);
    let offer = HandoverFile::new(open.info.id, open.book.operator(), event)?;
    if let Err(error) = replace(&file, &offer.to_text()) {
        node.withdraw_handover(&key).await?;
        return Err(Failure::file(&file, &error));
    }
    let root = open.book.root();
    let (shown, db) = (file.display(), cx.db().display().to_string());
    cx.out.result(
        "subak.handover/1",
        &data(&offer, &file),
        &format!(
            "{} ({})\n{}\n  next: {} of {} sign it: `subak operator sign {shown} --as HANDLE`\n  then, \
             here: `subak operator take {shown} --db {db} --as HANDLE`",
            root.name,
            root.kind,
            told(&offer),
            root.quorum,
            describe::count(open.book.with_role(Role::Steward).count() as u64, "steward"),
        ),
    )
}

fn sign(cx: &Context, file: PathBuf) -> Done {
    let mut offer = HandoverFile::read(&file)?;
    let author = cx.author()?;
    let secret = cx.secret(&author)?;
    cx.out.note(&told(&offer));
    offer.add(secret.public().bytes(), secret.sign(&offer.text()));
    replace(&file, &offer.to_text()).map_err(|error| Failure::file(&file, &error))?;
    let signed = describe::count(offer.event.consent.len() as u64, "signature");
    cx.out.result(
        "subak.handover/1",
        &data(&offer, &file),
        &format!("{author} has signed {}: {signed} in it", file.display()),
    )
}

async fn take(cx: &Context, file: PathBuf) -> Done {
    let mut offer = HandoverFile::read(&file)?;
    // The file says which ledger, whatever else is set.
    let connection = cx.writer(false).await?;
    let open = counterpart::find(cx, &connection, offer.head.ledger.0).await?.ok_or_else(|| {
        Failure::refused(
            "wrong-ledger",
            format!("{}: it is for ledger {}", file.display(), offer.head.ledger),
            "name the copy of that ledger with --db",
        )
    })?;
    here(&open)?;
    if open.book.operators.iter().any(|it| it.key == hash(&offer.event.key)) {
        return Err(Failure::refused(
            "taken-already",
            format!("{}: ledger {} was handed over by it", file.display(), open.info.name),
            "there is nothing to do",
        ));
    }
    let key = hex::encode(&offer.event.key);
    if !Ring::beside(&cx.db()).holds(&hash(&offer.event.key), Use::Successor) {
        return Err(Failure::refused(
            "offer-elsewhere",
            format!("{}: its key {key} is not beside {}", file.display(), cx.db().display()),
            "take it where it was offered: there the new keys are",
        ));
    }
    require_stewards(cx, &open, &mut offer, &file)?;
    let appended = cx.say(&open, vec![Kind::Handover(offer.event)], Texts::default()).await?;
    let text = format!(
        "{} is operated from here, from entry {} on\n  operator {key}\n{NEXT}\n  a witness that has \
         signed more than {} of the operator before can sign this ledger no more: it begins anew, \
         with another store, key and name",
        open.info.name,
        appended.entry,
        describe::entries(offer.head.size)
    );
    let before = hex::encode(offer.before);
    report(cx, &appended, &json!({ "operator_key": key, "before": before }), &text)
}

/// Leaves out who is no steward here, and needs as many as the quorum, or the operator.
fn require_stewards(cx: &Context, open: &Open, offer: &mut HandoverFile, file: &Path) -> Done {
    let book = &open.book;
    let steward = |key: &Hash| book.steward(key).map(|id| &book.agent(id).handle);
    let mut names = BTreeSet::new();
    let mut operator = false;
    offer.event.consent.retain(|consent| {
        let key = hash(&consent.key);
        operator |= key == offer.before;
        let known = key == offer.before
            || steward(&key).is_some_and(|name| {
                names.insert(name.clone());
                true
            });
        if !known {
            cx.out.note(&format!("key {} is no steward's: left out", describe::short(&key)));
        }
        known
    });
    let quorum = book.root().quorum as usize;
    if operator || names.len() >= quorum {
        return Ok(());
    }
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    Err(Failure::refused(
        "quorum-required",
        format!(
            "{}: expected {} to have signed, found {}",
            file.display(),
            describe::count(quorum as u64, "steward"),
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ),
        format!("let more of them sign it: `subak operator sign {} --as HANDLE`", file.display()),
    ))
}

/// What a handover says, in sentences: from the bytes that are signed.
fn told(offer: &HandoverFile) -> String {
    format!(
        "ledger {} is handed over\n  at     {}, root {}\n  from   operator {}\n  to     operator \
         {}\n  clerk  {}\n  until  {}",
        offer.head.ledger,
        describe::entries(offer.head.size),
        hex::encode(offer.head.root),
        hex::encode(offer.before),
        hex::encode(&offer.event.key),
        hex::encode(&offer.event.clerk),
        money::show_time(offer.event.expires_at)
    )
}

fn data(offer: &HandoverFile, file: &Path) -> serde_json::Value {
    let by: Vec<_> = offer.event.consent.iter().map(|c| hex::encode(&c.key)).collect();
    json!({
        "file": file, "ledger": offer.head.ledger.to_string(), "size": offer.head.size,
        "root": hex::encode(offer.head.root), "before": hex::encode(offer.before),
        "operator_key": hex::encode(&offer.event.key),
        "clerk_key": hex::encode(&offer.event.clerk), "consent": by,
    })
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().expect("made with 32 bytes")
}
