//! Shortening text with the sign that a theme has for it.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::text::width::width;

/// The text, shortened to at most `columns` with `ellipsis` at its end when something is left out. The theme's
/// twin of [`crate::text::width::truncate`], whose sign is not ASCII.
pub(crate) fn truncate(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let sign = if width(ellipsis) <= columns { ellipsis } else { "" };
    let room = columns - width(sign);
    let mut used = 0;
    let mut short = String::new();
    for cluster in text.graphemes(true) {
        used += width(cluster);
        if used > room {
            break;
        }
        short.push_str(cluster);
    }
    short.push_str(sign);
    short
}
