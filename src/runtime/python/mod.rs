//! Stand-in until the branch `python` is merged.
#![allow(unreachable_pub, missing_docs, clippy::missing_errors_doc, clippy::unused_async)]
macro_rules! none {
    ($name:ident, $of:ty) => {
        pub mod $name {
            pub async fn run(
                _: &mut crate::runtime::workbench::Workbench,
                _: &$of,
            ) -> anyhow::Result<crate::runtime::workbench::Done> {
                anyhow::bail!("not merged")
            }
        }
    };
}
none!(install, crate::domain::plan::Setting);
none!(build, crate::domain::plan::Build);
none!(inspect, crate::domain::plan::Setting);
none!(migrate_empty, crate::domain::plan::Exec);
pub mod overlay {
    pub struct Overlay {
        pub python: std::path::PathBuf,
        pub path_prefix: std::path::PathBuf,
        pub cwd: std::path::PathBuf,
        pub env: std::collections::BTreeMap<String, String>,
    }
    pub async fn prepare(_: &mut crate::runtime::workbench::Workbench) -> anyhow::Result<Overlay> {
        anyhow::bail!("not merged")
    }
}
