//! What a panel says of its environment: what is live there, how it is, what happens to it.

use ratatui::text::Line;

use super::brief::{back_word, rollback_hint, verdict_role, verdict_word};
use super::numbers::sparkline;
use super::{Words, bake, deployment, fold};
use crate::domain::health::HttpSample;
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::project::{Environment, Router};
use crate::domain::state::{Deployment, DeploymentPhase, Ending};
use crate::domain::time::Millis;
use crate::text::width::width;
use crate::tui::model::{Link, Model};
use crate::tui::samples::Measured;
use crate::tui::theme::{Mark, Role};

/// How many answers a sparkline shows.
const SPARKS: usize = 24;

/// A lease of our own that has not been renewed for this long is pointed out; the engine does it every 10 seconds.
const LEASE_QUIET: Millis = Millis::seconds(20);

/// What is said of an environment, line by line.
pub(crate) fn lines(
    model: &Model,
    name: &EnvironmentName,
    settings: &Environment,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut said = Said { model, columns, lines: Vec::new() };
    let live = model.state.live(name);
    match live {
        Some((number, deployment)) => said.release(number, deployment),
        None if model.state.under_way(name).is_none() => said.nothing(settings),
        None => said.flow(&[(Role::Dim, "nothing was live here before".to_owned())]),
    }
    said.happening(name);
    said.lease(name);
    if model.state.running(name).is_empty() {
        return said.lines;
    }
    said.replicas(name, settings);
    said.hosts(name);
    said.drift(name);
    said.probe(name);
    said.restarts(name);
    said.observed(name);
    said.way_back(name);
    said.lines
}

struct Said<'m> {
    model: &'m Model,
    columns: usize,
    lines: Vec<Line<'static>>,
}

impl Said<'_> {
    /// Pieces beside each other, on as many lines as they need.
    fn flow(&mut self, pieces: &[(Role, String)]) {
        let mut words = Words::new(&self.model.theme);
        for (role, text) in pieces {
            let wide = width(&self.model.theme.words(text));
            let gap = if words.columns() > 0 { 2 } else { 0 };
            if gap > 0 && words.columns() + gap + wide > self.columns {
                self.lines.push(std::mem::replace(&mut words, Words::new(&self.model.theme)).line());
            } else if gap > 0 {
                words.add(Role::Text, "  ");
            }
            let room = self.columns.saturating_sub(words.columns());
            words.cut(*role, text, room);
        }
        if words.columns() > 0 {
            self.lines.push(words.line());
        }
    }

    /// A sentence behind its glyph, folded; at most so many lines.
    fn sentence(&mut self, (glyph, glyph_role): (&str, Role), role: Role, text: &str, most: usize) {
        let room = self.columns.saturating_sub(2);
        let text = self.model.theme.words(text).into_owned();
        let pieces = fold(&text, room);
        for (index, piece) in pieces.iter().take(most).enumerate() {
            let mut words = Words::new(&self.model.theme);
            words.add(glyph_role, if index == 0 { glyph } else { " " }).add(Role::Text, " ");
            if index + 1 == most && pieces.len() > most {
                let rest: Vec<&str> = pieces.iter().skip(index).map(String::as_str).collect();
                words.cut(role, &rest.join(" "), room);
            } else {
                words.add(role, piece);
            }
            self.lines.push(words.line());
        }
    }

    fn release(&mut self, number: DeploymentId, deployment: &Deployment) {
        let model = self.model;
        let mut pieces = vec![(Role::Strong, format!("{} {number}", deployment.release))];
        if let Some(release) = model.state.releases.get(&deployment.release) {
            pieces.extend(release.version.iter().map(|version| (Role::Text, version.clone())));
            pieces.push((Role::Text, release.commit.short().to_owned()));
            let artifact = release.artifact.id.short();
            // The digits that people compare.
            let artifact = if self.columns < 60 { artifact.get(..13).unwrap_or(artifact) } else { artifact };
            pieces.push((Role::Dim, artifact.to_owned()));
        }
        pieces.push((Role::Dim, model.ago(model.since(deployment))));
        pieces.push((Role::Dim, deployment.by.to_string()));
        self.flow(&pieces);
    }

    fn nothing(&mut self, settings: &Environment) {
        let todo = match &settings.after {
            Some(before) => {
                format!("Nothing is live here yet. p promotes a release that was verified on {before}.")
            }
            None => "Nothing is live here yet. p promotes a release: a run that passes makes one.".to_owned(),
        };
        self.sentence((self.model.theme.glyph(Mark::Waiting), Role::Dim), Role::Text, &todo, 3);
    }

    /// The deployment that is under way, or that ended in another way than wanted.
    fn happening(&mut self, name: &EnvironmentName) {
        let model = self.model;
        let theme = &model.theme;
        if let Some((number, deployment)) = model.state.under_way(name) {
            let (mark, text) = deployment::sentence(model, number, deployment);
            let text = format!("{number} {} · {text}", deployment.release);
            // What a person is waited for is read to its end.
            let most = if matches!(deployment.phase, DeploymentPhase::Held { .. }) { 4 } else { 2 };
            self.sentence((theme.glyph(mark), mark.role()), Role::Strong, &text, most);
            if let Some((key, step)) = bake::open_bake(number, deployment) {
                self.lines.extend(bake::summary(model, &key, step, self.columns));
            }
        } else if let Some((number, deployment, ending)) = model.sad_end(name) {
            let (mark, text) = match ending {
                Ending::LiveUnverified { why } => {
                    (Mark::Inconclusive, format!("is live, not verified: {why}"))
                }
                Ending::RolledBack { why } => (Mark::Inconclusive, format!("was rolled back: {why}")),
                Ending::Broken { why } => (Mark::Failed, format!("is BROKEN, a person has to look: {why}")),
                Ending::Live => return,
            };
            let text = format!("{number} {} {text}", deployment.release);
            self.sentence((theme.glyph(mark), mark.role()), mark.role(), &text, 3);
        }
    }

    fn replicas(&mut self, name: &EnvironmentName, settings: &Environment) {
        let model = self.model;
        let theme = &model.theme;
        let mut pieces = Vec::new();
        let sets = model.sets(name);
        let many = sets.len() > 1;
        let mut bad = false;
        for number in &sets {
            let own: Vec<_> =
                model.state.running(name).into_iter().filter(|key| key.deployment == *number).collect();
            let wanted = own.len();
            let up = match (&model.link, model.replicas(name)) {
                (Link::Up, Measured::Fresh(samples)) => {
                    let lives = |key: &&crate::domain::ids::ReplicaKey| {
                        samples.iter().any(|one| {
                            &one.key == *key && one.state == crate::domain::health::ReplicaState::Up
                        })
                    };
                    Some(own.iter().filter(lives).count())
                }
                _ => None,
            };
            bad |= up.is_some_and(|up| up < wanted);
            let unknown = |key: &&crate::domain::ids::ReplicaKey| {
                model.replicas(name).fresh().is_some_and(|samples| {
                    let of_it = |one: &crate::domain::health::ReplicaSample| {
                        &one.key == *key && one.state == crate::domain::health::ReplicaState::Unknown
                    };
                    samples.iter().any(of_it)
                })
            };
            let unknown = match own.iter().filter(unknown).count() {
                0 => String::new(),
                count => format!(" ({count} unknown)"),
            };
            let count = up.map_or_else(|| format!("?/{wanted}"), |up| format!("{up}/{wanted}{unknown}"));
            pieces.push(if many { format!("{number} {count}") } else { format!("{count} replicas up") });
        }
        let text = if many { format!("{} replicas up", pieces.join(" · ")) } else { pieces.join(" · ") };
        let known = model.link == Link::Up && model.replicas(name).fresh().is_some();
        let (glyph, role) = match (known, bad) {
            (false, _) => ("?", Role::Warn),
            (true, true) => (theme.glyph(Mark::Inconclusive), Role::Warn),
            (true, false) => (theme.pick("●", "*"), Role::Good),
        };
        let router = match &settings.router {
            Router::Nginx(_) => "nginx",
            Router::None => "no router",
        };
        let weights: Vec<String> =
            model.weights(name).iter().map(|(of, weight)| format!("{of} {weight}")).collect();
        let weights = if weights.is_empty() {
            router.to_owned()
        } else {
            format!("{router}: {}", weights.join(" · "))
        };
        self.flow(&[(role, format!("{glyph} {text}")), (Role::Dim, weights)]);
        if let Some((number, deployment)) = model.warm(name) {
            let until = match model.state.under_way(name) {
                Some(_) => ", until the bake closes",
                None => "",
            };
            let text = format!("warm: {} ({number}){until}", deployment.release);
            self.sentence((theme.pick("◐", "~"), Role::Dim), Role::Dim, &text, 1);
        }
    }

    /// The Docker engines: those that answer beside each other, each other one with its reason.
    fn hosts(&mut self, name: &EnvironmentName) {
        let model = self.model;
        let theme = &model.theme;
        let known = model.samples.last_hosts(name);
        if known.is_empty() {
            return;
        }
        let fresh = model.link == Link::Up && model.hosts(name).fresh().is_some();
        let mut well = Vec::new();
        for host in known {
            match &host.reached {
                _ if !fresh => well.push((Role::Warn, format!("? {}", host.name))),
                Ok(version) => {
                    well.push((Role::Text, format!("{} {} {version}", theme.pick("●", "*"), host.name)));
                }
                Err(_) => {}
            }
        }
        if !well.is_empty() {
            well.insert(0, (Role::Dim, "  hosts".to_owned()));
            self.flow(&well);
        }
        for host in known.iter().filter(|_| fresh) {
            if let Err(why) = &host.reached {
                let text = format!("{} unreachable since {}: {why}", host.name, model.clock(host.since));
                self.sentence(("?", Role::Warn), Role::Warn, &text, 2);
            }
        }
    }

    /// Who may change it, while somebody may.
    fn lease(&mut self, name: &EnvironmentName) {
        let model = self.model;
        let Some((_, holder)) = model.samples.lease(name) else { return };
        // Of our own deployment the lines above tell enough, as long as it is heard of.
        let age = model.shown_at().since(holder.heartbeat);
        let role = if holder.ours && age < LEASE_QUIET { Role::Dim } else { Role::Warn };
        let text = format!(
            "lease: {} for {}, since {}, heartbeat {}",
            holder.who,
            holder.what,
            model.clock(holder.since),
            model.ago(holder.heartbeat)
        );
        self.sentence((self.model.theme.pick("⚿", "&"), role), role, &text, 2);
    }

    fn probe(&mut self, name: &EnvironmentName) {
        let model = self.model;
        let theme = &model.theme;
        let answers: Vec<&HttpSample> = model.samples.answers(name).collect();
        let path = answers.last().map_or_else(
            || {
                model
                    .state
                    .project
                    .as_ref()
                    .and_then(|project| project.environments.get(name))
                    .map_or("/", |one| one.health.path.as_str())
            },
            |answer| path_of(&answer.asked),
        );
        let mut words = Words::new(theme);
        match (&model.link, model.samples.answer(name, model.now, model.interval(name))) {
            (Link::Up, Measured::Fresh(answer)) => {
                let mark = if answer.healthy {
                    (theme.pick("●", "*"), Role::Good)
                } else {
                    (theme.glyph(Mark::Failed), Role::Bad)
                };
                words.add(mark.1, mark.0).add(Role::Text, &format!(" http {path}  "));
                words.add(if answer.healthy { Role::Text } else { Role::Bad }, &answer.why);
                match model.samples.unwell_since(name) {
                    // An answer that did not come has no latency; how long it lasts is what matters.
                    Some((at, earlier)) => {
                        let since = if earlier { "since before" } else { "since" };
                        words.add(Role::Bad, &format!(" {since} {}  ", model.clock(at)));
                    }
                    None => {
                        words.add(Role::Text, &format!("  {}  ", answer.latency));
                    }
                }
                let room = self.columns.saturating_sub(words.columns()).min(SPARKS);
                for (role, sign) in sparkline(theme, &answers, room) {
                    words.add(role, sign);
                }
            }
            (Link::Up, Measured::Stale(at)) => {
                words
                    .add(Role::Warn, "? unknown")
                    .add(Role::Dim, &format!("  http {path}, last asked {}", model.ago(at)));
            }
            (Link::Up, Measured::Never) => {
                words
                    .add(Role::Warn, "? unknown")
                    .add(Role::Dim, &format!("  http {path} was not asked yet"));
            }
            _ => {
                words.add(Role::Warn, "? unknown (no engine)").add(Role::Dim, &format!("  http {path}"));
            }
        }
        self.lines.push(words.line());
    }

    fn restarts(&mut self, name: &EnvironmentName) {
        let Some((_, samples)) = self.model.samples.last_replicas(name) else { return };
        let mut again: Vec<_> = samples.iter().filter(|sample| sample.restarts > 0).collect();
        again.sort_by_key(|sample| std::cmp::Reverse(sample.restarts));
        let sum: u32 = again.iter().map(|sample| sample.restarts).sum();
        if sum == 0 {
            return self.sentence((" ", Role::Dim), Role::Dim, "no restarts", 1);
        }
        let which: Vec<String> = again
            .iter()
            .map(|sample| {
                let exit = sample.last_exit.as_ref().map(|exit| format!(", {exit}")).unwrap_or_default();
                format!("{} {}×{exit}", sample.key, sample.restarts)
            })
            .collect();
        let times = if sum == 1 { "restart" } else { "restarts" };
        let text = format!("{sum} {times} · {}", which.join(" · "));
        self.sentence((self.model.theme.glyph(Mark::Inconclusive), Role::Warn), Role::Warn, &text, 2);
    }

    fn observed(&mut self, name: &EnvironmentName) {
        let model = self.model;
        let drift = model.drift(name);
        let seen = model.state.observed.get(name).map(|seen| {
            let what = match &seen.live {
                Some(live) if live.healthy => format!("{} well", live.deployment),
                Some(live) => format!("{} not well", live.deployment),
                None => "nothing of ours".to_owned(),
            };
            format!("observed {what} {}", model.ago(seen.at))
        });
        let none = if drift.is_empty() && model.state.under_way(name).is_none() { "drift: none" } else { "" };
        let parts: Vec<String> =
            seen.into_iter().chain((!none.is_empty()).then(|| none.to_owned())).collect();
        if !parts.is_empty() {
            self.sentence((" ", Role::Dim), Role::Dim, &parts.join(" · "), 1);
        }
    }

    fn drift(&mut self, name: &EnvironmentName) {
        let drift = self.model.drift(name);
        if !drift.is_empty() {
            let text = format!("drift: {}", drift.join("; "));
            let mark = (self.model.theme.glyph(Mark::Inconclusive), Role::Warn);
            self.sentence(mark, Role::Warn, &text, 3);
        }
    }

    fn way_back(&mut self, name: &EnvironmentName) {
        let text = rollback_hint(self.model, name);
        let word = back_word(self.model, name);
        let mut words = Words::new(&self.model.theme);
        words.add(Role::Text, "  ");
        let under_way = self.model.state.under_way(name);
        if under_way.is_some_and(|(_, one)| matches!(one.phase, DeploymentPhase::Held { .. })) {
            words.add(Role::Accent, "c").add(Role::Text, " go on  ");
        }
        match text {
            Ok((to, verdict)) => {
                words.add(Role::Accent, "R").add(Role::Text, &format!(" {word} → {to} "));
                words.add(verdict_role(&verdict), verdict_word(&verdict));
            }
            Err(why) => {
                words.add(Role::Dim, &format!("R rollback: {why}"));
            }
        }
        self.lines.push(words.line());
    }
}

/// The path of an address.
fn path_of(asked: &str) -> &str {
    let rest = asked.split_once("://").map_or(asked, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_follows_the_host() {
        assert_eq!(path_of("https://harbor.example/health"), "/health");
        assert_eq!(path_of("http://127.0.0.1:8000"), "/");
    }
}
