//! `subak key revoke`, `add`, `possess`, `confirm` and `subak agent recover`: what a ledger
//! knows of people's keys.

use super::rotate::since_now;
use crate::{
    commands::{approve::proposed_all, contribute::report, frozen},
    context::{Context, Open, Texts},
    failure::{Done, Failure},
    keys, money,
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use subak_ledger::{
    book::{
        agents::possession_text,
        state::State,
        types::{AgentId, Handle},
    },
    log::Hash,
};
use subak_proto::v1::{self, event::Kind};

/// Revoke a key: it signs nothing from then on.
///
/// One's own at once; anybody's as a proposal to the stewards. Nothing is void. What the key
/// has signed since --since and is not paid yet is frozen, until the stewards have looked:
/// `subak key confirm`. Without --since nothing is: the key is lost, not stolen.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The key, or how it begins: `subak agent list --json` shows whole keys
    #[arg(value_name = "KEY")]
    public: String,
    /// From when on somebody else may have had it: a date or a time
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
}

/// Confirm what a revoked key has signed: it is frozen no more (stewards, by quorum).
///
/// What is left unconfirmed stays frozen. To reverse it: `subak contribution reject`,
/// `subak payout failed`.
#[derive(Debug, Args)]
pub struct Confirm {
    /// The key, or how it begins
    #[arg(value_name = "KEY")]
    public: String,
    /// Only what is owed to these agents; without any, everything
    agents: Vec<String>,
}

/// Show that you hold a key: what `subak agent recover` and `subak key add` ask for.
///
/// The proof holds for one handle in one ledger, and is no secret.
#[derive(Debug, Args)]
pub struct Possess {
    /// The key's file [default: the file of the signer's key]
    file: Option<PathBuf>,
}

/// Add a key of another device for yourself, whose file stays there.
///
/// The device prints key and proof with `subak key possess FILE --as HANDLE`. Where its file is
/// here, `subak agent key FILE` does both.
#[derive(Debug, Args)]
pub struct Add {
    /// The device's public key
    #[arg(value_name = "KEY")]
    public: String,
    /// Its proof of possession
    #[arg(long, value_name = "HEX")]
    possession: String,
}

/// Somebody's new key, for one that is lost.
#[derive(Debug, Args)]
pub struct Recover {
    /// Who has lost a key
    handle: String,
    /// Their new public key
    #[arg(value_name = "KEY")]
    public: String,
    /// Its proof of possession: `subak key possess` prints it
    #[arg(long, value_name = "HEX")]
    possession: String,
    /// Revoke this key of theirs in the same proposal: the key, or how it begins
    #[arg(long, value_name = "KEY")]
    revoke: Option<String>,
    /// From when on somebody else may have had the revoked one
    #[arg(long, value_name = "DATE", requires = "revoke")]
    since: Option<String>,
}

impl Revoke {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let (key, owner) = find(&open.book, &self.public)?;
        let event = revocation(cx, &open, key, self.since.as_deref())?;
        let whose = open.book.agent(owner).handle.clone();
        let data = json!({ "key": hex::encode(key), "agent": whose.as_str() });
        if cx.author()? != whose {
            let done = |book: &State| revoked(book, key, owner, None);
            return proposed_all(cx, &open, vec![event], &data, done).await;
        }
        let appended = cx.say(&open, vec![event], Texts::default()).await?;
        let book = open.connection.ledgers.book(open.info.id).await?;
        report(cx, &appended, &data, &revoked(&book, key, owner, None))
    }
}

impl Confirm {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let (key, owner) = find(&open.book, &self.public)?;
        let mut agents = self.agents;
        agents.sort();
        agents.dedup();
        for agent in &agents {
            open.book.find(&Handle::new(agent)?)?;
        }
        if !open.book.doubts.contains_key(&(owner, key)) {
            return Err(Failure::refused(
                "nothing-frozen",
                format!("nothing that key {} has signed is frozen", hex::encode(key)),
                "`subak agent list` shows what is",
            ));
        }
        let data = json!({ "key": hex::encode(key), "agents": agents });
        let event =
            Kind::EffectsConfirm(v1::EffectsConfirm { key: key.to_vec(), agent: agents.clone() });
        let done = |book: &State| {
            let what = if agents.is_empty() {
                "nothing that it has signed is frozen any more".to_owned()
            } else {
                format!("it freezes nothing that is owed to {}", agents.join(", "))
            };
            let all = frozen::lines(book, book.agents.iter().map(|a| a.id));
            format!("{what}{all}")
        };
        proposed_all(cx, &open, vec![event], &data, done).await
    }
}

impl Possess {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        let author = cx.author()?;
        let path = self.file.map_or_else(|| cx.key_path(&author), Ok)?;
        let secret = keys::read(&path)?;
        let key = secret.public().bytes();
        let proof = hex::encode(secret.sign(&possession_text(&open.info.id.0, &author, &key)));
        let (key, ledger) = (hex::encode(key), &open.info.name);
        let text = format!(
            "for {author} in {ledger}: key {key}\n  with the key lost, for a steward:\n    subak \
             agent recover {author} {key} --possession {proof}\n  with another key of yours:\n    \
             subak key add {key} --possession {proof}"
        );
        let data = json!({ "handle": author.as_str(), "ledger": open.info.id.to_string(),
                           "public": key, "possession": proof, "file": path });
        cx.out.result("subak.key/1", &data, &text)
    }
}

impl Add {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let key = keys::public(&self.public)?;
        let event = v1::KeyAdd { key, possession: proof(&self.possession)? };
        let appended = cx.say(&open, vec![Kind::KeyAdd(event)], Texts::default()).await?;
        let text = format!("{} may now sign with {} too", cx.author()?, self.public);
        report(cx, &appended, &json!({ "key": self.public }), &text)
    }
}

impl Recover {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let handle = Handle::new(&self.handle)?;
        let id = open.book.find(&handle)?; // refused now, not when the last steward approves
        let mut events = Vec::new();
        let mut lost = None;
        if let Some(text) = &self.revoke {
            let (key, owner) = find(&open.book, text)?;
            if owner != id {
                return Err(Failure::usage(
                    format!("--revoke {text}: the key is {}'s", open.book.agent(owner).handle),
                    format!("name a key of {handle}'s: `subak agent list --json`"),
                ));
            }
            events.push(revocation(cx, &open, key, self.since.as_deref())?);
            lost = Some(key);
        }
        let key = keys::public(&self.public)?;
        let possession = proof(&self.possession)?;
        let agent = self.handle.clone();
        events.push(Kind::KeyRecover(v1::KeyRecover { agent, key, possession }));
        let data = json!({ "agent": self.handle, "key": self.public,
                           "revoked": lost.map(hex::encode) });
        let done = |book: &State| {
            let lost = lost.map_or_else(String::new, |key| {
                format!("\n{}", revoked(book, key, id, Some(&self.public)))
            });
            format!("{handle} may now sign with {}{lost}", self.public)
        };
        proposed_all(cx, &open, events, &data, done).await
    }
}

/// A key of somebody here, by how it begins, and whose it is.
fn find(book: &State, text: &str) -> Done<(Hash, AgentId)> {
    let digits = text.to_ascii_lowercase();
    if digits.len() < 8 || digits.len() > 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(
            format!("key {text:?}: expected 8 to 64 hex digits"),
            "`subak agent list --json` shows whole keys",
        ));
    }
    let found: Vec<_> =
        book.keys.iter().filter(|(key, _)| hex::encode(key).starts_with(&digits)).collect();
    match found.as_slice() {
        [(key, owner)] => Ok((**key, **owner)),
        [] => Err(Failure::refused(
            "unknown-key",
            format!("nobody here has a key {text}"),
            "`subak agent list --json` shows whole keys",
        )),
        several => Err(Failure::usage(
            format!("{} keys begin with {text}", several.len()),
            "give more of it",
        )),
    }
}

fn revocation(cx: &Context, open: &Open, key: Hash, since: Option<&str>) -> Done<Kind> {
    let since = match since {
        Some(text) => money::time(text)?,
        None => since_now(&open.book, cx.at()?),
    };
    Ok(Kind::KeyRevoke(v1::KeyRevoke { key: key.to_vec(), since }))
}

/// What a revocation has brought about: what signs still, what is frozen.
fn revoked(book: &State, key: Hash, owner: AgentId, given: Option<&str>) -> String {
    let agent = book.agent(owner);
    let left = agent.keys.iter().map(hex::encode).filter(|key| Some(key.as_str()) != given);
    let left: Vec<_> = left.collect();
    let signs = if left.is_empty() && given.is_some() {
        format!("{} signs with no other", agent.handle)
    } else if left.is_empty() {
        format!(
            "{} has no key left: stewards give another one, `subak agent recover`",
            agent.handle
        )
    } else {
        format!("{} still signs with {}: revoke what is not theirs", agent.handle, left.join(", "))
    };
    let frozen = if book.doubts.contains_key(&(owner, key)) {
        frozen::lines(book, book.agents.iter().map(|a| a.id))
    } else {
        "\nnothing is frozen: it has signed nothing since then that leads to money".into()
    };
    format!("key {} signs nothing any more\n{signs}{frozen}", hex::encode(key))
}

fn proof(text: &str) -> Done<Vec<u8>> {
    hex::decode(text).ok().filter(|proof| proof.len() == 64).ok_or_else(|| {
        Failure::usage(
            "a proof of possession is 128 hex digits",
            "let the person run `subak key possess`",
        )
    })
}
