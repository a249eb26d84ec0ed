//! What the model is told about reasoning, and what becomes of it.

use serde_json::{Map, Value, json};

use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::Judge;
use crate::api::wording::{Reason, because, said};
use crate::serving::ReasoningOptions;

const EFFORT: &str = "reasoning_effort";
const KWARGS: &str = "chat_template_kwargs";
const NO_REASONING: Reason = because("the model does not reason", "모델에 추론 기능이 없습니다");

/// Efforts with the most tokens that the reasoning may take; none for as many as it likes.
const EFFORTS: [(&str, Option<u32>); 7] = [
    ("none", Some(0)),
    ("minimal", Some(512)),
    ("low", Some(2048)),
    ("medium", Some(8192)),
    ("high", None),
    ("xhigh", None),
    ("max", None),
];

/// What a request says about reasoning and to the chat template.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct ReasoningRequest {
    /// What becomes of the reasoning.
    pub(in crate::api) options: ReasoningOptions,
    /// Whether the answer shows it.
    pub(in crate::api) include: bool,
    /// Variables for the chat template.
    pub(in crate::api) template_kwargs: Map<String, Value>,
}

impl Default for ReasoningRequest {
    fn default() -> Self {
        Self { options: ReasoningOptions::default(), include: true, template_kwargs: Map::new() }
    }
}

/// What the model and the server allow.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct ReasoningFacts<'a> {
    /// Whether the model reasons.
    pub(in crate::api) model_reasons: bool,
    /// Template variables that requests may set.
    pub(in crate::api) allowed_kwargs: &'a [String],
}

impl ReasoningRequest {
    /// Takes `reasoning_effort`, `enable_thinking`, `thinking_token_budget`, `include_reasoning`, `separate_reasoning`
    /// and `chat_template_kwargs`. What is said closer to the template wins.
    ///
    /// # Errors
    /// A value of the wrong type or out of its bounds, a template variable that may not be set, and what the judge does
    /// not let pass.
    pub(in crate::api) fn take(
        fields: &mut Fields,
        judge: &mut Judge,
        facts: ReasoningFacts<'_>,
    ) -> Result<Self, ApiError> {
        let mut request = Self::default();
        if let Some(value) = fields.take(EFFORT) {
            let effort = value.as_str().ok_or_else(|| ApiError::invalid_type(EFFORT, "a string", &value))?;
            request.set_effort(EFFORT, effort, facts, judge)?;
        }
        if let Some(enabled) = fields.boolean("enable_thinking")? {
            request.set_thinking("enable_thinking", enabled, facts, judge)?;
        }
        request.include = fields.boolean("include_reasoning")?.unwrap_or(true);
        request.options.parse = fields.boolean("separate_reasoning")?.unwrap_or(true);
        for (name, value) in fields.members(KWARGS)?.unwrap_or_default() {
            request.set_variable(name, value, facts)?;
        }
        if let Some(budget) = fields.integer(&limits::THINKING_TOKEN_BUDGET)? {
            let budget = u32::try_from(budget).expect("the limit is below 2^31");
            request.set_budget("thinking_token_budget", budget, facts, judge)?;
        }
        Ok(request)
    }

    /// Reasons as hard as `effort` says.
    ///
    /// # Errors
    /// An effort that there is not, and what the judge does not let pass.
    pub(in crate::api) fn set_effort(
        &mut self,
        at: &str,
        effort: &str,
        facts: ReasoningFacts<'_>,
        judge: &mut Judge,
    ) -> Result<(), ApiError> {
        let Some(&(_, max_tokens)) = EFFORTS.iter().find(|(name, _)| *name == effort) else {
            let names = EFFORTS.map(|(name, _)| name).join(", ");
            let message = said!(
                "'{at}' must be one of {names}, but it is '{}'.",
                "'{at}'에 쓸 수 있는 값은 {names}이지만, 받은 값은 '{}'입니다.",
                shown(effort)
            );
            return Err(ApiError::invalid_value(at, message));
        };
        let thinks = effort != "none";
        if !facts.model_reasons {
            return if thinks { judge.ignore(at, NO_REASONING) } else { Ok(()) };
        }
        self.template_kwargs.insert("enable_thinking".to_owned(), thinks.into());
        if thinks {
            self.template_kwargs.insert(EFFORT.to_owned(), effort.into());
        }
        // A template without a switch begins the reasoning all the same: then it is closed at once.
        self.options.max_tokens = max_tokens;
        Ok(())
    }

    /// Reasons, or does not.
    ///
    /// # Errors
    /// What the judge does not let pass.
    pub(in crate::api) fn set_thinking(
        &mut self,
        at: &str,
        enabled: bool,
        facts: ReasoningFacts<'_>,
        judge: &mut Judge,
    ) -> Result<(), ApiError> {
        if !facts.model_reasons {
            return if enabled { judge.ignore(at, NO_REASONING) } else { Ok(()) };
        }
        self.template_kwargs.insert("enable_thinking".to_owned(), enabled.into());
        self.switch(enabled);
        Ok(())
    }

    /// Reasons at all, or not.
    fn switch(&mut self, enabled: bool) {
        let max_tokens = self.options.max_tokens.filter(|&max| max > 0);
        self.options.max_tokens = if enabled { max_tokens } else { Some(0) };
    }

    /// Reasons for `budget` tokens at most.
    ///
    /// # Errors
    /// What the judge does not let pass.
    pub(in crate::api) fn set_budget(
        &mut self,
        at: &str,
        budget: u32,
        facts: ReasoningFacts<'_>,
        judge: &mut Judge,
    ) -> Result<(), ApiError> {
        if !facts.model_reasons {
            return judge.ignore(at, NO_REASONING);
        }
        self.options.max_tokens = Some(budget);
        Ok(())
    }

    /// This, with `base` where this says nothing.
    pub(in crate::api) fn over(mut self, base: Self) -> Self {
        for (name, value) in base.template_kwargs {
            self.template_kwargs.entry(name).or_insert(value);
        }
        self.options.max_tokens = self.options.max_tokens.or(base.options.max_tokens);
        self
    }

    fn set_variable(
        &mut self,
        name: String,
        value: Value,
        facts: ReasoningFacts<'_>,
    ) -> Result<(), ApiError> {
        let at = format!("{KWARGS}.{}", shown(&name));
        if !facts.allowed_kwargs.contains(&name) {
            let names = json!(facts.allowed_kwargs);
            let reason = said!("the variables that may be set are {names}", "설정할 수 있는 변수: {names}");
            return Err(ApiError::unsupported_parameter(&at, reason));
        }
        match &value {
            Value::Null => return Ok(()),
            Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => drop(limits::TEMPLATE_KWARG.check_text(&at, text.clone())?),
            other => return Err(ApiError::invalid_type(&at, "a boolean, a number or a string", other)),
        }
        if let ("enable_thinking", Value::Bool(enabled)) = (name.as_str(), &value) {
            self.switch(*enabled);
        }
        self.template_kwargs.insert(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::openapi::groups;
    use crate::api::wording::Reader;

    /// The budget and the template's switch that a request leads to.
    fn taken(body: Value) -> (Option<u32>, Option<Value>) {
        let Value::Object(members) = body else { panic!("an object") };
        let allowed_kwargs = ["enable_thinking".to_owned()];
        let facts = ReasoningFacts { model_reasons: true, allowed_kwargs: &allowed_kwargs };
        let request = ReasoningRequest::take(
            &mut Fields::of_request(members, groups::CHAT_COMPLETIONS),
            &mut Judge::new(true, Reader::default()),
            facts,
        );
        let request = request.expect("nothing is ignored");
        (request.options.max_tokens, request.template_kwargs.get("enable_thinking").cloned())
    }

    #[test]
    fn who_wants_no_reasoning_gets_none_even_of_a_template_without_a_switch() {
        let none = [
            json!({"reasoning_effort": "none"}),
            json!({"enable_thinking": false}),
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
            json!({"reasoning_effort": "high", "enable_thinking": false}),
        ];
        for body in none {
            assert_eq!(taken(body.clone()), (Some(0), Some(false.into())), "{body}");
        }
    }

    #[test]
    fn a_budget_wins_over_an_effort_and_a_switch_over_no_effort() {
        let cases = [
            (json!({}), (None, None)),
            (json!({"reasoning_effort": "low"}), (Some(2048), Some(true.into()))),
            (json!({"reasoning_effort": "low", "thinking_token_budget": 7}), (Some(7), Some(true.into()))),
            (json!({"thinking_token_budget": 0, "enable_thinking": true}), (Some(0), Some(true.into()))),
            (json!({"reasoning_effort": "none", "enable_thinking": true}), (None, Some(true.into()))),
            (
                json!({"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": true}}),
                (Some(2048), Some(true.into())),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(taken(body.clone()), expected, "{body}");
        }
    }
}
