//! Shares and factors as written on the command line, without floating-point surprises where units are counted.

use crate::cli::Failure;

/// A factor of stock: a decimal number, kept exactly, because 0.1 times 30 must be 3 and not a little more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor {
    digits: u128,
    scale: u128,
}

/// More digits than this say nothing about stock, and keep the arithmetic far from its end.
const DIGITS_MAX: usize = 12;

impl Factor {
    /// That many times `units`, rounded up.
    pub(super) fn times(self, units: u64) -> u64 {
        let exact = (self.digits * u128::from(units)).div_ceil(self.scale);
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

/// A decimal number, 0 or more.
pub(super) fn stock(text: &str) -> Result<Factor, Failure> {
    let refuse = || Failure::input("--stock-factor", format!("must be a number like 1.0 or 0.95, not {text:?}"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse());
    }
    let exponent = u32::try_from(part.len()).expect("few digits");
    Ok(Factor { digits: digits.parse().map_err(|_| refuse())?, scale: 10_u128.pow(exponent) })
}

/// A share of lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(f64);

/// 0 to 1.
pub(super) fn share(text: &str) -> Result<Share, Failure> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .map(Share)
        .ok_or_else(|| Failure::input("--abandon", format!("must be a number from 0 to 1, not {text:?}")))
}

impl Share {
    /// Whether the line of that number is among them: a pure function of seed and number, so that neither order nor
    /// concurrency changes it.
    pub(super) fn takes(self, seed: u64, number: u64) -> bool {
        // The upper 53 bits are a fraction that a double holds exactly.
        let fraction = (mix(mix(seed) ^ number) >> 11) as f64 / (1_u64 << 53) as f64;
        fraction < self.0
    }
}

/// SplitMix64: neighbours in, strangers out.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_is_rounded_up_and_only_where_it_must_be() {
        let times = |text: &str, units| stock(text).expect(text).times(units);
        assert_eq!(times("1.0", 7), 7);
        assert_eq!(times("0.1", 30), 3, "as a double it would be 3.0000000000000004");
        assert_eq!(times("0.5", 3), 2);
        assert_eq!(times("1.05", 100), 105);
        assert_eq!(times(".5", 1), 1);
        assert_eq!(times("0", 9), 0);
    }

    #[test]
    fn what_is_no_factor_is_refused() {
        for bad in ["", ".", "-1", "1e3", "1.0.0", "NaN", "1234567890.123"] {
            assert_eq!(stock(bad).expect_err(bad).only().field, "--stock-factor");
        }
        for bad in ["", "-0.1", "1.1", "NaN", "x"] {
            assert_eq!(share(bad).expect_err(bad).only().field, "--abandon");
        }
    }

    #[test]
    fn a_share_of_lines_is_that_share_and_the_same_each_time() {
        let tenth = share("0.1").expect("a share");
        let taken = |seed| (0..100_000).filter(|number| tenth.takes(seed, *number)).collect::<Vec<u64>>();
        assert!((9_500..10_500).contains(&taken(1).len()), "{}", taken(1).len());
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
        assert!(!(0..1_000).any(|number| share("0").expect("none").takes(1, number)));
        assert!((0..1_000).all(|number| share("1").expect("all").takes(1, number)));
    }
}
