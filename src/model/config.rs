//! Settings of the model: which backend runs it, on what, and how much memory its cache takes.

use std::fmt;

use maru_kernels::Isa;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Settings below `[model]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What computes: `cpu` (the SIMD kernels), `reference` (candle in f32, slow, the definition
    /// that the others are tested against), or `auto`, the fastest that this machine has.
    pub backend: BackendChoice,
    /// Instruction set of the `cpu` backend: `auto` (the best of this machine), `scalar`, `avx2`
    /// or `avx512`.
    pub isa: IsaChoice,
    /// Threads of the `cpu` backend, the engine's own included; 0 means one per CPU that the
    /// process may use.
    pub threads: usize,
    /// How keys and values are kept: `f32`, `bf16`, or `auto`, which is `bf16` for a model in bf16
    /// weights and `f32` otherwise. The `reference` backend has only `f32`.
    pub kv_cache_dtype: KvDtypeChoice,
    /// Memory for keys and values, in bytes or as "512MiB" or "4GiB"; without it as much as the
    /// weights take, but at least 128 MiB; at most half of the memory that they leave free, and never
    /// more than all sequences at full length can use.
    pub kv_cache_memory: Option<ByteSize>,
    /// Tokens per block of the KV cache: a power of two from 1 to 256.
    pub block_size: u32,
    /// Longest sequence, prompt and answer together, in tokens; without it what the model was
    /// made for.
    pub max_model_len: Option<u32>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            isa: IsaChoice::Auto,
            threads: 0,
            kv_cache_dtype: KvDtypeChoice::Auto,
            kv_cache_memory: None,
            block_size: 16,
            max_model_len: None,
        }
    }
}

impl ModelConfig {
    /// Most threads that may be asked for.
    pub const MAX_THREADS: usize = 1024;
    /// Largest block, in tokens.
    pub const MAX_BLOCK_SIZE: u32 = 256;

    /// Every setting that cannot be right, whatever the model: its key below `[model]` and why.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.threads > Self::MAX_THREADS {
            faults.push(("threads", format!("{} is more than {}", self.threads, Self::MAX_THREADS)));
        }
        if !self.block_size.is_power_of_two() || self.block_size > Self::MAX_BLOCK_SIZE {
            let reason =
                format!("{} is not a power of two from 1 to {}", self.block_size, Self::MAX_BLOCK_SIZE);
            faults.push(("block_size", reason));
        }
        if let IsaChoice::Named(isa) = self.isa
            && !isa.is_available()
        {
            let available = Isa::available().into_iter().map(Isa::name).collect::<Vec<_>>().join(", ");
            faults.push(("isa", format!("this machine has no {isa}; it has {available}")));
        }
        if self.backend == BackendChoice::Reference && self.kv_cache_dtype == KvDtypeChoice::Bf16 {
            faults.push(("kv_cache_dtype", "the reference backend keeps keys and values in f32".to_owned()));
        }
        if self.kv_cache_memory == Some(ByteSize(0)) {
            faults.push(("kv_cache_memory", "0 bytes hold no tokens".to_owned()));
        }
        if self.max_model_len.is_some_and(|len| len < 2) {
            faults.push(("max_model_len", "a prompt and an answer need at least 2 tokens".to_owned()));
        }
        faults
    }
}

/// Which backend computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// The fastest that this machine has.
    Auto,
    /// The SIMD kernels.
    Cpu,
    /// candle in f32.
    Reference,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvDtypeChoice {
    /// As the weights are, where the backend can.
    Auto,
    /// 4 bytes per value.
    F32,
    /// 2 bytes per value.
    Bf16,
}

/// Which instruction set the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsaChoice {
    /// The best of this machine.
    Auto,
    /// This one.
    Named(Isa),
}

impl Serialize for IsaChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            IsaChoice::Auto => "auto",
            IsaChoice::Named(isa) => isa.name(),
        })
    }
}

impl<'de> Deserialize<'de> for IsaChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == "auto" {
            return Ok(IsaChoice::Auto);
        }
        name.parse().map(IsaChoice::Named).map_err(de::Error::custom)
    }
}

/// A number of bytes, read from a whole number or from text such as `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    /// In the largest binary unit that gives a number of at least 1, with one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
            bytes if bytes >= 1 << 20 => write!(f, "{:.1} MiB", bytes as f64 / (1u64 << 20) as f64),
            bytes if bytes >= 1 << 10 => write!(f, "{:.1} KiB", bytes as f64 / (1u64 << 10) as f64),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let unit = UNITS.iter().find(|(suffix, _)| trimmed.ends_with(suffix));
        let (digits, factor) = match unit {
            Some((suffix, factor)) => (trimmed[..trimmed.len() - suffix.len()].trim_end(), *factor),
            None => (trimmed, 1),
        };
        let count: Option<u64> = digits.parse().ok();
        let bytes = count.and_then(|count| count.checked_mul(factor));
        bytes
            .map(ByteSize)
            .ok_or_else(|| format!("{text:?} is no size; write 4294967296, \"4GiB\" or \"512MiB\""))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl de::Visitor<'_> for SizeVisitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a size such as \"4GiB\"")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ModelConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_default_has_no_faults_and_survives_a_round_trip() {
        let config = ModelConfig::default();
        assert_eq!(config.faults(), []);
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn sizes_are_read_in_bytes_and_in_units() {
        for (text, bytes) in [("7", 7), ("3B", 3), ("2kB", 2000), ("5 MiB", 5 << 20), ("4GiB", 4 << 30)] {
            let config = parse(&format!("{{\"kv_cache_memory\": \"{text}\"}}")).unwrap();
            assert_eq!(config.kv_cache_memory, Some(ByteSize(bytes)), "{text}");
        }
        assert_eq!(parse("{\"kv_cache_memory\": 4096}").unwrap().kv_cache_memory, Some(ByteSize(4096)));
        for text in ["", "GiB", "-1", "1.5GiB", "99999999999999GiB", "4TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_faults_come_at_once_with_their_keys() {
        let config = ModelConfig {
            backend: BackendChoice::Reference,
            threads: 5000,
            kv_cache_dtype: KvDtypeChoice::Bf16,
            kv_cache_memory: Some(ByteSize(0)),
            block_size: 24,
            max_model_len: Some(1),
            ..ModelConfig::default()
        };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["threads", "block_size", "kv_cache_dtype", "kv_cache_memory", "max_model_len"]);
    }

    #[test]
    fn unknown_keys_and_names_are_refused() {
        for json in ["{\"block\": 1}", "{\"backend\": \"cuda9\"}", "{\"isa\": \"AVX\"}"] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
