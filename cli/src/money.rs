//! Amounts, quantities and dates between people's words and the ledger's integers.
//!
//! Pure. Amounts are read and written with the currency's ISO 4217 exponent; no float
//! is ever made.

use crate::failure::{Done, Failure};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use subak_ledger::book::{
    decimal,
    types::{Currency, DAY_MS, Fixed, Minor, Q},
};

/// Decimals of a currency's minor unit; 2 where ISO 4217 does not know it.
pub fn exponent(currency: Currency) -> u8 {
    iso_currency::Currency::from_code(currency.as_str())
        .and_then(iso_currency::Currency::exponent)
        .and_then(|e| u8::try_from(e).ok())
        .unwrap_or(2)
}

/// `1200.00 EUR`.
pub fn show(minor: i128, currency: Currency) -> String {
    format!("{} {currency}", plain(minor, currency))
}

/// `1200.00`, grouped as `1,200.00` from a thousand on.
pub fn plain(minor: i128, currency: Currency) -> String {
    let digits =
        decimal::show(u64::try_from(minor.unsigned_abs()).unwrap_or(u64::MAX), exponent(currency));
    let (units, rest) =
        digits.split_once('.').map_or((digits.as_str(), None), |(u, r)| (u, Some(r)));
    let grouped: Vec<&str> = {
        let first = units.len() % 3;
        let mut parts = Vec::new();
        if first > 0 {
            parts.push(&units[..first]);
        }
        parts.extend((first..units.len()).step_by(3).map(|i| &units[i..i + 3]));
        parts
    };
    let sign = if minor < 0 { "-" } else { "" };
    match rest {
        Some(rest) => format!("{sign}{}.{rest}", grouped.join(",")),
        None => format!("{sign}{}", grouped.join(",")),
    }
}

/// `1200.00` for programs: no grouping.
pub fn json(minor: i128, currency: Currency) -> String {
    plain(minor, currency).replace(',', "")
}

/// Fixed point with four more decimals than the currency has, truncated: `12.345678`.
pub fn show_fixed(v: Fixed, currency: Currency) -> String {
    const MORE: i128 = 10_000;
    let places = exponent(currency) + 4;
    let scaled = v.unsigned_abs() / Q.unsigned_abs() * MORE.unsigned_abs()
        + (v.unsigned_abs() % Q.unsigned_abs()) * MORE.unsigned_abs() / Q.unsigned_abs();
    let text = decimal::show(u64::try_from(scaled).unwrap_or(u64::MAX), places);
    if v < 0 { format!("-{text}") } else { text }
}

/// Whether [`show_fixed`] cuts nothing off.
pub fn is_shown_whole(v: Fixed) -> bool {
    // Four decimals more than minor units, of 64 bits behind the point.
    ((v.unsigned_abs() % Q.unsigned_abs()) * 10_000).is_multiple_of(Q.unsigned_abs())
}

/// Reads `1200.00 EUR`, `1,200.00 EUR` or `1200 EUR`. A comma groups thousands, as
/// [`plain`] writes it, and is refused wherever it could stand for a decimal point.
pub fn read(text: &str) -> Done<(Minor, Currency)> {
    let bad = || {
        Failure::usage(
            format!("amount {text:?}: expected digits and a currency, as in `1200.00 EUR`"),
            "write the amount with its currency, in quotes",
        )
    };
    let (digits, code) = text.trim().rsplit_once(' ').ok_or_else(bad)?;
    if digits.trim_start().starts_with('-') {
        return Err(Failure::usage(
            format!("amount {text:?} is below zero"),
            "write it without a sign; what takes money back has its own command, as `revenue reverse`",
        ));
    }
    let currency = Currency::new(code).map_err(|_| bad())?;
    if iso_currency::Currency::from_code(code).is_none() {
        return Err(Failure::usage(
            format!("amount {text:?}: ISO 4217 knows no currency {code}"),
            "use a code such as EUR, USD or IDR",
        ));
    }
    let plain = ungrouped(digits.trim(), exponent(currency)).ok_or_else(|| {
        Failure::usage(
            format!("amount {text:?}: a comma only groups thousands, as in `1,200.50 EUR`"),
            "write it with a point and without commas, as in `1200.50 EUR`",
        )
    })?;
    let minor = decimal::read(&plain, exponent(currency)).ok_or_else(bad)?;
    Ok((minor, currency))
}

/// Digits without the commas that group them; `None` where a comma is something else:
/// not before every three digits, after the point, or, in a currency of three decimals,
/// alone (`1,234 TND` is one dinar or a thousand, as one is used to).
fn ungrouped(digits: &str, exponent: u8) -> Option<String> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    if rest.is_empty() {
        return (!fraction.contains(',')).then(|| digits.to_owned());
    }
    let grouped = (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && rest.iter().all(|group| group.len() == 3)
        && !fraction.contains(',');
    let ambiguous = exponent == 3 && rest.len() == 1 && !digits.contains('.');
    (grouped && !ambiguous).then(|| digits.replace(',', ""))
}

/// Thousandths of `12.5`.
pub fn quantity(text: &str) -> Done<u64> {
    decimal::read(text.trim(), 3).filter(|q| *q > 0).ok_or_else(|| {
        Failure::usage(
            format!("quantity {text:?}: expected a number above 0 with up to 3 decimals"),
            "write it as in 1 or 2.5",
        )
    })
}

/// `12.5` of thousandths.
pub fn show_thousandths(v: i128) -> String {
    let text = decimal::show_short(u64::try_from(v.unsigned_abs()).unwrap_or(u64::MAX), 3);
    if v < 0 { format!("-{text}") } else { text }
}

/// Now, in milliseconds.
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Reads `2026-11-21` (its first moment, UTC) or `2026-11-21T10:00:00Z`.
pub fn time(text: &str) -> Done<u64> {
    let ms = text
        .parse::<Timestamp>()
        .or_else(|_| {
            text.parse::<Date>().and_then(|d| d.to_zoned(TimeZone::UTC)).map(|z| z.timestamp())
        })
        .map_err(|_| {
            Failure::usage(
                format!("date {text:?}: expected ISO 8601"),
                "write it as in 2026-11-21 or 2026-11-21T10:00:00Z",
            )
        })?
        .as_millisecond();
    u64::try_from(ms)
        .map_err(|_| Failure::usage(format!("date {text:?} is before 1970"), "use a later date"))
}

/// Reads a day.
pub fn day(text: &str) -> Done<u32> {
    Ok(u32::try_from(time(text)? / DAY_MS).unwrap_or(u32::MAX))
}

/// `2026-11-21` of a day.
pub fn show_day(day: u32) -> String {
    show_date(u64::from(day) * DAY_MS)
}

/// `2026-11-21` of milliseconds, UTC.
pub fn show_date(ms: u64) -> String {
    stamp(ms).map_or_else(|| ms.to_string(), |t| t.to_zoned(TimeZone::UTC).date().to_string())
}

/// `2026-11-21T10:00:00Z` of milliseconds.
pub fn show_time(ms: u64) -> String {
    stamp(ms / 1_000 * 1_000).map_or_else(|| ms.to_string(), |t| t.to_string())
}

fn stamp(ms: u64) -> Option<Timestamp> {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// `15 %` of ppm.
pub fn show_share(ppm: u32) -> String {
    subak_ledger::book::equation_toml::share(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown_by_their_exponent() {
        let eur = Currency::new("EUR").unwrap();
        assert_eq!(read("1,200.5 EUR").unwrap(), (120_050, eur));
        assert_eq!(show(120_050, eur), "1,200.50 EUR");
        assert_eq!(plain(-5, eur), "-0.05");
        assert_eq!(read("1200 JPY").unwrap().0, 1_200);
        assert_eq!(show(1_234_567, Currency::new("JPY").unwrap()), "1,234,567 JPY");
        for bad in ["12.345 EUR", "12", "EUR", "-1 EUR", "1.00 eur", "1.00 XQX"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comma_groups_thousands_and_is_never_a_decimal_point() {
        for (text, minor) in [
            ("1,234 EUR", 123_400),
            ("1,234.50 EUR", 123_450),
            ("12,345,678.9 EUR", 1_234_567_890),
            ("1,234,567 JPY", 1_234_567),
            ("1,234.000 TND", 1_234_000),
        ] {
            assert_eq!(read(text).unwrap().0, minor, "{text}");
        }
        for text in [
            "1,5 EUR",
            "1200,00 EUR",
            "1200,50 EUR",
            "1,2345 EUR",
            "1234,567 EUR",
            "0,500 EUR",
            ",500 EUR",
            "1,,234 EUR",
            "1.234,50 EUR",
            "1,234 TND",
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.status, 2, "{text}");
            assert!(refused.next.contains("1200.50"), "{text}: {}", refused.next);
        }
        assert!(read("-5 EUR").unwrap_err().next.contains("without a sign"));
    }

    #[test]
    fn dates_go_both_ways() {
        assert_eq!(show_date(time("2026-11-21").unwrap()), "2026-11-21");
        assert_eq!(show_time(time("2026-11-21T10:00:00Z").unwrap()), "2026-11-21T10:00:00Z");
        assert_eq!(day("1970-01-02").unwrap(), 1);
    }
}
