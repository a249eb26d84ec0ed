//! The other way round: under a kernel that depends on the batch every check reports a difference, and under a cache
//! that is not what its books say those that use it do. Otherwise the checks would prove nothing.

use maru::model::Runner;
use maru_kernels::Isa;

use crate::models::{EXAONE35, Kernels, Setup};
use crate::{constraints, needle, parameters, prefix, pressure, readout, speculation};

fn faulty(kernels: Kernels) -> Setup {
    Setup { kernels, ..Setup::new(EXAONE35) }
}

/// The checks that do not notice anything on this setup, by name.
fn blind(setup: &Setup) -> Vec<&'static str> {
    let vocab_size = setup.checkpoint.vocab_size;
    let runner: &mut dyn Runner = &mut *setup.load();
    let requests = pressure::requests(vocab_size);
    let expected = pressure::alone_each(runner, &requests);
    let checks = [
        ("needle", needle::check(&[*setup], 20).is_ok()),
        ("pressure", pressure::check(runner, &requests, &expected, |_| {}).is_ok()),
        ("parameters", parameters::check(runner, vocab_size).is_ok()),
        ("speculation", speculation::check(runner, vocab_size).is_ok()),
        ("constraints", constraints::check(runner, vocab_size).is_ok()),
        ("prefix", prefix::check(runner, vocab_size).is_ok()),
        ("readout", readout::check(runner, vocab_size).is_ok()),
    ];
    checks.into_iter().filter(|(_, is_blind)| *is_blind).map(|(name, _)| name).collect()
}

#[test]
fn every_check_notices_a_rounding_that_depends_on_the_number_of_rows() {
    assert_eq!(blind(&faulty(Kernels::RowDependent(Isa::detect()))), [""; 0]);
}

#[test]
fn every_check_notices_a_matrix_product_that_depends_on_the_number_of_rows() {
    assert_eq!(blind(&faulty(Kernels::Reference)), [""; 0]);
}

#[test]
fn a_block_that_was_not_copied_is_noticed_where_prefixes_are_shared() {
    let unnoticed = blind(&faulty(Kernels::WithoutCopies(Isa::detect())));
    assert!(!unnoticed.contains(&"needle") && !unnoticed.contains(&"prefix"), "{unnoticed:?}");
}
