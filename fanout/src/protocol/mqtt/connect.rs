//! CONNECT and what it is answered.

use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MaximumQos, Properties, Property, Qos,
    RetainAvailable, ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, TopicAliasMaximum, WildcardSubscriptionAvailable, v3_1_1,
    v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, MqttError};

use super::{Client, MqttLimits, Version, check_text, check_user_properties, reason};
use crate::close::{self, Close};
use crate::rate::{MaxRate, RateError};

/// A CONNACK, and the client when it is accepted.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) connack: Vec<u8>,
    pub(super) client: Option<Client>,
    /// How many messages per second the client wants at most.
    pub(super) max_rate: Option<MaxRate>,
}

/// The user property by which a client asks for positions: `1` does.
const POSITIONS: &str = "positions";

/// The user property by which a client asks for at most so many messages per second.
const MAX_RATE: &str = "maxRate";

/// The connect flags (MQTT 5.0 section 3.1.2.3), which are the same in both versions.
mod flag {
    pub(super) const RESERVED: u8 = 0x01;
    pub(super) const WILL: u8 = 0x04;
    pub(super) const WILL_QOS: u8 = 0x18;
    pub(super) const WILL_RETAIN: u8 = 0x20;
    pub(super) const PASSWORD: u8 = 0x40;
    pub(super) const USER_NAME: u8 = 0x80;
}

/// Where the connect flags are in a CONNECT whose protocol name is `MQTT`.
const FLAGS_AT: usize = 7;

/// Why a Will is refused: it would be a message that the client publishes.
const NO_WILL: &str = "clients do not publish here, so a Will is not accepted";

/// Answers the body of a CONNECT.
pub(super) fn answer(body: &[u8], limits: MqttLimits) -> Result<Answer, Close> {
    // The protocol's name and version come first in every version there has been.
    let (name, rest) = split_binary(body).ok_or(close::MQTT_MALFORMED)?;
    let (version, flags) = match rest {
        [version, flags, ..] => (*version, *flags),
        _ => return Err(close::MQTT_MALFORMED),
    };
    match (name, version) {
        (b"MQTT", 4 | 5) if !is_consistent(flags) => Err(close::MQTT_MALFORMED),
        (b"MQTT", 4) => answer_v3(body),
        (b"MQTT", 5) => answer_v5(body, flags, limits),
        // MQTT 3.1 and what was before; they read a CONNACK of 3.1.1.
        (b"MQIsdp", _) | (b"MQTT", 0..4) => {
            refuse_v3(ConnectReturnCode::UnacceptableProtocolVersion)
        }
        (b"MQTT", _) => {
            let code = ConnectReasonCode::UnsupportedProtocolVersion;
            refuse_v5(Client::of_v5(), code, "MQTT 3.1.1 and 5.0 are spoken here")
        }
        _ => Err(close::MQTT_PROTOCOL),
    }
}

/// False for flags that contradict each other, which mqtt-protocol-core lets pass.
fn is_consistent(flags: u8) -> bool {
    let will = match flags & flag::WILL {
        0 => flags & (flag::WILL_QOS | flag::WILL_RETAIN) == 0,
        _ => flags & flag::WILL_QOS != flag::WILL_QOS,
    };
    will && flags & flag::RESERVED == 0
}

/// Takes a length of two bytes, and as many bytes, off the front of `bytes`.
fn split_binary(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn answer_v3(body: &[u8]) -> Result<Answer, Close> {
    let connect = match v3_1_1::Connect::parse(body) {
        Ok((connect, used)) if used == body.len() => connect,
        Ok(_) => return Err(close::MQTT_MALFORMED),
        Err(error) => return Err(reason(error)),
    };
    check_text(connect.client_id())?;
    check_text(connect.user_name().unwrap_or_default())?;
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
            problem_information: false,
        }),
        max_rate: None,
    })
}

fn answer_v5(body: &[u8], flags: u8, limits: MqttLimits) -> Result<Answer, Close> {
    let mut client = Client::of_v5();
    let connect = match parse_v5(body, flags) {
        Err(MqttError::ClientIdentifierNotValid) => {
            let code = ConnectReasonCode::ClientIdentifierNotValid;
            return refuse_v5(client, code, "the client identifier is not UTF-8");
        }
        parsed => parsed.map_err(reason)?,
    };
    check_text(connect.client_id())?;
    check_text(connect.user_name().unwrap_or_default())?;
    check_user_properties(connect.props())?;
    let mut properties = capabilities(limits).map_err(reason)?;
    let (mut method, mut data, mut max_rate) = (false, false, None);
    for property in connect.props() {
        match property {
            Property::MaximumPacketSize(size) => client.max_packet = size.val(),
            Property::RequestProblemInformation(wanted) => {
                client.problem_information = wanted.val() != 0;
            }
            Property::SessionExpiryInterval(interval) if interval.val() > 0 => {
                let none = SessionExpiryInterval::new(0).map_err(reason)?;
                properties.push(Property::SessionExpiryInterval(none));
            }
            Property::UserProperty(pair) if pair.key() == POSITIONS => {
                client.positions = pair.val() == "1";
            }
            Property::UserProperty(pair) if pair.key() == MAX_RATE => {
                max_rate = Some(pair.val().parse::<MaxRate>());
            }
            Property::AuthenticationMethod(_) => method = true,
            Property::AuthenticationData(_) => data = true,
            _ => {}
        }
    }
    if data && !method {
        return Err(close::MQTT_PROTOCOL);
    }
    if method {
        let code = ConnectReasonCode::BadAuthenticationMethod;
        return refuse_v5(client, code, "there is no enhanced authentication here");
    }
    if connect.will_flag() {
        let code = match connect.will_qos() {
            Qos::AtMostOnce => ConnectReasonCode::NotAuthorized,
            _ => ConnectReasonCode::QosNotSupported,
        };
        return refuse_v5(client, code, NO_WILL);
    }
    let mut keep_alive = connect.keep_alive();
    if keep_alive == 0 || keep_alive > limits.max_keep_alive {
        keep_alive = limits.max_keep_alive;
        let told = ServerKeepAlive::new(keep_alive).map_err(reason)?;
        properties.push(Property::ServerKeepAlive(told));
    }
    client.keep_alive = Duration::from_secs(keep_alive.into());
    if connect.client_id().is_empty() {
        let assigned = format!("gamecast-{:016x}", rand::random::<u64>());
        let assigned = AssignedClientIdentifier::new(assigned).map_err(reason)?;
        properties.push(Property::AssignedClientIdentifier(assigned));
    }
    let Ok(max_rate) = max_rate.transpose() else {
        let code = ConnectReasonCode::ImplementationSpecificError;
        return refuse_v5(client, code, &RateError.to_string());
    };
    let connack = connack_v5(ConnectReasonCode::Success, properties).map_err(reason)?;
    if connack.len() > client.max_packet as usize {
        // Without the properties it would say something else.
        let code = ConnectReasonCode::PacketTooLarge;
        return refuse_v5(client, code, "no CONNACK fits the Maximum Packet Size");
    }
    Ok(Answer {
        connack,
        client: Some(client),
        max_rate,
    })
}

/// Reads a whole CONNECT of 5.0. A password may come without a user name (section 3.1.2.9), which
/// mqtt-protocol-core does not know: such a one is cut off and looked at here.
fn parse_v5(body: &[u8], flags: u8) -> Result<v5_0::Connect, MqttError> {
    if flags & (flag::USER_NAME | flag::PASSWORD) != flag::PASSWORD {
        return match v5_0::Connect::parse(body)? {
            (connect, used) if used == body.len() => Ok(connect),
            _ => Err(MqttError::MalformedPacket),
        };
    }
    let mut without = body.to_vec();
    without[FLAGS_AT] &= !flag::PASSWORD;
    let (connect, used) = v5_0::Connect::parse(&without)?;
    match split_binary(&body[used..]) {
        Some((_, [])) => Ok(connect),
        _ => Err(MqttError::MalformedPacket),
    }
}

/// What this server does and does not do (MQTT 5.0 section 3.2.2.3).
fn capabilities(limits: MqttLimits) -> Result<Properties, MqttError> {
    let max_packet = u32::try_from(limits.packet).unwrap_or(u32::MAX);
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

impl Client {
    /// A client of 5.0 that has asked for nothing in particular.
    fn of_v5() -> Self {
        Self {
            version: Version::V5,
            keep_alive: Duration::ZERO,
            max_packet: u32::MAX,
            positions: false,
            problem_information: true,
        }
    }
}

fn refuse_v3(code: ConnectReturnCode) -> Result<Answer, Close> {
    Ok(Answer {
        connack: connack_v3(code)?,
        client: None,
        max_rate: None,
    })
}

/// A client that takes not even the smallest CONNACK is let go without.
fn refuse_v5(client: Client, code: ConnectReasonCode, why: &str) -> Result<Answer, Close> {
    let connack = client.explained(Some(why), |properties| connack_v5(code, properties));
    let connack = connack.map_err(reason)?;
    if connack.len() > client.max_packet as usize {
        return Err(close::TOO_LARGE);
    }
    Ok(Answer {
        connack,
        client: None,
        max_rate: None,
    })
}

fn connack_v3(code: ConnectReturnCode) -> Result<Vec<u8>, Close> {
    let builder = v3_1_1::Connack::builder().session_present(false);
    let connack = builder.return_code(code).build().map_err(reason)?;
    Ok(connack.to_continuous_buffer())
}

fn connack_v5(code: ConnectReasonCode, properties: Properties) -> Result<Vec<u8>, MqttError> {
    let builder = v5_0::Connack::builder().session_present(false);
    let builder = builder.reason_code(code).props(properties);
    Ok(builder.build()?.to_continuous_buffer())
}
