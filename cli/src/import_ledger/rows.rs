//! A time tracker's rows in a ledger.
//!
//! Rows with one reference are one contribution, with a part for each person; so they
//! must agree on day, kind and stream. Every row that cannot be claimed is a
//! [`BadRow`] with its line and the reason; the caller decides whether the others go in.

use super::{
    Recorded, Statements, add_people,
    known::{Claim, Claims, Register, Rival, Standing},
    progress, require_maintainer, send,
};
use crate::{
    context::{Context, Open},
    failure::Done,
    import::{
        PARTS_AT_MOST, Person,
        csv::{BadRow, CsvRow, Who},
    },
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use subak_ledger::{
    book::{
        state::State,
        types::{AgentId, Handle, Stream},
    },
    log::{SecretKey, statement::MAX_EVENTS},
};
use subak_proto::v1::{self, event::Kind};

/// Bytes of a note; with the 64 of one work they fit beside a statement.
const NOTE_AT_MOST: usize = 3_000;

/// What is to be done with rows.
pub struct Plan<'r> {
    groups: Vec<Group<'r>>,
    new: Vec<&'r Person>,
    /// Rows that cannot be claimed.
    pub bad: Vec<BadRow>,
    /// What it comes to.
    pub outcome: RowsOutcome,
}

/// What an import of rows did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RowsOutcome {
    /// Agents added, for people whom the ledger did not know.
    pub new_agents: u64,
    /// Contributions claimed.
    pub new_contributions: u64,
    /// Rows in them.
    pub new_rows: u64,
    /// Rows that were claimed already.
    pub known: u64,
    /// Open claims to these works that somebody made by hand: to be looked at.
    pub rivals: Vec<Rival>,
    /// Statements, each one entry.
    pub statements: u64,
    /// Of the entries the first.
    pub first_entry: Option<u64>,
    /// And the last.
    pub last_entry: Option<u64>,
}

/// Rows of one reference.
struct Group<'r> {
    reference: &'r str,
    rows: Vec<(&'r CsvRow, Whose)>,
}

/// Whose a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    Known(AgentId),
    /// A place in [`Plan::new`].
    New(usize),
}

/// Finds out whose the rows are, which are known, and which cannot be claimed.
pub async fn plan<'r>(open: &Open, rows: &'r [CsvRow]) -> Done<Plan<'r>> {
    let book = &open.book;
    let wanted: HashSet<&str> = rows.iter().map(|r| r.reference.as_str()).collect();
    let claims = Claims::of(book, |reference| wanted.contains(reference));
    let register = Register::load(open).await?;
    let mut planner = Planner {
        book,
        register,
        learnt: HashMap::new(),
        numbers: HashMap::new(),
        plan: Plan {
            groups: Vec::new(),
            new: Vec::new(),
            bad: Vec::new(),
            outcome: RowsOutcome::default(),
        },
    };
    let groups = grouped(rows);
    planner.learn(&groups, &claims);
    for (reference, rows) in groups {
        match claims.get(reference) {
            Some(claim) => planner.known(&rows, claim, &claims),
            None => planner.beside(reference, rows, &claims),
        }
    }
    let mut plan = planner.plan;
    plan.bad.sort_by_key(|b| b.line);
    plan.outcome.new_agents = plan.new.len() as u64;
    plan.outcome.new_contributions = plan.groups.len() as u64;
    plan.outcome.new_rows = plan.groups.iter().map(|g| g.rows.len() as u64).sum();
    Ok(plan)
}

/// By reference, in the order of the file.
fn grouped(rows: &[CsvRow]) -> Vec<(&str, Vec<&CsvRow>)> {
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<&CsvRow>)> = Vec::new();
    for row in rows {
        let n = *place.entry(&row.reference).or_insert(groups.len());
        if n == groups.len() {
            groups.push((&row.reference, Vec::new()));
        }
        groups[n].1.push(row);
    }
    groups
}

struct Planner<'r, 'b> {
    book: &'b State,
    register: Register,
    /// Who people are by known claims.
    learnt: HashMap<String, AgentId>,
    /// New people by identity.
    numbers: HashMap<String, usize>,
    plan: Plan<'r>,
}

impl<'r> Planner<'r, '_> {
    fn bad(&mut self, row: &CsvRow, reason: String) {
        self.plan.bad.push(BadRow { line: row.line, reason });
    }

    /// From a file imported before: the parts of its claims stand in its order.
    fn learn(&mut self, groups: &[(&str, Vec<&'r CsvRow>)], claims: &Claims) {
        for (reference, rows) in groups {
            let Some(claim) = claims.get(reference) else { continue };
            for (row, agent) in rows.iter().zip(claim.people(self.book, rows.len())) {
                if let (Who::Person(person), Some(agent)) = (&row.person, agent) {
                    self.learnt.entry(person.identity()).or_insert(agent);
                }
            }
        }
    }

    /// Rows whose reference is claimed: each must be one of its parts, or claimed by hand.
    fn known(&mut self, rows: &[&'r CsvRow], claim: &Claim, claims: &Claims) {
        for row in rows {
            let agent = self.look_up(&row.person).ok().flatten();
            let among = agent.is_some_and(|agent| {
                claim.contribution.parts.iter().any(|p| p.agent == agent)
                    || claims.claimed_for(self.book, &row.reference, &[agent])
            });
            if among || claim.standing == Standing::Ended {
                self.plan.outcome.known += 1;
            } else {
                let reason = format!(
                    "{} is claimed already as contribution {}, without this person",
                    row.reference, claim.place
                );
                self.bad(row, reason);
            }
        }
    }

    /// Rows of which nobody but their people may have spoken: those who claimed their part
    /// by hand keep that claim, for the others the import claims.
    fn beside(&mut self, reference: &'r str, mut rows: Vec<&'r CsvRow>, claims: &Claims) {
        let all = rows.len();
        rows.retain(|row| {
            let agent = self.look_up(&row.person).ok().flatten();
            !agent.is_some_and(|a| claims.claimed_for(self.book, reference, &[a]))
        });
        self.plan.outcome.known += (all - rows.len()) as u64;
        let rivals = claims.rivals(self.book, reference, !rows.is_empty());
        self.plan.outcome.rivals.extend(rivals);
        self.group(reference, &rows);
    }

    fn group(&mut self, reference: &'r str, rows: &[&'r CsvRow]) {
        let mut group = Group { reference, rows: Vec::new() };
        for row in rows {
            match self.fits(&group, row).and_then(|()| self.whose_part(&group, row)) {
                Ok(whose) => group.rows.push((row, whose)),
                Err(reason) => self.bad(row, reason),
            }
        }
        if !group.rows.is_empty() {
            self.plan.groups.push(group);
        }
    }

    fn fits(&self, group: &Group<'_>, row: &CsvRow) -> Result<(), String> {
        let rates = self.book.equation.as_ref().map(|e| &e.rates);
        if rates.is_none_or(|rates| !rates.keys().any(|k| k.as_str() == row.kind)) {
            let kinds: Vec<_> =
                rates.into_iter().flat_map(|r| r.keys()).map(|k| k.as_str()).collect();
            return Err(format!(
                "the equation in force has no rate for {:?}; it has {}",
                row.kind,
                kinds.join(", ")
            ));
        }
        if row.note.len() > NOTE_AT_MOST {
            return Err(format!("the note has {} bytes; at most {NOTE_AT_MOST}", row.note.len()));
        }
        let Some((first, _)) = group.rows.first() else { return Ok(()) };
        let same = (first.day, &first.kind, first.stream) == (row.day, &row.kind, row.stream);
        if !same {
            return Err(format!(
                "{} is on line {} with another date, kind or stream; one reference is one work",
                row.reference, first.line
            ));
        }
        if group.rows.len() == PARTS_AT_MOST {
            return Err(format!(
                "{} has {PARTS_AT_MOST} people already, the most that share one work",
                row.reference
            ));
        }
        Ok(())
    }

    fn whose_part(&mut self, group: &Group<'_>, row: &'r CsvRow) -> Result<Whose, String> {
        let whose = self.whose(row)?;
        match group.rows.iter().find(|(_, other)| *other == whose) {
            Some((first, _)) => Err(format!(
                "the person of line {} again, for the same reference {}",
                first.line, row.reference
            )),
            None => Ok(whose),
        }
    }

    /// As [`Self::look_up`], with a number for who is new.
    fn whose(&mut self, row: &'r CsvRow) -> Result<Whose, String> {
        if let Some(agent) = self.look_up(&row.person)? {
            return Ok(Whose::Known(agent));
        }
        let Who::Person(person) = &row.person else { unreachable!("a handle is known or refused") };
        let next = self.plan.new.len();
        let number = *self.numbers.entry(person.identity()).or_insert(next);
        if number == next {
            self.plan.new.push(person);
        }
        Ok(Whose::New(number))
    }

    /// Who it is here; `None` for a person whom nothing here tells.
    fn look_up(&self, who: &Who) -> Result<Option<AgentId>, String> {
        let person = match who {
            Who::Handle(text) => {
                let handle = Handle::new(text).map_err(|r| r.detail)?;
                return self.book.find(&handle).map(Some).map_err(|_| {
                    format!(
                        "no agent {text} here; add one with `subak agent add {text}`, \
                         or write the person as an e-mail or a full name"
                    )
                });
            }
            Who::Person(person) => person,
        };
        let known = self.learnt.get(&person.identity()).copied();
        let known = known.or_else(|| self.register.find(person));
        if known.is_some() || !person.email.is_empty() {
            return Ok(known);
        }
        match self.register.named(&person.name) {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => {
                let handles: Vec<_> =
                    several.iter().map(|a| self.book.agent(*a).handle.as_str()).collect();
                Err(format!(
                    "several agents are called {:?} ({}); write the e-mail or the handle",
                    person.name,
                    handles.join(", ")
                ))
            }
        }
    }
}

/// Claims what is planned.
pub async fn import_rows(
    cx: &Context,
    open: &Open,
    author: &Handle,
    secret: &SecretKey,
    plan: &Plan<'_>,
) -> Done<RowsOutcome> {
    require_maintainer(open, author)?;
    let signer = (author, secret);
    let mut statements = Statements::new(open.info.id, author, MAX_EVENTS);
    let new = add_people(&mut statements, &open.book, &plan.new)?;
    let agents = send(cx, open, signer, statements.finish(), &|_| ()).await?;
    let mut statements = Statements::new(open.info.id, author, MAX_EVENTS);
    for group in &plan.groups {
        let note = group.note();
        statements.push(note.len() + 32, |commit| {
            let evidence = commit.to("evidence", &note)?;
            Ok(Kind::Contribute(group.event(&open.book, &new, evidence)))
        })?;
    }
    let bar = progress(cx, Some(plan.groups.len() as u64), "claiming");
    let works = send(cx, open, signer, statements.finish(), &|n| bar.inc(n)).await;
    bar.finish_and_clear();
    let Recorded { statements, first, last } = agents.and(works?);
    let outcome = plan.outcome.clone();
    Ok(RowsOutcome { statements, first_entry: first, last_entry: last, ..outcome })
}

impl Group<'_> {
    /// The notes of its rows, one a line.
    fn note(&self) -> String {
        let notes = self.rows.iter().map(|(r, _)| r.note.as_str()).filter(|n| !n.is_empty());
        notes.collect::<Vec<_>>().join("\n")
    }

    fn event(&self, book: &State, new: &[Handle], evidence: Vec<u8>) -> v1::Contribute {
        let first = self.rows[0].0;
        let part = self.rows.iter().map(|(row, whose)| {
            let agent = match whose {
                Whose::Known(agent) => &book.agent(*agent).handle,
                Whose::New(number) => &new[*number],
            };
            v1::Part { agent: agent.to_string(), quantity: row.quantity }
        });
        let stream = Stream::from_word(first.stream.name());
        v1::Contribute {
            reference: self.reference.to_owned(),
            kind: first.kind.clone(),
            stream: stream.expect("the file's words are the ledger's").to_wire(),
            worked_on: first.day,
            part: part.collect(),
            evidence,
        }
    }
}
