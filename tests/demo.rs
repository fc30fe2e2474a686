//! `subak demo`: it ends sound, and what it leaves behind answers every other command; and
//! no bit of its database changes unnoticed (2,000 of them with `SUBAK_LONG=1`, else 200).

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran};
use std::{fs, path::Path, process::Command};
use subak_ledger::{
    audit::{Audit, Options, Verdict, audit},
    store::{self, Reader as _, SqliteReader},
};

/// Questions to the demo's ledger file, each about one of its ledgers.
const QUESTIONS: &[(&str, &str)] = &[
    ("sample-commons", "commons show"),
    ("sample-commons", "balance"),
    ("sample-commons", "balance sample-person-a"),
    ("sample-commons", "explain sample-person-a"),
    ("sample-commons", "agent list"),
    ("sample-commons", "contribution list --limit 20"),
    ("sample-commons", "income list"),
    ("sample-commons", "agreement list"),
    ("sample-commons", "payout list"),
    ("sample-commons", "held list"),
    ("sample-commons", "proposals"),
    ("sample-commons", "equation show"),
    ("sample-commons", "log"),
    ("sample-commons", "show 0"),
    ("sample-one", "phyle show"),
    ("sample-one", "revenue list"),
    ("sample-upstream", "balance"),
];

fn demo(place: &Place, line: &str) -> Ran {
    let demo = place.type_in(line).done();
    assert!(demo.out.contains("sound"), "{}", demo.out);
    assert!(!demo.out.contains('\u{1b}'), "no colour in a pipe");
    demo
}

/// What `audit --json` promises to programs.
fn check_audit(place: &Place) {
    let audit = place.run(&["audit", "x/subak.db", "--json"]);
    let object = audit.done().object();
    assert_eq!(object["schema"], "subak.audit/1");
    let data = &object["data"];
    assert_eq!(data["verdict"], "sound", "{data:#}");
    assert!(data["findings"].is_array());
    let ledgers = data["ledgers"].as_array().unwrap();
    assert_eq!(ledgers.len(), 4, "{data:#}");
    for ledger in ledgers {
        for field in ["id", "head", "root", "operator_key"] {
            let hex = ledger[field].as_str().unwrap_or_else(|| panic!("{field} in {ledger:#}"));
            assert!(hex.len() == 64 && hex::decode(hex).is_ok(), "{field} in {ledger:#}");
        }
        assert_eq!(ledger["verdict"], "sound");
        assert_eq!(ledger["sandbox"], true);
        assert_eq!(ledger["operator_authenticated"], false);
        assert_eq!(ledger["size"], ledger["checkpoint_size"]);
        assert!(ledger["size"].as_u64().unwrap() > 0);
        assert!(ledger["recorded_at"].is_string() && ledger["name"].is_string(), "{ledger:#}");
    }
    let key = ledgers[0]["operator_key"].as_str().unwrap();
    let named = place.run(&["audit", "x/subak.db", "--expect", key, "--json"]).object();
    assert_eq!(named["data"]["ledgers"][0]["operator_authenticated"], true, "{named:#}");
    check_expected(place, ledgers);
}

/// Whoever names the operators misses a ledger that is not in any of the targets.
fn check_expected(place: &Place, ledgers: &[serde_json::Value]) {
    let mut words = vec!["audit", "x/subak.db", "x/subak.db", "--json"];
    for ledger in ledgers {
        words.extend(["--expect", ledger["operator_key"].as_str().unwrap()]);
    }
    let data = place.run(&words).data();
    assert_eq!(data["verdict"], "sound", "each is in a target: {data:#}");
    // The first test key of RFC 8032: nobody's here.
    let nobodys = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    words.extend(["--expect", nobodys]);
    let less = place.run(&words);
    assert_eq!(less.status, 1, "{}", less.out);
    let object = less.object();
    let found = object["data"]["findings"].as_array().unwrap();
    let missing = found.iter().filter(|f| f["code"] == "operator-missing");
    assert_eq!(missing.count(), 1, "once, and not once for each target: {object:#}");
}

#[test]
fn the_demo_on_a_made_history_ends_sound_and_answers() {
    let place = Place::new();
    let told = demo(&place, "demo --dir x");
    assert!(told.out.contains("a made history"), "{}", told.out);
    check_audit(&place);
    for (ledger, question) in QUESTIONS {
        let line = format!("{question} --db x/subak.db --ledger {ledger}");
        let answer = place.type_in(&line).done();
        assert!(answer.out.len() > 10, "subak {line}: {:?}", answer.out);
        assert!(answer.err.contains("SANDBOX"), "subak {line}: all output says it is a sandbox");
        let wide = answer.out.lines().find(|l| l.chars().count() > 80);
        // An equation is a file of its own form.
        let wide = wide.filter(|_| *question != "equation show");
        assert_eq!(wide, None, "subak {line}: at most 80 columns");
        let object = place.type_in(&format!("{line} --json")).done().object();
        assert!(object["schema"].as_str().unwrap().starts_with("subak."), "subak {line}");
        assert!(!object["data"].is_null(), "subak {line}");
    }
    let again = place.type_in("demo --dir x");
    assert_eq!(again.status, 1, "it does not write over what is there: {}", again.err);
}

/// A repository of four people, with co-authors; false where there is no git.
fn repository(place: &Place) -> bool {
    let git = |words: &[&str], date: &str, who: &str| {
        let mail = format!("{who}@example.org");
        Command::new("git")
            .args(words)
            .current_dir(place.path().join("repo"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)])
            .envs([("GIT_AUTHOR_NAME", who), ("GIT_COMMITTER_NAME", who)])
            .envs([("GIT_AUTHOR_EMAIL", &mail), ("GIT_COMMITTER_EMAIL", &mail)])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    std::fs::create_dir(place.path().join("repo")).unwrap();
    if !git(&["init", "--quiet"], "", "ida") {
        return false;
    }
    let people = ["ida", "jun", "kai", "lea"];
    for n in 0..24 {
        let who = people[n % people.len()];
        let date = subak_cli::money::show_time(kit::now() - (350 - 13 * n as u64) * kit::DAY_MS);
        let mut message = format!("Step {n}");
        if n % 5 == 0 {
            message.push_str("\n\nCo-authored-by: jun <jun@example.org>\n");
        }
        let commit = ["commit", "--quiet", "--allow-empty", "-m", &message];
        assert!(git(&commit, &date, who), "commit {n}");
    }
    true
}

#[test]
fn the_demo_on_a_git_repository_reads_its_people() {
    let place = Place::new();
    if !repository(&place) {
        eprintln!("SKIPPED: there is no git here");
        return;
    }
    let told = demo(&place, "demo --repo repo --dir x");
    assert!(
        told.out.contains("the git history of") && !told.out.contains("made history"),
        "{}",
        told.out
    );
    check_audit(&place);
    let list = place.data("contribution list --limit 500 --db x/subak.db --ledger sample-commons");
    let claimed = list["contributions"].as_array().map(Vec::len);
    assert_eq!(claimed, Some(24), "each commit is a claim: {list}");
}

fn open(path: &Path) -> store::Result<SqliteReader> {
    let reader = SqliteReader::open(path)?;
    reader.freeze()?;
    Ok(reader)
}

fn audited(path: &Path) -> store::Result<Audit> {
    audit(&open(path)?, &Options::default())
}

/// Everything that a ledger file says, as a reader reads it.
fn content(path: &Path) -> store::Result<impl PartialEq + use<>> {
    let reader = open(path)?;
    let mut all = Vec::new();
    for row in reader.ledgers()? {
        let nodes = (0..64).map(|level| reader.nodes(&row.id, level, 0, usize::MAX));
        all.push((
            reader.entries(&row.id, 0, usize::MAX, usize::MAX)?,
            nodes.collect::<store::Result<Vec<_>>>()?,
            reader.checkpoint(&row.id)?,
            reader.disclosures(&row.id, None, usize::MAX)?,
            row,
        ));
    }
    Ok(all)
}

/// A place in a file of `bits` bits, the same in every run.
fn nth_bit(n: u64, bits: usize) -> usize {
    let digest = blake3::derive_key("subak test: bits of the demo", &n.to_be_bytes());
    let random = u64::from_be_bytes(digest[..8].try_into().unwrap());
    usize::try_from(random % bits as u64).unwrap()
}

/// Sound only where the file still says the same to the last byte: then the bit lay in
/// room that SQLite has left free.
#[test]
fn a_bit_of_the_demos_database_is_noticed_or_means_nothing() {
    let place = Place::new();
    demo(&place, "demo --dir x");
    let original = place.path().join("x/subak.db");
    let bytes = fs::read(&original).unwrap();
    let said = content(&original).unwrap();
    assert_eq!(audited(&original).unwrap().verdict, Verdict::Sound, "the control");
    let flips = if std::env::var_os("SUBAK_LONG").is_some() { 2_000 } else { 200 };
    let (mut faults, mut refused, mut sound) = (0, 0, 0);
    for n in 0..flips {
        let bit = nth_bit(n, bytes.len() * 8);
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bit.db");
        fs::write(&path, altered).unwrap();
        match audited(&path) {
            Err(_) => refused += 1,
            Ok(found) if found.verdict == Verdict::Sound => {
                assert!(content(&path).unwrap() == said, "bit {bit}: sound, and says otherwise");
                sound += 1;
            }
            Ok(found) => {
                assert_eq!(found.verdict, Verdict::Fault, "bit {bit}: {:?}", found.findings);
                faults += 1;
            }
        }
    }
    println!("{flips} flips: {faults} faults, {refused} refused, {sound} without meaning");
    assert!(faults > flips / 3, "the bits meet content, not only free room");
}
