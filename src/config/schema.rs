//! Which keys exist. The example file, the unknown-key messages and the reader all go by these lists.

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[name]`, once.
    Single,
    /// `[[name]]`, once for each.
    Repeated,
    /// `[name.NAME]`, once for each.
    Named,
    /// `name = { … }` inside another table.
    Inner,
}

/// One table of the configuration and its keys.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name as written between brackets.
    pub name: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// Its keys.
    pub keys: &'static [&'static str],
}

impl Table {
    const fn single(name: &'static str, keys: &'static [&'static str]) -> Self {
        Self { name, shape: Shape::Single, keys }
    }

    const fn named(name: &'static str, keys: &'static [&'static str]) -> Self {
        Self { name, shape: Shape::Named, keys }
    }

    const fn inner(name: &'static str, keys: &'static [&'static str]) -> Self {
        Self { name, shape: Shape::Inner, keys }
    }

    /// What begins it: `[project]`, `[[stage]]`, `[role.NAME]`, `hooks = { … }`.
    #[must_use]
    pub fn heading(&self) -> String {
        let name = self.name;
        match self.shape {
            Shape::Single => format!("[{name}]"),
            Shape::Repeated => format!("[[{name}]]"),
            Shape::Named => format!("[{name}.NAME]"),
            Shape::Inner => format!("{name} = {{ … }}"),
        }
    }
}

/// `[project]`
pub const PROJECT: Table = Table::single("project", &["name", "kind", "python", "settings"]);
/// `[pipeline]`
pub const PIPELINE: Table = Table::single("pipeline", &["branch", "poll", "runs", "jobs"]);
/// `[artifact]`
pub const ARTIFACT: Table = Table::single(
    "artifact",
    &["runtime", "image", "dockerfile", "target", "args", "secrets", "push", "collectstatic", "env"],
);
/// `[[stage]]`
pub const STAGE: Table = Table {
    name: "stage",
    shape: Shape::Repeated,
    keys: &[
        "name", "needs", "run", "in", "services", "env", "timeout", "retries", "when", "group", "enabled",
    ],
};
/// `[role.NAME]`
pub const ROLE: Table = Table::named("role", &["command", "stop_timeout", "max", "port", "volumes"]);
/// `[service.NAME]`
pub const SERVICE: Table = Table::named("service", &["image", "command", "env", "ready"]);
/// `ready = { … }` of a service: exactly one of these.
pub const READY: Table = Table::inner("ready", &["tcp", "postgres", "command"]);
/// `[environment.NAME]`
pub const ENVIRONMENT: Table = Table::named(
    "environment",
    &[
        "after",
        "protected",
        "hosts",
        "network",
        "replicas",
        "url",
        "strategy",
        "bake",
        "smoke",
        "hooks",
        "migrations",
        "health",
        "tolerance",
        "env",
        "secrets",
        "router",
    ],
);
/// One entry of `hosts` of an environment, where it is more than a url.
pub const HOST: Table = Table::inner("hosts", &["url", "name", "address", "tls"]);
/// `strategy = { canary = … }` of an environment.
pub const STRATEGY: Table = Table::inner("strategy", &["canary", "bake"]);
/// `hooks = { … }` of an environment.
pub const HOOKS: Table = Table::inner("hooks", &["before", "after_migrate", "after"]);
/// `migrations = { … }` of an environment.
pub const MIGRATIONS: Table = Table::inner("migrations", &["lock_timeout"]);
/// `health = { … }` of an environment.
pub const HEALTH: Table = Table::inner("health", &["path", "status", "within", "interval", "start"]);
/// `tolerance = { … }` of an environment.
pub const TOLERANCE: Table = Table::inner("tolerance", &["failed", "min_requests"]);
/// One entry of `secrets` of an environment: exactly one of these.
pub const SECRET: Table = Table::inner("secrets", &["env", "file", "command"]);
/// `router = { … }` of an environment.
pub const ROUTER: Table = Table::inner("router", &["nginx"]);
/// `nginx = { … }` of a router.
pub const NGINX: Table =
    Table::inner("nginx", &["include", "container", "test", "reload", "access_log", "static_files"]);

/// Every table of the file itself, in the order of the example file.
pub const TABLES: [Table; 7] = [PROJECT, PIPELINE, ARTIFACT, STAGE, SERVICE, ROLE, ENVIRONMENT];

/// Every table inside an environment; nginx's is inside the router's.
pub const INNER: [Table; 8] = [HOST, STRATEGY, HOOKS, MIGRATIONS, HEALTH, TOLERANCE, ROUTER, NGINX];

/// Keys that belong to a later version: the table, the key, what to do.
pub const LATER: [(&str, &str, &str); 1] =
    [("environment", "probe", "Leave it out: health = \"/health\" is what this version asks.")];

/// Which table a key belongs under, where it is known somewhere.
pub(super) fn owner(key: &str) -> Option<Table> {
    TABLES.into_iter().chain(INNER).find(|table| table.keys.contains(&key))
}
