//! The small words that every rule uses: money, time, parties, work.
//!
//! Guarantees that a value of these types has been checked. Leaves out behaviour.

use crate::{
    log::statement::MAX_EVENTS,
    reject::{Code, Outcome, Reject, require},
};
use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};
use subak_proto::v1;

pub use crate::log::handle::Handle;

/// Milliseconds in a day.
pub const DAY_MS: u64 = 86_400_000;

/// The last time that a statement may name: 9999-12-31T23:59:59.999Z.
pub const LAST_TIME: u64 = 253_402_300_799_999;

/// Whole minor units of a currency.
pub type Minor = u64;

/// Fixed point with 64 fractional bits: minor units times 2^64 (DESIGN section 6).
pub type Fixed = i128;

/// One minor unit as [`Fixed`].
pub const Q: Fixed = 1 << 64;

/// Thousandths of a point: quantity (thousandths) times the kind's rate (points).
pub type Points = u64;

/// The largest sum of money in one currency that a ledger takes in: 10^15 minor units.
pub const MAX_MONEY: Minor = 1_000_000_000_000_000;

/// Q64 to whole minor units, for display, payouts and worked examples.
///
/// `floor((v + 2^48) / 2^64)`, so that what lacks less than 2^-16 of a minor unit
/// through flooring is not shown as a unit less (DESIGN section 6).
pub fn whole(v: Fixed) -> i128 {
    (v + (1 << 48)) >> 64
}

/// Whole minor units as [`Fixed`].
pub fn fixed(minor: Minor) -> Fixed {
    Fixed::from(minor) * Q
}

/// Three capital letters, as in ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Checks the form only: the list of currencies changes, a ledger's past does not.
    pub fn new(text: &str) -> Outcome<Self> {
        let bytes: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        match bytes {
            Some(b) if b.iter().all(u8::is_ascii_uppercase) => Ok(Self(b)),
            _ => Err(Reject::new(
                Code::Malformed,
                format!("a currency is three capital letters, found {:?}", clip(text)),
            )),
        }
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII capitals are let in")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// An amount of whole minor units, at least 1 and at most [`MAX_MONEY`].
pub fn amount(minor: u64, field: &str) -> Outcome<Minor> {
    require((1..=MAX_MONEY).contains(&minor), Code::AmountOutOfRange, || {
        format!("{field}: expected 1 to {MAX_MONEY} minor units, found {minor}")
    })?;
    Ok(minor)
}

/// `scheme:text`: what a contribution or a bank transfer is known by elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(Arc<str>);

impl Reference {
    /// `[a-z0-9-]{1,16}:[A-Za-z0-9._-]{1,100}`; of the scheme `git` without capitals, since
    /// one commit has one name.
    pub fn new(text: &str) -> Outcome<Self> {
        let fits = text.split_once(':').is_some_and(|(scheme, rest)| {
            (1..=16).contains(&scheme.len())
                && scheme.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && (1..=100).contains(&rest.len())
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
                && (scheme != "git" || !rest.bytes().any(|b| b.is_ascii_uppercase()))
        });
        require(fits, Code::Malformed, || {
            format!("a reference is scheme:text, found {:?}", clip(text))
        })?;
        Ok(Self(text.into()))
    }

    /// A reference of the scheme `bank`.
    pub fn bank(text: &str) -> Outcome<Self> {
        require(text.starts_with("bank:"), Code::Malformed, || {
            format!("a bank reference begins with bank:, found {:?}", clip(text))
        })?;
        Self::new(text)
    }

    /// Of a text that was a reference's.
    pub(super) fn kept(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The place of an event in a ledger: entry, and index of the event there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref {
    /// Entry, from 0.
    pub entry: u64,
    /// Event within the entry's statement, from 0.
    pub event: u32,
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entry, self.event)
    }
}

/// A [`Ref`] in eight bytes, for tables that have many; its order is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packed(u64);

/// Bits for the event: a statement has [`MAX_EVENTS`] at most.
const EVENT_BITS: u32 = 10;
const _: () = assert!(MAX_EVENTS <= 1 << EVENT_BITS);

impl From<Ref> for Packed {
    fn from(place: Ref) -> Self {
        let fits = place.entry >> (u64::BITS - EVENT_BITS) == 0 && place.event >> EVENT_BITS == 0;
        assert!(fits, "no statement has an event {}, no log an entry {}", place.event, place.entry);
        Self(place.entry << EVENT_BITS | u64::from(place.event))
    }
}

impl From<Packed> for Ref {
    fn from(Packed(bits): Packed) -> Self {
        let event = u32::try_from(bits % (1 << EVENT_BITS)).expect("ten bits");
        Self { entry: bits >> EVENT_BITS, event }
    }
}

/// A number of an agent within one ledger, in order of introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub u32);

macro_rules! words {
    ($(#[$doc:meta])* $name:ident from $proto:ident { $($variant:ident $wire:ident $word:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $word] $variant,)* }

        impl $name {
            /// All values, in the order of the wire.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// From the wire; 0 and unknown values are malformed.
            pub fn from_wire(value: i32) -> Outcome<Self> {
                match v1::$proto::try_from(value) {
                    $(Ok(v1::$proto::$wire) => Ok(Self::$variant),)*
                    _ => Err(Reject::new(Code::Malformed,
                        format!("{}: no such value as {value}", stringify!($proto)))),
                }
            }

            /// To the wire.
            pub fn to_wire(self) -> i32 {
                match self { $(Self::$variant => v1::$proto::$wire as i32,)* }
            }

            /// The word for people, configuration and JSON.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.word()) }
        }
    };
}

words! {
    /// What an agent, or the keeper of a ledger, is.
    AgentKind from AgentKind {
        Person Person "person"
        Phyle Phyle "phyle"
        Commons Commons "commons"
        Association Association "association"
        Trust Trust "trust"
        Authority Authority "authority"
    }
}
words! {
    /// What an agent may do in a ledger.
    Role from Role {
        Steward Steward "steward"
        Maintainer Maintainer "maintainer"
        Treasurer Treasurer "treasurer"
    }
}
words! {
    /// Why work was given.
    Stream from Stream {
        Livelihood Livelihood "livelihood"
        Love Love "love"
        Care Care "care"
    }
}
words! {
    /// Whether somebody has paid for the work already; `unknown` counts as paid.
    Remuneration from Remuneration {
        Unpaid Unpaid "unpaid"
        Paid Paid "paid"
        Unknown Unknown "unknown"
    }
}
words! {
    /// Why a claim ended.
    RejectReason from RejectReason {
        NotDone NotDone "not-done"
        Duplicate Duplicate "duplicate"
        NotUseful NotUseful "not-useful"
        WrongAgent WrongAgent "wrong-agent"
        Withdrawn Withdrawn "withdrawn"
    }
}
words! {
    /// What an agreement's share is a share of.
    Base from Base {
        Net Net "net"
        Gross Gross "gross"
        Payout Payout "payout"
    }
}
words! {
    /// How far an agreement has come, as stated for the other ledger.
    Stage from Stage {
        Offered Offered "offered"
        Accepted Accepted "accepted"
    }
}
words! {
    /// Why a payout line failed or came back.
    FailReason from FailReason {
        AccountClosed AccountClosed "account-closed"
        AccountUnknown AccountUnknown "account-unknown"
        RefusedByBank RefusedByBank "refused-by-bank"
        Other Other "other"
    }
}
words! {
    /// Why revenue was taken back.
    Cause from Cause {
        Refund Refund "refund"
        Chargeback Chargeback "chargeback"
        CreditNote CreditNote "credit-note"
        BadDebt BadDebt "bad-debt"
    }
}

/// The UTC month of a day, counted from January 1970 = 0.
///
/// Civil-from-days of the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms"), for days from 1970 on.
pub fn month_of_day(day: u32) -> u32 {
    let z = u64::from(day) + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // March = 0
    let (year, month) = if shifted_month < 10 {
        (era * 400 + year_of_era, shifted_month + 2)
    } else {
        (era * 400 + year_of_era + 1, shifted_month - 10)
    };
    u32::try_from((year - 1970) * 12 + month).expect("a u32 of days is less than 2^32 months")
}

/// The day of a time in milliseconds.
pub fn day_of(ms: u64) -> u32 {
    u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX)
}

/// At most 60 characters of what somebody sent, for a message.
pub fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_where_the_calendar_says() {
        for (day, month) in [
            (0, 0),
            (30, 0),
            (31, 1),
            (58, 1),
            (59, 2),
            (364, 11),
            (365, 12),
            (11_016, 361), // 2000-02-29
            (11_017, 362), // 2000-03-01
            (20_778, 682), // 2026-11-21
        ] {
            assert_eq!(month_of_day(day), month, "day {day}");
        }
    }

    #[test]
    fn whole_forgives_flooring_and_nothing_else() {
        assert_eq!(whole(fixed(50) - 1), 50);
        assert_eq!(whole(fixed(50) - (1 << 48)), 50);
        assert_eq!(whole(fixed(50) - (1 << 48) - 1), 49);
        assert_eq!(whole(-1), 0);
        assert_eq!(whole(-Q), -1);
    }
}
