//! Which route answers where. Built anew on each change; pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tiphys_core::{Origin, Timestamp};
use tiphys_manifest::Diagnostic;

use super::tls::Tls;
use crate::error::Error;
use crate::finding::{CONFLICT, Spot};
use crate::hook::Hook;

/// What answers at an address.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) origin: Origin,
    /// None where the event source cannot run as it is written.
    pub(crate) hook: Option<Hook>,
}

/// An event's own port and endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) port: u16,
    pub(crate) endpoint: String,
    pub(crate) tls: Option<Tls>,
}

/// Who was there first: seen first by this process, made first, first by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    pub(crate) seen: u64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) origin: Origin,
}

/// A route that wants its addresses.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) age: Age,
    pub(crate) spot: Spot,
    pub(crate) hook: Result<Hook, Error>,
    /// None: only the canonical address is wanted.
    pub(crate) place: Result<Option<Place>, Error>,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    canonical: HashMap<(String, String, String), Arc<Route>>,
    ports: BTreeMap<u16, Port>,
}

/// One port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) tls: Option<Tls>,
    pub(crate) spot: Spot,
    endpoints: HashMap<String, (Arc<Route>, Spot)>,
}

impl Table {
    /// Gives each candidate its addresses, the older before the younger.
    pub(crate) fn build(mut candidates: Vec<Candidate>) -> (Self, Vec<Diagnostic>) {
        candidates.sort_by(|a, b| a.age.cmp(&b.age));
        let (mut table, mut found) = (Self::default(), Vec::new());
        for candidate in candidates {
            let Candidate { age, spot, hook, place } = candidate;
            let hook = hook.map_err(|error| found.push(spot.failure(&error))).ok();
            let place = place.map_err(|error| found.push(spot.failure(&error)));
            let origin = age.origin;
            let address = (origin.namespace.clone(), origin.source.clone(), origin.event.clone());
            let route = Arc::new(Route { origin, hook });
            if table.canonical.contains_key(&address) {
                found.push(spot.diagnostic(
                    CONFLICT,
                    format!("event `{}` stands under two kinds of one EventSource", address.2),
                    "give one of them another name".into(),
                ));
                continue;
            }
            table.canonical.insert(address, route.clone());
            if let Ok(Some(place)) = place {
                found.extend(table.settle(route, place, spot));
            }
        }
        (table, found)
    }

    /// Gives a route its own port and endpoint, or says who has them.
    fn settle(&mut self, route: Arc<Route>, place: Place, spot: Spot) -> Option<Diagnostic> {
        let port = self.ports.entry(place.port).or_insert_with(|| Port {
            tls: place.tls.clone(),
            spot: spot.clone(),
            endpoints: HashMap::new(),
        });
        let origin = &route.origin;
        let canonical = format!(
            "it is served at /events/{}/{}/{} only; give it a port or endpoint of its own",
            origin.namespace, origin.source, origin.event
        );
        if let Some((_, holder)) = port.endpoints.get(&place.endpoint) {
            return Some(spot.diagnostic(
                CONFLICT,
                format!(
                    "port {} with endpoint `{}` belongs to the older {} ({})",
                    place.port, place.endpoint, holder.object, holder.path
                ),
                canonical,
            ));
        }
        if port.tls != place.tls {
            return Some(spot.diagnostic(
                CONFLICT,
                format!(
                    "port {} is opened {} by the older {} ({})",
                    place.port,
                    match (&port.tls, &place.tls) {
                        (Some(_), Some(_)) => "with another certificate",
                        (Some(_), None) => "with TLS",
                        (None, _) => "without TLS",
                    },
                    port.spot.object,
                    port.spot.path
                ),
                canonical,
            ));
        }
        port.endpoints.insert(place.endpoint, (route, spot));
        None
    }

    /// The route of a canonical address.
    pub(crate) fn canonical(&self, address: &(String, String, String)) -> Option<Arc<Route>> {
        self.canonical.get(address).cloned()
    }

    /// The route of an own port.
    pub(crate) fn on_port(&self, port: u16, path: &str) -> Option<Arc<Route>> {
        let endpoints = &self.ports.get(&port)?.endpoints;
        endpoints.get(path).map(|(route, _)| route.clone())
    }

    /// The ports that are wanted.
    pub(crate) const fn ports(&self) -> &BTreeMap<u16, Port> {
        &self.ports
    }
}
