//! What `[[stage]]` changes about the preset's steps, and the stages of a project's own.

use std::collections::{BTreeMap, BTreeSet};

use super::judge;
use super::services;
use super::steps;
use crate::config::{self, Mistake, Place as Written, StageTable};
use crate::domain::finding::Finding;
use crate::domain::ids::StepId;
use crate::domain::project::{ContainerService, Place, RuntimeKind, Service, Stage, StageWork, When};

/// A stage while the pipeline is put together.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) stage: Stage,
    /// Where each of its needs is written; empty where they are the preset's.
    pub(super) written: Vec<Written>,
    /// Whether its needs are written, though they may be none.
    pub(super) needs_written: bool,
    /// The services that are written; `None` where they are the preset's.
    pub(super) services: Option<Vec<config::Written<String>>>,
    /// Where the stage itself is written.
    pub(super) at: Option<Written>,
    /// Removed by `enabled = false`, or replaced by the step of its group.
    pub(super) gone: Option<Gone>,
}

impl Draft {
    const fn new(stage: Stage, at: Option<Written>) -> Self {
        Self { stage, written: Vec::new(), needs_written: false, services: None, at, gone: None }
    }
}

/// Why a step is not there although it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// Whoever needs it needs what it needs.
    Disabled,
    /// Whoever needs it needs this step.
    ReplacedBy(StepId),
}

/// The stages after the configuration's word, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) drafts: Vec<Draft>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) detected: Vec<String>,
    /// Names that exist for the preset but are not in this project; needing them is needing nothing.
    pub(super) silent: BTreeSet<String>,
    /// Names of steps of which the preset's word does not hold any more.
    pub(super) overruled: BTreeSet<String>,
    /// The throw-away containers that stages may have beside them, by name.
    pub(super) services: BTreeMap<String, ContainerService>,
    pub(super) findings: Vec<Finding>,
}

/// Environment variables that would lead a step past the throw-away server that runs beside it.
const DATABASE_VARIABLES: [&str; 6] =
    ["DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"];

/// Applies the configuration's stages to the preset's.
pub(super) fn apply(preset: Vec<Stage>, file: &config::File, runtime: RuntimeKind) -> Applied {
    let mut applied = Applied {
        drafts: preset.into_iter().map(|stage| Draft::new(stage, None)).collect(),
        ..Applied::default()
    };
    for table in &file.stages {
        if let Some(place) = table.place.as_ref().filter(|place| matches!(place.value, Place::Image(_)))
            && runtime == RuntimeKind::Process
        {
            applied.mistakes.push(Mistake::new(
                place.place,
                "a stage in an image needs containers, and the runtime is process.",
                "Write runtime = \"docker\" under [artifact], or in = \"source\".",
            ));
        }
        let name = &table.name.value;
        let step = applied.drafts.iter().position(|draft| draft.at.is_none() && &draft.stage.name.0 == name);
        // `test` is a step and a group: the name means the step, even where this project has none.
        let is_group = steps::group_of(name).is_none()
            && applied.drafts.iter().any(|draft| draft.at.is_none() && &draft.stage.group == name);
        match step {
            Some(index) => change_step(&mut applied, index, table),
            None if is_group => change_group(&mut applied, table),
            None => add(&mut applied, table),
        }
    }
    candidate_needs_checks(&mut applied.drafts);
    applied.services = services::settle(&mut applied.drafts, file, runtime, &mut applied.mistakes);
    applied.findings = services::unused(&applied.drafts, file);
    build_environment(&mut applied.drafts, file);
    applied
}

fn is_off(table: &StageTable) -> bool {
    table.enabled.as_ref().is_some_and(|enabled| !enabled.value)
}

/// A stage of a preset step's name overrides only the keys that it writes.
fn change_step(applied: &mut Applied, index: usize, table: &StageTable) {
    let Some(draft) = applied.drafts.get_mut(index) else { return };
    let name = table.name.value.as_str();
    draft.at = Some(table.name.place);
    if is_off(table) {
        applied.overruled.insert(name.to_owned());
        applied.detected.push(format!("{name}: no step, towpath.toml removes it"));
        draft.gone = Some(Gone::Disabled);
        return;
    }
    let keeps_its_work = matches!(draft.stage.work, StageWork::Install | StageWork::Candidate);
    if let Some(run) = &table.run {
        if keeps_its_work {
            applied.mistakes.push(Mistake::new(
                run.place,
                format!(
                    "the step \"{name}\" has work of its own that later steps stand on; it takes no command."
                ),
                "Give the command to a stage of another name.",
            ));
        } else {
            let place = match (&table.place, &draft.stage.work) {
                (Some(place), _) => place.value.clone(),
                (None, StageWork::Exec { place, .. }) => place.clone(),
                (None, _) => Place::Candidate,
            };
            draft.stage.work =
                StageWork::Exec { run: run.value.clone(), place, judge: judge::of_command(&run.value) };
            applied.overruled.insert(name.to_owned());
            applied
                .detected
                .push(format!("{name}: {} (towpath.toml)", run.value.lines().next().unwrap_or("")));
        }
    } else if let Some(wanted) = &table.place {
        match &mut draft.stage.work {
            StageWork::Exec { place, .. } => *place = wanted.value.clone(),
            _ => applied.mistakes.push(Mistake::new(
                wanted.place,
                format!("the step \"{name}\" has a place of its own; \"in\" does not apply to it."),
                "Remove it.",
            )),
        }
    }
    if let Some(services) = table.services.as_ref().filter(|services| keeps_its_work && !services.is_empty())
    {
        applied.mistakes.push(Mistake::new(
            services.first().map_or(table.name.place, |service| service.place),
            format!("the step \"{name}\" runs nothing that could use a service."),
            "Remove services.",
        ));
    }
    write(draft, table);
}

/// The keys that mean the same for every stage.
fn write(draft: &mut Draft, table: &StageTable) {
    if let Some(needs) = &table.needs {
        draft.stage.needs = needs.iter().map(|need| StepId(need.value.clone())).collect();
        draft.written = needs.iter().map(|need| need.place).collect();
        draft.needs_written = true;
    }
    if table.services.is_some() {
        draft.services.clone_from(&table.services);
    }
    if let Some(env) = &table.env {
        draft.stage.env = env.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect();
    }
    if let Some(timeout) = &table.timeout {
        draft.stage.timeout = timeout.value;
    }
    if let Some(retries) = &table.retries {
        draft.stage.retries = retries.value;
    }
    if let Some(when) = &table.when {
        draft.stage.when = when.value.clone();
    }
    if let Some(group) = &table.group {
        draft.stage.group.clone_from(&group.value);
    }
}

/// A stage named as a group of the preset replaces or removes the whole group.
fn change_group(applied: &mut Applied, table: &StageTable) {
    let group = table.name.value.clone();
    let off = is_off(table);
    if !off && table.run.is_none() {
        let members: Vec<&str> = members(&applied.drafts, &group);
        let cure = format!(
            "Write run = \"…\" to replace the group, enabled = false to remove it, or a [[stage]] for one of its \
             steps: {}.",
            members.join(", ")
        );
        let message = format!("\"{group}\" is a group of steps; a stage of its name needs a command.");
        applied.mistakes.push(Mistake::new(table.name.place, message, cure));
        return;
    }
    let first =
        applied.drafts.iter().position(|draft| draft.stage.group == group).unwrap_or(applied.drafts.len());
    let gone = if off { Gone::Disabled } else { Gone::ReplacedBy(StepId(group.clone())) };
    let mut needs: Vec<StepId> = Vec::new();
    let mut replaced: Vec<String> = Vec::new();
    for draft in applied.drafts.iter_mut().filter(|draft| draft.stage.group == group && draft.at.is_none()) {
        for need in &draft.stage.needs {
            if !needs.contains(need) {
                needs.push(need.clone());
            }
        }
        applied.overruled.insert(draft.stage.name.0.clone());
        replaced.push(draft.stage.name.0.clone());
        draft.gone = Some(gone.clone());
    }
    if off {
        applied.detected.push(format!("{group}: no steps, towpath.toml removes {}", replaced.join(", ")));
        return;
    }
    let in_candidate = group != "lint" && group != "security";
    if let Some(mut draft) =
        new_stage(applied, table, if in_candidate { Place::Candidate } else { Place::Source })
    {
        let run = table.run.as_ref().map_or("", |run| run.value.lines().next().unwrap_or(""));
        let replaced = replaced.join(", ");
        applied.detected.push(format!("{group}: {run} (towpath.toml, in the place of {replaced})"));
        if table.needs.is_none() {
            draft.stage.needs = needs;
        }
        if table.group.is_none() {
            draft.stage.group.clone_from(&group);
        }
        applied.drafts.insert(first, draft);
    }
}

/// The preset's steps of a group that are there.
fn members<'a>(drafts: &'a [Draft], group: &str) -> Vec<&'a str> {
    let there = drafts.iter().filter(|draft| draft.stage.group == group && draft.at.is_none());
    there.map(|draft| draft.stage.name.as_str()).collect()
}

/// A stage of the project's own.
fn add(applied: &mut Applied, table: &StageTable) {
    let name = table.name.value.as_str();
    let known_group = steps::KNOWN.iter().any(|(_, group)| *group == name);
    let known = steps::group_of(name).or(known_group.then_some(name));
    if is_off(table) && table.run.is_none() {
        // Removing what is not there is no mistake: another branch of the project may have it.
        applied.silent.insert(name.to_owned());
        applied.overruled.insert(name.to_owned());
        applied.detected.push(format!("{name}: no step; towpath.toml removes it, and the project has none"));
        return;
    }
    if table.run.is_none() {
        let (message, cure) = match known {
            Some(_) => (
                format!("this project has no step \"{name}\" that could be changed."),
                format!(
                    "Add what it uses to the dependencies, or give the stage a command: run = \"{name} …\"."
                ),
            ),
            None => {
                let names = applied.drafts.iter().map(|draft| draft.stage.name.as_str());
                let near = config::nearest(name, names);
                let cure = near.map_or_else(
                    || "Add run = \"…\".".to_owned(),
                    |near| format!("Add run = \"…\", or did you mean \"{near}\"?"),
                );
                (format!("the stage \"{name}\" has no command."), cure)
            }
        };
        applied.mistakes.push(Mistake::new(table.name.place, message, cure));
        return;
    }
    if name == "release" {
        applied.mistakes.push(Mistake::new(
            table.name.place,
            "\"release\" is what the pipeline ends in; no stage can be called so.",
            "Rename the stage.",
        ));
        return;
    }
    // What the preset would run in the candidate runs there too when the project says how.
    let built = applied.drafts.iter().any(|draft| draft.stage.work == StageWork::Candidate);
    let usual = match known {
        Some("test" | "migrations") if built => Place::Candidate,
        _ => Place::Source,
    };
    let Some(mut draft) = new_stage(applied, table, usual) else { return };
    if let Some(group) = known.filter(|_| table.group.is_none()) {
        group.clone_into(&mut draft.stage.group);
    }
    applied.overruled.insert(name.to_owned());
    if is_off(table) {
        draft.gone = Some(Gone::Disabled);
        applied.detected.push(format!("{name}: no step, towpath.toml removes it"));
    } else {
        let run = table.run.as_ref().map_or("", |run| run.value.lines().next().unwrap_or(""));
        applied.detected.push(format!("{name}: {run} (towpath.toml)"));
    }
    applied.drafts.push(draft);
}

/// A stage with a command, with the defaults of a stage of one's own.
fn new_stage(applied: &Applied, table: &StageTable, usual: Place) -> Option<Draft> {
    let run = table.run.as_ref()?;
    let place = table.place.as_ref().map_or(usual, |place| place.value.clone());
    let wanted = match place {
        // An image brings what it needs; the checks that come before it are those of the source.
        Place::Source | Place::Image(_) => "install",
        Place::Candidate => "candidate",
    };
    // A need on `candidate` stays where there is none: it is then said to be missing.
    let there =
        place == Place::Candidate || applied.drafts.iter().any(|draft| draft.stage.name.as_str() == wanted);
    let stage = Stage {
        name: StepId(table.name.value.clone()),
        group: table.name.value.clone(),
        needs: if there { vec![StepId::from(wanted)] } else { Vec::new() },
        work: StageWork::Exec { run: run.value.clone(), place, judge: judge::of_command(&run.value) },
        services: Vec::new(),
        env: BTreeMap::new(),
        timeout: config::STAGE_TIMEOUT,
        retries: 0,
        when: When::Always,
    };
    let mut draft = Draft::new(stage, Some(table.name.place));
    write(&mut draft, table);
    Some(draft)
}

/// The candidate needs every check of the source, the project's own ones included, unless it says otherwise.
fn candidate_needs_checks(drafts: &mut [Draft]) {
    let is_check = |draft: &Draft| {
        let group = draft.stage.group.as_str();
        let before_it =
            matches!(&draft.stage.work, StageWork::Exec { place, .. } if *place != Place::Candidate);
        (group == "lint" || group == "security") && before_it
    };
    let checks: Vec<StepId> =
        drafts.iter().filter(|draft| is_check(draft)).map(|draft| draft.stage.name.clone()).collect();
    let candidate =
        drafts.iter_mut().find(|draft| draft.stage.work == StageWork::Candidate && !draft.needs_written);
    if let Some(candidate) = candidate {
        candidate.stage.needs.extend(checks);
    }
}

/// What runs in the candidate has the build's environment: the settings read the same variables.
fn build_environment(drafts: &mut [Draft], file: &config::File) {
    let Some(env) = &file.artifact.env else { return };
    for draft in drafts {
        let stage = &mut draft.stage;
        let in_candidate = matches!(
            stage.work,
            StageWork::Exec { place: Place::Candidate, .. } | StageWork::Migrations | StageWork::MigrateEmpty
        );
        if !in_candidate {
            continue;
        }
        for (name, value) in env {
            let database = stage.services.iter().any(Service::is_database);
            let past_the_service = database && DATABASE_VARIABLES.contains(&name.as_str());
            if !past_the_service {
                stage.env.entry(name.clone()).or_insert_with(|| value.value.clone());
            }
        }
    }
}
