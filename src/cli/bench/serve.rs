//! `maru bench serve`: finds out what it needs to know of a server, then puts load on it.

use std::sync::Arc;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::runtime;

use super::args::ServeBenchArgs;
use super::chat::{ChatClient, model_names};
use super::chat_target::{ChatTarget, Script};
use super::http::HttpClient;
use super::prompts::{TokenCost, probes, read_file};
use super::report::{Report, Settings, TargetReport};
use super::sweep::sweep;
use crate::config::Environment;

/// Puts the loads on the server and reports.
pub(super) fn run(args: &ServeBenchArgs) -> anyhow::Result<()> {
    // One thread, so that a server on the same machine keeps the others.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bench(args))
}

async fn bench(args: &ServeBenchArgs) -> anyhow::Result<()> {
    let seed = args.load.seed_or_new();
    let file = args.prompts.as_deref().map(read_file).transpose()?.unwrap_or_default();
    let key = args.api_key.clone().or_else(|| Environment::of_process().client_api_key());
    let http = HttpClient::new(&args.url, key.as_deref()).await?;
    let model = choose_model(args, &http).await?;
    let client = ChatClient {
        http,
        model: model.clone(),
        temperature: args.load.temperature,
        ignore_eos: args.ignore_eos,
        extra_body: args.extra_body.clone().unwrap_or_default(),
    };
    // Only the length of words has to be known.
    let cost = if file.is_empty() || args.load.turns > 1 || args.load.long_prompt.is_some() {
        calibrate(&client).await?
    } else {
        TokenCost::GUESS
    };
    let script = Script {
        seed,
        prompt_tokens: args.load.prompt_tokens,
        output_tokens: args.load.output_tokens,
        shared_prefix: Script::shared_prefix(seed, args.load.shared_prefix_tokens, cost),
        cost,
        file,
    };
    let target = Arc::new(ChatTarget { client, script });
    let points = sweep(&args.load, &args.load.loads(), seed, |_| Arc::clone(&target)).await?;
    let mut settings = Settings { ignore_eos: args.ignore_eos, ..Settings::of(&args.load, seed) };
    settings.extra_body = args.extra_body.as_ref().map(|extra| Value::Object(extra.0.clone()));
    if let Some(path) = &args.prompts {
        settings.lengths_from = Some(path.display().to_string());
    }
    let report = Report {
        tool: "maru bench serve",
        version: env!("CARGO_PKG_VERSION"),
        target: TargetReport { model, url: Some(args.url.clone()) },
        settings,
        points,
        compared: Vec::new(),
    };
    report.publish(&args.load)
}

/// The model that was named, if the server has it; else the first that the server lists.
async fn choose_model(args: &ServeBenchArgs, http: &HttpClient) -> anyhow::Result<String> {
    const MAX_LISTED: usize = 8;
    let names = model_names(http, &args.url).await;
    match (&args.model, names) {
        (Some(model), Ok(names)) if names.is_empty() || names.contains(model) => Ok(model.clone()),
        (Some(model), Ok(names)) => {
            let listed = names[..names.len().min(MAX_LISTED)].join(", ");
            bail!("{} has no model {model:?}; it has {listed}", args.url)
        }
        // A server need not list its models; what else is wrong shows with the first request.
        (Some(model), Err(error)) if error.root_cause().downcast_ref::<std::io::Error>().is_none() => {
            eprintln!("maru: {error:#}");
            Ok(model.clone())
        }
        (_, Err(error)) => Err(error),
        (None, Ok(names)) => match names.first() {
            Some(first) => {
                if names.len() > 1 {
                    eprintln!("maru: the server has {} models; measuring {first} (see --model)", names.len());
                }
                Ok(first.clone())
            }
            None => bail!("{} lists no model: name one with --model", args.url),
        },
    }
}

/// Measures what words cost.
async fn calibrate(client: &ChatClient) -> anyhow::Result<TokenCost> {
    let mut counts = [0; 3];
    for (count, probe) in counts.iter_mut().zip(probes()) {
        let messages: [Value; 1] = [json!({ "role": "user", "content": probe })];
        *count = client.count_prompt_tokens(&messages).await?.unwrap_or(0);
    }
    Ok(TokenCost::measured(counts).unwrap_or_else(|| {
        eprintln!("maru: the server does not count prompt tokens: the lengths of prompts are guessed");
        TokenCost::GUESS
    }))
}
