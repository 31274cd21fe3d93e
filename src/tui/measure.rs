//! Columns of text. (To be taken from `text::width`.)

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

pub(crate) fn width(text: &str) -> usize {
    text.width()
}

pub(crate) fn truncate(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut used = 0;
    let mut kept = String::new();
    for cluster in text.graphemes(true) {
        used += width(cluster);
        if used > room {
            break;
        }
        kept.push_str(cluster);
    }
    if width(ellipsis) <= columns {
        kept.push_str(ellipsis);
    }
    kept
}
