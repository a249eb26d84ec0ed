use super::*;

const CAPACITY: KvCapacity = KvCapacity { num_blocks: 8, block_size: 4 };

fn scheduler(max_num_seqs: usize, max_num_batched_tokens: usize) -> Scheduler {
    Scheduler::new(StepLimits { max_num_seqs, max_num_batched_tokens }, CAPACITY)
}

fn sequence(num_prompt: u32, max_new_tokens: u32) -> NewSequence {
    let prompt: Vec<u32> = (0..num_prompt).collect();
    NewSequence { stop_token_ids: [99].into(), ..NewSequence::greedy(prompt, max_new_tokens) }
}

fn add(scheduler: &mut Scheduler, id: u64, num_prompt: u32, max_new_tokens: u32) {
    scheduler.add(SequenceId(id), sequence(num_prompt, max_new_tokens)).expect("it fits");
}

/// The parts of a plan as (id, start, number of tokens, samples).
fn parts(plan: &StepPlan) -> Vec<(u64, usize, usize, bool)> {
    plan.scheduled.iter().map(|part| (part.id.0, part.start, part.num_tokens, part.samples)).collect()
}

/// Runs a step in which every sample is `token_id`.
fn step(scheduler: &mut Scheduler, token_id: u32) -> (StepPlan, StepOutcome) {
    let plan = scheduler.schedule();
    let sampled = vec![Ok(token_id); plan.sampling().count()];
    let outcome = scheduler.commit(&plan, &sampled);
    (plan, outcome)
}

#[test]
fn a_long_prompt_is_computed_in_pieces_around_running_outputs() {
    let mut scheduler = scheduler(4, 4);
    add(&mut scheduler, 0, 2, 8);
    assert_eq!(parts(&step(&mut scheduler, 7).0), [(0, 0, 2, true)]);
    add(&mut scheduler, 1, 8, 1);
    assert_eq!(parts(&step(&mut scheduler, 7).0), [(0, 2, 1, true), (1, 0, 3, false)]);
    assert_eq!(parts(&step(&mut scheduler, 7).0), [(0, 3, 1, true), (1, 3, 3, false)]);
    let (plan, outcome) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(0, 4, 1, true), (1, 6, 2, true)]);
    assert_eq!(outcome.num_prompt_tokens, 8);
    assert_eq!(outcome.events.last(), Some(&(SequenceId(1), TokenEvent::finished(FinishReason::Length))));
    assert!(scheduler.sequence(SequenceId(1)).is_none());
}

#[test]
fn a_stop_token_ends_a_sequence_and_is_no_output() {
    let mut scheduler = scheduler(4, 16);
    add(&mut scheduler, 0, 3, 5);
    step(&mut scheduler, 7);
    let (_, outcome) = step(&mut scheduler, 99);
    let reason = FinishReason::StopToken { token_id: 99 };
    assert_eq!(outcome.events, [(SequenceId(0), TokenEvent::finished(reason))]);
    assert_eq!((outcome.num_generated_tokens, scheduler.pool().num_used()), (1, 0));
    assert!(!scheduler.has_work());
}

#[test]
fn blocks_are_promised_at_admission_and_taken_when_reached() {
    let mut scheduler = scheduler(4, 64);
    // 4 + 17 - 1 = 20 tokens: 5 of 8 blocks; the second needs 4 and must wait though 7 are free.
    add(&mut scheduler, 0, 4, 17);
    add(&mut scheduler, 1, 8, 9);
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(0, 0, 4, true)]);
    assert_eq!(scheduler.pool().num_used(), 1);
    step(&mut scheduler, 7);
    assert_eq!(scheduler.pool().num_used(), 2);
    step(&mut scheduler, 99);
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(1, 0, 8, true)]);
}

#[test]
fn a_sequence_that_does_not_fit_yet_is_not_overtaken() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 4, 17);
    add(&mut scheduler, 1, 20, 9);
    add(&mut scheduler, 2, 1, 1);
    assert_eq!(parts(&step(&mut scheduler, 7).0), [(0, 0, 4, true)]);
    assert_eq!(scheduler.waiting().map(|sequence| sequence.id().0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_sequence_that_fills_the_whole_pool_fits_and_one_more_token_does_not() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 30, 3);
    let refused = scheduler.add(SequenceId(1), sequence(30, 4));
    assert_eq!(refused, Err(AdmissionError::NeverFits { needed: 33, max: 32 }));
    for _ in 0..3 {
        step(&mut scheduler, 7);
    }
    assert!(!scheduler.has_work());
}

#[test]
fn a_sequence_with_nothing_to_compute_is_refused() {
    let mut scheduler = scheduler(4, 64);
    assert_eq!(scheduler.add(SequenceId(0), sequence(0, 4)), Err(AdmissionError::NothingToDo));
    assert_eq!(scheduler.add(SequenceId(0), sequence(4, 0)), Err(AdmissionError::NothingToDo));
}

#[test]
fn an_abort_frees_blocks_and_promises_in_every_phase() {
    let mut scheduler = scheduler(2, 4);
    add(&mut scheduler, 0, 1, 8);
    add(&mut scheduler, 1, 12, 8);
    add(&mut scheduler, 2, 1, 1);
    step(&mut scheduler, 7);
    for (id, phase) in [(0, Phase::Decode), (1, Phase::Prefill), (2, Phase::Queued)] {
        assert_eq!(scheduler.abort(SequenceId(id)), Some(phase));
        assert_eq!(scheduler.abort(SequenceId(id)), None);
    }
    assert_eq!((scheduler.pool().num_used(), scheduler.num_promised), (0, 0));
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
    assert_eq!(parts(&step(&mut scheduler, 7).0), [(1, 0, 2, true)]);
}

#[test]
fn invalid_logits_end_their_own_sequence_only() {
    let mut scheduler = scheduler(2, 8);
    add(&mut scheduler, 0, 2, 8);
    add(&mut scheduler, 1, 2, 8);
    let plan = scheduler.schedule();
    let outcome = scheduler.commit(&plan, &[Err(SampleError::Invalid), Ok(5)]);
    let failed = TokenEvent::Failed { error: SequenceError::InvalidLogits };
    let token = TokenEvent::Token { token_id: 5, logprobs: None };
    assert_eq!(outcome.events, [(SequenceId(0), failed), (SequenceId(1), token)]);
    assert_eq!(scheduler.running().len(), 1);
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
