//! The cache of compiled grammars.

use super::small;
use crate::sampling::GrammarSpec;

#[test]
fn compiled_grammars_are_kept_in_bounded_number() {
    let model = super::model(include_bytes!("../../../../tests/fixtures/tokenizer/tokenizer.json"));
    for round in 0..2 {
        for index in 0..40 {
            model.compile(&GrammarSpec::Regex(format!("a{{{index}}}b"))).expect("compiles");
        }
        assert_eq!(model.compiler.cache.len(), 40, "round {round}");
    }
    for index in 0..40 {
        model.compile(&GrammarSpec::Regex(format!("c{{{index}}}d"))).expect("compiles");
    }
    assert_eq!(model.compiler.cache.len(), 64);
}

#[test]
fn sequences_under_one_grammar_do_not_touch_each_other() {
    let model = small();
    let grammar =
        model.compile(&GrammarSpec::Choice(vec!["ab".to_owned(), "ba".to_owned()])).expect("compiles");
    let (mut first, mut second) = (grammar.start(), grammar.start());
    let [a, b] = ["a", "b"].map(|text| model.tokenizer.token_to_id(text).expect("a byte"));
    first.accept(a).expect("it begins a choice");
    second.accept(b).expect("it begins a choice");
    assert_eq!([first.allows(a), first.allows(b)], [false, true]);
    assert_eq!([second.allows(a), second.allows(b)], [true, false]);
}
