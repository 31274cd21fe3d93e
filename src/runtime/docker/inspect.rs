//! What migrations an image carries: asked of Django itself, in a container, without a database.

use crate::domain::plan::{Output, Setting};
use crate::domain::release::Artifact;
use crate::runtime::python::halt::{Halt, done};
use crate::runtime::python::{django, inspect};
use crate::runtime::workbench::{Done, Workbench};

use super::stand::Stand;

/// Inspects the candidate's migrations.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, setting: &Setting, artifact: &Artifact) -> anyhow::Result<Done> {
    let mut output = Output::default();
    let work = ask(bench, setting, artifact, &mut output).await;
    done(work, output)
}

async fn ask(
    bench: &mut Workbench,
    setting: &Setting,
    artifact: &Artifact,
    output: &mut Output,
) -> Result<(), Halt> {
    let mut stand = Stand::in_candidate(bench, artifact).await?;
    stand.use_settings_of(setting);
    match stand.ask(bench, inspect::INTROSPECT).await? {
        Ok(answer) => inspect::read(answer, output),
        Err(ended) => Err(django::not_loaded(&ended).into()),
    }
}
