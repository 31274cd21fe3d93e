//! What is wrong with a configuration, where, and what to do.

use std::fmt;

/// A place in a file; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// The beginning of a file: for what is wrong with the file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of a byte offset.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count();
        Self { line: number(line + 1), column: number(column + 1) }
    }
}

/// A count as a number to show; a file is bounded far below the limit.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do; empty when the message says it all.
    pub cure: String,
}

impl Mistake {
    /// A mistake at a place.
    #[must_use]
    pub fn new(place: Place, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { line: place.line, column: place.column, message: message.into(), cure: cure.into() }
    }
}

/// Everything that is wrong with one file: one line a mistake, `towpath.toml:12:3: unknown key "timout". …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// How the file is called.
    pub file: String,
    /// What is wrong, in the order of the file; never empty.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Mistakes in the order of the file, each said once.
    #[must_use]
    pub fn new(file: impl Into<String>, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self { file: file.into(), list }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let Mistake { line, column, message, cure } = mistake;
            write!(f, "{}:{line}:{column}: {message}", self.file)?;
            if !cure.is_empty() {
                write!(f, " {cure}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Bytes as text, or why they cannot be a configuration file.
pub(super) fn text_of<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Mistakes> {
    let whole = |message: String, cure: &str| {
        Err(Mistakes::new(name, vec![Mistake::new(Place::START, message, cure)]))
    };
    if bytes.len() > super::SIZE_LIMIT {
        return whole(
            format!("the file has {} bytes; the limit is {}.", bytes.len(), super::SIZE_LIMIT),
            "Check that this is the configuration file and not something else under its name.",
        );
    }
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return whole(
            "the file begins with a byte order mark.".into(),
            "Save it as UTF-8 without a byte order mark.",
        );
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return whole("the file is UTF-16.".into(), "Save it as UTF-8.");
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let good = std::str::from_utf8(good).unwrap_or_default();
            let place = Place::of(good, good.len());
            let message = "the text is not UTF-8 from here on.";
            return Err(Mistakes::new(name, vec![Mistake::new(place, message, "Save the file as UTF-8.")]));
        }
    };
    if let Some(at) = text.find('\0') {
        let place = Place::of(text, at);
        let message = "there is a NUL byte in the text.";
        return Err(Mistakes::new(name, vec![Mistake::new(place, message, "Remove it.")]));
    }
    Ok(text)
}

/// A syntax error of TOML in our form.
pub(super) fn of_syntax(text: &str, name: &str, error: &toml::de::Error) -> Mistakes {
    let place = error.span().map_or(Place::START, |span| Place::of(text, span.start));
    let what = error.message().trim().trim_end_matches('.').replace('\n', ", ");
    let (what, cure) = if what.contains("duplicate key") {
        (format!("{what}: this key or table is written twice."), "Keep one of them.")
    } else if what.contains("recursion") {
        (
            "values are nested too deeply.".to_owned(),
            "No key here takes more than a table in a table: flatten the value.",
        )
    } else {
        (format!("this is not TOML: {what}."), "Text values stand in quotes: name = \"harbor\".")
    };
    Mistakes::new(name, vec![Mistake::new(place, what, cure)])
}
