//! EventBusSpec: which bus the author asks for. What only shapes Argo's own bus pods is accepted as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `spec` of an EventBus: one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventBusSpec {
    /// NATS streaming; retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<Nats>,
    /// A JetStream cluster that Argo would install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jetstream: Option<Box<JetStream>>,
    /// A JetStream server that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jetstream_exotic: Option<JetStreamExotic>,
    /// Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Box<Kafka>>,
}

/// `nats`: one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Nats {
    /// Installed by Argo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<Box<NatsNative>>,
    /// A server that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exotic: Option<NatsExotic>,
}

macro_rules! with_pod_fields {
    (
        $(#[$outer:meta])*
        pub struct $name:ident { $($(#[$inner:meta])* pub $field:ident: $type:ty,)* }
        pod { $($pod:ident)* }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$inner])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
            $(
                /// Shapes the pods of the bus; kept, without effect.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $pod: Option<Value>,
            )*
        }
    };
}

with_pod_fields! {
    /// `nats.native`.
    pub struct NatsNative {
        /// Servers.
        pub replicas: i32,
        /// `none` or `token`.
        pub auth: String,
        /// How long messages are kept, as Go writes a duration.
        pub max_age: String,
        /// Most messages of a channel.
        pub max_msgs: u64,
        /// Most subscriptions of a channel.
        pub max_subs: u64,
        /// Most bytes of a channel.
        pub max_bytes: String,
        /// Largest message.
        pub max_payload: String,
    }
    pod {
        persistence container_template metrics_container_template node_selector tolerations metadata
        security_context image_pull_secrets service_account_name priority_class_name priority affinity
        anti_affinity raft_heartbeat_timeout raft_election_timeout raft_lease_timeout raft_commit_timeout
    }
}

with_pod_fields! {
    /// `nats.exotic`.
    pub struct NatsExotic {
        /// Address of the server.
        pub url: String,
        /// Name of the cluster.
        #[serde(rename = "clusterID")]
        pub cluster_id: String,
        /// `none` or `token`.
        pub auth: String,
        /// Secret that holds the token.
        pub access_secret: SecretKey,
    }
    pod { }
}

with_pod_fields! {
    /// `jetstream`.
    pub struct JetStream {
        /// Of the server; looked up by Argo's controller.
        pub version: String,
        /// Servers: 1, or 3 and more.
        pub replicas: i32,
        /// YAML text: limits of the stream.
        pub stream_config: String,
        /// Text that goes into the server's configuration.
        pub settings: String,
        /// Arguments of the server.
        pub start_args: Vec<String>,
        /// Largest message.
        pub max_payload: String,
        /// Whether the server encrypts its files.
        pub encryption: bool,
    }
    pod {
        persistence container_template reloader_container_template metrics_container_template metadata
        node_selector tolerations security_context image_pull_secrets priority_class_name priority affinity
        service_account_name topology_spread_constraints
    }
}

with_pod_fields! {
    /// `jetstreamExotic`.
    pub struct JetStreamExotic {
        /// Address of the server.
        pub url: String,
        /// Secret that holds user name and password.
        pub access_secret: SecretKey,
        /// YAML text: limits of the stream.
        pub stream_config: String,
        /// Certificates, by reference.
        pub tls: Value,
    }
    pod { }
}

with_pod_fields! {
    /// `kafka`.
    pub struct Kafka {
        /// Addresses, separated by commas.
        pub url: String,
        /// The topic of the events.
        pub topic: String,
        /// Of the servers.
        pub version: String,
        /// Certificates, by reference.
        pub tls: Value,
        /// Credentials, by reference.
        pub sasl: Value,
        /// The group of the readers.
        pub consumer_group: Value,
        /// `random`, `hash`, `roundrobin` or `manual`.
        pub partitioner: String,
    }
    pod { }
}

/// A key of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// Whether it may be absent.
    pub optional: Option<bool>,
}
