//! Which SKU is asked for next.

use rand::{Rng, RngExt, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};
use std::sync::Arc;

/// How demand spreads over SKUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// Each as often as any other.
    Uniform,
    /// The n-th most wanted a n-th as often as the first (Zipf's law, exponent 1).
    Zipf,
    /// One SKU alone.
    One,
}

/// SKUs by number.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u64,
    spread: Spread,
    zipf: Zipf<f64>,
    /// By number, unless there are many: to write one anew for each operation takes as long as some answers do.
    names: Arc<[String]>,
}

/// Of more SKUs the names are not kept.
const NAMES_MAX: u64 = 100_000;

impl Keys {
    /// Of so many SKUs, at least one.
    pub fn new(count: u64, spread: Spread) -> Self {
        let count = count.max(1);
        let zipf = Zipf::new(count as f64, 1.0).expect("at least one SKU and an exponent above 0");
        let names = if count <= NAMES_MAX { (0..count).map(name).collect() } else { Arc::default() };
        Self { count, spread, zipf, names }
    }

    /// All that can be drawn.
    pub fn all(&self) -> impl Iterator<Item = String> + use<> {
        (0..if self.spread == Spread::One { 1 } else { self.count }).map(name)
    }

    /// The next one.
    pub fn draw(&self, random: &mut SmallRng) -> String {
        self.name(self.number(random))
    }

    fn name(&self, number: u64) -> String {
        let kept = usize::try_from(number).ok().and_then(|number| self.names.get(number));
        kept.cloned().unwrap_or_else(|| name(number))
    }

    /// Several different ones; fewer where there are not so many.
    pub fn draw_several(&self, count: usize, random: &mut SmallRng) -> Vec<String> {
        let mut numbers: Vec<u64> = Vec::with_capacity(count);
        let most = usize::try_from(self.count).unwrap_or(usize::MAX);
        while numbers.len() < count.min(most) {
            // Beyond the most wanted ones a zipf would have to be asked very often.
            let number = if numbers.len() < 3 { self.number(random) } else { random.random_range(0..self.count) };
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers.into_iter().map(|number| self.name(number)).collect()
    }

    fn number(&self, random: &mut impl Rng) -> u64 {
        match self.spread {
            Spread::Uniform => random.random_range(0..self.count),
            // From 1.0 to the count, whole numbers.
            Spread::Zipf => (self.zipf.sample(random) as u64 - 1).min(self.count - 1),
            Spread::One => 0,
        }
    }
}

fn name(number: u64) -> String {
    format!("sku-{number:07}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_spread_does_as_it_says() {
        let mut random = SmallRng::seed_from_u64(1);
        let shares = [(Spread::Uniform, 0.0..0.01), (Spread::Zipf, 0.1..0.25), (Spread::One, 1.0..1.1)];
        for (spread, share) in shares {
            let keys = Keys::new(1_000, spread);
            let first = (0..10_000).filter(|_| keys.draw(&mut random) == name(0)).count();
            assert!(share.contains(&(first as f64 / 10_000.0)), "{spread:?}: {first} of 10,000");
            let drawn = keys.draw(&mut random);
            assert!(keys.all().any(|sku| sku == drawn));
        }
    }

    #[test]
    fn a_cart_has_different_skus() {
        let mut random = SmallRng::seed_from_u64(2);
        let mut cart = Keys::new(9, Spread::Zipf).draw_several(20, &mut random);
        cart.sort();
        assert_eq!(cart, Keys::new(9, Spread::Uniform).all().collect::<Vec<_>>());
    }
}
