//! What the engine learns of a request beside its prompt: who asks, how urgent it is, with whom it shares prefixes;
//! and what the client learns in turn: its tier, and what was cached and guessed.

use maru::api::{Secret, ServerConfig};
use maru::engine::{DraftCounts, NewSequence, TenantId};
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::support::{Answer, Harness, hello};

const KEYS: [&str; 2] = ["sk-first", "sk-second"];

fn keyed() -> ServerConfig {
    ServerConfig { api_keys: KEYS.map(Secret::new).to_vec(), ..Default::default() }
}

fn allowing_priority() -> ServerConfig {
    ServerConfig { allow_priority: true, ..Default::default() }
}

/// Asks a server with these settings, as the owner of `key`, and gives what the engine got.
async fn submitted(config: ServerConfig, key: &str, changes: Value) -> NewSequence {
    let harness = Harness::with_config(Script::saying("hi"), config);
    let answer = harness.chat_as(key, &hello(changes)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    harness.engine.seen().submitted.swap_remove(0)
}

/// The priority that the engine got, and the answer.
async fn scheduled(config: ServerConfig, changes: &Value) -> (i8, Answer) {
    let harness = Harness::with_config(Script::saying("hi"), config);
    let answer = harness.chat(&hello(changes.clone())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    (harness.engine.seen().submitted[0].priority.0, answer)
}

#[tokio::test]
async fn a_request_is_as_urgent_as_it_asks_to_be_where_that_is_allowed() {
    let cases = [
        (json!({}), 0, "default"),
        (json!({ "service_tier": "auto" }), 0, "default"),
        (json!({ "service_tier": "default" }), 0, "default"),
        (json!({ "service_tier": "flex" }), 50, "flex"),
        (json!({ "service_tier": "priority" }), -50, "priority"),
        (json!({ "priority": 0 }), 0, "default"),
        (json!({ "priority": 1 }), 1, "flex"),
        (json!({ "priority": 100 }), 100, "flex"),
        (json!({ "priority": -1 }), -1, "priority"),
        (json!({ "priority": -100.0 }), -100, "priority"),
        (json!({ "priority": 7, "service_tier": "auto" }), 7, "flex"),
        (json!({ "priority": -50, "service_tier": "priority" }), -50, "priority"),
    ];
    for (changes, priority, tier) in cases {
        let (given, answer) = scheduled(allowing_priority(), &changes).await;
        assert_eq!(given, priority, "{changes}");
        assert_eq!(answer.json()["service_tier"], tier, "{changes}");
        assert_eq!(answer.header("x-maru-ignored-params"), None, "{changes}");
    }
}

#[tokio::test]
async fn a_priority_wins_over_a_tier_that_says_otherwise() {
    for (priority, tier, served) in
        [(3, "priority", "flex"), (-3, "flex", "priority"), (0, "flex", "default")]
    {
        let asked = json!({ "priority": priority, "service_tier": tier });
        let (given, answer) = scheduled(allowing_priority(), &asked).await;
        assert_eq!(given, priority, "{asked}");
        assert_eq!(answer.json()["service_tier"], served, "{asked}");
        assert_eq!(answer.header("x-maru-ignored-params"), Some("service_tier"), "{asked}");
    }
}

#[tokio::test]
async fn nobody_goes_before_others_unless_the_operator_allows_it() {
    let cases = [
        (json!({ "priority": -1 }), 0, Some("priority")),
        (json!({ "priority": -100, "service_tier": "priority" }), 0, Some("service_tier, priority")),
        (json!({ "service_tier": "priority" }), 0, Some("service_tier")),
        (json!({ "priority": -1, "stream": true }), 0, Some("priority")),
        (json!({ "priority": 1 }), 1, None),
        (json!({ "service_tier": "flex" }), 50, None),
    ];
    for (changes, priority, ignored) in cases {
        let (given, answer) = scheduled(ServerConfig::default(), &changes).await;
        assert_eq!(given, priority, "{changes}");
        assert_eq!(answer.header("x-maru-ignored-params"), ignored, "{changes}");
        let tier = if priority > 0 { "flex" } else { "default" };
        assert!(answer.text.contains(&format!("\"service_tier\":\"{tier}\"")), "{changes}: {}", answer.text);
        let strict = ServerConfig { strict_params: true, ..Default::default() };
        let refused = Harness::with_config(Script::saying("hi"), strict).chat(&hello(changes.clone())).await;
        assert_eq!(refused.status.as_u16(), if ignored.is_some() { 400 } else { 200 }, "{changes}");
    }
}

#[tokio::test]
async fn the_chunks_of_a_stream_name_the_tier() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness.chat(&hello(json!({ "stream": true, "service_tier": "flex" }))).await;
    let chunks = answer.text.matches("\"object\":\"chat.completion.chunk\"").count();
    assert!(chunks >= 3);
    assert_eq!(answer.text.matches("\"service_tier\":\"flex\"").count(), chunks);
}

#[tokio::test]
async fn each_key_is_a_tenant_and_without_keys_there_is_one() {
    let mut tenants = Vec::new();
    for key in KEYS {
        let first = submitted(keyed(), key, json!({})).await.tenant;
        let labelled = json!({ "user": "u", "safety_identifier": "s", "metadata": { "a": "b" } });
        assert_eq!(submitted(keyed(), key, labelled).await.tenant, first, "labels are labels");
        tenants.push(first);
    }
    assert_ne!(tenants[0], tenants[1]);
    assert!(!tenants.contains(&TenantId::default()));
    let twice = ServerConfig { api_keys: [KEYS[0], KEYS[1], KEYS[0]].map(Secret::new).to_vec(), ..keyed() };
    let second = submitted(twice.clone(), KEYS[1], json!({})).await.tenant;
    assert_ne!(submitted(twice, KEYS[0], json!({})).await.tenant, second, "a key listed twice is one tenant");
    for unknown in KEYS {
        assert_eq!(submitted(ServerConfig::default(), unknown, json!({})).await.tenant, TenantId::default());
    }
}

#[tokio::test]
async fn every_choice_has_the_tenant_priority_and_salt_of_its_request() {
    let harness = Harness::with_config(Script::saying("hi"), keyed());
    let asked = json!({ "n": 3, "priority": 4, "cache_salt": "s" });
    assert_eq!(harness.chat_as(KEYS[1], &hello(asked)).await.status, 200);
    let submitted = harness.engine.seen().submitted;
    let of = |sequence: &NewSequence| (sequence.tenant, sequence.priority, sequence.cache_salt.clone());
    assert_eq!(submitted.len(), 3);
    assert!(submitted.iter().all(|sequence| of(sequence) == of(&submitted[0])));
    assert_eq!(submitted[0].priority.0, 4);
}

#[tokio::test]
async fn prefixes_are_shared_within_a_key_and_a_salt_only() {
    let requests = [
        json!({}),
        json!({ "cache_salt": "a" }),
        json!({ "prompt_cache_key": "a" }),
        json!({ "cache_salt": "a", "prompt_cache_key": "a" }),
        json!({ "cache_salt": "ab" }),
        json!({ "cache_salt": "a", "prompt_cache_key": "b" }),
    ];
    let mut salts = Vec::new();
    for key in KEYS {
        for request in &requests {
            let salt = submitted(keyed(), key, request.clone()).await.cache_salt;
            assert_eq!(
                submitted(keyed(), key, request.clone()).await.cache_salt,
                salt,
                "the same for the same"
            );
            assert!(!salts.contains(&salt), "{key} {request} shares with another");
            salts.push(salt);
        }
    }
}

#[tokio::test]
async fn an_empty_prompt_cache_key_is_none() {
    let bare = submitted(keyed(), KEYS[0], json!({})).await.cache_salt;
    assert_eq!(submitted(keyed(), KEYS[0], json!({ "prompt_cache_key": "" })).await.cache_salt, bare);
    let labelled = json!({ "user": "u", "safety_identifier": "s", "metadata": { "a": "b" }, "priority": 9 });
    assert_eq!(submitted(keyed(), KEYS[0], labelled).await.cache_salt, bare, "labels divide nothing");
}

#[tokio::test]
async fn keys_share_prefixes_if_the_operator_wants_that() {
    let sharing = || ServerConfig { share_prefix_cache: true, ..keyed() };
    for request in [json!({}), json!({ "cache_salt": "s", "prompt_cache_key": "k" })] {
        let [first, second] = [
            submitted(sharing(), KEYS[0], request.clone()).await,
            submitted(sharing(), KEYS[1], request.clone()).await,
        ];
        assert_eq!(first.cache_salt, second.cache_salt, "{request}");
        assert_ne!(first.tenant, second.tenant, "they still take turns");
    }
    let salted = submitted(sharing(), KEYS[0], json!({ "cache_salt": "s" })).await;
    assert_ne!(salted.cache_salt, submitted(sharing(), KEYS[0], json!({})).await.cache_salt);
}

#[tokio::test]
async fn what_the_engine_gets_of_a_key_does_not_tell_the_key() {
    use sha2::Digest;
    let salt = submitted(keyed(), KEYS[0], json!({})).await.cache_salt;
    let digest = sha2::Sha256::digest(KEYS[0]);
    for secret in [KEYS[0].as_bytes(), digest.as_slice()] {
        assert!(!salt.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test]
async fn usage_names_what_was_cached_once_and_what_was_guessed_by_all_choices() {
    let drafts = DraftCounts { num_accepted: 5, num_rejected: 2 };
    let script = Script { num_cached_tokens: 16, drafts, ..Script::saying("hi") };
    let harness = Harness::new(script);
    let whole = harness.chat(&hello(json!({ "n": 3 }))).await.json()["usage"].take();
    assert_eq!(whole["prompt_tokens_details"]["cached_tokens"], 16);
    assert_eq!(whole["completion_tokens_details"]["accepted_prediction_tokens"], 15);
    assert_eq!(whole["completion_tokens_details"]["rejected_prediction_tokens"], 6);
    assert_eq!(whole["completion_tokens"], 9, "guesses count no more than other tokens");
    let asked = json!({ "n": 3, "stream": true, "stream_options": { "include_usage": true } });
    let streamed = harness.chat(&hello(asked)).await.text;
    let events = streamed.strip_suffix("\n\ndata: [DONE]\n\n").expect("an end marker");
    let (_, last) = events.rsplit_once("\n\ndata: ").expect("more events than one");
    let chunk: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(chunk["usage"], whole);
}

#[tokio::test]
async fn usage_names_what_was_cached_even_if_that_is_nothing() {
    let usage = Harness::new(Script::saying("hi")).chat(&hello(json!({}))).await.json()["usage"].take();
    for (details, count) in [
        ("prompt_tokens_details", "cached_tokens"),
        ("completion_tokens_details", "accepted_prediction_tokens"),
        ("completion_tokens_details", "rejected_prediction_tokens"),
    ] {
        assert_eq!(usage[details][count], 0, "{count}");
    }
}
