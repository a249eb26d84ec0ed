//! Repeatable chance: what a conversation draws depends on the seed and on its own number, never on the schedule.

use crate::sampling::rng;

/// What a draw is for; each has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A measured conversation.
    Measured,
    /// A conversation before the measurement.
    WarmUp,
    /// The long prompt that disturbs the others.
    LongPrompt,
    /// The prefix that all prompts share.
    SharedPrefix,
    /// The times at which requests arrive.
    Arrivals,
}

/// Which conversation of a benchmark this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConversationId {
    /// Which load of the sweep, from 0.
    pub(super) point: u32,
    /// What the conversation is for.
    pub(super) purpose: Purpose,
    /// Its number among those, from 0.
    pub(super) number: u32,
}

/// A sequence of draws.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    seed: u64,
    lane: u32,
    position: u64,
}

impl Dice {
    /// The draws of one conversation.
    pub(super) fn new(seed: u64, id: ConversationId) -> Self {
        const NUM_PURPOSES: u32 = Purpose::Arrivals as u32 + 1;
        let lane = id.point * NUM_PURPOSES + id.purpose as u32;
        Self { seed, lane, position: u64::from(id.number) << 32 }
    }

    /// A number in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        let unit = rng::uniform(self.seed, self.lane, self.position);
        self.position += 1;
        unit
    }

    /// One of `0..limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        // The product stays below `limit`, which an f64 holds exactly.
        (self.unit() * f64::from(limit)) as u32
    }

    /// A draw from the exponential distribution of mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A draw from the standard normal distribution (Box and Muller, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn dice(number: u32) -> Dice {
        Dice::new(7, ConversationId { point: 0, purpose: Purpose::Measured, number })
    }

    #[test]
    fn a_conversation_draws_the_same_again_and_others_draw_otherwise() {
        let first = |mut dice: Dice| [dice.unit(), dice.unit()];
        assert_eq!(first(dice(3)), first(dice(3)));
        assert_ne!(first(dice(3)), first(dice(4)));
        let id = ConversationId { point: 0, purpose: Purpose::WarmUp, number: 3 };
        assert_ne!(first(dice(3)), first(Dice::new(7, id)));
        assert_ne!(first(dice(3)), first(Dice::new(8, ConversationId { purpose: Purpose::Measured, ..id })));
    }

    #[test]
    fn the_distributions_have_their_means_and_spreads() {
        const DRAWS: usize = 20_000;
        let mut dice = dice(0);
        let mean = |draws: &[f64]| draws.iter().sum::<f64>() / draws.len() as f64;
        let exponential: Vec<f64> = (0..DRAWS).map(|_| dice.exponential()).collect();
        assert!((mean(&exponential) - 1.0).abs() < 0.03, "{}", mean(&exponential));
        let normal: Vec<f64> = (0..DRAWS).map(|_| dice.normal()).collect();
        let squares: Vec<f64> = normal.iter().map(|draw| draw * draw).collect();
        assert!(mean(&normal).abs() < 0.03, "{}", mean(&normal));
        assert!((mean(&squares) - 1.0).abs() < 0.05, "{}", mean(&squares));
        assert!((0..1000).all(|_| dice.below(3) < 3));
    }
}
