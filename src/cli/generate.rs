//! `maru generate`: one prompt, one answer, with the parameters of the transformers pipeline.
//!
//! As there, decoding is greedy unless sampling is asked for; naming a temperature, top-k or top-p asks for it.

use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, bail};

use super::answer::{self, Interrupt};
use super::{GenerateArgs, SamplingArgs};
use crate::serving::{
    ChatMessage, ChatPrompt, EndOptions, GenerateRequest, GenerationDefaults, Generator, PromptInput,
    SamplingOptions,
};

/// Tokens generated where the caller names no number.
const DEFAULT_MAX_NEW_TOKENS: u32 = 256;

impl GenerateArgs {
    /// The prompt: the argument, else standard input without its last line break.
    pub(super) fn read_prompt(&self) -> anyhow::Result<String> {
        if let Some(prompt) = &self.prompt {
            return Ok(prompt.clone());
        }
        if std::io::stdin().is_terminal() {
            bail!("there is no prompt: write `maru generate \"...\"`, or pipe one in");
        }
        let mut prompt = String::new();
        std::io::stdin().read_to_string(&mut prompt).context("standard input")?;
        prompt.truncate(prompt.trim_end_matches(['\r', '\n']).len());
        Ok(prompt)
    }

    /// Whether tokens are sampled.
    ///
    /// # Errors
    /// If sampling is switched off and configured at the same time.
    pub(super) fn samples(&self) -> anyhow::Result<bool> {
        let SamplingArgs { temperature, top_k, top_p, .. } = &self.sampling;
        let configured = temperature.is_some() || top_k.is_some() || top_p.is_some();
        match self.do_sample {
            Some(false) if configured => {
                bail!("--do-sample=false contradicts --temperature, --top-k and --top-p")
            }
            do_sample => Ok(do_sample.unwrap_or(configured)),
        }
    }

    fn request(&self, prompt: &str, samples: bool, defaults: &GenerationDefaults) -> GenerateRequest {
        let sampling = if samples {
            let recommended = defaults.temperature.filter(|temperature| *temperature > 0.0);
            let temperature = self.sampling.temperature.or(recommended).or(Some(1.0));
            SamplingOptions { temperature, ..self.sampling.options() }
        } else {
            SamplingOptions { temperature: Some(0.0), ..SamplingOptions::default() }
        };
        let input = if self.chat {
            let message = ChatMessage::new("user", prompt);
            PromptInput::Chat(ChatPrompt::new(vec![message]))
        } else {
            PromptInput::text(prompt)
        };
        GenerateRequest {
            sampling,
            end: EndOptions {
                max_new_tokens: Some(self.sampling.max_new_tokens.unwrap_or(DEFAULT_MAX_NEW_TOKENS)),
                ..EndOptions::default()
            },
            ..GenerateRequest::new(input)
        }
    }
}

/// Prints the continuation of `prompt` as it comes.
pub(super) async fn run(
    args: &GenerateArgs,
    prompt: &str,
    samples: bool,
    generator: &Generator,
) -> anyhow::Result<()> {
    let request = args.request(prompt, samples, generator.default_sampling());
    let mut output = std::io::stdout().lock();
    if args.return_full_text.unwrap_or(false) {
        write!(output, "{prompt}")?;
    }
    answer::stream(generator, request, &mut output, Interrupt::EndsTheProcess).await?;
    writeln!(output)?;
    Ok(())
}
