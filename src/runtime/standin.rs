//! Thin stand-ins for rooms that are being built; deleted when they are merged.
#![allow(unreachable_pub, missing_docs, clippy::missing_errors_doc)]
pub mod store {
    pub mod segment {
        use crate::domain::time::Timestamp;
        use std::{
            fs,
            io::{self, Write as _},
            path::Path,
        };
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Source {
            Stdout,
            Stderr,
            Towpath,
        }
        pub struct Writer(io::BufWriter<fs::File>);
        impl Writer {
            pub fn create(dir: &Path) -> io::Result<Self> {
                fs::create_dir_all(dir)?;
                Ok(Self(io::BufWriter::new(fs::File::create(dir.join("0.log"))?)))
            }
            pub fn line(&mut self, at: Timestamp, source: Source, text: &str) -> io::Result<()> {
                writeln!(
                    self.0,
                    "{} {} {text}",
                    at.0,
                    match source {
                        Source::Stdout => 'o',
                        Source::Stderr => 'e',
                        Source::Towpath => 't',
                    }
                )
            }
            pub fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
        pub fn tail(dir: &Path, lines: usize) -> io::Result<Vec<String>> {
            let text = fs::read_to_string(dir.join("0.log"))?;
            let all: Vec<_> =
                text.lines().map(|l| l.splitn(3, ' ').nth(2).unwrap_or("").to_owned()).collect();
            Ok(all[all.len().saturating_sub(lines)..].to_vec())
        }
    }
    pub mod durable {
        use std::{fs, io, path::Path};
        pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
            let beside = path.with_extension("new");
            fs::write(&beside, bytes)?;
            fs::File::open(&beside)?.sync_all()?;
            fs::rename(&beside, path)?;
            fs::File::open(path.parent().unwrap_or(path))?.sync_all()
        }
    }
}
pub mod text {
    pub mod sanitise {
        #[derive(Default)]
        pub struct Sanitiser(Vec<u8>);
        impl Sanitiser {
            pub fn new() -> Self {
                Self::default()
            }
            pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
                self.0.extend_from_slice(bytes);
                let Some(end) = self.0.iter().rposition(|b| *b == b'\n') else { return Vec::new() };
                let rest = self.0.split_off(end + 1);
                let whole = std::mem::replace(&mut self.0, rest);
                String::from_utf8_lossy(&whole)
                    .lines()
                    .map(|l| l.chars().filter(|c| !c.is_control()).collect())
                    .collect()
            }
            pub fn finish(&mut self) -> Option<String> {
                (!self.0.is_empty())
                    .then(|| String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned())
            }
        }
    }
    pub mod redact {
        use std::borrow::Cow;
        #[derive(Clone)]
        pub struct Redactor(Vec<String>);
        impl Redactor {
            pub fn new(values: impl IntoIterator<Item = String>) -> Self {
                Self(values.into_iter().collect())
            }
            pub fn redact<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
                let mut out = Cow::Borrowed(text);
                for v in &self.0 {
                    if out.contains(v.as_str()) {
                        out = Cow::Owned(out.replace(v.as_str(), "[redacted]"));
                    }
                }
                out
            }
        }
    }
    pub mod width {
        pub fn plain(text: &str) -> String {
            text.to_owned()
        }
    }
}
pub fn export(
    mirror: &std::path::Path,
    commit: &crate::domain::ids::CommitId,
    to: &std::path::Path,
) -> anyhow::Result<Vec<crate::domain::finding::Finding>> {
    use std::process::{Command, Stdio};
    let mut git = Command::new("git")
        .arg("--git-dir")
        .arg(mirror)
        .args(["archive", &commit.0])
        .stdout(Stdio::piped())
        .spawn()?;
    let out = git.stdout.take().ok_or_else(|| anyhow::anyhow!("no pipe"))?;
    let tar = Command::new("tar").arg("-x").arg("-C").arg(to).stdin(out).status()?;
    anyhow::ensure!(git.wait()?.success() && tar.success(), "git archive failed");
    Ok(Vec::new())
}
