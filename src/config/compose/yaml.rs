//! YAML as far as a Compose file goes: every value with its line, and bounds on what a hostile file may cost.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The largest file that is read, in bytes: a real one has a few hundred lines.
const SIZE_LIMIT: usize = 256 * 1024;

/// The most values of a file, those that aliases repeat included: ten aliases of ten aliases are soon a billion.
const COUNT_LIMIT: usize = 50_000;

/// How deep values may be nested; Compose itself goes about six deep.
const DEPTH_LIMIT: usize = 32;

/// A value and the line where it begins, from 1.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) line: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    /// Keys in the order of the file, each with its line.
    Map(Vec<(String, u32, Node)>),
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match &self.value {
            Value::List(list) => list,
            _ => &[],
        }
    }

    pub(super) fn map(&self) -> &[(String, u32, Self)] {
        match &self.value {
            Value::Map(map) => map,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.map().iter().find(|(name, _, _)| name == key).map(|(_, _, node)| node)
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Null | Value::Text(_) => 1,
            Value::List(list) => list.iter().map(Self::count).sum::<usize>() + 1,
            Value::Map(map) => map.iter().map(|(_, _, node)| node.count()).sum::<usize>() + 1,
        }
    }
}

/// What is being put together: a list, or a map with the key whose value comes next.
enum Open {
    List(Vec<Node>),
    Map(Vec<(String, u32, Node)>, Option<(String, u32)>),
}

/// Reads the first document of a file. What is wrong is said with its line.
pub(super) fn parse(text: &str) -> Result<Node, (u32, String)> {
    if text.len() > SIZE_LIMIT {
        return Err((1, format!("the file has {} bytes; the limit is {SIZE_LIMIT}", text.len())));
    }
    let mut open: Vec<(Open, u32, usize)> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| (number(error.marker().line()), error.info().to_owned()))?;
        let line = number(span.start.line());
        let (value, line, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                (value, line, anchor)
            }
            Event::Alias(anchor) => {
                // An anchor counts once its value is whole: one inside of itself is not there.
                let node = anchors
                    .get(&anchor)
                    .ok_or((line, "an alias stands inside of its own value".to_owned()))?;
                count += node.count();
                (node.value.clone(), line, 0)
            }
            Event::SequenceStart(anchor, _) => {
                open.push((Open::List(Vec::new()), line, anchor));
                bounded(open.len(), count, line)?;
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push((Open::Map(Vec::new(), None), line, anchor));
                bounded(open.len(), count, line)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((Open::List(list), line, anchor)) => (Value::List(list), line, anchor),
                Some((Open::Map(map, _), line, anchor)) => (Value::Map(map), line, anchor),
                None => continue,
            },
            _ => continue,
        };
        count += 1;
        bounded(open.len(), count, line)?;
        let node = Node { value, line };
        if anchor > 0 {
            // What an anchor keeps counts as well: it is a copy.
            count += node.count();
            bounded(open.len(), count, line)?;
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => return Ok(node),
            Some((Open::List(list), _, _)) => list.push(node),
            Some((Open::Map(map, key), _, _)) => match key.take() {
                None => {
                    let name = node.text().ok_or((line, "a key is no text".to_owned()))?;
                    *key = Some((name.to_owned(), line));
                }
                Some((name, _)) if name == "<<" => merge(map, node),
                Some((name, at)) => {
                    // What is written goes before what was merged.
                    map.retain(|(other, _, _)| *other != name);
                    map.push((name, at, node));
                }
            },
        }
    }
    Ok(Node { value: Value::Null, line: 1 })
}

/// `<<`: the keys of another map, or of several, that are not there yet.
fn merge(map: &mut Vec<(String, u32, Node)>, node: Node) {
    match node.value {
        Value::Map(other) => {
            for (name, line, node) in other {
                if map.iter().all(|(known, _, _)| *known != name) {
                    map.push((name, line, node));
                }
            }
        }
        Value::List(list) => list.into_iter().for_each(|node| merge(map, node)),
        Value::Null | Value::Text(_) => {}
    }
}

fn bounded(depth: usize, count: usize, line: u32) -> Result<(), (u32, String)> {
    if depth > DEPTH_LIMIT {
        return Err((line, "values are nested too deeply".to_owned()));
    }
    if count > COUNT_LIMIT {
        return Err((line, format!("there are more than {COUNT_LIMIT} values, aliases counted out")));
    }
    Ok(())
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}
