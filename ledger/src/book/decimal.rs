//! Decimal numbers that people write, as whole numbers of the smallest unit.
//!
//! Owns both directions, exactly: no float, no rounding, no thousands separators.
//! Guarantees that what [`show`] writes [`read`] reads back. Leaves out units.

/// `12.5` with 2 places is 1250: digits, and after a point 1 to `places` more.
///
/// `None` where it is anything else or does not fit.
pub fn read(text: &str, places: u8) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let places = usize::from(places);
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction}{}", "0".repeat(places - fraction.len())).parse().ok()
}

/// 1250 with 2 places is `12.50`.
pub fn show(value: u64, places: u8) -> String {
    if places == 0 {
        return value.to_string();
    }
    let digits = format!("{value:0>width$}", width = usize::from(places) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(places));
    format!("{whole}.{fraction}")
}

/// 1250 with 2 places is `12.5`: as [`show`], without zeros at the end.
pub fn show_short(value: u64, places: u8) -> String {
    let long = show(value, places);
    if places == 0 {
        return long;
    }
    long.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_read() {
        for (text, places, value) in [
            ("12.5", 2, Some(1250)),
            ("12", 2, Some(1200)),
            ("0.01", 2, Some(1)),
            ("1000", 0, Some(1000)),
            ("18446744073709551615", 0, Some(u64::MAX)),
            ("18446744073709551616", 0, None),
            ("12.505", 2, None),
            ("12.", 2, None),
            (".5", 2, None),
            ("", 2, None),
            ("-1", 2, None),
            ("+1", 2, None),
            ("1e3", 2, None),
            ("1,000", 2, None),
            ("1 000", 2, None),
            ("1.0", 0, None),
            ("1.2.3", 2, None),
        ] {
            assert_eq!(read(text, places), value, "{text} with {places} places");
        }
    }

    #[test]
    fn shown_and_read_are_one() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            for places in 0..=4 {
                assert_eq!(read(&show(value, places), places), Some(value));
                assert_eq!(read(&show_short(value, places), places), Some(value));
            }
        }
        assert_eq!(show(5, 2), "0.05");
        assert_eq!(show_short(150_000, 4), "15");
        assert_eq!(show_short(100, 0), "100");
    }
}
