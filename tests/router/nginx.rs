//! A real nginx of the test's own, with the site that we tell users to copy.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::domain::ids::{DeploymentId, ReleaseNumber};
use towpath::domain::project;
use towpath::probe::http::{Ask, Prober};
use towpath::router::nginx::{Applied, Confirmed, Wanted, apply, confirm};
use towpath::router::{Member, Route, Share, Trouble};

use crate::program::{SITE, free_port, program};

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Nginx {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) settings: project::Nginx,
    pub(crate) prober: Prober,
    command: String,
    child: Option<Child>,
}

pub(crate) fn share(deployment: u64, ports: &[u16], weight: u8) -> Share {
    let member = |port: &u16| Member {
        deployment: DeploymentId(deployment),
        release: ReleaseNumber(deployment),
        host: Ipv4Addr::LOCALHOST.into(),
        port: *port,
    };
    Share { members: ports.iter().map(member).collect(), weight }
}

pub(crate) fn route(shares: Vec<Share>) -> Route {
    Route { project: "shop".into(), environment: "production".into(), shares }
}

impl Nginx {
    /// The configuration, written; nothing runs yet. `http` is added to `http {}`, after the site.
    pub(crate) fn prepared(http: &str) -> Option<Self> {
        let program = program()?;
        let directory = tempfile::tempdir().unwrap();
        let (root, port) = (directory.path().display().to_string(), free_port());
        for name in ["towpath", "static", "tmp"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let site = SITE
            .replace("/etc/nginx/towpath/shop-production.conf", &format!("{root}/towpath/shop.conf"))
            .replace("/var/log/nginx/shop-production.log", &format!("{root}/traffic.log"))
            .replace("/srv/shop/static/", &format!("{root}/static/"))
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        std::fs::write(directory.path().join("site.conf"), site).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {root}/tmp/{name};\n"))
            .collect();
        let user = if nix::unistd::geteuid().is_root() { "user root root;" } else { "" };
        let main = format!(
            "{user}\ndaemon off;\nworker_processes 2;\npid {root}/nginx.pid;\nerror_log {root}/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{temporary}access_log off;\ninclude {root}/site.conf;\n{http}\n}}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), main).unwrap();
        let command = format!("{} -p {root} -e {root}/error.log -c nginx.conf", program.display());
        let settings = project::Nginx {
            include: "towpath/shop.conf".into(),
            container: None,
            test: format!("{command} -t"),
            reload: format!("{command} -s reload"),
            access_log: Some(format!("{root}/traffic.log")),
            static_files: Some(format!("{root}/static")),
        };
        let prober = Prober::new().unwrap();
        Some(Self { directory, port, settings, prober, command, child: None })
    }

    /// nginx runs, with this route already.
    pub(crate) async fn started(http: &str, shares: Vec<Share>) -> Option<Self> {
        let mut nginx = Self::prepared(http)?;
        nginx.settings.reload = "true".into();
        nginx.apply(shares).await.unwrap();
        nginx.settings.reload = format!("{} -s reload", nginx.command);
        let child = Command::new("sh").args(["-c", &format!("exec {}", nginx.command)]).spawn().unwrap();
        nginx.child = Some(child);
        let began = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, nginx.port)).is_err() {
            assert!(began.elapsed() < LONG, "nginx does not listen: {}", nginx.errors());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(nginx)
    }

    pub(crate) async fn apply(&self, shares: Vec<Share>) -> Result<Applied, Trouble> {
        apply(&self.settings, &route(shares), self.directory.path(), &mut |_| {}).await
    }

    pub(crate) fn ask(&self) -> Ask {
        Ask::new(format!("http://127.0.0.1:{}/", self.port), Duration::from_secs(10))
    }

    pub(crate) async fn confirm(
        &self,
        shares: Vec<Share>,
        deployment: u64,
        within: Duration,
    ) -> Result<Confirmed, Trouble> {
        let route = route(shares);
        let wanted = Wanted::of(&route, DeploymentId(deployment));
        confirm(&self.prober, &self.ask(), &route, &wanted, within).await
    }

    /// What this nginx is told, and that it has happened.
    pub(crate) async fn switch(&self, shares: Vec<Share>, deployment: u64) -> Confirmed {
        assert!(self.apply(shares.clone()).await.unwrap().changed);
        self.confirm(shares, deployment, LONG).await.unwrap()
    }

    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}
