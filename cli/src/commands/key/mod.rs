//! `subak key`: signing keys of people: the files (here), and what ledgers know of them.

mod revoke;
mod rotate;

pub use revoke::Recover;

use crate::{
    context::{Context, keyfile_handles, random, write_key},
    failure::{Done, Failure},
    keys,
};
use clap::Subcommand;
use serde_json::json;
use std::{fs, path::PathBuf};
use subak_ledger::{
    book::state::RESERVED,
    log::{Handle, SecretKey},
};

/// Make, show and list signing keys; change, add and revoke them in a ledger.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key for a handle, in the home folder
    ///
    /// The file is in OpenSSH format and dedicated to Subak. With SUBAK_PASSPHRASE or
    /// SUBAK_PASSPHRASE_FILE set it is protected by that passphrase.
    #[command(after_help = "Example:\n  subak key new ana")]
    New {
        /// Handle: 1 to 32 of a-z, 0-9 and -
        handle: String,
        /// Write it here instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the public half of a key
    #[command(after_help = "Example:\n  subak key show ana")]
    Show {
        /// Handle
        handle: String,
    },
    /// List the keys in the home folder and beside the ledger file
    #[command(after_help = "Example:\n  subak key list")]
    List,
    #[command(after_help = "Example:\n  subak key rotate --as ana")]
    Rotate(rotate::Rotate),
    #[command(
        after_help = "Examples:\n  subak key possess --as ana                 # for `agent recover`\n  subak key possess phone.key --as ana       # for `key add`"
    )]
    Possess(revoke::Possess),
    #[command(after_help = "Example:\n  subak key add PUBLICKEY --possession HEX --as ana")]
    Add(revoke::Add),
    #[command(
        after_help = "Examples:\n  subak key revoke 5bdd4d44 --since 2026-11-03 --as ana   # one's own\n  subak key revoke 5bdd4d44 --since 2026-11-03 --as sam   # anybody's: a steward proposes"
    )]
    Revoke(revoke::Revoke),
    #[command(
        after_help = "Examples:\n  subak key confirm 5bdd4d44 --as sam\n  subak key confirm 5bdd4d44 ana ben --as sam    # only what is owed to these"
    )]
    Confirm(revoke::Confirm),
}

impl Key {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::New { handle, out } => new(cx, &handle, out),
            Self::Show { handle } => show(cx, &handle),
            Self::List => list(cx),
            Self::Rotate(c) => c.run(cx).await,
            Self::Possess(c) => c.run(cx).await,
            Self::Add(c) => c.run(cx).await,
            Self::Revoke(c) => c.run(cx).await,
            Self::Confirm(c) => c.run(cx).await,
        }
    }
}

fn new(cx: &Context, handle: &str, out: Option<PathBuf>) -> Done {
    let handle = Handle::new(handle)?;
    if RESERVED.contains(&handle.as_str()) {
        return Err(Failure::usage(
            format!("{handle} is a name that ledgers use themselves: nobody can be called so"),
            "choose another handle",
        ));
    }
    let path = out.unwrap_or_else(|| cx.key_folder().join(format!("{handle}.key")));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::file(folder, &e))?;
    }
    let secret = SecretKey::from_seed(&random()?);
    write_key(&path, &secret, keys::passphrase()?.as_deref(), handle.as_str())
        .map_err(|e| keys::failure(&e))?;
    let public = hex::encode(secret.public().bytes());
    cx.out.result(
        "subak.key/1",
        &json!({ "handle": handle.as_str(), "public": public, "file": path }),
        &format!("key of {handle}: {public}\n  in {} (keep a copy: it is you)", path.display()),
    )
}

fn show(cx: &Context, handle: &str) -> Done {
    let handle = Handle::new(handle)?;
    let path = cx.key_path(&handle)?;
    let public = hex::encode(keys::read(&path)?.public().bytes());
    cx.out.result(
        "subak.key/1",
        &json!({ "handle": handle.as_str(), "public": public, "file": path }),
        &format!("key of {handle}: {public}\n  in {}", path.display()),
    )
}

fn list(cx: &Context) -> Done {
    let mut rows = Vec::new();
    for folder in [cx.key_folder_beside(), cx.key_folder()] {
        for handle in keyfile_handles(&folder) {
            rows.push((handle, folder.clone()));
        }
    }
    let data: Vec<_> = rows.iter().map(|(h, f)| json!({ "handle": h, "folder": f })).collect();
    let text = if rows.is_empty() {
        "no keys yet: `subak key new HANDLE` makes one".to_owned()
    } else {
        let rows: Vec<_> =
            rows.iter().map(|(h, f)| vec![h.clone(), f.display().to_string()]).collect();
        cx.out.table(&["handle", "in"], &rows)
    };
    cx.out.result("subak.key/1", &json!({ "keys": data }), &text)
}
