//! The verdicts on the published RFC 6962 proofs of `transparency-dev/merkle`.
//!
//! The vectors are not part of this repository. Where they are absent the test says so
//! and passes, except under `CI`, where nothing may go untested.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use subak_ledger::log::{Hash, tree};

/// `Some` where the proof is accepted.
type Verdict = Option<()>;

#[test]
fn every_published_case_gets_its_published_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/merkle");
    if !root.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "vectors expected at {}", root.display());
        eprintln!("SKIPPED: no vectors at {}", root.display());
        return;
    }
    let (mut cases, mut rejected) = (0, 0);
    for (kind, verify) in [
        ("inclusion", verify_inclusion as fn(&Value) -> Verdict),
        ("consistency", verify_consistency),
    ] {
        for path in json_files(&root.join(kind)) {
            let text = fs::read_to_string(&path).expect("readable");
            let case: Value = serde_json::from_str(&text).expect("JSON");
            let must_fail = case["wantErr"].as_bool().expect("a verdict");
            assert_eq!(verify(&case).is_none(), must_fail, "{}: {}", path.display(), case["desc"]);
            cases += 1;
            rejected += u32::from(must_fail);
        }
    }
    assert_eq!((cases, rejected), (196, 184), "the published set");
}

fn verify_inclusion(case: &Value) -> Verdict {
    let (root, leaf) = (hash(&case["root"])?, hash(&case["leafHash"])?);
    let (index, size) = (number(&case["leafIdx"]), number(&case["treeSize"]));
    tree::verify_inclusion(index, size, &root, &leaf, &proof(case)?).ok()
}

/// Some of these cases put a word ("dont care 1") where a root would be, also in one that
/// must pass. Its hash stands for it, so that the verdict is the verifier's.
fn verify_consistency(case: &Value) -> Verdict {
    let root =
        |name: &str| hash(&case[name]).unwrap_or_else(|| tree::leaf_hash(&decoded(&case[name])));
    let (old, new) = (number(&case["size1"]), number(&case["size2"]));
    tree::verify_consistency(old, new, &root("root1"), &root("root2"), &proof(case)?).ok()
}

/// `None` where it is not 32 bytes: that is refused before it can be a `Hash`.
fn hash(value: &Value) -> Option<Hash> {
    decoded(value).try_into().ok()
}

fn decoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("a string")).expect("base64")
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    match &case["proof"] {
        Value::Null => Some(Vec::new()),
        hashes => hashes.as_array().expect("a list").iter().map(hash).collect(),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number from 0")
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of vectors") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(json_files(&path));
        } else if path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
}
