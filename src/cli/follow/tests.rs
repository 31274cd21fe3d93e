use super::*;
use crate::domain::plan::Verdict;
use crate::print::fixtures::Story;

fn told<'a>(story: &'a Story, numbers: &[DeploymentId]) -> Vec<&'a Deployment> {
    numbers.iter().map(|number| &story.state.deployments[number]).collect()
}

fn code(story: &Story, asked: DeploymentId, all: &[DeploymentId]) -> Option<u8> {
    exit_code(&story.state, asked, &told(story, all))
}

#[test]
fn each_ending_has_its_exit_code() {
    let mut story = Story::new();
    let first = story.goes_live("staging", 1);
    assert_eq!(code(&story, first, &[first]), Some(0));
    let second = story.promotes("staging", 2);
    assert_eq!(code(&story, second, &[second]), None);
    story.walks(second, None);
    assert_eq!(code(&story, second, &[second]), None, "what is live was not looked at yet");
    story.sees(second, Some(second), false);
    assert_eq!(code(&story, second, &[second]), Some(8));
    let third = story.promotes("staging", 3);
    story.walks(third, None);
    story.sees(third, None, false);
    assert_eq!(code(&story, third, &[third]), Some(7));
}

#[test]
fn an_automatic_rollback_is_waited_for_and_decides_nothing_but_its_own_ending() {
    let mut story = Story::new();
    let first = story.goes_live("staging", 1);
    let second = story.promotes("staging", 2);
    story.walks(second, Some("await web"));
    story.ends(second, Story::failure(), &[]);
    story.sees(second, Some(first), true);
    let back = DeploymentId(second.0 + 1);
    assert_eq!(code(&story, second, &[second, back]), None);
    story.walks(back, None);
    story.sees(back, Some(first), true);
    assert_eq!(code(&story, second, &[second, back]), Some(4));
    assert_eq!(code(&story, back, &[second, back]), Some(0));
    let result = result(&story.state, second, 4);
    assert_eq!(result["ending"]["kind"], json!("rolled_back"));
    assert_eq!(
        (&result["rollback"]["deployment"], &result["rollback"]["ending"]["kind"]),
        (&json!(back), &json!("live"))
    );
}

#[test]
fn held_is_said_once_its_step_has_ended() {
    let mut story = Story::new();
    let number = story.promotes("staging", 1);
    story.command(Command::Hold { deployment: number });
    assert_eq!(code(&story, number, &[number]), None, "a step still runs");
    story.ends(number, Verdict::Passed, &[]);
    assert_eq!(code(&story, number, &[number]), Some(6));
    let result = result(&story.state, number, 6);
    assert_eq!((&result["held"], &result["ending"]), (&json!("held by the operator"), &json!(null)));
}
