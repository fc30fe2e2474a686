//! `subak ledger`: which ledgers are in a file or at a node.
//!
//! Owns that list, as whoever keeps the ledgers gives it, so that one finds from a ledger to those
//! with which it has agreements. Leaves out what is in them: nothing here is folded, so that it is
//! quick also where the ledgers are large, and nothing verified (`subak network`).

use crate::{context::Context, describe, failure::Done, money};
use clap::Subcommand;
use serde_json::{Value, json};
use subak_ledger::book::types::AgentKind;
use subak_ledger::log::LedgerId;
use subak_node::{Agreements, LedgerInfo, Mirror};

/// The ledgers in a file, or at a node.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// List them: which are kept here, which are copies from where, and with whom they have agreements
    ///
    /// Of a ledger file agreements are not listed here: `subak agreement list` reads them.
    #[command(
        after_help = "Examples:\n  subak ledger list\n  subak ledger list --node https://commons.example:7117"
    )]
    List,
}

impl LedgerCommand {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let Self::List = self;
        let connection = cx.reader().await?;
        let ledgers = connection.ledgers.ledgers().await?;
        let own = |info: &LedgerInfo| connection.is_own(info);
        let data: Vec<Value> = ledgers.iter().map(|info| row(info, own(info), &ledgers)).collect();
        let cells: Vec<Vec<String>> = ledgers.iter().map(|info| cells(info, own(info))).collect();
        let text = if cells.is_empty() {
            "no ledger is here yet".to_owned()
        } else {
            let heads = ["ledger", "id", "kept by", ">entries", "|newest", "appended"];
            let table = cx.out.table(&heads, &cells);
            let with = ledgers.iter().filter_map(|info| partners(info, &ledgers));
            std::iter::once(table).chain(with).collect::<Vec<_>>().join("\n")
        };
        cx.out.result("subak.ledgers/1", &json!({ "ledgers": data }), &text)
    }
}

/// What a ledger is called, if it is in the list too.
fn name(ledger: LedgerId, all: &[LedgerInfo]) -> Option<&str> {
    all.iter().find(|info| info.id == ledger).map(|info| &*info.name)
}

/// With whom a ledger has agreements, in a line; nothing where it has none.
fn partners(info: &LedgerInfo, all: &[LedgerInfo]) -> Option<String> {
    let Agreements { count, partners } = info.agreements.as_ref().filter(|it| it.count > 0)?;
    let named = partners.iter().map(|id| match name(*id, all) {
        Some(name) => name.to_owned(),
        None => describe::short(&id.0),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let line = format!("{} has {} with {named}", info.name, describe::count(*count, "agreement"));
    Some(describe::wrap(&line, 2))
}

fn row(info: &LedgerInfo, own: bool, all: &[LedgerInfo]) -> Value {
    let agreements = info.agreements.as_ref().map(|Agreements { count, partners }| {
        let with =
            partners.iter().map(|id| json!({ "id": id.to_string(), "ledger": name(*id, all) }));
        json!({ "count": count, "with": with.collect::<Vec<_>>() })
    });
    let mirror = info.mirror.as_ref().map(|Mirror { source, size, heard_at, trouble }| {
        json!({
            "source": source, "size": size, "lag": size.saturating_sub(info.size),
            "heard_at": (*heard_at > 0).then(|| money::show_time(*heard_at)), "trouble": trouble,
        })
    });
    json!({
        "ledger": info.name, "id": info.id.to_string(), "kind": info.kind.to_string(),
        "size": info.size, "sandbox": info.sandbox, "operator": hex::encode(info.operator),
        "recorded_at": money::show_time(info.recorded_at), "own": own, "mirror": mirror,
        "agreements": agreements,
    })
}

fn cells(info: &LedgerInfo, own: bool) -> Vec<String> {
    let place = match &info.mirror {
        _ if own => "here".to_owned(),
        Some(mirror) if mirror.source.is_empty() => "elsewhere".to_owned(),
        Some(mirror) => match mirror.size.saturating_sub(info.size) {
            0 => format!("elsewhere; copied from {}", mirror.source),
            lag => format!("elsewhere; copied from {}, {lag} behind", mirror.source),
        },
        None => "elsewhere".to_owned(),
    };
    let kind = if info.kind == AgentKind::Commons {
        "a commons".to_owned()
    } else {
        format!("a {}", info.kind)
    };
    let sandbox = if info.sandbox { " (SANDBOX)" } else { "" };
    vec![
        format!("{}{sandbox}", info.name),
        describe::short(&info.id.0),
        kind,
        info.size.to_string(),
        money::show_date(info.recorded_at),
        place,
    ]
}
