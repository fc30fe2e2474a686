//! `subak key rotate`: another key for the same person, in every ledger here that knows the
//! old one.
//!
//! The new key is durable before anything is signed, and takes the old one's place only when
//! every ledger has it: whatever stops it in between, running it again goes on.

use crate::{
    context::{Context, Open, Texts, random, write_key},
    failure::{Done, Failure},
    keys,
};
use clap::Args;
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use subak_ledger::{
    book::{agents::possession_text, state::State, types::DAY_MS},
    log::{Handle, Hash, SecretKey},
    reject::Code,
    store::sync_directory,
};
use subak_proto::v1::{self, event::Kind};

/// Change your key, in all ledgers here that know it.
///
/// Makes a key in FILE.new, has each ledger take it and revoke the old one in one statement,
/// then puts it in the place of FILE and keeps the old one as FILE.old. Nothing is frozen: for
/// a key that was stolen there is `subak key revoke --since`. Interrupted, it goes on when it
/// is run again. Ledgers that are elsewhere know the old key only.
#[derive(Debug, Args)]
pub struct Rotate {}

impl Rotate {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let author = cx.author()?;
        let path = cx.key_path(&author)?;
        let old = keys::read(&path)?;
        let begun = beside(&path, "new");
        let ours = known(cx, &author, &old).await?;
        let new = if begun.exists() { keys::read(&begun)? } else { make(&begun, &author)? };
        let (before, after) = (old.public().bytes(), new.public().bytes());
        let mut changed = Vec::new();
        for open in &ours {
            if open.book.revoked.contains_key(&before) && open.book.keys.contains_key(&after) {
                continue; // done when it was run before
            }
            let events = change(open, cx, &author, (before, &new))?;
            let done = cx.say_as(open, &author, &old, events, Texts::default(), DAY_MS).await;
            let appended = done.map_err(|f| again(f, &begun))?;
            changed.push(json!({ "ledger": open.info.name, "entry": appended.entry }));
        }
        let kept = replace(&path, &begun).map_err(|e| again(Failure::file(&path, &e), &begun))?;
        let names: Vec<&str> = ours.iter().map(|o| o.info.name.as_str()).collect();
        let (key, file) = (hex::encode(after), path.display().to_string());
        let text = format!(
            "{author} signs with {key} now, in {}\n  in {file} (keep a copy: it is you); the old \
             key is in {}\n  a ledger elsewhere knows the old one only; there: subak agent key \
             {file} --key {}",
            names.join(", "),
            kept.display(),
            kept.display(),
        );
        let data = json!({ "handle": author.as_str(), "public": key, "file": path, "old": kept,
                           "revoked": hex::encode(before), "changed": changed });
        cx.out.result("subak.key/1", &data, &text)
    }
}

/// The ledgers here in which the key is, or was, the author's.
async fn known(cx: &Context, author: &Handle, key: &SecretKey) -> Done<Vec<Open>> {
    let connection = cx.writer(false).await?;
    let key = key.public().bytes();
    let mut ours = Vec::new();
    for info in connection.ledgers.ledgers().await? {
        let open = cx.open_ledger(connection.clone(), info).await?;
        let owner = open.book.keys.get(&key).map(|id| &open.book.agent(*id).handle);
        if owner == Some(author) {
            ours.push(open);
        }
    }
    if ours.is_empty() {
        return Err(Failure::refused(
            Code::KeyNotOfAuthor.name(),
            format!("no ledger here knows key {} as {author}'s", hex::encode(key)),
            "name the ledgers' file or node, or put a new key file in its place yourself",
        ));
    }
    Ok(ours)
}

fn make(path: &Path, author: &Handle) -> Done<SecretKey> {
    let new = SecretKey::from_seed(&random()?);
    write_key(path, &new, keys::passphrase()?.as_deref(), author.as_str())
        .map_err(|e| keys::failure(&e))?;
    Ok(new)
}

/// KeyAdd, unless that is done, and KeyRevoke.
fn change(
    open: &Open,
    cx: &Context,
    author: &Handle,
    (old, new): (Hash, &SecretKey),
) -> Done<Vec<Kind>> {
    let key = new.public().bytes();
    let mut events = Vec::new();
    if !open.book.keys.contains_key(&key) {
        let text = possession_text(&open.info.id.0, author, &key);
        let possession = new.sign(&text).to_vec();
        events.push(Kind::KeyAdd(v1::KeyAdd { key: key.to_vec(), possession }));
    }
    let since = since_now(&open.book, cx.at()?);
    events.push(Kind::KeyRevoke(v1::KeyRevoke { key: old.to_vec(), since }));
    Ok(events)
}

/// After everything that is in the ledger: what its author has seen is doubted by nobody. Not
/// simply now: the node's clock, which decides, may be behind ours.
pub fn since_now(book: &State, now: u64) -> u64 {
    now.min(book.time + 1)
}

fn again(mut f: Failure, begun: &Path) -> Failure {
    f.message = format!("{}; the new key is kept in {}", f.message, begun.display());
    f.next = format!("{}; then run `subak key rotate` again: it goes on", f.next);
    f
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

/// Puts the new file in the place of the old one, which is never without a name.
fn replace(path: &Path, new: &Path) -> io::Result<PathBuf> {
    let names = (1_u32..).map(|n| if n == 1 { "old".to_owned() } else { format!("old{n}") });
    for kept in names.map(|name| beside(path, &name)) {
        match fs::hard_link(path, &kept) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            linked => {
                linked?;
                fs::rename(new, path)?;
                sync_directory(path)?;
                return Ok(kept);
            }
        }
    }
    unreachable!("there are more names than files")
}
