//! Command lines of the pipeline in containers.

use crate::docker::run::Command;
use crate::domain::plan::{Exec, Output, Verdict};
use crate::domain::project::{Place, ProjectKind};
use crate::runtime::python::halt::{Halt, done};
use crate::runtime::python::overlay;
use crate::runtime::workbench::{Done, Workbench};

use super::once::carry;
use super::stand::{Stand, candidate};

/// Runs a command line in the candidate or in an image, and judges how it ended.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, exec: &Exec) -> anyhow::Result<Done> {
    let mut output = Output::default();
    match carry_out(bench, exec, &mut output).await {
        Ok(verdict) => Ok(Done { verdict, output }),
        Err(halt) => done(Err(halt), output),
    }
}

async fn carry_out(bench: &mut Workbench, exec: &Exec, output: &mut Output) -> Result<Verdict, Halt> {
    let mut stand = match (&exec.place, candidate(bench)) {
        (Place::Image(name), _) => Stand::in_image(bench, name).await?,
        (_, Some(artifact)) => Stand::in_candidate(bench, &artifact).await?,
        (_, None) => {
            return Err(anyhow::anyhow!(
                "no step before this one built a candidate; name the candidate in the stage's `needs`"
            )
            .into());
        }
    };
    output.facts.append(&mut stand.beside.facts);
    output.findings.append(&mut stand.findings);
    if exec.setting.kind == ProjectKind::Django
        && exec.place == Place::Candidate
        && !exec.setting.env.contains_key("DJANGO_SETTINGS_MODULE")
    {
        // Over the image's own: a Dockerfile that sets production's must not have the tests run on them.
        let module = match overlay::is_test(&exec.run) {
            true => overlay::pytest_settings(&stand.source, &exec.run),
            false => exec.setting.settings.clone(),
        };
        if let Some(module) = module {
            stand.env.insert("DJANGO_SETTINGS_MODULE".to_owned(), module);
        }
    }
    bench.say(&format!("$ {}", exec.run));
    let carried = carry(bench, &stand.ground, stand.one(Command::Shell(exec.run.clone())), false).await?;
    bench.say(&format!("{} after {}", carried.ended.exit, carried.ended.took));
    if let Some(cause) = carried.out_of_memory() {
        return Ok(Verdict::Failed(cause));
    }
    let judged = crate::runtime::exec::judged(exec.judge, &carried.ended);
    output.facts.extend(judged.facts);
    output.findings.extend(judged.findings);
    Ok(judged.verdict)
}
