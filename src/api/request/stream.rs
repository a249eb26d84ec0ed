//! Whether and how an answer is streamed.

use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::params::{self, Judge};
use crate::api::wording::said;

/// Whether and how an answer is streamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::api) struct StreamOptions {
    /// Whether it is.
    pub(in crate::api) stream: bool,
    /// Whether it ends with a usage chunk.
    pub(in crate::api) include_usage: bool,
    /// Whether each chunk says what was used so far.
    pub(in crate::api) continuous_usage: bool,
}

impl StreamOptions {
    /// Takes `stream` and `stream_options`.
    ///
    /// # Errors
    /// A value of the wrong type, options without a stream, and what the judge does not let pass.
    pub(in crate::api) fn take(fields: &mut Fields, judge: &mut Judge) -> Result<Self, ApiError> {
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let Some(mut options) = fields.object("stream_options")? else {
            return Ok(Self { stream, ..Self::default() });
        };
        let include_usage = options.boolean("include_usage")?.unwrap_or(false);
        let continuous_usage = options.boolean("continuous_usage_stats")?.unwrap_or(false);
        if !stream {
            let message = said!(
                "'stream_options' may only be set when 'stream' is true.",
                "'stream_options'는 'stream'이 true일 때만 지정할 수 있습니다."
            );
            return Err(ApiError::invalid_value("stream_options", message));
        }
        judge.judge(params::STREAM_OPTIONS, options.rest())?;
        // As in vLLM, the second asks for nothing without the first.
        Ok(Self { stream, include_usage, continuous_usage: include_usage && continuous_usage })
    }
}
