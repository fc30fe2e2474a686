//! Statements one after another: verified ahead, queued in order, answered in order.
//!
//! Owns what of such a row is under way. Guarantees that statements enter the writer's queue in
//! the order in which they came, however long each takes to verify, and that one waits for no
//! commit of another: a row of them becomes a few transactions. Bounded: [`AHEAD`] are being
//! verified and [`IN_FLIGHT`] wait for their commit, and nothing is taken while nobody takes
//! answers. When the node closes, a row ends with that error. Leaves out that what comes after a
//! failure is not recorded, which only the writer can tell (`writer::Row`), and bounds in bytes.

use super::{Answered, Node};
use crate::{
    Answers, Append, Appended, NodeError, Statements,
    refusal::{broken, stopping},
    verify::Verified,
    writer::Row,
};
use futures::{
    StreamExt as _, future,
    stream::{self, BoxStream},
};
use std::sync::Arc;
use subak_ledger::log::LedgerId;

/// Statements of a row that are being verified, or wait for one before them that is.
const AHEAD: usize = 16;
/// Statements of a row that wait for their commit.
const IN_FLIGHT: usize = 64;

/// As `Ledgers::append_all` says.
pub(super) fn append_all(node: Arc<Node>, statements: Statements) -> Answers {
    let given = until_closing(&node, statements);
    let verifying = node.clone();
    let verified = given.map(move |given| verified(verifying.clone(), given)).buffered(AHEAD);
    let queue =
        Queue { node: node.clone(), verified: verified.boxed(), row: Row::default(), opens: false };
    let queued = stream::unfold(Some(queue), |queue| async {
        let mut queue = queue?;
        let verified = queue.verified.next().await?;
        let queued = queue.push(verified).await;
        let goes_on = !ends(&queued);
        Some((queued, goes_on.then_some(queue)))
    });
    let answers = queued.map(move |queued| answered(node.clone(), queued)).buffered(IN_FLIGHT);
    let up_to_a_failure = answers.scan(false, |ended, answer| {
        let last = std::mem::replace(ended, ends(&answer));
        future::ready((!last).then_some(answer))
    });
    up_to_a_failure.boxed()
}

fn ends<T>(result: &Result<T, NodeError>) -> bool {
    result.as_ref().is_err_and(|error| !error.is_refusal())
}

/// The statements, and an error instead of more of them once the node closes.
fn until_closing(
    node: &Node,
    statements: Statements,
) -> BoxStream<'static, Result<Append, NodeError>> {
    let given = stream::unfold(Some((statements, node.closing())), |rest| async {
        let (mut statements, mut closing) = rest?;
        let next = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(stopping()),
            next = statements.next() => Ok(next?),
        };
        let goes_on = next.is_ok();
        Some((next, goes_on.then_some((statements, closing))))
    });
    given.boxed()
}

/// On a task of its own: the next ones are verified meanwhile, on the other cores.
async fn verified(
    node: Arc<Node>,
    given: Result<Append, NodeError>,
) -> Result<Verified, NodeError> {
    let append = given?;
    let work = async move {
        node.writer()?;
        node.verifiers.verify(append, node.shared.allow_new_ledgers).await
    };
    tokio::spawn(work).await.unwrap_or_else(|_| Err(broken()))
}

async fn answered(
    node: Arc<Node>,
    queued: Result<Answered, NodeError>,
) -> Result<Appended, NodeError> {
    queued?.await.map_err(|_| node.gone())?
}

/// Where statements that are verified go into the writer's queue, one at a time.
struct Queue {
    node: Arc<Node>,
    verified: BoxStream<'static, Result<Verified, NodeError>>,
    row: Row,
    /// A statement of this row opens a ledger, and others may be for it.
    opens: bool,
}

impl Queue {
    async fn push(&mut self, verified: Result<Verified, NodeError>) -> Result<Answered, NodeError> {
        let verified = verified?;
        let ledger = verified.statement.header().ledger;
        if ledger == LedgerId::ZERO {
            self.opens = true;
        } else if let Err(error) = self.node.load(ledger).await {
            // Not there yet: the writer knows it when it comes to this statement.
            let coming = self.opens && matches!(error, NodeError::NotFound { .. });
            if !coming {
                return Err(error);
            }
        }
        self.node.enqueue(verified, self.row.clone()).await
    }
}
