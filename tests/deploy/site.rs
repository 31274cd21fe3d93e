//! An environment's own nginx, with the site that we tell users to copy. It runs already when the site is added: the
//! first deployment writes the file that the site includes, and has nginx read both.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::program::{SITE, free_port, program};
use crate::world::{World, wait_for};

pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    nginx: String,
}

impl Site {
    /// The site of an environment; `change` may break its text. `None` where there is no nginx.
    pub(crate) fn new(world: &World, environment: &str, change: impl Fn(String) -> String) -> Option<Self> {
        let program = program()?;
        let directory = world.path().join(format!("nginx-{environment}"));
        for name in ["towpath", "static", "tmp", "sites"] {
            std::fs::create_dir_all(directory.join(name)).unwrap();
        }
        let (root, port) = (directory.display().to_string(), free_port());
        let site = SITE
            .replace("/etc/nginx/towpath/shop-production.conf", &format!("{root}/towpath/shop.conf"))
            .replace("towpath_shop_production", &format!("towpath_shop_{}", environment.replace('-', "_")))
            .replace("/var/log/nginx/shop-production.log", &format!("{root}/traffic.log"))
            .replace("/srv/shop/static/", &format!("{root}/static/"))
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {root}/tmp/{name};\n"))
            .collect();
        let user = if nix::unistd::geteuid().is_root() { "user root root;" } else { "" };
        let main = format!(
            "{user}\nworker_processes 1;\npid {root}/nginx.pid;\nerror_log {root}/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{temporary}access_log off;\ninclude {root}/sites/*.conf;\n}}\n"
        );
        std::fs::write(directory.join("nginx.conf"), main).unwrap();
        let nginx = format!("{} -p {root} -e {root}/error.log -c nginx.conf", program.display());
        assert!(Command::new("sh").args(["-c", &nginx]).status().unwrap().success());
        let pid = directory.join("nginx.pid");
        wait_for("nginx runs", || std::fs::metadata(&pid).is_ok_and(|about| about.len() > 0));
        std::fs::write(directory.join("sites/shop.conf"), change(site)).unwrap();
        Some(Self { port, nginx, directory })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The operator's own file.
    pub(crate) fn site(&self) -> PathBuf {
        self.directory.join("sites/shop.conf")
    }

    pub(crate) fn include(&self) -> PathBuf {
        self.directory.join("towpath/shop.conf")
    }

    /// The lines of `towpath.toml`.
    pub(crate) fn lines(&self) -> String {
        self.lines_with(&format!("{} -t", self.nginx), &self.url())
    }

    /// The same with another test command, or another url.
    pub(crate) fn lines_with(&self, test: &str, url: &str) -> String {
        let (root, nginx) = (self.directory.display(), &self.nginx);
        format!(
            "url = \"{url}\"\nrouter = {{ nginx = {{ include = \"{root}/towpath/shop.conf\", test = \"{test}\", reload = \
             \"{nginx} -s reload\", access_log = \"{root}/traffic.log\" }} }}"
        )
    }

    /// What `/health` answers, head and body.
    pub(crate) fn ask(&self) -> String {
        let mut text = String::new();
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return text };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
        text
    }

    /// Visitors, as long as something else goes on; how many answers were not good.
    pub(crate) fn visited<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.ask();
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            // Whatever it says, the visitors leave.
            let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
            over.store(true, Ordering::Relaxed);
            said.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
