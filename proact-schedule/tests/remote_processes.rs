//! Two machines of one session as two real processes, over proact's sockets; one of which is killed, or stopped.
//!
//! The test starts itself again as the other machine. What the stages do is to write a line each to a file that both
//! append to, so that the order in which they ran is seen from outside.

#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proact::causal::Session;
use proact::proactor::{Builder, Choice, survey};
use proact_schedule::remote::coordinator::{Coordinator, EmbeddedCoordinator, FarCoordinator};
use proact_schedule::remote::transport::{SocketTransport, exchange};
use proact_schedule::remote::{
    FailureKind, Join, MachineId, Node, NodeEvent, NodeOptions, Pipeline, RemotePoint, RemoteWork, StageId,
};

/// How long a machine may be silent.
const LEASE: Duration = Duration::from_secs(2);
/// Nothing here takes a tenth of it, on any machine that is alive.
const PATIENCE: Duration = Duration::from_secs(60);

const HOST: &str = "PROACT_REMOTE_HOST";
const LINES: &str = "PROACT_REMOTE_LINES";
const BACKEND: &str = "PROACT_REMOTE_BACKEND";

/// A machine: its node, its sockets, and devices that write a line for each stage.
struct Machine {
    node: Node<Box<dyn Coordinator>>,
    transport: SocketTransport,
    lines: File,
    events: Vec<NodeEvent>,
}

impl Machine {
    fn new(choice: Choice, lines: &PathBuf, name: &str, host: Option<&str>) -> Machine {
        let proactor = Builder::new().backend(choice).build().expect("a proactor");
        let transport = SocketTransport::listen(proactor, &"127.0.0.1:0".parse().unwrap()).expect("a listener");
        let coordinator: Box<dyn Coordinator> = match host {
            None => Box::new(EmbeddedCoordinator::new(Session::new(u128::from(std::process::id()) << 64, 1), LEASE)),
            Some(_) => Box::new(FarCoordinator::new()),
        };
        let join = Join { name: name.into(), address: transport.address().into(), devices: vec!["pen".into(); 2] };
        let mut node = Node::new(NodeOptions::new(), join, coordinator);
        node.join(transport.now(), host).expect("joining");
        let lines = OpenOptions::new().append(true).create(true).open(lines).expect("the lines");
        Machine { node, transport, lines, events: Vec::new() }
    }

    /// One round: what has happened, what can begin, and then a wait for more. A stage that is told `hang` never ends.
    fn round(&mut self) {
        exchange(self.transport.now(), &mut self.node, &mut self.transport);
        while let Some(work) = self.node.next_work() {
            self.run(&work);
        }
        exchange(self.transport.now(), &mut self.node, &mut self.transport);
        self.events.extend(std::iter::from_fn(|| self.node.next_event()));
        let soon = self.transport.now() + Duration::from_millis(200);
        let until = self.node.deadline().unwrap_or(soon).min(soon);
        self.transport.wait(until).expect("polling");
    }

    fn run(&mut self, work: &RemoteWork) {
        let text = String::from_utf8(work.payload.clone()).expect("text");
        // One write of one line: what both append stays whole.
        self.lines.write_all(format!("{text}\n").as_bytes()).expect("a line");
        if text != "hang" {
            self.node.complete(self.transport.now(), work.stage).expect("it runs");
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&Machine) -> bool) {
        let give_up = self.transport.now() + PATIENCE;
        while !is_so(self) {
            assert!(self.transport.now() < give_up, "still not so: {what}; told so far: {:?}", self.events);
            self.round();
        }
    }

    fn told(&self, event: &NodeEvent) -> bool {
        self.events.contains(event)
    }

    fn failure(&self, point: RemotePoint) -> Option<&proact_schedule::remote::Failure> {
        self.events.iter().find_map(|event| match event {
            NodeEvent::Failed(failed, failure) if *failed == point => Some(failure),
            _ => None,
        })
    }
}

/// The other process, when this program is started as that: does nothing in an ordinary run of the tests.
#[test]
fn other_machine() {
    let Ok(host) = std::env::var(HOST) else { return };
    let lines = PathBuf::from(std::env::var(LINES).expect("where to write"));
    let choice = choices().into_iter().find(|choice| choice.name() == std::env::var(BACKEND).expect("a backend"));
    let mut machine = Machine::new(choice.expect("the same backend"), &lines, "worker", Some(&host));
    machine.until("it is out", |machine| machine.events.iter().any(|event| matches!(event, NodeEvent::Out { .. })));
    // Whatever happens to the lines from now on, what did not need anybody has been done.
    assert_eq!(machine.node.stages(), 0);
    machine.transport.shutdown(Duration::from_secs(5));
}

fn choices() -> Vec<Choice> {
    let usable = survey().into_iter().filter(|report| match &report.usable {
        Ok(()) => true,
        Err(why) => {
            println!("SKIPPED {}: {why}", report.choice.name());
            false
        }
    });
    usable.map(|report| report.choice).collect()
}

/// A process that does not outlive the test.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This machine, and another one as a process, in one session.
struct Two {
    machine: Machine,
    other: Other,
    lines: PathBuf,
}

const OTHER: MachineId = MachineId(1);

impl Two {
    fn start(choice: Choice, name: &str) -> Two {
        let file = format!("proact-remote-{name}-{}-{}", choice.name(), std::process::id());
        let lines = std::env::temp_dir().join(file);
        let _ = fs::remove_file(&lines);
        let machine = Machine::new(choice, &lines, "host", None);
        let other = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "other_machine", "--nocapture"])
            .env(HOST, machine.transport.address())
            .env(LINES, &lines)
            .env(BACKEND, choice.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program starts again");
        let mut two = Two { machine, other: Other(other), lines };
        two.machine.until("the other machine is a member", |machine| machine.node.members().count() == 1);
        two
    }

    fn name(&mut self, owner: MachineId) -> RemotePoint {
        RemotePoint::new(self.machine.node.name_semaphore(owner).expect("a name"), 1)
    }

    fn submit(&mut self, pipeline: &Pipeline, watched: &[RemotePoint]) -> Vec<StageId> {
        let now = self.machine.transport.now();
        let places = self.machine.node.submit(now, pipeline).expect("a pipeline");
        watched.iter().for_each(|&point| self.machine.node.watch(now, point).expect("a watch"));
        places
    }

    fn written(&self) -> Vec<String> {
        BufReader::new(File::open(&self.lines).expect("the lines")).lines().map(|line| line.expect("text")).collect()
    }

    /// Waits for the other process, whatever became of it. Answers whether it ended well.
    fn end(mut self) -> bool {
        let now = self.machine.transport.now();
        self.machine.node.leave(now);
        exchange(now, &mut self.machine.node, &mut self.machine.transport);
        assert_eq!(self.machine.transport.shutdown(Duration::from_secs(5)), 0);
        let _ = fs::remove_file(&self.lines);
        self.other.0.wait().expect("a child").success()
    }
}

/// 20 stages, on one machine and the other in turn, each after the one before.
#[test]
fn a_pipeline_runs_across_two_processes_in_its_order() {
    for choice in choices() {
        let mut two = Two::start(choice, "order");
        let names = [MachineId(0), OTHER].map(|owner| two.name(owner).semaphore);
        let mut pipeline = Pipeline::new();
        for step in 0..20u64 {
            let machine = MachineId((step % 2) as u8);
            let point = |step: u64| RemotePoint::new(names[(step % 2) as usize], step + 1);
            let stage = pipeline.stage(machine, 0, format!("step {step}").as_bytes());
            stage.signal(point(step));
            if step > 0 {
                stage.wait(point(step - 1));
            }
        }
        let last = RemotePoint::new(names[1], 20);
        two.submit(&pipeline, &[last]);
        two.machine.until("the last step is done", |machine| machine.told(&NodeEvent::Reached(last)));
        let expected: Vec<String> = (0..20).map(|step| format!("step {step}")).collect();
        assert_eq!(two.written(), expected, "{}", choice.name());
        assert!(two.end(), "{}: the other process failed", choice.name());
    }
}

/// What depends on the other machine's work, directly or not, and what does not.
fn lose_the_other(choice: Choice, name: &str, lose: impl FnOnce(&mut Child)) -> (Two, Duration) {
    let mut two = Two::start(choice, name);
    let [first, hung, behind] = [OTHER; 3].map(|owner| two.name(owner));
    let [after_first, after_hung, after_behind, alone] = [MachineId(0); 4].map(|owner| two.name(owner));
    let mut pipeline = Pipeline::new();
    pipeline.stage(OTHER, 0, b"first").signal(first);
    pipeline.stage(OTHER, 0, b"hang").wait(first).signal(hung);
    pipeline.stage(OTHER, 1, b"behind").wait(hung).signal(behind);
    pipeline.stage(MachineId(0), 0, b"after first").wait(first).signal(after_first);
    pipeline.stage(MachineId(0), 0, b"after hung").wait(hung).signal(after_hung);
    pipeline.stage(MachineId(0), 0, b"after behind").wait(behind).wait(after_first).signal(after_behind);
    pipeline.stage(MachineId(0), 1, b"alone").wait(after_first).signal(alone);
    let watched = [after_first, after_hung, after_behind, alone];
    two.submit(&pipeline, &watched);
    two.machine.until("what does not hang is done", |machine| {
        [after_first, alone].into_iter().all(|point| machine.told(&NodeEvent::Reached(point)))
    });
    while !two.written().contains(&"hang".into()) {
        two.machine.round();
    }
    let lost_at = two.machine.transport.now();
    lose(&mut two.other.0);
    two.machine.until("what depends on it has failed", |machine| {
        [after_hung, after_behind].into_iter().all(|point| machine.failure(point).is_some())
    });
    let took = two.machine.transport.now().since(lost_at);
    for point in [after_hung, after_behind] {
        let failure = two.machine.failure(point).expect("waited for");
        assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, OTHER));
        assert!(failure.message.starts_with("machine 1 (worker) was lost: "), "{failure}");
    }
    // Exactly that: what was known to be done stays so, and the machine goes on.
    for point in [after_first, alone] {
        assert!(two.machine.failure(point).is_none());
    }
    assert_eq!(two.machine.node.value(first.semaphore), 1);
    let next = two.name(MachineId(0));
    let mut later = Pipeline::new();
    later.stage(MachineId(0), 0, b"later").wait(first).signal(next);
    two.submit(&later, &[next]);
    two.machine.until("it goes on", |machine| machine.told(&NodeEvent::Reached(next)));
    let written = two.written();
    assert!(!written.iter().any(|line| line.starts_with("after hung") || line.ends_with("behind")), "{written:?}");
    assert_eq!(written.len(), 5, "{written:?}");
    (two, took)
}

#[test]
fn a_killed_process_fails_what_depends_on_it_and_nothing_else() {
    for choice in choices() {
        let (two, took) = lose_the_other(choice, "killed", |other| other.kill().expect("a child"));
        println!("{}: a killed process was known as lost, and its dependents failed, after {took:?}", choice.name());
        // Its connections ended: nobody had to wait for the lease, which is the time that is promised.
        let lost = two.machine.events.iter().find_map(|event| match event {
            NodeEvent::Lost { why, .. } => Some(why.clone()),
            _ => None,
        });
        assert!(!lost.as_ref().expect("it is lost").contains("lease"), "{lost:?}");
        assert!(!two.end());
    }
}

#[test]
fn a_stopped_process_is_lost_when_its_lease_is_over() {
    // One backend: what counts is the coordinator's clock.
    let choice = choices()[0];
    let signal = |other: &Child, signal: &str| {
        let status = Command::new("kill").args([signal, &other.id().to_string()]).status();
        assert!(status.expect("kill").success());
    };
    let (two, took) = lose_the_other(choice, "stopped", |other| signal(other, "-STOP"));
    println!("{}: a stopped process was known as lost, and its dependents failed, after {took:?}", choice.name());
    let why = format!("machine 1 (worker) was lost: nothing was heard of it for its lease of {LEASE:?}");
    let by_lease = two.machine.events.iter().any(|event| match event {
        NodeEvent::Failed(_, failure) => failure.message == why,
        _ => false,
    });
    assert!(by_lease, "{:?}", two.machine.events);
    // When it goes on it finds that it is out, and that its own work is all that is left to it: which hangs.
    signal(&two.other.0, "-KILL");
    assert!(!two.end());
}
