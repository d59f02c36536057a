//! CONNECT and what it is answered.

use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MaximumQos, Properties, Property, RetainAvailable,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
    TopicAliasMaximum, WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, MqttError};

use super::{Client, Version, reason};
use crate::close::{self, Close};

/// A CONNACK, and the client when it is accepted.
pub(super) struct Answer {
    pub(super) connack: Vec<u8>,
    pub(super) client: Option<Client>,
}

/// The user property by which a client asks for positions: `1` does.
const POSITIONS: &str = "positions";

/// The first bit of the connect flags is reserved (MQTT 5.0 section 3.1.2.3).
const RESERVED: u8 = 0x01;

/// Answers the body of a CONNECT.
pub(super) fn answer(body: &[u8], max_packet: usize) -> Result<Answer, Close> {
    // The protocol's name and version come first in every version there has been.
    let (name, rest) = split_text(body).ok_or(close::MQTT_MALFORMED)?;
    let (version, flags) = match rest {
        [version, flags, ..] => (*version, *flags),
        _ => return Err(close::MQTT_MALFORMED),
    };
    match (name, version) {
        (b"MQTT", 4 | 5) if flags & RESERVED != 0 => Err(close::MQTT_MALFORMED),
        (b"MQTT", 4) => answer_v3(body),
        (b"MQTT", 5) => answer_v5(body, max_packet),
        // MQTT 3.1 and what was before; they read a CONNACK of 3.1.1.
        (b"MQIsdp", _) | (b"MQTT", 0..4) => {
            refuse_v3(ConnectReturnCode::UnacceptableProtocolVersion)
        }
        (b"MQTT", _) => refuse_v5(ConnectReasonCode::UnsupportedProtocolVersion),
        _ => Err(close::MQTT_PROTOCOL),
    }
}

fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn answer_v3(body: &[u8]) -> Result<Answer, Close> {
    let connect = match v3_1_1::Connect::parse(body) {
        Ok((connect, used)) if used == body.len() => connect,
        Ok(_) => return Err(close::MQTT_MALFORMED),
        Err(error) => return Err(reason(error)),
    };
    if connect.will_flag() {
        return refuse_v3(ConnectReturnCode::NotAuthorized);
    }
    if connect.client_id().is_empty() && !connect.clean_session() {
        // A session without a name could never be taken up again (section 3.1.3.1).
        return refuse_v3(ConnectReturnCode::IdentifierRejected);
    }
    Ok(Answer {
        connack: connack_v3(ConnectReturnCode::Accepted)?,
        client: Some(Client {
            version: Version::V3,
            keep_alive: Duration::from_secs(connect.keep_alive().into()),
            max_packet: u32::MAX,
            positions: false,
        }),
    })
}

fn answer_v5(body: &[u8], max_packet: usize) -> Result<Answer, Close> {
    let connect = match v5_0::Connect::parse(body) {
        Ok((connect, used)) if used == body.len() => connect,
        Ok(_) => return Err(close::MQTT_MALFORMED),
        Err(MqttError::ClientIdentifierNotValid) => {
            return refuse_v5(ConnectReasonCode::ClientIdentifierNotValid);
        }
        Err(error) => return Err(reason(error)),
    };
    if connect.will_flag() {
        return refuse_v5(ConnectReasonCode::NotAuthorized);
    }
    let mut client = Client {
        version: Version::V5,
        keep_alive: Duration::from_secs(connect.keep_alive().into()),
        max_packet: u32::MAX,
        positions: false,
    };
    let mut properties = capabilities(max_packet).map_err(reason)?;
    for property in connect.props() {
        match property {
            Property::MaximumPacketSize(size) => client.max_packet = size.val(),
            Property::SessionExpiryInterval(interval) if interval.val() > 0 => {
                let none = SessionExpiryInterval::new(0).map_err(reason)?;
                properties.push(Property::SessionExpiryInterval(none));
            }
            Property::UserProperty(pair) if pair.key() == POSITIONS => {
                client.positions = pair.val() == "1";
            }
            Property::AuthenticationMethod(_) => {
                return refuse_v5(ConnectReasonCode::BadAuthenticationMethod);
            }
            _ => {}
        }
    }
    if connect.client_id().is_empty() {
        let assigned = format!("gamecast-{:016x}", rand::random::<u64>());
        let assigned = AssignedClientIdentifier::new(assigned).map_err(reason)?;
        properties.push(Property::AssignedClientIdentifier(assigned));
    }
    Ok(Answer {
        connack: connack_v5(ConnectReasonCode::Success, properties)?,
        client: Some(client),
    })
}

/// What this server does and does not do (MQTT 5.0 section 3.2.2.3).
fn capabilities(max_packet: usize) -> Result<Properties, MqttError> {
    let max_packet = u32::try_from(max_packet).unwrap_or(u32::MAX);
    let mut properties = Properties::new();
    properties.extend([
        Property::MaximumQos(MaximumQos::new(0)?),
        Property::RetainAvailable(RetainAvailable::new(1)?),
        Property::MaximumPacketSize(MaximumPacketSize::new(max_packet)?),
        Property::TopicAliasMaximum(TopicAliasMaximum::new(0)?),
        Property::WildcardSubscriptionAvailable(WildcardSubscriptionAvailable::new(1)?),
        Property::SubscriptionIdentifierAvailable(SubscriptionIdentifierAvailable::new(1)?),
        Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0)?),
    ]);
    Ok(properties)
}

fn refuse_v3(code: ConnectReturnCode) -> Result<Answer, Close> {
    Ok(Answer {
        connack: connack_v3(code)?,
        client: None,
    })
}

fn refuse_v5(code: ConnectReasonCode) -> Result<Answer, Close> {
    Ok(Answer {
        connack: connack_v5(code, Properties::new())?,
        client: None,
    })
}

fn connack_v3(code: ConnectReturnCode) -> Result<Vec<u8>, Close> {
    let builder = v3_1_1::Connack::builder().session_present(false);
    let connack = builder.return_code(code).build().map_err(reason)?;
    Ok(connack.to_continuous_buffer())
}

fn connack_v5(code: ConnectReasonCode, properties: Properties) -> Result<Vec<u8>, Close> {
    let builder = v5_0::Connack::builder().session_present(false);
    let builder = builder.reason_code(code).props(properties);
    Ok(builder.build().map_err(reason)?.to_continuous_buffer())
}
