//! BuildKit: a graph of vertexes, each of which starts, says something and ends, in any order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use bollard::models::BuildInfoAux;
use bollard::query_parameters::BuilderVersion;
use futures_util::StreamExt as _;

use super::said::{Lines, failure, harmless};
use super::session::Session;
use super::{Order, options, send};
use crate::docker::connect::Engine;
use crate::docker::credentials::Keyring;
use crate::docker::trouble::Result;
use crate::domain::plan::Cause;

pub(super) async fn build(
    engine: &Engine,
    order: &Order,
    keyring: &Keyring,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<String> {
    let credentials = keyring.for_kit().await?;
    let session = Session::open(engine, &order.secrets, &credentials).await?;
    let options = options(order).version(BuilderVersion::BuilderBuildKit).session(session.id()).build();
    let mut stream = Box::pin(send(session.client(), options, order, credentials));
    let mut seen = Seen::default();
    let mut id = None;
    while let Some(told) = stream.next().await {
        match told {
            Ok(told) => match told.aux {
                Some(BuildInfoAux::BuildKit(status)) => seen.take(&status, say),
                Some(BuildInfoAux::Default(image)) => id = image.id,
                None => {}
            },
            Err(error) => {
                seen.finish(say);
                let (instruction, last) = seen.failed();
                return Err(Box::new(failure(engine, &error, &instruction, last)));
            }
        }
    }
    seen.finish(say);
    id.ok_or_else(|| {
        Box::new(Cause {
            summary: format!("BuildKit on {} did not say which image it built", engine.name()),
            expected: "an image's id".to_owned(),
            measured: "the end of its output".to_owned(),
            cure: "The connection may have been cut: retry the step.".to_owned(),
            ..Cause::default()
        })
    })
}

/// What was seen of a build.
#[derive(Default)]
struct Seen {
    /// By digest; an instruction keeps the number under which it came first.
    vertexes: BTreeMap<String, One>,
}

struct One {
    number: usize,
    name: String,
    lines: Lines,
    error: String,
    said: bool,
    ended: bool,
}

impl Seen {
    fn one(&mut self, digest: &str) -> &mut One {
        let number = self.vertexes.len() + 1;
        self.vertexes.entry(digest.to_owned()).or_insert_with(|| One {
            number,
            name: String::new(),
            lines: Lines::default(),
            error: String::new(),
            said: false,
            ended: false,
        })
    }

    fn take(&mut self, status: &StatusResponse, say: &mut (dyn FnMut(&str) + Send)) {
        // What started is said first, then what was output, then what ended: they come in one message.
        for vertex in &status.vertexes {
            let one = self.one(&vertex.digest);
            if one.name.is_empty() {
                one.name = harmless(&vertex.name);
            }
            if (vertex.started.is_some() || vertex.cached) && !one.said {
                one.said = true;
                say(&format!("#{} {}", one.number, one.name));
            }
        }
        for log in &status.logs {
            let one = self.one(&log.vertex);
            let number = one.number;
            one.lines.push(&log.msg).iter().for_each(|line| say(&format!("#{number} {line}")));
        }
        for vertex in &status.vertexes {
            if vertex.completed.is_some() || !vertex.error.is_empty() {
                self.one(&vertex.digest).end(vertex, say);
            }
        }
    }

    fn finish(&mut self, say: &mut (dyn FnMut(&str) + Send)) {
        for one in self.vertexes.values_mut() {
            one.rest(say);
        }
    }

    /// The instruction that failed, and its last lines. Others end with it, as cancelled.
    fn failed(&self) -> (String, Vec<String>) {
        let mut failed: Vec<&One> = self.vertexes.values().filter(|one| !one.error.is_empty()).collect();
        failed.sort_by_key(|one| (one.error.contains("context canceled"), one.number));
        failed.first().map_or_else(Default::default, |one| (one.name.clone(), one.lines.last()))
    }
}

impl One {
    fn rest(&mut self, say: &mut (dyn FnMut(&str) + Send)) {
        for line in self.lines.finish() {
            say(&format!("#{} {line}", self.number));
        }
    }

    fn end(&mut self, vertex: &Vertex, say: &mut (dyn FnMut(&str) + Send)) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.rest(say);
        let mut line = format!("#{} ", self.number);
        if vertex.error.is_empty() {
            line.push_str(if vertex.cached { "CACHED" } else { "DONE" });
            if let (Some(from), Some(to), false) = (&vertex.started, &vertex.completed, vertex.cached) {
                let millis =
                    (to.seconds - from.seconds) * 1000 + i64::from(to.nanos - from.nanos) / 1_000_000;
                let _ = write!(line, " {}.{}s", millis / 1000, millis % 1000 / 100);
            }
        } else {
            self.error = harmless(&vertex.error);
            let _ = write!(line, "ERROR: {}", self.error);
        }
        say(&line);
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::VertexLog;

    use super::*;

    fn vertex(digest: &str, name: &str, error: &str) -> Vertex {
        Vertex { digest: digest.into(), name: name.into(), error: error.into(), ..Vertex::default() }
    }

    fn log(digest: &str, text: &[u8]) -> VertexLog {
        VertexLog { vertex: digest.into(), msg: text.to_vec(), ..VertexLog::default() }
    }

    #[test]
    fn the_instruction_that_failed_is_told_from_those_that_were_cancelled_with_it() {
        let mut seen = Seen::default();
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        let a = vertex("sha256:a", "[1/2] RUN a", "");
        let b = vertex("sha256:b", "[2/2] RUN b", "");
        let started = |vertex: &Vertex| Vertex { started: Some(Default::default()), ..vertex.clone() };
        seen.take(
            &StatusResponse {
                vertexes: vec![started(&a), started(&b)],
                logs: vec![log("sha256:b", b"half "), log("sha256:a", b"out\x1b[2J\n")],
                ..StatusResponse::default()
            },
            &mut say,
        );
        seen.take(
            &StatusResponse {
                vertexes: vec![
                    vertex("sha256:a", "", "context canceled"),
                    vertex("sha256:b", "", "exit code: 3"),
                ],
                logs: vec![log("sha256:b", b"line")],
                ..StatusResponse::default()
            },
            &mut say,
        );
        seen.finish(&mut say);
        assert_eq!(
            said,
            [
                "#1 [1/2] RUN a",
                "#2 [2/2] RUN b",
                "#1 out",
                "#1 ERROR: context canceled",
                "#2 half line",
                "#2 ERROR: exit code: 3",
            ]
        );
        assert_eq!(seen.failed(), ("[2/2] RUN b".to_owned(), vec!["half line".to_owned()]));
    }
}
