//! A disk that is full: a clear error, status 4, nothing acknowledged that is not kept,
//! and the ledger goes on as soon as there is room.
//!
//! The disk is real: two megabytes of memory, mounted where only this test sees it. The
//! test runs itself again inside that mount namespace. Where that is not allowed, it says
//! so and is skipped; what the store does then is also tested in `ledger` and `node`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Author, Place, append};
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};
use subak_node::{Appended, Ledgers as _, NodeError, client::Remote};

/// Where the small disk is, inside.
const SMALL: &str = "SUBAK_TEST_SMALL_DISK";

#[test]
fn a_full_disk_loses_nothing_and_room_heals_it() {
    let mount = tempfile::tempdir().unwrap();
    let inside = r#"mount -t tmpfs -o size=2m subak-test "$0" || exit 77
        exec "$1" --exact inside_a_small_disk --ignored --nocapture"#;
    let ran = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", inside])
        .arg(mount.path())
        .arg(std::env::current_exe().unwrap())
        .env(SMALL, mount.path())
        .stdin(Stdio::null())
        .output();
    let Ok(ran) = ran else {
        eprintln!("SKIPPED: there is no `unshare` here");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if !out.contains("running 1 test") {
        eprintln!("SKIPPED: no mount of one's own is allowed here: {err}");
        return;
    }
    assert!(ran.status.success(), "{out}{err}");
    println!("{out}");
}

/// Something else that fills the disk.
struct Filler(PathBuf);

impl Filler {
    /// Fills the disk to the last byte.
    fn fill(place: &Place) -> Self {
        let path = place.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let full = (0..10_000).find_map(|_| file.write_all(&[7; 4096]).err());
        assert_eq!(full.map(|e| e.kind()), Some(std::io::ErrorKind::StorageFull));
        Self(path)
    }

    fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

#[test]
#[ignore = "runs inside the mount that the other test makes"]
fn inside_a_small_disk() {
    let Some(disk) = std::env::var_os(SMALL) else { return };
    let place = Place::within(PathBuf::from(disk));
    place.type_in("key new ana").done();
    let opened = place.data("commons open our-commons --steward ana");
    let author = Author::new(&place, &opened);
    without_a_server(&place);
    with_a_server(&place, &author);
}

/// Entries of the ledger, as it says itself.
fn size(place: &Place) -> u64 {
    place.data("log")["size"].as_u64().unwrap()
}

fn without_a_server(place: &Place) {
    let before = size(place);
    let filler = Filler::fill(place);
    let person = place.type_in("contribute 1");
    assert_eq!(person.status, 4, "{}{}", person.out, person.err);
    assert!(
        person.err.contains("full") && person.err.contains("next: make room"),
        "{}",
        person.err
    );
    let program = place.type_in("contribute 1 --json");
    assert_eq!(program.status, 4, "{}{}", program.out, program.err);
    let error = program.object()["error"].take();
    assert!(error["message"].as_str().unwrap().contains("full"), "{error}");
    filler.remove();
    assert_eq!(size(place), before, "a refusal leaves nothing behind");
    place.type_in("contribute 1").done();
    assert_eq!(size(place), before + 1);
    place.sound(&place.db());
}

/// Appends until the disk is full; what was acknowledged before.
async fn until_full(remote: &Remote, author: &Author) -> (Vec<Appended>, NodeError) {
    let mut acknowledged = Vec::new();
    for _ in 0..10_000 {
        match remote.append(append(&author.hour())).await {
            Ok(appended) => acknowledged.push(appended),
            Err(error) => return (acknowledged, error),
        }
    }
    panic!("10,000 statements on a disk of two megabytes");
}

fn with_a_server(place: &Place, author: &Author) {
    let before = size(place);
    let mut server = place.serve(&[]);
    let filler = Filler::fill(place);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let acknowledged = runtime.block_on(async {
        let remote = Remote::connect(&server.url, None).await.unwrap();
        let (mut acknowledged, full) = until_full(&remote, author).await;
        let NodeError::World { code, message, next } = &full else { panic!("{full:?}") };
        assert_eq!(code, "disk-full");
        assert!(message.contains("full") && next.contains("room"), "{message}; {next}");
        // It still answers who only reads, and still refuses who writes.
        let known = remote.ledgers().await.unwrap()[0].size;
        assert_eq!(known, before + acknowledged.len() as u64, "no more than was acknowledged");
        remote.append(append(&author.hour())).await.unwrap_err();
        filler.remove();
        for _ in 0..20 {
            acknowledged.push(remote.append(append(&author.hour())).await.unwrap());
        }
        acknowledged
    });
    server.kill();
    let places: Vec<u64> = acknowledged.iter().map(|a| a.entry).collect();
    let expected: Vec<u64> = (before..before + acknowledged.len() as u64).collect();
    assert_eq!(places, expected, "one after the other, without a hole");
    assert_eq!(size(place), before + acknowledged.len() as u64);
    place.sound(&place.db());
    println!("a full disk: {} acknowledged around it, all there", acknowledged.len());
}
