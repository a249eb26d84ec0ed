//! Files that are broken or made to break the loader: always an error that names them, never a
//! panic.

use std::fs;

use maru::model::{BackendChoice, ByteSize, IsaChoice, LoadError, ModelConfig};
use serde_json::{Value, json};

use crate::support::{
    Random, RawTensor, config, folder, read_config, read_tensors, try_load, write_checkpoint, write_tensors,
};

fn cpu() -> ModelConfig {
    config(BackendChoice::Cpu, IsaChoice::Auto)
}

/// A copy of the checkpoint whose weight file has these bytes; the error that loading gives.
fn error_with_file(folder: &tempfile::TempDir, bytes: &[u8]) -> Option<LoadError> {
    fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    try_load(folder.path(), &cpu()).err()
}

fn copy() -> (tempfile::TempDir, Vec<u8>) {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder("exaone3_tied").join("config.json"), copy.path().join("config.json")).unwrap();
    (copy, fs::read(folder("exaone3_tied").join("model.safetensors")).unwrap())
}

#[test]
fn a_file_cut_at_any_border_is_an_error_that_names_it() {
    let (copy, file) = copy();
    let header_len = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let header = &file[8..8 + header_len];
    let borders =
        header.iter().enumerate().filter(|(_, byte)| b"{}[]:,\"".contains(byte)).map(|(i, _)| 8 + i);
    let data = 8 + header_len;
    let places =
        (0..=8).chain(borders.step_by(7)).chain([data - 1, data, data + 1, file.len() / 2, file.len() - 1]);
    for length in places {
        let error =
            error_with_file(&copy, &file[..length]).unwrap_or_else(|| panic!("cut at {length} loads"));
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(error_with_file(&copy, &longer).is_some());
}

#[test]
fn a_header_with_changed_bytes_loads_or_is_an_error() {
    let (copy, file) = copy();
    let header_len = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let mut random = Random::new(17);
    let mut num_errors = 0;
    for _ in 0..400 {
        let mut changed = file.clone();
        for _ in 0..=random.below(3) {
            let place = random.below(8 + header_len);
            let alphabet = b"0123456789-\",:[]{}eF\\\x00\xff";
            changed[place] = alphabet[random.below(alphabet.len())];
        }
        if let Some(error) = error_with_file(&copy, &changed) {
            assert!(error.to_string().contains("model.safetensors"), "{error}");
            num_errors += 1;
        }
    }
    assert!(num_errors > 300, "only {num_errors} of 400 are errors");
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_named() {
    let folder = folder("exaone35");
    let config = read_config(&folder);
    let error_with = |change: &dyn Fn(&mut crate::support::Tensors)| {
        let mut tensors = read_tensors(&folder);
        change(&mut tensors);
        try_load(write_checkpoint(&config, &tensors).path(), &cpu()).unwrap_err().to_string()
    };
    const KEY: &str = "transformer.h.1.attn.attention.k_proj.weight";
    let missing = error_with(&|tensors| _ = tensors.remove(KEY));
    assert!(
        missing.contains("model.safetensors") && missing.contains(&format!("{KEY} is missing")),
        "{missing}"
    );
    let transposed = error_with(&|tensors| tensors.get_mut(KEY).unwrap().shape.reverse());
    assert!(transposed.contains(KEY) && transposed.contains("[64, 32], expected [32, 64]"), "{transposed}");
    let integers = error_with(&|tensors| tensors.get_mut(KEY).unwrap().dtype = safetensors::Dtype::I32);
    assert!(integers.contains(KEY) && integers.contains("type I32 is not supported"), "{integers}");
    let bias = "transformer.h.0.attn.attention.q_proj.bias";
    let left_over = error_with(&|tensors| {
        tensors.insert(bias.to_owned(), RawTensor::from_f32(&[64], &[0.5; 64]));
    });
    assert!(left_over.contains(bias) && left_over.contains("not part of the model"), "{left_over}");
    let head = error_with(&|tensors| _ = tensors.remove("lm_head.weight"));
    assert!(head.contains("lm_head.weight is missing"), "{head}");
}

#[test]
fn configurations_that_promise_absurd_sizes_are_refused_before_memory_is_taken() {
    let folder = folder("exaone35");
    for (key, value) in [
        ("hidden_size", json!(1u64 << 40)),
        ("vocab_size", json!(u64::MAX)),
        ("vocab_size", json!(4_000_000)),
        ("num_layers", json!(1_000_000)),
        ("num_layers", json!(1000)),
        ("head_dim", json!(0)),
        ("intermediate_size", json!(1u64 << 33)),
        ("max_position_embeddings", json!(1u64 << 33)),
        ("max_position_embeddings", json!(4_000_000)),
    ] {
        let mut config = read_config(&folder);
        config[key] = value.clone();
        let changed = write_checkpoint(&config, &read_tensors(&folder));
        let settings = ModelConfig { kv_cache_memory: Some(ByteSize(1 << 20)), ..cpu() };
        assert!(try_load(changed.path(), &settings).is_err(), "{key} = {value}");
    }
}

#[test]
fn what_is_no_configuration_is_an_error_that_names_it() {
    let (copy, file) = copy();
    fs::write(copy.path().join("model.safetensors"), file).unwrap();
    for text in ["", "{", "[]", "null", "\u{feff}{}", &"{\"a\":".repeat(10_000)] {
        fs::write(copy.path().join("config.json"), text).unwrap();
        let error = try_load(copy.path(), &cpu()).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
    }
    fs::remove_file(copy.path().join("config.json")).unwrap();
    assert!(try_load(copy.path(), &cpu()).unwrap_err().to_string().contains("config.json"));
}

#[test]
fn other_kinds_of_weight_files_are_refused_with_a_reason() {
    for (name, expected) in [
        ("pytorch_model.bin", "pickled"),
        ("model.pt", "pickled"),
        ("consolidated.pth", "pickled"),
        ("model.pkl", "pickled"),
        ("model-q4.gguf", "not supported yet"),
        ("README.md", "no weights"),
    ] {
        let (copy, _) = copy();
        fs::write(copy.path().join(name), b"x").unwrap();
        let error = try_load(copy.path(), &cpu()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        fs::remove_file(copy.path().join("config.json")).unwrap();
        let alone = try_load(copy.path(), &cpu()).unwrap_err().to_string();
        assert!(alone.contains(expected), "{name} alone: {alone}");
        let file = try_load(&copy.path().join(name), &cpu()).unwrap_err().to_string();
        let expected = if name == "README.md" { "give the folder" } else { expected };
        assert!(file.contains(expected), "{name} as a path: {file}");
    }
}

#[test]
fn settings_that_do_not_fit_the_model_are_named() {
    let folder = folder("exaone35");
    let error = |settings: ModelConfig| try_load(&folder, &settings).unwrap_err().to_string();
    let long = error(ModelConfig { max_model_len: Some(513), ..cpu() });
    assert!(long.contains("model.max_model_len: 513 is more than the 512 positions"), "{long}");
    let small = error(ModelConfig { kv_cache_memory: Some(ByteSize(10_000)), ..cpu() });
    assert!(small.contains("one sequence may have 512"), "{small}");
    let block = error(ModelConfig { block_size: 3, ..cpu() });
    assert!(block.contains("model.block_size: 3"), "{block}");
}

#[test]
fn two_files_with_one_tensor_are_refused() {
    let (copy, _) = copy();
    let tensors = read_tensors(&folder("exaone3_tied"));
    for name in ["a.safetensors", "b.safetensors"] {
        write_tensors(&copy.path().join(name), &tensors);
    }
    let mut names: Vec<_> = tensors.keys().cloned().collect();
    names.sort();
    let map: serde_json::Map<String, Value> = names
        .into_iter()
        .enumerate()
        .map(|(i, name)| (name, json!(if i == 0 { "a.safetensors" } else { "b.safetensors" })))
        .collect();
    fs::write(copy.path().join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string())
        .unwrap();
    let error = try_load(copy.path(), &cpu()).unwrap_err().to_string();
    assert!(error.contains("also in"), "{error}");
}
