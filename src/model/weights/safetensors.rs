//! The safetensors format: a length, a JSON header, and the tensors' bytes one after another.
//!
//! A file is hostile input. The header has a limit, every sum and product is checked, and the
//! tensors have to cover the rest of the file exactly, without holes and without overlap, as the
//! format demands. (The published crate's check adds the sizes unchecked, so we read the header
//! ourselves.)

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use crate::model::LoadError;

/// Longest header that is read; 100,000 tensors in one file need about 15 MB.
const MAX_HEADER_BYTES: usize = 16 << 20;
/// Most dimensions that a tensor may have.
const MAX_RANK: usize = 8;
const LENGTH_BYTES: usize = 8;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    /// The type in the file's own words, such as `BF16`.
    pub(super) dtype: String,
    /// The dimensions, outermost first.
    pub(super) shape: Vec<usize>,
    /// Where its bytes are in the file.
    pub(super) range: Range<usize>,
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Reads the header of a whole file.
///
/// # Errors
/// [`LoadError::Malformed`] with what is wrong with the header, [`LoadError::Tensor`] with what is
/// wrong with one of its entries.
pub(super) fn read_header(path: &Path, file: &[u8]) -> Result<HashMap<String, TensorEntry>, LoadError> {
    let malformed = |reason: String| LoadError::Malformed { path: path.to_owned(), reason };
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(malformed(format!("{} bytes are too few for a safetensors file", file.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES as u64 {
        return Err(malformed(format!(
            "not a safetensors file: its header would have {length} bytes, more than {MAX_HEADER_BYTES}"
        )));
    }
    let length = usize::try_from(length).expect("the limit fits in usize");
    let Some((header, data)) = rest.split_at_checked(length) else {
        return Err(malformed(format!(
            "the file ends in the header: {length} bytes announced, {} there",
            rest.len()
        )));
    };
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(header)
        .map_err(|error| malformed(format!("the header is not a JSON object: {error}")))?;

    let mut entries = HashMap::with_capacity(header.len());
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry = read_entry(value, data.len()).map_err(|reason| LoadError::Tensor {
            path: path.to_owned(),
            tensor: name.clone(),
            reason,
        })?;
        entries.insert(name, entry);
    }
    check_cover(&entries, data.len()).map_err(malformed)?;
    for entry in entries.values_mut() {
        let start = LENGTH_BYTES + length;
        entry.range = start + entry.range.start..start + entry.range.end;
    }
    Ok(entries)
}

/// An entry whose range is relative to the data and inside it.
fn read_entry(value: serde_json::Value, data_len: usize) -> Result<TensorEntry, String> {
    let raw: RawEntry = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let (start, end) = raw.data_offsets;
    if start > end || end > data_len {
        return Err(format!("its bytes {start}..{end} are not inside the file's {data_len} bytes of data"));
    }
    if raw.shape.len() > MAX_RANK {
        return Err(format!("{} dimensions are more than {MAX_RANK}", raw.shape.len()));
    }
    if let Some(bits) = bits_per_value(&raw.dtype) {
        let values = raw.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let bits = values.and_then(|values| values.checked_mul(bits));
        let bytes = bits.filter(|bits| bits.is_multiple_of(8)).map(|bits| bits / 8);
        if bytes != Some(end - start) {
            return Err(format!(
                "shape {:?} of {} does not fill {} bytes",
                raw.shape,
                raw.dtype,
                end - start
            ));
        }
    }
    Ok(TensorEntry { dtype: raw.dtype, shape: raw.shape, range: start..end })
}

/// Bits of a value, or none for a type that this reader has not heard of.
fn bits_per_value(dtype: &str) -> Option<usize> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

fn check_cover(entries: &HashMap<String, TensorEntry>, data_len: usize) -> Result<(), String> {
    let mut ranges: Vec<_> = entries.iter().map(|(name, entry)| (&entry.range, name)).collect();
    ranges.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    let mut covered = 0;
    for (range, name) in ranges {
        if range.start != covered {
            return Err(format!(
                "tensor {name} begins at byte {} of the data, expected {covered}: a hole or an overlap",
                range.start
            ));
        }
        covered = range.end;
    }
    if covered != data_len {
        return Err(format!("the tensors have {covered} bytes, the file has {data_len}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data_len: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data_len, 0);
        bytes
    }

    fn error_of(header: &str, data_len: usize) -> String {
        read_header(Path::new("w.safetensors"), &file(header, data_len)).unwrap_err().to_string()
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}}"#;

    #[test]
    fn a_header_gives_the_place_of_every_tensor() {
        let entries = read_header(Path::new("w.safetensors"), &file(TWO, 26)).unwrap();
        let start = 8 + TWO.len();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries["a"].range, start..start + 24);
        assert_eq!(entries["b"].range, start + 24..start + 26);
        assert_eq!((entries["a"].shape.as_slice(), entries["b"].dtype.as_str()), (&[2, 3][..], "BF16"));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let whole = file(TWO, 26);
        for length in 0..whole.len() {
            assert!(read_header(Path::new("w"), &whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_errors() {
        let huge = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
        assert!(error_of(huge, 0).contains("tensor a: shape"));
        let wrapping = (0..8u64).map(|i| {
            let (start, end) = (i * ((1 << 61) - 1), (i + 1) * ((1 << 61) - 1));
            format!(r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        });
        let wrapping = format!("{{{}}}", wrapping.collect::<Vec<_>>().join(","));
        assert!(error_of(&wrapping, 16).contains("are not inside the file's 16 bytes"));
        let long = u64::MAX.to_le_bytes();
        let error = read_header(Path::new("w"), &long).unwrap_err().to_string();
        assert!(error.contains("not a safetensors file"), "{error}");
    }

    #[test]
    fn holes_overlaps_and_wrong_sizes_are_errors() {
        let entry = |name: &str, start: usize, end: usize| {
            format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        };
        for (first, second) in [((0, 4), (5, 8)), ((0, 5), (4, 8)), ((0, 4), (0, 8)), ((0, 4), (4, 7))] {
            let header = format!("{{{},{}}}", entry("a", first.0, first.1), entry("b", second.0, second.1));
            assert!(read_header(Path::new("w"), &file(&header, 8)).is_err(), "{header}");
        }
        assert!(
            error_of(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8).contains("tensor a")
        );
        assert!(
            error_of(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#, 8).contains("tensor a")
        );
        assert!(error_of(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8).contains("8..0"));
        assert!(error_of("[1]", 0).contains("not a JSON object"));
        assert!(error_of(&"[".repeat(100_000), 0).contains("not a JSON object"));
    }
}
