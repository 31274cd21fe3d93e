//! An environment's lease on the engines that it runs on: one deployment at a time, whichever machine starts it. It is
//! a container that is never started; creating one under a taken name is refused, and that is the mutual exclusion.
//! It carries a heartbeat, and runs out: no lease is held by nobody.
//!
//! An engine cannot check a token. Before each mutation a step asks again ([`Lease::check`]); what is left is the
//! moment between that look and the mutation, while the lease has at least half of its time left. All times are the
//! engine's own clock's, so consoles whose clocks differ agree.
//!
//! `docker container prune` takes a lease away. Then its holder is refused, and does not take it again by itself:
//! somebody else may have had it meanwhile.

mod holding;

use std::path::{Path, PathBuf};

use futures_util::future::{join_all, try_join_all};

use self::holding::{Holding, Made};
use super::connect::Engine;
use crate::domain::health::LeaseHolder;
use crate::domain::ids::{DeploymentId, EnvironmentName, Epoch};
use crate::domain::plan::Cause;
use crate::domain::time::{Millis, Timestamp};

/// Without a heartbeat for this long it may be taken over: six times the heartbeat, and a console that is started again
/// takes one up in less. (With three times, half of which a step wants left, one slow answer of a loaded host ended
/// deployments that nobody contested.) The same as of a lease in a file.
pub const TTL: Millis = Millis::seconds(60);
/// How often it is renewed.
pub const HEARTBEAT: Millis = Millis::seconds(10);

/// How often two that ask at once may take turns before one gives up: each turn ends with a holder.
const TURNS: u32 = 40;

/// Why it is not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else has it, or it is gone: a clause that says who.
    Held(String),
    /// It is ours, and was not renewed for long: an engine that was away for a while gets it renewed soon, if whoever
    /// renews it lives.
    Stale(String),
    /// An engine could not be asked. Nothing is known; asking again is right.
    Unasked(Box<Cause>),
}

impl From<Box<Cause>> for Refusal {
    fn from(cause: Box<Cause>) -> Self {
        Self::Unasked(cause)
    }
}

/// Whether it is had.
pub type Result<T> = std::result::Result<T, Refusal>;

/// Who asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Its state directory's and its machine's hash: two clones of a project are two, and so are two machines.
    engine: String,
    /// The repository that is deployed from.
    repository: PathBuf,
    /// A person and a machine: `anna@build1`.
    who: String,
}

impl Asker {
    /// This process's user on this machine, whose engine has its state in `state`.
    #[must_use]
    pub fn here(state: &Path, repository: &Path) -> Self {
        use sha2::{Digest as _, Sha256};
        let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let machine = read("/proc/sys/kernel/hostname");
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.map_or_else(|| "somebody".to_owned(), |user| user.name);
        let mut hash = Sha256::new();
        for part in [read("/etc/machine-id"), machine.clone(), state.display().to_string()] {
            hash.update(part);
            hash.update([0]);
        }
        let engine = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { engine, repository: repository.to_owned(), who: format!("{user}@{machine}") }
    }
}

/// An environment's lease, on all of its engines at once.
#[derive(Debug, Clone)]
pub struct Lease<'a> {
    engines: Vec<&'a Engine>,
    project: &'a str,
    environment: &'a EnvironmentName,
}

impl<'a> Lease<'a> {
    /// The lease of an environment on these engines. Whatever their order, they are asked in that of their urls: two
    /// that ask at once meet at the same engine first.
    #[must_use]
    pub fn new(
        engines: impl IntoIterator<Item = &'a Engine>,
        project: &'a str,
        environment: &'a EnvironmentName,
    ) -> Self {
        let mut engines: Vec<&Engine> = engines.into_iter().collect();
        engines.sort_by(|one, other| (&one.host().url, one.name()).cmp(&(&other.host().url, other.name())));
        Self { engines, project, environment }
    }

    fn at(&self, engine: &'a Engine) -> Holding<'a> {
        Holding { engine, project: self.project, environment: self.environment }
    }

    /// Takes it on every engine, or on none. The same deployment of the same asker gets what it had.
    ///
    /// # Errors
    /// Who holds it, or which engine could not be asked.
    pub async fn acquire(&self, asker: &Asker, deployment: DeploymentId) -> Result<Epoch> {
        let looks = self.engines.iter().map(|&engine| async move {
            let holding = self.at(engine);
            let (now, made) = (engine.now().await?, holding.look().await?);
            Ok::<_, Refusal>((now, made))
        });
        let seen = try_join_all(looks).await?;
        let known = |made: &&Made| made.record.engine == asker.engine && made.record.deployment == deployment;
        let ours =
            seen.iter().filter_map(|(_, made)| made.as_ref()).filter(known).map(|made| made.record.epoch);
        // It only grows: also where a lease that was given back has taken its number with it.
        let fresh = seen.iter().map(|(now, made)| {
            let clock = u64::try_from(now.0).unwrap_or(0);
            made.as_ref().map_or(clock, |made| clock.max(made.record.epoch.0 + 1))
        });
        let epoch = ours.max().unwrap_or_else(|| Epoch(fresh.max().unwrap_or(1)));
        let mut taken: Vec<(Holding, String)> = Vec::new();
        for &engine in &self.engines {
            let holding = self.at(engine);
            match take(&holding, asker, deployment, epoch).await {
                Ok(Some(id)) => taken.push((holding, id)),
                Ok(None) => {}
                Err(refusal) => {
                    // What cannot be given back now runs out.
                    join_all(taken.iter().map(|(holding, id)| holding.remove(id))).await;
                    return Err(refusal);
                }
            }
        }
        Ok(epoch)
    }

    /// Renews it on every engine. A rollback goes on under the epoch of the deployment that it takes back: `deployment`
    /// is what it is held for from now on.
    ///
    /// # Errors
    /// Who took it, or that it is gone; or which engine could not be asked, after all others were renewed.
    pub async fn renew(&self, asker: &Asker, deployment: DeploymentId, epoch: Epoch) -> Result<()> {
        let renewed = self.engines.iter().map(|&engine| async move {
            let holding = self.at(engine);
            let made = holding.look().await?.ok_or_else(|| gone(engine))?;
            if made.record.engine != asker.engine || made.record.epoch != epoch {
                return Err(Refusal::Held(format!("{} took it on {}", made.record.holder(), engine.name())));
            }
            let mut record = made.record;
            record.deployment = deployment;
            record.heartbeat = engine.now().await?;
            holding.write(&made.id, &record).await?.then_some(()).ok_or_else(|| gone(engine))
        });
        worst(join_all(renewed).await)
    }

    /// Gives it back on every engine. Harmless when it is not ours (any more).
    ///
    /// # Errors
    /// Which engine could not be asked; there it runs out.
    pub async fn release(&self, asker: &Asker, epoch: Epoch) -> Result<()> {
        let released = self.engines.iter().map(|&engine| async move {
            let holding = self.at(engine);
            match holding.look().await {
                Ok(Some(made)) if made.record.engine == asker.engine && made.record.epoch == epoch => {
                    Ok(holding.remove(&made.id).await?)
                }
                // Also a stranger's container under its name.
                Ok(_) | Err(Refusal::Held(_)) => Ok(()),
                Err(refusal) => Err(refusal),
            }
        });
        worst(join_all(released).await)
    }

    /// What a step asks before it changes anything: whether its deployment still has the lease, with time left on it.
    ///
    /// # Errors
    /// Who has it, that it is gone, or that nobody renews it; or which engine could not be asked.
    pub async fn check(&self, epoch: Epoch) -> Result<()> {
        let checked = self.engines.iter().map(|&engine| async move {
            let made = self.at(engine).look().await?.ok_or_else(|| gone(engine))?;
            if made.record.epoch != epoch {
                return Err(Refusal::Held(format!("{} holds it on {}", made.record.holder(), engine.name())));
            }
            let age = engine.now().await?.since(made.record.heartbeat);
            if age.0 >= TTL.0 / 2 {
                let said = format!("its last heartbeat on {} was {age} ago: nobody renews it", engine.name());
                return Err(Refusal::Stale(said));
            }
            Ok(())
        });
        worst(join_all(checked).await)
    }

    /// Who holds it, for a screen and for [`break_off`](Self::break_off); `None` when nobody does. Of several, the newest.
    ///
    /// # Errors
    /// Which engine could not be asked, where no other says who; or that a stranger's container has its name.
    pub async fn holder(&self, asker: &Asker) -> Result<Option<(Epoch, LeaseHolder)>> {
        let looks =
            join_all(self.engines.iter().map(|&engine| async move { self.at(engine).look().await })).await;
        let mut refused = None;
        let mut newest: Option<Made> = None;
        for look in looks {
            match look {
                Ok(Some(made))
                    if newest.as_ref().is_none_or(|newest| newest.record.epoch < made.record.epoch) =>
                {
                    newest = Some(made);
                }
                Ok(_) => {}
                Err(refusal) => refused = Some(refusal),
            }
        }
        let Some(Made { record, .. }) = newest else { return refused.map_or(Ok(None), Err) };
        let holder = LeaseHolder {
            who: record.who.clone(),
            what: format!("deployment {} of {}", record.deployment, record.repository.display()),
            since: record.since,
            heartbeat: record.heartbeat,
            ours: record.engine == asker.engine,
        };
        Ok(Some((record.epoch, holder)))
    }

    /// Takes it from its holder, who is refused from then on: an operator's word. `seen` is the epoch that the operator
    /// was shown. Who held it is given back, a clause; `None` when nobody does any more.
    ///
    /// # Errors
    /// That it has changed hands since; or which engine could not be asked, and then it may be broken on the others.
    pub async fn break_off(&self, seen: Epoch) -> Result<Option<String>> {
        let mut held = Vec::new();
        for &engine in &self.engines {
            let holding = self.at(engine);
            let Some(made) = holding.look().await? else { continue };
            if made.record.epoch != seen {
                let said = format!(
                    "it has changed hands: {} holds it on {} now",
                    made.record.holder(),
                    engine.name()
                );
                return Err(Refusal::Held(said));
            }
            held.push((holding, made));
        }
        let who = held.first().map(|(_, made)| made.record.holder());
        for (holding, made) in held {
            holding.remove(&made.id).await?;
        }
        Ok(who)
    }
}

/// Takes it on one engine. The container's id where it was made now; `None` where we had it.
async fn take(
    holding: &Holding<'_>,
    asker: &Asker,
    deployment: DeploymentId,
    epoch: Epoch,
) -> Result<Option<String>> {
    let mut last = String::new();
    for _ in 0..TURNS {
        let now = holding.engine.now().await?;
        if let Some(made) = holding.look().await? {
            let record = &made.record;
            if record.engine == asker.engine && record.epoch == epoch {
                let again = holding::Record { deployment, heartbeat: now, ..record.clone() };
                if holding.write(&made.id, &again).await? {
                    return Ok(None);
                }
                continue;
            }
            let age = now.since(record.heartbeat);
            if record.engine != asker.engine && age < TTL {
                return Err(Refusal::Held(held(holding.engine, record, age)));
            }
            if record.epoch > epoch {
                let said = format!("{} has had it since on {}", record.holder(), holding.engine.name());
                return Err(Refusal::Held(said));
            }
            last = record.holder();
            // By its id: whoever was quicker has another one under the name, and that stays.
            holding.remove(&made.id).await?;
        }
        let record = holding::Record::new(asker, deployment, epoch, now);
        if let Some(id) = holding.create(&record).await? {
            return Ok(Some(id));
        }
        // A name is taken a moment before its container can be seen, and free a moment after it is gone.
        tokio::time::sleep(holding::PAUSE).await;
    }
    Err(Refusal::Held(format!("others take it in turns on {}, {last} lately", holding.engine.name())))
}

fn held(engine: &Engine, record: &holding::Record, age: Millis) -> String {
    let since = clock(record.since);
    format!(
        "{} holds it on {}, since {since}; its last heartbeat was {age} ago",
        record.holder(),
        engine.name()
    )
}

fn clock(at: Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|_| "an unknown time".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

fn gone(engine: &Engine) -> Refusal {
    Refusal::Held(format!("it is gone from {}: it was given back, broken off or pruned", engine.name()))
}

/// What all said together: a loss is certain, and weighs more than an engine that was not reached.
fn worst(said: Vec<Result<()>>) -> Result<()> {
    let mut unasked = Ok(());
    for one in said {
        match one {
            Err(Refusal::Held(_)) => return one,
            Err(Refusal::Unasked(_) | Refusal::Stale(_)) => unasked = one,
            Ok(()) => {}
        }
    }
    unasked
}
