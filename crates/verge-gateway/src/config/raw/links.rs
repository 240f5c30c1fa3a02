//! Keys of `[local]`, `[uplink.NAME]` and `[route.NAME]`.

use std::time::Duration;

use verge_domain::id::Lane;
use verge_sparkplug::HistoryOrder;
use verge_wire::WireFormat;

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{ConfigNode, Map, Table, Value};
use super::super::units::{Size, Span};
use super::{
    DAY, HOUR, KIB, MAX_MQTT_PACKET, MAX_PUSH_BODY, MAX_RATE_BYTES, MINUTE, RawDatex2, RawRsmp, RawSecret,
    RawSite, SECOND, TIB,
};

declare! {
    /// How a broker is reached that somebody else runs.
    struct RawBroker {
        url: Option<String> =
            text(r#"the broker's address, such as "mqtts://broker.example:8883""#).required(),
        client_id: Option<String> = text("an MQTT client id"),
        username: Option<String> = text("a user name"),
        password: Option<RawSecret> = secret(),
        password_file: Option<String> = text("the path of a file that holds the password alone"),
    }

    /// What TLS needs.
    struct RawCertificates {
        ca: Option<String> = text("the path of a PEM file"),
        cert: Option<String> = text("the path of a PEM file"),
        key: Option<String> = text("the path of a PEM file"),
    }

    /// What every connection to a broker has.
    struct RawTransport with certificates: RawCertificates {
        // MQTT's keep-alive is 16 bits of seconds; below 5 s the pings alone load a cellular link.
        keep_alive: Span = span(Duration::from_secs(5), Duration::from_secs(65_535)).or("30s"),
        max_packet: Size = size(KIB, MAX_MQTT_PACKET).or("64 KiB"),
    }

    /// `[local]`
    struct RawLocal with transport: RawTransport by mode: RawMode [.or("external")] {
        max_frame: Size = size(KIB, MAX_MQTT_PACKET).or("2 MiB"),
    }

    /// Whose broker the devices publish to.
    enum RawMode { "external" => External(RawBroker), "embedded" => Embedded(RawListener) }

    /// A broker of the gateway's own.
    struct RawListener {
        listen: String =
            text(r#"an address of this machine with a port, such as "127.0.0.1:1883""#).or("127.0.0.1:1883"),
        access: Option<RawAccess> = word::<RawAccess>(),
        acl_file: Option<String> = text("the path of an access list, in the form of mosquitto's acl_file"),
        tls_1_2: bool = flag().or("false"),
        crl: Option<String> = text("the path of lists of revoked certificates (PEM)"),
        deny_file: Option<String> = text("the path of a list of serial numbers"),
        passwords: Option<String> = text("the path of a file of logins"),
        enrol: Option<String> = text(r#"an address of this machine with a port, such as "0.0.0.0:8443""#),
        authority: Option<String> = text("the folder of an authority, as `verge certs init` makes it"),
        retained: bool = flag().or("false"),
        durable: bool = flag().or("false"),
        rate: usize = whole(1, 1_000_000).or("2000"),
        rate_bytes: Size = size(KIB, MAX_RATE_BYTES).or("16 MiB"),
        max_topics: usize = whole(1, 100_000).or("1000"),
        max_connections: usize = whole(1, 16_384).or("4096"),
        max_waiting_per_address: usize = whole(1, 256).or("16"),
    }

    /// Who may publish and read what at it.
    words RawAccess { "own" => Own, "open" => Open }

    /// `[uplink.NAME]`
    struct RawUplink by kind: RawUplinkKind [.or("mqtt")] {}

    /// What an uplink speaks.
    enum RawUplinkKind {
        "mqtt" => Mqtt(RawMqtt),
        "http" => Http(RawHttp),
        "sparkplug" => Sparkplug(RawSparkplug),
        "rsmp" => Rsmp(RawRsmp),
    }

    /// An uplink to a broker.
    struct RawMqtt with broker: RawBroker, transport: RawTransport {
        insecure_plaintext: bool = flag().or("false"),
        prefix: String = text(r#"the first levels of a topic, such as "verge""#).or("verge"),
        topic: String =
            text(r#"a topic with placeholders, such as "devices/{gateway}/messages/events/""#)
                .or("{prefix}/{gateway}/{channel}"),
        format: WireFormat = word::<WireFormat>().or("cbor"),
        window: usize = whole(1, 1000).or("64"),
        rewind: Span = span(Duration::ZERO, HOUR).or("5s"),
        lanes: Vec<Lane> = words::<Lane>().or("alarm,verdict,telemetry"),
        batch: RawBatch = table::<RawBatch>().or(""),
        route: Option<String> = name(),
        budget: Option<Size> = size(KIB, TIB),
        commands: bool = flag().or("true"),
        status: bool = flag().or("true"),
        retain: bool = flag().or("true"),
        will: bool = flag().or("true"),
        echo: bool = flag().or("true"),
        state_topics: bool = flag().or("false"),
        homeassistant: bool = flag().or("false"),
        stale_after: Span = span(SECOND, DAY).or("60s"),
    }

    /// An uplink to a web service.
    struct RawHttp with certificates: RawCertificates {
        url: Option<String> =
            text(r#"the address of a web service, such as "https://hooks.example/verge""#),
        insecure_plaintext: bool = flag().or("false"),
        token_file: Option<String> = text("the path of a file that holds the token alone"),
        signing_key_file: Option<String> = text("the path of a file that holds the key alone"),
        format: RawPushFormat = word::<RawPushFormat>().or("json"),
        timeout: Span = span(SECOND, MINUTE).or("30s"),
        max_body: Size = size(KIB, MAX_PUSH_BODY).or("256 KiB"),
        datex2: Option<RawDatex2> = table::<RawDatex2>(),
        site: Option<Map<RawSite>> = named_tables::<RawSite>(),
        lanes: Vec<Lane> = words::<Lane>().or("alarm,verdict,telemetry"),
        batch: RawBatch = table::<RawBatch>().or(""),
        route: Option<String> = name(),
        budget: Option<Size> = size(KIB, TIB),
    }

    /// An uplink as an edge node of Sparkplug B.
    struct RawSparkplug with broker: RawBroker, transport: RawTransport {
        insecure_plaintext: bool = flag().or("false"),
        group: Option<String> = text(r#"the group of the edge node, such as "plant-a""#),
        node: Option<String> = text(r#"the name of the edge node, such as "pump-room-1""#),
        host: Option<String> = text("the name of the primary host application"),
        confirm: Span = span(Duration::from_millis(100), MINUTE).or("5s"),
        history: HistoryOrder = word::<HistoryOrder>().or("behind"),
        history_rate: usize = whole(10, 1_000_000).or("500"),
        datatype_in_data: bool = flag().or("false"),
        silent_device: RawSilentDevice = word::<RawSilentDevice>().or("stale"),
        commands: bool = flag().or("false"),
        rewind: Span = span(Duration::ZERO, HOUR).or("5s"),
        lanes: Vec<Lane> = words::<Lane>().or("alarm,verdict,telemetry"),
        batch: RawBatch = table::<RawBatch>().or(""),
        route: Option<String> = name(),
        budget: Option<Size> = size(KIB, TIB),
    }

    /// What is said of a device that is silent.
    words RawSilentDevice { "stale" => Stale, "death" => Death }

    words for HistoryOrder { "behind" => Behind, "in_order" => InOrder }

    /// What is pushed.
    words RawPushFormat { "json" => Json, "cloudevents" => CloudEvents, "datex2" => Datex2 }

    words for WireFormat { "cbor" => Cbor, "json" => Json }

    words for Lane { "alarm" => Alarm, "verdict" => Verdict, "telemetry" => Telemetry }

    /// `[uplink.NAME.batch]`
    struct RawBatch {
        max_verdicts: usize = whole(1, 1000).or("20"),
        verdict_wait: Span = span(Duration::ZERO, MINUTE).or("200ms"),
        telemetry_wait: Span = span(Duration::ZERO, MINUTE).or("1s"),
    }

    /// `[route.NAME]`
    struct RawRoute by mode: RawRouteMode [.or("failover")] {}

    /// How uplinks share a route.
    enum RawRouteMode { "failover" => Failover(RawFailover), "spread" => Spread(RawSpread) }

    /// One uplink after the other.
    struct RawFailover {
        return_after: Span = span(Duration::ZERO, HOUR).or("30s"),
    }

    /// All uplinks at once.
    struct RawSpread {}
}

impl Default for RawRoute {
    /// One that is not written.
    fn default() -> Self {
        super::super::walk::unwritten()
    }
}
