//! Empty: rumqttd's program reads its settings with this package, its library does not.
