//! What a failed step keeps of its containers, for how long, and what can be done with it meanwhile.

use towpath::domain::plan::Kept;
use towpath::domain::project::{Place, Ready};
use towpath::runtime::attempt;

use crate::case::{Case, wait_until};
use crate::console::Console;
use crate::engines;

#[test]
fn a_failed_step_keeps_its_container_and_its_services_until_they_are_let_go() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let line = "echo left-behind > written; exit 3";
    let Some(case) = Case::new(&[("README", "x\n")], line, Place::Image(image.clone())) else { return };
    let case = case.with(image, Some("exec python3 -m http.server 8123"), &[], Ready::Tcp(8123));
    let case = case.setting(|setting| {
        setting.env.insert("GREETING".into(), "ahoy".into());
        setting.env.insert("STORE".into(), "postgres://app:throwaway@beside/shop".into());
    });
    let report = case.carried_out();
    let Kept { directory, env, container } = report.output.kept.expect("something kept");
    let container = container.expect("its container");
    assert_eq!(directory, "/workspace");
    assert_eq!(env.get("GREETING").map(String::as_str), Some("ahoy"), "{env:?}");
    assert_eq!(env.get("STORE"), None);
    // Half an hour, whatever the clock said in between.
    assert!(container.until > report.ended && container.until.since(report.ended).0 <= 30 * 60 * 1000);
    let (found, service, kept) = engines::wait(async {
        let client = engines::client(&url);
        let image = client.inspect_image(&container.image).await.unwrap();
        let kept = client.inspect_container(&container.id, None).await.unwrap();
        let network = client.inspect_network(&container.network, None).await.unwrap();
        (image.config.unwrap().env.unwrap(), network.containers.unwrap_or_default().len(), kept)
    });
    assert!(!found.iter().any(|entry| entry.contains("throwaway")), "{found:?}");
    assert_eq!(service, 1, "the service still runs on the network");
    assert_eq!(kept.state.unwrap().exit_code, Some(3));
    assert_eq!(case.left().len(), 5, "{:?}", case.left());

    attempt::let_go(&case.dir).unwrap();
    assert_eq!(case.left(), Vec::<String>::new());
    // Once more is no harm.
    attempt::let_go(&case.dir).unwrap();
}

#[test]
fn it_goes_when_its_time_is_up_also_where_the_engine_was_killed_meanwhile() {
    let Some(console) = Console::new(15) else { return };
    let (code, said) = console.run(&["run", "--plain"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("kept for ") && said.contains("towpath shell 1 check"), "{said}");
    assert!(!console.kept().is_empty());
    let (_, status) = console.run(&["status"]);
    assert!(status.contains("check keeps its container for "), "{status}");
    console.kill_engine();
    assert!(!console.kept().is_empty());
    // Whoever asks starts the next one.
    let (_, said) = console.run(&["history"]);
    assert!(said.contains("check"), "{said}");
    wait_until("what was kept to go", || console.kept().is_empty());
    wait_until("the journal to say so", || console.run(&["status", "--json"]).1.contains("\"kept\":[]"));
    let (code, said) = console.run(&["shell", "1", "check"]);
    assert!(code != 0 && said.contains("keeps nothing of check"), "{said}");
}

#[test]
fn a_retry_lets_go_of_what_the_attempt_before_has_kept() {
    let Some(console) = Console::new(3600) else { return };
    assert_eq!(console.run(&["run", "--plain"]).0, 1);
    let first = console.kept();
    assert!(!first.is_empty());
    let (code, said) = console.run(&["retry", "1", "check"]);
    assert_eq!(code, 0, "{said}");
    wait_until("the first attempt's to go", || console.kept().iter().all(|one| !first.contains(one)));
    // The second one fails as well, and keeps its own.
    wait_until("the second attempt's to be kept", || {
        console.run(&["status"]).1.contains("check keeps its container for ")
    });
    assert!(!console.kept().is_empty());
}

/// A terminal with `towpath shell` in it, and what it shows.
struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    writer: Box<dyn std::io::Write + Send>,
    shown: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn open(console: &Console) -> Self {
        use std::io::Read as _;
        let size = portable_pty::PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = portable_pty::native_pty_system().openpty(size).unwrap();
        let mut command = portable_pty::CommandBuilder::new(crate::case::program());
        command.args(["shell", "1", "check"]);
        command.cwd(console.repository());
        console.env().into_iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (mut reader, sink) = (pair.master.try_clone_reader().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        let writer = pair.master.take_writer().unwrap();
        Self { child, writer, shown, _master: pair.master }
    }

    fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(text)
    }

    /// Types a line, and waits for what it leads to.
    fn says(&mut self, line: &str, wanted: &str) {
        std::io::Write::write_all(&mut self.writer, line.as_bytes()).unwrap();
        wait_until(&format!("{wanted} after {line}"), || self.shows(wanted));
    }
}

#[test]
fn a_shell_inside_sees_what_the_step_wrote_and_is_gone_after_it() {
    let Some(console) = Console::new(3600) else { return };
    assert_eq!(console.run(&["run", "--plain"]).0, 1);
    let before = console.kept();

    let mut terminal = Terminal::open(&console);
    terminal.says("cat written; echo $GREETING-$((40 + 2)); stty size\n", "left-behind");
    terminal.says("", "ahoy-42");
    terminal.says("", "30 100");
    // What was beside the step still is.
    let ask = "python3 -c 'import urllib.request as u; print(\"answered\", u.urlopen(\"http://beside:8123/\").status)'\n";
    terminal.says(ask, "answered 200");
    // A Ctrl-C ends what runs inside, not the shell.
    terminal.says("sleep 1000; echo woken\n", "sleep 1000");
    terminal.says("\u{3}", "^C");
    terminal.says("echo still-$((1 + 1))\n", "still-2");
    assert!(console.kept().len() > before.len());
    std::io::Write::write_all(&mut terminal.writer, b"exit 7\n").unwrap();
    assert_eq!(terminal.child.wait().unwrap().exit_code(), 7);
    assert_eq!(console.kept(), before);

    // A terminal that goes away takes the shell's container with it.
    let mut terminal = Terminal::open(&console);
    terminal.says("cat written\n", "left-behind");
    let pid = i32::try_from(terminal.child.process_id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGHUP).unwrap();
    terminal.child.wait().unwrap();
    assert_eq!(console.kept(), before);
}

#[test]
fn a_bundle_has_what_is_known_and_no_secret_and_overwrites_nothing() {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let Some(console) = Console::new(3600) else { return };
    assert_eq!(console.run(&["run", "--plain"]).0, 1);
    let file = console.path().join("bundle.tar");
    let arguments = ["bundle", "1", "check", "--output", file.to_str().unwrap()];
    let (code, said) = console.run(&arguments);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut parts = std::collections::BTreeMap::new();
    for part in tar::Archive::new(std::fs::File::open(&file).unwrap()).entries().unwrap() {
        let mut part = part.unwrap();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        parts.insert(part.path().unwrap().display().to_string(), text);
    }
    let all: String = parts.values().cloned().collect();
    assert!(!all.contains("throwaway"), "{all}");
    for (name, wanted) in [
        ("bundle/log.txt", "ahoy"),
        ("bundle/step.json", "\"GREETING\""),
        ("bundle/result.json", "exit code 3"),
        ("bundle/inspect.json", "GREETING=…"),
        ("bundle/versions.txt", "image sha256:"),
        ("bundle/versions.txt", "git version"),
    ] {
        assert!(parts.get(name).is_some_and(|text| text.contains(wanted)), "{name}: {wanted}: {parts:?}");
    }
    assert!(!parts["bundle/inspect.json"].contains("ahoy"));
    assert!(parts.keys().any(|name| name.starts_with("bundle/services/")), "{:?}", parts.keys());
    let (code, said) = console.run(&arguments);
    assert!(code != 0 && said.contains("Nothing is overwritten"), "{said}");
}
