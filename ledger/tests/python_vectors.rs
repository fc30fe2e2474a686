//! Statements, events and proofs as another implementation writes them.
//!
//! `tests/vectors/python_bodies.json` is made by `tests/python/vectors.py` with Google's
//! protobuf, OpenSSL's Ed25519 and the official BLAKE3 binding. The file is committed, so
//! these tests need no Python; `.ci/run` makes it anew and compares. Here: whatever
//! Python writes canonically is read and written again byte for byte, every other
//! spelling of the same message is refused as `malformed`, and all digests agree.

use prost::Message as _;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path, sync::LazyLock};
use subak_ledger::{
    book::{
        agents::possession_text,
        apply::apply,
        equation::Equation,
        event::{Event, terms_digest},
        state::State,
        types::{Currency, Handle, whole},
    },
    log::{
        Checkpoint, Draft, Frontier, Hash, KeyCache, Leaf, LedgerId, SecretKey, Statement,
        Unverified, canonical, checkpoint, commit, entry, statement, tree,
    },
    reject::{Code, Outcome},
};
use subak_proto::v1;

#[derive(Deserialize)]
struct Vectors {
    events: Vec<Case>,
    malformed_events: Vec<Case>,
    envelopes: Vec<Sealed>,
    refused_envelopes: Vec<Case>,
    malformed_envelopes: Vec<Case>,
    commitments: Vec<Opened>,
    names: Names,
    ledger: Ledger,
}

/// One encoding. `read` is "accepted" or the code of the refusal; `spells` the canonical
/// encoding of which this is another spelling.
#[derive(Deserialize)]
struct Case {
    name: String,
    kind: Option<String>,
    hex: String,
    read: Option<String>,
    #[serde(default)]
    malformed: bool,
    spells: Option<String>,
}

/// A signed statement and all that is computed from it.
#[derive(Deserialize)]
struct Sealed {
    name: String,
    hex: String,
    seed: String,
    author: String,
    events: usize,
    pae: String,
    body_digest: String,
    envelope_digest: String,
    id_as_genesis: String,
}

/// A commitment and what opens it.
#[derive(Deserialize)]
struct Opened {
    salt: String,
    tag: String,
    ledger: String,
    author: String,
    field: String,
    text: String,
    commitment: String,
}

#[derive(Deserialize)]
struct Names {
    terms: Vec<BTreeMap<String, String>>,
    buckets: Vec<BTreeMap<String, String>>,
    possession: Vec<BTreeMap<String, String>>,
}

/// A ledger from genesis to checkpoint.
#[derive(Deserialize)]
struct Ledger {
    id: String,
    origin: String,
    operator_seed: String,
    verifier_key: String,
    root: String,
    checkpoint: String,
    accrued: Accrued,
    entries: Vec<LedgerEntry>,
}

#[derive(Deserialize)]
struct Accrued {
    agent: String,
    currency: String,
    minor: i128,
}

#[derive(Deserialize)]
struct LedgerEntry {
    recorded_at: u64,
    envelope: String,
    leaf: String,
    chain: String,
    leaf_hash: String,
    path: Vec<String>,
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("tests/vectors/python_bodies.json");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|e| panic!("{}: {e}; tests/python/vectors.py makes it", file.display()));
    serde_json::from_str(&text).expect("vectors.py writes this form")
});

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect("vectors.py writes hex")
}

fn hash(hex: &str) -> Hash {
    bytes(hex).try_into().expect("32 bytes")
}

fn handle(text: &str) -> Handle {
    Handle::new(text).expect("a handle")
}

/// "accepted", or the code of the refusal.
fn verdict<T>(outcome: &Outcome<T>) -> &'static str {
    outcome.as_ref().map_or_else(|refused| refused.code.name(), |_| "accepted")
}

fn open(envelope: &[u8]) -> Outcome<Statement> {
    Unverified::parse(envelope)?.verify(&mut KeyCache::default())
}

/// All are canonical. Where a required field is empty, reading the event goes on to refuse
/// it for that, with the stated code; the rest of the check is the same.
#[test]
fn what_python_writes_is_read_and_written_again() {
    let mut accepted: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &VECTORS.events {
        let data = bytes(&case.hex);
        let wire: v1::Event = canonical::decode(&data, &case.name).expect("canonical");
        assert_eq!(wire.encode_to_vec(), data, "{}", case.name);

        let read = Event::decode(&data);
        assert_eq!(Some(verdict(&read)), case.read.as_deref(), "{}: {read:?}", case.name);
        if let Ok(event) = read {
            assert_eq!(Some(event.name()), case.kind.as_deref(), "{}", case.name);
            *accepted.entry(event.name()).or_default() += 1;
        }
    }
    assert_eq!(accepted.len(), 47, "every kind is there");
    assert!(accepted.values().all(|cases| *cases >= 2), "and more than once: {accepted:?}");
}

#[test]
fn every_other_spelling_is_malformed() {
    let refused = |data: &[u8]| Event::decode(data).map(|_| ()).map_err(|r| r.code);
    for case in &VECTORS.malformed_events {
        let data = bytes(&case.hex);
        assert!(case.malformed);
        assert_eq!(refused(&data), Err(Code::Malformed), "{}", case.name);
        if let Some(canonical) = &case.spells {
            reads_the_same::<v1::Event>(&data, &bytes(canonical), &case.name);
            assert_eq!(refused(&bytes(canonical)), Ok(()), "{}", case.name);
        }
    }
    assert!(VECTORS.malformed_events.len() >= 60);

    // And by rule instead of by hand: whatever is cut off or put behind.
    let small = |case: &&Case| case.hex.len() < 2 * 300;
    for case in VECTORS.events.iter().filter(small) {
        let data = bytes(&case.hex);
        for length in 0..data.len() {
            assert_eq!(refused(&data[..length]), Err(Code::Malformed), "{}: cut", case.name);
        }
        // A varint, an empty block, a group; of numbers that no kind has.
        for behind in [&[0xb0, 0x02, 0x01][..], &[0xb2, 0x02, 0x00], &[0xb3, 0x02, 0xb4, 0x02]] {
            let longer = [&data, behind].concat();
            assert_eq!(refused(&longer), Err(Code::Malformed), "{}: longer", case.name);
        }
    }
}

/// Without the canonical check both would be the same fact, by both decoders.
fn reads_the_same<M: prost::Message + Default + PartialEq + std::fmt::Debug>(
    other: &[u8],
    canonical: &[u8],
    name: &str,
) {
    let read = |data: &[u8]| M::decode(data).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_ne!(other, canonical, "{name}");
    assert_eq!(read(other), read(canonical), "{name}");
}

#[test]
fn statements_are_signed_and_hashed_alike() {
    for case in &VECTORS.envelopes {
        let (name, envelope) = (&case.name, bytes(&case.hex));
        let statement = open(&envelope).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(statement.header().author.as_str(), case.author, "{name}");
        assert_eq!(statement.events().len(), case.events, "{name}");

        assert_eq!(statement::pae(statement.body()), bytes(&case.pae), "{name}");
        assert_eq!(statement.body_digest(), hash(&case.body_digest), "{name}");
        assert_eq!(statement.envelope_digest(), hash(&case.envelope_digest), "{name}");
        let id = entry::ledger_id_of_genesis(statement.body());
        assert_eq!(id.0, hash(&case.id_as_genesis), "{name}");

        // The other way round: what Rust writes of the same facts are the same bytes.
        let header = statement.header().clone();
        let draft = Draft {
            header,
            events: statement.events().iter().map(|event| event.to_vec()).collect(),
        };
        assert_eq!(draft.sign(&SecretKey::from_seed(&hash(&case.seed))), envelope, "{name}");
    }
}

#[test]
fn statements_with_a_fault_are_refused_by_its_name() {
    for case in &VECTORS.refused_envelopes {
        let outcome = open(&bytes(&case.hex));
        assert_eq!(Some(verdict(&outcome)), case.read.as_deref(), "{}", case.name);
    }
}

/// Their signatures are sound: a dishonest author has made them.
#[test]
fn every_other_spelling_of_a_body_is_malformed() {
    for case in &VECTORS.malformed_envelopes {
        let envelope = bytes(&case.hex);
        assert!(case.malformed);
        assert_eq!(verdict(&open(&envelope)), "malformed", "{}", case.name);
        if let Some(canonical) = &case.spells {
            let canonical = bytes(canonical);
            assert_eq!(verdict(&open(&canonical)), "accepted", "{}", case.name);
            let body = |envelope: &[u8]| envelope[..envelope.len() - 96].to_vec();
            reads_the_same::<v1::StatementBody>(&body(&envelope), &body(&canonical), &case.name);
        }
    }
    assert!(VECTORS.malformed_envelopes.len() >= 30);
}

#[test]
fn commitments_agree() {
    for case in &VECTORS.commitments {
        let disclosure = commit::Disclosure {
            salt: hash(&case.salt),
            tag: case.tag.clone(),
            author: handle(&case.author),
            field: case.field.clone(),
            bytes: case.text.clone().into_bytes(),
        };
        let made = disclosure.commitment(&LedgerId(hash(&case.ledger)));
        assert_eq!(made, hash(&case.commitment), "{} of {}", case.field, case.author);
    }
}

#[test]
fn agreements_buckets_and_keys_are_named_alike() {
    let names = &VECTORS.names;
    for case in &names.terms {
        let terms = decoded::<v1::Terms>(&case["hex"]);
        assert_eq!(terms_digest(&terms), Ok(hash(&case["digest"])));
    }
    let buckets = names.buckets.iter().map(|case| decoded(&case["hex"])).collect();
    let rate = |kind: &str| v1::Rate { kind: kind.into(), points: 1 };
    let equation = Equation::from_wire(v1::Equation {
        name: "e".into(),
        version: 1,
        rate: vec![rate("commit"), rate("hours"), rate("review")],
        bucket: buckets,
        validators: 1,
        ..Default::default()
    })
    .expect("the buckets make an equation");
    for (bucket, case) in equation.buckets.iter().zip(&names.buckets) {
        assert_eq!(bucket.id(), hash(&case["id"]), "{}", bucket.name);
    }
    for case in &names.possession {
        let text =
            possession_text(&hash(&case["ledger"]), &handle(&case["handle"]), &hash(&case["key"]));
        assert_eq!(text, bytes(&case["text"]));
    }
}

fn decoded<M: prost::Message + Default>(hex: &str) -> M {
    canonical::decode(&bytes(hex), "vector").expect("canonical")
}

/// A whole ledger made by Python: admitted by the rules, entry by entry, with the same
/// leaves, chain, tree, proofs and checkpoint, and the money where it belongs.
#[test]
fn a_ledger_written_by_python_is_a_ledger() {
    let ledger = &VECTORS.ledger;
    let id = LedgerId(hash(&ledger.id));
    let (mut state, mut frontier) = (State::default(), Frontier::default());
    let mut previous = entry::NO_PREVIOUS;
    for (seq, said) in ledger.entries.iter().enumerate() {
        let statement = open(&bytes(&said.envelope)).expect("signed");
        let delta = apply(&state, &statement, said.recorded_at).expect("admitted by the rules");
        let leaf = Leaf {
            ledger: delta.next.ledger,
            seq: u64::try_from(seq).expect("few"),
            previous,
            recorded_at: said.recorded_at,
            envelope: statement.envelope_digest(),
        };
        assert_eq!((leaf.ledger, leaf.to_bytes().to_vec()), (id, bytes(&said.leaf)));
        assert_eq!(Leaf::from_bytes(&bytes(&said.leaf)), Ok(leaf));
        previous = leaf.chain_hash();
        assert_eq!(previous, hash(&said.chain));
        state = delta.next;
        state.seal(previous);
        assert_eq!(tree::leaf_hash(&leaf.to_bytes()), hash(&said.leaf_hash));
        frontier.push(hash(&said.leaf_hash));
    }
    assert_eq!((frontier.size(), frontier.root()), (6, hash(&ledger.root)));
    for (seq, said) in (0..).zip(&ledger.entries) {
        let path: Vec<Hash> = said.path.iter().map(|h| hash(h)).collect();
        let leaf_hash = hash(&said.leaf_hash);
        tree::verify_inclusion(seq, 6, &frontier.root(), &leaf_hash, &path).expect("included");
    }

    let operator = SecretKey::from_seed(&hash(&ledger.operator_seed));
    let head = Checkpoint { ledger: id, size: 6, root: frontier.root() };
    assert_eq!(Checkpoint::open(&ledger.checkpoint, id, &operator.public()), Ok(head));
    assert_eq!(head.sign(&operator), ledger.checkpoint, "byte for byte");
    assert_eq!(checkpoint::origin(&id), ledger.origin);
    assert_eq!(checkpoint::verifier_key(&id, &operator.public()), ledger.verifier_key);

    let Accrued { agent, currency, minor } = &ledger.accrued;
    let agent = state.find(&handle(agent)).expect("introduced in entry 1");
    let currency = Currency::new(currency).expect("a currency");
    assert_eq!(whole(state.accrued(agent, currency)), *minor);
}
