//! What a command works with: which ledgers, which ledger, who signs, when.
//!
//! Composes and signs statements, and shows what it signed from the very bytes. Leaves out
//! what each command says, and how options are read (`options`).

use crate::{
    connect, describe,
    failure::{Done, Failure},
    money,
    output::Output,
    trust::Trust,
};
use futures::{StreamExt as _, future::join};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use subak_ledger::{
    book::{
        event::Event,
        state::State,
        types::{AgentKind, DAY_MS, Handle},
    },
    log::{Basis, Draft, Header, LedgerId, SecretKey, Unverified},
    reject::Code,
};
use subak_node::{Append, Appended, LedgerInfo, keyfile};
use subak_proto::v1::{self, event::Kind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Resolved options, and the connection once there is one.
pub struct Context {
    /// After precedence.
    pub global: Global,
    /// Where results go.
    pub out: Output,
    /// Whom it believes.
    pub trust: Trust,
    home: PathBuf,
    /// A connection to use instead of opening one: the demo's.
    shared: Option<Connection>,
    /// What was appended, for a command that fails afterwards.
    recorded: Mutex<Vec<(LedgerId, u64)>>,
}

/// A ledger that a command works on.
pub struct Open {
    /// The connection.
    pub connection: Connection,
    /// Which ledger.
    pub info: LedgerInfo,
    /// Folded.
    pub book: Arc<State>,
}

impl Open {
    /// Refuses a ledger that keeps nothing of the kind, where an empty list would reassure.
    pub fn of_a_commons(&self, what: &str) -> Done {
        if self.info.kind == AgentKind::Commons {
            return Ok(());
        }
        let (name, kind) = (&self.info.name, self.info.kind);
        Err(Failure::refused(
            Code::WrongLedgerKind.name(),
            format!(
                "{name} is the revenue ledger of a {kind}: it keeps no {what}, a commons' does"
            ),
            "name the ledger of a commons with --ledger; `subak revenue list` shows what is here",
        ))
    }

    /// The same for what only a revenue ledger keeps.
    pub fn of_revenue(&self) -> Done {
        if self.info.kind != AgentKind::Commons {
            return Ok(());
        }
        let name = &self.info.name;
        Err(Failure::refused(
            Code::WrongLedgerKind.name(),
            format!("{name} is the ledger of a commons: it keeps no revenue, a phyle's does"),
            "name the ledger of a phyle with --ledger; `subak income list` shows what is here",
        ))
    }
}

impl Context {
    /// Applies the precedence.
    pub fn new(mut global: Global) -> Done<Self> {
        let home = global.complete()?;
        let trust = Trust::new(&global)?;
        let out = Output::new(global.json);
        Ok(Self { global, out, trust, home, shared: None, recorded: Mutex::default() })
    }

    /// A context whose commands use `connection` and keep their results.
    pub fn within(global: Global, connection: Connection) -> Done<Self> {
        let context = Self::new(global)?;
        Ok(Self { out: Output::capture(), shared: Some(connection), ..context })
    }

    /// The ledger file that is meant, where no node is.
    pub fn db(&self) -> PathBuf {
        self.global.db.clone().unwrap_or_else(|| PathBuf::from("subak.db"))
    }

    /// The file of the only certificates that a node may show.
    pub fn node_ca(&self) -> Option<&Path> {
        self.global.node_ca.as_deref()
    }

    /// Where new keys go: `keys` in the home folder.
    pub fn key_folder(&self) -> PathBuf {
        self.home.join("keys")
    }

    /// What audits remember: `seen` in the home folder.
    pub fn memory_folder(&self) -> PathBuf {
        self.home.join("seen")
    }

    /// `keys` beside the ledger file.
    pub fn key_folder_beside(&self) -> PathBuf {
        let db = self.db();
        db.parent().unwrap_or_else(|| Path::new(".")).join("keys")
    }

    /// Opens for reading: needs neither key nor lock.
    pub async fn reader(&self) -> Done<Connection> {
        match self.elsewhere().await? {
            Some(connection) => Ok(connection),
            None => connect::reader(&self.db()).await,
        }
    }

    /// Opens for appending; `create` makes the ledger file if there is none.
    pub async fn writer(&self, create: bool) -> Done<Connection> {
        match self.elsewhere().await? {
            Some(connection) => Ok(connection),
            None => connect::writer(&self.db(), create).await,
        }
    }

    /// The demo's connection, or a node's.
    async fn elsewhere(&self) -> Done<Option<Connection>> {
        if self.shared.is_some() {
            return Ok(self.shared.clone());
        }
        match &self.global.node {
            Some(url) => connect::node(url, &self.trust, self.node_ca()).await.map(Some),
            None => Ok(None),
        }
    }

    /// The ledger that `--ledger` names, or the only one there.
    pub async fn open(&self, connection: Connection) -> Done<Open> {
        let info = self.choose(&connection, self.global.ledger.as_deref()).await?;
        self.open_ledger(connection, info).await
    }

    /// A ledger, folded.
    pub async fn open_ledger(&self, connection: Connection, listed: LedgerInfo) -> Done<Open> {
        let book = connection.ledgers.book(listed.id).await?;
        let info = connect::as_folded(&listed, &book, &self.trust)?;
        if info.sandbox {
            self.out.note(&format!("SANDBOX ledger {}: dates in it may be chosen", info.name));
        }
        if let Some(mirror) = &info.mirror {
            self.out.note(&describe::copy_of(&info.name, info.size, mirror));
        }
        self.warn_of_forgotten(&connection, &info);
        Ok(Open { connection, info, book })
    }

    /// Whatever the form of the result: to say it after something was appended is too late.
    pub fn warn_of_forgotten(&self, connection: &Connection, ledger: &LedgerInfo) {
        let file = connection.file.as_deref();
        if let Some(warning) = file.and_then(|file| connect::forgotten(file, ledger)) {
            self.out.warning(&warning);
        }
    }

    /// Opens for reading the ledger that is meant.
    pub async fn read(&self) -> Done<Open> {
        let connection = self.reader().await?;
        self.open(connection).await
    }

    /// Opens for appending the ledger that is meant.
    pub async fn write(&self) -> Done<Open> {
        let connection = self.writer(false).await?;
        self.open(connection).await
    }

    /// The ledger called `wanted` (name, or beginning of the id); without it the only one.
    pub async fn choose(&self, connection: &Connection, wanted: Option<&str>) -> Done<LedgerInfo> {
        let all = connection.ledgers.ledgers().await?;
        let names = || all.iter().map(|l| l.name.clone()).collect::<Vec<_>>().join(", ");
        let fits = |l: &&LedgerInfo| match wanted {
            Some(w) => l.name == w || (w.len() >= 8 && l.id.to_string().starts_with(w)),
            None => true,
        };
        let mut found: Vec<&LedgerInfo> = all.iter().filter(fits).collect();
        if found.len() > 1 {
            // Beside one's own ledgers lie copies of those of others.
            let own: Vec<_> = found.iter().copied().filter(|l| connection.is_own(l)).collect();
            found = if own.is_empty() { found } else { own };
        }
        match (found.as_slice(), wanted) {
            ([one], _) => Ok((*one).clone()),
            ([], None) => Err(Failure::refused(
                "no-ledger",
                "there is no ledger here yet",
                "open one: `subak commons open` or `subak phyle open`",
            )),
            ([], Some(w)) => Err(Failure::refused(
                "no-ledger",
                format!("no ledger {w:?} here; there are: {}", names()),
                "name one of them with --ledger",
            )),
            (_, None) => Err(Failure::usage(
                format!("several ledgers are here: {}", names()),
                "name one with --ledger NAME, or set SUBAK_LEDGER",
            )),
            (several, Some(w)) => Err(Failure::usage(
                format!("{} ledgers fit {w:?}", several.len()),
                "give more of the id: `subak commons show` prints it",
            )),
        }
    }

    /// The moment to record at, for `now` in what is composed.
    pub fn at(&self) -> Done<u64> {
        self.global.at.as_deref().map_or_else(|| Ok(money::now()), money::time)
    }

    /// Who signs.
    pub fn author(&self) -> Done<Handle> {
        if let Some(text) = &self.global.author {
            return Ok(Handle::new(text)?);
        }
        let mut handles = keyfile_handles(&self.key_folder_beside());
        if handles.is_empty() {
            handles = keyfile_handles(&self.key_folder());
        }
        match handles.as_slice() {
            [one] => Ok(Handle::new(one)?),
            [] => Err(Failure::usage(
                "nobody to sign: there is no key yet",
                "make one with `subak key new HANDLE`",
            )),
            _ => Err(Failure::usage(
                format!("who signs? There are keys of {}", handles.join(", ")),
                "say so with --as HANDLE, or set SUBAK_AS",
            )),
        }
    }

    /// The signer's key.
    pub fn secret(&self, author: &Handle) -> Done<SecretKey> {
        let path = self.key_path(author)?;
        crate::keys::read(&path)
    }

    /// The file that holds the signer's key.
    pub fn key_path(&self, author: &Handle) -> Done<PathBuf> {
        if let Some(path) = &self.global.key {
            return Ok(path.clone());
        }
        let name = format!("{author}.key");
        let places = [self.key_folder_beside().join(&name), self.key_folder().join(&name)];
        places.iter().find(|p| p.exists()).cloned().ok_or_else(|| {
            Failure::world(
                "no-key",
                format!(
                    "no key of {author}: looked at {}",
                    places.map(|p| p.display().to_string()).join(" and ")
                ),
                format!("make one with `subak key new {author}`, or name the file with --key"),
            )
        })
    }

    /// Signs events as the author and appends them: one statement.
    pub async fn say(&self, open: &Open, events: Vec<Kind>, texts: Texts) -> Done<Appended> {
        let author = self.author()?;
        let secret = self.secret(&author)?;
        self.say_as(open, &author, &secret, events, texts, DAY_MS).await
    }

    /// As `say`, a proposal that stays open for 30 days.
    pub async fn propose(&self, open: &Open, event: Kind) -> Done<Appended> {
        self.propose_all(open, vec![event]).await
    }

    /// As `propose`, of several events that are carried out together.
    pub async fn propose_all(&self, open: &Open, events: Vec<Kind>) -> Done<Appended> {
        let author = self.author()?;
        let secret = self.secret(&author)?;
        let event = events.into_iter().map(encode).collect();
        let events = vec![Kind::Propose(v1::Propose { event })];
        // A little less than the limit: the node's clock may be behind ours.
        self.say_as(open, &author, &secret, events, Texts::default(), 30 * DAY_MS - 60_000).await
    }

    /// As `say`, for a named author and key.
    pub async fn say_as(
        &self,
        open: &Open,
        author: &Handle,
        secret: &SecretKey,
        events: Vec<Kind>,
        texts: Texts,
        lifetime: u64,
    ) -> Done<Appended> {
        let at = self.at()?;
        let header = Header {
            ledger: open.info.id,
            author: author.clone(),
            nonce: random()?,
            created_at: at,
            expires_at: at + lifetime,
            basis: basis(&open.book),
        };
        self.send(
            &open.connection,
            Some(&open.book),
            &Draft { header, events: events.into_iter().map(encode).collect() },
            secret,
            texts,
        )
        .await
    }

    /// Signs and appends a draft; shows what was signed, from the bytes.
    pub async fn send(
        &self,
        connection: &Connection,
        book: Option<&State>,
        draft: &Draft,
        secret: &SecretKey,
        texts: Texts,
    ) -> Done<Appended> {
        let envelope = draft.sign(secret);
        let signed = Unverified::parse(&envelope)?.trust_stored()?;
        self.out.note(&describe::statement(&signed, book));
        self.append(connection, envelope, &draft.header, texts).await
    }

    /// Appends one after another what is signed in that order, without showing it: for many
    /// statements of one kind, which the caller sums up. Several are under way at a time.
    /// `told` hears of each that is recorded; after the first that is not, no more are signed.
    pub async fn append_all(
        &self,
        connection: &Connection,
        ledger: LedgerId,
        signed: impl Iterator<Item = Done<(Vec<u8>, Handle, Texts)>>,
        mut told: impl FnMut(&Appended),
    ) -> Done {
        const SIGNED_AHEAD: usize = 8;
        let at = if self.global.at.is_some() { Some(self.at()?) } else { None };
        let (send, statements) = mpsc::channel(SIGNED_AHEAD);
        let failed = AtomicBool::new(false);
        let sign = async {
            let send = send;
            for next in signed {
                let (envelope, author, texts) = next?;
                let disclosures = texts.disclosures(&ledger, &author);
                let append = Append { envelope: envelope.into(), disclosures, at };
                if failed.load(Relaxed) || send.send(append).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let statements = ReceiverStream::new(statements).boxed();
        let answers = connection.ledgers.clone().append_all(statements);
        let take = async {
            // Gone when it has ended: who signs must not wait for room in it.
            let mut answers = answers;
            let mut first = Ok(());
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(appended) => {
                        self.note_recorded(&appended);
                        told(&appended);
                    }
                    Err(error) if first.is_ok() => {
                        failed.store(true, Relaxed);
                        first = Err(self.in_dates(connection, ledger, error.into()).await);
                    }
                    Err(_) => {}
                }
            }
            first
        };
        let (signed, appended) = join(sign, take).await;
        appended.and(signed)
    }

    fn note_recorded(&self, appended: &Appended) {
        if let Ok(mut recorded) = self.recorded.lock() {
            recorded.push((appended.ledger, appended.entry));
        }
    }

    /// Appends what is signed.
    async fn append(
        &self,
        connection: &Connection,
        envelope: Vec<u8>,
        header: &Header,
        texts: Texts,
    ) -> Done<Appended> {
        let at = if self.global.at.is_some() { Some(self.at()?) } else { None };
        let disclosures = texts.disclosures(&header.ledger, &header.author);
        match connection.ledgers.append(Append { envelope: envelope.into(), disclosures, at }).await
        {
            Ok(appended) => {
                self.note_recorded(&appended);
                Ok(appended)
            }
            Err(e) => Err(self.in_dates(connection, header.ledger, e.into()).await),
        }
    }

    /// A date that was chosen and does not fit, in dates.
    async fn in_dates(&self, connection: &Connection, ledger: LedgerId, f: Failure) -> Failure {
        let (Some(at), "at-out-of-range") = (&self.global.at, f.code.as_str()) else { return f };
        let Ok(book) = connection.ledgers.book(ledger).await else { return f };
        let last = money::show_time(book.time);
        let message = format!("--at {at}: expected a time from {last} (the last entry's) to now");
        Failure { message, ..f }
    }

    /// A failure after something was appended says so: to do it again would do it twice.
    pub fn after_all(&self, mut f: Failure) -> Failure {
        let recorded = self.recorded.lock().map(|r| r.clone()).unwrap_or_default();
        let Some((ledger, first)) = recorded.first().copied().filter(|_| !f.code.is_empty()) else {
            return f;
        };
        let more = match recorded.len() {
            1 => "is recorded".to_owned(),
            n => format!("and {} more are recorded", n - 1),
        };
        f.message = format!("{}; entry {first} of ledger {ledger} {more}", f.message);
        f.next = format!("do not repeat it: look at `subak show {first}`; {}", f.next);
        f
    }

    /// Folds again after an append.
    pub async fn refresh(&self, open: &mut Open) -> Done {
        open.book = open.connection.ledgers.book(open.info.id).await?;
        Ok(())
    }
}

/// What the signer saw: a node that shows one history and appends to another is refused
/// by the rules, as references by number are only as good as the log they were read in.
pub fn basis(book: &State) -> Option<Basis> {
    let chain = book.chain.last().copied()?;
    Some(Basis { size: book.size, chain })
}

/// The bytes of an event.
pub fn encode(kind: Kind) -> Vec<u8> {
    use prost::Message as _;
    v1::Event { kind: Some(kind) }.encode_to_vec()
}

/// Decodes the events of an envelope, for showing.
pub fn events(envelope: &[u8]) -> Done<Vec<Event>> {
    let statement = Unverified::parse(envelope)?.trust_stored()?;
    Ok(statement.events().iter().map(|b| Event::decode(b)).collect::<Result<_, _>>()?)
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Done<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Failure::world("random", format!("the system gave no randomness: {e}"), "try again")
    })?;
    Ok(bytes)
}

/// Handles that a folder has keys of, in order.
pub fn keyfile_handles(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut handles: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".key").map(str::to_owned))
        .filter(|h| Handle::new(h).is_ok())
        .collect();
    handles.sort();
    handles
}

/// Re-exported: what a command works over, with, and says beside a statement.
pub use crate::{connect::Connection, options::Global, texts::Texts};
/// Re-exported for the commands that write key files.
pub use keyfile::write_new as write_key;
