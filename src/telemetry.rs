//! Log set-up and every metric of the process.
//!
//! Metric names and histogram edges of the `vllm:` family follow vLLM, so that dashboards and routers made for it
//! work unchanged; what vLLM has no name for is `maru_*`.

use std::collections::HashMap;

use std::io::IsTerminal;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Settings of the log, which goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Least severe level that is written: `error`, `warn`, `info`, `debug` or `trace`; or directives such as
    /// `info,maru::engine=debug`.
    pub level: String,
    /// `text` for people, `json` for one JSON object per line.
    pub format: LogFormat,
}

/// Form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogConfig {
    /// Every invalid key with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let fault = |error: String| vec![("level", error)];
        self.filter().err().map_or_else(Vec::new, fault)
    }

    fn filter(&self) -> Result<EnvFilter, String> {
        // A lone word that is no level would pass as the name of a module and silence everything.
        let names_a_level = |directive: &str| {
            let directive = directive.trim();
            let level = directive.parse::<tracing::level_filters::LevelFilter>();
            directive.contains(['=', ':', '[']) || (!directive.is_empty() && level.is_ok())
        };
        if let Some(word) = self.level.split(',').find(|directive| !names_a_level(directive)) {
            return Err(format!("{word:?} is none of error, warn, info, debug, trace, off"));
        }
        EnvFilter::builder().parse(&self.level).map_err(|error| error.to_string())
    }
}

/// Sends log events to standard error from now on. Only the first call in a process has an effect.
pub fn set_up_logs(config: &LogConfig) {
    let filter = config.filter().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that a subscriber is set already, as in a test that starts two servers.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Edges in seconds of the time to the first token.
const TIME_TO_FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
/// Edges in seconds of the time between two tokens.
const INTER_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// Edges in seconds of whole requests and their phases.
const REQUEST: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
/// Edges in tokens: 1, 2, 5 times the powers of ten.
const TOKENS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5];

/// Every metric, registered once at start and passed to who observes it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Sequences in the running batch.
    pub num_requests_running: IntGauge,
    /// Sequences that wait for the batch, those included that were preempted.
    pub num_requests_waiting: IntGauge,
    /// Share of the KV pool held by live sequences, 0 to 1.
    pub kv_cache_usage: Gauge,
    /// 1 while the engine is healthy.
    pub engine_healthy: IntGauge,
    /// Prompt tokens of requests whose prefill ended.
    pub prompt_tokens: IntCounter,
    /// Tokens generated.
    pub generation_tokens: IntCounter,
    /// Prompt tokens looked up in the prefix cache.
    pub prefix_cache_queries: IntCounter,
    /// Prompt tokens found in the prefix cache.
    pub prefix_cache_hits: IntCounter,
    /// Sequences whose blocks were taken back before they ended.
    pub num_preemptions: IntCounter,
    /// Times that tokens were guessed ahead for a sequence.
    pub num_drafts: IntCounter,
    /// Tokens guessed ahead.
    pub num_draft_tokens: IntCounter,
    /// Tokens guessed ahead that became output.
    pub num_accepted_tokens: IntCounter,
    /// Choices that ended well, by `finished_reason`.
    pub request_success: IntCounterVec,
    /// Sequences ended because of invalid logits.
    pub corrupted_requests: IntCounter,
    /// Seconds from arrival to the first token.
    pub time_to_first_token: Histogram,
    /// Seconds between two tokens of a sequence.
    pub inter_token_latency: Histogram,
    /// Seconds from arrival to the end of the request.
    pub e2e_request_latency: Histogram,
    /// Seconds from arrival to the first scheduling.
    pub request_queue_time: Histogram,
    /// Seconds from the first scheduling to the first token.
    pub request_prefill_time: Histogram,
    /// Seconds from the first to the last token.
    pub request_decode_time: Histogram,
    /// Seconds from the first scheduling to the last token.
    pub request_inference_time: Histogram,
    /// Prompt tokens of a request.
    pub request_prompt_tokens: Histogram,
    /// Tokens generated for a request.
    pub request_generation_tokens: Histogram,
    /// Tokens computed in a step.
    pub iteration_tokens: Histogram,
    /// Prompt tokens of the sequences that wait for their first turn.
    pub num_queue_tokens: IntGauge,
    /// Seconds that a new sequence would wait, as far as the engine's speed is known.
    pub expected_queue_time: Gauge,
    /// Requests whose client left, by `phase`.
    pub aborted: IntCounterVec,
    /// Requests refused, by `reason`.
    pub rejected: IntCounterVec,
    /// Sequences that failed, by `reason`.
    pub failed: IntCounterVec,
    /// HTTP answers, by `route` and `status`.
    pub http_responses: IntCounterVec,
    /// Open connections.
    pub http_connections: IntGauge,
}

/// Settings of the KV pool, shown as the labels of `vllm:cache_config_info`.
#[derive(Debug, Clone, Copy)]
pub struct CacheInfo {
    /// Tokens per block.
    pub block_size: u32,
    /// Blocks in the pool.
    pub num_blocks: u32,
}

impl Metrics {
    /// Registers everything under the labels `model_name` and `engine`.
    ///
    /// # Errors
    /// If a name is not valid or taken, which only a wrong edit of this file can cause.
    pub fn new(model_name: &str, cache: CacheInfo) -> Result<Self, prometheus::Error> {
        let labels = HashMap::from([
            ("model_name".to_owned(), model_name.to_owned()),
            ("engine".to_owned(), "0".to_owned()),
        ]);
        let r = Registry::new_custom(None, Some(labels))?;
        let cache_info = Opts::new("vllm:cache_config_info", "Settings of the KV pool")
            .const_label("block_size", cache.block_size.to_string())
            .const_label("num_gpu_blocks", cache.num_blocks.to_string());
        let info = IntGauge::with_opts(cache_info)?;
        info.set(1);
        r.register(Box::new(info))?;
        Ok(Self {
            num_requests_running: gauge(&r, "vllm:num_requests_running", "Sequences in the running batch")?,
            num_requests_waiting: gauge(
                &r,
                "vllm:num_requests_waiting",
                "Sequences that wait for the batch",
            )?,
            kv_cache_usage: register(
                &r,
                Gauge::new(
                    "vllm:kv_cache_usage_perc",
                    "Share of the KV pool held by live sequences, 0 to 1",
                )?,
            )?,
            engine_healthy: gauge(&r, "vllm:engine_healthy", "1 while the engine is healthy")?,
            prompt_tokens: counter(&r, "vllm:prompt_tokens_total", "Prompt tokens computed or found cached")?,
            generation_tokens: counter(&r, "vllm:generation_tokens_total", "Tokens generated")?,
            prefix_cache_queries: counter(&r, "vllm:prefix_cache_queries_total", "Prompt tokens looked up")?,
            prefix_cache_hits: counter(&r, "vllm:prefix_cache_hits_total", "Prompt tokens found cached")?,
            num_preemptions: counter(&r, "vllm:num_preemptions_total", "Preempted sequences")?,
            num_drafts: counter(
                &r,
                "vllm:spec_decode_num_drafts_total",
                "Times that tokens were guessed ahead",
            )?,
            num_draft_tokens: counter(&r, "vllm:spec_decode_num_draft_tokens_total", "Tokens guessed ahead")?,
            num_accepted_tokens: counter(
                &r,
                "vllm:spec_decode_num_accepted_tokens_total",
                "Tokens guessed ahead that became output",
            )?,
            request_success: counters(
                &r,
                "vllm:request_success_total",
                "Choices that ended well",
                &["finished_reason"],
            )?,
            corrupted_requests: counter(&r, "vllm:corrupted_requests", "Sequences with invalid logits")?,
            time_to_first_token: histogram(
                &r,
                "vllm:time_to_first_token_seconds",
                "Arrival to first token",
                TIME_TO_FIRST_TOKEN,
            )?,
            inter_token_latency: histogram(
                &r,
                "vllm:inter_token_latency_seconds",
                "Between two tokens",
                INTER_TOKEN,
            )?,
            e2e_request_latency: histogram(
                &r,
                "vllm:e2e_request_latency_seconds",
                "Arrival to the end",
                REQUEST,
            )?,
            request_queue_time: histogram(
                &r,
                "vllm:request_queue_time_seconds",
                "Arrival to first scheduling",
                REQUEST,
            )?,
            request_prefill_time: histogram(
                &r,
                "vllm:request_prefill_time_seconds",
                "First scheduling to first token",
                REQUEST,
            )?,
            request_decode_time: histogram(
                &r,
                "vllm:request_decode_time_seconds",
                "First to last token",
                REQUEST,
            )?,
            request_inference_time: histogram(
                &r,
                "vllm:request_inference_time_seconds",
                "First scheduling to last token",
                REQUEST,
            )?,
            request_prompt_tokens: histogram(
                &r,
                "vllm:request_prompt_tokens",
                "Prompt tokens of a request",
                TOKENS,
            )?,
            request_generation_tokens: histogram(
                &r,
                "vllm:request_generation_tokens",
                "Tokens generated for a request",
                TOKENS,
            )?,
            iteration_tokens: histogram(
                &r,
                "vllm:iteration_tokens_total",
                "Tokens computed in a step",
                TOKENS,
            )?,
            num_queue_tokens: gauge(&r, "maru_queue_tokens", "Prompt tokens that wait for their first turn")?,
            expected_queue_time: register(
                &r,
                Gauge::new(
                    "maru_expected_queue_time_seconds",
                    "Time that a new request would wait, 0 while it is not known",
                )?,
            )?,
            aborted: counters(&r, "maru_requests_aborted_total", "Requests whose client left", &["phase"])?,
            rejected: counters(&r, "maru_requests_rejected_total", "Requests refused", &["reason"])?,
            failed: counters(&r, "maru_requests_failed_total", "Sequences that failed", &["reason"])?,
            http_responses: counters(&r, "maru_http_responses_total", "HTTP answers", &["route", "status"])?,
            http_connections: gauge(&r, "maru_http_connections", "Open connections")?,
            registry: r,
        })
    }

    /// All metrics in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::new(name, help)?)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(registry, IntCounter::new(name, help)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    edges: &[f64],
) -> Result<Histogram, prometheus::Error> {
    register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(edges.to_vec()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_does_not_exist_is_a_fault() {
        let faults = |level: &str| LogConfig { level: level.to_owned(), ..LogConfig::default() }.faults();
        for level in ["info", "warn,maru::engine=debug", "off", "INFO"] {
            assert_eq!(faults(level), [], "{level}");
        }
        for level in ["loud", "", "info,maru=loud"] {
            assert_eq!(faults(level).len(), 1, "{level}");
        }
    }

    #[test]
    fn the_page_names_every_metric_with_the_common_labels() {
        let metrics =
            Metrics::new("demo", CacheInfo { block_size: 16, num_blocks: 64 }).expect("valid names");
        metrics.generation_tokens.inc_by(3);
        metrics.request_success.with_label_values(&["stop"]).inc();
        let page = metrics.render();
        let line =
            |name: &str| page.lines().find(|line| line.starts_with(name)).expect("a line of that name");
        assert!(line("vllm:generation_tokens_total{").ends_with(" 3"));
        for draft in ["drafts", "draft_tokens", "accepted_tokens"] {
            assert!(line(&format!("vllm:spec_decode_num_{draft}_total{{")).ends_with(" 0"));
        }
        assert!(line("vllm:cache_config_info{").contains("num_gpu_blocks=\"64\""));
        let success = line("vllm:request_success_total{");
        for label in ["finished_reason=\"stop\"", "model_name=\"demo\"", "engine=\"0\""] {
            assert!(success.contains(label), "{success}");
        }
    }
}
