//! A conversation as hosts keep it, and what of it says which tools the next turn needs.
//!
//! The last word of the user counts in full. Beside it stands a text with what came before: the
//! last earlier word that was a need, and what the model and its tools have said since. A word
//! that names no need itself ("yes, do that") is asked together with the earlier one instead.
//! (docs/decisions.md has what this costs and gains.) System prompts and results count for nothing.
//!
//! Invariant: what is not understood is passed over, so that every dialect of these APIs is read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::text;

/// A last word of the user with fewer terms than this may name no need.
const FEWEST_TERMS: usize = 4;
/// An earlier one with fewer than this named none.
const FEWEST_EARLIER: usize = 2;
/// Words that answer the model and ask for nothing.
const COURTESIES: [&str; 24] = [
    "absolutely",
    "ahead",
    "alright",
    "awesome",
    "cool",
    "exactly",
    "fine",
    "go",
    "good",
    "great",
    "nice",
    "no",
    "ok",
    "okay",
    "perfect",
    "right",
    "sure",
    "thank",
    "thanks",
    "thx",
    "yeah",
    "yep",
    "yes",
    "wonderful",
];
/// The most of a user's word that is read, in bytes: half from the start and half from the end.
const MAX_WORD: usize = 6_000;
/// The most of what the model said since, and of what went wrong.
const MAX_SINCE: usize = 400;

/// What is known of a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    turns: Vec<Turn>,
    /// Names of the tools that were called, as the model knows them.
    pub called: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    /// The model, or a tool that failed.
    Since,
}

#[derive(Debug, PartialEq, Eq)]
struct Turn {
    role: Role,
    text: String,
}

impl Conversation {
    /// Of a text alone.
    pub fn of_text(text: &str) -> Self {
        let mut conversation = Self::default();
        conversation.say(Role::User, text);
        conversation
    }

    /// Of the messages or items of any of the APIs, in order.
    pub fn of_items(items: &[Value]) -> Self {
        let mut conversation = Self::default();
        for item in items {
            conversation.read(item);
        }
        conversation
    }

    fn say(&mut self, role: Role, text: &str) {
        if text.chars().any(char::is_alphanumeric) {
            self.turns.push(Turn { role, text: text.to_owned() });
        }
    }

    fn call(&mut self, name: &Value) {
        self.called.extend(name.as_str().map(str::to_owned));
    }

    /// A message, or an item of the Responses API.
    fn read(&mut self, item: &Value) {
        match item["type"].as_str() {
            Some("function_call" | "custom_tool_call" | "mcp_call") => self.call(&item["name"]),
            None | Some("message") => {
                for call in item["tool_calls"].as_array().into_iter().flatten() {
                    self.call(&call["function"]["name"]);
                }
                match item["role"].as_str() {
                    Some("user") => self.content(Role::User, &item["content"]),
                    Some("assistant") => self.content(Role::Since, &item["content"]),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The content of a message: a text, or blocks.
    fn content(&mut self, role: Role, content: &Value) {
        let mut texts: Vec<&str> = content.as_str().into_iter().collect();
        for block in content.as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text" | "input_text" | "output_text") => texts.extend(block["text"].as_str()),
                Some("tool_use") => self.call(&block["name"]),
                Some("tool_result") if block["is_error"] == true => {
                    self.content(Role::Since, &block["content"]);
                }
                _ => {}
            }
        }
        self.say(role, &texts.join("\n"));
    }

    /// The user's last word asks for nothing (`thanks`, `yes, do that`): what an earlier one asked
    /// for has been looked for by then.
    pub fn goes_on(&self) -> bool {
        let mut words = self.turns.iter().rev().filter(|turn| turn.role == Role::User);
        let (Some(last), Some(_)) = (words.next(), words.next()) else { return false };
        let asks_nothing = |word: &String| COURTESIES.contains(&&**word) || terms(word) == 0;
        text::words(&last.text).iter().all(asks_nothing)
    }

    /// What to search for, phrasings of one need; empty if the user has not said a word.
    pub fn phrasings(&self) -> Vec<String> {
        let last = self.turns.iter().rposition(|turn| turn.role == Role::User);
        let Some(at) = last else { return Vec::new() };
        let last = ends(&self.turns[at].text, MAX_WORD);
        let earlier: Vec<&str> = self.turns[..at]
            .iter()
            .filter(|turn| turn.role == Role::User)
            .map(|turn| turn.text.as_str())
            .collect();
        let mut back = earlier.iter().rev();
        let need = back.find(|word| terms(word) >= FEWEST_EARLIER).or(earlier.last());
        let need = need.map(|text| ends(text, MAX_WORD));
        if let Some(need) = need.as_ref().filter(|_| terms(&last) < FEWEST_TERMS) {
            return vec![last, need.clone()];
        }
        let since = self.turns[at + 1..].iter().rev().map(|turn| ends(&turn.text, MAX_SINCE));
        let context: Vec<String> =
            need.into_iter().chain([last.clone()]).chain(since.take(2)).collect();
        if context.len() == 1 { vec![last] } else { vec![last, context.join("\n")] }
    }
}

fn terms(word: &str) -> usize {
    text::terms(word).len()
}

/// At most `most` bytes of `text`, from both its ends.
fn ends(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let start = &text[..text.floor_char_boundary(most / 2)];
    let end = &text[text.ceil_char_boundary(text.len() - most / 2)..];
    format!("{start}\n{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(items: &Value) -> Conversation {
        Conversation::of_items(items.as_array().unwrap())
    }

    #[test]
    fn all_dialects_say_the_same() {
        let anthropic = of(&json!([
            {"role": "user", "content": "book a train to Bern"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "I look for trains."},
                {"type": "tool_use", "id": "1", "name": "rail__find", "input": {"to": "Bern"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "is_error": true,
                 "content": [{"type": "text", "text": "no such station"}]}]},
        ]));
        assert_eq!(anthropic.called, ["rail__find".to_owned()].into());
        let context = "book a train to Bern\nno such station\nI look for trains.";
        assert_eq!(anthropic.phrasings(), ["book a train to Bern", context]);

        let chat = of(&json!([
            {"role": "system", "content": "You book planes."},
            {"role": "user", "content": "book a train to Bern"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "rail__find", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "planes only"},
        ]));
        let responses = of(&json!([
            {"type": "message", "role": "user",
             "content": [{"type": "input_text", "text": "book a train to Bern"}]},
            {"type": "function_call", "call_id": "1", "name": "rail__find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "planes only"},
            {"type": "reasoning", "summary": []},
        ]));
        assert_eq!(chat, responses);
        assert_eq!(chat.called, anthropic.called);
        assert_eq!(chat.phrasings(), ["book a train to Bern"]);
    }

    #[test]
    fn a_word_without_a_need_is_asked_with_the_earlier_need() {
        let conversation = of(&json!([
            {"role": "user", "content": "refund the card payment of order 17"},
            {"role": "assistant", "content": "Shall I?"},
            {"role": "user", "content": "yes please"},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "and again"},
        ]));
        assert_eq!(conversation.phrasings(), ["and again", "refund the card payment of order 17"]);
    }

    #[test]
    fn a_courtesy_goes_on_and_a_need_does_not() {
        let goes_on = |last: &str| {
            let earlier = json!({"role": "user", "content": "refund the card payment"});
            of(&json!([earlier, {"role": "user", "content": last}])).goes_on()
        };
        for last in ["Thanks!", "yes, do that", "OK, great", "Please go ahead."] {
            assert!(goes_on(last), "{last}");
        }
        for last in ["delete it", "yes, and mail her", "again"] {
            assert!(!goes_on(last), "{last}");
        }
        assert!(
            !of(&json!([{"role": "user", "content": "thanks"}])).goes_on(),
            "there is no before"
        );
    }

    #[test]
    fn a_new_need_comes_first_and_alone_too() {
        let conversation = of(&json!([
            {"role": "user", "content": "refund the card payment of order 17"},
            {"role": "user", "content": "now mail the customer a printed receipt"},
        ]));
        let [alone, together] = &conversation.phrasings()[..] else { panic!() };
        assert_eq!(alone, "now mail the customer a printed receipt");
        assert!(together.starts_with("refund") && together.ends_with("receipt"));
    }

    #[test]
    fn nothing_said_is_nothing_asked_and_long_words_are_cut() {
        for items in [json!([]), json!([{"role": "user", "content": "?!"}, 7, null])] {
            assert_eq!(of(&items).phrasings(), Vec::<String>::new());
        }
        let long = format!("first {}last", "é ".repeat(20_000));
        let phrasings = Conversation::of_text(&long).phrasings();
        assert!(phrasings[0].len() <= MAX_WORD + 1, "{}", phrasings[0].len());
        assert!(phrasings[0].starts_with("first") && phrasings[0].ends_with("last"));
    }
}
