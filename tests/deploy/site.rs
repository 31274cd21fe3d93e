//! An environment's own nginx, with the site that we tell users to copy. Started by the first reload, as an operator
//! starts it when the first deployment has written the file.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::program::{SITE, free_port, program};
use crate::world::World;

pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    reload: String,
    test: String,
}

impl Site {
    /// The site of an environment; `change` may break its text. `None` where there is no nginx.
    pub(crate) fn new(world: &World, environment: &str, change: impl Fn(String) -> String) -> Option<Self> {
        let program = program()?;
        let directory = world.path().join(format!("nginx-{environment}"));
        for name in ["towpath", "static", "tmp"] {
            std::fs::create_dir_all(directory.join(name)).unwrap();
        }
        let (root, port) = (directory.display().to_string(), free_port());
        let site = SITE
            .replace("/etc/nginx/towpath/shop-production.conf", &format!("{root}/towpath/shop.conf"))
            .replace("towpath_shop_production", &format!("towpath_shop_{}", environment.replace('-', "_")))
            .replace("/var/log/nginx/shop-production.log", &format!("{root}/traffic.log"))
            .replace("/srv/shop/static/", &format!("{root}/static/"))
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        std::fs::write(directory.join("site.conf"), change(site)).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {root}/tmp/{name};\n"))
            .collect();
        let user = if nix::unistd::geteuid().is_root() { "user root root;" } else { "" };
        let main = format!(
            "{user}\nworker_processes 1;\npid {root}/nginx.pid;\nerror_log {root}/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{temporary}access_log off;\ninclude {root}/site.conf;\n}}\n"
        );
        std::fs::write(directory.join("nginx.conf"), main).unwrap();
        let nginx = format!("{} -p {root} -e {root}/error.log -c nginx.conf", program.display());
        let reload = format!("if test -s {root}/nginx.pid; then {nginx} -s reload; else {nginx}; fi");
        Some(Self { port, reload, test: format!("{nginx} -t"), directory })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn include(&self) -> PathBuf {
        self.directory.join("towpath/shop.conf")
    }

    /// The lines of `towpath.toml`.
    pub(crate) fn lines(&self) -> String {
        self.lines_with(&self.test, &self.url())
    }

    /// The same with another test command, or another url.
    pub(crate) fn lines_with(&self, test: &str, url: &str) -> String {
        let (root, reload) = (self.directory.display(), &self.reload);
        format!(
            "url = \"{url}\"\nrouter = {{ nginx = {{ include = \"{root}/towpath/shop.conf\", test = \"{test}\", reload = \
             \"{reload}\", access_log = \"{root}/traffic.log\" }} }}"
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
