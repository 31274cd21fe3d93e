//! The classic builder: one instruction after another, each in a container of its own.

use bollard::models::BuildInfoAux;
use bollard::query_parameters::BuilderVersion;
use futures_util::StreamExt as _;

use super::said::{Lines, failure};
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
    let options = options(order).version(BuilderVersion::BuilderV1).build();
    let mut stream = Box::pin(send(engine.client(), options, order, keyring.for_classic().await?));
    let mut lines = Lines::default();
    let (mut id, mut instruction) = (None, String::new());
    while let Some(told) = stream.next().await {
        let told = told.map_err(|error| {
            lines.finish().iter().for_each(|line| say(line));
            failure(engine, &error, &instruction, lines.last())
        })?;
        if let Some(BuildInfoAux::Default(image)) = told.aux {
            id = image.id;
        }
        // A pull of a base image says what it does as a status; its progress is no line of a log.
        let pulled =
            told.status.filter(|_| told.progress_detail.is_none()).map(|status| format!("{status}\n"));
        for text in [told.stream, pulled].into_iter().flatten() {
            for line in lines.push(text.as_bytes()) {
                if let Some(step) = step(&line) {
                    step.clone_into(&mut instruction);
                    lines.clear();
                }
                if !line.trim().is_empty() {
                    say(&line);
                }
            }
        }
    }
    lines.finish().iter().for_each(|line| say(line));
    id.ok_or_else(|| {
        Box::new(Cause {
            summary: format!("the builder of {} did not say which image it built", engine.name()),
            expected: "an image's id".to_owned(),
            measured: "the end of its output".to_owned(),
            last_lines: lines.last(),
            cure: "The connection may have been cut: retry the step.".to_owned(),
            ..Cause::default()
        })
    })
}

/// The instruction of `Step 3/9 : RUN …`.
fn step(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("Step ")?;
    let (numbers, instruction) = rest.split_once(" : ")?;
    let (at, of) = numbers.split_once('/')?;
    let numbers = at.bytes().chain(of.bytes()).all(|byte| byte.is_ascii_digit());
    numbers.then_some(instruction)
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn a_step_is_told_from_output_that_looks_like_one() {
        assert_eq!(step("Step 3/9 : RUN make"), Some("RUN make"));
        assert_eq!(step("Step by step : no"), None);
        assert_eq!(step(" ---> Running in 12"), None);
    }
}
