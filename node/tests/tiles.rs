//! The log as tiles: everything is fetched over plain HTTP, and proves the signed head.
#![allow(clippy::unwrap_used)]

mod kit;
mod web;

use kit::*;
use std::{io::Write as _, net::TcpStream, sync::Arc, time::Duration};
use subak_ledger::log::{Checkpoint, Frontier, Hash, Leaf, LedgerId, tree};
use subak_node::{Ledgers, client::Remote, runtime::Node};
use subak_proto::v1::{self, log_client::LogClient};
use web::*;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A commons with so many entries.
async fn commons(node: &Arc<Node>, entries: u64) -> LedgerId {
    let ledger = open_commons(&**node, "rice", false).await;
    let mut lanes = tokio::task::JoinSet::new();
    for n in 1..entries {
        let (node, order) = (node.clone(), hour(ledger, &n.to_string()));
        lanes.spawn(async move { node.append(order).await.unwrap() });
    }
    while let Some(done) = lanes.join_next().await {
        done.unwrap();
    }
    ledger
}

/// The paths of all of one level, as a client derives them from the size.
fn paths(level: &str, there: u64) -> Vec<String> {
    let spell = |n: u64| if n < 1_000 { format!("{n:03}") } else { panic!("a larger test") };
    let full = (0..there / 256).map(|n| format!("tile/{level}/{}", spell(n)));
    let rest = (!there.is_multiple_of(256))
        .then(|| format!("tile/{level}/{}.p/{}", spell(there / 256), there % 256));
    full.chain(rest).collect()
}

fn root(hashes: &[u8]) -> Hash {
    assert_eq!(hashes.len() % 32, 0);
    let mut frontier = Frontier::default();
    hashes.chunks(32).for_each(|hash| drop(frontier.push(hash.try_into().unwrap())));
    frontier.root()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signed_root_follows_from_the_tiles_alone_and_from_the_bundles_alone() {
    let web = web().await;
    let ledger = commons(&web.fresh.node, 700).await;
    let operator = operator(&*web.fresh.node, ledger).await;
    let answer = web.get(&format!("/{ledger}/checkpoint"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let head = Checkpoint::open(answer.text(), ledger, &operator).expect("it is signed");
    assert_eq!(head.size, 700);
    let all = |level: &str, there| {
        let fetch = |path: &String| {
            let answer = web.get(&format!("/{ledger}/{path}"));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
            assert_eq!(answer.header("cache-control"), Some(IMMUTABLE));
            assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
            answer.body
        };
        paths(level, there).iter().map(fetch).collect::<Vec<_>>()
    };

    let tiles = all("0", 700);
    assert_eq!(tiles.iter().map(Vec::len).collect::<Vec<_>>(), [8_192, 8_192, 188 * 32]);
    assert_eq!(root(&tiles.concat()), head.root);
    let above = all("1", 2);
    assert_eq!(above, [[root(&tiles[0]), root(&tiles[1])].concat()]);
    assert!(paths("2", 700 >> 16).is_empty());

    let mut frontier = Frontier::default();
    for bundle in all("entries", 700) {
        let mut rest = &bundle[..];
        while let [high, low, after @ ..] = rest {
            let (bytes, left) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let leaf = Leaf::from_bytes(bytes).unwrap();
            assert_eq!((leaf.ledger, leaf.seq), (ledger, frontier.size()));
            frontier.push(tree::leaf_hash(bytes));
            rest = left;
        }
    }
    assert_eq!((frontier.size(), frontier.root()), (700, head.root));

    // An older head's partial tiles stay: they are the beginning of wider ones.
    let narrow = web.get(&format!("/{ledger}/tile/0/002.p/7"));
    assert_eq!((narrow.status, &narrow.body[..]), (200, &tiles[2][..7 * 32]));
    let narrow = web.get(&format!("/{ledger}/tile/0/000.p/255"));
    assert_eq!((narrow.status, &narrow.body[..]), (200, &tiles[0][..255 * 32]));
    // And grow with the log.
    web.fresh.node.append(hour(ledger, "one-more")).await.unwrap();
    let wide = web.get(&format!("/{ledger}/tile/0/002.p/189"));
    assert_eq!(wide.body[..188 * 32], tiles[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_in_a_line_that_nobody_may_keep() {
    let web = web().await;
    let ledger = commons(&web.fresh.node, 260).await;
    let stranger = LedgerId([7; 32]);
    for path in [
        // Not there yet, or never.
        format!("/{ledger}/tile/0/001"),
        format!("/{ledger}/tile/0/001.p/5"),
        format!("/{ledger}/tile/0/002.p/1"),
        format!("/{ledger}/tile/1/000"),
        format!("/{ledger}/tile/1/000.p/2"),
        format!("/{ledger}/tile/2/000.p/1"),
        format!("/{ledger}/tile/63/000"),
        format!("/{ledger}/tile/entries/001"),
        format!("/{ledger}/tile/entries/x018/x446/x744/x073/x709/x551/615"),
        format!("/{stranger}/checkpoint"),
        format!("/{stranger}/tile/0/000"),
        // No path of anything.
        format!("/{ledger}"),
        format!("/{ledger}/"),
        format!("/{ledger}/tile/0/0"),
        format!("/{ledger}/tile/0/x000/000"),
        format!("/{ledger}/tile/0/%30%30%30"),
        format!("/{ledger}/tile/00/000"),
        format!("/{ledger}/tile/64/000"),
        format!("/{ledger}/tile/0/000.p/0"),
        format!("/{ledger}/tile/0/000.p/256"),
        format!("/{ledger}/tile/0/000.p/01"),
        format!("/{ledger}/tile/0/../0/000"),
        format!("/{}/checkpoint", ledger.to_string().to_uppercase()),
        "/checkpoint".to_owned(),
        "/favicon.ico".to_owned(),
        "/subak.v1.Nothing/Call".to_owned(),
    ] {
        let answer = web.get(&path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let lines = answer.text().lines().count();
        assert_eq!((lines, answer.text().ends_with('\n')), (1, true), "{path}: {answer:?}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = web.ask(method, &format!("/{ledger}/tile/0/000"), "Content-Length: 0\r\n");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_the_same_without_the_body() {
    let web = web().await;
    let ledger = commons(&web.fresh.node, 260).await;
    for path in ["checkpoint", "tile/0/000", "tile/entries/001.p/4", "tile/0/009"] {
        let path = format!("/{ledger}/{path}");
        let (got, head) = (web.get(&path), web.ask("HEAD", &path, ""));
        let same = |a: &Answer| {
            let length = a.header("content-length").unwrap().to_owned();
            let other = ["content-type", "cache-control"].map(|n| a.header(n).unwrap().to_owned());
            (a.status, length, other)
        };
        assert_eq!(same(&head), same(&got));
        assert_eq!(head.body, b"");
        assert_eq!(got.header("content-length"), Some(&*got.body.len().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_lists_the_ledgers() {
    let web = web().await;
    assert_eq!(web.get("/").text().lines().count(), 1, "a heading");
    let rice = open_commons(&*web.fresh.node, "rice", false).await;
    let tea = open_commons(&*web.fresh.node, "tea", false).await;
    let answer = web.get("/");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let lines: Vec<_> = answer.text().lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(lines, [format!("rice 1 /{rice}"), format!("tea 1 /{tea}")]);
    let prefix = lines[0].split(' ').nth(2).unwrap();
    assert_eq!(web.get(&format!("{prefix}/checkpoint")).status, 200);
}

/// What cannot be kept in the head file does not leave as a tile either.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_and_not_kept_is_in_no_tile() {
    let web = web().await;
    let ledger = commons(&web.fresh.node, 3).await;
    // A folder in the place of the head file: it cannot be written.
    let keys = subak_node::runtime::key_ring_of(&web.fresh.path);
    let of = |suffix: &str| {
        let found = std::fs::read_dir(&keys).unwrap().map(|f| f.unwrap().path());
        found.filter(|p| p.to_string_lossy().ends_with(suffix)).collect::<Vec<_>>()
    };
    let head = of(".head").remove(0);
    std::fs::remove_file(&head).unwrap();
    std::fs::create_dir(&head).unwrap();
    assert!(is_world(&web.fresh.node.append(hour(ledger, "unkept")).await));
    assert_eq!(web.fresh.node.entries(ledger, 0, 10).await.unwrap().len(), 4, "it is stored");
    let checkpoint = web.get(&format!("/{ledger}/checkpoint"));
    assert_eq!(checkpoint.text().lines().nth(1), Some("3"));
    assert_eq!(web.get(&format!("/{ledger}/tile/0/000.p/3")).status, 200);
    assert_eq!(web.get(&format!("/{ledger}/tile/0/000.p/4")).status, 404);
    assert_eq!(web.get(&format!("/{ledger}/tile/entries/000.p/4")).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_still_there_and_answers_in_its_own_form() {
    let web = web().await;
    let far = Remote::connect(&web.url(), None).await.unwrap();
    let ledger = open_commons(&far, "rice", false).await;
    assert_eq!(far.append(hour(ledger, "a")).await.unwrap().entry, 1);
    assert_eq!(far.book(ledger).await.unwrap().size, 2);
    let mut log = LogClient::connect(web.url()).await.unwrap();
    let request = v1::CheckpointRequest { ledger: ledger.0.to_vec(), witnessed: false };
    let note = log.checkpoint(request).await.unwrap().into_inner().checkpoint;
    assert_eq!(web.get(&format!("/{ledger}/checkpoint")).text(), note);
    // A call of another program's gets gRPC's own word for it.
    let other = "Content-Type: application/grpc\r\nContent-Length: 0\r\n";
    let answer = web.ask("POST", "/other.v1.Service/Call", other);
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("12")));
}

/// Whoever is over the limit is told so in the form that they asked in.
#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_a_page_is_unavailable_and_not_an_empty_success() {
    let web = web().await;
    let ledger = open_commons(&*web.fresh.node, "rice", false).await;
    let gate = web.fresh.handles.close_gate();
    let mut calls = tokio::task::JoinSet::new();
    for client in 0..3 {
        let far = Arc::new(Remote::connect(&web.url(), None).await.unwrap());
        far.checkpoint(ledger).await.unwrap();
        for n in 0..180 {
            let (far, order) = (far.clone(), hour(ledger, &format!("{client}-{n}")));
            calls.spawn(async move { far.append(order).await });
        }
    }
    for _ in 0..540 - 512 {
        assert!(is_world(&calls.join_next().await.unwrap().unwrap()));
    }
    let answer = web.get(&format!("/{ledger}/checkpoint"));
    assert_eq!((answer.status, answer.header("cache-control")), (503, Some("no-store")));
    (0..600).for_each(|_| gate.go.send(()).unwrap());
    while calls.join_next().await.is_some() {}
    assert_eq!(web.get(&format!("/{ledger}/checkpoint")).status, 200);
}

/// Connections of HTTP/1.1 that are kept open and idle do not hold up the end.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_idle_connections() {
    let web = web().await;
    let mut idle = TcpStream::connect(web.address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    let _silent = TcpStream::connect(web.address).unwrap();
    assert_eq!(web.get("/").status, 200);
    web.stop.send(()).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(5), web.served).await;
    served.expect("it ends before the drain does").unwrap().unwrap();
}
