//! Claiming in a ledger what was read elsewhere: people become unclaimed agents, work
//! becomes contributions.
//!
//! Owns how much goes into a statement; they are sent as one stream. Guarantees
//! that agents are recorded before what they did; that names and e-mails enter as
//! commitments only; that importing again adds only what is new, from nothing but the
//! ledger itself ([`known`]). A failure in between leaves whole statements behind, and
//! the same import again adds the rest. Leaves out reading ([`crate::import`]).

pub mod history;
pub mod known;
pub mod rows;

#[cfg(test)]
mod tests;

use crate::{
    context::{Context, Open, Texts, basis, encode, random},
    describe,
    failure::{Done, Failure},
    import::Person,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeSet, VecDeque};
use subak_ledger::{
    book::{
        state::State,
        types::{AgentKind, DAY_MS, Handle, Role},
    },
    log::{Draft, Header, LedgerId, SecretKey, statement::MAX_EVENTS},
    reject::{Code, Reject},
};
use subak_node::Appended;
use subak_proto::v1::{self, event::Kind};

/// Bytes of events in a statement, and likewise of the texts beside it: the limit of
/// 256 KiB less ample room for header, tags, key and signature.
const BYTES_AT_MOST: usize = 250 * 1024;

/// Which entries an import became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Statements, each one entry.
    pub statements: u64,
    /// Of these entries the first.
    pub first: Option<u64>,
    /// And the last.
    pub last: Option<u64>,
}

/// Events on their way into statements.
struct Statements<'a> {
    ledger: LedgerId,
    author: &'a Handle,
    events_at_most: usize,
    full: Vec<Batch>,
    open: Batch,
}

#[derive(Default)]
struct Batch {
    events: Vec<Vec<u8>>,
    event_bytes: usize,
    texts: Texts,
    text_bytes: usize,
}

impl<'a> Statements<'a> {
    fn new(ledger: LedgerId, author: &'a Handle, events_at_most: usize) -> Self {
        let events_at_most = events_at_most.clamp(1, MAX_EVENTS);
        Self { ledger, author, events_at_most, full: Vec::new(), open: Batch::default() }
    }

    /// Adds the event that `make` composes; `texts` are the bytes that it commits to.
    fn push(&mut self, texts: usize, make: impl FnOnce(&mut Commit<'_>) -> Done<Kind>) -> Done {
        const ROOM_FOR_AN_EVENT: usize = 5 * 1024; // 64 parts with the longest handles
        let batch = &self.open;
        let full = batch.events.len() >= self.events_at_most
            || batch.event_bytes + ROOM_FOR_AN_EVENT > BYTES_AT_MOST
            || batch.text_bytes + texts > BYTES_AT_MOST;
        if full && !batch.events.is_empty() {
            self.full.push(std::mem::take(&mut self.open));
        }
        let mut commit =
            Commit { texts: &mut self.open.texts, ledger: &self.ledger, author: self.author };
        let event = encode(make(&mut commit)?);
        self.open.event_bytes += event.len() + 4; // its tag and length
        self.open.text_bytes += texts;
        self.open.events.push(event);
        Ok(())
    }

    fn finish(mut self) -> Vec<Batch> {
        if !self.open.events.is_empty() {
            self.full.push(self.open);
        }
        self.full
    }
}

/// Makes commitments beside the statement that an event goes into.
struct Commit<'a> {
    texts: &'a mut Texts,
    ledger: &'a LedgerId,
    author: &'a Handle,
}

impl Commit<'_> {
    /// 32 bytes, or none for an empty text.
    fn to(&mut self, field: &str, text: &str) -> Done<Vec<u8>> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        self.texts.commit(self.ledger, self.author, field, text)
    }
}

/// Signs and appends; `step` is told after each statement. A refused one in between does not
/// keep those from being recorded that are under way already.
async fn send(
    cx: &Context,
    open: &Open,
    (author, secret): (&Handle, &SecretKey),
    batches: Vec<Batch>,
    step: &dyn Fn(u64),
) -> Done<Recorded> {
    let sign = |batch: Batch| {
        let at = cx.at()?;
        let header = Header {
            ledger: open.info.id,
            author: author.clone(),
            nonce: random()?,
            created_at: at,
            expires_at: at + DAY_MS,
            basis: basis(&open.book),
        };
        let envelope = Draft { header, events: batch.events }.sign(secret);
        Ok((envelope, author.clone(), batch.texts))
    };
    let mut events: VecDeque<u64> = batches.iter().map(|b| b.events.len() as u64).collect();
    let mut recorded = Recorded::default();
    let told = |appended: &Appended| {
        recorded.statements += 1;
        recorded.first = recorded.first.or(Some(appended.entry));
        recorded.last = Some(appended.entry);
        step(events.pop_front().unwrap_or(0));
    };
    let sent = cx.append_all(&open.connection, open.info.id, batches.into_iter().map(sign), told);
    match sent.await {
        Ok(()) => Ok(recorded),
        Err(failure) => Err(unfinished(failure, recorded)),
    }
}

/// Statements before the failed one are recorded: the person should know.
fn unfinished(mut f: Failure, recorded: Recorded) -> Failure {
    if recorded.statements > 0 {
        let count = describe::count(recorded.statements, "statement");
        f.message = format!("after {count}: {}", f.message);
        f.next = format!("{}; the same import again adds what is missing", f.next);
    }
    f
}

impl Recorded {
    fn and(self, other: Self) -> Self {
        Self {
            statements: self.statements + other.statements,
            first: self.first.into_iter().chain(other.first).min(),
            last: self.last.max(other.last),
        }
    }
}

/// Adds people as unclaimed agents under random handles, in the given order.
fn add_people(
    statements: &mut Statements<'_>,
    book: &State,
    people: &[&Person],
) -> Done<Vec<Handle>> {
    let mut taken = BTreeSet::new();
    let mut handles = Vec::with_capacity(people.len());
    for person in people {
        let handle = loop {
            let handle = random_handle()?;
            if !book.handles.contains_key(&handle) && taken.insert(handle.clone()) {
                break handle;
            }
        };
        let texts = person.name.len() + person.email.len() + 32; // and fields, tags
        statements.push(texts, |commit| {
            Ok(Kind::AgentAdd(v1::AgentAdd {
                handle: handle.to_string(),
                kind: AgentKind::Person.to_wire(),
                key: Vec::new(),
                name: commit.to("name", &person.name)?,
                email: commit.to("email", &person.email)?,
            }))
        })?;
        handles.push(handle);
    }
    Ok(handles)
}

/// `p-` and 10 characters of base32 (RFC 4648, lower case): 50 random bits. It says
/// nothing about the person, so that erasing the disclosures erases the name.
fn random_handle() -> Done<Handle> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes: [u8; 10] = random()?;
    let text = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)]));
    Ok(Handle::new(&"p-".chars().chain(text).collect::<String>())?)
}

/// Refuses before anything is recorded what would be refused half-way: a ledger without
/// contributions, an author who cannot claim for others.
fn require_maintainer(open: &Open, author: &Handle) -> Done {
    let book = &open.book;
    if book.equation.is_none() {
        let detail = format!("{} is the ledger of a {}", open.info.name, open.info.kind);
        return Err(Reject::new(Code::WrongLedgerKind, detail).into());
    }
    let agent = book.agent(book.find(author)?);
    if agent.roles.contains(&Role::Maintainer) {
        return Ok(());
    }
    let detail = format!("an import claims for others and needs maintainer, {author} is not");
    Err(Reject::new(Code::RoleRequired, detail).into())
}

/// A bar on standard error, on a terminal only, and not for programs.
pub fn progress(cx: &Context, total: Option<u64>, what: &'static str) -> ProgressBar {
    if cx.out.json {
        return ProgressBar::hidden();
    }
    let (bar, form) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:30}] {human_pos} of {human_len}"),
        None => (ProgressBar::new_spinner(), "{msg} {human_pos}"),
    };
    let style = ProgressStyle::with_template(form).expect("a constant template is well-formed");
    bar.with_style(style.progress_chars("=> ")).with_message(what)
}

#[cfg(test)]
mod limits {
    use super::*;

    fn events(statements: &mut Statements<'_>, count: usize, texts: usize) {
        for _ in 0..count {
            let event = v1::AgentAdmit { agent: "ana".into() };
            statements.push(texts, |_| Ok(Kind::AgentAdmit(event))).unwrap();
        }
    }

    #[test]
    fn statements_keep_their_limits() {
        let author = Handle::new("ana").unwrap();
        let sizes = |most, count, texts| {
            let mut s = Statements::new(LedgerId::ZERO, &author, most);
            events(&mut s, count, texts);
            s.finish().iter().map(|b| b.events.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(1_000, 2_500, 0), [1_000, 1_000, 500]);
        assert_eq!(sizes(5_000, 1_001, 0), [1_000, 1]);
        assert_eq!(sizes(1_000, 5, 100 * 1024), [2, 2, 1]);
        assert!(sizes(1_000, 0, 0).is_empty());
    }

    #[test]
    fn handles_of_people_say_nothing_and_differ() {
        let (a, b) = (random_handle().unwrap(), random_handle().unwrap());
        assert_eq!(a.as_str().len(), 12);
        assert!(a.as_str().starts_with("p-"));
        assert_ne!(a, b);
    }
}
