//! Histories as text: JSON lines, one event a line, and EDN as Jepsen's own checkers read it.
//!
//! Every operation is two events, its invocation and its completion, in the order of their times. A completion is `ok`,
//! `fail` (surely no effect) or `info` (nobody knows).

use crate::history::{End, History, Operation};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// JSON lines.
pub fn json_lines(history: &History) -> String {
    let mut text = String::new();
    for event in events(history) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{event}");
    }
    text
}

/// EDN: a map a line.
pub fn edn(history: &History) -> String {
    let mut text = String::new();
    for event in events(history) {
        write_edn(&event, &mut text);
        text.push('\n');
    }
    text
}

fn events(history: &History) -> Vec<Value> {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, operation) in history.operations.iter().enumerate() {
        events.push((operation.invoked_ns, false, place));
        events.push((operation.ended_ns, true, place));
    }
    // Of one moment, ends come last: a process invokes before it ends, also if that took no time.
    events.sort();
    let events = events.into_iter().enumerate();
    events.map(|(index, (time, ended, place))| event(index, time, ended, &history.operations[place])).collect()
}

fn event(index: usize, time: u64, ended: bool, operation: &Operation) -> Value {
    let kind = match (ended, &operation.end) {
        (false, _) => "invoke",
        (true, End::Done { .. }) => "ok",
        (true, End::Refused { .. }) => "fail",
        (true, End::Unknown { .. }) => "info",
    };
    let mut value = json!(operation.action);
    if let Some(value) = value.as_object_mut() {
        value.remove("f");
    }
    let mut event = Map::new();
    event.insert("index".to_owned(), json!(index));
    event.insert("type".to_owned(), json!(kind));
    event.insert("process".to_owned(), json!(operation.process));
    event.insert("f".to_owned(), json!(operation.action.name()));
    event.insert("value".to_owned(), value);
    event.insert("time".to_owned(), json!(time));
    if ended {
        event.insert("end".to_owned(), json!(operation.end));
    }
    Value::Object(event)
}

/// Keys, and the values of `type` and `f`, become keywords.
fn write_edn(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("nil"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            // A string of JSON is one of EDN.
            let _ = write!(text, "{value}");
        }
        Value::Array(values) => {
            text.push('[');
            for (place, value) in values.iter().enumerate() {
                text.push_str(if place > 0 { " " } else { "" });
                write_edn(value, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (place, (key, value)) in map.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                let _ = write!(text, ":{} ", key.replace('_', "-"));
                match value {
                    Value::String(word) if key == "type" || key == "f" => {
                        let _ = write!(text, ":{word}");
                    }
                    other => write_edn(other, text),
                }
            }
            text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, Line};

    #[test]
    fn an_operation_is_two_events_and_an_unknown_one_ends_as_info() {
        let operation = Operation {
            process: 7,
            invoked_ns: 10,
            ended_ns: 30,
            action: Action::Receive { id: "a\"b".to_owned(), line: Line { sku: "mug".to_owned(), units: 3 } },
            end: End::Unknown { why: "late".to_owned() },
        };
        let history = History { operations: vec![operation], ..History::default() };
        let expected = "{:index 0, :type :invoke, :process 7, :f :receive, :value {:id \"a\\\"b\", :line {:sku \"mug\", \
                        :units 3}}, :time 10}\n";
        let text = edn(&history);
        let mut lines = text.lines();
        let sorted = |line: &str| {
            let mut parts: Vec<String> = line.trim_matches(['{', '}', '\n']).split(", :").map(str::to_owned).collect();
            parts.sort();
            parts
        };
        assert_eq!(lines.next().map(sorted).map(|parts| parts.len()), Some(sorted(expected).len()), "{text}");
        assert!(text.lines().next().is_some_and(|line| line.contains(":type :invoke") && line.contains(":time 10")));
        assert!(lines.next().is_some_and(|line| line.contains(":type :info") && line.contains(":time 30")), "{text}");
        assert_eq!(json_lines(&history).lines().count(), 2);
    }
}
