//! `.dockerignore`, by Docker's own rules: patterns of Go's `filepath.Match` with `**`, anchored at the context's
//! root, a directory's match holding for all below it, `!` taking back, and the last match deciding. (The rules of
//! `.gitignore` are others: there a pattern without a slash holds at any depth.)

use std::fs;
use std::io;
use std::path::Path;

/// The patterns of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    takes_back: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Exactly this character.
    Literal(char),
    /// `?`: one character that is no slash.
    One,
    /// `*`: any number of characters that are no slash.
    Some,
    /// `**` before something: nothing, or whole directories with their slash.
    Directories,
    /// `**` at the end: anything.
    Rest,
    /// `[a-z]`, `[^a]`.
    Class { inverted: bool, ranges: Vec<(char, char)> },
}

impl Ignore {
    /// What a context's own file says: `DOCKERFILE.dockerignore` where there is one, otherwise `.dockerignore`.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn of(context: &Path, dockerfile: &str) -> io::Result<Self> {
        for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
            let path = context.join(name);
            // A link may lead out of the commit.
            if fs::symlink_metadata(&path).is_ok_and(|about| about.is_file()) {
                return Ok(Self::parse(&String::from_utf8_lossy(&fs::read(path)?)));
            }
        }
        Ok(Self::default())
    }

    /// Reads the patterns of a file. A pattern that Docker would refuse (a class without an end) matches nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| Pattern::parse(line.trim())).collect())
    }

    /// Whether a file of the context is left out: its path from the context's root, with `/`.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let last = self.0.iter().rev().find(|pattern| matches(&pattern.tokens, &path));
        last.is_some_and(|pattern| !pattern.takes_back)
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let (takes_back, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let clean = cleaned(line);
        if clean.is_empty() { None } else { Some(Self { takes_back, tokens: tokens(&clean)? }) }
    }
}

/// As Go's `filepath.Clean` writes a path, without a slash before it. Of `.` (the whole context) nothing is left:
/// Docker gives it no meaning either.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        found.push(match character {
            '*' if characters.peek() == Some(&'*') => {
                characters.next();
                if characters.peek() == Some(&'/') {
                    characters.next();
                }
                if characters.peek().is_none() { Token::Rest } else { Token::Directories }
            }
            '*' => Token::Some,
            '?' => Token::One,
            '[' => class(&mut characters)?,
            '\\' => Token::Literal(characters.next()?),
            other => Token::Literal(other),
        });
    }
    Some(found)
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let inverted = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let first = match characters.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { inverted, ranges }),
            '\\' => characters.next()?,
            other => other,
        };
        let mut last = first;
        if characters.next_if_eq(&'-').is_some() {
            last = match characters.next()? {
                '\\' => characters.next()?,
                ']' => return None,
                other => other,
            };
        }
        ranges.push((first, last));
    }
}

/// Whether the path or a directory above it matches, whole. The set of places in the pattern that are reached is carried along the path: no
/// pattern takes longer than its length times the path's.
fn matches(tokens: &[Token], path: &[char]) -> bool {
    // `reached[n]`: the first n tokens match what was read; `inside[n]`: token n is a `**` in the middle of a name.
    let mut reached = vec![false; tokens.len() + 1];
    let mut inside = vec![false; tokens.len()];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    skip(tokens, &mut reached);
    for character in path {
        if *character == '/' && reached.last() == Some(&true) {
            return true;
        }
        let mut next = vec![false; tokens.len() + 1];
        let mut still = vec![false; tokens.len()];
        for (at, token) in tokens.iter().enumerate() {
            let here = reached.get(at).copied().unwrap_or(false);
            let within = inside.get(at).copied().unwrap_or(false);
            let mut go = |to: usize| {
                if let Some(place) = next.get_mut(to) {
                    *place = true;
                }
            };
            match token {
                Token::Literal(wanted) if here && wanted == character => go(at + 1),
                Token::One if here && *character != '/' => go(at + 1),
                Token::Some if here && *character != '/' => go(at),
                Token::Rest if here => go(at),
                Token::Class { inverted, ranges } if here && *character != '/' => {
                    let holds = ranges.iter().any(|(first, last)| (first..=last).contains(&character));
                    if holds != *inverted {
                        go(at + 1);
                    }
                }
                Token::Directories if here || within => {
                    if *character == '/' {
                        go(at + 1);
                    }
                    if let Some(place) = still.get_mut(at) {
                        *place = true;
                    }
                }
                _ => {}
            }
        }
        reached = next;
        inside = still;
        skip(tokens, &mut reached);
    }
    reached.last().copied().unwrap_or(false)
}

/// What may match nothing is passed over.
fn skip(tokens: &[Token], reached: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if reached.get(at) == Some(&true)
            && matches!(token, Token::Some | Token::Directories | Token::Rest)
            && let Some(place) = reached.get_mut(at + 1)
        {
            *place = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ignore;

    fn left_out(file: &str, paths: &[&str]) -> Vec<String> {
        let ignore = Ignore::parse(file);
        paths.iter().filter(|path| ignore.leaves_out(path)).map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_pattern_holds_from_the_root_alone() {
        let paths = ["a.pyc", "deep/a.pyc", "node_modules/x/y", "web/node_modules/x"];
        assert_eq!(left_out("*.pyc\nnode_modules", &paths), ["a.pyc", "node_modules/x/y"]);
        assert_eq!(left_out("/a.pyc\n./node_modules/", &paths), ["a.pyc", "node_modules/x/y"]);
    }

    #[test]
    fn two_stars_reach_any_depth_and_one_reaches_one() {
        let paths = ["a.pyc", "x/a.pyc", "x/y/a.pyc", "x/y/keep", "xa.pyd"];
        assert_eq!(left_out("**/*.pyc", &paths), ["a.pyc", "x/a.pyc", "x/y/a.pyc"]);
        assert_eq!(left_out("*/*.pyc", &paths), ["x/a.pyc"]);
        assert_eq!(left_out("x/**", &paths), ["x/a.pyc", "x/y/a.pyc", "x/y/keep"]);
        assert_eq!(left_out("x/**/keep", &paths), ["x/y/keep"]);
        assert_eq!(left_out("**", &paths), paths);
        assert_eq!(left_out("**/y", &paths), ["x/y/a.pyc", "x/y/keep"]);
    }

    #[test]
    fn the_last_match_decides_also_below_a_directory_that_is_left_out() {
        let paths = ["docs/a.md", "docs/README.md", "docs/deep/README.md", "README.md"];
        assert_eq!(left_out("docs\n!docs/README.md", &paths), ["docs/a.md", "docs/deep/README.md"]);
        assert_eq!(left_out("*.md\n!README*.md\nREADME.md", &paths), ["README.md"]);
        assert_eq!(left_out("*\n!docs", &paths), ["README.md"]);
        assert_eq!(left_out("**/*.md\n!**/README.md", &paths), ["docs/a.md"]);
    }

    #[test]
    fn comments_spaces_classes_and_escapes_are_as_in_docker() {
        let paths = ["#a", "b1", "b2", "bx", "c?", "cx", " d", "e"];
        assert_eq!(left_out("#a\n \n  e  ", &paths), ["e"]);
        assert_eq!(left_out("b[0-9]", &paths), ["b1", "b2"]);
        assert_eq!(left_out("b[^0-9]", &paths), ["bx"]);
        assert_eq!(left_out("c\\?", &paths), ["c?"]);
        assert_eq!(left_out("c?", &paths), ["c?", "cx"]);
        assert_eq!(left_out("[b\n! e", &paths), Vec::<String>::new());
        assert_eq!(left_out("\u{feff}e", &paths), ["e"]);
        assert_eq!(left_out("x/../e", &paths), ["e"]);
        assert_eq!(left_out(".", &paths), Vec::<String>::new());
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = format!("{}b", "**a*".repeat(200));
        assert!(!Ignore::parse(&pattern).leaves_out(&"a/".repeat(2000)));
    }
}
