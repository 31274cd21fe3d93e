//! From drafts to stages: needs that exist, no cycle, an order in which every need comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::{Draft, Gone};
use super::steps;
use crate::config::{self, Mistake, Place as Written};
use crate::domain::ids::StepId;
use crate::domain::project::{Place, Stage, StageWork};

/// The stages in an order in which every need names an earlier one.
pub(super) fn settle(drafts: &[Draft], silent: &BTreeSet<String>, mistakes: &mut Vec<Mistake>) -> Vec<Stage> {
    let before = mistakes.len();
    let mut stages: Vec<Stage> = Vec::new();
    let mut places: BTreeMap<StepId, Written> = BTreeMap::new();
    for draft in drafts {
        unknown_needs(draft, drafts, silent, mistakes);
        if draft.gone.is_some() {
            continue;
        }
        let mut stage = draft.stage.clone();
        let mut needs = Vec::new();
        expand(&draft.stage, drafts, &mut BTreeSet::new(), &mut needs);
        needs.retain(|need| *need != stage.name);
        stage.needs = needs;
        if let Some(place) = draft.written.first().copied().or(draft.at) {
            places.insert(stage.name.clone(), place);
        }
        stages.push(stage);
    }
    if mistakes.len() > before {
        return stages;
    }
    let sorted = sort(stages, &places, mistakes);
    if mistakes.len() == before {
        candidates(&sorted, drafts, mistakes);
    }
    sorted
}

/// Follows a stage's needs through groups, replaced and removed steps to those that are there.
fn expand(stage: &Stage, drafts: &[Draft], seen: &mut BTreeSet<String>, needs: &mut Vec<StepId>) {
    for need in &stage.needs {
        for draft in named(need, &stage.name, drafts) {
            match &draft.gone {
                None if needs.contains(&draft.stage.name) => {}
                None => needs.push(draft.stage.name.clone()),
                Some(_) if !seen.insert(draft.stage.name.0.clone()) => {}
                Some(Gone::ReplacedBy(other)) if needs.contains(other) => {}
                Some(Gone::ReplacedBy(other)) => needs.push(other.clone()),
                Some(Gone::Disabled) => expand(&draft.stage, drafts, seen, needs),
            }
        }
    }
}

/// The stages that a need means: the one of that name, or every one of that group.
fn named<'a>(need: &StepId, by: &StepId, drafts: &'a [Draft]) -> Vec<&'a Draft> {
    if let Some(draft) = drafts.iter().find(|draft| &draft.stage.name == need) {
        return vec![draft];
    }
    drafts.iter().filter(|draft| draft.stage.group == need.0 && &draft.stage.name != by).collect()
}

fn unknown_needs(draft: &Draft, drafts: &[Draft], silent: &BTreeSet<String>, mistakes: &mut Vec<Mistake>) {
    for (index, need) in draft.stage.needs.iter().enumerate() {
        if !named(need, &draft.stage.name, drafts).is_empty() || silent.contains(&need.0) {
            continue;
        }
        let place = draft.written.get(index).copied().or(draft.at).unwrap_or(Written::START);
        let known = steps::group_of(need.as_str()).is_some()
            || steps::KNOWN.iter().any(|(_, group)| *group == need.as_str());
        let names = drafts.iter().filter(|draft| draft.gone.is_none()).map(|draft| draft.stage.name.as_str());
        let cure = match config::nearest(need.as_str(), names.clone()) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None if known => {
                "The project does not use it: remove the need, or add a [[stage]] of that name.".to_owned()
            }
            None => {
                let names: Vec<&str> = names.filter(|name| *name != draft.stage.name.as_str()).collect();
                match names.as_slice() {
                    [] => "There is no other stage: remove the need.".to_owned(),
                    names => format!("There are: {}.", names.join(", ")),
                }
            }
        };
        let message = format!("the stage \"{}\" needs \"{need}\", which does not exist.", draft.stage.name);
        mistakes.push(Mistake::new(place, message, cure));
    }
}

/// Puts every need before what needs it, and otherwise keeps the order.
fn sort(stages: Vec<Stage>, places: &BTreeMap<StepId, Written>, mistakes: &mut Vec<Mistake>) -> Vec<Stage> {
    let mut open = stages;
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut sorted = Vec::with_capacity(open.len());
    while let Some(index) = open.iter().position(|stage| stage.needs.iter().all(|need| done.contains(need))) {
        let stage = open.remove(index);
        done.insert(stage.name.clone());
        sorted.push(stage);
    }
    if let Some(cycle) = cycle(&open) {
        let words: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
        let place = cycle.iter().filter_map(|name| places.get(*name)).min().copied();
        mistakes.push(Mistake::new(
            place.unwrap_or(Written::START),
            format!("stages need each other in a circle: {}.", words.join(" needs ")),
            "Remove one of these needs.",
        ));
    }
    sorted.extend(open);
    sorted
}

/// A circle among stages that can never start: the first name comes again at its end.
fn cycle(open: &[Stage]) -> Option<Vec<&StepId>> {
    let mut path: Vec<&StepId> = vec![&open.first()?.name];
    loop {
        let last = *path.last()?;
        let stage = open.iter().find(|stage| &stage.name == last)?;
        let next = stage.needs.iter().find(|need| open.iter().any(|stage| &stage.name == *need))?;
        if let Some(start) = path.iter().position(|name| *name == next) {
            let mut cycle = path.split_off(start);
            cycle.push(next);
            return Some(cycle);
        }
        path.push(next);
    }
}

/// What runs in the candidate has to come after its build.
fn candidates(stages: &[Stage], drafts: &[Draft], mistakes: &mut Vec<Mistake>) {
    let mut after: BTreeSet<&StepId> = BTreeSet::new();
    for stage in stages {
        if stage.work == StageWork::Candidate || stage.needs.iter().any(|need| after.contains(need)) {
            after.insert(&stage.name);
        }
        let in_candidate = matches!(
            stage.work,
            StageWork::Exec { place: Place::Candidate, .. } | StageWork::Migrations | StageWork::MigrateEmpty
        );
        if in_candidate && !after.contains(&stage.name) {
            let place = drafts.iter().find(|draft| draft.stage.name == stage.name).and_then(|draft| draft.at);
            mistakes.push(Mistake::new(
                place.unwrap_or(Written::START),
                format!("the stage \"{}\" runs in the candidate but does not need it.", stage.name),
                "Add \"candidate\" to its needs, or write in = \"source\".",
            ));
        }
    }
}
