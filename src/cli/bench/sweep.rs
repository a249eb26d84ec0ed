//! A sweep: load after load on one target, each after its warm-up, with a bar while it runs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::args::LoadArgs;
use super::dice::Purpose;
use super::driver::{Plan, drive};
use super::load::{Extent, Load};
use super::summary::{PointReport, failures};
use super::target::{Live, Target};

/// Time between two looks at the counts.
const TICK: Duration = Duration::from_millis(200);

/// Runs every load on the target that `target_of` makes for it.
///
/// # Errors
/// If not one request of the first warm-up is answered, or the flags contradict each other.
pub(super) async fn sweep<T: Target>(
    args: &LoadArgs,
    loads: &[Load],
    seed: u64,
    target_of: impl Fn(usize) -> Arc<T>,
) -> anyhow::Result<Vec<PointReport>> {
    if let (Some(long), Extent::Time(time)) = (args.long_prompt, args.extent())
        && long.at >= time
    {
        bail!("--long-prompt comes at {:?}, but the load ends at {time:?}: see --duration", long.at);
    }
    let mut points = Vec::new();
    for (i, &load) in loads.iter().enumerate() {
        let target = target_of(i);
        let plan = args.plan(u32::try_from(i).unwrap_or(u32::MAX), load, seed);
        if args.warm_up > 0 {
            warm_up(&target, &plan, args.warm_up, i == 0).await?;
        }
        let live = Arc::new(Live::default());
        let bar = LoadBar::show(&plan, loads.len(), Arc::clone(&live));
        let run = drive(target, plan, live).await?;
        drop(bar);
        let point = PointReport::of(&run, args.slo.as_ref());
        if !std::io::stderr().is_terminal() {
            let requests = point.requests;
            eprintln!(
                "maru: {load}: {} answered, {} refused, {} failed, {:.1} output tokens/s",
                requests.completed, requests.refused, requests.failed, point.output_tokens_per_s
            );
        }
        points.push(point);
        if run.interrupted {
            break;
        }
    }
    Ok(points)
}

/// Sends some requests that are not counted. What fails at the very first load will not work later either.
async fn warm_up<T: Target>(target: &Arc<T>, plan: &Plan, count: u32, is_first: bool) -> anyhow::Result<()> {
    let streams = match plan.load {
        Load::Concurrency(streams) => streams.min(count),
        Load::Rate(_) => 1,
    };
    let plan = Plan {
        purpose: Purpose::WarmUp,
        load: Load::Concurrency(streams),
        extent: Extent::Requests(count),
        num_turns: 1,
        long_prompt: None,
        ..plan.clone()
    };
    let run = drive(Arc::clone(target), plan, Arc::default()).await?;
    if run.interrupted {
        bail!("interrupted during the warm-up");
    }
    let any_answered = run.records.iter().any(|record| record.counts().is_some());
    if is_first && !any_answered {
        match failures(&run.records).into_iter().max_by_key(|(_, count)| *count) {
            Some((reason, _)) => bail!("no request of the warm-up was answered: {reason}"),
            None => bail!("every request of the warm-up was refused: the server is busy already"),
        }
    }
    Ok(())
}

/// The counts of a running load on standard error, if that is a terminal; gone when dropped.
struct LoadBar {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl LoadBar {
    fn show(plan: &Plan, num_loads: usize, live: Arc<Live>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), task: tokio::spawn(async {}) };
        }
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}");
        let style = style.expect("the template is valid").progress_chars("=> ");
        let bar = ProgressBar::new(1000).with_style(style);
        bar.set_prefix(format!("[{}/{num_loads}] {}", plan.point + 1, plan.load));
        let (extent, shown) = (plan.extent, bar.clone());
        let task = tokio::spawn(async move {
            let start = Instant::now();
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                let elapsed = start.elapsed().as_secs_f64();
                let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
                let (completed, refused, failed) =
                    (count(&live.num_completed), count(&live.num_refused), count(&live.num_failed));
                let share = match extent {
                    Extent::Time(time) => elapsed / time.as_secs_f64(),
                    Extent::Requests(limit) => (completed + refused + failed) as f64 / f64::from(limit),
                };
                shown.set_position((share.min(1.0) * 1000.0) as u64);
                let running = count(&live.num_running);
                let stage = if share < 1.0 { "" } else { " · waiting for the rest" };
                shown.set_message(format!(
                    "{elapsed:.0} s · {running} running, {completed} answered, {refused} refused, {failed} failed · \
                     {:.0} pieces/s{stage}",
                    count(&live.num_deltas) as f64 / elapsed.max(TICK.as_secs_f64()),
                ));
            }
        });
        Self { bar, task }
    }
}

impl Drop for LoadBar {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
