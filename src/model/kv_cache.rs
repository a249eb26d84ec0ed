//! How many blocks the KV cache gets: plain arithmetic over plain numbers.

use super::LoadError;

/// What the size of the KV cache follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSizing {
    /// Memory by setting, in bytes.
    pub kv_cache_memory: Option<u64>,
    /// Memory that the weights leave free, in bytes; none if the system does not say.
    pub available_memory: Option<u64>,
    /// Memory of the weights, in bytes.
    pub weight_bytes: u64,
    /// Bytes of one block over all layers.
    pub block_bytes: u64,
    /// Tokens per block.
    pub block_size: u32,
    /// Most sequences that run at once.
    pub max_num_seqs: u32,
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

impl KvSizing {
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
        let blocks_per_seq = u64::from(self.max_model_len).div_ceil(block_size);
        let one_sequence = blocks_per_seq.saturating_mul(block_bytes);
        let in_proportion = self.weight_bytes.max(SMALL_CACHE).max(one_sequence);
        let memory = self.kv_cache_memory.unwrap_or(share.min(in_proportion));
        let affordable = memory / block_bytes;
        if affordable < blocks_per_seq {
            return Err(LoadError::KvCacheTooSmall {
                memory,
                bytes_per_token: block_bytes.div_ceil(block_size),
                max_tokens: affordable * block_size,
                max_model_len: self.max_model_len,
                needed: one_sequence,
            });
        }
        let useful = blocks_per_seq * u64::from(self.max_num_seqs.max(1));
        // Slots are numbered in u32.
        let addressable = u64::from(u32::MAX) / block_size;
        let num_blocks = affordable.min(useful).min(addressable);
        Ok(u32::try_from(num_blocks).expect("addressable blocks fit in u32"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZING: KvSizing = KvSizing {
        kv_cache_memory: None,
        available_memory: Some(2 * 1000 * 64),
        weight_bytes: u64::MAX,
        block_bytes: 64,
        block_size: 16,
        max_num_seqs: 1000,
        max_model_len: 160,
    };

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
        let roomy = KvSizing { available_memory: Some(1 << 40), max_num_seqs: u32::MAX, ..SIZING };
        let blocks = |sizing: KvSizing| u64::from(sizing.num_blocks().unwrap());
        assert_eq!(blocks(KvSizing { weight_bytes: 1 << 30, ..roomy }), (1 << 30) / 64);
        assert_eq!(blocks(KvSizing { weight_bytes: 1 << 20, ..roomy }), SMALL_CACHE / 64);
        let long = KvSizing { weight_bytes: 0, max_model_len: 1 << 26, block_bytes: 64, ..roomy };
        assert_eq!(blocks(long), (1 << 26) / 16, "one sequence of full length fits all the same");
    }

    #[test]
    fn no_more_blocks_than_all_sequences_use() {
        assert_eq!(KvSizing { max_num_seqs: 3, ..SIZING }.num_blocks().unwrap(), 30);
        assert_eq!(KvSizing { max_num_seqs: 3, max_model_len: 161, ..SIZING }.num_blocks().unwrap(), 33);
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
    fn absurd_numbers_do_not_overflow() {
        let absurd = KvSizing {
            kv_cache_memory: Some(u64::MAX),
            available_memory: None,
            weight_bytes: u64::MAX,
            block_bytes: 0,
            block_size: 1,
            max_num_seqs: u32::MAX,
            max_model_len: u32::MAX,
        };
        assert_eq!(absurd.num_blocks().unwrap(), u32::MAX);
        let huge_blocks = KvSizing { block_bytes: u64::MAX, block_size: 256, ..absurd };
        assert!(huge_blocks.num_blocks().is_err());
    }
}
