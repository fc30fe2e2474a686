//! Whether the wall clock may be believed just now.
//!
//! Owns the rule of DESIGN section 4.11: a node refuses to append while its clock has
//! stepped back, or has leapt against the monotonic clock. Guarantees that a fault ends
//! by itself once the clock is right again, and that on Linux a machine that was asleep is
//! none: there the monotonic clock goes on. Pure: both readings are passed in.
//!
//! Leaves out `recorded_at`, which the sequencer chooses, and the first reading after a
//! start, which is believed: nothing here could contradict it. What it can do is bounded
//! elsewhere. Behind the last entry nothing is appended (`Refusal::ClockBehind`); ahead, a
//! statement is refused once it has expired, so an entry comes no later than its author
//! allowed, a day as a rule.

use std::time::{SystemTime, UNIX_EPOCH};

/// Both clocks, read at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Since 1970-01-01T00:00:00Z; what people set, and what services adjust.
    pub wall: u64,
    /// Since some moment before; it never goes back and nobody sets it. On Linux since the
    /// start of the machine, sleep included; elsewhere it may stand still in sleep, and
    /// then the node must be started again after it.
    pub mono: u64,
}

impl Reading {
    /// Both clocks of this machine, now.
    pub fn now() -> Self {
        // A clock before 1970 reads as 0, and then lies behind every ledger.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Self { wall: u64::try_from(wall).unwrap_or(u64::MAX), mono: mono() }
    }
}

/// The clock that counts sleep, in milliseconds: `CLOCK_BOOTTIME` (clock_gettime(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn mono() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn mono() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let passed = START.get_or_init(std::time::Instant::now).elapsed().as_millis();
    u64::try_from(passed).unwrap_or(u64::MAX)
}

/// How far the clocks may part at once, in milliseconds: more than an adjustment by a time
/// service takes, less than anybody could use to move an entry over a deadline.
pub const TOLERANCE_MS: u64 = 2_000;

/// One millisecond in so many may be lost or won for good: clocks drift by a tenth of this.
const DRIFT: u64 = 1_000;

/// What is wrong with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The wall clock says less than it should.
    #[error("the clock has stepped back by {by} ms")]
    Back {
        /// Milliseconds.
        by: u64,
    },
    /// The wall clock says more than the time that has passed explains.
    #[error("the clock has leapt ahead by {by} ms")]
    Ahead {
        /// Milliseconds.
        by: u64,
    },
}

/// Remembers the last reading that was believed.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    trusted: Option<Reading>,
}

impl Watch {
    /// The wall clock's time in milliseconds, if it agrees with the time that has passed
    /// since the last reading that was believed; the first one is.
    pub fn judge(&mut self, reading: Reading) -> Result<u64, ClockFault> {
        if let Some(trusted) = self.trusted {
            let passed = reading.mono.saturating_sub(trusted.mono);
            let expected = trusted.wall.saturating_add(passed);
            let by = reading.wall.abs_diff(expected);
            if by > TOLERANCE_MS + passed / DRIFT {
                let back = reading.wall < expected;
                return Err(if back { ClockFault::Back { by } } else { ClockFault::Ahead { by } });
            }
        }
        self.trusted = Some(reading);
        Ok(reading.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn watch() -> Watch {
        let mut watch = Watch::default();
        assert_eq!(watch.judge(Reading { wall: WALL, mono: 500 }), Ok(WALL));
        watch
    }

    fn later(passed: u64, off: i64) -> Result<u64, ClockFault> {
        let wall = (WALL + passed).checked_add_signed(off).expect("in range");
        watch().judge(Reading { wall, mono: 500 + passed })
    }

    #[test]
    fn time_that_passes_is_believed() {
        assert_eq!(later(0, 0), Ok(WALL));
        assert_eq!(later(HOUR, 0), Ok(WALL + HOUR));
    }

    #[test]
    fn small_corrections_and_drift_are_believed() {
        assert_eq!(later(1, -2_000), Ok(WALL + 1 - 2_000));
        assert_eq!(later(1, 2_000), Ok(WALL + 1 + 2_000));
        assert_eq!(later(HOUR, 5_600), Ok(WALL + HOUR + 5_600));
    }

    #[test]
    fn a_step_or_a_leap_is_not() {
        assert_eq!(later(1, -2_001), Err(ClockFault::Back { by: 2_001 }));
        assert_eq!(later(1, 2_001), Err(ClockFault::Ahead { by: 2_001 }));
        // An hour asleep, where the monotonic clock slept too.
        assert_eq!(later(10, 3_600_000), Err(ClockFault::Ahead { by: HOUR }));
    }

    /// The kernel's uptime counts sleep, as its manual says (proc_uptime(5)); so must this.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_clock_that_nobody_sets_counts_the_machines_sleep() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
            let seconds = text.split(['.', ' ']).next().and_then(|s| s.parse::<u64>().ok());
            seconds.expect("it begins with seconds")
        };
        let (before, found, after) = (uptime(), Reading::now().mono / 1_000, uptime());
        assert!(before <= found + 1 && found <= after + 1, "{before} {found} {after}");
    }

    #[test]
    fn a_corrected_clock_is_believed_again() {
        let mut watch = watch();
        let at = |wall, mono: u64| Reading { wall, mono: 500 + mono };
        assert!(watch.judge(at(WALL - HOUR, 1_000)).is_err());
        assert!(watch.judge(at(WALL - HOUR + 1_000, 2_000)).is_err(), "it does not become true");
        assert_eq!(watch.judge(at(WALL + 3_000, 3_000)), Ok(WALL + 3_000));
    }
}
