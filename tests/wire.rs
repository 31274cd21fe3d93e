//! Server and client in one process, over a real socket, with an engine that is a table of answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use towpath::domain::command::{Command, CommitFacts, Refusal, RefusalKind};
use towpath::domain::event::{Envelope, Event};
use towpath::domain::ids::{Actor, RunId, Seq, StepId};
use towpath::domain::query::{Answer, Query};
use towpath::domain::state::State;
use towpath::domain::time::{Millis, Timestamp};
use towpath::wire::client::{Client, ConnectError, Hello, retire};
use towpath::wire::protocol::{FromEngine, PROTOCOL_VERSION, Reply, Viewer};
use towpath::wire::server::{Limits, bind, serve};
use towpath::wire::{Greeting, ToEngine};

/// An engine without a journal: every command is an event that everybody hears of.
struct FakeEngine {
    socket: PathBuf,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<Seen>,
    server: tokio::task::JoinHandle<()>,
}

/// What the engine saw, handed back when it has ended.
#[derive(Default)]
struct Seen {
    commands: Vec<Actor>,
    detached: Vec<u64>,
    let_go: Vec<u64>,
}

impl FakeEngine {
    fn start(state: State, busy: bool) -> Self {
        Self::start_with(state, busy, Limits::default())
    }

    fn start_with(state: State, busy: bool, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let (sender, receiver) = mpsc::channel(64);
        let server = tokio::spawn(serve(bind(&socket).unwrap(), sender, limits));
        let task = tokio::spawn(fake_engine(receiver, state, busy));
        Self { socket, _directory: directory, task, server }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.socket, hello(false)).await.unwrap()
    }

    async fn end(self) -> Seen {
        let client = self.client().await;
        assert_eq!(client.shutdown(true).await.unwrap(), Reply::Done { rows: Vec::new() });
        self.server.await.unwrap();
        self.task.await.unwrap()
    }
}

async fn fake_engine(mut requests: mpsc::Receiver<ToEngine>, mut state: State, busy: bool) -> Seen {
    let mut seen = Seen::default();
    let mut sinks: Vec<(Viewer, mpsc::Sender<FromEngine>)> = Vec::new();
    while let Some(request) = requests.recv().await {
        match request {
            ToEngine::Greet { reply } => drop(reply.send(Greeting { since: Timestamp(7), busy })),
            ToEngine::Command { command, actor, reply, .. } => {
                seen.commands.push(actor.clone());
                let count = match command {
                    Command::CancelRun { run, .. } => run.0,
                    _ => 1,
                };
                let mut rows = Vec::new();
                for _ in 0..count {
                    state.seq.0 += 1;
                    let event = Event::RunStarted { run: RunId(count) };
                    let row = Envelope { seq: state.seq, at: Timestamp(1), actor: actor.clone(), event };
                    sinks.retain(|(viewer, sink)| {
                        let kept = sink.try_send(FromEngine::Happened { envelope: row.clone() }).is_ok();
                        if !kept {
                            seen.let_go.push(viewer.id);
                        }
                        kept
                    });
                    rows.push(row);
                }
                let _ = reply.send(Reply::Done { rows });
            }
            ToEngine::Query { query: Query::VerifyChain, reply } => {
                let _ =
                    reply.send(Reply::Answer { answer: Box::new(Answer::Chain { rows: 3, broken: None }) });
            }
            ToEngine::Query { reply, .. } => drop(reply),
            ToEngine::Attach { viewer, sink, reply } => {
                sinks.retain(|(other, _)| other.id != viewer.id);
                sink.try_send(FromEngine::Snapshot { state: Box::new(state.clone()) }).unwrap();
                sinks.push((viewer, sink));
                let viewers: Vec<_> = sinks.iter().map(|(viewer, _)| viewer.clone()).collect();
                sinks.retain(|(_, sink)| {
                    sink.try_send(FromEngine::Present { viewers: viewers.clone() }).is_ok()
                });
                let _ = reply.send(());
            }
            ToEngine::Detach { id } => {
                seen.detached.push(id);
                sinks.retain(|(viewer, _)| viewer.id != id);
            }
            ToEngine::Shutdown { force, reply } => {
                if busy && !force {
                    let message = "Work is under way.".to_owned();
                    let refusal = Refusal { kind: RefusalKind::State, message, hint: String::new() };
                    let _ = reply.send(Reply::Refused { refusal });
                } else {
                    let _ = reply.send(Reply::Done { rows: Vec::new() });
                    break;
                }
            }
        }
    }
    seen
}

fn hello(read_only: bool) -> Hello {
    Hello { role: "test".to_owned(), terminal: "pts/9".to_owned(), read_only }
}

/// A command that makes the fake engine write so many rows.
fn rows(count: u64) -> Command {
    Command::CancelRun { run: RunId(count), now: false }
}

fn commit() -> CommitFacts {
    CommitFacts {
        id: "a1b9c3f".into(),
        subject: "Gift cards".to_owned(),
        author: "Marta".to_owned(),
        authored: Timestamp(1),
        tags: Vec::new(),
        branches: vec!["main".to_owned()],
    }
}

/// A state whose snapshot is some megabytes.
fn big_state() -> State {
    let mut state = State::default();
    // Numbers that are keys: quoted in JSON, and read below a tagged message.
    state.apply(&Envelope {
        seq: Seq(1),
        at: Timestamp(1),
        actor: Actor::Engine,
        event: Event::RunQueued { run: RunId(58), commit: commit(), until: None, followed: true },
    });
    for number in 0..60_000 {
        state.durations.insert(StepId(format!("step-{number}-{}", "é".repeat(20))), [Millis(number)].into());
    }
    state
}

async fn next(stream: &mut mpsc::Receiver<FromEngine>) -> Option<FromEngine> {
    tokio::time::timeout(Duration::from_secs(30), stream.recv()).await.expect("a push within 30 s")
}

async fn next_happened(stream: &mut mpsc::Receiver<FromEngine>) -> Option<Seq> {
    loop {
        match next(stream).await? {
            FromEngine::Happened { envelope } => return Some(envelope.seq),
            FromEngine::Present { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn many_viewers_see_the_same_and_each_knows_itself() {
    let engine = FakeEngine::start(State::default(), false);
    let mut viewers = Vec::new();
    for _ in 0..20 {
        let client = engine.client().await;
        assert_eq!(client.welcome().since, Timestamp(7));
        let mut stream = client.attach().await.unwrap();
        assert!(matches!(next(&mut stream).await, Some(FromEngine::Snapshot { .. })));
        let Some(FromEngine::Present { viewers: present }) = next(&mut stream).await else {
            panic!("present")
        };
        assert_eq!(present.iter().filter(|viewer| viewer.you).count(), 1);
        assert!(present.last().unwrap().you);
        assert_eq!(present.last().unwrap().terminal, "pts/9");
        viewers.push((client, stream));
    }
    let Reply::Done { rows: written } = viewers[3].0.request(rows(5)).await.unwrap() else { panic!("done") };
    assert_eq!(written.len(), 5);
    for (_, stream) in &mut viewers {
        for seq in 1..=5 {
            assert_eq!(next_happened(stream).await, Some(Seq(seq)));
        }
    }
    drop(viewers);
    let seen = engine.end().await;
    let Actor::Operator { name, terminal } = &seen.commands[0] else { panic!("an operator") };
    assert_eq!((name.is_empty(), terminal.as_str()), (false, "pts/9"));
}

#[tokio::test]
async fn requests_are_answered_while_pushes_wait_unread() {
    let engine = FakeEngine::start(State::default(), false);
    let client = engine.client().await;
    let _unread = client.attach().await.unwrap();
    for _ in 0..50 {
        assert!(matches!(client.request(rows(200)).await.unwrap(), Reply::Done { .. }));
    }
    let many = (0..100).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.ask(Query::VerifyChain).await.unwrap() })
    });
    for answer in many.collect::<Vec<_>>() {
        assert!(matches!(answer.await.unwrap(), Reply::Answer { .. }));
    }
    assert!(matches!(
        client.ask(Query::History { limit: 1 }).await.unwrap(),
        Reply::Failed { message } if message.contains("before it answered")
    ));
    engine.end().await;
}

#[tokio::test]
async fn a_snapshot_of_megabytes_arrives_whole() {
    let state = big_state();
    let engine = FakeEngine::start(state.clone(), false);
    let client = engine.client().await;
    let mut stream = client.attach().await.unwrap();
    let Some(FromEngine::Snapshot { state: received }) = next(&mut stream).await else { panic!("snapshot") };
    assert_eq!(*received, state);
    engine.end().await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_let_go_and_nobody_waits_for_it() {
    let engine = FakeEngine::start(big_state(), false);
    let (read, mut write) = UnixStream::connect(&engine.socket).await.unwrap().into_split();
    let hello = format!(
        "{{\"type\":\"hello\",\"protocol\":{PROTOCOL_VERSION},\"version\":\"0\",\"role\":\"slow\",\
         \"terminal\":\"-\",\"read_only\":false}}\n{{\"type\":\"attach\"}}\n"
    );
    write.write_all(hello.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(read).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("welcome"));

    let quick = engine.client().await;
    let mut stream = quick.attach().await.unwrap();
    assert!(matches!(next(&mut stream).await, Some(FromEngine::Snapshot { .. })));
    // The slow one is stuck in its snapshot; its sink fills, the engine lets go of it, the quick one hears all.
    let mut expected = 1;
    for _ in 0..30 {
        assert!(matches!(quick.request(rows(100)).await.unwrap(), Reply::Done { .. }));
        for _ in 0..100 {
            expected += 1;
            assert_eq!(next_happened(&mut stream).await, Some(Seq(expected)));
        }
    }
    // Once it reads again it gets what was kept, then the good-bye.
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        last = line;
    }
    assert!(last.contains("\"bye\"") && last.contains("fell behind"), "{last}");
    let seen = engine.end().await;
    assert_eq!(seen.let_go.len(), 1);
}

#[tokio::test]
async fn a_read_only_viewer_may_ask_but_not_command() {
    let engine = FakeEngine::start(State::default(), false);
    let client = Client::connect(&engine.socket, hello(true)).await.unwrap();
    for reply in [client.request(rows(1)).await.unwrap(), client.shutdown(true).await.unwrap()] {
        let Reply::Refused { refusal } = reply else { panic!("refused") };
        assert_eq!(refusal.kind, RefusalKind::ReadOnly);
    }
    assert!(matches!(client.ask(Query::VerifyChain).await.unwrap(), Reply::Answer { .. }));
    assert!(engine.end().await.commands.is_empty());
}

#[tokio::test]
async fn a_process_of_a_stage_may_not_command() {
    let engine = FakeEngine::start(State::default(), false);
    let script = "import json, socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile('rw')\n\
        say = lambda o: (f.write(json.dumps(o) + '\\n'), f.flush())\n\
        say(dict(type='hello', protocol=int(sys.argv[2]), version='0', role='x', terminal='-', read_only=False))\n\
        f.readline()\n\
        say(dict(type='command', id=1, command=json.loads(sys.argv[3])))\n\
        print(f.readline())";
    let ask = |stage: bool| {
        // The inner process clears its environment; its ancestor still tells where it comes from.
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "env -i python3 -c \"$0\" \"$@\"; true", script]);
        command.arg(&engine.socket).arg(PROTOCOL_VERSION.to_string());
        command.arg(serde_json::to_string(&rows(1)).unwrap());
        command.env_remove("TOWPATH_ATTEMPT");
        if stage {
            command.env("TOWPATH_ATTEMPT", "run 1 pytest attempt 1");
        }
        command.output()
    };
    let stage = ask(true).await.unwrap();
    let said = String::from_utf8_lossy(&stage.stdout).into_owned();
    assert!(said.contains("refused") && said.contains("run 1 pytest attempt 1"), "{stage:?}");
    if std::env::var_os("TOWPATH_ATTEMPT").is_none() {
        let person = ask(false).await.unwrap();
        assert!(String::from_utf8_lossy(&person.stdout).contains("\"done\""), "{person:?}");
    }
}

#[tokio::test]
async fn nonsense_is_closed_with_a_sentence_and_harms_nobody() {
    let limits = Limits { hello: Duration::from_millis(200), request: 4096, ..Limits::default() };
    let engine = FakeEngine::start_with(State::default(), false, limits);
    let hello = format!(
        "{{\"type\":\"hello\",\"protocol\":{PROTOCOL_VERSION},\"version\":\"0\",\"role\":\"r\",\
         \"terminal\":\"-\",\"read_only\":false}}\n"
    );
    let long = "x".repeat(10_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "say hello first"),
        (b"GET / HTTP/1.1\r\n".to_vec(), "not a hello"),
        (b"{\"type\":\"attach\"}\n".to_vec(), "not a hello"),
        (b"{\"type\":\"hello\",\"pro".to_vec(), "say hello first"),
        (long.clone().into_bytes(), "longer than the 4096 bytes"),
        (format!("{hello}{long}\n").into_bytes(), "longer than the 4096 bytes"),
        (format!("{hello}{{}}\n").into_bytes(), "could not be understood"),
        (format!("{hello}{hello}").into_bytes(), "said twice"),
        (
            format!("{hello}{{\"type\":\"command\",\"id\":1,\"command\":{{\"kind\":\"dance\"}}}}\n")
                .into_bytes(),
            "could not be understood",
        ),
        ([b"\xff\xfe\x00\n".as_slice()].concat(), ""),
        ([hello.as_bytes(), b"\xff\xfe\x00\n"].concat(), "welcome"),
    ];
    for (bytes, expected) in cases {
        let mut stream = UnixStream::connect(&engine.socket).await.unwrap();
        // A connection that was closed before everything was sent is part of what is tried here.
        let _ = stream.write_all(&bytes).await;
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await;
        let _ = read.expect("the server closes the connection");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(expected), "{:?} got {said:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(matches!(engine.client().await.request(rows(1)).await.unwrap(), Reply::Done { .. }));
    engine.end().await;
}

#[tokio::test]
async fn an_idle_engine_of_another_protocol_can_be_retired_and_a_busy_one_not() {
    for busy in [false, true] {
        let engine = FakeEngine::start(State::default(), busy);
        let mut stream = UnixStream::connect(&engine.socket).await.unwrap();
        // Another version's hello may hold anything beside its number.
        stream.write_all(b"{\"type\":\"hello\",\"protocol\":99,\"mood\":[1]}\n").await.unwrap();
        let mut lines = BufReader::new(&mut stream).lines();
        let welcome: FromEngine = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert!(matches!(welcome, FromEngine::Welcome { busy: said, .. } if said == busy));
        let mut stream = UnixStream::connect(&engine.socket).await.unwrap();
        stream.write_all(b"{\"type\":\"hello\",\"protocol\":99}\n{\"type\":\"attach\"}\n").await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("\"bye\"") && said.contains("speaks protocol"), "{said}");

        let reply = retire(&engine.socket, hello(false)).await.unwrap();
        if busy {
            assert!(matches!(reply, Some(Reply::Refused { .. })));
            engine.end().await;
        } else {
            assert!(matches!(reply, Some(Reply::Done { .. })));
            engine.server.await.unwrap();
            assert!(matches!(
                Client::connect(&engine.socket, hello(false)).await,
                Err(ConnectError::NoEngine(_))
            ));
        }
    }
}

#[tokio::test]
async fn the_end_of_the_engine_ends_streams_and_requests() {
    let engine = FakeEngine::start(State::default(), true);
    let client = engine.client().await;
    let mut stream = client.attach().await.unwrap();
    assert!(matches!(next(&mut stream).await, Some(FromEngine::Snapshot { .. })));
    engine.end().await;
    let mut reason = String::new();
    while let Some(push) = next(&mut stream).await {
        if let FromEngine::Bye { reason: said } = push {
            reason = said;
        }
    }
    assert_eq!(reason, "The engine ended.");
    assert!(client.ask(Query::VerifyChain).await.is_err());
    assert!(client.attach().await.is_err());
}

#[tokio::test]
async fn no_connection_panics_when_the_engine_lets_many_viewers_go() {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let (seen, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        seen.lock().unwrap().push(panic.to_string());
        before(panic);
    }));
    let engine = FakeEngine::start(State::default(), false);
    let mut streams = Vec::new();
    // Which half of a connection hears of the end first is chance; among so many both are seen.
    for _ in 0..40 {
        let client = engine.client().await;
        let mut stream = client.attach().await.unwrap();
        assert!(matches!(next(&mut stream).await, Some(FromEngine::Snapshot { .. })));
        streams.push((client, stream));
    }
    engine.end().await;
    // Taken out: the hook wants the lock too when this fails.
    let panics = std::mem::take(&mut *panics.lock().unwrap());
    assert!(!panics.iter().any(|panic| panic.contains("JoinHandle")), "{panics:?}");
}

#[tokio::test]
async fn an_engine_that_dies_before_its_welcome_is_told_from_one_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = bind(&socket).unwrap();
    // Never accepted, as by a process that is being killed: what was said is still unread when all is closed.
    let greeting = tokio::spawn({
        let socket = socket.clone();
        async move { Client::connect(&socket, hello(false)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(listener);
    let error = greeting.await.unwrap().unwrap_err();
    assert!(error.is_of_a_dying_engine(), "{error}");

    let listener = bind(&socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ready\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = Client::connect(&socket, hello(false)).await.unwrap_err();
    assert!(!error.is_of_a_dying_engine(), "{error}");
}

#[tokio::test]
async fn more_viewers_than_there_is_room_for_are_told_so() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let engine = FakeEngine::start_with(State::default(), false, limits);
    let (first, _second) = (engine.client().await, engine.client().await);
    let Err(ConnectError::Refused(reason)) = Client::connect(&engine.socket, hello(false)).await else {
        panic!("there is room for two")
    };
    assert!(reason.contains("already has 2 viewers"));
    assert!(matches!(first.shutdown(true).await, Ok(Reply::Done { .. })));
}

#[test]
fn the_socket_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for _ in 0..2 {
        // The second time, the first one's file is in the way.
        std::mem::forget(bind(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
