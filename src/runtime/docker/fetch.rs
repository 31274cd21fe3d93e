//! The image at every host of the environment: brought there, and by its id the one that was tested.

use bollard::auth::DockerCredentials;
use futures_util::future::join_all;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::docker::credentials::Keyring;
use crate::docker::tags::{self, split};
use crate::docker::transfer::{Wanted, registry, stream};
use crate::docker::{Engine, Result};
use crate::domain::plan::{Cause, Target};
use crate::domain::project::Host;
use crate::runtime::deploy::Deploy;
use crate::runtime::workbench::Workbench;

/// A line of progress each time that this much more has gone, per cent.
const TELL_EVERY: u64 = 10;

/// Brings the image to every host that has not got it, and says how many have it.
///
/// # Errors
/// Every host that is down, could not take it, or has another image under its name. Nothing is started then.
pub async fn run(bench: &mut Workbench, deploy: &Deploy, target: &Target) -> Result<Vec<String>> {
    let (tell, mut told) = unbounded_channel();
    let work = bring(deploy, target, tell);
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            Some(line) = told.recv() => bench.say(&line),
        }
    };
    while let Ok(line) = told.try_recv() {
        bench.say(&line);
    }
    done
}

async fn bring(deploy: &Deploy, target: &Target, tell: UnboundedSender<String>) -> Result<Vec<String>> {
    let hosts = &deploy.settings.hosts;
    if hosts.is_empty() {
        return Err(Box::new(no_hosts(deploy)));
    }
    let wanted = Wanted { id: target.artifact.id.0.clone(), location: target.artifact.location.clone() };
    let engines = join_all(hosts.iter().map(|host| Engine::connect(host, &deploy.home))).await;
    let engines = together(hosts, engines, "cannot be reached")?;
    let has = join_all(engines.iter().map(|engine| wanted.is_at(engine))).await;
    let has = together(hosts, has, "cannot have the image")?;
    let missing: Vec<&Engine> =
        engines.iter().zip(&has).filter(|(_, has)| !**has).map(|(engine, _)| engine).collect();
    let mut facts = Vec::new();
    if !missing.is_empty() {
        let there: Vec<&Engine> =
            engines.iter().zip(&has).filter(|(_, has)| **has).map(|(engine, _)| engine).collect();
        facts.push(send(deploy, &wanted, &there, &missing, &tell).await?);
    }
    // What was brought a minute ago is looked at again: between then and now nobody holds the name.
    let ids = join_all(engines.iter().map(|engine| wanted.is_at(engine))).await;
    let ids = together(hosts, ids, "cannot have the image")?;
    for (engine, has) in engines.iter().zip(ids) {
        let _ = tell.send(format!("{} has {}: {has}.", engine.name(), wanted.id));
        if !has {
            return Err(Box::new(lost(engine, &wanted)));
        }
    }
    let short = target.artifact.id.short();
    facts.insert(
        0,
        match engines.len() {
            1 => format!("1 host has {short}"),
            count => format!("{count} hosts have {short}"),
        },
    );
    Ok(facts)
}

/// Brings it to those that miss it; a fact that says how.
async fn send(
    deploy: &Deploy,
    wanted: &Wanted,
    there: &[&Engine],
    missing: &[&Engine],
    tell: &UnboundedSender<String>,
) -> Result<String> {
    let builder = source(deploy, wanted).await;
    // An engine that lost it is no reason to fail while another one has it.
    let from = builder.as_ref().ok().or_else(|| there.first().copied());
    let names: Vec<&str> = missing.iter().map(|engine| engine.name()).collect();
    let push = deploy.serving.image.as_ref().is_some_and(|image| image.push);
    let hosts: Vec<Host> = missing.iter().map(|engine| engine.host().clone()).collect();
    let doing = "could not be given the image";
    if push {
        let name = split(&wanted.location).0;
        let credentials = Keyring::of_user()?.of_image(name).await?;
        let digest = published(wanted, from, missing, credentials.as_ref(), tell).await?;
        let pulls = missing.iter().map(|engine| {
            let (digest, credentials) = (&digest, credentials.as_ref());
            async move {
                let mut progress = progress(engine, "pulled", tell);
                registry::pull(engine, wanted, digest, credentials, &mut progress).await
            }
        });
        together(&hosts, join_all(pulls).await, doing)?;
        return Ok(format!("{} pulled {}", names.join(", "), digest.get(..19).unwrap_or(&digest)));
    }
    let from = match (from, builder.as_ref().err()) {
        (Some(from), _) => from,
        (None, Some(cause)) => return Err(cause.clone()),
        (None, None) => return Err(Box::new(no_hosts(deploy))),
    };
    let _ = tell.send(format!("Sending {} from {} to {}.", wanted.location, from.name(), names.join(", ")));
    let sends = missing.iter().map(|engine| async move {
        let mut progress = progress(engine, "taken", tell);
        stream::bring(from, engine, wanted, &mut progress).await
    });
    together(&hosts, join_all(sends).await, doing)?;
    Ok(format!("sent to {}", names.join(", ")))
}

/// The digest under which the registry has it: pushed where an engine has it, otherwise as the registry says; the id is
/// compared after the pull in either case.
async fn published(
    wanted: &Wanted,
    from: Option<&Engine>,
    missing: &[&Engine],
    credentials: Option<&DockerCredentials>,
    tell: &UnboundedSender<String>,
) -> Result<String> {
    if let Some(from) = from {
        let mut progress = progress(from, "pushed", tell);
        return registry::push(from, wanted, credentials, &mut progress).await;
    }
    let through = missing.first().ok_or_else(|| Box::new(Cause::default()))?;
    let found = registry::digest(through, &wanted.location, credentials).await?;
    found.ok_or_else(|| Box::new(lost(through, wanted)))
}

/// The engine that built it, where it still has it.
async fn source(deploy: &Deploy, wanted: &Wanted) -> Result<Engine> {
    let engine = Engine::connect(&Host::usual(), &deploy.home).await?;
    match tags::find(&engine, &wanted.id).await? {
        Some(_) => Ok(engine),
        None => Err(Box::new(lost(&engine, wanted))),
    }
}

/// Says how far a host is, now and then.
fn progress<'a>(
    engine: &'a Engine,
    what: &'static str,
    tell: &'a UnboundedSender<String>,
) -> impl FnMut(u64, u64) + Send + 'a {
    let mut said = 0;
    move |went, all| {
        // What is known of the whole grows while layers are told of: never back.
        let part = (went.min(all) * 100).checked_div(all).unwrap_or(0) / TELL_EVERY;
        if part > said {
            said = part;
            let mega = |bytes: u64| bytes.div_ceil(1_000_000);
            let _ =
                tell.send(format!("{}: {} of {} MB {what}", engine.name(), mega(went), mega(all.max(went))));
        }
    }
}

/// All of them, or one cause that names each that failed.
fn together<T>(hosts: &[Host], results: Vec<Result<T>>, doing: &str) -> Result<Vec<T>> {
    let (mut well, mut failed) = (Vec::new(), Vec::new());
    for (host, result) in hosts.iter().zip(results) {
        match result {
            Ok(value) => well.push(value),
            Err(cause) => failed.push((host.name.as_str(), cause)),
        }
    }
    match failed.len() {
        0 => Ok(well),
        1 => Err(failed.swap_remove(0).1),
        count => {
            let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
            let lines = failed.iter().map(|(name, cause)| format!("{name}: {}", cause.summary));
            // Often one cure serves all; each is said once.
            let mut cures: Vec<&str> = failed.iter().map(|(_, cause)| cause.cure.as_str()).collect();
            cures.dedup();
            Err(Box::new(Cause {
                summary: format!("{count} of {} hosts {doing}: {}", hosts.len(), names.join(", ")),
                expected: "every host of the environment with the image that was tested".to_owned(),
                measured: failed
                    .iter()
                    .map(|(name, cause)| format!("{name}: {}", cause.measured))
                    .collect::<Vec<_>>()
                    .join("; "),
                last_lines: lines.collect(),
                cure: cures.join("\n"),
                ..Cause::default()
            }))
        }
    }
}

fn lost(engine: &Engine, wanted: &Wanted) -> Cause {
    Cause {
        summary: format!(
            "{} is not on {} any more, nor on any host of the environment",
            wanted.location,
            engine.name()
        ),
        expected: wanted.id.clone(),
        measured: "no such image".to_owned(),
        cure: "Somebody removed it. Run the commit again: that makes a new release with an image of its own."
            .to_owned(),
        ..Cause::default()
    }
}

fn no_hosts(deploy: &Deploy) -> Cause {
    Cause {
        summary: format!("{} has no host to bring an image to", deploy.environment),
        expected: "at least one Docker engine".to_owned(),
        measured: "none".to_owned(),
        cure: format!("Name its engines: `hosts` in [environment.{}].", deploy.environment),
        ..Cause::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_that_failed_is_named() {
        let host = |name: &str| Host { name: name.into(), ..Host::usual() };
        let hosts = [host("a"), host("b"), host("c")];
        let cause = |words: &str| {
            let (summary, measured) = (format!("{words} is down"), "refused".to_owned());
            Box::new(Cause { summary, measured, cure: "Start it.".into(), ..Cause::default() })
        };
        let one = together(&hosts, vec![Ok(1), Err(cause("b")), Ok(3)], "cannot be reached").unwrap_err();
        assert_eq!(one.summary, "b is down");
        let two =
            together(&hosts, vec![Err::<u8, _>(cause("a")), Ok(2), Err(cause("c"))], "cannot be reached");
        let two = two.unwrap_err();
        assert_eq!(two.summary, "2 of 3 hosts cannot be reached: a, c");
        assert_eq!(two.last_lines, ["a: a is down", "c: c is down"]);
        assert_eq!(two.cure, "Start it.");
    }
}
