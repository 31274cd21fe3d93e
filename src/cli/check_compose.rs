//! `towpath check --compose`: what a Compose file can become, as a `towpath.toml` on standard output.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Invocation;
use super::check::tell_mistakes;
use super::failure::Failure;
use super::project::Location;
use crate::config::compose;
use crate::print::style::visible;

/// The most bytes of a file that are read; the reader's own limit is far below.
const READ_LIMIT: u64 = 1024 * 1024;

pub(super) fn compose(invocation: &mut Invocation, file: Option<PathBuf>) -> Result<u8, Failure> {
    let path = match file {
        Some(file) => file,
        None => {
            // Who begins with a Compose file has no configuration yet.
            let start = invocation.start()?;
            let directory = Location::find(&start).map_or(start, |location| location.directory());
            found(&directory).ok_or_else(|| {
                let cure = format!("It would be {}; or name it: --compose FILE.", compose::FILES.join(", "));
                Failure::usage(format!("There is no Compose file in {}.", directory.display()), cure)
            })?
        }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = text(&path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}.", path.display()), ""))?;
    let output = &mut invocation.output;
    let reading = match compose::read(&text, &name) {
        Ok(reading) => reading,
        Err(mistakes) => return tell_mistakes(output, &mistakes),
    };
    let overrides = overrides(path.parent().unwrap_or(Path::new(".")));
    if output.json {
        let left: Vec<_> =
            reading.left.iter().map(|(line, why)| json!({ "line": line, "why": why })).collect();
        output.json(
            "compose",
            &json!({ "file": name, "toml": reading.toml, "left": left, "not_merged": overrides }),
        )?;
        return Ok(0);
    }
    // All of it can be redirected into a file: what is no configuration is a comment of one.
    let mut lines = vec![format!("# From {}.", visible(&name))];
    lines.extend(overrides.iter().map(|other| format!("# {other} is not merged into it.")));
    lines.extend(
        reading.left.iter().map(|(line, why)| format!("# {}:{line}: {}", visible(&name), visible(why))),
    );
    lines.push(String::new());
    lines.extend(reading.toml.lines().map(str::to_owned));
    output.lines(lines)?;
    Ok(0)
}

/// One line for who has a Compose file.
pub(super) fn hint(location: &Location) -> Option<String> {
    let path = found(&location.directory())?;
    let name = path.file_name()?.to_string_lossy();
    Some(format!("there is a {name}; towpath check --compose shows what it can become"))
}

fn found(directory: &Path) -> Option<PathBuf> {
    compose::FILES.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

fn overrides(directory: &Path) -> Vec<&'static str> {
    compose::OVERRIDES.into_iter().filter(|name| directory.join(name).is_file()).collect()
}

fn text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(READ_LIMIT).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no UTF-8 text"))
}
