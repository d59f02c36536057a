//! SUBSCRIBE and UNSUBSCRIBE.

use std::collections::HashSet;
use std::num::NonZeroU32;

use mqtt_protocol_core::mqtt::connection::RawPacket;
use mqtt_protocol_core::mqtt::packet::{Property, RetainHandling, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    MqttError, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};
use route::{FilterError, TopicFilter};

use super::{Client, Version, check_text, check_user_properties, reason};
use crate::close::{self, Close};
use crate::hub::{Options, PositionError, Positions};
use crate::protocol::filters::Filters;
use crate::protocol::{Action, Answer, FilterRefusal, Subscribe};

/// A SUBSCRIBE of either version.
pub(super) struct Request {
    packet_id: u16,
    identifier: Option<NonZeroU32>,
    entries: Vec<SubEntry>,
    resume: Result<Positions, PositionError>,
}

/// The user property by which a client hands back a position.
const POSITION: &str = "position";

pub(super) fn read_v3(packet: &RawPacket) -> Result<Request, Close> {
    let subscribe = packet.parse_exact(v3_1_1::Subscribe::parse);
    let subscribe = subscribe.map_err(reason)?;
    let entries = subscribe.entries().clone();
    // Above the QoS, 3.1.1 has reserved bits where 5.0 has options (section 3.8.3).
    let reserved = |entry: &SubEntry| entry.sub_opts().to_buffer()[0] & 0b1111_1100 != 0;
    if entries.iter().any(reserved) {
        return Err(close::MQTT_MALFORMED);
    }
    Ok(Request {
        packet_id: check_packet_id(subscribe.packet_id())?,
        identifier: None,
        entries,
        resume: Ok(Positions::default()),
    })
}

pub(super) fn read_v5(packet: &RawPacket) -> Result<Request, Close> {
    let subscribe = packet.parse_exact(v5_0::Subscribe::parse);
    let subscribe = subscribe.map_err(reason)?;
    check_user_properties(subscribe.props())?;
    let mut identifier = None;
    let mut resume = Ok(Positions::default());
    for property in subscribe.props() {
        if let Property::UserProperty(pair) = property
            && pair.key() == POSITION
        {
            resume = resume.and_then(|mut positions| {
                positions.add_text(pair.val())?;
                Ok(positions)
            });
        }
        if let Property::SubscriptionIdentifier(value) = property {
            // Neither zero nor twice (section 3.8.2.1.2).
            let value = NonZeroU32::new(value.val()).ok_or(close::MQTT_PROTOCOL)?;
            if identifier.replace(value).is_some() {
                return Err(close::MQTT_PROTOCOL);
            }
        }
    }
    let entries = subscribe.entries().clone();
    // What is published by a shared subscriber could not be told from what is not (section 3.8.3.1).
    let local_share = |entry: &SubEntry| is_shared(entry.topic_filter()) && entry.sub_opts().nl();
    if entries.iter().any(local_share) {
        return Err(close::MQTT_PROTOCOL);
    }
    Ok(Request {
        packet_id: check_packet_id(subscribe.packet_id())?,
        identifier,
        entries,
        resume,
    })
}

/// Zero is no Packet Identifier (section 2.2.1).
fn check_packet_id(packet_id: u16) -> Result<u16, Close> {
    match packet_id {
        0 => Err(close::MQTT_PROTOCOL),
        _ => Ok(packet_id),
    }
}

fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Subscribes to what can be, and says of each filter what became of it. All are granted QoS 0.
pub(super) fn subscribe(
    request: Request,
    client: Client,
    filters: &mut Filters,
    actions: &mut Vec<Action>,
) -> Result<(), Close> {
    for entry in &request.entries {
        check_text(entry.topic_filter())?;
    }
    let mut suback = Suback {
        packet_id: request.packet_id,
        codes: Vec::with_capacity(request.entries.len()),
        why: None,
    };
    let mut subscriptions = Vec::new();
    for (at, entry) in request.entries.iter().enumerate() {
        suback.codes.push(SubackReasonCode::GrantedQos0);
        let granted = match &request.resume {
            Ok(_) => grant(entry.topic_filter(), filters),
            Err(error) => Err(error.clone().into()),
        };
        match granted {
            Ok((filter, fresh)) => {
                let handling = entry.sub_opts().rh();
                let options = Options {
                    identifier: request.identifier,
                    retain_as_published: entry.sub_opts().rap(),
                    snapshot: handling == RetainHandling::SendRetained
                        || handling == RetainHandling::SendRetainedIfNotExists && fresh,
                };
                subscriptions.push((filter, options));
            }
            Err(refusal) => suback.refuse(at, &refusal, actions),
        }
    }
    if subscriptions.is_empty() {
        return suback.send(client, actions);
    }
    actions.push(Action::Subscribe(Subscribe {
        subscriptions,
        resume: request.resume.unwrap_or_default(),
        answer: Answer::Mqtt(suback),
    }));
    Ok(())
}

/// Answers a SUBSCRIBE. Returns the subscriptions to be made, which are those that are not
/// `refused`, and whether the client could be told.
pub(super) fn settle(
    request: Subscribe,
    client: Client,
    filters: &mut Filters,
    refused: &HashSet<TopicFilter>,
    actions: &mut Vec<Action>,
) -> (Vec<(TopicFilter, Options)>, Result<(), Close>) {
    let mut subscriptions = request.subscriptions;
    let mut sent = Ok(());
    if let Answer::Mqtt(mut suback) = request.answer {
        let granted = suback.codes.iter().enumerate();
        let granted = granted.filter(|(_, code)| **code == SubackReasonCode::GrantedQos0);
        let granted: Vec<usize> = granted.map(|(at, _)| at).collect();
        for (at, (filter, _)) in granted.into_iter().zip(&subscriptions) {
            if refused.contains(filter) {
                suback.refuse(at, &FilterRefusal::Unserved, actions);
                filters.remove(filter);
            }
        }
        sent = suback.send(client, actions);
    }
    subscriptions.retain(|(filter, _)| !refused.contains(filter));
    (subscriptions, sent)
}

/// The filter, and whether the client was not subscribed to it.
fn grant(text: &str, filters: &mut Filters) -> Result<(TopicFilter, bool), FilterRefusal> {
    if is_shared(text) {
        return Err(FilterRefusal::Shared);
    }
    let filter = filters.limits().parse(text)?;
    let fresh = filters.insert(&filter)?;
    Ok((filter, fresh))
}

fn code(refusal: &FilterRefusal) -> SubackReasonCode {
    match refusal {
        FilterRefusal::Shared => SubackReasonCode::SharedSubscriptionsNotSupported,
        FilterRefusal::Invalid(FilterError::TooLong(_))
        | FilterRefusal::Unserved
        | FilterRefusal::TooDeep(_)
        | FilterRefusal::TooMany(_) => SubackReasonCode::QuotaExceeded,
        FilterRefusal::Invalid(_) => SubackReasonCode::TopicFilterInvalid,
        FilterRefusal::Position(_) => SubackReasonCode::ImplementationSpecificError,
    }
}

/// The answer to a SUBSCRIBE: a code for each of its filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Suback {
    packet_id: u16,
    codes: Vec<SubackReasonCode>,
    /// What is wrong with the first filter that was refused.
    why: Option<String>,
}

impl Suback {
    /// The filter at this place is refused.
    fn refuse(&mut self, at: usize, refusal: &FilterRefusal, actions: &mut Vec<Action>) {
        actions.push(Action::Refused(refusal.name()));
        self.codes[at] = code(refusal);
        let number = at + 1;
        let why = &mut self.why;
        why.get_or_insert_with(|| format!("filter {number}: {refusal}"));
    }

    fn send(self, client: Client, actions: &mut Vec<Action>) -> Result<(), Close> {
        let packet = match client.version {
            Version::V3 => self.encode_v3(),
            Version::V5 => self.encode_v5(client),
        };
        client.send(packet.map_err(reason)?, actions)
    }

    fn encode_v3(self) -> Result<Vec<u8>, MqttError> {
        let codes = self.codes.into_iter().map(|code| match code {
            SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
            _ => SubackReturnCode::Failure,
        });
        let builder = v3_1_1::Suback::builder().packet_id(self.packet_id);
        let suback = builder.return_codes(codes.collect()).build()?;
        Ok(suback.to_continuous_buffer())
    }

    fn encode_v5(self, client: Client) -> Result<Vec<u8>, MqttError> {
        let why = self.why.filter(|_| client.problem_information);
        client.explained(why.as_deref(), |properties| {
            let builder = v5_0::Suback::builder().packet_id(self.packet_id);
            let builder = builder.reason_codes(self.codes.clone()).props(properties);
            Ok(builder.build()?.to_continuous_buffer())
        })
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
            check_user_properties(unsubscribe.props())?;
            (unsubscribe.packet_id(), unsubscribe.entries().clone())
        }
    };
    let packet_id = check_packet_id(packet_id)?;
    for text in &texts {
        check_text(text.as_str())?;
    }
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
            let unsuback = builder.build();
            unsuback.map(|unsuback| unsuback.to_continuous_buffer())
        }
        Version::V5 => {
            let builder = v5_0::Unsuback::builder().packet_id(packet_id);
            let unsuback = builder.reason_codes(codes).build();
            unsuback.map(|unsuback| unsuback.to_continuous_buffer())
        }
    };
    client.send(unsuback.map_err(reason)?, actions)
}
