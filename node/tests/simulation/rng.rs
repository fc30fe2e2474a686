//! Chance, from a seed: the same in every run and on every machine.
//!
//! SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): every seed
//! is a good one, also 0, 1, 2.

/// A stream of chances.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; the bias of the remainder does not matter here.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub fn permille(&mut self, of: u64) -> bool {
        self.below(1_000) < of
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let n = usize::try_from(self.below(from.len() as u64)).unwrap();
        from.get(n).copied()
    }

    pub fn nonce(&mut self) -> [u8; 16] {
        let (a, b) = (self.next(), self.next());
        std::array::from_fn(|i| if i < 8 { a.to_be_bytes()[i] } else { b.to_be_bytes()[i - 8] })
    }
}
