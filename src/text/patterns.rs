//! What a secret looks like when nobody said which values are secret. Scanning by hand: six shapes, one pass
//! each, no backtracking and no regex engine.

use std::ops::Range;

/// Tokens known by how they begin: (prefix, fewest characters after it, what it is).
const TOKENS: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "it is an AWS access key"),
    ("ASIA", 16, "it is an AWS access key"),
    ("ghp_", 20, "it is a GitHub token"),
    ("gho_", 20, "it is a GitHub token"),
    ("ghu_", 20, "it is a GitHub token"),
    ("ghs_", 20, "it is a GitHub token"),
    ("ghr_", 20, "it is a GitHub token"),
    ("github_pat_", 20, "it is a GitHub token"),
    ("glpat-", 16, "it is a GitLab token"),
    ("xoxb-", 16, "it is a Slack token"),
    ("xoxp-", 16, "it is a Slack token"),
    ("sk_live_", 16, "it is a Stripe key"),
    ("rk_live_", 16, "it is a Stripe key"),
    ("pypi-AgE", 16, "it is a PyPI token"),
    ("AIza", 30, "it is a Google API key"),
];

/// Ends of names whose values are secret.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "secret_key",
    "secret-key",
    "access_key",
    "private_key",
    "authorization",
];

/// Where a tokens with a known beginning stand, and what each is.
pub(super) fn tokens(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    for (prefix, least, what) in TOKENS {
        for (at, _) in line.match_indices(prefix) {
            if line[..at].ends_with(is_word) {
                continue;
            }
            let body =
                length_of(&line[at + prefix.len()..], |c| c.is_ascii_alphanumeric() || "_-".contains(c));
            if body >= *least {
                found.push((at..at + prefix.len() + body, *what));
            }
        }
    }
    found
}

/// Where JSON web tokens stand: three base64url parts, the first two of them JSON objects.
pub(super) fn web_tokens(line: &str) -> Vec<Range<usize>> {
    let part = |text: &str| length_of(text, |c| c.is_ascii_alphanumeric() || "_-=".contains(c));
    let mut found = Vec::new();
    for (at, _) in line.match_indices("eyJ") {
        if line[..at].ends_with(is_word) {
            continue;
        }
        let header = part(&line[at..]);
        let Some(rest) = line[at + header..].strip_prefix('.') else { continue };
        let payload = part(rest);
        if header < 10 || payload < 5 {
            continue;
        }
        let Some(rest) = rest[payload..].strip_prefix('.') else { continue };
        found.push(at..at + header + payload + 2 + part(rest));
    }
    found
}

/// A password in an address: the user, and where the password stands.
pub(super) fn address_passwords(line: &str) -> Vec<(&str, Range<usize>)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("://") {
        let start = at + 3;
        let whole = &line[start..];
        let whole =
            &whole[..whole.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(whole.len())];
        // The next address on the same word (a comma-separated list) has its own turn.
        let whole = whole.split_once("://").map_or(whole, |(before, _)| before);
        let authority = &whole[..whole.find(['/', '?', '#']).unwrap_or(whole.len())];
        let end = match authority.rfind('@') {
            Some(end) => end,
            // A password with a bare `/`, `?` or `#` in it; not a port and a path.
            None => match (authority.split_once(':'), whole.rfind('@')) {
                (Some((_, port)), Some(end)) if !authority.starts_with('[') && !is_number(port) => end,
                _ => continue,
            },
        };
        if let Some((user, password)) = whole[..end].split_once(':')
            && !password.is_empty()
        {
            let from = start + user.len() + 1;
            found.push((user, from..from + password.len()));
        }
    }
    found
}

/// Where values stand that a name before them says are secret: `DB_PASSWORD=…`, `"token": "…"`.
pub(super) fn named_values(line: &str) -> Vec<Range<usize>> {
    // Same length as `line`: only ASCII changes.
    let lower = line.to_ascii_lowercase();
    let mut found: Vec<Range<usize>> = Vec::new();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            if let Some(range) = value_after(line, at + name.len(), *name == "authorization")
                && !found.contains(&range)
            {
                found.push(range);
            }
        }
    }
    found
}

/// The value that is given to a name that ends at `end`.
fn value_after(line: &str, end: usize, scheme: bool) -> Option<Range<usize>> {
    let after = &line[end..];
    let rest = after.trim_start_matches(['"', '\'', ']', '\\', '`']).trim_start();
    let (colon, rest) = if let Some(rest) = rest.strip_prefix("=>").or_else(|| rest.strip_prefix(":=")) {
        (false, rest)
    } else if let Some(rest) = rest.strip_prefix('=') {
        (false, rest)
    } else {
        (true, rest.strip_prefix(':')?)
    };
    // `token == other` compares, `tests/test_token::test_x` is a path.
    if rest.starts_with(['=', ':']) {
        return None;
    }
    let mut rest = rest.trim_start();
    if scheme {
        // `Authorization: Bearer …`: the scheme says nothing secret.
        let word = length_of(rest.trim_start_matches(['"', '\'']), |c| c.is_ascii_alphabetic());
        let quoted = rest.len() - rest.trim_start_matches(['"', '\'']).len();
        if rest[quoted + word..].starts_with(' ') {
            rest = rest[quoted + word..].trim_start();
        }
    }
    let rest = rest.trim_start_matches('\\');
    let start = line.len() - rest.len();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let body = &rest[1..];
        let length = closing(body, quote).unwrap_or(body.len());
        return (length > 0 && !is_reference(&body[..length])).then(|| start + 1..start + 1 + length);
    }
    let length = bare_value(rest);
    let value = &rest[..length];
    if value.is_empty() || is_harmless(value) {
        return None;
    }
    // "password: must be at least 8 characters" is prose; "password: hunter" is not.
    let next = rest[length..].trim_start();
    if colon
        && value.chars().all(|c| c.is_ascii_lowercase())
        && next.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return None;
    }
    Some(start..start + length)
}

/// The place of the closing quote, escaped ones skipped.
fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// How long a value without quotes is: up to white space or a quote; a separator ends it only where another
/// `name=value` or nothing follows, because `,`, `;` and `&` stand in passwords too.
fn bare_value(text: &str) -> usize {
    for (at, character) in text.char_indices() {
        match character {
            '"' | '\'' | '`' => return at,
            _ if character.is_whitespace() => return at,
            ',' | ';' | '&' | ')' | ']' | '}' => {
                let next = text[at..].trim_start_matches([',', ';', '&', ')', ']', '}']);
                let name = length_of(next, |c| is_word(c) || c == '-');
                let ends = next.is_empty()
                    || next.starts_with(char::is_whitespace)
                    || name > 0 && next[name..].starts_with(['=', ':']);
                if ends {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Values that say nothing: a type, a literal, a small number, a place where the value comes from.
fn is_harmless(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "none", "null", "true", "false", "str", "string", "bool", "int", "bytes", "required", "optional",
        "missing", "unset", "empty", "set",
    ];
    const CALLS: &[&str] = &[
        "Optional[",
        "os.environ",
        "os.getenv",
        "environ[",
        "environ.",
        "getenv(",
        "env(",
        "config(",
        "self.",
        "settings.",
    ];
    let lower = value.to_ascii_lowercase();
    let word = lower.trim_end_matches(['.', ':', '!', '?']);
    WORDS.contains(&word)
        || value.len() < 4 && is_number(value)
        || CALLS.iter().any(|call| value.starts_with(call))
        || is_reference(value)
}

/// Whether a value is a reference (`$NAME`, `${NAME}`, `{name}`, `<name>`, `%(name)s`) or masked already.
pub(super) fn is_reference(value: &str) -> bool {
    let value = value.trim();
    let name = |text: &str| !text.is_empty() && text.chars().all(is_word);
    value.is_empty()
        || value.chars().all(|c| matches!(c, '*' | '•' | '.' | '…' | 'x' | 'X'))
        || value == "[redacted]"
        || value.strip_prefix('$').is_some_and(|v| name(v) || v.starts_with('{') && v.ends_with('}'))
        || value.starts_with('{') && value.ends_with('}')
        || value.starts_with('<') && value.ends_with('>')
        || value.starts_with("%(") && value.ends_with(")s")
}

/// Whether a name says that its value is secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|end| lower.ends_with(end))
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}
