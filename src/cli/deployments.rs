//! What the verbs about deployments have in common: what their arguments mean, what is asked before, and the word
//! that is typed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::str::FromStr;

use super::arguments::Word;
use super::failure::{Failure, Sort};
use super::{Invocation, session};
use crate::domain::ids::{DeploymentId, EnvironmentName, PlanDigest, ReleaseNumber};
use crate::domain::query::{Answer, PromotionPreview, Query, RollbackPreview};
use crate::domain::state::{Deployment, State};
use crate::print::style::visible;
use crate::wire::client::Client;

/// The fewest digits that name a plan: those that people read.
const FEWEST_DIGITS: usize = 6;

/// The digits of a SHA-256.
const DIGITS: usize = 64;

/// A plan's digest from the command line, or its beginning.
///
/// # Errors
/// When it is no digest, or too little of one.
pub(super) fn digest(text: &str) -> Result<PlanDigest, String> {
    if !(FEWEST_DIGITS..=DIGITS).contains(&text.len()) || !text.bytes().all(|sign| sign.is_ascii_hexdigit()) {
        return Err(format!(
            "a plan is named by {FEWEST_DIGITS} to {DIGITS} hexadecimal digits; `towpath plan ENV` says them"
        ));
    }
    Ok(PlanDigest(text.to_ascii_lowercase()))
}

/// What a rollback goes back to, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// A deployment: `12` or `#12`.
    Deployment(DeploymentId),
    /// The newest deployment of a release: `v3`.
    Release(ReleaseNumber),
}

impl FromStr for Earlier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = match text.starts_with('v') {
            true => text.parse().map(Self::Release).ok(),
            false => text.parse().map(Self::Deployment).ok(),
        };
        found.ok_or_else(|| {
            "a deployment is named by its number (12), a release by v and its number (v3)".to_owned()
        })
    }
}

impl Earlier {
    /// The deployment that is meant.
    ///
    /// # Errors
    /// When no deployment of that release was live and verified there.
    pub(super) fn deployment(
        self,
        state: &State,
        preview: &RollbackPreview,
    ) -> Result<DeploymentId, Failure> {
        let release = match self {
            Self::Deployment(number) => return Ok(number),
            Self::Release(release) => release,
        };
        // Newest first; those that were live and verified.
        let mut known = preview.others.clone();
        known.push(preview.to);
        known.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        known.iter().find(|(_, of)| *of == release).map(|(number, _)| *number).ok_or_else(|| {
            let listed: Vec<String> =
                known.iter().map(|(number, of)| format!("{of} (deployment {number})")).collect();
            let message = match state.release(release) {
                Ok(_) => format!(
                    "{release} was never live and verified on {} before what is there now.",
                    preview.environment
                ),
                Err(refusal) => refusal.message,
            };
            Failure::new(Sort::Refused, message, format!("There are: {}.", listed.join(", ")))
        })
    }
}

/// What a promotion would do.
///
/// # Errors
/// When there is no such environment or release.
pub(super) async fn promotion(
    client: &Client,
    environment: &EnvironmentName,
    release: ReleaseNumber,
) -> Result<PromotionPreview, Failure> {
    let query = Query::PreviewPromotion { environment: environment.clone(), release };
    match session::ask(client, query).await? {
        Answer::Promotion { preview } => Ok(*preview),
        _ => Err(Failure::unexpected("what a promotion would do")),
    }
}

/// What a rollback would do.
///
/// # Errors
/// When there is nothing to go back to.
pub(super) async fn rollback(
    client: &Client,
    environment: &EnvironmentName,
    to: Option<DeploymentId>,
) -> Result<RollbackPreview, Failure> {
    let query = Query::PreviewRollback { environment: environment.clone(), to };
    match session::ask(client, query).await? {
        Answer::Rollback { preview } => Ok(*preview),
        _ => Err(Failure::unexpected("what a rollback would do")),
    }
}

/// The deployment that is under way in an environment.
///
/// # Errors
/// When there is no such environment, or nothing is under way there.
pub(super) fn under_way<'a>(
    state: &'a State,
    environment: &EnvironmentName,
) -> Result<(DeploymentId, &'a Deployment), Failure> {
    if let Some(found) = state.under_way(environment) {
        return Ok(found);
    }
    state.environment(environment)?;
    Err(Failure::new(
        Sort::Refused,
        format!("No deployment is under way on {environment}."),
        "`towpath environments` says what is live where, and what is under way.",
    ))
}

/// A reason that says something.
///
/// # Errors
/// When it is empty.
pub(super) fn reason(text: &str) -> Result<String, Failure> {
    match text.trim() {
        "" => Err(Failure::usage("The reason is empty.", "Say why with --reason TEXT.")),
        text => Ok(text.to_owned()),
    }
}

impl Word {
    /// The name and the reason, asked for at a terminal where they are wanted and were not given.
    ///
    /// # Errors
    /// When another name was given, or one is wanted and nobody can be asked.
    pub(super) fn said(
        self,
        invocation: &mut Invocation,
        environment: &EnvironmentName,
        wants_name: bool,
        wants_reason: bool,
    ) -> Result<(String, String), Failure> {
        let can_ask = std::io::stdin().is_terminal() && !invocation.output.json;
        let asked = |question: &str| -> Result<String, Failure> {
            if can_ask { ask(question) } else { Ok(String::new()) }
        };
        let refused = |message: String, hint: String| Failure::new(Sort::Refused, message, hint);
        let confirm = match self.confirm {
            Some(confirm) => confirm,
            None if wants_name => asked(&format!("Type the environment's name, {environment}: "))?,
            None => String::new(),
        };
        if !confirm.is_empty() && confirm != environment.as_str() {
            return Err(refused(
                format!("{environment} was not confirmed: \"{}\" was typed.", visible(&confirm)),
                format!("Say --confirm {environment} if that is what you mean. Nothing was done."),
            ));
        }
        if wants_name && confirm.is_empty() {
            return Err(refused(
                format!("{environment} was not confirmed: its name has to be typed for this."),
                format!("Say --confirm {environment}. Nothing was done."),
            ));
        }
        let reason = match self.reason {
            Some(reason) => reason,
            None if wants_reason => asked("Why: ")?,
            None => String::new(),
        };
        let reason = reason.trim().to_owned();
        if wants_reason && reason.is_empty() {
            return Err(refused(
                format!("{environment} is protected: what is done there needs a reason."),
                "Say why with --reason TEXT. Nothing was done.".to_owned(),
            ));
        }
        Ok((confirm, reason))
    }
}

/// Asks for one line. It waits in the plain way, for nothing is under way yet: Ctrl-C ends the program.
fn ask(question: &str) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Sort::Unclear, format!("The answer could not be read: {error}."), "")
    };
    let mut error = std::io::stderr().lock();
    write!(error, "{question}").and_then(|()| error.flush()).map_err(unreadable)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_named_by_six_digits_or_more() {
        let long = "a".repeat(65);
        for wrong in ["", "12345", "7f31ag", "0x7f31ac", long.as_str()] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
        assert_eq!(digest("7F31AC"), Ok(PlanDigest("7f31ac".to_owned())));
        assert_eq!(digest(&long[..64]), Ok(PlanDigest(long[..64].to_owned())));
    }

    #[test]
    fn a_number_is_a_deployment_and_a_v_a_release() {
        assert_eq!("12".parse(), Ok(Earlier::Deployment(DeploymentId(12))));
        assert_eq!("#12".parse(), Ok(Earlier::Deployment(DeploymentId(12))));
        assert_eq!("v3".parse(), Ok(Earlier::Release(ReleaseNumber(3))));
        for wrong in ["", "v", "vv3", "three", "-1", "##2"] {
            assert!(wrong.parse::<Earlier>().is_err(), "{wrong}");
        }
    }
}
