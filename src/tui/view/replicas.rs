//! The replicas of an environment, as they were last seen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::brief::shown_name;
use super::{Words, panel_of, put};
use crate::domain::health::{ReplicaSample, ReplicaState};
use crate::domain::time::Millis;
use crate::text::width::width;
use crate::tui::model::{Focus, Link, Model};
use crate::tui::samples::Measured;
use crate::tui::theme::{Mark, Role};

/// The replicas of the selected environment as they were last seen, those with traffic first.
pub(crate) fn shown(model: &Model) -> Vec<&ReplicaSample> {
    let Some((name, _)) = model.environment() else { return Vec::new() };
    let Some((_, samples)) = model.samples.last_replicas(name) else { return Vec::new() };
    let mut samples: Vec<&ReplicaSample> = samples.iter().collect();
    // What is in trouble is seen first, however little room there is.
    let calm = |one: &ReplicaSample| matches!(one.state, ReplicaState::Up | ReplicaState::Stopped);
    samples.sort_by_key(|one| (calm(one), std::cmp::Reverse(one.key.deployment)));
    samples
}

/// A column: its heading, its width, whether its text stands at its right edge.
type Column = (&'static str, usize, bool);

/// All of them, and those that stay where there is less room.
const ALL: [Column; 13] = [
    ("replica", 14, false),
    ("host", 10, false),
    ("release", 7, false),
    ("state", 8, false),
    ("health", 9, false),
    ("since", 5, false),
    ("restarts", 8, true),
    ("last exit", 22, false),
    ("pid", 7, true),
    ("port", 5, true),
    ("weight", 6, true),
    ("cpu", 5, true),
    ("memory", 11, true),
];

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((name, settings)) = model.environment() else { return };
    let fresh = model.link == Link::Up && model.replicas(name).fresh().is_some();
    let mut title = vec![(Role::Strong, shown_name(name, settings)), (Role::Dim, " · replicas".to_owned())];
    if let (false, Some((at, _))) = (fresh, model.samples.last_replicas(name)) {
        let text = format!(" · ? unknown: as they were seen {}", model.ago(at));
        title.push((Role::Warn, text));
    }
    let focused = model.places.replicas && model.places.open && model.focus == Focus::Steps;
    let inside = panel_of(model, area, false, focused && area.height > 12, &title, &[], buffer);
    let rows = shown(model);
    if rows.is_empty() {
        let text = match (model.replicas(name), model.state.running(name).is_empty()) {
            (_, true) => "none: nothing was started here",
            (Measured::Never | Measured::Stale(_) | Measured::Fresh(_), false) => "not seen yet",
        };
        let mut words = Words::new(&model.theme);
        words.cut(Role::Dim, text, usize::from(inside.width));
        return put(buffer, inside, 0, &words.line());
    }
    let columns = columns(usize::from(inside.width.saturating_sub(2)), &rows);
    put(buffer, inside, 0, &heading(model, &columns));
    let room = usize::from(inside.height.saturating_sub(1));
    let hidden = rows.len().saturating_sub(room);
    let take = if hidden > 0 { room.saturating_sub(1) } else { room };
    for (line, sample) in (1..inside.height).zip(rows.iter().take(take)) {
        put(buffer, inside, line, &row(model, sample, &columns, fresh));
    }
    if hidden > 0 && inside.height > 1 {
        let mut words = Words::new(&model.theme);
        let up = rows.iter().skip(take).filter(|one| one.state == ReplicaState::Up).count();
        words.add(Role::Dim, &format!("and {} more, {up} of them up", rows.len() - take));
        put(buffer, inside, inside.height - 1, &words.line());
    }
}

/// The columns that fit and have something in them; the least telling ones go first.
fn columns(room: usize, rows: &[&ReplicaSample]) -> Vec<Column> {
    let mut columns = ALL.to_vec();
    let has = |of: fn(&ReplicaSample) -> bool| rows.iter().any(|one| of(one));
    columns.retain(|(name, ..)| match *name {
        "host" => has(|one| one.host.is_some()),
        "health" => has(|one| one.health.is_some()),
        "cpu" => has(|one| one.cpu_permille.is_some()),
        _ => true,
    });
    if !has(|one| one.memory_limit.is_some())
        && let Some(memory) = columns.iter_mut().find(|(name, ..)| *name == "memory")
    {
        memory.1 = 7;
    }
    let wide =
        |columns: &[Column]| columns.iter().map(|(_, wide, _)| wide + 2).sum::<usize>().saturating_sub(2);
    // Of containers what they use says more than since when they do.
    let least: &[&str] = if columns.iter().any(|(name, ..)| *name == "host") {
        &[
            "port",
            "pid",
            "last exit",
            "weight",
            "since",
            "last exit",
            "release",
            "restarts",
            "cpu",
            "memory",
            "health",
            "host",
        ]
    } else {
        &[
            "port",
            "pid",
            "last exit",
            "cpu",
            "weight",
            "memory",
            "last exit",
            "since",
            "release",
            "health",
            "restarts",
        ]
    };
    for &least in least {
        if wide(&columns) <= room {
            break;
        }
        // A shorter one of it first, where a few words are left.
        if least == "last exit"
            && let Some(exit) = columns.iter_mut().find(|(name, wide, _)| *name == least && *wide > 13)
        {
            exit.1 = 13;
            continue;
        }
        columns.retain(|(name, ..)| *name != least);
    }
    // What is left over goes to the words.
    let spare = room.saturating_sub(wide(&columns)).min(20);
    if let Some(exit) = columns.iter_mut().find(|(name, ..)| *name == "last exit") {
        exit.1 += spare;
    }
    columns
}

fn heading(model: &Model, columns: &[Column]) -> Line<'static> {
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, "  ");
    for (name, wide, right) in columns {
        cell(&mut words, Role::Dim, name, *wide, *right);
    }
    words.line()
}

fn cell(words: &mut Words<'_>, role: Role, text: &str, wide: usize, right: bool) {
    let start = words.columns();
    if right {
        words.to(start + wide.saturating_sub(width(text)));
    }
    words.cut(role, text, wide);
    words.to(start + wide + 2);
}

fn row(model: &Model, sample: &ReplicaSample, columns: &[Column], fresh: bool) -> Line<'static> {
    let theme = &model.theme;
    let (glyph, role) = match sample.state {
        _ if !fresh => ("?", Role::Warn),
        ReplicaState::Up => (theme.pick("●", "*"), Role::Good),
        ReplicaState::Waiting | ReplicaState::Starting => (theme.glyph(Mark::Running), Role::Accent),
        ReplicaState::Backoff => (theme.glyph(Mark::Inconclusive), Role::Warn),
        ReplicaState::Gone => (theme.glyph(Mark::Failed), Role::Bad),
        ReplicaState::Unknown => ("?", Role::Warn),
        ReplicaState::Stopping | ReplicaState::Stopped => (theme.glyph(Mark::Cancelled), Role::Dim),
    };
    let mut words = Words::new(theme);
    words.add(role, glyph).add(Role::Text, " ");
    for (name, wide, right) in columns {
        let (role, text) = match *name {
            "replica" => {
                (Role::Text, format!("{}-{} {}", sample.key.role, sample.key.index, sample.key.deployment))
            }
            "release" => (Role::Text, sample.release.to_string()),
            "state" => (if fresh { role } else { Role::Dim }, sample.state.word().to_owned()),
            "since" => (Role::Dim, age(model.shown_at().since(sample.since))),
            "restarts" if sample.restarts > 0 => (Role::Warn, sample.restarts.to_string()),
            "restarts" => (Role::Dim, "0".to_owned()),
            "host" => (Role::Text, sample.host.clone().unwrap_or_else(|| "-".to_owned())),
            "health" => match sample.health.as_deref() {
                Some("unhealthy") if fresh => (Role::Bad, "unhealthy".to_owned()),
                Some(word) => (Role::Dim, word.to_owned()),
                None => (Role::Dim, "-".to_owned()),
            },
            "cpu" => (Role::Text, sample.cpu_permille.map_or_else(|| "-".to_owned(), per_cent)),
            "last exit" if sample.oom => {
                let exit = sample.last_exit.as_deref().filter(|exit| exit.contains("memory"));
                (Role::Warn, exit.unwrap_or("OOM: out of memory").to_owned())
            }
            "last exit" => (Role::Dim, sample.last_exit.clone().unwrap_or_else(|| "-".to_owned())),
            "pid" => (Role::Dim, or_dash(sample.pid)),
            "port" => (Role::Dim, or_dash(sample.port)),
            "weight" => {
                (Role::Text, sample.weight.map_or_else(|| "-".to_owned(), |weight| format!("{weight} %")))
            }
            _ => (Role::Text, memory(sample)),
        };
        cell(&mut words, role, &text, *wide, *right);
    }
    words.line()
}

/// What it uses, of what it may: `212M/512M`.
fn memory(sample: &ReplicaSample) -> String {
    let used = sample.memory.map_or_else(|| "-".to_owned(), bytes);
    sample.memory_limit.map_or_else(|| used.clone(), |limit| format!("{used}/{}", bytes(limit)))
}

/// A share of one core: `3 %`, `150 %`.
fn per_cent(permille: u32) -> String {
    match permille {
        0..100 => format!("{}.{} %", permille / 10, permille % 10),
        _ => format!("{} %", permille / 10),
    }
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time that a replica has been so, no more exact than needed: `12s`, `4m`, `6h`, `3d`.
fn age(since: Millis) -> String {
    let seconds = since.0 / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Memory as people read it: `212M`, `1.1G`.
fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    let tenths = bytes.saturating_mul(10) / (1024 * MIB);
    if tenths >= 10 { format!("{}.{}G", tenths / 10, tenths % 10) } else { format!("{}M", bytes / MIB) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_ages_are_short() {
        assert_eq!(bytes(212 * 1024 * 1024), "212M");
        assert_eq!(bytes(1_200_000_000), "1.1G");
        assert_eq!(age(Millis(12_000)), "12s");
        assert_eq!(age(Millis::minutes(361)), "6h");
    }

    #[test]
    fn what_is_most_telling_stays_in_a_narrow_table() {
        let names = |room| columns(room, &[]).iter().map(|(name, ..)| *name).collect::<Vec<_>>();
        // Without containers there is nothing to say of hosts.
        assert_eq!(names(200).len(), ALL.len() - 3);
        assert!(names(70).contains(&"restarts") && !names(70).contains(&"pid"));
        assert_eq!(names(30), ["replica", "state"]);
    }
}
