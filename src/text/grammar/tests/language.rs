//! The language lock, character by character.

use std::collections::BTreeSet;

use super::super::language::ranges;
use super::{Chance, Model, demo, small};
use crate::sampling::{GrammarSpec, TokenSet};
use crate::text::{Language, SpecialText, language_set};

const BOTH: &str = "Hello, wörld! 1+1=2 «π ≈ ∑» 😀👨‍👩‍👧 🇰🇷 ㎡ ℃ ① ， 「」 \u{feff}\t\r\n…—";
const HANGUL: &str = "안녕하세요 ㅋㅋ ㅏ ㈜ ㉠ ᄒ\u{1161}\u{11ab} ꥠ ힰ ﾡ";
const NEITHER: &str =
    "漢々〇〆あアーｱ゛・яЖб\u{5d0}\u{628}\u{e01}\u{905}\u{531}\u{10d0}㋐㊀🈁𠀀㍿\u{e000}豈\u{1b001}";

fn holds(model: &Model, language: Language, set: &TokenSet, text: &str) -> bool {
    let token_ids = model.tokenizer.encode(text, SpecialText::Plain, false).expect("the text encodes");
    let mut lock = model.compiler.lock_language(language, None);
    let mut row = TokenSet::new(model.vocab_size());
    token_ids.into_iter().all(|id| {
        let allows = lock.allows(id);
        lock.mask(&mut row).expect("a mask");
        assert_eq!(row.contains(id), allows);
        assert!(!allows || set.contains(id), "the set holds every token that may come somewhere");
        allows && lock.accept(id).is_ok()
    })
}

#[test]
fn characters_of_the_scripts_come_through_and_no_others() {
    for model in [small(), demo()] {
        for language in Language::ALL {
            let set = language_set(&model.tokenizer, language);
            assert!(holds(model, language, &set, BOTH));
            assert_eq!(holds(model, language, &set, HANGUL), language == Language::Korean);
            for character in HANGUL.chars().filter(|character| !character.is_whitespace()) {
                assert_eq!(
                    holds(model, language, &set, &character.to_string()),
                    language == Language::Korean,
                    "{character}"
                );
            }
            for character in NEITHER.chars() {
                assert!(!holds(model, language, &set, &character.to_string()), "{character}");
                assert!(!holds(model, language, &set, &format!("a{character}")), "{character}");
            }
        }
    }
}

#[test]
fn the_ranges_are_in_order() {
    for ranges in ranges() {
        assert!(ranges.iter().all(|(first, last)| first <= last));
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}

#[test]
fn fragments_never_add_up_to_a_character_that_is_locked_out() {
    for (seed, model) in [small(), demo()].into_iter().enumerate() {
        for language in Language::ALL {
            let set = language_set(&model.tokenizer, language);
            let mut chance = Chance::new(seed as u64);
            let mut lock = model.compiler.lock_language(language, None);
            let fragments: Vec<u32> = (0..model.vocab_size() as u32)
                .filter(|&id| model.bytes(&[id]).first().is_some_and(|byte| *byte >= 0x80))
                .collect();
            let mut row = TokenSet::new(model.vocab_size());
            let mut token_ids = Vec::new();
            for _ in 0..400 {
                lock.mask(&mut row).expect("a mask");
                let candidates: Vec<u32> = fragments.iter().copied().filter(|&id| row.contains(id)).collect();
                let next = candidates[chance.below(candidates.len())];
                lock.accept(next).expect("the mask allowed it");
                token_ids.push(next);
            }
            let bytes = model.bytes(&token_ids);
            let (whole, rest) = bytes.split_at(match std::str::from_utf8(&bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            });
            assert!(rest.len() <= 3, "only the last character may be incomplete");
            let text = std::str::from_utf8(whole).expect("it is valid up to there");
            let distinct: BTreeSet<char> = text.chars().collect();
            assert!(distinct.len() > 50);
            for character in distinct {
                assert!(holds(model, language, &set, &character.to_string()), "{character:?}");
            }
        }
    }
}

#[test]
fn a_grammar_under_a_lock_keeps_both() {
    let model = demo();
    let grammar = model.compile(&GrammarSpec::JsonObject).expect("compiles");
    let mut chance = Chance::new(9);
    let mut lock = model.compiler.lock_language(Language::Korean, Some(grammar.start()));
    let mut row = TokenSet::new(model.vocab_size());
    let mut plain = TokenSet::new(model.vocab_size());
    let mut alone = grammar.start();
    for _ in 0..60 {
        lock.mask(&mut row).expect("a mask");
        alone.mask(&mut plain).expect("a mask");
        let mut both = row.clone();
        both.intersect(&plain);
        assert_eq!(both, row, "the lock only takes away");
        let candidates: Vec<u32> = row.iter().collect();
        let next = candidates[chance.below(candidates.len())];
        lock.accept(next).expect("allowed");
        alone.accept(next).expect("allowed");
        if lock.is_complete() {
            break;
        }
    }
}
