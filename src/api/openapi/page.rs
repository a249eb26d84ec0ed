//! The document as a page for people: one file without scripts, light or dark as the reader likes it.

use std::fmt::Write;

use serde_json::{Map, Value};

const STYLE: &str = include_str!("page.css");

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let info = &document["info"];
    let title = format!("{} {}", text(&info["title"]), text(&info["version"]));
    let (mut contents, mut body) = (String::new(), String::new());
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let call = format!("{} {path}", method.to_uppercase());
            let anchor = text(&operation["operationId"]);
            let summary = code_spans(text(&operation["summary"]));
            let call_shown = escaped(&call);
            push(
                &mut contents,
                &format!(
                    "<li><a href=\"#{anchor}\"><code>{call_shown}</code></a> <span>{summary}</span></li>\n"
                ),
            );
            push(&mut body, &operation_section(document, path, method, operation, &call_shown, &summary));
        }
    }
    let about = code_spans(text(&info["description"]));
    let summary = escaped(text(&info["summary"]));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<h1>{title}</h1>\n<p class=\"lead\">{summary}</p>\n<p>{about}</p>\n\
         <p>For programs: <a href=\"openapi.json\"><code>openapi.json</code></a></p>\n\
         <nav><ul>\n{contents}</ul></nav>\n{body}</main>\n</body>\n</html>\n",
        title = escaped(&title),
    )
}

fn push(page: &mut String, piece: &str) {
    page.push_str(piece);
}

fn operation_section(
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
    call: &str,
    summary: &str,
) -> String {
    let anchor = text(&operation["operationId"]);
    let mut section =
        format!("<section id=\"{anchor}\">\n<h2><code>{call}</code></h2>\n<p class=\"lead\">{summary}</p>\n");
    let media = &operation["requestBody"]["content"]["application/json"];
    let in_address = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = in_address.iter().map(|parameter| {
        let place = format!("in the {}", text(&parameter["in"]));
        row(text(&parameter["name"]), &place, &parameter["schema"], text(&parameter["description"]))
    });
    section += &table(&["Parameter", "", "Value", "What it does"], rows.collect());
    let schema = resolved(document, &media["schema"]);
    let properties = members(&schema["properties"]);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    let honoured = properties.clone().filter(|(_, schema)| schema.get("x-maru-policy").is_none());
    let rows = honoured.map(|(name, schema)| {
        let must = if required.contains(&name.as_str()) { "required" } else { "" };
        row(name, must, schema, text(&schema["description"]))
    });
    section += &table(&["Field", "", "Value", "What it does"], rows.collect());
    let others = properties.filter(|(_, schema)| schema.get("x-maru-policy").is_some());
    let rows = others.map(|(name, schema)| {
        let (what, why) = (text(&schema["x-maru-policy"]), code_spans(text(&schema["description"])));
        format!("<tr><td><code>{}</code></td><td>{}</td><td>{why}</td></tr>\n", escaped(name), escaped(what))
    });
    section += &table(&["Not honoured", "", "Why"], rows.collect());
    section += &curl(path, method, &media["example"]);
    let rows = members(&operation["responses"]).map(|(status, response)| {
        let kinds: Vec<&String> = members(&response["content"]).map(|(kind, _)| kind).collect();
        let kinds = kinds.iter().map(|kind| format!("<code>{}</code>", escaped(kind)));
        let (kinds, meaning) =
            (kinds.collect::<Vec<_>>().join(", "), code_spans(text(&response["description"])));
        format!("<tr><td>{}</td><td>{kinds}</td><td>{meaning}</td></tr>\n", escaped(status))
    });
    let answers = table(&["Status", "Content", "Meaning"], rows.collect());
    let _ = writeln!(section, "<details><summary>Answers</summary>\n{answers}</details>\n</section>");
    section
}

fn row(name: &str, must: &str, schema: &Value, about: &str) -> String {
    format!(
        "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        escaped(name),
        escaped(must),
        escaped(&shape(schema)),
        code_spans(about)
    )
}

/// A table, unless it has no rows.
fn table(head: &[&str], rows: Vec<String>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head.iter().map(|title| format!("<th scope=\"col\">{title}</th>")).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
        rows.concat()
    )
}

/// A call with curl.
fn curl(path: &str, method: &str, example: &Value) -> String {
    let mut command = String::from("curl ");
    if method == "delete" {
        command += "-X DELETE ";
    }
    let _ = write!(command, "http://localhost:8000{path}");
    if !example.is_null() {
        let body = serde_json::to_string_pretty(example).expect("JSON serialises");
        let _ = write!(command, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
    }
    format!("<pre><code>{}</code></pre>\n", escaped(&command))
}

/// What a value may be, in short.
fn shape(schema: &Value) -> String {
    if let Some(shapes) = schema["anyOf"].as_array() {
        let shapes = shapes.iter().filter(|one| one["type"] != "null").map(shape);
        return shapes.collect::<Vec<_>>().join(", or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("\"{word}\""));
        return words.collect::<Vec<_>>().join(" | ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("any"),
        kind => kind.as_str().unwrap_or("any"),
    };
    let bounds = |least: &str, most: &str, unit: &str| match (&schema[least], &schema[most]) {
        (Value::Null, Value::Null) => String::new(),
        (min, Value::Null) => format!(", at least {min}{unit}"),
        (Value::Null, max) => format!(", at most {max}{unit}"),
        (min, max) => format!(", {min} to {max}{unit}"),
    };
    match kind {
        "array" => format!("list{} of {}", bounds("minItems", "maxItems", ""), shape(&schema["items"])),
        "string" if schema.get("x-maru-max-bytes").is_some() => {
            format!("string{}", bounds("minLength", "x-maru-max-bytes", " bytes"))
        }
        "string" => format!("string{}", bounds("minLength", "maxLength", " characters")),
        "object" => {
            let names: Vec<&String> = members(&schema["properties"]).map(|(name, _)| name).collect();
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let size = bounds("minProperties", "maxProperties", " members");
            if names.is_empty() { format!("object{size}") } else { format!("{{ {} }}", names.join(", ")) }
        }
        other => format!("{other}{}", bounds("minimum", "maximum", "")),
    }
}

/// What a reference stands for.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> + Clone {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text in which nothing is markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escaped text, with what stands between backticks as code.
fn code_spans(text: &str) -> String {
    let piece = |(i, piece): (usize, &str)| {
        if i % 2 == 1 { format!("<code>{}</code>", escaped(piece)) } else { escaped(piece) }
    };
    text.split('`').enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_the_document_becomes_markup() {
        let document = json!({
            "info": { "title": "<b>", "description": "a `<i>` & \"b\"" },
            "paths": { "/<u>": { "get": { "operationId": "x", "summary": "<s>" } } },
        });
        let page = page(&document);
        for tag in ["<b>", "<i>", "<u>", "<s>"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert!(page.contains("a <code>&lt;i&gt;</code> &amp; &quot;b&quot;"));
    }

    #[test]
    fn a_shape_is_told_with_its_bounds() {
        assert_eq!(
            shape(&json!({ "type": ["number", "null"], "minimum": 0, "maximum": 2 })),
            "number, 0 to 2"
        );
        let either = json!({ "anyOf": [{ "type": "boolean" }, { "enum": ["a", "b"] }, { "type": "null" }] });
        assert_eq!(shape(&either), "boolean, or \"a\" | \"b\"");
        let list = json!({ "type": "array", "items": { "type": "string" }, "maxItems": 3 });
        assert_eq!(shape(&list), "list, at most 3 of string");
    }
}
