//! Regular expressions as the compiler holds them to the letter inside a JSON string.
//!
//! It writes some control characters only as `\uXXXX`, which outputs are not to hold. Such a character in a literal it
//! leaves out, and for a class with all of them it lets every short escape come, a quote and a backslash too, whether
//! the class holds these or not. So they are taken out beforehand.

use llguidance::regex_to_lark;
use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

/// The characters that have no short escape.
const WITHOUT_ESCAPE: [(char, char); 4] =
    [('\0', '\u{7}'), ('\u{b}', '\u{b}'), ('\u{e}', '\u{1f}'), ('\u{7f}', '\u{7f}')];

/// The pattern without the characters that an output cannot hold, or nothing where it is well as it is. One that
/// cannot be read is left to the compiler.
pub(super) fn without_what_has_no_escape(pattern: &str) -> Option<String> {
    let hir = regex_syntax::parse(&regex_to_lark(pattern, "dw")).ok()?;
    let written = rewritten(&hir);
    (written != hir).then(|| written.to_string())
}

/// The reader bounds the depth.
fn rewritten(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => hir.clone(),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) if text.chars().any(has_no_escape) => Hir::fail(),
            _ => hir.clone(),
        },
        HirKind::Class(class) => rewritten_class(class),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(rewritten(&repetition.sub));
            match repetition.min {
                0 if !is_possible(&sub) => Hir::empty(),
                _ => Hir::repetition(Repetition { sub, ..repetition.clone() }),
            }
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(rewritten(&capture.sub));
            Hir::capture(Capture { sub, ..capture.clone() })
        }
        HirKind::Concat(subs) => {
            let subs: Vec<Hir> = subs.iter().map(rewritten).collect();
            if subs.iter().all(is_possible) { Hir::concat(subs) } else { Hir::fail() }
        }
        HirKind::Alternation(subs) => {
            Hir::alternation(subs.iter().map(rewritten).filter(is_possible).collect())
        }
    }
}

fn rewritten_class(class: &Class) -> Hir {
    let mut class = match class {
        Class::Unicode(class) => class.clone(),
        Class::Bytes(bytes) => match bytes.to_unicode_class() {
            Some(class) => class,
            None => return Hir::class(Class::Bytes(bytes.clone())),
        },
    };
    let holds = |wanted: char| class.iter().any(|range| (range.start()..=range.end()).contains(&wanted));
    // With both of them in it, all short escapes are right.
    if !(holds('"') && holds('\\')) {
        let ranges = WITHOUT_ESCAPE.map(|(first, last)| ClassUnicodeRange::new(first, last));
        class.difference(&ClassUnicode::new(ranges));
    }
    Hir::class(Class::Unicode(class))
}

/// What matches nothing has no least length; nor has a choice among such, which is therefore left out of choices.
fn is_possible(hir: &Hir) -> bool {
    hir.properties().minimum_len().is_some()
}

fn has_no_escape(character: char) -> bool {
    WITHOUT_ESCAPE.iter().any(|(first, last)| (first..=last).contains(&&character))
}
