//! Reason codes (section 2.4) of what the guard refuses.

use crate::policy::Refusal;

/// Why a connection ends, for DISCONNECT.
pub(in crate::front) const fn for_connection(why: Refusal) -> u8 {
    match why {
        Refusal::Malformed | Refusal::NotConnect => 0x81,
        Refusal::PacketOrder => 0x82,
        Refusal::ProtocolVersion => 0x84,
        Refusal::ClientId | Refusal::ForeignClientId | Refusal::CertificateName => 0x85,
        Refusal::PublishNotAllowed
        | Refusal::SubscribeNotAllowed
        | Refusal::Will
        | Refusal::Revoked
        | Refusal::Expired => 0x87,
        Refusal::Password => 0x86,
        Refusal::NotAccepted => 0x88,
        Refusal::Authentication => 0x8c,
        Refusal::Silent => 0x8d,
        Refusal::BadTopic | Refusal::ReservedTopic => 0x90,
        Refusal::TopicAlias => 0x94,
        Refusal::TooLarge => 0x95,
        Refusal::TooManyTopics
        | Refusal::TooManyFilters
        | Refusal::TooManyHeld
        | Refusal::TooManyClientIds => 0x97,
        Refusal::Retained => 0x9a,
        Refusal::QosNotSupported => 0x9b,
        Refusal::SharedSubscription => 0x9e,
        Refusal::SubscriptionIdentifier => 0xa1,
        Refusal::LateConnect | Refusal::SlowPacket | Refusal::Stalled | Refusal::SubscribeOption => 0x83,
    }
}

/// Why one filter of a subscription is refused, for SUBACK.
pub(in crate::front) const fn for_filter(why: Refusal) -> u8 {
    match why {
        Refusal::BadTopic => 0x8f,
        Refusal::ReservedTopic => 0x87,
        _ => for_connection(why),
    }
}

/// Why one message of `QoS` 1 is refused, for PUBACK; `None` where the standard has no code there, or where what comes
/// behind the message cannot be believed: then the connection ends.
pub(in crate::front) const fn for_message(why: Refusal) -> Option<u8> {
    match why {
        Refusal::PublishNotAllowed | Refusal::BadTopic | Refusal::ReservedTopic | Refusal::TooManyTopics => {
            Some(for_connection(why))
        }
        _ => None,
    }
}
