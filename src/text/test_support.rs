//! What tests of this floor share: the tiny tokenizer of `tests/fixtures/tokenizer`, as it is or with changes.

use std::sync::OnceLock;

use super::Tokenizer;

const TOKENIZER_JSON: &str = include_str!("../../tests/fixtures/tokenizer/tokenizer.json");

pub(super) fn fixture() -> &'static Tokenizer {
    static FIXTURE: OnceLock<Tokenizer> = OnceLock::new();
    FIXTURE.get_or_init(|| Tokenizer::from_bytes(TOKENIZER_JSON.as_bytes()).expect("the fixture loads"))
}

/// The fixture's JSON with changes.
pub(super) fn json_with(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut json = serde_json::from_str(TOKENIZER_JSON).expect("the fixture is JSON");
    change(&mut json);
    json.to_string().into_bytes()
}

/// The fixture with changes.
pub(super) fn tokenizer_with(change: impl FnOnce(&mut serde_json::Value)) -> Tokenizer {
    Tokenizer::from_bytes(&json_with(change)).expect("the changed fixture loads")
}
