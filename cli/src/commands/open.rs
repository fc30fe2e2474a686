//! `subak commons` and `subak phyle`: open a ledger, show it.

use crate::{
    context::{Connection, Context, Open, Texts, random},
    describe,
    failure::{Done, Failure},
    keys, money,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{fs, path::PathBuf};
use subak_ledger::{
    book::{
        equation_toml,
        handover::Tenure,
        templates::{Institutions, template},
        types::{AgentKind, DAY_MS, Role},
    },
    log::{Draft, Handle, Header, LedgerId, PublicKey, checkpoint::verifier_key},
};
use subak_node::Appended;
use subak_proto::v1::{self, event::Kind};

/// The ledger of a commons.
#[derive(Debug, Subcommand)]
pub enum Commons {
    /// Open a contribution ledger, with a value equation that is in force at once
    #[command(
        after_help = "Examples:\n  subak key new ana\n  subak commons open our-commons --steward ana\n  subak commons open our-commons --steward ana --steward ben=<public key> --quorum 2 \\\n      --association our-association --template points-with-decay"
    )]
    Open(OpenCommons),
    /// Show the ledger: id, keys, stewards, equation, size
    #[command(after_help = "Example:\n  subak commons show --ledger our-commons")]
    Show(Show),
}

/// The ledger of a phyle, an association, a trust or an authority.
#[derive(Debug, Subcommand)]
pub enum Phyle {
    /// Open a revenue ledger
    #[command(
        after_help = "Example:\n  subak phyle open our-phyle --steward tess --commons our-commons"
    )]
    Open(OpenPhyle),
    /// Show the ledger: id, keys, stewards, size
    #[command(after_help = "Example:\n  subak phyle show --ledger our-phyle")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Founding {
    /// Name of the ledger: a handle
    pub(super) name: String,
    /// A steward: HANDLE (whose key is here) or HANDLE=PUBLICKEY; the first one signs
    #[arg(long = "steward", required = true, value_name = "HANDLE[=KEY]")]
    pub(super) stewards: Vec<String>,
    /// How many stewards decide together
    #[arg(long, default_value_t = 1, value_name = "M")]
    pub(super) quorum: u32,
    /// A ledger for trying out: dates in it may be chosen, all output says SANDBOX
    #[arg(long)]
    pub(super) sandbox: bool,
}

/// What a ledger is to be, beside who founds it.
pub(super) struct Birth {
    pub(super) kind: AgentKind,
    /// Roles of the stewards, further ones.
    pub(super) roles: Vec<i32>,
    pub(super) agents: Vec<v1::AgentAdd>,
    pub(super) equation: Option<v1::Equation>,
    pub(super) parent: Option<v1::Parent>,
}

/// Arguments of `commons open`.
#[derive(Debug, Args)]
pub struct OpenCommons {
    #[command(flatten)]
    founding: Founding,
    /// Template of the value equation: equal, hours, points-with-decay or solo
    #[arg(long, default_value = "solo", conflicts_with = "equation")]
    template: String,
    /// A value equation of your own, in TOML
    #[arg(long, value_name = "FILE")]
    equation: Option<PathBuf>,
    /// Handle of the for-benefit association
    #[arg(long, value_name = "HANDLE")]
    association: Option<String>,
    /// Handle of the trust
    #[arg(long, value_name = "HANDLE")]
    trust: Option<String>,
    /// Handle of the upstream commons
    #[arg(long, value_name = "HANDLE")]
    upstream: Option<String>,
    /// Handle of a phyle that will pay; more can be added later
    #[arg(long = "phyle", value_name = "HANDLE")]
    phyles: Vec<String>,
}

/// Arguments of `phyle open`.
#[derive(Debug, Args)]
pub struct OpenPhyle {
    #[command(flatten)]
    founding: Founding,
    /// What keeps it: phyle, association, trust or authority
    #[arg(long, default_value = "phyle")]
    kind: String,
    /// Handle of a commons that it will pay; more can be added later
    #[arg(long = "commons", value_name = "HANDLE")]
    commons: Vec<String>,
}

impl Commons {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Open(o) => o.run(cx).await,
            Self::Show(show) => show.run(cx).await,
        }
    }
}

impl Phyle {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Open(o) => o.run(cx).await,
            Self::Show(show) => show.run(cx).await,
        }
    }
}

impl OpenCommons {
    async fn run(self, cx: &Context) -> Done {
        let text = match &self.equation {
            Some(file) => fs::read_to_string(file).map_err(|e| Failure::file(file, &e))?,
            None => template(
                &self.template,
                &Institutions {
                    association: self.association.as_deref(),
                    upstream: self.upstream.as_deref(),
                    trust: self.trust.as_deref(),
                },
            )?,
        };
        let equation = equation_toml::parse(&text, &money::exponent).map_err(|f| {
            Failure::refused(
                "equation-malformed",
                f.to_string(),
                "correct it: `subak equation check FILE`",
            )
        })?;
        let mut agents = Vec::new();
        let institutions = [
            (self.association.as_slice(), AgentKind::Association),
            (self.trust.as_slice(), AgentKind::Trust),
            (self.upstream.as_slice(), AgentKind::Commons),
            (self.phyles.as_slice(), AgentKind::Phyle),
        ];
        for (handles, kind) in institutions {
            agents.extend(handles.iter().map(|h| institution(h, kind)));
        }
        let roles = vec![Role::Maintainer.to_wire(), Role::Treasurer.to_wire()];
        let equation = Some(equation);
        let birth = Birth { kind: AgentKind::Commons, roles, agents, equation, parent: None };
        open_here(cx, self.founding, birth).await
    }
}

impl OpenPhyle {
    async fn run(self, cx: &Context) -> Done {
        let kind = AgentKind::from_word(&self.kind)
            .filter(|k| !matches!(k, AgentKind::Person | AgentKind::Commons))
            .ok_or_else(|| {
                Failure::usage(
                    format!("kind {:?} keeps no revenue ledger", self.kind),
                    "use phyle, association, trust or authority",
                )
            })?;
        let agents = self.commons.iter().map(|h| institution(h, AgentKind::Commons)).collect();
        let roles = vec![Role::Treasurer.to_wire()];
        let birth = Birth { kind, roles, agents, equation: None, parent: None };
        open_here(cx, self.founding, birth).await
    }
}

/// An agent without a key, of an institution.
pub fn institution(handle: &str, kind: AgentKind) -> v1::AgentAdd {
    v1::AgentAdd { handle: handle.into(), kind: kind.to_wire(), ..Default::default() }
}

async fn open_here(cx: &Context, founding: Founding, birth: Birth) -> Done {
    let connection = cx.writer(true).await?;
    let appended = found(cx, &connection, founding, birth).await?;
    report_opened(cx, &connection, &appended).await
}

/// Founds a ledger at a connection: the first steward signs its genesis.
pub(super) async fn found(
    cx: &Context,
    connection: &Connection,
    founding: Founding,
    birth: Birth,
) -> Done<Appended> {
    let Birth { kind, roles, agents, equation, parent } = birth;
    let mut stewards = Vec::new();
    for text in &founding.stewards {
        stewards.push(steward(cx, text)?);
    }
    let author = Handle::new(&stewards[0].agent)?;
    if cx.global.author.as_ref().is_some_and(|a| a != author.as_str()) {
        return Err(Failure::usage(
            format!("the first steward signs: that is {author}, not --as {}", cx.author()?),
            "leave --as out, or name that steward first",
        ));
    }
    let secret = cx.secret(&author)?;
    if connection.ledgers.ledgers().await?.iter().any(|l| l.name == founding.name) {
        return Err(Failure::refused(
            "name-taken",
            format!("a ledger named {} is here already", founding.name),
            "choose another name, or another --db",
        ));
    }
    let (operator, clerk) = connection.ledgers.prepare().await?;
    let expected = cx.trust.keys();
    // Of a fork the caller expects the parent's.
    let founds = parent.is_none() && !cx.trust.is_anyone();
    if founds && expected.iter().all(|key| key.bytes() != operator) {
        return Err(Failure::usage(
            "a new ledger gets a new operator key, which nobody can expect yet",
            "leave --expect out (or unset SUBAK_EXPECT), and note the key that is printed",
        ));
    }
    if let Some(wanted) = equation.as_ref().map(|e| e.validators as usize)
        && stewards.len() < wanted
    {
        cx.out.note(&format!(
            "note: the equation asks for {wanted} validators, and the ledger opens with {}:\n  \
             no work counts until there are more (`subak role grant HANDLE maintainer`)",
            describe::count(stewards.len() as u64, "maintainer")
        ));
    }
    let genesis = v1::Genesis {
        random: random::<32>()?.to_vec(),
        kind: kind.to_wire(),
        name: founding.name.clone(),
        sandbox: founding.sandbox,
        steward: stewards,
        steward_role: roles,
        quorum: founding.quorum,
        clerk_key: clerk.to_vec(),
        operator_key: operator.to_vec(),
        agent: agents,
        equation,
        parent,
    };
    let at = cx.at()?;
    let header = Header {
        ledger: LedgerId::ZERO,
        author,
        nonce: random()?,
        created_at: at,
        expires_at: at + DAY_MS,
        basis: None,
    };
    let draft = Draft { header, events: vec![crate::context::encode(Kind::Genesis(genesis))] };
    cx.send(connection, None, &draft, &secret, Texts::default()).await
}

pub(super) fn steward(cx: &Context, text: &str) -> Done<v1::NamedKey> {
    let (handle, key) = text.split_once('=').map_or((text, None), |(h, k)| (h, Some(k)));
    let agent = Handle::new(handle)?;
    let key = match key {
        Some(key) => hex::decode(key).ok().filter(|k| k.len() == 32).ok_or_else(|| {
            Failure::usage(
                format!("steward {handle}: a public key is 64 hex digits"),
                "let the steward run `subak key show`",
            )
        })?,
        None => keys::read(&cx.key_path(&agent)?)?.public().bytes().to_vec(),
    };
    Ok(v1::NamedKey { agent: agent.to_string(), key })
}

async fn report_opened(cx: &Context, connection: &Connection, appended: &Appended) -> Done {
    let book = connection.ledgers.book(appended.ledger).await?;
    let root = book.root();
    let waiting = if book.is_open() {
        "open".to_owned()
    } else {
        let missing = u64::from(root.quorum) - book.approvals.len() as u64;
        format!(
            "waits for {}: `subak approve 0 --as STEWARD`",
            describe::count(missing, "more approval")
        )
    };
    let id = appended.ledger.to_string();
    cx.out.result(
        "subak.ledger/1",
        &json!({ "id": id, "name": root.name.as_str(), "kind": root.kind.word(), "open": book.is_open(),
                 "operator_key": hex::encode(book.operator()), "sandbox": root.sandbox }),
        &format!("ledger {} ({}), {waiting}\n  id       {id}\n  operator {}", root.name, root.kind, hex::encode(book.operator())),
    )
}

/// Arguments of `commons show` and `phyle show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Only its line of a trust file: `log subak/<id>+<key id>+<operator's key>`
    #[arg(long)]
    vkey: bool,
}

impl Show {
    async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        if self.vkey && !cx.out.json {
            let tenures: Vec<_> = open.book.operators.iter().collect();
            for pair in tenures.windows(2) {
                // No more than a comment: in a trust file it would be believed at any size.
                let key = verifier_key(&open.info.id, &PublicKey::admit(&pair[0].key)?);
                let until = describe::entries(pair[1].from - 1);
                cx.out.line(&format!("# for heads of up to {until}: log {key}"))?;
            }
            let key = verifier_key(&open.info.id, &PublicKey::admit(&open.book.operator())?);
            return cx.out.line(&format!("log {key}"));
        }
        show(cx, &open)
    }
}

fn show(cx: &Context, open: &Open) -> Done {
    let book = &open.book;
    let root = book.root();
    let operator = PublicKey::admit(&book.operator())?;
    let stewards: Vec<String> =
        book.with_role(Role::Steward).map(|a| a.handle.to_string()).collect();
    let equation = book.equation.as_ref().map(|e| format!("{} version {}", e.name, e.version));
    let term = |t: &Tenure| json!({ "operator_key": hex::encode(t.key), "from_size": t.from });
    let operators: Vec<_> = book.operators.iter().map(term).collect();
    let data = json!({
        "id": open.info.id.to_string(),
        "name": root.name.as_str(),
        "kind": root.kind.word(),
        "sandbox": root.sandbox,
        "open": book.is_open(),
        "size": book.size,
        "head": hex::encode(open.info.chain),
        "recorded_at": money::show_time(book.time),
        "operator_key": hex::encode(book.operator()),
        "verifier_key": verifier_key(&open.info.id, &operator),
        "operators": operators,
        "quorum": root.quorum,
        "stewards": stewards,
        "equation": equation,
        "agents": book.agents.len(),
        "contributions": book.contributions.len(),
        "incomes": book.incomes.len(),
    });
    let mut lines = vec![
        cx.out.strong(&format!(
            "{} ({}){}",
            root.name,
            root.kind,
            if root.sandbox { ", SANDBOX" } else { "" }
        )),
        format!("  id         {}", open.info.id),
        format!("  operator   {}", hex::encode(book.operator())),
        format!(
            "  size       {}, the last of {}",
            describe::entries(book.size),
            money::show_time(book.time)
        ),
        format!("  stewards   {} (quorum {})", stewards.join(", "), root.quorum),
    ];
    if book.operators.len() > 1 {
        let last = book.operators.last().expect("there are several");
        lines.insert(3, format!("             since entry {}", last.from - 1));
    }
    if let Some(e) = equation {
        lines.push(format!("  equation   {e}"));
        lines.push(format!(
            "  agents     {}, contributions {}, incomes {}",
            book.agents.len(),
            book.contributions.len(),
            book.incomes.len()
        ));
    }
    if !book.is_open() {
        lines.push("  not open   waits for approvals of its genesis: `subak approve 0`".into());
    }
    cx.out.result("subak.ledger/1", &data, &lines.join("\n"))
}
