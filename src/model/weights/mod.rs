//! Tensors of a checkpoint: found by name, checked for shape, kept as they are stored.
//!
//! A [`Weight`] alone knows how it is stored; who packs it for a kernel asks for the format. The
//! formats are dense now. Block-quantised ones (GGUF, AWQ, GPTQ, FP8) become further values of
//! [`WeightFormat`] with their own readers beside `safetensors`; a family never sees them.

mod checkpoint;
pub mod hub;
mod safetensors;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::AnyBitPattern;
use half::{bf16, f16};
use maru_kernels::MappedFile;

pub(super) use checkpoint::Checkpoint;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// 4 bytes per value.
    F32,
    /// 2 bytes per value, the upper half of an f32.
    Bf16,
    /// 2 bytes per value, IEEE half precision.
    F16,
}

impl WeightFormat {
    /// Bytes of one value.
    pub fn bytes_per_value(self) -> usize {
        match self {
            WeightFormat::F32 => 4,
            WeightFormat::Bf16 | WeightFormat::F16 => 2,
        }
    }

    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            WeightFormat::F32 => "f32",
            WeightFormat::Bf16 => "bf16",
            WeightFormat::F16 => "f16",
        }
    }
}

/// The bytes of a weight file.
#[derive(Debug, Clone)]
pub(in crate::model) enum WeightBytes {
    /// A file mapped into memory; its pages belong to the page cache.
    Mapped(Arc<MappedFile>),
    /// Bytes that are part of the executable.
    Static(&'static [u8]),
}

impl WeightBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            WeightBytes::Mapped(map) => map,
            WeightBytes::Static(bytes) => bytes,
        }
    }
}

/// A tensor as it is stored, row-major and little-endian; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::model) struct Weight {
    shape: Vec<usize>,
    format: WeightFormat,
    file: WeightBytes,
    range: Range<usize>,
}

impl Weight {
    /// A tensor over `range` of `file`; the range has to be as long as shape and format say.
    fn new(shape: Vec<usize>, format: WeightFormat, file: WeightBytes, range: Range<usize>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>() * format.bytes_per_value(), range.len());
        Self { shape, format, file, range }
    }

    /// The dimensions, outermost first; `[out, in]` for a linear layer.
    pub(in crate::model) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stored bytes; not aligned for the values' type.
    pub(in crate::model) fn bytes(&self) -> &[u8] {
        &self.file.as_slice()[self.range.clone()]
    }

    /// All values in the type that kernels compute with; borrowed where the file has them so.
    pub(in crate::model) fn values(&self) -> WeightValues<'_> {
        let bytes = self.bytes();
        match self.format {
            WeightFormat::F32 => WeightValues::F32(cast(bytes, f32::from_le_bytes)),
            WeightFormat::Bf16 => WeightValues::Bf16(cast(bytes, bf16::from_le_bytes)),
            WeightFormat::F16 => {
                let widen = |value| f16::from_le_bytes(value).to_f32();
                WeightValues::F32(Cow::Owned(convert(bytes, widen)))
            }
        }
    }

    /// All values, widened.
    pub(in crate::model) fn to_f32(&self) -> Vec<f32> {
        match self.values() {
            WeightValues::F32(values) => values.into_owned(),
            WeightValues::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
        }
    }
}

/// The values of a tensor, row-major.
#[derive(Debug)]
pub(in crate::model) enum WeightValues<'a> {
    /// In single precision: stored so, or widened from F16.
    F32(Cow<'a, [f32]>),
    /// As stored.
    Bf16(Cow<'a, [bf16]>),
}

/// The bytes as values: in place on a little-endian machine if they are aligned, else converted.
fn cast<const N: usize, T: AnyBitPattern>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) if cfg!(target_endian = "little") => Cow::Borrowed(values),
        _ => Cow::Owned(convert(bytes, value)),
    }
}

fn convert<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "a tensor is a whole number of values");
    values.iter().map(|&bytes| value(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_widens_to_the_values_that_it_stores() {
        let values = [1.0f32, -2.5, 0.0, 1024.0];
        let f32s: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bf16s: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
        let f16s: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        for (format, bytes) in
            [(WeightFormat::F32, f32s), (WeightFormat::Bf16, bf16s), (WeightFormat::F16, f16s)]
        {
            for offset in 0..4 {
                let file = [&vec![0; offset][..], &bytes].concat();
                let range = offset..file.len();
                let weight = Weight::new(vec![2, 2], format, WeightBytes::Static(file.leak()), range);
                assert_eq!(weight.to_f32(), values, "{} at byte {offset}", format.name());
            }
        }
    }
}
