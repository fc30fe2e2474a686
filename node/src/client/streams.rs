//! Statements one after another to a node far away.
//!
//! Owns one call and what was sent in it. Guarantees that each answer is verified as that of a
//! single append, against the statement in its place; that a statement which is none is refused
//! here, in its place; and bounded memory: [`AHEAD`] are sent and not answered at most, also to a
//! node that answers nothing. Leaves out sending again: what broke off is for whoever knows what
//! the statements mean.

use super::{Remote, ledgers::own};
use crate::{
    Answers, Appended, NodeError, Statements,
    wire::{self, away},
};
use futures::{StreamExt as _, stream};
use std::{collections::VecDeque, sync::Arc};
use subak_ledger::log::Statement;
use subak_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Statements that are sent and not answered: what a node takes, and as many on their way.
const AHEAD: usize = 128;
/// Of them, those that wait for the connection.
const WAITING: usize = 8;

/// As `Ledgers::append_all` says.
pub(super) fn append_all(remote: Arc<Remote>, statements: Statements) -> Answers {
    let answers = stream::once(begin(remote, statements)).flat_map(|call| match call {
        Ok(call) => stream::unfold(Some(call), |call| async {
            let mut call = call?;
            let answer = call.next().await?;
            let goes_on = answer.as_ref().err().is_none_or(|e| e.is_refusal() && !call.ended);
            Some((answer, goes_on.then_some(call)))
        })
        .left_stream(),
        Err(error) => stream::once(async { Err(error) }).right_stream(),
    });
    answers.boxed()
}

async fn begin(remote: Arc<Remote>, statements: Statements) -> Result<Call, NodeError> {
    let (send, requests) = mpsc::channel(WAITING);
    let replies = remote.log().append_stream(ReceiverStream::new(requests)).await;
    let replies = replies.map_err(|status| remote.failed(&status))?.into_inner();
    let sent = VecDeque::new();
    Ok(Call { remote, statements, send: Some(send), sent, replies, cut: false, ended: false })
}

/// A call under way.
struct Call {
    remote: Arc<Remote>,
    statements: Statements,
    /// None: there are no more statements, or the node takes none.
    send: Option<mpsc::Sender<v1::AppendRequest>>,
    /// What is not answered yet, in order: a statement, or why it was not sent.
    sent: VecDeque<Result<Statement, NodeError>>,
    replies: Streaming<v1::AppendReply>,
    /// The node takes no more, and is about to say why.
    cut: bool,
    /// The node ended it.
    ended: bool,
}

impl Call {
    async fn next(&mut self) -> Option<Result<Appended, NodeError>> {
        loop {
            if let Some(Err(_)) = self.sent.front() {
                return self.sent.pop_front().and_then(Result::err).map(Err);
            }
            if self.send.is_none() && self.sent.is_empty() && !self.cut {
                return None;
            }
            let room = self.send.clone().filter(|_| self.sent.len() < AHEAD);
            let given = async {
                let Some(send) = room else { return std::future::pending().await };
                let place = send.reserve_owned().await?;
                Ok(self.statements.next().await.map(|append| (place, append)))
            };
            tokio::select! {
                reply = self.replies.message() => return Some(self.answer(reply).await),
                given = given => match given {
                    Ok(Some((place, append))) => {
                        let statement = own(&append);
                        if statement.is_ok() {
                            place.send(wire::append_out(append));
                        }
                        self.sent.push_back(statement);
                    }
                    Ok(None) => self.send = None,
                    Err(mpsc::error::SendError(())) => (self.send, self.cut) = (None, true),
                },
            }
        }
    }

    async fn answer(
        &mut self,
        reply: Result<Option<v1::AppendReply>, tonic::Status>,
    ) -> Result<Appended, NodeError> {
        let remote = &self.remote;
        match (reply, self.sent.pop_front()) {
            (Ok(Some(reply)), Some(Ok(statement))) => remote.proven(&statement, reply).await,
            (Ok(Some(_)), _) => {
                self.ended = true;
                Err(remote.lie("an answer to no statement"))
            }
            (Ok(None), _) => {
                self.ended = true;
                Err(away(&remote.url, "it ended the stream"))
            }
            (Err(status), _) => {
                self.ended = true;
                Err(remote.failed(&status))
            }
        }
    }
}
