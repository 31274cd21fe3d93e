//! A real PostgreSQL beside a step.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::domain::effect::Found;
use towpath::domain::plan::Verdict;
use towpath::runtime::attempt::{attend, observe, stop};

use crate::stage::{Stage, program, wait_until};

const TELLS: &str = r#"
echo "$PGPORT $PGDATABASE $PGUSER $PGPASSWORD $DATABASE_URL" > "$TOWPATH_TEST/address"
while [ ! -e "$TOWPATH_TEST/gate" ]; do sleep 0.02; done
"#;

struct Serving {
    stage: Stage,
    engine: tokio::runtime::Runtime,
    attended: tokio::task::JoinHandle<anyhow::Result<towpath::runtime::attempt::Report>>,
    port: u16,
    directory: PathBuf,
}

fn serving() -> Serving {
    let stage = Stage::new(TELLS).with_postgres().prepared();
    let engine = tokio::runtime::Runtime::new().unwrap();
    let (dir, at) = (stage.dir.clone(), program());
    let attended = engine.spawn(async move { attend(&dir, at, &crate::stage::NONE).await });
    wait_until("the address", || stage.text("address").ends_with('\n') || attended.is_finished());
    let address = stage.text("address");
    assert!(!address.is_empty(), "{:?}", stage.log());
    let port: u16 = address.split(' ').next().unwrap().parse().unwrap();
    let password = address.split(' ').nth(3).unwrap();
    assert!(password.len() >= 32, "{address}");
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/towpath");
    assert_eq!(address, format!("{port} towpath postgres {password} {url}\n"));
    let json = std::fs::read(stage.dir.join("services.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let directory = PathBuf::from(record["postgres"][0].as_str().unwrap());
    assert!(directory.is_dir());
    Serving { stage, engine, attended, port, directory }
}

impl Serving {
    /// Asks over the server's own socket, in its closed directory; the first column of the first row.
    fn ask(&self, sql: &str) -> Option<String> {
        let socket = self.directory.join(format!(".s.PGSQL.{}", self.port));
        ask(UnixStream::connect(socket).ok()?, sql)
    }
}

/// Logs in and asks; the first column of the first row.
fn ask(mut stream: impl Read + Write, sql: &str) -> Option<String> {
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0postgres\0database\0towpath\0\0"].concat();
    stream.write_all(&i32::try_from(body.len() + 4).unwrap().to_be_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    let mut row = None;
    for round in 0..2 {
        loop {
            let mut head = [0; 5];
            stream.read_exact(&mut head).ok()?;
            let length = usize::try_from(i32::from_be_bytes(head[1..].try_into().unwrap())).unwrap() - 4;
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            match head[0] {
                b'Z' => break,
                b'R' if body != [0, 0, 0, 0] => panic!("it asks for a password"),
                b'E' => panic!("{}", String::from_utf8_lossy(&body)),
                b'D' => row = Some(String::from_utf8(body[6..].to_vec()).unwrap()),
                _ => {}
            }
        }
        if round == 0 {
            let query = [sql.as_bytes(), b"\0"].concat();
            stream.write_all(b"Q").ok()?;
            stream.write_all(&i32::try_from(query.len() + 4).unwrap().to_be_bytes()).ok()?;
            stream.write_all(&query).ok()?;
        }
    }
    row
}

#[test]
fn a_step_has_a_server_of_its_own_and_it_is_gone_afterwards() {
    let serving = serving();
    // `upper` of a letter beyond ASCII needs a locale that knows it.
    let sql = "CREATE TABLE t (x text); INSERT INTO t VALUES ('é'); SELECT upper(x) || length(x) FROM t";
    assert_eq!(serving.ask(sql).as_deref(), Some("É1"));
    let version = serving.ask("SHOW server_version").unwrap();
    std::fs::write(serving.stage.file("gate"), "").unwrap();
    let report = serving.engine.block_on(serving.attended).unwrap().unwrap();
    assert_eq!(report.verdict, Verdict::Passed);
    let wanted = format!("PostgreSQL {}", version.split(' ').next().unwrap());
    assert!(report.output.facts.contains(&wanted), "{:?}", report.output.facts);
    assert!(!serving.directory.exists());
    assert!(TcpStream::connect(("127.0.0.1", serving.port)).is_err());
    assert!(!serving.stage.dir.join("services.json").exists());
}

#[test]
fn the_port_asks_everybody_for_a_password() {
    let serving = serving();
    let stream = TcpStream::connect(("127.0.0.1", serving.port)).unwrap();
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(stream, "SELECT 1")));
    assert_eq!(asked.unwrap_err().downcast_ref::<&str>(), Some(&"it asks for a password"));
    std::fs::write(serving.stage.file("gate"), "").unwrap();
    assert_eq!(serving.engine.block_on(serving.attended).unwrap().unwrap().verdict, Verdict::Passed);
}

#[test]
fn a_killed_workers_server_is_stopped_and_removed() {
    let serving = serving();
    kill(Pid::from_raw(serving.stage.worker()), Signal::SIGKILL).unwrap();
    let mut found = Found::Open;
    wait_until("the death to be noticed", || {
        found = observe(&serving.stage.dir).unwrap();
        found != Found::Open
    });
    assert_eq!(found, Found::Lost);
    assert!(!serving.directory.exists());
    assert!(TcpStream::connect(("127.0.0.1", serving.port)).is_err());
}

#[test]
fn a_stopped_step_takes_its_server_with_it() {
    let serving = serving();
    serving.engine.block_on(stop(&serving.stage.dir)).unwrap();
    let report = serving.engine.block_on(serving.attended).unwrap().unwrap();
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(!serving.directory.exists());
    assert!(TcpStream::connect(("127.0.0.1", serving.port)).is_err());
}

#[test]
fn two_steps_have_two_servers() {
    let (first, second) = (serving(), serving());
    assert_ne!(first.port, second.port);
    first.ask("CREATE TABLE only_here (x int)");
    assert_eq!(
        second.ask("SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'").as_deref(),
        Some("0")
    );
    for serving in [first, second] {
        std::fs::write(serving.stage.file("gate"), "").unwrap();
        assert_eq!(serving.engine.block_on(serving.attended).unwrap().unwrap().verdict, Verdict::Passed);
    }
}
