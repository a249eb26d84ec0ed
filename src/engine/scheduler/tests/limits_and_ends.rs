//! Pieces of prompts, limits, admission and all the ways to end.

use super::*;

#[test]
fn a_long_prompt_is_computed_in_pieces_around_running_outputs() {
    let mut scheduler = scheduler(4, 4);
    add(&mut scheduler, 0, 2, 8);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 2, 1)]);
    add(&mut scheduler, 1, 8, 1);
    assert_eq!(step_parts(&mut scheduler), [(0, 2, 1, 1), (1, 0, 3, 0)]);
    assert_eq!(step_parts(&mut scheduler), [(0, 3, 1, 1), (1, 3, 3, 0)]);
    let (plan, outcome) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(0, 4, 1, 1), (1, 6, 2, 1)]);
    assert_eq!(outcome.num_prompt_tokens, 8);
    assert_eq!(outcome.events.last(), Some(&(SequenceId(1), TokenEvent::finished(FinishReason::Length))));
    assert!(scheduler.sequence(SequenceId(1)).is_none());
}

#[test]
fn prompts_beside_outputs_have_a_limit_and_prompts_alone_have_none() {
    let mut scheduler = scheduler(4, 16);
    scheduler.limit_prefill(2);
    add(&mut scheduler, 0, 6, 8);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 6, 1)]);
    add(&mut scheduler, 1, 5, 8);
    assert_eq!(step_parts(&mut scheduler), [(0, 6, 1, 1), (1, 0, 2, 0)]);
    scheduler.limit_prefill(0);
    assert_eq!(step_parts(&mut scheduler), [(0, 7, 1, 1), (1, 2, 1, 0)], "one token is the least");
}

#[test]
fn a_stop_token_ends_a_sequence_and_is_no_output() {
    let mut scheduler = scheduler(4, 16);
    add(&mut scheduler, 0, 3, 5);
    step(&mut scheduler, 7);
    let (_, outcome) = step(&mut scheduler, 99);
    let reason = FinishReason::StopToken { token_id: 99 };
    assert_eq!(outcome.events, [(SequenceId(0), TokenEvent::finished(reason))]);
    assert_eq!((outcome.num_generated_tokens, num_used(&scheduler)), (1, 0));
    assert!(!scheduler.has_work());
}

#[test]
fn blocks_are_taken_when_they_are_reached() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 4, 17);
    add(&mut scheduler, 1, 8, 9);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 4, 1), (1, 0, 8, 1)]);
    assert_eq!(num_used(&scheduler), 3);
    step(&mut scheduler, 7);
    assert_eq!(num_used(&scheduler), 5);
}

#[test]
fn a_sequence_that_does_not_fit_yet_is_not_overtaken() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 20, 2);
    add(&mut scheduler, 1, 16, 2);
    add(&mut scheduler, 2, 1, 1);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 20, 1)]);
    assert_eq!(waiting(&scheduler), [1, 2]);
    step(&mut scheduler, 7);
    assert_eq!(step_parts(&mut scheduler), [(1, 0, 16, 1), (2, 0, 1, 1)]);
}

#[test]
fn a_sequence_that_fills_the_whole_pool_fits_and_one_more_token_does_not() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 30, 3);
    let refused = scheduler.add(SequenceId(1), sequence(0, 30, 4));
    assert_eq!(refused, Err(AdmissionError::NeverFits { needed: 9, num_blocks: 8 }));
    for _ in 0..3 {
        step(&mut scheduler, 7);
    }
    assert!(!scheduler.has_work());
}

#[test]
fn a_sequence_with_nothing_to_compute_is_refused() {
    let mut scheduler = scheduler(4, 64);
    assert_eq!(scheduler.add(SequenceId(0), sequence(0, 0, 4)), Err(AdmissionError::NothingToDo));
    assert_eq!(scheduler.add(SequenceId(0), sequence(0, 4, 0)), Err(AdmissionError::NothingToDo));
}

#[test]
fn an_abort_frees_what_a_sequence_holds_in_every_phase() {
    let mut scheduler = scheduler(2, 4);
    add(&mut scheduler, 0, 1, 8);
    add(&mut scheduler, 1, 12, 8);
    add(&mut scheduler, 2, 1, 1);
    step(&mut scheduler, 7);
    for (id, phase) in [(0, Phase::Decode), (1, Phase::Prefill), (2, Phase::Queued)] {
        assert_eq!(scheduler.abort(SequenceId(id)), Some(phase));
        assert_eq!(scheduler.abort(SequenceId(id)), None);
    }
    assert_eq!(num_used(&scheduler), 0);
    assert!(!scheduler.has_work());
}

#[test]
fn a_failed_step_ends_its_sequences_and_no_other() {
    let mut scheduler = scheduler(2, 2);
    add(&mut scheduler, 0, 2, 8);
    add(&mut scheduler, 1, 2, 8);
    let plan = scheduler.schedule();
    let error = SequenceError::Model("no".to_owned());
    let outcome = scheduler.fail_step(&plan, &error);
    assert_eq!(outcome.events, [(SequenceId(0), TokenEvent::Failed { error })]);
    assert_eq!(step_parts(&mut scheduler), [(1, 0, 2, 1)]);
}

#[test]
fn invalid_logits_end_their_own_sequence_only() {
    let mut scheduler = scheduler(2, 8);
    add(&mut scheduler, 0, 2, 8);
    add(&mut scheduler, 1, 2, 8);
    let plan = scheduler.schedule();
    let outcome = scheduler.commit(&plan, vec![Err(SampleError::Invalid), Ok(5.into())]);
    let failed = TokenEvent::Failed { error: SequenceError::InvalidLogits };
    assert_eq!(outcome.events, [(SequenceId(0), failed), (SequenceId(1), token(5))]);
    assert_eq!(running(&scheduler), [1]);
}

#[test]
fn no_more_sequences_run_than_may() {
    let mut scheduler = scheduler(2, 64);
    for id in 0..3 {
        add(&mut scheduler, id, 1, 2);
    }
    assert_eq!(step(&mut scheduler, 7).0.admitted.len(), 2);
    assert_eq!(step(&mut scheduler, 7).0.admitted.len(), 0);
    assert_eq!(step(&mut scheduler, 7).0.admitted.len(), 1);
}

#[test]
fn what_left_the_window_is_given_back_and_a_long_sequence_fits_a_small_pool() {
    let groups = vec![KvGroup { window: Some(4) }];
    let mut scheduler = Scheduler::new(SchedulerConfig { groups, ..config(1, 4) });
    add(&mut scheduler, 0, 20, 100);
    for num_computed in [4, 8, 12, 16, 20] {
        step(&mut scheduler, 7);
        let sequence = scheduler.sequence(SequenceId(0)).expect("it runs");
        assert_eq!(sequence.num_computed(), num_computed);
        // The next token sees three positions before itself.
        let table = &sequence.blocks().tables()[0];
        assert_eq!((table.num_dropped(), table.held().len()), ((num_computed - 3) / 4, 1));
        assert_eq!(table.places()[0] == BlockTable::DROPPED, num_computed > 4);
    }
    for _ in 1..100 {
        step(&mut scheduler, 7);
        assert!(num_used(&scheduler) <= 2);
    }
    assert!(!scheduler.has_work());
}
