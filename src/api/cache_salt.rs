//! Who shares cached prefixes with whom: OpenAI's `prompt_cache_key`, vLLM's `cache_salt`, and the API key.
//!
//! How fast a prompt is read tells whether its beginning was cached, and so what others have asked (CVE-2025-46570).
//! So requests share prefixes only if they bear the same API key, unless the operator sets
//! `server.share_prefix_cache`, and name the same `cache_salt` and `prompt_cache_key`.

use std::sync::Arc;

use super::error::ApiError;
use super::fields::Fields;
use super::limits;
use crate::serving::TenantId;

/// Takes `cache_salt` and `prompt_cache_key` and makes the engine's salt of them and of who asks, if that divides.
///
/// # Errors
/// A value of the wrong type or length.
pub(super) fn take(fields: &mut Fields, owner: Option<TenantId>) -> Result<Arc<[u8]>, ApiError> {
    let salt = fields.string("cache_salt", &limits::CACHE_SALT)?.unwrap_or_default();
    let key = fields.string("prompt_cache_key", &limits::PROMPT_CACHE_KEY)?.unwrap_or_default();
    Ok(encode(owner, &salt, &key))
}

/// Owner, salt and key so that no two different triples give the same bytes: each with its length in front. An absent
/// text is the same as an empty one.
fn encode(owner: Option<TenantId>, salt: &str, key: &str) -> Arc<[u8]> {
    let owner = owner.map(|TenantId(number)| number.to_le_bytes());
    let mut bytes = Vec::new();
    for part in [owner.as_ref().map_or(&[][..], |owner| owner), salt.as_bytes(), key.as_bytes()] {
        let length = u32::try_from(part.len()).expect("the limits are far below 4 GiB");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_triples_have_different_bytes() {
        let owners = [None, Some(TenantId(0)), Some(TenantId(1)), Some(TenantId(1 << 32))];
        // A text that looks like an encoded one, and every way to cut the same letters in two.
        let forged = String::from_utf8(encode(None, "", "a").to_vec()).expect("small lengths are ASCII");
        let texts = ["", "a", "b", "ab", "aa", "ba", "aba", "\0", "\0\0\0\0", forged.as_str(), "가"];
        let mut seen = HashSet::new();
        for owner in owners {
            for salt in texts {
                for key in texts {
                    assert!(seen.insert(encode(owner, salt, key)), "{owner:?} {salt:?} {key:?}");
                }
            }
        }
        assert_eq!(seen.len(), owners.len() * texts.len() * texts.len());
    }
}
