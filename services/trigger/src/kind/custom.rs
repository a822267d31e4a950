//! `custom`: a server that somebody else wrote acts, over Argo's gRPC contract. Each call carries the firing's id, so
//! that the server can tell that it is asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;
use tiphys_core::chain;
use tiphys_core::trace::TRACEPARENT;
use tiphys_proto::triggers::trigger_client::TriggerClient;
use tiphys_proto::triggers::{ApplyPolicyRequest, ExecuteRequest, FetchResourceRequest};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::pool::Pool;
use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// For so long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// For so long one call may take.
const CALL: Duration = Duration::from_secs(60);
/// What is kept of a server's words.
const SAID: usize = 500;

/// The kind, with its connections.
#[derive(Default)]
pub(super) struct Custom(Pool<Channel>);

#[async_trait]
impl TriggerKind for Custom {
    fn key(&self) -> &'static str {
        "custom"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let server = text(context.template, "serverURL");
        let call = Call { server, firing: &context.firing.id.0, trace: context.trace };
        let mut client = TriggerClient::new(self.channel(&context, server)?);

        let resource = spec(context.template).into();
        let fetched = client.fetch_resource(call.request(FetchResourceRequest { resource })?).await;
        let fetched = fetched.map_err(|status| call.failed("FetchResource", &status))?.into_inner().resource;

        let resource = parameterise(&fetched, &context)?.into();
        let payload = payload(&context.firing.payload)?.unwrap_or_default().into();
        let executed = client.execute(call.request(ExecuteRequest { resource, payload })?).await;
        let response = executed.map_err(|status| call.failed("Execute", &status))?.into_inner().response;

        let judged = client.apply_policy(call.request(ApplyPolicyRequest { request: response })?).await;
        let judged = match judged {
            Ok(judged) => judged.into_inner(),
            // A server without policies has acted all the same.
            Err(status) if status.code() == Code::Unimplemented => {
                return Ok(Effect::Custom { server: server.into(), message: String::new() });
            }
            Err(status) => return Err(call.failed("ApplyPolicy", &status)),
        };
        let message = short(&judged.message);
        if !judged.success {
            return Err(Error::Refused(format!(
                "the trigger server {server} acted without success: {message}"
            )));
        }
        Ok(Effect::Custom { server: server.into(), message })
    }
}

impl Custom {
    /// The connection to a server. It is made with the first call, and again when it broke.
    fn channel(&self, context: &Context<'_>, server: &str) -> Result<Channel, Error> {
        let template = context.template;
        let secure = template.get("secure").and_then(Json::as_bool).unwrap_or_default();
        let authority = match template.get("certSecret").filter(|selector| secure && !selector.is_null()) {
            Some(selector) => Some(context.secret(selector)?),
            None if secure => {
                return Err(Error::Template(
                    "`custom.secure` is set without `certSecret`, the certificate of the server's authority"
                        .into(),
                ));
            }
            None => None,
        };
        let authority = authority.as_ref().map(|secret| secret.expose_secret());
        let name = text(template, "serverNameOverride");
        let settings = format!("{server}\n{name}\n{}", authority.unwrap_or_default());
        if let Some(channel) = self.0.get(&settings) {
            return Ok(channel);
        }
        let channel = endpoint(server, name, authority)?.connect_lazy();
        Ok(self.0.keep(settings, channel))
    }
}

fn endpoint(server: &str, name: &str, authority: Option<&str>) -> Result<Endpoint, Error> {
    let wrong = |reason: String| Error::Template(format!("`serverURL` of the custom trigger: {reason}"));
    if server.is_empty() {
        return Err(wrong("it is missing; write it as `HOST:PORT`".into()));
    }
    let address = server.split_once("://").map_or(server, |(_, rest)| rest).trim_start_matches('/');
    let scheme = if authority.is_some() { "https" } else { "http" };
    let endpoint =
        Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|error| wrong(chain(&error)))?;
    let endpoint = endpoint.connect_timeout(CONNECT).timeout(CALL).tcp_keepalive(Some(CALL));
    let Some(authority) = authority else { return Ok(endpoint) };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    if !name.is_empty() {
        tls = tls.domain_name(name);
    }
    endpoint.tls_config(tls).map_err(|error| Error::Template(format!("`certSecret`: {}", chain(&error))))
}

/// `spec` as JSON, which is YAML too, in order of name.
fn spec(template: &Json) -> Vec<u8> {
    let members = template.get("spec").and_then(Json::as_object).into_iter().flatten();
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members: BTreeMap<&String, String> = members.map(|(name, value)| (name, text(value))).collect();
    let mut written =
        Json::Object(members.into_iter().map(|(k, v)| (k.clone(), v.into())).collect()).to_string();
    written.push('\n');
    written.into_bytes()
}

/// The resource with the values of `parameters`; as it is where there are none.
fn parameterise(resource: &[u8], context: &Context<'_>) -> Result<Vec<u8>, Error> {
    if context.firing.parameters.is_empty() {
        return Ok(resource.to_vec());
    }
    let mut document: Json = serde_json::from_slice(resource).map_err(|error| {
        Error::Refused(format!(
            "the resource that the trigger server gave is no JSON, and `parameters` need it: {error}"
        ))
    })?;
    apply(&mut document, &context.firing.parameters)?;
    Ok(document.to_string().into_bytes())
}

struct Call<'a> {
    server: &'a str,
    firing: &'a str,
    trace: Option<&'a str>,
}

impl Call<'_> {
    fn request<T>(&self, message: T) -> Result<Request<T>, Error> {
        let mut request = Request::new(message);
        let id: MetadataValue<_> =
            self.firing.parse().map_err(|_| Error::Template("the firing's id is no metadata".into()))?;
        request.metadata_mut().insert("tiphys-firing-id", id);
        if let Some(trace) = self.trace.and_then(|trace| trace.parse::<MetadataValue<_>>().ok()) {
            request.metadata_mut().insert(TRACEPARENT, trace);
        }
        Ok(request)
    }

    /// What a server says of itself that it may do later is tried again, and so is what it cannot explain: servers
    /// in Go answer each plain error with `Unknown`.
    fn failed(&self, verb: &str, status: &Status) -> Error {
        let reason = format!(
            "{verb} of the trigger server {}: {:?}: {}",
            self.server,
            status.code(),
            short(status.message())
        );
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Error::Refused(reason),
            _ => Error::Unavailable(reason),
        }
    }
}

fn short(said: &str) -> String {
    said.chars().take(SAID).collect()
}

fn text<'a>(template: &'a Json, key: &str) -> &'a str {
    template.get(key).and_then(Json::as_str).unwrap_or_default()
}
