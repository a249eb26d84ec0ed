//! The effective configuration in the form of a configuration file, with where each value comes from.

use std::io::Write;

use crate::config::{Config, Setting, entries};

/// Writes `config`; `settings` are what was laid over the defaults, lowest first.
pub(super) fn write(config: &Config, settings: &[Setting], output: &mut impl Write) -> std::io::Result<()> {
    let mut section = String::new();
    for (key, value) in entries(config) {
        let (table, name) = key.rsplit_once('.').expect("every key lies in a section");
        if table != section {
            writeln!(output, "{}[{table}]", if section.is_empty() { "" } else { "\n" })?;
            section = table.to_owned();
        }
        let origin = settings.iter().rev().find(|setting| setting.covers(&key));
        let origin = origin.map_or_else(String::new, |setting| format!("  # {}", setting.origin));
        // Numbers, booleans, text and lists of them look the same in JSON and TOML; null is the absence of a key.
        if value.is_null() {
            writeln!(output, "# {name} is not set")?;
        } else {
            writeln!(output, "{name} = {value}{origin}")?;
        }
    }
    Ok(())
}

/// What differs from the defaults, in one line for the log. Secrets are hidden by their own type.
pub(super) fn differences(config: &Config) -> String {
    let defaults = entries(&Config::default());
    let changed = entries(config).into_iter().zip(defaults).filter(|(now, before)| now != before);
    let shown: Vec<_> = changed.map(|((key, value), _)| format!("{key}={value}")).collect();
    if shown.is_empty() { "defaults".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Origin, Sources, resolve};

    fn sources() -> Sources {
        Sources {
            environment: Environment::of([("MARU_API_KEY", "sk-very-secret")]),
            flags: vec![Setting::typed("server.port", 9000_u16, Origin::Flag("--port".to_owned()))],
            ..Sources::default()
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back_and_hides_secrets() {
        let config = sources().load().expect("valid");
        let mut text = Vec::new();
        write(&config, &sources().settings().expect("valid"), &mut text).expect("memory");
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(text.contains("port = 9000  # --port"), "{text}");
        assert!(!text.contains("sk-very-secret"), "{text}");
        let settings = Setting::all_in_toml(&text, std::path::Path::new("shown.toml")).expect("TOML");
        let again: Config = resolve(&settings).expect("what is shown is valid");
        assert_eq!(again.server.port, 9000);
    }

    #[test]
    fn the_log_line_names_only_what_differs() {
        assert_eq!(differences(&Config::default()), "defaults");
        let line = differences(&sources().load().expect("valid"));
        assert_eq!(line, "server.port=9000 server.api_keys=[\"(hidden)\"]");
    }
}
