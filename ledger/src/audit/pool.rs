//! Entries examined on all cores, handed back in order.
//!
//! Owns the threads. Guarantees that the order of the results is that of the log, that
//! what is read ahead is bounded, that no core has two threads to serve (who waits for a
//! result examines meanwhile), and that a thread that dies is noticed and not waited for.
//! Leaves out reading (the reader stays on its own thread) and what is done with the
//! results.

use super::examine::{Examined, examine_from};
use crate::{log::KeyCache, store::StoredEntry};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::Scope,
};

struct Job {
    /// The first entry whose signature is checked.
    first: u64,
    entries: Vec<StoredEntry>,
    done: Sender<Vec<Examined>>,
}

/// Threads that examine.
pub(super) struct Pool {
    jobs: Sender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    depth: usize,
}

impl Pool {
    /// Starts `threads` threads less the caller's, which end when the pool is dropped.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> Self {
        let (jobs, waiting) = channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 1..threads {
            let waiting = Arc::clone(&waiting);
            scope.spawn(move || work(&waiting));
        }
        // Enough that no thread waits while the results before its own are folded.
        Self { jobs, waiting, depth: 8 * threads + 8 }
    }

    /// Begins with a log whose signatures are checked from entry `first` on.
    pub(super) fn queue(&self, first: u64) -> Queue<'_> {
        Queue { pool: self, first, pending: VecDeque::new(), keys: KeyCache::default() }
    }

    /// Does the job that has waited longest. False if none waits: then the lock is held by a
    /// thread that waits for one, too.
    fn help(&self, keys: &mut KeyCache) -> bool {
        let job = self.waiting.try_lock().ok().and_then(|waiting| waiting.try_recv().ok());
        job.map(|job| job.run(keys)).is_some()
    }
}

impl Job {
    fn run(self, keys: &mut KeyCache) {
        let first = self.first;
        let examined = self.entries.into_iter().map(|e| examine_from(first, e, keys)).collect();
        // Nobody listens any more where the store has failed.
        let _ = self.done.send(examined);
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    let mut keys = KeyCache::default();
    loop {
        let next = waiting.lock().expect("nobody panics while waiting for a job").recv();
        let Ok(job) = next else { return };
        job.run(&mut keys);
    }
}

/// One log on its way through the pool. Each job has its own way back, so the results
/// need no sorting.
pub(super) struct Queue<'p> {
    pool: &'p Pool,
    first: u64,
    pending: VecDeque<Receiver<Vec<Examined>>>,
    keys: KeyCache,
}

impl Queue<'_> {
    /// Whether as much is under way as should be.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= self.pool.depth
    }

    /// Hands entries over.
    pub(super) fn put(&mut self, entries: Vec<StoredEntry>) {
        let (done, result) = channel();
        let sent = self.pool.jobs.send(Job { first: self.first, entries, done });
        sent.expect("the threads listen for as long as the pool is there");
        self.pending.push_back(result);
    }

    /// The oldest result; none when nothing is under way.
    pub(super) fn take(&mut self) -> Option<Vec<Examined>> {
        let result = self.pending.pop_front()?;
        loop {
            match result.try_recv() {
                Ok(examined) => return Some(examined),
                Err(TryRecvError::Empty) if self.pool.help(&mut self.keys) => {}
                // Another thread is at it.
                Err(_) => {
                    let examined = result.recv();
                    return Some(examined.expect("a thread panicked while it examined an entry"));
                }
            }
        }
    }
}
