//! Tokens that are guessed, checked, taken and thrown away.

use super::*;
use crate::engine::DraftCounts;

fn guessing(max_num_batched_tokens: usize) -> Scheduler {
    let speculation = SpeculationConfig { max_draft_tokens: 4, max_ngram: 3, min_ngram: 2 };
    Scheduler::new(SchedulerConfig { speculation, ..config(2, max_num_batched_tokens) })
}

/// Commits a step with these tokens.
fn commit(scheduler: &mut Scheduler, plan: &StepPlan, tokens: &[u32]) -> StepOutcome {
    scheduler.commit(plan, tokens.iter().map(|&token_id| Ok(token_id.into())).collect::<Vec<_>>())
}

/// A scheduler whose sequence has computed `[1, 2, 3, 4, 5, 1]` and got a 2.
fn after_a_repetition(max_new_tokens: u32) -> Scheduler {
    let mut scheduler = guessing(16);
    let sequence = NewSequence::greedy([1, 2, 3, 4, 5, 1], max_new_tokens);
    add_sequence(&mut scheduler, 0, NewSequence { stop_token_ids: [99].into(), ..sequence });
    let plan = scheduler.schedule();
    assert_eq!(parts(&plan), [(0, 0, 6, 1)]);
    commit(&mut scheduler, &plan, &[2]);
    scheduler
}

#[test]
fn right_guesses_are_output_of_one_step() {
    let mut scheduler = after_a_repetition(10);
    let plan = scheduler.schedule();
    assert_eq!(parts(&plan), [(0, 6, 3, 3)], "3 and 4 are guessed");
    assert_eq!((plan.num_prefill_tokens(), plan.num_samples()), (0, 3));
    let outcome = commit(&mut scheduler, &plan, &[3, 4, 5]);
    let tokens: Vec<_> = [3, 4, 5].map(|token_id| (SequenceId(0), token(token_id))).into();
    assert_eq!(outcome.events, tokens);
    assert_eq!((outcome.num_drafts, outcome.num_draft_tokens, outcome.num_accepted_tokens), (1, 2, 2));
    let sequence = scheduler.sequence(SequenceId(0)).expect("it runs");
    assert_eq!((sequence.num_computed(), sequence.num_output()), (9, 4));
}

#[test]
fn after_a_wrong_guess_nothing_counts() {
    let mut scheduler = after_a_repetition(10);
    let plan = scheduler.schedule();
    let outcome = commit(&mut scheduler, &plan, &[30, 4, 5]);
    assert_eq!(outcome.events, [(SequenceId(0), token(30))]);
    assert_eq!((outcome.num_generated_tokens, outcome.num_accepted_tokens), (1, 0));
    let sequence = scheduler.sequence(SequenceId(0)).expect("it runs");
    assert_eq!((sequence.num_computed(), sequence.num_uncomputed()), (7, 1));
    assert_eq!(step_parts(&mut scheduler), [(0, 7, 1, 1)], "the token after the wrong one is computed anew");
}

#[test]
fn a_guessed_stop_token_ends_the_sequence_there() {
    let mut scheduler = guessing(16);
    let stop_token_ids = [3].into();
    add_sequence(
        &mut scheduler,
        0,
        NewSequence { stop_token_ids, ..NewSequence::greedy([1, 2, 3, 4, 1], 9) },
    );
    let plan = scheduler.schedule();
    commit(&mut scheduler, &plan, &[2]);
    let plan = scheduler.schedule();
    assert_eq!(parts(&plan), [(0, 5, 3, 3)]);
    let outcome = commit(&mut scheduler, &plan, &[3, 4, 1]);
    let reason = FinishReason::StopToken { token_id: 3 };
    let drafts = DraftCounts { num_accepted: 1, num_rejected: 1 };
    assert_eq!(outcome.events, [(SequenceId(0), TokenEvent::Finished { reason, drafts })]);
    assert_eq!(num_used(&scheduler), 0);
}

#[test]
fn no_more_is_guessed_than_can_be_used() {
    // One token of two is there: the other needs no guess.
    let mut scheduler = after_a_repetition(2);
    assert_eq!(step_parts(&mut scheduler), [(0, 6, 1, 1)]);
    let mut scheduler = after_a_repetition(3);
    assert_eq!(step_parts(&mut scheduler), [(0, 6, 2, 2)]);
}

#[test]
fn guesses_leave_blocks_to_those_who_wait_and_to_those_who_run() {
    let mut scheduler = guessing(64);
    let prompt = [1, 2, 3, 4, 5, 6, 1];
    add_sequence(&mut scheduler, 0, NewSequence::greedy(prompt, 9));
    add(&mut scheduler, 1, 20, 4);
    let plan = scheduler.schedule();
    assert_eq!(parts(&plan), [(0, 0, 7, 1), (1, 0, 20, 1)]);
    commit(&mut scheduler, &plan, &[2, 7]);
    // Sequence 1 takes the last free block; the guess may fill only the block that sequence 0 has.
    let plan = scheduler.schedule();
    assert_eq!(parts(&plan), [(0, 7, 1, 1), (1, 20, 1, 1)]);
    assert!(plan.preempted.is_empty());
}

#[test]
fn a_row_that_is_invalid_after_a_right_guess_fails_the_sequence_after_its_tokens() {
    let mut scheduler = after_a_repetition(10);
    let plan = scheduler.schedule();
    let sampled = vec![Ok(3.into()), Err(SampleError::Invalid), Ok(5.into())];
    let outcome = scheduler.commit(&plan, sampled);
    let failed = TokenEvent::Failed { error: SequenceError::InvalidLogits };
    assert_eq!(outcome.events, [(SequenceId(0), token(3)), (SequenceId(0), failed)]);
    assert!(!scheduler.has_work());
}

#[test]
fn a_row_that_is_invalid_after_a_wrong_guess_is_nothing() {
    let mut scheduler = after_a_repetition(10);
    let plan = scheduler.schedule();
    let sampled = vec![Ok(30.into()), Err(SampleError::Invalid), Err(SampleError::Invalid)];
    assert_eq!(scheduler.commit(&plan, sampled).events, [(SequenceId(0), token(30))]);
    assert!(scheduler.has_work());
}
