//! The messages as values.

use core::fmt;

use proact::causal::{Completeness, Frontier, Knowledge, Session};

use super::fields::{Reader, Writer};
use super::{HEAD, Head, Kind, MessageError, VERSION};
use crate::remote::{MachineId, MachineSet, RemotePoint, StageId};

/// Bytes of a machine's name, of its address, of a device's name.
pub const NAME_MAX: usize = 128;
/// Devices of a machine.
pub const DEVICES_MAX: usize = 64;
/// Waits of a stage.
pub const WAITS_MAX: usize = 64;
/// Signals of a stage.
pub const SIGNALS_MAX: usize = 64;
/// Bytes that a stage tells its device: which work it is. What the work works on goes other ways.
pub const PAYLOAD_MAX: usize = 16 * 1024;
/// Bytes of what is said of a failure. Longer text is cut.
pub const FAILURE_TEXT_MAX: usize = 512;

/// What a machine says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// For people.
    pub name: String,
    /// Where others reach it, as the transport understands it.
    pub address: String,
    /// Its devices by name: what can be submitted to. A machine without any is a client only.
    pub devices: Vec<String>,
}

/// A member, as the coordinator tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its index.
    pub machine: MachineId,
    /// What it said of itself.
    pub join: Join,
}

/// What a machine is told when it is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The session: id and epoch.
    pub session: Session,
    /// The machine's own index.
    pub machine: MachineId,
    /// The machine that hosts the coordinator.
    pub host: MachineId,
    /// After how much silence a machine is lost, in nanoseconds.
    pub lease: u64,
}

/// Who talks to whom, in which session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The session.
    pub session: Session,
    /// Who says it.
    pub from: MachineId,
    /// To whom.
    pub to: MachineId,
}

/// How a machine will learn that a wait on another machine's semaphore is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Arrival {
    /// It is the machine's own semaphore.
    Own = 0,
    /// The owner was told to send it.
    Told = 1,
    /// Another wait of the same stage implies it: what arrives for that one brings the knowledge along.
    Implied = 2,
    /// The machine has to ask the owner.
    Ask = 3,
}

/// A wait of a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageWait {
    /// What is waited for.
    pub point: RemotePoint,
    /// How it will be known.
    pub arrival: Arrival,
    /// The promise: which stage's end reaches it, if the client has submitted that too.
    pub producer: Option<StageId>,
}

/// A signal of a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageSignal {
    /// What is reached when the stage ends well.
    pub point: RemotePoint,
    /// Who is told.
    pub forward: MachineSet,
}

/// One stage of a pipeline, for the machine that runs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    /// Its place. The client alone counts a queue's epochs; a gap is refused.
    pub stage: StageId,
    /// What must have been reached before it begins.
    pub waits: Vec<StageWait>,
    /// What it reaches.
    pub signals: Vec<StageSignal>,
    /// What the device is told.
    pub payload: Vec<u8>,
}

/// Where a failure began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum FailureKind {
    /// A machine was lost.
    Loss = 1,
    /// A stage failed while it ran.
    Stage = 2,
    /// A stage was refused by its machine.
    Refused = 3,
    /// A stage was promised and never submitted, since its client was lost before.
    NeverSubmitted = 4,
}

/// Why work failed: the first cause, not the last link of the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Where it began.
    pub kind: FailureKind,
    /// On which machine; for [`FailureKind::Loss`] the one that was lost.
    pub machine: MachineId,
    /// At which stage, if it was one.
    pub stage: Option<StageId>,
    /// What there is to say, without control characters; at most [`FAILURE_TEXT_MAX`] bytes.
    pub message: String,
}

/// A semaphore was signalled, and what is known of the causes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSignal {
    /// What was reached.
    pub point: RemotePoint,
    /// Whose end reached it.
    pub producer: StageId,
    /// What has ended, as the producer knows it. Exact, if these are all its causes.
    pub ended: Knowledge,
    /// For axes in `ended`, up to which epoch this does not say how they ended: those above it ended well.
    pub suspect: Frontier,
}

/// A semaphore has failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The least value that will not be reached any more. A semaphore's failure stays: nor will any above it.
    pub point: RemotePoint,
    /// Why.
    pub failure: Failure,
}

/// What one machine says to another.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // they are those of `Kind`
pub enum Message {
    Join(Join),
    Welcome(Welcome),
    Unwelcome { why: String },
    Member(Member),
    Renew { number: u64 },
    Renewed { number: u64 },
    Lost { machine: MachineId, why: String },
    Unreachable { machine: MachineId, why: String },
    Leave,
    Hello(Hello),
    Stage(Stage),
    Refused { stage: StageId, failure: Failure },
    Signal(SessionSignal),
    Failed(Failed),
    Watch { point: RemotePoint, producer: Option<StageId> },
}

impl Failure {
    /// A failure with its text cut to what goes over a wire, and made harmless to a terminal.
    pub fn new(kind: FailureKind, machine: MachineId, stage: Option<StageId>, message: &str) -> Failure {
        Failure { kind, machine, stage, message: bounded_text(message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = self.stage {
            write!(f, "{stage}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}

/// Cut between characters, control characters replaced.
pub(in crate::remote) fn bounded_text(text: &str) -> String {
    let mut end = text.len().min(FAILURE_TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // One byte takes the place of one or two: it does not become longer.
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Message {
    /// What it is about.
    pub const fn kind(&self) -> Kind {
        match self {
            Message::Join(_) => Kind::Join,
            Message::Welcome(_) => Kind::Welcome,
            Message::Unwelcome { .. } => Kind::Unwelcome,
            Message::Member(_) => Kind::Member,
            Message::Renew { .. } => Kind::Renew,
            Message::Renewed { .. } => Kind::Renewed,
            Message::Lost { .. } => Kind::Lost,
            Message::Unreachable { .. } => Kind::Unreachable,
            Message::Leave => Kind::Leave,
            Message::Hello(_) => Kind::Hello,
            Message::Stage(_) => Kind::Stage,
            Message::Refused { .. } => Kind::Refused,
            Message::Signal(_) => Kind::Signal,
            Message::Failed(_) => Kind::Failed,
            Message::Watch { .. } => Kind::Watch,
        }
    }

    /// Appends the whole message to `out`. On an error `out` is as it was.
    ///
    /// # Errors
    /// [`MessageError::TooMany`], [`MessageError::Field`] for text with control characters, [`MessageError::Frontier`].
    pub fn encode(&self, session: Session, out: &mut Vec<u8>) -> Result<(), MessageError> {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, VERSION, self.kind() as u8, 0, 0]);
        if let Err(error) = self.encode_payload(&mut Writer { kind: self.kind(), session, out }) {
            out.truncate(start);
            return Err(error);
        }
        let length = out.len() - start - HEAD;
        debug_assert!(length <= self.kind().payload_max());
        // A payload's bound is far below 32 bits.
        out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        Ok(())
    }

    fn encode_payload(&self, to: &mut Writer<'_>) -> Result<(), MessageError> {
        match self {
            Message::Join(join) => join.encode(to)?,
            Message::Welcome(welcome) => {
                to.u128(welcome.session.id());
                to.u8(welcome.session.epoch());
                to.machine(welcome.machine);
                to.machine(welcome.host);
                to.u64(welcome.lease);
            }
            Message::Unwelcome { why } => to.text(why, FAILURE_TEXT_MAX, "reason")?,
            Message::Member(member) => {
                to.machine(member.machine);
                member.join.encode(to)?;
            }
            Message::Renew { number } | Message::Renewed { number } => to.u64(*number),
            Message::Lost { machine, why } | Message::Unreachable { machine, why } => {
                to.machine(*machine);
                to.text(why, FAILURE_TEXT_MAX, "reason")?;
            }
            Message::Leave => {}
            Message::Hello(hello) => {
                to.u128(hello.session.id());
                to.u8(hello.session.epoch());
                to.machine(hello.from);
                to.machine(hello.to);
            }
            Message::Stage(stage) => stage.encode(to)?,
            Message::Refused { stage, failure } => {
                to.stage(Some(*stage));
                failure.encode(to)?;
            }
            Message::Signal(signal) => {
                to.point(signal.point);
                to.stage(Some(signal.producer));
                to.frontier(&signal.ended.frontier, signal.ended.completeness)?;
                to.frontier(&signal.suspect, Completeness::LowerBound)?;
            }
            Message::Failed(failed) => {
                to.point(failed.point);
                failed.failure.encode(to)?;
            }
            Message::Watch { point, producer } => {
                to.point(*point);
                to.stage(*producer);
            }
        }
        Ok(())
    }

    /// Reads one whole message, its head included. Any bytes may come: what is made of them is never larger than the
    /// bounds of this module, and every count is looked at before room is made for it.
    ///
    /// # Errors
    /// Any [`MessageError`].
    pub fn decode(session: Session, bytes: &[u8]) -> Result<Message, MessageError> {
        let (head, payload) = bytes.split_first_chunk().ok_or(MessageError::Truncated { kind: Kind::Leave })?;
        let Head { kind, length } = Head::decode(head)?;
        if payload.len() != length {
            let short = payload.len() < length;
            return Err(if short { MessageError::Truncated { kind } } else { MessageError::Trailing { kind } });
        }
        let mut from = Reader::new(kind, session, payload);
        let message = Message::decode_payload(kind, &mut from)?;
        from.finish()?;
        Ok(message)
    }

    fn decode_payload(kind: Kind, from: &mut Reader<'_>) -> Result<Message, MessageError> {
        Ok(match kind {
            Kind::Join => Message::Join(Join::decode(from)?),
            Kind::Welcome => Message::Welcome(Welcome {
                session: Session::new(from.u128()?, from.u8()?),
                machine: from.machine()?,
                host: from.machine()?,
                lease: from.u64()?,
            }),
            Kind::Unwelcome => Message::Unwelcome { why: from.text(FAILURE_TEXT_MAX, "reason")? },
            Kind::Member => Message::Member(Member { machine: from.machine()?, join: Join::decode(from)? }),
            Kind::Renew => Message::Renew { number: from.u64()? },
            Kind::Renewed => Message::Renewed { number: from.u64()? },
            Kind::Lost => Message::Lost { machine: from.machine()?, why: from.text(FAILURE_TEXT_MAX, "reason")? },
            Kind::Unreachable => {
                Message::Unreachable { machine: from.machine()?, why: from.text(FAILURE_TEXT_MAX, "reason")? }
            }
            Kind::Leave => Message::Leave,
            Kind::Hello => Message::Hello(Hello {
                session: Session::new(from.u128()?, from.u8()?),
                from: from.machine()?,
                to: from.machine()?,
            }),
            Kind::Stage => Message::Stage(Stage::decode(from)?),
            Kind::Refused => Message::Refused { stage: from.stage()?, failure: Failure::decode(from)? },
            Kind::Signal => Message::Signal(SessionSignal {
                point: from.point()?,
                producer: from.stage()?,
                ended: from.frontier()?,
                suspect: {
                    let suspect = from.frontier()?;
                    // It has one form: that of what is never a requirement.
                    if suspect.is_exact() {
                        return Err(from.wrong("suspect"));
                    }
                    suspect.frontier
                },
            }),
            Kind::Failed => Message::Failed(Failed { point: from.point()?, failure: Failure::decode(from)? }),
            Kind::Watch => Message::Watch { point: from.point()?, producer: from.stage_if_any()? },
        })
    }
}

impl Join {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), MessageError> {
        to.text(&self.name, NAME_MAX, "name")?;
        to.text(&self.address, NAME_MAX, "address")?;
        to.count(self.devices.len(), DEVICES_MAX, "devices")?;
        self.devices.iter().try_for_each(|device| to.text(device, NAME_MAX, "device"))
    }

    fn decode(from: &mut Reader<'_>) -> Result<Join, MessageError> {
        let (name, address) = (from.text(NAME_MAX, "name")?, from.text(NAME_MAX, "address")?);
        let count = from.count(DEVICES_MAX, "devices")?;
        let devices = (0..count).map(|_| from.text(NAME_MAX, "device")).collect::<Result<_, _>>()?;
        Ok(Join { name, address, devices })
    }
}

impl Stage {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), MessageError> {
        to.stage(Some(self.stage));
        to.count(self.waits.len(), WAITS_MAX, "waits")?;
        for wait in &self.waits {
            to.point(wait.point);
            to.u8(wait.arrival as u8);
            to.stage(wait.producer);
        }
        to.count(self.signals.len(), SIGNALS_MAX, "signals")?;
        for signal in &self.signals {
            to.point(signal.point);
            to.set(signal.forward);
        }
        to.bytes(&self.payload, PAYLOAD_MAX, "bytes of payload")
    }

    fn decode(from: &mut Reader<'_>) -> Result<Stage, MessageError> {
        let stage = from.stage()?;
        let waits = (0..from.count(WAITS_MAX, "waits")?).map(|_| {
            let point = from.point()?;
            let arrival = match from.u8()? {
                0 => Arrival::Own,
                1 => Arrival::Told,
                2 => Arrival::Implied,
                3 => Arrival::Ask,
                _ => return Err(from.wrong("arrival")),
            };
            Ok(StageWait { point, arrival, producer: from.stage_if_any()? })
        });
        let waits = waits.collect::<Result<_, _>>()?;
        let signals = (0..from.count(SIGNALS_MAX, "signals")?)
            .map(|_| Ok(StageSignal { point: from.point()?, forward: from.set()? }))
            .collect::<Result<_, _>>()?;
        Ok(Stage { stage, waits, signals, payload: from.bytes(PAYLOAD_MAX, "bytes of payload")?.into() })
    }
}

impl Failure {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), MessageError> {
        to.u8(self.kind as u8);
        to.machine(self.machine);
        to.stage(self.stage);
        to.text(&self.message, FAILURE_TEXT_MAX, "message")
    }

    fn decode(from: &mut Reader<'_>) -> Result<Failure, MessageError> {
        let kind = match from.u8()? {
            1 => FailureKind::Loss,
            2 => FailureKind::Stage,
            3 => FailureKind::Refused,
            4 => FailureKind::NeverSubmitted,
            _ => return Err(from.wrong("kind")),
        };
        let (machine, stage) = (from.machine()?, from.stage_if_any()?);
        Ok(Failure { kind, machine, stage, message: from.text(FAILURE_TEXT_MAX, "message")? })
    }
}
