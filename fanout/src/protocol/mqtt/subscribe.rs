//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashSet;
use std::num::NonZeroU32;

use mqtt_protocol_core::mqtt::connection::RawPacket;
use mqtt_protocol_core::mqtt::packet::{Property, RetainHandling, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    MqttError, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};
use route::TopicFilter;

use super::{Client, MqttLimits, Version, reason};
use crate::close::{self, Close};
use crate::hub::Options;
use crate::protocol::{Action, Answer, Filters, Subscribe};

/// A SUBSCRIBE of either version.
pub(super) struct Request {
    packet_id: u16,
    identifier: Option<NonZeroU32>,
    entries: Vec<SubEntry>,
}

pub(super) fn read_v3(packet: &RawPacket) -> Result<Request, MqttError> {
    let subscribe = packet.parse_exact(v3_1_1::Subscribe::parse)?;
    let entries = subscribe.entries().clone();
    // Above the QoS, 3.1.1 has reserved bits where 5.0 has options (section 3.8.3).
    let reserved = |entry: &SubEntry| entry.sub_opts().to_buffer()[0] & 0b1111_1100 != 0;
    if entries.iter().any(reserved) {
        return Err(MqttError::MalformedPacket);
    }
    Ok(Request {
        packet_id: subscribe.packet_id(),
        identifier: None,
        entries,
    })
}

pub(super) fn read_v5(packet: &RawPacket) -> Result<Request, MqttError> {
    let subscribe = packet.parse_exact(v5_0::Subscribe::parse)?;
    let mut identifier = None;
    for property in subscribe.props() {
        if let Property::SubscriptionIdentifier(value) = property {
            // Neither zero nor twice (section 3.8.2.1.2).
            let value = NonZeroU32::new(value.val()).ok_or(MqttError::ProtocolError)?;
            if identifier.replace(value).is_some() {
                return Err(MqttError::ProtocolError);
            }
        }
    }
    Ok(Request {
        packet_id: subscribe.packet_id(),
        identifier,
        entries: subscribe.entries().clone(),
    })
}

/// Subscribes to what can be, and says of each filter what became of it. All are granted QoS 0.
pub(super) fn subscribe(
    request: Request,
    client: Client,
    filters: &mut Filters,
    limits: MqttLimits,
    actions: &mut Vec<Action>,
) -> Result<(), Close> {
    let mut codes = Vec::with_capacity(request.entries.len());
    let mut subscriptions = Vec::new();
    for entry in &request.entries {
        let granted = grant(entry, filters, limits.filters);
        codes.push(match &granted {
            Ok(_) => SubackReasonCode::GrantedQos0,
            Err(code) => *code,
        });
        if let Ok((filter, fresh)) = granted {
            let handling = entry.sub_opts().rh();
            let options = Options {
                identifier: request.identifier,
                retain_as_published: entry.sub_opts().rap(),
                snapshot: handling == RetainHandling::SendRetained
                    || handling == RetainHandling::SendRetainedIfNotExists && fresh,
            };
            subscriptions.push((filter, options));
        }
    }
    let suback = Suback {
        packet_id: request.packet_id,
        codes,
    };
    if subscriptions.is_empty() {
        client.send(suback.encode(client.version)?, actions);
    } else {
        actions.push(Action::Subscribe(Subscribe {
            subscriptions,
            answer: Answer::Mqtt(suback),
        }));
    }
    Ok(())
}

/// Answers a SUBSCRIBE. Returns the subscriptions to be made: those that are not `refused`.
pub(super) fn settle(
    request: Subscribe,
    client: Client,
    filters: &mut Filters,
    refused: &HashSet<TopicFilter>,
    actions: &mut Vec<Action>,
) -> Result<Vec<(TopicFilter, Options)>, Close> {
    let mut subscriptions = request.subscriptions;
    if let Answer::Mqtt(mut suback) = request.answer {
        let granted = suback.codes.iter_mut();
        let granted = granted.filter(|code| **code == SubackReasonCode::GrantedQos0);
        for (code, (filter, _)) in granted.zip(&subscriptions) {
            if refused.contains(filter) {
                *code = SubackReasonCode::QuotaExceeded;
                filters.remove(filter);
            }
        }
        client.send(suback.encode(client.version)?, actions);
    }
    subscriptions.retain(|(filter, _)| !refused.contains(filter));
    Ok(subscriptions)
}

/// The filter, and whether the client was not subscribed to it.
fn grant(
    entry: &SubEntry,
    filters: &mut Filters,
    max: usize,
) -> Result<(TopicFilter, bool), SubackReasonCode> {
    let text = entry.topic_filter();
    if text.starts_with("$share/") {
        return Err(SubackReasonCode::SharedSubscriptionsNotSupported);
    }
    let filter: TopicFilter = text
        .parse()
        .map_err(|_| SubackReasonCode::TopicFilterInvalid)?;
    match filters.insert(&filter, max) {
        Some(fresh) => Ok((filter, fresh)),
        None => Err(SubackReasonCode::QuotaExceeded),
    }
}

/// The answer to a SUBSCRIBE: a code for each of its filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::protocol) struct Suback {
    packet_id: u16,
    codes: Vec<SubackReasonCode>,
}

impl Suback {
    fn encode(self, version: Version) -> Result<Vec<u8>, Close> {
        let Self { packet_id, codes } = self;
        match version {
            Version::V3 => {
                let codes = codes.into_iter().map(|code| match code {
                    SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
                    _ => SubackReturnCode::Failure,
                });
                let builder = v3_1_1::Suback::builder().packet_id(packet_id);
                let suback = builder.return_codes(codes.collect()).build();
                Ok(suback.map_err(reason)?.to_continuous_buffer())
            }
            Version::V5 => {
                let builder = v5_0::Suback::builder().packet_id(packet_id);
                let suback = builder.reason_codes(codes).build();
                Ok(suback.map_err(reason)?.to_continuous_buffer())
            }
        }
    }
}

/// Ends subscriptions, and says of each filter whether there was one.
pub(super) fn unsubscribe(
    packet: &RawPacket,
    client: Client,
    filters: &mut Filters,
    actions: &mut Vec<Action>,
) -> Result<(), Close> {
    let (packet_id, texts) = match client.version {
        Version::V3 => {
            let unsubscribe = packet.parse_exact(v3_1_1::Unsubscribe::parse);
            let unsubscribe = unsubscribe.map_err(reason)?;
            (unsubscribe.packet_id(), unsubscribe.entries().clone())
        }
        Version::V5 => {
            let unsubscribe = packet.parse_exact(v5_0::Unsubscribe::parse);
            let unsubscribe = unsubscribe.map_err(reason)?;
            (unsubscribe.packet_id(), unsubscribe.entries().clone())
        }
    };
    let mut codes = Vec::with_capacity(texts.len());
    for text in &texts {
        codes.push(match text.as_str().parse() {
            Ok(filter) if filters.remove(&filter) => {
                actions.push(Action::Unsubscribe(filter));
                UnsubackReasonCode::Success
            }
            Ok(_) => UnsubackReasonCode::NoSubscriptionExisted,
            Err(_) => UnsubackReasonCode::TopicFilterInvalid,
        });
    }
    let unsuback = match client.version {
        Version::V3 => {
            let builder = v3_1_1::Unsuback::builder().packet_id(packet_id);
            builder
                .build()
                .map(|unsuback| unsuback.to_continuous_buffer())
        }
        Version::V5 => {
            let builder = v5_0::Unsuback::builder().packet_id(packet_id);
            let unsuback = builder.reason_codes(codes).build();
            unsuback.map(|unsuback| unsuback.to_continuous_buffer())
        }
    };
    client.send(unsuback.map_err(|_| close::MQTT_PROTOCOL)?, actions);
    Ok(())
}
