//! Why a client, or something that it asks for, is refused: a closed list, counted by reason.

verge_domain::words! {
    /// Why the guard refuses something.
    pub enum Refusal {
        /// The first packet is no CONNECT.
        NotConnect = "not_connect",
        /// CONNECT is not complete in time.
        LateConnect = "late_connect",
        /// Another version of MQTT than 3.1.1 and 5.
        ProtocolVersion = "protocol_version",
        /// A client identifier that cannot be used.
        ClientId = "client_id",
        /// A client identifier that is not the name in the client's certificate.
        ForeignClientId = "foreign_client_id",
        /// A certificate without a name that a device can have.
        CertificateName = "certificate_name",
        /// More client identifiers than the broker may remember, or more connections than one device may have.
        TooManyClientIds = "too_many_client_ids",
        /// A last will that the client may not publish.
        Will = "will",
        /// The broker behind the guard does not accept the client.
        NotAccepted = "not_accepted",
        /// A packet that is not allowed at this place.
        PacketOrder = "packet_order",
        /// A packet that is not as the standard says.
        Malformed = "malformed",
        /// A packet above the limit of its class.
        TooLarge = "too_large",
        /// A packet that does not get complete.
        SlowPacket = "slow_packet",
        /// Nothing was received for longer than the client's keep-alive allows.
        Silent = "silent",
        /// The client does not take what is sent to it.
        Stalled = "stalled",
        /// A topic that the client may not publish to.
        PublishNotAllowed = "publish_not_allowed",
        /// A retained message of a client that may not have any.
        Retained = "retained",
        /// A filter that the client may not subscribe to.
        SubscribeNotAllowed = "subscribe_not_allowed",
        /// A shared subscription.
        SharedSubscription = "shared_subscription",
        /// A topic that belongs to the broker.
        ReservedTopic = "reserved_topic",
        /// A topic, or a filter, that is none, is too long or begins with other than an ASCII character.
        BadTopic = "bad_topic",
        /// More topics than one device may publish to.
        TooManyTopics = "too_many_topics",
        /// More filters than one device may subscribe to.
        TooManyFilters = "too_many_filters",
        /// More messages of `QoS` 2 than one device may have wait for their release.
        TooManyHeld = "too_many_held",
        /// The client's certificate is revoked.
        Revoked = "revoked",
        /// The client's certificate has ended while it was connected.
        Expired = "expired",
        /// No password, or a wrong one, of a client without a certificate; or it has changed.
        Password = "password",
        /// An authentication method of MQTT 5.
        Authentication = "authentication",
        /// `QoS` 2 of a client of MQTT 5.
        QosNotSupported = "qos_not_supported",
        /// A topic alias of MQTT 5.
        TopicAlias = "topic_alias",
        /// A subscription identifier of MQTT 5.
        SubscriptionIdentifier = "subscription_identifier",
        /// An option of a subscription that MQTT 5 has and the broker has not.
        SubscribeOption = "subscribe_option",
    }
}

impl Refusal {
    /// Its place among all.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What happened, for the log and the status: what a client did.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotConnect => "its first packet is no CONNECT",
            Self::LateConnect => "its CONNECT was not complete in time",
            Self::ProtocolVersion => "it speaks another version of MQTT than 3.1.1 and 5",
            Self::ClientId => "its client identifier cannot be used",
            Self::ForeignClientId => "its client identifier is not the name in its certificate",
            Self::CertificateName => "its certificate has no name that a device can have",
            Self::TooManyClientIds => "more client identifiers or connections than are taken",
            Self::Will => "its last will is not allowed",
            Self::NotAccepted => "the broker does not accept it",
            Self::PacketOrder => "it sent a packet that no client sends after CONNECT",
            Self::Malformed => "it sent a packet that is not as MQTT says",
            Self::TooLarge => "it sent a packet above the limit",
            Self::SlowPacket => "a packet of it was not complete in time",
            Self::Silent => "nothing was received for one and a half times its keep-alive",
            Self::Stalled => "it does not take what is sent to it",
            Self::PublishNotAllowed => "it may not publish to",
            Self::Retained => "it may not publish retained messages, as to",
            Self::SubscribeNotAllowed => "it may not subscribe to",
            Self::SharedSubscription => "shared subscriptions are not supported, as",
            Self::ReservedTopic => "the broker's own topics are not for clients, as",
            Self::BadTopic => "that is no topic, or it begins with other than an ASCII character:",
            Self::TooManyTopics => "it publishes to more topics than one device may, with",
            Self::TooManyFilters => "it subscribes to more filters than one device may, with",
            Self::TooManyHeld => "more of its messages of QoS 2 wait for their release than may",
            Self::Expired => "its certificate has ended",
            Self::Revoked => "its certificate is revoked",
            Self::Password => "its user name or password is wrong, or there is none",
            Self::Authentication => "it wants to log in by an authentication method of MQTT 5",
            Self::QosNotSupported => "QoS 2 is not supported with MQTT 5",
            Self::TopicAlias => "it used a topic alias, none of which was announced",
            Self::SubscriptionIdentifier => "subscription identifiers are not supported",
            Self::SubscribeOption => {
                "no local, retain as published and retain handling 2 are not supported, in a subscription"
            }
        }
    }
}
