//! Whether a command line is one simple command: then `exec` makes the program take the shell's place, and a signal
//! reaches the program itself.

/// Words that are no program when they stand first: the shell's own grammar and commands.
const NOT_PROGRAMS: &[&str] = &[
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in",
    "function", "select", "time", "!", "{", "}", "[[", "exec", "cd", "export", "set", "unset", "eval",
    "trap", ".", "source", "exit", "return", "ulimit", "umask", "wait", "read", "readonly", "local", "shift",
    "command", "builtin", "alias", "unalias", "type", "hash", "times", "break", "continue", "getopts",
    "jobs", "bg", "fg", ":", "true", "false", "test", "[", "echo", "printf", "pwd", "kill",
];

/// The command line with `exec` before it; `None` where it needs its shell. When in doubt it does.
pub(in crate::runtime) fn without_shell(command: &str) -> Option<String> {
    let command = command.trim();
    let first = command.split([' ', '\t']).next().unwrap_or_default();
    let is_program = !first.is_empty()
        && !NOT_PROGRAMS.contains(&first)
        // An assignment: `exec` would look for a program of that name.
        && !first.contains('=')
        && !first.starts_with(['#', '<', '>']);
    (is_program && is_simple(command)).then(|| format!("exec {command}"))
}

/// Whether no operator stands outside of quotes and substitutions.
fn is_simple(command: &str) -> bool {
    let mut signs = command.chars().peekable();
    let mut before = ' ';
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            '\'' => {
                let is_closed = signs.any(|sign| sign == '\'');
                if !is_closed {
                    return false;
                }
            }
            '"' => loop {
                match signs.next() {
                    Some('\\') => drop(signs.next()),
                    Some('"') => break,
                    // A substitution may hold quotes of its own.
                    Some('`') | None => return false,
                    Some('$') if signs.peek() == Some(&'(') => return false,
                    Some(_) => {}
                }
            },
            // `$(nproc)` is harmless; what is nested or quoted inside is not followed.
            '$' if signs.peek() == Some(&'(') => {
                signs.next();
                match signs.find(|sign| matches!(sign, '(' | ')' | '\'' | '"' | '\\' | '#')) {
                    Some(')') => {}
                    _ => return false,
                }
            }
            // `2>&1` is a redirection.
            '&' if matches!(before, '>' | '<') => {}
            // A comment would hide nothing from us, but what looks like one may hide a quote.
            '#' if before.is_whitespace() => return false,
            ';' | '&' | '|' | '(' | ')' | '`' | '\n' | '\r' => return false,
            _ => {}
        }
        before = sign;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_command_takes_its_shells_place() {
        for command in [
            "gunicorn shop.wsgi",
            "  gunicorn --bind 127.0.0.1:$PORT shop.wsgi:application",
            "celery -A shop worker -Q 'a;b' --loglevel=info",
            "python -c \"import time; time.sleep(9)\"",
            "gunicorn -w $(nproc) shop.wsgi",
            "gunicorn -w ${WORKERS:-2} shop.wsgi",
            "env A=1 gunicorn shop.wsgi",
            "./serve 2>&1",
            "serve a\\;b",
            "serve >access.log",
        ] {
            assert_eq!(without_shell(command), Some(format!("exec {}", command.trim())), "{command}");
        }
    }

    #[test]
    fn whatever_needs_a_shell_keeps_it() {
        for command in [
            "",
            "# nothing",
            "cd src && gunicorn shop.wsgi",
            "gunicorn shop.wsgi; echo over",
            "gunicorn shop.wsgi | tee log",
            "gunicorn shop.wsgi &",
            "gunicorn shop.wsgi &> log",
            "A=1 gunicorn shop.wsgi",
            "exec gunicorn shop.wsgi",
            "while true; do sleep 1; done",
            "{ gunicorn; }",
            "(gunicorn)",
            "serve `id -u`; x",
            "serve $(echo \")\"); x",
            "serve \"$(echo \";\")\"; x",
            "serve 'unfinished",
            "one\ntwo",
            "cd /",
            "> log",
            "serve # it's",
        ] {
            assert_eq!(without_shell(command), None, "{command}");
        }
    }
}
