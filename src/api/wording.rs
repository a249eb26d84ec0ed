//! Errors in the reader's language: English, or Korean where `Accept-Language` prefers it.
//!
//! A text is written in both languages where it is made, with [`said!`]; a text that has only English is told in English
//! to all. The reader's language travels with the request, in [`Reader`], and is applied when an answer is written.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// The language in which somebody reads errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reader {
    /// Who does not say.
    #[default]
    English,
    /// Who prefers Korean.
    Korean,
}

impl Reader {
    /// Who sent these headers: whichever of `ko` and `en` has more weight, the first one of equals.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|list| list.to_str().ok());
        let mut best = (0.0, Self::English);
        for range in lists.flat_map(|list| list.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let language = match tag.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "ko" => Self::Korean,
                "en" | "*" => Self::English,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight: f64 = weight.map_or(Some(1.0), |text| text.trim().parse().ok()).unwrap_or(0.0);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// A text for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wording {
    // Boxed, since every fallible function of the floor returns one.
    text: Box<str>,
    /// The same in Korean, where there is such a text.
    korean: Option<Box<str>>,
}

impl Wording {
    /// A text in both languages.
    pub(super) fn new(text: String, korean: String) -> Self {
        Self { text: text.into(), korean: Some(korean.into()) }
    }

    /// The text: in English, unless it was told to a reader of Korean.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The text in Korean; in English where there is no such text.
    pub(super) fn korean(&self) -> &str {
        self.korean.as_deref().unwrap_or(&self.text)
    }

    /// The text as `reader` reads it.
    pub(super) fn told_to(self, reader: Reader) -> Self {
        match (reader, self.korean) {
            (Reader::Korean, Some(korean)) => Self { text: korean, korean: None },
            (_, korean) => Self { text: self.text, korean },
        }
    }

    /// Whether there is such a text for this reader.
    pub(super) fn is_for(&self, reader: Reader) -> bool {
        reader == Reader::English || self.korean.is_some()
    }

    /// The text with other words in place of these, in both languages.
    pub(super) fn replace(&self, from: &str, to: &str) -> Self {
        let korean = self.korean.as_ref().map(|korean| korean.replace(from, to).into());
        Self { text: self.text.replace(from, to).into(), korean }
    }
}

impl From<Wording> for String {
    fn from(wording: Wording) -> Self {
        wording.text.into()
    }
}

/// A fixed text for a person: why something is as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reason {
    english: &'static str,
    korean: &'static str,
}

impl Reason {
    /// The text in English.
    pub(super) fn english(self) -> &'static str {
        self.english
    }
}

/// A [`Reason`] in both languages.
pub(super) const fn because(english: &'static str, korean: &'static str) -> Reason {
    Reason { english, korean }
}

impl From<Reason> for Wording {
    fn from(reason: Reason) -> Self {
        Self::new(reason.english.to_owned(), reason.korean.to_owned())
    }
}

impl From<String> for Wording {
    fn from(text: String) -> Self {
        Self { text: text.into(), korean: None }
    }
}

impl From<&str> for Wording {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A [`Wording`] from a format string in English and the same in Korean, with the same arguments
/// for both.
macro_rules! said {
    ($english:literal, $korean:literal $(, $($arguments:tt)*)?) => {
        $crate::api::wording::Wording::new(
            format!($english $(, $($arguments)*)?),
            format!($korean $(, $($arguments)*)?),
        )
    };
}
pub(super) use said;

/// Tells an error to the reader that the request names.
pub(super) async fn tell_reader(request: Request, next: Next) -> Response {
    let reader = Reader::of(request.headers());
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    // A cache must not give one reader's error to another.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-language"));
    let language = if reader == Reader::Korean && error.is_for(reader) { "ko" } else { "en" };
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language));
    let error = error.told_to(reader);
    let (mut parts, _) = response.into_parts();
    parts.extensions.insert(error.clone());
    let (told, body) = Json(error.envelope()).into_response().into_parts();
    parts.headers.extend(told.headers);
    Response::from_parts(parts, body)
}

/// Phrases that stand inside errors: kinds of values, and what the floor below finds at fault.
const PHRASES: &[(&str, &str)] = &[
    ("null", "null"),
    ("a boolean", "불리언"),
    ("a fractional number", "소수"),
    ("an integer", "정수"),
    ("a number", "숫자"),
    ("a string", "문자열"),
    ("a list", "목록"),
    ("an object", "객체"),
    ("a token id", "토큰 ID"),
    ("a string of JSON", "JSON 문자열"),
    ("a string or an object", "문자열 또는 객체"),
    ("a string or a list of strings", "문자열 또는 문자열 목록"),
    ("a string or a list of parts", "문자열 또는 파트 목록"),
    ("a string or a list of blocks", "문자열 또는 블록 목록"),
    ("a string or a list of items", "문자열 또는 항목 목록"),
    ("a string or a list of token ids", "문자열 또는 토큰 ID 목록"),
    ("an object or a string of JSON", "객체 또는 JSON 문자열"),
    ("bytes", "바이트"),
    ("characters", "자"),
    ("it is empty", "비어 있습니다"),
    ("it must be an object", "객체여야 합니다"),
    ("gives an empty prompt", "프롬프트가 비어 있습니다"),
    ("holds no token", "토큰이 없습니다"),
];

/// A phrase in Korean; one that is not known stays as it is.
pub(super) fn korean(phrase: &str) -> &str {
    PHRASES.iter().find(|(english, _)| *english == phrase).map_or(phrase, |(_, korean)| korean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(list: &str) -> Reader {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, list.parse().expect("a value"));
        Reader::of(&headers)
    }

    #[test]
    fn the_language_of_more_weight_is_taken_and_the_first_of_equals() {
        for list in
            ["ko", "ko-KR", "KO-kr,ko;q=0.9,en-US;q=0.8,en;q=0.7", "en;q=0.5, ko;q=0.6", "fr, ko;q=0.1"]
        {
            assert_eq!(reader(list), Reader::Korean, "{list}");
        }
        for list in
            ["", "en", "fr", "en,ko", "ko;q=0", "ko;q=0.5,en;q=0.9", "ko;q=nonsense", "kok", "*, ko;q=0.9"]
        {
            assert_eq!(reader(list), Reader::English, "{list}");
        }
        assert_eq!(Reader::of(&HeaderMap::new()), Reader::English);
    }

    #[test]
    fn a_text_without_korean_is_told_in_english() {
        let plain = Wording::from("only English");
        assert!(!plain.is_for(Reader::Korean));
        assert_eq!(plain.told_to(Reader::Korean).as_str(), "only English");
        let both = said!("{what} is", "{what} 있음", what = 7);
        assert_eq!(both.clone().told_to(Reader::Korean).as_str(), "7 있음");
        assert_eq!(both.told_to(Reader::English).as_str(), "7 is");
    }
}
