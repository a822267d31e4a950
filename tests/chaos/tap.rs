//! Stands on the wires of one event source: to the bus, and to its queue. It waits for the moment of a named point,
//! and from then on lets nothing pass: whoever is killed now is killed there, and nowhere else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wire::{Reader, Sign, Way, Wire};

/// Where an event source is between a message and its ack. What the two servers have, and what the source was told, is
/// all that is left of it once it is killed; between them these are the five that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// After receiving, before publishing: the bus has nothing of it.
    Received,
    /// Publishing: the bus has it, the source was not told.
    Publishing,
    /// After publishing, before the ack: the source was told, the queue knows nothing.
    Published,
    /// Acking: the queue has the ack, the source was not told.
    Acking,
    /// After the ack.
    Acked,
}

pub(crate) const POINTS: [Point; 5] =
    [Point::Received, Point::Publishing, Point::Published, Point::Acking, Point::Acked];

/// What was on the wires when the point was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The message whose publication, or whose answer, was held back.
    pub(crate) held: Option<String>,
    /// The messages that this life of the source was told are stored.
    pub(crate) told: BTreeSet<String>,
}

/// What both wires share.
#[derive(Debug, Default)]
pub(crate) struct Trap {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The point that is waited for, and how often it may pass by before.
    armed: Option<(Point, usize)>,
    /// Nothing passes any more.
    hit: Option<Hit>,
    /// Connections of earlier lives are over.
    life: u64,
    connections: u64,
    streams: Vec<TcpStream>,
    publishing: HashMap<String, String>,
    told: BTreeSet<String>,
    acking: HashSet<(u64, u64)>,
}

/// What a connection is known by.
#[derive(Debug, Clone, Copy)]
struct Link {
    number: u64,
    life: u64,
}

impl Trap {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a point from now on, after it has passed by `after` times.
    pub(crate) fn arm(&self, point: Point, after: usize) {
        self.lock().armed = Some((point, after));
    }

    /// Returns once the point is reached.
    pub(crate) fn hit(&self, within: Duration) -> Option<Hit> {
        let waiting = self.changed.wait_timeout_while(self.lock(), within, |state| state.hit.is_none());
        waiting.unwrap_or_else(PoisonError::into_inner).0.hit.clone()
    }

    /// Ends all connections; what was held back never arrives. New ones pass.
    pub(crate) fn sever(&self) {
        let mut state = self.lock();
        let (life, connections) = (state.life + 1, state.connections);
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        *state = State { life, connections, ..State::default() };
        drop(state);
        self.changed.notify_all();
    }

    /// Whether a frame may pass; false: its connection is over. Waits while nothing passes.
    fn passes(&self, link: Link, sign: &Sign) -> bool {
        let mut state = self.lock();
        if state.hit.is_none() && state.life == link.life && state.trips(link, sign) {
            self.changed.notify_all();
        }
        let waiting = self.changed.wait_while(state, |state| state.hit.is_some() && state.life == link.life);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        let passes = state.life == link.life;
        if passes {
            state.note(link, sign);
        }
        passes
    }

    /// A frame has passed.
    fn passed(&self, link: Link, sign: &Sign) {
        let mut state = self.lock();
        let Sign::Answer(number) = sign else { return };
        if state.life == link.life
            && state.acking.remove(&(link.number, *number))
            && state.is_due(Point::Acked)
        {
            state.hit = Some(Hit { held: None, told: state.told.clone() });
            self.changed.notify_all();
        }
    }

    fn open(&self, streams: [&TcpStream; 2]) -> Link {
        let mut state = self.lock();
        state.connections += 1;
        for stream in streams {
            state.streams.extend(stream.try_clone());
        }
        Link { number: state.connections, life: state.life }
    }
}

impl State {
    /// Whether this is the moment: before the frame passes.
    fn trips(&mut self, link: Link, sign: &Sign) -> bool {
        let held = match sign {
            Sign::Publish { native, .. } if self.is_due(Point::Received) => Some(native.clone()),
            Sign::Reply(to) if self.publishing.contains_key(to) && self.is_due(Point::Publishing) => {
                self.publishing.get(to).cloned()
            }
            Sign::Ack(_) if self.is_due(Point::Published) => None,
            Sign::Answer(number)
                if self.acking.contains(&(link.number, *number)) && self.is_due(Point::Acking) =>
            {
                None
            }
            _ => return false,
        };
        self.hit = Some(Hit { held, told: self.told.clone() });
        true
    }

    /// Whether the point is the one that is waited for, and has passed by often enough.
    fn is_due(&mut self, point: Point) -> bool {
        match &mut self.armed {
            Some((armed, 0)) => *armed == point,
            Some((armed, after)) => {
                *after -= usize::from(*armed == point);
                false
            }
            None => false,
        }
    }

    fn note(&mut self, link: Link, sign: &Sign) {
        match sign {
            Sign::Publish { reply, native } => drop(self.publishing.insert(reply.clone(), native.clone())),
            Sign::Reply(to) => self.told.extend(self.publishing.remove(to)),
            Sign::Ack(number) => drop(self.acking.insert((link.number, *number))),
            Sign::Nothing | Sign::Answer(_) => {}
        }
    }
}

/// A port that leads to another one.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) port: u16,
}

impl Tap {
    pub(crate) fn to(target: u16, wire: Wire, trap: &Arc<Trap>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let trap = Arc::clone(trap);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let trap = Arc::clone(&trap);
                thread::spawn(move || connect(near, target, wire, &trap));
            }
        });
        Self { port }
    }
}

fn connect(near: TcpStream, target: u16, wire: Wire, trap: &Arc<Trap>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else {
        let _ = near.shutdown(Shutdown::Both);
        return;
    };
    let link = trap.open([&near, &far]);
    let (Ok(near_in), Ok(far_in)) = (near.try_clone(), far.try_clone()) else { return };
    let back = Arc::clone(trap);
    thread::spawn(move || pump(far_in, near, Reader::new(wire, Way::Down), link, &back));
    pump(near_in, far, Reader::new(wire, Way::Up), link, trap);
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut reader: Reader, link: Link, trap: &Trap) {
    let _ = to.set_nodelay(true);
    let (mut waiting, mut chunk) = (Vec::new(), [0; 64 << 10]);
    'connection: while let Ok(count @ 1..) = from.read(&mut chunk) {
        waiting.extend_from_slice(&chunk[..count]);
        while let Some((length, sign)) = reader.next(&waiting) {
            if !trap.passes(link, &sign) || to.write_all(&waiting[..length]).is_err() {
                break 'connection;
            }
            waiting.drain(..length);
            trap.passed(link, &sign);
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
