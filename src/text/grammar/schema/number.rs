//! Numbers in a schema that the compiler, which reads them as `f64`, holds exactly.

use serde_json::{Map, Number, Value};

/// The greatest whole number up to which `f64` has them all.
const MAX_EXACT: u64 = 1 << 53;

/// Bounds an integer that the schema leaves unbounded to what every reader of JSON holds exactly: a model that has begun
/// to write digits may else never stop. Constants and bounds beyond are refused elsewhere, so something is always left.
pub(super) fn bound_digits(schema: &mut Map<String, Value>) {
    let names_values = ["enum", "const"].iter().any(|keyword| schema.contains_key(*keyword));
    if schema.get("type").and_then(Value::as_str) != Some("integer") || names_values {
        return;
    }
    let max = i64::try_from(MAX_EXACT).expect("2^53 is an i64");
    for (keyword, exclusive, bound) in
        [("minimum", "exclusiveMinimum", -max), ("maximum", "exclusiveMaximum", max)]
    {
        if !schema.contains_key(keyword) && !schema.contains_key(exclusive) {
            schema.insert(keyword.to_owned(), bound.into());
        }
    }
}

/// Whether reading the number as `f64` loses nothing.
pub(super) fn is_exact(number: &Number) -> bool {
    match (number.as_u64(), number.as_i64()) {
        (Some(value), _) => value <= MAX_EXACT,
        (_, Some(value)) => value.unsigned_abs() <= MAX_EXACT,
        // Written with a fraction or an exponent: it is read as a decimal, which has 15 digits for certain.
        _ => number.as_f64().is_some_and(|value| value == 0.0 || (1e-9..1e15).contains(&value.abs())),
    }
}

/// Whether multiples of the number can be told from other numbers: that takes a state for each remainder.
pub(super) fn is_divisor(number: &Number) -> bool {
    let text = number.to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    number.as_f64().is_some_and(|value| value > 0.0) && digits <= 4 && !text.contains(['e', 'E'])
}

/// Why no number satisfies the bounds of a schema of numbers, if that is so.
pub(super) fn check_bounds(map: &Map<String, Value>) -> Result<(), String> {
    let is_number = |name: &Value| matches!(name.as_str(), Some("number" | "integer"));
    let Some(kind) = map.get("type").filter(|kind| is_number(kind)) else { return Ok(()) };
    let bound = |keyword: &str| map.get(keyword).and_then(Value::as_f64);
    let low = bound("minimum").into_iter().chain(bound("exclusiveMinimum")).reduce(f64::max);
    let high = bound("maximum").into_iter().chain(bound("exclusiveMaximum")).reduce(f64::min);
    let (Some(low), Some(high)) = (low, high) else { return Ok(()) };
    let excludes =
        |keyword: &str, end: f64| bound(keyword) == Some(end) || map.get(keyword) == Some(&Value::Bool(true));
    let (open_low, open_high) = (excludes("exclusiveMinimum", low), excludes("exclusiveMaximum", high));
    if low > high || (low == high && (open_low || open_high)) {
        return Err("its bounds leave no number".to_owned());
    }
    let step = match (bound("multipleOf"), kind == "integer") {
        (Some(step), false) => step,
        (Some(step), true) if step.fract() == 0.0 => step,
        (None, true) => 1.0,
        _ => return Ok(()),
    };
    let mut first = (low / step).ceil() * step;
    if open_low && first == low {
        first += step;
    }
    let slack = step * 1e-9;
    if first > high + slack || (open_high && first >= high - slack) {
        return Err(format!("no multiple of {step} lies within its bounds"));
    }
    Ok(())
}
