//! The connection to the engine: kept, and made again when it is lost.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use super::app::now;
use super::model::Msg;
use crate::domain::time::Timestamp;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// The first wait before another try, and the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// A connection that held this long was a good one: the next loss begins with the first wait again.
const STEADY: Duration = Duration::from_secs(10);

/// The engine, as far as it can be reached.
pub(crate) struct Engine {
    /// The client while there is a connection.
    pub(crate) client: watch::Receiver<Option<Client>>,
    /// Tries again now.
    pub(crate) hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a connection: everything the engine pushes becomes a message.
pub(crate) fn keep<C, F>(connect: C, messages: mpsc::Sender<Msg>) -> Engine
where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let (clients, client) = watch::channel(None);
    let hurry = Arc::new(Notify::new());
    let task = tokio::spawn(keep_on(connect, messages, clients, Arc::clone(&hurry)));
    Engine { client, hurry, task }
}

async fn keep_on<C, F>(
    connect: C,
    messages: mpsc::Sender<Msg>,
    clients: watch::Sender<Option<Client>>,
    hurry: Arc<Notify>,
) where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let mut wait = FIRST;
    loop {
        let why = match connect().await {
            Ok(client) => {
                let since = Instant::now();
                let why = pass_on(&client, &messages, &clients).await;
                clients.send_replace(None);
                if since.elapsed() >= STEADY {
                    wait = FIRST;
                }
                why
            }
            Err(error) => format!("{error:#}"),
        };
        let again = Timestamp(now().0 + i64::try_from(wait.as_millis()).unwrap_or(0));
        if messages.send(Msg::Disconnected { why, again }).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST),
            () = hurry.notified() => wait = FIRST,
        }
    }
}

/// Passes on what the engine pushes until it ends. Returns why it ended.
async fn pass_on(
    client: &Client,
    messages: &mpsc::Sender<Msg>,
    clients: &watch::Sender<Option<Client>>,
) -> String {
    let mut pushes = match client.attach().await {
        Ok(pushes) => pushes,
        Err(gone) => return gone.reason,
    };
    clients.send_replace(Some(client.clone()));
    let _ = messages.send(Msg::Reconnected).await;
    let mut farewell = None;
    while let Some(pushed) = pushes.recv().await {
        if let FromEngine::Bye { reason } = &pushed {
            farewell = Some(reason.clone());
        }
        if messages.send(Msg::Pushed(Box::new(pushed))).await.is_err() {
            break;
        }
    }
    farewell.or_else(|| client.ended()).unwrap_or_else(|| "The stream of events ended.".to_owned())
}
