//! Tree, proofs and checkpoints against other people's implementations, both ways.

use base64::{Engine, prelude::BASE64_STANDARD};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use sha2::{Sha256, digest::Output};
use signed_note::{Note, Signer, StandardSigner, StandardVerifier, VerifierList};
use std::convert::Infallible;
use subak_ledger::log::{
    Checkpoint, Frontier, Hash, LedgerId, SecretKey,
    checkpoint::{origin, verifier_key},
    tree,
};

const LEAVES: u64 = 150;

/// Our tree and `ct-merkle`'s over the same leaves, with every head on the way.
#[test]
fn roots_and_proofs_agree_with_ct_merkle() {
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    let mut frontier = Frontier::default();
    let mut nodes = std::collections::BTreeMap::new();
    let mut roots = vec![frontier.root()];
    for size in 1..=LEAVES {
        let leaf = (size - 1).to_be_bytes();
        theirs.push(leaf);
        let leaf_hash = tree::leaf_hash(&leaf);
        nodes.insert((0, size - 1), leaf_hash);
        for (level, index, hash) in frontier.push(leaf_hash) {
            nodes.insert((level, index), hash);
        }
        roots.push(frontier.root());
        assert_eq!(Hash::from(*theirs.root().as_bytes()), frontier.root(), "root of {size}");

        let read = |level, index| Ok::<_, Infallible>(nodes[&(level, index)]);
        for index in 0..size {
            let leaf = index.to_be_bytes();
            let Ok(ours) = tree::prove_inclusion(index, size, read);
            let proof = InclusionProof::from_digests(&outputs(&ours));
            theirs.root().verify_inclusion(&leaf, index, &proof).expect("they accept ours");
            let position = usize::try_from(index).expect("small");
            let proof = hashes(theirs.prove_inclusion(position).as_bytes());
            tree::verify_inclusion(index, size, &frontier.root(), &tree::leaf_hash(&leaf), &proof)
                .expect("we accept theirs");
            assert_eq!(ours, proof);

            let old = index + 1;
            let old_root = roots[position + 1];
            let Ok(ours) = tree::prove_consistency(old, size, read);
            let proof = ConsistencyProof::from_digests(&outputs(&ours));
            theirs
                .root()
                .verify_consistency(&RootHash::new(old_root.into(), old), &proof)
                .expect("they accept ours");
            let added = usize::try_from(size - old).expect("small");
            let proof = hashes(theirs.prove_consistency(added).as_bytes());
            tree::verify_consistency(old, size, &old_root, &frontier.root(), &proof)
                .expect("we accept theirs");
            assert_eq!(ours, proof);
        }
    }
}

fn outputs(proof: &[Hash]) -> Vec<Output<Sha256>> {
    proof.iter().map(|hash| (*hash).into()).collect()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| hash.try_into().expect("whole hashes")).collect()
}

const LEDGER: LedgerId = LedgerId([0x77; 32]);
const SEED: [u8; 32] = [21; 32];

fn head() -> Checkpoint {
    Checkpoint { ledger: LEDGER, size: 12_345, root: tree::leaf_hash(b"root") }
}

#[test]
fn signed_note_verifies_our_checkpoints() {
    let key = SecretKey::from_seed(&SEED);
    let verifier = StandardVerifier::new(&verifier_key(&LEDGER, &key.public())).expect("a vkey");
    let note = Note::from_bytes(head().sign(&key).as_bytes()).expect("well formed");
    let (ours, others) =
        note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("it verifies");
    assert_eq!((ours.len(), others.len()), (1, 0));
    assert_eq!(note.text(), head().body().as_bytes());
}

#[test]
fn we_open_checkpoints_signed_by_signed_note() {
    let key = SecretKey::from_seed(&SEED);
    let id = signed_note::key_id(&origin(&LEDGER), &[&[1], &key.public().bytes()[..]].concat());
    let secret = BASE64_STANDARD.encode([&[1], &SEED[..]].concat());
    let signer = StandardSigner::new(&format!("PRIVATE+KEY+{}+{id:08x}+{secret}", origin(&LEDGER)))
        .expect("a signer key");
    let mut note = Note::new(head().body().as_bytes(), &[]).expect("a text");
    note.add_sigs(&[&signer as &dyn Signer]).expect("signed");
    let text = String::from_utf8(note.to_bytes()).expect("UTF-8");
    assert_eq!(Checkpoint::open(&text, LEDGER, &key.public()), Ok(head()));
    assert_eq!(text, head().sign(&key), "byte for byte");
}
