//! Which line of pip's, uv's or Poetry's output says what went wrong, and what a person can do about it.

use crate::domain::plan::Cause;

use crate::runtime::command::Ended;

/// How an installer's end is put in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The decisive line, without its `ERROR:` prefix.
    pub line: String,
    /// What it means.
    pub kind: Kind,
}

/// What an installer's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The disk is full.
    Disk,
    /// A file is not the one that was locked.
    Hash,
    /// It is for another Python.
    Python,
    /// The index can't be reached.
    Network,
    /// Some have hashes and some have none.
    Unhashed,
    /// Two requirements exclude each other.
    Conflict,
    /// There is no such version.
    NoVersion,
    /// The index does not have the locked file (any more).
    Gone,
    /// A package can't be built here.
    Build,
    /// Something else.
    Unknown,
}

impl Kind {
    /// What to do about it.
    #[must_use]
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Disk => "Free some space on this disk, then retry.",
            Self::Hash => HASHES,
            Self::Python => PYTHON,
            Self::Network => NETWORK,
            Self::Unhashed => UNHASHED,
            Self::Conflict => CONFLICT,
            Self::NoVersion => NO_VERSION,
            Self::Gone => GONE,
            Self::Build => BUILD,
            Self::Unknown => UNKNOWN,
        }
    }
}

/// What a line is known by, how much it says, and what it means. Of the matching lines the one with the lowest
/// rank is quoted; of several of a rank, the last.
const KNOWN: [(&str, u8, Kind); 27] = [
    ("No space left on device", 0, Kind::Disk),
    ("DO NOT MATCH THE HASHES", 1, Kind::Hash),
    ("Hash mismatch for", 1, Kind::Hash),
    ("Expected sha256", 3, Kind::Hash),
    ("requires a different Python", 1, Kind::Python),
    ("is incompatible with the project's Python requirement", 1, Kind::Python),
    ("does not satisfy Python", 1, Kind::Python),
    ("NewConnectionError", 2, Kind::Network),
    ("Failed to establish a new connection", 2, Kind::Network),
    ("Temporary failure in name resolution", 2, Kind::Network),
    ("dns error", 2, Kind::Network),
    ("Connection refused", 2, Kind::Network),
    ("Network connectivity is disabled", 2, Kind::Network),
    ("tcp connect error", 2, Kind::Network),
    ("must have their versions pinned", 3, Kind::Unhashed),
    ("all requirements must have a hash", 3, Kind::Unhashed),
    ("Hashes are required in --require-hashes mode", 3, Kind::Unhashed),
    ("conflicting dependencies", 3, Kind::Conflict),
    ("your requirements are unsatisfiable", 3, Kind::Conflict),
    ("No matching distribution found", 4, Kind::NoVersion),
    ("there is no version of", 2, Kind::NoVersion),
    ("was not found in the package registry", 4, Kind::NoVersion),
    ("(404 Not Found)", 4, Kind::Gone),
    ("Failed building wheel for", 5, Kind::Build),
    ("Failed to build", 5, Kind::Build),
    ("The build backend returned an error", 5, Kind::Build),
    ("subprocess-exited-with-error", 6, Kind::Build),
];

const HASHES: &str = "The file on the index is not the one that was locked. If you trust it, lock again and commit the \
                      lock file; if you don't expect a change, find out who changed it.";
const PYTHON: &str = "Set `python` under [project] in towpath.toml to a version that the packages allow, or lock \
                      versions that allow this one.";
const NETWORK: &str = "The package index can't be reached from here: check the network, the proxy and the index's \
                       address, then retry.";
const UNHASHED: &str = "Either every requirement has hashes or none has: generate the file again (pip-compile \
                        --generate-hashes) and commit it.";
const CONFLICT: &str = "Two requirements want different versions of one package: loosen one of them, lock again and \
                        commit.";
const NO_VERSION: &str = "The index has no such version for this interpreter: correct the name or the version, lock \
                          again and commit. A private package needs its index configured for the user that runs \
                          Towpath.";
const GONE: &str = "The lock names a file that the index does not have: lock again and commit the lock file. A private \
                    package needs its index configured for the user that runs Towpath.";
const BUILD: &str = "The package has no wheel for this interpreter and could not be built here: the log says which \
                     compiler or header is missing. Install it, or lock a version that has a wheel.";
const UNKNOWN: &str = "The step's log has the installer's whole output.";

/// How long a quoted line may be, in characters: pip lists every version there ever was.
const QUOTED: usize = 240;

/// Reads the output of an installer that failed.
#[must_use]
pub fn read(lines: &[String]) -> Reading {
    let mut best: Option<(u8, usize, Kind)> = None;
    for (at, line) in lines.iter().enumerate() {
        for (mark, rank, kind) in KNOWN {
            if line.contains(mark) && best.is_none_or(|(known, ..)| rank <= known) {
                best = Some((rank, at, kind));
            }
        }
    }
    if let Some((_, at, kind)) = best {
        let line = match kind {
            Kind::Network => unreachable(lines, at),
            Kind::Gone => gone(lines).unwrap_or_else(|| sentence(lines, at)),
            Kind::Build => built(lines).unwrap_or_else(|| sentence(lines, at)),
            _ => sentence(lines, at),
        };
        return match other_python(lines, &line) {
            Some(other) if kind == Kind::NoVersion => {
                Reading { line: format!("{line} ({other})"), kind: Kind::Python }
            }
            _ => Reading { line, kind },
        };
    }
    let error = lines.iter().rposition(|line| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("error") || line.starts_with('×') || line.starts_with("cause:")
    });
    let last = || lines.iter().rposition(|line| !line.trim().is_empty());
    match error.or_else(last) {
        Some(at) => Reading { line: sentence(lines, at), kind: Kind::Unknown },
        None => Reading { line: "it said nothing".to_owned(), kind: Kind::Unknown },
    }
}

/// The sentence that a line is part of: uv continues it, indented, and pip names the package on the next line.
fn sentence(lines: &[String], at: usize) -> String {
    let line = |at: usize| lines.get(at).map_or("", String::as_str);
    let continues = |text: &str| {
        (text.starts_with("         ") || text.starts_with("      "))
            && !text.trim_start().starts_with(['╰', '├'])
    };
    let mut from = at;
    while from > 0 && continues(line(from)) && !line(from - 1).trim().is_empty() && at - from < 6 {
        from -= 1;
    }
    if !continues(line(at)) {
        from = at;
    }
    let mut text = clean(line(from));
    let of_uv = line(from).contains("─▶") || line(from).trim_start().starts_with("cause:");
    if of_uv {
        let rest = lines.iter().skip(from + 1).take(6);
        for next in rest.take_while(|next| continues(next.trim_start_matches('│'))) {
            text.push(' ');
            text.push_str(next.trim_start_matches([' ', '│']).trim_end());
        }
    } else if text.starts_with("THESE PACKAGES DO NOT MATCH") || text.starts_with("Hashes are required") {
        let package = line(at + 1).trim();
        let package = package.split([' ', '\t']).next().unwrap_or(package);
        let what = if text.starts_with("THESE") { "does not match its locked hash" } else { "has no hash" };
        text = format!("{package} {what}");
    }
    shortened(&text)
}

/// What the network said, without urllib3's wrapping.
fn unreachable(lines: &[String], at: usize) -> String {
    let line = lines.get(at).map_or("", |line| line.trim());
    let line = line.strip_prefix("cause:").unwrap_or(line).trim();
    let line = line.split("Failed to establish a new connection: ").last().unwrap_or(line);
    let line = line.split("')': ").next().unwrap_or(line).trim_end_matches(['\'', ')', '>', '"']);
    format!("the package index can't be reached: {line}")
}

/// Which package uv could not fetch: it says so above the reason.
fn gone(lines: &[String]) -> Option<String> {
    let package =
        lines.iter().rev().find_map(|line| line.split_once("Failed to download `")?.1.split('`').next())?;
    Some(format!("the index has no such file for {package} (404 Not Found)"))
}

/// What a failed build said last, in pip's frame (`[end of output]`) or uv's (`[stderr]`).
fn built(lines: &[String]) -> Option<String> {
    let inner = |range: &[String]| {
        range.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty()).map(shortened)
    };
    if let Some(end) = lines.iter().position(|line| line.contains("[end of output]")) {
        return inner(lines.get(..end)?).map(|line| format!("a build failed: {line}"));
    }
    let begin = lines.iter().rposition(|line| line.trim() == "[stderr]")?;
    inner(lines.get(begin + 1..)?).map(|line| format!("a build failed: {line}"))
}

/// Whether the version that wasn't found is there, for another Python: pip says so in another line.
fn other_python(lines: &[String], line: &str) -> Option<String> {
    let version = line.rsplit_once("==")?.1.trim();
    let ignored = lines.iter().find(|line| line.contains("require a different python version"))?;
    ignored.split(';').find_map(|part| {
        let (this, python) = part.split_once(" Requires-Python ")?;
        let this = this.rsplit(' ').next().unwrap_or(this);
        (this == version).then(|| format!("{version} needs Python {}", python.trim()))
    })
}

fn clean(line: &str) -> String {
    let mut line = line.trim();
    for prefix in ["ERROR:", "error:", "Error:", "×", "├─▶", "╰─▶", "Caused by:", "cause:"] {
        line = line.strip_prefix(prefix).unwrap_or(line).trim_start();
    }
    shortened(line)
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= QUOTED {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(QUOTED - 1).collect();
    short.push('…');
    short
}

/// How many lines of an installer's output a cause shows.
const SHOWN: usize = 12;

/// How many of the versions that there are instead are shown.
const VERSIONS: usize = 6;

/// What an installer says while all is well.
const PROGRESS: [&str; 19] = [
    "Collecting ",
    "Downloading ",
    "Using cached ",
    "Using CPython",
    "Using Python ",
    "INFO: ",
    "Looking in ",
    "Requirement already ",
    "Obtaining ",
    "Processing ",
    "Preparing metadata",
    "Getting requirements",
    "Installing build dependencies",
    "Installing backend dependencies",
    "Installing collected",
    "Attempting uninstall",
    "Resolved ",
    "[notice]",
    "ERROR: Ignored the following versions",
];

/// The last lines that say what went wrong, each of a length that a screen has room for.
fn telling(lines: &[String]) -> Vec<String> {
    let progress = |line: &str| PROGRESS.iter().any(|start| line.trim_start().starts_with(start));
    let says = |line: &&String| line.chars().any(char::is_alphanumeric);
    let mut kept: Vec<&String> = lines.iter().filter(says).filter(|line| !progress(line)).collect();
    if kept.is_empty() {
        kept = lines.iter().filter(says).collect();
    }
    kept.iter().skip(kept.len().saturating_sub(SHOWN)).map(|line| shortened(&newest(line))).collect()
}

/// Of every version that there ever was the last few: `(from versions: …, 5.2.8, 5.2.9)`.
fn newest(line: &str) -> String {
    let parts = line.split_once("(from versions: ").and_then(|(before, rest)| {
        let (versions, after) = rest.rsplit_once(')')?;
        Some((before, versions.split(", ").collect::<Vec<_>>(), after))
    });
    match parts {
        Some((before, versions, after)) if versions.len() > VERSIONS => {
            let last = versions.get(versions.len() - VERSIONS..).unwrap_or_default().join(", ");
            format!("{before}(from versions: …, {last}){after}")
        }
        _ => line.to_owned(),
    }
}

/// The cause on screen for an installer that failed.
#[must_use]
pub fn cause(tool: &str, ended: &Ended) -> Cause {
    let Reading { line, kind } = read(&ended.tail);
    let mut cause = ended.cause(format!("{tool}: {line}"));
    cause.last_lines = telling(&ended.tail);
    cause.expected = "every locked package installed".to_owned();
    cause.cure = kind.cure().to_owned();
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of pip 23.2 and uv 0.13 as it came, hosts and paths made neutral.
    const CAPTURED: &str = include_str!("captured.txt");

    #[test]
    fn the_decisive_line_of_real_output_is_quoted_with_its_cure() {
        let mut read_as = String::new();
        for part in CAPTURED.split("### ").filter(|part| !part.trim().is_empty()) {
            let lines: Vec<String> = part.lines().map(str::to_owned).collect();
            let reading = read(lines.get(1..).unwrap());
            read_as.push_str(&format!("{}\n  {}\n  {}\n", lines[0], reading.line, reading.kind.cure()));
        }
        insta::assert_snapshot!(read_as);
    }

    /// What stands below: no progress, no lists of every version that there ever was.
    #[test]
    fn only_lines_that_say_something_are_shown() {
        let mut shown = String::new();
        for part in CAPTURED.split("### ").filter(|part| !part.trim().is_empty()) {
            let lines: Vec<String> = part.lines().map(str::to_owned).collect();
            let telling = telling(lines.get(1..).unwrap());
            assert!(telling.iter().all(|line| line.chars().count() <= QUOTED), "{telling:#?}");
            shown.push_str(&format!("{}\n  {}\n", lines[0], telling.join("\n  ")));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(read(&[]).line, "it said nothing");
    }
}
