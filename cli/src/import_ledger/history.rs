//! A git history in a ledger.
//!
//! A commit is claimed once, under `git:<hash>`; who an author is, is learnt from the
//! commits that the ledger knows: the parts of a claim stand in the order of the
//! history, author first. A commit that somebody claimed by hand for somebody else is
//! claimed beside that: maintainers decide between the two.

use super::{
    Recorded, Statements, add_people,
    known::{Claims, Register, Rival, Standing},
    progress, require_maintainer, send,
};
use crate::{
    context::{Context, Open},
    failure::{Done, Failure},
    import::{History, Person, PersonIndex},
};
use serde::Serialize;
use subak_ledger::{
    book::{
        state::State,
        types::{AgentId, Handle, Stream, day_of},
    },
    log::{SecretKey, statement::MAX_EVENTS},
};
use subak_proto::v1::{self, event::Kind};

/// How to claim.
#[derive(Debug, Clone, Copy)]
pub struct Claiming {
    /// The stream of the contributions.
    pub stream: Stream,
    /// Events in a statement at most, 1 to 1,000.
    pub batch: usize,
}

impl Default for Claiming {
    fn default() -> Self {
        Self { stream: Stream::Livelihood, batch: MAX_EVENTS }
    }
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ImportOutcome {
    /// Agents added, for people whom the ledger did not know.
    pub new_agents: u64,
    /// Contributions claimed.
    pub new_contributions: u64,
    /// Works that were claimed already, the next two included.
    pub known: u64,
    /// Of them, claimed by hand for the same person.
    pub claimed_by_hand: u64,
    /// Of them, ended by maintainers: they do not come back.
    pub ended: u64,
    /// Open claims to these works that somebody made by hand: to be looked at.
    pub rivals: Vec<Rival>,
    /// Works dated after this import's date: left for a later one.
    pub later: u64,
    /// Commits that an earlier import claimed and that are reverted since.
    pub reverted_since: Vec<RevertedSince>,
    /// Statements, each one entry.
    pub statements: u64,
    /// Of the entries the first.
    pub first_entry: Option<u64>,
    /// And the last.
    pub last_entry: Option<u64>,
    /// The agents of [`History::people`], in its order; none in a dry run where they are
    /// new, nor where all their work is left for later.
    #[serde(skip)]
    pub agents: Vec<Option<Handle>>,
}

/// A claim whose commit is reverted since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevertedSince {
    /// The contribution.
    pub contribution: String,
    /// Its commit.
    pub commit: String,
    /// The commit that reverts it.
    pub by: String,
}

/// What is to be done.
struct Plan {
    /// Places in [`History::works`].
    works: Vec<usize>,
    /// The agents that are known, by place in [`History::people`].
    people: Vec<Option<AgentId>>,
    /// People with work in `works` whom the ledger does not know.
    new: Vec<PersonIndex>,
    outcome: ImportOutcome,
}

/// Claims a history: agents first, then their work, several statements under way at once.
///
/// `open` is as folded before; refresh it afterwards to see the import.
pub async fn import_history(
    cx: &Context,
    open: &Open,
    author: &Handle,
    secret: &SecretKey,
    history: &History,
    claiming: Claiming,
) -> Done<ImportOutcome> {
    require_maintainer(open, author)?;
    require_kind(&open.book, &history.kind)?;
    let plan = plan(open, history, day_of(cx.at()?)).await?;
    let signer = (author, secret);

    let mut statements = Statements::new(open.info.id, author, claiming.batch);
    let new: Vec<&Person> = plan.new.iter().map(|n| &history.people[*n]).collect();
    let added = add_people(&mut statements, &open.book, &new)?;
    let agents = send(cx, open, signer, statements.finish(), &|_| ()).await?;

    let mut handles: Vec<Option<Handle>> =
        plan.people.iter().map(|known| known.map(|a| open.book.agent(a).handle.clone())).collect();
    for (person, handle) in plan.new.iter().zip(added) {
        handles[*person] = Some(handle);
    }
    let mut statements = Statements::new(open.info.id, author, claiming.batch);
    for work in &plan.works {
        let event = contribute(history, *work, &handles, claiming.stream);
        statements.push(0, |_| Ok(Kind::Contribute(event)))?;
    }
    let bar = progress(cx, Some(plan.works.len() as u64), "claiming");
    let works = send(cx, open, signer, statements.finish(), &|n| bar.inc(n)).await;
    bar.finish_and_clear();
    Ok(finish(plan.outcome, agents.and(works?), handles))
}

/// What [`import_history`] would do.
pub async fn dry_run(cx: &Context, open: &Open, history: &History) -> Done<ImportOutcome> {
    require_kind(&open.book, &history.kind)?;
    let plan = plan(open, history, day_of(cx.at()?)).await?;
    let handle = |a: AgentId| open.book.agent(a).handle.clone();
    let handles = plan.people.iter().map(|known| known.map(handle)).collect();
    Ok(finish(plan.outcome, Recorded::default(), handles))
}

fn finish(
    outcome: ImportOutcome,
    recorded: Recorded,
    agents: Vec<Option<Handle>>,
) -> ImportOutcome {
    ImportOutcome {
        statements: recorded.statements,
        first_entry: recorded.first,
        last_entry: recorded.last,
        agents,
        ..outcome
    }
}

/// Refuses a kind without a rate before anything is recorded.
pub fn require_kind(book: &State, kind: &str) -> Done {
    let Some(equation) = &book.equation else { return Ok(()) };
    if equation.rates.keys().any(|k| k.as_str() == kind) {
        return Ok(());
    }
    let kinds: Vec<_> = equation.rates.keys().map(|k| k.as_str()).collect();
    Err(Failure::refused(
        "unknown-kind",
        format!("the equation in force has no rate for {kind}; it has {}", kinds.join(", ")),
        "name one of them with --kind, or propose an equation with it",
    ))
}

async fn plan(open: &Open, history: &History, today: u32) -> Done<Plan> {
    let book = &open.book;
    let claims = Claims::of(book, |reference| reference.starts_with("git:"));
    let mut plan = Plan {
        works: Vec::with_capacity(history.works.len()),
        people: vec![None; history.people.len()],
        new: Vec::new(),
        outcome: ImportOutcome::default(),
    };
    for (n, work) in history.works.iter().enumerate() {
        let Some(claim) = claims.get(&work.reference()) else {
            if work.day > today {
                plan.outcome.later += 1;
            } else {
                plan.works.push(n);
            }
            continue;
        };
        plan.outcome.known += 1;
        plan.outcome.ended += u64::from(claim.standing == Standing::Ended);
        for ((person, _), agent) in work.parts.iter().zip(claim.people(book, work.parts.len())) {
            plan.people[*person] = plan.people[*person].or(agent);
        }
    }
    plan.find_people(open, history).await?;
    plan.leave_out_claimed(book, history, &claims);
    plan.find_new(history);
    plan.outcome.new_agents = plan.new.len() as u64;
    plan.outcome.new_contributions = plan.works.len() as u64;
    plan.outcome.reverted_since = reverted_since(history, &claims);
    Ok(plan)
}

impl Plan {
    /// People with new work whom no known work tells: by disclosures.
    async fn find_people(&mut self, open: &Open, history: &History) -> Done {
        self.find_new(history);
        if self.new.is_empty() {
            return Ok(());
        }
        let register = Register::load(open).await?;
        for person in &self.new {
            self.people[*person] = register.find(&history.people[*person]);
        }
        Ok(())
    }

    /// What people have claimed by hand for the same persons is not claimed again; what they
    /// claimed for others is, beside it.
    fn leave_out_claimed(&mut self, book: &State, history: &History, claims: &Claims) {
        let (people, outcome) = (&self.people, &mut self.outcome);
        self.works.retain(|work| {
            let work = &history.works[*work];
            let reference = work.reference();
            let whose: Vec<AgentId> = work.parts.iter().filter_map(|p| people[p.0]).collect();
            let claimed = claims.claimed_for(book, &reference, &whose);
            outcome.rivals.extend(claims.rivals(book, &reference, !claimed));
            outcome.known += u64::from(claimed);
            outcome.claimed_by_hand += u64::from(claimed);
            !claimed
        });
    }

    /// People with new work who are not known, in the order of their work.
    fn find_new(&mut self, history: &History) {
        self.new.clear();
        let mut seen = vec![false; history.people.len()];
        let parts = self.works.iter().flat_map(|w| &history.works[*w].parts);
        for (person, _) in parts {
            if self.people[*person].is_none() && !std::mem::replace(&mut seen[*person], true) {
                self.new.push(*person);
            }
        }
    }
}

fn reverted_since(history: &History, claims: &Claims) -> Vec<RevertedSince> {
    let still =
        |hash: &str| claims.get(&format!("git:{hash}")).filter(|c| c.standing != Standing::Ended);
    history
        .cancelled
        .iter()
        .filter_map(|c| {
            let claim = still(&c.hash)?;
            Some(RevertedSince {
                contribution: claim.place.to_string(),
                commit: c.hash.clone(),
                by: c.by.clone(),
            })
        })
        .collect()
}

fn contribute(
    history: &History,
    work: usize,
    handles: &[Option<Handle>],
    stream: Stream,
) -> v1::Contribute {
    let work = &history.works[work];
    let mut part: Vec<v1::Part> = Vec::with_capacity(work.parts.len());
    for (person, quantity) in &work.parts {
        let agent = handles[*person].as_ref().expect("the plan found or added everybody");
        // Two spellings may be one agent by what an earlier import took for one person.
        match part.iter_mut().find(|p| p.agent == agent.as_str()) {
            Some(same) => same.quantity += quantity,
            None => part.push(v1::Part { agent: agent.to_string(), quantity: *quantity }),
        }
    }
    v1::Contribute {
        reference: work.reference(),
        kind: history.kind.clone(),
        stream: stream.to_wire(),
        worked_on: work.day,
        part,
        evidence: Vec::new(),
    }
}
