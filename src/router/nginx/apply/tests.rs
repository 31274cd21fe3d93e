use crate::domain::ids::{DeploymentId, ReleaseNumber};
use crate::router::{Member, Share};

use super::*;

struct Setting {
    directory: tempfile::TempDir,
    nginx: Nginx,
    said: Vec<String>,
}

impl Setting {
    /// `test` and `reload` are what stands for nginx: here only what becomes of the file is looked at.
    fn new(test: &str, reload: &str) -> Self {
        let nginx = Nginx {
            include: "nginx/shop.conf".into(),
            container: None,
            test: test.into(),
            reload: reload.into(),
            access_log: None,
            static_files: None,
        };
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("nginx")).unwrap();
        Self { directory, nginx, said: Vec::new() }
    }

    async fn apply(&mut self, deployment: u64) -> Result<Applied, Trouble> {
        let said = &mut self.said;
        apply(&self.nginx, &route(deployment), self.directory.path(), &mut |line| said.push(line.into()))
            .await
    }

    fn include(&self) -> PathBuf {
        self.directory.path().join("nginx/shop.conf")
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.include()).ok()
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.directory.path().join("nginx")).unwrap().count()
    }
}

fn route(deployment: u64) -> Route {
    let host = std::net::Ipv4Addr::LOCALHOST.into();
    let member =
        Member { deployment: DeploymentId(deployment), release: ReleaseNumber(deployment), host, port: 8001 };
    Route {
        project: "shop".into(),
        environment: "production".into(),
        shares: vec![Share { members: vec![member], weight: 100 }],
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_file_is_there_when_it_is_tested_and_a_second_time_nothing_is_done() {
    let mut setting = Setting::new("grep -q d7 nginx/shop.conf", "echo reloaded >> reloads");
    let applied = setting.apply(7).await.unwrap();
    assert!(applied.changed && applied.warnings.is_empty());
    assert_eq!(setting.text().unwrap(), include_text(&route(7), Options::NEW));
    let applied = setting.apply(7).await.unwrap();
    assert!(!applied.changed);
    assert!(setting.said.last().unwrap().contains("as wanted already"), "{:?}", setting.said);
    assert_eq!(fs::read_to_string(setting.directory.path().join("reloads")).unwrap(), "reloaded\n");
    assert_eq!(setting.entries(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_text_leaves_the_old_file_or_none() {
    let mut setting = Setting::new("printf 'nginx: [emerg] \\033]0;x\\007bad\\n' >&2; exit 1", "true");
    let trouble = setting.apply(7).await.unwrap_err();
    assert_eq!(trouble.last_lines, ["nginx: [emerg] bad"]);
    assert_eq!(trouble.summary, "nginx refuses the configuration");
    assert_eq!((setting.text(), setting.entries()), (None, 0));
    fs::write(setting.include(), "# mine\n").unwrap();
    setting.apply(7).await.unwrap_err();
    assert_eq!((setting.text().as_deref(), setting.entries()), (Some("# mine\n"), 1));
}

#[tokio::test(flavor = "current_thread")]
async fn a_reload_that_fails_leaves_the_old_file() {
    let mut setting = Setting::new("true", "true");
    setting.apply(7).await.unwrap();
    setting.nginx.reload =
        "echo 'open() \"/run/nginx.pid\" failed (2: No such file or directory)'; exit 1".into();
    let trouble = setting.apply(8).await.unwrap_err();
    assert!(trouble.cure.starts_with("nginx does not run"), "{trouble:?}");
    assert_eq!(setting.text().unwrap(), include_text(&route(7), Options::NEW));
    assert_eq!(setting.entries(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn an_attempt_that_was_cut_off_is_taken_up_from_what_nginx_has_read() {
    let mut setting = Setting::new("true", "echo reloaded >> reloads");
    setting.apply(7).await.unwrap();
    // As a kill between the renaming and the reload leaves it.
    fs::rename(setting.include(), setting.directory.path().join("nginx/.shop.conf.towpath-old")).unwrap();
    fs::write(setting.include(), include_text(&route(8), Options::NEW)).unwrap();
    setting.nginx.test = "false".into();
    setting.apply(8).await.unwrap_err();
    assert_eq!(setting.text().unwrap(), include_text(&route(7), Options::NEW));
    fs::write(
        setting.directory.path().join("nginx/.shop.conf.towpath-old"),
        include_text(&route(7), Options::NEW),
    )
    .unwrap();
    fs::write(setting.include(), include_text(&route(8), Options::NEW)).unwrap();
    setting.nginx.test = "true".into();
    // The text is the same, and still nginx is told: it has not read it.
    assert!(setting.apply(8).await.unwrap().changed);
    assert_eq!(fs::read_to_string(setting.directory.path().join("reloads")).unwrap(), "reloaded\nreloaded\n");
    assert_eq!(setting.entries(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn what_nginx_does_not_know_is_left_out_and_said() {
    let knows_neither = "if grep -q '^keepalive_min' nginx/shop.conf; then echo 'unknown directive \"keepalive_min_timeout\"'; exit 1; \
        elif grep -q 'keepalive 0' nginx/shop.conf; then echo 'invalid value \"0\" in \"keepalive\" directive'; exit 1; fi";
    let mut setting = Setting::new(knows_neither, "true");
    let applied = setting.apply(7).await.unwrap();
    assert_eq!(applied.warnings, [CLOSES]);
    let options = Options { client: ClientKeepalive::Unknown, close_to_replicas: false };
    assert_eq!(setting.text().unwrap(), include_text(&route(7), options));
    // Known from the file the next time, and still said.
    let again = setting.apply(7).await.unwrap();
    assert_eq!((again.changed, again.warnings), (false, applied.warnings));
}

#[tokio::test(flavor = "current_thread")]
async fn each_obstacle_has_its_cure() {
    for (test, cure) in [
        ("towpath-no-such-program -t", "not installed, or not on PATH"),
        ("echo 'sudo: a password is required'; exit 1", "NOPASSWD"),
        ("echo 'open() \"/run/nginx.pid\" failed (13: Permission denied)'; exit 1", "sudo -n"),
        ("echo 'write failed: No space left on device'; exit 1", "free some space"),
        ("kill -9 $$", "run it by hand"),
        ("echo 'duplicate upstream \"towpath_shop_production\"'; exit 1", "included twice"),
    ] {
        let trouble = Setting::new(test, "true").apply(7).await.unwrap_err();
        assert!(trouble.cure.contains(cure), "{trouble:?}");
    }
    let mut setting = Setting::new("true", "true");
    setting.nginx.include = "missing/shop.conf".into();
    let trouble = setting.apply(7).await.unwrap_err();
    assert!(trouble.cure.starts_with("make ") && trouble.measured.contains("No such file"), "{trouble:?}");
    setting.nginx.include = "nginx".into();
    assert!(setting.apply(7).await.unwrap_err().cure.contains("path of a file"));
    assert!(trouble_of(ErrorKind::StorageFull).cure.contains("is full"));
    assert!(trouble_of(ErrorKind::PermissionDenied).cure.contains("writable"));
}

fn trouble_of(kind: ErrorKind) -> Trouble {
    trouble(Path::new("/etc/nginx/towpath/shop.conf"), "written", &io::Error::from(kind))
}

#[tokio::test(flavor = "current_thread")]
async fn a_link_stays_a_link() {
    let mut setting = Setting::new("true", "true");
    let real = setting.directory.path().join("real.conf");
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, setting.include()).unwrap();
    setting.apply(7).await.unwrap();
    assert!(fs::symlink_metadata(setting.include()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("d7"));
}
