//! `subak agreement`: offer, state, accept, activate, end, list.
//!
//! Owns the handshake as people go through it: each command does every further step
//! that the same connection and keys allow, and names the command for the next one
//! where they do not. Leaves out the rules (`ledger::book::agreement`).

use crate::{
    commands::{contribute::report, payout::code},
    context::{Context, Open, random},
    counterpart::{self, Elsewhere},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::sync::Arc;
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        decimal,
        event::terms_digest,
        state::State,
        types::{AgentKind, Base, Handle, Stage},
    },
    log::{Hash, LedgerId},
};
use subak_node::Appended;
use subak_proto::v1::{self, event::Kind};

/// Agreements between a payer and a commons.
#[derive(Debug, Subcommand)]
pub enum AgreementCommand {
    /// Offer a share of revenue to a commons (payer's ledger, stewards)
    ///
    /// The stewards decide on it: with a quorum of one it is offered at once, else it
    /// is offered when enough of them have approved.
    #[command(
        after_help = "Examples:\n  subak agreement offer --ledger our-phyle --commons-ledger our-commons \\\n      --share \"10 %\" --currency EUR\n  subak agreement offer --commons-ledger our-commons --other-db commons.db \\\n      --share \"2.5 %\" --base gross --currency EUR --product hosting"
    )]
    Offer(Offer),
    /// State in the log how far an agreement is, for the other ledger to prove
    #[command(after_help = "Example:\n  subak agreement state 3f9c21ab --ledger our-phyle")]
    State {
        /// Beginning of the agreement's digest, or the other side's handle
        agreement: String,
    },
    /// Accept an offer (commons' ledger, stewards)
    ///
    /// Fetches the terms and the proof of the offer from the payer's ledger, shows the
    /// terms, accepts them, and makes the agreement active in the payer's ledger where
    /// that can be written on the same connection.
    #[command(
        after_help = "Examples:\n  subak agreement accept 3f9c21ab --ledger our-commons\n  subak agreement accept 3f9c21ab --ledger our-commons --other-node http://phyle.example:7117"
    )]
    Accept {
        /// Beginning of the agreement's digest, at least 4 digits
        agreement: String,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// Make an accepted agreement active (payer's ledger): from then on shares fall due
    #[command(after_help = "Example:\n  subak agreement activate 3f9c21ab --ledger our-phyle")]
    Activate {
        /// Beginning of the agreement's digest, or the commons' handle
        agreement: String,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// End an agreement after its notice (payer's ledger, stewards)
    #[command(after_help = "Example:\n  subak agreement end 3f9c21ab --ledger our-phyle")]
    End {
        /// Beginning of the agreement's digest, or the commons' handle
        agreement: String,
    },
    /// List agreements: how far they are, what is due, settled and open
    #[command(after_help = "Example:\n  subak agreement list --ledger our-commons")]
    List,
}

/// Arguments of `agreement offer`.
#[derive(Debug, Args)]
pub struct Offer {
    /// The ledger of the commons: its name or (the beginning of) its id
    #[arg(long, value_name = "NAME|ID")]
    commons_ledger: String,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// The share, as in "10 %" [default: 100 % of payouts]
    #[arg(long, value_name = "PERCENT")]
    share: Option<String>,
    /// What it is a share of: net, gross or payout [default: net; a commons: payout]
    #[arg(long)]
    base: Option<String>,
    /// Currency
    #[arg(long)]
    currency: String,
    /// Days until a share that falls due should be paid
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    due_days: u32,
    /// Days between the end's announcement and the end
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    notice_days: u32,
    /// Only revenue with this tag [default: all revenue in the currency]
    #[arg(long, value_name = "TAG")]
    product: Option<String>,
    /// The payer's handle in the commons' ledger [default: the payer's ledger's name]
    #[arg(long, value_name = "HANDLE")]
    payer_handle: Option<String>,
    /// The commons' handle in the payer's ledger [default: the commons' ledger's name]
    #[arg(long, value_name = "HANDLE")]
    commons_handle: Option<String>,
}

impl AgreementCommand {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        if matches!(self, Self::List { .. }) { "subak.agreement/1" } else { "subak.appended/1" }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Offer(o) => o.run(cx).await,
            Self::State { agreement } => state(cx, &agreement).await,
            Self::Accept { agreement, elsewhere } => accept(cx, &agreement, &elsewhere).await,
            Self::Activate { agreement, elsewhere } => activate(cx, &agreement, &elsewhere).await,
            Self::End { agreement } => end(cx, &agreement).await,
            Self::List => list(cx).await,
        }
    }
}

impl Offer {
    async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let there = self.elsewhere.reader(cx, &open.connection).await?;
        let info = cx.choose(&there, Some(&self.commons_ledger)).await?;
        let other = cx.open_ledger(there, info).await?;
        let terms = self.terms(&open, &other)?;
        let digest = terms_digest(&terms)?;
        let offer = Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms) });
        let appended = cx.propose(&open, offer).await?;
        cx.refresh(&mut open).await?;
        let more = json!({ "agreement": hex::encode(digest) });
        if !open.book.agreements.contains_key(&digest) {
            let text = format!(
                "agreement {} is proposed; it waits for {}\n  then: `subak agreement state {0} --ledger {}`",
                describe::short(&digest),
                approvals(&open.book, appended.entry),
                open.info.name
            );
            return report(cx, &appended, &more, &text);
        }
        let stated = state_stage(cx, &open, &digest, Stage::Offered).await?;
        let short = describe::short(&digest);
        let (name, hint) = (&other.info.name, self.elsewhere.hint(cx));
        let text = format!(
            "agreement {short} is offered to {name} (stated in entry {})\n  next, the commons: `subak agreement accept {short} --ledger {name}{hint}`",
            stated.entry
        );
        report(cx, &appended, &with(more, "stated", stated.entry), &text)
    }

    fn terms(&self, open: &Open, other: &Open) -> Done<v1::Terms> {
        let kind = open.book.root().kind;
        let base = match self.base.as_deref() {
            Some(word) => Base::from_word(word).ok_or_else(|| {
                Failure::usage(format!("base {word:?}"), "use net, gross or payout")
            })?,
            None if kind == AgentKind::Commons => Base::Payout,
            None => Base::Net,
        };
        let share = match (&self.share, base) {
            (Some(text), _) => share(text)?,
            (None, Base::Payout) => 1_000_000,
            (None, _) => {
                return Err(Failure::usage("which share?", "say it with --share, as in \"10 %\""));
            }
        };
        let named = |given: &Option<String>, ledger: &str| {
            Handle::new(given.as_deref().unwrap_or(ledger)).map(|h| h.to_string())
        };
        let payer_handle = named(&self.payer_handle, &open.info.name)?;
        let commons_handle = named(&self.commons_handle, &other.info.name)?;
        require_agent(other, &payer_handle, kind, "--payer-handle")?;
        require_agent(open, &commons_handle, AgentKind::Commons, "--commons-handle")?;
        Ok(v1::Terms {
            payer: open.info.id.0.to_vec(),
            payer_operator: open.book.root().operator.to_vec(),
            commons: other.info.id.0.to_vec(),
            commons_operator: other.book.root().operator.to_vec(),
            payer_handle,
            commons_handle,
            share,
            base: base.to_wire(),
            currency: code(&self.currency)?.to_string(),
            due_days: self.due_days,
            notice_days: self.notice_days,
            product: self.product.clone().unwrap_or_default(),
            random: random::<16>()?.to_vec(),
        })
    }
}

/// Both ledgers must know each other's keeper as an agent: said now, with the command,
/// rather than when the last steward approves.
fn require_agent(open: &Open, handle: &str, kind: AgentKind, option: &str) -> Done {
    if open.book.handles.contains_key(&Handle::new(handle)?) {
        return Ok(());
    }
    Err(Failure::refused(
        "unknown-agent",
        format!("ledger {} has no agent {handle}", open.info.name),
        format!(
            "add it: `subak agent add {handle} --kind {kind} --ledger {}`, or name another with {option}",
            open.info.name
        ),
    ))
}

/// `10 %`, `10%` or `2.5 %` as parts per million.
fn share(text: &str) -> Done<u32> {
    let digits = text.trim().trim_end_matches('%').trim_end();
    decimal::read(digits, 4)
        .filter(|ppm| (1..=1_000_000).contains(ppm) && text.trim().ends_with('%'))
        .and_then(|ppm| u32::try_from(ppm).ok())
        .ok_or_else(|| {
            Failure::usage(
                format!("share {text:?}: expected 0.0001 % to 100 %"),
                "write it as in \"10 %\" or \"2.5 %\"",
            )
        })
}

fn with(mut more: Value, key: &str, value: impl Into<Value>) -> Value {
    more[key] = value.into();
    more
}

/// `2 more approvals: subak approve 17`.
fn approvals(book: &State, entry: u64) -> String {
    let have = book.proposals.get(&entry).map_or(0, |p| p.approvals.len());
    let missing = (book.root().quorum as usize).saturating_sub(have);
    format!("{}: `subak approve {entry}`", describe::count(missing as u64, "more approval"))
}

async fn state_stage(cx: &Context, open: &Open, digest: &Hash, stage: Stage) -> Done<Appended> {
    let event = v1::AgreementStage { agreement: digest.to_vec(), stage: stage.to_wire() };
    counterpart::say_as_anyone(cx, open, vec![Kind::AgreementStage(event)]).await
}

async fn state(cx: &Context, wanted: &str) -> Done {
    let open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let agreement = open.book.agreement(&digest)?;
    let stage = match agreement.progress {
        Progress::Accepted => Stage::Accepted,
        Progress::Offered | Progress::Active => Stage::Offered,
    };
    let appended = state_stage(cx, &open, &digest, stage).await?;
    let short = describe::short(&digest);
    let next = match stage {
        Stage::Offered => {
            format!(
                "next, the commons: `subak agreement accept {short} --ledger {}`",
                agreement.terms.commons_handle
            )
        }
        Stage::Accepted => {
            format!(
                "next, the payer: `subak agreement activate {short} --ledger {}`",
                agreement.terms.payer_handle
            )
        }
    };
    let more = json!({ "agreement": hex::encode(digest), "stage": stage.word() });
    report(cx, &appended, &more, &format!("stated that agreement {short} is {stage}\n  {next}"))
}

/// What somebody agrees to, in sentences.
fn sentences(t: &subak_ledger::book::event::Terms) -> String {
    let on = t
        .product
        .as_ref()
        .map_or_else(|| "all revenue".to_owned(), |p| format!("revenue tagged {p}"));
    let what = match t.base {
        Base::Payout => "whatever is paid out".to_owned(),
        base => format!("{} of {on}, {base}", money::show_share(t.share)),
    };
    format!(
        "agreement {}\n  {} pays {} {what}, in {}\n  to be paid within {}; ends {} after notice",
        describe::short(&t.digest),
        t.payer_handle,
        t.commons_handle,
        t.currency,
        describe::count(t.due_days.into(), "day"),
        describe::count(t.notice_days.into(), "day")
    )
}

async fn accept(cx: &Context, wanted: &str, elsewhere: &Elsewhere) -> Done {
    let mut open = cx.write().await?;
    let there = elsewhere.reader(cx, &open.connection).await?;
    if let Ok(digest) = counterpart::resolve(&open.book, wanted) {
        return Err(Failure::refused(
            "agreement-known",
            format!("agreement {} is accepted here already", describe::short(&digest)),
            format!(
                "let the payer run `subak agreement activate {} --ledger {}`",
                describe::short(&digest),
                open.book.agreement(&digest)?.terms.payer_handle
            ),
        ));
    }
    let (payer, digest) = find_offer(cx, &there, open.info.id, wanted).await?;
    let terms = counterpart::offered_terms(&payer, &digest).await?.ok_or_else(|| {
        Failure::refused(
            "corrupt",
            format!(
                "ledger {} has the agreement, but not the entry that offers it",
                payer.info.name
            ),
            "run `subak audit` on it",
        )
    })?;
    cx.out.note(&sentences(&payer.book.agreement(&digest)?.terms));
    let offered = match counterpart::stage_entry(&payer, &digest, v1::Stage::Offered).await? {
        Some(entry) => entry,
        None => state_offer(cx, elsewhere, &open, &payer, &digest).await?,
    };
    let proof = counterpart::prove(&payer, offered).await?;
    let event = v1::AgreementAccept { terms: Some(terms), proof: Some(proof) };
    let appended = cx.propose(&open, Kind::AgreementAccept(event)).await?;
    cx.refresh(&mut open).await?;
    let short = describe::short(&digest);
    let more = json!({ "agreement": hex::encode(digest) });
    if !open.book.agreements.contains_key(&digest) {
        let text = format!(
            "acceptance of agreement {short} is proposed; it waits for {}\n  then: `subak agreement state {short} --ledger {}`",
            approvals(&open.book, appended.entry),
            open.info.name
        );
        return report(cx, &appended, &more, &text);
    }
    let stated = state_stage(cx, &open, &digest, Stage::Accepted).await?;
    let more = with(more, "stated", stated.entry);
    drop(there);
    match activate_there(cx, elsewhere, &open, &payer, &digest, stated.entry).await {
        Ok(active) => {
            let text = format!(
                "agreement {short} is accepted, and active in {} from its entry {} on",
                payer.info.name, active.entry
            );
            report(cx, &appended, &with(more, "active", active.entry), &text)
        }
        Err(why) => {
            let text = format!(
                "agreement {short} is accepted (stated in entry {})\n  not active yet: {}\n  next, the payer: `subak agreement activate {short} --ledger {}{}`",
                stated.entry,
                why.message,
                payer.info.name,
                elsewhere.hint(cx)
            );
            report(cx, &appended, &more, &text)
        }
    }
}

/// The ledger there that offers the agreement.
async fn find_offer(
    cx: &Context,
    there: &crate::context::Connection,
    mine: LedgerId,
    wanted: &str,
) -> Done<(Open, Hash)> {
    let mut found: Vec<(Open, Hash)> = Vec::new();
    for info in counterpart::others(there, mine).await? {
        let book = there.ledgers.book(info.id).await?;
        let ours = |a: &&Arc<Agreement>| {
            a.terms.commons == mine.0
                && a.terms.payer == info.id.0
                && wanted.len() >= 4
                && hex::encode(a.terms.digest).starts_with(wanted)
        };
        let digests: Vec<Hash> =
            book.agreements.values().filter(ours).map(|a| a.terms.digest).collect();
        for digest in digests {
            found.push((cx.open_ledger(there.clone(), info.clone()).await?, digest));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::refused(
            "unknown-agreement",
            format!("no offer {wanted:?} to this ledger in the payers' ledgers there"),
            "check the digest, and say where the payer's ledger is with --other-db or --other-node",
        )),
        n => Err(Failure::usage(format!("{n} offers fit {wanted:?}"), "give more digits")),
    }
}

/// Nobody has stated the offer yet: anyone may, so it is done here where it can be.
async fn state_offer(
    cx: &Context,
    elsewhere: &Elsewhere,
    open: &Open,
    payer: &Open,
    digest: &Hash,
) -> Done<u64> {
    let writing = Open {
        connection: elsewhere.writer(cx, &open.connection).await?,
        info: payer.info.clone(),
        book: payer.book.clone(),
    };
    let stated = state_stage(cx, &writing, digest, Stage::Offered).await.map_err(|f| Failure {
        next: format!(
            "let the payer run `subak agreement state {} --ledger {}`",
            describe::short(digest),
            payer.info.name
        ),
        ..f
    })?;
    Ok(stated.entry)
}

async fn activate_there(
    cx: &Context,
    elsewhere: &Elsewhere,
    open: &Open,
    payer: &Open,
    digest: &Hash,
    stated: u64,
) -> Done<Appended> {
    let proof = counterpart::prove(open, stated).await?;
    let writing = Open {
        connection: elsewhere.writer(cx, &open.connection).await?,
        info: payer.info.clone(),
        book: payer.book.clone(),
    };
    let event = v1::AgreementActive { agreement: digest.to_vec(), proof: Some(proof) };
    counterpart::say_as_anyone(cx, &writing, vec![Kind::AgreementActive(event)]).await
}

async fn activate(cx: &Context, wanted: &str, elsewhere: &Elsewhere) -> Done {
    let open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let terms = open.book.agreement(&digest)?.terms.clone();
    let there = elsewhere.reader(cx, &open.connection).await?;
    let commons = counterpart::require(cx, &there, terms.commons, &terms.commons_handle).await?;
    let stated = counterpart::stage_entry(&commons, &digest, v1::Stage::Accepted).await?;
    let short = describe::short(&digest);
    let stated = stated.ok_or_else(|| {
        let accepted = commons.book.agreements.contains_key(&digest);
        let verb = if accepted { "state" } else { "accept" };
        Failure::refused(
            "agreement-stage-wrong",
            format!(
                "ledger {} does not state that it has accepted agreement {short}",
                commons.info.name
            ),
            format!(
                "let the commons run `subak agreement {verb} {short} --ledger {}`",
                commons.info.name
            ),
        )
    })?;
    let proof = counterpart::prove(&commons, stated).await?;
    let event = v1::AgreementActive { agreement: digest.to_vec(), proof: Some(proof) };
    let appended =
        counterpart::say_as_anyone(cx, &open, vec![Kind::AgreementActive(event)]).await?;
    let more = json!({ "agreement": hex::encode(digest) });
    let text =
        format!("agreement {short} is active: shares fall due on what is recorded from now on");
    report(cx, &appended, &more, &text)
}

async fn end(cx: &Context, wanted: &str) -> Done {
    let mut open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let event = v1::AgreementEnd { agreement: digest.to_vec() };
    let appended = cx.propose(&open, Kind::AgreementEnd(event)).await?;
    cx.refresh(&mut open).await?;
    let short = describe::short(&digest);
    let ends_at = open.book.agreement(&digest)?.ends_at;
    let text = match ends_at {
        Some(at) => {
            format!("agreement {short} ends on {}; what is due stays due", money::show_date(at))
        }
        None => format!(
            "the end of agreement {short} is proposed; it waits for {}",
            approvals(&open.book, appended.entry)
        ),
    };
    let more =
        json!({ "agreement": hex::encode(digest), "ends_at": ends_at.map(money::show_time) });
    report(cx, &appended, &more, &text)
}

/// An agreement's figures, in minor units.
pub struct Figures {
    /// Shares less what was taken back.
    pub due: i128,
    /// Of it, paid.
    pub settled: i128,
    /// Of it, given up (commons).
    pub written_off: i128,
    /// To be paid.
    pub open: i128,
    /// Paid beyond what is due.
    pub credit: i128,
}

/// Sums an agreement's items.
pub fn figures(book: &State, a: &Agreement) -> Figures {
    let due: i128 =
        a.dues.items.values().map(|i| i128::from(i.due) - i128::from(i.due_reversed)).sum();
    let settled = i128::try_from(a.settled).expect("cash is limited by MAX_MONEY");
    let off = a.written_off.iter().filter_map(|n| book.income(*n).ok());
    let written_off = off.map(|i| i128::from(i.written_off)).sum();
    Figures {
        due,
        settled,
        written_off,
        open: due - settled - written_off,
        credit: a.credit().into(),
    }
}

async fn list(cx: &Context) -> Done {
    let open = cx.read().await?;
    let book = &open.book;
    let data: Vec<Value> = book.agreements.values().map(|a| row(book, a)).collect();
    let text = if book.agreements.is_empty() {
        "no agreements yet: a payer offers one with `subak agreement offer`".to_owned()
    } else {
        let blocks: Vec<String> = book.agreements.values().map(|a| block(cx, book, a)).collect();
        blocks.join("\n\n")
    };
    cx.out.result("subak.agreement/1", &json!({ "agreements": data }), &text)
}

fn stage(book: &State, a: &Agreement) -> String {
    match (a.frozen, a.ends_at, a.progress) {
        (Some(entry), ..) => format!("frozen by entry {entry}"),
        (_, Some(end), _) if book.time >= end => format!("ended on {}", money::show_date(end)),
        (_, Some(end), _) => format!("active until {}", money::show_date(end)),
        (.., Progress::Offered) => "offered".into(),
        (.., Progress::Active) => "active".into(),
        (.., Progress::Accepted) => "accepted".into(),
    }
}

fn row(book: &State, a: &Agreement) -> Value {
    let (t, f) = (&a.terms, figures(book, a));
    let m = |v| money::json(v, t.currency);
    json!({
        "agreement": hex::encode(t.digest), "stage": stage(book, a),
        "payer": t.payer_handle.as_str(), "commons": t.commons_handle.as_str(),
        "payer_ledger": hex::encode(t.payer), "commons_ledger": hex::encode(t.commons),
        "share_ppm": t.share, "base": t.base.word(), "currency": t.currency.as_str(),
        "product": t.product.as_ref().map(Handle::as_str),
        "due_days": t.due_days, "notice_days": t.notice_days,
        "due": m(f.due), "settled": m(f.settled), "written_off": m(f.written_off),
        "open": m(f.open), "credit": m(f.credit), "last": a.dues.last,
        "frozen": a.frozen, "ends_at": a.ends_at.map(money::show_time),
    })
}

fn block(cx: &Context, book: &State, a: &Agreement) -> String {
    let (t, f) = (&a.terms, figures(book, a));
    let what = match t.base {
        Base::Payout => "payouts".to_owned(),
        base => format!("{} of {base}", money::show_share(t.share)),
    };
    let on = t.product.as_ref().map_or_else(String::new, |p| format!(" on {p}"));
    let due = if a.progress == Progress::Accepted { "taken" } else { "due" };
    let mut parts = vec![format!("{due} {}", money::plain(f.due, t.currency))];
    parts.push(format!("settled {}", money::plain(f.settled, t.currency)));
    if f.written_off > 0 {
        parts.push(format!("written off {}", money::plain(f.written_off, t.currency)));
    }
    parts.push(format!("open {}", money::plain(f.open, t.currency)));
    if f.credit > 0 {
        parts.push(format!("credit {}", money::plain(f.credit, t.currency)));
    }
    let mut stage = stage(book, a);
    if a.frozen.is_some() {
        stage = cx.out.bad(&stage);
    }
    format!(
        "{}  {} -> {}  {what}{on}, {}  {stage}\n          {}\n          last number {}",
        cx.out.strong(&describe::short(&t.digest)),
        t.payer_handle,
        t.commons_handle,
        t.currency,
        parts.join(", "),
        a.dues.last,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_with_a_sign() {
        assert_eq!(share("10 %").unwrap(), 100_000);
        assert_eq!(share("2.5%").unwrap(), 25_000);
        assert_eq!(share("100 %").unwrap(), 1_000_000);
        assert_eq!(share("0.0001 %").unwrap(), 1);
        for bad in ["10", "0 %", "101 %", "0.00001 %", "-1 %", "%", "ten %"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
