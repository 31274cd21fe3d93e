//! The release's migrations, applied once, and never waiting long for a lock: what waits in front of an
//! `ALTER TABLE` waits behind it.

use anyhow::Result;

use super::{Deploy, passed, place, telling};
use crate::domain::plan::{Cause, Output, Target};
use crate::runtime::command::Ended;
use crate::runtime::python::halt;
use crate::runtime::workbench::{Done, Workbench};

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, target: &Target) -> Result<Done> {
    // libpq reads it for every connection; other databases do not know it.
    let mut options = deploy.settings.env.get("PGOPTIONS").cloned().unwrap_or_default();
    options.push_str(&format!(" -c lock_timeout={}", deploy.settings.lock_timeout.0));
    let args = ["migrate", "--noinput", "--no-color"];
    let ended = place::manage(bench, deploy, target, &args, &[("PGOPTIONS", options.trim())]).await;
    let ended = match ended {
        Ok(Some(ended)) => ended,
        Ok(None) => return Ok(passed(["no Django project: nothing to migrate".to_owned()])),
        Err(halt) => return halt::done(Err(halt), Output::default()),
    };
    let applied = ended.tail.iter().filter(|line| applied(line).is_some()).count();
    let fact = match applied {
        0 => "nothing to apply".to_owned(),
        1 => "1 migration applied".to_owned(),
        count => format!("{count} migrations applied"),
    };
    if ended.success() {
        return Ok(passed([fact]));
    }
    let output = Output { facts: vec![fact], ..Output::default() };
    Ok(Done::failed(cause(deploy, &ended, applied), output))
}

/// The migration of a line `  Applying shop.0003_price... OK`.
fn applied(line: &str) -> Option<&str> {
    line.trim().strip_prefix("Applying ")?.strip_suffix("... OK")
}

fn cause(deploy: &Deploy, ended: &Ended, applied: usize) -> Cause {
    let under_way = ended.tail.iter().rev().find_map(|line| line.trim().strip_prefix("Applying "));
    let migration = under_way.and_then(|line| line.split("...").next()).unwrap_or("the migrations");
    let last = telling(&ended.tail);
    let says = |part: &str| ended.tail.iter().any(|line| line.contains(part));
    let unreachable = [
        "Connection refused",
        "could not connect",
        "connection failed",
        "could not translate host name",
        "No such file or directory\n",
        "password authentication failed",
    ];
    let mut cause = ended.cause(format!("{migration} failed: {last}"));
    let so_far = match applied {
        0 => "Nothing was applied.".to_owned(),
        count => format!("{count} before it were applied and stay: the release that is live runs on them."),
    };
    if says("lock timeout") {
        let limit = deploy.settings.lock_timeout;
        cause.summary = format!("{migration} waited longer than {limit} for a lock and gave up");
        cause.expected = format!("the lock within {limit} (lock_timeout)");
        cause.cure = format!(
            "{so_far} A long transaction holds the table: find it in pg_stat_activity, let it end, then go on."
        );
    } else if applied == 0 && unreachable.iter().any(|part| says(part)) {
        cause.summary = format!("the database of {} could not be reached: {last}", deploy.environment);
        cause.expected = "a connection to the database".to_owned();
        cause.cure =
            "Nothing was touched. See that the database runs and that the environment's address and \
                      password for it are right, then go on or promote again."
                .to_owned();
    } else {
        cause.expected = "manage.py migrate ends well".to_owned();
        cause.cure = so_far;
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::applied;

    #[test]
    fn what_was_applied_is_read_from_django_s_own_lines() {
        assert_eq!(applied("  Applying shop.0003_price... OK"), Some("shop.0003_price"));
        assert_eq!(applied("  Applying shop.0004_slow..."), None);
        assert_eq!(applied("Running migrations:"), None);
    }
}
