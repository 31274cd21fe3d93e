//! The project's own command lines: hooks and smoke tests, with the release's files.

use anyhow::Result;

use super::{Deploy, failed, passed, place};
use crate::domain::plan::{Hook, Moment};
use crate::runtime::command::CommandLine;
use crate::runtime::workbench::{Done, Workbench};

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, hook: &Hook) -> Result<Done> {
    let secrets = match place::secrets(bench, deploy).await {
        Ok(secrets) => secrets,
        Err(cause) => return Ok(failed(cause)),
    };
    let (cwd, env) = place::of_hook(bench, deploy, &hook.target).await?;
    bench.say(&format!("$ {}", hook.run));
    let line = CommandLine::shell(&hook.run).cwd(&cwd).envs(env).envs(secrets);
    let ended = bench.run(line).await?;
    if ended.success() {
        return Ok(passed([]));
    }
    let what = match hook.moment {
        Moment::Smoke => "the smoke test failed",
        Moment::Before | Moment::AfterMigrate | Moment::After => "the hook failed",
    };
    let mut cause = ended.cause(format!("{what}: {}", hook.run));
    cause.cure = match hook.moment {
        Moment::Before => "Nothing was touched. Mend what it says, then promote again.".to_owned(),
        _ => String::new(),
    };
    Ok(failed(cause))
}
