//! How many blocks the KV cache gets: plain arithmetic over plain numbers.

use super::{KvGroup, LoadError};

/// The most that will run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBounds {
    /// Most sequences.
    pub max_num_seqs: u32,
    /// Most tokens of a step.
    pub max_num_batched_tokens: u32,
}

/// What the size of the KV cache follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSizing<'a> {
    /// Memory by setting, in bytes.
    pub kv_cache_memory: Option<u64>,
    /// Memory that the weights leave free, in bytes; none if the system does not say.
    pub available_memory: Option<u64>,
    /// Memory of the weights, in bytes.
    pub weight_bytes: u64,
    /// The groups of layers, each with blocks of its own.
    pub groups: &'a [KvGroup],
    /// Bytes of one block over all layers of a group.
    pub block_bytes: u64,
    /// Tokens per block.
    pub block_size: u32,
    /// The most that will run at once.
    pub bounds: StepBounds,
    /// Tokens of the longest sequence.
    pub max_model_len: u32,
}

/// Without a setting the cache takes one part in this many of the available memory.
const SHARE_OF_AVAILABLE: u64 = 2;
/// Without a setting the cache is no larger than the weights, but a small model may have this many bytes. All of it
/// is touched at start, which can take seconds per GiB: a pool out of proportion makes every start slow.
const SMALL_CACHE: u64 = 128 << 20;
/// Taken as available where the system does not say.
const ASSUMED_AVAILABLE: u64 = 2 << 30;

impl KvSizing<'_> {
    /// The number of blocks: what the memory holds, and no more than all sequences at full length
    /// use. Without a setting the memory is in proportion to the weights, but holds at least one
    /// sequence of full length wherever half of the available memory does.
    ///
    /// # Errors
    /// [`LoadError::KvCacheTooSmall`] if one sequence of full length does not fit.
    pub fn num_blocks(&self) -> Result<u32, LoadError> {
        let block_size = u64::from(self.block_size);
        let block_bytes = self.block_bytes.max(1);
        let share = self.available_memory.unwrap_or(ASSUMED_AVAILABLE) / SHARE_OF_AVAILABLE;
        let blocks_per_seq = self.blocks_for(self.max_model_len);
        let one_sequence = blocks_per_seq.saturating_mul(block_bytes);
        let in_proportion = self.weight_bytes.max(SMALL_CACHE).max(one_sequence);
        let memory = self.kv_cache_memory.unwrap_or(share.min(in_proportion));
        let affordable = memory / block_bytes;
        if affordable < blocks_per_seq {
            return Err(LoadError::KvCacheTooSmall {
                memory,
                bytes_per_token: block_bytes.saturating_mul(self.groups.len() as u64).div_ceil(block_size),
                max_tokens: self.longest_in(affordable),
                max_model_len: self.max_model_len,
                needed: one_sequence,
            });
        }
        let useful = blocks_per_seq.saturating_mul(u64::from(self.bounds.max_num_seqs.max(1)));
        // Slots are numbered in u32.
        let addressable = u64::from(u32::MAX) / block_size;
        let num_blocks = affordable.min(useful).min(addressable);
        Ok(u32::try_from(num_blocks).expect("addressable blocks fit in u32"))
    }

    /// Blocks that a sequence of `num_tokens` tokens has at most at once, over all groups. A group
    /// with a window keeps what the rows of one step see.
    fn blocks_for(&self, num_tokens: u32) -> u64 {
        let block_size = u64::from(self.block_size);
        let all = u64::from(num_tokens).div_ceil(block_size);
        let of_group = |group: &KvGroup| {
            group.window.map_or(all, |window| {
                let seen = u64::from(window.max(1) - 1) + u64::from(self.bounds.max_num_batched_tokens);
                // One more, because what is seen starts anywhere in a block.
                all.min(seen.div_ceil(block_size) + 1)
            })
        };
        self.groups.iter().map(of_group).sum()
    }

    /// Tokens of the longest sequence that `num_blocks` blocks hold.
    fn longest_in(&self, num_blocks: u64) -> u64 {
        let (mut fits, mut too_long) = (0, self.max_model_len);
        while too_long - fits > 1 {
            let middle = fits + (too_long - fits) / 2;
            match self.blocks_for(middle) <= num_blocks {
                true => fits = middle,
                false => too_long = middle,
            }
        }
        u64::from(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: StepBounds = StepBounds { max_num_seqs: 1000, max_num_batched_tokens: 64 };
    const SIZING: KvSizing<'_> = KvSizing {
        kv_cache_memory: None,
        available_memory: Some(2 * 1000 * 64),
        weight_bytes: u64::MAX,
        groups: &[KvGroup { window: None }],
        block_bytes: 64,
        block_size: 16,
        bounds: BOUNDS,
        max_model_len: 160,
    };

    fn some_seqs(max_num_seqs: u32) -> StepBounds {
        StepBounds { max_num_seqs, ..BOUNDS }
    }

    #[test]
    fn half_of_the_available_memory_is_taken() {
        assert_eq!(SIZING.num_blocks().unwrap(), 1000);
    }

    #[test]
    fn the_setting_stands_above_the_share() {
        assert_eq!(KvSizing { kv_cache_memory: Some(64 * 77 + 63), ..SIZING }.num_blocks().unwrap(), 77);
        let small = KvSizing { kv_cache_memory: Some(64 * 77), weight_bytes: 1, ..SIZING };
        assert_eq!(small.num_blocks().unwrap(), 77);
    }

    #[test]
    fn without_a_setting_the_cache_is_in_proportion_to_the_weights() {
        let roomy = KvSizing { available_memory: Some(1 << 40), bounds: some_seqs(u32::MAX), ..SIZING };
        let blocks = |sizing: KvSizing<'_>| u64::from(sizing.num_blocks().unwrap());
        assert_eq!(blocks(KvSizing { weight_bytes: 1 << 30, ..roomy }), (1 << 30) / 64);
        assert_eq!(blocks(KvSizing { weight_bytes: 1 << 20, ..roomy }), SMALL_CACHE / 64);
        let long = KvSizing { weight_bytes: 0, max_model_len: 1 << 26, block_bytes: 64, ..roomy };
        assert_eq!(blocks(long), (1 << 26) / 16, "one sequence of full length fits all the same");
    }

    #[test]
    fn no_more_blocks_than_all_sequences_use() {
        assert_eq!(KvSizing { bounds: some_seqs(3), ..SIZING }.num_blocks().unwrap(), 30);
        assert_eq!(KvSizing { bounds: some_seqs(3), max_model_len: 161, ..SIZING }.num_blocks().unwrap(), 33);
    }

    #[test]
    fn one_full_sequence_has_to_fit() {
        assert_eq!(KvSizing { kv_cache_memory: Some(640), ..SIZING }.num_blocks().unwrap(), 10);
        let error = KvSizing { kv_cache_memory: Some(639), ..SIZING }.num_blocks().unwrap_err().to_string();
        for part in ["144 tokens in 639 bytes", "4 bytes per token", "may have 160", "at least 640"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_group_with_a_window_needs_blocks_for_what_a_step_sees() {
        let full = KvGroup { window: None };
        let blocks = |groups: &[KvGroup], max_model_len| {
            KvSizing {
                groups,
                max_model_len,
                bounds: some_seqs(1),
                available_memory: Some(1 << 20),
                ..SIZING
            }
            .num_blocks()
            .unwrap()
        };
        let window = |window| KvGroup { window: Some(window) };
        assert_eq!(blocks(&[full, full], 1600), 200);
        // 64 tokens of a step and 32 before them are 6 blocks, 7 where they begin inside of one.
        assert_eq!(blocks(&[full, window(33)], 1600), 100 + 7);
        assert_eq!(blocks(&[full, window(34), window(1)], 1600), 100 + 8 + 5);
        assert_eq!(blocks(&[window(33)], 1600), 7);
        // A short sequence does not fill a window.
        assert_eq!(blocks(&[full, window(33)], 80), 5 + 5);
        assert_eq!(blocks(&[full, window(33)], 128), 8 + 7);
    }

    #[test]
    fn what_fits_instead_is_told_for_all_groups() {
        let groups = &[KvGroup { window: None }, KvGroup { window: Some(33) }];
        let sizing = KvSizing { groups, max_model_len: 1600, kv_cache_memory: Some(64 * 106), ..SIZING };
        let error = sizing.num_blocks().unwrap_err().to_string();
        for part in ["1584 tokens", "8 bytes per token", "at least 6848"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(KvSizing { kv_cache_memory: Some(6848), ..sizing }.num_blocks().unwrap(), 107);
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let absurd = KvSizing {
            kv_cache_memory: Some(u64::MAX),
            available_memory: None,
            weight_bytes: u64::MAX,
            groups: &[KvGroup { window: None }, KvGroup { window: Some(u32::MAX) }],
            block_bytes: 0,
            block_size: 1,
            bounds: StepBounds { max_num_seqs: u32::MAX, max_num_batched_tokens: u32::MAX },
            max_model_len: u32::MAX,
        };
        assert_eq!(absurd.num_blocks().unwrap(), u32::MAX);
        let huge_blocks = KvSizing { block_bytes: u64::MAX, block_size: 256, ..absurd };
        assert!(huge_blocks.num_blocks().is_err());
    }
}
