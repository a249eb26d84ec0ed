//! The compute pool: every task once, whatever the load; panics reach the caller.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use maru_kernels::{ComputePool, default_num_threads};

fn pool(num_threads: usize) -> ComputePool {
    ComputePool::new(NonZeroUsize::new(num_threads).unwrap())
}

/// Runs a region and asserts that each task ran once.
fn assert_each_once(pool: &ComputePool, num_tasks: usize) {
    let counts: Vec<AtomicUsize> = (0..num_tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(num_tasks, &|task| {
        counts[task].fetch_add(1, Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
}

#[test]
fn each_task_runs_once() {
    for num_threads in [1, 2, 3, 8] {
        let pool = pool(num_threads);
        assert_eq!(pool.num_threads(), num_threads);
        for num_tasks in [0, 1, 2, 3, 7, 8, 9, 1000] {
            assert_each_once(&pool, num_tasks);
        }
    }
}

#[test]
fn many_small_regions_end_soon() {
    let pool = pool(2);
    for _ in 0..20_000 {
        assert_each_once(&pool, 3);
    }
}

#[test]
fn regions_after_a_pause_wake_the_workers() {
    let pool = pool(4);
    for _ in 0..50 {
        assert_each_once(&pool, 8);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn more_threads_than_cores_do_not_stall() {
    let pool = pool(8 * default_num_threads().get());
    for _ in 0..500 {
        assert_each_once(&pool, 64);
    }
}

#[test]
fn pools_side_by_side_do_not_stall() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let pool = pool(4);
                for _ in 0..500 {
                    assert_each_once(&pool, 16);
                }
            });
        }
    });
}

#[test]
fn a_region_inside_a_task_runs_on_its_thread() {
    let pool = pool(3);
    let count = AtomicUsize::new(0);
    pool.run(5, &|_| {
        let outer = std::thread::current().id();
        pool.run(7, &|_| {
            assert_eq!(std::thread::current().id(), outer);
            count.fetch_add(1, Relaxed);
        });
    });
    assert_eq!(count.load(Relaxed), 35);
}

#[test]
fn two_callers_share_one_pool() {
    let pool = pool(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..2000).for_each(|_| assert_each_once(&pool, 5)));
        }
    });
}

#[test]
fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
    for num_threads in [1, 2, 4] {
        let pool = pool(num_threads);
        for bad in 0..8 {
            let region = || {
                pool.run(8, &|task| {
                    if task == bad {
                        std::panic::panic_any("task at fault");
                    }
                });
            };
            let payload = catch_unwind(AssertUnwindSafe(region)).unwrap_err();
            assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "task at fault");
            assert_each_once(&pool, 20);
        }
    }
}

#[test]
fn dropping_the_pool_joins_its_threads() {
    let alive = Arc::new(());
    for asleep in [false, true] {
        let pool = pool(4);
        let held = Arc::clone(&alive);
        pool.run(16, &move |_| drop(Arc::clone(&held)));
        if asleep {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(pool);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

#[test]
fn there_is_at_least_one_thread() {
    assert!(default_num_threads().get() >= 1);
}
