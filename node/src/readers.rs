//! Reading beside the writer.
//!
//! Owns a few read-only connections, or the way to the writer's own store where it is no
//! file. Guarantees that nothing blocks the executor, and that as many read at once as the
//! machine has use for, also where callers give up. Leaves out what is read.

use crate::{NodeError, refusal::stopping, writer::Job};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subak_ledger::store::{Reader, SqliteReader, SqliteStore};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Connections, and so reads at a time. More of them would wait for the same disk.
const MOST: usize = 8;

/// Ways to read.
pub(crate) enum Readers {
    /// Connections of our own to a file.
    File(Arc<Pool>),
    /// In the writer's thread, between its commits.
    Writer,
}

pub(crate) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<SqliteReader>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn of_file(path: PathBuf) -> Self {
        let (idle, permits) = (Mutex::new(Vec::new()), Arc::new(Semaphore::new(MOST)));
        Self::File(Arc::new(Pool { path, idle, permits }))
    }

    /// Closes the connections that nobody uses, before the writer's: whoever closes last
    /// empties the journal into the file, and one that only reads cannot.
    pub(crate) fn close_idle(&self) {
        if let Self::File(pool) = self {
            lock(&pool.idle).clear();
        }
    }

    /// Runs `read`, off the executor.
    pub(crate) async fn read<T, F>(
        &self,
        writer: Option<&mpsc::Sender<Job>>,
        read: F,
    ) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, NodeError> + Send + 'static,
    {
        match self {
            Self::File(pool) => pool.clone().read(read).await,
            Self::Writer => {
                let (answer, answered) = oneshot::channel();
                // Whoever gave up waiting needs no answer.
                let job = Job::Read(Box::new(move |store| drop(answer.send(read(store)))));
                let sent = match writer {
                    Some(writer) => writer.send(job).await.is_ok(),
                    None => false,
                };
                if !sent {
                    return Err(stopping());
                }
                answered.await.map_err(|_| stopping())?
            }
        }
    }
}

impl Pool {
    async fn read<T, F>(self: Arc<Self>, read: F) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, NodeError> + Send + 'static,
    {
        let pool = self.clone();
        bounded(&self.permits, move || {
            let idle = lock(&pool.idle).pop();
            let reader = match idle {
                Some(reader) => reader,
                None => SqliteStore::open_reader(&pool.path)?,
            };
            let result = read(&reader);
            lock(&pool.idle).push(reader);
            result
        })
        .await
    }
}

/// As [`off_executor`], when there is a permit. The work holds it, not its caller: whoever
/// gives up waiting does not let the next one in while the work goes on.
pub(crate) async fn bounded<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    off_executor(move || {
        let _permit = permit;
        work()
    })
    .await
}

/// Runs blocking work; a panic in it goes on in the caller.
pub(crate) async fn off_executor<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What a task has come to; a panic in it goes on in the caller.
pub(crate) async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is going down, and is about to drop the caller too.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A lock whose content is whole after every statement, so that a panic elsewhere does not
/// spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_whose_caller_gave_up_keeps_its_permit() {
        let permits = Arc::new(Semaphore::new(1));
        let (begun, begins) = oneshot::channel();
        let (go, word) = std::sync::mpsc::channel();
        let caller = {
            let permits = permits.clone();
            tokio::spawn(async move {
                let work = move || {
                    begun.send(()).unwrap();
                    word.recv().unwrap();
                };
                bounded(&permits, work).await;
            })
        };
        begins.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(permits.available_permits(), 0, "the work goes on");
        go.send(()).unwrap();
        bounded(&permits, || ()).await; // and here it has ended
    }
}
