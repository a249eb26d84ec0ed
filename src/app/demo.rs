//! The demo model: part of the program, so that it runs and talks wherever it is copied to.

use crate::model::EmbeddedFile;

/// Name that clients call the demo model by.
pub(super) const NAME: &str = "maru-demo";

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(EmbeddedFile { name: $name, bytes: include_bytes!(concat!("../../models/demo/", $name)) }),*]
    };
}

/// The files of the demo model.
pub(super) static FILES: &[EmbeddedFile] = embedded![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_model_is_small_enough_to_travel_with_the_program() {
        let num_bytes: usize = FILES.iter().map(|file| file.bytes.len()).sum();
        assert!(num_bytes <= 16 << 20, "{num_bytes} bytes");
    }
}
