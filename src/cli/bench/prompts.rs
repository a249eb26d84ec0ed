//! Prompts: words in as good as any number of tokens, or a file of them.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dice::Dice;

/// Common words, each a token or two in most vocabularies.
const WORDS: &str = "the of and to in is that it was for on are as with they at be this from have or by one had not but what \
    all were when we there can an your which their said if do will each about how up out them then she many some so these \
    would other into has more her two like him see time could no make than first been its who now people my made over did \
    down only way find use may water long little very after words called just where most know get through back much before \
    go good new write our used me man too any day same right look think also around another came come work three word must \
    because does part even place well such here take why things help put years different away again off went old number \
    great tell men say small every found still between name should home big give air line set own under read last never us \
    left end along while might next sound below saw something thought both few those always looked show large often together \
    asked house world going want school important until form food keep children feet land side without boy once animals life \
    enough took sometimes four head above kind began almost live page got earth need far hand high year mother light parts \
    country father let night following picture being study second eyes soon times story boys since white days ever paper hard \
    near sentence better best across during today others however sure means knew try told young miles sun ways thing whole \
    hear example heard several change answer room sea against top turned learn point city play toward five using himself";

/// So many words, drawn at random.
pub(super) fn words(dice: &mut Dice, count: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let num_words = u32::try_from(words.len()).expect("the list is short");
    let drawn: Vec<&str> = (0..count).map(|_| words[dice.below(num_words) as usize]).collect();
    drawn.join(" ")
}

/// The first half of the list, the second, and the whole: what they cost tells what any words cost.
pub(super) fn probes() -> [String; 3] {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let (first, second) = words.split_at(words.len() / 2);
    [first, second, &words].map(|words| words.join(" "))
}

/// What a message costs in tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TokenCost {
    /// Tokens of a message without words: the chat template's.
    overhead: f64,
    /// Tokens per word.
    per_word: f64,
}

impl TokenCost {
    /// For servers that count no tokens: about right for the vocabularies of today.
    pub(super) const GUESS: Self = Self { overhead: 10.0, per_word: 1.2 };

    /// The cost that explains what the server counted for the three messages of [`probes`]; none if no cost does.
    /// The halves pay the template twice and the whole once; and the mean over the list is that of words drawn from it.
    pub(super) fn measured([first, second, whole]: [u32; 3]) -> Option<Self> {
        let overhead = f64::from(first) + f64::from(second) - f64::from(whole);
        let per_word = (f64::from(whole) - overhead) / WORDS.split_whitespace().count() as f64;
        // Less than a token in ten words means that the server counts something else.
        (per_word > 0.1).then_some(Self { overhead: overhead.max(0.0), per_word })
    }

    /// Words of a message of about `num_tokens` tokens with all that the template adds; at least one.
    pub(super) fn num_words(&self, num_tokens: u32) -> usize {
        self.num_words_inside(f64::from(num_tokens) - self.overhead)
    }

    /// Words of a part of a message.
    pub(super) fn num_words_inside(&self, num_tokens: f64) -> usize {
        (num_tokens / self.per_word).round().max(1.0) as usize
    }
}

/// One line of a prompt file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FilePrompt {
    /// The conversation so far.
    pub(super) messages: Vec<Value>,
    /// Longest answer, where the line says.
    pub(super) max_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Line {
    prompt: Option<String>,
    messages: Option<Vec<Value>>,
    max_tokens: Option<u32>,
}

/// Reads a JSONL file: each line has a `prompt` or `messages`, and may have `max_tokens`.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Vec<FilePrompt>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse_lines(&text).with_context(|| path.display().to_string())
}

fn parse_lines(text: &str) -> anyhow::Result<Vec<FilePrompt>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let prompts: anyhow::Result<Vec<FilePrompt>> =
        lines.map(|(i, line)| parse_line(line).with_context(|| format!("line {}", i + 1))).collect();
    let prompts = prompts?;
    ensure!(!prompts.is_empty(), "there is no prompt in it");
    Ok(prompts)
}

fn parse_line(line: &str) -> anyhow::Result<FilePrompt> {
    let Line { prompt, messages, max_tokens } = serde_json::from_str(line)?;
    let messages = match (prompt, messages) {
        (Some(prompt), None) => vec![json!({ "role": "user", "content": prompt })],
        (None, Some(messages)) if !messages.is_empty() => messages,
        _ => bail!("expected either \"prompt\" or \"messages\""),
    };
    Ok(FilePrompt { messages, max_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::dice::tests::dice;

    #[test]
    fn words_repeat_with_their_dice_only() {
        assert_eq!(words(&mut dice(1), 50), words(&mut dice(1), 50));
        assert_ne!(words(&mut dice(1), 50), words(&mut dice(2), 50));
        assert_eq!(words(&mut dice(1), 50).split(' ').count(), 50);
    }

    #[test]
    fn three_measurements_give_the_cost_of_a_word() {
        // A token for every two letters begun, and a template of 12 tokens.
        let count = |text: &str| text.split(' ').map(|word| word.len().div_ceil(2)).sum::<usize>() + 12;
        let counts = probes().map(|probe| u32::try_from(count(&probe)).expect("small"));
        let cost = TokenCost::measured(counts).expect("a cost");
        assert_eq!(cost.overhead, 12.0);
        let text = words(&mut dice(1), cost.num_words(10_000));
        assert!((9_800..10_200).contains(&count(&text)), "{}", count(&text));
        assert_eq!(cost.num_words(3), 1, "less than the template needs is one word");
        assert_eq!(TokenCost::measured([5, 5, 5]), None, "a server that always says the same");
    }

    #[test]
    fn a_file_holds_prompts_or_conversations() {
        let text = "{\"prompt\":\"Hi\",\"max_tokens\":3}\n\n{\"messages\":[{\"role\":\"user\",\"content\":\"Yo\"}]}\n";
        let prompts = parse_lines(text).expect("valid");
        assert_eq!(prompts[0].messages, [json!({ "role": "user", "content": "Hi" })]);
        assert_eq!((prompts[0].max_tokens, prompts[1].max_tokens), (Some(3), None));
        for (text, fault) in [
            ("", "no prompt"),
            ("{\"prompt\":\"a\"}\n{", "line 2"),
            ("{\"text\":\"a\"}", "either"),
            ("{\"prompt\":\"a\",\"messages\":[]}", "either"),
        ] {
            let error = format!("{:#}", parse_lines(text).expect_err(text));
            assert!(error.contains(fault), "{error}");
        }
    }
}
