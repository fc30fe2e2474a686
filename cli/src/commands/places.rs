//! Places of contributions, as people write them: `12`, `12.3`, `12..40`, `12.1..40.9`.
//!
//! Pure. A number alone is an entry and means all contributions in it; `A..B` means
//! all from A to B, both included.

use crate::failure::{Done, Failure};
use std::{ops::RangeInclusive, str::FromStr};
use subak_ledger::book::{state::State, types::Ref};

/// From the first to the last place that was meant.
pub type Range = RangeInclusive<Ref>;

/// Reads one argument.
pub fn range(text: &str) -> Done<Range> {
    let bad = || {
        Failure::usage(
            format!("place {text:?}: expected ENTRY, ENTRY.EVENT or a range of them"),
            "write it as in 12, 12.3, 12..40 or 12.1..40.9; `subak contribution list` shows places",
        )
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (half(first, 0).ok_or_else(bad)?, half(last, u32::MAX).ok_or_else(bad)?);
    if first > last {
        return Err(Failure::usage(
            format!("range {text:?} ends before it begins"),
            "name the earlier place first",
        ));
    }
    Ok(first..=last)
}

/// `12.3`, or `12` with the event that an entry alone stands for.
fn half(text: &str, event: u32) -> Option<Ref> {
    match text.split_once('.') {
        Some((entry, event)) => Some(Ref { entry: digits(entry)?, event: digits(event)? }),
        None => Some(Ref { entry: digits(text)?, event }),
    }
}

/// A number without a sign, which `parse` would let through.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// The contributions within ranges, ascending, each once. A range without any is a
/// mistake worth saying.
pub fn contributions(book: &State, ranges: &[Range]) -> Done<Vec<Ref>> {
    let mut places = Vec::new();
    for range in ranges {
        let before = places.len();
        places.extend(book.contributions.places(range.clone()));
        if places.len() == before {
            let (first, last) = (range.start(), range.end());
            let where_ = match (first, last) {
                _ if first == last => format!("at {first}"),
                _ if first.entry == last.entry => format!("in entry {}", first.entry),
                _ => format!("from entry {} to {}", first.entry, last.entry),
            };
            return Err(Failure::refused(
                "unknown-contribution",
                format!("there is no contribution {where_}"),
                "look it up: `subak contribution list`",
            ));
        }
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// The one contribution that an argument means.
pub fn contribution(book: &State, text: &str) -> Done<Ref> {
    match contributions(book, &[range(text)?])?.as_slice() {
        [one] => Ok(*one),
        several => Err(Failure::usage(
            format!("{text} holds {} contributions", several.len()),
            format!("name one of them, as in {}", several[0]),
        )),
    }
}

/// Ascending places as few spans: a span covers neighbours in the ledger only, so it
/// holds nothing that is not listed.
pub fn spans(book: &State, places: &[Ref]) -> Vec<(Ref, Ref)> {
    let mut spans: Vec<(Ref, Ref)> = Vec::new();
    let mut next_in_book = None;
    for place in places {
        match spans.last_mut() {
            Some(span) if next_in_book == Some(*place) => span.1 = *place,
            _ => spans.push((*place, *place)),
        }
        let after = Ref { entry: place.entry, event: place.event.saturating_add(1) };
        next_in_book = book.contributions.places(after..).next();
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(entry: u64, event: u32) -> Ref {
        Ref { entry, event }
    }

    #[test]
    fn places_and_ranges_are_read_as_people_mean_them() {
        assert_eq!(range("12").unwrap(), at(12, 0)..=at(12, u32::MAX));
        assert_eq!(range("12.3").unwrap(), at(12, 3)..=at(12, 3));
        assert_eq!(range("12..40").unwrap(), at(12, 0)..=at(40, u32::MAX));
        assert_eq!(range("12.1..40.9").unwrap(), at(12, 1)..=at(40, 9));
        assert_eq!(range("12.1..40").unwrap(), at(12, 1)..=at(40, u32::MAX));
        assert_eq!(range("12..12").unwrap(), range("12").unwrap());
    }

    #[test]
    fn what_is_no_place_is_a_usage_error() {
        for bad in [
            "",
            ".",
            "..",
            "12.",
            ".3",
            "12...40",
            "12..",
            "..40",
            "+1",
            "-1",
            "1.2.3",
            "a",
            "12..40..50",
            "12.-1",
            "18446744073709551616",
            "1.4294967296",
            "40..12",
            "12.3..12.2",
        ] {
            assert_eq!(range(bad).map_err(|f| f.status), Err(2), "{bad:?}");
        }
    }
}
