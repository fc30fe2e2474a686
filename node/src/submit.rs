//! Submitting heads to witnesses, and keeping what they sign.
//!
//! Owns the client's side of C2SP `tlog-witness` and when it is asked. Guarantees that a witness
//! that does not answer, or is wrong, never holds up an append; that only lines which hold are
//! kept; and that where a witness has seen more of a ledger than is stored here, or another
//! history, nothing more is appended to it. What a witness says against us is believed: who runs
//! the node chooses whom to ask, and a second history cannot be taken back. It is not signed, so
//! it counts for good (`halt`) only where it came in TLS or from this machine; over plain HTTP
//! anybody on the way can say it, and it counts until the node ends. Leaves out the witness
//! itself, and who is believed by those who read ([`Policy`]).
//!
//! ```text
//! the ledger has grown ──> round: the newest kept head, to all witnesses at once
//!     200 the line holds                     kept with the head, and served
//!     409 a size that we have               asked again with a proof from there, once
//!     409 a larger one, or our size         halt: an old copy, or a fork
//!     422 to a proof from its own size      halt: a fork
//!     anything else, or nothing             a line in the log; asked again later
//! ```

use crate::{Ledgers as _, NodeError, refusal::older, runtime::Node};
use axum::http::Uri;
use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};
use subak_ledger::book::state::State;
use subak_ledger::log::{
    Checkpoint, LedgerId,
    note::Note,
    policy::{Policy, Witness},
    submission::Submission,
};
use tokio::{task::JoinSet, time};
use ureq::Agent;

/// A witness that has not answered by then is left out of the round.
const PATIENCE: Duration = Duration::from_secs(10);
/// A ledger that grows all the time is submitted this often.
const PACE: Duration = Duration::from_secs(1);
/// Who did not sign is asked again after this, and after twice as long each time.
const AGAIN: Duration = Duration::from_secs(2);
/// The longest time between two attempts.
const LONGEST: Duration = Duration::from_mins(5);
/// How often new ledgers are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// Ledgers that are submitted at a time when a node starts.
const AT_ONCE: usize = 16;
/// An answer is a few lines.
const MOST_ANSWER: u64 = 64 * 1024;

/// Submits the heads of a node's ledgers.
pub struct Submitter {
    node: Arc<Node>,
    policy: Policy,
    agent: Agent,
}

/// What a witness's answer comes to.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Its line, with its newline.
    Signed(String),
    /// It knows this many entries.
    Knows(u64),
    /// The proof from what it knows does not lead to our head.
    Contradicts,
    /// It cannot be used, for this reason.
    Useless(String),
}

/// What of a round is remembered for the next.
#[derive(Default)]
struct Round {
    head: Option<Checkpoint>,
    /// Lines under that head, by witness.
    lines: Vec<Option<String>>,
}

impl Submitter {
    /// Asks the witnesses of `policy` that have a URL; none of them is a mistake that is told.
    pub fn new(node: Arc<Node>, policy: Policy) -> Result<Self, NodeError> {
        if !policy.witnesses().iter().any(|witness| witness.url.is_some()) {
            return Err(NodeError::Refused {
                code: "no-witness-url".into(),
                message: "trust file: no witness in it has a URL to submit checkpoints to".into(),
                next: "write it at the end of the line: witness NAME KEY URL".into(),
            });
        }
        for witness in policy.witnesses().iter().filter(|witness| !is_sure(witness)) {
            tracing::warn!(
                witness = %witness.name,
                "it is asked over plain http: anybody on the way there can stop this node in its \
                 name; give its URL as https://"
            );
        }
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("subak");
        Ok(Self { node, policy, agent: config.build().into() })
    }

    /// One round for each ledger, before anything is appended: an old copy shows here.
    pub async fn first(&self) -> Result<(), NodeError> {
        let rounds = self.node.ledgers().await?.into_iter().map(|ledger| async move {
            self.round(ledger.id, &mut Round::default()).await.map(drop)
        });
        // All of them are asked, whatever one of them brings.
        let all: Vec<_> = stream::iter(rounds).buffered(AT_ONCE).collect().await;
        all.into_iter().collect()
    }

    /// Submits whatever grows, until the node closes.
    pub async fn run(self: Arc<Self>) {
        let (mut known, mut tasks) = (BTreeSet::new(), JoinSet::new());
        let mut closing = self.node.closing();
        loop {
            for ledger in self.node.ledgers().await.unwrap_or_default() {
                if known.insert(ledger.id) {
                    let this = self.clone();
                    tasks.spawn(async move { this.follow(ledger.id).await });
                }
            }
            tokio::select! {
                () = time::sleep(LOOK) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    async fn follow(&self, ledger: LedgerId) {
        let (mut round, mut wait) = (Round::default(), AGAIN);
        loop {
            let begun = time::Instant::now();
            let size = match self.round(ledger, &mut round).await {
                Ok(Some(size)) => size,
                Ok(None) => 0,
                Err(error) => {
                    tracing::error!(%ledger, %error, "a witness contradicts this ledger");
                    0
                }
            };
            // Of those who can be asked.
            let asked = self.policy.witnesses().iter().map(|witness| witness.url.is_some());
            let missing = round.lines.is_empty()
                || round.lines.iter().zip(asked).any(|(line, asked)| asked && line.is_none());
            wait = if missing { (wait * 2).min(LONGEST) } else { AGAIN };
            let grown = self.node.wait_beyond(ledger, size);
            tokio::select! {
                grown = grown, if size > 0 => match grown {
                    Ok(()) => wait = AGAIN,
                    Err(_) => return,
                },
                () = time::sleep(wait), if missing || size == 0 => {}
            }
            time::sleep_until(begun + PACE).await;
        }
    }

    /// Submits the newest kept head to who has not signed it. Returns its size, if there is one
    /// to submit. An error: a witness has seen more, or another history.
    async fn round(&self, ledger: LedgerId, round: &mut Round) -> Result<Option<u64>, NodeError> {
        let witnesses = self.policy.witnesses();
        let Some((head, note)) = self.newest(ledger).await else { return Ok(None) };
        if round.head != Some(head) {
            *round = Round { head: Some(head), lines: vec![None; witnesses.len()] };
        }
        let waiting = witnesses.iter().enumerate().filter(|(n, _)| round.lines[*n].is_none());
        let mut asked: FuturesUnordered<_> = waiting
            .map(|(n, witness)| {
                let note = &note;
                async move { (n, witness, self.ask(witness, head, note).await) }
            })
            .collect();
        // Each is kept when it comes: nobody waits for one who hangs.
        while let Some((place, witness, word)) = asked.next().await {
            match word {
                Ok(None) => {}
                Ok(line) => {
                    round.lines[place] = line;
                    let lines: String = round.lines.iter().flatten().map(String::as_str).collect();
                    self.keep(ledger, format!("{note}{lines}")).await;
                }
                Err(error) => return Err(self.node.halt(error, is_sure(witness)).await),
            }
        }
        Ok(Some(head.size))
    }

    async fn newest(&self, ledger: LedgerId) -> Option<(Checkpoint, String)> {
        let note = self.node.own_checkpoint(ledger).await.ok()?;
        let state = self.node.book(ledger).await.ok()?;
        Some((state.signed_head(&note).ok()?, note))
    }

    /// Keeps a note that as many have signed as the trust file asks for; one that fewer have
    /// signed only while there is none of the other kind.
    async fn keep(&self, ledger: LedgerId, note: String) {
        let enough = |note: &str| self.policy.witnessed(note).is_ok();
        let before = self.node.witnessed(ledger).await.ok().flatten();
        if !enough(&note) && before.is_some_and(|before| enough(&before)) {
            return;
        }
        if let Err(error) = self.node.keep_witnessed(ledger, note).await {
            tracing::warn!(%ledger, %error, "what witnesses signed was not kept");
        }
    }

    /// The line of one witness, if it gives one. An error: it speaks against this ledger.
    async fn ask(
        &self,
        witness: &Witness,
        head: Checkpoint,
        note: &str,
    ) -> Result<Option<String>, NodeError> {
        let Some(url) = &witness.url else { return Ok(None) };
        let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
        let mut known = 0;
        // Once to hear what it knows, once from there; more only where others submit as well.
        for _ in 0..4 {
            let proof = match known {
                0 => Vec::new(),
                _ => match self.node.consistency(head.ledger, known, head.size).await {
                    Ok(proof) => proof,
                    Err(error) => return Ok(useless(witness, &error.to_string())),
                },
            };
            let body = Submission::write(known, &proof, note);
            let answer = self.post(url.clone(), body).await;
            let word = answer.map_or_else(Word::Useless, |(status, text)| {
                judge(witness, note, known, status, &text)
            });
            match word {
                Word::Signed(line) => return Ok(Some(line)),
                Word::Knows(size) if size > head.size => {
                    // It may have heard of a head that was signed here meanwhile.
                    let now = self.node.own_size(head.ledger).await;
                    return match now {
                        Some(now) if size > now => {
                            self.believe(
                                witness,
                                head.ledger,
                                larger(witness, head.ledger, size, now),
                            )
                            .await
                        }
                        _ => Ok(useless(witness, "it has a newer head of this ledger already")),
                    };
                }
                // It was asked from the size that it knows, which is ours: the roots differ.
                Word::Knows(size) if size == known && known == head.size => {
                    let why = another(witness, head.ledger, known);
                    return self.believe(witness, head.ledger, why).await;
                }
                Word::Knows(size) if size == known => {
                    return Ok(useless(witness, "it contradicts itself about what it knows"));
                }
                Word::Knows(size) => known = size,
                Word::Contradicts => {
                    let why = another(witness, head.ledger, known);
                    return self.believe(witness, head.ledger, why).await;
                }
                Word::Useless(why) => return Ok(useless(witness, &why)),
            }
        }
        Ok(useless(witness, "it says another size each time"))
    }

    /// A witness's word against this ledger: a reason to stop, unless its stewards have moved it
    /// from an operator who went on. Such a witness has seen what they left behind, or what that
    /// one makes up now: it can never sign this ledger again, and tells nothing of its age.
    async fn believe(
        &self,
        witness: &Witness,
        ledger: LedgerId,
        why: NodeError,
    ) -> Result<Option<String>, NodeError> {
        let moved = |state: &State| state.operators.iter().any(|tenure| !tenure.consented);
        if !self.node.book(ledger).await.is_ok_and(|state| moved(&state)) {
            return Err(why);
        }
        let why = "it has seen what an operator signed whom the stewards have replaced: take it out of \
                   the trust file, and let its keeper begin anew, with another store, key and name";
        Ok(useless(witness, why))
    }

    async fn post(&self, url: String, body: String) -> Result<(u16, String), String> {
        let agent = self.agent.clone();
        let posted = tokio::task::spawn_blocking(move || {
            let mut answer = agent.post(&url).content_type("text/plain").send(&body)?;
            let text = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_string()?;
            Ok((answer.status().as_u16(), text))
        });
        let posted: Result<_, ureq::Error> = posted.await.map_err(|error| error.to_string())?;
        posted.map_err(|error| error.to_string())
    }
}

/// Whether nobody but the witness can have said what came from its URL; true where there is none.
fn is_sure(witness: &Witness) -> bool {
    let Some(url) = &witness.url else { return true };
    // What cannot be read is not asked either.
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    url.scheme_str() == Some("https")
        || address.map_or(host == "localhost", |address| address.is_loopback())
}

fn useless(witness: &Witness, why: &str) -> Option<String> {
    tracing::warn!(witness = %witness.name, why, "no cosignature");
    None
}

/// What an answer comes to, for a note that was submitted from size `old` on.
fn judge(witness: &Witness, note: &str, old: u64, status: u16, answer: &str) -> Word {
    let said = || answer.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    match status {
        200 => {
            let signed = format!("{note}{answer}");
            let line = Note::parse(&signed).ok().and_then(|note| witness.key.line(&note));
            line.map_or_else(
                || Word::Useless("its answer has no line of its key that holds".into()),
                Word::Signed,
            )
        }
        409 => match answer.strip_suffix('\n').unwrap_or(answer).parse() {
            Ok(size) => Word::Knows(size),
            Err(_) => Word::Useless(format!("409 without a size: {}", said())),
        },
        422 if old > 0 => Word::Contradicts,
        404 => {
            Word::Useless("it does not know this ledger: tell whoever runs it of the key".into())
        }
        403 => Word::Useless("it trusts another key of this ledger".into()),
        status => Word::Useless(format!("status {status}: {}", said())),
    }
}

fn larger(witness: &Witness, ledger: LedgerId, size: u64, now: u64) -> NodeError {
    let (name, plain) = (&witness.name, plain(witness));
    let what = format!("ends after {now} entries, and witness {name} has signed a head of {size}");
    older(&ledger.to_string(), &format!("{what}{plain}"))
}

fn another(witness: &Witness, ledger: LedgerId, size: u64) -> NodeError {
    let (name, plain) = (&witness.name, plain(witness));
    let what = format!("has not the first {size} entries that witness {name} has signed");
    older(&ledger.to_string(), &format!("{what}{plain}"))
}

fn plain(witness: &Witness) -> &'static str {
    if is_sure(witness) {
        return "";
    }
    " (told over plain http, where anybody on the way can say it: ask the witness, give its URL as \
     https://, and start the node again)"
}

#[cfg(test)]
mod tests {
    use super::*;
    use subak_ledger::log::{
        SecretKey,
        cosignature::{CosignerKey, cosign},
    };

    fn witness() -> Witness {
        let key = CosignerKey::new("w.example", SecretKey::from_seed(&[4; 32]).public());
        Witness { name: "W".into(), key: key.expect("a name"), url: None }
    }

    #[test]
    fn only_tls_and_this_machine_speak_for_a_witness_alone() {
        let is_sure = |url: &str| super::is_sure(&Witness { url: Some(url.into()), ..witness() });
        for url in [
            "https://w.example",
            "HTTPS://w.example/w/",
            "http://127.0.0.1:7118",
            "http://127.9.9.9/w",
            "http://[::1]:7118",
            "http://localhost:7118",
        ] {
            assert!(is_sure(url), "{url}");
        }
        for url in [
            "http://w.example",
            "http://192.168.0.7:7118",
            "http://localhost.w.example",
            "http://127.0.0.1.w.example",
            "http://127.0.0.1@w.example",
            "http://0.0.0.0:7118",
            "nowhere",
        ] {
            assert!(!is_sure(url), "{url}");
        }
    }

    #[test]
    fn every_answer_comes_to_something() {
        let head = Checkpoint { ledger: LedgerId([7; 32]), size: 5, root: [1; 32] };
        let note = head.sign(&SecretKey::from_seed(&[3; 32]));
        let line = |seed: u8, text: &str| {
            cosign("w.example", text, 9, &SecretKey::from_seed(&[seed; 32])).expect("a name")
        };
        let judge =
            |old, status, answer: &str| super::judge(&witness(), &note, old, status, answer);
        let ours = line(4, &head.body());
        assert_eq!(judge(0, 200, &ours), Word::Signed(ours.clone()));
        let others = format!("{}{ours}", line(5, &head.body()));
        assert_eq!(judge(0, 200, &others), Word::Signed(ours.clone()), "lines of others are left");
        for useless in [line(5, &head.body()), line(4, "another\n"), String::new(), "ok".into()] {
            assert!(matches!(judge(0, 200, &useless), Word::Useless(_)), "{useless}");
        }
        assert_eq!(judge(0, 409, "12\n"), Word::Knows(12));
        assert_eq!(judge(0, 409, "12"), Word::Knows(12));
        assert!(matches!(judge(0, 409, "-1\n"), Word::Useless(_)));
        assert_eq!(judge(3, 422, ""), Word::Contradicts);
        // From nothing there is no proof that could fail.
        assert!(matches!(judge(0, 422, ""), Word::Useless(_)));
        for status in [400, 403, 404, 429, 500, 301] {
            assert!(matches!(judge(3, status, "why\u{7}"), Word::Useless(_)));
        }
    }
}
