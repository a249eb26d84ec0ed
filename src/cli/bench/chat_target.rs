//! Conversations with a server: what is said in them, and the server as a target.

use serde_json::{Value, json};

use super::chat::ChatClient;
use super::dice::{ConversationId, Dice, Purpose};
use super::length::Length;
use super::prompts::{FilePrompt, TokenCost, words};
use super::record::{TokenCounts, Unanswered};
use super::target::{Deltas, Target};

/// What a server is asked.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) seed: u64,
    /// Length of each question, the template's tokens included.
    pub(super) prompt_tokens: Length,
    /// Longest answer.
    pub(super) output_tokens: Length,
    /// What every first question begins with.
    pub(super) shared_prefix: String,
    /// What a question costs.
    pub(super) cost: TokenCost,
    /// Prompts to take instead of words.
    pub(super) file: Vec<FilePrompt>,
}

/// A server and what it is asked.
#[derive(Debug)]
pub(super) struct ChatTarget {
    pub(super) client: ChatClient,
    pub(super) script: Script,
}

/// A conversation so far.
#[derive(Debug)]
pub(super) struct Talk {
    id: ConversationId,
    dice: Dice,
    messages: Vec<Value>,
    /// Length of the only question, where it is not drawn.
    long: Option<u32>,
}

impl Script {
    /// Text that costs about `num_tokens`, the same for each seed; empty for none.
    pub(super) fn shared_prefix(seed: u64, num_tokens: u32, cost: TokenCost) -> String {
        let id = ConversationId { point: 0, purpose: Purpose::SharedPrefix, number: 0 };
        match num_tokens {
            0 => String::new(),
            count => words(&mut Dice::new(seed, id), cost.num_words_inside(f64::from(count))) + "\n\n",
        }
    }

    /// Adds the next question and returns the longest answer that is wanted.
    fn continue_talk(&self, talk: &mut Talk) -> u32 {
        if let Some(num_tokens) = talk.long {
            let question = words(&mut talk.dice, self.cost.num_words(num_tokens));
            talk.messages.push(user(&question));
            return 1;
        }
        let max_tokens = self.output_tokens.draw(&mut talk.dice);
        if talk.messages.is_empty()
            && let Some(prompt) = self.file_prompt(talk.id)
        {
            talk.messages.clone_from(&prompt.messages);
            return prompt.max_tokens.unwrap_or(max_tokens);
        }
        let num_words = self.cost.num_words(self.prompt_tokens.draw(&mut talk.dice));
        let question = words(&mut talk.dice, num_words);
        let prefix = if talk.messages.is_empty() { self.shared_prefix.as_str() } else { "" };
        talk.messages.push(user(&format!("{prefix}{question}")));
        max_tokens
    }

    /// The file's prompts in turn; warm-up takes them from the end, so as not to prepare the server for the first.
    fn file_prompt(&self, id: ConversationId) -> Option<&FilePrompt> {
        let index = (id.number as usize).checked_rem(self.file.len())?;
        match id.purpose {
            Purpose::WarmUp => self.file.iter().nth_back(index),
            _ => self.file.get(index),
        }
    }
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

impl Target for ChatTarget {
    type Talk = Talk;

    fn open(&self, id: ConversationId) -> Talk {
        Talk { id, dice: Dice::new(self.script.seed, id), messages: Vec::new(), long: None }
    }

    fn open_long(&self, id: ConversationId, num_tokens: u32) -> Talk {
        Talk { long: Some(num_tokens), ..self.open(id) }
    }

    async fn ask(&self, talk: &mut Talk, deltas: &mut Deltas) -> Result<TokenCounts, Unanswered> {
        let max_tokens = self.script.continue_talk(talk);
        let reply = self.client.ask(&talk.messages, max_tokens, &mut |time| deltas.note(time)).await?;
        talk.messages.push(json!({ "role": "assistant", "content": reply.text }));
        Ok(reply.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::prompts::probes;

    const ID: ConversationId = ConversationId { point: 0, purpose: Purpose::Measured, number: 0 };

    fn script(file: Vec<FilePrompt>) -> Script {
        let [first, second, whole] = probes().map(|probe| probe.split(' ').count() as u32 + 10);
        let cost = TokenCost::measured([first, second, whole]).expect("a cost");
        Script {
            seed: 1,
            prompt_tokens: Length::Fixed(30),
            output_tokens: Length::Fixed(8),
            shared_prefix: Script::shared_prefix(1, 5, cost),
            cost,
            file,
        }
    }

    fn talk(id: ConversationId) -> Talk {
        Talk { id, dice: Dice::new(1, id), messages: Vec::new(), long: None }
    }

    fn last(talk: &Talk) -> &str {
        talk.messages.last().and_then(|message| message["content"].as_str()).expect("a message")
    }

    #[test]
    fn first_questions_share_the_prefix_and_differ_after_it() {
        let script = script(Vec::new());
        let (mut first, mut second) = (talk(ID), talk(ConversationId { number: 1, ..ID }));
        assert_eq!(script.continue_talk(&mut first), 8);
        script.continue_talk(&mut second);
        let (one, other) = (last(&first), last(&second));
        assert_ne!(one, other);
        for question in [one, other] {
            let rest = question.strip_prefix(&script.shared_prefix).expect("the shared prefix");
            assert_eq!(rest.split(' ').count(), 20, "30 tokens less 10 of the template at a token a word");
        }
        assert_eq!(script.shared_prefix.split_whitespace().count(), 5);
        script.continue_talk(&mut first);
        assert!(
            !last(&first).starts_with(&script.shared_prefix),
            "a later question has no prefix of its own"
        );
        assert_eq!(first.messages.len(), 2);
    }

    #[test]
    fn a_long_prompt_has_its_length_and_asks_for_one_token() {
        let mut talk = Talk { long: Some(1010), ..talk(ID) };
        assert_eq!(script(Vec::new()).continue_talk(&mut talk), 1);
        assert_eq!(last(&talk).split(' ').count(), 1000);
    }

    #[test]
    fn a_file_is_read_in_turn_and_warm_up_from_its_end() {
        let prompt = |text: &str, max_tokens| FilePrompt { messages: vec![user(text)], max_tokens };
        let script = script(vec![prompt("a", None), prompt("b", Some(3)), prompt("c", None)]);
        let ask = |purpose, number| {
            let mut talk = talk(ConversationId { point: 0, purpose, number });
            let max_tokens = script.continue_talk(&mut talk);
            (last(&talk).to_owned(), max_tokens)
        };
        assert_eq!(ask(Purpose::Measured, 0), ("a".to_owned(), 8));
        assert_eq!(ask(Purpose::Measured, 4), ("b".to_owned(), 3));
        assert_eq!(ask(Purpose::WarmUp, 0), ("c".to_owned(), 8));
    }
}
