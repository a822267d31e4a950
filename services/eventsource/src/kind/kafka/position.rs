//! Where reading begins. Who is to begin with the next message writes that down before it reads: what is sent from
//! then on is read, even if it stops before the first one comes.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;

type Consumer = StreamConsumer<Context>;

/// Gives each partition without a position its end as one. False where others of the group are at work already and
/// do not have one for each: nobody else may write positions then.
pub(super) fn establish(
    consumer: &Consumer,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> Result<bool, KafkaError> {
    let mut ends = TopicPartitionList::new();
    for partition in without(consumer, topic, partitions, patience)? {
        let (_, end) = consumer.fetch_watermarks(topic, partition, patience)?;
        ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    if ends.count() == 0 {
        return Ok(true);
    }
    match consumer.commit(&ends, CommitMode::Sync) {
        Ok(()) => Ok(true),
        Err(error) => match error.rdkafka_error_code() {
            Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress) => {
                Ok(without(consumer, topic, partitions, patience)?.is_empty())
            }
            _ => Err(error),
        },
    }
}

/// The partitions of which the group has no position.
fn without(
    consumer: &Consumer,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> Result<Vec<i32>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(list, patience)?;
    let mut missing = Vec::new();
    for element in committed.elements() {
        element.error()?;
        if element.offset() == Offset::Invalid {
            missing.push(element.partition());
        }
    }
    Ok(missing)
}
