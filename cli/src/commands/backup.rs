//! `subak backup`: a copy of the ledger file while a node goes on.

use crate::{
    context::Context,
    describe,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use subak_ledger::store::{Reader as _, SqliteReader};

/// Copy the ledger file, all ledgers in it, also while a node writes to it.
///
/// The copy is one consistent state and synced; what stands at FILE is never
/// overwritten. The keys of operator and clerk lie beside the ledger file and are not
/// in the copy: keep them by themselves.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  subak backup /mnt/safe/subak-2026-11-21.db")]
pub struct Backup {
    /// The copy to make
    file: PathBuf,
}

impl Backup {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        if cx.global.node.is_some() {
            return Err(Failure::usage(
                "a backup copies a ledger file, not a node",
                "run it where the file is, with --db",
            ));
        }
        let (db, to) = (cx.db(), self.file);
        let dest = to.clone();
        let copied = tokio::task::spawn_blocking(move || -> Done<_> {
            let reader = SqliteReader::open(&db)?;
            reader.backup(&dest, |_, _| {})?;
            let copy = SqliteReader::open(&dest)?;
            let mut rows = Vec::new();
            for row in copy.ledgers()? {
                let size = copy.head(&row.id)?.size;
                rows.push((row.name, hex::encode(row.id), size));
            }
            Ok(rows)
        });
        let rows = copied.await.map_err(|e| {
            Failure::world("backup", format!("the copying broke off: {e}"), "try again")
        })??;
        let lines: Vec<String> = rows
            .iter()
            .map(|(name, _, size)| format!("\n  {name}: {}", describe::entries(*size)))
            .collect();
        let text = format!(
            "copied to {}{}\n  check it: `subak audit {0}`\n  not in it: the operators' keys; keep {} with it",
            to.display(),
            lines.concat(),
            subak_node::runtime::key_ring_of(&cx.db()).display()
        );
        let ledgers: Vec<_> = rows
            .iter()
            .map(|(name, id, size)| json!({ "name": name, "id": id, "size": size }))
            .collect();
        cx.out.result("subak.backup/1", &json!({ "file": to, "ledgers": ledgers }), &text)
    }
}
