//! Text to token ids: a model's `tokenizer.json`.
