//! The subscription index: looking up, adding and removing among many patterns.

use criterion::{Criterion, criterion_group, criterion_main};
use distbus::{Pattern, TopicIndex};
use std::hint::black_box;
use std::time::Duration;

fn pattern(text: &str) -> Pattern {
    text.parse().expect("a pattern")
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    for count in [10_usize, 1_000, 100_000] {
        let mut index = TopicIndex::default();
        for i in 0..count / 2 {
            index.insert(&pattern(&format!("site.room{i}.temp")), i);
            index.insert(&pattern(&format!("site.hall{i}.*")), i);
        }
        for (kind, topic) in [
            ("an exact match", "site.room3.temp"),
            ("a wildcard match", "site.hall3.fan.speed"),
            ("no match", "site.yard.temp"),
        ] {
            group.bench_function(format!("{count} patterns: look up {kind}"), |b| {
                b.iter(|| {
                    let mut sum = 0;
                    index.for_each_match(black_box(topic), |value| sum += value);
                    sum
                });
            });
        }
        for (kind, text) in [("exact", "site.new.temp"), ("wildcard", "site.new.*")] {
            let new = pattern(text);
            group.bench_function(format!("{count} patterns: insert and remove, {kind}"), |b| {
                b.iter(|| {
                    index.insert(black_box(&new), 7);
                    index.remove(black_box(&new), |value| *value == 7)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
