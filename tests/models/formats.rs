//! One model in many spellings: types, files, keys.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use maru::model::{
    BackendChoice, EmbeddedFile, IsaChoice, LoadProgress, ModelConfig, ModelSource, WeightFormat, load_model,
};
use serde_json::{Value, json};

use crate::support::{
    BOUNDS, CHECKPOINTS, RawTensor, Tensors, argmax, backends, cases, config, folder, load, logits_in_chunks,
    max_difference, read_config, read_tensors, write_checkpoint, write_tensors,
};

const INDEX: &str = "model.safetensors.index.json";

fn logits(folder: &Path, config: &ModelConfig, ids: &[u32]) -> Vec<Vec<f32>> {
    logits_in_chunks(&mut *load(folder, config).runner, ids, usize::MAX)
}

/// Asserts that a folder gives the very logits of a checkpoint, on every backend.
fn assert_same_logits(changed: &Path, checkpoint: &str) {
    let ids = &cases(checkpoint)[0].input_ids;
    for (backend, config) in backends() {
        let (actual, expected) = (logits(changed, &config, ids), logits(&folder(checkpoint), &config, ids));
        assert!(actual == expected, "{checkpoint} on {backend}");
    }
}

fn converted(checkpoint: &str, convert: impl Fn(&RawTensor) -> RawTensor) -> tempfile::TempDir {
    let tensors = read_tensors(&folder(checkpoint));
    let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), convert(tensor))).collect();
    write_checkpoint(&read_config(&folder(checkpoint)), &tensors)
}

#[test]
fn bf16_weights_stay_near_f32() {
    for checkpoint in CHECKPOINTS {
        let bf16 = converted(checkpoint, RawTensor::to_bf16);
        for case in cases(checkpoint) {
            for (backend, config) in backends() {
                let what = format!("{checkpoint} {} on {backend}", case.name);
                let mut loaded = load(bf16.path(), &config);
                assert_eq!(loaded.description.weight_format, WeightFormat::Bf16);
                let actual = logits_in_chunks(&mut *loaded.runner, &case.input_ids, usize::MAX);
                let pairs = || actual.iter().zip(&case.logits);
                let sum: f32 = pairs().flat_map(|(a, e)| a.iter().zip(e)).map(|(a, e)| (a - e).abs()).sum();
                let mean = sum / (actual.len() * actual[0].len()) as f32;
                let max = pairs().map(|(a, e)| max_difference(a, e)).fold(0.0, f32::max);
                let equal = pairs().filter(|(a, e)| argmax(a) == argmax(e)).count();
                assert!(mean < 0.15 && max < 1.0, "{what}: mean {mean}, max {max}");
                assert!(mean > 0.0, "{what}: nothing was rounded");
                assert!(equal * 5 >= actual.len() * 4, "{what}: {equal} of {} argmax", actual.len());
            }
        }
    }
}

#[test]
fn f16_and_bf16_weights_give_the_logits_of_their_values_in_f32() {
    let ids = &cases("exaone35")[0].input_ids;
    let widen = |tensor: &RawTensor, half: RawTensor| {
        let is_f16 = half.dtype == safetensors::Dtype::F16;
        let value = |bytes: &[u8; 2]| match is_f16 {
            true => half::f16::from_le_bytes(*bytes).to_f32(),
            false => half::bf16::from_le_bytes(*bytes).to_f32(),
        };
        let values: Vec<f32> = half.bytes.as_chunks().0.iter().map(value).collect();
        RawTensor::from_f32(&tensor.shape, &values)
    };
    for to_half in [RawTensor::to_f16, RawTensor::to_bf16] {
        let half = converted("exaone35", to_half);
        let widened = converted("exaone35", |tensor| widen(tensor, to_half(tensor)));
        for (backend, config) in backends() {
            let config = ModelConfig { kv_cache_dtype: maru::model::KvDtypeChoice::F32, ..config };
            let (a, b) = (logits(half.path(), &config, ids), logits(widened.path(), &config, ids));
            assert!(a == b, "{backend}");
        }
    }
}

#[test]
fn a_file_that_mixes_types_is_widened() {
    let mut tensors = read_tensors(&folder("exaone35"));
    for (name, tensor) in &mut tensors {
        if name.contains("k_proj") || name.contains("c_fc_1") {
            // Rounding first makes the bf16 copy exact.
            *tensor = tensor.to_bf16();
        }
    }
    let mixed = write_checkpoint(&read_config(&folder("exaone35")), &tensors);
    let ids = &cases("exaone35")[0].input_ids;
    let mut expected: Option<Vec<Vec<f32>>> = None;
    for (backend, config) in backends() {
        let logits = logits(mixed.path(), &config, ids);
        let expected = expected.get_or_insert_with(|| logits.clone());
        crate::support::assert_close(&logits, expected, crate::support::F32_TOLERANCE, &backend);
    }
}

/// The checkpoint in three files with an index.
fn sharded(checkpoint: &str) -> (tempfile::TempDir, Value) {
    let tensors: BTreeMap<_, _> = read_tensors(&folder(checkpoint)).into_iter().collect();
    let sharded = tempfile::tempdir().unwrap();
    fs::copy(folder(checkpoint).join("config.json"), sharded.path().join("config.json")).unwrap();
    let mut shards = [Tensors::new(), Tensors::new(), Tensors::new()];
    let mut weight_map = serde_json::Map::new();
    for (i, (name, tensor)) in tensors.into_iter().enumerate() {
        weight_map.insert(name.clone(), json!(format!("model-0000{}-of-00003.safetensors", i % 3 + 1)));
        shards[i % 3].insert(name, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        write_tensors(&sharded.path().join(format!("model-0000{}-of-00003.safetensors", i + 1)), shard);
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": weight_map});
    fs::write(sharded.path().join(INDEX), index.to_string()).unwrap();
    (sharded, index)
}

#[test]
fn three_files_with_an_index_give_the_same_logits() {
    for checkpoint in CHECKPOINTS {
        assert_same_logits(sharded(checkpoint).0.path(), checkpoint);
    }
}

#[test]
fn an_index_that_does_not_fit_is_refused() {
    let (folder, index) = sharded("exaone35");
    let config = config(BackendChoice::Cpu, IsaChoice::Auto);
    let error_with = |change: &dyn Fn(&mut Value)| {
        let mut index = index.clone();
        change(&mut index);
        fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
        crate::support::try_load(folder.path(), &config).unwrap_err().to_string()
    };
    const NAME: &str = "transformer.ln_f.weight";
    for file in ["../model.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", "config.json"] {
        let error = error_with(&|index| index["weight_map"][NAME] = json!(file));
        assert!(error.contains(INDEX) && error.contains("not the name of a safetensors file"), "{error}");
    }
    let error = error_with(&|index| index["weight_map"][NAME] = json!("other.safetensors"));
    assert!(error.contains("other.safetensors"), "{error}");
    let wrong_file = error_with(&|index| {
        let current = index["weight_map"][NAME].as_str().unwrap();
        let other = if current.contains("00001") { "00002" } else { "00001" };
        index["weight_map"][NAME] = json!(format!("model-{other}-of-00003.safetensors"));
    });
    assert!(wrong_file.contains(NAME) && wrong_file.contains("is missing"), "{wrong_file}");
    assert!(error_with(&|index| index["weight_map"] = json!({})).contains("0 files"));
    assert!(error_with(&|index| *index = json!([])).contains("not an index"));
}

#[cfg(unix)]
#[test]
fn links_stay_inside_the_folder_or_the_hubs_blobs() {
    use std::os::unix::fs::symlink;
    let config = config(BackendChoice::Cpu, IsaChoice::Auto);
    let repository = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (repository.path().join("blobs"), repository.path().join("snapshots/abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::copy(folder("exaone35").join("model.safetensors"), blobs.join("0123")).unwrap();
    fs::copy(folder("exaone35").join("config.json"), snapshot.join("config.json")).unwrap();
    symlink("../../blobs/0123", snapshot.join("model.safetensors")).unwrap();
    assert_same_logits(&snapshot, "exaone35");

    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    symlink(folder("exaone35").join("model.safetensors"), snapshot.join("model.safetensors")).unwrap();
    let error = crate::support::try_load(&snapshot, &config).unwrap_err().to_string();
    assert!(error.contains("outside the model's folder"), "{error}");
}

#[test]
fn the_new_spelling_of_the_configuration_gives_the_same_logits() {
    for checkpoint in CHECKPOINTS {
        let mut config = read_config(&folder(checkpoint));
        let keys = config.as_object_mut().unwrap();
        for (old, new) in [
            ("num_layers", "num_hidden_layers"),
            ("activation_function", "hidden_act"),
            ("layer_norm_epsilon", "rms_norm_eps"),
            ("torch_dtype", "dtype"),
        ] {
            if let Some(value) = keys.remove(old) {
                keys.insert(new.to_owned(), value);
            }
        }
        let mut rope = keys.remove("rope_scaling").unwrap();
        let theta = keys.remove("rope_theta").unwrap();
        if rope.is_null() {
            rope = json!({"rope_type": "default"});
        }
        rope["rope_theta"] = theta;
        keys.insert("rope_parameters".to_owned(), rope);
        let changed = write_checkpoint(&config, &read_tensors(&folder(checkpoint)));
        assert_same_logits(changed.path(), checkpoint);
    }
}

#[test]
fn tables_and_the_head_of_a_tied_checkpoint_are_skipped() {
    let mut tensors = read_tensors(&folder("exaone3_tied"));
    let extra = RawTensor::from_f32(&[128, 64], &vec![7.0; 128 * 64]);
    for name in [
        "lm_head.weight",
        "transformer.rotary.rotary_emb.inv_freq",
        "transformer.h.0.attn.attention.rotary_emb.inv_freq",
        "transformer.h.1.attn.attention.rotary_emb.cos_cached",
        "transformer.h.1.attn.attention.rotary.sin_cached",
    ] {
        tensors.insert(name.to_owned(), extra.clone());
    }
    let changed = write_checkpoint(&read_config(&folder("exaone3_tied")), &tensors);
    assert_same_logits(changed.path(), "exaone3_tied");
}

#[test]
fn an_embedded_model_gives_the_same_logits_and_tells_its_progress() {
    static FILES: [EmbeddedFile; 2] = [
        EmbeddedFile {
            name: "config.json",
            bytes: include_bytes!("../fixtures/checkpoints/exaone3_tied/config.json"),
        },
        EmbeddedFile {
            name: "model.safetensors",
            bytes: include_bytes!("../fixtures/checkpoints/exaone3_tied/model.safetensors"),
        },
    ];
    let config = config(BackendChoice::Auto, IsaChoice::Auto);
    let mut reports: Vec<LoadProgress> = Vec::new();
    let source = ModelSource::Embedded(&FILES);
    let mut loaded = load_model(&source, &config, BOUNDS, &mut |progress| reports.push(progress)).unwrap();
    let ids = &cases("exaone3_tied")[0].input_ids;
    let actual = logits_in_chunks(&mut *loaded.runner, ids, usize::MAX);
    assert!(actual == logits(&folder("exaone3_tied"), &config, ids));

    assert!(reports.is_sorted_by(|a, b| a.done_bytes < b.done_bytes), "{reports:?}");
    let last = reports.last().unwrap();
    assert_eq!(last.done_bytes, last.total_bytes);
    let description = loaded.description;
    assert_eq!((description.family, description.backend, description.num_layers), ("exaone", "cpu", 2));
    assert_eq!(description.num_parameters * 4, last.total_bytes);
    assert_eq!((description.vocab_size, description.max_model_len), (128, 512));
}
