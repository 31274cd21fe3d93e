//! One JSON object a line, for programs.
//!
//! Every line has `v` (the version of this format) and `kind`; keys are only ever added within a version.
//! Times are milliseconds since the Unix epoch, UTC; durations are milliseconds.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::event::Envelope;

/// The format's version.
pub const VERSION: u32 = 1;

/// One line: `v` and `kind` first, then the fields of `body` (an object; anything else stands under `value`).
#[must_use]
pub fn line<T: Serialize>(kind: &str, body: &T) -> String {
    let mut object = Map::new();
    object.insert("v".to_owned(), VERSION.into());
    object.insert("kind".to_owned(), kind.into());
    // Domain values have string keys and no floats: they always have a JSON form.
    match serde_json::to_value(body).unwrap_or_default() {
        Value::Object(fields) => {
            object.extend(fields.into_iter().filter(|(name, _)| name != "v" && name != "kind"));
        }
        other => drop(object.insert("value".to_owned(), other)),
    }
    Value::Object(object).to_string()
}

/// A journal row as it came: `seq`, `at`, `actor`, `event`.
#[must_use]
pub fn event(envelope: &Envelope) -> String {
    line("event", envelope)
}

/// What went wrong, for a program: `error` is the sort, `message` and `hint` are for its person.
#[must_use]
pub fn error(sort: &str, message: &str, hint: &str, exit: u8) -> String {
    line("error", &json!({ "error": sort, "message": message, "hint": hint, "exit": exit }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::ids::{Actor, RunId, Seq};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_line_says_its_version_and_kind_and_is_one_line() {
        let envelope = Envelope {
            seq: Seq(4),
            at: Timestamp(1_000),
            actor: Actor::Operator { name: "a\nb".to_owned(), terminal: "-".to_owned() },
            event: Event::RunStarted { run: RunId(2) },
        };
        let text = event(&envelope);
        assert!(!text.contains('\n'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["v"], &value["kind"], &value["seq"]), (&json!(1), &json!("event"), &json!(4)));
        assert_eq!(value["event"], json!({ "type": "run_started", "run": 2 }));
        assert_eq!(line("x", &5), r#"{"kind":"x","v":1,"value":5}"#);
    }
}
