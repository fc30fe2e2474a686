//! Parts of long lists, from a store.
//!
//! Guarantees that an answer is bounded, and what is in memory for it too. Leaves out the
//! entries, of which the store itself makes pages.

use crate::{
    LedgerInfo, NodeError, Page,
    load::{self, unknown},
};
use subak_ledger::{
    log::{Hash, LedgerId},
    store::{Disclosure, Reader},
};

/// Disclosures that are read at a time: the store bounds their number only, and each may
/// be as large as a statement.
const AT_A_TIME: usize = 16;

/// Disclosures that are asked for by name at a time.
pub(crate) const MOST_ASKED: usize = 1_000;

/// Up to `limit` ledgers in order of arrival, after `after`; of each, whether its operator is known
/// ([`load::info`]).
pub(crate) fn ledgers(
    reader: &dyn Reader,
    after: Option<LedgerId>,
    limit: usize,
) -> Result<Page<(LedgerInfo, bool)>, NodeError> {
    let rows = reader.ledgers()?;
    let from = match after {
        None => 0,
        Some(last) => {
            let place = rows.iter().position(|row| row.id == last.0);
            place.ok_or_else(|| unknown(&last))? + 1
        }
    };
    let left = &rows[from..];
    let page = &left[..limit.min(left.len())];
    let items = page.iter().map(|row| load::info(reader, LedgerId(row.id)));
    Ok(Page { items: items.collect::<Result<_, _>>()?, more: page.len() < left.len() })
}

/// Disclosures after `after` until their texts have `bytes`, and one at least.
pub(crate) fn disclosures(
    reader: &dyn Reader,
    ledger: LedgerId,
    after: Option<Hash>,
    bytes: usize,
) -> Result<Page<Disclosure>, NodeError> {
    let mut items: Vec<Disclosure> = Vec::new();
    let mut size = 0;
    loop {
        let last = items.last().map(|d| d.commitment).or(after);
        let found = reader.disclosures(&ledger.0, last.as_ref(), AT_A_TIME)?;
        if found.is_empty() {
            return Ok(Page { items, more: false });
        }
        for disclosure in found {
            size += room(&disclosure);
            if size > bytes && !items.is_empty() {
                return Ok(Page { items, more: true });
            }
            items.push(disclosure);
        }
    }
}

/// Those of these disclosures that are kept, in the order asked, until their texts have `bytes`, and
/// one at least.
pub(crate) fn disclosures_of(
    reader: &dyn Reader,
    ledger: LedgerId,
    commitments: &[Hash],
    bytes: usize,
) -> Result<Vec<Disclosure>, NodeError> {
    let (mut items, mut size) = (Vec::new(), 0);
    for commitment in commitments.iter().take(MOST_ASKED) {
        let Some(disclosure) = reader.disclosure(&ledger.0, commitment)? else { continue };
        size += room(&disclosure);
        if size > bytes && !items.is_empty() {
            break;
        }
        items.push(disclosure);
    }
    Ok(items)
}

/// Bytes in a message, and some to spare for lengths and salt.
fn room(d: &Disclosure) -> usize {
    d.bytes.len() + d.tag.len() + d.author.len() + d.field.len() + 64
}
