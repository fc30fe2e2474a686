//! The example of `docs/FORMAT.md`, made anew: its bytes are those that this program writes, and
//! the rules accept the ledger that they make.
//!
//! `SUBAK_WRITE=1 cargo test -p subak-ledger --test format_doc` writes them into the document.
#![allow(clippy::unwrap_used)]

use prost::Message as _;
use std::{fmt::Write as _, path::Path};
use subak_ledger::{
    book::{
        apply::apply,
        event::Parent,
        fork::{copy, digest_of},
        state::State,
    },
    log::{
        Checkpoint, Draft, Frontier, Handle, Header, KeyCache, Leaf, LedgerId, SecretKey,
        Unverified,
        checkpoint::verifier_key,
        commit::commitment,
        cosignature::{CosignerKey, cosign},
        entry::ledger_id_of_genesis,
        receipt::Receipt,
        statement::{body_digest, pae},
        tree,
    },
};
use subak_proto::v1::{self, event::Kind};

const MARK: &str = "written by ledger/tests/format_doc.rs. -->\n";
/// 2026-11-21T12:00:00Z.
const START: u64 = 1_795_262_400_000;
const WITNESS: &str = "witness.example/w1";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A ledger as it grows, and what is told of it.
struct Example {
    text: String,
    state: State,
    leaves: Vec<(Leaf, Vec<u8>)>,
}

impl Example {
    fn heading(&mut self, what: &str) {
        writeln!(self.text, "\n### {what}\n").unwrap();
    }

    /// A named byte string, folded.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let digits = hex::encode(bytes);
        writeln!(self.text, "    {name} ({} bytes)", bytes.len()).unwrap();
        for line in digits.as_bytes().chunks(80) {
            writeln!(self.text, "      {}", std::str::from_utf8(line).unwrap()).unwrap();
        }
    }

    fn block(&mut self, text: &str) {
        for line in text.lines() {
            writeln!(self.text, "{}", format!("    {line}").trim_end()).unwrap();
        }
    }

    /// Says something as ana; the rules must take it.
    fn say(&mut self, kind: Kind) {
        let seq = u64::try_from(self.leaves.len()).unwrap();
        let at = START + seq * 60_000;
        let nonce = [0x10 + u8::try_from(seq).unwrap(); 16];
        let header = Header {
            ledger: if seq == 0 { LedgerId::ZERO } else { self.state.ledger },
            author: Handle::new("ana").unwrap(),
            nonce,
            created_at: at,
            expires_at: at + 86_400_000,
            basis: None,
        };
        let event = v1::Event { kind: Some(kind) }.encode_to_vec();
        let draft = Draft { header, events: vec![event.clone()] };
        let (body, envelope) = (draft.body(), draft.sign(&key(1)));
        let statement =
            Unverified::parse(&envelope).unwrap().verify(&mut KeyCache::default()).unwrap();
        let ledger = if seq == 0 { ledger_id_of_genesis(&body) } else { self.state.ledger };
        let previous = self.leaves.last().map_or([0; 32], |(leaf, _)| leaf.chain_hash());
        let digest = blake3::hash(&envelope).into();
        let leaf = Leaf { ledger, seq, previous, recorded_at: at, envelope: digest };
        self.heading(&format!("Entry {seq}"));
        self.bytes("event", &event);
        self.bytes("body", &body);
        if seq == 0 {
            let signed = pae(&body);
            let beginning = &signed[..signed.len() - body.len()];
            self.bytes("what is signed, as far as the body", beginning);
            self.bytes("ledger id", &ledger.0);
        }
        self.bytes("signature", &envelope[envelope.len() - 64..]);
        self.bytes("body digest", &body_digest(&body));
        self.bytes("envelope digest", &digest);
        self.bytes("leaf", &leaf.to_bytes());
        self.bytes("chain hash", &leaf.chain_hash());
        self.bytes("leaf hash", &tree::leaf_hash(&leaf.to_bytes()));
        let mut state = apply(&self.state, &statement, at).unwrap().next;
        state.seal(leaf.chain_hash());
        self.state = state;
        self.leaves.push((leaf, envelope));
    }
}

fn example() -> String {
    let mut it = Example { text: String::new(), state: State::default(), leaves: Vec::new() };
    it.heading("Keys");
    for (name, seed) in [("ana", 1), ("clerk", 2), ("operator", 3), ("witness", 4)] {
        it.bytes(name, &key(seed).public().bytes());
    }
    it.say(Kind::Genesis(v1::Genesis {
        random: vec![0x20; 32],
        kind: v1::AgentKind::Phyle as i32,
        name: "example".into(),
        steward: vec![v1::NamedKey { agent: "ana".into(), key: key(1).public().bytes().to_vec() }],
        steward_role: vec![v1::Role::Treasurer as i32],
        quorum: 1,
        clerk_key: key(2).public().bytes().to_vec(),
        operator_key: key(3).public().bytes().to_vec(),
        ..Default::default()
    }));
    let (ledger, author) = (it.state.ledger, Handle::new("ana").unwrap());
    let named = commitment(&[0x30; 32], "agent", &ledger, &author, "name", b"Sample Person");
    it.say(Kind::AgentAdd(v1::AgentAdd {
        handle: "ben".into(),
        kind: v1::AgentKind::Person as i32,
        name: named.to_vec(),
        ..Default::default()
    }));
    it.block(
        "its name: tag \"agent\", author \"ana\", field \"name\", text \"Sample Person\", of this \
         ledger",
    );
    it.bytes("commitment", &named);
    it.say(Kind::RevenueRecord(v1::RevenueRecord {
        invoice: Some(v1::Invoice { series: "a".into(), number: 1, line: 0 }),
        currency: "EUR".into(),
        net: 100_000,
        tax: 20_000,
        ..Default::default()
    }));

    let mut frontier = Frontier::default();
    let hashes: Vec<_> =
        it.leaves.iter().map(|(leaf, _)| tree::leaf_hash(&leaf.to_bytes())).collect();
    for hash in &hashes {
        frontier.push(*hash);
    }
    let head = Checkpoint { ledger, size: 3, root: frontier.root() };
    it.heading("Checkpoint");
    it.bytes("node over entries 0 and 1", &tree::node_hash(&hashes[0], &hashes[1]));
    it.bytes("root", &head.root);
    it.block("the operator's verifier key");
    it.block(&format!("  {}", verifier_key(&ledger, &key(3).public())));
    it.block("the witness's verifier key");
    it.block(&format!("  {}", CosignerKey::new(WITNESS, key(4).public()).unwrap()));
    it.block("\nthe checkpoint, and under it what the witness said a minute later\n\n");
    let seconds = (START + 180_000) / 1_000;
    let seen = cosign(WITNESS, &head.body(), seconds, &key(4)).unwrap();
    let note = head.sign(&key(3)) + &seen;
    it.block(&note);

    it.heading("Receipt of entry 1");
    let (leaf, envelope) = it.leaves[1].clone();
    let receipt = Receipt {
        index: 1,
        leaf: leaf.to_bytes().to_vec(),
        envelope,
        path: vec![hashes[0], hashes[2]],
        checkpoint: note,
    };
    receipt.verify(ledger, &key(3).public()).unwrap();
    it.text += "The path is the leaf hash of entry 0 and that of entry 2.\n\n";
    it.block(&receipt.to_text());

    // What is copied of it at its end is what entry 1 has left: revenue is no agent, and no work.
    let [part] = &copy(&it.state)[..] else { panic!("one part") };
    it.heading("Fork of the first two entries");
    it.bytes("ForkCopy", &part.encode_to_vec());
    it.bytes("its digest", &digest_of(part));
    let cited = Parent {
        ledger: ledger.0,
        size: 2,
        root: tree::node_hash(&hashes[0], &hashes[1]),
        operator: key(3).public().bytes(),
        checkpoint: head.sign(&key(3)),
        path: vec![hashes[2]],
        copy: digest_of(part),
    };
    cited.verify().unwrap();
    let wire = v1::Parent {
        ledger: cited.ledger.to_vec(),
        size: cited.size,
        root: cited.root.to_vec(),
        operator: cited.operator.to_vec(),
        checkpoint: cited.checkpoint,
        path: cited.path.iter().map(|hash| hash.to_vec()).collect(),
        copy: cited.copy.to_vec(),
    };
    it.bytes(
        "Parent, with the checkpoint above and the leaf hash of entry 2",
        &wire.encode_to_vec(),
    );
    it.text
}

#[test]
fn the_example_is_what_this_program_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, written) = document.split_once(MARK).expect("the mark");
    let example = example();
    if std::env::var_os("SUBAK_WRITE").is_some() {
        std::fs::write(&path, format!("{before}{MARK}{example}")).unwrap();
        return;
    }
    assert!(
        written == example,
        "the example is another: SUBAK_WRITE=1 writes it anew, and old verifiers are broken"
    );
}
