//! `towpath demo`: a small shop with everything that it needs, to see Towpath at work.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::json;

use super::failure::Failure;
use super::{Invocation, console, in_runtime, quoted, session};
use crate::demo::{self, Place, Teller, clean, tour};
use crate::domain::ids::EnvironmentName;
use crate::domain::project::RuntimeKind;

/// What is wanted of the demo.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Where; `None` is the usual place.
    pub(super) directory: Option<PathBuf>,
    /// What its releases run on; `None` is processes for a new demo, and whatever it is for one that is there.
    pub(super) runtime: Option<RuntimeKind>,
    /// Walk the story.
    pub(super) tour: bool,
    /// Take everything away.
    pub(super) clean: bool,
}

pub(super) fn demo(invocation: &mut Invocation, wanted: &Wanted) -> Result<u8, Failure> {
    let directory = wanted.directory.clone().map_or_else(Place::usual, Ok)?;
    if wanted.clean {
        let Some(place) = Place::find(&directory)? else {
            return Err(Failure::usage(
                format!("There is no demo in {}; nothing was touched.", directory.display()),
                "Name its directory with --dir DIR.",
            ));
        };
        place.wanted(wanted.runtime)?;
        in_runtime(clean::clean(&place, &mut Teller { output: &mut invocation.output }))?;
        if invocation.output.json {
            invocation.output.json("demo", &json!({ "directory": place.root(), "removed": true }))?;
        }
        return Ok(0);
    }
    if wanted.tour {
        return tour::run(&mut invocation.output, &directory, wanted.runtime);
    }
    let place = in_runtime(async {
        let mut teller = Teller { output: &mut invocation.output };
        let place = demo::ready(&directory, wanted.runtime, &mut teller).await?;
        fill(&place, &mut teller).await?;
        Ok(place)
    })?;
    let shop = place.shop();
    if invocation.output.live && std::io::stdin().is_terminal() {
        invocation.repository = Some(shop);
        return console::open(invocation);
    }
    let path = shop.display().to_string();
    if invocation.output.json {
        let urls = demo::ENVIRONMENTS.map(|name| place.url(name).unwrap_or_default());
        let body =
            json!({ "directory": place.root(), "shop": path, "staging": urls[0], "production": urls[1] });
        invocation.output.json("demo", &body)?;
        return Ok(0);
    }
    let output = &mut invocation.output;
    for environment in demo::ENVIRONMENTS {
        output.line(&format!(
            "{environment} is {} (502 until something is deployed)",
            place.url(environment)?
        ))?;
    }
    let at = quoted(&path);
    output.line("here is no terminal for the console; go on with:")?;
    output.line(&format!("    towpath run --commit v1.0.0 --repository {at}"))?;
    output.line(&format!("    towpath --repository {at}          the console, in a terminal"))?;
    let named =
        wanted.directory.as_ref().map(|directory| format!(" --dir {}", quoted(&directory.to_string_lossy())));
    let named = named.unwrap_or_default();
    output.line(&format!(
        "    towpath demo{named}                 once something is live: fills empty shops with goods"
    ))?;
    output.line(&format!("    towpath demo --clean{named}         stops and removes all of it"))?;
    Ok(0)
}

/// Fills shops that are live and empty: goods, customers and orders are no release's business.
async fn fill(place: &Place, teller: &mut Teller<'_>) -> Result<(), Failure> {
    let layout = place.layout()?;
    if !layout.journal().exists() {
        return Ok(());
    }
    let client = session::connect(&layout, "demo").await?;
    let (state, _) = session::attach(&client).await?;
    for name in demo::ENVIRONMENTS {
        let name = EnvironmentName::from(name);
        let Some((_, live)) = state.live(&name) else { continue };
        let release = state.release(live.release)?;
        let said = demo::data::seed(place, &state, release, &name).await?;
        teller.say(&format!("{name}: {said}"))?;
    }
    Ok(())
}
