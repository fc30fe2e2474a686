//! The store contract as tests that any backend can call.
//!
//! Owns one function per sentence of the contract. Guarantees that a store that passes
//! behaves like the others for its callers. Leaves out what only some stores have: files,
//! locks, damage and power cuts. Panics with the broken sentence.

use super::{Batch, Disclosure, Hash, Head, LedgerRow, NewEntry, Node, Store, StoreError};

/// Runs the suite; `open` gives a new, empty store at each call.
pub fn check(open: impl Fn() -> Box<dyn Store>) {
    let checks: &[fn(&mut dyn Store)] = &[
        unknown_ledgers_read_as_empty,
        what_was_appended_is_read_back,
        ranges_are_bounded_and_get_on,
        ledgers_keep_apart,
        a_moved_head_refuses_the_whole_group,
        a_group_follows_itself,
        a_node_is_never_replaced,
        a_checkpoint_is_replaced_or_kept,
        a_witnessed_checkpoint_stands_beside_it,
        disclosures_come_and_go,
        what_was_erased_is_not_kept_again,
        numbers_out_of_range_find_nothing,
        |store| check_retry_after_failure(store, true),
    ];
    for check in checks {
        check(open().as_mut());
    }
}

/// After an append that may have failed, one retry settles it. `persisted` says what the store is
/// known to do with the first attempt, whose answer is ignored.
pub fn check_retry_after_failure(store: &mut dyn Store, persisted: bool) {
    let entries = entries(0..3);
    let batch = batch(A, Head::EMPTY, &entries);
    let made = after(Head::EMPTY, &entries);
    let _ = store.append(&[batch]);
    assert_eq!(
        store.head(&A).expect("head"),
        if persisted { made } else { Head::EMPTY },
        "head tells which"
    );
    match store.append(&[batch]) {
        Err(StoreError::HeadMoved { found, .. }) if persisted => {
            assert_eq!(found, made, "found is ours");
        }
        Ok(()) if !persisted => {}
        other => panic!("the retry answers by what is there: {other:?}"),
    }
    assert_eq!(seqs(store, A), [0, 1, 2], "appended once");
}

/// Two ledgers for the checks.
pub const A: Hash = [0xa1; 32];
/// The other.
pub const B: Hash = [0xb2; 32];

/// Entries whose bytes differ from number to number.
pub fn entries(numbers: std::ops::Range<u8>) -> Vec<NewEntry> {
    let one = |n: u8| NewEntry {
        leaf: vec![n; 10].into(),
        envelope: vec![n; 90].into(),
        chain: [n + 1; 32],
    };
    numbers.map(one).collect()
}

/// The head after these entries.
pub fn after(head: Head, entries: &[NewEntry]) -> Head {
    let chain = entries.last().map_or(head.chain, |last| last.chain);
    Head { size: head.size + entries.len() as u64, chain }
}

/// A batch of entries and nothing else.
pub fn batch(ledger: Hash, expected: Head, entries: &[NewEntry]) -> Batch<'_> {
    let name = if ledger == A { "tea" } else { "weavers" };
    Batch {
        ledger,
        name,
        expected,
        entries,
        nodes: &[],
        checkpoint: None,
        disclosures: &[],
        erasures: &[],
    }
}

/// An opening whose parts all differ.
pub fn disclosure(commitment: u8, bytes: &[u8]) -> Disclosure {
    let (tag, author, field) = ("name".into(), "ayu".into(), "agent.name".into());
    let (commitment, salt) = ([commitment; 32], [commitment ^ 0xff; 32]);
    Disclosure { commitment, salt, tag, author, field, bytes: bytes.to_vec() }
}

fn seqs(store: &dyn Store, ledger: Hash) -> Vec<u64> {
    let found = store.entries(&ledger, 0, 1000, usize::MAX).expect("entries");
    found.iter().map(|entry| entry.seq).collect()
}

fn append(store: &mut dyn Store, batch: Batch<'_>) {
    store.append(&[batch]).expect("a batch that follows the head");
}

fn unknown_ledgers_read_as_empty(store: &mut dyn Store) {
    assert_eq!(store.ledgers().expect("ledgers"), []);
    assert_eq!(store.head(&A).expect("head"), Head::EMPTY);
    assert_eq!(store.entries(&A, 0, 10, 1000).expect("entries"), []);
    assert_eq!(store.node(&A, 0, 0).expect("node"), None);
    assert_eq!(store.checkpoint(&A).expect("checkpoint"), None);
    assert_eq!(store.disclosures(&A, None, 10).expect("disclosures"), []);
    assert_eq!(store.disclosure(&A, &[1; 32]).expect("disclosure"), None);
    assert_eq!(store.integrity().expect("integrity"), Vec::<String>::new());
}

fn what_was_appended_is_read_back(store: &mut dyn Store) {
    let mut entries = entries(0..3);
    // A store judges nothing: lengths that no log has are kept as well.
    entries[1].leaf.clear();
    entries[2].envelope = vec![7; 70_000].into();
    let nodes: &[Node] = &[(0, 0, [1; 32]), (0, 1, [2; 32]), (1, 0, [3; 32]), (0, 2, [4; 32])];
    let opened = [disclosure(1, b"Ayu"), disclosure(2, b"")];
    let (checkpoint, disclosures) = (Some("note\n\n\u{2014} tea c2ln\n"), &opened[..]);
    append(store, Batch { nodes, checkpoint, disclosures, ..batch(A, Head::EMPTY, &entries) });

    assert_eq!(store.head(&A).expect("head"), after(Head::EMPTY, &entries));
    let found = store.entries(&A, 0, 10, usize::MAX).expect("entries");
    assert_eq!(found.len(), 3);
    for ((seq, wrote), read) in (0..).zip(&entries).zip(&found) {
        assert_eq!(seq, read.seq);
        assert_eq!(
            (&wrote.leaf, &wrote.envelope, wrote.chain),
            (&read.leaf, &read.envelope, read.chain)
        );
    }
    assert_eq!(store.nodes(&A, 0, 1, 10).expect("nodes"), [(1, [2; 32]), (2, [4; 32])]);
    assert_eq!(store.nodes(&A, 0, 0, 2).expect("nodes"), [(0, [1; 32]), (1, [2; 32])]);
    assert_eq!(store.node(&A, 1, 0).expect("node"), Some([3; 32]));
    assert_eq!(store.node(&A, 1, 1).expect("node"), None);
    assert_eq!(store.checkpoint(&A).expect("checkpoint").as_deref(), checkpoint);
    assert_eq!(store.disclosures(&A, None, 10).expect("disclosures"), opened);
    assert_eq!(store.disclosure(&A, &[2; 32]).expect("disclosure").as_ref(), Some(&opened[1]));
    assert_eq!(store.integrity().expect("integrity"), Vec::<String>::new());
}

fn ranges_are_bounded_and_get_on(store: &mut dyn Store) {
    append(store, batch(A, Head::EMPTY, &entries(0..9)));
    // (from, limit, bytes; an entry has 100) -> seqs
    let cases: &[(u64, usize, usize, &[u64])] = &[
        (0, 3, 10_000, &[0, 1, 2]),
        (7, 3, 10_000, &[7, 8]),
        (9, 3, 10_000, &[]),
        (0, 9, 250, &[0, 1]),
        (0, 9, 300, &[0, 1, 2]),
        (4, 9, 0, &[4]),
        (4, 0, 10_000, &[]),
    ];
    for &(from, limit, bytes, expected) in cases {
        let found = store.entries(&A, from, limit, bytes).expect("entries");
        let found: Vec<u64> = found.iter().map(|entry| entry.seq).collect();
        assert_eq!(found, expected, "from {from}, limit {limit}, bytes {bytes}");
    }
}

fn ledgers_keep_apart(store: &mut dyn Store) {
    let (tea, weavers) = (entries(0..2), entries(10..11));
    let opened = [disclosure(1, b"Ayu")];
    let first = Batch {
        nodes: &[(0, 0, [1; 32])],
        checkpoint: Some("tea"),
        disclosures: &opened,
        ..batch(A, Head::EMPTY, &tea)
    };
    store.append(&[first, batch(B, Head::EMPTY, &weavers)]).expect("two ledgers in one group");
    let row = |id, number, name: &str| LedgerRow { id, number, name: name.into() };
    assert_eq!(store.ledgers().expect("ledgers"), [row(A, 1, "tea"), row(B, 2, "weavers")]);
    assert_eq!(store.head(&B).expect("head"), after(Head::EMPTY, &weavers));
    assert_eq!((seqs(store, A), seqs(store, B)), (vec![0, 1], vec![0]));
    assert_eq!(store.node(&B, 0, 0).expect("node"), None);
    assert_eq!(store.checkpoint(&B).expect("checkpoint"), None);
    assert_eq!(store.disclosure(&B, &[1; 32]).expect("disclosure"), None);

    append(store, Batch { name: "other", ..batch(A, after(Head::EMPTY, &tea), &entries(2..3)) });
    assert_eq!(store.ledgers().expect("ledgers")[0].name, "tea", "a later name is ignored");
}

fn a_moved_head_refuses_the_whole_group(store: &mut dyn Store) {
    let (tea, weavers) = (entries(0..2), entries(10..11));
    append(store, batch(A, Head::EMPTY, &tea));
    let found = after(Head::EMPTY, &tea);
    let wrong = [
        Head::EMPTY,
        Head { size: 3, ..found },
        Head { chain: [9; 32], ..found },
        Head { size: u64::MAX, ..found },
    ];
    for expected in wrong {
        let opened = [disclosure(1, b"Ayu")];
        let fine = Batch {
            disclosures: &opened,
            checkpoint: Some("x"),
            ..batch(B, Head::EMPTY, &weavers)
        };
        match store.append(&[fine, batch(A, expected, &entries(2..3))]) {
            Err(StoreError::HeadMoved { ledger, expected: e, found: f }) => {
                assert_eq!((ledger, e, f), (A, expected, found));
            }
            other => panic!("expected HeadMoved, found {other:?}"),
        }
        assert_eq!(store.head(&A).expect("head"), found);
        assert_eq!(
            store.ledgers().expect("ledgers").len(),
            1,
            "nothing of the group, not even its ledger"
        );
        assert_eq!(store.disclosure(&B, &[1; 32]).expect("disclosure"), None);
        assert_eq!(store.checkpoint(&B).expect("checkpoint"), None);
    }
    append(store, batch(A, found, &entries(2..3)));
}

fn a_group_follows_itself(store: &mut dyn Store) {
    let (first, second) = (entries(0..2), entries(2..5));
    let middle = after(Head::EMPTY, &first);
    store.append(&[batch(A, Head::EMPTY, &first), batch(A, middle, &second)]).expect("in order");
    assert_eq!(seqs(store, A), [0, 1, 2, 3, 4]);
    assert_eq!(store.head(&A).expect("head"), after(middle, &second));
    store.append(&[]).expect("an empty group is no error");
}

fn a_node_is_never_replaced(store: &mut dyn Store) {
    let (first, second) = (entries(0..1), entries(1..2));
    let nodes: &[Node] = &[(0, 0, [1; 32])];
    append(store, Batch { nodes, ..batch(A, Head::EMPTY, &first) });
    let head = after(Head::EMPTY, &first);
    let again: &[Node] = &[(0, 1, [2; 32]), (0, 0, [9; 32])];
    match store.append(&[Batch { nodes: again, ..batch(A, head, &second) }]) {
        Err(StoreError::Corrupt { .. }) => {}
        other => panic!("expected Corrupt, found {other:?}"),
    }
    assert_eq!(store.nodes(&A, 0, 0, 10).expect("nodes"), [(0, [1; 32])]);
    assert_eq!(store.head(&A).expect("head"), head);
    append(store, batch(A, head, &second));
}

fn a_checkpoint_is_replaced_or_kept(store: &mut dyn Store) {
    let first = entries(0..1);
    let head = after(Head::EMPTY, &first);
    append(store, Batch { checkpoint: Some("one"), ..batch(A, Head::EMPTY, &first) });
    append(store, Batch { checkpoint: Some("one, cosigned"), ..batch(A, head, &[]) });
    append(store, batch(A, head, &entries(1..2)));
    assert_eq!(store.checkpoint(&A).expect("checkpoint").as_deref(), Some("one, cosigned"));
}

fn a_witnessed_checkpoint_stands_beside_it(store: &mut dyn Store) {
    store.keep_witnessed(&A, "of nobody yet").expect("it is ignored");
    assert_eq!(store.witnessed(&A).expect("witnessed"), None);
    append(store, Batch { checkpoint: Some("one"), ..batch(A, Head::EMPTY, &entries(0..1)) });
    assert_eq!(store.witnessed(&A).expect("witnessed"), None);
    for note in ["one, seen", "one, seen by two"] {
        store.keep_witnessed(&A, note).expect("kept");
        assert_eq!(store.witnessed(&A).expect("witnessed").as_deref(), Some(note));
    }
    assert_eq!(store.checkpoint(&A).expect("checkpoint").as_deref(), Some("one"));
    assert_eq!(store.witnessed(&B).expect("witnessed"), None);
}

fn disclosures_come_and_go(store: &mut dyn Store) {
    let opened =
        [disclosure(3, b"c"), disclosure(1, b"a"), disclosure(2, b"b"), disclosure(1, b"later")];
    append(store, Batch { disclosures: &opened, ..batch(A, Head::EMPTY, &[]) });
    let bytes = |found: Vec<Disclosure>| found.into_iter().map(|d| d.bytes).collect::<Vec<_>>();
    assert_eq!(
        bytes(store.disclosures(&A, None, 2).expect("page")),
        [b"a", b"b"],
        "the first one stays"
    );
    assert_eq!(bytes(store.disclosures(&A, Some(&[2; 32]), 2).expect("page")), [b"c"]);

    let erasures: &[Hash] = &[[2; 32], [9; 32]];
    append(
        store,
        Batch { erasures, disclosures: &[disclosure(1, b"x")], ..batch(A, Head::EMPTY, &[]) },
    );
    assert_eq!(bytes(store.disclosures(&A, None, 9).expect("page")), [b"a", b"c"]);
    assert!(store.purge().expect("purge"), "no reader is in the way");
}

fn what_was_erased_is_not_kept_again(store: &mut dyn Store) {
    let disclosures = &[disclosure(1, b"a"), disclosure(2, &[0; 40])];
    append(store, Batch { disclosures, ..batch(A, Head::EMPTY, &[]) });
    append(store, Batch { erasures: &[[1; 32]], ..batch(A, Head::EMPTY, &[]) });
    append(store, Batch { disclosures, ..batch(A, Head::EMPTY, &[]) });
    assert_eq!(store.disclosure(&A, &[1; 32]).expect("disclosure"), None);
    append(store, Batch { erasures: &[[1; 32]], ..batch(A, Head::EMPTY, &[]) });
    let left = store.disclosures(&A, None, 9).expect("page");
    assert_eq!(left, [disclosure(2, &[0; 40])], "zeros are a text like any other");
    assert_eq!(store.disclosures(&B, None, 9).expect("page"), [], "each ledger has its own");
    append(store, Batch { disclosures, ..batch(B, Head::EMPTY, &[]) });
    assert_eq!(store.disclosures(&B, None, 9).expect("page").len(), 2);
}

fn numbers_out_of_range_find_nothing(store: &mut dyn Store) {
    append(store, Batch { nodes: &[(0, 0, [1; 32])], ..batch(A, Head::EMPTY, &entries(0..2)) });
    assert_eq!(store.entries(&A, u64::MAX, usize::MAX, usize::MAX).expect("entries"), []);
    assert_eq!(store.nodes(&A, 0, u64::MAX, usize::MAX).expect("nodes"), []);
    assert_eq!(store.node(&A, u8::MAX, u64::MAX).expect("node"), None);
}
