//! How an image, a volume and a network are called: Docker's own rules, so that a mistake is said before an engine is
//! asked.

/// Whether a text names an image without a tag or digest: `harbor`, `registry.example.com:5000/shop/harbor`.
///
/// The rule is that of the distribution project's `reference` package: an optional registry host, then parts of
/// lower-case letters and digits, joined by `.`, `_`, `__` or `-`, at most 255 characters in all.
#[must_use]
pub fn valid_image(text: &str) -> bool {
    let path = match text.split_once('/') {
        Some((first, rest)) if is_registry(first) => {
            if !valid_registry(first) {
                return false;
            }
            rest
        }
        _ => text,
    };
    text.len() <= 255 && path.split('/').all(valid_part)
}

/// Whether a text names an image, with a tag or digest or without: `redis:7`, `harbor@sha256:…`.
#[must_use]
pub fn valid_reference(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    let sound_digest = digest.is_none_or(|digest| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    });
    // A colon before the last slash is a registry's port.
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    sound_digest && tag.is_none_or(valid_tag) && valid_image(name)
}

/// Whether an image's name begins with a registry: its first part has a `.` or `:` in it, or is `localhost`.
#[must_use]
pub fn has_registry(image: &str) -> bool {
    image.split_once('/').is_some_and(|(first, _)| is_registry(first))
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn valid_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let sound_port = port.is_none_or(|port| !port.starts_with('0') && port.parse::<u16>().is_ok());
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound_host = match inside {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => valid_host(host),
    };
    sound_port && sound_host
}

/// Whether a text can be the name of a machine, an alias of SSH's own configuration included.
#[must_use]
pub fn valid_host(text: &str) -> bool {
    // Never a hyphen first: what starts another program would read it as an option.
    text.len() <= 253
        && text.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !part.ends_with('-')
        })
}

fn valid_part(part: &str) -> bool {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = part.split(sound).filter(|between| !between.is_empty());
    part.starts_with(sound)
        && part.ends_with(sound)
        && separators.all(|between| matches!(between, "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

fn valid_tag(tag: &str) -> bool {
    tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Whether a text can be the name of a volume, a network or a context: a letter or digit, then those and `_`, `.`, `-`.
#[must_use]
pub fn valid_object(text: &str) -> bool {
    (2..=200).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Where a volume is mounted: `/app/media` of `media:/app/media:ro`. `None` where it is no volume.
#[must_use]
pub fn mount(text: &str) -> Option<&str> {
    let rest = text.strip_suffix(":ro").unwrap_or(text);
    let (source, at) = rest.split_once(':')?;
    let sound_source = valid_object(source) || valid_path(source);
    (sound_source && valid_path(at) && at != "/").then_some(at)
}

/// An absolute path that says what it means: no `..`, no colon, no control character.
fn valid_path(text: &str) -> bool {
    text.len() <= 1000
        && text.starts_with('/')
        && !text.contains(|c: char| c == ':' || c.is_control())
        && text.split('/').all(|part| part != ".." && part != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_what_docker_refuses() {
        for good in [
            "harbor",
            "shop/harbor",
            "registry.example.com/harbor",
            "localhost/harbor",
            "localhost:5000/a/b_c__d--e.f",
            "[::1]:5000/harbor",
            "10.0.0.5:5000/harbor",
        ] {
            assert!(valid_image(good), "{good}");
        }
        for bad in [
            "",
            "Harbor",
            "harbor:1",
            "harbor@sha256:0",
            "/harbor",
            "harbor/",
            "a//b",
            "-a",
            "a-",
            "a...b",
            "a___b",
            "a b",
            "ä",
            "-h.example.com/a",
            "h:0/a",
            "h:99999/a",
            "https://example.com/a",
            "[::g]/a:1",
            "registry.example.com/Harbor",
        ] {
            assert!(!valid_image(bad), "{bad}");
        }
        for good in
            ["redis:7", "redis", "localhost:5000/redis:7-alpine", &format!("a@sha256:{}", "0".repeat(64))]
        {
            assert!(valid_reference(good), "{good}");
        }
        for bad in ["redis:", "redis:-7", "redis:7:8", "a@sha256:0", "a@md5:0", ":7", "redis 7", "$REDIS"] {
            assert!(!valid_reference(bad), "{bad}");
        }
        assert!(has_registry("localhost/a") && has_registry("r.example.com/a") && has_registry("r:1/a"));
        assert!(!has_registry("harbor") && !has_registry("shop/harbor") && !has_registry("a.b"));
    }

    #[test]
    fn mounts_have_a_source_and_a_place() {
        let cases = [
            ("media:/app/media", Some("/app/media")),
            ("/srv/x:/y:ro", Some("/y")),
            ("media:/app/media:rw", None),
            ("/srv/../etc:/y", None),
            ("./media:/y", None),
            ("media:y", None),
            ("media:/", None),
            ("media", None),
            ("/y", None),
            ("", None),
            ("a b:/y", None),
        ];
        for (text, at) in cases {
            assert_eq!(mount(text), at, "{text}");
        }
    }
}
