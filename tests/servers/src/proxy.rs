//! A network that can be cut: a port that passes on to another, until told not to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A port that leads to another one. While it is cut nothing passes in either direction and nothing is refused, as
/// where a cable is pulled: both sides believe that the other is silent. What was on the way arrives once it is mended.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    ended: bool,
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// Leads to a port of this machine.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { target, state: Mutex::default(), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || serve(&listener, &serving));
        Self { port, shared }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing pass from now on.
    pub fn cut(&self) {
        self.shared.lock().cut = true;
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.shared.lock().cut = false;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may pass; `false` at the end.
    fn passes(&self) -> bool {
        let state = self.lock();
        let waiting = self.changed.wait_while(state, |state| state.cut && !state.ended);
        !waiting.unwrap_or_else(PoisonError::into_inner).ended
    }

    fn keep(&self, stream: &TcpStream) {
        self.lock().streams.extend(stream.try_clone());
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for near in listener.incoming().flatten() {
        if shared.lock().ended {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            shared.keep(&near);
            if !shared.passes() {
                return;
            }
            let Ok(far) = TcpStream::connect(("127.0.0.1", shared.target)) else {
                let _ = near.shutdown(Shutdown::Both);
                return;
            };
            shared.keep(&far);
            let (Ok(near_in), Ok(far_in)) = (near.try_clone(), far.try_clone()) else { return };
            let back = Arc::clone(&shared);
            thread::spawn(move || pass(far_in, near, &back));
            pass(near_in, far, &shared);
        });
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !shared.passes() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // An end is no news either while nothing passes.
    if shared.passes() {
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}
