//! Entries examined on all cores, handed back in order.
//!
//! Owns the threads. Guarantees that the order of the results is that of the log, that
//! what is read ahead is bounded, and that a thread that dies is noticed and not waited
//! for. Leaves out reading (the reader stays on its own thread) and what is done with
//! the results.

use super::examine::{Examined, examine};
use crate::{log::KeyCache, store::StoredEntry};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::Scope,
};

struct Job {
    entries: Vec<StoredEntry>,
    done: Sender<Vec<Examined>>,
}

/// Threads that examine.
pub(super) struct Pool {
    jobs: Sender<Job>,
    depth: usize,
}

impl Pool {
    /// Starts `threads` threads, which end when the pool is dropped.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> Self {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            scope.spawn(move || work(&queue));
        }
        // Enough that no thread waits while the results before its own are folded.
        Self { jobs, depth: 8 * threads + 8 }
    }

    /// Begins with a log.
    pub(super) fn queue(&self) -> Queue<'_> {
        Queue { pool: self, pending: VecDeque::new() }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut keys = KeyCache::default();
    loop {
        let next = queue.lock().expect("nobody panics while waiting for a job").recv();
        let Ok(Job { entries, done }) = next else { return };
        let examined = entries.iter().map(|entry| examine(entry, &mut keys)).collect();
        // Nobody listens any more where the store has failed.
        let _ = done.send(examined);
    }
}

/// One log on its way through the pool. Each job has its own way back, so the results
/// need no sorting.
pub(super) struct Queue<'p> {
    pool: &'p Pool,
    pending: VecDeque<Receiver<Vec<Examined>>>,
}

impl Queue<'_> {
    /// Whether as much is under way as should be.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= self.pool.depth
    }

    /// Hands entries over.
    pub(super) fn put(&mut self, entries: Vec<StoredEntry>) {
        let (done, result) = channel();
        let sent = self.pool.jobs.send(Job { entries, done });
        sent.expect("the threads listen for as long as the pool is there");
        self.pending.push_back(result);
    }

    /// The oldest result; none when nothing is under way.
    pub(super) fn take(&mut self) -> Option<Vec<Examined>> {
        let result = self.pending.pop_front()?;
        Some(result.recv().expect("a thread panicked while it examined an entry"))
    }
}
