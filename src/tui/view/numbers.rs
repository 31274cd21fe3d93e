//! Numbers as people read them: shares, durations, a line of latencies.

use crate::domain::health::HttpSample;
use crate::domain::time::Millis;
use crate::tui::theme::{Role, Theme};

/// The latency of the last answers, oldest first; those that were not well are a cross.
pub(crate) fn sparkline(theme: &Theme, answers: &[&HttpSample], room: usize) -> Vec<(Role, &'static str)> {
    const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    const ASCII: [&str; 8] = ["_", "_", ".", ".", "-", "-", "=", "^"];
    let shown = answers.get(answers.len().saturating_sub(room)..).unwrap_or_default();
    let mut well: Vec<u64> =
        shown.iter().filter(|answer| answer.healthy).map(|answer| answer.latency.0).collect();
    well.sort_unstable();
    let median = well.get(well.len() / 2).copied().unwrap_or(0);
    // A steady latency stays low and calm; only what is far above the usual stands out.
    let top = well.last().copied().unwrap_or(0).max(median.saturating_mul(3)).max(1);
    shown
        .iter()
        .map(|answer| {
            if !answer.healthy {
                return (Role::Bad, theme.pick("×", "x"));
            }
            let level = usize::try_from(answer.latency.0.saturating_mul(7) / top).unwrap_or(0).min(7);
            let levels = if theme.ascii { ASCII } else { LEVELS };
            (Role::Good, levels.get(level).copied().unwrap_or("▁"))
        })
        .collect()
}

/// A share as people read it: `0.25 %`.
pub(crate) fn per_cent(part: u64, whole: u64) -> String {
    let hundredths = part.saturating_mul(10_000) / whole.max(1);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// A duration, or a dash where there is none.
pub(crate) fn millis(duration: Option<Millis>) -> String {
    duration.map_or_else(|| "-".to_owned(), |duration| duration.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Colours;

    fn answer(latency: u64, healthy: bool) -> HttpSample {
        HttpSample {
            asked: "https://harbor.example/health".to_owned(),
            status: healthy.then_some(200),
            latency: Millis(latency),
            healthy,
            why: String::new(),
            deployment: None,
        }
    }

    #[test]
    fn a_failed_answer_is_a_cross_without_any_colour() {
        let theme = Theme { ascii: false, colours: Colours::None };
        let answers = [answer(38, true), answer(5_000, false), answer(40, true), answer(400, true)];
        let answers: Vec<&HttpSample> = answers.iter().collect();
        let drawn: String = sparkline(&theme, &answers, 10).iter().map(|(_, sign)| *sign).collect();
        assert_eq!(drawn, "▁×▁█");
        assert_eq!(sparkline(&theme, &answers, 2).len(), 2);
    }

    #[test]
    fn shares_read_as_people_write_them() {
        assert_eq!(per_cent(3, 1_200), "0.25 %");
        assert_eq!(per_cent(0, 0), "0.00 %");
    }
}
