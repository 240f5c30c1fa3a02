//! Enumerations whose every variant has a stable word.

/// Declares enumerations, each variant with the word that stands for it in JSON, in the configuration and on terminals, and
/// writes what follows from that: `ALL` in the order of declaration, `as_str`, `named` and `Display`. Serde's words follow
/// from the names of the variants, where it is derived: `rename_all` has to say how.
#[macro_export]
macro_rules! words {
    ($(
        $(#[$about:meta])*
        pub enum $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal),+ $(,)? }
    )+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$what])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The one with this text.
            #[must_use]
            pub fn named(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use crate::id::Lane;
    use crate::rejection::Reason;

    #[test]
    fn each_word_stands_for_one_variant_in_the_order_of_declaration() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!((reason.index(), Reason::named(reason.as_str())), (index, Some(reason)));
        }
        assert_eq!((Reason::ALL[0].to_string(), Reason::ALL.len()), ("unknown_topic".to_owned(), 42));
        assert_eq!(
            (Lane::named("alarm"), Lane::named("Alarm"), Lane::named("")),
            (Some(Lane::Alarm), None, None)
        );
    }
}
