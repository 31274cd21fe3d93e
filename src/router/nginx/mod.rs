//! nginx: one file that it includes gives each deployment its part of the traffic, and each answer its name.
//!
//! The site itself is the user's; `assets/nginx/site.conf.example` says what it needs.

mod apply;
mod command;
mod confirm;
mod text;
mod traffic;

pub use apply::{Applied, apply};
pub use confirm::{Confirmed, Wanted, confirm};
pub use text::{ClientKeepalive, IDLE_SURVIVES, Names, Options, include_text};
pub use traffic::{Tail, Traffic};

use crate::domain::ids::DeploymentId;

/// How a deployment is called in nginx's configuration, in its log and in the header: `d112`.
#[must_use]
pub fn label(deployment: DeploymentId) -> String {
    format!("d{}", deployment.0)
}

/// The deployment that is called so; `None` when it is no such name.
#[must_use]
pub fn labelled(label: &str) -> Option<DeploymentId> {
    let digits = label.strip_prefix('d')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(DeploymentId))?
}
