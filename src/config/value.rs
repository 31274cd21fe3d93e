//! Single values and their rules.

use crate::domain::project::When;
use crate::domain::time::Millis;

/// The longest name, in characters: names are parts of the names of directories and containers.
pub(super) const NAME_LIMIT: usize = 40;

/// The longest duration: a week. Whatever takes longer is mistyped.
const DURATION_LIMIT: u64 = 7 * 24 * 3600 * 1000;

/// Whether a text can be a name: lower-case letters, digits and `-`, a letter or digit first and last, at most 40.
#[must_use]
pub fn valid_name(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_LIMIT
        && text.chars().all(|c| sound(c) || c == '-')
        && text.starts_with(sound)
        && text.ends_with(sound)
}

/// A duration as people write it: `500ms`, `60s`, `15m`, `1h30m`; at most a week. `None` when it is none.
pub(super) fn duration(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total: u64 = 0;
    // Units come once each, the largest first.
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if scale >= largest {
            return None;
        }
        largest = scale;
        total = total.checked_add(number.checked_mul(scale)?)?;
        rest = after;
    }
    (!text.is_empty() && total <= DURATION_LIMIT).then_some(Millis(total))
}

/// For which commits: `always`, `tag`, `branch:NAME`.
pub(super) fn when(text: &str) -> Option<When> {
    match text {
        "always" => Some(When::Always),
        "tag" => Some(When::Tag),
        _ => {
            let name = text.strip_prefix("branch:")?;
            valid_branch(name).then(|| When::Branch(name.to_owned()))
        }
    }
}

/// Whether a text can be the name of a branch: git's own rules, as far as they could hurt.
pub(super) fn valid_branch(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.ends_with(".lock")
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("@{")
        && text != "@"
        && !text.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
}

/// Whether a text names an interpreter's version: `3`, `3.12`, `3.12.4`.
pub(super) fn valid_python(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    (1..=3).contains(&parts.len())
        && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
        && parts.first() == Some(&"3")
}

/// Whether a text names a Python module: `harbor.settings.production`.
pub(super) fn valid_module(text: &str) -> bool {
    text.len() <= 200
        && text.split('.').all(|part| {
            part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
}

/// Whether a text can be the name of an environment variable.
pub(super) fn valid_variable(text: &str) -> bool {
    text.len() <= 200
        && text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Per cent to a tenth as tenths of a per cent: `1%` is 10, `0.5%` is 5; at most 100%.
pub(super) fn permille(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || whole.len() > 3 || tenth.len() != 1 || !digits(tenth) {
        return None;
    }
    let permille = whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?;
    (permille <= 1000).then_some(permille)
}

/// Whether a text can be asked for from a web server: `/health`, `/health?full=1`.
pub(super) fn valid_url_path(text: &str) -> bool {
    text.len() <= 1000
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b))
}

/// What is wrong with the address of an environment; nothing where it can be used.
pub(super) fn url_trouble(text: &str) -> Option<&'static str> {
    let Ok(url) = reqwest::Url::parse(text) else { return Some("is no address") };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Some("is no http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("has a login in it");
    }
    (url.query().is_some() || url.fragment().is_some()).then_some("has a ? or # in it")
}

/// Whether a path can stand in nginx's configuration as it is: absolute, nothing that nginx would read as its own.
pub(super) fn valid_nginx_path(text: &str) -> bool {
    let own = |c: char| c.is_whitespace() || c.is_control() || "\"'\\;{}$#".contains(c);
    text.len() <= 1000 && text.starts_with('/') && text.len() > 1 && !text.contains(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("500ms", Some(500)),
            ("60s", Some(60_000)),
            ("15m", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("1h0m5s", Some(3_605_000)),
            ("0s", Some(0)),
            ("", None),
            ("15", None),
            ("m", None),
            ("15 m", None),
            ("1.5h", None),
            ("-5s", None),
            ("30m1h", None),
            ("5m5m", None),
            ("8d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("15min", None),
            ("١٥m", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis.map(Millis), "{text}");
        }
    }

    #[test]
    fn per_cent_is_read_to_a_tenth() {
        let cases = [
            ("1%", Some(10)),
            ("0.5%", Some(5)),
            ("0%", Some(0)),
            ("100%", Some(1000)),
            ("2.5 %", Some(25)),
            ("100.1%", None),
            ("0.05%", None),
            ("1", None),
            ("%", None),
            (".5%", None),
            ("5.%", None),
            ("-1%", None),
            ("1e2%", None),
            ("4294967296%", None),
        ];
        for (text, permille_of) in cases {
            assert_eq!(permille(text), permille_of, "{text}");
        }
    }

    #[test]
    fn addresses_and_paths() {
        for good in ["/", "/health", "/health/?full=1&a=%20", "/a//b"] {
            assert!(valid_url_path(good), "{good}");
        }
        for bad in ["", "health", "//example.com/", "/a b", "/a\nb", "/ä", "/a#b", "https://example.com/"] {
            assert!(!valid_url_path(bad), "{bad}");
        }
        for good in ["https://example.com", "http://localhost:8000", "https://example.com/shop/"] {
            assert_eq!(url_trouble(good), None, "{good}");
        }
        for bad in
            ["example.com", "ftp://example.com", "https://", "https://a:b@example.com", "https://e.com/?a"]
        {
            assert!(url_trouble(bad).is_some(), "{bad}");
        }
        assert!(valid_nginx_path("/etc/nginx/towpath/harbor.conf"));
        for bad in ["", "/", "conf.d/x", "/a b", "/a;b", "/a{", "/$host", "/a\"b", "/a\nb"] {
            assert!(!valid_nginx_path(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_lower_case_and_bounded() {
        for good in ["a", "end-to-end", "shop2", "2fa", &"a".repeat(40)] {
            assert!(valid_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "ä", "a/b", "..", &"a".repeat(41)] {
            assert!(!valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn when_names_commits() {
        assert_eq!(when("always"), Some(When::Always));
        assert_eq!(when("tag"), Some(When::Tag));
        assert_eq!(when("branch:release/1.x"), Some(When::Branch("release/1.x".into())));
        for bad in ["", "never", "branch", "branch:", "branch:a b", "branch:-x", "branch:a..b", "tags"] {
            assert_eq!(when(bad), None, "{bad}");
        }
    }

    #[test]
    fn interpreters_and_modules() {
        assert!(valid_python("3") && valid_python("3.12") && valid_python("3.12.4"));
        assert!(!valid_python("2.7") && !valid_python("3.x") && !valid_python("") && !valid_python("3."));
        assert!(valid_module("harbor.settings") && !valid_module("harbor/settings.py") && !valid_module(""));
    }
}
