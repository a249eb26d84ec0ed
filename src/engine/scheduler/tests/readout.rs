//! Prompts that are scored or pooled.

use super::*;
use crate::engine::{Pooling, StepResults};
use crate::model::HiddenStates;
use crate::sampling::TokenLogprobs;

fn scored(first: u32, num_prompt: u32, max_new_tokens: u32) -> NewSequence {
    NewSequence { prompt_scores: Some(0), ..sequence(first, num_prompt, max_new_tokens) }
}

fn pooled(pooling: Pooling, first: u32, num_prompt: u32) -> NewSequence {
    NewSequence { pooling: Some(pooling), ..sequence(first, num_prompt, 0) }
}

/// Runs a step in which every sample is 7, the score of a token is its position, and the hidden state of a row is one
/// number, the row's position. Gives the parts as (id, start, tokens, scores) and the outcome.
fn read(scheduler: &mut Scheduler) -> (Vec<(u64, usize, usize, usize)>, StepOutcome) {
    let plan = scheduler.schedule();
    let positions = plan.scheduled.iter().flat_map(|part| part.score_positions());
    let score = |position: usize| Ok(TokenLogprobs { logprob: position as f32, top: Vec::new() });
    let hidden = plan.scheduled.iter().flat_map(|part| {
        let end = part.start + part.num_tokens;
        (end - part.num_hidden..end).map(|position| position as f32)
    });
    let results = StepResults {
        sampled: vec![Ok(7.into()); plan.num_samples()],
        scores: positions.map(score).collect(),
        hidden: HiddenStates::new(hidden.collect(), 1),
    };
    let of = |part: &ScheduledSequence| (part.id.0, part.start, part.num_tokens, part.num_scores);
    let parts = plan.scheduled.iter().map(of).collect();
    (parts, scheduler.commit(&plan, results))
}

/// Token and score of each.
fn scores(outcome: &StepOutcome) -> Vec<(u32, f32)> {
    let of = |event: &(SequenceId, TokenEvent)| match &event.1 {
        TokenEvent::PromptScores { scores } => scores.clone(),
        _ => Vec::new(),
    };
    let scores = outcome.events.iter().flat_map(of);
    scores.map(|score| (score.token_id, score.logprobs.logprob)).collect()
}

#[test]
fn scores_come_before_the_first_token_and_leave_out_the_first_of_the_prompt() {
    let mut scheduler = scheduler(1, 8);
    add_sequence(&mut scheduler, 0, scored(10, 4, 2));
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!(parts, [(0, 0, 4, 3)]);
    assert_eq!(scores(&outcome), [(11, 1.0), (12, 2.0), (13, 3.0)]);
    assert_eq!(outcome.events[1..], [(SequenceId(0), token(7))]);
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!((parts, scores(&outcome)), (vec![(0, 4, 1, 0)], vec![]));
}

#[test]
fn a_prompt_of_one_token_has_no_scores() {
    let mut scheduler = scheduler(1, 8);
    add_sequence(&mut scheduler, 0, scored(10, 1, 1));
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!(parts, [(0, 0, 1, 0)]);
    assert_eq!(outcome.events[0], (SequenceId(0), token(7)));
}

#[test]
fn a_scored_prompt_may_be_all_that_is_wanted() {
    let mut scheduler = scheduler(1, 3);
    add_sequence(&mut scheduler, 0, scored(10, 5, 0));
    assert_eq!(read(&mut scheduler).1.events, []);
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!((parts, scores(&outcome).len()), (vec![(0, 3, 2, 1)], 4));
    assert_eq!(outcome.events[1..], [(SequenceId(0), TokenEvent::finished(FinishReason::Length))]);
    assert_eq!((outcome.num_prompt_tokens, outcome.num_generated_tokens), (5, 0));
    assert!(!scheduler.has_work());
}

#[test]
fn no_more_rows_are_scored_in_a_step_than_may_and_others_go_on_beside_them() {
    let mut scheduler = Scheduler::new(SchedulerConfig { max_scored_rows: 3, ..config(4, 20) });
    add_sequence(&mut scheduler, 0, scored(0, 5, 1));
    add_sequence(&mut scheduler, 1, scored(100, 6, 1));
    add_sequence(&mut scheduler, 2, sequence(200, 6, 1));
    assert_eq!(read(&mut scheduler).0, [(0, 0, 3, 3), (2, 0, 6, 0)]);
    // The last row of a prompt is that of its first output: it scores nothing.
    assert_eq!(read(&mut scheduler).0, [(0, 3, 2, 1), (1, 0, 2, 2)]);
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!(parts, [(1, 2, 4, 3)]);
    assert_eq!(scores(&outcome), [(101, 1.0), (102, 2.0), (103, 3.0), (104, 4.0), (105, 5.0)]);
}

#[test]
fn a_scored_prompt_finds_nothing_in_the_prefix_cache_and_is_found_there() {
    let mut scheduler = caching(2, 20);
    add_sequence(&mut scheduler, 0, sequence(0, 9, 1));
    step(&mut scheduler, 7);
    add_sequence(&mut scheduler, 1, scored(0, 9, 1));
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!(parts, [(1, 0, 9, 8)]);
    assert_eq!(scores(&outcome).len(), 8);
    add_sequence(&mut scheduler, 2, scored(500, 9, 1));
    read(&mut scheduler);
    add_sequence(&mut scheduler, 3, sequence(500, 9, 1));
    assert_eq!(admitted(&scheduler.schedule()), [(3, 8)]);
}

#[test]
fn who_lost_its_blocks_finds_again_what_was_scored_and_scores_the_rest() {
    let config = SchedulerConfig { prefix_cache: Some(HashKey([3; 16])), ..config(2, 10) };
    let mut scheduler = Scheduler::new(config);
    add_sequence(&mut scheduler, 0, NewSequence { priority: Priority(1), ..scored(0, 24, 1) });
    assert_eq!(read(&mut scheduler).0, [(0, 0, 10, 10)]);
    // More urgent, and the pool has no room for both.
    add_sequence(&mut scheduler, 1, sequence(500, 10, 1));
    let plan = scheduler.schedule();
    assert_eq!(preempted(&plan), [0]);
    scheduler.commit(&plan, vec![Ok(99.into()); plan.num_samples()]);
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!((parts, scores(&outcome)), (vec![(0, 10, 10, 10)], vec![]));
    let (parts, outcome) = read(&mut scheduler);
    assert_eq!(parts, [(0, 20, 4, 3)]);
    let expected: Vec<(u32, f32)> = (1..24).map(|position| (position, position as f32)).collect();
    assert_eq!(scores(&outcome), expected, "once each, in order");
}

#[test]
fn an_invalid_score_fails_its_own_sequence_only() {
    let mut scheduler = scheduler(2, 20);
    add_sequence(&mut scheduler, 0, scored(0, 3, 1));
    add(&mut scheduler, 1, 3, 1);
    let plan = scheduler.schedule();
    let good = TokenLogprobs { logprob: 0.0, top: Vec::new() };
    let results = StepResults {
        sampled: vec![Ok(7.into()); 2],
        scores: vec![Ok(good), Err(SampleError::Invalid)],
        hidden: HiddenStates::none(),
    };
    let outcome = scheduler.commit(&plan, results);
    let failed = TokenEvent::Failed { error: SequenceError::InvalidLogits };
    let finished = TokenEvent::finished(FinishReason::Length);
    let expected = [(SequenceId(0), failed), (SequenceId(1), token(7)), (SequenceId(1), finished)];
    assert_eq!(outcome.events, expected);
    assert_eq!(num_used(&scheduler), 0);
}

fn embedding(value: f32) -> [(SequenceId, TokenEvent); 2] {
    let finished = TokenEvent::finished(FinishReason::Pooled);
    [(SequenceId(0), TokenEvent::Embedding { values: vec![value] }), (SequenceId(0), finished)]
}

#[test]
fn a_pooled_prompt_gives_its_last_row_or_the_mean_of_all_and_ends() {
    for (pooling, expected) in [(Pooling::Last, 8.0), (Pooling::Mean, 4.0)] {
        let mut scheduler = scheduler(1, 4);
        add_sequence(&mut scheduler, 0, pooled(pooling, 0, 9));
        assert_eq!(read(&mut scheduler).1.events, []);
        assert_eq!(read(&mut scheduler).1.events, []);
        let outcome = read(&mut scheduler).1;
        assert_eq!(outcome.events, embedding(expected));
        assert_eq!((outcome.num_prompt_tokens, outcome.num_generated_tokens), (9, 0));
        assert!(!scheduler.has_work() && num_used(&scheduler) == 0);
    }
}

#[test]
fn the_last_row_may_stand_on_a_cached_prefix_and_the_mean_may_not() {
    for (pooling, expected, start) in [(Pooling::Last, 8.0, 8), (Pooling::Mean, 4.0, 0)] {
        let mut scheduler = caching(1, 20);
        add_sequence(&mut scheduler, 1, sequence(0, 9, 1));
        step(&mut scheduler, 7);
        add_sequence(&mut scheduler, 0, pooled(pooling, 0, 9));
        let (parts, outcome) = read(&mut scheduler);
        assert_eq!(parts, [(0, start, 9 - start, 0)]);
        assert_eq!(outcome.events, embedding(expected));
    }
}

#[test]
fn a_pooled_prompt_may_fill_the_pool_whatever_it_says_of_new_tokens() {
    let mut scheduler = scheduler(1, 100);
    let sequence = NewSequence { max_new_tokens: 1_000, ..pooled(Pooling::Last, 0, 32) };
    assert_eq!(sequence.max_tokens(), 32);
    add_sequence(&mut scheduler, 0, sequence);
    assert_eq!(read(&mut scheduler).1.events, embedding(31.0));
}

#[test]
fn a_hidden_state_that_is_not_finite_fails_the_sequence() {
    let mut scheduler = scheduler(1, 20);
    add_sequence(&mut scheduler, 0, pooled(Pooling::Last, 0, 3));
    let plan = scheduler.schedule();
    let hidden = HiddenStates::new(vec![1.0, f32::NAN], 2);
    let outcome = scheduler.commit(&plan, StepResults { hidden, ..StepResults::from(Vec::new()) });
    let failed = TokenEvent::Failed { error: SequenceError::InvalidLogits };
    assert_eq!(outcome.events, [(SequenceId(0), failed)]);
}

#[test]
fn scores_and_pooling_at_once_are_refused() {
    let both = NewSequence { prompt_scores: Some(0), ..pooled(Pooling::Mean, 0, 3) };
    assert_eq!(scheduler(1, 8).add(SequenceId(0), both), Err(AdmissionError::ScoresAndPooling));
}
