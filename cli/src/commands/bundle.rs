//! `subak bundle`: ledgers in one file, to be carried elsewhere and verified there.
//!
//! Owns which ledgers go into it, from a ledger file or a node. Leaves out the format
//! (`store::bundle`) and its verification, which is `subak audit FILE`.

use crate::{
    afar::NodeReader,
    context::Context,
    describe,
    failure::{Done, Failure},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use subak_ledger::store::{
    LedgerRow, Reader, SqliteReader, StoreError,
    bundle::{Exported, export},
};

/// Bundles of ledgers.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Write ledgers to one new file that verifies with public keys alone
    ///
    /// It holds every entry and the signed checkpoints, with all the signatures that they bear;
    /// texts behind commitments only if asked for. It is compressed (zstd), and `subak audit FILE`
    /// verifies it anywhere, without a server and without this file's owner.
    #[command(
        after_help = "Examples:\n  subak bundle export ours.subak\n  subak bundle export ours.subak --ledger our-commons --with-disclosures\n  subak bundle export theirs.subak --node http://commons.example:7117\n  subak audit ours.subak --expect <operator's public key>"
    )]
    Export(Export),
}

/// Arguments of `bundle export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The file to make
    file: PathBuf,
    /// Put the disclosed texts in too: names, notes, invoice texts
    #[arg(long)]
    with_disclosures: bool,
}

impl Bundle {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Export(export) => export.run(cx).await,
        }
    }
}

impl Export {
    async fn run(self, cx: &Context) -> Done {
        let wanted = cx.global.ledger.clone();
        let (file, texts) = (self.file.clone(), self.with_disclosures);
        let node = match &cx.global.node {
            Some(url) => Some(NodeReader::open(url, cx.node_ca()).await?),
            None => None,
        };
        let db = cx.db();
        let work = move || -> Done<_> {
            if let Some(node) = node {
                return written(&node, wanted.as_deref(), &file, texts, |e| node.failure(e));
            }
            let reader = SqliteReader::open(&db)?;
            reader.freeze()?;
            written(&reader, wanted.as_deref(), &file, texts, Failure::from)
        };
        let (rows, done) = tokio::task::spawn_blocking(work).await.map_err(|e| {
            Failure::world("bundle", format!("the export broke off: {e}"), "try again")
        })??;
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        let Exported { entries, texts, bytes } = done;
        let with = match (self.with_disclosures, texts) {
            (true, n) => format!(", {}", describe::count(n, "disclosed text")),
            (false, _) => ", no disclosed texts".into(),
        };
        let file = self.file.display();
        let text = format!(
            "{file}: {}, {}{with}, {bytes} bytes\n  check it anywhere: `subak audit {file} --expect <operator's public key>`",
            names.join(", "),
            describe::entries(entries),
        );
        let ledgers: Vec<_> =
            rows.iter().map(|row| json!({ "name": row.name, "id": hex::encode(row.id) })).collect();
        let data = json!({
            "file": self.file, "ledgers": ledgers, "entries": entries, "disclosures": texts,
            "bytes": bytes,
        });
        cx.out.result("subak.bundle/1", &data, &text)
    }
}

/// Writes all ledgers of a store, or the one that is wanted.
fn written(
    reader: &dyn Reader,
    wanted: Option<&str>,
    file: &Path,
    texts: bool,
    failed: impl Fn(StoreError) -> Failure,
) -> Done<(Vec<LedgerRow>, Exported)> {
    let all = reader.ledgers().map_err(&failed)?;
    let rows: Vec<LedgerRow> = all.iter().filter(|row| fits(row, wanted)).cloned().collect();
    match (&rows[..], wanted) {
        ([], None) => {
            return Err(Failure::refused(
                "no-ledger",
                "there is no ledger here yet",
                "check the path",
            ));
        }
        ([], Some(wanted)) => {
            let names: Vec<_> = all.iter().map(|row| row.name.as_str()).collect();
            return Err(Failure::refused(
                "no-ledger",
                format!("no ledger {wanted:?} here; there are: {}", names.join(", ")),
                "name one of them with --ledger",
            ));
        }
        _ => {}
    }
    let done = export(reader, &rows, file, texts, &|_| ()).map_err(failed)?;
    Ok((rows, done))
}

fn fits(row: &LedgerRow, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|w| row.name == w || (w.len() >= 8 && hex::encode(row.id).starts_with(w)))
}
