//! `subak erase`, as people meet it: what goes, what stays, what every command says then.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::Place;
use std::{fs, path::PathBuf};
use subak_ledger::store::{BundleReader, Reader as _};

const NAME: &str = "Ni Luh Ayu Pertiwi";
const EMAIL: &str = "ayu@ubud.example";
const NOTE: &str = "the week in which my mother was ill";
const OTHER: &str = "Wayan of Jatiluwih";

/// Ana, who is the steward; ben, a maintainer; ayu, whom ben has added by name; wayan, too.
/// Ayu has noted something at entry 5 and ben at entry 6.
fn commons() -> Place {
    let place = Place::new();
    for who in ["ana", "ben", "ayu"] {
        place.type_in(&format!("key new {who}")).done();
    }
    place.type_in("commons open ours --steward ana").done();
    let key = |who: &str| {
        let shown = place.data(&format!("key show {who}"));
        shown["public"].as_str().or(shown["key"].as_str()).unwrap().to_owned()
    };
    let (ben, ayu) = (key("ben"), key("ayu"));
    place.type_in(&format!("agent add ben --key-of {ben} --as ana")).done();
    place.type_in("role grant ben maintainer --as ana").done();
    let named = format!("--name \"{NAME}\" --email {EMAIL} --as ben");
    place.type_in(&format!("agent add ayu --key-of {ayu} {named}")).done();
    place.type_in(&format!("agent add wayan --name \"{OTHER}\" --as ben")).done();
    place.type_in(&format!("contribute 2 --note \"{NOTE}\" --as ayu")).done();
    place.type_in("contribute 1 --note \"ben has a note as well\" --as ben").done();
    place
}

/// Where a text stands: files of the folder, but for those named, and answers of commands.
fn stands(place: &Place, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![place.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    let last = place.data("log")["size"].as_u64().unwrap();
    let mut lines: Vec<String> = (0..last).map(|entry| format!("show {entry} --all")).collect();
    lines.extend(
        [
            "log --from 0",
            "agent list",
            "contribution list",
            "audit subak.db",
            "balance ayu",
            "explain ayu",
            "payout list",
            "payout list --csv",
            "commons show",
        ]
        .map(str::to_owned),
    );
    for line in lines {
        for line in [line.clone(), format!("{line} --json")] {
            let ran = place.type_in(&line);
            if format!("{}{}", ran.out, ran.err).contains(text) {
                found.push(line);
            }
        }
    }
    found
}

/// The texts in a bundle, which is compressed: no search of its bytes would find them.
fn bundled(place: &Place, file: &str) -> Vec<String> {
    place.type_in(&format!("bundle export {file} --with-disclosures")).done();
    let reader = BundleReader::open(&place.path().join(file)).unwrap();
    let id = reader.ledgers().unwrap()[0].id;
    let texts = reader.disclosures(&id, None, 100).unwrap();
    texts.into_iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect()
}

#[test]
fn what_an_agent_disclosed_and_is_named_by_goes_and_every_proof_stays() {
    let place = commons();
    place.type_in("receipt get 5 --out claim.tlog-proof").done();
    let operator = place.data("commons show")["operator_key"].as_str().unwrap().to_owned();
    let verify = format!("receipt verify claim.tlog-proof --expect {operator}");
    for text in [NAME, EMAIL, NOTE, OTHER] {
        assert!(!stands(&place, text).is_empty(), "{text} is there");
    }
    let before = place.sound(&place.db())["ledgers"][0].clone();
    assert_eq!((&before["disclosed"], &before["erased"]), (&5.into(), &0.into()), "{before:#}");

    let texts = bundled(&place, "with.subak");
    assert!([NAME, EMAIL, NOTE, OTHER].iter().all(|text| texts.iter().any(|it| it == text)));
    fs::remove_file(place.path().join("with.subak")).unwrap();

    let erased = place.type_in("erase ayu --as ayu").done();
    erased.says(&["to be erased:", "3.0 name ben", "3.0 email ben", "5.0 evidence ayu"]);
    erased.says(&["Erase: 3 texts, behind", "entry 7: 3 texts erased", "copies from before"]);
    for text in [NAME, EMAIL, NOTE] {
        assert!(!format!("{}{}", erased.out, erased.err).contains(text), "{}", erased.err);
    }

    place.type_in("backup after.db").done();
    let texts = bundled(&place, "without.subak");
    assert_eq!(texts.len(), 2, "wayan's name and ben's note: {texts:?}");
    for text in [NAME, EMAIL, NOTE] {
        assert_eq!(stands(&place, text), Vec::<String>::new(), "{text}");
    }
    assert!(!stands(&place, OTHER).is_empty(), "wayan's name is wayan's");
    place.type_in("show 3").done().says(&["name: erased at entry 7", "email: erased at entry 7"]);
    let shown = place.data("show 5");
    assert_eq!(
        (&shown["texts"][0]["text"], &shown["texts"][0]["erased_at"]),
        (&().into(), &7.into())
    );
    place.type_in(&verify).done().says(&["entry 5"]);
    for file in ["subak.db", "after.db"] {
        let audit = place.sound(&place.path().join(file));
        let after = &audit["ledgers"][0];
        let counts = ["disclosed", "erased", "undisclosed"].map(|c| after[c].as_u64().unwrap());
        assert_eq!(counts, [2, 3, 0]);
        place.type_in(&format!("audit {file}")).says(&["3 of 5 committed texts erased"]);
    }
    // The work counts as before.
    assert_eq!(place.data("contribution list")["total"], 2);
}

#[test]
fn one_text_is_named_by_its_commitment_or_its_place() {
    let place = commons();
    let commitment = place.data("show 5")["texts"][0]["commitment"].as_str().unwrap().to_owned();
    let data = place.data(&format!("erase {} --as ana", &commitment[..8]));
    assert_eq!(data["erased"][0]["commitment"], commitment);
    assert_eq!((&data["erased"][0]["place"], &data["lingers"]), (&"5.0".into(), &false.into()));
    assert_eq!(data["entries"], serde_json::json!([7]));
    assert_eq!(stands(&place, NOTE), Vec::<String>::new());
    for line in [format!("erase {commitment} --as ana"), "erase 5.0 --as ana".into()] {
        let again = place.type_in(&line);
        assert_eq!(again.status, 1, "{}", again.err);
        again.says(&["erased at entry 7", "already-erased"]);
    }
    place.type_in("erase 3.0 --as ana").done().says(&["2 texts erased"]);
    assert_eq!(stands(&place, EMAIL), Vec::<String>::new());
}

#[test]
fn what_is_not_ones_own_is_refused_and_stays() {
    let place = commons();
    for (line, status, what) in [
        ("erase 5.0 --as ben", 1, "erase-not-yours"),
        ("erase ben --as ayu", 1, "erase-not-yours"),
        ("erase ana --as ana", 1, "nothing is disclosed by ana"),
        ("erase nobody --as ana", 1, "is no agent here"),
        ("erase 99.0 --as ana", 1, "there is no event at 99.0"),
        ("erase 0000000000 --as ana", 1, "no text is kept here"),
        ("erase 1.x --as ana", 2, "expected ENTRY"),
    ] {
        let ran = place.type_in(line);
        assert_eq!(ran.status, status, "{line}: {}", ran.err);
        ran.says(&[what]);
    }
    assert!(!stands(&place, NOTE).is_empty());
    // Ben named two people, and noted something of his own: only that is meant by "ben".
    let own = place.type_in("erase ben --as ben").done();
    own.says(&["1 text erased", "left: 3 texts about other agents"]);
    assert!(!stands(&place, NAME).is_empty() && !stands(&place, OTHER).is_empty());
    place.sound(&place.db());
}

#[test]
fn it_is_done_through_a_node_as_well() {
    let place = commons();
    let server = place.serve(&[]);
    let line = format!("erase ayu --as ayu --node {}", server.url);
    place.type_in(&line).done().says(&["3 texts erased"]);
    for text in [NAME, EMAIL, NOTE] {
        assert_eq!(stands(&place, text), Vec::<String>::new(), "{text}, while the node runs");
    }
    let audit = place.run(&["audit", &server.url, "--json"]).data();
    assert_eq!(audit["ledgers"][0]["erased"], 3);
}
