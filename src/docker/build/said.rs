//! What a builder says: lines on their way to a log, with the last ones kept; and a failure read from them.

use std::collections::VecDeque;

use bollard::errors::Error;

use crate::docker::connect::Engine;
use crate::docker::tags::disk_full;
use crate::docker::trouble::status;
use crate::domain::plan::Cause;
use crate::text::sanitise::Sanitiser;
use crate::text::width;

/// How many of an instruction's last lines are kept to be shown.
const LAST: usize = 12;

/// The output of one instruction, sanitised, the last lines kept.
#[derive(Debug, Default)]
pub struct Lines {
    sanitiser: Sanitiser,
    last: VecDeque<String>,
}

impl Lines {
    /// Takes bytes in and gives whole lines out.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let lines = self.sanitiser.push(bytes);
        self.keep(&lines);
        lines
    }

    /// What is left when nothing more comes.
    pub fn finish(&mut self) -> Vec<String> {
        let lines = self.sanitiser.finish();
        let lines: Vec<String> = lines.into_iter().collect();
        self.keep(&lines);
        lines
    }

    /// The last lines, oldest first, without colours.
    #[must_use]
    pub fn last(&self) -> Vec<String> {
        self.last.iter().map(|line| width::plain(line)).collect()
    }

    /// Forgets them: another instruction begins.
    pub fn clear(&mut self) {
        self.last.clear();
    }

    fn keep(&mut self, lines: &[String]) {
        self.last.extend(lines.iter().filter(|line| !line.trim().is_empty()).cloned());
        let over = self.last.len().saturating_sub(LAST);
        self.last.drain(..over);
    }
}

/// One line that no terminal is harmed by.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(text.trim().as_bytes());
    lines.extend(sanitiser.finish());
    let lines: Vec<String> = lines.iter().map(|line| width::plain(line).trim().to_owned()).collect();
    lines.join(" ")
}

/// The exit code that a builder's words name: `exit code: 3` (BuildKit), `returned a non-zero code: 3` (classic).
#[must_use]
pub fn exit_code(words: &str) -> Option<i32> {
    ["exit code: ", "returned a non-zero code: "].iter().find_map(|before| {
        let (_, rest) = words.rsplit_once(before)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

/// Why a build failed. `instruction` is the one that did, as the builder names it, empty where none did.
#[must_use]
pub fn failure(engine: &Engine, error: &Error, instruction: &str, last_lines: Vec<String>) -> Cause {
    let words = match error {
        Error::DockerStreamError { error } => harmless(error),
        Error::DockerResponseServerError { message, .. } => harmless(message),
        error => harmless(&error.to_string()),
    };
    let code = exit_code(&words);
    let instruction = harmless(instruction);
    let summary = match (&code, instruction.is_empty()) {
        (Some(code), false) => format!("{instruction} ended with exit code {code}"),
        (None, false) => format!("{instruction}: {words}"),
        (_, true) => format!("the image could not be built on {}: {words}", engine.name()),
    };
    let cure = if disk_full(&words) {
        format!("Make room on the disk of {}: `docker system df` there says what takes it.", engine.name())
    } else if words.contains("pull access denied") || words.contains("unauthorized") {
        "A base image could not be had: see that its name is right, and that `docker login` was done for its registry."
            .to_owned()
    } else if words.contains("failed to solve") && words.contains("not found")
        || words.contains("manifest unknown")
    {
        "Something that the Dockerfile names is not there: see its FROM and COPY lines, and .dockerignore."
            .to_owned()
    } else if ["failed to create endpoint", "OCI runtime", "containerd"]
        .iter()
        .any(|word| words.contains(word))
    {
        format!(
            "{} itself could not run the instruction: see the log of its engine, then retry the step.",
            engine.name()
        )
    } else if code.is_some() {
        "See the instruction's own output above; it runs the same way with `docker build` on the same commit."
            .to_owned()
    } else if status(error).is_none() && !matches!(error, Error::DockerStreamError { .. }) {
        format!("The connection to {} broke: see that its engine runs, then retry the step.", engine.name())
    } else {
        "Mend the Dockerfile, commit, and run the new commit.".to_owned()
    };
    Cause {
        summary,
        expected: "every instruction of the Dockerfile ends well".to_owned(),
        measured: words,
        exit_code: code,
        last_lines,
        cure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_builders_exit_codes_are_read() {
        let kit = "executor failed running [/bin/sh -c exit 3]: exit code: 3";
        let new = "failed to solve: process \"/bin/sh -c exit code: x\" did not complete successfully: exit code: 127";
        let classic = "The command '/bin/sh -c exit 9' returned a non-zero code: 9";
        assert_eq!([kit, new, classic].map(exit_code), [Some(3), Some(127), Some(9)]);
        assert_eq!(exit_code("dockerfile parse error line 3: unknown instruction: FORM"), None);
    }

    #[test]
    fn lines_are_harmless_and_the_last_are_kept() {
        let mut lines = Lines::default();
        let mut all = lines.push(b"one\n\x1b]0;title\x07two\npart");
        all.extend(lines.push(b"ial\n\n"));
        all.extend(lines.finish());
        assert_eq!(all, ["one", "two", "partial", ""]);
        for number in 0..20 {
            lines.push(format!("{number}\n").as_bytes());
        }
        assert_eq!(lines.last().len(), 12);
        assert_eq!(lines.last().last().map(String::as_str), Some("19"));
    }
}
