//! Values of `format` that are enforced more exactly than the compiler does.

/// A day that the calendar has, of four-digit years.
const DATE: &str = concat!(
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)",
);

/// A time of day with its offset. Leap seconds, of which there are 27 in all, are left out.
const TIME: &str = concat!(
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?",
    "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
);

/// The pattern that stands for a format or beside it, if it has one.
pub(super) fn pattern(format: &str) -> Option<String> {
    match format {
        "date" => Some(format!("^{DATE}$")),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{DATE}T{TIME}$")),
        // Beside what the compiler enforces: the lengths of parts.
        "email" => Some("^[^@]{1,64}@[^@.]{1,63}(?:\\.[^@.]{1,63}){0,2}$".to_owned()),
        "hostname" => Some("^.{1,253}$".to_owned()),
        _ => None,
    }
}
