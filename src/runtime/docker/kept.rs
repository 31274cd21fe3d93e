//! A failed step's containers, kept for a while: the last of them as an image to look around in, what was beside it
//! running, all of it still under the attempt's mark, by which it is removed later.

use std::collections::BTreeMap;

use bollard::models::ContainerConfig;
use bollard::query_parameters::CommitContainerOptionsBuilder;

use crate::docker::files::LONG;
use crate::docker::{Engine, trouble};
use crate::domain::plan::{Kept, KeptContainer};
use crate::domain::project::Host;
use crate::domain::time::{Millis, Timestamp};
use crate::runtime::log;
use crate::runtime::workbench::Workbench;

/// For how long. Somebody who is told of a failure, and reads it, looks within half an hour; longer, a database and a
/// copy of the workspace an attempt would fill the machine of a project that fails often.
pub const FOR: Millis = Millis::minutes(30);
/// Another time, in seconds; for tests.
pub const FOR_VARIABLE: &str = "TOWPATH_KEEP_SECONDS";

/// The container of a step's last command. It has ended, and is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// On which engine.
    pub host: Host,
    /// Its id.
    pub id: String,
    /// Where its command ran.
    pub workdir: String,
    /// The environment on top of its image's.
    pub env: BTreeMap<String, String>,
    /// The network that it was on; `None` is the engine's own.
    pub network: Option<String>,
}

/// Keeps the container of the step's last command, with what is beside it. `None` where no command ran in one, or it
/// cannot be kept (the log says why): then all of it is to be removed.
pub async fn keep(bench: &mut Workbench) -> Option<Kept> {
    let ended = bench.take_ended()?;
    match commit(bench, &ended).await {
        Ok(kept) => {
            let until = kept.container.as_ref().map_or(Timestamp(0), |container| container.until);
            bench.say(&format!(
                "The container is kept for {} with what is beside it.",
                until.since(log::now())
            ));
            Some(kept)
        }
        Err(cause) => {
            bench.say(&format!("The container is not kept: {}.", cause.summary));
            None
        }
    }
}

async fn commit(bench: &Workbench, ended: &Ended) -> trouble::Result<Kept> {
    let engine = Engine::connect(&ended.host, &bench.work()).await?;
    let env = bench.without_secrets(ended.env.clone());
    // A commit keeps the container's variables; those that look like secrets are said anew, as nothing.
    let hidden = ended.env.keys().filter(|name| !env.contains_key(*name));
    let config = ContainerConfig {
        env: Some(hidden.map(|name| format!("{name}=")).collect()),
        ..ContainerConfig::default()
    };
    // Its labels go over to the image, the attempt's mark with them.
    let options = CommitContainerOptionsBuilder::default().container(&ended.id).pause(false).build();
    let client = engine.client().clone().with_timeout(LONG);
    let made = client.commit_container(options, config).await;
    let image =
        made.map_err(|error| trouble::cause(engine.name(), "no image of it could be made", &error))?.id;
    let given = bench.spec().env.get(FOR_VARIABLE).and_then(|text| text.parse().ok());
    let kept_for = given.map_or(FOR, Millis::seconds);
    Ok(Kept {
        directory: ended.workdir.clone(),
        env,
        container: Some(KeptContainer {
            host: ended.host.clone(),
            image,
            id: ended.id.clone(),
            network: ended.network.clone().unwrap_or_default(),
            until: Timestamp(log::now().0.saturating_add(i64::try_from(kept_for.0).unwrap_or(i64::MAX))),
        }),
    })
}
