//! `towpath check`: what the working tree's `towpath.toml` means. Starts nothing, needs no engine.

use std::process::{Command, Stdio};

use serde_json::json;

use super::Invocation;
use super::check_compose;
use super::check_environments;
use super::failure::{Failure, Sort};
use super::output::Output;
use super::project::Location;
use crate::config::{self, Mistakes};
use crate::domain::finding::Finding;
use crate::domain::project::{Stage, When};
use crate::preset::{self, Resolved, tree};
use crate::print::style::{Mark, Style, visible};

pub(super) fn check(invocation: &mut Invocation) -> Result<u8, Failure> {
    let location = invocation.location()?;
    let output = &mut invocation.output;
    let resolved = match read(&location)? {
        Ok(resolved) => resolved,
        Err(mistakes) => return tell_mistakes(output, &mistakes),
    };
    let uncommitted = is_uncommitted(&location);
    if output.json {
        let body = json!({
            "project": resolved.project, "detected": resolved.detected, "findings": resolved.findings,
            "uncommitted": uncommitted,
        });
        output.json("check", &body)?;
        return Ok(0);
    }
    let lines = text(&output.style, &resolved);
    output.lines(lines)?;
    // Only a hint, and none to who has moved already.
    if resolved.project.artifact.image.is_none()
        && let Some(line) = check_compose::hint(&location)
    {
        output.line(&line)?;
    }
    if uncommitted {
        let mark = output.style.glyph(Mark::Warn);
        output.line(&format!(
            "{mark} {} differs from the last commit; a run reads the commit's",
            configuration_name(&location)
        ))?;
    }
    Ok(0)
}

/// The file's name in messages: where it lies in the repository.
fn configuration_name(location: &Location) -> String {
    match location.root.as_str() {
        "." => config::FILE_NAME.to_owned(),
        root => format!("{root}/{}", config::FILE_NAME),
    }
}

fn read(location: &Location) -> Result<Result<Resolved, Mistakes>, Failure> {
    let path = location.configuration();
    let unreadable = |what: &std::path::Path, error: std::io::Error| {
        Failure::usage(format!("{} cannot be read: {error}.", what.display()), "")
    };
    let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
    let file = match config::parse(&bytes, &configuration_name(location)) {
        Ok(file) => file,
        Err(mistakes) => return Ok(Err(mistakes)),
    };
    let directory = location.directory();
    let files = tree::Directory::new(&directory).map_err(|error| unreadable(&directory, error))?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(preset::resolve(&file, &name, &location.root, &files))
}

/// One line a mistake on standard error, as compilers write them; in JSON one object each.
pub(super) fn tell_mistakes(output: &mut Output, mistakes: &Mistakes) -> Result<u8, Failure> {
    if !output.json {
        let count = match mistakes.list.len() {
            1 => "a mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        return Err(Failure::usage(format!("{} has {count}.", mistakes.file), mistakes.to_string()));
    }
    for mistake in &mistakes.list {
        let body = json!({
            "file": mistakes.file, "line": mistake.line, "column": mistake.column, "message": mistake.message,
            "cure": mistake.cure,
        });
        output.json("mistake", &body)?;
    }
    Ok(Sort::Usage.code())
}

fn text(style: &Style, resolved: &Resolved) -> Vec<String> {
    let project = &resolved.project;
    let mut lines = vec![style.strong(&format!("project {}", project.name))];
    lines.extend(resolved.detected.iter().map(|line| format!("  {}", style.words(&visible(line)))));
    lines.push(String::new());
    lines.push(style.strong(&format!("steps, {} at once", project.pipeline.jobs)));
    let name = |stage: &Stage| crate::text::width::width(&stage.name.0);
    let widest = project.stages.iter().map(name).max().unwrap_or(0);
    lines.extend(project.stages.iter().map(|stage| step(style, stage, widest)));
    lines.extend(check_environments::text(style, project));
    if let Some(branch) = &project.pipeline.branch {
        lines.push(String::new());
        lines.push(format!("follows {}, looked at every {}", visible(branch), project.pipeline.poll));
    }
    if !resolved.findings.is_empty() {
        lines.push(String::new());
        lines.extend(resolved.findings.iter().flat_map(|found| finding(style, found)));
    }
    lines
}

fn step(style: &Style, stage: &Stage, widest: usize) -> String {
    let needs: Vec<&str> = stage.needs.iter().map(crate::domain::ids::StepId::as_str).collect();
    let needs = if needs.is_empty() { String::new() } else { format!(" · after {}", needs.join(", ")) };
    let when = match &stage.when {
        When::Always => String::new(),
        When::Tag => " · only for a commit with a tag".to_owned(),
        When::Branch(branch) => format!(" · only for commits on {}", visible(branch)),
    };
    let retries =
        if stage.retries == 0 { String::new() } else { format!(" · {} more tries", stage.retries) };
    let text = format!("at most {}{needs}{when}{retries}", stage.timeout);
    format!("  {}  {}", crate::text::width::pad(&stage.name.0, widest), style.words(&text))
}

fn finding(style: &Style, finding: &Finding) -> Vec<String> {
    let glyph = style.glyph(Mark::of_severity(finding.severity));
    let title = visible(&finding.title);
    let mut lines =
        vec![format!("{glyph} {}: {} ({})", finding.severity.word(), style.words(&title), finding.id)];
    if !finding.cure.is_empty() {
        lines.push(format!("  {}", style.words(&visible(&finding.cure))));
    }
    lines
}

/// Whether the file differs from what `HEAD` has; what git cannot say is not said.
fn is_uncommitted(location: &Location) -> bool {
    let status = Command::new("git")
        .arg("-C")
        .arg(&location.repository)
        .args(["--no-optional-locks", "status", "--porcelain", "--untracked-files=all", "--"])
        .arg(location.configuration())
        .stdin(Stdio::null())
        .output();
    status.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}
