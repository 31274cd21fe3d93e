//! The shell in a failed step's kept directory: the person's own, with the step's environment.
//!
//! A person's start files (`.bashrc` and its like) put their own things first in `PATH`: a version manager's
//! shims would run another Python than the step had. So the step's environment is set once more after them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use tokio::process::Command as Process;

use crate::domain::plan::Kept;

/// What the terminal and the person need; the step's own environment wins.
const OF_THE_PERSON: [&str; 10] =
    ["TERM", "COLORTERM", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "EDITOR", "XDG_CONFIG_HOME"];

/// What holds the assignments until the start files have been read.
const ONCE: &str = "TOWPATH_SHELL_START";

/// The shell to start, not started yet. `title` is what to call it.
pub(crate) fn command(shell: &OsStr, kept: &Kept, title: &str) -> Process {
    let name = Path::new(shell).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let mut process = match name {
        // Its start file is this text, read from a pipe: nothing is left on the disk.
        "bash" => {
            let mut bash = Process::new(shell);
            bash.args(["-c", "exec \"$0\" --rcfile <(printf '%s\\n' \"$TOWPATH_SHELL_START\") -i"])
                .arg(shell);
            bash
        }
        "fish" => {
            let mut fish = Process::new(shell);
            fish.arg("-C").arg(fish_assignments(&kept.env));
            fish
        }
        // With no terminal to ask, zsh takes the commands before it turns to the person.
        "zsh" => {
            let mut zsh = Process::new(shell);
            zsh.args(["-i", "-c", "eval \"$TOWPATH_SHELL_START\"; exec \"$0\" -f -i"]).arg(shell);
            zsh
        }
        _ => Process::new(shell),
    };
    process.current_dir(&kept.directory).env_clear();
    for name in OF_THE_PERSON {
        if let Some(value) = std::env::var_os(name) {
            process.env(name, value);
        }
    }
    process.envs(&kept.env).env("TOWPATH_SHELL", title);
    match name {
        "bash" => {
            process.env(ONCE, format!("[ -r ~/.bashrc ] && . ~/.bashrc\n{}", assignments(&kept.env)));
        }
        "zsh" => {
            process.env(ONCE, assignments(&kept.env));
        }
        _ => {}
    }
    process
}

/// The environment as a POSIX shell sets it, the first prompt's mark, and itself forgotten.
fn assignments(env: &BTreeMap<String, String>) -> String {
    let mut text: String = env
        .iter()
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
        .collect();
    text.push_str("hash -r 2>/dev/null\nunset TOWPATH_SHELL_START\nPS1=\"(towpath) ${PS1-}\"\n");
    text
}

fn fish_assignments(env: &BTreeMap<String, String>) -> String {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
    env.iter()
        .filter(|(name, _)| is_name(name))
        // A list in fish, split at its colons.
        .map(|(name, value)| {
            if name == "PATH" {
                format!("set -gx PATH (string split : '{}')\n", quoted(value))
            } else {
                format!("set -gx {name} '{}'\n", quoted(value))
            }
        })
        .collect()
}

/// Whether a shell can have a variable of this name.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What a shell says to some commands, with start files that do what a version manager's do.
    async fn said(shell: &str, commands: &str) -> Option<String> {
        if !Path::new(shell).exists() {
            return None;
        }
        let home = tempfile::tempdir().expect("a directory");
        let start = "export PATH=/version/manager/shims:$PATH MINE=started VALUE=overwritten\n";
        for file in [".bashrc", ".zshrc"] {
            std::fs::write(home.path().join(file), start).expect("a start file");
        }
        let env = [
            ("PATH", "/kept/bin:/usr/bin:/bin"),
            ("VALUE", "it's \"this\" $HOME\nand that"),
            ("not-a-name", "left out"),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let kept = Kept { directory: home.path().display().to_string(), env, container: None };
        let mut process = command(OsStr::new(shell), &kept, "run 1 test");
        process.env("HOME", home.path());
        let mut child = process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the shell starts");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(commands.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[tokio::test]
    async fn the_steps_environment_wins_over_the_persons_start_files() {
        let commands = "printf '<%s>' \"$PATH\" \"$VALUE\" \"$MINE\" \"${TOWPATH_SHELL_START-gone}\"\nexit\n";
        let text = said("/bin/bash", commands).await.expect("bash is here");
        let wanted = "</kept/bin:/usr/bin:/bin><it's \"this\" $HOME\nand that><started><gone>";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn fish_gets_its_own_words() {
        let env = [("PATH", "/a:/b"), ("VALUE", r"it's \n")];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let wanted = "set -gx PATH (string split : '/a:/b')\nset -gx VALUE 'it\\'s \\\\n'\n";
        assert_eq!(fish_assignments(&env), wanted);
    }
}
