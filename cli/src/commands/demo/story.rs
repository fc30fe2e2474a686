//! The demo's year, as command lines.
//!
//! Owns the plot: who is there, what is earned, what goes wrong. Leaves out how a
//! command line is run (`demo`).

use super::Stage;
use crate::{
    failure::{Done, Failure},
    import::History,
    import_ledger::history::{Claiming, import_history},
    money,
};
use serde_json::Value;
use subak_ledger::book::types::{DAY_MS, Handle};

const COMMONS: &str = "sample-commons";
const UPSTREAM: &str = "sample-upstream";
const ONE: &str = "sample-one";
const TWO: &str = "sample-two";
const ASSOCIATION: &str = "sample-assoc";
const TRUST: &str = "sample-trust";
/// The two stewards, who also maintain; the first keeps the cash.
const ADA: &str = "sample-steward-a";
const BEA: &str = "sample-steward-b";
/// Who keeps the phyles' and the upstream commons' books.
const TESS: &str = "sample-treasurer";
const PEOPLE: [&str; 3] = ["sample-person-a", "sample-person-b", "sample-person-c"];

/// What the year's income came under.
struct Deals {
    one: String,
    two: String,
    upstream: String,
}

pub(super) async fn play(stage: &Stage, history: &History, origin: &str, now: u64) -> Done {
    let start = now - 364 * DAY_MS;
    stage.tell(&format!(
        "A sample commons with {origin}, and a year of sample business on top of it.\n"
    ))?;
    found(stage, start).await?;
    let deals = agree(stage, start + DAY_MS).await?;
    let mut people = Vec::new();
    for month in 0..12 {
        let at = start + 2 * DAY_MS + month * 30 * DAY_MS;
        work(stage, history, at).await?;
        earn(stage, &deals, month, at + DAY_MS).await?;
        if month == 6 {
            people = claim(stage, at + 20 * DAY_MS).await?;
        }
    }
    let run = pay(stage, &deals, &people, start + 362 * DAY_MS).await?;
    look(stage, run, &people).await
}

/// The ledgers, their keys, and the stewards' approvals.
async fn found(stage: &Stage, at: u64) -> Done {
    for who in [ADA, BEA, TESS].iter().chain(&PEOPLE) {
        let file = stage.home.join("keys").join(format!("{who}.key")).display().to_string();
        stage.run(at, "", "", &["key", "new", who, "--out", &file]).await?;
    }
    stage
        .run(
            at,
            "",
            ADA,
            &[
                "commons",
                "open",
                COMMONS,
                "--sandbox",
                "--steward",
                ADA,
                "--steward",
                BEA,
                "--quorum",
                "2",
                "--template",
                "points-with-decay",
                "--association",
                ASSOCIATION,
                "--trust",
                TRUST,
                "--upstream",
                UPSTREAM,
                "--phyle",
                ONE,
                "--phyle",
                TWO,
            ],
        )
        .await?;
    stage.run(at, COMMONS, BEA, &["approve", "0"]).await?;
    stage
        .run(
            at,
            "",
            TESS,
            &["commons", "open", UPSTREAM, "--sandbox", "--steward", TESS, "--template", "solo"],
        )
        .await?;
    stage.run(at, UPSTREAM, TESS, &["agent", "add", COMMONS, "--kind", "commons"]).await?;
    for phyle in [ONE, TWO] {
        stage
            .run(
                at,
                "",
                TESS,
                &["phyle", "open", phyle, "--sandbox", "--steward", TESS, "--commons", COMMONS],
            )
            .await?;
    }
    stage.tell(&format!(
        "opened   {COMMONS} (its two stewards must agree; value equation\n         points-with-decay), {UPSTREAM}, {ONE}, {TWO}"
    ))
}

/// Offer, accept, activate: 10 % of what phyle one earns, 5 % of phyle two, and what
/// the commons pays upstream.
async fn agree(stage: &Stage, at: u64) -> Done<Deals> {
    let one = deal(stage, at, ONE, TESS, "10 %", "net").await?;
    let two = deal(stage, at, TWO, TESS, "5 %", "net").await?;
    let offer = stage
        .run(
            at,
            COMMONS,
            ADA,
            &[
                "agreement",
                "offer",
                "--commons-ledger",
                UPSTREAM,
                "--share",
                "100 %",
                "--base",
                "payout",
                "--currency",
                "EUR",
            ],
        )
        .await?;
    let entry = text(&offer, "entry")?;
    stage.run(at, COMMONS, BEA, &["approve", &entry]).await?;
    let upstream = text(&offer, "agreement")?;
    stage.run(at, COMMONS, BEA, &["agreement", "state", &upstream]).await?;
    stage.run(at, UPSTREAM, TESS, &["agreement", "accept", &upstream]).await?;
    stage.tell("agreed   phyle one pays 10 % of its net revenue, phyle two 5 %;\n         what the commons pays upstream is income there")?;
    Ok(Deals { one, two, upstream })
}

async fn deal(
    stage: &Stage,
    at: u64,
    phyle: &str,
    who: &str,
    share: &str,
    base: &str,
) -> Done<String> {
    let offer = stage
        .run(
            at,
            phyle,
            who,
            &[
                "agreement",
                "offer",
                "--commons-ledger",
                COMMONS,
                "--share",
                share,
                "--base",
                base,
                "--currency",
                "EUR",
            ],
        )
        .await?;
    let digest = text(&offer, "agreement")?;
    let accept = stage.run(at, COMMONS, ADA, &["agreement", "accept", &digest]).await?;
    let entry = text(&accept, "entry")?;
    stage.run(at, COMMONS, BEA, &["approve", &entry]).await?;
    stage.run(at, COMMONS, BEA, &["agreement", "state", &digest]).await?;
    stage.run(at, phyle, who, &["agreement", "activate", &digest]).await?;
    Ok(digest)
}

/// What was done up to this moment is claimed, and both maintainers validate it.
async fn work(stage: &Stage, history: &History, at: u64) -> Done {
    let cx = stage.context(at, COMMONS, ADA)?;
    let open = cx.write().await?;
    let author = cx.author()?;
    let secret = cx.secret(&author)?;
    let imported =
        import_history(&cx, &open, &author, &secret, history, Claiming::default()).await?;
    if imported.new_contributions == 0 {
        return Ok(());
    }
    for maintainer in [ADA, BEA] {
        stage
            .run(
                at,
                COMMONS,
                maintainer,
                &["validate", "--all-pending", "--remuneration", "unpaid"],
            )
            .await?;
    }
    stage.tell(&format!(
        "{}  {} commits{} claimed and validated",
        money::show_date(at),
        imported.new_contributions,
        if imported.new_agents > 0 {
            format!(", {} new people,", imported.new_agents)
        } else {
            String::new()
        }
    ))
}

/// One month of business.
async fn earn(stage: &Stage, deals: &Deals, month: u64, at: u64) -> Done {
    let number = month + 1;
    let net = format!("{}.00 EUR", 9_000 + 1_500 * (month * 7 % 5));
    let tax = format!("{}.00 EUR", (9_000 + 1_500 * (month * 7 % 5)) / 5);
    let invoice = format!("a/{number}");
    stage
        .run(at, ONE, TESS, &["revenue", "record", &invoice, "--net", &net, "--tax", &tax])
        .await?;
    if matches!(month, 1 | 4 | 7) {
        let invoice = format!("b/{}", month / 3 + 1);
        stage.run(at, TWO, TESS, &["revenue", "record", &invoice, "--net", "24000.00 EUR"]).await?;
    }
    if month == 4 {
        // A third of an invoice that was settled long ago is refunded.
        stage
            .run(
                at,
                ONE,
                TESS,
                &["revenue", "reverse", "a/3", "--net", "4000.00 EUR", "--cause", "credit-note"],
            )
            .await?;
        stage.tell(&format!(
            "{}  phyle one refunds 4,000.00 EUR of invoice a/3",
            money::show_date(at)
        ))?;
    }
    stage.run(at, COMMONS, ADA, &["income", "take"]).await?;
    settle(stage, ONE, &deals.one, at + 9 * DAY_MS).await?;
    if month == 9 {
        // Phyle two settles late, and never its third invoice, which is written off.
        settle_late(stage, deals, at + 9 * DAY_MS).await?;
    }
    Ok(())
}

/// Phyle sends what is open, the commons receives it.
async fn settle(stage: &Stage, phyle: &str, digest: &str, at: u64) -> Done {
    let book = stage.book(phyle).await?;
    let hash = parse_digest(digest)?;
    let agreement = book.agreement(&hash)?;
    let open: u64 = agreement
        .open
        .iter()
        .map(|n| &agreement.dues.items[n])
        .map(|i| i.due - i.due_reversed - i.sent)
        .sum();
    if open == 0 {
        return Ok(());
    }
    let amount = money::show(open.into(), agreement.terms.currency);
    let bank = format!("transfer of {}", money::show_date(at));
    stage
        .run(at, phyle, TESS, &["settle", "sent", digest, "--amount", &amount, "--bank", &bank])
        .await?;
    let (later, bank) = (at + DAY_MS, format!("{phyle}, {bank}"));
    stage
        .run(
            later,
            COMMONS,
            ADA,
            &["settle", "received", digest, "--amount", &amount, "--bank", &bank],
        )
        .await?;
    Ok(())
}

async fn settle_late(stage: &Stage, deals: &Deals, at: u64) -> Done {
    let bank = "late transfer";
    for (ledger, who, verb, when) in
        [(TWO, TESS, "sent", at), (COMMONS, ADA, "received", at + DAY_MS)]
    {
        stage
            .run(
                when,
                ledger,
                who,
                &["settle", verb, &deals.two, "--amount", "2400.00 EUR", "--bank", bank],
            )
            .await?;
    }
    let book = stage.book(COMMONS).await?;
    let hash = parse_digest(&deals.two)?;
    let income = book.agreement(&hash)?.open.iter().next().copied();
    let income = income.ok_or_else(|| missing("an open income of phyle two"))?.to_string();
    let when = at + 2 * DAY_MS;
    let proposal = stage.run(when, COMMONS, ADA, &["income", "write-off", &income]).await?;
    stage.run(when, COMMONS, BEA, &["approve", &text(&proposal, "entry")?]).await?;
    stage.tell(&format!(
        "{}  phyle two settles two invoices late; its third is never paid and written off",
        money::show_date(when)
    ))
}

/// The three who contributed most say who they are, and the maintainers attest it.
async fn claim(stage: &Stage, at: u64) -> Done<Vec<String>> {
    let book = stage.book(COMMONS).await?;
    let mut unclaimed: Vec<(u64, Handle)> = book
        .agents
        .iter()
        .filter(|a| a.is_keyless() && a.alias.is_none())
        .map(|a| (book.points(a.id), a.handle.clone()))
        .collect();
    unclaimed.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut claimed = Vec::new();
    for (person, (_, agent)) in PEOPLE.iter().zip(&unclaimed) {
        let agent = agent.to_string();
        stage.run(at, COMMONS, person, &["agent", "claim", &agent]).await?;
        stage.run(at, COMMONS, ADA, &["agent", "admit", person]).await?;
        for maintainer in [ADA, BEA] {
            stage
                .run(at, COMMONS, maintainer, &["agent", "claim", &agent, "--attest", person])
                .await?;
        }
        claimed.push(agent);
    }
    stage.tell(&format!(
        "{}  {} contributors claim what is theirs",
        money::show_date(at),
        claimed.len()
    ))?;
    Ok(claimed)
}

/// One run; the bank refuses the last contributor's line.
async fn pay(stage: &Stage, deals: &Deals, people: &[String], at: u64) -> Done<String> {
    let run = stage.run(at, COMMONS, ADA, &["payout", "propose", "--all"]).await?;
    let run = text(&run, "entry")?;
    let later = at + DAY_MS / 2;
    let book = stage.book(COMMONS).await?;
    let lines = &book.runs[&run.parse::<u64>().map_err(|_| missing("the run's entry"))?].lines;
    let handles: Vec<String> =
        lines.iter().map(|l| book.agent(l.agent).handle.to_string()).collect();
    let refused = people.iter().rev().find(|p| handles.contains(p));
    if let Some(refused) = refused {
        stage
            .run(
                later,
                COMMONS,
                ADA,
                &["payout", "paid", &run, "--except", refused, "--bank", "batch one"],
            )
            .await?;
        stage
            .run(
                later,
                COMMONS,
                ADA,
                &["payout", "failed", &run, refused, "--reason", "account-closed"],
            )
            .await?;
    } else {
        stage.run(later, COMMONS, ADA, &["payout", "paid", &run, "--bank", "batch one"]).await?;
    }
    stage.run(later, UPSTREAM, TESS, &["income", "take"]).await?;
    let upstream = stage.book(UPSTREAM).await?;
    let taken = upstream.agreement(&parse_digest(&deals.upstream)?)?;
    for number in taken.open.clone() {
        let amount = money::show(upstream.income(number)?.open().into(), taken.terms.currency);
        stage
            .run(
                later,
                UPSTREAM,
                TESS,
                &[
                    "settle",
                    "received",
                    &deals.upstream,
                    "--amount",
                    &amount,
                    "--bank",
                    "from sample-commons",
                ],
            )
            .await?;
    }
    stage.tell(&format!(
        "{}  one payout run: {} lines, one of them refused by the bank",
        money::show_date(at),
        handles.len()
    ))?;
    Ok(run)
}

/// Where everything went, and why: the commands that anybody runs.
async fn look(stage: &Stage, run: String, people: &[String]) -> Done {
    stage.show(COMMONS, &["income", "list"]).await?;
    stage.show(COMMONS, &["balance", "--top", "12"]).await?;
    stage.show(COMMONS, &["payout", "list", &run]).await?;
    stage.show(COMMONS, &["agreement", "list"]).await?;
    if let Some(person) = people.first() {
        stage.show(COMMONS, &["explain", person]).await?;
        let book = stage.book(COMMONS).await?;
        let agent = book.find(&Handle::new(person)?)?;
        let last =
            book.currencies().iter().flat_map(|c| book.reasons(agent, *c)).map(|r| r.income).max();
        if let Some(income) = last {
            stage.show(COMMONS, &["explain", person, "--income", &income.to_string()]).await?;
        }
    }
    let db = stage.db.display().to_string();
    stage.show("", &["audit", &db]).await?;
    let first = people.first().map_or("AGENT", String::as_str);
    stage.tell(&format!(
        "\nAll of it is in {db}, its keys beside it in {}. Try:\n\n  export SUBAK_DB={db} SUBAK_LEDGER={COMMONS}\n  subak log\n  subak show 0\n  subak explain {first}\n  subak held list\n  subak proposals\n  subak equation show\n  subak contribute 2 --kind hours --as {}\n  subak agreement list --ledger {ONE}\n  subak audit {db}",
        stage.home.join("keys").display(),
        PEOPLE[0],
    ))
}

fn parse_digest(text: &str) -> Done<subak_ledger::log::Hash> {
    let bytes = hex::decode(text).ok().and_then(|b| b.try_into().ok());
    bytes.ok_or_else(|| missing("an agreement's digest"))
}

fn text(data: &Value, field: &str) -> Done<String> {
    match data.get(field) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(Value::Number(n)) => Ok(n.to_string()),
        _ => Err(missing(field)),
    }
}

fn missing(what: &str) -> Failure {
    Failure::refused(
        "demo",
        format!("the demo did not find {what}"),
        "this is a bug of the demo: report it",
    )
}
