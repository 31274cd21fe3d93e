//! A deployment's plan in a line or two.

use std::collections::BTreeSet;

use crate::domain::plan::{Plan, Work};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::time::Millis;

/// The steps, as people say them: `fetch · migrate · start web ×2 · 10 % · bake 5m · …`. Waiting and draining
/// belong to starting and stopping; what goes replica by replica is said once.
pub(crate) fn steps(plan: &Plan) -> String {
    let started = |role: &str| {
        let all = plan.steps.iter().filter_map(|step| match &step.work {
            Work::Start(set) if set.role == role => Some(set.count),
            _ => None,
        });
        (all.clone().count(), all.sum::<u32>())
    };
    let mut said: BTreeSet<&str> = BTreeSet::new();
    let mut words: Vec<String> = Vec::new();
    for step in &plan.steps {
        let word = match &step.work {
            Work::Start(set) => match started(&set.role) {
                (1, count) => Some(format!("start {}{}", set.role, times(count))),
                (_, count) => {
                    said.insert(&set.role).then(|| format!("start {}{}, one by one", set.role, times(count)))
                }
            },
            Work::Stop(set) if said.contains(set.role.as_str()) => None,
            Work::Stop(set) => Some(format!("stop {}", set.target.release)),
            Work::Shift { .. } if said.contains(ROUTED_ROLE) => None,
            Work::Shift { weight, .. } => Some(format!("{weight} %")),
            Work::Bake { window, .. } => Some(format!("bake {}", short(*window))),
            Work::AwaitHealthy(_) | Work::Drain(_) => None,
            _ => Some(step.id.as_str().to_owned()),
        };
        // A second hook of a sort is numbered; the sort is enough here.
        let word = word.map(|word| match &step.work {
            Work::Hook(_) => {
                word.trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == ' ').to_owned()
            }
            _ => word,
        });
        if let Some(word) = word.filter(|word| words.last() != Some(word)) {
            words.push(word);
        }
    }
    words.join(" · ")
}

fn times(count: u32) -> String {
    if count == 1 { String::new() } else { format!(" ×{count}") }
}

/// How many replicas it starts.
pub(crate) fn started(plan: &Plan) -> u32 {
    let counts = plan.steps.iter().map(|step| match &step.work {
        Work::Start(set) => set.count,
        _ => 0,
    });
    counts.sum()
}

/// A window of time as it was configured: `5m`, `90s`, `2h`.
fn short(window: Millis) -> String {
    match window.0 / 1000 {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds if seconds < 120 => format!("{seconds}s"),
        _ => window.to_string(),
    }
}

/// How long it is likely to take, no more exact than a guess is.
pub(crate) fn estimate(estimate: Option<Millis>) -> String {
    match estimate.map(|millis| millis.0.div_ceil(1000)) {
        None => "no estimate: not every step was done here before".to_owned(),
        Some(seconds @ 0..60) => format!("about {seconds}s"),
        Some(seconds @ 60..600) => format!("about {}", Millis::seconds(seconds.div_ceil(10) * 10)),
        Some(seconds @ 600..3600) => format!("about {}m", seconds.div_ceil(60)),
        Some(seconds) => format!("about {}", Millis::minutes(seconds.div_ceil(60))),
    }
}
