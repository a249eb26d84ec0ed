//! The loop of the engine thread: take commands, run a step, hand out events. It owns everything by value and
//! waits only when there is nothing to compute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::{self, QueueLimits, millis};
use super::inbox::{Arrival, Inbox};
use super::meter::StepMeter;
use super::reader::{Delivery, Reader};
use super::readers::Readers;
use super::{
    BatchBuilder, Command, EnginePulse, Phase, QueuedSequence, Scheduler, SequenceError, SequenceId,
    StepOutcome, StepPlan, StepSampler, TokenEvent,
};
use crate::model::{ForwardOutput, ModelError, Runner};
use crate::telemetry::Metrics;

/// Longest sleep of an idle engine: half of the second within which it promises a beat.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Everything that the engine thread owns.
pub(super) struct RunLoop {
    pub(super) scheduler: Scheduler,
    pub(super) runner: Box<dyn Runner>,
    pub(super) inbox: Inbox,
    pub(super) pulse: Arc<EnginePulse>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) builder: BatchBuilder,
    pub(super) sampler: StepSampler,
    pub(super) readers: Readers,
    pub(super) queue_limits: QueueLimits,
    pub(super) meter: StepMeter,
    pub(super) closing: Closing,
}

/// Whether and how the engine is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// It is not.
    No,
    /// When the last sequence has ended.
    WhenIdle,
    /// At once.
    Now,
}

impl RunLoop {
    /// Runs until the engine is drained, stopped or left by everybody.
    pub(super) fn run(&mut self) {
        loop {
            self.take_commands();
            self.abort_departed();
            self.give_up_overdue();
            if self.closing == Closing::Now {
                self.end_all();
            }
            self.report();
            if self.scheduler.has_work() {
                self.step();
            } else if self.closing == Closing::No {
                let arrival = self.inbox.wait(HEARTBEAT);
                self.take(arrival);
            } else if !self.take_the_last() {
                return;
            }
        }
    }

    /// Takes what has arrived, without waiting. No more than one channel full at a time, so that a flood of
    /// commands never holds up a step.
    fn take_commands(&mut self) {
        for _ in 0..self.inbox.capacity() {
            let arrival = self.inbox.look();
            if !self.take(arrival) {
                return;
            }
        }
    }

    /// Takes one arrival; says whether another look is worthwhile.
    fn take(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Command(Command::Submit(queued)) => self.submit(*queued),
            Arrival::Command(Command::Abort(id)) => self.abort(id),
            Arrival::Command(Command::Drain) => self.close(Closing::WhenIdle),
            Arrival::Command(Command::Stop) => self.close(Closing::Now),
            Arrival::Nothing => return false,
            Arrival::Closed => {
                self.close(Closing::WhenIdle);
                return false;
            }
        }
        true
    }

    /// An idle engine that is closing shuts its inbox and takes what was sent before; `false` if that was all.
    fn take_the_last(&mut self) -> bool {
        self.inbox.close();
        match self.inbox.wait(HEARTBEAT) {
            Arrival::Closed => false,
            arrival => {
                self.take(arrival);
                true
            }
        }
    }

    fn close(&mut self, closing: Closing) {
        self.pulse.begin_closing();
        if self.closing != Closing::Now {
            self.closing = closing;
        }
    }

    fn submit(&mut self, queued: QueuedSequence) {
        let QueuedSequence { id, sequence, events, ticket, satisfied } = queued;
        let reader = Reader { events, ticket: Some(ticket), satisfied };
        let has_gone = reader.has_gone();
        self.readers.insert(id, reader);
        if let Err(error) = self.scheduler.add(id, sequence) {
            self.fail(id, error.into());
        } else if has_gone {
            // Its abort command may have found no room while this one was on its way.
            self.abort(id);
        }
    }

    /// Ends the sequences whose readers have gone, where an abort command found the queue of commands full.
    fn abort_departed(&mut self) {
        if !self.pulse.take_lost_abort() {
            return;
        }
        for id in self.readers.departed() {
            self.abort(id);
        }
    }

    /// Ends the sequences that have waited for longer than they may. One that has run before, and waits again because
    /// its blocks were taken, is not given up: its answer has begun.
    fn give_up_overdue(&mut self) {
        let longest = self.queue_limits.max_queue_time;
        let now = Instant::now();
        while let Some((id, waited)) = self.readers.overdue(now, longest) {
            self.scheduler.abort(id);
            let wait = self.pulse.expected_wait(&self.queue_limits);
            let (waited_ms, max_ms) = (millis(waited), millis(longest));
            let retry_after_ms = millis(admission::retry_after(wait));
            self.fail(id, SequenceError::QueueTimeout { waited_ms, max_ms, retry_after_ms });
        }
    }

    /// Frees what a sequence holds because nobody reads it any more. Its last word may be out: then this is nothing.
    fn abort(&mut self, id: SequenceId) {
        let Some(reader) = self.readers.remove(id) else { return };
        // A sequence that the scheduler has forgotten, but whose reader was not told yet, ended in this very step.
        let phase = self.scheduler.abort(id).unwrap_or(Phase::Decode);
        if !reader.is_satisfied() {
            self.metrics.aborted.with_label_values(&[phase.label()]).inc();
        }
    }

    /// After a panic: the open sequences count as failed, and their readers learn of it when the loop is dropped.
    pub(super) fn count_the_lost(&self) {
        let failed = self.metrics.failed.with_label_values(&[SequenceError::EngineStopped.label()]);
        failed.inc_by(self.readers.len() as u64);
        self.metrics.num_requests_running.set(0);
        self.metrics.num_requests_waiting.set(0);
        self.metrics.num_queue_tokens.set(0);
        self.metrics.expected_queue_time.set(0.0);
    }

    fn end_all(&mut self) {
        for id in self.readers.ids() {
            self.scheduler.abort(id);
            self.fail(id, SequenceError::EngineStopped);
        }
    }

    fn step(&mut self) {
        let start = Instant::now();
        self.meter.begin(&mut self.scheduler);
        self.pulse.set_speed(self.meter.speed());
        let plan = self.scheduler.schedule();
        self.meter.planned(&plan, &self.scheduler);
        // Those admitted show as running before they give back their places in the queue: never as neither.
        self.report();
        self.announce(&plan);
        let batch = self.builder.build(&plan, &self.scheduler);
        self.sampler.prepare(&plan, &mut self.scheduler);
        let outcome = match self.runner.forward(batch).and_then(|output| whole(output, &plan)) {
            Ok(output) => {
                let results = self.sampler.read(&plan, &mut self.scheduler, output);
                self.scheduler.commit(&plan, results)
            }
            Err(error) => {
                tracing::error!(%error, num_seqs = plan.scheduled.len(), "the forward pass failed");
                self.sampler.cancel(&mut self.scheduler);
                self.scheduler.fail_step(&plan, &SequenceError::Model(error.to_string()))
            }
        };
        self.metrics.iteration_tokens.observe(plan.num_tokens() as f64);
        self.hand_out(outcome);
        self.meter.end(start.elapsed());
    }

    /// Tells readers that their sequences left the queue, and counts those that went back to it.
    fn announce(&mut self, plan: &StepPlan) {
        self.metrics.num_preemptions.inc_by(plan.preempted.len() as u64);
        for admission in &plan.admitted {
            self.metrics.prefix_cache_queries.inc_by(admission.num_prompt as u64);
            self.metrics.prefix_cache_hits.inc_by(admission.num_cached as u64);
            let Some(reader) = self.readers.start(admission.id) else { continue };
            // The buffer is empty, and a reader that has gone is noticed before the next step.
            reader.send(TokenEvent::Scheduled { num_cached_tokens: admission.num_cached as u32 });
        }
        self.report_queue();
    }

    fn hand_out(&mut self, outcome: StepOutcome) {
        self.metrics.prompt_tokens.inc_by(outcome.num_prompt_tokens as u64);
        self.metrics.generation_tokens.inc_by(outcome.num_generated_tokens as u64);
        self.metrics.num_drafts.inc_by(outcome.num_drafts as u64);
        self.metrics.num_draft_tokens.inc_by(outcome.num_draft_tokens as u64);
        self.metrics.num_accepted_tokens.inc_by(outcome.num_accepted_tokens as u64);
        for (id, event) in outcome.events {
            self.deliver(id, event);
        }
    }

    /// Sends an event. The last one closes the channel; a reader that is too slow or has gone loses its sequence.
    fn deliver(&mut self, id: SequenceId, event: TokenEvent) {
        let Some(reader) = self.readers.get(id) else { return };
        match event {
            TokenEvent::Scheduled { .. }
            | TokenEvent::PromptScores { .. }
            | TokenEvent::Embedding { .. }
            | TokenEvent::Token { .. } => match reader.send(event) {
                Delivery::Sent => {}
                Delivery::Gone => self.abort(id),
                Delivery::Full { buffered } => {
                    self.scheduler.abort(id);
                    self.fail(id, SequenceError::SlowReader { buffered });
                }
            },
            TokenEvent::Finished { .. } => match reader.send_last(event) {
                Delivery::Gone => self.abort(id),
                Delivery::Sent | Delivery::Full { .. } => drop(self.readers.remove(id)),
            },
            TokenEvent::Failed { error } => self.fail(id, error),
        }
    }

    /// Counts a failure and makes it the reader's last event. The scheduler has forgotten the sequence already.
    fn fail(&mut self, id: SequenceId, error: SequenceError) {
        let Some(mut reader) = self.readers.remove(id) else { return };
        self.metrics.failed.with_label_values(&[error.label()]).inc();
        match error {
            SequenceError::InvalidLogits => {
                self.metrics.corrupted_requests.inc();
                tracing::error!(sequence = id.0, %error, "a sequence failed");
            }
            SequenceError::QueueTimeout { .. } => {
                self.metrics.rejected.with_label_values(&[error.label()]).inc();
                tracing::warn!(sequence = id.0, %error, "a sequence was given up");
            }
            SequenceError::SlowReader { .. } | SequenceError::Refused(_) | SequenceError::Constraint(_) => {
                tracing::warn!(sequence = id.0, %error, "a sequence was given up");
            }
            // These concern many sequences or come from the reader, and are logged once, where they happen.
            SequenceError::Model(_) | SequenceError::EngineStopped | SequenceError::ReaderFailed => {}
        }
        // Its place is free before it can try again.
        reader.ticket = None;
        reader.send_last(TokenEvent::Failed { error });
    }

    /// Brings gauges and pulse up to date.
    fn report(&self) {
        let pool = self.scheduler.kv().pool();
        let num_running = self.scheduler.running().len();
        self.pulse.beat(num_running, pool.num_used());
        self.metrics.num_requests_running.set(num_running as i64);
        self.report_queue();
        self.metrics.kv_cache_usage.set(pool.num_used() as f64 / pool.num_total() as f64);
        let unread_ends = self.pulse.take_unread_ends();
        if unread_ends > 0 {
            self.metrics.aborted.with_label_values(&["delivery"]).inc_by(unread_ends);
        }
    }

    /// Brings what is known of the queue up to date.
    fn report_queue(&self) {
        // Those whose commands were not taken yet, and those that the scheduler has waiting: new ones, and preempted
        // ones, which have no place in the queue of the pulse any more.
        let num_on_their_way = self.pulse.num_waiting().saturating_sub(self.readers.num_queued());
        self.metrics.num_requests_waiting.set((num_on_their_way + self.scheduler.waiting().len()) as i64);
        self.metrics.num_queue_tokens.set(self.pulse.num_waiting_tokens() as i64);
        self.metrics.expected_queue_time.set(self.pulse.expected_wait(&self.queue_limits).as_secs_f64());
    }
}

/// The output, if it has a row for every row that was asked for.
fn whole(output: ForwardOutput, plan: &StepPlan) -> Result<ForwardOutput, ModelError> {
    let came = [("logits", output.logits.num_rows()), ("hidden states", output.hidden.num_rows())];
    for ((what, num_rows), num_wanted) in came.into_iter().zip([plan.num_logits(), plan.num_hidden()]) {
        if num_rows != num_wanted {
            let reason = format!("{num_rows} rows of {what} came where {num_wanted} were wanted");
            return Err(ModelError::Backend { op: "head", reason });
        }
    }
    Ok(output)
}
