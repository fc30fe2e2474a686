//! Bundles: what was exported is judged as it was where it came from, and nothing else is sound.

#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::{fs, path::Path};
use subak_ledger::{
    audit::{Audit, Options, Verdict, audit},
    store::{
        BundleReader, Reader, StoreError,
        bundle::{Exported, export},
    },
};

fn write(reader: &dyn Reader, path: &Path, texts: bool) -> Exported {
    export(reader, &reader.ledgers().unwrap(), path, texts, &|_| ()).unwrap()
}

/// What an audit says, apart from where it looked.
fn said(audit: &Audit) -> String {
    let ledgers: Vec<_> = audit
        .ledgers
        .iter()
        .map(|l| (l.id, &l.name, l.size, l.head, l.root, &l.signed, l.disclosures))
        .collect();
    let findings: Vec<_> = audit.findings.iter().map(|f| (&f.message, f.ledger, f.entry)).collect();
    format!("{:?} {ledgers:?} {findings:?}", audit.verdict)
}

#[test]
fn a_bundle_is_judged_as_the_store_that_it_was_made_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = in_memory(&cycle().logs());
    let path = dir.path().join("with.subak");
    let done = write(&store, &path, true);
    let size: u64 = store.ledgers().unwrap().iter().map(|l| store.head(&l.id).unwrap().size).sum();
    assert_eq!((done.entries, done.texts), (size, 1));
    assert_eq!(done.bytes, fs::metadata(&path).unwrap().len());
    assert!(BundleReader::is_bundle(&path));
    let bundle = BundleReader::open(&path).unwrap();
    let there = audit_store(&bundle);
    assert_eq!(said(&there), said(&audit_store(&store)));
    assert_eq!(there.verdict, Verdict::Sound);
    // Read again, and backwards: the cursor begins anew.
    assert_eq!(said(&audit_store(&bundle)), said(&there));
    let rows = bundle.ledgers().unwrap();
    for row in rows.iter().rev() {
        for from in [3, 0, 7, 1] {
            let found = bundle.entries(&row.id, from, 5, usize::MAX).unwrap();
            assert_eq!(found, store.entries(&row.id, from, 5, usize::MAX).unwrap());
        }
        let texts = |reader: &dyn Reader| reader.disclosures(&row.id, None, 9).unwrap();
        assert_eq!(texts(&bundle), texts(&store));
    }
    // Without the texts only they are missing.
    let bare = dir.path().join("without.subak");
    write(&store, &bare, false);
    let bare = audit_store(&BundleReader::open(&bare).unwrap());
    let [c, _] = &bare.ledgers[..] else { panic!("two ledgers") };
    assert_eq!((bare.verdict, c.disclosures.disclosed), (Verdict::Sound, 0));
    // A store that holds a bundle's ledgers can be bundled again, to the same bytes.
    let again = dir.path().join("again.subak");
    write(&bundle, &again, true);
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("there.subak");
    fs::write(&path, "mine").unwrap();
    let store = in_memory(&cycle().logs());
    let rows = store.ledgers().unwrap();
    let refused = export(&store, &rows, &path, true, &|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    // A leaf that no leaf is.
    let mut logs = cycle().logs();
    logs[1].entries[3].0.pop();
    let path = dir.path().join("new.subak");
    let store = in_memory(&logs);
    let failed = export(&store, &store.ledgers().unwrap(), &path, true, &|_| ()).unwrap_err();
    assert!(failed.to_string().contains("leaf: expected 113 bytes, found 112"), "{failed}");
    assert!(!path.exists());
}

fn small() -> RawLog {
    let mut world = World::commons(equation(1, &[("all", 1_000_000, None, &[1])]));
    let text = disclose(&world, "contribution", "evidence", "the canal of Jatiluwih");
    world.contribute("sam", "commit", 1_000);
    RawLog::of(&world, vec![text])
}

fn judged(path: &Path) -> Result<String, StoreError> {
    let bundle = BundleReader::open(path)?;
    let found = audit(&bundle, &Options { threads: 1, ..Options::default() })?;
    Ok(match found.verdict {
        Verdict::Sound => said(&found),
        worse => worse.word().into(),
    })
}

/// Every byte in turn: what is still sound says the same, to the letter.
#[test]
fn no_byte_of_a_bundle_can_be_changed_to_say_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.subak");
    let mut log = small();
    log.disclosures.clear();
    write(&in_memory(&[log]), &path, true);
    let bytes = fs::read(&path).unwrap();
    let control = judged(&path).unwrap();
    assert!(control.starts_with("Sound"), "{control}");
    let altered = dir.path().join("altered.subak");
    let mut same = 0;
    for place in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[place] ^= flip;
            fs::write(&altered, &changed).unwrap();
            match judged(&altered) {
                Ok(said) if said == control => same += 1,
                Ok(said) => assert!(!said.starts_with("Sound"), "byte {place}: {said}"),
                Err(_) => {}
            }
        }
    }
    assert!(same < 16, "{same} of {} say the same: reserved bits of the frame", bytes.len());
    for length in 0..bytes.len() {
        fs::write(&altered, &bytes[..length]).unwrap();
        assert!(judged(&altered).is_err_and(|_| true) || judged(&altered).unwrap() == "fault");
    }
    for more in [&b"x"[..], &bytes[24..], &bytes[..]] {
        fs::write(&altered, [&bytes[..], more].concat()).unwrap();
        assert_eq!(judged(&altered).unwrap(), "fault", "something behind the end");
    }
}

/// What is done to a bundle's records.
type Change<'a> = &'a dyn Fn(&mut Vec<Vec<u8>>);

/// The records, as anybody could write them: order, numbers and limits are held.
#[test]
fn records_out_of_place_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.subak");
    let log = small();
    let id = log.id;
    write(&in_memory(&[log]), &path, true);
    let bytes = fs::read(&path).unwrap();
    let records = split(&zstd::decode_all(&bytes[24..]).unwrap());
    let kinds: String = records.iter().map(|r| char::from(r[0])).collect();
    let entries = kinds.matches('E').count();
    assert_eq!(kinds, format!("LCS{}DZ", "E".repeat(entries)));
    let with = |change: Change<'_>| {
        let mut records = records.clone();
        change(&mut records);
        let frame = zstd::encode_all(&records.concat()[..], 1).unwrap();
        fs::write(&path, [&bytes[..24], &frame[..]].concat()).unwrap();
        judged(&path)
    };
    // The text is none that the log commits to: a fault of its own, which the control shows.
    assert_eq!(with(&|_| ()).unwrap(), "fault");
    let text = 3 + entries;
    assert!(with(&|r| drop(r.remove(text))).unwrap().starts_with("Sound"), "without it");
    let sound_without_text = |change: Change<'_>| {
        with(&|r| {
            r.remove(text);
            change(r);
        })
    };
    let unsound: &[(&str, Change<'_>)] = &[
        ("no end", &|r| drop(r.pop())),
        ("two ends", &|r| r.push(r[r.len() - 1].clone())),
        ("an entry less", &|r| drop(r.remove(4))),
        ("an entry twice", &|r| r.insert(4, r[4].clone())),
        ("entries in another order", &|r| r.swap(3, 4)),
        ("no section", &|r| drop(r.remove(2))),
        ("a section of another ledger", &|r| r[2][5] ^= 1),
        ("a section twice", &|r| r.insert(2, r[2].clone())),
        ("no ledger", &|r| drop(r.remove(0))),
        ("a ledger twice", &|r| r.insert(0, r[0].clone())),
        ("a checkpoint twice", &|r| r.insert(1, r[1].clone())),
        ("no checkpoint", &|r| drop(r.remove(1))),
        ("a checkpoint behind", &|r| {
            let note = r.remove(1);
            r.insert(3, note);
        }),
        ("an unknown record", &|r| r[3][0] = b'X'),
        ("a record of 4 GB", &|r| r[3][1..5].copy_from_slice(&[0xff; 4])),
        ("a ledger of 2^64 entries", &|r| r[0][37..45].copy_from_slice(&[0xff; 8])),
        ("a name that is none", &|r| r[0][45] = 0xff),
        ("another name", &|r| r[0][45] ^= 1),
    ];
    for (what, change) in unsound {
        let found = sound_without_text(change);
        // A copy on its way has no signed head yet either: that could not be judged.
        let expected = if *what == "no checkpoint" { "gap" } else { "fault" };
        assert!(found.as_deref().is_ok_and(|said| said == expected) || found.is_err(), "{what}");
    }
    assert_eq!(id.len(), 32);
}

/// Each record with its head.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = 5 + u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let (record, rest) = bytes.split_at(length);
        records.push(record.to_vec());
        bytes = rest;
    }
    records
}

#[test]
fn a_later_version_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.subak");
    write(&in_memory(&[small()]), &path, true);
    let mut bytes = fs::read(&path).unwrap();
    bytes[22] = b'7';
    fs::write(&path, &bytes).unwrap();
    assert!(BundleReader::is_bundle(&path));
    let refused = BundleReader::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::TooNew { found: 7, known: 1, .. }), "{refused}");
}

/// A few bytes that would unfold to a gigabyte: the record's limit stops them.
#[test]
fn a_bomb_is_not_unfolded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.subak");
    write(&in_memory(&[small()]), &path, true);
    let magic = fs::read(&path).unwrap()[..24].to_vec();
    let frame = zstd::encode_all(&vec![b'L'; 64 << 20][..], 1).unwrap();
    assert!(frame.len() < 10_000);
    fs::write(&path, [&magic[..], &frame[..]].concat()).unwrap();
    let refused = BundleReader::open(&path).err().unwrap();
    assert!(refused.to_string().contains("at most 104 bytes"), "{refused}");
    // A window that would keep 128 MB of what was read.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    let frame = encoder.finish().unwrap();
    fs::write(&path, [&magic[..], &frame[..]].concat()).unwrap();
    assert!(BundleReader::open(&path).is_err());
}
