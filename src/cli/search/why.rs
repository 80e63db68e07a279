//! Why one tool stands where it does, for a person.

use std::fmt::Write;

use serde_json::Value;

use super::{places, strings};

/// The lines of `why`, as `/v1/search` gives it.
pub fn told(why: &Value) -> String {
    let bold = anstyle::Style::new().bold();
    let dim = anstyle::Style::new().dimmed();
    let id = why["id"].as_str().unwrap_or_default();
    let because = why["because"].as_str().unwrap_or_default();
    let mut text = format!("why {bold}{id}{bold:#}: {because}\n");
    let similar: Vec<&str> = strings(&why["similar"]).collect();
    if !similar.is_empty() {
        let _ = writeln!(text, "    {dim}much like it: {}{dim:#}", similar.join(", "));
    }
    let mut parts = places(why);
    if let Some(score) = why["score"].as_f64() {
        parts.push(format!("fused {score:.3}"));
    }
    if let Some(confidence) = why["confidence"].as_f64() {
        parts.push(format!("confidence {:.0} %", 100.0 * confidence));
    }
    if !parts.is_empty() {
        let _ = writeln!(text, "    {dim}{}{dim:#}", parts.join("; "));
    }
    for term in why["terms"].as_array().into_iter().flatten() {
        let (name, score) = (term["term"].as_str(), term["score"].as_f64());
        let (Some(name), Some(score)) = (name, score) else { continue };
        let fields: Vec<String> = term["fields"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, score)| format!("{field} {:.3}", score.as_f64().unwrap_or_default()))
            .collect();
        let _ = writeln!(text, "    {dim}{score:>6.3} {name} ({}){dim:#}", fields.join(", "));
    }
    text
}
