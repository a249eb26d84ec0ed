//! A decoder as data: what distinguishes one family's block from another's.
//!
//! A spec has only switches that every backend honours. A family's file makes one from
//! `config.json`; the decoder and the backends read it and know no family.

/// Everything about a decoder except its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    /// Number of token ids, rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Heads of the attention.
    pub heads: HeadShape,
    /// Whether the heads of queries and keys are normalised, each by itself, before they are turned.
    pub qk_norm: bool,
    /// Where the norms of the branches stand.
    pub norm_placement: NormPlacement,
    /// Added to the mean square by every RMS norm.
    pub norm_eps: f32,
    /// The rotary tables that layers refer to by index.
    pub ropes: Vec<RopeSpec>,
    /// The blocks, first to last.
    pub layers: Vec<LayerSpec>,
    /// Whether the head multiplies by the embedding's matrix.
    pub tied_output: bool,
    /// Positions that the model was made for.
    pub max_positions: u32,
}

/// The shape of grouped-query attention. Query head `h` reads KV head
/// `h / (num_heads / num_kv_heads)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
}

impl HeadShape {
    /// Width of all query heads.
    pub fn query_width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Width of all key heads, and of all value heads.
    pub fn kv_width(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }

    /// Width of a row that holds queries, keys and values in this order.
    pub fn qkv_width(&self) -> usize {
        self.query_width() + 2 * self.kv_width()
    }
}

/// Where a block has the norms of its two branches, attention and MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// `x + branch(norm(x))`, as in Llama.
    BeforeBranch,
    /// `x + norm(branch(x))`.
    AfterBranch,
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSpec {
    /// Index of the rotary table for queries and keys; none leaves them as they are.
    pub rope: Option<usize>,
    /// Tokens that a row sees, itself included; all before it if none. At least 1.
    pub window: Option<u32>,
}

/// A rotary table: half-split ("NeoX") rotation of the whole head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeSpec {
    /// The base of the frequencies.
    pub theta: f32,
    /// How the frequencies are stretched for long contexts.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// By wavelength, as Llama 3.1 does: short waves stay, long waves are divided by `factor`,
    /// and those between blend.
    Llama3 {
        /// Divides the frequencies of long waves.
        factor: f32,
        /// Waves longer than `original_max_positions / low_freq_factor` are long.
        low_freq_factor: f32,
        /// Waves shorter than `original_max_positions / high_freq_factor` are short.
        high_freq_factor: f32,
        /// Positions of the pre-training.
        original_max_positions: u32,
    },
}

impl RopeSpec {
    /// Radians per position of each pair of dimensions, `[head_dim / 2]`; computed in double
    /// precision and rounded once.
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f32> {
        let theta = f64::from(self.theta);
        let unscaled = (0..head_dim / 2).map(|i| theta.powf(-((2 * i) as f64) / head_dim as f64));
        unscaled.map(|frequency| self.scaling.apply(frequency) as f32).collect()
    }
}

impl RopeScaling {
    fn apply(&self, frequency: f64) -> f64 {
        match *self {
            RopeScaling::None => frequency,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
                let (low, high) = (f64::from(low_freq_factor), f64::from(high_freq_factor));
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                let waves = f64::from(original_max_positions) / wavelength;
                let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / f64::from(factor))
            }
        }
    }
}

impl DecoderSpec {
    /// Number of weights, the tied head counted once.
    pub fn num_parameters(&self) -> u64 {
        let hidden = self.hidden_size as u64;
        let query = self.heads.query_width() as u64;
        let qkv = self.heads.qkv_width() as u64;
        let head_norms = if self.qk_norm { 2 * self.heads.head_dim as u64 } else { 0 };
        let layer = hidden * (qkv + query + 3 * self.intermediate_size as u64 + 2) + head_norms;
        let embedding = hidden * self.vocab_size as u64;
        let head = if self.tied_output { 0 } else { embedding };
        embedding + self.layers.len() as u64 * layer + hidden + head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama3(factor: f32) -> RopeSpec {
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_positions: 8192,
        };
        RopeSpec { theta: 1e6, scaling }
    }

    #[test]
    fn llama3_scaling_keeps_blends_and_divides_the_published_numbers_of_frequencies() {
        // (head_dim, factor, unchanged, blended frequencies, last frequency)
        type Case = (usize, f32, usize, &'static [f64], f64);
        let cases: [Case; 4] = [
            (80, 8.0, 17, &[2.550894936e-3, 1.181355181e-3, 5.233238778e-4, 2.136075440e-4], 1.765671931e-7),
            (
                128,
                8.0,
                27,
                &[
                    2.802584466e-3,
                    1.743210085e-3,
                    1.070170868e-3,
                    6.451178432e-4,
                    3.787713841e-4,
                    2.136075440e-4,
                    1.126360561e-4,
                ],
                1.551172201e-7,
            ),
            (
                128,
                16.0,
                27,
                &[
                    2.792574273e-3,
                    1.698341255e-3,
                    1.010115003e-3,
                    5.812029373e-4,
                    3.171880715e-4,
                    1.574366543e-4,
                    6.312133240e-5,
                ],
                7.755861005e-8,
            ),
            (64, 16.0, 14, &[1.698341255e-3, 5.812029373e-4, 1.574366543e-4], 9.624540788e-8),
        ];
        for (head_dim, factor, num_kept, blended, last) in cases {
            let scaled = llama3(factor).inverse_frequencies(head_dim);
            let plain = RopeSpec { theta: 1e6, scaling: RopeScaling::None }.inverse_frequencies(head_dim);
            assert_eq!(scaled[..num_kept], plain[..num_kept], "head_dim {head_dim}");
            let divided = num_kept + blended.len();
            for (i, (&actual, &expected)) in scaled[num_kept..divided].iter().zip(blended).enumerate() {
                let relative = (f64::from(actual) - expected).abs() / expected;
                assert!(relative < 2e-6, "head_dim {head_dim}, i {}: {actual:e}", num_kept + i);
            }
            for (i, (&actual, &plain)) in scaled[divided..].iter().zip(&plain[divided..]).enumerate() {
                assert_eq!(actual, plain / factor, "head_dim {head_dim}, i {}", divided + i);
            }
            let actual = f64::from(*scaled.last().unwrap());
            assert!((actual - last).abs() / last < 2e-6, "head_dim {head_dim}: last is {actual:e}");
        }
    }

    #[test]
    fn parameters_of_the_published_sizes_add_up() {
        let mut spec = DecoderSpec {
            vocab_size: 102_400,
            hidden_size: 2560,
            intermediate_size: 7168,
            heads: HeadShape { num_heads: 32, num_kv_heads: 8, head_dim: 80 },
            qk_norm: false,
            norm_placement: NormPlacement::BeforeBranch,
            norm_eps: 1e-5,
            ropes: vec![llama3(8.0)],
            layers: vec![LayerSpec { rope: Some(0), window: None }; 30],
            tied_output: true,
            max_positions: 32_768,
        };
        assert_eq!(spec.num_parameters() / 10_000_000, 240);
        spec.hidden_size = 4096;
        spec.intermediate_size = 14_336;
        spec.heads.head_dim = 128;
        spec.layers = vec![LayerSpec { rope: Some(0), window: None }; 32];
        spec.tied_output = false;
        assert_eq!(spec.num_parameters() / 10_000_000, 781);
    }
}
