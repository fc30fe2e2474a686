//! What is there after closing, crashing, filling the disk, erasing and backing up.

mod store_support;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use store_support::*;
use subak_ledger::store::{Batch, Disclosure, Head, Kind, Reader, SqliteStore, Store, StoreError};

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let (_dir, path) = place();
    let head = {
        let mut store = create(&path);
        grow(&mut store, 5, 100).expect("append");
        store.head(&TEA).expect("head")
    };
    let mut store = SqliteStore::open_writer(&path, false).expect("again");
    assert_eq!(store.head(&TEA).expect("head"), head);
    grow(&mut store, 5, 100).expect("it goes on");
    assert_eq!(readable(&store), 10);
}

/// Files as a crash leaves them: whatever was written, nothing closed.
fn crash(path: &Path, to: &Path) {
    fs::copy(path, to).expect("database");
    let journal = |path: &Path| path.with_extension("db-wal");
    fs::copy(journal(path), journal(to)).expect("journal");
}

#[test]
fn a_crash_loses_nothing_acknowledged_and_keeps_nothing_half_done() {
    let (dir, path) = place();
    let mut store = create(&path);
    for round in 0..4 {
        grow(&mut store, 50, 700).expect("append");
        let copy = dir.path().join(format!("crash{round}.db"));
        crash(&path, &copy);
        let recovered = SqliteStore::open_writer(&copy, false).expect("recovered");
        assert_eq!(readable(&recovered), (round + 1) * 50);
        assert_eq!(recovered.integrity().expect("findings"), Vec::<String>::new());
    }
    // A journal cut anywhere in its last group: that group is gone, all of it, and no other.
    let before = fs::metadata(path.with_extension("db-wal")).expect("journal").len();
    grow(&mut store, 50, 700).expect("append");
    let after = fs::metadata(path.with_extension("db-wal")).expect("journal").len();
    assert!(after > before, "the journal was not reset in between");
    for cut in [before + 1, u64::midpoint(before, after), after - 1] {
        let copy = dir.path().join(format!("cut{cut}.db"));
        crash(&path, &copy);
        let journal = fs::OpenOptions::new()
            .write(true)
            .open(copy.with_extension("db-wal"))
            .expect("journal");
        journal.set_len(cut).expect("cut");
        let recovered = SqliteStore::open_writer(&copy, false).expect("recovered");
        assert_eq!(readable(&recovered), 200, "cut at {cut} of {before}..{after}");
    }
}

#[test]
fn a_full_disk_rolls_back_and_room_makes_it_work_again() {
    let (_dir, path) = place();
    let mut store = create(&path);
    grow(&mut store, 5, 100).expect("append");
    let head = store.head(&TEA).expect("head");
    store.limit_pages(1).expect("no further growth");
    let error = grow(&mut store, 1000, 4000).expect_err("4 MB do not fit");
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.kind() == Kind::World, "{error}");
    assert_eq!(store.head(&TEA).expect("still readable"), head);
    assert_eq!(readable(&SqliteStore::open_reader(&path).expect("reader")), 5);
    store.limit_pages(1 << 30).expect("room again");
    grow(&mut store, 1000, 4000).expect("and it works");
    assert_eq!(readable(&store), 1005);
    assert_eq!(store.integrity().expect("findings"), Vec::<String>::new());
}

#[test]
fn a_reader_beside_a_writer_sees_whole_groups_only() {
    let (_dir, path) = place();
    let mut store = create(&path);
    grow(&mut store, 7, 300).expect("append");
    let (reader, done) = (SqliteStore::open_reader(&path).expect("reader"), AtomicBool::new(false));
    let sizes = std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                grow(&mut store, 7, 300).expect("append");
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut sizes = Vec::new();
        while !done.load(Ordering::SeqCst) {
            let size = reader.head(&TEA).expect("head").size;
            let last =
                reader.entries(&TEA, size - 1, 1, 9999).expect("the last entry of that head");
            assert_eq!(last[0].seq, size - 1);
            sizes.push(size);
        }
        sizes
    });
    assert!(sizes.iter().all(|size| size % 7 == 0), "a group was seen in part");
    assert!(sizes.is_sorted(), "the log went back");
    assert_eq!(readable(&reader), 201 * 7);
}

#[test]
fn a_frozen_reader_stays_where_it_is() {
    let (_dir, path) = place();
    let mut store = create(&path);
    grow(&mut store, 3, 10).expect("append");
    let reader = SqliteStore::open_reader(&path).expect("reader");
    reader.freeze().expect("freeze");
    grow(&mut store, 3, 10).expect("the writer is not held up");
    assert_eq!(readable(&reader), 3);
    reader.thaw().expect("thaw");
    assert_eq!(readable(&reader), 6);
}

#[test]
fn a_backup_is_one_state_while_the_writer_goes_on() {
    let (dir, path) = place();
    let mut store = create(&path);
    grow(&mut store, 6000, 1000).expect("append");
    let dest = dir.path().join("copy.db");
    let reader = SqliteStore::open_reader(&path).expect("reader");
    let mut seen = Vec::new();
    reader
        .backup(&dest, |done, total| {
            seen.push((done, total));
            // Few, so that a copy that starts again at each append fails here instead of never ending.
            if seen.len() < 20 {
                grow(&mut store, 10, 1000).expect("an append between two steps");
            }
        })
        .expect("backup");
    assert!(seen.len() > 1, "several steps, or this test shows nothing");
    assert!(seen.is_sorted() && seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");
    let copy = SqliteStore::open_reader(&dest).expect("the copy is a ledger file");
    assert_eq!(readable(&copy), 6000, "as it was when the backup began");
    assert_eq!(copy.integrity().expect("findings"), Vec::<String>::new());
    assert!(readable(&store) > 6000);

    let error = reader.backup(&dest, |_, _| {}).expect_err("never overwritten");
    assert_eq!(error.code(), "exists");
    assert_eq!(readable(&copy), 6000);
    drop(store);
    grow(&mut SqliteStore::open_writer(&dest, false).expect("a copy can be written to"), 1, 10)
        .expect("append");
}

#[test]
fn a_backup_cut_short_is_no_ledger() {
    let (dir, path) = place();
    let mut store = create(&path);
    grow(&mut store, 6000, 1000).expect("append");
    let (dest, torn) = (dir.path().join("copy.db"), dir.path().join("torn.db"));
    let take = |done, total| {
        if done < total && !torn.exists() {
            fs::copy(&dest, &torn).expect("what is there half way");
            let journal = dest.with_extension("db-journal");
            if journal.exists() {
                fs::copy(journal, torn.with_extension("db-journal")).expect("its journal");
            }
        }
    };
    store.backup(&dest, take).expect("backup");
    let error = SqliteStore::open_reader(&torn).expect_err("half a copy");
    assert_eq!(error.kind(), Kind::Fault, "{error}");
}

#[test]
fn erased_text_is_in_no_file_any_more() {
    let (dir, path) = place();
    let secret = b"Ni Luh Ayu Pertiwi, Ubud";
    let (commitment, salt) = ([1; 32], [2; 32]);
    let text = |s: &str| s.to_owned();
    let opened = Disclosure {
        commitment,
        salt,
        tag: text("name"),
        author: text("ayu"),
        field: text("agent.name"),
        bytes: secret.to_vec(),
    };
    let held = || {
        let files = fs::read_dir(dir.path()).expect("directory");
        let content = files.map(|file| fs::read(file.expect("file").path()).expect("content"));
        content.filter(|bytes| bytes.windows(secret.len()).any(|part| part == secret)).count()
    };
    let mut store = create(&path);
    store
        .append(&[Batch { disclosures: &[opened], ..batch(Head::EMPTY, &entries(0, 1, 10)) }])
        .expect("append");
    assert!(held() > 0, "it is there");
    let reader = SqliteStore::open_reader(&path).expect("reader");
    reader.freeze().expect("a reader in the way");
    let head = store.head(&TEA).expect("head");
    let start = Instant::now();
    store
        .append(&[Batch { erasures: &[commitment], ..batch(head, &entries(1, 1, 10)) }])
        .expect("append");
    assert!(start.elapsed() < Duration::from_secs(3), "the writer does not wait for a reader");
    reader.thaw().expect("thaw");
    grow(&mut store, 1, 10).expect("the next append");
    assert_eq!(held(), 0);
    assert_eq!(store.disclosure(&TEA, &commitment).expect("disclosure"), None);
}

/// Salts and texts of all lengths, over pages and beyond them, that go one after the other.
/// What is deleted row by row leaves copies behind: SQLite moves the neighbours.
#[test]
fn of_many_texts_none_that_was_erased_leaves_a_trace() {
    let (dir, path) = place();
    let salt = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
    let opening = |n: u64| {
        let commitment = *blake3::hash(format!("commitment {n}").as_bytes()).as_bytes();
        let length = [3, 20, 60, 300, 1_500, 9_000][usize::from(salt(n)[1] % 6)];
        let bytes = format!("text {n:05}, {}", "x".repeat(length)).into_bytes();
        let (tag, field) = (format!("tag {n:05}"), format!("field {n:05}"));
        Disclosure { commitment, salt: salt(n), tag, author: "ayu".into(), field, bytes }
    };
    let mut store = create(&path);
    for from in (0..600).step_by(7) {
        let some: Vec<_> = (from..(from + 7).min(600)).map(opening).collect();
        store.append(&[Batch { disclosures: &some, ..batch(Head::EMPTY, &[]) }]).expect("append");
    }
    let mut order: Vec<u64> = (0..600).collect();
    order.sort_by_key(|n| salt(*n));
    let (gone, left) = order.split_at(500);
    for some in gone.chunks(3) {
        let erasures: Vec<_> = some.iter().map(|n| opening(*n).commitment).collect();
        store.append(&[Batch { erasures: &erasures, ..batch(Head::EMPTY, &[]) }]).expect("append");
    }
    assert!(store.purge().expect("purge"));
    store.backup(&dir.path().join("copy.db"), |_, _| {}).expect("backup");
    let files = fs::read_dir(dir.path()).expect("directory");
    let all: Vec<u8> =
        files.flat_map(|file| fs::read(file.expect("file").path()).expect("content")).collect();
    let stands = |needle: &[u8]| all.windows(needle.len()).filter(|part| *part == needle).count();
    for n in gone.iter().step_by(5) {
        let d = opening(*n);
        for part in [&d.salt[..], &d.bytes[..12], d.tag.as_bytes(), d.field.as_bytes()] {
            assert_eq!(stands(part), 0, "{n}: {:?}", String::from_utf8_lossy(part));
        }
    }
    assert_eq!(stands(&opening(left[0]).salt), 2, "the search finds what is there");
    assert_eq!(store.disclosures(&TEA, None, 999).expect("page").len(), left.len());
}

/// A writer that dies between the commit and the emptying of the journal.
#[test]
fn an_erasure_that_a_crash_cut_short_is_made_up_for_when_the_file_is_opened() {
    let (dir, path) = place();
    let secret = b"Ni Luh Ayu Pertiwi, Ubud";
    let opened = Disclosure {
        commitment: [1; 32],
        salt: [2; 32],
        tag: "name".into(),
        author: "ayu".into(),
        field: "agent.name".into(),
        bytes: secret.to_vec(),
    };
    let mut store = create(&path);
    store.append(&[Batch { disclosures: &[opened], ..batch(Head::EMPTY, &[]) }]).expect("append");
    let reader = SqliteStore::open_reader(&path).expect("reader");
    reader.freeze().expect("a reader in the way");
    store.append(&[Batch { erasures: &[[1; 32]], ..batch(Head::EMPTY, &[]) }]).expect("append");
    assert!(!store.purge().expect("purge"), "the reader holds the journal");
    // The files as a crash leaves them.
    let after = tempfile::tempdir().expect("a directory");
    let copy = after.path().join("tea.db");
    let beside = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::path::PathBuf::from(name)
    };
    for suffix in ["", "-wal"] {
        fs::copy(beside(&path, suffix), beside(&copy, suffix)).expect("copy");
    }
    let held = |dir: &Path| {
        let files = fs::read_dir(dir).expect("directory");
        let content = files.map(|file| fs::read(file.expect("file").path()).expect("content"));
        content.filter(|bytes| bytes.windows(secret.len()).any(|part| part == secret)).count()
    };
    assert!(held(after.path()) > 0, "it is there still");
    let store = SqliteStore::open_writer(&copy, false).expect("opened again");
    assert_eq!(held(after.path()), 0);
    drop((store, reader, dir));
}

/// Measures, asserts nothing: what the contract costs over plain inserts of the same bytes.
#[test]
fn rows_a_second_in_batches_of_a_thousand() {
    const BATCHES: u64 = 30;
    let (dir, path) = place();
    let groups: Vec<_> = (0..BATCHES).map(|n| entries(n * 1000, 1000, 420)).collect();
    let mut store = create(&path);
    let mut head = Head::EMPTY;
    let start = Instant::now();
    for group in &groups {
        // About as many nodes as entries are completed by them; here on level 1 only.
        let nodes: Vec<_> =
            (head.size..).zip(group).map(|(n, entry)| (1, n, entry.chain)).collect();
        store.append(&[Batch { nodes: &nodes, ..batch(head, group) }]).expect("append");
        head = Head { size: head.size + 1000, chain: group[999].chain };
    }
    let ours = start.elapsed();

    let mut plain = rusqlite::Connection::open(dir.path().join("plain.db")).expect("a database");
    let sql = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
               CREATE TABLE entry (seq INTEGER PRIMARY KEY, leaf, envelope, chain);
               CREATE TABLE node (position INTEGER PRIMARY KEY, hash)";
    plain.execute_batch(sql).expect("schema");
    let start = Instant::now();
    for (group, first) in groups.iter().zip((0_i64..).step_by(1000)) {
        let tx = plain.transaction().expect("begin");
        for (n, e) in (first..).zip(group) {
            tx.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| insert.execute((n, &e.leaf[..], &e.envelope[..], e.chain)))
                .expect("insert");
            tx.prepare_cached("INSERT INTO node VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute((n, e.chain)))
                .expect("insert");
        }
        tx.commit().expect("commit");
    }
    let bare = start.elapsed();
    let start = Instant::now();
    let read = readable(&store);
    let scan = start.elapsed();
    let rate = |time: Duration| u128::from(read) * 1000 / time.as_millis().max(1);
    println!(
        "entries a second: store {}, plain inserts {}, reading {}",
        rate(ours),
        rate(bare),
        rate(scan)
    );
}
