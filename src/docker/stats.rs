//! What a container uses: one stream each, for as long as it runs. The engine sends a sample a second by itself.

use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::pause::Pause;

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    /// Whose: the container's id.
    pub(super) id: String,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Tenths of a per cent of one core since the sample before.
    pub(super) cpu_permille: Option<u32>,
}

/// Total nanoseconds of processor time, and when that was, in nanoseconds.
type Counted = (u64, i128);

/// Passes samples on until it is aborted. A sample for which there is no room is dropped: the next one is newer.
pub(super) async fn follow(client: Docker, id: String, samples: mpsc::Sender<Used>) {
    let mut pause = Pause::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        let options = StatsOptionsBuilder::new().stream(true).one_shot(false).build();
        let mut stream = Box::pin(client.stats(&id, Some(options)));
        let mut before = None;
        while let Some(Ok(said)) = stream.next().await {
            pause.reset();
            let counted = counted(&said);
            let cpu_permille = before.zip(counted).and_then(|(before, now)| share(before, now));
            before = counted;
            let used = Used { id: id.clone(), memory: memory(&said), cpu_permille };
            if let Err(mpsc::error::TrySendError::Closed(_)) = samples.try_send(used) {
                return;
            }
        }
        // It ends with the container, and then this task is about to be aborted; or the connection was lost.
        tokio::time::sleep(pause.next()).await;
    }
}

fn counted(said: &ContainerStatsResponse) -> Option<Counted> {
    let total = said.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    Some((total, said.read?.unix_timestamp_nanos()))
}

fn share(before: Counted, now: Counted) -> Option<u32> {
    let used = u128::from(now.0.checked_sub(before.0)?);
    let over = u128::try_from(now.1 - before.1).ok().filter(|over| *over > 0)?;
    u32::try_from(used * 1000 / over).ok()
}

/// Memory without the page cache that the kernel may let go at once, which is how `docker stats` counts as well.
fn memory(said: &ContainerStatsResponse) -> Option<u64> {
    let memory = said.memory_stats.as_ref()?;
    let parts = memory.stats.as_ref();
    // cgroup v1 calls it by the first name, v2 by the second.
    let cache =
        parts.and_then(|parts| parts.get("total_inactive_file").or_else(|| parts.get("inactive_file")));
    Some(memory.usage?.saturating_sub(cache.copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(total: u64, at: &str) -> ContainerStatsResponse {
        let json = format!(
            r#"{{"read":"{at}","cpu_stats":{{"cpu_usage":{{"total_usage":{total}}}}},
            "memory_stats":{{"usage":1000,"stats":{{"inactive_file":300}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn the_share_is_of_one_core_and_the_cache_does_not_count() {
        let before = counted(&said(1_000_000_000, "2026-11-22T10:00:00Z")).unwrap();
        let now = counted(&said(2_500_000_000, "2026-11-22T10:00:01Z")).unwrap();
        assert_eq!(share(before, now), Some(1500));
        // Started again: it counts from zero.
        assert_eq!(share(now, before), None);
        assert_eq!(memory(&said(0, "2026-11-22T10:00:00Z")), Some(700));
    }
}
