//! What rumqttd's console uses of axum, without a server.

use std::io::{Error, ErrorKind};

/// A body of JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// Would hold handlers by path.
#[derive(Debug)]
pub struct Router;

impl Router {
    /// Nothing.
    #[expect(clippy::new_without_default, reason = "as in the package itself")]
    pub const fn new() -> Self {
        Self
    }

    /// Nothing.
    pub fn route(self, _path: &str, _method: routing::MethodRouter) -> Self {
        self
    }

    /// Nothing.
    pub fn with_state<S>(self, _state: S) -> Self {
        self
    }
}

/// # Errors
/// Always.
pub async fn serve<L>(_listener: L, _router: Router) -> Result<(), Error> {
    Err(Error::new(ErrorKind::Unsupported, "the console of the broker is not built in"))
}

/// What handlers take.
pub mod extract {
    /// Part of the path.
    #[derive(Debug)]
    pub struct Path<T>(pub T);

    /// What all handlers share.
    #[derive(Debug)]
    pub struct State<S>(pub S);
}

/// What handlers give.
pub mod response {
    use std::io::Error;

    /// What can be an answer.
    pub trait IntoResponse {}

    impl<T> IntoResponse for super::Json<T> {}
    impl<T> IntoResponse for Response<T> {}

    /// An answer.
    #[derive(Debug)]
    pub struct Response<T>(pub T);

    impl Response<()> {
        /// Begins an answer.
        pub const fn builder() -> Builder {
            Builder
        }
    }

    impl<T> Response<T> {
        /// An answer with this body.
        pub const fn new(body: T) -> Self {
            Self(body)
        }
    }

    /// An answer without a body yet.
    #[derive(Debug)]
    pub struct Builder;

    impl Builder {
        /// Nothing.
        pub const fn status(self, _status: u16) -> Self {
            self
        }

        /// # Errors
        /// Never.
        pub fn body<T>(self, body: T) -> Result<Response<T>, Error> {
            Ok(Response(body))
        }
    }
}

/// Which handler serves which method.
pub mod routing {
    /// Would hold handlers by method.
    #[derive(Debug)]
    pub struct MethodRouter;

    /// Nothing.
    pub fn get<H>(_handler: H) -> MethodRouter {
        MethodRouter
    }

    /// Nothing.
    pub fn post<H>(_handler: H) -> MethodRouter {
        MethodRouter
    }
}
