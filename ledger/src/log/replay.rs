//! The replay window: a body is taken once, and only while it is valid.
//!
//! Owns the rules on `expires_at` and on repeated bodies. Guarantees that memory is
//! bounded by what was admitted in the last 31 days: a digest is forgotten only when
//! its statement could no longer be admitted anyway. Leaves out the clock and the order
//! of `recorded_at`: both come with the entry.

use super::{Hash, statement::MAX_LIFETIME_MS};
use crate::{
    dense::DenseMap,
    reject::{Code, Outcome, require},
};
use imbl::OrdMap;

/// Digests are forgotten by the day.
const DAY_MS: u64 = 86_400_000;

/// The digests of admitted bodies that have not expired. Times are milliseconds since
/// 1970-01-01T00:00:00Z. A clone costs nothing and shares what it can.
#[derive(Debug, Clone, Default)]
pub struct ReplayWindow {
    /// The latest time seen.
    now: u64,
    /// By the day on which they expire. `expires_at` is part of the body, so it belongs to
    /// the digest.
    taken: OrdMap<u64, Digests>,
}

type Digests = DenseMap<Hash, ()>;

impl ReplayWindow {
    /// Takes the body with this digest, which says `expires_at`, at `recorded_at`; or
    /// refuses it as `expired`, `expires-too-late` or `replayed` and remembers nothing.
    pub fn admit(&mut self, digest: Hash, expires_at: u64, recorded_at: u64) -> Outcome {
        // If time went back, what was forgotten could come again: the later time judges.
        let now = recorded_at.max(self.now);
        require(now <= expires_at, Code::Expired, || {
            format!("expires_at {expires_at}: expected at least {now}, the time of recording")
        })?;
        let latest = recorded_at.saturating_add(MAX_LIFETIME_MS);
        require(expires_at <= latest, Code::ExpiresTooLate, || {
            format!("expires_at {expires_at}: expected at most {latest}")
        })?;
        let that_day = self.taken.entry(expires_at / DAY_MS).or_default();
        require(that_day.insert(digest, ()).is_none(), Code::Replayed, || {
            format!("body {}", hex::encode(digest))
        })
    }

    /// Forgets what has expired before the day of `now`. Time that goes back changes nothing.
    pub fn advance(&mut self, now: u64) {
        self.now = now.max(self.now);
        let today = self.now / DAY_MS;
        while let Some(day) = self.taken.get_min().map(|(day, _)| *day).filter(|day| *day < today) {
            self.taken.remove(&day);
        }
    }

    /// How many digests are remembered.
    pub fn len(&self) -> usize {
        self.taken.values().map(Digests::len).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000;

    fn verdict(window: &ReplayWindow, expires_at: u64, recorded_at: u64) -> Result<(), Code> {
        window.clone().admit([1; 32], expires_at, recorded_at).map_err(|r| r.code)
    }

    #[test]
    fn a_statement_is_valid_to_the_millisecond() {
        let window = ReplayWindow::default();
        assert_eq!(verdict(&window, NOW - 1, NOW), Err(Code::Expired));
        assert_eq!(verdict(&window, NOW, NOW), Ok(()));
        assert_eq!(verdict(&window, NOW + MAX_LIFETIME_MS, NOW), Ok(()));
        assert_eq!(verdict(&window, NOW + MAX_LIFETIME_MS + 1, NOW), Err(Code::ExpiresTooLate));
        assert_eq!(verdict(&window, u64::MAX, u64::MAX), Ok(()));
    }

    #[test]
    fn a_body_is_taken_once_and_forgotten_when_it_can_do_no_harm() {
        let mut window = ReplayWindow::default();
        let before = window.clone();
        window.admit([1; 32], NOW + 10, NOW).expect("new");
        assert_eq!(verdict(&window, NOW + 10, NOW), Err(Code::Replayed));
        assert_eq!(verdict(&before, NOW + 10, NOW), Ok(()), "the clone is untouched");
        window.advance(NOW + 10);
        assert_eq!(verdict(&window, NOW + 10, NOW + 10), Err(Code::Replayed));
        window.advance(NOW + 11);
        assert_eq!(verdict(&window, NOW + 10, NOW + 11), Err(Code::Expired));
        let next_day = (NOW / DAY_MS + 1) * DAY_MS;
        window.advance(next_day - 1);
        assert_eq!(window.len(), 1);
        window.advance(next_day);
        assert!(window.is_empty());
        // Even for a caller whose time goes back.
        assert_eq!(verdict(&window, NOW + 10, NOW), Err(Code::Expired));
    }

    proptest! {
        /// Against a model that never forgets: on no history does forgetting show.
        #[test]
        fn forgetting_never_shows(
            steps in prop::collection::vec((0u64..DAY_MS / 4, 0u8..12), 1..200)
        ) {
            let (mut window, mut all, mut now) = (ReplayWindow::default(), Vec::new(), NOW);
            for (wait, body) in steps {
                now += wait;
                window.advance(now);
                // The expiry belongs to the body: a few of them, spread over the run.
                let expires_at = NOW + u64::from(body) * DAY_MS;
                let expected = now <= expires_at && !all.contains(&body);
                prop_assert_eq!(window.admit([body; 32], expires_at, now).is_ok(), expected);
                if expected {
                    all.push(body);
                }
            }
            prop_assert!(window.len() <= all.len());
        }
    }
}
