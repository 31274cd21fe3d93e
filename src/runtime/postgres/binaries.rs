//! Where `initdb` and `postgres` are, and whether the account that is to run them can.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::server::Account;

/// An installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The directory with `initdb` and `postgres`.
    pub(super) bin: PathBuf,
    /// The directory that has to be copied as a whole where the programs are to run from elsewhere.
    pub(super) tree: PathBuf,
}

/// What is installed, best first: what `PATH` names, then the distribution's, newest first.
pub(super) fn installed(path: &str) -> Vec<Binaries> {
    let on_path = std::env::split_paths(path).filter_map(|directory| complete(&directory));
    let mut found: Vec<Binaries> = on_path.chain(distribution(Path::new("/usr/lib/postgresql"))).collect();
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|binaries| seen.insert(binaries.bin.clone()));
    found
}

/// The real directory of a directory's programs. Both must be in one place: `initdb` looks for `postgres` beside
/// itself.
pub(super) fn complete(directory: &Path) -> Option<Binaries> {
    let initdb = fs::canonicalize(directory.join("initdb")).ok()?;
    let bin = initdb.parent()?.to_owned();
    let tree = bin.parent()?.to_owned();
    bin.join("postgres").is_file().then_some(Binaries { bin, tree })
}

/// Debian's layout: a directory a version.
fn distribution(base: &Path) -> Vec<Binaries> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().filter_map(|(_, path)| complete(&path.join("bin"))).collect()
}

/// The directory from which the account can run the programs: theirs, or a copy beside the data where it cannot
/// (root's own directories are closed to the account that root's server is dropped to).
pub(super) fn usable(found: &Binaries, account: &Account, directory: &Path) -> Result<PathBuf> {
    let Err(first) = runs(&found.bin, account, directory) else { return Ok(found.bin.clone()) };
    if account.is_ourselves() {
        return Err(first);
    }
    let copy = directory.join("programs");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_tree(&found.tree, &copy).with_context(|| {
        format!("{} could not be copied to where its server can run", found.tree.display())
    })?;
    let bin = copy.join(found.bin.strip_prefix(&found.tree)?);
    runs(&bin, account, directory)?;
    Ok(bin)
}

fn runs(bin: &Path, account: &Account, directory: &Path) -> Result<()> {
    for program in ["initdb", "postgres"] {
        let program = bin.join(program);
        let mut command = Command::new(&program);
        command.arg("--version").current_dir(directory).env_clear().stdin(Stdio::null());
        if let Some((uid, gid)) = account.dropped() {
            command.uid(uid).gid(gid);
        }
        let ended = command.output().with_context(|| format!("{} cannot be run", program.display()))?;
        if !ended.status.success() {
            bail!("{} cannot be run: {}", program.display(), String::from_utf8_lossy(&ended.stderr).trim());
        }
    }
    Ok(())
}

/// Copies files, directories and links, readable by everybody (the directory above is closed to strangers).
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            let mode = fs::metadata(&target)?.permissions().mode()
                | 0o444
                | ((entry.metadata()?.permissions().mode() & 0o100) / 0o100 * 0o111);
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for program in ["initdb", "postgres"] {
            fs::write(directory.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_newest_version_comes_first_and_as_a_number() {
        let base = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(base.path()).unwrap();
        for version in ["9", "15", "18", "extra"] {
            programs(&base.join(version).join("bin"));
        }
        fs::create_dir_all(base.join("19/bin")).unwrap();
        let found: Vec<PathBuf> = distribution(&base).into_iter().map(|binaries| binaries.tree).collect();
        assert_eq!(found, [base.join("18"), base.join("15"), base.join("9")]);
    }

    #[test]
    fn links_on_the_path_lead_to_the_real_programs() {
        let base = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(base.path()).unwrap();
        programs(&base.join("real/bin"));
        fs::create_dir(base.join("links")).unwrap();
        std::os::unix::fs::symlink(base.join("real/bin/initdb"), base.join("links/initdb")).unwrap();
        let found = installed(&format!("{}:{}", base.join("none").display(), base.join("links").display()));
        assert_eq!(found[0], Binaries { bin: base.join("real/bin"), tree: base.join("real") });
    }
}
