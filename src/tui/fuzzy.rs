//! Filtering lists as one types.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// The items whose text matches, best first; all of them, in their order, for an empty query.
pub(crate) fn filter<T>(query: &str, items: impl IntoIterator<Item = (T, String)>) -> Vec<T> {
    let query = query.trim();
    if query.is_empty() {
        return items.into_iter().map(|(item, _)| item).collect();
    }
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(query, CaseMatching::Smart, Normalization::Smart);
    let mut buffer = Vec::new();
    let mut found: Vec<(u32, T)> = items
        .into_iter()
        .filter_map(|(item, text)| {
            pattern.score(Utf32Str::new(&text, &mut buffer), &mut matcher).map(|score| (score, item))
        })
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_nothing_typed_keeps_the_order() {
        let items = || ["cancel", "retry", "acknowledge", "next"].map(|name| (name, name.to_owned()));
        assert_eq!(filter("", items()), ["cancel", "retry", "acknowledge", "next"]);
        assert_eq!(filter("rtr", items()), ["retry"]);
        assert_eq!(filter("ack", items()).first(), Some(&"acknowledge"));
        assert!(filter("zzz", items()).is_empty());
    }
}
