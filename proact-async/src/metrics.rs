//! What proactors and runtimes count, through the facade `metrics` (feature `metrics`).
//!
//! Counting itself is always on and costs what it costs without this. [`publish`] hands what was counted to the
//! installed recorder, and a program says when: [`publish_every`] is a future to be spawned. Each value has a label
//! `proactor`, [its name](proact::proactor::Builder::name). Names, kinds and units stand in [`METRICS`].
//!
//! ```
//! use std::time::Duration;
//!
//! let runtime = proact_async::Runtime::new()?;
//! runtime.block_on(async {
//!     proact_async::spawn(proact_async::metrics::publish_every(Duration::from_secs(1)));
//!     // and the program
//! });
//! # Ok::<(), proact::status::Status>(())
//! ```

use std::time::Duration;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};
use proact::proactor::Statistics;

use crate::runtime::{statistics, tasks};
use crate::time::interval;

/// One of the values.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Whether it only rises, from the proactor's start; otherwise it is what there is now.
    pub is_counter: bool,
    read: Read,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Count(fn(&Statistics) -> u64),
    Seconds(fn(&Statistics) -> Duration),
    /// Of the runtime, and not of its proactor.
    Tasks,
}

macro_rules! metrics {
    ($($kind:ident $name:literal $unit:ident $description:literal $field:ident;)*) => {
        /// All values: what [`publish`] and [`publish_every`] know.
        pub const METRICS: &[Metric] = &[
            $(metrics!(@ $kind $name $unit $description $field),)*
            Metric {
                name: "proact_tasks",
                description: "Tasks of the runtime that have not ended.",
                unit: Unit::Count,
                is_counter: false,
                read: Read::Tasks,
            },
        ];
    };
    (@ counter $name:literal $unit:ident $description:literal $field:ident) => {
        Metric {
            name: $name,
            description: $description,
            unit: Unit::$unit,
            is_counter: true,
            read: Read::Count(|statistics| statistics.$field),
        }
    };
    (@ gauge $name:literal $unit:ident $description:literal $field:ident) => {
        Metric { is_counter: false, ..metrics!(@ counter $name $unit $description $field) }
    };
    (@ seconds $name:literal $unit:ident $description:literal $field:ident) => {
        Metric {
            name: $name,
            description: $description,
            unit: Unit::$unit,
            is_counter: false,
            read: Read::Seconds(|statistics| statistics.$field),
        }
    };
}

metrics! {
    counter "proact_batches_total" Count "Batches submitted." batches;
    counter "proact_remote_batches_total" Count "Batches of them that came from other threads." remote_batches;
    counter "proact_operations_submitted_total" Count "Operations submitted." submitted;
    counter "proact_operations_completed_total" Count "Operations and steps that ended." completed;
    gauge "proact_operations_in_flight" Count "Operations and steps in flight." queue_depth;
    gauge "proact_operations_in_flight_max" Count "The most there were in flight." queue_depth_max;
    counter "proact_polls_total" Count "Passes of the poll loop." polls;
    counter "proact_kernel_enters_total" Count "Times that the poll thread entered the kernel." enters;
    counter "proact_kernel_entries_total" Count "Entries handed to the kernel, or system calls made." kernel_entries;
    counter "proact_wakes_total" Count "Times that another thread woke the poll thread." wakes;
    counter "proact_messages_total" Count "Messages to the proactor." messages_sent;
    counter "proact_messages_refused_total" Count "Messages refused because too many waited." messages_refused;
    counter "proact_chains_lowered_total" Count "Chains handed to the kernel whole." chains_lowered;
    counter "proact_chains_portable_total" Count "Chains run step by step." chains_portable;
    counter "proact_read_bytes_total" Bytes "Bytes read from files." bytes_read;
    counter "proact_written_bytes_total" Bytes "Bytes written to files." bytes_written;
    counter "proact_received_bytes_total" Bytes "Bytes received from sockets." bytes_received;
    counter "proact_sent_bytes_total" Bytes "Bytes sent to sockets." bytes_sent;
    counter "proact_starved_total" Count "Times that a receive waited for a buffer of its pool." starved;
    gauge "proact_workers" Count "Worker threads alive." workers;
    counter "proact_worker_jobs_total" Count "Requests that worker threads carried out." worker_jobs;
    seconds "proact_longest_callback_seconds" Seconds "The longest callback so far." longest_callback;
    seconds "proact_longest_pass_seconds" Seconds "The longest delivery of one poll pass so far." longest_pass;
}

/// Tells the installed recorder what the values are called and counted in.
pub fn describe() {
    for metric in METRICS {
        if metric.is_counter {
            describe_counter!(metric.name, metric.unit, metric.description);
        } else {
            describe_gauge!(metric.name, metric.unit, metric.description);
        }
    }
}

/// Hands the installed recorder what one proactor has counted.
pub fn publish(counted: &Statistics) {
    publish_with(counted, None);
}

fn publish_with(counted: &Statistics, tasks: Option<usize>) {
    let proactor = SharedString::from(counted.name.clone());
    for metric in METRICS {
        let value = match (metric.read, tasks) {
            (Read::Count(read), _) if metric.is_counter => {
                counter!(metric.name, "proactor" => proactor.clone()).absolute(read(counted));
                continue;
            }
            (Read::Count(read), _) => read(counted) as f64,
            (Read::Seconds(read), _) => read(counted).as_secs_f64(),
            (Read::Tasks, Some(tasks)) => tasks as f64,
            (Read::Tasks, None) => continue,
        };
        gauge!(metric.name, "proactor" => proactor.clone()).set(value);
    }
}

/// Describes the values, and hands the installed recorder what this thread's proactor and runtime have counted: now,
/// and then every `period`. It never ends. The task that does this is not counted among the runtime's.
///
/// # Panics
/// Outside of a runtime; with a period of zero.
pub async fn publish_every(period: Duration) {
    describe();
    let mut ticks = interval(period);
    loop {
        publish_with(&statistics(), Some(tasks()));
        ticks.tick().await;
    }
}
