//! What is counted, as a recorder sees it.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use proact::operation::Nop;
use proact_async::metrics::{METRICS, publish, publish_every};
use proact_async::{Runtime, operation, spawn, time};
use support::on_every_backend;

#[derive(Default)]
struct State {
    values: BTreeMap<String, f64>,
    described: BTreeMap<String, (Option<Unit>, bool)>,
}

/// Remembers the last of each value.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<State>>);

struct Value(Recorded, String);

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        unreachable!("counters are set to what was counted elsewhere")
    }
    fn absolute(&self, value: u64) {
        let mut state = self.0.0.lock().unwrap();
        let before = state.values.insert(self.1.clone(), value as f64);
        assert!(before.is_none_or(|before| before <= value as f64), "{} has gone back", self.1);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        unreachable!("gauges are set")
    }
    fn decrement(&self, _: f64) {
        unreachable!("gauges are set")
    }
    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().values.insert(self.1.clone(), value);
    }
}

impl Recorded {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Value(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }

    fn get(&self, name: &str, proactor: &str) -> Option<f64> {
        self.0.lock().unwrap().values.get(&format!("{name}{{proactor={proactor}}}")).copied()
    }

    fn describe(&self, name: KeyName, unit: Option<Unit>, is_counter: bool) {
        self.0.lock().unwrap().described.insert(name.as_str().to_string(), (unit, is_counter));
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, unit, true);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(name, unit, false);
    }
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        unreachable!("there are none")
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("there are none")
    }
}

#[test]
fn a_runtime_publishes_what_it_counts() {
    on_every_backend(|runtime| {
        let recorded = Recorded::default();
        metrics::with_local_recorder(&recorded, || {
            let name = runtime.statistics().name.to_string();
            runtime.block_on(async {
                let publishing = spawn(publish_every(Duration::from_millis(1)));
                let others: Vec<_> = (0..3).map(|_| spawn(std::future::pending::<()>())).collect();
                for _ in 0..100 {
                    operation(Nop).await.1.result.unwrap();
                }
                let wanted = 100.0;
                while recorded.get("proact_operations_submitted_total", &name).is_none_or(|count| count < wanted) {
                    time::sleep(Duration::from_millis(1)).await;
                }
                // This one and the others; the one that publishes is not counted.
                assert_eq!(recorded.get("proact_tasks", &name), Some(4.0));
                publishing.abort();
                drop(others);
            });
            for metric in METRICS {
                assert!(recorded.get(metric.name, &name).is_some(), "{}", metric.name);
            }
            assert!(recorded.get("proact_operations_completed_total", &name).unwrap() >= 100.0);
            assert!(recorded.get("proact_polls_total", &name).unwrap() > 1.0);
        });
        let state = recorded.0.lock().unwrap();
        let described = METRICS.iter().map(|metric| (metric.name.to_string(), (Some(metric.unit), metric.is_counter)));
        assert_eq!(state.described, described.collect());
    });
}

#[test]
fn what_a_proactor_has_counted_is_published_under_its_name() {
    let builder = proact::proactor::Builder::new().name("disks");
    let runtime = Runtime::builder().proactor(builder).build().unwrap();
    runtime.block_on(operation(Nop)).1.result.unwrap();
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || publish(&runtime.statistics()));
    assert_eq!(recorded.get("proact_operations_submitted_total", "disks"), Some(1.0));
    assert_eq!(recorded.get("proact_operations_in_flight", "disks"), Some(0.0));
    assert_eq!(recorded.get("proact_tasks", "disks"), None, "a proactor has none");
}

#[test]
fn the_page_about_adapters_names_all_of_them() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/adapters.md")).unwrap();
    for metric in METRICS {
        let line = page.lines().find(|line| line.contains(&format!("`{}`", metric.name)));
        let line = line.unwrap_or_else(|| panic!("docs/adapters.md does not name {}", metric.name));
        assert!(line.contains(metric.unit.as_str()), "{line}");
        assert!(line.contains(if metric.is_counter { "counter" } else { "gauge" }), "{line}");
    }
}
