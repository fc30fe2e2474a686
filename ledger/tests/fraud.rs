//! Fraud proofs: two heads that cannot both be true are proven, and nothing else is.

#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::slice::from_ref;
use subak_ledger::{
    audit::{Options, Seen, audit, begins, parting, placed},
    log::{
        Checkpoint, LedgerId, PublicKey, SecretKey,
        fraud::{FORMAT, FraudProof, Parting, Prefix},
        note,
    },
    reject::Code,
};

/// A log, and one of the same ledger that tells another story from entry 4 on.
struct Split {
    ledger: LedgerId,
    operator: SecretKey,
    one: RawLog,
    other: RawLog,
}

/// `sizes` of the two logs.
fn split(sizes: [u64; 2]) -> Split {
    let mut world = with_two(for_everybody(1, 0));
    while world.state.size < 4 {
        world.contribute("ana", "commit", 1_000);
    }
    let said = |story: u64, size: u64| {
        let mut world = with_two(for_everybody(1, 0));
        while world.state.size < 4 {
            world.contribute("ana", "commit", 1_000);
        }
        while world.state.size < size {
            world.contribute("ana", "commit", story);
        }
        RawLog::of(&world, vec![])
    };
    let (one, other) = (said(1_000, sizes[0]), said(2_000, sizes[1]));
    Split { ledger: world.state.ledger, operator: world.operator, one, other }
}

impl Split {
    fn key(&self) -> PublicKey {
        self.operator.public()
    }

    fn notes(&self) -> [&str; 2] {
        [&self.one, &self.other].map(|log| log.checkpoint.as_deref().unwrap())
    }

    fn sizes(&self) -> [u64; 2] {
        [&self.one, &self.other].map(|log| log.entries.len() as u64)
    }

    fn parting(&self) -> Option<Parting> {
        let stores = [in_memory(from_ref(&self.one)), in_memory(from_ref(&self.other))];
        parting(self.ledger, [&stores[0], &stores[1]], self.sizes()).unwrap()
    }

    fn prove(&self) -> FraudProof {
        FraudProof::new(self.ledger, &self.key(), self.notes(), self.parting()).unwrap()
    }

    /// By whoever has the larger log, and of the smaller only what was signed.
    fn prove_by_the_larger(&self) -> FraudProof {
        let [a, b] = self.sizes();
        let (larger, sizes) = if a > b { (&self.one, [b, a]) } else { (&self.other, [a, b]) };
        let prefix = begins(self.ledger, &in_memory(from_ref(larger)), sizes).unwrap().unwrap();
        FraudProof::of_prefix(self.ledger, &self.key(), self.notes(), prefix).unwrap()
    }
}

#[test]
fn two_histories_are_proven_at_the_entry_where_they_part() {
    for sizes in [[9, 9], [9, 7], [7, 9], [5, 16], [16, 5], [5, 6]] {
        let split = split(sizes);
        let text = split.prove().to_text();
        assert!(text.starts_with(&format!("{FORMAT}\noperator subak/")), "{text}");
        let read = FraudProof::parse(&text).unwrap();
        assert_eq!(read.accused(), (split.ledger, &split.key()));
        let proven = read.verify(&split.key()).unwrap();
        let mut ordered = sizes;
        ordered.sort_unstable();
        assert_eq!(proven.heads.map(|head| head.size), ordered);
        assert_eq!(proven.entry, (sizes[0] != sizes[1]).then_some(4), "{sizes:?}");
        assert!(text.len() < 2_000, "{} bytes", text.len());
        let other = key("nobody").public();
        assert_eq!(read.verify(&other).unwrap_err().code, Code::BadFraudProof);
    }
}

#[test]
fn the_larger_log_alone_proves_that_another_beginning_was_signed() {
    for sizes in [[9, 7], [7, 9], [5, 16], [16, 5], [5, 6], [8, 16], [8, 9]] {
        let split = split(sizes);
        let text = split.prove_by_the_larger().to_text();
        let read = FraudProof::parse(&text).unwrap();
        let proven = read.verify(&split.key()).unwrap();
        let mut ordered = sizes;
        ordered.sort_unstable();
        assert_eq!((proven.heads.map(|head| head.size), proven.entry), (ordered, None));
        assert_eq!(read.to_text(), text);
    }
}

#[test]
fn whoever_keeps_the_last_leaf_of_a_head_can_prove_a_rewrite() {
    let split = split([7, 12]);
    let remembered = audit_logs(from_ref(&split.one)).ledgers.remove(0);
    let (leaf, path) = remembered.last_leaf.unwrap();
    let (head, note) = remembered.signed.unwrap();
    assert_eq!(Some(&note), split.one.checkpoint.as_ref());
    let store = in_memory(from_ref(&split.other));
    let second = placed(split.ledger, &store, head.size - 1, 12).unwrap().unwrap();
    let first = subak_ledger::log::fraud::Placed { leaf, path };
    let parting = Parting { index: head.size - 1, first, second };
    let proof = FraudProof::new(split.ledger, &split.key(), split.notes(), Some(parting)).unwrap();
    assert_eq!(proof.verify(&split.key()).unwrap().entry, Some(6));
}

/// Each byte in turn, altered or left out: no other text proves anything.
#[test]
fn a_byte_changed_anywhere_proves_nothing() {
    let (one, two) = (split([9, 9]), split([9, 6]));
    for (split, proof) in
        [(&one, one.prove()), (&two, two.prove()), (&two, two.prove_by_the_larger())]
    {
        let text = proof.to_text();
        let verifies = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).ok()?;
            FraudProof::parse(&text).ok()?.verify(&split.key()).ok()
        };
        assert!(verifies(text.clone().into_bytes()).is_some(), "the control");
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut altered = text.clone().into_bytes();
                altered[place] ^= 1 << bit;
                assert_eq!(verifies(altered), None, "byte {place}, bit {bit}");
            }
            let mut shorter = text.clone().into_bytes();
            shorter.remove(place);
            // Of two equal bytes side by side it does not matter which is left out: none may be.
            assert_eq!(verifies(shorter), None, "without byte {place}");
            assert_eq!(verifies(text.as_bytes()[..place].to_vec()), None, "cut to {place}");
        }
    }
}

#[test]
fn an_honest_operator_cannot_be_accused() {
    let split = split([9, 6]);
    let (ledger, operator) = (split.ledger, split.key());
    let refused = |notes: [&str; 2], parting: Option<Parting>| {
        let refused = FraudProof::new(ledger, &operator, notes, parting);
        assert_eq!(refused.map_err(|r| r.code), Err(Code::BadFraudProof));
    };
    let [note, _] = split.notes();
    refused([note, note], None);
    // A prefix of the same log, with every entry that it could be accused of.
    let mut prefix = split.one.clone();
    prefix.entries.truncate(6);
    let store = in_memory(from_ref(&split.one));
    let mut tree = subak_ledger::log::Frontier::default();
    for (leaf, _) in &prefix.entries {
        tree.push(subak_ledger::log::tree::leaf_hash(leaf));
    }
    let head = Checkpoint { ledger, size: 6, root: tree.root() };
    let older = head.sign(&split.operator);
    refused([note, &older], None);
    for index in 0..6 {
        let [first, second] =
            [9, 6].map(|size| placed(ledger, &store, index, size).unwrap().unwrap());
        refused(
            [note, &older],
            Some(Parting { index, first: first.clone(), second: second.clone() }),
        );
        let mut other = second.clone();
        other.leaf[0] ^= 1;
        refused([note, &older], Some(Parting { index, first: first.clone(), second: other }));
    }
    // Nor by how it begins, told truly or not.
    let of_prefix = |prefix: Prefix| {
        let refused = FraudProof::of_prefix(ledger, &operator, [note, &older], prefix);
        assert_eq!(refused.map_err(|r| r.code), Err(Code::BadFraudProof));
    };
    let prefix = begins(ledger, &store, [6, 9]).unwrap().unwrap();
    assert_eq!(prefix.root, head.root);
    of_prefix(prefix.clone());
    of_prefix(Prefix { root: [7; 32], ..prefix.clone() });
    let sevens = begins(ledger, &store, [7, 9]).unwrap().unwrap();
    of_prefix(Prefix { root: sevens.root, ..prefix.clone() });
    of_prefix(sevens);
    of_prefix(Prefix { root: [7; 32], proof: Vec::new() });
    assert_eq!(
        parting(ledger, [&store, &in_memory(from_ref(&split.one))], [9, 9]).unwrap(),
        None,
        "one log does not part from itself"
    );
    // Somebody else's signature under the same name.
    let forged = Checkpoint { ledger, size: 9, root: [7; 32] }.sign(&key("nobody"));
    assert!(FraudProof::new(ledger, &operator, [note, &forged], None).is_err());
}

#[test]
fn what_witnesses_said_is_left_away() {
    let split = split([9, 9]);
    let witnessed = |note: &str| format!("{note}— witness.example/w1 AAAAAAECAwQ=\n");
    let [one, other] = split.notes();
    let proof =
        FraudProof::new(split.ledger, &split.key(), [&witnessed(one), &witnessed(other)], None);
    assert_eq!(proof.unwrap(), split.prove());
    let text = split.prove().to_text() + "— witness.example/w1 AAAAAAECAwQ=\n";
    let padded = FraudProof::parse(&text).and_then(|it| it.verify(&split.key()));
    assert_eq!(padded.map_err(|r| r.code), Err(Code::BadFraudProof), "one spelling");
    let name = subak_ledger::log::checkpoint::origin(&split.ledger);
    assert!(note::Note::parse(one).unwrap().signatures.iter().all(|line| line.name == name));
}

/// The heads that are remembered: an audit goes on from them, or says that it cannot.
#[test]
fn a_rewrite_and_an_old_copy_do_not_pass_for_what_was_seen() {
    let split = split([9, 12]);
    let (ledger, operator) = (split.ledger, split.key());
    let first = audit_logs(from_ref(&split.one));
    let l = &first.ledgers[0];
    assert_eq!((l.signatures_checked, l.seen), (9, None));
    let seen = Seen {
        head: l.signed.as_ref().unwrap().0,
        operator: operator.clone(),
        former: vec![],
        name: l.name.clone(),
        sandbox: l.sandbox,
    };
    let with = |log: &RawLog, full: bool| {
        let store = in_memory(from_ref(log));
        let seen = [seen.clone()];
        let options = Options { threads: 2, seen: &seen, full, ..Options::default() };
        let found = audit(&store, &options).unwrap();
        let l = found.ledgers[0].clone();
        let faults: Vec<_> = found
            .findings
            .iter()
            .filter(|f| f.severity == subak_ledger::audit::Severity::Fault)
            .map(|f| f.code.name())
            .collect();
        (faults, l.signatures_checked, l.seen)
    };
    assert_eq!(with(&split.one, false), (vec![], 0, Some(9)), "nothing is new");
    assert_eq!(with(&split.one, true), (vec![], 9, Some(9)), "--full");
    // At fault, nothing is spared.
    assert_eq!(with(&split.other, false), (vec!["rewritten-since-seen"], 12, None));
    let mut world = with_two(for_everybody(1, 0));
    world.contribute("ana", "commit", 1_000);
    let older = RawLog::of(&world, vec![]);
    let size = older.entries.len() as u64;
    assert!(size < 9);
    assert_eq!(with(&older, false), (vec!["older-than-seen"], size, None));
    assert_eq!(ledger, world.state.ledger);
}

/// Nothing that was verified before can be altered: the root over all leaves is recomputed, and
/// each leaf fixes its envelope.
#[test]
fn a_signature_that_is_not_checked_again_cannot_be_exchanged() {
    let split = split([9, 9]);
    let l = audit_logs(from_ref(&split.one)).ledgers.remove(0);
    let seen = [Seen {
        head: l.signed.unwrap().0,
        operator: split.key(),
        former: vec![],
        name: l.name,
        sandbox: true,
    }];
    for entry in 0..9 {
        let mut log = split.one.clone();
        let envelope = &mut log.entries[entry].1;
        let last = envelope.len() - 1;
        envelope[last] ^= 1;
        let world = with_two(for_everybody(1, 0));
        for rehashed in [false, true] {
            if rehashed {
                log.rehash();
                log.sign(&world);
            }
            let options = Options { threads: 2, seen: &seen, ..Options::default() };
            let found = audit(&in_memory(&[log.clone()]), &options).unwrap();
            let codes: Vec<_> = found.findings.iter().map(|f| f.code.name()).collect();
            assert!(codes.contains(&"statement"), "entry {entry}: {codes:?}");
            let expected = if rehashed { "rewritten-since-seen" } else { "envelope-digest" };
            assert!(codes.contains(&expected), "entry {entry}: {codes:?}");
        }
    }
}
