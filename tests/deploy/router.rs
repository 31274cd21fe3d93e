//! What goes wrong at the router: the words say what to mend, and nobody is sent to what cannot be confirmed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::program::free_port;
use crate::site::Site;
use crate::words;
use crate::world::{Clone, Said};

const LINES: &str = "replicas = { web = 1 }\nstrategy = \"blue-green\"\nbake = \"0s\"\nhealth = \"/health\"";

/// The first promotion to an environment fails at the router.
fn fails(shop: &Clone, title: &str, environment: &str, lines: &str) -> Said {
    shop.environment(environment, &format!("{LINES}\n{lines}"), &[]);
    let said = words(title, shop.towpath(&["promote", environment, "--release", "1", "--plain"]));
    let failed = shop.newest(environment);
    assert!(shop.has_begun(failed, "shift 100"), "{title}: it did not come so far\n{said}");
    // Nothing was live before: nobody is sent anywhere, and the new set waits for what a person says.
    said.ends(6).says("There is nothing to go back to").says("towpath go").says("towpath leave")
}

pub(crate) fn story(shop: &Clone) {
    let new = |environment: &str| Site::new(shop.world, environment, |site| site).unwrap();

    let site = new("absent");
    let lines = site.lines_with("no-such-nginx -t", &site.url());
    let said = fails(shop, "nginx is not installed", "absent", &lines);
    said.says("no-such-nginx").says("nginx is not installed, or not on PATH");
    assert!(!site.include().exists(), "what nginx could not test is not left there");

    let site = Site::new(shop.world, "mistaken", |site| site.replace("proxy_pass ", "proxy_pas ")).unwrap();
    let said = fails(shop, "nginx's own configuration is broken", "mistaken", &site.lines());
    said.says("unknown directive").says("proxy_pas");
    assert!(!site.include().exists(), "what nginx has refused is not left there");
    // Mended, it goes on from where it was: what was started is not started again.
    let text = std::fs::read_to_string(site.site()).unwrap().replace("proxy_pas ", "proxy_pass ");
    std::fs::write(site.site(), text).unwrap();
    words("go, after it was mended", shop.towpath(&["go", "mistaken", "--reason", "mended", "--plain"]))
        .ends(0);
    let mended = shop.newest("mistaken");
    assert_eq!(shop.started("mistaken", mended, 1), 1);
    assert!(site.ask().contains(&format!("X-Towpath-Deployment: d{mended}")), "{}", site.ask());

    let unnamed = |site: String| {
        let lines = site.lines().filter(|line| !line.trim_start().starts_with("add_header X-Towpath"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let site = Site::new(shop.world, "unnamed", unnamed).unwrap();
    let said = fails(shop, "the site has no header", "unnamed", &site.lines());
    said.says("do not say which deployment")
        .says("add_header X-Towpath-Deployment $towpath_shop_unnamed always;");

    let site = new("elsewhere");
    let lines = site.lines_with("true", &format!("http://127.0.0.1:{}", free_port()));
    fails(shop, "nobody listens at the url", "elsewhere", &lines).says("no answer at");

    other_server(shop, &new("other"));
}

/// The url is another server's.
fn other_server(shop: &Clone, site: &Site) {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", other.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother");
        }
    });
    fails(shop, "another server answers at the url", "other", &site.lines_with("true", &url))
        .says("do not say which deployment");
}
