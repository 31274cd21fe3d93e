//! Whether a value looks like a secret. Nothing secret belongs in a file that is committed.

/// Names whose values are expected to be secret.
const TELLING: [&str; 9] =
    ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "KEY", "CREDENTIAL", "CREDENTIALS", "APIKEY"];

/// What issuers put in front of the keys that they give out.
const ISSUED: [(&str, &str); 13] = [
    ("ghp_", "a GitHub token"),
    ("gho_", "a GitHub token"),
    ("ghs_", "a GitHub token"),
    ("github_pat_", "a GitHub token"),
    ("glpat-", "a GitLab token"),
    ("xoxb-", "a Slack token"),
    ("xoxp-", "a Slack token"),
    ("sk_live_", "a Stripe key"),
    ("rk_live_", "a Stripe key"),
    ("pypi-AgE", "a PyPI token"),
    ("npm_", "an npm token"),
    ("SG.", "a SendGrid key"),
    ("AIza", "a Google key"),
];

/// What the value looks like when it looks like a secret.
pub(super) fn looks_secret(key: &str, value: &str) -> Option<&'static str> {
    let value = value.trim();
    if value.contains("-----BEGIN") && value.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if has_access_key(value) {
        return Some("an AWS access key");
    }
    for (prefix, what) in ISSUED {
        if value.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 16 && is_one_word(rest)) {
            return Some(what);
        }
    }
    if value.starts_with("eyJ") && value.split('.').count() == 3 && value.len() > 40 {
        return Some("a JSON web token");
    }
    if url_password(value).is_some_and(|(user, password)| !is_placeholder(user, password)) {
        return Some("a URL with a password in it");
    }
    let telling = key.to_ascii_uppercase();
    let telling = telling.split(['_', '-', '.']).any(|word| TELLING.iter().any(|tell| word.ends_with(tell)));
    (telling && looks_random(value)).then_some("a long random value under a name that says secret")
}

/// What a word of a command line looks like when it looks like a secret.
pub(super) fn in_command(run: &str) -> Option<&'static str> {
    let mut words = run.split(|c: char| c.is_whitespace() || "\"'`=;|&()<>".contains(c));
    words.find_map(|word| looks_secret("", word))
}

/// `AKIA` or `ASIA` and sixteen more capitals or digits, standing alone.
fn has_access_key(value: &str) -> bool {
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        word.len() == 20
            && (word.starts_with("AKIA") || word.starts_with("ASIA"))
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    })
}

/// Whether a text has no space in it.
fn is_one_word(text: &str) -> bool {
    !text.contains(char::is_whitespace)
}

/// User and password of a URL that has both.
fn url_password(value: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = value.split_once("://")?;
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c)) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let (login, _) = authority.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    (!password.is_empty()).then_some((user, password))
}

/// Whether a password is plainly a throw-away one: the user's own name, a stock word, or a variable.
fn is_placeholder(user: &str, password: &str) -> bool {
    const STOCK: [&str; 9] =
        ["password", "postgres", "secret", "test", "guest", "changeme", "example", "dummy", "throwaway"];
    password == user
        || STOCK.contains(&password.to_ascii_lowercase().as_str())
        || password.starts_with('$')
        || password.chars().all(|c| c == '*' || c == 'x')
}

/// Whether a value looks drawn at random: one long word of several classes of characters and much variety.
fn looks_random(value: &str) -> bool {
    if value.len() < 16 || !is_one_word(value) || value.starts_with('$') {
        return false;
    }
    let has = |class: fn(&char) -> bool| usize::from(value.chars().any(|c| class(&c)));
    let classes = has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        // What stands in paths, module names and hyphenated words is no sign of chance.
        + has(|c| c.is_ascii_punctuation() && !"-_./:,".contains(*c));
    classes >= 2 && entropy(value) >= 3.2 && longest_run(value) >= 12
}

/// The longest stretch without a separator: words joined by hyphens are no random value.
fn longest_run(value: &str) -> usize {
    value.split(['-', '_', '.', '/', ':', ',']).map(str::len).max().unwrap_or(0)
}

/// Shannon entropy in bits a character.
fn entropy(value: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<char, u32>::new();
    let mut total = 0_u32;
    for c in value.chars() {
        *counts.entry(c).or_default() += 1;
        total += 1;
    }
    counts.values().map(|count| f64::from(*count) / f64::from(total)).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_only_sounds_like_them() {
        let secret = [
            ("SECRET_KEY", "q8Zx-v!k2$9dLw0#mRt7^yPb4&uHc6*e"),
            ("API_TOKEN", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
            ("DB_PASSWORD", "hT7kQ2mZ9xLp4vWc"),
            ("STRIPE_APIKEY", "abcDEF123456ghiJKL789"),
            ("DATABASE_URL", "postgres://harbor:s3cr3t-Pa55@db.example.com/harbor"),
            ("ANYTHING", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
            ("ANYTHING", "AKIAIOSFODNN7EXAMPLE"),
            ("ANYTHING", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        ];
        for (key, value) in secret {
            assert!(looks_secret(key, value).is_some(), "{key}={value}");
        }
        let plain = [
            ("SECRET_KEY", "throw-away"),
            ("SECRET_KEY", "not-a-secret-only-for-the-build"),
            ("CACHE_KEY_PREFIX", "harbor-staging"),
            ("TOKEN_MODEL", "rest_framework.authtoken.models.Token"),
            ("SECRET_KEY_FILE", "/run/secrets/harbor_key"),
            ("API_TOKEN", "$API_TOKEN_FROM_ELSEWHERE1"),
            ("DATABASE_URL", "postgres://postgres@localhost/postgres"),
            ("DATABASE_URL", "postgres://postgres:postgres@localhost/test"),
            ("DATABASE_URL", "sqlite:///db.sqlite3"),
            ("ALLOWED_HOSTS", "example.com,www.example.com"),
            ("GIT_SHA", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
            ("MONKEY", ""),
        ];
        for (key, value) in plain {
            assert_eq!(looks_secret(key, value), None, "{key}={value}");
        }
    }

    #[test]
    fn a_secret_is_found_in_a_command_line() {
        let told = [
            "curl -H 'Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345' https://example.com",
            "psql postgres://harbor:s3cr3t-Pa55@db.example.com/harbor",
            "AWS_KEY=AKIAIOSFODNN7EXAMPLE ./upload",
        ];
        for run in told {
            assert!(in_command(run).is_some(), "{run}");
        }
        let plain = [
            "pytest --cov --cov-fail-under=85 -k 'not slow'",
            "psql postgres://postgres:postgres@localhost/test -c 'select 1'",
            "echo 9f8e7d6c5b4a39281706f5e4d3c2b1a0 > digest; test -n \"$API_TOKEN\"",
        ];
        for run in plain {
            assert_eq!(in_command(run), None, "{run}");
        }
    }
}
