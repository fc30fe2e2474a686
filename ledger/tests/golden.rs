//! Ledgers that were written once, and are read with the same verdict and the same balances by
//! every later version.
//!
//! `golden/*.subak` are bundles, `golden/*.txt` what they mean. Until the first release
//! `SUBAK_WRITE=1 cargo test -p subak-ledger --test golden` writes them anew when a format changes;
//! from then on a golden ledger is never written again, only further ones are added.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use subak_ledger::{
    audit::{Options, audit},
    book::{
        accounts::{Account, Fund},
        apply::apply,
        state::State,
        state_root::{self, StateLeaf},
    },
    log::{KeyCache, Leaf, Unverified},
    store::{BundleReader, Reader, bundle},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A ledger of a store, folded by the rules.
fn fold(reader: &dyn Reader, ledger: &[u8; 32]) -> State {
    let mut state = State::default();
    loop {
        let page = reader.entries(ledger, state.size, 100, 1 << 20).unwrap();
        if page.is_empty() {
            return state;
        }
        for entry in page {
            let statement = Unverified::parse(&entry.envelope).unwrap();
            let statement = statement.verify(&mut KeyCache::default()).unwrap();
            let leaf = Leaf::from_bytes(&entry.leaf).unwrap();
            state = apply(&state, &statement, leaf.recorded_at).unwrap().next;
            state.seal(leaf.chain_hash());
        }
    }
}

/// An account in words that no later version changes.
fn name(state: &State, account: Account) -> String {
    let agent = |id| state.agent(id).handle.to_string();
    let fund = |fund| match fund {
        Fund::Contributors => "contributors".to_owned(),
        Fund::Agent(id) => agent(id),
    };
    match account {
        Account::Receivable(payer) => format!("receivable:{}", agent(payer)),
        Account::Cash(treasurer, of) => format!("cash:{}/{}", agent(treasurer), fund(of)),
        Account::Bucket(id) => format!("bucket:{}", hex::encode(id)),
        Account::Principal(id) => format!("principal:{}", hex::encode(id)),
        Account::Reserved(run) => format!("reserved:{run}"),
        Account::Held(id) => format!("held:{}", hex::encode(id)),
        Account::Carry(id) => format!("carry:{}", hex::encode(id)),
        Account::Fees => "fees".into(),
        Account::WriteOff => "writeoff".into(),
        Account::Till => "cash".into(),
        Account::Revenue => "revenue".into(),
        Account::Due(id) => format!("due:{}", hex::encode(id)),
        Account::Sent(id) => format!("sent:{}", hex::encode(id)),
        Account::Credit(id) => format!("credit:{}", hex::encode(id)),
    }
}

/// What a bundle says, in words: verdict, heads, and what everybody has.
fn told(path: &Path) -> String {
    let reader = BundleReader::open(path).unwrap();
    let found = audit(&reader, &Options { threads: 2, ..Options::default() }).unwrap();
    let mut text = format!("verdict {}\n", found.verdict.word());
    for finding in &found.findings {
        let entry = finding.entry.map_or_else(String::new, |entry| format!(" entry {entry}"));
        writeln!(text, "finding {}{entry}", finding.code.name()).unwrap();
    }
    for report in &found.ledgers {
        let state = fold(&reader, &report.id.0);
        let (root, leaves) = state_root::root(&state);
        writeln!(text, "\nledger {} {}", report.name, report.id).unwrap();
        writeln!(text, "size {}\nchain {}", report.size, hex::encode(report.head)).unwrap();
        writeln!(text, "tree {}", hex::encode(report.root)).unwrap();
        for term in &state.operators {
            writeln!(text, "operator {} from {}", hex::encode(term.key), term.from).unwrap();
        }
        writeln!(text, "state {} over {leaves}", hex::encode(root)).unwrap();
        for (account, currency, amount) in state.accounts.iter() {
            writeln!(text, "account {} {currency} {amount}", name(&state, account)).unwrap();
        }
        for agent in &state.agents {
            for shown in state_root::prove(&state, &agent.handle) {
                let leaf = StateLeaf::from_bytes(&shown.leaf).unwrap();
                let StateLeaf { agent, accrued, payable, reserved, paid, points, .. } = &leaf;
                let currency = leaf.currency.map_or("-".into(), |currency| currency.to_string());
                writeln!(
                    text,
                    "balance {agent} {currency} accrued {accrued} payable {payable} reserved \
                     {reserved} paid {paid} points {points}"
                )
                .unwrap();
            }
        }
    }
    text
}

/// Both ledgers change their operator, one by its own word and one by its stewards'.
fn moved() -> Cycle {
    let mut cycle = cycle();
    let (commons, phyle) = (&mut cycle.commons, &mut cycle.phyle);
    let rotated = phyle.rotate("phyle-a's next operator");
    commons.say("clerk", vec![take_handover(phyle, rotated)]).unwrap();
    commons.move_to("our-commons' next operator", &["sam", "mia"]);
    commons.contribute("ana", "commit", 1_000);
    cycle
}

#[test]
fn golden_ledgers_are_read_as_they_always_were() {
    let writes = std::env::var_os("SUBAK_WRITE").is_some();
    if writes {
        fs::create_dir_all(folder()).unwrap();
        for (name, logs) in [("cycle-v1", cycle().logs()), ("moved-v1", moved().logs())] {
            let (store, path) = (in_memory(&logs), folder().join(format!("{name}.subak")));
            let _ = fs::remove_file(&path);
            bundle::export(&store, &store.ledgers().unwrap(), &path, true, &|_| {}).unwrap();
        }
    }
    let mut read = 0;
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "subak") {
            continue;
        }
        read += 1;
        let (told, expected) = (told(&path), path.with_extension("txt"));
        if writes {
            fs::write(&expected, &told).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap();
        assert_eq!(told, expected, "{}", path.display());
        assert!(expected.starts_with("verdict sound\n"), "{expected}");
    }
    assert!(read > 0, "there is a golden ledger");
}
