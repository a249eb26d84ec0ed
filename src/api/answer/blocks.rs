//! An answer as a row of blocks, as Responses and Messages tell it: reasoning, text and calls in the order in which the
//! model wrote them. Whole answers and streams are told from the same row.

use crate::serving::{ChoiceUsage, DeltaKind, OutputDelta, OutputFinish, OutputToken, StopCause};

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum BlockKind {
    /// What the model thought.
    Reasoning,
    /// What it says.
    Text,
    /// A call of a tool; the block's text is its arguments.
    Call {
        /// What the result of the call refers to.
        id: String,
        /// The tool.
        name: String,
    },
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct Block {
    pub(in crate::api) kind: BlockKind,
    pub(in crate::api) text: String,
    /// The tokens of a text, if the request wants them told.
    pub(in crate::api) tokens: Vec<OutputToken>,
    /// Whether it is as long as the model made it, and not cut off.
    pub(in crate::api) is_complete: bool,
}

/// How an answer grew, with the number of the block.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) enum Step {
    /// A block began.
    Opened(usize),
    /// It has more text, or more tokens.
    Grew { index: usize, text: String, tokens: Vec<OutputToken> },
    /// It ended.
    Closed(usize),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct Ending {
    pub(in crate::api) reason: OutputFinish,
    pub(in crate::api) stop: Option<StopCause>,
    pub(in crate::api) usage: ChoiceUsage,
}

/// An answer of one choice, as far as it has come.
#[derive(Debug, Default)]
pub(in crate::api) struct Blocks {
    rows: Vec<Block>,
    /// Whether the last block may still grow.
    is_open: bool,
    shows_reasoning: bool,
    ending: Option<Ending>,
}

impl Blocks {
    /// An answer without anything yet, that shows the model's reasoning or leaves it out.
    pub(in crate::api) fn new(shows_reasoning: bool) -> Self {
        Self { shows_reasoning, ..Self::default() }
    }

    /// The blocks, the first one first.
    pub(in crate::api) fn all(&self) -> &[Block] {
        &self.rows
    }

    /// How the answer ended, if it has.
    pub(in crate::api) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Takes what is new and says how the answer grew.
    pub(in crate::api) fn take(&mut self, delta: OutputDelta) -> Vec<Step> {
        let OutputDelta { kind, tokens, .. } = delta;
        let mut steps = Vec::new();
        match kind {
            DeltaKind::Reasoning(text) if self.shows_reasoning => {
                self.open_if(|kind| *kind != BlockKind::Reasoning, BlockKind::Reasoning, &mut steps);
                self.grow(text, Vec::new(), &mut steps);
            }
            DeltaKind::Text(text) => {
                self.open_if(|kind| *kind != BlockKind::Text, BlockKind::Text, &mut steps);
                self.grow(text, tokens, &mut steps);
            }
            DeltaKind::ToolCall { id, name, .. } => {
                self.open_if(|_| true, BlockKind::Call { id, name }, &mut steps);
            }
            DeltaKind::ToolArguments { text, .. } => self.grow(text, Vec::new(), &mut steps),
            DeltaKind::Tokens => {
                // Tokens without text of their own belong to the text that they end.
                if self.is_open && self.rows.last().is_some_and(|block| block.kind == BlockKind::Text) {
                    self.grow(String::new(), tokens, &mut steps);
                }
            }
            DeltaKind::Finished { reason, stop, usage } => {
                self.close(reason != OutputFinish::Length, &mut steps);
                self.ending = Some(Ending { reason, stop, usage });
            }
            DeltaKind::Started { .. } | DeltaKind::Reasoning(_) | DeltaKind::Failed(_) => {}
        }
        steps
    }

    /// Ends the block that is open, if one is.
    fn close(&mut self, is_complete: bool, steps: &mut Vec<Step>) {
        if std::mem::take(&mut self.is_open)
            && let Some(last) = self.rows.last_mut()
        {
            last.is_complete = is_complete;
            steps.push(Step::Closed(self.rows.len() - 1));
        }
    }

    /// Begins a block unless one is open that does not differ.
    fn open_if(&mut self, differs: impl Fn(&BlockKind) -> bool, kind: BlockKind, steps: &mut Vec<Step>) {
        if self.is_open && self.rows.last().is_some_and(|block| !differs(&block.kind)) {
            return;
        }
        self.close(true, steps);
        self.rows.push(Block { kind, text: String::new(), tokens: Vec::new(), is_complete: false });
        self.is_open = true;
        steps.push(Step::Opened(self.rows.len() - 1));
    }

    fn grow(&mut self, text: String, tokens: Vec<OutputToken>, steps: &mut Vec<Step>) {
        let index = self.rows.len().checked_sub(1).expect("a block was opened before it grows");
        let block = &mut self.rows[index];
        block.text.push_str(&text);
        block.tokens.extend_from_slice(&tokens);
        steps.push(Step::Grew { index, text, tokens });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(kind: DeltaKind) -> OutputDelta {
        OutputDelta { choice: 0, kind, tokens: Vec::new() }
    }

    fn call(index: u32) -> [DeltaKind; 2] {
        [
            DeltaKind::ToolCall { index, id: format!("call_{index}"), name: "f".to_owned() },
            DeltaKind::ToolArguments { index, text: "{}".to_owned() },
        ]
    }

    fn finished(reason: OutputFinish) -> DeltaKind {
        DeltaKind::Finished { reason, stop: None, usage: ChoiceUsage::default() }
    }

    #[test]
    fn blocks_follow_one_another_and_each_is_opened_and_closed_once() {
        let mut blocks = Blocks::new(true);
        let thought = || DeltaKind::Reasoning("hm".to_owned());
        let said = |text: &str| DeltaKind::Text(text.to_owned());
        let kinds = [thought(), thought(), said("a"), said("b")].into_iter().chain(call(0)).chain(call(1));
        let mut steps = Vec::new();
        for kind in kinds.chain([said("c"), finished(OutputFinish::ToolCalls)]) {
            steps.extend(blocks.take(delta(kind)));
        }
        let texts: Vec<&str> = blocks.all().iter().map(|block| block.text.as_str()).collect();
        assert_eq!(texts, ["hmhm", "ab", "{}", "{}", "c"]);
        assert!(blocks.all().iter().all(|block| block.is_complete));
        let borders: Vec<_> = steps.iter().filter(|step| !matches!(step, Step::Grew { .. })).collect();
        let expected: Vec<Step> = (0..5).flat_map(|i| [Step::Opened(i), Step::Closed(i)]).collect();
        assert_eq!(borders, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn only_the_last_block_of_an_answer_that_ran_out_of_tokens_is_cut_off() {
        let mut blocks = Blocks::new(false);
        for kind in [
            DeltaKind::Reasoning("hidden".to_owned()),
            DeltaKind::Text("a".to_owned()),
            call(0)[0].clone(),
            finished(OutputFinish::Length),
        ] {
            blocks.take(delta(kind));
        }
        let complete: Vec<bool> = blocks.all().iter().map(|block| block.is_complete).collect();
        assert_eq!(complete, [true, false]);
        assert_eq!(blocks.ending().map(|ending| ending.reason), Some(OutputFinish::Length));
    }
}
