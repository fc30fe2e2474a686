//! `subak witness`: sign, for the logs of others, that they only grow.
//!
//! Owns the key file of a witness, and the process around its server. A witness's key is made for
//! nothing else: its file says so in its comment, together with the name that it signs under
//! (`subak witness NAME`), and other keys are refused here. Leaves out the rules and the server
//! (`subak_node::witness`).

use super::serve::{log_to_stderr, signals, taken};
use crate::{
    context::{Context, random, write_key},
    failure::{Done, Failure},
    keys::{self, WITNESS},
    money,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use subak_ledger::{
    log::{Handle, SecretKey, cosignature::CosignerKey},
    store::{WitnessFile, WitnessReader, witness::Evidence},
};
use subak_node::{
    keyfile,
    witness::{Logs, Witness as Service, serve::serve},
};
use tokio::net::TcpListener;

const SCHEMA: &str = "subak.witness/1";

/// Sign, for the logs of others, that they only grow.
#[derive(Debug, Subcommand)]
pub enum Witness {
    /// Make the key of a witness, and the store that belongs to it
    ///
    /// The key signs under this name only, and nothing but cosignatures. The store is what the
    /// witness remembers: never put an older copy in its place, which would make it sign a second
    /// history; where it is lost, begin again with a new key and a new name.
    #[command(after_help = "Example:\n  subak witness new w1 --name witness.example/w1")]
    New {
        /// What the key file is called: 1 to 32 of a-z, 0-9 and -
        handle: String,
        /// The name that logs and clients know it by, like an address without https://
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Its store
        #[arg(long, default_value = "witness.db", value_name = "FILE")]
        store: PathBuf,
        /// Write the key here instead of into the home folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the name and the verifier key of a witness
    #[command(after_help = "Example:\n  subak witness show --as w1")]
    Show,
    /// Serve a witness (C2SP tlog-witness) over HTTP
    ///
    /// Whose heads are signed is said by the trust file: its lines `log <verifier key> [url]`.
    /// Ends in order on SIGINT and SIGTERM. Logs go to standard error; RUST_LOG says how much.
    /// TLS is for a proxy in front of it.
    #[command(after_help = "Example:\n  subak witness serve --as w1 --trust-file logs.txt")]
    Serve {
        /// Its store, as `witness new` made it
        #[arg(long, default_value = "witness.db", value_name = "FILE")]
        store: PathBuf,
        /// The name that it is expected to have
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Address and port; port 0 takes any that is free
        #[arg(long, default_value = "127.0.0.1:7118", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Print the signed heads that contradicted what was signed before
    #[command(after_help = "Example:\n  subak witness evidence --store witness.db")]
    Evidence {
        /// Its store; the witness may be running
        #[arg(long, default_value = "witness.db", value_name = "FILE")]
        store: PathBuf,
    },
}

impl Witness {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::New { handle, name, store, out } => new(cx, &handle, &name, &store, out),
            Self::Show => show(cx),
            Self::Serve { store, name, listen } => {
                let (key, found) = key(cx)?;
                must_be_called(name.as_deref(), &found)?;
                start(cx, &found, key, &store, listen).await
            }
            Self::Evidence { store } => evidence(cx, &store),
        }
    }
}

fn new(cx: &Context, handle: &str, name: &str, store: &Path, out: Option<PathBuf>) -> Done {
    let handle = Handle::new(handle)?;
    let path = out.unwrap_or_else(|| cx.key_folder().join(format!("{handle}.witness")));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::file(folder, &e))?;
    }
    let secret = SecretKey::from_seed(&random()?);
    let verifier = CosignerKey::new(name, secret.public()).map_err(|refused| {
        Failure::usage(
            format!("{name:?} is no name of a witness: {}", refused.detail),
            "name it like an address without https://, as in witness.example/w1",
        )
    })?;
    let label = format!("{WITNESS}{name}");
    write_key(&path, &secret, keys::passphrase()?.as_deref(), &label)
        .map_err(|e| keys::failure(&e))?;
    if let Err(error) = WitnessFile::create(store, name, &secret.public().bytes()) {
        // Nobody has been told of this key: it is made anew when the store can be.
        let _ = fs::remove_file(&path);
        return Err(error.into());
    }
    cx.out.result(
        SCHEMA,
        &json!({ "name": name, "vkey": verifier.to_string(), "file": path, "store": store }),
        &format!(
            "witness {name}: {verifier}\n  key in {} (keep a copy)\n  store in {} (never put an \
             older copy in its place)",
            path.display(),
            store.display()
        ),
    )
}

fn show(cx: &Context) -> Done {
    let (secret, name) = key(cx)?;
    let vkey = verifier(&name, &secret)?.to_string();
    cx.out.result(SCHEMA, &json!({ "name": name, "vkey": vkey }), &vkey)
}

async fn start(cx: &Context, name: &str, key: SecretKey, store: &Path, listen: SocketAddr) -> Done {
    log_to_stderr();
    let policy = cx.trust.policy().ok_or_else(|| {
        Failure::usage("which logs are to be witnessed?", "name them in a file: --trust-file FILE")
    })?;
    let logs = Logs::new(policy.logs().iter().map(|log| log.key.clone()));
    let origins: Vec<String> = logs.origins().into_iter().map(str::to_owned).collect();
    if origins.is_empty() {
        return Err(Failure::refused(
            "no-log",
            "the trust file names no log to witness",
            "add a line `log <verifier key>` for each; `subak commons show --vkey` prints one",
        ));
    }
    let store = WitnessFile::open(store)?;
    must_belong(&store, name, &key)?;
    let vkey = verifier(name, &key)?.to_string();
    let witness = Service::new(name, key, logs, Box::new(store))?;
    let listener = TcpListener::bind(listen).await.map_err(|e| taken(listen, &e))?;
    let url = format!("http://{}", listener.local_addr().map_err(|e| taken(listen, &e))?);
    let shutdown = signals()?;
    cx.out.result(
        SCHEMA,
        &json!({ "url": url, "name": name, "vkey": vkey, "logs": origins }),
        &format!("witness {name} at {url}, of {}\n  {vkey}\n  end with Ctrl-C", origins.join(", ")),
    )?;
    serve(Arc::new(witness), listener, shutdown).await;
    Ok(())
}

fn evidence(cx: &Context, store: &Path) -> Done {
    let all = WitnessReader::open(store)?.evidence()?;
    let data: Vec<Value> = all.iter().map(evidence_data).collect();
    let text = if all.is_empty() {
        "no signed head has contradicted what was signed before".to_owned()
    } else {
        all.iter().map(evidence_text).collect::<Vec<_>>().join("\n")
    };
    cx.out.result(SCHEMA, &json!({ "evidence": data }), &text)
}

fn evidence_data(e: &Evidence) -> Value {
    json!({
        "origin": e.origin,
        "kind": e.kind.name(),
        "size": e.size,
        "root": hex::encode(e.root),
        "time": e.time,
        "kept": e.kept,
        "shown": e.shown,
    })
}

fn evidence_text(e: &Evidence) -> String {
    let at = money::show_time(e.time.saturating_mul(1_000));
    let kept = e.kept.as_deref().unwrap_or("(nothing)\n");
    format!(
        "{} at {at}: a head of size {} ({})\n\nhad been cosigned:\n{kept}\nwas shown:\n{}",
        e.origin,
        e.size,
        e.kind.name(),
        e.shown
    )
}

/// The key that `--key` or `--as` names, or the only witness's key in the home folder; and the
/// name that it signs under.
fn key(cx: &Context) -> Done<(SecretKey, String)> {
    let path = key_path(cx)?;
    let (key, comment) = keyfile::read_labelled(&path, keys::passphrase()?.as_deref())
        .map_err(|e| keys::failure(&e))?;
    let name = comment.strip_prefix(WITNESS).ok_or_else(|| {
        Failure::refused(
            "not-a-witness-key",
            format!("{}: this key was not made for a witness", path.display()),
            "a witness's key signs nothing else: make one with `subak witness new`",
        )
    })?;
    Ok((key, name.to_owned()))
}

fn key_path(cx: &Context) -> Done<PathBuf> {
    if let Some(path) = &cx.global.key {
        return Ok(path.clone());
    }
    let folder = cx.key_folder();
    if let Some(handle) = &cx.global.author {
        return Ok(folder.join(format!("{}.witness", Handle::new(handle)?)));
    }
    let files = fs::read_dir(&folder).map(|all| all.filter_map(|e| Some(e.ok()?.path())));
    let mut found: Vec<PathBuf> = files.into_iter().flatten().collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "witness"));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::usage(
            format!("there is no key of a witness in {}", folder.display()),
            "make one with `subak witness new`, or name the file with --key",
        )),
        _ => Err(Failure::usage(
            format!("{} keys of witnesses are in {}", found.len(), folder.display()),
            "say which with --as HANDLE",
        )),
    }
}

fn verifier(name: &str, key: &SecretKey) -> Done<CosignerKey> {
    Ok(CosignerKey::new(name, key.public())?)
}

/// The name is in the key's file, and not signed: under another one it would be another witness.
fn must_be_called(expected: Option<&str>, found: &str) -> Done {
    match expected {
        Some(expected) if expected != found => Err(Failure::refused(
            "other-name",
            format!("expected the witness {expected}, found the key of {found}"),
            "name the other key with --as or --key; a key signs under one name only",
        )),
        _ => Ok(()),
    }
}

/// A witness with another's memory, or with none, would sign what it must not.
fn must_belong(store: &WitnessFile, name: &str, key: &SecretKey) -> Done {
    let (owner, public) = store.reader().owner()?;
    if (owner.as_str(), public) == (name, key.public().bytes()) {
        return Ok(());
    }
    Err(Failure::refused(
        "other-store",
        format!("expected the store of {name}, found that of {owner} or of another key"),
        "name its own store with --store, or the other key with --as or --key",
    ))
}
