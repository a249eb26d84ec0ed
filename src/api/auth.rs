//! API keys: whoever asks for a route that is not public needs one, where keys are set.
//!
//! The decision is made on the route that the router matched, never on the path's text, so that no spelling of a path
//! reaches a handler unseen. Keys are held as SHA-256 digests and compared in constant time. Inside, a client is known by
//! the number of its key, never by the key or its digest.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::config::{Secret, ServerConfig};
use super::error::ApiError;
use super::state::AppState;
use super::wording::{Reader, Wording, said};
use crate::serving::TenantId;

/// Routes for probes and for people who look whether the server is there.
const PUBLIC_ROUTES: &[&str] = &["/live", "/ready", "/health", "/version", "/openapi.json", "/docs"];
/// Public too, unless `server.protect_metrics` is set.
const METRICS_ROUTE: &str = "/metrics";
/// The header in which Anthropic's clients send their key.
const X_API_KEY: &str = "x-api-key";
/// Longest key in bytes.
const MAX_KEY_BYTES: usize = 512;

/// Keys that open the server, as digests.
#[derive(Clone, Default)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
}

/// Who sent a request; the middleware puts it on every request that it lets through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// The number of its key, or the default where no key was asked for.
    pub(super) tenant: TenantId,
    /// The language in which it reads errors.
    pub(super) reader: Reader,
}

impl Caller {
    /// Who shares no cached prefixes with others: nobody in particular if `server.share_prefix_cache` is set.
    pub(super) fn divides_the_cache(self, config: &ServerConfig) -> Option<TenantId> {
        (!config.share_prefix_cache).then_some(self.tenant)
    }
}

/// The API keys of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The key file cannot be read.
    #[error("cannot read the API key file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key file holds no key: starting would leave the server open.
    #[error("the API key file {path} holds no key")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line of the key file is not a key.
    #[error("the API key file {path}, line {line}: the key {reason}")]
    InvalidLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A key of the configuration is not a key.
    #[error("server.api_keys: a key {reason}")]
    InvalidKey {
        /// What is wrong.
        reason: &'static str,
    },
}

impl ApiKeys {
    /// The keys of a configuration, its file's included.
    ///
    /// # Errors
    /// [`ApiKeyError`] if the file cannot be read or a key is malformed.
    pub fn load(config: &ServerConfig) -> Result<Self, ApiKeyError> {
        let mut keys = Self::default();
        for key in config.api_keys.iter().map(Secret::expose) {
            check_key(key).map_err(|reason| ApiKeyError::InvalidKey { reason })?;
            keys.add(key);
        }
        if let Some(path) = &config.api_key_file {
            keys.add_file(path)?;
        }
        Ok(keys)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ApiKeyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ApiKeyError::Unreadable { path: path.to_owned(), source })?;
        let before = self.digests.len();
        for (number, line) in text.lines().enumerate() {
            let key = line.trim();
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            let line = number + 1;
            check_key(key).map_err(|reason| ApiKeyError::InvalidLine {
                path: path.to_owned(),
                line,
                reason,
            })?;
            self.add(key);
        }
        if self.digests.len() == before {
            return Err(ApiKeyError::Empty { path: path.to_owned() });
        }
        Ok(())
    }

    fn add(&mut self, key: &str) {
        self.digests.push(Sha256::digest(key).into());
    }

    /// Number of keys; with none the server is open.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is no key, which leaves the server open.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whose key this is, if it is one of them: its number, from 1. The time taken does not depend on the keys'
    /// contents.
    fn owner(&self, key: &[u8]) -> Option<TenantId> {
        const NOBODY: u64 = 0;
        let digest: [u8; 32] = Sha256::digest(key).into();
        let owner = self.digests.iter().zip(1_u64..).fold(NOBODY, |owner, (known, number)| {
            u64::conditional_select(&owner, &number, known.as_slice().ct_eq(digest.as_slice()))
        });
        (owner != NOBODY).then_some(TenantId(owner))
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} keys)", self.digests.len())
    }
}

/// Whether a text can be a key: what a header can carry, without spaces.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        Err("is empty")
    } else if key.len() > MAX_KEY_BYTES {
        Err("is longer than 512 bytes")
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("has characters other than visible ASCII without spaces")
    } else {
        Ok(())
    }
}

/// Lets a request through if its route is public or it bears a key, and says with [`Caller`] whose it is.
pub(super) async fn require_key(
    State(state): State<Arc<AppState>>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match caller(&state, route.as_ref(), request.headers()) {
        Ok(caller) => caller,
        Err(message) => return ApiError::unauthorized(message).into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who asks, or why there is no answer.
fn caller(state: &AppState, route: Option<&MatchedPath>, headers: &HeaderMap) -> Result<Caller, Wording> {
    let reader = Reader::of(headers);
    if state.keys.is_empty() || is_public(route, &state.config) {
        return Ok(Caller { reader, ..Caller::default() });
    }
    let tenant = state
        .keys
        .owner(key(headers)?)
        .ok_or_else(|| said!("Incorrect API key provided.", "API 키가 올바르지 않습니다."))?;
    Ok(Caller { tenant, reader })
}

fn is_public(route: Option<&MatchedPath>, config: &ServerConfig) -> bool {
    route.is_some_and(|route| {
        let route = route.as_str();
        PUBLIC_ROUTES.contains(&route) || (route == METRICS_ROUTE && !config.protect_metrics)
    })
}

/// The key of the one `Authorization: Bearer ...` header or, where there is none, of the one `x-api-key` header.
fn key(headers: &HeaderMap) -> Result<&[u8], Wording> {
    let absent = || {
        said!(
            "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.",
            "API 키가 없습니다. 'Authorization: Bearer YOUR_KEY' 헤더로 보내 주십시오."
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let mut values = headers.get_all(X_API_KEY).iter();
        let value = values.next().ok_or_else(absent)?;
        if values.next().is_some() {
            return Err(said!(
                "The request has more than one 'x-api-key' header.",
                "요청에 'x-api-key' 헤더가 둘 이상 있습니다."
            ));
        }
        return Ok(value.as_bytes().trim_ascii());
    };
    let value = value.as_bytes();
    if values.next().is_some() {
        return Err(said!(
            "The request has more than one 'Authorization' header.",
            "요청에 'Authorization' 헤더가 둘 이상 있습니다."
        ));
    }
    let space = value.iter().position(|&byte| byte == b' ').ok_or_else(absent)?;
    let (scheme, key) = value.split_at(space);
    if scheme.eq_ignore_ascii_case(b"bearer") { Ok(key.trim_ascii()) } else { Err(absent()) }
}
