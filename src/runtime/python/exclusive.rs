//! One builder at a time: a lock file beside what is built. The kernel lets go of it when its holder dies.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// How often a taken lock is asked for again. A lock wait is a build's wait: a quarter of a second is nothing.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Held until dropped.
#[derive(Debug)]
pub struct Exclusive(#[allow(dead_code)] File);

/// Takes the lock, waiting for whoever holds it; `waiting` is called once when it has to wait.
///
/// # Errors
/// When the lock file can't be opened or locked (a read-only or full disk).
pub async fn take(path: &Path, mut waiting: impl FnMut()) -> anyhow::Result<Exclusive> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("could not make the directory {}", parent.display()))?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("could not open the lock file {}", path.display()))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Exclusive(file)),
            Err(TryLockError::WouldBlock) => {
                if !said {
                    waiting();
                    said = true;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_then_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("x.lock");
        let first = take(&path, || {}).await.unwrap();
        let (told, hears) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let second = tokio::spawn({
            let path = path.clone();
            async move {
                let tell = || {
                    if let Some(told) = told.take() {
                        told.send(()).unwrap();
                    }
                };
                take(&path, tell).await
            }
        });
        hears.await.expect("the second says that it waits");
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap().unwrap();
    }
}
