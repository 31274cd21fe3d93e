//! How things look: roles to styles, states to glyph and word. Colour never carries meaning alone: each state
//! has a glyph and a word, so the same facts show in sixteen colours, without colour, and in ASCII.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use crate::domain::finding::Severity;
use crate::domain::state::{Run, RunEnd, RunPhase, StepPhase, StepState};

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// None (`NO_COLOR`, `TERM=dumb`): bold, dim and reversed are all there is.
    None,
    /// The terminal's sixteen.
    Sixteen,
    /// 256 or more.
    Many,
}

/// The look of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Draw with ASCII alone.
    pub ascii: bool,
    /// What colours there are.
    pub colours: Colours,
}

/// What a piece of text is for. Styles are looked up by it, nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// What is secondary.
    Dim,
    /// Lines around panels.
    Border,
    /// Lines around the panel that has the keys.
    Focus,
    /// What to look at first: names, titles.
    Strong,
    /// The one accent: what moves, what is selected, keys.
    Accent,
    /// Went well.
    Good,
    /// Went wrong.
    Bad,
    /// Wants a person.
    Warn,
    /// A search hit.
    Hit,
    /// The search hit that the cursor is on.
    HitHere,
    /// The chosen line of a list.
    Chosen,
}

/// The states that are drawn, of steps and of runs alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Nothing has begun.
    Waiting,
    /// It runs.
    Running,
    /// It is being found out what became of it.
    Looking,
    /// It went well.
    Passed,
    /// It went wrong.
    Failed,
    /// It could not do its work; a person's word is wanted.
    Inconclusive,
    /// It could not do its work; a person accepted that.
    Accepted,
    /// It was stopped.
    Cancelled,
    /// It is not needed.
    Skipped,
}

impl Mark {
    /// Of a step.
    #[must_use]
    pub fn of_step(state: &StepState) -> Self {
        match &state.phase {
            StepPhase::Waiting => Self::Waiting,
            StepPhase::Running => Self::Running,
            StepPhase::Observing => Self::Looking,
            StepPhase::Passed => Self::Passed,
            StepPhase::Failed { .. } => Self::Failed,
            StepPhase::Inconclusive { .. } if state.acknowledged.is_some() => Self::Accepted,
            StepPhase::Inconclusive { .. } => Self::Inconclusive,
            StepPhase::Cancelled => Self::Cancelled,
            StepPhase::Skipped { .. } => Self::Skipped,
        }
    }

    /// Of a run's phase.
    #[must_use]
    pub const fn of_phase(phase: RunPhase) -> Self {
        match phase {
            RunPhase::Queued => Self::Waiting,
            RunPhase::Preparing | RunPhase::Running | RunPhase::Cancelling { .. } => Self::Running,
            RunPhase::Held => Self::Inconclusive,
            RunPhase::Ended(RunEnd::Passed { .. }) => Self::Passed,
            RunPhase::Ended(RunEnd::Failed) => Self::Failed,
            RunPhase::Ended(RunEnd::Cancelled) => Self::Cancelled,
            RunPhase::Ended(RunEnd::Superseded { .. }) => Self::Skipped,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Looking => "being looked at",
            Self::Passed => "ok",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Accepted => "acknowledged",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// What it looks like.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Waiting | Self::Skipped | Self::Cancelled => Role::Dim,
            Self::Running | Self::Looking => Role::Accent,
            Self::Passed => Role::Good,
            Self::Failed => Role::Bad,
            Self::Inconclusive | Self::Accepted => Role::Warn,
        }
    }
}

/// The word for where a run is, as people say it.
#[must_use]
pub fn run_word(run: &Run) -> &'static str {
    match run.phase {
        RunPhase::Queued => "queued",
        RunPhase::Preparing => "being prepared",
        RunPhase::Running => "running",
        RunPhase::Held => "held",
        RunPhase::Cancelling { now: false } => "stopping after the running steps",
        RunPhase::Cancelling { now: true } => "stopping",
        RunPhase::Ended(RunEnd::Passed { .. }) => "passed",
        RunPhase::Ended(RunEnd::Failed) => "failed",
        RunPhase::Ended(RunEnd::Cancelled) => "cancelled",
        RunPhase::Ended(RunEnd::Superseded { .. }) => "superseded",
    }
}

impl Theme {
    /// The look that a terminal's environment asks for. `look` reads a variable.
    #[must_use]
    pub fn detect(ascii: bool, no_color: bool, look: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| look(name).is_some_and(|value| !value.is_empty());
        let term = look("TERM").unwrap_or_default();
        let deep =
            look("COLORTERM").is_some_and(|value| value.contains("truecolor") || value.contains("24bit"));
        let colours = if no_color || set("NO_COLOR") || term == "dumb" {
            Colours::None
        } else if deep || term.contains("256") || term.contains("direct") {
            Colours::Many
        } else {
            Colours::Sixteen
        };
        // The kernel's console has 256 glyphs and few of ours among them.
        Self { ascii: ascii || term == "linux", colours }
    }

    /// The style of a role.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        let plain = Style::new();
        if self.colours == Colours::None {
            return match role {
                Role::Text | Role::Good => plain,
                Role::Dim | Role::Border => plain.add_modifier(Modifier::DIM),
                Role::Focus | Role::Strong | Role::Accent | Role::Bad | Role::Warn | Role::Chosen => {
                    plain.add_modifier(Modifier::BOLD)
                }
                Role::Hit => plain.add_modifier(Modifier::UNDERLINED),
                Role::HitHere => plain.add_modifier(Modifier::REVERSED),
            };
        }
        let many = self.colours == Colours::Many;
        // Colours that are legible on a dark and on a light background.
        let dim = if many { Color::Indexed(244) } else { Color::DarkGray };
        let border = if many { Color::Indexed(240) } else { Color::DarkGray };
        let accent = if many { Color::Indexed(38) } else { Color::Cyan };
        match role {
            Role::Text => plain,
            Role::Dim => plain.fg(dim),
            Role::Border => plain.fg(border),
            Role::Focus => plain.fg(accent),
            Role::Strong => plain.add_modifier(Modifier::BOLD),
            Role::Accent | Role::Chosen => plain.fg(accent).add_modifier(Modifier::BOLD),
            Role::Good => plain.fg(Color::Green),
            Role::Bad => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            Role::Warn => plain.fg(Color::Yellow),
            Role::Hit => plain.fg(Color::Black).bg(Color::Yellow),
            Role::HitHere => plain.fg(Color::Black).bg(accent),
        }
    }

    /// The colour of a source among others; its label says which it is where there are no colours.
    #[must_use]
    pub fn source(&self, place: usize) -> Style {
        const SIXTEEN: [Color; 5] = [Color::Cyan, Color::Magenta, Color::Blue, Color::Green, Color::Yellow];
        // Of one lightness, legible on a dark and on a light background.
        const MANY: [u8; 7] = [38, 170, 71, 172, 105, 167, 108];
        match self.colours {
            Colours::None => Style::new(),
            Colours::Sixteen => {
                Style::new().fg(SIXTEEN.get(place % SIXTEEN.len()).copied().unwrap_or(Color::Cyan))
            }
            Colours::Many => {
                Style::new().fg(Color::Indexed(MANY.get(place % MANY.len()).copied().unwrap_or(38)))
            }
        }
    }

    /// The glyph of a state, one column wide.
    #[must_use]
    pub const fn glyph(&self, mark: Mark) -> &'static str {
        if self.ascii {
            return match mark {
                Mark::Waiting => ".",
                Mark::Running => ">",
                Mark::Looking => "?",
                Mark::Passed => "+",
                Mark::Failed => "X",
                Mark::Inconclusive => "!",
                Mark::Accepted => "a",
                Mark::Cancelled => "c",
                Mark::Skipped => "-",
            };
        }
        match mark {
            Mark::Waiting => "○",
            Mark::Running => "▶",
            Mark::Looking => "◌",
            Mark::Passed => "✔",
            Mark::Failed => "✖",
            Mark::Inconclusive => "▲",
            Mark::Accepted => "△",
            Mark::Cancelled => "◼",
            Mark::Skipped => "–",
        }
    }

    /// The glyph of a finding.
    #[must_use]
    pub const fn severity(&self, severity: Severity) -> (&'static str, Role) {
        match (severity, self.ascii) {
            (Severity::Error, false) => ("✖", Role::Bad),
            (Severity::Error, true) => ("X", Role::Bad),
            (Severity::Warning, false) => ("▲", Role::Warn),
            (Severity::Warning, true) => ("!", Role::Warn),
            (Severity::Note, false) => ("●", Role::Dim),
            (Severity::Note, true) => ("*", Role::Dim),
        }
    }

    /// What separates facts.
    #[must_use]
    pub const fn dot(&self) -> &'static str {
        if self.ascii { " | " } else { " · " }
    }

    /// What stands where text was cut.
    #[must_use]
    pub const fn ellipsis(&self) -> &'static str {
        if self.ascii { "~" } else { "…" }
    }

    /// One of two texts: as typeset, or in ASCII.
    #[must_use]
    pub const fn pick<'a>(&self, typeset: &'a str, ascii: &'a str) -> &'a str {
        if self.ascii { ascii } else { typeset }
    }

    /// Our own words, which are typeset, as this theme can draw them. Text from outside is left alone but for
    /// these few signs.
    #[must_use]
    pub fn words<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if !self.ascii || text.is_ascii() {
            return text.into();
        }
        let mut plain = String::with_capacity(text.len());
        let text = text.replace("↑↓", "up/dn").replace("←→", "lt/rt");
        for sign in text.chars() {
            match sign {
                '·' => plain.push('|'),
                '…' => plain.push('~'),
                '“' | '”' => plain.push('"'),
                '‘' | '’' => plain.push('\''),
                '×' => plain.push('x'),
                '↑' => plain.push_str("up"),
                '↓' => plain.push_str("dn"),
                '⏎' => plain.push_str("enter"),
                '→' => plain.push_str("->"),
                '←' => plain.push_str("<-"),
                '–' => plain.push('-'),
                '▸' => plain.push('>'),
                other => plain.push(other),
            }
        }
        plain.into()
    }

    /// The lines around the panels of what is protected.
    #[must_use]
    pub const fn heavy_border(&self) -> border::Set<'static> {
        if self.ascii {
            border::Set {
                top_left: "#",
                top_right: "#",
                bottom_left: "#",
                bottom_right: "#",
                vertical_left: "#",
                vertical_right: "#",
                horizontal_top: "=",
                horizontal_bottom: "=",
            }
        } else {
            border::THICK
        }
    }

    /// The lines around panels.
    #[must_use]
    pub const fn border(&self) -> border::Set<'static> {
        if self.ascii {
            border::Set {
                top_left: "+",
                top_right: "+",
                bottom_left: "+",
                bottom_right: "+",
                vertical_left: "|",
                vertical_right: "|",
                horizontal_top: "-",
                horizontal_bottom: "-",
            }
        } else {
            border::ROUNDED
        }
    }
}
