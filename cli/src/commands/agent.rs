//! `subak agent`: agents of a ledger.

use crate::{
    commands::{contribute::report, frozen},
    context::{Context, Texts},
    failure::{Done, Failure},
    money,
};
use clap::Subcommand;
use serde_json::json;
use subak_ledger::book::types::{AgentKind, Handle};
use subak_proto::v1::{self, event::Kind};

/// Agents: add, admit, list, claim, add a key.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Add an agent: an institution, or a person with or without a key (stewards, maintainers)
    #[command(
        after_help = "Examples:\n  subak agent add our-association --kind association\n  subak agent add ben --key-of <public key> --name \"Ben\""
    )]
    Add {
        /// Handle
        handle: String,
        /// person, phyle, commons, association, trust or authority
        #[arg(long, default_value = "person")]
        kind: String,
        /// Public key of a person
        #[arg(long = "key-of", id = "key_of", value_name = "HEX")]
        key: Option<String>,
        /// Name; only a commitment to it enters the log
        #[arg(long)]
        name: Option<String>,
        /// E-mail; only a commitment to it enters the log
        #[arg(long)]
        email: Option<String>,
    },
    /// Admit somebody who has introduced themself (stewards, maintainers)
    #[command(after_help = "Example:\n  subak agent admit ana --as ben")]
    Admit {
        /// Handle
        handle: String,
    },
    /// Refuse newcomers: they author nothing more here and their claims are not
    /// validated; `subak agent admit` undoes it (stewards, maintainers)
    #[command(after_help = "Example:\n  subak agent refuse stranger-1 stranger-2 --as ben")]
    Refuse {
        /// Handles
        #[arg(required = true, value_name = "HANDLE")]
        handles: Vec<String>,
    },
    /// List agents
    #[command(after_help = "Examples:\n  subak agent list\n  subak agent list --unclaimed")]
    List {
        /// Only people without a key whom nobody has claimed
        #[arg(long)]
        unclaimed: bool,
    },
    /// Say that an unclaimed agent is you; or, as a maintainer, attest such a claim
    #[command(
        after_help = "Examples:\n  subak agent claim p-3f9c --as ana\n  subak agent claim p-3f9c --attest ana --as ben"
    )]
    Claim {
        /// The unclaimed agent
        handle: String,
        /// Attest that it is this person
        #[arg(long, value_name = "HANDLE")]
        attest: Option<String>,
    },
    /// Propose another key for somebody who has lost theirs (stewards, by quorum)
    ///
    /// The person makes a key and sends what `subak key possess` prints. The lost key is
    /// revoked in the same proposal where --revoke names it; with --since what it has signed
    /// since then is frozen until `subak key confirm`.
    #[command(
        after_help = "Example:\n  subak agent recover ana PUBLICKEY --possession HEX --revoke 5bdd4d44 --since 2026-11-03 --as sam"
    )]
    Recover(super::key::Recover),
    /// Add a key of another device for yourself
    #[command(
        after_help = "Example:\n  subak key new ana --out laptop.key\n  subak agent key laptop.key --as ana"
    )]
    Key {
        /// The new key's file
        file: std::path::PathBuf,
    },
}

impl Agent {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Add { handle, kind, key, name, email } => {
                add(cx, handle, &kind, key, name, email).await
            }
            Self::Admit { handle } => {
                let open = cx.write().await?;
                let event = Kind::AgentAdmit(v1::AgentAdmit { agent: handle.clone() });
                let appended = cx.say(&open, vec![event], Texts::default()).await?;
                report(cx, &appended, &json!({ "agent": handle }), &format!("{handle} is admitted"))
            }
            Self::Refuse { handles } => {
                let open = cx.write().await?;
                let event = Kind::AgentRefuse(v1::AgentRefuse { agent: handles.clone() });
                let appended = cx.say(&open, vec![event], Texts::default()).await?;
                let told = format!("refused: {}", handles.join(", "));
                report(cx, &appended, &json!({ "agents": handles }), &told)
            }
            Self::List { unclaimed } => list(cx, unclaimed).await,
            Self::Claim { handle, attest } => claim(cx, handle, attest).await,
            Self::Recover(c) => c.run(cx).await,
            Self::Key { file } => key(cx, &file).await,
        }
    }
}

async fn add(
    cx: &Context,
    handle: String,
    kind: &str,
    key: Option<String>,
    name: Option<String>,
    email: Option<String>,
) -> Done {
    let kind = AgentKind::from_word(kind).ok_or_else(|| {
        Failure::usage(
            format!("kind {kind:?}"),
            "use person, phyle, commons, association, trust or authority",
        )
    })?;
    let key = key.map_or(Ok(Vec::new()), |text| {
        hex::decode(&text).ok().filter(|k| k.len() == 32).ok_or_else(|| {
            Failure::usage("a public key is 64 hex digits", "let the person run `subak key show`")
        })
    })?;
    let open = cx.write().await?;
    let author = cx.author()?;
    let mut texts = Texts::default();
    let mut commit = |field: &str, text: &Option<String>| match text {
        Some(text) => texts.commit(&open.info.id, &author, field, text),
        None => Ok(Vec::new()),
    };
    let (name, email) = (commit("name", &name)?, commit("email", &email)?);
    let event = v1::AgentAdd { handle: handle.clone(), kind: kind.to_wire(), key, name, email };
    let appended = cx.say(&open, vec![Kind::AgentAdd(event)], texts).await?;
    report(
        cx,
        &appended,
        &json!({ "agent": handle }),
        &format!("{handle} is an agent here ({kind})"),
    )
}

async fn list(cx: &Context, unclaimed: bool) -> Done {
    let open = cx.read().await?;
    let book = &open.book;
    let nobody = |a: &subak_ledger::book::state::Agent| a.is_keyless() && a.alias.is_none();
    let agents: Vec<_> = book.agents.iter().filter(|a| !unclaimed || nobody(a)).collect();
    let state = |a: &subak_ledger::book::state::Agent| match a.alias {
        Some((person, _)) => format!("is {}", book.agent(person).handle),
        None if a.clerk => "the node's clerk".into(),
        None if nobody(a) => "unclaimed".into(),
        None if a.refused => "refused".into(),
        None if !a.admitted => "not admitted".into(),
        None if a.keys.is_empty() && a.had_keys => "key revoked".into(),
        None => a.roles.iter().map(|r| r.word()).collect::<Vec<_>>().join(", "),
    };
    let data: Vec<_> = agents
        .iter()
        .map(|a| {
            json!({
                "handle": a.handle.as_str(), "kind": a.kind.word(), "admitted": a.admitted,
                "refused": a.refused,
                "roles": a.roles.iter().map(|r| r.word()).collect::<Vec<_>>(),
                "keys": a.keys.iter().map(hex::encode).collect::<Vec<_>>(),
                "revoked_keys": frozen::revoked_keys(book, a.id),
                "frozen": book.frozen(a.id).map(|f| book.why(&f)),
                "alias_of": a.alias.map(|(p, _)| book.agent(p).handle.to_string()),
                "unclaimed": nobody(a), "points": money::show_thousandths(book.points(a.id).into()),
                "entry": a.entry,
            })
        })
        .collect();
    let rows: Vec<Vec<String>> = agents
        .iter()
        .map(|a| {
            let key =
                a.keys.first().map_or(String::new(), |k| format!("{}…", &hex::encode(k)[..8]));
            let more =
                if a.keys.len() > 1 { format!(" +{}", a.keys.len() - 1) } else { String::new() };
            vec![
                a.handle.to_string(),
                a.kind.to_string(),
                state(a),
                format!("{key}{more}"),
                money::show_thousandths(book.points(a.id).into()),
            ]
        })
        .collect();
    let mut text = cx.out.table(&["agent", "kind", "standing", "key", ">points"], &rows);
    text.push_str(&frozen::lines(book, agents.iter().map(|a| a.id)));
    cx.out.result("subak.agent/1", &json!({ "agents": data }), &text)
}

async fn claim(cx: &Context, handle: String, attest: Option<String>) -> Done {
    let open = cx.write().await?;
    let Some(claimant) = attest else {
        let mut events = Vec::new();
        if !open.book.handles.contains_key(&cx.author()?) {
            events.push(Kind::AgentJoin(v1::AgentJoin::default()));
        }
        let claim = v1::AgentClaim { unclaimed: handle.clone(), evidence: vec![] };
        events.push(Kind::AgentClaim(claim));
        let appended = cx.say(&open, events, Texts::default()).await?;
        let text = format!(
            "claimed; maintainers attest it:\n  subak agent claim {handle} --attest {} --as MAINTAINER",
            cx.author()?
        );
        return report(cx, &appended, &json!({ "unclaimed": handle }), &text);
    };
    let event = v1::ClaimAttest { unclaimed: handle.clone(), claimant: claimant.clone() };
    let appended = cx.say(&open, vec![Kind::ClaimAttest(event)], Texts::default()).await?;
    let book = open.connection.ledgers.book(open.info.id).await?;
    let holds = book.agent(book.find(&Handle::new(&handle)?)?).alias.is_some();
    let text = if holds {
        format!("{handle} is {claimant}")
    } else {
        "attested; more maintainers are needed".into()
    };
    report(
        cx,
        &appended,
        &json!({ "unclaimed": handle, "claimant": claimant, "holds": holds }),
        &text,
    )
}

async fn key(cx: &Context, file: &std::path::Path) -> Done {
    let open = cx.write().await?;
    let author = cx.author()?;
    let new = crate::keys::read(file)?;
    let public = new.public().bytes();
    let text = subak_ledger::book::agents::possession_text(&open.info.id.0, &author, &public);
    let event = v1::KeyAdd { key: public.to_vec(), possession: new.sign(&text).to_vec() };
    let appended = cx.say(&open, vec![Kind::KeyAdd(event)], Texts::default()).await?;
    let public = hex::encode(public);
    report(
        cx,
        &appended,
        &json!({ "key": public }),
        &format!("{author} may now sign with {public} too"),
    )
}
