//! The event of the benches, and what is decided about it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_core::{Event, EventId, Origin, Timestamp};

use crate::stage;

/// A sensor with one filter and two parameters.
pub(crate) const SENSOR: &str = r"
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: bench}
spec:
  dependencies:
    - name: alert
      eventSourceName: bench
      eventName: alerts
      filters:
        data: [{path: body.priority, type: string, value: [Critical, Emergency]}]
  triggers:
    - template:
        name: respond
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {generateName: respond-}
              spec:
                workflowTemplateRef: {name: respond}
                arguments: {parameters: [{name: pid}, {name: rule}]}
          parameters:
            - {src: {dependencyName: alert, dataKey: body.output_fields.proc\.pid}, dest: spec.arguments.parameters.0.value}
            - {src: {dependencyName: alert, dataKey: body.rule}, dest: spec.arguments.parameters.1.value}
";

/// The same sensor; its trigger posts both parameters to this address.
pub(crate) fn posting(address: &str) -> String {
    let (head, _) = SENSOR.split_once("        argoWorkflow:").unwrap_or_default();
    format!(
        r"{head}        http:
          url: {address}
          method: POST
          payload:
            - {{src: {{dependencyName: alert, dataKey: body.output_fields.proc\.pid}}, dest: pid}}
            - {{src: {{dependencyName: alert, dataKey: body.rule}}, dest: rule}}
"
    )
}

/// Stores so many, many at once.
pub(crate) async fn store(bus: &Arc<dyn Bus>, count: usize) -> anyhow::Result<()> {
    let publish = |number| async move {
        let event = alert("alerts", number);
        let subject = streams::subject(streams::EVENTS, &["default", "bench", "alerts"]);
        let message = Publish::new(subject, event.encode()?).id(event.id.0);
        bus.publish(message).await?;
        anyhow::Ok(())
    };
    let all = stream::iter(0..count).map(publish);
    all.buffer_unordered(256).try_collect::<Vec<()>>().await.map(drop)
}

/// An event as the webhook makes it.
pub(crate) fn alert(event: &str, number: usize) -> Event {
    let data =
        format!(r#"{{"header":{{"Content-Type":["application/json"]}},"body":{}}}"#, stage::alert(number));
    Event {
        id: EventId::derive("default", "bench", event, &number.to_string()),
        origin: Origin { namespace: "default".into(), source: "bench".into(), event: event.into() },
        kind: "webhook".into(),
        occurred: None,
        received: Timestamp::now(),
        attributes: std::collections::BTreeMap::new(),
        data: Bytes::from(data),
    }
}
