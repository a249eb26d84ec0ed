//! Every failure in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, all four keys, always.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::wording::{Reader, Wording, korean, said};
use crate::serving::{Congestion, GenerateError, Overload, SequenceError};

/// How long a client should wait before it asks a restarting server again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The least and the longest wait that a client is told. The official SDKs pay no heed to less or more.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);
/// Most characters of a client's own value that an error message repeats.
const MAX_SHOWN_CHARS: usize = 64;

/// A request that was not answered, as the client sees it: the only error type that becomes a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: Wording,
    retry: Retry,
}

/// What a client should do about an error; the official SDKs follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// As the status code suggests.
    ByStatus,
    /// Ask again after this time.
    After(Duration),
    /// Do not ask again: the same request fails in the same way.
    Never,
}

/// The JSON of an error.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<Wording>) -> Self {
        let message = message.into();
        Self { status, kind, code: Some(code), param: None, message, retry: Retry::ByStatus }
    }

    fn bad_request(code: &'static str, message: impl Into<Wording>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    fn refused(status: StatusCode, code: &'static str, message: impl Into<Wording>) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// 400: the body is not JSON, or not the JSON that belongs here.
    pub(super) fn invalid_json(reason: &str) -> Self {
        let reason_ko = korean(reason);
        Self::bad_request(
            "invalid_json",
            said!(
                "The request body is not valid JSON: {reason}.",
                "요청 본문이 올바른 JSON이 아닙니다(이유: {reason_ko})."
            ),
        )
    }

    /// 400: a field has the wrong type.
    pub(super) fn invalid_type(param: &str, expected: &str, given: &Value) -> Self {
        let given = type_name(given);
        let (expected_ko, given_ko) = (korean(expected), korean(given));
        let message = said!(
            "'{param}' must be {expected}, but it is {given}.",
            "'{param}' 값의 형식이 잘못되었습니다. 필요한 형식: {expected_ko}. 받은 형식: {given_ko}."
        );
        Self::bad_request("invalid_type", message).about(param)
    }

    /// 400: a field has a value that is out of its bounds.
    pub(super) fn invalid_value(param: &str, message: impl Into<Wording>) -> Self {
        Self::bad_request("invalid_value", message).about(param)
    }

    /// 400: a field that must be there is not.
    pub(super) fn missing(param: &str) -> Self {
        Self::bad_request(
            "missing_required_parameter",
            said!("'{param}' is required.", "'{param}' 값이 필요합니다."),
        )
        .about(param)
    }

    /// 400: a parameter that this server does not honour and that would change the answer's meaning.
    pub(super) fn unsupported_parameter(param: &str, reason: impl Into<Wording>) -> Self {
        let reason = reason.into();
        let (reason, reason_ko) = (reason.as_str(), reason.korean());
        let message = said!(
            "'{param}' is not supported by this server: {reason}.",
            "이 서버는 '{param}' 매개변수를 지원하지 않습니다. {reason_ko}."
        );
        Self::bad_request("unsupported_parameter", message).about(param)
    }

    /// 401: no API key, or one that is not known.
    pub(super) fn unauthorized(message: impl Into<Wording>) -> Self {
        Self::refused(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    /// 404: a model that is not served here.
    pub(super) fn model_not_found(asked: &str, served: &str) -> Self {
        let asked = shown(asked);
        let message = said!(
            "The model '{asked}' does not exist. This server serves '{served}'.",
            "'{asked}' 모델을 찾을 수 없습니다. 이 서버가 제공하는 모델: '{served}'."
        );
        Self::refused(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
    }

    /// 404: no such stored answer, or somebody else's.
    pub(super) fn response_not_found(id: &str) -> Self {
        let id = shown(id);
        let message = said!("There is no response '{id}'.", "'{id}' 응답을 찾을 수 없습니다.");
        Self::refused(StatusCode::NOT_FOUND, "response_not_found", message)
    }

    /// 400: an answer to build on that is not stored, or somebody else's.
    pub(super) fn previous_response_not_found(id: &str) -> Self {
        let id = shown(id);
        let message =
            said!("There is no response '{id}' to build on.", "이어서 답할 '{id}' 응답을 찾을 수 없습니다.");
        Self::bad_request("previous_response_not_found", message).about("previous_response_id")
    }

    /// 400: a request that this endpoint never grants.
    pub(super) fn never_granted(message: impl Into<Wording>) -> Self {
        Self::bad_request("unsupported_operation", message)
    }

    /// 404: no such route.
    pub(super) fn unknown_route(method: &str, path: &str) -> Self {
        let path = shown(path);
        let message =
            said!("Unknown request URL: {method} {path}.", "알 수 없는 요청 주소입니다: {method} {path}.");
        Self::refused(StatusCode::NOT_FOUND, "unknown_url", message)
    }

    /// 405: the route exists, but not for this method.
    pub(super) fn method_not_allowed(method: &str, path: &str) -> Self {
        let path = shown(path);
        let message =
            said!("{path} does not take {method} requests.", "{path} 주소는 {method} 요청을 받지 않습니다.");
        Self::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 408: the body stopped arriving.
    pub(super) fn body_timeout() -> Self {
        Self::refused(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            said!("The request body did not arrive in time.", "요청 본문이 제때 도착하지 않았습니다."),
        )
    }

    /// 400: the body broke off.
    pub(super) fn broken_body() -> Self {
        Self::bad_request(
            "invalid_body",
            said!("The request body could not be read to its end.", "요청 본문을 끝까지 읽을 수 없습니다."),
        )
    }

    /// 413: the body is larger than `max` bytes.
    pub(super) fn body_too_large(max: usize) -> Self {
        let message =
            said!("The request body is larger than {max} bytes.", "요청 본문이 {max}바이트를 넘습니다.");
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// 415: the body is not declared as plain JSON.
    pub(super) fn unsupported_media_type(message: impl Into<Wording>) -> Self {
        Self::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 429: more work than can be done in time; another try has a chance after `retry_after`.
    fn overloaded(reason: &Wording, retry_after: Duration) -> Self {
        let (reason, reason_ko) = (reason.as_str(), reason.korean());
        let message = said!(
            "The server is busy: {reason}.",
            "서버가 바쁩니다. 잠시 후 다시 시도해 주십시오({reason_ko})."
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut error = Self::new(status, "rate_limit_error", "rate_limit_exceeded", message);
        error.retry = Retry::After(retry_after);
        error
    }

    /// 431: more header lines or bytes than allowed.
    pub(super) fn headers_too_large(message: impl Into<Wording>) -> Self {
        Self::refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
    }

    /// 503: the server is ending.
    pub(super) fn shutting_down() -> Self {
        let message = said!("The server is shutting down.", "서버가 종료되는 중입니다.");
        let mut error =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "service_unavailable", message);
        error.retry = Retry::After(RETRY_AFTER);
        error
    }

    /// 503: as many connections are open as may be.
    pub(super) fn too_many_connections() -> Self {
        let mut error = Self::shutting_down();
        error.message = said!(
            "The server has as many open connections as it may.",
            "서버의 연결 수가 한도에 이르렀습니다."
        );
        error
    }

    /// 504: the answer was not complete in the time that a request has.
    pub(super) fn timed_out(limit: Duration) -> Self {
        let message = said!(
            "The answer was not complete within {seconds} s, the server's limit.",
            "서버의 제한 시간인 {seconds}초 안에 답변을 마치지 못했습니다.",
            seconds = limit.as_secs_f64()
        );
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "request_timeout", message);
        error.retry = Retry::Never;
        error
    }

    /// 500: a fault of ours; the details are for the log only.
    pub(super) fn internal() -> Self {
        let message = said!(
            "The server had an error while it worked on the request.",
            "요청을 처리하는 중에 서버 오류가 발생했습니다."
        );
        let mut error =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message);
        error.retry = Retry::Never;
        error
    }

    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for a person.
    pub(super) fn message(&self) -> &str {
        self.message.as_str()
    }

    /// The same as `reader` reads it.
    pub(super) fn told_to(mut self, reader: Reader) -> Self {
        self.message = self.message.told_to(reader);
        self
    }

    /// Whether it can be told to `reader` in their language.
    pub(super) fn is_for(&self, reader: Reader) -> bool {
        self.message.is_for(reader)
    }

    /// What is wrong, in OpenAI's words.
    pub(super) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// The same with the field at fault as another endpoint spells it.
    pub(super) fn respelled(mut self, spell: impl FnOnce(&str) -> String) -> Self {
        if let Some(param) = self.param.take() {
            let spelled = spell(&param);
            self.message = self.message.replace(&format!("'{param}'"), &format!("'{spelled}'"));
            self.param = Some(spelled);
        }
        self
    }

    /// The error as one line of JSON.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.envelope()).expect("strings serialise")
    }

    /// What an answer carries.
    pub(super) fn envelope(&self) -> Envelope<'_> {
        let Self { kind, code, param, .. } = self;
        Envelope { error: Body { message: self.message(), kind, param: param.as_deref(), code: *code } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.envelope())).into_response();
        // For those who tell it in another shape.
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        match self.retry {
            Retry::ByStatus => {}
            Retry::After(time) => {
                let time = time.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER);
                let milliseconds = u64::try_from(time.as_millis()).expect("two minutes at most");
                headers.insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
                headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(milliseconds));
            }
            Retry::Never => {
                headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
            }
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What is left of the body is not worth reading.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

impl ApiError {
    /// A prompt that stood in `field` of the request was not answered. The floor below knows `prompt` and `messages`.
    pub(super) fn of_prompt(error: GenerateError, field: &str) -> Self {
        match error {
            GenerateError::Invalid(mut fault) => {
                let rest = fault.param.strip_prefix("prompt");
                if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('[')) {
                    fault.param = format!("{field}{rest}");
                }
                GenerateError::Invalid(fault).into()
            }
            GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len } => {
                let message = said!(
                    "This model's context holds {max_model_len} tokens, and '{field}' takes {num_prompt_tokens} of \
                     them, which leaves no room for an answer. Shorten it.",
                    "이 모델의 컨텍스트는 최대 {max_model_len}토큰이지만 '{field}' 입력이 {num_prompt_tokens}토큰이어서 \
                     답변할 자리가 없습니다. 입력을 줄여 주십시오."
                );
                Self::bad_request("context_length_exceeded", message).about(field)
            }
            other => other.into(),
        }
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Invalid(fault) => {
                let reason = fault.reason.trim_end_matches('.');
                let reason_ko = korean(reason);
                let message = said!(
                    "'{param}': {reason}.",
                    "'{param}' 값을 사용할 수 없습니다(이유: {reason_ko}).",
                    param = fault.param
                );
                Self::invalid_value(&fault.param, message)
            }
            GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len } => {
                // Clients such as litellm know the error by how it begins.
                let message = said!(
                    "This model's maximum context length is {max_model_len} tokens. However, the messages \
                     take {num_prompt_tokens} tokens, which leaves no room for an answer. Shorten the messages.",
                    "이 모델의 최대 컨텍스트 길이는 {max_model_len}토큰이지만 메시지가 {num_prompt_tokens}토큰이어서 답변할 \
                     자리가 없습니다. 메시지를 줄여 주십시오."
                );
                Self::bad_request("context_length_exceeded", message).about("messages")
            }
            GenerateError::Overloaded { reason, retry_after_ms } => {
                Self::overloaded(&congestion(&reason), Duration::from_millis(retry_after_ms))
            }
            GenerateError::Sequence(error) => error.into(),
            GenerateError::ShuttingDown => Self::shutting_down(),
            GenerateError::Internal(reason) => {
                tracing::error!(%reason, "a request failed");
                Self::internal()
            }
        }
    }
}

impl From<SequenceError> for ApiError {
    fn from(error: SequenceError) -> Self {
        match error {
            SequenceError::EngineStopped => Self::shutting_down(),
            SequenceError::QueueTimeout { waited_ms, max_ms, retry_after_ms } => {
                let korean = format!("대기 시간: {waited_ms}ms, 한도: {max_ms}ms");
                let reason = Wording::new(error.to_string(), korean);
                Self::overloaded(&reason, Duration::from_millis(retry_after_ms))
            }
            SequenceError::SlowReader { .. } => {
                let message = said!(
                    "The answer was given up because it was read too slowly.",
                    "답변을 읽는 속도가 너무 느려 중단했습니다."
                );
                let mut error =
                    Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "slow_reader", message);
                error.retry = Retry::Never;
                error
            }
            other => {
                tracing::error!(error = %other, "a sequence failed");
                Self::internal()
            }
        }
    }
}

/// What there is too much of.
fn congestion(reason: &Congestion) -> Wording {
    let korean = match reason {
        Congestion::Preparation { waiting, max } => {
            format!("준비 중인 프롬프트: {waiting}개, 한도: {max}개")
        }
        Congestion::Queue(Overload::QueueFull { waiting, max }) => {
            format!("대기 중인 시퀀스: {waiting}개, 한도: {max}개")
        }
        Congestion::Queue(Overload::QueuedTokens { waiting, asked, max }) => {
            format!("대기 중인 토큰: {waiting}개, 이 요청의 토큰: {asked}개, 한도: {max}개")
        }
        Congestion::Queue(Overload::ExpectedWait { expected_ms, max_ms }) => {
            format!("예상 대기 시간: 약 {expected_ms}ms, 한도: {max_ms}ms")
        }
    };
    Wording::new(reason.to_string(), korean)
}

/// A client's own text for an error message: without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).map(clean).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// The JSON type of a value, with its article.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fractional number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers()[name].to_str().expect("a number")
    }

    #[test]
    fn every_kind_of_overload_is_a_429_with_its_numbers() {
        let refused = |reason: Congestion| GenerateError::Overloaded { reason, retry_after_ms: 2_001 }.into();
        let timeout =
            SequenceError::QueueTimeout { waited_ms: 60_123, max_ms: 60_000, retry_after_ms: 2_001 };
        let cases: [(ApiError, [&str; 2]); 5] = [
            (refused(Congestion::Preparation { waiting: 256, max: 257 }), ["256", "257"]),
            (refused(Overload::QueueFull { waiting: 1023, max: 1024 }.into()), ["1023", "1024"]),
            (refused(Overload::QueuedTokens { waiting: 7, asked: 5000, max: 9000 }.into()), ["5000", "9000"]),
            (
                refused(Overload::ExpectedWait { expected_ms: 70_500, max_ms: 60_000 }.into()),
                ["70500", "60000"],
            ),
            (timeout.into(), ["60123", "60000"]),
        ];
        for (error, numbers) in cases {
            assert_eq!((error.kind, error.code), ("rate_limit_error", Some("rate_limit_exceeded")));
            for reader in [Reader::English, Reader::Korean] {
                let told = error.clone().told_to(reader);
                let message = told.message();
                assert!(numbers.iter().all(|number| message.contains(number)), "{message}");
                assert_eq!(message.is_ascii(), reader == Reader::English, "{message}");
                assert!(!message.contains("limit") || reader == Reader::English, "{message}");
            }
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(header(&response, "retry-after"), "3", "rounded up");
            assert_eq!(header(&response, "retry-after-ms"), "2001");
        }
    }

    #[test]
    fn the_wait_that_a_client_is_told_is_one_that_the_sdks_honour() {
        let told = |retry_after_ms| {
            let reason = Overload::QueueFull { waiting: 1, max: 1 }.into();
            let error: ApiError = GenerateError::Overloaded { reason, retry_after_ms }.into();
            let response = error.into_response();
            [header(&response, "retry-after").to_owned(), header(&response, "retry-after-ms").to_owned()]
        };
        assert_eq!(told(0), ["1", "1"]);
        assert_eq!(told(1_000), ["1", "1000"]);
        assert_eq!(told(119_001), ["120", "119001"]);
        assert_eq!(told(120_001), ["120", "120000"]);
        assert_eq!(told(u64::MAX), ["120", "120000"]);
    }
}
