//! Reading a git repository: opening it, finding the revision, fetching commits.
//!
//! Owns every use of the repository library (gix). Guarantees one pass that reads
//! each reachable commit once and writes nothing; that bare, shallow, linked and
//! SHA-256 repositories are read alike; and that every failure names the path and
//! the next step. Leaves out what commits mean (`history`).
//!
//! The mailmap is git's: `.mailmap` at the root of the work tree, or
//! `HEAD:.mailmap` in a bare repository, then what `mailmap.blob` and `mailmap.file`
//! configure. As in git, lines of it that make no sense are skipped.

use super::{
    History, ImportError, Options, Summary,
    commit::Hash,
    history::Reader,
    people::{Mailmap, Spelling},
};
use gix::{actor::SignatureRef, bstr::ByteSlice, objs::Find};
use std::path::Path;

/// After how many commits the progress is told.
const PROGRESS_EVERY: u64 = 1_024;
/// Decompressed objects kept for the deltas that build on them.
const PACK_CACHE_BYTES: usize = 16 << 20;

/// Reads all that is reachable from `options.revision` in the repository that holds
/// `path`. `progress` is told, now and then, how many commits have been read.
pub fn read(
    path: &Path,
    options: &Options,
    progress: &dyn Fn(u64),
) -> Result<History, ImportError> {
    let mut repository = open(path)?;
    // Commits are small and lie deep in chains of deltas: their bases are needed again.
    repository.objects.set_pack_cache(|| {
        Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(PACK_CACHE_BYTES))
    });
    let tip = find_tip(&repository, path, options)?;
    let (mailmap, complaint) = mailmap(&repository, options);
    let mut reader = Reader::new(options, &mailmap, tip)?;
    reader.summary().warnings.extend(complaint);
    let boundary = shallow_boundary(&repository, path, reader.summary())?;
    let mut buffer = Vec::new();
    let mut done = 0;
    while let Some(hash) = reader.wanted() {
        let text = commit_text(&repository, path, hash, &mut buffer)?;
        reader.read(text, boundary.binary_search(&hash).is_ok());
        done += 1;
        if done % PROGRESS_EVERY == 0 {
            progress(done);
        }
    }
    progress(done);
    Ok(reader.finish())
}

fn open(path: &Path) -> Result<gix::Repository, ImportError> {
    gix::discover(path).map_err(|error| {
        let missing = error.classify().is_not_found();
        if missing {
            ImportError::NotARepository { path: path.into() }
        } else {
            ImportError::Unusable { path: path.into(), detail: error.to_string() }
        }
    })
}

fn find_tip(
    repository: &gix::Repository,
    path: &Path,
    options: &Options,
) -> Result<Hash, ImportError> {
    let unknown = |detail: String| ImportError::UnknownRevision {
        path: path.into(),
        revision: options.revision.clone(),
        detail,
    };
    let found = repository.rev_parse_single(options.revision.as_str()).map_err(|error| {
        let unborn = repository.head().is_ok_and(|head| head.is_unborn());
        if unborn && options.revision == "HEAD" {
            ImportError::Empty { path: path.into() }
        } else {
            unknown(error.to_string())
        }
    })?;
    let object = found.object().map_err(|error| unknown(error.to_string()))?;
    let commit = object.peel_to_commit().map_err(|error| unknown(error.to_string()))?;
    Ok(to_hash(&commit.id))
}

/// The commits whose parents a shallow clone does not have, sorted.
fn shallow_boundary(
    repository: &gix::Repository,
    path: &Path,
    summary: &mut Summary,
) -> Result<Vec<Hash>, ImportError> {
    let unusable =
        |error: gix::Error| ImportError::Unusable { path: path.into(), detail: error.to_string() };
    let Some(commits) = repository.shallow_commits().map_err(unusable)? else {
        return Ok(Vec::new());
    };
    summary.shallow = true;
    summary.warnings.push(format!(
        "{} is a shallow clone: work before its {} boundary commits is not seen; \
         `git -C {} fetch --unshallow` brings it",
        path.display(),
        commits.len(),
        path.display()
    ));
    let mut boundary: Vec<Hash> = commits.iter().map(|id| to_hash(id)).collect();
    boundary.sort_unstable();
    Ok(boundary)
}

/// The mailmap, as far as it could be read, and why not all of it was.
fn mailmap(
    repository: &gix::Repository,
    options: &Options,
) -> (gix::mailmap::Snapshot, Option<String>) {
    let mut mailmap = gix::mailmap::Snapshot::default();
    if !options.mailmap {
        return (mailmap, None);
    }
    let complaint = repository.open_mailmap_into(&mut mailmap).err();
    (mailmap, complaint.map(|error| format!("a mailmap was not read: {error}")))
}

impl Mailmap for gix::mailmap::Snapshot {
    fn look_up(&self, (name, email): Spelling<'_>) -> (Option<&[u8]>, Option<&[u8]>) {
        let asked = SignatureRef { name: name.as_bstr(), email: email.as_bstr(), time: "" };
        let Some(found) = self.try_resolve_ref(asked) else { return (None, None) };
        (found.name.map(|name| name.as_bytes()), found.email.map(|email| email.as_bytes()))
    }
}

fn commit_text<'b>(
    repository: &gix::Repository,
    path: &Path,
    hash: Hash,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], ImportError> {
    let unreadable = |detail: String| ImportError::Unreadable {
        path: path.into(),
        hash: hash.to_string(),
        detail,
    };
    let id = gix::ObjectId::from_bytes_or_panic(hash.bytes());
    match repository.objects.try_find(&id, buffer) {
        Ok(Some(object)) if object.kind == gix::objs::Kind::Commit => Ok(object.data),
        Ok(Some(object)) => Err(unreadable(format!("it is a {}", object.kind))),
        Ok(None) => Err(unreadable("it is missing".into())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn to_hash(id: &gix::oid) -> Hash {
    Hash::from_bytes(id.as_bytes()).expect("git hashes have 20 or 32 bytes")
}
