//! `subak contribute`: claim work.

use crate::{
    context::{Context, Open, Texts, random},
    failure::Done,
    import::one_spelling,
    money,
};
use clap::Args;
use serde_json::json;
use subak_ledger::book::types::{Handle, Stream, day_of};
use subak_node::Appended;
use subak_proto::v1::{self, event::Kind};

/// Claim work that you did.
///
/// Nobody needs to let you in first: with a key of your own the first claim also
/// introduces you. It counts once maintainers have validated it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak key new ana\n  subak contribute --as ana --kind hours 2.5 --on 2026-11-20 --note \"workshop\"\n  subak contribute --kind review 1 --reference pr:412\n  subak contribute --kind hours 4 --with ben=1.5"
)]
pub struct Contribute {
    /// How much, in the kind's unit: up to 3 decimals
    #[arg(allow_negative_numbers = true)]
    quantity: String,
    /// Kind of work: one of `subak equation show`
    #[arg(long, default_value = "hours")]
    kind: String,
    /// Day of the work [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<String>,
    /// livelihood, love or care
    #[arg(long, default_value = "livelihood")]
    stream: String,
    /// What it is known by elsewhere, as scheme:text [default: a random one]
    #[arg(long, value_name = "SCHEME:TEXT")]
    reference: Option<String>,
    /// Somebody who did a part: HANDLE=QUANTITY
    #[arg(long = "with", value_name = "HANDLE=QUANTITY")]
    with: Vec<String>,
    /// Claim it for this agent instead of the signer (maintainers)
    #[arg(long = "for", value_name = "HANDLE")]
    agent: Option<String>,
    /// A note; only a commitment to it enters the log
    #[arg(long)]
    note: Option<String>,
}

impl Contribute {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let author = cx.author()?;
        let mut events = Vec::new();
        if !open.book.handles.contains_key(&author) {
            events.push(Kind::AgentJoin(v1::AgentJoin::default()));
        }
        let mut texts = Texts::default();
        events.push(Kind::Contribute(self.compose(cx, &open, &author, &mut texts)?));
        let newcomer = events.len() == 2;
        let appended = cx.say(&open, events, texts).await?;
        let place = format!("{}.{}", appended.entry, u8::from(newcomer));
        let mut more = String::new();
        if newcomer {
            more = format!(
                "\n{author} is introduced; one maintainer can admit you: `subak agent admit {author}`"
            );
        }
        report(
            cx,
            &appended,
            &json!({ "contribution": place }),
            &format!("claimed as contribution {place}; it counts once it is validated{more}"),
        )
    }

    fn compose(
        &self,
        cx: &Context,
        open: &Open,
        author: &Handle,
        texts: &mut Texts,
    ) -> Done<v1::Contribute> {
        let agent = self.agent.clone().unwrap_or_else(|| author.to_string());
        let mut part = vec![v1::Part { agent, quantity: money::quantity(&self.quantity)? }];
        for text in &self.with {
            let (agent, quantity) = text.split_once('=').ok_or_else(|| {
                crate::failure::Failure::usage(
                    format!("--with {text:?}: expected HANDLE=QUANTITY"),
                    "write it as in ben=1.5",
                )
            })?;
            part.push(v1::Part { agent: agent.into(), quantity: money::quantity(quantity)? });
        }
        let stream = Stream::from_word(&self.stream).ok_or_else(|| {
            crate::failure::Failure::usage(
                format!("stream {:?}", self.stream),
                "use livelihood, love or care",
            )
        })?;
        let worked_on = match &self.on {
            Some(text) => money::day(text)?,
            None => day_of(cx.at()?),
        };
        let evidence = match &self.note {
            Some(note) => texts.commit(&open.info.id, author, "evidence", note)?,
            None => Vec::new(),
        };
        let reference = match &self.reference {
            Some(reference) => one_spelling(reference),
            None => format!("claim:{}", hex::encode(random::<16>()?)),
        };
        Ok(v1::Contribute {
            reference,
            kind: self.kind.clone(),
            stream: stream.to_wire(),
            worked_on,
            part,
            evidence,
        })
    }
}

/// What every appending command answers: the entry, and what it brought.
pub fn report(cx: &Context, appended: &Appended, more: &serde_json::Value, text: &str) -> Done {
    let mut data = json!({ "ledger": appended.ledger.to_string(), "entry": appended.entry });
    if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
        data.extend(more.clone());
    }
    cx.out.result("subak.appended/1", &data, &format!("entry {}: {text}", appended.entry))
}
