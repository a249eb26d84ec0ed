//! A counter-based random generator: the draw for a token is a pure function of (seed, choice, position).
//!
//! Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC11).
//! There is no state to advance, so a draw does not depend on the schedule, the batch or a preemption.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Golden ratio and square root of 3, less one: the key's increments per round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Philox4x32-10: scrambles a 128-bit counter under a 64-bit key.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let product_0 = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let product_1 = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            high(product_1) ^ counter[1] ^ key[0],
            low(product_1),
            high(product_0) ^ counter[3] ^ key[1],
            low(product_0),
        ];
    }
    counter
}

/// The uniform draw in [0, 1), 53 bits wide, for the token at `position` of choice `choice_index`.
pub fn uniform(seed: u64, choice_index: u32, position: u64) -> f64 {
    let counter = [low(position), high(position), choice_index, 0];
    let [first, second, ..] = philox4x32(counter, [low(seed), high(seed)]);
    let bits = (u64::from(first) << 32 | u64::from(second)) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

fn low(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three known answers that the authors publish with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_part_of_the_key_changes_the_draw() {
        let draw = uniform(7, 1, 42);
        assert_eq!(draw, uniform(7, 1, 42));
        for other in [uniform(8, 1, 42), uniform(7 | 1 << 63, 1, 42), uniform(7, 2, 42), uniform(7, 1, 43)] {
            assert_ne!(draw, other);
        }
        assert_ne!(uniform(7, 1, 42), uniform(7, 1, 42 | 1 << 40));
    }

    #[test]
    fn draws_fill_the_unit_interval_evenly() {
        const BINS: usize = 64;
        const DRAWS: u64 = 64_000;
        let mut counts = [0_u32; BINS];
        for position in 0..DRAWS {
            let draw = uniform(1, 0, position);
            assert!((0.0..1.0).contains(&draw));
            counts[(draw * BINS as f64) as usize] += 1;
        }
        let expected = DRAWS as f64 / BINS as f64;
        let chi_square: f64 =
            counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // 63 degrees of freedom: 99.9 % of even generators stay below 103.4.
        assert!(chi_square < 103.4, "{chi_square}");
    }
}
