//! What is pending in a loop: tasks that are ready, and tasks that wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};

use proact::time::{Clock, Time};

use super::woken::{Bell, PlaceWaker, Woken};
use super::{Command, Task};
use crate::error::Error;
use crate::panics::FirstPanic;

/// Tasks of one loop, for the thread that runs it. Others reach it by `woken`.
///
/// It keeps what memory it has needed: in steady state nothing is allocated.
pub(super) struct Queue<B> {
    ready: VecDeque<Box<dyn Task>>,
    places: Vec<Place<B>>,
    free: Vec<u32>,
    /// By time. An alarm that was set anew leaves its old entry behind, which is none any more.
    alarms: BinaryHeap<Reverse<Alarm>>,
    /// Places to look at.
    to_poll: Vec<u32>,
    waiting: usize,
    pub(super) woken: Arc<Woken<B>>,
}

struct Place<B> {
    task: Option<Box<dyn Task>>,
    alarm: Option<Time>,
    /// Of the last alarm that was set.
    stamp: u32,
    own: Arc<PlaceWaker<B>>,
    waker: Waker,
}

/// A task that has panicked when it was asked whether its wait is over.
#[must_use = "the task is to be told"]
pub(super) struct Panicked {
    task: Option<Box<dyn Task>>,
    panic: FirstPanic,
}

/// When a place is to be looked at, by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alarm {
    time: Time,
    place: u32,
    stamp: u32,
}

impl<B: Bell> Queue<B> {
    pub(super) fn new(bell: B) -> Queue<B> {
        Queue {
            ready: VecDeque::new(),
            places: Vec::new(),
            free: Vec::new(),
            alarms: BinaryHeap::new(),
            to_poll: Vec::new(),
            waiting: 0,
            woken: Woken::new(bell),
        }
    }

    /// How many tasks are pending.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.waiting
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether waits are to be looked at that are not in the list of the woken.
    pub(super) fn has_to_poll(&self) -> bool {
        !self.to_poll.is_empty()
    }

    pub(super) fn push(&mut self, command: Command, task: Box<dyn Task>) {
        match command {
            Command::Call => self.ready.push_back(task),
            Command::Wait => {
                let place = self.free.pop().unwrap_or_else(|| {
                    let place = self.places.len() as u32;
                    let (own, waker) = PlaceWaker::new(place, self.woken.clone());
                    self.places.push(Place { task: None, alarm: None, stamp: 0, own, waker });
                    place
                });
                self.places[place as usize].task = Some(task);
                self.waiting += 1;
                // It is looked at when its turn comes: a command runs no code of the task.
                self.to_poll.push(place);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Box<dyn Task>> {
        self.ready.pop_front()
    }

    /// One of the ready tasks, whichever `choose` says of so many: the first one is the one that has waited longest.
    pub(super) fn pop_chosen(&mut self, choose: impl FnOnce(usize) -> usize) -> Option<Box<dyn Task>> {
        match self.ready.len() {
            0 => None,
            1 => self.ready.pop_front(),
            count => self.ready.remove(choose(count)),
        }
    }

    /// Makes all ready that wait: for a loop that has ended.
    pub(super) fn end_waits(&mut self) {
        self.to_poll.clear();
        self.alarms.clear();
        for place in 0..self.places.len() as u32 {
            let task = self.vacate(place);
            self.ready.extend(task);
        }
    }

    /// Looks at the waits that were woken or whose time has come, and makes those ready that are over. A task that
    /// panics when it is looked at is pending no more, and those behind it are looked at the next time.
    pub(super) fn poll(&mut self, clock: &Clock) -> Result<(), Panicked> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.woken.take(&mut self.to_poll, self.places.len());
        if self.alarms.is_empty() && self.to_poll.is_empty() {
            return Ok(());
        }
        let now = clock.now();
        while let Some(&Reverse(alarm)) = self.alarms.peek().filter(|Reverse(alarm)| alarm.time <= now) {
            self.alarms.pop();
            let place = &mut self.places[alarm.place as usize];
            if place.is_set(&alarm) {
                place.alarm = None;
                self.to_poll.push(alarm.place);
            }
        }
        let mut to_poll = std::mem::take(&mut self.to_poll);
        let mut places = to_poll.drain(..);
        while let Some(place) = places.next() {
            let mut panic = FirstPanic::default();
            if panic.catch(|| self.poll_place(place, now)).is_none() {
                self.to_poll.extend(&mut places);
                return Err(Panicked { task: self.vacate(place), panic });
            }
        }
        drop(places);
        self.to_poll = to_poll; // its memory: no one has pushed meanwhile, as tasks are lent no loop there
        Ok(())
    }

    fn poll_place(&mut self, index: u32, now: Time) {
        let place = &mut self.places[index as usize];
        place.own.unlist();
        let Some(task) = &mut place.task else {
            return; // a waker of a wait that is over
        };
        if task.poll(now, &mut TaskContext::from_waker(&place.waker)).is_ready() {
            let task = self.vacate(index);
            self.ready.extend(task);
            return;
        }
        let alarm = task.next_time().filter(|time| *time != Time::FAR_FUTURE);
        if alarm != place.alarm {
            place.alarm = alarm;
            place.stamp = place.stamp.wrapping_add(1);
            if let Some(time) = alarm {
                self.alarms.push(Reverse(Alarm { time, place: index, stamp: place.stamp }));
                self.tidy_alarms();
            }
        }
    }

    /// Takes the task out of a place, which is free then.
    fn vacate(&mut self, index: u32) -> Option<Box<dyn Task>> {
        let place = &mut self.places[index as usize];
        let task = place.task.take()?;
        place.alarm = None;
        self.waiting -= 1;
        self.free.push(index);
        Some(task)
    }

    /// When to look again at the latest, by the clock alone.
    pub(super) fn next_time(&mut self) -> Option<Time> {
        while let Some(Reverse(alarm)) = self.alarms.peek() {
            if self.places[alarm.place as usize].is_set(alarm) {
                return Some(alarm.time);
            }
            self.alarms.pop();
        }
        None
    }

    /// Entries that are none any more go when they are most of them.
    fn tidy_alarms(&mut self) {
        if self.alarms.len() > 2 * self.waiting + 16 {
            let places = &self.places;
            self.alarms.retain(|Reverse(alarm)| places[alarm.place as usize].is_set(alarm));
        }
    }
}

impl Panicked {
    /// Tells the task, and goes on with the panic.
    #[cold]
    pub(super) fn tell(mut self) {
        if let Some(task) = self.task {
            let error = Error::internal("the task panicked when it was asked whether its wait is over");
            self.panic.catch(|| task.abort(error));
        }
        self.panic.resume();
    }
}

impl<B> Place<B> {
    fn is_set(&self, alarm: &Alarm) -> bool {
        self.alarm == Some(alarm.time) && self.stamp == alarm.stamp
    }
}

#[cfg(test)]
mod tests;
