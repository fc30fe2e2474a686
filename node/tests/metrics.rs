//! `/metrics`: what was done, as a monitoring system reads it.
#![allow(clippy::unwrap_used)]

mod kit;
mod town;
mod web;

use kit::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use subak_node::relay::Relay;
use subak_node::{Ledgers, client::Remote};
use subak_proto::v1::{self, log_client::LogClient};
use town::Town;
use web::*;

/// The samples of a text, whose every line is held against the format's grammar.
fn samples(web: &Web) -> BTreeMap<String, String> {
    let answer = web.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    assert!(text.ends_with('\n'));
    let (mut found, mut families) = (BTreeMap::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<_> = comment.splitn(3, ' ').collect();
            match words[..] {
                ["HELP", name, help] => assert!(is_name(name) && !help.is_empty(), "{line}"),
                ["TYPE", name, kind] => {
                    assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                    assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                    assert!(families.insert(name.to_owned()), "{line}: twice");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
        assert!(whole.parse::<u64>().is_ok() && part.parse::<u64>().is_ok(), "{line}");
        let name = match sample.split_once('{') {
            None => sample,
            Some((name, labels)) => {
                for label in labels.strip_suffix('}').unwrap().split(',') {
                    let (label, value) = label.split_once('=').unwrap();
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap();
                    assert!(is_name(label) && !value.contains(['"', '\\']), "{line}");
                }
                name
            }
        };
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        assert!(families.contains(name) || families.contains(base), "{line}: no TYPE before");
        assert!(found.insert(sample.to_owned(), value.to_owned()).is_none(), "{line}: twice");
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_and_what_was_refused_is_counted() {
    let web = web().await;
    let at_first = samples(&web);
    assert_eq!(at_first["subak_appends_acknowledged_total"], "0");
    assert_eq!(at_first["subak_append_duration_seconds_count"], "0");
    assert!(at_first.contains_key(concat!(
        "subak_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    )));

    let far = Remote::connect(&web.url(), None).await.unwrap();
    let ledger = open_commons(&far, "rice", false).await;
    for n in 1..4 {
        far.append(hour(ledger, &n.to_string())).await.unwrap();
    }
    assert_eq!(code(far.append(hour(ledger, "3")).await), "duplicate-claim");
    assert_eq!(code(far.append(hour(ledger, "3")).await), "duplicate-claim");
    let stranger = append(say(ledger, "mia", vec![work("z")]));
    assert_eq!(code(far.append(stranger).await), "unknown-author");
    let mut log = LogClient::connect(web.url()).await.unwrap();
    let request = v1::EntriesRequest { ledger: ledger.0.to_vec(), from: 0, limit: 0, follow: true };
    let mut stream = log.entries(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    let now = samples(&web);
    for (sample, value) in [
        ("subak_appends_acknowledged_total", "4"),
        ("subak_appends_refused_total{code=\"duplicate-claim\"}", "2"),
        ("subak_appends_refused_total{code=\"unknown-author\"}", "1"),
        ("subak_append_duration_seconds_count", "7"),
        ("subak_append_duration_seconds_bucket{le=\"+Inf\"}", "7"),
        ("subak_streams", "1"),
        // The client, the stream, and this very question.
        ("subak_connections", "3"),
        (&format!("subak_ledger_entries{{ledger=\"{ledger}\",name=\"rice\"}}"), "4"),
        (&format!("subak_ledger_checkpoint_entries{{ledger=\"{ledger}\",name=\"rice\"}}"), "4"),
    ] {
        assert_eq!(now.get(sample).map(String::as_str), Some(value), "{sample} in {now:#?}");
    }
    let millis = web.fresh.node.ledgers().await.unwrap()[0].recorded_at;
    let recorded = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    let sample = format!("subak_ledger_recorded_seconds{{ledger=\"{ledger}\",name=\"rice\"}}");
    assert_eq!(now[&sample], recorded);
    assert_ne!(now["subak_append_duration_seconds_sum"], "0");
    drop(stream);
    drop(log);
    drop(far);
    let mut tries = 0;
    while samples(&web)["subak_connections"] != "1" || samples(&web)["subak_streams"] != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        tries += 1;
        assert!(tries < 100, "what has ended is still counted");
    }
}

/// What the node could not do is no refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_failure_and_no_refusal() {
    let web = web().await;
    let far = Remote::connect(&web.url(), None).await.unwrap();
    let ledger = open_commons(&far, "rice", false).await;
    web.fresh.handles.pages.store(1, std::sync::atomic::Ordering::SeqCst);
    let mut n = 0;
    let failed = loop {
        let answer = far.append(hour(ledger, &n.to_string())).await;
        if answer.is_err() {
            break answer;
        }
        n += 1;
        assert!(n < 1_000, "the disk is never full");
    };
    assert!(is_world(&failed));
    let now = samples(&web);
    assert_eq!(now["subak_appends_failed_total{code=\"disk-full\"}"], "1");
    assert!(!now.keys().any(|sample| sample.starts_with("subak_appends_refused_total")));
    let entries = format!("subak_ledger_entries{{ledger=\"{ledger}\",name=\"rice\"}}");
    assert_eq!(now[&entries], (n + 1).to_string());
}

/// Money that is due and does not move is somebody's business.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_between_ledgers_is_counted() {
    let web = web().await;
    let town = Town::on(web.fresh.node.clone(), web.fresh.path.clone());
    let stopped = Arc::new(Mutex::new(false));
    let is_stopped = stopped.clone();
    let reason = move |_| is_stopped.lock().unwrap().then(|| "a fraud proof".to_owned());
    let relay = Arc::new(Relay::new(town.node.clone()).stopped_by(reason));
    tokio::spawn(relay.clone().run());
    let phyle = town.phyle("phyle", &["rice"]).await;
    let buckets: &[(&str, u32, Option<&str>)] = &[("work", 1_000_000, None)];
    let rice = town.commons("rice", &["phyle"], &[], buckets).await;
    let digest = town.agree(phyle, rice, 100_000).await;
    let figure = |what: &str| {
        let sample = format!("subak_{what}{{ledger=\"{rice}\",name=\"rice\"}}");
        samples(&web)[&sample].parse::<u64>().unwrap()
    };
    let all = || ["agreements_waiting", "agreements_frozen", "numbers_in_flight"].map(figure);
    assert_eq!(all(), [0, 0, 0]);
    *stopped.lock().unwrap() = true;
    town.earn(phyle, 1_000).await;
    town.earn(phyle, 1_000).await;
    town::until(async || !relay.status().is_empty()).await;
    assert_eq!(all(), [1, 0, 2]);
    *stopped.lock().unwrap() = false;
    town.taken(phyle, rice, digest).await;
    town::until(async || relay.status().is_empty()).await;
    assert_eq!(all(), [0, 0, 0]);
}
