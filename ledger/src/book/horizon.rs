//! How much work of an age counts: the horizons that people name, as integer tables.
//!
//! Owns the three names and their tables. Guarantees that a name gives the same table
//! on every machine for ever: the adopted equation carries the table, never the name.
//! Leaves out the use of a table (`split`).
//!
//! # Half-life
//!
//! With a half-life of `h` months, work `a` months old weighs
//! `w(a) = floor(64 * 2^(-a/h) + 1/2)`. No root is taken: for whole numbers,
//! `w(a) >= w` is the same as `(2w - 1)^h <= 2^(7h - a)`, so the last age that weighs
//! at least `w` is `7h - ceil(log2((2w - 1)^h))`, and an odd power's bits say that
//! logarithm exactly. After seven half-lives the weight is 1, a month later 0.
//!
//! Why 64: a weight is rounded by at most 1/128 of a full one (0.8 %), and an agent's
//! weighted thousandths of a point times incomes must stay within
//! [`super::split::MAX_POINT_INCOMES`], 2^48. Somebody with 40,000 points (20,000
//! hours at 2 points) has then room for 109,000 incomes; with weights up to 65,535 it
//! would be 107, with a lifetime's single weight of 1 it is 7 million.

use std::fmt;

/// The weight of new work under a half-life.
pub const FULL: u32 = 64;

/// Half-lives of new work until it weighs 1: `log2(2 * FULL)`.
const HALVINGS: u32 = 7;

/// The longest half-life in months whose table fits [`super::equation::MAX_TABLE`].
pub const MAX_HALF_LIFE: u32 = 85;

/// A table of weights that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Horizon {
    /// Work counts the same for ever.
    Lifetime,
    /// Work counts in its month and the eleven after it.
    LastYear,
    /// Work counts half after so many months, 1 to [`MAX_HALF_LIFE`].
    HalfLife(u32),
}

impl Horizon {
    /// `lifetime`, `last-year` or `half-life:MONTHS`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "lifetime" => Some(Self::Lifetime),
            "last-year" => Some(Self::LastYear),
            _ => {
                let digits = word.strip_prefix("half-life:")?;
                let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
                let months = digits.parse().ok().filter(|_| plain)?;
                (1..=MAX_HALF_LIFE).contains(&months).then_some(Self::HalfLife(months))
            }
        }
    }

    /// Weights by age in months; the last repeats for ever.
    pub fn weights(self) -> Vec<u32> {
        match self {
            Self::Lifetime => vec![1],
            Self::LastYear => [vec![1; 12], vec![0]].concat(),
            Self::HalfLife(months) => half_life(months),
        }
    }

    /// The horizon whose table this is, where it has a name.
    pub fn of(weights: &[u32]) -> Option<Self> {
        let length = u32::try_from(weights.len()).ok()?;
        // A half-life's table is as long as no other's.
        let months = length.saturating_sub(2) / HALVINGS;
        [Self::Lifetime, Self::LastYear, Self::HalfLife(months.clamp(1, MAX_HALF_LIFE))]
            .into_iter()
            .find(|h| h.weights() == weights)
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime => f.write_str("lifetime"),
            Self::LastYear => f.write_str("last-year"),
            Self::HalfLife(months) => write!(f, "half-life:{months}"),
        }
    }
}

fn half_life(months: u32) -> Vec<u32> {
    let end = HALVINGS * months;
    let mut table = vec![0; end as usize + 2];
    for weight in 1..=FULL {
        let last = end - ceil_log2_of_power(2 * weight - 1, months);
        table[..=last as usize].fill(weight);
    }
    table
}

/// `ceil(log2(base^exponent))` of an odd base: the power's length in bits, except for 1.
fn ceil_log2_of_power(base: u32, exponent: u32) -> u32 {
    if base == 1 {
        return 0;
    }
    let mut limbs: Vec<u32> = vec![1]; // least significant first
    for _ in 0..exponent {
        let mut carry = 0;
        for limb in &mut limbs {
            let product = u64::from(*limb) * u64::from(base) + carry;
            carry = product >> 32;
            *limb = u32::try_from(product - (carry << 32)).expect("a lower half is 32 bits");
        }
        if carry > 0 {
            limbs.push(u32::try_from(carry).expect("a product's upper half is 32 bits"));
        }
    }
    let top = limbs.last().expect("it began with one limb");
    let below = u32::try_from(limbs.len() - 1).expect("at most 600 bits");
    32 * below + (32 - top.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::equation::MAX_TABLE;

    #[test]
    fn half_of_a_weight_is_left_after_a_half_life() {
        for h in 1..=MAX_HALF_LIFE {
            let table = Horizon::HalfLife(h).weights();
            let at = |a: u32| table[a as usize];
            let by_half_lives: Vec<u32> = (0..=7).map(|n| at(n * h)).collect();
            assert_eq!(by_half_lives, [64, 32, 16, 8, 4, 2, 1, 1], "half-life {h}");
            assert_eq!(table.last(), Some(&0));
            assert!(table.windows(2).all(|w| w[0] >= w[1]), "half-life {h} never rises");
            assert!(table.len() <= MAX_TABLE);
        }
        assert!(half_life(MAX_HALF_LIFE + 1).len() > MAX_TABLE, "the limit is the table's");
    }

    #[test]
    fn published_weights_never_change() {
        // 64 / 2^(a/12), rounded: any change here would be another equation.
        assert_eq!(
            Horizon::HalfLife(12).weights()[..25],
            [
                64, 60, 57, 54, 51, 48, 45, 43, 40, 38, 36, 34, 32, 30, 29, 27, 25, 24, 23, 21, 20,
                19, 18, 17, 16
            ]
        );
    }

    #[test]
    fn a_name_and_its_table_find_each_other() {
        let named = (1..=MAX_HALF_LIFE).map(Horizon::HalfLife);
        for horizon in named.chain([Horizon::Lifetime, Horizon::LastYear]) {
            assert_eq!(Horizon::of(&horizon.weights()), Some(horizon));
            assert_eq!(Horizon::from_word(&horizon.to_string()), Some(horizon));
        }
        assert_eq!(Horizon::of(&[2]), None);
        for word in
            ["half-life:0", "half-life:86", "half-life:+2", "half-life:02", "half-life:", ""]
        {
            assert_eq!(Horizon::from_word(word), None, "{word}");
        }
    }
}
