//! From a path to a connection, or to the one reason why not.
//!
//! Owns the order of the checks: the path, the file's first bytes, the lock, our mark, the
//! version, the schema. Guarantees that the content of a file that is not ours is never changed, that
//! the lock is taken before a byte is written, that a reader writes nothing but SQLite's
//! own -shm and -wal, and that no query meets anything but plain tables. Leaves out rows.

use super::{
    SqliteReader, SqliteStore, StoreError, classify, corrupt,
    schema::{self, Format},
};
use crate::store::Result;
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

const MAGIC: &[u8] = b"SQLite format 3\0";

/// How long a call waits for another program (a backup tool, a shell) to let go of the file.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What the first bytes of a file say.
#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    Empty,
    Sqlite,
}

pub(super) fn writer(path: &Path, create: bool) -> Result<SqliteStore> {
    let (conn, path, lock) = writable(path, create, &schema::LEDGERS)?;
    let mut store = SqliteStore { reader: SqliteReader { conn, path }, scrub: true, _lock: lock };
    // A crash may have come between an erasure and the emptying of the journal.
    store.scrub();
    Ok(store)
}

/// Opens a file of this format for its one writer: the connection, the path without links, and
/// the lock, which is to be kept.
pub(super) fn writable(
    path: &Path,
    create: bool,
    format: &Format,
) -> Result<(Connection, PathBuf, File)> {
    let path = absolute(path, create)?;
    if !create {
        must_be_sqlite(&path, format)?;
    }
    let lock = lock(&path)?;
    // Only now is it certain that nobody is creating the file at this moment.
    let fresh = match look(&path)? {
        Found::Sqlite => false,
        Found::Nothing | Found::Empty => true,
    };
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let failed = |e: rusqlite::Error| opening(&path, &e);
    let mut conn = Connection::open_with_flags(&path, flags).map_err(failed)?;
    harden(&conn).map_err(failed)?;
    if conn.is_readonly("main").map_err(failed)? {
        return Err(StoreError::Unwritable { path, detail: "the file is read-only".into() });
    }
    // A file whose creation was cut short rolls back to one without content: still fresh.
    let blank = fresh || (create && is_blank(&conn).map_err(failed)?);
    if !blank {
        must_be_ours(&conn, &path, Older::Migrates, format)?;
    }
    schema::migrate(&mut conn, format.mark, format.migrations).map_err(failed)?;
    if let Some(difference) = schema::differences(&conn, format).map_err(failed)?.first() {
        return Err(corrupt(&path, "the schema", difference));
    }
    conn.execute_batch("PRAGMA synchronous=FULL").map_err(failed)?;
    let set = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let mode = conn.pragma_update_and_check(None, "journal_mode", "WAL", set).map_err(failed)?;
    if mode != "wal" {
        let detail = format!("this file system cannot keep a -wal journal (mode {mode})");
        return Err(StoreError::Io { path, detail });
    }
    if blank {
        sync_directory(&path)?;
    }
    Ok((conn, path, lock))
}

pub(super) fn reader(path: &Path) -> Result<SqliteReader> {
    let (conn, path) = readable(path, &schema::LEDGERS)?;
    Ok(SqliteReader { conn, path })
}

/// Opens a file of this format for reading.
pub(super) fn readable(path: &Path, format: &Format) -> Result<(Connection, PathBuf)> {
    let path = absolute(path, false)?;
    must_be_sqlite(&path, format)?;
    let conn = match connect(path.as_os_str(), OpenFlags::empty()) {
        Ok(conn) => conn,
        Err(error) if needs_immutable(&path, &error)? => {
            connect(&immutable(&path), OpenFlags::SQLITE_OPEN_URI)
                .map_err(|e| opening(&path, &e))?
        }
        Err(error) => return Err(opening(&path, &error)),
    };
    must_be_ours(&conn, &path, Older::Refused, format)?;
    Ok((conn, path))
}

/// Opens for reading, and reads: SQLite opens its journal only then.
fn connect(name: &std::ffi::OsStr, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let conn = Connection::open_with_flags(name, flags)?;
    harden(&conn)?;
    schema::pragma(&conn, "user_version")?;
    Ok(conn)
}

/// Settings of every connection. The file may be a stranger's: its schema is not trusted
/// with functions, damaged pages are noticed early, and erased text is overwritten. A query
/// is planned once: else SQLite would plan it again for each LIMIT that is bound to it.
fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(PATIENCE)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch(
        "PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;",
    )
}

/// The path without links, so that one file has one lock.
fn absolute(path: &Path, create: bool) -> Result<PathBuf> {
    match path.canonicalize() {
        Ok(found) if found.is_dir() => Err(StoreError::Directory { path: found }),
        Ok(found) => Ok(found),
        Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
            let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(StoreError::from_io(path, &e));
            };
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            Ok(dir.canonicalize().map_err(|e| from_io(dir, &e))?.join(name))
        }
        Err(e) => Err(from_io(path, &e)),
    }
}

fn from_io(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            StoreError::Unreadable { path: path.to_path_buf(), detail: error.to_string() }
        }
        _ => StoreError::from_io(path, error),
    }
}

fn look(path: &Path) -> Result<Found> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        file => file.map_err(|e| from_io(path, &e))?,
    };
    let mut start = Vec::new();
    let read = file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start);
    match read.map_err(|e| from_io(path, &e))? {
        0 => Ok(Found::Empty),
        _ if start == MAGIC => Ok(Found::Sqlite),
        _ => Err(StoreError::NotSqlite { path: path.to_path_buf() }),
    }
}

fn must_be_sqlite(path: &Path, format: &Format) -> Result<()> {
    match look(path)? {
        Found::Sqlite => Ok(()),
        Found::Nothing => Err(StoreError::Missing { path: path.to_path_buf() }),
        Found::Empty => {
            let detail = format!("no {}: it is empty", format.what);
            Err(StoreError::NotALedger { path: path.to_path_buf(), detail })
        }
    }
}

/// A file of nobody yet: no mark, no version, nothing in it.
fn is_blank(conn: &Connection) -> rusqlite::Result<bool> {
    let marks = schema::pragma(conn, "application_id")? | schema::pragma(conn, "user_version")?;
    Ok(marks == 0 && schema::objects(conn)?.is_empty())
}

#[derive(Clone, Copy)]
enum Older {
    Migrates,
    Refused,
}

fn must_be_ours(conn: &Connection, path: &Path, older: Older, format: &Format) -> Result<()> {
    let value = |name| schema::pragma(conn, name).map_err(|e| opening(path, &e));
    let mark = value("application_id")?;
    let (found, known) = (value("user_version")?, schema::current(format.migrations));
    let path = path.to_path_buf();
    if mark != format.mark {
        let Format { mark: ours, what, .. } = format;
        let detail = format!("no {what}: application_id is {mark:#x}, not {ours:#x}");
        return Err(StoreError::NotALedger { path, detail });
    }
    match older {
        _ if found > known => Err(StoreError::TooNew { path, found, known }),
        Older::Refused if found < known => Err(StoreError::TooOld { path, found, known }),
        _ => must_be_plain(conn, &path),
    }
}

/// Whoever hands over a file chooses what its names stand for; a view of that name would run
/// the stranger's program at our first query.
fn must_be_plain(conn: &Connection, path: &Path) -> Result<()> {
    let computed = schema::computed(conn).map_err(|e| opening(path, &e))?;
    computed.map_or(Ok(()), |what| {
        let detail = format!("expected tables that hold rows, found what is computed: {what}");
        Err(corrupt(path, "the schema", detail))
    })
}

/// The lock file stays when the lock is released: whoever deleted it could let two writers in.
fn lock(path: &Path) -> Result<File> {
    let name = beside(path, ".lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&name);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Unwritable {
                path: path.to_path_buf(),
                detail: format!("{}: {e}", name.display()),
            }
        }
        _ => StoreError::from_io(&name, &e),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(e)) => Err(StoreError::from_io(&name, &e)),
    }
}

/// Whether an ordinary opening failed because SQLite may not keep its -shm file here, and the
/// file can be read as one that never changes: nothing waits in a journal.
fn needs_immutable(path: &Path, error: &rusqlite::Error) -> Result<bool> {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {}
        _ => return Ok(false),
    }
    match fs::metadata(beside(path, "-wal")) {
        Ok(journal) if journal.len() > 0 => {
            Err(StoreError::UnmergedJournal { path: path.to_path_buf() })
        }
        _ => Ok(true),
    }
}

fn immutable(path: &Path) -> OsString {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("a String takes all text"),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

/// `x.db` -> `x.db-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A new file lasts only once its directory is synced too.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    crate::store::sync_directory(path).map_err(|e| StoreError::from_io(path, &e))
}

fn opening(path: &Path, error: &rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    if code == Some(ErrorCode::CannotOpen) {
        return StoreError::Unreadable { path: path.to_path_buf(), detail: error.to_string() };
    }
    classify(path, "its header or schema", error)
}
