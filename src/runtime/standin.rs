//! Thin stand-ins for rooms that are being built; deleted when they are merged.
#![allow(unreachable_pub, missing_docs, clippy::missing_errors_doc)]
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
